/*
 * A call that was another gateway's: both ends are told that their requests go to this one now.
 *
 * The far gateway hears it by an UPDATE with Gateway-Term, which it answers itself.  A phone hears
 * it by an UPDATE without a body, or, where it knows none, by an INVITE that offers what the other
 * end said last.  A thousand calls are taken over at once, but told so one after the other.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/sip/b2bua_call.h"
#include "gateway/sip/fence.h"
#include "gateway/sip/header_policy.h"

#define TICK_MS   20
#define BURST     5   /* calls looked at in a tick: 250 a second */
#define UNDER_WAY 200 /* requests at once */
#define TRIES_MAX 4
#define RETRY_MS  1000
#define TWIN_MS   4000 /* an INVITE comes once more within that, or not at all */

static int on_response(nta_outgoing_magic_t *magic, nta_outgoing_t *orq, const sip_t *sip);
static void arm(struct b2bua *b);

bool
b2bua_is_takeover(const sip_t *sip, const struct sip_sender *sender)
{
    return sender->side == SIP_GATEWAYS && sip->sip_request->rq_method == sip_method_update &&
           !sip->sip_payload && header_find(sip, HEADER_GATEWAY_TERM) != NULL;
}

/* ---- the request ---- */

static uint32_t
own_term(const struct sip *s)
{
    for (size_t i = 0; i < s->gateway_count; i++)
        if (s->gateway[i].is_self)
            return s->gateway[i].term;
    return 0;
}

/** RFC 4028 section 7.2: a refresh that says nothing of the session timer ends it. */
static bool
add_timer(const struct b2bua_refresh_leg *l, msg_t *msg, sip_t *sip)
{
    const struct b2bua_call *c = l->call;
    const char *refresher = c->refresher == l->leg ? "uas" : "uac";

    if (c->session_s == 0)
        return true;
    return sip_add_make(msg, sip, sip_supported_class, "timer") >= 0 &&
           sip_add_make(msg, sip, sip_session_expires_class,
                        su_sprintf(msg_home(msg), "%u;refresher=%s", (unsigned)c->session_s,
                                   refresher)) >= 0;
}

static bool
add_offer(const struct b2bua_refresh_leg *l, msg_t *msg, sip_t *sip)
{
    const struct b2bua_end *end = &l->call->end[b2bua_other(l->leg)];
    su_home_t *home = msg_home(msg);
    sip_payload_t *body = sip_payload_create(home, end->sdp, (isize_t)end->sdp_len);

    return sip_add_make(msg, sip, sip_content_type_class, "application/sdp") >= 0 && body &&
           sip_header_insert(msg, sip, (sip_header_t *)body) >= 0;
}

static msg_t *
make_request(struct b2bua_refresh_leg *l, const struct b2bua_peer *p, uint32_t cseq)
{
    struct b2bua_call *c = l->call;
    sip_method_t method = l->is_invite ? sip_method_invite : sip_method_update;
    msg_t *msg = b2bua_own_request(c, l->leg, call_winner(c->core), method, cseq);
    sip_t *sip = msg ? sip_object(msg) : NULL;
    bool is_made = msg && b2bua_set_contact(c, msg, sip, p);

    if (is_made && p->side == SIP_GATEWAYS)
        is_made = sip_add_make(msg, sip, sip_unknown_class,
                               su_sprintf(msg_home(msg), HEADER_GATEWAY_TERM ": %u",
                                          (unsigned)own_term(c->b2bua->sip))) >= 0;
    else if (is_made)
        is_made = add_timer(l, msg, sip) && (!l->is_invite || add_offer(l, msg, sip));
    if (is_made)
        return msg;
    msg_destroy(msg);
    return NULL;
}

static void
put_off(struct b2bua_refresh_leg *l, uint32_t ms)
{
    l->at_ms = sip_moment(l->call->b2bua->sip).mono_ms + ms;
    if (++l->tries >= TRIES_MAX)
        l->is_due = false;
}

static bool
begin_invite(struct b2bua_refresh_leg *l)
{
    struct b2bua_call *c = l->call;
    struct b2bua_invite *invite;

    if (!call_begin_invite(c->core, l->leg, &l->invite))
        return false;
    invite = b2bua_invite_new(c, l->invite, b2bua_other(l->leg));
    if (invite)
        invite->is_own = true;
    else
        call_end_invite(c->core, sip_moment(c->b2bua->sip), l->invite, false);
    return invite != NULL;
}

static void
end_invite(struct b2bua_refresh_leg *l, bool is_accepted)
{
    struct b2bua_call *c = l->call;

    if (!is_accepted)
        b2bua_invite_drop(c, l->invite);
    call_end_invite(c->core, sip_moment(c->b2bua->sip), l->invite, is_accepted);
}

/** The caller may not have heard that he is answered: his INVITE is to come first. */
static bool
is_early_yet(const struct b2bua_refresh_leg *l)
{
    const struct b2bua_call *c = l->call;
    const struct b2bua_invite *i = c->invite[CALL_INITIAL];

    return l->leg == CALL_CALLER && i && !i->irq &&
           call_invite_state(c->core, CALL_INITIAL) == CALL_INVITE_ANSWERED &&
           sip_moment(c->b2bua->sip).mono_ms < l->begin_ms + TWIN_MS;
}

static void
send_refresh(struct b2bua_refresh_leg *l)
{
    struct b2bua_call *c = l->call;
    struct b2bua *b = c->b2bua;
    struct b2bua_peer *p = b2bua_peer_of(c, l->leg, call_winner(c->core));
    struct sip_target target;
    msg_t *msg;

    if (is_early_yet(l)) {
        l->at_ms = sip_moment(b->sip).mono_ms + RETRY_MS / 2;
        return;
    }
    l->is_invite = l->is_invite || (p && p->side != SIP_GATEWAYS && !c->end[l->leg].knows_update);
    if (!p || (l->is_invite && !c->end[b2bua_other(l->leg)].sdp)) {
        l->is_due = false; /* no way to tell it: its requests find us by the route they take */
        return;
    }
    if (l->is_invite &&
        !begin_invite(l)) { /* no try: another INVITE ends first, or the call does */
        l->at_ms = sip_moment(b->sip).mono_ms + RETRY_MS;
        return;
    }
    msg = make_request(l, p, ++c->cseq[l->leg]);
    if (l->is_invite)
        c->invite[l->invite]->out_cseq = c->cseq[l->leg];
    b2bua_peer_target(b, p, &target);
    if (l->next_hop[0])
        snprintf(target.next_hop, sizeof(target.next_hop), "%s", l->next_hop);
    if (msg)
        l->orq = sip_send(b->sip, &target, msg, on_response, (nta_outgoing_magic_t *)(void *)l);
    if (l->orq) {
        b->refreshing++;
        return;
    }
    if (l->is_invite)
        end_invite(l, false);
    put_off(l, RETRY_MS);
}

/* ---- its answer ---- */

/** Whoever is gateway of the far overlay now has the call, or will have it soon. */
static void
on_resolved(void *ctx, const struct answer *answer)
{
    struct b2bua_refresh_leg *l = ctx;
    size_t len;

    if (answer->status != ST_OK || answer->count == 0)
        return;
    len = strcspn(answer->gateway[0].uri, ";");
    snprintf(l->next_hop, sizeof(l->next_hop), "%.*s;transport=tls", (int)(len < 200 ? len : 200),
             answer->gateway[0].uri);
}

static void
on_refused(struct b2bua_refresh_leg *l, int status, bool is_far)
{
    struct b2bua_call *c = l->call;
    bool is_passing = status == 408 || status == 491 || status == 500 || status == 503;

    if (!l->is_invite && !is_far && (status == 405 || status == 501)) {
        l->is_invite = true;
        l->at_ms = 0;
    } else if (is_far && (is_passing || status == 481) && l->tries + 1 < TRIES_MAX) {
        put_off(l, RETRY_MS / 2);
        if (c->far_overlay && list_is_empty(&l->ask.link))
            ask_resolve(c->b2bua->sip, c->far_overlay, true, &l->ask);
    } else if (is_passing) {
        put_off(l, RETRY_MS);
    } else {
        l->is_due = false;
        if (status == 481)
            call_hang_up(c->core, sip_moment(c->b2bua->sip), "one end knows of no call");
    }
}

static void
on_final(struct b2bua_refresh_leg *l, const sip_t *sip, int status)
{
    struct b2bua_call *c = l->call;
    struct b2bua_peer *p = b2bua_peer_of(c, l->leg, call_winner(c->core));
    bool is_accepted = status / 100 == 2 && sip;

    if (is_accepted && p)
        b2bua_peer_from_response(c->b2bua->sip, p, sip, false);
    if (l->is_invite) {
        if (is_accepted)
            b2bua_acknowledge(c, l->invite);
        end_invite(l, is_accepted);
    }
    if (!l->is_due)
        return; /* the call is over, or another's, meanwhile */
    if (is_accepted) {
        l->is_due = false;
        if (p && p->side != SIP_GATEWAYS) { /* a far gateway's is no word of its phone */
            b2bua_learn_timer(c, b2bua_other(l->leg), sip);
            call_refreshed(c->core, sip_moment(c->b2bua->sip), b2bua_lifetime_s(c, sip));
        }
        b2bua_changed(c);
    } else {
        on_refused(l, status, p && p->side == SIP_GATEWAYS);
    }
    if (log_is_written(LOG_LEVEL_DEBUG))
        log_write(LOG_LEVEL_DEBUG, "call", "%s: the %s's end heard of its new gateway: %d",
                  c->token, l->leg == CALL_CALLER ? "caller" : "callee", status);
}

static bool
is_over(const struct b2bua_refresh *r)
{
    return !r->leg[0].is_due && !r->leg[0].orq && !r->leg[1].is_due && !r->leg[1].orq;
}

static int
on_response(nta_outgoing_magic_t *magic, nta_outgoing_t *orq, const sip_t *sip)
{
    struct b2bua_refresh_leg *l = (struct b2bua_refresh_leg *)(void *)magic;
    struct b2bua_call *c = l->call;
    int status = sip ? sip->sip_status->st_status : 503;
    bool is_ours = !sip || nta_sip_is_internal(sip);

    if (status < 200)
        return 0;
    b2bua_call_hold(c);
    c->b2bua->refreshing--;
    l->orq = NULL;
    on_final(l, is_ours ? NULL : sip, status);
    sip_send_end(orq); /* not before: the response is its own */
    if (c->refresh && is_over(c->refresh))
        b2bua_refresh_free(c);
    b2bua_call_release(c);
    return 0;
}

/* ---- one after the other ---- */

static void
look_at(struct b2bua_refresh *r, uint64_t now_ms)
{
    for (unsigned i = 0; i < 2; i++) {
        struct b2bua_refresh_leg *l = &r->leg[i];

        if (l->is_due && !l->orq && l->at_ms <= now_ms)
            send_refresh(l);
    }
}

static void
on_timer(su_root_magic_t *magic, su_timer_t *timer, su_timer_arg_t *arg)
{
    struct b2bua *b = (struct b2bua *)(void *)arg;
    uint64_t now_ms = sip_moment(b->sip).mono_ms;

    (void)magic;
    (void)timer;
    b->is_refresh_armed = false;
    if (fence_is_up(b->sip)) {
        arm(b);
        return;
    }
    for (unsigned i = 0; i < BURST && b->refreshing < UNDER_WAY; i++) {
        struct b2bua_refresh *r;
        struct b2bua_call *c;

        if (list_is_empty(&b->refreshes))
            break;
        r = list_entry(b->refreshes.next, struct b2bua_refresh, link);
        c = r->leg[0].call;
        list_remove(&r->link);
        list_append(&b->refreshes, &r->link);
        b2bua_call_hold(c);
        if (call_state(c->core) == CALL_CONFIRMED)
            look_at(r, now_ms);
        else
            b2bua_refresh_stop(c);
        if (c->refresh && is_over(r))
            b2bua_refresh_free(c);
        b2bua_call_release(c);
    }
    arm(b);
}

static void
arm(struct b2bua *b)
{
    if (list_is_empty(&b->refreshes)) {
        if (b->taken > 0)
            log_write(LOG_LEVEL_INFO, "sip", "the ends of %zu calls were told in %llu ms", b->taken,
                      (unsigned long long)(sip_moment(b->sip).mono_ms - b->taken_ms));
        b->taken = 0;
    } else if (!b->is_refresh_armed) {
        b->is_refresh_armed =
            su_timer_set(b->refresh_timer, on_timer, (su_timer_arg_t *)(void *)b) == 0;
    }
}

void
b2bua_refresh_start(struct b2bua_call *c)
{
    struct b2bua *b = c->b2bua;
    struct b2bua_refresh *r = c->refresh;

    if (!r)
        r = calloc(1, sizeof(*r));
    if (!r)
        return; /* requests of both ends find us all the same */
    if (!c->refresh) {
        list_append(&b->refreshes, &r->link);
        if (b->taken++ == 0)
            b->taken_ms = sip_moment(b->sip).mono_ms;
    }
    c->refresh = r;
    for (unsigned i = 0; i < 2; i++) {
        struct b2bua_refresh_leg *l = &r->leg[i];

        l->call = c;
        l->leg = (enum call_leg)i;
        l->is_due = true;
        l->tries = 0;
        l->begin_ms = sip_moment(b->sip).mono_ms;
        if (!l->ask.done) {
            l->ask = (struct ask){.done = on_resolved, .ctx = l};
            list_init(&l->ask.link);
        }
    }
    b2bua_learn_ports(b);
    arm(b);
}

void
b2bua_refresh_stop(struct b2bua_call *c)
{
    struct b2bua_refresh *r = c->refresh;
    bool is_inviting = false;

    for (unsigned i = 0; r && i < 2; i++) {
        r->leg[i].is_due = false;
        ask_cancel(&r->leg[i].ask);
        is_inviting |= r->leg[i].orq && r->leg[i].is_invite;
    }
    if (r && !is_inviting)
        b2bua_refresh_free(c);
}

void
b2bua_refresh_free(struct b2bua_call *c)
{
    struct b2bua_refresh *r = c->refresh;

    if (!r)
        return;
    c->refresh = NULL;
    list_remove(&r->link);
    for (unsigned i = 0; i < 2; i++) {
        ask_cancel(&r->leg[i].ask);
        if (!r->leg[i].orq)
            continue;
        sip_send_end(r->leg[i].orq);
        c->b2bua->refreshing--;
    }
    free(r);
}

enum status
b2bua_refresh_new(struct b2bua *b)
{
    list_init(&b->refreshes);
    b->refresh_timer = su_timer_create(su_root_task(b->sip->root), TICK_MS);
    return b->refresh_timer ? ST_OK : ST_NOMEM;
}

void
b2bua_refresh_end(struct b2bua *b)
{
    if (b->refresh_timer)
        su_timer_destroy(b->refresh_timer);
}
