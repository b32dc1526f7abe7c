#include "election/internal.h"

#include <string.h>

#define JITTER_SHARE   4 /* a HELLO goes up to a quarter of its interval early: RFC 5880 6.8.7 */
#define LATE_INTERVALS 4 /* a slow candidate leaves its machine so many times the lateness */

static bool
is_self(const struct election *e, const struct watched *w)
{
    return id_equal(&w->node, &e->conf.self.node);
}

/* The first in rank always keep the pace that detection needs.  Those behind them double the
 * interval with each rank, and while their own machine is late; never over the upper bound. */
static uint32_t
interval_of_candidate(const struct election *e)
{
    size_t rank = ranking_own(e);
    uint64_t interval_ms = e->conf.hello_ms;

    if (rank < e->conf.fast_ranks)
        return e->conf.hello_ms;
    for (size_t i = e->conf.fast_ranks; i <= rank && interval_ms < e->conf.hello_max_ms; i++)
        interval_ms *= 2;
    while (interval_ms < LATE_INTERVALS * (uint64_t)e->late_ms &&
           interval_ms < e->conf.hello_max_ms)
        interval_ms *= 2;
    return interval_ms < e->conf.hello_max_ms ? (uint32_t)interval_ms : e->conf.hello_max_ms;
}

/* Has this node calls, or sends requests by way of the gateway? */
static bool
has_work(const struct election *e)
{
    return e->calls > 0 ||
           (e->worked_ms != MOMENT_NEVER && e->now.mono_ms < e->worked_ms + WORK_MS);
}

/* How often this node says HELLO to a gateway; 0 for not at all. */
static uint32_t
interval_for(const struct election *e, const struct watched *w)
{
    if (is_self(e, w) || e->up_since_ms == MOMENT_NEVER || e->has_left)
        return 0;
    switch (e->role) {
    case ELECTION_OBSERVER:
        return has_work(e) ? e->conf.slow_hello_ms : 0;
    case ELECTION_CANDIDATE:
        return interval_of_candidate(e);
    case ELECTION_ACTIVE:
        return e->conf.hello_ms; /* another member of the active set */
    }
    return 0;
}

/* So many intervals; and the last of those HELLOs has had time for its answer. */
uint32_t
hello_silence_ms(const struct election *e, const struct watched *w)
{
    uint32_t silence_ms = e->conf.hello_misses * w->interval_ms;
    uint32_t answer_ms = 4 * w->srtt_ms;

    if (!w->is_heard && w->interval_ms < FIRST_ANSWER_MS)
        return e->conf.hello_misses * FIRST_ANSWER_MS;
    if (answer_ms > e->conf.hello_max_ms)
        answer_ms = e->conf.hello_max_ms;
    return answer_ms > w->interval_ms ? silence_ms - w->interval_ms + answer_ms : silence_ms;
}

void
hello_listen(struct election *e, struct watched *w)
{
    w->heard_ms = e->now.mono_ms;
    w->unanswered = 0;
    w->is_reset = false;
    suspicion_end(w);
}

void
hello_listen_anew(struct election *e)
{
    for (size_t i = 0; i < e->gateway_count; i++) {
        hello_listen(e, &e->watched[i]);
        e->watched[i].hello_at_ms = e->now.mono_ms;
    }
}

void
hello_trust(struct election *e, const struct id *node)
{
    struct watched *w = gateways_watched(e, node);

    if (!w)
        return;
    hello_listen(e, w);
    w->news_ms = e->now.mono_ms;
}

void
hello_forgive(struct election *e, uint64_t late_ms)
{
    for (size_t i = 0; i < e->gateway_count; i++)
        for (unsigned slot = 0; slot < ELECTION_SENT_MAX; slot++) {
            uint64_t *at_ms = &e->watched[i].sent[slot].at_ms;
            *at_ms = *at_ms + late_ms < e->now.mono_ms ? *at_ms + late_ms : e->now.mono_ms;
        }
}

/* ---- sending -----------------------------------------------------------------------------------
 */

/* One that may not claim yet is listed as nobody's stand-by: the others would wait for it. */
static void
send_hello(struct election *e, struct watched *w)
{
    bool is_ready = e->role == ELECTION_CANDIDATE && election_is_settled(e);
    struct hello_req req = {
        .term = e->term,
        .score = e->role == ELECTION_ACTIVE || is_ready ? election_own(e) : 0,
        .is_candidate = is_ready,
        .ring = ring_health(e),
    };
    uint32_t token = election_token(e);
    unsigned slot = w->sent_next++ % ELECTION_SENT_MAX;

    w->sent[slot].token = token;
    w->sent[slot].at_ms = e->now.mono_ms;
    w->hello_sent_ms = e->now.mono_ms;
    w->is_sent = true;
    w->unanswered++;
    e->env.send_hello(e->env.ctx, &w->node, token, &req, hello_silence_ms(e, w));
}

void
hello_tell(struct election *e, const struct id *gateway)
{
    struct watched *w = gateways_watched(e, gateway);

    if (w)
        send_hello(e, w);
}

/* The fast ones keep a direct link, so that a crash is seen as a reset. */
static void
run_link(struct election *e, struct watched *w)
{
    bool wants =
        w->interval_ms > 0 && (w->interval_ms <= e->conf.hello_ms || e->role == ELECTION_OBSERVER);

    if (wants == w->is_linked)
        return;
    w->is_linked = wants;
    if (wants)
        e->env.watch(e->env.ctx, &w->node, e->gateway[w - e->watched].ref.address);
    else
        e->env.unwatch(e->env.ctx, &w->node);
}

static void
run_hello(struct election *e, struct watched *w)
{
    uint32_t interval_ms = interval_for(e, w);

    if (interval_ms != w->interval_ms) {
        if (w->interval_ms == 0 || interval_ms < w->interval_ms) {
            hello_listen(e, w); /* silence so far was measured by another yardstick */
            w->hello_at_ms = w->is_sent ? w->hello_sent_ms + interval_ms : e->now.mono_ms;
        }
        w->interval_ms = interval_ms;
    }
    run_link(e, w);
    if (interval_ms == 0 || e->now.mono_ms < w->hello_at_ms)
        return;
    send_hello(e, w);
    w->hello_at_ms =
        e->now.mono_ms + interval_ms - e->env.random(e->env.ctx) % (interval_ms / JITTER_SHARE + 1);
}

void
hello_run(struct election *e)
{
    for (size_t i = e->gateway_count; i-- > 0;) {
        run_hello(e, &e->watched[i]);
        suspicion_run(e, &e->watched[i]); /* may take the entry out: the walk is backwards */
    }
    suspicion_run_looks(e);
}

uint64_t
hello_deadline_ms(const struct election *e)
{
    uint64_t at_ms = suspicion_looks_deadline_ms(e);

    for (size_t i = 0; i < e->gateway_count; i++) {
        const struct watched *w = &e->watched[i];
        if (interval_for(e, w) != w->interval_ms)
            return e->now.mono_ms;
        if (w->interval_ms == 0)
            continue;
        at_ms = moment_earlier_ms(at_ms, w->hello_at_ms);
        at_ms = moment_earlier_ms(at_ms, suspicion_deadline_ms(e, w));
    }
    return at_ms;
}

/* ---- what comes in -----------------------------------------------------------------------------
 */

void
hello_answer(struct election *e, uint64_t handle)
{
    struct hello_ans ans = {
        .term = e->term, .is_active = e->role == ELECTION_ACTIVE, .health = ring_health(e)};

    ans.score = ans.is_active ? e->claim_score : election_own(e);
    if (ans.is_active)
        ans.active = e->conf.self.node;
    else if (e->gateway_count > 0)
        ans.active = e->gateway[0].ref.node;
    ranking_tell(e, &ans);
    e->env.answer_hello(e->env.ctx, handle, &ans);
}

void
hello_on_request(struct election *e, const struct election_event *ev)
{
    const struct hello_req *req = ev->request.hello;

    ranking_on_hello(e, &ev->request.from, req);
    if (req->term > e->term) /* it knows of a later claim: a word is no proof, a record is */
        record_read_gateways(e);
    if (req->term < e->term && e->role == ELECTION_ACTIVE) /* one that was stopped, or cut off */
        claim_tell(e, &ev->request.from);
    hello_answer(e, ev->request.handle);
}

static void
measure(struct watched *w, uint64_t now_ms, uint32_t rtt_ms)
{
    w->srtt_ms = w->is_heard ? (7 * w->srtt_ms + rtt_ms + 4) / 8 : rtt_ms;
    w->is_heard = true;
    w->answer_ms = now_ms;
    w->life_ms = now_ms;
    w->news_ms = now_ms;
}

/* It says it is not active.  What it knows of the gateway is a lead, to be confirmed by a HELLO. */
static void
follow_lead(struct election *e, const struct id *from, const struct hello_ans *ans)
{
    struct election_gateway lead = {.ref = {.node = ans->active}};
    const struct candidate *c = ranking_find(e, &ans->active);

    gateways_refute(e, from, e->term > ans->term ? e->term : ans->term);
    if (e->role == ELECTION_ACTIVE && e->conf.gateways == 1)
        return;
    gateways_drop(e, from);
    record_read_gateways(e);
    if (e->gateway_count > 0 || ans->term < e->term || id_is_zero(&ans->active) ||
        id_equal(&ans->active, &e->conf.self.node) ||
        gateways_is_refuted(e, &ans->active, ans->term))
        return;
    if (c)
        lead.ref = c->record.ref;
    gateways_set(e, e->term, &lead, 1);
}

static void
on_active_answer(struct election *e, struct watched *w, const struct hello_ans *ans)
{
    size_t at = (size_t)(w - e->watched);

    w->is_link_known = true;
    hello_listen(e, w);
    /* Of several gateways the first one's list is the one that all candidates go by. */
    if (at == 0 || !e->watched[0].is_heard || e->watched[0].trust != TRUST_OK)
        ranking_heard(e, ans);
    if (!term_is_plausible(e, ans->term)) {
        term_refuse(e, &w->node, "HELLO answer", ans->term);
        record_read_gateways(e);
        return;
    }
    if (term_is_given_back(e, &w->node, ans->term)) {
        struct election_gateway by = e->gateway[at];
        term_give_back(e, &by, ans->term);
        return;
    }
    if (ans->term <= e->term && e->gateway[at].score == ans->score)
        return;
    if (e->role == ELECTION_ACTIVE) { /* of a set of several: let the records tell */
        if (ans->term > e->term)
            record_read_gateways(e);
        return;
    }
    struct election_gateway known[ELECTION_GATEWAYS_MAX];
    size_t count = e->gateway_count;
    memcpy(known, e->gateway, count * sizeof(known[0]));
    known[at].score = ans->score;
    if (ans->term <= e->term) {
        gateways_set(e, e->term, known, count);
        return;
    }
    record_read_gateways(e); /* it raised its term: who else is of the new set is to be read */
    gateways_set(e, ans->term, &known[at], 1);
}

void
hello_on_answer(struct election *e, const struct election_event *ev)
{
    const struct hello_ans *ans = ev->answer.hello;
    struct watched *w = ev->answer.st == ST_OK ? gateways_watched(e, &ev->answer.from) : NULL;
    unsigned slot = 0;

    if (!w || is_self(e, w))
        return; /* silence is what counts, not how a HELLO failed */
    while (slot < ELECTION_SENT_MAX && w->sent[slot].token != ev->answer.token)
        slot++;
    if (slot == ELECTION_SENT_MAX)
        return; /* too old to tell us anything */
    measure(w, e->now.mono_ms, (uint32_t)(e->now.mono_ms - w->sent[slot].at_ms));
    w->ring = ans->health;
    if (ans->is_active)
        on_active_answer(e, w, ans);
    else
        follow_lead(e, &ev->answer.from, ans);
}
