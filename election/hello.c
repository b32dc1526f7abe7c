#include "election/internal.h"

#include <string.h>

#define PROBE_WAIT_MIN_MS 100
#define PROBE_WAIT_MAX_MS 1000
#define ASK_BACKOFF_MAX   5

static bool
is_self(const struct election *e, const struct watched *w)
{
    return id_equal(&w->node, &e->conf.self.node);
}

/* How often this node says HELLO to a gateway; 0 for not at all. */
static uint32_t
interval_for(const struct election *e, const struct watched *w)
{
    if (is_self(e, w) || e->up_since_ms == MOMENT_NEVER || e->has_left)
        return 0;
    switch (e->role) {
    case ELECTION_OBSERVER:
        return e->calls > 0 ? e->conf.slow_hello_ms : 0;
    case ELECTION_CANDIDATE:
        return ranking_own(e) < e->conf.fast_ranks ? e->conf.hello_ms
                                                   : e->conf.hello_ms * SLOW_FACTOR;
    case ELECTION_ACTIVE:
        return e->conf.hello_ms; /* another member of the active set */
    }
    return 0;
}

uint32_t
hello_silence_ms(const struct election *e, const struct watched *w)
{
    uint32_t interval_ms = w->interval_ms;
    uint32_t patience_ms = w->is_heard ? 4 * w->srtt_ms : FIRST_ANSWER_MS;

    if (interval_ms < patience_ms)
        interval_ms = patience_ms;
    return e->conf.hello_misses * interval_ms;
}

/* When silence becomes a suspicion.  A reset alone is none: an idle link may have been closed; but
 * the HELLO that follows it at once must then be answered within one interval. */
static uint64_t
suspect_at_ms(const struct election *e, const struct watched *w)
{
    uint64_t at_ms = w->heard_ms + hello_silence_ms(e, w);

    if (w->is_reset)
        at_ms = moment_earlier_ms(at_ms, w->reset_ms + e->conf.hello_ms);
    return at_ms;
}

static void
trust(struct watched *w)
{
    w->trust = TRUST_OK;
    w->judge_at_ms = MOMENT_NEVER;
    w->claim_at_ms = MOMENT_NEVER;
    w->probe_count = 0;
    w->ask_count = 0;
}

static void
listen_anew(struct election *e, struct watched *w)
{
    w->heard_ms = e->now.mono_ms;
    w->is_reset = false;
    trust(w);
}

void
hello_listen_anew(struct election *e)
{
    for (size_t i = 0; i < e->gateway_count; i++) {
        listen_anew(e, &e->watched[i]);
        e->watched[i].hello_at_ms = e->now.mono_ms;
    }
}

void
hello_trust(struct election *e, const struct id *node)
{
    struct watched *w = gateways_watched(e, node);

    if (w)
        listen_anew(e, w);
}

/* ---- sending -----------------------------------------------------------------------------------
 */

static void
send_hello(struct election *e, struct watched *w)
{
    struct hello_req req = {
        .term = e->term,
        .score = e->role == ELECTION_OBSERVER ? 0 : score_total(&e->score, &e->conf.score),
        .is_candidate = e->role == ELECTION_CANDIDATE,
    };
    uint32_t token = election_token(e);
    unsigned slot = w->sent_next++ % ELECTION_SENT_MAX;

    w->sent[slot].token = token;
    w->sent[slot].at_ms = e->now.mono_ms;
    w->hello_sent_ms = e->now.mono_ms;
    w->is_sent = true;
    e->env.send_hello(e->env.ctx, &w->node, token, &req, hello_silence_ms(e, w));
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
        e->env.watch(e->env.ctx, &w->node);
    else
        e->env.unwatch(e->env.ctx, &w->node);
}

static void
run_hello(struct election *e, struct watched *w)
{
    uint32_t interval_ms = interval_for(e, w);

    if (interval_ms != w->interval_ms) {
        if (w->interval_ms == 0 || interval_ms < w->interval_ms) {
            listen_anew(e, w); /* silence so far was measured by another yardstick */
            w->hello_at_ms = w->is_sent ? w->hello_sent_ms + interval_ms : e->now.mono_ms;
        }
        w->interval_ms = interval_ms;
    }
    run_link(e, w);
    if (interval_ms == 0 || e->now.mono_ms < w->hello_at_ms)
        return;
    send_hello(e, w);
    w->hello_at_ms += interval_ms;
    if (w->hello_at_ms <= e->now.mono_ms)
        w->hello_at_ms = e->now.mono_ms + interval_ms;
}

/* ---- suspicion ---------------------------------------------------------------------------------
 */

static void
give_up(struct election *e, struct watched *w)
{
    size_t rank = ranking_own(e);
    bool was_heard = false;
    char name[NODE_NAME_BYTES];

    for (unsigned i = 0; i < w->probe_count; i++)
        was_heard |= w->probe[i].is_heard;
    w->trust = TRUST_DEAD;
    w->judge_at_ms = MOMENT_NEVER;
    w->claim_at_ms = e->now.mono_ms + rank * claim_stagger_ms(e);
    /* Nobody at all answers, and the overlay is gone too: it may be us who are cut off.  Give the
     * links a moment to come back. */
    if (e->overlay == PEER_ALONE && w->probe_count > 0 && !was_heard)
        w->claim_at_ms += election_settle_ms(e);
    log_to(&e->env.log, LOG_LEVEL_INFO,
           "election: %s: %s is taken for dead, our turn is in %llu ms", e->conf.overlay,
           election_name(e, &w->node, name), (unsigned long long)(w->claim_at_ms - e->now.mono_ms));
}

static void
ask(struct election *e, struct watched *w, const struct id *to)
{
    struct probe *p = &w->probe[w->probe_count++];
    struct probe_gateway_req req = {.gateway = w->node, .term = e->term};
    uint32_t wait_ms = (uint32_t)(w->judge_at_ms - e->now.mono_ms);

    *p = (struct probe){.to = *to, .token = election_token(e)};
    e->env.send_probe(e->env.ctx, to, p->token, &req, wait_ms);
}

static void
suspect(struct election *e, struct watched *w)
{
    const struct candidate *order[ELECTION_PROBES + 1];
    size_t count = ranking_order(e, order, ELECTION_PROBES + 1);
    uint32_t wait_ms = 2 * e->conf.hello_ms;

    if (wait_ms < PROBE_WAIT_MIN_MS)
        wait_ms = PROBE_WAIT_MIN_MS;
    if (wait_ms > PROBE_WAIT_MAX_MS)
        wait_ms = PROBE_WAIT_MAX_MS;
    w->trust = TRUST_SUSPECT;
    w->judge_at_ms = e->now.mono_ms + wait_ms;
    w->probe_count = 0;
    w->ask_count++;
    for (size_t i = 0; i < count && w->probe_count < ELECTION_PROBES; i++)
        if (!order[i]->is_self)
            ask(e, w, &order[i]->record.ref.node);
    if (w->probe_count == 0)
        give_up(e, w); /* nobody to ask */
}

static void
judge(struct election *e, struct watched *w)
{
    bool is_alive = false;
    bool was_heard = false;

    if (w->probe_count == 0) {
        suspect(e, w); /* asked before, and another still heard it */
        return;
    }
    for (unsigned i = 0; i < w->probe_count; i++)
        is_alive |= w->probe[i].is_alive;
    for (unsigned i = 0; i < w->probe_count; i++)
        was_heard |= w->probe[i].is_heard;
    if (!was_heard && w->ask_count < 2) {
        suspect(e, w); /* no answer at all says little: once more */
        return;
    }
    if (!is_alive) {
        give_up(e, w);
        return;
    }
    /* It may only not have noticed yet: ask again soon, then less and less often. */
    unsigned shift = w->ask_count < ASK_BACKOFF_MAX ? w->ask_count : ASK_BACKOFF_MAX;
    w->judge_at_ms = e->now.mono_ms + 1 + ((uint64_t)e->conf.hello_ms << (shift - 1)) / 2;
    w->probe_count = 0;
}

/* Not a candidate: nothing to decide, but where the gateway is may be read again. */
static void
look_again(struct election *e, struct watched *w)
{
    if (e->role == ELECTION_ACTIVE && e->now.mono_ms >= w->heard_ms + 3 * hello_silence_ms(e, w)) {
        struct id node = w->node; /* no candidate is left to replace it */
        gateways_refute(e, &node, e->term);
        gateways_drop(e, &node);
        return;
    }
    if (e->role == ELECTION_OBSERVER) {
        record_read_gateways(e);
        listen_anew(e, w);
    }
}

static void
run_trust(struct election *e, struct watched *w)
{
    if (w->interval_ms == 0)
        return;
    if (w->trust == TRUST_OK && e->now.mono_ms >= suspect_at_ms(e, w)) {
        if (e->role == ELECTION_CANDIDATE)
            suspect(e, w);
        else
            look_again(e, w);
    } else if (w->trust == TRUST_SUSPECT && e->now.mono_ms >= w->judge_at_ms) {
        judge(e, w);
    }
}

void
hello_run(struct election *e)
{
    for (size_t i = e->gateway_count; i-- > 0;) {
        run_hello(e, &e->watched[i]);
        run_trust(e, &e->watched[i]); /* may take the entry out: the walk is backwards */
    }
}

uint64_t
hello_deadline_ms(const struct election *e)
{
    uint64_t at_ms = MOMENT_NEVER;

    for (size_t i = 0; i < e->gateway_count; i++) {
        const struct watched *w = &e->watched[i];
        if (interval_for(e, w) != w->interval_ms)
            return e->now.mono_ms;
        if (w->interval_ms == 0)
            continue;
        at_ms = moment_earlier_ms(at_ms, w->hello_at_ms);
        at_ms = moment_earlier_ms(at_ms, w->judge_at_ms);
        if (w->trust != TRUST_OK)
            continue;
        uint64_t silence_ms = e->role == ELECTION_ACTIVE ? w->heard_ms + 3 * hello_silence_ms(e, w)
                                                         : suspect_at_ms(e, w);
        at_ms = moment_earlier_ms(at_ms, silence_ms);
    }
    return at_ms;
}

/* ---- what comes in -----------------------------------------------------------------------------
 */

void
hello_answer(struct election *e, uint64_t handle)
{
    struct hello_ans ans = {.term = e->term, .is_active = e->role == ELECTION_ACTIVE};

    ans.score = ans.is_active ? e->claim_score : score_total(&e->score, &e->conf.score);
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
    if (req->term > e->term)
        record_read_gateways(
            e); /* somebody knows of a later claim: a word is no proof, a record is */
    hello_answer(e, ev->request.handle);
}

static void
measure(struct watched *w, uint32_t rtt_ms)
{
    w->srtt_ms = w->is_heard ? (7 * w->srtt_ms + rtt_ms + 4) / 8 : rtt_ms;
    w->is_heard = true;
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
    gateways_set(e, ans->term, &lead, 1);
}

static void
on_active_answer(struct election *e, struct watched *w, const struct hello_ans *ans)
{
    size_t at = (size_t)(w - e->watched);

    listen_anew(e, w);
    /* Of several gateways the first one's list is the one that all candidates go by. */
    if (at == 0 || !e->watched[0].is_heard || e->watched[0].trust != TRUST_OK)
        ranking_heard(e, ans);
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
    if (ans->term > e->term)
        record_read_gateways(e); /* it raised its term */
    gateways_set(e, ans->term > e->term ? ans->term : e->term, known, count);
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
    measure(w, (uint32_t)(e->now.mono_ms - w->sent[slot].at_ms));
    election_saw_term(e, ans->term);
    if (ans->is_active)
        on_active_answer(e, w, ans);
    else
        follow_lead(e, &ev->answer.from, ans);
}

void
hello_on_probe(struct election *e, const struct election_event *ev)
{
    const struct probe_gateway_req *req = ev->request.probe;
    struct watched *w = gateways_watched(e, &req->gateway);
    struct probe_gateway_ans ans = {.silent_ms = UINT32_MAX, .term = e->term};

    if (w && is_self(e, w)) {
        ans.is_alive = 1;
        ans.silent_ms = 0;
    } else if (w && w->is_heard) {
        uint64_t silent_ms = e->now.mono_ms - w->heard_ms;
        ans.silent_ms = silent_ms < UINT32_MAX ? (uint32_t)silent_ms : UINT32_MAX;
        ans.is_alive =
            w->interval_ms > 0 && w->trust == TRUST_OK && e->now.mono_ms < suspect_at_ms(e, w);
    }
    e->env.answer_probe(e->env.ctx, ev->request.handle, &ans);
}

void
hello_on_probe_answer(struct election *e, const struct election_event *ev)
{
    for (size_t i = 0; i < e->gateway_count; i++) {
        struct watched *w = &e->watched[i];
        unsigned answered = 0;
        bool is_ours = false;

        for (unsigned j = 0; j < w->probe_count; j++) {
            struct probe *p = &w->probe[j];
            if (p->token == ev->answer.token) {
                is_ours = true;
                p->is_answered = true;
                p->is_heard = ev->answer.st == ST_OK;
                p->is_alive = p->is_heard && ev->answer.probe->is_alive &&
                              ev->answer.probe->silent_ms < hello_silence_ms(e, w);
            }
            answered += p->is_answered;
        }
        if (is_ours && w->trust == TRUST_SUSPECT && answered == w->probe_count)
            w->judge_at_ms = e->now.mono_ms;
    }
    if (ev->answer.st == ST_OK && ev->answer.probe->term > e->term)
        record_read_gateways(e);
}

void
hello_on_link(struct election *e, const struct election_event *ev)
{
    struct watched *w = gateways_watched(e, &ev->link.node);

    if (!w || !w->is_linked || ev->link.is_up)
        return;
    if (w->is_reset)
        return; /* links that cannot be built fail again and again: that is no news */
    w->is_reset = true;
    w->reset_ms = e->now.mono_ms;
    w->hello_at_ms = e->now.mono_ms; /* ask at once whether it is only the link */
}
