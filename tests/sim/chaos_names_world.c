/* The nodes of the world of names. */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/chaos_names_internal.h"
#include "tests/sim/events.h"

enum {
    QUANTUM_MS = 10,
    BUSY_MS = 1500,
    BUSY_PER_S = 400,
    CLAIM_MIN_MS = 100,
    CLAIM_MOST_MS = 500,
    LINGER_MS = 2000,
    HUNG_MS = 300, /* a gateway that stands still for so long is replaced */
    SIGNER_PING_MS = 2000,
    ABSENT_MS = 1000 /* a settled ring's absence is kept for so long */
};

uint64_t
chaos_names_now(const struct chaos_names_world *w)
{
    return sim_now(w->sim).mono_ms;
}

unsigned
chaos_names_draw(struct chaos_names_world *w, unsigned below)
{
    return (unsigned)chance_below(&w->chance, below);
}

void
chaos_names_tell(struct chaos_names_world *w, const char *format, ...)
{
    size_t left = sizeof(w->story) - w->story_len;
    char *at = w->story + w->story_len;
    va_list args;
    int len;

    if (left < 256)
        return;
    len = snprintf(at, left, "[%7llu] ", (unsigned long long)chaos_names_now(w));
    va_start(args, format);
    len += vsnprintf(at + len, left - (size_t)len, format, args);
    va_end(args);
    w->story_len += (size_t)len < left ? (size_t)len : left - 1;
    if (w->is_loud)
        fputs(at, stdout);
}

/* ---- the directory and its peer ----------------------------------------------------------------
 */

/** Something that a directory asked of the ring. */
struct asked {
    struct chaos_names_node *node;
    unsigned life;
    uint32_t token;
};

static struct asked *
asked_new(struct chaos_names_node *n, uint32_t token)
{
    struct asked *a = malloc(sizeof(*a));

    assert(a);
    *a = (struct asked){n, n->life, token};
    return a;
}

static bool
take(void *ctx, struct asked *ret)
{
    *ret = *(struct asked *)ctx;
    free(ctx);
    return ret->node->is_up && ret->node->life == ret->life;
}

static void
on_fetched(void *ctx, struct moment now, enum status st, const struct peer_datum *datum,
           size_t count)
{
    struct asked a;

    if (!take(ctx, &a))
        return;
    directory_on_fetched(a.node->directory, now, a.token, st, datum, count);
}

static void
on_stored(void *ctx, struct moment now, enum status st, const struct signer *from,
          struct slice body)
{
    struct asked a;
    bool was_published;

    (void)from;
    (void)body;
    if (!take(ctx, &a))
        return;
    was_published = directory_is_published(a.node->directory);
    directory_on_stored(a.node->directory, now, a.token, st);
    if (directory_is_published(a.node->directory) && !was_published)
        chaos_names_tell(a.node->world, "%u of %s: its entry is in the ring\n", a.node->index,
                         a.node->user);
}

static void
env_fetch(void *ctx, uint32_t token, const char *name)
{
    struct chaos_names_node *n = ctx;
    struct sim *s = n->world->sim;

    peer_fetch(sim_peer(s, n->index), sim_now(s), name, KIND_SIP_REGISTRATION,
               &(struct peer_fetched){on_fetched, asked_new(n, token)});
    sim_touch(s, n->index);
}

static void
env_store(void *ctx, uint32_t token, const char *name, const struct peer_value *value)
{
    struct chaos_names_node *n = ctx;
    struct sim *s = n->world->sim;

    peer_store(sim_peer(s, n->index), sim_now(s), name, value,
               &(struct peer_reply){on_stored, asked_new(n, token)});
    sim_touch(s, n->index);
}

static void
env_trace(void *ctx, uint32_t token, const char *name)
{
    (void)ctx;
    (void)token;
    (void)name;
    assert(!"nobody asks for hops");
}

static enum directory_ring
ring_of(const struct chaos_names_node *n)
{
    const struct peer *p = sim_peer(n->world->sim, n->index);

    if (peer_state(p) != PEER_JOINED && peer_state(p) != PEER_ALONE)
        return DIRECTORY_RING_DOWN;
    if (n->world->broken == CHAOS_NAMES_ALONE_KNOWS)
        return DIRECTORY_RING_UP;
    return peer_state(p) == PEER_ALONE && peer_has_others(p) ? DIRECTORY_RING_ALONE
                                                             : DIRECTORY_RING_UP;
}

static void
settle(struct chaos_names_world *w)
{
    for (unsigned i = 0; i < w->count; i++) {
        struct chaos_names_node *n = &w->node[i];
        if (!n->is_up || !n->is_changed)
            continue;
        n->is_changed = false;
        directory_on_ring(n->directory, sim_now(w->sim), ring_of(n));
    }
}

static void
on_event(void *ctx, const struct event *e)
{
    (void)e;
    settle(ctx);
}

static void
on_state(void *ctx, unsigned node, enum peer_state state, const char *reason)
{
    struct chaos_names_world *w = ctx;

    (void)state;
    (void)reason;
    w->node[node].is_changed = true;
}

static void
on_link(void *ctx, unsigned node, const struct id *other, bool is_up)
{
    struct chaos_names_world *w = ctx;
    struct chaos_names_node *n = &w->node[node];
    int from = sim_find(w->sim, other);

    if (!n->is_up || from < 0)
        return;
    if (is_up)
        directory_on_linked(n->directory, sim_now(w->sim), other, w->node[from].user);
    else
        directory_on_left(n->directory, sim_now(w->sim), other);
}

static void
on_log(void *ctx, unsigned node, enum log_level level, const char *text)
{
    struct chaos_names_world *w = ctx;

    if (w->is_loud && level <= LOG_LEVEL_INFO)
        printf("[%7llu]   %u: %s\n", (unsigned long long)chaos_names_now(w), node, text);
}

static const char *
user_of(void *ctx, unsigned node)
{
    return ((struct chaos_names_world *)ctx)->node[node].user;
}

/* All know all others' addresses. */
static void
adjust(void *ctx, unsigned node, struct peer_conf *conf)
{
    struct chaos_names_world *w = ctx;

    conf->signer_ping_ms = SIGNER_PING_MS;
    conf->kinds = KIND_IN_GLOBAL;
    conf->bootstrap_count = w->count;
    for (unsigned i = 0; i < w->count; i++)
        snprintf(conf->bootstrap[i], sizeof(conf->bootstrap[i]), "10.0.%u.%u:6084",
                 w->node[node].is_lost ? 200 : 0, i);
}

/* ---- nodes -------------------------------------------------------------------------------------
 */

void
chaos_names_init(struct chaos_names_world *w, const struct sim_conf *conf)
{
    struct sim_conf c = *conf;

    c.ctx = w;
    c.on_state = on_state;
    c.on_link = on_link;
    c.on_log = on_log;
    c.on_event = on_event;
    c.user = user_of;
    c.adjust = adjust;
    w->sim = sim_new(&c);
    snprintf(w->overlay[w->overlays].name, sizeof(w->overlay[0].name), "nobody");
    for (unsigned i = 0; i < w->overlays; i++)
        memcpy(w->overlay[i].name, (char[]){'o', (char)('0' + i), '\0'}, 3);
    for (unsigned i = 0; i < w->count; i++) {
        struct chaos_names_node *n = &w->node[i];
        const char name[OVERLAY_NAME_BYTES] = {'o', (char)('0' + n->overlay)};
        n->world = w;
        n->index = i;
        snprintf(n->user, sizeof(n->user), "overlay@%s", name);
        sim_add(w->sim);
        sim_crash(w->sim, i, SIM_CRASH_RESET);
    }
}

void
chaos_names_start(struct chaos_names_world *w, unsigned node, bool is_lost)
{
    struct chaos_names_node *n = &w->node[node];
    struct directory_env env = {
        .ctx = n, .fetch = env_fetch, .store = env_store, .trace = env_trace};
    struct directory_conf conf;

    assert(!n->is_up);
    chaos_names_tell(w, "%u of %s starts%s\n", node, n->user,
                     is_lost ? ", its bootstrap entries lead nowhere" : "");
    directory_conf_defaults(&conf);
    memcpy(conf.overlay, w->overlay[n->overlay].name, sizeof(conf.overlay));
    conf.self = *sim_id(w->sim, node);
    conf.seed = 1;
    if (w->broken == CHAOS_NAMES_NEVER_YOUNG)
        conf.young_ms = 0;
    enum status st = directory_new(&conf, &env, &n->directory, NULL);
    assert(st == ST_OK);
    n->is_up = true;
    n->life++;
    n->is_gateway = n->is_changed = false;
    n->is_lost = is_lost;
    n->asleep_ms = n->step_ms = n->client_ms = n->published_ms = 0;
    sim_boot(w->sim, node);
    peer_aim(sim_peer(w->sim, node), sim_now(w->sim), PEER_AIM_CLIENT);
    sim_touch(w->sim, node);
}

void
chaos_names_crash(struct chaos_names_world *w, unsigned node, enum sim_crash how)
{
    struct chaos_names_node *n = &w->node[node];
    struct directory *gone = n->directory;

    chaos_names_tell(w, "%u of %s %s%s\n", node, n->user,
                     how == SIM_CRASH_RESET ? "is killed" : "loses its power",
                     n->is_gateway ? ", the gateway" : "");
    n->is_up = n->is_gateway = false;
    n->directory = NULL;
    directory_free(gone, sim_now(w->sim));
    sim_crash(w->sim, node, how);
}

void
chaos_names_done(struct chaos_names_world *w)
{
    for (unsigned i = 0; i < w->count; i++)
        if (w->node[i].is_up)
            chaos_names_crash(w, i, SIM_CRASH_RESET);
    sim_free(w->sim);
}

void
chaos_names_set_group(struct chaos_names_world *w, unsigned node, unsigned group)
{
    for (unsigned i = 0; i < w->count; i++) {
        uint64_t *a = &w->together_ms[node][i], *b = &w->together_ms[i][node];
        if (i == node)
            continue;
        if (w->node[i].group != group)
            *a = *b = UINT64_MAX;
        else if (*a == UINT64_MAX)
            *a = *b = chaos_names_now(w);
    }
    w->node[node].group = group;
    sim_set_group(w->sim, node, group);
}

/* ---- who is gateway ----------------------------------------------------------------------------
 */

static bool
is_asleep(struct chaos_names_world *w, struct chaos_names_node *n)
{
    if (!sim_is_asleep(w->sim, n->index))
        n->asleep_ms = 0;
    else if (n->asleep_ms == 0)
        n->asleep_ms = chaos_names_now(w);
    return n->asleep_ms > 0;
}

/* While misfortunes go on all is change. */
static void
note_change(struct chaos_names_world *w, uint64_t now_ms)
{
    if (w->changed_ms > 0 && w->changed_ms < now_ms)
        w->changed_ms = now_ms;
}

static void
claim(struct chaos_names_world *w, struct chaos_names_node *n)
{
    struct chaos_names_overlay *o = &w->overlay[n->overlay];
    struct moment now = sim_now(w->sim);

    n->term = ++o->term;
    n->is_gateway = true;
    w->busy_ms = now.mono_ms + BUSY_MS;
    n->step_ms = n->client_ms = 0;
    note_change(w, now.mono_ms);
    chaos_names_tell(w, "%u of %s is gateway, term %u\n", n->index, n->user, n->term);
    peer_aim(sim_peer(w->sim, n->index), now, PEER_AIM_MEMBER);
    enum status st =
        directory_publish(n->directory, now, "sip:10.0.0.1:5061;transport=tls", n->term, 100, 100);
    assert(st == ST_OK);
    sim_touch(w->sim, n->index);
}

static void
step_down(struct chaos_names_world *w, struct chaos_names_node *n)
{
    struct moment now = sim_now(w->sim);

    n->is_gateway = false;
    n->step_ms = 0;
    n->client_ms = now.mono_ms + LINGER_MS;
    note_change(w, now.mono_ms);
    chaos_names_tell(w, "%u of %s is gateway no longer\n", n->index, n->user);
    directory_withdraw(n->directory, now);
}

/* Who could be gateway; of those that cannot find the ring none but the last. */
static struct chaos_names_node *
someone(struct chaos_names_world *w, unsigned overlay, unsigned group,
        const struct chaos_names_node *but)
{
    unsigned from = chaos_names_draw(w, w->count);
    struct chaos_names_node *lost = NULL;

    for (unsigned i = 0; i < w->count; i++) {
        struct chaos_names_node *n = &w->node[(from + i) % w->count];
        if (n == but || !n->is_up || n->overlay != overlay || n->group != group || is_asleep(w, n))
            continue;
        if (!n->is_lost)
            return n;
        lost = n;
    }
    return lost;
}

bool
chaos_names_hand_over(struct chaos_names_world *w, unsigned node)
{
    struct chaos_names_node *n = &w->node[node];
    struct chaos_names_node *next = n->is_gateway ? someone(w, n->overlay, n->group, n) : NULL;

    if (!next)
        return false;
    claim(w, next);
    step_down(w, n);
    return true;
}

static unsigned
soon(struct chaos_names_world *w)
{
    return CLAIM_MIN_MS + chaos_names_draw(w, CLAIM_MOST_MS - CLAIM_MIN_MS);
}

/* The nodes of one overlay that can reach each other. */
static void
elect(struct chaos_names_world *w, unsigned overlay, unsigned group)
{
    struct chaos_names_overlay *o = &w->overlay[overlay];
    uint64_t now_ms = chaos_names_now(w);
    struct chaos_names_node *best = NULL;

    for (unsigned i = 0; i < w->count; i++) {
        struct chaos_names_node *n = &w->node[i];
        bool is_there = n->is_up && n->overlay == overlay && n->group == group && n->is_gateway;
        if (is_there && is_asleep(w, n))
            is_there = now_ms < n->asleep_ms + HUNG_MS;
        if (is_there && (!best || n->term > best->term))
            best = n;
    }
    for (unsigned i = 0; best && i < w->count; i++) {
        struct chaos_names_node *n = &w->node[i];
        if (!n->is_up || n == best || !n->is_gateway || n->overlay != overlay ||
            n->group != group || is_asleep(w, n))
            continue;
        if (n->step_ms == 0)
            n->step_ms = now_ms + soon(w);
        else if (now_ms >= n->step_ms)
            step_down(w, n);
    }
    struct chaos_names_node *next = best ? NULL : someone(w, overlay, group, NULL);
    if (!next) {
        o->claim_ms[group] = 0;
    } else if (o->claim_ms[group] == 0) {
        o->claim_ms[group] = now_ms + soon(w);
    } else if (now_ms >= o->claim_ms[group]) {
        o->claim_ms[group] = 0;
        claim(w, next);
    }
}

static void
note_dead(struct chaos_names_world *w)
{
    for (unsigned o = 0; o < w->overlays; o++) {
        bool is_up = false;
        for (unsigned i = 0; i < w->count; i++)
            is_up |= w->node[i].overlay == o && w->node[i].is_up;
        if (is_up)
            w->overlay[o].dead_ms = 0;
        else if (w->overlay[o].dead_ms == 0)
            w->overlay[o].dead_ms = chaos_names_now(w);
    }
}

/* ---- questions ---------------------------------------------------------------------------------
 */

/* Its entry was acknowledged; not by itself alone, where there are others. */
static bool
is_published(const struct chaos_names_node *n)
{
    const struct peer *p = sim_peer(n->world->sim, n->index);

    return directory_is_published(n->directory) &&
           !(peer_state(p) == PEER_ALONE && peer_has_others(p));
}

static void
note_published(struct chaos_names_world *w)
{
    for (unsigned i = 0; i < w->count; i++) {
        struct chaos_names_node *n = &w->node[i];
        if (!n->is_up || !n->is_gateway || !is_published(n))
            n->published_ms = 0;
        else if (n->published_ms == 0)
            n->published_ms = chaos_names_now(w);
    }
}

uint32_t
chaos_names_published(const struct chaos_names_world *w, unsigned from, unsigned overlay,
                      uint64_t for_ms, bool is_excused_too)
{
    uint64_t now_ms = chaos_names_now(w);
    uint32_t bits = 0;

    for (unsigned i = 0; i < w->count; i++) {
        const struct chaos_names_node *n = &w->node[i];
        uint64_t since_ms = w->together_ms[from][i];
        bool is_apart =
            since_ms == UINT64_MAX || (since_ms && now_ms < since_ms + CHAOS_NAMES_HEAL_MS);
        if (n->is_up && n->is_gateway && n->overlay == overlay && n->published_ms > 0 &&
            now_ms >= n->published_ms + for_ms && (is_excused_too || !is_apart))
            bits |= 1u << i;
    }
    return bits;
}

struct question {
    struct chaos_names_world *world;
    struct chaos_names_ask *ask;
};

static void
on_resolved(void *ctx, struct moment now, enum status st, const struct directory_answer *answer)
{
    struct question *q = ctx;

    (void)now;
    chaos_names_judge(q->world, q->ask, st, answer);
    q->ask->is_used = false;
    free(q);
}

static void
ask(struct chaos_names_world *w)
{
    struct chaos_names_node *n = &w->node[chaos_names_draw(w, w->count)];
    unsigned overlay = chaos_names_draw(w, w->overlays * 8 + 1) / 8; /* at times nobody's */
    bool is_past_cache = chaos_names_draw(w, 3) == 0;
    struct chaos_names_ask *a = w->ask;
    struct question *q;

    if (!n->is_up || is_asleep(w, n) || n->overlay == overlay)
        return;
    while (a < w->ask + CHAOS_NAMES_ASKS && a->is_used)
        a++;
    if (a == w->ask + CHAOS_NAMES_ASKS)
        return;
    *a = (struct chaos_names_ask){.is_used = true,
                                  .is_past_cache = is_past_cache,
                                  .from = n->index,
                                  .life = n->life,
                                  .overlay = overlay,
                                  .at_ms = chaos_names_now(w),
                                  .published = chaos_names_published(
                                      w, n->index, overlay, is_past_cache ? 0 : ABSENT_MS, false)};
    q = malloc(sizeof(*q));
    assert(q);
    *q = (struct question){w, a};
    w->verdict->asked++;
    directory_resolve(n->directory, sim_now(w->sim), w->overlay[overlay].name, is_past_cache, false,
                      &(struct directory_resolved){on_resolved, q});
}

/* ---- time --------------------------------------------------------------------------------------
 */

static void
tick(struct chaos_names_world *w, struct chaos_names_node *n)
{
    struct moment now = sim_now(w->sim);

    if (!n->is_up || is_asleep(w, n))
        return;
    if (n->client_ms && now.mono_ms >= n->client_ms) {
        n->client_ms = 0;
        note_change(w, now.mono_ms);
        peer_aim(sim_peer(w->sim, n->index), now, PEER_AIM_CLIENT);
        sim_touch(w->sim, n->index);
    }
    if (directory_deadline_ms(n->directory) <= now.mono_ms)
        directory_tick(n->directory, now);
}

void
chaos_names_run_ms(struct chaos_names_world *w, unsigned duration_ms, unsigned per_s)
{
    for (unsigned ms = 0; ms < duration_ms && !w->verdict->is_broken; ms += QUANTUM_MS) {
        unsigned per_quantum = per_s * QUANTUM_MS;

        sim_run_ms(w->sim, QUANTUM_MS);
        settle(w);
        for (unsigned o = 0; o < w->overlays; o++)
            for (unsigned group = 0; group < 2; group++)
                elect(w, o, group);
        note_dead(w);
        note_published(w);
        if (chaos_names_now(w) < w->busy_ms)
            per_quantum = BUSY_PER_S * QUANTUM_MS;
        for (unsigned part = chaos_names_draw(w, 1000); part < per_quantum; part += 1000)
            ask(w);
        for (unsigned i = 0; i < w->count; i++)
            tick(w, &w->node[i]);
    }
}
