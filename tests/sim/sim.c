#include "tests/sim/sim.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim_internal.h"

#define LATENCY_MIN_US 1000u
#define LATENCY_MAX_US 50000u
#define BOOTSTRAPS     3u
#define BOOTSTRAPS_MAX 8u
#define WALL_MS        1800000000000u /* a day in 2027 */
#define START_US       1000000u

/* ---- a node --------------------------------------------------------------------------------- */

void
sim_arm(struct sim_node *n)
{
    struct events *events = &n->sim->events;
    uint64_t due_ms = n->peer ? peer_deadline_ms(n->peer) : MOMENT_NEVER;
    uint64_t due_us;

    if (due_ms == MOMENT_NEVER)
        return;
    due_us = due_ms * 1000 < events->now_us ? events->now_us : due_ms * 1000;
    if (n->tick_us <= due_us)
        return;
    n->tick_us = due_us;
    events_put(events, due_us, SIM_TICK, n->index, NULL);
}

static void
tick(struct sim_node *n)
{
    if (n->tick_us > n->sim->events.now_us)
        return; /* an earlier one came in between */
    n->tick_us = MOMENT_NEVER;
    if (!n->peer)
        return;
    peer_tick(n->peer, sim_now(n->sim));
    sim_arm(n);
}

static uint64_t
env_random(void *ctx)
{
    return chance_next(&((struct sim_node *)ctx)->sim->seed);
}

static void
env_on_state(void *ctx, enum peer_state state, const char *reason)
{
    struct sim_node *n = ctx;

    if (n->sim->conf.on_state)
        n->sim->conf.on_state(n->sim->conf.ctx, n->index, state, reason);
}

static void
env_on_request(void *ctx, struct moment now, const struct peer_request *req)
{
    struct sim_node *n = ctx;

    if (n->sim->conf.on_request)
        n->sim->conf.on_request(n->sim->conf.ctx, n->index, req);
    else
        peer_answer(n->peer, now, req->handle, ST_OK, req->body);
}

static void
env_on_link(void *ctx, struct moment now, const struct id *node, bool is_up, bool is_given_up)
{
    struct sim_node *n = ctx;

    (void)is_given_up;
    (void)now;
    if (n->sim->conf.on_link)
        n->sim->conf.on_link(n->sim->conf.ctx, n->index, node, is_up);
}

static void
env_log(void *ctx, enum log_level level, const char *text)
{
    struct sim_node *n = ctx;

    if (n->sim->conf.on_log)
        n->sim->conf.on_log(n->sim->conf.ctx, n->index, level, text);
    if (n->sim->conf.is_loud && level <= LOG_LEVEL_INFO)
        fprintf(stderr, "%8llu ms n%u %s: %s\n", (unsigned long long)sim_now(n->sim).mono_ms,
                n->index, log_level_name(level), text);
}

static void
node_address(unsigned index, char address[NODE_ADDRESS_BYTES])
{
    snprintf(address, NODE_ADDRESS_BYTES, "10.%u.%u.%u:6084", index >> 16, index >> 8 & 255u,
             index & 255u);
}

/* Below which number the bootstrap entries of node @index are drawn; 0: they are the first ones. */
static unsigned
spread(const struct sim *s, unsigned index)
{
    unsigned least = s->conf.bootstrap_spread;

    if (!least || index < least)
        return 0;
    return s->conf.is_spread_growing && index / 2 > least ? index / 2 : least;
}

static void
make_peer(struct sim_node *n)
{
    struct sim *s = n->sim;
    struct peer_conf conf;
    struct peer_env env = {.ctx = n,
                           .send = sim_link_send,
                           .connect = sim_link_connect,
                           .disconnect = sim_link_disconnect,
                           .random = env_random,
                           .keys = sim_keys(n),
                           .on_state = env_on_state,
                           .on_request = env_on_request,
                           .on_link = env_on_link,
                           .log = {env_log, n}};
    struct why why = {""};

    peer_conf_defaults(&conf);
    memcpy(conf.overlay, SIM_OVERLAY, sizeof(SIM_OVERLAY));
    conf.self.node = n->id;
    snprintf(conf.self.name, sizeof(conf.self.name), "n%u", n->index);
    memcpy(conf.self.address, n->address, sizeof(n->address));
    conf.topology = s->conf.topology;
    if (s->conf.parameters)
        snprintf(conf.parameters, sizeof(conf.parameters), "%s", s->conf.parameters);
    conf.update_ms = s->conf.update_ms;
    if (s->conf.max_records)
        conf.max_records = s->conf.max_records;
    conf.bootstrap_count = s->conf.bootstrap_count;
    for (unsigned i = 0; i < s->conf.bootstrap_count; i++) {
        uint64_t seed = s->conf.seed + (uint64_t)n->index * BOOTSTRAPS_MAX + i;
        unsigned below = spread(s, n->index);
        node_address(below ? (unsigned)chance_below(&seed, below) : i, conf.bootstrap[i]);
    }
    if (s->conf.adjust)
        s->conf.adjust(s->conf.ctx, n->index, &conf);
    if (peer_new(&conf, &env, sim_now(s), &n->peer, &why) != ST_OK) {
        fprintf(stderr, "sim: %s\n", why.text);
        abort();
    }
    n->life++;
    n->wakes_us = 0;
    n->tick_us = MOMENT_NEVER;
}

unsigned
sim_add(struct sim *s)
{
    struct sim_node *n = calloc(1, sizeof(*n));

    assert(n);
    if (s->count == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 64;
        s->node = realloc(s->node, s->cap * sizeof(s->node[0]));
        assert(s->node);
    }
    n->sim = s;
    n->index = s->count;
    node_address(n->index, n->address);
    n->id = sim_hash(n->address);
    s->node[s->count++] = n;
    assert(map_put(s->by_id, slice_of(n->id.bytes, ID_BYTES), n, NULL) == ST_OK);
    make_peer(n);
    return n->index;
}

/* ---- the world ------------------------------------------------------------------------------ */

struct sim *
sim_new(const struct sim_conf *conf)
{
    struct sim *s = calloc(1, sizeof(*s));

    assert(s && conf->topology);
    s->conf = *conf;
    if (!s->conf.latency_max_us) {
        s->conf.latency_min_us = LATENCY_MIN_US;
        s->conf.latency_max_us = LATENCY_MAX_US;
    }
    if (!s->conf.bootstrap_count)
        s->conf.bootstrap_count = BOOTSTRAPS;
    assert(s->conf.bootstrap_count <= BOOTSTRAPS_MAX);
    assert(s->conf.latency_min_us <= s->conf.latency_max_us);
    s->seed = conf->seed;
    s->events.now_us = START_US;
    s->by_id = map_new(conf->seed, 0);
    s->links = map_new(conf->seed, 0);
    s->watched = map_new(conf->seed, 0);
    s->transactions = map_new(conf->seed, 0);
    assert(s->by_id && s->links && s->watched && s->transactions);
    return s;
}

void
sim_free(struct sim *s)
{
    struct map_cursor c = {0};
    struct event e;

    if (!s)
        return;
    for (unsigned i = 0; i < s->count; i++) {
        struct peer *gone = s->node[i]->peer;
        s->node[i]->peer = NULL;
        peer_free(gone);
    }
    while (events_take(&s->events, UINT64_MAX, &e))
        free(e.what);
    events_done(&s->events);
    while (map_next(s->links, &c))
        free(c.value);
    for (unsigned i = 0; i < s->count; i++) {
        free(s->node[i]->link);
        free(s->node[i]);
    }
    free(s->node);
    map_free(s->links);
    map_free(s->by_id);
    map_free(s->watched);
    map_free(s->transactions);
    free(s);
}

static void
step(struct sim *s, const struct event *e)
{
    uint64_t happened[3] = {e->due_us, e->kind, e->node};

    if (sim_is_asleep(s, e->node)) {
        events_put(&s->events, s->node[e->node]->wakes_us, e->kind, e->node, e->what);
        return;
    }
    sim_trace_bytes(s, happened, sizeof(happened));
    if (s->conf.on_event)
        s->conf.on_event(s->conf.ctx, e);
    if (e->kind == SIM_TICK)
        tick(s->node[e->node]);
    else if (e->kind == SIM_NOBODY)
        sim_nobody_event(s, e);
    else
        sim_link_event(s, e);
}

void
sim_run_ms(struct sim *s, uint64_t duration_ms)
{
    uint64_t until_us = s->events.now_us + duration_ms * 1000;
    struct event e;

    while (events_take(&s->events, until_us, &e))
        step(s, &e);
}

bool
sim_run_until(struct sim *s, bool (*is_done)(struct sim *s), uint64_t limit_ms)
{
    uint64_t until_us = s->events.now_us + limit_ms * 1000;

    while (!is_done(s)) {
        if (s->events.now_us >= until_us)
            return false;
        sim_run_ms(s, 20);
    }
    return true;
}

/* ---- what is done to nodes ------------------------------------------------------------------ */

void
sim_touch(struct sim *s, unsigned node)
{
    sim_arm(s->node[node]);
}

void
sim_start(struct sim *s, unsigned node)
{
    struct sim_node *n = s->node[node];

    n->is_asked = true;
    peer_aim(n->peer, sim_now(s), PEER_AIM_MEMBER);
    sim_arm(n);
}

void
sim_stop(struct sim *s, unsigned node)
{
    struct sim_node *n = s->node[node];

    n->is_asked = false;
    peer_aim(n->peer, sim_now(s), PEER_AIM_NOTHING);
    sim_arm(n);
}

void
sim_crash(struct sim *s, unsigned node, enum sim_crash how)
{
    struct sim_node *n = s->node[node];
    struct peer *gone = n->peer;

    assert(gone);
    n->is_asked = false;
    n->is_silent = how == SIM_CRASH_SILENT;
    sim_link_crash(n);
    n->peer = NULL;
    peer_free(gone);
}

void
sim_boot(struct sim *s, unsigned node)
{
    struct sim_node *n = s->node[node];

    assert(!n->peer);
    n->is_silent = false;
    make_peer(n);
}

void
sim_restart(struct sim *s, unsigned node)
{
    sim_boot(s, node);
    sim_start(s, node);
}

void
sim_sleep(struct sim *s, unsigned node, uint32_t duration_ms)
{
    struct sim_node *n = s->node[node];

    sim_link_sleep(n, duration_ms * 1000ULL);
    n->wakes_us = s->events.now_us + duration_ms * 1000ULL;
}

bool
sim_is_asleep(const struct sim *s, unsigned node)
{
    return s->events.now_us < s->node[node]->wakes_us;
}

void
sim_set_group(struct sim *s, unsigned node, unsigned group)
{
    s->node[node]->group = group;
}

void
sim_end_growth(struct sim *s)
{
    s->conf.is_spread_growing = false;
}

void
sim_set_loss(struct sim *s, uint32_t loss_permille)
{
    s->conf.loss_permille = loss_permille;
}

/* ---- looking -------------------------------------------------------------------------------- */

unsigned
sim_count(const struct sim *s)
{
    return s->count;
}

struct moment
sim_now(const struct sim *s)
{
    uint64_t now_ms = s->events.now_us / 1000;

    return (struct moment){.mono_ms = now_ms, .wall_ms = WALL_MS + now_ms};
}

uint64_t
sim_random(struct sim *s)
{
    return chance_next(&s->seed);
}

struct peer *
sim_peer(const struct sim *s, unsigned node)
{
    return s->node[node]->peer;
}

const struct id *
sim_id(const struct sim *s, unsigned node)
{
    return &s->node[node]->id;
}

const char *
sim_address(const struct sim *s, unsigned node)
{
    return s->node[node]->address;
}

int
sim_find(const struct sim *s, const struct id *id)
{
    const struct sim_node *n = map_get(s->by_id, slice_of(id->bytes, ID_BYTES));

    return n ? (int)n->index : -1;
}

bool
sim_is_member(const struct sim *s, unsigned node)
{
    const struct sim_node *n = s->node[node];

    return n->peer && peer_is_member(n->peer);
}

unsigned
sim_member_count(const struct sim *s)
{
    unsigned count = 0;

    for (unsigned i = 0; i < s->count; i++)
        count += sim_is_member(s, i);
    return count;
}

unsigned
sim_random_member(struct sim *s)
{
    unsigned i;

    assert(sim_member_count(s) > 0);
    do
        i = (unsigned)chance_below(&s->seed, s->count);
    while (!sim_is_member(s, i));
    return i;
}

bool
sim_are_all_joined(struct sim *s)
{
    unsigned asked = 0;

    for (unsigned i = 0; i < s->count; i++)
        asked += s->node[i]->is_asked;
    for (unsigned i = 0; i < s->count; i++) {
        const struct sim_node *n = s->node[i];
        if (n->is_asked && (!peer_is_member(n->peer) ||
                            peer_state(n->peer) != (asked > 1 ? PEER_JOINED : PEER_ALONE)))
            return false;
    }
    return true;
}

int
sim_owner(const struct sim *s, const struct id *id)
{
    int owner = -1;

    for (unsigned i = 0; i < s->count; i++) {
        if (!s->node[i]->peer || !peer_is_responsible(s->node[i]->peer, id))
            continue;
        if (owner >= 0)
            return -2;
        owner = (int)i;
    }
    return owner;
}

const struct sim_counters *
sim_counters_of(const struct sim *s)
{
    return &s->counters;
}
