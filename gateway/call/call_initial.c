#include <assert.h>
#include <stdlib.h>

#include "gateway/call/internal.h"

#define REFER_LIFETIME_S 180 /* a REFER that says nothing of its subscription's length */

bool
call_initial_is_open(const struct call *c)
{
    if (!c->branches)
        return false;
    for (size_t i = 0; i < c->branches->count; i++)
        if (c->branches->branch[i].state == BRANCH_SENT ||
            c->branches->branch[i].state == BRANCH_HEARD)
            return true;
    return false;
}

bool
call_initial_is_over(const struct call *c)
{
    for (size_t i = 0; c->branches && i < c->branches->count; i++)
        if (c->branches->branch[i].state == BRANCH_GIVEN_UP)
            return false;
    return !call_initial_is_open(c);
}

/** Its transaction goes on until it is quiet. */
static void
give_up(struct call *c, struct moment now, unsigned index)
{
    struct branch *branch = &c->branches->branch[index];

    branch->state = BRANCH_DONE;
    if (c->kind != CALL_SESSION) /* RFC 3261 section 9.1: only INVITE */
        return;
    branch->state = BRANCH_GIVEN_UP;
    branch->deadline_ms = now.mono_ms + c->conf->ending_ms;
    c->out->cancel(c->ctx, index);
}

static void
cancel_branches(struct call *c, struct moment now)
{
    struct branches *b = c->branches;

    for (size_t i = 0; b && i < b->count; i++) {
        if (b->branch[i].state == BRANCH_WAITING && !b->branch[i].is_sent)
            b->branch[i].state = BRANCH_DONE;
        else if (b->branch[i].state < BRANCH_GIVEN_UP)
            give_up(c, now, (unsigned)i);
    }
}

void
call_finish(struct call *c, struct moment now, int status, const char *reason)
{
    if (c->branches->has_given_up)
        return;
    c->branches->has_given_up = true;
    c->branches->hop_deadline_ms = MOMENT_NEVER;
    c->branches->doubt_at_ms = MOMENT_NEVER;
    c->branches->search_at_ms = MOMENT_NEVER;
    c->invite[CALL_INITIAL].state = CALL_INVITE_NONE;
    c->out->finish(c->ctx, status);
    cancel_branches(c, now);
    call_become(c, now, CALL_ENDING, reason);
}

/** Smaller is better: RFC 3261 section 16.7 step 6. */
static int
rank(int status)
{
    if (status >= 600)
        return 0;
    if (status == 401 || status == 407 || status == 415 || status == 420 || status == 484)
        return 400;
    if (status == 408 || status == 480 || status == 503) /* says the least */
        return (status / 100) * 100 + 99;
    if (status == 404 || status == 410 || status == 482) /* of one contact: a phone says more */
        return status == 482 ? 402 : 403;
    return (status / 100) * 100 + 1;
}

static void
start_branch(struct call *c, struct moment now, unsigned index)
{
    struct branches *b = c->branches;
    struct branch *branch = &b->branch[index];

    if (!c->out->send_initial(c->ctx, index)) {
        branch->state = BRANCH_DONE;
        return;
    }
    branch->state = BRANCH_SENT;
    branch->is_sent = true;
    branch->deadline_ms = c->kind == CALL_SESSION ? now.mono_ms + c->conf->answer_ms : MOMENT_NEVER;
    if (!branch->is_hop)
        return;
    b->hop_deadline_ms = now.mono_ms + c->conf->hop_ms;
    if (c->conf->doubt_ms > 0)
        b->doubt_at_ms = now.mono_ms + c->conf->doubt_ms;
}

/** Is a flow of this phone being tried? */
static bool
is_phone_tried(const struct branches *b, uint8_t phone)
{
    for (size_t i = 0; phone && i < b->count; i++)
        if (b->branch[i].phone == phone &&
            (b->branch[i].state == BRANCH_SENT || b->branch[i].state == BRANCH_HEARD))
            return true;
    return false;
}

static void
start_group(struct call *c, struct moment now, uint8_t group)
{
    struct branches *b = c->branches;

    b->group = group;
    b->hop_deadline_ms = MOMENT_NEVER;
    b->doubt_at_ms = MOMENT_NEVER;
    for (unsigned i = 0; i < b->count; i++)
        if (b->branch[i].state == BRANCH_WAITING && b->branch[i].group == group &&
            !is_phone_tried(b, b->branch[i].phone))
            start_branch(c, now, i);
}

/** A flow of a phone has failed: the next one is tried. */
static void
next_flow(struct call *c, struct moment now, uint8_t phone)
{
    struct branches *b = c->branches;

    for (unsigned i = 0; phone && i < b->count && !is_phone_tried(b, phone); i++)
        if (b->branch[i].phone == phone && b->branch[i].state == BRANCH_WAITING)
            start_branch(c, now, i);
}

/** The phone itself has responded: no other flow of it is tried. */
static void
forget_flows(struct branches *b, uint8_t phone)
{
    for (unsigned i = 0; phone && i < b->count; i++)
        if (b->branch[i].phone == phone && b->branch[i].state == BRANCH_WAITING)
            b->branch[i].state = BRANCH_DONE;
}

static bool
is_anyone_reached(const struct branches *b)
{
    for (size_t i = 0; i < b->count; i++)
        if (b->branch[i].is_reached)
            return true;
    return false;
}

static bool
next_group(const struct branches *b, bool is_other, uint8_t *ret_group)
{
    bool found = false;

    for (size_t i = 0; i < b->count; i++) {
        if (b->branch[i].state != BRANCH_WAITING || b->branch[i].is_other != is_other)
            continue;
        if (!found || b->branch[i].group < *ret_group)
            *ret_group = b->branch[i].group;
        found = true;
    }
    return found;
}

/** Is somebody waited for who takes the place of a hop that was heard? */
static bool
is_rescue(const struct branches *b, struct moment now)
{
    return b->rescue_until_ms > now.mono_ms && !b->has_given_up;
}

static void
search_again(struct call *c, struct moment now)
{
    struct branches *b = c->branches;
    uint32_t again_ms = is_rescue(b, now) ? c->conf->rescue_pause_ms : c->conf->search_pause_ms;
    uint32_t pause_ms = b->searches > 0 ? again_ms : 0;

    b->searches++;
    call_become(c, now, CALL_SEARCHING, "nobody could be reached");
    c->deadline_ms = now.mono_ms + pause_ms + c->conf->search_ms;
    if (pause_ms > 0)
        b->search_at_ms = now.mono_ms + pause_ms;
    else
        c->out->search_again(c->ctx);
}

/** Among those who do not know the callee: one who cannot tell leaves it open, and one who knew him
 * says more than one who never did.  0: says something else. */
static int
unknown_rank(int status)
{
    return status == 500 ? 1 : status == 480 ? 2 : status == 404 ? 3 : 0;
}

/** Does this status say more to the caller than the best so far (section 16.7 step 6)? */
static bool
is_better(const struct branches *b, int status)
{
    if (b->best == 0)
        return true;
    if (b->others > 0 && !b->is_best_void && unknown_rank(b->best) && unknown_rank(status))
        return unknown_rank(status) < unknown_rank(b->best);
    return rank(status) < rank(b->best) && (!b->is_best_void || status >= 600);
}

/** A 503 from downstream would say that we are out of order (section 16.7 step 6). */
static int
best_of(const struct branches *b)
{
    if (b->best == 503)
        return 500;
    return b->is_best_ours ? b->best : CALL_PASS;
}

enum { OTHERS_MAX = 2 }; /* are asked for whom those before did not know */

/** Whoever responded does not know the callee: in an overlay that is cut in two, its other part
 * may.
 */
static bool
is_elsewhere(const struct call *c)
{
    const struct branches *b = c->branches;

    if (c->state == CALL_EARLY) /* it rang there */
        return false;
    for (size_t i = 0; i < b->count; i++)
        if (b->branch[i].is_reached && !b->branch[i].is_elsewhere)
            return false;
    return !b->is_best_void && !b->is_best_ours && b->others < OTHERS_MAX;
}

static void
seek_others(struct call *c, struct moment now)
{
    c->branches->is_sought = true;
    call_become(c, now, CALL_SEARCHING, "nobody knows the callee");
    c->deadline_ms = now.mono_ms + c->conf->search_ms;
    c->out->search_again(c->ctx);
}

/** Nobody whom the ring named knew the callee.  Says whether the call is left to a search. */
static bool
go_elsewhere(struct call *c, struct moment now)
{
    struct branches *b = c->branches;
    uint8_t group = 0;

    if (is_elsewhere(c) && (next_group(b, false, &group) || next_group(b, true, &group))) {
        b->others++;
        start_group(c, now, group);
    } else if (is_elsewhere(c) && c->conf->seeks_others && !b->is_sought) {
        seek_others(c, now);
        return true;
    } else {
        call_finish(c, now, best_of(b), b->is_best_ours ? "no answer" : "refused");
    }
    return false;
}

/** No branch runs any more: on to the next group, to another search, or to the final answer. */
static void
go_on(struct call *c, struct moment now)
{
    struct branches *b = c->branches;
    uint8_t group = 0;

    while (!b->has_given_up && c->state < CALL_CONFIRMED && !call_initial_is_open(c)) {
        if (is_anyone_reached(b)) {
            if (go_elsewhere(c, now))
                return;
        } else if (next_group(b, false, &group)) {
            start_group(c, now, group);
        } else if (b->searches < c->conf->searches || is_rescue(b, now)) {
            search_again(c, now);
            return;
        } else if (next_group(b, true, &group)) {
            start_group(c, now, group);
        } else {
            call_finish(c, now, b->best == 503 ? 500 : c->conf->unreachable_status,
                        "nobody could be reached");
        }
    }
}

static void
add_branches(struct call *c, const struct call_target *targets, size_t count)
{
    struct branches *b = c->branches;

    for (size_t i = 0; i < count; i++) {
        struct branch *again = targets[i].again ? &b->branch[targets[i].again - 1] : NULL;

        if (again && again->state == BRANCH_GIVEN_UP) {
            again->state = BRANCH_WAITING;
            again->group = targets[i].group;
            c->out->resume(c->ctx, targets[i].again - 1U);
        } else if (!again && b->count < CALL_BRANCHES_MAX) {
            b->branch[b->count++] = (struct branch){.state = BRANCH_WAITING,
                                                    .group = targets[i].group,
                                                    .phone = targets[i].phone,
                                                    .is_other = targets[i].is_other,
                                                    .is_hop = targets[i].is_hop};
        }
    }
}

void
call_on_targets(struct call *c, struct moment now, const struct call_target *targets, size_t count)
{
    if (c->state != CALL_SEARCHING)
        return;
    add_branches(c, targets, count);
    call_become(c, now, CALL_TRYING, "sent on");
    go_on(c, now);
    call_settle(c, now);
}

static void
give_up_silent(struct call *c, struct moment now)
{
    struct branches *b = c->branches;
    uint8_t phone[CALL_BRANCHES_MAX];
    size_t phones = 0;

    b->hop_deadline_ms = MOMENT_NEVER;
    b->doubt_at_ms = MOMENT_NEVER;
    for (size_t i = 0; i < b->count; i++) {
        if (b->branch[i].state != BRANCH_SENT || !b->branch[i].is_hop)
            continue;
        give_up(c, now, (unsigned)i);
        c->out->forget(c->ctx, (unsigned)i);
        phone[phones++] = b->branch[i].phone;
    }
    while (phones > 0)
        next_flow(c, now, phone[--phones]);
    go_on(c, now);
}

bool
call_is_silent(const struct call *c)
{
    bool is_sent = false;

    if (c->state != CALL_TRYING || is_anyone_reached(c->branches))
        return false;
    for (size_t i = 0; i < c->branches->count; i++) {
        const struct branch *branch = &c->branches->branch[i];
        if (branch->state == BRANCH_SENT && !branch->is_hop)
            return false;
        is_sent = is_sent || branch->state == BRANCH_SENT;
    }
    return is_sent;
}

void
call_on_successors(struct call *c, struct moment now, const struct call_target *targets,
                   size_t count)
{
    assert(call_is_silent(c));
    add_branches(c, targets, count);
    give_up_silent(c, now);
    call_settle(c, now);
}

void
call_on_no_target(struct call *c, struct moment now, int status, const char *reason)
{
    uint8_t group = 0;

    if (c->state != CALL_SEARCHING)
        return;
    if (is_rescue(c->branches, now)) { /* not yet */
        search_again(c, now);
        return;
    }
    if (!is_anyone_reached(c->branches) && next_group(c->branches, true, &group)) {
        call_become(c, now, CALL_TRYING, "nobody else is left");
        start_group(c, now, group);
        go_on(c, now);
    } else {
        if (c->branches->best)
            status = best_of(c->branches);
        call_finish(c, now, status, reason);
    }
    call_settle(c, now);
}

static void
on_final(struct call *c, struct moment now, unsigned index, const struct call_response *response)
{
    struct branches *b = c->branches;
    struct branch *branch = &b->branch[index];
    bool is_silent = response->is_ours && branch->state != BRANCH_HEARD;

    branch->state = BRANCH_DONE;
    if (b->has_given_up)
        return;
    /* nothing came back, or "not here, not now": the next target may do better */
    if (is_silent || response->status == 503) {
        if (is_silent || branch->is_hop)
            c->out->forget(c->ctx, index);
    } else {
        branch->is_reached = !response->is_stale || b->searches > 0;
        branch->is_elsewhere = response->is_elsewhere;
    }
    if (!is_silent && (response->is_void || is_better(b, response->status))) {
        b->is_best_void = response->is_void;
        b->best = response->status;
        b->is_best_ours = false;
        c->out->keep(c->ctx, index);
    }
    if (response->status >= 600) { /* section 16.7 step 5 */
        call_finish(c, now, CALL_PASS, "declined everywhere");
        return;
    }
    if (is_silent || response->is_flow_lost)
        next_flow(c, now, branch->phone);
    else
        forget_flows(b, branch->phone);
}

/** It rang, and now it cannot be reached: whoever rings there is told that it is over, and nobody
 * else is rung in his place. */
static void
on_lost(struct call *c, struct moment now, unsigned index, int status)
{
    struct branches *b = c->branches;

    give_up(c, now, index);
    if (b->has_given_up)
        return;
    b->branch[index].is_reached = true;
    forget_flows(b, b->branch[index].phone);
    if (is_better(b, status)) {
        b->best = status;
        b->is_best_ours = true;
    }
}

/** It was heard, and has gone; or it rang there, and the call is another gateway's now. */
static bool
is_hop_lost(const struct call *c, unsigned index, const struct call_response *response)
{
    const struct branches *b = c->branches;

    return (response->is_ours || (response->status == 503 && c->state == CALL_EARLY)) &&
           b->branch[index].state == BRANCH_HEARD && c->kind == CALL_SESSION &&
           b->branch[index].is_hop && c->conf->rescue_ms > 0 && !b->has_given_up;
}

/** The same of a hop: the request rings on behind it, and whoever takes its place goes on with it.
 */
static void
on_hop_lost(struct call *c, struct moment now, unsigned index)
{
    struct branches *b = c->branches;

    b->branch[index].state = BRANCH_DONE;
    b->branch[index].is_reached = false;
    c->out->forget(c->ctx, index);
    if (is_rescue(b, now))
        return;
    b->rescue_until_ms = now.mono_ms + c->conf->rescue_ms;
    b->searches = 0;
}

static void
on_success(struct call *c, struct moment now, unsigned index, const struct call_response *response)
{
    struct branches *b = c->branches;

    b->branch[index].state = BRANCH_DONE;
    if (b->has_given_up || c->winner != CALL_NO_DIALOG) {
        /* CANCEL crossed the 2xx, or a second phone was picked up (section 13.2.2.4) */
        if (c->kind == CALL_SESSION && response->dialog != c->winner)
            c->out->refuse_dialog(c->ctx, response->dialog);
        return;
    }
    c->out->relay(c->ctx, index, response->dialog);
    b->hop_deadline_ms = MOMENT_NEVER;
    cancel_branches(c, now);
    b->has_given_up = true;
    if (c->kind == CALL_SINGLE || response->dialog == CALL_NO_DIALOG) {
        c->invite[CALL_INITIAL].state = CALL_INVITE_NONE;
        call_become(c, now, CALL_ENDING, "answered");
        return;
    }
    c->winner = response->dialog;
    c->lifetime_s = response->expires_s;
    if (c->kind == CALL_SESSION)
        invites_answered(c, now, CALL_INITIAL);
    else if (c->lifetime_s == 0)
        c->lifetime_s = REFER_LIFETIME_S;
    c->forks_until_ms = now.mono_ms + c->conf->ack_ms; /* RFC 6665 section 4.1.2.4, timer N */
    call_become(c, now, CALL_CONFIRMED, "answered");
    if (c->is_unsubscribed)
        call_unsubscribed(c, now);
}

/** It is heard while nobody else is asked: it counts again. */
static bool
is_back(const struct call *c, unsigned index, const struct call_response *response)
{
    return c->state == CALL_SEARCHING && !c->branches->has_given_up && !response->is_ours &&
           c->branches->branch[index].state == BRANCH_GIVEN_UP;
}

static void
take_back(struct call *c, struct moment now, unsigned index)
{
    struct branch *branch = &c->branches->branch[index];

    branch->state = BRANCH_SENT;
    branch->is_sent = true;
    branch->deadline_ms = now.mono_ms + c->conf->answer_ms;
    c->branches->search_at_ms = MOMENT_NEVER;
    c->out->resume(c->ctx, index);
    call_become(c, now, CALL_TRYING, "heard after all");
}

static void
on_given_up(struct call *c, unsigned index, const struct call_response *response)
{
    if (response->status < 200)
        return;
    c->branches->branch[index].state = BRANCH_DONE;
    if (response->status < 300 && response->dialog != c->winner)
        c->out->refuse_dialog(c->ctx, response->dialog);
}

void
call_on_response(struct call *c, struct moment now, unsigned branch,
                 const struct call_response *response)
{
    struct branches *b = c->branches;

    if (!b || branch >= b->count || b->branch[branch].state == BRANCH_DONE) {
        /* the transaction is gone, but another phone behind this branch may still be picked up */
        if (c->kind == CALL_SESSION && response->status / 100 == 2 && response->dialog != c->winner)
            c->out->refuse_dialog(c->ctx, response->dialog);
        return;
    }
    if (is_back(c, branch, response))
        take_back(c, now, branch);
    if (b->branch[branch].state == BRANCH_GIVEN_UP) {
        on_given_up(c, branch, response);
        call_settle(c, now);
        return;
    }
    if (response->status < 200) {
        b->branch[branch].state = BRANCH_HEARD;
        b->branch[branch].is_reached = true;
        if (response->status > 100 && c->kind == CALL_SESSION) /* section 16.7 item 2 */
            b->branch[branch].deadline_ms = now.mono_ms + c->conf->answer_ms;
        if (response->status > 100 && !b->has_given_up) {
            c->out->relay(c->ctx, branch, response->dialog);
            call_become(c, now, CALL_EARLY, "ringing");
        }
        return;
    }
    if (response->status < 300)
        on_success(c, now, branch, response);
    else if (is_hop_lost(c, branch, response))
        on_hop_lost(c, now, branch);
    else if (response->is_ours && b->branch[branch].state == BRANCH_HEARD &&
             c->kind == CALL_SESSION)
        on_lost(c, now, branch, response->status);
    else
        on_final(c, now, branch, response);
    go_on(c, now);
    call_settle(c, now);
}

/* ---- time ---- */

static uint64_t
branches_deadline_ms(const struct branches *b)
{
    uint64_t at_ms = MOMENT_NEVER;

    for (size_t i = 0; i < b->count; i++) {
        const struct branch *branch = &b->branch[i];

        if (branch->state != BRANCH_WAITING && branch->state != BRANCH_DONE)
            at_ms = moment_earlier_ms(at_ms, branch->deadline_ms);
    }
    return at_ms;
}

static void
doubt(struct call *c, struct moment now)
{
    struct branches *b = c->branches;

    b->doubt_at_ms = MOMENT_NEVER;
    if (!call_is_silent(c))
        return;
    if (c->conf->doubt_again_ms > 0)
        b->doubt_at_ms = now.mono_ms + c->conf->doubt_again_ms;
    c->out->doubt(c->ctx);
}

/** Timer C of each branch (sections 16.6 item 11 and 16.8). */
static void
call_off(struct call *c, struct moment now)
{
    struct branches *b = c->branches;
    bool is_news = false;

    for (unsigned i = 0; i < b->count; i++) {
        struct branch *branch = &b->branch[i];

        if (branch->deadline_ms > now.mono_ms)
            continue;
        if (branch->state == BRANCH_GIVEN_UP)
            branch->state = BRANCH_DONE;
        if (branch->state != BRANCH_SENT && branch->state != BRANCH_HEARD)
            continue;
        give_up(c, now, i);
        forget_flows(b, branch->phone);
        branch->is_reached = true;
        is_news = true;
        if (is_better(b, 408)) {
            b->best = 408;
            b->is_best_ours = true;
        }
    }
    if (is_news)
        go_on(c, now);
}

void
call_initial_tick(struct call *c, struct moment now)
{
    struct branches *b = c->branches;

    if (b && b->hop_deadline_ms <= now.mono_ms)
        give_up_silent(c, now);
    if (b && b->doubt_at_ms <= now.mono_ms)
        doubt(c, now);
    if (b && b->search_at_ms <= now.mono_ms) {
        b->search_at_ms = MOMENT_NEVER;
        c->out->search_again(c->ctx);
    }
    if (b && branches_deadline_ms(b) <= now.mono_ms)
        call_off(c, now);
}

uint64_t
call_initial_deadline_ms(const struct call *c)
{
    const struct branches *b = c->branches;
    uint64_t at_ms;

    if (!b)
        return MOMENT_NEVER;
    at_ms = moment_earlier_ms(b->hop_deadline_ms, branches_deadline_ms(b));
    at_ms = moment_earlier_ms(at_ms, b->doubt_at_ms);
    return moment_earlier_ms(at_ms, b->search_at_ms);
}
