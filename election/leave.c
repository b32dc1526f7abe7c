#include "election/internal.h"

#include <stdio.h>
#include <string.h>

bool
leave_has_asked(const struct election *e, const struct id *node)
{
    for (size_t i = 0; i < e->handover.tried_count; i++)
        if (id_equal(&e->handover.tried[i], node))
            return true;
    return false;
}

static void
ask_to_take_over(struct election *e, const struct id *to)
{
    struct handover_req req = {.term = e->term, .is_ring_lost = e->handover.is_ring_lost};
    char name[NODE_NAME_BYTES];

    e->handover.is_under_way = true;
    e->handover.to = *to;
    e->handover.token = election_token(e);
    e->handover.until_ms = e->now.mono_ms + HANDOVER_TRY_MS;
    if (e->handover.tried_count < ELECTION_CANDIDATES_MAX)
        e->handover.tried[e->handover.tried_count++] = *to;
    log_to(&e->env.log, LOG_LEVEL_INFO, "election: %s: hand over to %s", e->conf.overlay,
           election_name(e, to, name));
    e->env.send_handover(e->env.ctx, to, e->handover.token, &req);
}

static void
finish(struct election *e)
{
    e->leave_at_ms = MOMENT_NEVER;
    e->handover.is_under_way = false;
    if (e->is_draining)
        return;
    e->has_left = true;
    e->env.left(e->env.ctx);
}

void
leave_alone(struct election *e, const char *reason)
{
    gateways_drop(e, &e->conf.self.node);
    claim_step_down(e, ELECTION_OBSERVER, reason);
}

static const char *
by_kind(const struct election *e, const char *leaves, const char *drains)
{
    return e->is_draining ? drains : leaves;
}

/* The next candidate that was not asked yet; none: this node goes without a successor. */
static void
try_next(struct election *e)
{
    const struct candidate *order[ELECTION_CANDIDATES_MAX];
    size_t count = ranking_order(e, order, ELECTION_CANDIDATES_MAX);

    e->handover.is_under_way = false;
    for (size_t i = 0; i < count; i++) {
        struct id to = order[i]->record.ref.node;
        if (leave_has_asked(e, &to))
            continue;
        ask_to_take_over(e, &to);
        return;
    }
    leave_alone(e,
                by_kind(e, "leaves, no candidate takes over", "drains, no candidate takes over"));
}

static void
hand_over(struct election *e)
{
    e->is_leaving = true;
    e->leave_at_ms = e->now.mono_ms + e->conf.leave_wait_ms;
    e->handover.tried_count = 0;
    e->handover.is_ring_lost = false;
    record_withdraw(e, ELECTION_RECORD_CANDIDATE);
    if (e->role == ELECTION_ACTIVE) {
        try_next(e);
        return;
    }
    if (e->role == ELECTION_CANDIDATE)
        election_become(e, ELECTION_OBSERVER, "%s", by_kind(e, "leaves", "drains"));
    finish(e);
}

void
leave_begin(struct election *e)
{
    bool was_draining = e->is_draining;

    e->is_draining = false;
    if (!e->is_leaving)
        hand_over(e);
    else if (was_draining && e->role != ELECTION_ACTIVE)
        finish(e);
}

void
leave_drain(struct election *e)
{
    if (e->is_leaving)
        return;
    e->is_draining = true;
    hand_over(e);
}

void
leave_hand_over_ring(struct election *e, const struct id *to)
{
    e->handover.tried_count = 0;
    e->handover.is_ring_lost = true;
    ask_to_take_over(e, to);
}

void
leave_hand_over_certificate(struct election *e, const struct id *to)
{
    e->handover.is_ring_lost = false;
    ask_to_take_over(e, to);
}

enum status
leave_hand_over_to(struct election *e, const char *node, struct why *why)
{
    const struct candidate *order[ELECTION_CANDIDATES_MAX];
    size_t count = ranking_order(e, order, ELECTION_CANDIDATES_MAX);
    struct id id;
    bool is_id = node && id_parse(node, &id) == ST_OK;

    if (e->role != ELECTION_ACTIVE)
        return why_set(why, ST_STATE, "election: this node is not the active gateway");
    if (e->handover.is_under_way || e->is_leaving)
        return why_set(why, ST_STATE, "election: a hand-over is under way");
    for (size_t i = 0; i < count; i++) {
        const struct node_ref *ref = &order[i]->record.ref;
        if (node && strcmp(ref->name, node) != 0 && !(is_id && id_equal(&ref->node, &id)))
            continue;
        e->handover.tried_count = 0;
        e->handover.is_ring_lost = false;
        ask_to_take_over(e, &ref->node);
        return ST_OK;
    }
    if (node)
        return why_set(why, ST_NOT_FOUND, "election: no candidate %s", node);
    return why_set(why, ST_NOT_FOUND, "election: there is no candidate");
}

void
leave_on_handover(struct election *e, const struct election_event *ev)
{
    const struct id from = ev->request.from;
    char reason[ELECTION_REASON_BYTES];
    char name[NODE_NAME_BYTES];

    if (!gateways_has(e, &from) || ev->request.handover->term != e->term) {
        log_to(&e->env.log, LOG_LEVEL_REMOTE,
               "election: %s: a handover of term %u by %s, which is no gateway of term %u",
               e->conf.overlay, ev->request.handover->term, election_name(e, &from, name), e->term);
        record_read_gateways(e); /* who are you? */
        e->env.answer_handover(e->env.ctx, ev->request.handle, ST_FORBIDDEN);
        return;
    }
    if (e->role != ELECTION_CANDIDATE || (ev->request.handover->is_ring_lost && ring_is_lost(e))) {
        e->env.answer_handover(e->env.ctx, ev->request.handle, ST_STATE);
        return;
    }
    e->env.answer_handover(e->env.ctx, ev->request.handle, ST_OK);
    if (ev->request.handover->is_ring_lost)
        ring_moves_role(e);
    snprintf(reason, sizeof(reason), "%s hands over%s", election_name(e, &from, name),
             ev->request.handover->is_ring_lost ? ": it has lost the ring" : "");
    claim_make(e, &from, reason);
}

static void
gave_up(struct election *e)
{
    char name[NODE_NAME_BYTES];

    if (e->is_leaving) {
        try_next(e);
        return;
    }
    e->handover.is_under_way = false;
    log_to(&e->env.log, LOG_LEVEL_WARN, "election: %s: %s does not take over, we carry on",
           e->conf.overlay, election_name(e, &e->handover.to, name));
}

void
leave_on_handover_answer(struct election *e, const struct election_event *ev)
{
    if (!e->handover.is_under_way || ev->answer.token != e->handover.token)
        return;
    if (ev->answer.st != ST_OK)
        gave_up(e);
    else
        e->handover.until_ms = e->now.mono_ms + HANDOVER_TRY_MS; /* its claim is on the way */
}

void
leave_stepped_down(struct election *e)
{
    if (e->is_leaving) {
        finish(e);
        return;
    }
    /* Whoever was put here on purpose is not to be pushed out at once. */
    if (e->handover.tried_count > 0)
        e->patient_until_ms = e->now.mono_ms + 10ULL * e->conf.hold_ms;
    e->handover.tried_count = 0;
}

void
leave_run(struct election *e)
{
    if (e->role == ELECTION_ACTIVE && e->now.mono_ms >= e->leave_at_ms)
        leave_alone(
            e, by_kind(e, "leaves, nobody took over in time", "drains, nobody took over in time"));
    if (e->handover.is_under_way && e->now.mono_ms >= e->handover.until_ms)
        gave_up(e);
}

uint64_t
leave_deadline_ms(const struct election *e)
{
    uint64_t at_ms = e->role == ELECTION_ACTIVE ? e->leave_at_ms : MOMENT_NEVER;

    return e->handover.is_under_way ? moment_earlier_ms(at_ms, e->handover.until_ms) : at_ms;
}
