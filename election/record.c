#include "election/internal.h"

#include <stdio.h>
#include <string.h>

#define OBSERVER_SLOWER     6 /* observers read the gateways' records so much less often */
#define NO_GATEWAY_RETRY_MS 1000
#define READ_CANDIDATES     8 /* so many may read every refresh_ms; twice as many, half as often */

/* ---- reading -----------------------------------------------------------------------------------
 */

static void
read_soon(struct election *e, struct reading *r)
{
    uint64_t at_ms = e->now.mono_ms;

    if (r->is_under_way)
        at_ms++; /* what is under way may have been too early: once more after it */
    r->at_ms = moment_earlier_ms(r->at_ms, at_ms);
}

void
record_read_gateways(struct election *e)
{
    /* Whatever a stranger can trigger: once in a HELLO interval. */
    uint64_t at_ms = e->gateways.sent_ms + e->conf.hello_ms;

    if (e->gateways.sent_ms == 0 || at_ms <= e->now.mono_ms)
        read_soon(e, &e->gateways);
    else
        e->gateways.at_ms = moment_earlier_ms(e->gateways.at_ms, at_ms);
}

void
record_read_candidates(struct election *e)
{
    uint64_t at_ms = e->candidates.sent_ms + e->conf.hello_ms;

    if (e->candidates.sent_ms == 0 || at_ms <= e->now.mono_ms)
        read_soon(e, &e->candidates);
    else
        e->candidates.at_ms = moment_earlier_ms(e->candidates.at_ms, at_ms);
}

void
record_read_ring(struct election *e)
{
    read_soon(e, &e->ring);
}

/* Some spread, or all nodes that joined together read together for ever. */
static uint64_t
spread_ms(struct election *e, uint64_t period_ms)
{
    uint64_t slack_ms = period_ms / 8 + 1;

    return e->now.mono_ms + period_ms + e->env.random(e->env.ctx) % slack_ms;
}

/* A gateway that comes out of solitude may have been replaced meanwhile, and the record that says
 * so reaches it only when the overlay has put its records in order. */
static bool
may_be_replaced(const struct election *e)
{
    return e->role == ELECTION_ACTIVE && e->now.mono_ms < e->doubt_until_ms;
}

/*
 * A candidate that hears the gateway has the ranked list, the term and the members of the ring from
 * it.  The overlay is asked for the rest, less often the more candidates there are: each answer
 * names them all, and all that they ask together is to grow no faster than their number.  The
 * gateway itself does not slow down: it is what another one is found by.
 */
static uint64_t
candidate_period_ms(const struct election *e)
{
    bool is_told = e->role == ELECTION_CANDIDATE && e->gateway_count > 0 &&
                   e->watched[0].is_heard && e->watched[0].trust == TRUST_OK;
    uint64_t slower = e->candidate_count / READ_CANDIDATES;

    return e->conf.refresh_ms * (is_told && slower > 1 ? slower : 1);
}

static void
plan_gateways(struct election *e, bool has_failed)
{
    uint64_t period_ms = candidate_period_ms(e);

    has_failed = has_failed || may_be_replaced(e);
    if (e->role == ELECTION_OBSERVER)
        period_ms *= OBSERVER_SLOWER;
    if (e->gateway_count == 0 && period_ms > NO_GATEWAY_RETRY_MS)
        period_ms = NO_GATEWAY_RETRY_MS;
    for (size_t i = 0; i < e->gateway_count; i++)
        if (!e->gateway[i].sip_uri[0])
            has_failed = true; /* only a lead: its record is still to be read */
    if (has_failed && period_ms > RETRY_MS)
        period_ms = RETRY_MS;
    if (e->gateways.at_ms == MOMENT_NEVER)
        e->gateways.at_ms = spread_ms(e, period_ms);
}

static void
plan_candidates(struct election *e, bool has_failed)
{
    uint64_t period_ms = candidate_period_ms(e);

    if (has_failed && period_ms > RETRY_MS)
        period_ms = RETRY_MS;
    if (e->candidates.at_ms == MOMENT_NEVER && e->role != ELECTION_OBSERVER)
        e->candidates.at_ms = spread_ms(e, period_ms);
}

static void
ended(struct reading *r, enum status st)
{
    r->is_under_way = false;
    r->has_failed = st != ST_OK;
    if (st == ST_OK)
        r->read_ms = r->sent_ms;
}

void
record_on_candidates(struct election *e, const struct election_event *ev)
{
    ended(&e->candidates, ev->candidates.st);
    if (ev->candidates.st == ST_OK)
        ranking_read(e, ev->candidates.record, ev->candidates.count);
    plan_candidates(e, ev->candidates.st != ST_OK);
}

static struct election_gateway
gateway_of_record(const struct gateway_record *r)
{
    struct election_gateway g = {
        .ref = r->ref,
        .term = r->term,
        .score = r->score,
        .priority = r->priority,
        .weight = r->weight,
        .since_wall_ms = r->since_wall_ms,
    };

    memcpy(g.sip_uri, r->sip_uri, sizeof(g.sip_uri));
    return g;
}

/* With the last term of all a claim cannot outrank the one it replaces: that one's record counts no
 * more, however long it is still there. */
static bool
is_outranked(const struct election *e, const struct gateway_record *r)
{
    return r->term == ELECTION_TERM_MAX ? gateways_was_refuted(e, &r->ref.node, r->term)
                                        : gateways_is_refuted(e, &r->ref.node, r->term);
}

/* The records that count: of the highest term, not our own, not of one that says it is none. */
static size_t
pick(const struct election *e, const struct gateway_record *record, size_t count, uint32_t limit,
     struct election_gateway *ret, uint32_t *ret_term)
{
    size_t picked = 0;

    *ret_term = 0;
    for (size_t i = 0; i < count; i++) {
        const struct gateway_record *r = &record[i];
        if (id_equal(&r->ref.node, &e->conf.self.node) || r->term < *ret_term || r->term > limit ||
            is_outranked(e, r))
            continue;
        if (r->term > *ret_term)
            picked = 0;
        *ret_term = r->term;
        if (picked < ELECTION_GATEWAYS_MAX)
            ret[picked++] = gateway_of_record(r);
    }
    return picked;
}

/* Under one term what was heard and what was read belong together, ourselves included. */
static size_t
add_known(const struct election *e, uint32_t term, struct election_gateway *set, size_t count)
{
    for (size_t i = 0; term == e->term && i < e->gateway_count; i++)
        if (gateways_is_lively(e, i))
            set[count++] = e->gateway[i];
    return count;
}

/* We are active and the overlay has records of our own term or of a higher one. */
static void
meet_as_active(struct election *e, uint32_t term, struct election_gateway *found, size_t count)
{
    struct election_gateway set[2 * ELECTION_GATEWAYS_MAX];
    char reason[ELECTION_REASON_BYTES];
    char name[NODE_NAME_BYTES];
    size_t set_count = 0;
    uint32_t was = e->term;

    for (size_t i = 0; i < count; i++)
        set[set_count++] = found[i];
    set_count = add_known(e, term, set, set_count);
    /* Under a higher term we stay only where there is room: our own record is then stored again. */
    if (term > e->term && set_count < e->conf.gateways)
        set[set_count++] = gateways_self(e);
    gateways_set(e, term, set, set_count);
    if (!gateways_has(e, &e->conf.self.node)) {
        snprintf(reason, sizeof(reason), "%s is active under term %u",
                 election_name(e, &found[0].ref.node, name), term);
        claim_step_down(e, ELECTION_CANDIDATE, reason);
        return;
    }
    if (term > was)
        claim_restate(e);
    for (size_t i = 0; i < count; i++)
        if (!gateways_has(e, &found[i].ref.node)) {
            claim_tell_all(e); /* it lost to us: all hear who won */
            return;
        }
}

/* A record of a lower term beside our own: a gateway that died, or the other side of a partition
 * that healed.  It hears of us once for each of its terms; its answer names those who followed it.
 */
static void
tell_losers(struct election *e, const struct gateway_record *record, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct gateway_record *r = &record[i];
        if (r->term >= e->term || id_equal(&r->ref.node, &e->conf.self.node) ||
            gateways_was_refuted(e, &r->ref.node, r->term))
            continue;
        gateways_refute(e, &r->ref.node, r->term);
        claim_tell_all(e);
        if (!ranking_find(e, &r->ref.node) && !gateways_has(e, &r->ref.node))
            claim_tell(e, &r->ref.node);
        return;
    }
}

/*
 * Who had the highest term is gone without a successor that knew of it: this node alone remembers,
 * and a memory is no proof.  It follows whoever there is, under the term that has a record.
 */
static void
follow_lower(struct election *e, uint32_t term, const struct election_gateway *found, size_t count)
{
    for (size_t i = 0; i < e->gateway_count; i++)
        if (gateways_is_lively(e, i))
            return;
    gateways_set(e, term, found, count);
}

/* A gateway's own record goes far back: its operator reset the term. */
static void
take_back(struct election *e, const struct gateway_record *record, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (term_is_given_back(e, &record[i].ref.node, record[i].term)) {
            struct election_gateway by = gateway_of_record(&record[i]);
            term_give_back(e, &by, record[i].term);
            return;
        }
}

/* Records over the limit are told of, and do not count. */
static uint32_t
judge_terms(struct election *e, const struct gateway_record *record, size_t count)
{
    uint32_t limit = term_limit(e, record, count);

    for (size_t i = 0; i < count; i++) {
        if (record[i].term > limit)
            term_refuse(e, &record[i].ref.node, "record", record[i].term);
        /* Of an earlier life of this node, or a removal that got lost: nobody may follow it. */
        if (e->role != ELECTION_ACTIVE && id_equal(&record[i].ref.node, &e->conf.self.node))
            e->env.withdraw(e->env.ctx, ELECTION_RECORD_GATEWAY);
    }
    for (size_t i = 0; i < count; i++)
        if (record[i].term <= limit)
            term_learn(e, record[i].term);
    return limit;
}

static void
take_records(struct election *e, const struct gateway_record *record, size_t count)
{
    struct election_gateway found[ELECTION_GATEWAYS_MAX];
    uint32_t term = 0, limit;
    size_t picked;

    take_back(e, record, count);
    limit = judge_terms(e, record, count);
    picked = pick(e, record, count, limit, found, &term);
    if (picked > 0 && term < e->term && e->role == ELECTION_OBSERVER)
        follow_lower(e, term, found, picked);
    if (picked > 0 && term >= e->term) {
        if (e->role == ELECTION_ACTIVE) {
            meet_as_active(e, term, found, picked);
        } else {
            struct election_gateway set[2 * ELECTION_GATEWAYS_MAX];
            memcpy(set, found, picked * sizeof(found[0]));
            gateways_set(e, term, set, add_known(e, term, set, picked));
        }
    }
    if (e->role == ELECTION_ACTIVE)
        tell_losers(e, record, count);
}

void
record_on_gateways(struct election *e, const struct election_event *ev)
{
    ended(&e->gateways, ev->gateways.st);
    if (ev->gateways.st == ST_OK)
        take_records(e, ev->gateways.record, ev->gateways.count);
    plan_gateways(e, ev->gateways.st != ST_OK);
}

static bool
is_due(struct election *e, struct reading *r)
{
    if (r->is_under_way && e->now.mono_ms >= r->sent_ms + READ_LOST_MS) {
        r->is_under_way = false; /* its answer is lost: ask again */
        r->has_failed = true;
        r->at_ms = e->now.mono_ms;
    }
    if (r->is_under_way || e->now.mono_ms < r->at_ms)
        return false;
    r->is_under_way = true;
    r->sent_ms = e->now.mono_ms;
    r->at_ms = MOMENT_NEVER;
    return true;
}

/* ---- keeping our own ---------------------------------------------------------------------------
 */

void
record_publish(struct election *e, enum election_record which)
{
    e->is_published[which] = true;
    e->publish_at_ms[which] = e->now.mono_ms;
}

void
record_withdraw(struct election *e, enum election_record which)
{
    if (!e->is_published[which])
        return;
    e->is_published[which] = false;
    e->publish_at_ms[which] = MOMENT_NEVER;
    e->env.withdraw(e->env.ctx, which);
}

static void
publish_candidate(struct election *e)
{
    const struct candidate *c;

    ranking_self(e);
    c = ranking_find(e, &e->conf.self.node);
    if (!c)
        return;
    e->published_score = c->record.score;
    e->env.publish_candidate(e->env.ctx, &c->record, e->conf.lifetime_s);
}

static void
publish_gateway(struct election *e)
{
    struct gateway_record r = {
        .term = e->term,
        .score = e->claim_score,
        .priority = e->conf.priority,
        .weight = gateways_weight(e->claim_score),
        .ref = e->conf.self,
        .since_wall_ms = e->claimed_wall_ms,
    };

    memcpy(r.sip_uri, e->conf.sip_uri, sizeof(r.sip_uri));
    e->env.publish_gateway(e->env.ctx, &r, e->conf.lifetime_s);
}

static void
run_publish(struct election *e, enum election_record which)
{
    if (!e->is_published[which] || e->now.mono_ms < e->publish_at_ms[which])
        return;
    e->publish_at_ms[which] = e->now.mono_ms + e->conf.lifetime_s * 500ULL;
    if (which == ELECTION_RECORD_CANDIDATE)
        publish_candidate(e);
    else
        publish_gateway(e);
}

void
record_on_stored(struct election *e, const struct election_event *ev)
{
    uint64_t *at_ms = &e->publish_at_ms[ev->stored.which];

    if (ev->stored.st == ST_OK && ev->stored.which == ELECTION_RECORD_GATEWAY)
        steps_note(e, STEP_STORED);
    if (ev->stored.st != ST_OK && e->is_published[ev->stored.which])
        *at_ms = moment_earlier_ms(*at_ms, e->now.mono_ms + RETRY_MS);
}

void
record_run(struct election *e)
{
    if (e->up_since_ms == MOMENT_NEVER || e->has_left)
        return;
    run_publish(e, ELECTION_RECORD_CANDIDATE);
    run_publish(e, ELECTION_RECORD_GATEWAY);
    if (is_due(e, &e->gateways))
        e->env.fetch_gateways(e->env.ctx);
    if (is_due(e, &e->candidates))
        e->env.fetch_candidates(e->env.ctx);
    if (e->conf.global_address[0] && is_due(e, &e->ring))
        e->env.fetch_ring(e->env.ctx);
}

static uint64_t
reading_ms(const struct reading *r)
{
    return r->is_under_way ? r->sent_ms + READ_LOST_MS : r->at_ms;
}

uint64_t
record_deadline_ms(const struct election *e)
{
    uint64_t at_ms;

    if (e->up_since_ms == MOMENT_NEVER || e->has_left)
        return MOMENT_NEVER;
    at_ms = moment_earlier_ms(e->publish_at_ms[ELECTION_RECORD_CANDIDATE],
                              e->publish_at_ms[ELECTION_RECORD_GATEWAY]);
    at_ms = moment_earlier_ms(at_ms, reading_ms(&e->gateways));
    at_ms = moment_earlier_ms(at_ms, reading_ms(&e->candidates));
    if (e->conf.global_address[0])
        at_ms = moment_earlier_ms(at_ms, reading_ms(&e->ring));
    return at_ms;
}
