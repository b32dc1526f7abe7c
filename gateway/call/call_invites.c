/* The INVITEs of a call, from their request until no ACK and no repeated 2xx of theirs can come. */
#include <assert.h>

#include "gateway/call/internal.h"

int
invites_refusal(const struct call *c, enum call_leg leg)
{
    for (size_t i = 0; i < CALL_INVITES_MAX; i++)
        if (c->invite[i].state == CALL_INVITE_PENDING) /* section 14.2 */
            return c->invite[i].from == leg ? 500 : 491;
    return 0;
}

/** The one whose 2xx is the oldest has been acknowledged for the longest time. */
unsigned
invites_take(struct call *c, enum call_leg from)
{
    unsigned taken = CALL_INVITES_MAX;

    for (unsigned i = 0; i < CALL_INVITES_MAX; i++) {
        const struct invite *at = &c->invite[i];

        if (at->state == CALL_INVITE_NONE) {
            taken = i;
            break;
        }
        if (at->state == CALL_INVITE_ACKNOWLEDGED &&
            (taken == CALL_INVITES_MAX || at->ack_deadline_ms < c->invite[taken].ack_deadline_ms))
            taken = i;
    }
    if (taken < CALL_INVITES_MAX)
        c->invite[taken] = (struct invite){
            .state = CALL_INVITE_PENDING, .from = (uint8_t)from, .ack_deadline_ms = MOMENT_NEVER};
    return taken;
}

void
invites_answered(struct call *c, struct moment now, unsigned invite)
{
    c->invite[invite].state = CALL_INVITE_ANSWERED;
    c->invite[invite].ack_deadline_ms = now.mono_ms + c->conf->ack_ms;
}

bool
invites_has(const struct call *c, enum call_invite state)
{
    for (size_t i = 0; i < CALL_INVITES_MAX; i++)
        if (c->invite[i].state == state)
            return true;
    return false;
}

bool
invites_has_own(const struct call *c)
{
    for (size_t i = 0; i < CALL_INVITES_MAX; i++)
        if (c->invite[i].is_own && c->invite[i].state == CALL_INVITE_PENDING)
            return true;
    return false;
}

void
invites_settle(struct call *c)
{
    for (unsigned i = 0; i < CALL_INVITES_MAX; i++) {
        if (c->invite[i].state != CALL_INVITE_ANSWERED)
            continue;
        c->invite[i].state = CALL_INVITE_NONE;
        c->out->acknowledge(c->ctx, i);
    }
}

void
invites_forget(struct call *c, bool own_too)
{
    for (size_t i = 0; i < CALL_INVITES_MAX; i++)
        if (c->invite[i].state == CALL_INVITE_ANSWERED || (own_too && c->invite[i].is_own))
            c->invite[i].state = CALL_INVITE_NONE;
}

void
invites_tick(struct call *c, struct moment now)
{
    for (size_t i = 0; i < CALL_INVITES_MAX; i++) {
        struct invite *at = &c->invite[i];

        if (at->state != CALL_INVITE_ANSWERED || at->ack_deadline_ms > now.mono_ms)
            continue;
        if (c->state == CALL_CONFIRMED)
            call_end(c, now, "no ACK"); /* section 13.3.1.4 */
        at->state = CALL_INVITE_NONE;
    }
}

uint64_t
invites_deadline_ms(const struct call *c)
{
    uint64_t at_ms = MOMENT_NEVER;

    for (size_t i = 0; i < CALL_INVITES_MAX; i++)
        if (c->invite[i].state == CALL_INVITE_ANSWERED)
            at_ms = moment_earlier_ms(at_ms, c->invite[i].ack_deadline_ms);
    return at_ms;
}

bool
call_awaits_ack(const struct call *c)
{
    return invites_has(c, CALL_INVITE_ANSWERED);
}

enum call_invite
call_invite_state(const struct call *c, unsigned invite)
{
    assert(invite < CALL_INVITES_MAX);
    return c->invite[invite].state;
}

/* ---- ACK and repeated 2xx ---- */

void
call_on_ack(struct call *c, struct moment now, unsigned invite)
{
    struct invite *at = &c->invite[invite];

    assert(invite < CALL_INVITES_MAX);
    if (at->state != CALL_INVITE_ANSWERED && at->state != CALL_INVITE_ACKNOWLEDGED)
        return;
    at->state = CALL_INVITE_ACKNOWLEDGED;
    c->out->acknowledge(c->ctx, invite);
    call_settle(c, now);
}

int
call_on_answered_again(struct call *c, struct moment now, unsigned invite)
{
    const struct invite *at = &c->invite[invite];

    (void)now;
    assert(invite < CALL_INVITES_MAX);
    if (at->state == CALL_INVITE_ANSWERED)
        return CALL_PASS;
    if (at->state == CALL_INVITE_ACKNOWLEDGED)
        c->out->acknowledge(c->ctx, invite);
    return CALL_SWALLOW;
}

/* ---- the gateway's own ---- */

bool
call_begin_invite(struct call *c, enum call_leg leg, unsigned *ret_invite)
{
    unsigned invite;

    if (c->state != CALL_CONFIRMED || invites_has(c, CALL_INVITE_PENDING) || call_awaits_ack(c))
        return false;
    invite = invites_take(c, call_other(leg));
    c->invite[invite].is_own = true;
    *ret_invite = invite;
    return true;
}

void
call_end_invite(struct call *c, struct moment now, unsigned invite, bool is_accepted)
{
    struct invite *at = &c->invite[invite];

    assert(invite < CALL_INVITES_MAX);
    if (at->state == CALL_INVITE_PENDING && at->is_own)
        at->state = is_accepted ? CALL_INVITE_ACKNOWLEDGED : CALL_INVITE_NONE;
    at->ack_deadline_ms = now.mono_ms + c->conf->ack_ms; /* repeated 2xx may come until then */
    call_settle(c, now);
}
