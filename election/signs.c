/* What is heard of a gateway otherwise than by HELLO, and what waits for it without a word. */
#include "election/internal.h"

#define DOUBT_MIN_MS   20 /* work waits so long, or 4 round trips, before anybody asks */
#define FLOOR_SHARE    3  /* no verdict on waiting work before a third of the HELLOs' patience */
#define FLOOR_MIN_MS   50 /* nor before that, nor 8 round trips, and what our own timers are late */
#define LIFE_PATIENCES 8  /* who answers no HELLO for so long lives for others, not for us */
#define LOSSY_MS       30000
#define LOSSY_RTO_MS   200 /* the least that Linux waits */
#define LOSSY_RTOS     6 /* TCP has sent again after 1 and 2 times its wait, and half of 4 is over */
#define LOSSY_MOST_MS  1700 /* a death is seen within 2 s on any path */

/* What of its HELLOs went out since it was last heard. */
static unsigned
unanswered_since(const struct watched *w, uint64_t at_ms)
{
    unsigned count = 0;

    for (unsigned i = 0; i < ELECTION_SENT_MAX; i++)
        count += w->sent[i].at_ms > at_ms;
    return count < w->unanswered ? count : w->unanswered;
}

void
signs_look(struct election *e, struct watched *w)
{
    struct election_signs s;

    if (!e->env.signs || !e->env.signs(e->env.ctx, &w->node, &s))
        return;
    if (s.is_lossy) {
        w->lossy_until_ms = e->now.mono_ms + LOSSY_MS;
        w->rto_ms = s.rto_ms;
    }
    uint64_t at_ms = e->now.mono_ms > s.heard_ms ? e->now.mono_ms - s.heard_ms : 0;
    if (!w->is_link_known || at_ms <= w->heard_ms ||
        e->now.mono_ms > w->answer_ms + (uint64_t)LIFE_PATIENCES * hello_silence_ms(e, w))
        return;
    w->heard_ms = w->life_ms = at_ms;
    w->unanswered = unanswered_since(w, at_ms);
    if (!w->is_doubted || at_ms > w->work_ms)
        suspicion_end(w);
}

uint32_t
signs_doubt_ms(const struct watched *w)
{
    return 4 * w->srtt_ms > DOUBT_MIN_MS ? 4 * w->srtt_ms : DOUBT_MIN_MS;
}

uint32_t
signs_lossy_ms(const struct election *e, const struct watched *w)
{
    uint32_t rto_ms = w->rto_ms > LOSSY_RTO_MS ? w->rto_ms : LOSSY_RTO_MS;

    if (e->now.mono_ms >= w->lossy_until_ms)
        return 0;
    uint64_t lossy_ms = (uint64_t)LOSSY_RTOS * rto_ms + DOUBT_MIN_MS;
    return lossy_ms < LOSSY_MOST_MS ? (uint32_t)lossy_ms : LOSSY_MOST_MS;
}

/* ---- work that waits ---------------------------------------------------------------------------
 */

uint32_t
signs_floor_ms(const struct election *e, const struct watched *w)
{
    uint32_t patience_ms = hello_silence_ms(e, w);
    uint32_t floor_ms = patience_ms / FLOOR_SHARE;

    if (floor_ms < FLOOR_MIN_MS)
        floor_ms = FLOOR_MIN_MS;
    if (floor_ms < 8 * w->srtt_ms)
        floor_ms = 8 * w->srtt_ms;
    floor_ms += e->late_ms;
    return floor_ms < patience_ms ? floor_ms : patience_ms;
}

void
signs_doubt(struct election *e, struct watched *w, uint32_t waiting_ms)
{
    uint64_t now_ms = e->now.mono_ms;

    if (e->role != ELECTION_CANDIDATE || !w->is_heard || w->is_doubted || w->interval_ms == 0)
        return;
    w->is_doubted = true;
    w->doubted_ms = now_ms;
    w->work_ms = now_ms > waiting_ms ? now_ms - waiting_ms : 0;
    if (w->hello_sent_ms < now_ms)
        w->hello_at_ms = now_ms; /* the answer to this one, or none, is our own view */
}

/* Who is no candidate tells those that may claim. */
static void
tell_candidates(struct election *e, struct watched *w, uint32_t waiting_ms)
{
    const struct candidate *order[ELECTION_PROBES];
    size_t count = ranking_order(e, order, ELECTION_PROBES);
    struct probe_gateway_req req = {.gateway = w->node, .term = e->term, .waiting_ms = waiting_ms};

    if (e->now.mono_ms < w->told_ms + 2ULL * signs_doubt_ms(w))
        return;
    w->told_ms = e->now.mono_ms;
    for (size_t i = 0; i < count; i++)
        if (!order[i]->is_self)
            e->env.send_probe(e->env.ctx, &order[i]->record.ref.node, election_token(e), &req,
                              e->conf.hello_ms);
}

void
signs_on_doubt(struct election *e, const struct election_event *ev)
{
    struct watched *w = gateways_watched(e, &ev->doubt.node);
    uint32_t waiting_ms = ev->doubt.waiting_ms;

    if (!w || id_equal(&w->node, &e->conf.self.node) || waiting_ms < signs_doubt_ms(w))
        return;
    signs_look(e, w);
    if (e->now.mono_ms <= w->life_ms + waiting_ms)
        return; /* it was heard since */
    if (e->role == ELECTION_CANDIDATE)
        signs_doubt(e, w, waiting_ms);
    else
        tell_candidates(e, w, waiting_ms);
}
