/* Which terms are believed. */
#include "election/internal.h"

#include <stdio.h>

#define CREDIT_PER_S   1u
#define CREDIT_MOST    31536000u /* a year of absence, at one claim a second */
#define MILLISECONDS_S 1000u

static uint32_t
credit(const struct election *e)
{
    uint64_t away_s = 0;

    if (e->now.wall_ms > e->credit_wall_ms)
        away_s = (e->now.wall_ms - e->credit_wall_ms) / MILLISECONDS_S;
    if (away_s > CREDIT_MOST)
        away_s = CREDIT_MOST;
    return e->credit + (uint32_t)away_s * CREDIT_PER_S;
}

void
term_begin(struct election *e)
{
    e->credit = ELECTION_TERM_STEP;
    e->credit_wall_ms = e->now.wall_ms;
}

bool
term_is_plausible(const struct election *e, uint32_t term)
{
    if (term > ELECTION_TERM_MAX)
        return false;
    return term <= e->highest_term || term - e->highest_term <= credit(e);
}

/* What is spent comes back with time, up to what a busy hour may need. */
void
term_learn(struct election *e, uint32_t term)
{
    uint32_t left = credit(e);
    uint32_t spent = term > e->highest_term ? term - e->highest_term : 0;

    if (term > ELECTION_TERM_MAX || spent == 0)
        return;
    if (e->highest_term == 0 || spent > left + 1) /* the first, or after a long absence */
        left = ELECTION_TERM_STEP;
    else
        left -= spent < left ? spent : left;
    e->credit = left < ELECTION_TERM_STEP ? left : ELECTION_TERM_STEP;
    e->credit_wall_ms = e->now.wall_ms;
    e->highest_term = term;
}

void
term_refuse(struct election *e, const struct id *from, const char *way, uint32_t term)
{
    char name[NODE_NAME_BYTES];

    log_to(&e->env.log, LOG_LEVEL_REMOTE,
           "election: %s: %s of %s rejected: term %u is not plausible after term %u",
           e->conf.overlay, way, from ? election_name(e, from, name) : "the ring", term,
           e->highest_term);
}

uint32_t
term_next(const struct election *e)
{
    uint32_t base = e->highest_term;

    if (e->ring_term > base && (base == 0 || term_is_plausible(e, e->ring_term)))
        base = e->ring_term;
    return base < ELECTION_TERM_MAX ? base + 1 : ELECTION_TERM_MAX;
}

/* ---- records -----------------------------------------------------------------------------------
 */

static bool
has_lively_gateway(const struct election *e)
{
    for (size_t i = 0; i < e->gateway_count; i++)
        if (gateways_is_lively(e, i))
            return true;
    return false;
}

/*
 * Who knows nothing begins with the lowest, so that one record far above the others misleads
 * nobody. Who has been away so long that no record is within its reach, and hears no gateway it
 * knows, is in the same place.
 */
uint32_t
term_limit(const struct election *e, const struct gateway_record *record, size_t count)
{
    uint32_t lowest = ELECTION_TERM_MAX;
    bool is_within_reach = false;

    for (size_t i = 0; i < count; i++) {
        if (id_equal(&record[i].ref.node, &e->conf.self.node))
            continue;
        if (record[i].term < lowest)
            lowest = record[i].term;
        is_within_reach = is_within_reach || term_is_plausible(e, record[i].term);
    }
    if (e->role != ELECTION_ACTIVE &&
        (e->highest_term == 0 || (!is_within_reach && !has_lively_gateway(e))))
        return lowest < ELECTION_TERM_MAX - ELECTION_TERM_STEP ? lowest + ELECTION_TERM_STEP
                                                               : ELECTION_TERM_MAX;
    uint64_t limit = (uint64_t)e->highest_term + credit(e);
    return limit < ELECTION_TERM_MAX ? (uint32_t)limit : ELECTION_TERM_MAX;
}

/* ---- the way back ------------------------------------------------------------------------------
 */

bool
term_is_given_back(const struct election *e, const struct id *node, uint32_t term)
{
    return term > 0 && term < e->term && e->term - term >= ELECTION_TERM_STEP &&
           !id_equal(node, &e->conf.self.node) && gateways_has(e, node);
}

static void
begin_again(struct election *e, uint32_t term)
{
    e->highest_term = term;
    e->ring_term = 0;
    term_begin(e);
}

void
term_give_back(struct election *e, const struct election_gateway *by, uint32_t term)
{
    struct election_gateway set[2] = {*by};
    size_t count = 1;
    char name[NODE_NAME_BYTES];

    log_to(&e->env.log, LOG_LEVEL_INFO, "election: %s: %s reset the term from %u to %u",
           e->conf.overlay, election_name(e, &by->ref.node, name), e->term, term);
    begin_again(e, term);
    e->term = term;
    if (e->role == ELECTION_ACTIVE && e->conf.gateways > 1)
        set[count++] = gateways_self(e);
    gateways_set(e, term, set, count);
    if (e->role != ELECTION_ACTIVE)
        return;
    if (gateways_has(e, &e->conf.self.node))
        claim_restate(e);
    else
        claim_step_down(e, ELECTION_CANDIDATE, "the term was reset by another gateway");
}

enum status
term_reset(struct election *e, struct why *why)
{
    struct election_gateway self;

    if (e->role != ELECTION_ACTIVE)
        return why_set(why, ST_STATE, "election: this node is not the active gateway");
    if (e->term <= ELECTION_TERM_STEP)
        return why_set(why, ST_STATE, "election: term %u is not over %u: nothing to reset", e->term,
                       ELECTION_TERM_STEP);
    begin_again(e, 1);
    e->term = 1;
    e->replaces = (struct id){0};
    self = gateways_self(e);
    election_become(e, ELECTION_ACTIVE, "the operator reset the term");
    gateways_set(e, 1, &self, 1);
    claim_restate(e);
    claim_tell_all(e);
    return ST_OK;
}
