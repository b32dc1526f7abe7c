#include "election/internal.h"

#include <stdio.h>
#include <string.h>

uint32_t
claim_stagger_ms(const struct election *e)
{
    return 2 * e->conf.hello_ms;
}

/* ---- announcing --------------------------------------------------------------------------------
 */

void
claim_tell(struct election *e, const struct id *to)
{
    struct claim_req req = {
        .term = e->term,
        .score = e->claim_score,
        .ref = e->conf.self,
        .replaces = e->replaces,
    };

    if (gateways_has(e, &e->replaces)) /* it has come back: a word of old would unseat it */
        req.replaces = (struct id){0};
    if (id_equal(to, &e->conf.self.node))
        return;
    memcpy(req.sip_uri, e->conf.sip_uri, sizeof(req.sip_uri));
    e->env.send_claim(e->env.ctx, to, election_token(e), &req);
}

void
claim_tell_all(struct election *e)
{
    for (size_t i = 0; i < e->candidate_count; i++)
        claim_tell(e, &e->candidate[i].record.ref.node);
    for (size_t i = 0; i < e->gateway_count; i++)
        if (!ranking_find(e, &e->gateway[i].ref.node))
            claim_tell(e, &e->gateway[i].ref.node);
    for (size_t i = 0; i < e->follower_count; i++)
        if (!ranking_find(e, &e->follower[i].node))
            claim_tell(e, &e->follower[i].node);
    /* The one it replaces may only have been slow: it has to hear that it is active no more. */
    if (!id_is_zero(&e->replaces) && !ranking_find(e, &e->replaces))
        claim_tell(e, &e->replaces);
}

static void
publish_claim(struct election *e)
{
    record_publish(e, ELECTION_RECORD_GATEWAY);
    e->env.publish_ring(e->env.ctx, e->term, e->conf.priority, gateways_weight(e->claim_score));
}

static void
note_last_term(struct election *e, const struct id *replaced)
{
    if (e->highest_term < ELECTION_TERM_MAX)
        return;
    if (!id_is_zero(replaced))
        gateways_refute(e, replaced, ELECTION_TERM_MAX);
    log_to(&e->env.log, LOG_LEVEL_ERROR,
           "election: %s: the terms are used up: ringwayctl election reset-term on the gateway",
           e->conf.overlay);
}

void
claim_make(struct election *e, const struct id *replaces, const char *reason)
{
    struct election_gateway set[ELECTION_GATEWAYS_MAX];
    uint16_t score = election_own(e);
    uint32_t term = term_next(e);
    size_t count = 0;

    e->claim_score = score > 0 ? score : 1;
    e->claimed_wall_ms = e->now.wall_ms;
    e->replaces = replaces ? *replaces : (struct id){0};
    e->is_blind = e->gateway_count == 0 && (e->ring.read_ms == MOMENT_NEVER || e->ring.has_failed);
    for (size_t i = 0; e->conf.gateways > 1 && i < e->gateway_count; i++)
        if (!id_equal(&e->gateway[i].ref.node, &e->replaces) && e->watched[i].trust != TRUST_DEAD)
            set[count++] = e->gateway[i];
    if (count == e->conf.gateways)
        count--; /* in order: the last is the least wanted */
    e->term = term;
    term_learn(e, term);
    note_last_term(e, &e->replaces);
    set[count++] = gateways_self(e);
    election_become(e, ELECTION_ACTIVE, "%s", reason);
    gateways_set(e, term, set, count);
    publish_claim(e);
    claim_tell_all(e);
    record_read_ring(e);
    record_read_candidates(e);
}

void
claim_restate(struct election *e)
{
    struct id nobody = {0};

    e->replaces = nobody;
    publish_claim(e);
}

/* The same claim under a higher term; @without is no member any more, or NULL. */
static void
raise(struct election *e, const struct id *without, const char *reason)
{
    struct election_gateway set[ELECTION_GATEWAYS_MAX];
    size_t count = e->gateway_count;

    e->replaces = without ? *without : (struct id){0};
    e->term = term_next(e);
    term_learn(e, e->term);
    memcpy(set, e->gateway, count * sizeof(set[0]));
    election_become(e, ELECTION_ACTIVE, "%s", reason);
    gateways_set(e, e->term, set, count);
    publish_claim(e);
    claim_tell_all(e);
}

static void
tell_gone(const struct election *e, const struct id *node)
{
    if (e->env.gone)
        e->env.gone(e->env.ctx, node);
}

void
claim_go_on_without(struct election *e, const struct id *silent)
{
    const struct watched *w = gateways_watched(e, silent);
    struct id node = *silent;
    char reason[ELECTION_REASON_BYTES];
    char name[NODE_NAME_BYTES];

    snprintf(reason, sizeof(reason), "%s silent for %llu ms, nobody replaces it",
             election_name(e, &node, name), (unsigned long long)(e->now.mono_ms - w->heard_ms));
    gateways_drop(e, &node);
    tell_gone(e, &node);
    raise(e, &node, reason);
}

void
claim_step_down(struct election *e, enum election_role to, const char *reason)
{
    record_withdraw(e, ELECTION_RECORD_GATEWAY);
    e->env.withdraw_ring(e->env.ctx);
    e->claim_score = 0;
    e->is_blind = false;
    e->handover.is_under_way = false;
    election_become(e, e->is_leaving ? ELECTION_OBSERVER : to, "%s", reason);
    leave_stepped_down(e);
}

/* ---- claims of others --------------------------------------------------------------------------
 */

static struct election_gateway
gateway_of_claim(const struct election *e, const struct claim_req *claim)
{
    struct election_gateway g = {
        .ref = claim->ref,
        .term = claim->term,
        .score = claim->score,
        .weight = gateways_weight(claim->score),
        .since_wall_ms = e->now.wall_ms,
    };

    memcpy(g.sip_uri, claim->sip_uri, sizeof(g.sip_uri));
    return g;
}

/* The set with a claim in it: one gateway is replaced whole, of several only the one it names.  A
 * claim of a higher term is in it, whatever its score. */
static void
take_in(struct election *e, const struct claim_req *claim)
{
    struct election_gateway set[ELECTION_GATEWAYS_MAX + 1];
    bool is_raised = claim->term > e->term;
    bool keeps_others = e->conf.gateways > 1 || !is_raised;
    size_t count = 0;

    for (size_t i = 0; keeps_others && i < e->gateway_count; i++)
        if (!id_equal(&e->gateway[i].ref.node, &claim->replaces) &&
            !id_equal(&e->gateway[i].ref.node, &claim->ref.node))
            set[count++] = e->gateway[i];
    if (is_raised)
        count = gateways_arrange(set, count, e->conf.gateways - 1);
    set[count++] = gateway_of_claim(e, claim);
    note_last_term(e, &claim->replaces);
    gateways_set(e, claim->term, set, count);
    if (gateways_has(e, &claim->ref.node))
        hello_trust(e, &claim->ref.node);
    if (is_raised) /* found dead, or handed over: then its HELLO brings it back */
        ranking_gone(e, &claim->replaces);
}

static void
accept(struct election *e, const struct claim_req *claim)
{
    bool is_raised = claim->term > e->term;

    take_in(e, claim);
    if (e->role != ELECTION_ACTIVE)
        return;
    if (!gateways_has(e, &e->conf.self.node)) {
        bool is_ring_lost = e->handover.is_under_way && e->handover.is_ring_lost;
        char reason[ELECTION_REASON_BYTES];
        char name[NODE_NAME_BYTES];

        if (is_ring_lost)
            ring_moves_role(e);
        snprintf(reason, sizeof(reason), "%s claimed term %u with score %u%s",
                 election_name(e, &claim->ref.node, name), claim->term, score_bare(claim->score),
                 is_ring_lost ? ": this node has lost the ring" : "");
        claim_step_down(e, ELECTION_CANDIDATE, reason);
        return;
    }
    if (is_raised)
        claim_restate(e); /* of several: we store again under the set's new term */
    if (!gateways_has(e, &claim->ref.node))
        claim_tell_all(e); /* we won: whoever followed the loser must hear it */
}

static void
take_claim(struct election *e, const struct claim_req *claim)
{
    struct election_gateway by = gateway_of_claim(e, claim);

    term_learn(e, claim->term);
    ranking_learn(e, &claim->ref, claim->score);
    if (claim->term >= e->term)
        accept(e, claim);
    else if (term_is_given_back(e, &claim->ref.node, claim->term))
        term_give_back(e, &by, claim->term);
    else if (e->role == ELECTION_ACTIVE)
        claim_tell(e, &claim->ref.node);
}

void
claim_on_request(struct election *e, const struct election_event *ev)
{
    const struct claim_req *claim = ev->request.claim;
    const struct id *from = &ev->request.from;
    char name[NODE_NAME_BYTES];

    /* A claim that names somebody else than its signer is nobody's. */
    if (!id_equal(from, &claim->ref.node) || id_equal(from, &e->conf.self.node) ||
        claim->term == 0 || !score_is_good(claim->score)) {
        log_to(&e->env.log, LOG_LEVEL_REMOTE, "election: %s: CLAIM of %s rejected: malformed",
               e->conf.overlay, election_name(e, from, name));
    } else if (!term_is_plausible(e, claim->term)) {
        term_refuse(e, from, "CLAIM", claim->term);
        record_read_gateways(e); /* who was away for long finds out by the records */
    } else {
        take_claim(e, claim);
    }
    hello_answer(e, ev->request.handle);
}

/* The other side of a healed partition knows nodes that we do not: they hear of us now. */
static void
tell_newcomers(struct election *e, const struct hello_ans *ans)
{
    for (size_t i = 0; i < ans->candidate_count && i < HELLO_CANDIDATES_MAX; i++) {
        const struct hello_candidate *h = &ans->candidate[i];
        bool is_known = ranking_find(e, &h->ref.node);

        for (size_t j = 0; j < e->follower_count && !is_known; j++)
            is_known = id_equal(&e->follower[j].node, &h->ref.node);
        if (is_known)
            continue;
        if (h->score > 0)
            ranking_learn(e, &h->ref, h->score);
        else
            ranking_follow(e, &h->ref.node);
        claim_tell(e, &h->ref.node);
    }
}

void
claim_on_answer(struct election *e, const struct election_event *ev)
{
    const struct hello_ans *ans = ev->answer.hello;

    if (ev->answer.st != ST_OK)
        return; /* it learns by its next HELLO or read */
    if (e->role != ELECTION_ACTIVE)
        return;
    steps_note(e, STEP_ANSWERED);
    tell_newcomers(e, ans);
    if (ans->term > e->term)
        record_read_gateways(e);
}

void
claim_on_ring(struct election *e, enum status st, uint32_t term)
{
    char reason[ELECTION_REASON_BYTES];

    e->ring.is_under_way = false;
    e->ring.has_failed = st != ST_OK;
    if (st != ST_OK) {
        e->ring.at_ms = e->is_blind ? e->now.mono_ms + BLIND_RETRY_MS : MOMENT_NEVER;
        return;
    }
    e->ring.read_ms = e->ring.sent_ms;
    e->ring.at_ms = MOMENT_NEVER;
    e->ring_term = term;
    if (term > e->highest_term && e->highest_term > 0 && !term_is_plausible(e, term))
        term_refuse(e, NULL, "entry", term);
    if (e->role == ELECTION_ACTIVE && trouble_is_stranger(e)) {
        gateways_drop(e, &e->conf.self.node);
        claim_step_down(e, ELECTION_CANDIDATE, "the ring has gateways of this overlay that live");
        return;
    }
    if (e->role != ELECTION_ACTIVE || !e->is_blind)
        return;
    e->is_blind = false;
    if (term < e->term || !term_is_plausible(e, term))
        return;
    snprintf(reason, sizeof(reason), "the ring remembers term %u", term);
    raise(e, NULL, reason);
}

/* ---- when to claim -----------------------------------------------------------------------------
 */

static bool
is_read_since(const struct reading *r, uint64_t since_ms)
{
    return r->read_ms != MOMENT_NEVER && r->read_ms >= since_ms;
}

static void
vacancy_read(struct election *e)
{
    e->vacancy = VACANCY_READ;
    e->vacancy_since_ms = e->now.mono_ms;
    e->vacancy_at_ms = MOMENT_NEVER;
    e->ring.has_failed = false;
    record_read_candidates(e);
    record_read_gateways(e);
    record_read_ring(e);
}

/* A stranger to its own overlay; or it may be one, and the ring that would tell cannot be read. */
static bool
is_to_wait(const struct election *e)
{
    bool may_be = !e->has_shared && e->conf.expects_others && e->ring.has_failed;

    return trouble_is_stranger(e) || (may_be && e->now.mono_ms < e->up_since_ms + STRANGER_WAIT_MS);
}

static void
run_vacancy(struct election *e)
{
    switch (e->vacancy) {
    case VACANCY_NONE:
        e->vacancy = VACANCY_SETTLE;
        e->vacancy_at_ms = e->up_since_ms + election_settle_ms(e);
        return;
    case VACANCY_SETTLE:
        if (!election_is_settled(e))
            e->vacancy_at_ms = e->up_since_ms + election_settle_ms(e);
        else if (e->now.mono_ms >= e->vacancy_at_ms)
            vacancy_read(e);
        return;
    case VACANCY_READ:
        if (!is_read_since(&e->candidates, e->vacancy_since_ms) ||
            !is_read_since(&e->gateways, e->vacancy_since_ms) ||
            (!e->ring.has_failed && !is_read_since(&e->ring, e->vacancy_since_ms)))
            return;
        if (is_to_wait(e)) {
            e->vacancy = VACANCY_SETTLE;
            e->vacancy_at_ms = e->now.mono_ms + STRANGER_RETRY_MS;
            return;
        }
        e->vacancy = VACANCY_TURN;
        e->vacancy_at_ms = e->now.mono_ms + ranking_own(e) * claim_stagger_ms(e);
        return;
    case VACANCY_TURN:
        if (e->now.mono_ms >= e->vacancy_at_ms)
            claim_make(e, NULL, "no gateway known");
        return;
    }
}

static void
run_dead(struct election *e)
{
    for (size_t i = 0; i < e->gateway_count; i++) {
        struct watched *w = &e->watched[i];
        struct id dead = w->node;
        char reason[ELECTION_REASON_BYTES];
        char name[NODE_NAME_BYTES];

        if (w->trust != TRUST_DEAD || e->now.mono_ms < w->claim_at_ms ||
            e->now.mono_ms < e->hold_ms)
            continue;
        if (!election_is_settled(e) || !is_read_since(&e->candidates, e->up_since_ms)) {
            w->claim_at_ms = e->now.mono_ms + e->conf.hello_ms;
            record_read_candidates(e);
            continue;
        }
        snprintf(reason, sizeof(reason), "%s silent for %llu ms", election_name(e, &dead, name),
                 (unsigned long long)(e->now.mono_ms - (w->is_heard ? w->answer_ms : w->heard_ms)));
        steps_of_death(e, w);
        ranking_gone(e, &dead);
        tell_gone(e, &dead);
        claim_make(e, &dead, reason);
        return;
    }
}

/* How long a condition has held; @since is kept by the caller. */
static bool
has_held(struct election *e, bool holds, uint64_t *since_ms, uint64_t hold_ms)
{
    if (!holds)
        *since_ms = MOMENT_NEVER;
    else if (*since_ms == MOMENT_NEVER)
        *since_ms = e->now.mono_ms;
    return holds && e->now.mono_ms >= *since_ms + hold_ms;
}

static const struct election_gateway *
worst_gateway(const struct election *e)
{
    const struct election_gateway *worst = &e->gateway[0];

    for (size_t i = 1; i < e->gateway_count; i++)
        if (ranking_beats(worst->score, &worst->ref.node, e->gateway[i].score,
                          &e->gateway[i].ref.node))
            worst = &e->gateway[i];
    return worst;
}

static void
run_preempt(struct election *e)
{
    const struct election_gateway *worst = worst_gateway(e);
    const struct watched *w = gateways_watched(e, &worst->ref.node);
    uint16_t score = election_own(e);
    bool leads = e->conf.preempt && w->is_heard && w->trust == TRUST_OK && election_is_settled(e) &&
                 e->now.mono_ms >= e->patient_until_ms && worst->score > 0 &&
                 score >= worst->score + e->conf.margin && ranking_own(e) == 0;
    char reason[ELECTION_REASON_BYTES];
    char name[NODE_NAME_BYTES];

    if (!has_held(e, leads, &e->better_since_ms, e->conf.hold_ms))
        return;
    struct id replaced = worst->ref.node;
    snprintf(reason, sizeof(reason), "score %u%s leads %s with %u for %u ms", score_bare(score),
             e->conf.is_pinned ? ", pinned," : "", election_name(e, &replaced, name),
             score_bare(worst->score), e->conf.hold_ms);
    claim_make(e, &replaced, reason);
}

static void
run_extra(struct election *e)
{
    bool lacks = e->gateway_count < e->conf.gateways && election_is_settled(e) &&
                 is_read_since(&e->candidates, e->up_since_ms) && ranking_own(e) == 0;
    char reason[ELECTION_REASON_BYTES];

    if (!has_held(e, lacks, &e->extra_since_ms, election_settle_ms(e)))
        return;
    snprintf(reason, sizeof(reason), "%zu of %u gateways active", e->gateway_count,
             e->conf.gateways);
    claim_make(e, NULL, reason);
}

void
claim_run(struct election *e)
{
    if (e->role != ELECTION_CANDIDATE || e->up_since_ms == MOMENT_NEVER) {
        e->vacancy = VACANCY_NONE;
        e->vacancy_at_ms = MOMENT_NEVER;
        return;
    }
    if (e->gateway_count == 0) {
        run_vacancy(e);
        return;
    }
    run_dead(e);
    if (e->role == ELECTION_CANDIDATE)
        run_preempt(e);
    if (e->role == ELECTION_CANDIDATE)
        run_extra(e);
}

uint64_t
claim_deadline_ms(const struct election *e)
{
    uint64_t at_ms = e->vacancy_at_ms;

    if (e->role != ELECTION_CANDIDATE || e->up_since_ms == MOMENT_NEVER)
        return MOMENT_NEVER;
    if (e->gateway_count == 0 && e->vacancy == VACANCY_NONE)
        return e->now.mono_ms;
    for (size_t i = 0; i < e->gateway_count; i++)
        if (e->watched[i].trust == TRUST_DEAD)
            at_ms = moment_earlier_ms(at_ms, e->watched[i].claim_at_ms > e->hold_ms
                                                 ? e->watched[i].claim_at_ms
                                                 : e->hold_ms);
    if (e->better_since_ms != MOMENT_NEVER)
        at_ms = moment_earlier_ms(at_ms, e->better_since_ms + e->conf.hold_ms);
    if (e->extra_since_ms != MOMENT_NEVER)
        at_ms = moment_earlier_ms(at_ms, e->extra_since_ms + election_settle_ms(e));
    return at_ms;
}
