#include "election/internal.h"

#include <string.h>

#define PROBE_WAIT_MIN_MS 50
#define PROBE_WAIT_MAX_MS 1000
#define RESET_WAIT_MIN_MS 10
#define LOOK_SHARE        5 /* who is asked gives the gateway a fifth of the HELLO interval */
#define LOOK_PAUSE_MS     5
#define ASK_AGAIN_SHARE   8 /* first again after an eighth of the HELLO interval */
#define ASK_BACKOFF_MAX   6 /* and then twice as late each time, up to eight intervals */

void
suspicion_end(struct watched *w)
{
    w->trust = TRUST_OK;
    w->judge_at_ms = MOMENT_NEVER;
    w->claim_at_ms = MOMENT_NEVER;
    w->probe_count = 0;
    w->ask_count = 0;
    w->is_recess = false;
    w->is_doubted = false;
}

static uint32_t
clamp(uint32_t x, uint32_t least, uint32_t most)
{
    if (x < least)
        return least;
    return x > most ? most : x;
}

/* How long who is asked about a gateway waits for that gateway's answer. */
static uint32_t
look_ms(const struct election *e, const struct watched *w)
{
    uint32_t wait_ms = e->conf.hello_ms / LOOK_SHARE;

    return clamp(wait_ms > 4 * w->srtt_ms ? wait_ms : 4 * w->srtt_ms, RESET_WAIT_MIN_MS,
                 e->conf.hello_ms);
}

/*
 * When silence has lasted: so many intervals after the last answer; before that, where the last of
 * as many HELLOs is overdue.  They go out up to a quarter early, and 4 round trips are time enough.
 * Of one that is still to come it says when it will be.
 */
static uint64_t
silent_from_ms(const struct election *e, const struct watched *w)
{
    uint64_t at_ms = w->heard_ms + hello_silence_ms(e, w);
    uint64_t least_ms = w->heard_ms + 3ULL * e->conf.hello_misses * w->interval_ms / 4;
    uint64_t last_ms = w->unanswered >= e->conf.hello_misses ? w->hello_sent_ms : w->hello_at_ms;
    uint32_t wait_ms = clamp(4 * w->srtt_ms, RESET_WAIT_MIN_MS, e->conf.hello_ms);

    if (!w->is_heard || w->unanswered + 1 < e->conf.hello_misses || last_ms < least_ms)
        return at_ms;
    return moment_earlier_ms(at_ms, last_ms + wait_ms);
}

/*
 * When to ask others.  A candidate does so at once after a reset; in silence so much before the
 * last HELLO is overdue that their answers are there when it is.  For those that are no candidates
 * it is when they give up.
 */
static uint64_t
suspect_at_ms(const struct election *e, const struct watched *w)
{
    uint64_t at_ms = silent_from_ms(e, w);
    uint32_t lead_ms = clamp(look_ms(e, w) + 2 * w->srtt_ms, 1, w->interval_ms / 4 + 1);

    if (e->role == ELECTION_CANDIDATE && w->is_doubted)
        at_ms = moment_earlier_ms(at_ms, w->doubted_ms + lead_ms);
    if (e->role != ELECTION_CANDIDATE)
        return w->is_reset ? moment_earlier_ms(at_ms, w->reset_ms + e->conf.hello_ms) : at_ms;
    return w->is_reset ? moment_earlier_ms(at_ms - lead_ms, w->reset_ms) : at_ms - lead_ms;
}

/* A gateway that was never heard may be far: its first answer has the time of a HELLO. */
static uint32_t
answer_wait_ms(const struct election *e, const struct watched *w)
{
    return w->is_heard ? clamp(4 * w->srtt_ms, RESET_WAIT_MIN_MS, e->conf.hello_ms)
                       : e->conf.hello_ms;
}

/* Work waits, our own HELLO has no answer, and it has been silent for a part of its patience. */
static uint64_t
doubted_from_ms(const struct election *e, const struct watched *w)
{
    uint64_t at_ms = w->heard_ms + signs_floor_ms(e, w);
    uint64_t least_ms = w->doubted_ms + signs_doubt_ms(w);

    return at_ms > least_ms ? at_ms : least_ms;
}

/* Silence on a path that loses packets says something when TCP has had its time: since we heard it,
 * or another who was asked. */
static uint64_t
lossy_until_ms(const struct election *e, const struct watched *w)
{
    uint32_t lossy_ms = signs_lossy_ms(e, w);

    return lossy_ms ? (w->heard_ms > w->others_ms ? w->heard_ms : w->others_ms) + lossy_ms : 0;
}

/* No verdict before: the HELLO that asks the gateway itself may still have its answer. */
static uint64_t
verdict_from_ms(const struct election *e, const struct watched *w)
{
    uint64_t at_ms = silent_from_ms(e, w);
    uint32_t wait_ms = answer_wait_ms(e, w);
    uint64_t lossy_ms = lossy_until_ms(e, w);

    /* Ours went late: it is that many HELLOs that have to be unanswered. */
    if (w->unanswered < e->conf.hello_misses && at_ms < w->hello_at_ms + RESET_WAIT_MIN_MS)
        at_ms = w->hello_at_ms + RESET_WAIT_MIN_MS;
    if (w->is_doubted)
        at_ms = moment_earlier_ms(at_ms, doubted_from_ms(e, w));
    if (at_ms < lossy_ms)
        at_ms = lossy_ms;
    return w->is_reset ? moment_earlier_ms(at_ms, w->reset_ms + wait_ms) : at_ms;
}

/* ---- asking others -----------------------------------------------------------------------------
 */

static void
ask(struct election *e, struct watched *w, const struct id *to)
{
    struct probe *p = &w->probe[w->probe_count++];
    struct probe_gateway_req req = {.gateway = w->node, .term = e->term};
    uint32_t wait_ms = (uint32_t)(w->judge_at_ms - e->now.mono_ms);

    if (w->is_doubted)
        req.waiting_ms = (uint32_t)(e->now.mono_ms - w->work_ms);
    /* Where packets get lost an answer may come when its round is over. */
    if (wait_ms < signs_lossy_ms(e, w))
        wait_ms = signs_lossy_ms(e, w);
    *p = (struct probe){.to = *to, .token = election_token(e)};
    unsigned slot = w->asked_next++ % ELECTION_SENT_MAX;
    w->asked[slot].token = p->token;
    w->asked[slot].at_ms = e->now.mono_ms;
    w->asked_count++;
    e->env.send_probe(e->env.ctx, to, p->token, &req, wait_ms);
}

/* Our place among those that may claim; who did not answer our probe will not claim before us. */
static size_t
own_turn(const struct election *e, const struct watched *w)
{
    const struct candidate *order[ELECTION_CANDIDATES_MAX];
    size_t count = ranking_order(e, order, ELECTION_CANDIDATES_MAX);
    size_t before = 0;

    for (size_t i = 0; i < count && !order[i]->is_self; i++) {
        bool is_silent = false;
        for (unsigned j = 0; j < w->probe_count; j++)
            is_silent |=
                !w->probe[j].is_heard && id_equal(&w->probe[j].to, &order[i]->record.ref.node);
        before += !is_silent;
    }
    return before;
}

static void
give_up(struct election *e, struct watched *w)
{
    bool was_heard = false;
    char name[NODE_NAME_BYTES];

    for (unsigned i = 0; i < w->probe_count; i++)
        was_heard |= w->probe[i].is_heard;
    w->trust = TRUST_DEAD;
    w->dead_ms = e->now.mono_ms;
    w->judge_at_ms = MOMENT_NEVER;
    w->claim_at_ms = e->now.mono_ms + own_turn(e, w) * claim_stagger_ms(e);
    /* Nobody at all answers, and the overlay is gone too: it may be us who are cut off.  Give the
     * links a moment to come back. */
    if (e->overlay == PEER_ALONE && w->probe_count > 0 && !was_heard)
        w->claim_at_ms += election_settle_ms(e);
    log_to(&e->env.log, LOG_LEVEL_INFO,
           "election: %s: %s is taken for dead, our turn is in %llu ms", e->conf.overlay,
           election_name(e, &w->node, name), (unsigned long long)(w->claim_at_ms - e->now.mono_ms));
}

/* How long those that are asked have for their answers. */
static uint32_t
round_ms(const struct election *e, const struct watched *w)
{
    uint32_t wait_ms = w->is_doubted ? 0 : e->conf.hello_ms / 2;
    uint32_t least_ms = (w->is_doubted ? signs_doubt_ms(w) : look_ms(e, w)) + 4 * w->srtt_ms;

    if (wait_ms < least_ms)
        wait_ms = least_ms;
    wait_ms = clamp(wait_ms, PROBE_WAIT_MIN_MS, PROBE_WAIT_MAX_MS);
    if (w->ask_count > 0) /* nobody answered, or the gateway was alive: there is more time */
        wait_ms *= 2;
    return wait_ms;
}

/* Where silence says little and candidates are few, another member of the active set is a second
 * path, too. */
static void
ask_gateways(struct election *e, struct watched *w)
{
    for (size_t i = 0; i < e->gateway_count && w->probe_count < ELECTION_PROBES; i++) {
        const struct watched *other = &e->watched[i];
        if (other != w && other->trust == TRUST_OK && !e->gateway[i].is_self)
            ask(e, w, &other->node);
    }
}

static void
ask_others(struct election *e, struct watched *w)
{
    const struct candidate *order[ELECTION_PROBES + 1];
    size_t count = ranking_order(e, order, ELECTION_PROBES + 1);

    w->judge_at_ms = e->now.mono_ms + round_ms(e, w);
    w->probe_count = 0;
    w->ask_count++;
    for (size_t i = 0; i < count && w->probe_count < ELECTION_PROBES; i++)
        if (!order[i]->is_self)
            ask(e, w, &order[i]->record.ref.node);
    if (signs_lossy_ms(e, w) > 0)
        ask_gateways(e, w);
    if (w->probe_count == 0) /* nobody to ask */
        w->judge_at_ms = verdict_from_ms(e, w);
}

static void
suspect(struct election *e, struct watched *w)
{
    w->trust = TRUST_SUSPECT;
    w->suspected_ms = e->now.mono_ms;
    w->was_reset = w->is_reset;
    w->others_ms = 0;
    w->asked_count = w->answered_count = 0;
    ask_others(e, w);
}

/* Those that were asked may not have noticed yet, or what they said is lost: ask again soon, then
 * less and less often, and once more right before the verdict. */
static void
ask_again(struct election *e, struct watched *w, uint64_t before_ms)
{
    unsigned shift = w->ask_count - 1 < ASK_BACKOFF_MAX ? w->ask_count - 1 : ASK_BACKOFF_MAX;
    uint64_t pause_ms = 1 + ((uint64_t)e->conf.hello_ms << shift) / ASK_AGAIN_SHARE;

    w->judge_at_ms = moment_earlier_ms(e->now.mono_ms + pause_ms, before_ms);
    w->is_recess = true;
}

/* It is too early for a verdict. */
static void
wait_for_verdict(struct election *e, struct watched *w)
{
    uint64_t verdict_ms = verdict_from_ms(e, w);
    uint64_t round = round_ms(e, w);

    if ((w->is_doubted || signs_lossy_ms(e, w) > 0) && w->probe_count > 0 &&
        verdict_ms > e->now.mono_ms + round)
        ask_again(e, w, verdict_ms - round);
    else
        w->judge_at_ms = verdict_ms;
}

static void
judge(struct election *e, struct watched *w)
{
    bool is_alive = false;
    bool was_heard = false;

    signs_look(e, w);
    if (w->trust != TRUST_SUSPECT)
        return;
    if (w->is_recess) {
        w->is_recess = false;
        ask_others(e, w); /* asked before, and another still heard it */
        return;
    }
    for (unsigned i = 0; i < w->probe_count; i++) {
        is_alive |= w->probe[i].is_alive;
        was_heard |= w->probe[i].is_heard;
    }
    if (w->probe_count > 0 && !was_heard && w->ask_count < 2) {
        ask_others(e, w); /* no answer at all says little: once more */
        return;
    }
    if (!is_alive && e->now.mono_ms < verdict_from_ms(e, w)) {
        wait_for_verdict(e, w);
        return;
    }
    if (is_alive)
        ask_again(e, w, MOMENT_NEVER);
    else
        give_up(e, w);
}

/* When a member of a set of several goes on without another, and nobody can replace that. */
static uint64_t
without_from_ms(const struct election *e, const struct watched *w)
{
    uint32_t silence_ms = hello_silence_ms(e, w);
    uint32_t lossy_ms = signs_lossy_ms(e, w);

    return w->heard_ms + 3ULL * (silence_ms > lossy_ms ? silence_ms : lossy_ms);
}

/* Not a candidate: nothing to decide, but where the gateway is may be read again. */
static void
look_again(struct election *e, struct watched *w)
{
    if (e->role == ELECTION_ACTIVE && e->now.mono_ms >= without_from_ms(e, w)) {
        claim_go_on_without(e, &w->node);
        return;
    }
    if (e->role == ELECTION_OBSERVER) {
        record_read_gateways(e);
        hello_listen(e, w);
    }
}

void
suspicion_run(struct election *e, struct watched *w)
{
    if (w->interval_ms == 0)
        return;
    if (w->trust != TRUST_OK && e->role != ELECTION_CANDIDATE)
        suspicion_end(w); /* a matter of candidates */
    if (e->now.mono_ms < e->hold_ms)
        return;
    if (w->trust == TRUST_OK && e->now.mono_ms >= suspect_at_ms(e, w))
        signs_look(e, w);
    if (w->trust == TRUST_OK && e->now.mono_ms >= suspect_at_ms(e, w)) {
        if (e->role == ELECTION_CANDIDATE)
            suspect(e, w);
        else
            look_again(e, w);
    }
    if (w->trust == TRUST_SUSPECT && e->now.mono_ms >= w->judge_at_ms)
        judge(e, w);
}

uint64_t
suspicion_deadline_ms(const struct election *e, const struct watched *w)
{
    uint64_t at_ms = suspect_at_ms(e, w);

    if (w->trust != TRUST_OK)
        at_ms = w->judge_at_ms;
    else if (e->role == ELECTION_ACTIVE)
        at_ms = without_from_ms(e, w);
    return at_ms > e->hold_ms ? at_ms : e->hold_ms;
}

/* ---- what comes in -----------------------------------------------------------------------------
 */

static void
tell_asker(struct election *e, uint64_t handle, const struct watched *w, bool is_alive)
{
    struct probe_gateway_ans ans = {.is_alive = is_alive, .silent_ms = UINT32_MAX, .term = e->term};

    if (w && id_equal(&w->node, &e->conf.self.node))
        ans.silent_ms = 0;
    else if (w && w->is_heard && e->now.mono_ms - w->life_ms < UINT32_MAX)
        ans.silent_ms = (uint32_t)(e->now.mono_ms - w->life_ms);
    e->env.answer_probe(e->env.ctx, handle, &ans);
}

/* Was it heard so lately that it is alive, whatever the asker sees?  Where work waits: since then.
 */
static bool
is_fresh(struct election *e, struct watched *w, uint32_t waiting_ms)
{
    uint32_t fresh_ms = e->conf.hello_ms + e->conf.hello_ms / 4 + w->srtt_ms;

    signs_look(e, w);
    if (waiting_ms > 0 && waiting_ms < fresh_ms)
        fresh_ms = waiting_ms;
    return w->is_heard && !w->is_reset && e->now.mono_ms <= w->life_ms + fresh_ms;
}

/* Somebody hears a gateway no more and asks for our view.  Where ours is not fresh we look: a HELLO
 * goes to the gateway now, and its answer, or a short silence, is ours (the indirect probe of
 * SWIM). */
void
suspicion_on_probe(struct election *e, const struct election_event *ev)
{
    struct watched *w = gateways_watched(e, &ev->request.probe->gateway);
    uint32_t waiting_ms = ev->request.probe->waiting_ms;
    bool is_self = w && id_equal(&w->node, &e->conf.self.node);
    bool is_alive = is_self || (w && is_fresh(e, w, waiting_ms));

    if (!w || is_alive || w->interval_ms == 0 || e->look_count == ELECTION_LOOKS_MAX) {
        tell_asker(e, ev->request.handle, w, is_alive);
        return;
    }
    uint32_t wait_ms = waiting_ms > 0 ? signs_doubt_ms(w) : look_ms(e, w);
    struct look *look = &e->look[e->look_count++];
    *look = (struct look){.gateway = w->node,
                          .handle = ev->request.handle,
                          .since_ms = e->now.mono_ms,
                          .until_ms = e->now.mono_ms + wait_ms};
    if (waiting_ms > 0)
        signs_doubt(e, w, waiting_ms);
    if (w->is_reset) /* we ask it already */
        look->until_ms = moment_earlier_ms(look->until_ms, verdict_from_ms(e, w));
    else if (w->hello_sent_ms + LOOK_PAUSE_MS <= e->now.mono_ms)
        w->hello_at_ms = e->now.mono_ms;
}

void
suspicion_run_looks(struct election *e)
{
    for (size_t i = e->look_count; i-- > 0;) {
        struct look look = e->look[i];
        struct watched *w = gateways_watched(e, &look.gateway);

        if (w && w->life_ms < look.since_ms && e->now.mono_ms < look.until_ms)
            continue;
        if (w)
            signs_look(e, w);
        bool is_alive = w && w->is_heard && w->life_ms >= look.since_ms;
        e->look[i] = e->look[--e->look_count];
        tell_asker(e, look.handle, w, is_alive);
    }
}

uint64_t
suspicion_looks_deadline_ms(const struct election *e)
{
    uint64_t at_ms = MOMENT_NEVER;

    for (size_t i = 0; i < e->look_count; i++)
        at_ms = moment_earlier_ms(at_ms, e->look[i].until_ms);
    return at_ms;
}

/* What another says that we asked; it lives if it was heard within what would be a death to us. */
static void
take_view(struct election *e, struct watched *w, struct probe *p, const struct election_event *ev)
{
    uint32_t silence_ms = w->is_doubted ? signs_floor_ms(e, w) : hello_silence_ms(e, w);
    uint32_t silent_ms = ev->answer.st == ST_OK ? ev->answer.probe->silent_ms : UINT32_MAX;

    p->is_answered = true;
    p->is_heard = ev->answer.st == ST_OK;
    p->is_alive = p->is_heard && ev->answer.probe->is_alive && silent_ms < silence_ms;
    w->answered_count += p->is_heard;
}

/* When another heard it at the latest: the answer may have been long on its way. */
static void
note_view(struct watched *w, uint32_t token, const struct probe_gateway_ans *ans)
{
    for (unsigned i = 0; i < ELECTION_SENT_MAX; i++) {
        uint64_t asked_ms = w->asked[i].at_ms;
        if (w->asked[i].token == token && asked_ms > ans->silent_ms &&
            asked_ms - ans->silent_ms > w->others_ms)
            w->others_ms = asked_ms - ans->silent_ms;
    }
}

void
suspicion_on_probe_answer(struct election *e, const struct election_event *ev)
{
    for (size_t i = 0; i < e->gateway_count; i++) {
        struct watched *w = &e->watched[i];
        unsigned answered = 0;
        bool is_ours = false;

        if (ev->answer.st == ST_OK)
            note_view(w, ev->answer.token, ev->answer.probe);
        for (unsigned j = 0; j < w->probe_count; j++) {
            struct probe *p = &w->probe[j];
            if (p->token == ev->answer.token && !p->is_answered) {
                is_ours = true;
                take_view(e, w, p, ev);
            }
            answered += p->is_answered;
        }
        if (is_ours && w->trust == TRUST_SUSPECT && !w->is_recess && answered == w->probe_count)
            w->judge_at_ms = moment_earlier_ms(w->judge_at_ms, verdict_from_ms(e, w));
    }
    if (ev->answer.st == ST_OK && ev->answer.probe->term > e->term)
        record_read_gateways(e);
}

void
suspicion_on_link(struct election *e, const struct election_event *ev)
{
    struct watched *w = gateways_watched(e, &ev->link.node);

    if (w)
        w->is_link_known = false; /* it may be another process */
    if (!w || !w->is_linked || ev->link.is_up || ev->link.is_given_up)
        return;
    if (w->is_reset)
        return; /* links that cannot be built fail again and again: that is no news */
    w->is_reset = true;
    w->reset_ms = e->now.mono_ms;
    w->hello_at_ms = e->now.mono_ms; /* ask at once whether it is only the link */
}
