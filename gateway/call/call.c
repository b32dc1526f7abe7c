#include <assert.h>
#include <stdlib.h>

#include "gateway/call/internal.h"

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
    assert(c->kind == CALL_SESSION || !invites_has(c, CALL_INVITE_PENDING));
}

void
call_become(struct call *c, struct moment now, enum call_state state, const char *reason)
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

void
call_settle(struct call *c, struct moment now)
{
    check_invariants(c);
    if (c->branches && call_initial_is_over(c) && c->state >= CALL_CONFIRMED) {
        free(c->branches);
        c->branches = NULL;
    }
    if (c->state == CALL_ENDING && !c->branches && !has_open_exchange(c) && c->subscriptions == 0 &&
        !invites_has_own(c) && !call_awaits_ack(c))
        call_become(c, now, CALL_ENDED, "all is quiet");
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
    c->bye_deadline_ms = MOMENT_NEVER;
    c->winner = CALL_NO_DIALOG;
    if (kind == CALL_SESSION)
        (void)invites_take(c, CALL_CALLER); /* CALL_INITIAL */
    c->deadline_ms = now.mono_ms + conf->search_ms;
    c->branches->hop_deadline_ms = MOMENT_NEVER;
    c->branches->doubt_at_ms = MOMENT_NEVER;
    c->branches->search_at_ms = MOMENT_NEVER;
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
call_is_initial_over(const struct call *c)
{
    return !c->branches;
}

bool
call_is_parted(const struct call *c)
{
    return c->is_parted;
}

uint8_t
call_winner(const struct call *c)
{
    return c->winner;
}

void
call_on_cancel(struct call *c, struct moment now)
{
    if (c->state >= CALL_CONFIRMED || c->kind != CALL_SESSION)
        return; /* too late: the 2xx stands, the caller will hang up (section 9.2) */
    call_finish(c, now, 487, "cancelled");
    call_settle(c, now);
}

/* ---- its end ---- */

void
call_end(struct call *c, struct moment now, const char *reason)
{
    c->subscriptions = 0;
    invites_settle(c);
    for (enum call_leg leg = CALL_CALLER; leg <= CALL_CALLEE; leg++) {
        if (c->kind == CALL_SESSION && !(c->byes & (1U << leg)))
            c->out->hang_up(c->ctx, leg);
        c->byes |= (uint8_t)(1U << leg);
    }
    call_become(c, now, CALL_ENDING, reason);
}

void
call_hang_up(struct call *c, struct moment now, const char *reason)
{
    if (c->state == CALL_CONFIRMED)
        call_end(c, now, reason);
    else if (c->state < CALL_CONFIRMED)
        call_finish(c, now, 503, reason);
    call_settle(c, now);
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
    c->kind = how->is_subscription ? CALL_SUBSCRIPTION : CALL_SESSION;
    c->is_adopted = true;
    c->state = CALL_SEARCHING; /* until call_become() */
    c->bye_deadline_ms = MOMENT_NEVER;
    c->winner = 0;
    c->lifetime_s = how->lifetime_s;
    for (unsigned i = 0; i < how->invites && i < CALL_INVITES_MAX; i++) {
        unsigned invite = invites_take(c, how->invite[i].from);

        invites_answered(c, now, invite);
        if (!how->invite[i].awaits_ack)
            c->invite[invite].state = CALL_INVITE_ACKNOWLEDGED;
    }
    call_become(c, now, CALL_CONFIRMED, "taken over");
    check_invariants(c);
    return c;
}

void
call_release(struct call *c, struct moment now)
{
    if (c->state != CALL_CONFIRMED)
        return;
    invites_forget(c, false);
    c->subscriptions = 0;
    c->byes = 1U << CALL_CALLER | 1U << CALL_CALLEE; /* none is ours to say */
    call_become(c, now, CALL_ENDING, "another gateway has it");
    call_settle(c, now);
}

uint32_t
call_lifetime_s(const struct call *c)
{
    return c->lifetime_s;
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

/** Nothing ends before a BYE is answered, but where the other side has said it too. */
static int
on_bye(struct call *c, struct moment now, enum call_leg leg)
{
    bool is_crossing = (c->byes & (1U << call_other(leg))) != 0;

    c->byes |= (uint8_t)(1U << leg);
    if (is_crossing && c->state == CALL_CONFIRMED) {
        c->is_parted = true;
        call_become(c, now, CALL_ENDING, "both hung up");
    }
    return is_crossing ? 200 : CALL_PASS;
}

int
call_on_request(struct call *c, struct moment now, enum call_leg leg, enum call_method method,
                unsigned *ret_exchange)
{
    size_t i = 0;
    int status = method == CALL_INVITE ? invites_refusal(c, leg) : 0;
    unsigned invite = 0;

    if (!is_welcome(c, method))
        return 481;
    if (method == CALL_INVITE && c->kind != CALL_SESSION)
        return 403; /* the dialog of a subscription is not shared (RFC 5057 section 6) */
    if (status)
        return status;
    while (i < CALL_EXCHANGES_MAX && c->exchange[i].is_open)
        i++;
    if (i == CALL_EXCHANGES_MAX && method != CALL_BYE)
        return 500;
    c->bye_deadline_ms = MOMENT_NEVER;
    if (method == CALL_BYE && c->state != CALL_EARLY)
        status = on_bye(c, now, leg);
    if (status == CALL_PASS && i == CALL_EXCHANGES_MAX) {
        call_end(c, now, "too many requests at once"); /* a BYE never fails */
        status = 200;
    }
    if (status != CALL_PASS) {
        call_settle(c, now);
        return status;
    }
    if (method == CALL_INVITE) {
        invite = invites_take(c, leg);
        if (invite == CALL_INVITES_MAX)
            return 500;
    }
    c->exchange[i] = (struct exchange){.is_open = true,
                                       .from = (uint8_t)leg,
                                       .method = (uint8_t)method,
                                       .invite = (uint8_t)invite};
    *ret_exchange = (unsigned)i;
    check_invariants(c);
    return CALL_PASS;
}

void
call_refreshed(struct call *c, struct moment now, uint32_t lifetime_s)
{
    if (c->state != CALL_CONFIRMED)
        return;
    c->lifetime_s = lifetime_s;
    c->deadline_ms = lifetime_s > 0 ? now.mono_ms + lifetime_s * 1000ULL : MOMENT_NEVER;
}

void
call_prolong(struct call *c, struct moment now, uint32_t lifetime_s)
{
    uint64_t until_ms = now.mono_ms + lifetime_s * 1000ULL;

    if (c->state != CALL_CONFIRMED)
        return;
    if (c->is_unsubscribed || c->deadline_ms < until_ms) {
        c->deadline_ms = until_ms;
        c->lifetime_s = lifetime_s;
    }
    c->is_unsubscribed = false;
}

bool
call_may_fork(const struct call *c, struct moment now)
{
    if (c->kind != CALL_SUBSCRIPTION)
        return false;
    return c->state == CALL_CONFIRMED ? c->is_adopted || now.mono_ms < c->forks_until_ms
                                      : c->state == CALL_TRYING || c->state == CALL_EARLY;
}

void
call_unsubscribed(struct call *c, struct moment now)
{
    c->is_unsubscribed = true;
    if (c->state != CALL_CONFIRMED)
        return; /* its 2xx is still to come */
    if (now.mono_ms < c->forks_until_ms)
        c->deadline_ms = c->forks_until_ms;
    else
        call_become(c, now, CALL_ENDING, "subscription terminated");
}

/** A final response to a BYE.  Returns: as call_on_answer(). */
static int
on_bye_answered(struct call *c, struct moment now, enum call_leg leg,
                const struct call_response *response)
{
    int status = response->status;
    bool is_gone = status < 300 || status == 408 || status == 481 || response->is_ours;

    if (c->state == CALL_ENDING) /* the other side has ended it meanwhile */
        return status < 300 ? CALL_PASS : 200;
    if (c->state != CALL_CONFIRMED)
        return CALL_PASS;
    if (is_gone) {
        c->byes = 1U << CALL_CALLER | 1U << CALL_CALLEE;
        c->is_parted = !response->is_ours;
        call_become(c, now, CALL_ENDING, leg == CALL_CALLER ? "caller hung up" : "callee hung up");
        return response->is_ours ? 408 : CALL_PASS;
    }
    c->byes &= (uint8_t) ~(1U << leg);
    c->bye_deadline_ms = now.mono_ms + c->conf->ack_ms;
    return CALL_PASS;
}

/** What a 2xx to a request inside the dialog changes. */
static void
on_accepted(struct call *c, struct moment now, const struct exchange *x,
            const struct call_response *response, bool is_last)
{
    enum call_method method = x->method;
    /* without Session-Expires a session has no timer any more (RFC 4028 section 7.2) */
    bool is_refresh = c->kind == CALL_SESSION ? method == CALL_INVITE || method == CALL_UPDATE
                                              : method == CALL_SUBSCRIBE && response->expires_s > 0;

    if (method == CALL_INVITE)
        invites_answered(c, now, x->invite);
    if (method == CALL_REFER && c->kind == CALL_SESSION && c->subscriptions < UINT8_MAX)
        c->subscriptions++;
    if (method == CALL_NOTIFY && is_last && c->subscriptions > 0)
        c->subscriptions--;
    if (is_refresh && c->kind == CALL_SUBSCRIPTION)
        call_prolong(c, now, response->expires_s);
    else if (is_refresh)
        call_refreshed(c, now, response->expires_s);
}

unsigned
call_invite_of(const struct call *c, unsigned exchange)
{
    return c->exchange[exchange].invite;
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
        on_accepted(c, now, x, response, is_last);
    else if (method == CALL_INVITE)
        c->invite[x->invite].state = CALL_INVITE_NONE; /* the call is as it was (section 14.1) */
    if (method == CALL_BYE)
        verdict = on_bye_answered(c, now, x->from, response);
    if (is_last && c->kind == CALL_SUBSCRIPTION)
        call_unsubscribed(c, now);
    call_settle(c, now);
    return verdict;
}

/* ---- time ---- */

static void
on_state_deadline(struct call *c, struct moment now)
{
    c->deadline_ms = MOMENT_NEVER;
    if (c->state == CALL_SEARCHING) {
        call_finish(c, now, 500, "the overlay gave no answer");
    } else if (c->state == CALL_CONFIRMED) {
        call_end(c, now, c->kind == CALL_SESSION ? "session expired" : "subscription expired");
    } else if (c->state == CALL_ENDING) {
        c->subscriptions = 0;
        invites_forget(c, true);
        call_become(c, now, CALL_ENDED, "timed out");
    }
}

void
call_tick(struct call *c, struct moment now)
{
    invites_tick(c, now);
    if (c->bye_deadline_ms <= now.mono_ms) {
        c->bye_deadline_ms = MOMENT_NEVER;
        if (c->state == CALL_CONFIRMED)
            call_end(c, now, "BYE refused");
    }
    call_initial_tick(c, now);
    if (c->deadline_ms <= now.mono_ms)
        on_state_deadline(c, now);
    if (c->state != CALL_ENDED)
        call_settle(c, now);
}

uint64_t
call_deadline_ms(const struct call *c)
{
    uint64_t at_ms = moment_earlier_ms(c->deadline_ms, c->bye_deadline_ms);

    at_ms = moment_earlier_ms(at_ms, invites_deadline_ms(c));
    return moment_earlier_ms(at_ms, call_initial_deadline_ms(c));
}
