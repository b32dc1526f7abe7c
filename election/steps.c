/* How a change of role came about, step by step. */
#include "election/internal.h"

#include <stdio.h>
#include <string.h>

void
steps_clear(struct election_steps *s)
{
    *s = (struct election_steps){
        .silent_ms = ELECTION_UNKNOWN_MS,
        .probe_ms = ELECTION_UNKNOWN_MS,
        .turn_ms = ELECTION_UNKNOWN_MS,
        .answered_ms = ELECTION_UNKNOWN_MS,
        .stored_ms = ELECTION_UNKNOWN_MS,
        .ring_ms = ELECTION_UNKNOWN_MS,
    };
}

static uint32_t
between_ms(uint64_t from_ms, uint64_t to_ms)
{
    uint64_t ms = to_ms > from_ms ? to_ms - from_ms : 0;

    return ms < ELECTION_UNKNOWN_MS ? (uint32_t)ms : ELECTION_UNKNOWN_MS - 1;
}

void
steps_of_death(struct election *e, const struct watched *w)
{
    struct election_steps *s = &e->next_steps;

    election_name(e, &w->node, s->gateway);
    s->is_reset = w->was_reset;
    s->silent_ms = between_ms(w->is_heard ? w->answer_ms : w->heard_ms, w->suspected_ms);
    s->probes_asked = (uint8_t)(w->asked_count < UINT8_MAX ? w->asked_count : UINT8_MAX);
    s->probes_answered = (uint8_t)(w->answered_count < UINT8_MAX ? w->answered_count : UINT8_MAX);
    s->probe_ms = between_ms(w->suspected_ms, w->dead_ms);
    s->turn_ms = between_ms(w->dead_ms, e->now.mono_ms);
}

void
steps_note(struct election *e, enum step step)
{
    struct election_transition *t;
    uint32_t *at;

    if (e->role != ELECTION_ACTIVE || e->history_count == 0)
        return;
    t = &e->history[(e->history_count - 1) % ELECTION_HISTORY_MAX];
    at = step == STEP_ANSWERED ? &t->steps.answered_ms
         : step == STEP_STORED ? &t->steps.stored_ms
                               : &t->steps.ring_ms;
    if (*at != ELECTION_UNKNOWN_MS)
        return;
    *at = between_ms(e->claimed_ms, e->now.mono_ms);
    if (e->env.history)
        e->env.history(e->env.ctx, t);
}
