#include "peer-protocol/link/acks.h"

#include <stdlib.h>

#define FIRST_CAP 16

void
acks_init(struct acks *a, uint32_t suspect_min_ms, uint32_t rtt_us)
{
    *a =
        (struct acks){.min_us = suspect_min_ms * 1000, .rtt_us = rtt_us, .deadline_us = ACKS_NEVER};
}

void
acks_done(struct acks *a)
{
    free(a->sent_us);
    a->sent_us = NULL;
    a->cap = 0;
}

bool
acks_is_waiting(const struct acks *a)
{
    return a->first != a->next;
}

uint64_t
acks_waiting_us(const struct acks *a, uint64_t now_us)
{
    return acks_is_waiting(a) ? now_us - a->sent_us[a->first & (a->cap - 1)] : 0;
}

static uint64_t
period_us(const struct acks *a)
{
    uint64_t period = 4 * (uint64_t)a->rtt_us;

    if (period > ACKS_PERIOD_MAX_US)
        period = ACKS_PERIOD_MAX_US;
    return period > a->min_us ? period : a->min_us;
}

static enum status
grow(struct acks *a)
{
    size_t cap = a->cap ? a->cap * 2 : FIRST_CAP;

    if (cap > ACKS_OUTSTANDING_MAX)
        return ST_LIMIT;
    uint64_t *sent_us = malloc(cap * sizeof(*sent_us));
    if (!sent_us)
        return ST_NOMEM;
    for (uint32_t sequence = a->first; sequence != a->next; sequence++)
        sent_us[sequence & (cap - 1)] = a->sent_us[sequence & (a->cap - 1)];
    free(a->sent_us);
    a->sent_us = sent_us;
    a->cap = cap;
    return ST_OK;
}

enum status
acks_sent(struct acks *a, uint64_t now_us, uint32_t *ret_sequence)
{
    enum status st = ST_OK;

    if ((uint32_t)(a->next - a->first) >= a->cap)
        st = grow(a);
    if (st != ST_OK)
        return st;
    if (!acks_is_waiting(a))
        a->deadline_us = now_us + period_us(a);
    a->sent_us[a->next & (a->cap - 1)] = now_us;
    *ret_sequence = a->next++;
    return ST_OK;
}

enum status
acks_received(struct acks *a, uint64_t now_us, uint32_t sequence)
{
    uint32_t ahead = sequence - a->first;

    if (ahead >= (uint32_t)(a->next - a->first)) /* not among those that wait */
        return (int32_t)ahead < 0 ? ST_OK : ST_MALFORMED;
    uint64_t sample_us = now_us - a->sent_us[sequence & (a->cap - 1)];
    if (sample_us > ACKS_PERIOD_MAX_US)
        sample_us = ACKS_PERIOD_MAX_US;
    /* RFC 6298 section 2.3, alpha = 1/8 */
    a->rtt_us = (uint32_t)((7 * (uint64_t)a->rtt_us + sample_us) / 8);
    a->first = sequence + 1;
    a->late_periods = 0;
    a->deadline_us = acks_is_waiting(a) ? now_us + period_us(a) : ACKS_NEVER;
    return ST_OK;
}

unsigned
acks_check(struct acks *a, uint64_t now_us)
{
    if (now_us >= a->deadline_us) {
        a->late_periods++;
        a->deadline_us = now_us + period_us(a);
    }
    return a->late_periods;
}
