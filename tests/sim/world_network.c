/* What an election asks for: messages over a network that may lose them, records, the ring. */
#include "tests/sim/election_world_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CLAIM_DEADLINE_MS = 1000,
    LIFETIME_MS = 60000,
    STORE_MS = 2,
    RESEND_MS = 200,
    LOSSY_MS = 30000
};

/* ---- events: a heap by time, then by birth -----------------------------------------------------
 */

static bool
is_before(const struct world_event *a, const struct world_event *b)
{
    return a->at_ms < b->at_ms || (a->at_ms == b->at_ms && a->serial < b->serial);
}

static void
push(struct world *w, struct world_event *x)
{
    size_t at = w->event_count++;

    for (; at > 0 && is_before(x, w->event[(at - 1) / 2]); at = (at - 1) / 2)
        w->event[at] = w->event[(at - 1) / 2];
    w->event[at] = x;
}

struct world_event *
world_take(struct world *w)
{
    struct world_event *first = w->event[0];
    struct world_event *last = w->event[--w->event_count];
    size_t at = 0;

    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= w->event_count)
            break;
        if (child + 1 < w->event_count && is_before(w->event[child + 1], w->event[child]))
            child++;
        if (!is_before(w->event[child], last))
            break;
        w->event[at] = w->event[child];
        at = child;
    }
    w->event[at] = last;
    return first;
}

uint64_t
world_next_ms(const struct world *w)
{
    return w->event_count > 0 ? w->event[0]->at_ms : MOMENT_NEVER;
}

void
world_give_back(struct world *w, struct world_event *x)
{
    w->idle[w->idle_count++] = x;
}

struct world_event *
world_later(struct world *w, uint64_t delay_ms, int to, enum election_event_type type)
{
    struct world_event *x;

    assert(w->event_count + w->parked_count < WORLD_EVENTS);
    x = w->idle_count > 0 ? w->idle[--w->idle_count] : malloc(sizeof(*x));
    assert(x);
    memset(&x->ev, 0, sizeof(x->ev));
    x->at_ms = w->now_ms + delay_ms;
    x->serial = w->event_serial++;
    x->to = to;
    x->from = -1;
    x->is_resent = false;
    x->life = to >= 0 && to < w->count ? w->node[to].life : 0;
    x->lookup = WORLD_LOOKUP_NONE;
    x->ev.type = type;
    push(w, x);
    return x;
}

void
world_park(struct world *w, struct world_event *x)
{
    w->parked[w->parked_count++] = x;
}

void
world_unpark(struct world *w, int to)
{
    size_t left = 0;

    for (size_t i = 0; i < w->parked_count; i++) {
        struct world_event *x = w->parked[i];
        if (x->to != to) {
            w->parked[left++] = x;
            continue;
        }
        x->at_ms = w->now_ms;
        push(w, x);
    }
    w->parked_count = left;
}

/* ---- messages ----------------------------------------------------------------------------------
 */

static bool
is_reached(struct world *w, const struct world_node *from, int to)
{
    if (to < 0 || to >= w->count || !w->node[to].is_up)
        return false;
    if (w->is_cut && from->side != w->node[to].side)
        return false;
    if (from->is_deaf_to_me[to])
        return false;
    return world_draw(w) % 1000 >= w->loss_thousandths;
}

static uint64_t
way_ms(struct world *w, const struct world_node *from, int to)
{
    uint64_t ms = w->latency_ms + from->latency_ms + w->node[to].latency_ms;

    return w->jitter_ms ? ms + world_draw(w) % (w->jitter_ms + 1) : ms;
}

/* A message over a link: a segment that is lost is sent again, each time after twice as long, and
 * what was sent after it waits for it.  One in two is missed sooner, by what comes behind it. */
static struct world_event *
message(struct world_node *from, int to, enum election_event_type type)
{
    struct world *w = from->world;
    uint64_t at_ms = w->now_ms + way_ms(w, from, to);
    uint64_t again_ms = RESEND_MS;
    bool is_resent = false;

    for (; w->segment_loss_thousandths > 0 && world_draw(w) % 1000 < w->segment_loss_thousandths;
         again_ms *= 2) {
        at_ms += world_draw(w) % 2 ? again_ms / 4 : again_ms;
        is_resent = true;
    }
    if (w->segment_loss_thousandths > 0 && at_ms < from->arrives_ms[to])
        at_ms = from->arrives_ms[to];
    from->arrives_ms[to] = at_ms;
    struct world_event *x = world_later(w, at_ms - w->now_ms, to, type);
    x->from = from->name - 'a';
    x->is_resent = is_resent;
    return x;
}

void
world_heard(struct world *w, const struct world_event *x)
{
    struct world_node *n = &w->node[x->to];

    if (x->from < 0)
        return;
    n->heard_ms[x->from] = w->now_ms;
    if (!x->is_resent)
        return;
    n->late_from_ms[x->from][2] = n->late_from_ms[x->from][1];
    n->late_from_ms[x->from][1] = n->late_from_ms[x->from][0];
    n->late_from_ms[x->from][0] = w->now_ms;
}

/* A request on its way; NULL if it is lost, and then its failure is. */
static struct world_event *
request(struct world_node *from, const struct id *to, uint32_t token, uint32_t deadline_ms,
        enum election_event_type type)
{
    struct world *w = from->world;
    int at = world_index(to);
    struct world_event *x;

    w->messages++;
    if (!is_reached(w, from, at)) {
        x = world_later(w, deadline_ms, from->name - 'a',
                        ELECTION_HELLO_ANSWER + (type - ELECTION_HELLO));
        x->ev.answer.token = token;
        x->ev.answer.st = ST_TIMEOUT;
        return NULL;
    }
    x = message(from, at, type);
    x->ev.request.from = from->conf.self.node;
    x->ev.request.handle = (uint64_t)type << 48 | (uint64_t)(from->name - 'a') << 32 | token;
    return x;
}

void
world_fail_request(struct world *w, const struct world_event *x)
{
    int from = (int)(x->ev.request.handle >> 32 & 0xffff);
    struct world_event *failure;

    if (x->ev.type < ELECTION_HELLO || x->ev.type > ELECTION_HANDOVER || from >= w->count)
        return;
    failure = world_later(w, CLAIM_DEADLINE_MS, from,
                          ELECTION_HELLO_ANSWER + (x->ev.type - ELECTION_HELLO));
    failure->ev.answer.token = (uint32_t)x->ev.request.handle;
    failure->ev.answer.st = ST_TIMEOUT;
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
    type = ELECTION_HELLO_ANSWER + (type - ELECTION_HELLO);
    x = is_lost ? world_later(w, CLAIM_DEADLINE_MS, to, type) : message(from, to, type);
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

    ((struct world_node *)ctx)->hellos++;
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
    struct world_event *x = world_later(n->world, STORE_MS, n->name - 'a', ELECTION_STORED);

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

    n->reads++;
    world_later(n->world, STORE_MS, n->name - 'a', ELECTION_CANDIDATES)->lookup =
        WORLD_LOOKUP_CANDIDATES;
}

static void
on_fetch_gateways(void *ctx)
{
    struct world_node *n = ctx;

    world_later(n->world, STORE_MS, n->name - 'a', ELECTION_GATEWAYS)->lookup =
        WORLD_LOOKUP_GATEWAYS;
}

static void
on_fetch_ring(void *ctx)
{
    struct world_node *n = ctx;

    world_later(n->world, STORE_MS, n->name - 'a', ELECTION_RING)->lookup = WORLD_LOOKUP_RING;
}

static struct ring_health
on_ring_health(void *ctx)
{
    const struct world_node *n = ctx;

    if (!n->world->is_ring_asked)
        return (struct ring_health){0};
    if (n->ring_silent_ms == 0)
        return (struct ring_health){.members = 1, .silent_ms = 20};
    return (struct ring_health){.silent_ms = (uint32_t)(n->world->now_ms - n->ring_silent_ms)};
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
    assert(weight > 0);
    assert(n->aim == PEER_AIM_MEMBER);
    n->world->ring_term[n->name - 'a'] = term;
    n->world->ring_ms[n->name - 'a'] = n->world->now_ms;
    n->is_published = true;
    world_later(n->world, STORE_MS, n->name - 'a', ELECTION_RING_STORED);
}

static void
on_withdraw_ring(void *ctx)
{
    struct world_node *n = ctx;

    n->world->ring_term[n->name - 'a'] = 0;
    n->is_published = false;
}

/* Who is not there refuses the connection. */
static void
on_watch(void *ctx, const struct id *node, const char *address)
{
    struct world_node *n = ctx;
    int at = world_index(node);

    n->watches[at] = true;
    if (address[0] && !n->world->node[at].is_up)
        world_later(n->world, 1, n->name - 'a', ELECTION_LINK)->ev.link.node = *node;
}

static void
on_unwatch(void *ctx, const struct id *node)
{
    ((struct world_node *)ctx)->watches[world_index(node)] = false;
}

static bool
on_signs(void *ctx, const struct id *node, struct election_signs *ret)
{
    const struct world_node *n = ctx;
    const struct world *w = n->world;
    int at = world_index(node);
    uint64_t late_ms = n->late_from_ms[at][2];

    if (!w->is_traffic_heard || n->heard_ms[at] == 0)
        return false;
    *ret = (struct election_signs){.heard_ms = (uint32_t)(w->now_ms - n->heard_ms[at]),
                                   .is_lossy = late_ms > 0 && w->now_ms < late_ms + LOSSY_MS,
                                   .rto_ms = RESEND_MS};
    return true;
}

static void
on_gateways_changed(void *ctx, const struct election_gateway *gateway, size_t count)
{
    struct world_node *n = ctx;

    n->gateway_changes++;
    if (n->world->is_loud)
        printf("[%6llu] %c: knows", (unsigned long long)n->world->now_ms, n->name);
    for (size_t i = 0; n->world->is_loud && i <= count; i++)
        printf(i < count ? " %c" : "\n", gateway[i].ref.node.bytes[0]);
    if (count > n->conf.gateways)
        world_break(n->world, "%c has %zu gateways", n->name, count);
    for (size_t i = 0; i < count; i++)
        if (gateway[i].is_self != (world_index(&gateway[i].ref.node) == n->name - 'a'))
            world_break(n->world, "%c does not know itself", n->name);
}

static void
on_role_changed(void *ctx, enum election_role was, enum election_role is, uint32_t term,
                const char *reason)
{
    struct world_node *n = ctx;

    if (is == ELECTION_ACTIVE && term <= n->claimed_term && term < ELECTION_TERM_MAX &&
        n->claimed_term - term < ELECTION_TERM_STEP)
        world_break(n->world, "%c claimed term %u after term %u", n->name, term, n->claimed_term);
    if (is == ELECTION_ACTIVE)
        n->claimed_term = term;
    n->claims += is == ELECTION_ACTIVE;
    n->verdicts += is == ELECTION_ACTIVE && strstr(reason, " silent for ");
    n->changes += was != is;
    world_trace(n->world, "[%6llu] %c: %s -> %s, term %u, reason: %s\n",
                (unsigned long long)n->world->now_ms, n->name, election_role_name(was),
                election_role_name(is), term, reason);
}

static void
on_left(void *ctx)
{
    struct world_node *n = ctx;

    assert(!n->has_left);
    n->has_left = true;
    world_trace(n->world, "[%6llu] %c: left\n", (unsigned long long)n->world->now_ms, n->name);
}

static uint64_t
on_random(void *ctx)
{
    return world_draw(((struct world_node *)ctx)->world);
}

static void
on_log(void *ctx, enum log_level level, const char *text)
{
    struct world_node *n = ctx;

    if (n->world->is_loud)
        printf("[%6llu] %c: %s %s\n", (unsigned long long)n->world->now_ms, n->name,
               log_level_name(level), text);
}

void
world_env(struct world_node *n, struct election_env *ret)
{
    *ret = (struct election_env){
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
        .ring_health = on_ring_health,
        .publish_ring = on_publish_ring,
        .withdraw_ring = on_withdraw_ring,
        .watch = on_watch,
        .unwatch = on_unwatch,
        .signs = on_signs,
        .gateways_changed = on_gateways_changed,
        .role_changed = on_role_changed,
        .left = on_left,
        .random = on_random,
        .log = {on_log, n},
    };
}

bool
world_is_record(const struct world *w, int side, enum election_record which, int node)
{
    const struct world_record *r = &w->record[side][which][node];

    return r->exists && w->now_ms < r->stored_ms + LIFETIME_MS;
}

/* Each node keeps its entry alive as long as it is up; a dead one's is there until it expires. */
uint32_t
world_ring_term(const struct world_node *n)
{
    const struct world *w = n->world;
    uint32_t term = 0;

    for (int i = 0; i < WORLD_NODES; i++) {
        bool is_own = &w->node[i] == n && (n->is_published || !w->is_ring_live);
        if (!is_own && w->ring_term[i] > term &&
            (i >= w->count || w->node[i].is_up || w->now_ms < w->ring_ms[i] + LIFETIME_MS))
            term = w->ring_term[i];
    }
    return term;
}
