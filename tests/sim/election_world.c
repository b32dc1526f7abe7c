#include "tests/sim/election_world.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLAIM_DEADLINE_MS = 1000, LIFETIME_MS = 60000, STORE_MS = 2 };
#define WALL_MS 1700000000000ULL

/** Something that reaches a node at a time.  Bodies are copied: events borrow them. */
struct world_event {
    uint64_t at_ms;
    uint64_t serial;
    int to;
    struct election_event ev;
    union {
        struct hello_req hello;
        struct claim_req claim;
        struct probe_gateway_req probe;
        struct handover_req handover;
        struct hello_ans hello_ans;
        struct probe_gateway_ans probe_ans;
    } body;
    int fetch; /* 1 + enum election_record: read the records when it is due; 0 for none */
};

static struct moment
moment_now(const struct world *w)
{
    return (struct moment){w->now_ms, WALL_MS + w->now_ms};
}

static uint64_t
draw(struct world *w)
{
    w->seed = w->seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return w->seed >> 33;
}

static int
index_of(const struct id *node)
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
    ck_assert_int_lt(name - 'a', w->count);
    return &w->node[name - 'a'];
}

static void PRINTF_LIKE(2, 3) tracef(struct world *w, const char *fmt, ...)
{
    size_t used = strlen(w->trace);
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(w->trace + used, sizeof(w->trace) - used, fmt, ap);
    va_end(ap);
}

/* ---- events --------------------------------------------------------------------------------- */

static struct world_event *
later(struct world *w, uint64_t delay_ms, int to, enum election_event_type type)
{
    struct world_event *x;

    ck_assert_uint_lt(w->event_count, WORLD_EVENTS);
    x = &w->event[w->event_count++];
    memset(x, 0, sizeof(*x));
    x->at_ms = w->now_ms + delay_ms;
    x->serial = w->event_serial++;
    x->to = to;
    x->ev.type = type;
    return x;
}

static bool
is_reached(struct world *w, const struct world_node *from, int to)
{
    if (to < 0 || to >= w->count || !w->node[to].is_up)
        return false;
    if (w->is_cut && from->side != w->node[to].side)
        return false;
    return draw(w) % 1000 >= w->loss_thousandths;
}

/* A request on its way; NULL if it is lost, and then its failure is. */
static struct world_event *
request(struct world_node *from, const struct id *to, uint32_t token, uint32_t deadline_ms,
        enum election_event_type type)
{
    struct world *w = from->world;
    int at = index_of(to);
    struct world_event *x;

    w->messages++;
    if (!is_reached(w, from, at)) {
        x = later(w, deadline_ms, from->name - 'a',
                  ELECTION_HELLO_ANSWER + (type - ELECTION_HELLO));
        x->ev.answer.token = token;
        x->ev.answer.st = ST_TIMEOUT;
        return NULL;
    }
    x = later(w, w->latency_ms, at, type);
    x->ev.request.from = from->conf.self.node;
    x->ev.request.handle = (uint64_t)type << 48 | (uint64_t)(from->name - 'a') << 32 | token;
    return x;
}

static struct world_event *
answer(struct world_node *from, uint64_t handle, enum status st)
{
    struct world *w = from->world;
    int to = (int)(handle >> 32 & 0xffff);
    enum election_event_type type = (enum election_event_type)(handle >> 48);
    struct world_event *x;

    w->messages++;
    bool is_lost = !is_reached(w, from, to);
    x = later(w, is_lost ? CLAIM_DEADLINE_MS : w->latency_ms, to,
              ELECTION_HELLO_ANSWER + (type - ELECTION_HELLO));
    x->ev.answer.token = (uint32_t)handle;
    x->ev.answer.st = is_lost ? ST_TIMEOUT : st;
    x->ev.answer.from = from->conf.self.node;
    return x;
}

/* ---- what an election asks for -------------------------------------------------------------- */

static void
on_send_hello(void *ctx, const struct id *to, uint32_t token, const struct hello_req *req,
              uint32_t deadline_ms)
{
    struct world_event *x = request(ctx, to, token, deadline_ms, ELECTION_HELLO);

    if (x)
        x->body.hello = *req;
}

static void
on_send_claim(void *ctx, const struct id *to, uint32_t token, const struct claim_req *req)
{
    struct world_event *x = request(ctx, to, token, CLAIM_DEADLINE_MS, ELECTION_CLAIM);

    if (x)
        x->body.claim = *req;
}

static void
on_send_probe(void *ctx, const struct id *to, uint32_t token, const struct probe_gateway_req *req,
              uint32_t deadline_ms)
{
    struct world_event *x = request(ctx, to, token, deadline_ms, ELECTION_PROBE);

    if (x)
        x->body.probe = *req;
}

static void
on_send_handover(void *ctx, const struct id *to, uint32_t token, const struct handover_req *req)
{
    struct world_event *x = request(ctx, to, token, CLAIM_DEADLINE_MS, ELECTION_HANDOVER);

    if (x)
        x->body.handover = *req;
}

static void
on_answer_hello(void *ctx, uint64_t handle, const struct hello_ans *ans)
{
    answer(ctx, handle, ST_OK)->body.hello_ans = *ans;
}

static void
on_answer_probe(void *ctx, uint64_t handle, const struct probe_gateway_ans *ans)
{
    answer(ctx, handle, ST_OK)->body.probe_ans = *ans;
}

static void
on_answer_handover(void *ctx, uint64_t handle, enum status st)
{
    answer(ctx, handle, st);
}

static struct world_record *
record_of(struct world_node *n, enum election_record which)
{
    return &n->world->record[n->world->is_cut ? n->side : 0][which][n->name - 'a'];
}

static void
stored(struct world_node *n, enum election_record which)
{
    struct world_event *x = later(n->world, STORE_MS, n->name - 'a', ELECTION_STORED);

    x->ev.stored.which = which;
}

static void
on_publish_candidate(void *ctx, const struct candidate_record *rec, uint32_t lifetime_s)
{
    struct world_record *r = record_of(ctx, ELECTION_RECORD_CANDIDATE);

    (void)lifetime_s;
    *r = (struct world_record){.exists = true,
                               .stored_ms = ((struct world_node *)ctx)->world->now_ms};
    r->candidate = *rec;
    stored(ctx, ELECTION_RECORD_CANDIDATE);
}

static void
on_publish_gateway(void *ctx, const struct gateway_record *rec, uint32_t lifetime_s)
{
    struct world_record *r = record_of(ctx, ELECTION_RECORD_GATEWAY);

    (void)lifetime_s;
    *r = (struct world_record){.exists = true,
                               .stored_ms = ((struct world_node *)ctx)->world->now_ms};
    r->gateway = *rec;
    stored(ctx, ELECTION_RECORD_GATEWAY);
}

static void
on_withdraw(void *ctx, enum election_record which)
{
    struct world_record *r = record_of(ctx, which);

    r->exists = false;
    r->stored_ms = ((struct world_node *)ctx)->world->now_ms;
}

static void
on_fetch_candidates(void *ctx)
{
    struct world_node *n = ctx;

    later(n->world, STORE_MS, n->name - 'a', ELECTION_CANDIDATES)->fetch =
        1 + ELECTION_RECORD_CANDIDATE;
}

static void
on_fetch_gateways(void *ctx)
{
    struct world_node *n = ctx;

    later(n->world, STORE_MS, n->name - 'a', ELECTION_GATEWAYS)->fetch =
        1 + ELECTION_RECORD_GATEWAY;
}

static void
on_fetch_ring(void *ctx)
{
    struct world_node *n = ctx;
    struct world *w = n->world;
    struct world_event *x = later(w, STORE_MS, n->name - 'a', ELECTION_RING);

    x->ev.ring.st = w->is_ring_down ? ST_STATE : ST_OK;
    for (int i = 0; i < WORLD_NODES; i++)
        if (&w->node[i] != n && w->ring_term[i] > x->ev.ring.term)
            x->ev.ring.term = w->ring_term[i];
}

static void
on_aim_ring(void *ctx, enum peer_aim aim)
{
    ((struct world_node *)ctx)->aim = aim;
}

static void
on_publish_ring(void *ctx, uint32_t term, uint16_t priority, uint16_t weight)
{
    struct world_node *n = ctx;

    (void)priority;
    ck_assert_uint_gt(weight, 0);
    ck_assert_int_eq(n->aim, PEER_AIM_MEMBER);
    n->world->ring_term[n->name - 'a'] = term;
}

static void
on_withdraw_ring(void *ctx)
{
    struct world_node *n = ctx;

    n->world->ring_term[n->name - 'a'] = 0;
}

static void
on_watch(void *ctx, const struct id *node)
{
    ((struct world_node *)ctx)->watches[index_of(node)] = true;
}

static void
on_unwatch(void *ctx, const struct id *node)
{
    ((struct world_node *)ctx)->watches[index_of(node)] = false;
}

static void
on_gateways_changed(void *ctx, const struct election_gateway *gateway, size_t count)
{
    struct world_node *n = ctx;

    n->gateway_changes++;
    ck_assert_uint_le(count, n->conf.gateways);
    for (size_t i = 0; i < count; i++)
        ck_assert_int_eq(gateway[i].is_self, index_of(&gateway[i].ref.node) == n->name - 'a');
}

static void
on_role_changed(void *ctx, enum election_role was, enum election_role is, uint32_t term,
                const char *reason)
{
    struct world_node *n = ctx;

    tracef(n->world, "[%6llu] %c: %s -> %s, term %u, reason: %s\n",
           (unsigned long long)n->world->now_ms, n->name, election_role_name(was),
           election_role_name(is), term, reason);
}

static void
on_left(void *ctx)
{
    struct world_node *n = ctx;

    ck_assert(!n->has_left);
    n->has_left = true;
    tracef(n->world, "[%6llu] %c: left\n", (unsigned long long)n->world->now_ms, n->name);
}

static uint64_t
on_random(void *ctx)
{
    return draw(((struct world_node *)ctx)->world);
}

/* ---- the clockwork -------------------------------------------------------------------------- */

static void
check_world(struct world *w)
{
    for (int side = 0; side < (w->is_cut ? 2 : 1); side++) {
        uint32_t allowed = w->node[0].conf.gateways;
        if (world_actives(w, w->is_cut ? side : -1) <= (int)allowed)
            w->many_since_ms[side] = w->now_ms;
        ck_assert_msg(w->now_ms <= w->many_since_ms[side] + WORLD_HEAL_MS,
                      "too many gateways for too long, now %llu\n%s", (unsigned long long)w->now_ms,
                      w->trace);
    }
}

static void
step(struct world_node *n, const struct election_event *ev)
{
    election_step(n->election, moment_now(n->world), ev);
    ck_assert_uint_ge(election_term(n->election), n->term_before);
    n->term_before = election_term(n->election);
    ck_assert_uint_gt(election_deadline_ms(n->election), n->world->now_ms);
    check_world(n->world);
}

void
world_step(struct world *w, char name, const struct election_event *ev)
{
    step(node_of(w, name), ev);
}

static void
deliver_fetch(struct world *w, struct world_event *x)
{
    struct world_node *n = &w->node[x->to];
    struct candidate_record candidate[WORLD_NODES];
    struct gateway_record gateway[WORLD_NODES];
    size_t count = 0;

    for (int i = 0; i < WORLD_NODES; i++) {
        const struct world_record *r = &w->record[w->is_cut ? n->side : 0][x->fetch - 1][i];
        if (!r->exists || w->now_ms >= r->stored_ms + LIFETIME_MS)
            continue;
        candidate[count] = r->candidate;
        gateway[count++] = r->gateway;
    }
    if (x->ev.type == ELECTION_CANDIDATES) {
        x->ev.candidates.record = candidate;
        x->ev.candidates.count = count;
    } else {
        x->ev.gateways.record = gateway;
        x->ev.gateways.count = count;
    }
    step(n, &x->ev);
}

static void
deliver(struct world *w, struct world_event *x)
{
    struct world_node *n = &w->node[x->to];

    if (!n->is_up)
        return;
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
    if (x->fetch)
        deliver_fetch(w, x);
    else
        step(n, &x->ev);
}

static bool
is_stopped(const struct world_node *n)
{
    return !n->is_up || n->is_asleep;
}

static struct world_event *
next_event(struct world *w)
{
    struct world_event *next = NULL;

    for (size_t i = 0; i < w->event_count; i++) {
        struct world_event *x = &w->event[i];
        if (w->node[x->to].is_up && w->node[x->to].is_asleep)
            continue;
        if (!next || x->at_ms < next->at_ms ||
            (x->at_ms == next->at_ms && x->serial < next->serial))
            next = x;
    }
    return next;
}

static struct world_node *
next_tick(struct world *w)
{
    struct world_node *next = NULL;

    for (int i = 0; i < w->count; i++) {
        struct world_node *n = &w->node[i];
        if (!is_stopped(n) &&
            (!next || election_deadline_ms(n->election) < election_deadline_ms(next->election)))
            next = n;
    }
    return next;
}

void
world_run_until(struct world *w, uint64_t until_ms)
{
    const struct election_event tick = {.type = ELECTION_TICK};

    for (;;) {
        struct world_event *x = next_event(w);
        struct world_node *n = next_tick(w);
        uint64_t tick_ms = n ? election_deadline_ms(n->election) : MOMENT_NEVER;
        uint64_t event_ms = x ? x->at_ms : MOMENT_NEVER;
        uint64_t at_ms = moment_earlier_ms(tick_ms, event_ms);

        if (at_ms > until_ms)
            break;
        if (at_ms > w->now_ms) /* what waited for a sleeper is late */
            w->now_ms = at_ms;
        if (event_ms <= tick_ms) {
            struct world_event taken = *x;
            *x = w->event[--w->event_count];
            deliver(w, &taken);
        } else {
            step(n, &tick);
        }
    }
    w->now_ms = until_ms;
}

/* ---- what happens to nodes ------------------------------------------------------------------ */

void
world_init(struct world *w, const uint16_t *score, int count,
           void (*adjust)(struct election_conf *conf, int index))
{
    memset(w, 0, sizeof(*w));
    w->event = calloc(WORLD_EVENTS, sizeof(*w->event));
    ck_assert_ptr_nonnull(w->event);
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
    free(w->event);
}

static void
tell_overlay(struct world *w, struct world_node *n, enum peer_state state)
{
    struct election_event ev = {.type = ELECTION_OVERLAY};

    (void)w;
    ev.overlay.state = state;
    step(n, &ev);
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
tell_all_overlay(struct world *w)
{
    for (int i = 0; i < w->count; i++) {
        struct world_node *n = &w->node[i];
        if (!is_stopped(n))
            tell_overlay(w, n, company(w, n) > 1 ? PEER_JOINED : PEER_ALONE);
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
    struct election_env env = {
        .ctx = n,
        .send_hello = on_send_hello,
        .send_claim = on_send_claim,
        .send_probe = on_send_probe,
        .send_handover = on_send_handover,
        .answer_hello = on_answer_hello,
        .answer_probe = on_answer_probe,
        .answer_handover = on_answer_handover,
        .publish_candidate = on_publish_candidate,
        .publish_gateway = on_publish_gateway,
        .withdraw = on_withdraw,
        .fetch_candidates = on_fetch_candidates,
        .fetch_gateways = on_fetch_gateways,
        .fetch_ring = on_fetch_ring,
        .aim_ring = on_aim_ring,
        .publish_ring = on_publish_ring,
        .withdraw_ring = on_withdraw_ring,
        .watch = on_watch,
        .unwatch = on_unwatch,
        .gateways_changed = on_gateways_changed,
        .role_changed = on_role_changed,
        .left = on_left,
        .random = on_random,
    };

    election_free(n->election);
    n->election = NULL;
    n->is_up = true;
    n->has_left = false;
    n->term_before = 0;
    memset(n->watches, 0, sizeof(n->watches));
    ck_assert_int_eq(election_new(&n->conf, &env, moment_now(w), &n->election, NULL), ST_OK);
    send_load(n);
    tell_overlay(w, n, company(w, n) > 1 ? PEER_JOINED : PEER_ALONE);
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
        struct world_event *x = later(w, 1, i, ELECTION_LINK);
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
    tracef(w, "[%6llu] %c: killed\n", (unsigned long long)w->now_ms, name);
    for (int i = 0; i < w->count; i++)
        if (!is_stopped(&w->node[i]) && company(w, &w->node[i]) == 1)
            tell_overlay(w, &w->node[i], PEER_ALONE);
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
}

void
world_partition(struct world *w, const char *names)
{
    for (int i = 0; i < w->count; i++)
        w->node[i].side = strchr(names, w->node[i].name) ? 1 : 0;
    memcpy(w->record[1], w->record[0], sizeof(w->record[0]));
    w->is_cut = true;
    w->many_since_ms[0] = w->many_since_ms[1] = w->now_ms;
    tracef(w, "[%6llu] partition: %s\n", (unsigned long long)w->now_ms, names);
    for (int i = 0; i < w->count; i++)
        break_links(w, &w->node[i], true);
    tell_all_overlay(w);
}

void
world_heal(struct world *w)
{
    w->is_cut = false;
    w->many_since_ms[0] = w->now_ms;
    tracef(w, "[%6llu] healed\n", (unsigned long long)w->now_ms);
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
    return election_handover(node_of(w, from)->election, moment_now(w), to, NULL);
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
