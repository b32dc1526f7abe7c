#include "election/internal.h"

#include <string.h>

#define RINGLESS_MS   3000 /* other overlays change their gateways in less */
#define LOST_LEAST_MS 250
#define TRY_AGAIN_MS  500
#define LATE_TIMES    4
#define MOVES_MS      30000 /* one so lately counts */
#define MOVES_FREE    2     /* such moves cost no patience */
#define MOVES_MAX     7

struct ring_health
ring_health(const struct election *e)
{
    return e->env.ring_health ? e->env.ring_health(e->env.ctx) : (struct ring_health){0};
}

/*
 * Three intervals, less the pace of the questions.  Where the machines are too busy to answer in
 * time, handing over makes them busier, and the next gateway hears no more than this one: so a node
 * whose own timers come late waits longer.  Where the ring comes and goes, a node that has given
 * the role away for it, or taken it, time and again waits twice as long each time.
 */
static uint32_t
lost_ms(const struct election *e)
{
    bool is_lately = e->ring_moves > 0 && e->now.mono_ms < e->ring_moved_ms + MOVES_MS;
    unsigned times = is_lately && e->ring_moves > MOVES_FREE ? e->ring_moves - MOVES_FREE : 0;
    uint32_t at_ms = 3 * e->conf.hello_ms - e->conf.hello_ms / 4;

    if (at_ms < LOST_LEAST_MS)
        at_ms = LOST_LEAST_MS;
    return (at_ms + LATE_TIMES * e->late_ms) << times;
}

void
ring_moves_role(struct election *e)
{
    if (e->ring_moves > 0 && e->now.mono_ms < e->ring_moved_ms + MOVES_MS)
        e->ring_moves += e->ring_moves < MOVES_MAX;
    else
        e->ring_moves = 1;
    e->ring_moved_ms = e->now.mono_ms;
}

bool
ring_is_lost(const struct election *e)
{
    return ring_health(e).silent_ms >= lost_ms(e);
}

/* A member answered it lately, and well after the last that answered us. */
static bool
is_better(const struct election *e, const struct candidate *c, uint32_t silent_ms)
{
    uint64_t its_ms = e->now.mono_ms - c->fresh_ms + c->ring.silent_ms;

    return c->has_hello && c->ring.members > 0 && c->ring.silent_ms != RING_SILENT_EVER &&
           its_ms < 2 * lost_ms(e) && its_ms + lost_ms(e) / 2 <= silent_ms;
}

static const struct candidate *
first_better(const struct election *e, uint32_t silent_ms)
{
    const struct candidate *order[ELECTION_CANDIDATES_MAX];
    size_t count = ranking_order(e, order, ELECTION_CANDIDATES_MAX);

    for (size_t i = 0; i < count; i++)
        if (!order[i]->is_self && is_better(e, order[i], silent_ms))
            return order[i];
    return NULL;
}

static bool
may_judge(const struct election *e)
{
    return e->role == ELECTION_ACTIVE && !e->is_leaving && !e->handover.is_under_way &&
           e->now.mono_ms >= e->hold_ms &&
           /* it joins as a member; from then on its questions count */
           e->now.mono_ms >= e->claimed_ms + election_settle_ms(e) + lost_ms(e);
}

bool
ring_is_hopeless(const struct election *e)
{
    uint32_t silent_ms;

    if (e->role != ELECTION_ACTIVE || e->is_leaving)
        return false;
    silent_ms = ring_health(e).silent_ms;
    return silent_ms != RING_SILENT_EVER && silent_ms >= RINGLESS_MS &&
           e->now.mono_ms >= e->claimed_ms + RINGLESS_MS && !first_better(e, silent_ms);
}

static void
hand_over(struct election *e, const struct candidate *to, uint32_t silent_ms)
{
    char name[NODE_NAME_BYTES];

    e->ring_try_ms = e->now.mono_ms + TRY_AGAIN_MS;
    log_to(&e->env.log, LOG_LEVEL_WARN,
           "election: %s: no member of the ring has answered for %u ms: handing over to %s, which "
           "reaches %u",
           e->conf.overlay, silent_ms, election_name(e, &to->record.ref.node, name),
           to->ring.members);
    leave_hand_over_ring(e, &to->record.ref.node);
}

void
ring_run(struct election *e)
{
    uint32_t silent_ms;
    const struct candidate *to;

    if (!may_judge(e))
        return;
    silent_ms = ring_health(e).silent_ms;
    if (silent_ms < lost_ms(e)) {
        if (e->is_ring_told)
            election_note(e, "the ring answers again");
        e->is_ring_told = false;
        return;
    }
    to = e->now.mono_ms >= e->ring_try_ms ? first_better(e, silent_ms) : NULL;
    if (to) {
        hand_over(e, to, silent_ms);
    } else if (!e->is_ring_told && ring_is_hopeless(e)) {
        e->is_ring_told = true;
        election_note(e, "the ring has been silent for %u ms, and no candidate has it", silent_ms);
    }
}

bool
election_doubts_ring(const struct election *e)
{
    return e->role == ELECTION_CANDIDATE && e->gateway_count > 0 && e->watched[0].is_heard &&
           e->watched[0].ring.silent_ms >= lost_ms(e) / 2;
}
