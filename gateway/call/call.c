#include "gateway/call/call.h"

#include <assert.h>
#include <stdlib.h>

#define REFER_LIFETIME_S 180 /* a REFER that says nothing of its subscription's length */

enum branch_state { BRANCH_WAITING, BRANCH_SENT, BRANCH_HEARD, BRANCH_DONE };
enum invite_state { INVITE_NONE, INVITE_PENDING, INVITE_ANSWERED, INVITE_ACKNOWLEDGED };

struct branch {
    enum branch_state state;
    uint8_t group;
    bool is_hop;
    bool is_reached; /* someone answered, be it with a refusal */
};

/** Branches matter until the initial request is settled; a call that is up has none. */
struct branches {
    size_t count;
    int best; /* status of the response kept, 0 for none */
    uint8_t group;
    unsigned searches;     /* after the first */
    uint64_t search_at_ms; /* the next; MOMENT_NEVER while none is waited for */
    bool has_given_up;     /* the caller has its answer: whatever comes is not for him */
    uint64_t hop_deadline_ms;
    uint64_t answer_deadline_ms;
    struct branch branch[CALL_BRANCHES_MAX];
};

struct exchange {
    bool is_open;
    uint8_t from;
    uint8_t method;
};

struct call {
    const struct call_conf *conf;
    const struct call_out *out;
    void *ctx;
    struct branches *branches;
    uint64_t deadline_ms; /* of the state; the branches have their own */
    uint64_t ack_deadline_ms;
    uint32_t lifetime_s; /* of the session or subscription; 0 without limit */
    uint8_t kind;
    uint8_t state;
    uint8_t winner;
    uint8_t invite;      /* enum invite_state of the last INVITE */
    uint8_t invite_from; /* who sent it */
    uint8_t byes;        /* bit for each leg that said BYE, or was sent one by us */
    bool has_own_invite; /* one of the gateway itself is under way: its 2xx must be acknowledged */
    uint8_t subscriptions; /* REFERs accepted inside the dialog; they outlive the session */
    struct exchange exchange[CALL_EXCHANGES_MAX];
};

static enum call_leg
other(enum call_leg leg)
{
    return leg == CALL_CALLER ? CALL_CALLEE : CALL_CALLER;
}

static bool
has_open_branch(const struct call *c)
{
    if (!c->branches)
        return false;
    for (size_t i = 0; i < c->branches->count; i++)
        if (c->branches->branch[i].state == BRANCH_SENT ||
            c->branches->branch[i].state == BRANCH_HEARD)
            return true;
    return false;
}

static bool
has_open_exchange(const struct call *c)
{
    for (size_t i = 0; i < CALL_EXCHANGES_MAX; i++)
        if (c->exchange[i].is_open)
            return true;
    return false;
}

static void
check_invariants(const struct call *c)
{
    assert((c->state == CALL_CONFIRMED) <= (c->winner != CALL_NO_DIALOG));
    assert(c->state != CALL_TRYING || c->branches);
    assert(c->kind == CALL_SESSION || c->invite == INVITE_NONE);
}

static void
become(struct call *c, struct moment now, enum call_state state, const char *reason)
{
    enum call_state was = c->state;

    if (was == state)
        return;
    c->state = (uint8_t)state;
    c->deadline_ms = MOMENT_NEVER;
    if (state == CALL_CONFIRMED && c->lifetime_s > 0)
        c->deadline_ms = now.mono_ms + c->lifetime_s * 1000ULL;
    if (state == CALL_ENDING)
        c->deadline_ms = now.mono_ms + c->conf->ending_ms;
    c->out->changed(c->ctx, was, state, reason);
}

/** A call that is over goes once nothing is under way any more; the last thing a function does. */
static void
settle(struct call *c, struct moment now)
{
    check_invariants(c);
    if (c->branches && !has_open_branch(c) && c->state >= CALL_CONFIRMED) {
        free(c->branches);
        c->branches = NULL;
    }
    if (c->state == CALL_ENDING && !c->branches && !has_open_exchange(c) && c->subscriptions == 0 &&
        !c->has_own_invite && c->invite != INVITE_ANSWERED)
        become(c, now, CALL_ENDED, "all is quiet");
}

struct call *
call_new(enum call_kind kind, const struct call_conf *conf, const struct call_out *out, void *ctx,
         struct moment now)
{
    struct call *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->branches = calloc(1, sizeof(*c->branches));
    if (!c->branches) {
        free(c);
        return NULL;
    }
    c->conf = conf;
    c->out = out;
    c->ctx = ctx;
    c->kind = (uint8_t)kind;
    c->state = CALL_SEARCHING;
    c->winner = CALL_NO_DIALOG;
    c->invite = kind == CALL_SESSION ? INVITE_PENDING : INVITE_NONE;
    c->invite_from = CALL_CALLER;
    c->deadline_ms = now.mono_ms + conf->search_ms;
    c->ack_deadline_ms = MOMENT_NEVER;
    c->branches->hop_deadline_ms = MOMENT_NEVER;
    c->branches->search_at_ms = MOMENT_NEVER;
    c->branches->answer_deadline_ms =
        kind == CALL_SESSION ? now.mono_ms + conf->answer_ms : MOMENT_NEVER;
    return c;
}

void
call_free(struct call *c)
{
    if (!c)
        return;
    free(c->branches);
    free(c);
}

enum call_state
call_state(const struct call *c)
{
    return c->state;
}

enum call_kind
call_kind(const struct call *c)
{
    return c->kind;
}

const char *
call_state_name(enum call_state state)
{
    static const char *const name[] = {"searching", "trying", "early",
                                       "confirmed", "ending", "ended"};

    return name[state];
}

bool
call_awaits_ack(const struct call *c)
{
    return c->invite == INVITE_ANSWERED;
}

uint8_t
call_winner(const struct call *c)
{
    return c->winner;
}

/* ---- the initial request ---- */

static void
cancel_branches(struct call *c)
{
    struct branches *b = c->branches;

    for (size_t i = 0; b && i < b->count; i++) {
        if (b->branch[i].state == BRANCH_WAITING)
            b->branch[i].state = BRANCH_DONE;
        if (b->branch[i].state == BRANCH_SENT || b->branch[i].state == BRANCH_HEARD) {
            if (c->kind == CALL_SESSION)
                c->out->cancel(c->ctx, (unsigned)i);
            else
                b->branch[i].state = BRANCH_DONE; /* RFC 3261 section 9.1: only INVITE */
        }
    }
}

/** Give the caller his final answer; branches that still run are called off. */
static void
finish(struct call *c, struct moment now, int status, const char *reason)
{
    if (c->branches->has_given_up)
        return;
    c->branches->has_given_up = true;
    c->branches->hop_deadline_ms = MOMENT_NEVER;
    c->branches->answer_deadline_ms = MOMENT_NEVER;
    c->branches->search_at_ms = MOMENT_NEVER;
    c->invite = INVITE_NONE;
    c->out->finish(c->ctx, status);
    cancel_branches(c);
    become(c, now, CALL_ENDING, reason);
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
    return (status / 100) * 100 + 1;
}

static void
start_group(struct call *c, struct moment now, uint8_t group)
{
    struct branches *b = c->branches;

    b->group = group;
    b->hop_deadline_ms = MOMENT_NEVER;
    for (size_t i = 0; i < b->count; i++) {
        struct branch *branch = &b->branch[i];

        if (branch->state != BRANCH_WAITING || branch->group != group)
            continue;
        if (!c->out->send_initial(c->ctx, (unsigned)i)) {
            branch->state = BRANCH_DONE;
            continue;
        }
        branch->state = BRANCH_SENT;
        if (branch->is_hop)
            b->hop_deadline_ms = now.mono_ms + c->conf->hop_ms;
    }
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
next_group(const struct branches *b, uint8_t *ret_group)
{
    bool found = false;

    for (size_t i = 0; i < b->count; i++) {
        if (b->branch[i].state != BRANCH_WAITING)
            continue;
        if (!found || b->branch[i].group < *ret_group)
            *ret_group = b->branch[i].group;
        found = true;
    }
    return found;
}

static void
search_again(struct call *c, struct moment now)
{
    struct branches *b = c->branches;
    uint32_t pause_ms = b->searches > 0 ? c->conf->search_pause_ms : 0;

    b->searches++;
    become(c, now, CALL_SEARCHING, "nobody could be reached");
    c->deadline_ms = now.mono_ms + pause_ms + c->conf->search_ms;
    if (pause_ms > 0)
        b->search_at_ms = now.mono_ms + pause_ms;
    else
        c->out->search_again(c->ctx);
}

/** No branch runs any more: on to the next group, to another search, or to the final answer. */
static void
go_on(struct call *c, struct moment now)
{
    struct branches *b = c->branches;
    uint8_t group = 0;

    while (!b->has_given_up && c->state < CALL_CONFIRMED && !has_open_branch(c)) {
        if (is_anyone_reached(b)) {
            /* a 503 from downstream would say that we are out of order (section 16.7 step 6) */
            finish(c, now, b->best == 503 ? 500 : CALL_PASS, "refused");
        } else if (next_group(b, &group)) {
            start_group(c, now, group);
        } else if (b->searches < c->conf->searches) {
            search_again(c, now);
            return;
        } else {
            finish(c, now, b->best == 503 ? 500 : c->conf->unreachable_status,
                   "nobody could be reached");
        }
    }
}

void
call_on_targets(struct call *c, struct moment now, const struct call_target *targets, size_t count)
{
    struct branches *b = c->branches;

    if (c->state != CALL_SEARCHING)
        return;
    for (size_t i = 0; i < count && b->count < CALL_BRANCHES_MAX; i++)
        b->branch[b->count++] = (struct branch){
            .state = BRANCH_WAITING, .group = targets[i].group, .is_hop = targets[i].is_hop};
    become(c, now, CALL_TRYING, "sent on");
    go_on(c, now);
    settle(c, now);
}

void
call_on_no_target(struct call *c, struct moment now, int status, const char *reason)
{
    if (c->state != CALL_SEARCHING)
        return;
    if (c->branches->best == 503)
        status = 500;
    else if (c->branches->best)
        status = CALL_PASS;
    finish(c, now, status, reason);
    settle(c, now);
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
    }
    if (!is_silent && (b->best == 0 || rank(response->status) < rank(b->best))) {
        b->best = response->status;
        c->out->keep(c->ctx, index);
    }
    if (response->status >= 600) /* section 16.7 step 5 */
        finish(c, now, CALL_PASS, "declined everywhere");
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
    b->answer_deadline_ms = MOMENT_NEVER;
    cancel_branches(c);
    b->has_given_up = true;
    if (c->kind == CALL_SINGLE || response->dialog == CALL_NO_DIALOG) {
        c->invite = INVITE_NONE;
        become(c, now, CALL_ENDING, "answered");
        return;
    }
    c->winner = response->dialog;
    c->lifetime_s = response->expires_s;
    if (c->kind == CALL_SESSION) {
        c->invite = INVITE_ANSWERED;
        c->ack_deadline_ms = now.mono_ms + c->conf->ack_ms;
    } else if (c->lifetime_s == 0) {
        c->lifetime_s = REFER_LIFETIME_S;
    }
    become(c, now, CALL_CONFIRMED, "answered");
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
    if (response->status < 200) {
        b->branch[branch].state = BRANCH_HEARD;
        b->branch[branch].is_reached = true;
        if (response->status > 100 && !b->has_given_up) {
            c->out->relay(c->ctx, branch, response->dialog);
            become(c, now, CALL_EARLY, "ringing");
        }
        return;
    }
    if (response->status < 300)
        on_success(c, now, branch, response);
    else
        on_final(c, now, branch, response);
    go_on(c, now);
    settle(c, now);
}

void
call_on_cancel(struct call *c, struct moment now)
{
    if (c->state >= CALL_CONFIRMED || c->kind != CALL_SESSION)
        return; /* too late: the 2xx stands, the caller will hang up (section 9.2) */
    finish(c, now, 487, "cancelled");
    settle(c, now);
}

/* ---- INVITE and its ACK ---- */

void
call_on_ack(struct call *c, struct moment now, enum call_leg leg)
{
    if (c->invite != INVITE_ANSWERED && c->invite != INVITE_ACKNOWLEDGED)
        return;
    if (c->invite_from != leg)
        return;
    c->invite = INVITE_ACKNOWLEDGED;
    c->ack_deadline_ms = MOMENT_NEVER;
    c->out->acknowledge(c->ctx, other(leg));
    settle(c, now);
}

int
call_on_answered_again(struct call *c, struct moment now, enum call_leg leg)
{
    (void)now;
    if (c->invite_from == leg)
        return CALL_SWALLOW;
    if (c->invite == INVITE_ANSWERED)
        return CALL_PASS;
    if (c->invite == INVITE_ACKNOWLEDGED)
        c->out->acknowledge(c->ctx, leg);
    return CALL_SWALLOW;
}

/** Both sides are told that it is over; a side that said BYE itself, or was sent one, is not. */
static void
hang_up(struct call *c, struct moment now, const char *reason)
{
    bool owes_ack = c->invite == INVITE_ANSWERED;

    c->invite = INVITE_NONE;
    c->ack_deadline_ms = MOMENT_NEVER;
    c->subscriptions = 0;
    if (owes_ack)
        c->out->acknowledge(c->ctx, other(c->invite_from));
    for (enum call_leg leg = CALL_CALLER; leg <= CALL_CALLEE; leg++) {
        if (c->kind == CALL_SESSION && !(c->byes & (1U << leg)))
            c->out->hang_up(c->ctx, leg);
        c->byes |= (uint8_t)(1U << leg);
    }
    become(c, now, CALL_ENDING, reason);
}

void
call_hang_up(struct call *c, struct moment now, const char *reason)
{
    if (c->state == CALL_CONFIRMED)
        hang_up(c, now, reason);
    else if (c->state < CALL_CONFIRMED)
        finish(c, now, 503, reason);
    settle(c, now);
}

/* ---- from gateway to gateway ---- */

struct call *
call_adopt(const struct call_conf *conf, const struct call_out *out, void *ctx, struct moment now,
           const struct call_adopted *how)
{
    struct call *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->conf = conf;
    c->out = out;
    c->ctx = ctx;
    c->kind = CALL_SESSION;
    c->state = CALL_SEARCHING; /* until become() */
    c->winner = 0;
    c->lifetime_s = how->lifetime_s;
    c->invite = how->awaits_ack ? INVITE_ANSWERED : INVITE_ACKNOWLEDGED;
    c->invite_from = (uint8_t)how->invite_from;
    c->ack_deadline_ms = how->awaits_ack ? now.mono_ms + conf->ack_ms : MOMENT_NEVER;
    become(c, now, CALL_CONFIRMED, "taken over");
    check_invariants(c);
    return c;
}

void
call_release(struct call *c, struct moment now)
{
    if (c->state != CALL_CONFIRMED)
        return;
    c->invite = INVITE_NONE;
    c->ack_deadline_ms = MOMENT_NEVER;
    c->subscriptions = 0;
    c->byes = 1U << CALL_CALLER | 1U << CALL_CALLEE; /* none is ours to say */
    become(c, now, CALL_ENDING, "another gateway has it");
    settle(c, now);
}

uint32_t
call_lifetime_s(const struct call *c)
{
    return c->lifetime_s;
}

enum call_leg
call_invite_from(const struct call *c)
{
    return c->invite_from;
}

bool
call_begin_invite(struct call *c, enum call_leg leg)
{
    if (c->state != CALL_CONFIRMED || c->invite == INVITE_PENDING || c->invite == INVITE_ANSWERED)
        return false;
    c->invite = INVITE_PENDING;
    c->invite_from = (uint8_t)other(leg);
    c->has_own_invite = true;
    return true;
}

void
call_end_invite(struct call *c, struct moment now, bool is_accepted)
{
    c->has_own_invite = false;
    if (c->invite == INVITE_PENDING)
        c->invite = is_accepted ? INVITE_ACKNOWLEDGED : INVITE_NONE;
    settle(c, now);
}

/* ---- requests inside the dialog ---- */

static bool
is_welcome(const struct call *c, enum call_method method)
{
    switch (c->state) {
    case CALL_TRYING: /* a NOTIFY may outrun the answer to its SUBSCRIBE (RFC 6665 section 4.1.2.4)
                       */
        return c->kind == CALL_SUBSCRIPTION && method == CALL_NOTIFY;
    case CALL_EARLY:
    case CALL_CONFIRMED:
        return true;
    case CALL_ENDING: /* the news of a transfer outlive the session (RFC 5057) */
        return c->winner != CALL_NO_DIALOG &&
               (method == CALL_BYE ||
                (c->subscriptions > 0 && (method == CALL_NOTIFY || method == CALL_SUBSCRIBE)));
    default:
        return false;
    }
}

static int
on_bye(struct call *c, struct moment now, enum call_leg leg)
{
    bool is_crossing = (c->byes & (1U << other(leg))) != 0;

    c->byes |= (uint8_t)(1U << leg);
    if (c->state == CALL_CONFIRMED)
        become(c, now, CALL_ENDING, leg == CALL_CALLER ? "caller hung up" : "callee hung up");
    return is_crossing ? 200 : CALL_PASS;
}

int
call_on_request(struct call *c, struct moment now, enum call_leg leg, enum call_method method,
                unsigned *ret_exchange)
{
    size_t i = 0;
    int status = CALL_PASS;

    if (!is_welcome(c, method))
        return 481;
    if (method == CALL_INVITE && c->invite == INVITE_PENDING) /* section 14.2 */
        return c->invite_from == leg ? 500 : 491;
    while (i < CALL_EXCHANGES_MAX && c->exchange[i].is_open)
        i++;
    if (i == CALL_EXCHANGES_MAX && method != CALL_BYE)
        return 500;
    if (method == CALL_BYE && c->state != CALL_EARLY)
        status = on_bye(c, now, leg);
    if (status == CALL_PASS && i == CALL_EXCHANGES_MAX) {
        hang_up(c, now, "too many requests at once"); /* a BYE never fails */
        status = 200;
    }
    if (status != CALL_PASS) {
        settle(c, now);
        return status;
    }
    if (method == CALL_INVITE) {
        c->invite = INVITE_PENDING;
        c->invite_from = (uint8_t)leg;
    }
    c->exchange[i] =
        (struct exchange){.is_open = true, .from = (uint8_t)leg, .method = (uint8_t)method};
    *ret_exchange = (unsigned)i;
    check_invariants(c);
    return CALL_PASS;
}

/** What a 2xx to a request inside the dialog changes. */
static void
on_accepted(struct call *c, struct moment now, enum call_method method,
            const struct call_response *response, bool is_last)
{
    bool is_refresh = c->kind == CALL_SESSION ? method == CALL_INVITE || method == CALL_OTHER
                                              : method == CALL_SUBSCRIBE;

    if (method == CALL_INVITE) {
        c->invite = INVITE_ANSWERED;
        c->ack_deadline_ms = now.mono_ms + c->conf->ack_ms;
    }
    if (method == CALL_REFER && c->kind == CALL_SESSION && c->subscriptions < UINT8_MAX)
        c->subscriptions++;
    if (method == CALL_NOTIFY && is_last && c->subscriptions > 0)
        c->subscriptions--;
    else if (method == CALL_NOTIFY && is_last && c->kind == CALL_SUBSCRIPTION)
        become(c, now, CALL_ENDING, "subscription terminated");
    if (is_refresh && response->expires_s > 0 && c->state == CALL_CONFIRMED) {
        c->lifetime_s = response->expires_s;
        c->deadline_ms = now.mono_ms + c->lifetime_s * 1000ULL;
    }
}

int
call_on_answer(struct call *c, struct moment now, unsigned exchange,
               const struct call_response *response, bool is_last)
{
    struct exchange *x = &c->exchange[exchange];
    enum call_method method;
    int verdict = CALL_PASS;

    assert(exchange < CALL_EXCHANGES_MAX);
    if (!x->is_open)
        return CALL_SWALLOW;
    if (response->status < 200)
        return response->status == 100 ? CALL_SWALLOW : CALL_PASS;
    x->is_open = false;
    method = x->method;
    if (response->status < 300)
        on_accepted(c, now, method, response, is_last);
    else if (method == CALL_INVITE)
        c->invite = INVITE_NONE; /* a failed re-INVITE leaves the call as it was (section 14.1) */
    if (method == CALL_BYE && c->state == CALL_ENDING && response->status >= 300)
        verdict = 200; /* the other side knows of no call any more: so be it */
    settle(c, now);
    return verdict;
}

/* ---- time ---- */

static void
on_hop_deadline(struct call *c, struct moment now)
{
    struct branches *b = c->branches;

    b->hop_deadline_ms = MOMENT_NEVER;
    for (size_t i = 0; i < b->count; i++) {
        if (b->branch[i].state != BRANCH_SENT || !b->branch[i].is_hop)
            continue;
        /* its transaction goes on until it is quiet, but nothing of it counts any more */
        if (c->kind == CALL_SESSION)
            c->out->cancel(c->ctx, (unsigned)i);
        c->out->forget(c->ctx, (unsigned)i);
        b->branch[i].state = BRANCH_DONE;
    }
    go_on(c, now);
}

static void
on_state_deadline(struct call *c, struct moment now)
{
    c->deadline_ms = MOMENT_NEVER;
    if (c->state == CALL_SEARCHING) {
        finish(c, now, 503, "the overlay gave no answer");
    } else if (c->state == CALL_CONFIRMED) {
        hang_up(c, now, c->kind == CALL_SESSION ? "session expired" : "subscription expired");
    } else if (c->state == CALL_ENDING) {
        c->subscriptions = 0;
        c->has_own_invite = false;
        c->invite = INVITE_NONE;
        become(c, now, CALL_ENDED, "timed out");
    }
}

void
call_tick(struct call *c, struct moment now)
{
    if (c->ack_deadline_ms <= now.mono_ms) {
        if (c->state == CALL_CONFIRMED)
            hang_up(c, now, "no ACK"); /* section 13.3.1.4 */
        c->ack_deadline_ms = MOMENT_NEVER;
        c->invite = c->invite == INVITE_ANSWERED ? INVITE_NONE : c->invite;
    }
    if (c->branches && c->branches->hop_deadline_ms <= now.mono_ms)
        on_hop_deadline(c, now);
    if (c->branches && c->branches->search_at_ms <= now.mono_ms) {
        c->branches->search_at_ms = MOMENT_NEVER;
        c->out->search_again(c->ctx);
    }
    if (c->branches && c->branches->answer_deadline_ms <= now.mono_ms)
        finish(c, now, 408, "no answer");
    if (c->deadline_ms <= now.mono_ms)
        on_state_deadline(c, now);
    if (c->state != CALL_ENDED)
        settle(c, now);
}

uint64_t
call_deadline_ms(const struct call *c)
{
    uint64_t at_ms = moment_earlier_ms(c->deadline_ms, c->ack_deadline_ms);

    if (c->branches) {
        at_ms = moment_earlier_ms(at_ms, c->branches->hop_deadline_ms);
        at_ms = moment_earlier_ms(at_ms, c->branches->answer_deadline_ms);
        at_ms = moment_earlier_ms(at_ms, c->branches->search_at_ms);
    }
    return at_ms;
}
