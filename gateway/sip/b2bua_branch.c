#include <stdio.h>
#include <string.h>

#include "gateway/sip/b2bua_call.h"
#include "gateway/sip/cancel.h"
#include "gateway/sip/connections.h"
#include "gateway/sip/fence.h"
#include "gateway/sip/header_policy.h"
#include "gateway/sip/limits.h"
#include "gateway/sip/paths.h"
#include "gateway/sip/send.h"
#include "gateway/sip/silence.h"

#define LIFETIME_MAX_S 86400
#define SLACK_S        32 /* a refresh may be under way when the time is up */

/* ---- what the machine asks for ---- */

static int on_branch_response(nta_outgoing_magic_t *magic, nta_outgoing_t *orq, const sip_t *sip);

/** "host:port" of a phone; "" for hops, which have no limit of INVITEs under way. */
static void
destination_of(const struct b2bua_branch *b, char out[SIP_HOP_ADDRESS_BYTES])
{
    out[0] = '\0';
    if (b->target.agent->side == SIP_PHONES && call_kind(b->call->core) == CALL_SESSION)
        sip_hop_address(b->target.next_hop, out);
}

static bool
count(struct b2bua_branch *b)
{
    char destination[SIP_HOP_ADDRESS_BYTES];

    destination_of(b, destination);
    if (!destination[0])
        return true;
    b->is_counted = limits_begin(b->call->b2bua->sip->limits, destination);
    return b->is_counted;
}

void
b2bua_branch_uncount(struct b2bua_branch *b)
{
    char destination[SIP_HOP_ADDRESS_BYTES];

    if (!b->is_counted)
        return;
    b->is_counted = false;
    destination_of(b, destination);
    limits_end(b->call->b2bua->sip->limits, destination);
}

static uint32_t
silent_ms(const struct b2bua_branch *b)
{
    return (uint32_t)(sip_moment(b->call->b2bua->sip).mono_ms - b->sent_ms);
}

/** What has had no response at all does not have to arrive any longer; @called_off: what was
 * called off alone. */
static void
drop_silent(const struct b2bua_call *c, bool called_off)
{
    for (unsigned i = 0; c->initial && i < c->initial->count; i++) {
        struct b2bua_branch *b = c->initial->branch[i];

        if (!b->orq || b->is_heard || b->is_dropped || (called_off && !b->is_cancel_due))
            continue;
        b->is_dropped = true;
        silence_give_up(c->b2bua->sip, b->orq, silent_ms(b));
    }
}

static bool
send_initial(void *ctx, unsigned branch)
{
    struct b2bua_call *c = ctx;
    struct b2bua_branch *b = c->initial->branch[branch];
    msg_t *msg;

    if (b->orq) /* it is asked again: the request is under way */
        return true;
    drop_silent(c, true);
    msg = count(b) ? b2bua_initial_request(c, &b->target) : NULL;
    if (!msg)
        return false;
    b->sent_ms = sip_moment(c->b2bua->sip).mono_ms;
    b->orq = sip_send(c->b2bua->sip, &b->target, msg, on_branch_response,
                      (nta_outgoing_magic_t *)(void *)b);
    if (b->orq && !c->is_sent) {
        c->is_sent = true;
        b2bua_changed(c);
    }
    return b->orq != NULL;
}

/** @is_lost: the serving peer is; or it was sent the CANCEL. */
static void
end_at_phone(struct b2bua_branch *b, bool is_lost)
{
    const struct b2bua_call *c = b->call;
    struct sip *s = c->b2bua->sip;
    struct phone_invite invite = {.uri = b->is_by_uri ? b->request_uri : NULL, .reason = b->reason};
    msg_t *request;

    if (b->target.agent->side != SIP_PEERS || !c->is_inward || call_kind(c->core) != CALL_SESSION)
        return;
    request = nta_outgoing_getrequest(b->orq);
    invite.sip = request ? sip_object(request) : NULL;
    if (is_lost && s->is_gateway && !fence_stands(s)) /* or another gateway may go on with it */
        phone_via_lost(s, &b->phone_via, &invite);
    else if (!is_lost)
        phone_via_cancelled(s, &b->phone_via, &invite);
    msg_destroy(request);
}

static void
send_cancel(struct b2bua_branch *b)
{
    cancel_send(b->target.agent, b->orq, b->target.tport, b->reason);
    end_at_phone(b, false);
}

static void
cancel(void *ctx, unsigned branch)
{
    struct b2bua_call *c = ctx;
    struct b2bua_branch *b = c->initial->branch[branch];

    if (!b->orq)
        return;
    if (!b->reason && c->in_hand)
        b->reason = cancel_reason(sip_object(c->in_hand));
    if (!b->is_heard) { /* RFC 3261 section 9.1: not before a provisional answer */
        b->is_cancel_due = true;
        return;
    }
    send_cancel(b);
}

static void
resume(void *ctx, unsigned branch)
{
    struct b2bua_call *c = ctx;

    c->initial->branch[branch]->is_cancel_due = false;
    c->initial->wants_search = false;
    ask_cancel(&c->initial->ask);
}

/* @response: of the peer, or the library's; NULL: none. */
static enum path_loss
loss_of(msg_t *response)
{
    const sip_t *sip = response ? sip_object(response) : NULL;

    if (!sip || !sip->sip_status || sip->sip_status->st_status != 503)
        return PATH_SILENT;
    return nta_sip_is_internal(sip) ? PATH_REFUSED : PATH_BUSY;
}

static void
forget(void *ctx, unsigned branch)
{
    struct b2bua_call *c = ctx;
    const struct b2bua_branch *b = c->initial->branch[branch];

    if (c->is_inward)
        c->initial->is_peer_lost = b->target.agent->side == SIP_PEERS;
    if (c->is_inward && c->initial->is_peer_lost)
        paths_lost(c->b2bua->sip, b->target.next_hop, loss_of(c->in_hand), b->sent_ms);
    if (!c->is_inward)
        ask_forget(c->b2bua->sip, c->initial->overlay, &b->node);
    if (!b->orq)
        return;
    if (call_kind(c->core) == CALL_SESSION)
        silence_doubt(c->b2bua->sip, b->orq, silent_ms(b));
    else /* whoever is asked in its place gets a request of his own */
        silence_give_up(c->b2bua->sip, b->orq, silent_ms(b));
}

static void
search_again(void *ctx)
{
    struct b2bua_call *c = ctx;

    if (c->is_inward)
        b2bua_search_again(c);
    else
        c->initial->wants_search = true;
}

static void
doubt(void *ctx)
{
    b2bua_initial_doubt(ctx);
}

static void
relay(void *ctx, unsigned branch, uint8_t dialog)
{
    struct b2bua_call *c = ctx;
    const struct b2bua_dialog *d = b2bua_dialog_at(c, dialog);

    (void)branch;
    list_remove(&c->trying.link); /* no 100 after it */
    b2bua_twin_keep(c, dialog);
    if (c->irq && (sip_object(c->in_hand)->sip_status->st_status < 200 || !b2bua_hold(c)))
        b2bua_pass_response(c, CALL_CALLER, dialog, c->irq, c->in_hand,
                            d ? d->our_tag : c->answer_tag);
}

static void
keep(void *ctx, unsigned branch)
{
    struct b2bua_call *c = ctx;

    (void)branch;
    msg_destroy(c->initial->kept);
    c->initial->kept_status = c->initial->unusable;
    c->initial->kept = c->initial->unusable ? NULL : msg_ref_create(c->in_hand);
}

static void
finish(void *ctx, int status)
{
    struct b2bua_call *c = ctx;

    drop_silent(c, false);
    if (!c->irq)
        return;
    if (c->is_off) /* nobody can be reached: that says less than that he gave up */
        status = 487;
    if (status == 480 && c->is_inward && c->initial->is_peer_lost && !c->initial->is_sips_lost)
        status = 500;
    if (status == 500 && c->is_inward && c->initial->is_outdated)
        status = 503; /* the far gateway tries another of ours (design, What a refusal says) */
    if (status == CALL_PASS && c->initial->kept_status)
        status = c->initial->kept_status;
    if (status == CALL_PASS && c->initial->kept)
        b2bua_pass_response(c, CALL_CALLER, CALL_NO_DIALOG, c->irq, c->initial->kept,
                            c->answer_tag);
    else if (status == 480 && c->initial->is_sips_lost)
        sip_reply_sips(c->b2bua->sip, c->irq);
    else
        sip_reply(c->irq, status == CALL_PASS ? 500 : status, NULL,
                  status == 500 || status == 503 ? SIP_RETRY_AFTER_S : 0);
    nta_incoming_destroy(c->irq);
    c->irq = NULL;
}

static void
acknowledge(void *ctx, unsigned invite)
{
    struct b2bua_call *c = ctx;

    b2bua_acknowledge(c, invite);
    if (invite == CALL_INITIAL) {
        b2bua_twin_drop(c);
        b2bua_upstream_free(c);
    }
    b2bua_changed(c);
}

static void
refuse_dialog(void *ctx, uint8_t dialog)
{
    struct b2bua_call *c = ctx;

    if (dialog == CALL_NO_DIALOG)
        return;
    b2bua_acknowledge_dialog(c, dialog);
    b2bua_say_bye(c, CALL_CALLEE, dialog);
    b2bua_dialog_drop(c, dialog);
}

static void
hang_up(void *ctx, enum call_leg leg)
{
    struct b2bua_call *c = ctx;

    b2bua_say_bye(c, leg, call_winner(c->core));
}

/** The initial request has its 2xx. */
static void
on_confirmed(struct b2bua_call *c)
{
    drop_silent(c, false);
    b2bua_learn_timer(c, CALL_CALLER, sip_object(c->in_hand));
    b2bua_changed(c);
    if (!list_is_empty(&c->held_link))
        b2bua_copy_soon(c->b2bua);
    if (!c->irq)
        return;
    nta_incoming_bind(c->irq, NULL, NULL);
    if (call_kind(c->core) == CALL_SESSION)
        b2bua_invite_answered(c, CALL_INITIAL, c->irq);
    else
        nta_incoming_destroy(c->irq);
    c->irq = NULL;
}

static void
changed(void *ctx, enum call_state was, enum call_state state, const char *reason)
{
    struct b2bua_call *c = ctx;

    if (state == CALL_CONFIRMED && c->in_hand)
        on_confirmed(c);
    if (state == CALL_ENDING && call_is_parted(c->core))
        b2bua_over(c);
    if (log_is_written(LOG_LEVEL_DEBUG))
        log_write(LOG_LEVEL_DEBUG, "call", "%s: %s -> %s, reason: %s", c->token,
                  call_state_name(was), call_state_name(state), reason);
}

const struct call_out b2bua_call_out = {.send_initial = send_initial,
                                        .cancel = cancel,
                                        .resume = resume,
                                        .forget = forget,
                                        .search_again = search_again,
                                        .doubt = doubt,
                                        .relay = relay,
                                        .keep = keep,
                                        .finish = finish,
                                        .acknowledge = acknowledge,
                                        .refuse_dialog = refuse_dialog,
                                        .hang_up = hang_up,
                                        .changed = changed};

/* ---- responses of the branches ---- */

/** Is the far gateway the one that the ring named: its certificate says so (design, TLS in SIP). */
static bool
verify(struct b2bua_branch *b, const msg_t *msg)
{
    const struct b2bua_call *c = b->call;
    struct sip_sender sender;

    if (b->target.agent->side != SIP_GATEWAYS || b->is_verified)
        return true;
    if (sip_sender_of(b->target.agent, msg, &sender) != ST_OK)
        return false;
    b->is_verified =
        strcasecmp(sender.overlay, c->initial->overlay) == 0 && id_equal(&sender.node, &b->node);
    if (!b->is_verified)
        log_write(LOG_LEVEL_REMOTE, "sip", "gateway %s is of %s, not of %s as the ring says",
                  sender.address, sender.overlay, c->initial->overlay);
    return b->is_verified;
}

uint32_t
b2bua_cut_lifetime(unsigned long s)
{
    return (uint32_t)(s < LIFETIME_MAX_S ? s : LIFETIME_MAX_S) + SLACK_S;
}

uint32_t
b2bua_lifetime_s(const struct b2bua_call *c, const sip_t *sip)
{
    unsigned long s = 0;

    if (call_kind(c->core) == CALL_SESSION && sip->sip_session_expires)
        s = sip->sip_session_expires->x_delta;
    else if (call_kind(c->core) == CALL_SUBSCRIPTION && sip->sip_expires)
        s = sip->sip_expires->ex_delta;
    else
        return 0;
    return b2bua_cut_lifetime(s);
}

static void
learn_dialog(struct b2bua_branch *b, uint8_t dialog, const sip_t *sip)
{
    struct b2bua_dialog *d = b2bua_dialog_at(b->call, dialog);

    if (!d)
        return;
    b2bua_peer_from_target(&d->peer, &b->target);
    if (!d->peer.target)
        d->peer.target =
            b2bua_text_of_url(sip_object(b->call->initial->request)->sip_request->rq_url);
    b2bua_peer_from_response(b->call->b2bua->sip, &d->peer, sip, true);
    if (call_winner(b->call->core) == CALL_NO_DIALOG)
        b2bua_learn(b->call, CALL_CALLEE, sip);
}

/** Is it the 2xx that has confirmed the call? */
static bool
is_repeated(const struct b2bua_call *c, const sip_t *sip)
{
    uint8_t winner = call_winner(c->core);

    return winner != CALL_NO_DIALOG && b2bua_dialog_find(c, sip->sip_to->a_tag) == winner;
}

/** A 2xx that no dialog can be made of: its sender is told that it is over, the caller @status. */
static void
refuse_success(struct b2bua_branch *b, const sip_t *sip, int status)
{
    struct b2bua_call *c = b->call;
    struct call_response r = {.status = status, .dialog = CALL_NO_DIALOG, .is_void = true};
    uint8_t dialog = b2bua_dialog_of(c, sip->sip_to->a_tag, true);

    if (call_kind(c->core) == CALL_SESSION && dialog != CALL_NO_DIALOG) {
        if (status == 500) /* too long to be kept, but true */
            learn_dialog(b, dialog, sip);
        else
            b2bua_peer_from_target(&b2bua_dialog_at(c, dialog)->peer, &b->target);
        b2bua_acknowledge_dialog(c, dialog);
        b2bua_say_bye(c, CALL_CALLEE, dialog);
    }
    b2bua_dialog_drop(c, dialog);
    log_write(LOG_LEVEL_REMOTE, "sip", "%s: 2xx without a usable Contact or Record-Route: %d",
              c->token, status);
    c->initial->unusable = status;
    call_on_response(c->core, sip_moment(c->b2bua->sip), b->index, &r);
    c->initial->unusable = 0;
}

/** Not known, not there, or the gateway cannot tell: in an overlay that is cut in two, the other
 * gateway may (the design's "Election"). */
static bool
is_unknown_there(const sip_t *sip)
{
    int status = sip->sip_status->st_status;

    return status == 404 || status == 480 || (status == 500 && sip->sip_retry_after);
}

static void
step_branch(struct b2bua_branch *b, const sip_t *sip, bool is_ours)
{
    struct b2bua_call *c = b->call;
    struct call_response r = {
        .status = sip->sip_status->st_status, .dialog = CALL_NO_DIALOG, .is_ours = is_ours};
    bool is_success = r.status / 100 == 2;
    bool is_dialog = is_success || (r.status > 100 && r.status < 300 && sip->sip_to->a_tag);
    int unusable = 0;

    r.is_flow_lost = r.status == 430 || r.status == 408;
    if (r.status == 430 && c->is_inward) { /* nothing that a caller could make use of */
        r.status = 480;
        c->initial->unusable = 480;
    }
    r.is_stale = c->initial && c->initial->search.is_cached && !is_ours &&
                 (r.status == 404 || r.status == 410 || r.status == 480 ||
                  (r.status == 500 && sip->sip_retry_after));
    b->is_elsewhere = !c->is_inward && !is_ours && is_unknown_there(sip);
    r.is_elsewhere = b->is_elsewhere;
    if (is_dialog && call_kind(c->core) != CALL_SINGLE) {
        unusable = b2bua_check_response(sip, is_success && call_kind(c->core) == CALL_SESSION);
        if (is_success && unusable && !is_repeated(c, sip)) {
            refuse_success(b, sip, unusable);
            return;
        }
        r.dialog = b2bua_dialog_of(c, sip->sip_to->a_tag, is_success);
        if (r.dialog == CALL_NO_DIALOG && !is_success)
            return; /* more phones than one call has room for: they do not ring */
        if (!unusable)
            learn_dialog(b, r.dialog, sip);
    }
    if (r.status / 100 == 2)
        r.expires_s = b2bua_lifetime_s(c, sip);
    if (is_success && call_kind(c->core) == CALL_SUBSCRIPTION && r.dialog != CALL_NO_DIALOG) {
        b2bua_dialog_at(c, r.dialog)->is_subscribed = true;
        if (call_winner(c->core) != CALL_NO_DIALOG)
            call_prolong(c->core, sip_moment(c->b2bua->sip), r.expires_s);
        b2bua_changed(c);
    }
    if (r.status / 100 == 2 && r.dialog != CALL_NO_DIALOG && r.dialog == call_winner(c->core)) {
        b2bua_invite_again(c, CALL_CALLEE, sip->sip_cseq->cs_seq);
        return;
    }
    call_on_response(c->core, sip_moment(c->b2bua->sip), b->index, &r);
    if (c->initial)
        c->initial->unusable = 0;
}

/** @msg is taken; @sip is NULL without a message. */
static void
take_response(struct b2bua_branch *b, msg_t *msg, const sip_t *sip)
{
    struct b2bua_call *c = b->call;
    bool is_ours = !sip || nta_sip_is_internal(sip);
    struct call_response failed = {.status = 503, .dialog = CALL_NO_DIALOG, .is_ours = true};

    b2bua_call_hold(c);
    c->in_hand = msg;
    if (!is_ours) {
        if (b->target.agent->side == SIP_PEERS && sip->sip_status->st_status != 503)
            paths_heard(c->b2bua->sip, b->target.next_hop);
        connections_on_response(b->target.agent, msg);
        headers_accept_response(b->target.agent, msg);
        if (c->initial && sip->sip_status->st_status == 503)
            c->initial->is_outdated |= header_find(sip, HEADER_ACTIVE_GATEWAY) != NULL;
    }
    if (!sip) {
        call_on_response(c->core, sip_moment(c->b2bua->sip), b->index, &failed);
    } else if (!is_ours && !verify(b, msg)) {
        if (sip->sip_status->st_status < 200 && call_kind(c->core) == CALL_SESSION)
            send_cancel(b);
        sip_send_end(b->orq);
        b->orq = NULL;
        call_on_response(c->core, sip_moment(c->b2bua->sip), b->index, &failed);
    } else {
        if (is_ours && b->is_heard)
            end_at_phone(b, true);
        else if (sip->sip_status->st_status < 200)
            phone_via_learn(&b->phone_via, sip);
        else
            phone_via_done(&b->phone_via);
        b->is_heard = true;
        if (c->initial && c->initial->kept)
            header_add_challenges(c->initial->kept, sip);
        step_branch(b, sip, is_ours);
        if (sip->sip_status->st_status < 200)
            b2bua_call_off(c);
        if (b->is_cancel_due && sip->sip_status->st_status < 200 && b->orq) {
            b->is_cancel_due = false;
            send_cancel(b);
        }
    }
    if (b->orq && (!sip || sip->sip_status->st_status >= 200)) {
        sip_send_end(b->orq);
        b->orq = NULL;
        b2bua_branch_uncount(b);
    }
    c->in_hand = NULL;
    msg_destroy(msg);
    b2bua_call_release(c);
}

/** A 2xx of a call that may be another gateway's by now: there it is heard by another way. */
static bool
is_to_be_held(const struct b2bua_branch *b, const sip_t *sip)
{
    const struct b2bua_call *c = b->call;

    return sip && !nta_sip_is_internal(sip) && sip->sip_status->st_status / 100 == 2 &&
           call_kind(c->core) == CALL_SESSION && call_state(c->core) < CALL_CONFIRMED &&
           fence_stands(c->b2bua->sip);
}

static int
on_branch_response(nta_outgoing_magic_t *magic, nta_outgoing_t *orq, const sip_t *sip)
{
    struct b2bua_branch *b = (struct b2bua_branch *)(void *)magic;
    msg_t *msg = nta_outgoing_getresponse(orq);

    if (msg && is_to_be_held(b, sip)) {
        msg_destroy(b->held);
        b->held = msg;
        return 0;
    }
    take_response(b, msg, sip);
    return 0;
}

void
b2bua_on_fence_down(struct sip *s)
{
    list_each(at, &s->b2bua->calls)
    {
        struct b2bua_call *c = list_entry(at, struct b2bua_call, link);

        b2bua_call_hold(c);
        for (unsigned i = 0; c->initial && i < c->initial->count; i++) {
            struct b2bua_branch *b = c->initial->branch[i];
            msg_t *msg = b->held;

            b->held = NULL;
            if (msg)
                take_response(b, msg, sip_object(msg));
        }
        b2bua_call_release(c);
    }
}

void
b2bua_branch_lose(struct b2bua_branch *b)
{
    struct b2bua_call *c = b->call;
    struct call_response failed = {.status = 503, .dialog = CALL_NO_DIALOG, .is_ours = true};

    end_at_phone(b, true);
    sip_send_end(b->orq);
    b->orq = NULL;
    b2bua_branch_uncount(b);
    call_on_response(c->core, sip_moment(c->b2bua->sip), b->index, &failed);
}

void
b2bua_branch_look(struct b2bua_call *c)
{
    b2bua_call_hold(c);
    for (unsigned i = 0; c->initial && i < c->initial->count; i++) {
        struct b2bua_branch *b = c->initial->branch[i];
        bool was_lost = b->is_way_lost;

        b->is_way_lost =
            b->orq && b->is_heard && b->target.agent->side != SIP_PHONES && sip_is_way_lost(b->orq);
        if (b->is_way_lost && was_lost) /* the library may be about to find out */
            b2bua_branch_lose(b);
    }
    b2bua_call_release(c);
}
