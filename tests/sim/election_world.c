/* Several nodes on one clock: time, and what happens to them. */
#include "tests/sim/election_world_internal.h"

#include <assert.h>
#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct moment
world_moment(const struct world_node *n)
{
    return (struct moment){n->world->now_ms,
                           WALL_MS + n->world->now_ms + (uint64_t)n->wall_jump_ms};
}

uint64_t
world_draw(struct world *w)
{
    w->seed = w->seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return w->seed >> 33;
}

int
world_index(const struct id *node)
{
    return node->bytes[0] - 'a';
}

struct id
world_id(char name)
{
    return (struct id){{(uint8_t)name, 1}};
}

static struct world_node *
node_of(struct world *w, char name)
{
    assert(name - 'a' < w->count);
    return &w->node[name - 'a'];
}

void
world_trace(struct world *w, const char *fmt, ...)
{
    size_t used = strlen(w->trace);
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(w->trace + used, sizeof(w->trace) - used, fmt, ap);
    va_end(ap);
    if (w->is_loud)
        fputs(w->trace + used, stdout);
}

void
world_break(struct world *w, const char *fmt, ...)
{
    va_list ap;

    if (w->broken[0])
        return;
    va_start(ap, fmt);
    vsnprintf(w->broken, sizeof(w->broken), fmt, ap);
    va_end(ap);
    world_trace(w, "[%6llu] BROKEN: %s\n", (unsigned long long)w->now_ms, w->broken);
    if (!w->is_lenient)
        ck_abort_msg("%s, now %llu\n%s", w->broken, (unsigned long long)w->now_ms, w->trace);
}

/* ---- the clockwork -----------------------------------------------------------------------------
 */

static bool
is_stopped(const struct world_node *n)
{
    return !n->is_up || n->is_asleep;
}

static void
check_world(struct world *w)
{
    for (int side = 0; side < (w->is_cut ? 2 : 1); side++) {
        uint32_t allowed = w->node[0].conf.gateways;
        if (world_actives(w, w->is_cut ? side : -1) <= (int)allowed)
            w->many_since_ms[side] = w->now_ms;
        if (w->now_ms > w->many_since_ms[side] + w->heal_ms)
            world_break(w, "too many gateways for %u ms", w->heal_ms);
    }
}

static bool
has_ring(const struct world_node *n)
{
    const struct world *w = n->world;

    return !w->is_ring_down && n->ring_silent_ms == 0 &&
           !(w->is_cut && n->side == w->ringless_side);
}

static bool
is_live(const struct world_node *n)
{
    return !is_stopped(n) && !n->has_left && n->election && has_ring(n) &&
           election_role(n->election) == ELECTION_ACTIVE;
}

/* Of @n's overlay's other gateways, those that the ring has and that live. */
static uint32_t
ring_lives(const struct world_node *n)
{
    const struct world *w = n->world;
    uint32_t count = 0;

    if (!w->is_ring_live)
        return n->ring_lives;
    for (int i = 0; i < w->count; i++)
        count += &w->node[i] != n && is_live(&w->node[i]);
    return count;
}

static void
note_ring(struct world *w)
{
    for (int i = 0; i < w->count; i++) {
        struct world_node *n = &w->node[i];

        if (!n->is_up || !has_ring(n))
            n->ring_from_ms = 0;
        else if (n->ring_from_ms == 0)
            n->ring_from_ms = w->now_ms;
        if (!is_live(n))
            n->live_from_ms = 0;
        else if (n->live_from_ms == 0)
            n->live_from_ms = w->now_ms;
    }
}

/* A name is never taken by a node that never shared its overlay. */
static void
check_claim(struct world_node *n)
{
    struct world *w = n->world;
    bool is_active = election_role(n->election) == ELECTION_ACTIVE;
    bool is_claim = is_active && !n->was_active;

    n->was_active = is_active;
    if (!is_claim || !election_is_stranger(n->election) || n->ring_from_ms == 0 ||
        w->now_ms < n->ring_from_ms + WORLD_STRANGER_MS)
        return;
    for (int i = 0; i < w->count; i++) {
        const struct world_node *o = &w->node[i];
        bool is_known = election_is_gateway(n->election, &o->conf.self.node); /* beside it, then */
        if (o != n && !is_known && o->live_from_ms > 0 &&
            w->now_ms >= o->live_from_ms + WORLD_STRANGER_MS)
            world_break(w, "%c, who has met nobody, takes the name that %c has", n->name, o->name);
    }
}

/* A node that is late sleeps that long after its deadline. */
static void
plan_tick(struct world_node *n)
{
    uint64_t deadline_ms = election_deadline_ms(n->election);

    n->tick_ms = deadline_ms;
    if (n->late_ms > 0 && deadline_ms != MOMENT_NEVER)
        n->tick_ms += world_draw(n->world) % (n->late_ms + 1);
}

static void
after_step(struct world_node *n)
{
    struct world *w = n->world;
    uint32_t term = election_term(n->election);

    /* What an observer remembers is no proof: it follows whoever is left.  A reset goes far back.
     */
    if (term < n->term_before && election_role(n->election) != ELECTION_OBSERVER &&
        n->term_before - term < ELECTION_TERM_STEP)
        world_break(w, "%c's term fell from %u to %u", n->name, n->term_before, term);
    n->term_before = term;
    if (election_deadline_ms(n->election) <= w->now_ms)
        world_break(w, "%c's deadline has passed", n->name);
    plan_tick(n);
    check_world(w);
    if (w->is_ring_live) {
        check_claim(n);
        note_ring(w);
    }
}

static void
step(struct world_node *n, const struct election_event *ev)
{
    election_step(n->election, world_moment(n), ev);
    after_step(n);
}

void
world_step(struct world *w, char name, const struct election_event *ev)
{
    step(node_of(w, name), ev);
}

/* How many nodes that are up a node can reach, itself included. */
static int
company(const struct world *w, const struct world_node *n)
{
    int count = 0;

    for (int i = 0; i < w->count; i++)
        count += w->node[i].is_up && (!w->is_cut || w->node[i].side == n->side);
    return count;
}

static void
fill_overlay(struct world_node *n, struct election_event *ev)
{
    int others = company(n->world, n) - 1;

    ev->overlay.state = others > 0 ? PEER_JOINED : PEER_ALONE;
    ev->overlay.neighbour_count = (size_t)others;
}

static void
deliver_looked_up(struct world_node *n, struct world_event *x)
{
    struct world *w = n->world;
    int side = w->is_cut ? n->side : 0;
    struct candidate_record candidate[WORLD_NODES];
    struct gateway_record gateway[WORLD_NODES];
    size_t count = 0;

    if (x->lookup == WORLD_LOOKUP_CANDIDATES) {
        for (int i = 0; i < w->count; i++)
            if (world_is_record(w, side, ELECTION_RECORD_CANDIDATE, i))
                candidate[count++] = w->record[side][ELECTION_RECORD_CANDIDATE][i].candidate;
        x->ev.candidates.record = candidate;
        x->ev.candidates.count = count;
    } else if (x->lookup == WORLD_LOOKUP_GATEWAYS) {
        for (int i = 0; i < w->count; i++)
            if (world_is_record(w, side, ELECTION_RECORD_GATEWAY, i))
                gateway[count++] = w->record[side][ELECTION_RECORD_GATEWAY][i].gateway;
        x->ev.gateways.record = gateway;
        x->ev.gateways.count = count;
    } else if (x->lookup == WORLD_LOOKUP_OVERLAY) {
        fill_overlay(n, &x->ev);
    } else {
        x->ev.ring.st = has_ring(n) ? ST_OK : ST_STATE;
        if (x->ev.ring.st == ST_OK) {
            x->ev.ring.term = world_ring_term(n);
            x->ev.ring.lives = ring_lives(n);
        }
    }
    step(n, &x->ev);
}

static void
deliver(struct world_node *n, struct world_event *x)
{
    switch (x->ev.type) {
    case ELECTION_HELLO:
        x->ev.request.hello = &x->body.hello;
        break;
    case ELECTION_CLAIM:
        x->ev.request.claim = &x->body.claim;
        break;
    case ELECTION_PROBE:
        x->ev.request.probe = &x->body.probe;
        break;
    case ELECTION_HANDOVER:
        x->ev.request.handover = &x->body.handover;
        break;
    case ELECTION_HELLO_ANSWER:
    case ELECTION_CLAIM_ANSWER:
        x->ev.answer.hello = &x->body.hello_ans;
        break;
    case ELECTION_PROBE_ANSWER:
        x->ev.answer.probe = &x->body.probe_ans;
        break;
    default:
        break;
    }
    if (x->lookup != WORLD_LOOKUP_NONE)
        deliver_looked_up(n, x);
    else
        step(n, &x->ev);
}

static void
take_event(struct world *w)
{
    struct world_event *x = world_take(w);
    struct world_node *n = &w->node[x->to];

    if (x->at_ms > w->now_ms) /* what waited for a sleeper is late */
        w->now_ms = x->at_ms;
    if (n->is_up && n->life == x->life && n->is_asleep) {
        world_park(w, x);
        return;
    }
    if (n->is_up && n->life == x->life) {
        world_heard(w, x);
        deliver(n, x);
    } else {
        world_fail_request(w, x);
    }
    world_give_back(w, x);
}

static struct world_node *
next_tick(struct world *w)
{
    struct world_node *next = NULL;

    for (int i = 0; i < w->count; i++) {
        struct world_node *n = &w->node[i];
        if (!is_stopped(n) && (!next || n->tick_ms < next->tick_ms))
            next = n;
    }
    return next;
}

void
world_forget(struct world *w)
{
    while (w->event_count > 0)
        world_give_back(w, world_take(w));
    while (w->parked_count > 0)
        world_give_back(w, w->parked[--w->parked_count]);
}

void
world_run_until(struct world *w, uint64_t until_ms)
{
    const struct election_event tick = {.type = ELECTION_TICK};

    while (!w->broken[0]) {
        struct world_node *n = next_tick(w);
        uint64_t tick_ms = n ? n->tick_ms : MOMENT_NEVER;
        uint64_t event_ms = world_next_ms(w);

        if (moment_earlier_ms(tick_ms, event_ms) > until_ms)
            break;
        if (event_ms <= tick_ms) {
            take_event(w);
        } else {
            if (tick_ms > w->now_ms)
                w->now_ms = tick_ms;
            step(n, &tick);
        }
    }
    if (w->now_ms < until_ms)
        w->now_ms = until_ms;
}

/* ---- what happens to nodes ---------------------------------------------------------------------
 */

void
world_init(struct world *w, const uint16_t *score, int count,
           void (*adjust)(struct election_conf *conf, int index))
{
    memset(w, 0, sizeof(*w));
    w->event = calloc(3 * WORLD_EVENTS, sizeof(struct world_event *));
    assert(w->event);
    w->parked = w->event + WORLD_EVENTS;
    w->idle = w->parked + WORLD_EVENTS;
    w->heal_ms = WORLD_HEAL_MS;
    w->ringless_side = -1;
    w->seed = 1;
    w->latency_ms = 1;
    w->count = count;
    for (int i = 0; i < count; i++) {
        struct world_node *n = &w->node[i];
        struct election_conf *c = &n->conf;

        n->world = w;
        n->name = (char)('a' + i);
        election_conf_defaults(c);
        /* Online time is the one part that is not smoothed: the score is what the test says. */
        c->score = (struct score_conf){.weight = {[SCORE_ONLINE] = 1}};
        snprintf(c->overlay, sizeof(c->overlay), "pastry");
        c->self.node = world_id(n->name);
        snprintf(c->self.name, sizeof(c->self.name), "%c", n->name);
        snprintf(c->self.address, sizeof(c->self.address), "127.0.0.%d:6084", i + 1);
        snprintf(c->global_address, sizeof(c->global_address), "127.0.0.%d:6085", i + 1);
        snprintf(c->sip_uri, sizeof(c->sip_uri), "sip:127.0.0.%d:5062;transport=tls", i + 1);
        if (adjust)
            adjust(c, i);
        n->load.online_s = score[i] >= 1000 ? UINT32_MAX : 3600ULL * score[i] / (1000 - score[i]);
    }
}

void
world_done(struct world *w)
{
    for (int i = 0; i < w->count; i++)
        election_free(w->node[i].election);
    world_forget(w);
    while (w->idle_count > 0)
        free(w->idle[--w->idle_count]);
    free(w->event);
}

static void
tell_overlay(struct world_node *n)
{
    struct election_event ev = {.type = ELECTION_OVERLAY};

    fill_overlay(n, &ev);
    step(n, &ev);
}

/* Who has died or is cut off is noticed after a while. */
static void
tell_all_overlay(struct world *w)
{
    for (int i = 0; i < w->count; i++) {
        struct world_node *n = &w->node[i];
        bool is_later = n->is_up && n->is_asleep && w->is_ring_live; /* when it wakes */
        if (is_stopped(n) && !is_later)
            continue;
        if (w->overlay_late_ms == 0 && !is_later)
            tell_overlay(n);
        else
            world_later(w, world_draw(w) % (w->overlay_late_ms ? w->overlay_late_ms : 1), i,
                        ELECTION_OVERLAY)
                ->lookup = WORLD_LOOKUP_OVERLAY;
    }
}

static void
send_load(struct world_node *n)
{
    struct election_event ev = {.type = ELECTION_LOAD};

    ev.load = &n->load;
    step(n, &ev);
}

void
world_start(struct world *w, char name)
{
    struct world_node *n = node_of(w, name);
    struct election_env env;

    world_env(n, &env);
    election_free(n->election);
    n->election = NULL;
    n->is_up = true;
    n->is_asleep = false;
    n->life++;
    n->has_left = false;
    n->claimed_term = 0;
    n->term_before = 0;
    n->was_active = n->is_published = false;
    n->ring_from_ms = n->live_from_ms = 0;
    memset(n->watches, 0, sizeof(n->watches));
    memset(n->heard_ms, 0, sizeof(n->heard_ms));
    memset(n->late_from_ms, 0, sizeof(n->late_from_ms));
    enum status st = election_new(&n->conf, &env, world_moment(n), &n->election, NULL);
    assert(st == ST_OK);
    send_load(n);
    tell_overlay(n);
    if (company(w, n) == 2) /* who was alone is no more */
        tell_all_overlay(w);
}

void
world_start_all(struct world *w)
{
    for (int i = 0; i < w->count; i++)
        w->node[i].is_up = true; /* so that nobody is alone */
    for (int i = 0; i < w->count; i++) {
        struct world_node *n = &w->node[i];
        n->is_up = n->election != NULL;
    }
    for (int i = 0; i < w->count; i++)
        world_start(w, w->node[i].name);
    tell_all_overlay(w);
}

static void
break_links(struct world *w, const struct world_node *gone, bool is_side)
{
    for (int i = 0; i < w->count; i++) {
        struct world_node *n = &w->node[i];
        if (is_stopped(n) || n == gone || !n->watches[gone->name - 'a'] ||
            (is_side && n->side == gone->side))
            continue;
        struct world_event *x = world_later(w, 1, i, ELECTION_LINK);
        x->ev.link.node = gone->conf.self.node;
    }
}

void
world_kill(struct world *w, char name)
{
    world_cut_power(w, name);
    break_links(w, node_of(w, name), false);
}

void
world_cut_power(struct world *w, char name)
{
    struct world_node *n = node_of(w, name);

    n->is_up = false;
    world_trace(w, "[%6llu] %c: killed\n", (unsigned long long)w->now_ms, name);
    if (w->overlay_late_ms > 0)
        tell_all_overlay(w);
    for (int i = 0; w->overlay_late_ms == 0 && i < w->count; i++)
        if (!is_stopped(&w->node[i]) && company(w, &w->node[i]) == 1)
            tell_overlay(&w->node[i]);
}

void
world_sleep(struct world *w, char name)
{
    node_of(w, name)->is_asleep = true;
}

void
world_wake(struct world *w, char name)
{
    node_of(w, name)->is_asleep = false;
    world_unpark(w, name - 'a');
}

void
world_partition(struct world *w, const char *names)
{
    for (int i = 0; i < w->count; i++)
        w->node[i].side = strchr(names, w->node[i].name) ? 1 : 0;
    memcpy(w->record[1], w->record[0], sizeof(w->record[0]));
    w->is_cut = true;
    w->many_since_ms[0] = w->many_since_ms[1] = w->now_ms;
    world_trace(w, "[%6llu] partition: %s\n", (unsigned long long)w->now_ms, names);
    for (int i = 0; !w->is_cut_silent && i < w->count; i++)
        break_links(w, &w->node[i], true);
    tell_all_overlay(w);
}

void
world_heal(struct world *w)
{
    w->is_cut = false;
    w->many_since_ms[0] = w->now_ms;
    world_trace(w, "[%6llu] healed\n", (unsigned long long)w->now_ms);
    for (int which = 0; which < 2; which++)
        for (int i = 0; i < WORLD_NODES; i++)
            if (w->record[1][which][i].stored_ms > w->record[0][which][i].stored_ms)
                w->record[0][which][i] = w->record[1][which][i];
    tell_all_overlay(w);
}

void
world_reset_links(struct world *w, char name)
{
    break_links(w, node_of(w, name), false);
}

void
world_set_score(struct world *w, char name, uint16_t score)
{
    struct world_node *n = node_of(w, name);

    n->load.online_s = 3600ULL * score / (1000U - score);
    send_load(n);
}

void
world_set_calls(struct world *w, char name, uint32_t calls)
{
    node_of(w, name)->load.calls = calls;
    send_load(node_of(w, name));
}

void
world_leave(struct world *w, char name)
{
    const struct election_event ev = {.type = ELECTION_LEAVE};

    step(node_of(w, name), &ev);
}

enum status
world_handover(struct world *w, char from, const char *to)
{
    struct world_node *n = node_of(w, from);
    enum status st = election_handover(n->election, world_moment(n), to, NULL);

    after_step(n);
    return st;
}

enum status
world_reset_term(struct world *w, char name)
{
    struct world_node *n = node_of(w, name);
    enum status st = election_reset_term(n->election, world_moment(n), NULL);

    after_step(n);
    return st;
}

void
world_expect(struct world *w, const char *trace)
{
    ck_assert_str_eq(w->trace, trace);
    w->trace[0] = '\0';
}

int
world_actives(const struct world *w, int side)
{
    int count = 0;

    for (int i = 0; i < w->count; i++)
        count += w->node[i].election && !is_stopped(&w->node[i]) &&
                 (side < 0 || w->node[i].side == side) &&
                 election_role(w->node[i].election) == ELECTION_ACTIVE;
    return count;
}

char
world_gateway(const struct world *w, char name)
{
    size_t count;
    const struct election_gateway *g = election_gateways(w->node[name - 'a'].election, &count);

    return count > 0 ? (char)g[0].ref.node.bytes[0] : '-';
}

struct election *
world_election(struct world *w, char name)
{
    return node_of(w, name)->election;
}
