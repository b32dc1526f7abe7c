#include "election/internal.h"

#include <stdio.h>
#include <string.h>

#define FOLLOWER_TURN_MS 1000

bool
ranking_beats(uint16_t score, const struct id *node, uint16_t other_score, const struct id *other)
{
    if (score != other_score)
        return score > other_score;
    return id_compare(node, other) > 0;
}

struct candidate *
ranking_find(struct election *e, const struct id *node)
{
    for (size_t i = 0; i < e->candidate_count; i++)
        if (id_equal(&e->candidate[i].record.ref.node, node))
            return &e->candidate[i];
    return NULL;
}

static struct candidate *
worst(struct election *e)
{
    struct candidate *w = NULL;

    for (size_t i = 0; i < e->candidate_count; i++) {
        struct candidate *c = &e->candidate[i];
        if (c->is_self)
            continue;
        if (!w || (w->is_listed && !c->is_listed) ||
            (w->is_listed == c->is_listed &&
             ranking_beats(w->rank_score, &w->record.ref.node, c->rank_score, &c->record.ref.node)))
            w = c;
    }
    return w;
}

/* A slot for a newcomer: a free one, or that of somebody worse. */
static struct candidate *
slot_for(struct election *e, const struct id *node, uint16_t score)
{
    struct candidate *w;

    if (e->candidate_count < ELECTION_CANDIDATES_MAX)
        return &e->candidate[e->candidate_count++];
    w = worst(e);
    if (w && (!w->is_listed || ranking_beats(score, node, w->rank_score, &w->record.ref.node)))
        return w;
    return NULL;
}

struct candidate *
ranking_learn(struct election *e, const struct node_ref *ref, uint16_t score)
{
    struct candidate *c = ranking_find(e, &ref->node);

    if (!c) {
        c = slot_for(e, &ref->node, score);
        if (!c)
            return NULL;
        memset(c, 0, sizeof(*c));
        c->record.ref.node = ref->node;
        c->is_self = id_equal(&ref->node, &e->conf.self.node);
        c->fresh_ms = e->now.mono_ms;
    }
    if (ref->name[0] && !c->is_self)
        c->record.ref = *ref;
    c->rank_score = score;
    if (!c->is_self)
        c->record.score = score;
    c->is_listed = true;
    c->is_gone = false;
    return c;
}

static void
forget(struct election *e, struct candidate *c)
{
    *c = e->candidate[--e->candidate_count];
}

/* On the gateway: is its HELLO still expected? */
static bool
is_fresh(const struct election *e, const struct candidate *c)
{
    uint64_t interval_ms = e->conf.hello_ms;
    uint64_t silence_ms;

    if (c->is_gone)
        return false;
    if (c->has_hello && c->interval_ms > interval_ms)
        interval_ms = c->interval_ms < e->conf.hello_max_ms ? c->interval_ms : e->conf.hello_max_ms;
    silence_ms = 2 * e->conf.hello_misses * interval_ms;
    if (!c->has_hello || c->interval_ms == 0) /* its first ones are still to come */
        silence_ms += e->conf.hello_max_ms;
    return e->now.mono_ms <= c->fresh_ms + silence_ms;
}

/* The overlay keeps the records of the dead until they expire; a gateway that answers knows better
 * who is alive.  While there is one, the overlay's list adds only whom we did not know. */
static void
read_record(struct election *e, const struct candidate_record *record, bool is_believed)
{
    struct candidate *c = ranking_find(e, &record->ref.node);
    bool was_listed = c && c->is_listed;
    bool was_gone = c && c->is_gone;
    uint16_t rank_score = c ? c->rank_score : 0;

    c = ranking_learn(e, &record->ref, record->score);
    if (!c)
        return;
    c->is_read = true;
    if (!c->is_self)
        c->record = *record;
    if (rank_score > 0 && !is_believed) {
        c->is_listed = was_listed;
        c->is_gone = was_gone;
        c->rank_score = rank_score;
    }
}

void
ranking_read(struct election *e, const struct candidate_record *record, size_t count)
{
    bool is_believed =
        e->role != ELECTION_ACTIVE && (e->gateway_count == 0 || !e->watched[0].is_heard);

    for (size_t i = 0; i < e->candidate_count; i++) {
        e->candidate[i].is_read = false;
        if (is_believed)
            e->candidate[i].is_listed = false;
    }
    for (size_t i = 0; i < count; i++)
        read_record(e, &record[i], is_believed);
    for (size_t i = e->candidate_count; i-- > 0;) {
        struct candidate *c = &e->candidate[i];
        bool is_heard = c->has_hello && is_fresh(e, c);
        if (!c->is_read && !c->is_self && !is_heard)
            forget(e, c);
    }
}

void
ranking_gone(struct election *e, const struct id *node)
{
    struct candidate *c = ranking_find(e, node);

    if (!c || c->is_self)
        return;
    c->is_listed = false;
    c->has_hello = false;
    c->is_gone = true;
}

void
ranking_heard(struct election *e, const struct hello_ans *ans)
{
    size_t listed = 0;

    for (size_t i = 0; i < e->candidate_count; i++)
        e->candidate[i].is_listed = false;
    for (size_t i = 0; i < ans->candidate_count && i < HELLO_CANDIDATES_MAX; i++) {
        const struct hello_candidate *h = &ans->candidate[i];
        if (h->score == 0)
            ranking_follow(e, &h->ref.node);
        else if (ranking_learn(e, &h->ref, h->score))
            listed++;
    }
    /* A full list names the best only: those behind them are still candidates. */
    for (size_t i = 0; listed == HELLO_CANDIDATES_MAX && i < e->candidate_count; i++)
        e->candidate[i].is_listed = true;
}

void
ranking_follow(struct election *e, const struct id *node)
{
    struct follower *oldest = &e->follower[0];

    if (id_equal(node, &e->conf.self.node))
        return;
    for (size_t i = 0; i < e->follower_count; i++) {
        struct follower *f = &e->follower[i];
        if (id_equal(&f->node, node)) {
            f->heard_ms = e->now.mono_ms;
            return;
        }
        if (f->heard_ms < oldest->heard_ms)
            oldest = f;
    }
    if (e->follower_count < ELECTION_FOLLOWERS_MAX)
        oldest = &e->follower[e->follower_count++];
    *oldest = (struct follower){*node, e->now.mono_ms};
}

/* One that comes soon after another, as after a reset, makes no fast sender. */
static uint32_t
smoothed_ms(uint32_t was_ms, uint64_t is_ms)
{
    if (is_ms >= was_ms)
        return is_ms < UINT32_MAX ? (uint32_t)is_ms : UINT32_MAX;
    return (uint32_t)((3 * (uint64_t)was_ms + is_ms) / 4);
}

/* Nearly equal scores would change places with each breath of load, and two candidates whose lists
 * are not of one moment would each wait for the other: a figure counts until it has changed for
 * good. */
static uint16_t
held_score(uint16_t was, uint16_t is)
{
    uint16_t low = was < is ? was : is;
    uint16_t high = was < is ? is : was;

    return was > 0 && high - low < RANK_STEP ? was : is;
}

void
ranking_on_hello(struct election *e, const struct id *from, const struct hello_req *req)
{
    struct node_ref ref = {.node = *from};
    struct candidate *c = ranking_find(e, from);
    bool is_new = !c;
    uint16_t score = score_is_good(req->score) ? req->score : SCORE_MAX;
    uint16_t held = c && c->has_hello ? held_score(c->rank_score, score) : score;

    if (!req->is_candidate || req->score == 0) {
        if (c && !c->is_self)
            forget(e, c);
        ranking_follow(e, from);
        return;
    }
    c = ranking_learn(e, &ref, score);
    if (!c)
        return;
    c->rank_score = held;
    if (is_new)
        record_read_candidates(e); /* for its name and addresses */
    if (c->has_hello && e->now.mono_ms > c->fresh_ms)
        c->interval_ms = smoothed_ms(c->interval_ms, e->now.mono_ms - c->fresh_ms);
    c->has_hello = true;
    c->fresh_ms = e->now.mono_ms;
    c->ring = req->ring;
}

void
ranking_self(struct election *e)
{
    uint16_t score = election_own(e);
    struct candidate *c = ranking_find(e, &e->conf.self.node);

    if (!c) {
        c = ranking_learn(e, &e->conf.self, score);
        if (!c)
            return;
        c->is_listed = false;
    }
    c->record.ref = e->conf.self;
    c->record.score = score;
    for (unsigned i = 0; i < SCORE_PARTS; i++)
        c->record.part[i] = score_part(&e->score, (enum score_part)i);
    snprintf(c->record.global_address, sizeof(c->record.global_address), "%s",
             e->conf.global_address);
    c->record.ring_members = ring_health(e).members;
    if (!c->is_listed)
        c->rank_score = score; /* nobody else has a figure of ours yet */
}

static bool
is_standing_by(const struct election *e, const struct candidate *c)
{
    if (gateways_has(e, &c->record.ref.node))
        return false;
    if (c->is_self)
        return e->role == ELECTION_CANDIDATE;
    return e->role == ELECTION_ACTIVE ? is_fresh(e, c) : c->is_listed;
}

size_t
ranking_order(const struct election *e, const struct candidate **ret, size_t cap)
{
    size_t count = 0;

    for (size_t i = 0; i < e->candidate_count; i++) {
        const struct candidate *c = &e->candidate[i];
        size_t at = count;

        if (!is_standing_by(e, c))
            continue;
        while (at > 0 && ranking_beats(c->rank_score, &c->record.ref.node, ret[at - 1]->rank_score,
                                       &ret[at - 1]->record.ref.node))
            at--;
        if (at == cap)
            continue;
        if (count == cap)
            count--;
        memmove(&ret[at + 1], &ret[at], (count - at) * sizeof(ret[0]));
        ret[at] = c;
        count++;
    }
    return count;
}

size_t
ranking_own(const struct election *e)
{
    const struct candidate *order[ELECTION_CANDIDATES_MAX];
    size_t count = ranking_order(e, order, ELECTION_CANDIDATES_MAX);

    for (size_t i = 0; i < count; i++)
        if (order[i]->is_self)
            return i;
    return count;
}

/* Behind the candidates, as many followers as there is room for.  Who finds none has its turn a
 * second later: a list that is another one each time would have to be sent each time. */
static void
tell_followers(struct election *e, struct hello_ans *ans)
{
    uint64_t silent_ms = 10ULL * e->conf.slow_hello_ms;
    size_t told = 0;

    for (; told < e->follower_count && ans->candidate_count < HELLO_CANDIDATES_MAX; told++) {
        const struct follower *f = &e->follower[(e->follower_turn + told) % e->follower_count];
        if (e->now.mono_ms <= f->heard_ms + silent_ms)
            ans->candidate[ans->candidate_count++] =
                (struct hello_candidate){.ref = {.node = f->node}};
    }
    if (e->now.mono_ms < e->follower_turn_ms)
        return;
    e->follower_turn_ms = e->now.mono_ms + FOLLOWER_TURN_MS;
    e->follower_turn = told < e->follower_count ? e->follower_turn + told : 0;
}

void
ranking_tell(struct election *e, struct hello_ans *ans)
{
    const struct candidate *order[HELLO_CANDIDATES_MAX];
    size_t count = ranking_order(e, order, HELLO_CANDIDATES_MAX);

    for (size_t i = 0; i < count; i++)
        ans->candidate[i] =
            (struct hello_candidate){.ref = order[i]->record.ref, .score = order[i]->rank_score};
    ans->candidate_count = (uint8_t)count;
    tell_followers(e, ans);
}

static void
show_hello(const struct election *e, uint64_t now_ms, const struct candidate *c,
           struct election_candidate *ret)
{
    const struct watched *w = e->gateway_count > 0 ? &e->watched[0] : NULL;
    uint64_t last_ms = now_ms > c->fresh_ms ? now_ms - c->fresh_ms : 0;
    uint32_t interval_ms = c->interval_ms > e->conf.hello_ms ? c->interval_ms : e->conf.hello_ms;

    ret->rtt_ms = ret->last_ms = ELECTION_UNKNOWN_MS;
    if (c->is_self && w && w->is_heard) {
        last_ms = now_ms > w->heard_ms ? now_ms - w->heard_ms : 0;
        interval_ms = w->interval_ms;
        ret->rtt_ms = w->srtt_ms;
    } else if (e->role != ELECTION_ACTIVE || !c->has_hello) {
        return;
    }
    ret->last_ms = last_ms < ELECTION_UNKNOWN_MS ? (uint32_t)last_ms : ELECTION_UNKNOWN_MS;
    ret->missed = interval_ms ? ret->last_ms / interval_ms : 0;
}

size_t
election_candidates(const struct election *e, struct moment now, struct election_candidate *ret,
                    size_t cap)
{
    const struct candidate *order[ELECTION_CANDIDATES_MAX];
    size_t count = ranking_order(e, order, ELECTION_CANDIDATES_MAX);

    if (count > cap)
        count = cap;
    for (size_t i = 0; i < count; i++) {
        const struct candidate_record *r = &order[i]->record;

        memset(&ret[i], 0, sizeof(ret[i]));
        ret[i].rank = (uint32_t)i + 1;
        ret[i].ref = r->ref;
        memcpy(ret[i].global_address, r->global_address, sizeof(ret[i].global_address));
        ret[i].score = score_bare(r->score);
        ret[i].is_pinned = r->score & SCORE_PINNED;
        memcpy(ret[i].part, r->part, sizeof(ret[i].part));
        ret[i].is_self = order[i]->is_self;
        show_hello(e, now.mono_ms, order[i], &ret[i]);
    }
    return count;
}
