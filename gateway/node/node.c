#include "gateway/node/node_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RING_PING_MS = 2000, LEAVE_OVERLAYS_MS = 4000, SETTLE_ROUNDS_MAX = 1000 };

/** Something a peer said while it could not be called. */
struct report {
    struct list_node link;
    enum node_overlay which;
    bool is_link; /* else: state */
    bool is_given_up;
    bool is_up;
    struct id id;
};

static void
report_add(struct node *n, const struct report *report)
{
    struct report *r = malloc(sizeof(*r));

    if (!r)
        return; /* the next report of this kind brings the state too */
    *r = *report;
    list_append(&n->reports, &r->link);
}

/* ---- what the peers ask for --------------------------------------------------------------------
 */

static bool
on_send(void *ctx, const struct id *to, struct slice message)
{
    struct node_side *side = ctx;

    return side->node->env.send(side->node->env.ctx, side->which, to, message);
}

static void
on_connect(void *ctx, const char *address, const struct id *expected)
{
    struct node_side *side = ctx;

    side->node->env.connect(side->node->env.ctx, side->which, address, expected);
}

static void
on_disconnect(void *ctx, const struct id *id)
{
    struct node_side *side = ctx;

    side->node->env.disconnect(side->node->env.ctx, side->which, id);
}

static uint64_t
on_random(void *ctx)
{
    struct node_side *side = ctx;

    return side->node->env.random(side->node->env.ctx);
}

static void
on_state(void *ctx, enum peer_state state, const char *reason)
{
    struct node_side *side = ctx;

    (void)state; /* the peer logs it; what counts is read when the report is acted on */
    (void)reason;
    report_add(side->node, &(struct report){.which = side->which});
}

static void
on_link(void *ctx, struct moment now, const struct id *id, bool is_up, bool is_given_up)
{
    struct node_side *side = ctx;
    struct node *n = side->node;

    if (side->which == NODE_GLOBAL && n->directory && is_up && n->env.link_user)
        directory_on_linked(n->directory, now, id, n->env.link_user(n->env.ctx, NODE_GLOBAL, id));
    else if (side->which == NODE_GLOBAL && n->directory)
        directory_on_left(n->directory, now, id);
    if (side->which == NODE_LOCAL)
        report_add(side->node, &(struct report){.which = NODE_LOCAL,
                                                .is_link = true,
                                                .is_up = is_up,
                                                .is_given_up = is_given_up,
                                                .id = *id});
}

static void
on_request(void *ctx, struct moment now, const struct peer_request *req)
{
    struct node_side *side = ctx;

    side->node->now = now;
    node_on_private(side->node, now, side->which, req);
}

static void
on_log(void *ctx, enum log_level level, const char *text)
{
    struct node_side *side = ctx;

    log_to(&side->node->env.log, level, "%s", text);
}

/* ---- settling
 * ------------------------------------------------------------------------------------ */

static bool
is_in(enum peer_state state)
{
    return state == PEER_JOINED || state == PEER_ALONE;
}

static enum directory_ring
ring_of(const struct peer *ring)
{
    if (!is_in(peer_state(ring)))
        return DIRECTORY_RING_DOWN;
    return peer_state(ring) == PEER_ALONE && peer_has_others(ring) ? DIRECTORY_RING_ALONE
                                                                   : DIRECTORY_RING_UP;
}

static void
on_report(struct node *n, struct moment now, const struct report *r)
{
    struct election_event ev;

    if (r->which == NODE_GLOBAL) {
        enum directory_ring ring = ring_of(n->peer[NODE_GLOBAL]);
        directory_on_ring(n->directory, now, ring);
        if (ring != DIRECTORY_RING_DOWN)
            node_ring_joined(n, now);
    } else if (r->is_link) {
        ev = (struct election_event){.type = ELECTION_LINK};
        ev.link.node = r->id;
        ev.link.is_up = r->is_up;
        ev.link.is_given_up = r->is_given_up;
        election_step(n->election, now, &ev);
        if (!r->is_up && n->env.on_lost)
            n->env.on_lost(n->env.ctx, &r->id);
    } else {
        ev = (struct election_event){.type = ELECTION_OVERLAY};
        ev.overlay.state = peer_state(n->peer[NODE_LOCAL]);
        ev.overlay.neighbour_count = peer_neighbour_count(n->peer[NODE_LOCAL]);
        election_step(n->election, now, &ev);
    }
    if (!r->is_link && n->env.on_state)
        n->env.on_state(n->env.ctx);
}

/* The leave, one phase after the other: a successor, the calls to it, both overlays, then done. */
static void
go_on_leaving(struct node *n, struct moment now)
{
    if (n->leaving == NODE_HANDS_OVER && n->election_left) {
        n->leaving = NODE_MOVES;
        node_replica_leave(n, now);
    }
    if (n->leaving == NODE_MOVES && n->replica_left) {
        n->leaving = NODE_DEPARTS;
        node_linger_end(n, now);
        n->leave_deadline_ms = now.mono_ms + LEAVE_OVERLAYS_MS;
        for (int which = 0; which < NODE_OVERLAYS; which++)
            if (n->peer[which])
                peer_aim(n->peer[which], now, PEER_AIM_NOTHING);
    }
    if (n->leaving != NODE_DEPARTS)
        return;
    bool is_down = peer_state(n->peer[NODE_LOCAL]) == PEER_DOWN &&
                   (!n->peer[NODE_GLOBAL] || peer_state(n->peer[NODE_GLOBAL]) == PEER_DOWN);
    if (is_down || now.mono_ms >= n->leave_deadline_ms) {
        n->leaving = NODE_HAS_LEFT;
        n->env.on_left(n->env.ctx);
    }
}

void
node_settle(struct node *n, struct moment now)
{
    if (n->is_settling || !n->election)
        return;
    n->is_settling = true;
    for (int round = 0; !list_is_empty(&n->reports); round++) {
        struct report *r = list_entry(n->reports.next, struct report, link);
        assert(round < SETTLE_ROUNDS_MAX); /* two parts that answer each other for ever */
        list_remove(&r->link);
        on_report(n, now, r);
        free(r);
    }
    node_names_flush(n);
    node_confirm_turn(n, now);
    node_confirm_settle(n, now);
    node_replica_settle(n, now);
    go_on_leaving(n, now);
    n->is_settling = false;
}

static const char *
on_link_user(void *ctx, const struct id *node)
{
    struct node_side *side = ctx;

    return side->node->env.link_user(side->node->env.ctx, side->which, node);
}

/* ---- birth and death
 * ------------------------------------------------------------------------------ */

static enum status
new_peer(struct node *n, enum node_overlay which, struct moment now, struct why *why)
{
    struct node_side *side = malloc(sizeof(*side));
    struct peer_env env = {.ctx = side,
                           .send = on_send,
                           .connect = on_connect,
                           .disconnect = on_disconnect,
                           .random = on_random,
                           .keys = n->env.keys[which],
                           .links_show_certificates = n->env.links_show_certificates,
                           .link_user = n->env.link_user ? on_link_user : NULL,
                           .on_state = on_state,
                           .on_request = on_request,
                           .on_link = on_link,
                           .log = {on_log, side}};

    if (!side)
        return ST_NOMEM;
    *side = (struct node_side){n, which};
    n->side[which] = side;
    n->conf.local.kinds = KIND_IN_LOCAL;
    n->conf.global.kinds = KIND_IN_GLOBAL;
    n->conf.global.signer_ping_ms = RING_PING_MS;
    return peer_new(which == NODE_LOCAL ? &n->conf.local : &n->conf.global, &env, now,
                    &n->peer[which], why);
}

/* Ours by chance: of use where no gateway's is heard before this node is one. */
static void
make_naming_key(struct node *n)
{
    for (size_t i = 0; i < NAMING_KEY_BYTES; i += sizeof(uint64_t)) {
        uint64_t part = n->env.random(n->env.ctx);
        memcpy(n->naming_key + i, &part, sizeof(part));
    }
}

const uint8_t *
node_naming_key(const struct node *n)
{
    return n->naming_key;
}

enum status
node_new(const struct node_conf *conf, const struct node_env *env, struct moment now,
         struct node **ret_node, struct why *why)
{
    struct node *n = calloc(1, sizeof(*n));
    enum status st = ST_NOMEM;

    if (!n)
        return ST_NOMEM;
    n->conf = *conf;
    n->env = *env;
    n->list_seed = env->random(env->ctx);
    make_naming_key(n);
    n->leave_deadline_ms = n->linger_until_ms = MOMENT_NEVER;
    list_init(&n->reports);
    list_init(&n->await.joining);
    list_init(&n->await.seeking);
    list_init(&n->await.hopeless);
    snprintf(n->overlay_aor, sizeof(n->overlay_aor), "overlay@%s", conf->local.overlay);
    st = new_peer(n, NODE_LOCAL, now, why);
    if (st == ST_OK && conf->has_global)
        st = new_peer(n, NODE_GLOBAL, now, why);
    if (st == ST_OK && conf->has_global)
        st = node_directory_new(n, why);
    if (st == ST_OK && conf->has_global)
        st = node_replica_new(n, now);
    if (st == ST_OK)
        st = node_names_new(n);
    if (st == ST_OK)
        st = node_election_new(n, now, why);
    if (st != ST_OK) {
        node_free(n);
        return st;
    }
    *ret_node = n;
    return ST_OK;
}

void
node_free(struct node *n)
{
    struct moment never = {0};

    if (!n)
        return;
    n->is_settling = true; /* nothing is acted on any more */
    n->is_ending = true;
    for (int which = 0; which < NODE_OVERLAYS; which++)
        peer_free(n->peer[which]);
    node_ring_expire(n, never);
    directory_free(n->directory, never);
    nested_free(n->nested, never);
    free(n->names_asked);
    election_free(n->election);
    replica_free(n->replica);
    list_each(at, &n->reports) free(list_entry(at, struct report, link));
    for (int which = 0; which < NODE_OVERLAYS; which++)
        free(n->side[which]);
    free(n);
}

void
node_start(struct node *n, struct moment now)
{
    n->now = now;
    peer_aim(n->peer[NODE_LOCAL], now, PEER_AIM_MEMBER);
    node_settle(n, now);
}

void
node_leave(struct node *n, struct moment now)
{
    const struct election_event ev = {.type = ELECTION_LEAVE};

    n->now = now;
    if (n->leaving != NODE_STAYS)
        return;
    n->leaving = NODE_HANDS_OVER;
    election_step(n->election, now, &ev);
    node_settle(n, now);
}

void
node_drain(struct node *n, struct moment now)
{
    const struct election_event ev = {.type = ELECTION_DRAIN};

    n->now = now;
    election_step(n->election, now, &ev);
    node_settle(n, now);
}

struct peer *
node_peer(struct node *n, enum node_overlay which)
{
    return n->peer[which];
}

struct election *
node_election(struct node *n)
{
    return n->election;
}

/* ---- what the shell reports
 * ------------------------------------------------------------------------- */

void
node_on_link_up(struct node *n, struct moment now, enum node_overlay which, const struct id *id,
                const char *address)
{
    n->now = now;
    peer_on_link_up(n->peer[which], now, id, address);
    node_settle(n, now);
}

void
node_on_link_suspect(struct node *n, struct moment now, enum node_overlay which,
                     const struct id *id, bool is_suspect)
{
    n->now = now;
    peer_on_link_suspect(n->peer[which], now, id, is_suspect);
    node_settle(n, now);
}

void
node_on_link_rival(struct node *n, struct moment now, enum node_overlay which, const struct id *id)
{
    n->now = now;
    peer_on_link_rival(n->peer[which], now, id);
    node_settle(n, now);
}

void
node_on_link_down(struct node *n, struct moment now, enum node_overlay which, const struct id *id,
                  bool is_broken, const char *reason)
{
    n->now = now;
    peer_on_link_down(n->peer[which], now, id, is_broken, reason);
    node_settle(n, now);
}

void
node_on_connect_failed(struct node *n, struct moment now, enum node_overlay which,
                       const char *address, const struct id *expected, const char *reason)
{
    n->now = now;
    peer_on_connect_failed(n->peer[which], now, address, expected, reason);
    node_settle(n, now);
}

void
node_on_message(struct node *n, struct moment now, enum node_overlay which, const struct id *from,
                struct slice message)
{
    n->now = now;
    peer_on_message(n->peer[which], now, from, message);
    node_settle(n, now);
}

void
node_certificate(struct node *n, struct moment now, enum election_certificate state, const char *of)
{
    struct election_event ev = {.type = ELECTION_CERTIFICATE};

    n->now = now;
    ev.certificate.state = state;
    ev.certificate.of = of;
    election_step(n->election, now, &ev);
    node_settle(n, now);
}

void
node_renewed(struct node *n, struct moment now, enum node_overlay which, struct slice certificate)
{
    n->now = now;
    if (n->peer[which])
        peer_renewed(n->peer[which]);
    n->conf.certificate = certificate;
    node_settle(n, now);
}

void
node_measure(struct node *n, struct moment now, const struct election_load *load)
{
    struct election_event ev = {.type = ELECTION_LOAD};

    n->now = now;
    ev.load = load;
    election_step(n->election, now, &ev);
    node_settle(n, now);
}

void
node_tick(struct node *n, struct moment now)
{
    const struct election_event tick = {.type = ELECTION_TICK};

    n->now = now;
    for (int which = 0; which < NODE_OVERLAYS; which++)
        if (n->peer[which] && peer_deadline_ms(n->peer[which]) <= now.mono_ms)
            peer_tick(n->peer[which], now);
    node_ring_expire(n, now);
    if (n->linger_until_ms <= now.mono_ms)
        node_linger_end(n, now);
    if (n->directory && directory_deadline_ms(n->directory) <= now.mono_ms)
        directory_tick(n->directory, now);
    if (nested_deadline_ms(n->nested) <= now.mono_ms)
        nested_tick(n->nested, now);
    node_reach_tick(n, now);
    if (election_deadline_ms(n->election) <= now.mono_ms)
        election_step(n->election, now, &tick);
    node_settle(n, now);
}

uint64_t
node_deadline_ms(const struct node *n)
{
    uint64_t deadline_ms = election_deadline_ms(n->election);

    for (int which = 0; which < NODE_OVERLAYS; which++)
        if (n->peer[which])
            deadline_ms = moment_earlier_ms(deadline_ms, peer_deadline_ms(n->peer[which]));
    if (n->directory)
        deadline_ms = moment_earlier_ms(deadline_ms, directory_deadline_ms(n->directory));
    if (n->replica)
        deadline_ms = moment_earlier_ms(deadline_ms, replica_deadline_ms(n->replica));
    deadline_ms = moment_earlier_ms(deadline_ms, nested_deadline_ms(n->nested));
    deadline_ms = moment_earlier_ms(deadline_ms, node_ring_deadline_ms(n));
    deadline_ms = moment_earlier_ms(deadline_ms, node_reach_deadline_ms(n));
    deadline_ms = moment_earlier_ms(deadline_ms, n->linger_until_ms);
    if (n->confirm.is_under_way)
        deadline_ms = moment_earlier_ms(
            deadline_ms, moment_earlier_ms(n->confirm.ask_at_ms, n->confirm.until_ms));
    if (n->leaving == NODE_DEPARTS)
        deadline_ms = moment_earlier_ms(deadline_ms, n->leave_deadline_ms);
    return list_is_empty(&n->reports) ? deadline_ms : 0;
}
