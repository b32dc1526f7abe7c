#include "tests/sim/churn.h"

#include <math.h>

#include "tests/sim/events.h"

#define TRIES 64

static uint64_t
pause_ms(struct churn *c, double per_s)
{
    double u = ((double)(chance_next(&c->seed) >> 11) + 1) / 9007199254740993.0;
    double ms = -log(u) / per_s * 1000;

    return ms < 1e9 ? (uint64_t)ms : 1000000000u;
}

static bool
is_out(const struct sim *s, unsigned node)
{
    return !sim_peer(s, node) || peer_state(sim_peer(s, node)) == PEER_DOWN;
}

static void
bring(struct churn *c, unsigned node)
{
    struct sim *s = c->sim;

    if (c->is_forgetful && sim_peer(s, node))
        sim_crash(s, node, SIM_CRASH_SILENT);
    if (sim_peer(s, node))
        sim_start(s, node);
    else
        sim_restart(s, node);
}

static void
join_one(struct churn *c)
{
    struct sim *s = c->sim;

    for (unsigned i = 0; i < TRIES; i++) {
        unsigned node = (unsigned)chance_below(&c->seed, sim_count(s) + 1);
        if (node == sim_count(s)) {
            if (node >= c->max_nodes)
                continue;
            sim_add(s);
        } else if (!is_out(s, node)) {
            continue;
        }
        bring(c, node);
        c->joins++;
        return;
    }
}

static void
lose_one(struct churn *c, bool is_crash)
{
    struct sim *s = c->sim;

    if (sim_member_count(s) <= c->min_members)
        return;
    for (unsigned i = 0; i < TRIES; i++) {
        unsigned node = (unsigned)chance_below(&c->seed, sim_count(s));
        if (node < c->first || !sim_is_member(s, node))
            continue;
        if (is_crash)
            sim_crash(s, node, chance_next(&c->seed) & 1 ? SIM_CRASH_SILENT : SIM_CRASH_RESET);
        else
            sim_stop(s, node);
        c->crashes += is_crash;
        c->leaves += !is_crash;
        if (c->on_gone)
            c->on_gone(c->ctx, node, is_crash);
        return;
    }
}

void
churn_run_ms(struct churn *c, uint64_t duration_ms)
{
    double rate = c->joins_per_s + c->leaves_per_s + c->crashes_per_s;
    uint64_t end_ms = sim_now(c->sim).mono_ms + duration_ms;

    while (rate > 0) {
        uint64_t next_ms = pause_ms(c, rate);
        double which = (double)(chance_next(&c->seed) >> 11) / 9007199254740992.0 * rate;

        if (sim_now(c->sim).mono_ms + next_ms >= end_ms)
            break;
        sim_run_ms(c->sim, next_ms);
        if (which < c->joins_per_s)
            join_one(c);
        else
            lose_one(c, which >= c->joins_per_s + c->leaves_per_s);
    }
    if (sim_now(c->sim).mono_ms < end_ms)
        sim_run_ms(c->sim, end_ms - sim_now(c->sim).mono_ms);
}

void
churn_rejoin(struct churn *c)
{
    for (unsigned i = 0; i < sim_count(c->sim); i++)
        if (is_out(c->sim, i))
            bring(c, i);
}
