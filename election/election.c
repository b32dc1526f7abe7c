#include "election/election.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "election/internal.h"

#define RUN_MAX      16 /* rounds a step may take until nothing is due any more */
#define LATE_MS      5  /* less is nothing */
#define LATE_MOST_MS 10000
#define HOLD_MOST_MS 50

const char *
election_role_name(enum election_role role)
{
    static const char *const name[] = {"observer", "candidate", "active"};

    return name[role];
}

void
election_conf_defaults(struct election_conf *conf)
{
    static const struct score_conf score = {
        .weight = {20, 20, 20, 15, 15, 10},
        .preference = 500,
    };

    memset(conf, 0, sizeof(*conf));
    conf->is_candidate = true;
    conf->hello_ms = 100;
    conf->hello_misses = 3;
    conf->slow_hello_ms = 1000;
    conf->fast_ranks = 3;
    conf->threshold = 200;
    conf->gateways = 1;
    conf->margin = 100;
    conf->hold_ms = 60000;
    conf->lifetime_s = 60;
    conf->refresh_ms = 5000;
    conf->leave_wait_ms = 2000;
    conf->score = score;
}

static enum status
check_conf(const struct election_conf *conf, struct why *why)
{
    if (id_is_zero(&conf->self.node))
        return why_set(why, ST_RANGE, "election: the Node-ID is zero");
    if (conf->hello_ms < 10 || conf->hello_ms > 60000)
        return why_set(why, ST_RANGE, "election: hello-interval %u, allowed 10 to 60000",
                       conf->hello_ms);
    if (conf->hello_misses < 1 || conf->hello_misses > 100)
        return why_set(why, ST_RANGE, "election: hello-misses %u, allowed 1 to 100",
                       conf->hello_misses);
    if (conf->gateways < 1 || conf->gateways > ELECTION_GATEWAYS_MAX)
        return why_set(why, ST_RANGE, "election: gateways %u, allowed 1 to %d", conf->gateways,
                       ELECTION_GATEWAYS_MAX);
    if (conf->hello_max_ms > 0 && conf->hello_max_ms < conf->hello_ms)
        return why_set(why, ST_RANGE, "election: hello-interval-max %u, allowed %u or more",
                       conf->hello_max_ms, conf->hello_ms);
    if (conf->slow_hello_ms == 0 || conf->lifetime_s == 0 || conf->refresh_ms == 0)
        return why_set(why, ST_RANGE, "election: an interval of 0");
    return ST_OK;
}

enum status
election_new(const struct election_conf *conf, const struct election_env *env, struct moment now,
             struct election **ret_election, struct why *why)
{
    enum status st = check_conf(conf, why);
    struct election *e;

    if (st != ST_OK)
        return st;
    e = calloc(1, sizeof(*e));
    if (!e)
        return why_set(why, ST_NOMEM, "election: out of memory");
    e->conf = *conf;
    if (e->conf.hello_max_ms == 0)
        e->conf.hello_max_ms = 10 * conf->hello_ms;
    e->env = *env;
    e->now = now;
    term_begin(e);
    steps_clear(&e->next_steps);
    e->deadline_ms = MOMENT_NEVER;
    e->overlay = PEER_DOWN;
    e->up_since_ms = MOMENT_NEVER;
    e->vacancy_at_ms = MOMENT_NEVER;
    e->worked_ms = MOMENT_NEVER;
    e->better_since_ms = MOMENT_NEVER;
    e->extra_since_ms = MOMENT_NEVER;
    e->leave_at_ms = MOMENT_NEVER;
    e->publish_at_ms[ELECTION_RECORD_CANDIDATE] = MOMENT_NEVER;
    e->publish_at_ms[ELECTION_RECORD_GATEWAY] = MOMENT_NEVER;
    e->candidates.at_ms = e->gateways.at_ms = e->ring.at_ms = MOMENT_NEVER;
    e->candidates.read_ms = e->gateways.read_ms = e->ring.read_ms = MOMENT_NEVER;
    *ret_election = e;
    return ST_OK;
}

void
election_free(struct election *e)
{
    free(e);
}

uint16_t
election_own(const struct election *e)
{
    uint16_t score = score_total(&e->score, &e->conf.score);

    return e->conf.is_pinned ? score | SCORE_PINNED : score;
}

uint32_t
election_token(struct election *e)
{
    if (++e->next_token == 0)
        e->next_token = 1; /* 0 marks an empty slot */
    return e->next_token;
}

uint64_t
election_settle_ms(const struct election *e)
{
    return (uint64_t)e->conf.hello_ms * SETTLE_HELLOS;
}

bool
election_is_settled(const struct election *e)
{
    return e->up_since_ms != MOMENT_NEVER &&
           e->now.mono_ms >= e->up_since_ms + election_settle_ms(e);
}

const char *
election_name(const struct election *e, const struct id *node, char out[NODE_NAME_BYTES])
{
    const char *name = "";
    char text[ID_TEXT_BYTES];

    for (size_t i = 0; i < e->candidate_count && !*name; i++)
        if (id_equal(&e->candidate[i].record.ref.node, node))
            name = e->candidate[i].record.ref.name;
    for (size_t i = 0; i < e->gateway_count && !*name; i++)
        if (id_equal(&e->gateway[i].ref.node, node))
            name = e->gateway[i].ref.name;
    if (*name)
        snprintf(out, NODE_NAME_BYTES, "%s", name);
    else
        snprintf(out, NODE_NAME_BYTES, "%.8s", id_text(node, text));
    return out;
}

static void
aim_for_role(struct election *e)
{
    static const enum peer_aim aim[] = {
        [ELECTION_OBSERVER] = PEER_AIM_NOTHING,
        [ELECTION_CANDIDATE] = PEER_AIM_CLIENT,
        [ELECTION_ACTIVE] = PEER_AIM_MEMBER,
    };

    if (e->conf.global_address[0])
        e->env.aim_ring(e->env.ctx, aim[e->role]);
}

void
election_become(struct election *e, enum election_role role, const char *fmt, ...)
{
    struct election_transition *t = &e->history[e->history_count++ % ELECTION_HISTORY_MAX];
    enum election_role was = e->role;
    va_list ap;

    t->serial = (uint32_t)e->history_count;
    t->at_wall_ms = e->now.wall_ms;
    t->term = e->term;
    t->from = was;
    t->to = role;
    va_start(ap, fmt);
    vsnprintf(t->reason, sizeof(t->reason), fmt, ap);
    va_end(ap);
    t->steps = e->next_steps;
    steps_clear(&e->next_steps);
    if (role == ELECTION_ACTIVE)
        e->claimed_ms = e->now.mono_ms;
    e->role = role;
    e->better_since_ms = MOMENT_NEVER;
    e->extra_since_ms = MOMENT_NEVER;
    if (role != was)
        aim_for_role(e);
    e->env.role_changed(e->env.ctx, was, role, e->term, t->reason);
    if (e->env.history)
        e->env.history(e->env.ctx, t);
}

void
election_note(struct election *e, const char *fmt, ...)
{
    struct election_transition *t = &e->history[e->history_count++ % ELECTION_HISTORY_MAX];
    va_list ap;

    *t = (struct election_transition){.serial = (uint32_t)e->history_count,
                                      .at_wall_ms = e->now.wall_ms,
                                      .term = e->term,
                                      .from = e->role,
                                      .to = e->role};
    va_start(ap, fmt);
    vsnprintf(t->reason, sizeof(t->reason), fmt, ap);
    va_end(ap);
    steps_clear(&t->steps);
    if (e->env.history)
        e->env.history(e->env.ctx, t);
}

/* A candidate is under way to be one, or is one, by its score; some way down it keeps the role. */
static void
run_role(struct election *e)
{
    uint16_t score = score_total(&e->score, &e->conf.score);
    uint32_t keep = e->conf.threshold - e->conf.threshold / 10;

    if (!e->conf.is_candidate || !e->conf.global_address[0] || e->is_leaving ||
        e->certificate != ELECTION_CERTIFICATE_VALID)
        return;
    bool is_fit = e->conf.is_pinned || score >= e->conf.threshold;
    if (e->role == ELECTION_OBSERVER && e->score.is_measured && is_fit &&
        e->up_since_ms != MOMENT_NEVER) {
        election_become(e, ELECTION_CANDIDATE, "score %u%s", score,
                        e->conf.is_pinned ? ", pinned" : "");
        ranking_self(e);
        record_publish(e, ELECTION_RECORD_CANDIDATE);
        record_read_candidates(e);
        record_read_gateways(e);
    } else if (e->role == ELECTION_CANDIDATE && score < keep && !e->conf.is_pinned) {
        record_withdraw(e, ELECTION_RECORD_CANDIDATE);
        election_become(e, ELECTION_OBSERVER, "score %u under the threshold of %u", score,
                        e->conf.threshold);
    }
}

static void
on_overlay(struct election *e, enum peer_state state)
{
    bool was_up = e->up_since_ms != MOMENT_NEVER;
    bool is_up = state == PEER_JOINED || state == PEER_ALONE;

    e->has_shared = e->has_shared || state == PEER_JOINED;

    /* Out of solitude into an overlay is like a start: what is in it has to be read first.  To be
     * left alone is not, or the last candidate of two could not take over at once. */
    if (is_up && (!was_up || (e->overlay == PEER_ALONE && state == PEER_JOINED))) {
        e->up_since_ms = e->now.mono_ms;
        if (was_up && e->role == ELECTION_ACTIVE)
            e->doubt_until_ms = e->now.mono_ms + HEALED_MS;
        hello_listen_anew(e);
    } else if (!is_up) {
        e->up_since_ms = MOMENT_NEVER;
    }
    e->overlay = state;
    if (!is_up)
        return;
    if (!was_up || e->role != ELECTION_OBSERVER)
        record_read_gateways(e); /* a partition may have healed */
    if (e->role != ELECTION_OBSERVER)
        record_read_candidates(e);
}

static void
on_load(struct election *e, const struct election_load *load)
{
    score_measure(&e->score, &e->conf.score, load);
    e->calls = load->calls;
    if (load->requests > 0)
        e->worked_ms = e->now.mono_ms;
    uint16_t score = score_total(&e->score, &e->conf.score);
    int step = (int)score - (int)score_bare(e->published_score);
    if (e->role != ELECTION_OBSERVER) {
        ranking_self(e);
        if (step >= SCORE_STEP || step <= -SCORE_STEP)
            record_publish(e, ELECTION_RECORD_CANDIDATE);
    }
}

static void
on_event(struct election *e, const struct election_event *ev)
{
    switch (ev->type) {
    case ELECTION_TICK:
        return;
    case ELECTION_OVERLAY:
        on_overlay(e, ev->overlay.state);
        return;
    case ELECTION_CANDIDATES:
        record_on_candidates(e, ev);
        return;
    case ELECTION_GATEWAYS:
        record_on_gateways(e, ev);
        return;
    case ELECTION_RING:
        e->ring_lives = ev->ring.st == ST_OK ? ev->ring.lives : 0;
        claim_on_ring(e, ev->ring.st, ev->ring.term);
        return;
    case ELECTION_STORED:
        record_on_stored(e, ev);
        return;
    case ELECTION_RING_STORED:
        steps_note(e, STEP_RING);
        return;
    case ELECTION_HELLO:
        hello_on_request(e, ev);
        return;
    case ELECTION_CLAIM:
        claim_on_request(e, ev);
        return;
    case ELECTION_PROBE:
        suspicion_on_probe(e, ev);
        return;
    case ELECTION_HANDOVER:
        leave_on_handover(e, ev);
        return;
    case ELECTION_HELLO_ANSWER:
        hello_on_answer(e, ev);
        return;
    case ELECTION_CLAIM_ANSWER:
        claim_on_answer(e, ev);
        return;
    case ELECTION_PROBE_ANSWER:
        suspicion_on_probe_answer(e, ev);
        return;
    case ELECTION_HANDOVER_ANSWER:
        leave_on_handover_answer(e, ev);
        return;
    case ELECTION_LINK:
        suspicion_on_link(e, ev);
        return;
    case ELECTION_DOUBT:
        signs_on_doubt(e, ev);
        return;
    case ELECTION_LOAD:
        on_load(e, ev->load);
        return;
    case ELECTION_LOCATE:
        record_read_gateways(e);
        return;
    case ELECTION_CERTIFICATE:
        certificate_on_event(e, ev);
        return;
    case ELECTION_LEAVE:
        leave_begin(e);
        return;
    case ELECTION_DRAIN:
        leave_drain(e);
        return;
    }
}

static uint64_t
next_ms(const struct election *e)
{
    uint64_t at_ms = moment_earlier_ms(record_deadline_ms(e), claim_deadline_ms(e));

    at_ms = moment_earlier_ms(at_ms, hello_deadline_ms(e));
    at_ms = moment_earlier_ms(at_ms, trouble_deadline_ms(e));
    at_ms = moment_earlier_ms(at_ms, certificate_deadline_ms(e));
    return moment_earlier_ms(at_ms, leave_deadline_ms(e));
}

static void
check_invariants(const struct election *e)
{
    assert(gateways_has(e, &e->conf.self.node) == (e->role == ELECTION_ACTIVE));
    assert(e->gateway_count <= e->conf.gateways);
    assert(e->term <= e->highest_term);
    assert(e->role != ELECTION_ACTIVE || e->claim_score > 0);
    assert(e->candidate_count <= ELECTION_CANDIDATES_MAX);
    assert(e->deadline_ms > e->now.mono_ms);
}

/* We did not hear the others because we did not run.  What was due while we slept is not done on
 * waking: what came in meanwhile waits behind this step, and may say otherwise. */
static void
notice_sleep(struct election *e)
{
    uint32_t long_ms = e->conf.hello_ms < 100 ? 200 : 2 * e->conf.hello_ms;
    uint64_t late_ms;

    if (e->deadline_ms == MOMENT_NEVER || e->now.mono_ms < e->deadline_ms)
        return;
    late_ms = e->now.mono_ms - e->deadline_ms;
    if (late_ms >= e->late_ms)
        e->late_ms = late_ms < LATE_MOST_MS ? (uint32_t)late_ms : LATE_MOST_MS;
    else
        e->late_ms -= (e->late_ms - (uint32_t)late_ms + 7) / 8;
    if (late_ms >= LATE_MS)
        e->hold_ms = e->now.mono_ms + (late_ms < HOLD_MOST_MS ? late_ms : HOLD_MOST_MS);
    if (e->vacancy_at_ms < e->hold_ms)
        e->vacancy_at_ms = e->hold_ms;
    if (late_ms < long_ms)
        return;
    hello_forgive(e, late_ms);
    hello_listen_anew(e);
    e->vacancy = VACANCY_NONE;
    e->vacancy_at_ms = MOMENT_NEVER;
    e->better_since_ms = MOMENT_NEVER;
    e->extra_since_ms = MOMENT_NEVER;
    record_read_gateways(e);
}

static void
settle(struct election *e)
{
    for (int i = 0; i < RUN_MAX; i++) {
        certificate_run(e);
        run_role(e);
        record_run(e);
        claim_run(e);
        hello_run(e);
        leave_run(e);
        ring_run(e);
        trouble_run(e);
        e->deadline_ms = next_ms(e);
        if (e->deadline_ms > e->now.mono_ms)
            break;
    }
    if (e->deadline_ms <= e->now.mono_ms)
        e->deadline_ms = e->now.mono_ms + 1;
    check_invariants(e);
}

void
election_step(struct election *e, struct moment now, const struct election_event *ev)
{
    assert(now.mono_ms >= e->now.mono_ms); /* a clock that runs back is our bug */
    e->now = now;
    notice_sleep(e);
    on_event(e, ev);
    settle(e);
}

uint64_t
election_deadline_ms(const struct election *e)
{
    return e->deadline_ms;
}

enum election_role
election_role(const struct election *e)
{
    return e->role;
}

uint32_t
election_term(const struct election *e)
{
    return e->term;
}

uint16_t
election_score(const struct election *e)
{
    return score_total(&e->score, &e->conf.score);
}

const struct election_gateway *
election_gateways(const struct election *e, size_t *ret_count)
{
    *ret_count = e->gateway_count;
    return e->gateway;
}

void
election_health(const struct election *e, struct moment now, size_t at, struct election_health *ret)
{
    static const char *const state[] = {"trusted", "suspect", "dead"};
    const struct watched *w = &e->watched[at];
    uint64_t last_ms = now.mono_ms > w->answer_ms ? now.mono_ms - w->answer_ms : 0;

    *ret = (struct election_health){.state = e->gateway[at].is_self ? "self" : "unwatched",
                                    .interval_ms = w->interval_ms,
                                    .rtt_ms = ELECTION_UNKNOWN_MS,
                                    .last_ms = ELECTION_UNKNOWN_MS};
    if (w->interval_ms == 0)
        return;
    ret->state = state[w->trust];
    if (!w->is_heard)
        return;
    ret->rtt_ms = w->srtt_ms;
    ret->last_ms = last_ms < ELECTION_UNKNOWN_MS ? (uint32_t)last_ms : ELECTION_UNKNOWN_MS;
    ret->missed = ret->last_ms / w->interval_ms;
}

uint32_t
election_late_ms(const struct election *e)
{
    return e->late_ms;
}

bool
election_is_gateway(const struct election *e, const struct id *node)
{
    return gateways_has(e, node);
}

size_t
election_history(const struct election *e, struct election_transition *ret, size_t cap)
{
    size_t count =
        e->history_count < ELECTION_HISTORY_MAX ? e->history_count : ELECTION_HISTORY_MAX;

    if (count > cap)
        count = cap;
    for (size_t i = 0; i < count; i++)
        ret[i] = e->history[(e->history_count - count + i) % ELECTION_HISTORY_MAX];
    return count;
}

enum status
election_handover(struct election *e, struct moment now, const char *node, struct why *why)
{
    enum status st;

    assert(now.mono_ms >= e->now.mono_ms);
    e->now = now;
    notice_sleep(e);
    st = leave_hand_over_to(e, node, why);
    settle(e);
    return st;
}

enum status
election_reset_term(struct election *e, struct moment now, struct why *why)
{
    enum status st;

    assert(now.mono_ms >= e->now.mono_ms);
    e->now = now;
    notice_sleep(e);
    st = term_reset(e, why);
    settle(e);
    return st;
}
