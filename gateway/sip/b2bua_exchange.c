#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/sip/b2bua_call.h"
#include "gateway/sip/cancel.h"
#include "gateway/sip/connections.h"
#include "gateway/sip/header_policy.h"
#include "gateway/sip/silence.h"

/* ---- requests inside the dialog ---- */

static enum call_method
method_of(const sip_t *sip)
{
    switch (sip->sip_request->rq_method) {
    case sip_method_invite:
        return CALL_INVITE;
    case sip_method_update:
        return CALL_UPDATE;
    case sip_method_bye:
        return CALL_BYE;
    case sip_method_refer:
        return CALL_REFER;
    case sip_method_subscribe:
        return CALL_SUBSCRIBE;
    case sip_method_notify:
        return CALL_NOTIFY;
    default:
        return CALL_OTHER;
    }
}

static bool
is_target_refresh(sip_method_t method)
{
    return method == sip_method_invite || method == sip_method_update ||
           method == sip_method_subscribe || method == sip_method_notify ||
           method == sip_method_refer;
}

void
b2bua_exchange_free(struct b2bua_exchange *x)
{
    if (!x)
        return;
    x->call->exchange[x->number] = NULL;
    list_remove(&x->trying.link);
    list_remove(&x->silent_link);
    ask_cancel(&x->ask);
    if (x->orq)
        sip_send_end(x->orq);
    if (x->irq) {
        if (nta_incoming_status(x->irq) < 200)
            sip_reply(x->irq, x->is_invite ? 487 : 481, NULL, 0);
        nta_incoming_destroy(x->irq);
    }
    free(x->refer_aor);
    free(x->reason);
    free(x->place);
    free(x);
}

/** Pass the answer in hand on, or @status in its place; final when it is. */
static void
answer_exchange(struct b2bua_exchange *x, int verdict, int status)
{
    struct b2bua_call *c = x->call;
    bool is_ours = !c->in_hand || nta_sip_is_internal(sip_object(c->in_hand));

    if (verdict == CALL_SWALLOW)
        return;
    list_remove(&x->trying.link); /* no 100 after it */
    if (x->is_sips_lost) {
        sip_reply_sips(c->b2bua->sip, x->irq);
        return;
    }
    if (verdict != CALL_PASS || is_ours) {
        sip_reply(x->irq, verdict != CALL_PASS ? verdict : status, NULL,
                  verdict == CALL_PASS && status == 500 ? SIP_RETRY_AFTER_S : 0);
        return;
    }
    b2bua_pass_response(c, x->from, x->dialog, x->irq, c->in_hand, NULL);
}

/** A far gateway is looked at again @in_ms from now, unless it says something. */
static void
watch_silence(struct b2bua_exchange *x, uint64_t now_ms, uint32_t in_ms)
{
    struct b2bua *b = x->call->b2bua;
    struct list_node *at = b->silent.prev;

    x->doubt_ms = now_ms + in_ms;
    while (at != &b->silent &&
           list_entry(at, struct b2bua_exchange, silent_link)->doubt_ms > x->doubt_ms)
        at = at->prev;
    list_prepend(at, &x->silent_link);
}

static int on_exchange_response(nta_outgoing_magic_t *magic, nta_outgoing_t *orq, const sip_t *sip);

/** "host:port" of a URI. */
static struct slice
place_of(const char *uri)
{
    const char *at = strchr(uri, '@');

    if (!at)
        at = strchr(uri, ':');
    if (!at)
        return slice_text(uri);
    return slice_of(at + 1, strcspn(at + 1, ";?>"));
}

/** Was it sent there last? */
static bool
is_at(const struct b2bua_exchange *x, const char *uri)
{
    return x->place && slice_equal(place_of(uri), slice_text(x->place));
}

/** It is under way to a gateway, which is watched. */
static void
watch(struct b2bua_exchange *x, const char *next_hop)
{
    uint64_t now_ms = sip_moment(x->call->b2bua->sip).mono_ms;
    struct slice place = place_of(next_hop);

    x->is_again = x->place != NULL;
    free(x->place);
    x->place = strndup((const char *)place.data, place.len);
    x->lost_ms = 0;
    if (x->until_ms == 0)
        x->until_ms = now_ms + B2BUA_MOVE_MS;
    x->give_up_ms = now_ms + B2BUA_SILENCE_MS;
    watch_silence(x, now_ms, B2BUA_DOUBT_MS);
}

static bool
send_exchange(struct b2bua_exchange *x, const char *next_hop)
{
    struct b2bua_call *c = x->call;
    enum call_leg leg = b2bua_other(x->from);
    struct b2bua_peer *p = b2bua_peer_of(c, leg, x->dialog);
    msg_t *request = nta_incoming_getrequest(x->irq);
    msg_t *msg = b2bua_dialog_request(c, leg, x->dialog, request, ++c->cseq[leg]);
    struct sip_target target;

    msg_destroy(request);
    if (!msg)
        return false;
    b2bua_refer_to_user(x, msg, sip_object(msg));
    b2bua_peer_target(c->b2bua, p, &target);
    if (next_hop)
        snprintf(target.next_hop, sizeof(target.next_hop), "%s", next_hop);
    if (!sip_keeps_sips(&target, sip_object(msg)->sip_request->rq_url)) {
        msg_destroy(msg);
        x->is_sips_lost = true;
        return false;
    }
    if (x->is_invite)
        c->invite[x->invite]->out_cseq = c->cseq[leg];
    x->orq = sip_send(c->b2bua->sip, &target, msg, on_exchange_response,
                      (nta_outgoing_magic_t *)(void *)x);
    if (x->orq && p->side == SIP_GATEWAYS)
        watch(x, target.next_hop);
    return x->orq != NULL;
}

/** Is the last of a call's subscriptions over with this response?  What its NOTIFY has terminated
 * is over whatever comes back, and so is one that an end does not know (RFC 6665 section 4.2.2). */
static bool
is_last_over(struct b2bua_exchange *x, const struct call_response *r)
{
    struct b2bua_call *c = x->call;
    struct b2bua_dialog *d = b2bua_dialog_at(c, x->dialog);

    if (r->status < 200 || !d || !(x->is_last || (r->status == 481 && !r->is_ours)))
        return false;
    d->is_over = true;
    for (uint8_t i = 0; i < c->dialog_count; i++)
        if (c->dialog[i] && c->dialog[i]->is_subscribed && !c->dialog[i]->is_over)
            return false;
    return true;
}

/** What an accepted NOTIFY says of how long its subscription lasts. */
static void
learn_lifetime(struct b2bua_exchange *x, const struct call_response *r)
{
    struct b2bua_call *c = x->call;
    const struct b2bua_dialog *d = b2bua_dialog_at(c, x->dialog);

    if (x->lifetime_s > 0 && r->status / 100 == 2 && d && !d->is_over)
        call_prolong(c->core, sip_moment(c->b2bua->sip), x->lifetime_s);
}

static void
step_exchange(struct b2bua_exchange *x, const struct call_response *r)
{
    struct b2bua_call *c = x->call;
    struct moment now = sip_moment(c->b2bua->sip);
    bool is_subscription = call_kind(c->core) == CALL_SUBSCRIPTION;
    bool is_last = is_subscription ? is_last_over(x, r) : x->is_last;
    int verdict = call_on_answer(c->core, now, x->number, r, is_last);

    if (is_subscription)
        learn_lifetime(x, r);

    answer_exchange(x, verdict, r->status);
    if (r->status < 200)
        return;
    if (r->status < 300)
        b2bua_changed(c);
    if (x->is_invite && r->status < 300) {
        nta_incoming_bind(x->irq, NULL, NULL);
        b2bua_invite_answered(c, x->invite, x->irq);
        x->irq = NULL;
    } else if (x->is_invite) {
        b2bua_invite_drop(c, x->invite);
    }
    b2bua_exchange_free(x);
}

/** It could not be sent. */
static void
fail_exchange(struct b2bua_exchange *x)
{
    struct call_response r = {.status = 500, .dialog = CALL_NO_DIALOG, .is_ours = true};

    if (x->is_sips_lost) { /* the end is there, and the dialog is */
        r.status = 480;
        r.is_ours = false;
    }
    step_exchange(x, &r);
}

void
b2bua_exchange_go(struct b2bua_exchange *x)
{
    struct b2bua_call *c = x->call;

    b2bua_call_hold(c);
    if (!send_exchange(x, NULL))
        fail_exchange(x);
    b2bua_call_release(c);
}

static bool
may_move(const struct b2bua_exchange *x, int status)
{
    const struct b2bua_call *c = x->call;
    const struct b2bua_peer *p = b2bua_peer_of(x->call, b2bua_other(x->from), x->dialog);

    return !x->is_heard && (status == 503 || status == 408) && p && p->side == SIP_GATEWAYS &&
           c->far_overlay && sip_moment(c->b2bua->sip).mono_ms < x->until_ms;
}

/** Where a gateway is lost, those that stay do not have its calls: the one that comes in its place,
 * or another of several, does. */
static bool
is_call_elsewhere(const struct b2bua_exchange *x, int status)
{
    uint64_t less_ms = x->is_of_many ? 0 : B2BUA_MOVE_MS - B2BUA_CLAIM_MS;

    return status == 481 && x->is_again && x->call->far_overlay &&
           sip_moment(x->call->b2bua->sip).mono_ms + less_ms < x->until_ms;
}

/** What was sent to the gateway that was does not count any more. */
static void
give_up(struct b2bua_exchange *x)
{
    list_remove(&x->silent_link);
    ask_cancel(&x->ask);
    if (!x->orq)
        return;
    silence_give_up(x->call->b2bua->sip, x->orq, B2BUA_SILENCE_MS);
    sip_send_end(x->orq);
    x->orq = NULL;
    x->lost_ms = sip_moment(x->call->b2bua->sip).mono_ms;
}

/** One that is not there is not asked again at once: the ring may not know yet. */
static bool
may_ask(const struct b2bua_exchange *x, const char *uri, uint64_t now_ms)
{
    return !is_at(x, uri) || (x->lost_ms > 0 && now_ms >= x->lost_ms + B2BUA_RETURN_MS);
}

/** A far leg belongs to the overlay's name: whoever is its gateway now gets the request. */
static void
on_moved(void *ctx, const struct answer *answer)
{
    struct b2bua_exchange *x = ctx;
    struct b2bua_call *c = x->call;
    uint64_t now_ms = sip_moment(c->b2bua->sip).mono_ms;
    size_t count = answer->status == ST_OK ? answer->count : 0;
    char next_hop[SIP_URI_BYTES];
    bool is_sent = false;

    b2bua_call_hold(c);
    x->is_of_many = x->is_of_many || count > 1;
    for (size_t i = 0; i < count && !is_sent; i++) {
        size_t len = strcspn(answer->gateway[i].uri, ";");

        if (!may_ask(x, answer->gateway[i].uri, now_ms))
            continue;
        snprintf(next_hop, sizeof(next_hop), "%.*s;transport=tls", (int)(len < 200 ? len : 200),
                 answer->gateway[i].uri);
        is_sent = send_exchange(x, next_hop);
    }
    if (!is_sent && !x->is_sips_lost && now_ms + B2BUA_DOUBTS_MS < x->until_ms)
        watch_silence(x, now_ms, B2BUA_DOUBTS_MS);
    else if (!is_sent)
        fail_exchange(x);
    b2bua_call_release(c);
}

static void
seek(struct b2bua_exchange *x)
{
    x->ask = (struct ask){.done = on_moved, .ctx = x};
    list_init(&x->ask.link);
    ask_resolve(x->call->b2bua->sip, x->call->far_overlay, true, &x->ask);
}

static void
move(struct b2bua_exchange *x)
{
    give_up(x);
    seek(x);
}

/** The same after a while. */
static void
ask_elsewhere(struct b2bua_exchange *x)
{
    uint64_t now_ms = sip_moment(x->call->b2bua->sip).mono_ms;

    list_remove(&x->silent_link);
    ask_cancel(&x->ask);
    sip_send_end(x->orq);
    x->orq = NULL;
    x->is_heard = false;
    x->lost_ms = now_ms;
    watch_silence(x, now_ms, B2BUA_ELSEWHERE_MS);
}

/** Another has taken over from a silent gateway if the ring does not name that any more. */
static void
on_routes_in_doubt(void *ctx, const struct answer *answer)
{
    struct b2bua_exchange *x = ctx;

    if (answer->status != ST_OK || answer->count == 0 || !x->orq || !may_move(x, 408))
        return;
    for (size_t i = 0; i < answer->count; i++)
        if (is_at(x, answer->gateway[i].uri))
            return;
    give_up(x);
    on_moved(x, answer);
}

static void
doubt(struct b2bua_exchange *x, uint64_t now_ms)
{
    watch_silence(x, now_ms, B2BUA_DOUBTS_MS);
    if (!list_is_empty(&x->ask.link))
        return; /* asked already */
    x->ask = (struct ask){.done = on_routes_in_doubt, .ctx = x};
    list_init(&x->ask.link);
    ask_resolve(x->call->b2bua->sip, x->call->far_overlay, true, &x->ask);
}

void
b2bua_exchange_tick(struct b2bua *b, uint64_t now_ms)
{
    while (!list_is_empty(&b->silent)) {
        struct b2bua_exchange *x = list_entry(b->silent.next, struct b2bua_exchange, silent_link);

        if (x->doubt_ms > now_ms)
            return;
        list_remove(&x->silent_link);
        if (!x->orq)
            seek(x);
        else if (!may_move(x, 408))
            continue;
        else if (x->give_up_ms <= now_ms)
            move(x);
        else
            doubt(x, now_ms);
    }
}

void
b2bua_exchange_move(struct b2bua_call *c, enum call_leg leg)
{
    for (size_t i = 0; i < CALL_EXCHANGES_MAX; i++) {
        struct b2bua_exchange *x = c->exchange[i];
        struct sip_target target;

        if (!x || x->from == leg || x->is_heard || !x->place)
            continue;
        b2bua_peer_target(c->b2bua, b2bua_peer_of(c, leg, x->dialog), &target);
        if (x->orq && is_at(x, target.next_hop))
            continue;
        give_up(x);
        if (!send_exchange(x, NULL))
            fail_exchange(x);
    }
}

/** Did the overlay of a far leg answer, and nobody else? */
static bool
is_answer_true(const struct b2bua_exchange *x, const msg_t *msg)
{
    const struct b2bua_call *c = x->call;
    const struct b2bua_peer *p = b2bua_peer_of(x->call, b2bua_other(x->from), x->dialog);
    struct sip_sender sender;

    if (x->is_heard || !p || p->side != SIP_GATEWAYS)
        return true;
    return sip_sender_of(&c->b2bua->sip->agent[SIP_GATEWAYS], msg, &sender) == ST_OK &&
           strcasecmp(sender.overlay, c->far_overlay) == 0;
}

/**
 * A request that is accepted counts from now on, and its answer with it: a refused one leaves the
 * remote target and the media as they were (RFC 3261 section 14.1).
 */
static void
learn_accepted(struct b2bua_exchange *x, const sip_t *response)
{
    struct b2bua_call *c = x->call;
    msg_t *msg = nta_incoming_getrequest(x->irq);
    const sip_t *request = sip_object(msg);
    sip_method_t method = response->sip_cseq->cs_method;
    struct b2bua_peer *from = b2bua_peer_of(c, x->from, x->dialog);
    struct b2bua_peer *to = b2bua_peer_of(c, b2bua_other(x->from), x->dialog);

    if (is_target_refresh(method) && request && from)
        b2bua_peer_learn_target(from, request);
    if (is_target_refresh(method) && to && b2bua_check_refresh(response) == 0)
        b2bua_peer_from_response(c->b2bua->sip, to, response, false);
    if (request && (method == sip_method_invite || method == sip_method_update ||
                    method == sip_method_prack)) {
        b2bua_learn(c, x->from, request);
        b2bua_learn(c, b2bua_other(x->from), response);
        if (method != sip_method_prack)
            b2bua_learn_timer(c, x->from, response);
    }
    msg_destroy(msg);
}

/** The 2xx of a re-INVITE moves an end to where it cannot be reached: it and the call are ended. */
static void
end_unusable(struct b2bua_exchange *x)
{
    struct b2bua_call *c = x->call;
    struct call_response r = {.status = 500, .dialog = CALL_NO_DIALOG, .is_ours = true};

    c->in_hand = NULL;
    b2bua_acknowledge(c, x->invite);
    step_exchange(x, &r);
    call_hang_up(c->core, sip_moment(c->b2bua->sip), "an end cannot be reached");
}

/** CANCEL its INVITE, which has been heard of. */
static void
send_cancel(const struct b2bua_exchange *x, const struct b2bua_peer *to)
{
    struct sip_target target;

    b2bua_peer_target(x->call->b2bua, to, &target);
    cancel_send(target.agent, x->orq, target.tport, x->reason);
}

static void
on_real_response(struct b2bua_exchange *x, const sip_t *sip)
{
    struct b2bua_call *c = x->call;
    struct call_response r = {.status = sip->sip_status->st_status, .dialog = x->dialog};
    struct b2bua_peer *p = b2bua_peer_of(c, b2bua_other(x->from), x->dialog);

    x->is_heard = true;
    list_remove(&x->silent_link);
    ask_cancel(&x->ask);
    if (r.status == 481 && x->is_again && sip->sip_cseq->cs_method == sip_method_bye) {
        c->in_hand = NULL; /* the first one was heard: it is over, as it should be */
        r.status = 200;
    }
    if (r.status / 100 == 2 && x->is_invite && b2bua_check_refresh(sip)) {
        end_unusable(x);
        return;
    }
    if (r.status / 100 == 2) {
        r.expires_s = b2bua_lifetime_s(c, sip);
        learn_accepted(x, sip);
    }
    if (x->is_cancel_due && r.status < 200 && p) {
        x->is_cancel_due = false;
        send_cancel(x, p);
    }
    step_exchange(x, &r);
}

static int
on_exchange_response(nta_outgoing_magic_t *magic, nta_outgoing_t *orq, const sip_t *sip)
{
    struct b2bua_exchange *x = (struct b2bua_exchange *)(void *)magic;
    struct b2bua_call *c = x->call;
    bool is_ours = !sip || nta_sip_is_internal(sip);
    int status = sip ? sip->sip_status->st_status : 503;
    struct call_response failed = {
        .status = status == 503 ? 500 : status, .dialog = CALL_NO_DIALOG, .is_ours = true};
    msg_t *msg = nta_outgoing_getresponse(orq);

    b2bua_call_hold(c);
    c->in_hand = msg;
    if (may_move(x, is_ours || status == 503 ? status : 0)) { /* 503: a gateway no more */
        c->in_hand = NULL;
        move(x);
    } else if (is_ours || !is_answer_true(x, msg)) {
        step_exchange(x, &failed);
    } else if (is_call_elsewhere(x, status)) {
        c->in_hand = NULL;
        ask_elsewhere(x);
    } else {
        const struct b2bua_peer *p = b2bua_peer_of(c, b2bua_other(x->from), x->dialog);
        struct sip_agent *agent = &c->b2bua->sip->agent[p ? p->side : SIP_PHONES];

        connections_on_response(agent, msg);
        headers_accept_response(agent, msg);
        on_real_response(x, sip);
    }
    c->in_hand = NULL;
    msg_destroy(msg);
    b2bua_call_release(c);
    return 0;
}

/** CANCEL of a re-INVITE. */
static int
on_exchange_cancel(nta_incoming_magic_t *magic, nta_incoming_t *irq, const sip_t *sip)
{
    struct b2bua_exchange *x = (struct b2bua_exchange *)(void *)magic;
    struct b2bua_peer *p = b2bua_peer_of(x->call, b2bua_other(x->from), x->dialog);

    (void)irq;
    if (!sip || sip->sip_request->rq_method != sip_method_cancel || !p)
        return 0;
    if (!x->reason)
        x->reason = cancel_reason(sip);
    if (!x->is_heard) {
        x->is_cancel_due = true;
        return 0;
    }
    send_cancel(x, p);
    return 0;
}

static struct b2bua_exchange *
new_exchange(struct b2bua_call *c, unsigned number, const struct b2bua_key *key, uint8_t dialog,
             nta_incoming_t *irq, const sip_t *sip)
{
    const sip_subscription_state_t *state = sip->sip_subscription_state;
    struct b2bua_exchange *x = calloc(1, sizeof(*x));

    if (!x)
        return NULL;
    x->call = c;
    x->number = number;
    x->from = key->leg;
    x->dialog = dialog;
    x->irq = irq;
    x->is_invite = sip->sip_request->rq_method == sip_method_invite;
    x->is_last = state && state->ss_substate && strcasecmp(state->ss_substate, "terminated") == 0;
    if (state && state->ss_expires && !x->is_last)
        x->lifetime_s = b2bua_cut_lifetime(strtoul(state->ss_expires, NULL, 10));
    list_init(&x->ask.link);
    list_init(&x->trying.link);
    list_init(&x->silent_link);
    if (x->is_invite) {
        struct b2bua_invite *invite;

        x->invite = (uint8_t)call_invite_of(c->core, number);
        invite = b2bua_invite_new(c, x->invite, key->leg);
        if (!invite) {
            free(x);
            return NULL;
        }
        invite->in_cseq = sip->sip_cseq->cs_seq;
        nta_incoming_bind(irq, on_exchange_cancel, (nta_incoming_magic_t *)(void *)x);
    }
    c->exchange[number] = x;
    return x;
}

/** Is a request of a leg what the leg's dialog allows: from its overlay, with its names, in order?
 */
static int
check_request(struct b2bua_call *c, enum call_leg leg, uint8_t dialog, const sip_t *sip,
              const struct sip_sender *sender)
{
    const struct b2bua_peer *p = b2bua_peer_of(c, leg, dialog);
    const char *call_id = leg == CALL_CALLER ? c->caller_call_id : c->callee_call_id;
    const char *tag = sip->sip_from->a_tag;
    uint32_t cseq = sip->sip_cseq->cs_seq;

    struct b2bua_dialog *d = b2bua_dialog_at(c, dialog);
    uint32_t *last = &c->peer_cseq[leg];

    if (!p || strcmp(sip->sip_call_id->i_id, call_id) != 0 || (d && d->is_over))
        return 481;
    if (leg == CALL_CALLER && strcasecmp(tag ? tag : "", c->caller_tag) != 0)
        return 481;
    if ((p->side == SIP_GATEWAYS) != (sender->side == SIP_GATEWAYS))
        return 403;
    if (p->side == SIP_GATEWAYS &&
        (!c->far_overlay || strcasecmp(sender->overlay, c->far_overlay) != 0))
        return 403;
    if (call_state(c->core) != CALL_CONFIRMED)
        return 0;
    if (d && call_kind(c->core) == CALL_SUBSCRIPTION) /* each phone counts for itself */
        last = &d->peer_cseq[leg];
    if (cseq < *last) /* RFC 3261 section 12.2.2 */
        return 500;
    *last = cseq;
    return 0;
}

/** Which dialog of the callee's leg; a NOTIFY may be the first that is heard of it, and of each
 * phone that a SUBSCRIBE was forked to (RFC 6665 section 4.1.2.4). */
static uint8_t
callee_dialog(struct b2bua_call *c, const sip_t *sip, const struct sip_sender *sender)
{
    const char *tag = sip->sip_from->a_tag;
    uint8_t dialog = b2bua_dialog_find(c, tag);

    if (dialog != CALL_NO_DIALOG || sip->sip_request->rq_method != sip_method_notify ||
        !call_may_fork(c->core, sip_moment(c->b2bua->sip)) ||
        strcmp(sip->sip_call_id->i_id, c->callee_call_id) != 0)
        return dialog;
    dialog = b2bua_dialog_of(c, tag, false);
    if (dialog == CALL_NO_DIALOG)
        return dialog;
    c->dialog[dialog]->is_subscribed = true;
    b2bua_peer_from_request(c->b2bua->sip, &c->dialog[dialog]->peer, sip, sender);
    return dialog;
}

static void
refuse(nta_incoming_t *irq, int status)
{
    unsigned retry_after_s = status == 500 ? (unsigned)(sip_random() % 10) + 1 : 0;

    sip_reply(irq, status, NULL, retry_after_s); /* RFC 3261 section 14.2 */
    nta_incoming_destroy(irq);
}

/** A far gateway has taken the call over: it is answered for, no phone has to hear of it. */
static void
answer_takeover(struct b2bua_call *c, enum call_leg leg, uint8_t dialog, nta_incoming_t *irq,
                const sip_t *sip)
{
    struct b2bua_peer *p = b2bua_peer_of(c, leg, dialog);
    msg_t *msg = nta_incoming_create_response(irq, SIP_200_OK);

    b2bua_peer_learn_target(p, sip);
    if (msg && b2bua_set_contact(c, msg, sip_object(msg), p)) {
        nta_incoming_mreply(irq, msg);
    } else {
        msg_destroy(msg);
        sip_reply(irq, 500, NULL, 0);
    }
    nta_incoming_destroy(irq);
    b2bua_call_hold(c);
    b2bua_exchange_move(c, leg);
    b2bua_changed(c);
    b2bua_call_release(c);
}

void
b2bua_exchange_start(struct b2bua_key *key, nta_incoming_t *irq, const sip_t *sip,
                     const struct sip_sender *sender)
{
    struct b2bua_call *c = key->call;
    enum call_leg leg = key->leg;
    sip_method_t method = sip->sip_request->rq_method;
    struct call_response failed = {.status = 503, .dialog = CALL_NO_DIALOG, .is_ours = true};
    struct b2bua_exchange *x;
    unsigned number;
    uint8_t dialog = leg == CALL_CALLER ? key->dialog : callee_dialog(c, sip, sender);
    int status = check_request(c, leg, dialog, sip, sender);

    if (status == 0 && b2bua_is_takeover(sip, sender)) {
        answer_takeover(c, leg, dialog, irq, sip);
        return;
    }
    b2bua_call_hold(c);
    b2bua_hold_end(c); /* what it answered goes first */
    if (status == 0 && is_target_refresh(method))
        status = b2bua_check_refresh(sip);
    if (status == 0)
        status = call_on_request(c->core, sip_moment(c->b2bua->sip), leg, method_of(sip), &number);
    if (status != CALL_PASS) {
        refuse(irq, status);
        b2bua_call_release(c);
        return;
    }
    if (method == sip_method_invite && sender->side == SIP_PHONES)
        sip_reply(irq, 100, NULL, 0);
    b2bua_peer_learn_flow(b2bua_peer_of(c, leg, dialog), sender);
    x = new_exchange(c, number, key, dialog, irq, sip);
    if (x)
        b2bua_trying_start(c->b2bua, &x->trying, &x->irq, sender);
    if (!x) {
        (void)call_on_answer(c->core, sip_moment(c->b2bua->sip), number, &failed, false);
        refuse(irq, 503);
    } else if (!b2bua_refer_ask(x, sip)) {
        b2bua_exchange_go(x);
    }
    b2bua_call_release(c);
}
