#include "tests/sim/chaos_names.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/chaos_names_internal.h"
#include "tests/sim/events.h"

enum {
    PHASES = 3,
    PAUSE_MS = 2500,
    LOST_MS = 8000,
    QUIET_MS = 14000,     /* after all is mended */
    QUIET_CUT_MS = 50000, /* after the network was cut: rings are to find each other */
    ASKS_PER_S = 40,
    QUIET_ASKS_PER_S = 10
};

static void broken(struct chaos_names_world *w, const char *format, ...) PRINTF_LIKE(2, 3);

static void
broken(struct chaos_names_world *w, const char *format, ...)
{
    va_list args;

    if (w->verdict->is_broken)
        return;
    w->verdict->is_broken = true;
    va_start(args, format);
    vsnprintf(w->verdict->what, sizeof(w->verdict->what), format, args);
    va_end(args);
    chaos_names_tell(w, "BROKEN: %s\n", w->verdict->what);
}

/* ---- the verdict on one answer -----------------------------------------------------------------
 */

/* Has all been well for so long? */
static bool
is_calm(const struct chaos_names_world *w, const struct chaos_names_ask *ask, uint64_t for_ms)
{
    return w->changed_ms > 0 && ask->at_ms >= w->changed_ms + for_ms;
}

static void
judge_found(struct chaos_names_world *w, const struct chaos_names_ask *ask,
            const struct directory_answer *a)
{
    const struct chaos_names_overlay *o = &w->overlay[ask->overlay];
    uint32_t live = chaos_names_published(w, ask->from, ask->overlay, 0, true);

    w->verdict->found++;
    if (ask->overlay == w->overlays ||
        (o->dead_ms > 0 && ask->is_past_cache && ask->at_ms >= o->dead_ms + CHAOS_NAMES_DEAD_MS &&
         is_calm(w, ask, CHAOS_NAMES_DEAD_MS)))
        broken(w, "%u finds %s, which is dead", ask->from, o->name);
    if (!is_calm(w, ask, CHAOS_NAMES_CALM_MS) || !ask->is_past_cache || !ask->published)
        return;
    for (size_t i = 0; i < a->gateway_count + a->other_count; i++) { /* all are tried */
        size_t other = i - a->gateway_count;
        int at =
            sim_find(w->sim, i < a->gateway_count ? &a->gateway[i].node : &a->other[other].node);
        if (at >= 0 && (live >> at & 1))
            return;
    }
    broken(w, "%u finds gateways of %s that are dead", ask->from, o->name);
}

void
chaos_names_judge(struct chaos_names_world *w, const struct chaos_names_ask *ask, enum status st,
                  const struct directory_answer *answer)
{
    const char *name = w->overlay[ask->overlay].name;
    const struct chaos_names_node *n = &w->node[ask->from];

    if (!n->is_up || n->life != ask->life)
        return; /* it asked, and died */
    uint32_t live = ask->published & chaos_names_published(w, ask->from, ask->overlay, 0, false);
    if (st == ST_OK) {
        judge_found(w, ask, answer);
        return;
    }
    if (st == ST_NOT_FOUND) {
        w->verdict->absent++;
        w->verdict->excused += chaos_names_published(w, ask->from, ask->overlay, 0, true) != 0;
        if (live)
            broken(w, "%u, who asked at %llu, is told that there is no %s: gateways %#x are live",
                   ask->from, (unsigned long long)ask->at_ms, name, live);
        return;
    }
    w->verdict->unknown++;
    if (live && is_calm(w, ask, CHAOS_NAMES_CALM_MS))
        broken(w, "%u, who asked at %llu, does not find %s though all is well: %s", ask->from,
               (unsigned long long)ask->at_ms, name, status_text(st));
}

/* ---- misfortunes -------------------------------------------------------------------------------
 */

/* One that matters, every other time. */
static struct chaos_names_node *
victim(struct chaos_names_world *w)
{
    unsigned from = chaos_names_draw(w, w->count);

    for (unsigned i = 0; chaos_names_draw(w, 2) && i < w->count; i++)
        if (w->node[(from + i) % w->count].is_gateway)
            return &w->node[(from + i) % w->count];
    return &w->node[from];
}

static void
crash(struct chaos_names_world *w)
{
    struct chaos_names_node *n = victim(w);

    if (n->is_up)
        chaos_names_crash(w, n->index, chaos_names_draw(w, 2) ? SIM_CRASH_RESET : SIM_CRASH_SILENT);
    else
        chaos_names_start(w, n->index, false);
}

static void
sleep_for(struct chaos_names_world *w)
{
    struct chaos_names_node *n = victim(w);
    unsigned ms = 50 + chaos_names_draw(w, chaos_names_draw(w, 3) ? 400 : 4000);

    if (!n->is_up || sim_is_asleep(w->sim, n->index))
        return;
    chaos_names_tell(w, "%u stands still for %u ms\n", n->index, ms);
    sim_sleep(w->sim, n->index, ms);
}

static bool
is_cut(const struct chaos_names_world *w)
{
    for (unsigned i = 0; i < w->count; i++)
        if (w->node[i].group)
            return true;
    return false;
}

static void
heal(struct chaos_names_world *w)
{
    if (!is_cut(w))
        return;
    chaos_names_tell(w, "the network is one again\n");
    for (unsigned i = 0; i < w->count; i++)
        chaos_names_set_group(w, i, 0);
}

static void
cut(struct chaos_names_world *w)
{
    unsigned one = victim(w)->index;
    bool is_one = chaos_names_draw(w, 2);
    char text[CHAOS_NAMES_NODES + 1] = "";

    if (is_cut(w)) {
        heal(w);
        return;
    }
    for (unsigned i = 0; i < w->count; i++) {
        unsigned group = is_one ? i == one : chaos_names_draw(w, 2);
        chaos_names_set_group(w, i, group);
        text[i] = (char)('0' + group);
    }
    chaos_names_tell(w, "the network is cut: %s\n", text);
}

static void
lose(struct chaos_names_world *w)
{
    unsigned permille = chaos_names_draw(w, 2) ? 10 + chaos_names_draw(w, 100) : 0;

    chaos_names_tell(w, "of 1000 frames %u get lost\n", permille);
    sim_set_loss(w->sim, permille);
}

static void
hand_over(struct chaos_names_world *w)
{
    chaos_names_hand_over(w, victim(w)->index);
}

/* Several at one instant: those that hold an entry may be among them. */
static void
crash_some(struct chaos_names_world *w)
{
    for (unsigned left = 2 + chaos_names_draw(w, 2); left > 0; left--) {
        struct chaos_names_node *n = victim(w);
        if (n->is_up)
            chaos_names_crash(w, n->index,
                              chaos_names_draw(w, 2) ? SIM_CRASH_RESET : SIM_CRASH_SILENT);
    }
}

static void
dead_bootstrap(struct chaos_names_world *w)
{
    struct chaos_names_node *n = victim(w);

    if (n->is_up)
        chaos_names_crash(w, n->index, SIM_CRASH_RESET);
    chaos_names_start(w, n->index, true);
    chaos_names_run_ms(w, chaos_names_draw(w, LOST_MS), ASKS_PER_S);
}

static void
start_missing(struct chaos_names_world *w, unsigned apart_ms)
{
    for (unsigned i = 0; i < w->count; i++) {
        if (apart_ms)
            chaos_names_run_ms(w, chaos_names_draw(w, apart_ms), ASKS_PER_S);
        if (!w->node[i].is_up)
            chaos_names_start(w, i, false);
    }
}

static void
restart_all(struct chaos_names_world *w)
{
    for (unsigned i = 0; i < w->count; i++)
        if (w->node[i].is_up)
            chaos_names_crash(w, i, SIM_CRASH_SILENT);
    chaos_names_run_ms(w, 10 + chaos_names_draw(w, 2000), ASKS_PER_S);
    start_missing(w, chaos_names_draw(w, 2) ? 0 : 10 + chaos_names_draw(w, 1500));
}

static void
misfortune(struct chaos_names_world *w)
{
    static void (*const kind[])(struct chaos_names_world *
                                w) = {crash, crash, crash, crash_some, sleep_for,     sleep_for,
                                      cut,   cut,   lose,  hand_over,  dead_bootstrap};

    w->verdict->misfortunes++;
    w->changed_ms = 0;
    if (chaos_names_draw(w, 20) == 0)
        restart_all(w);
    else
        kind[chaos_names_draw(w, sizeof(kind) / sizeof(kind[0]))](w);
}

static void
mend(struct chaos_names_world *w)
{
    bool was_cut = is_cut(w);

    for (unsigned i = 0; i < w->count; i++)
        was_cut |= chaos_names_now(w) < w->together_ms[0][i] + CHAOS_NAMES_HEAL_MS &&
                   w->together_ms[0][i] > 0;
    heal(w);
    sim_set_loss(w->sim, 0);
    for (unsigned i = 0; i < w->count; i++)
        if (w->node[i].is_up && w->node[i].is_lost)
            chaos_names_crash(w, i, SIM_CRASH_RESET);
    for (unsigned i = 0; i < w->count; i++)
        if (!w->node[i].is_up && chaos_names_draw(w, 4))
            chaos_names_start(w, i, false);
    while (!w->verdict->is_broken) {
        bool is_asleep = false;
        for (unsigned i = 0; i < w->count; i++)
            is_asleep |= sim_is_asleep(w->sim, i);
        if (!is_asleep)
            break;
        chaos_names_run_ms(w, 100, ASKS_PER_S);
    }
    chaos_names_tell(w, "all is well again\n");
    w->changed_ms = chaos_names_now(w) + (was_cut ? CHAOS_NAMES_HEAL_MS : 0);
    chaos_names_run_ms(w, was_cut ? QUIET_CUT_MS : QUIET_MS, QUIET_ASKS_PER_S);
}

/* ---- a run -------------------------------------------------------------------------------------
 */

static void
draw_world(struct chaos_names_world *w, uint64_t seed)
{
    struct sim_conf conf = {.topology = topology_find("chord"),
                            .seed = seed,
                            .latency = SIM_LATENCY_SPREAD,
                            .latency_min_us = 100};

    w->chance = seed * 0x9e3779b97f4a7c15ULL + 7;
    w->overlays = 2 + chaos_names_draw(w, CHAOS_NAMES_OVERLAYS - 1);
    for (unsigned o = 0; o < w->overlays; o++) /* one to three each, as long as they last */
        for (unsigned left = 1 + chaos_names_draw(w, 3); left > 0; left--)
            if (w->count + w->overlays - o <= CHAOS_NAMES_NODES)
                w->node[w->count++].overlay = o;
    conf.latency_max_us = 500 + chaos_names_draw(w, chaos_names_draw(w, 2) ? 2000 : 40000);
    snprintf(w->verdict->drawn, sizeof(w->verdict->drawn),
             "%u overlays, %u nodes, latency up to %u us", w->overlays, w->count,
             conf.latency_max_us);
    chaos_names_init(w, &conf);
}

void
chaos_names_run(const struct chaos_names_conf *conf, struct chaos_names_verdict *ret)
{
    struct chaos_names_world *w = calloc(1, sizeof(*w));

    assert(w);
    *ret = (struct chaos_names_verdict){0};
    w->verdict = ret;
    w->broken = conf->broken;
    w->is_loud = conf->is_loud;
    draw_world(w, conf->seed);
    start_missing(w, chaos_names_draw(w, 2) ? 0 : 10 + chaos_names_draw(w, 1500));
    mend(w);
    for (unsigned phase = 0; phase < PHASES && !ret->is_broken; phase++) {
        for (unsigned left = 1 + chaos_names_draw(w, 6); left > 0 && !ret->is_broken; left--) {
            misfortune(w);
            chaos_names_run_ms(w,
                               chaos_names_draw(w, 3) ? chaos_names_draw(w, PAUSE_MS)
                                                      : chaos_names_draw(w, 150),
                               ASKS_PER_S);
        }
        mend(w);
    }
    ret->now_ms = chaos_names_now(w);
    ret->trace = sim_trace(w->sim);
    chaos_names_done(w);
    if (ret->is_broken)
        ret->story = strdup(w->story);
    free(w);
}

const char *
chaos_names_broken_name(enum chaos_names_broken broken)
{
    static const char *const name[CHAOS_NAMES_BROKEN_KINDS] = {"sound", "never young",
                                                               "alone knows"};

    return broken < CHAOS_NAMES_BROKEN_KINDS ? name[broken] : "?";
}
