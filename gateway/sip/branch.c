/* One client transaction of the proxy: sending, its answers, giving it up. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <sofia-sip/sip_util.h>

#include "gateway/sip/cancel.h"
#include "gateway/sip/connections.h"
#include "gateway/sip/flow.h"
#include "gateway/sip/forward.h"
#include "gateway/sip/header_policy.h"
#include "gateway/sip/limits.h"
#include "gateway/sip/noted.h"
#include "gateway/sip/orphan.h"
#include "gateway/sip/paths.h"
#include "gateway/sip/route.h"
#include "gateway/sip/silence.h"
#include "gateway/sip/twin.h"

#define DATAGRAM_BYTES_MAX 1300 /* section 18.1.1, and the library's own */
#define GATEWAY_LOSSES_MAX 3    /* under one INVITE */
#define UNHEARD_MS         500  /* a CANCEL to a gateway brings a final response sooner */
#define ADDED_BYTES        300  /* by two nodes that do not record themselves: Vias */

static bool
is_dialog_forming(const struct forward *f)
{
    sip_method_t method = f->request->sip_request->rq_method;

    return !f->is_dialog && (method == sip_method_invite || method == sip_method_subscribe ||
                             method == sip_method_refer);
}

/* A NOTIFY may open a dialog of a forked SUBSCRIBE: whoever recorded that records it, too (RFC 6665
 * section 4.3). */
static bool
is_recorded_notify(const struct forward *f)
{
    return f->is_dialog && f->popped > 0 && f->request->sip_request->rq_method == sip_method_notify;
}

/* A phone may have no other transport than the one it uses: then the ends cannot send to each
 * other's Contact (RFC 5658 section 3). */
static bool
differs_in_transport(const struct forward *f, const struct sip_target *target)
{
    const char *contact = target->request_uri;
    const char *param = contact ? strcasestr(contact, ";transport=") : NULL;
    const char *protocol = param ? param + 11 : "udp";

    if (f->side != SIP_PHONES || !contact)
        return false;
    return strncasecmp(protocol, f->caller_protocol, strlen(f->caller_protocol)) != 0;
}

/* Too large for UDP it goes by TCP to a phone of UDP (section 18.1.1), and the Contact of that
 * phone's response may say TCP, which the caller need not have. */
static bool
is_forced_to_tcp(const struct forward *f, const struct sip_target *target)
{
    const char *contact = target->request_uri;
    const char *param = contact ? strcasestr(contact, ";transport=") : NULL;

    return contact && msg_size(f->msg) + strlen(contact) + ADDED_BYTES > DATAGRAM_BYTES_MAX &&
           (!param || strncasecmp(param + 11, "udp", 3) == 0);
}

/* Design, Routes.  Between two serving peers the one records what the other does: phones hold no
 * certificate for the other's peer-listen. */
static bool
is_to_be_recorded(const struct forward *f, const struct sip_target *target, enum branch_to to,
                  uint64_t flow, bool is_on_connection)
{
    if (is_recorded_notify(f))
        return true;
    if (!is_dialog_forming(f))
        return false;
    if (to == BRANCH_TO_GATEWAY || f->is_from_gateway || flow || f->caller_flow)
        return true;
    if (differs_in_transport(f, target) || (f->side == SIP_PHONES && is_forced_to_tcp(f, target)))
        return true;
    if (to == BRANCH_TO_PEER)
        return is_on_connection;
    return f->side == SIP_PEERS && f->request->sip_record_route &&
           target->agent->side == SIP_PHONES;
}

void
branch_drop(struct branch *b)
{
    list_remove(&b->link);
    list_remove(&b->watch);
    list_remove(&b->ring);
    if (b->destination[0])
        limits_end(b->forward->proxy->sip->limits, b->destination);
    if (b->orq)
        sip_send_end(b->orq);
    free(b->hop);
    phone_via_done(&b->phone_via);
    free(b->uri);
    free(b);
}

/* Over the connection of its INVITE, if that is a phone's: between nodes any will do, and who is
 * bound to one is lost with it. */
static void
send_cancel(const struct branch *b)
{
    tport_t *tport = nta_outgoing_transport(b->orq);
    bool is_connection = tport && tport_is_secondary(tport) && b->agent->side == SIP_PHONES;

    cancel_send(b->agent, b->orq, is_connection ? tport : NULL, b->forward->reason);
    if (tport)
        tport_unref(tport);
}

static uint32_t
silent_ms(const struct branch *b)
{
    return (uint32_t)(sip_moment(b->forward->proxy->sip).mono_ms - b->sent_ms);
}

static struct phone_invite
phone_invite(const struct branch *b)
{
    const struct forward *f = b->forward;

    return (struct phone_invite){.uri = b->uri, .sip = f->request, .reason = f->reason};
}

void
branch_cancel(struct branch *b)
{
    struct phone_invite invite = phone_invite(b);

    struct proxy *p = b->forward->proxy;

    if (b->is_cancelled)
        return;
    if (!b->has_answer && !b->is_cancel_due) {
        b->is_cancel_due = true; /* without any answer NTA's own time-out ends it */
        silence_give_up(p->sip, b->orq, silent_ms(b));
        return;
    }
    if (!b->has_answer)
        return;
    b->is_cancelled = true;
    send_cancel(b);
    phone_via_cancelled(p->sip, &b->phone_via, &invite);
    list_remove(&b->watch);
    b->due_ms = sip_moment(p->sip).mono_ms + CANCEL_WAIT_MS;
    list_append(&p->cancel_watch, &b->watch);
    proxy_arm(p);
}

void
branch_give_up(struct branch *b, int status)
{
    struct forward *f = b->forward;

    uint64_t lost = status == 480 ? b->phone : 0;

    if (status && !f->is_answered)
        forward_note(f, status, NULL);
    if (!b->is_cancelled) /* its CANCEL is being watched */
        list_remove(&b->watch);
    list_remove(&b->ring);
    b->is_given_up = true;
    if (!f->is_invite && !b->has_answer)
        silence_doubt(f->proxy->sip, b->orq, silent_ms(b));
    if (f->is_invite)
        branch_cancel(b);
    else
        branch_drop(b);
    if (f->is_answered)
        forward_end(f);
    else if (lost)
        forward_next_flow(f, lost);
    else if (status)
        forward_finish(f);
}

int
branch_lost_status(const struct branch *b)
{
    return b->to == BRANCH_TO_PEER && b->forward->aor_count > 0 ? 500 : 480;
}

/* A transport error or a time-out is no answer of anybody: say what it means to the caller. */
static int
status_of_failure(const struct branch *b, int status)
{
    if (b->forward->is_cancelled)
        return 487;
    if (b->to == BRANCH_TO_GATEWAY)
        return 500;
    return status == 408 && b->has_answer ? 408 : branch_lost_status(b);
}

/* Of several gateways another may have the call: its INVITE went there when the one died that the
 * dialog names. */
static bool
is_call_elsewhere(const struct branch *b, int status)
{
    const struct forward *f = b->forward;

    return status == 481 && b->to == BRANCH_TO_GATEWAY && f->is_dialog &&
           ((f->proxy->sip->gateway_count > 1 && forward_has_other_gateway(f)) ||
            forward_is_between(f, &b->gateway));
}

static bool
is_other_gateway_worth_trying(const struct branch *b, int status, bool is_ours)
{
    return b->to == BRANCH_TO_GATEWAY && !b->forward->is_cancelled &&
           (is_ours || status == 503 || is_call_elsewhere(b, status)) &&
           forward_may_wait(b->forward);
}

/* It rang, and now it cannot be reached: whoever rings there is told that it is over, by another
 * connection; nobody else is rung in his place, and whoever picks up all the same comes to
 * branch_on_late(). */
static void
sever(struct branch *b, int status)
{
    struct phone_invite invite = phone_invite(b);

    b->is_severed = true;
    if (b->to == BRANCH_TO_PEER && !b->forward->is_dialog)
        phone_via_lost(b->forward->proxy->sip, &b->phone_via, &invite);
    if (b->is_given_up)
        return; /* until CANCEL_WAIT_MS is over */
    branch_give_up(b, b->forward->is_answered ? 0 : status_of_failure(b, status));
}

/* A gateway that was heard is lost: the INVITE rings on behind it, and the gateway in its place
 * goes on with it when it comes there once more. */
static bool
is_gateway_lost(const struct branch *b, bool is_lost)
{
    const struct forward *f = b->forward;

    return is_lost && b->to == BRANCH_TO_GATEWAY && f->is_invite && !f->is_dialog &&
           b->has_answer && b->orq && !f->is_answered && !f->is_cancelled && !b->is_given_up &&
           f->gateway_losses < GATEWAY_LOSSES_MAX;
}

/* A final response to BYE: the dialog is over (sections 15.1.1 and 12.2.1.2). */
static void
note_end(const struct forward *f, int status)
{
    struct sip *s = f->proxy->sip;

    if (f->request->sip_request->rq_method == sip_method_bye &&
        (status / 100 == 2 || status == 481 || status == 408))
        noted_end(s->noted, f->request, sip_moment(s).mono_ms);
}

static void
on_final(struct branch *b, int status, msg_t *msg, bool is_ours)
{
    uint64_t phone = b->phone;
    bool is_lost = is_ours || status == 430 || status == 408;
    struct forward *f = b->forward;

    if (is_ours && b->to == BRANCH_TO_GATEWAY)
        f->is_gateway_lost = true;
    if (!is_call_elsewhere(b, status))
        note_end(f, status);
    if (is_gateway_lost(b, is_ours ||
                               (status == 503 && f->irq && nta_incoming_status(f->irq) > 100))) {
        f->gateway_losses++;
        f->gateway_until_ms = 0;
        msg_destroy(msg);
        branch_drop(b);
        forward_to_gateway_again(f); /* it may live, and its connections be cut */
        return;
    }
    if (is_ours && f->is_invite && b->has_answer && b->orq) {
        msg_destroy(msg);
        sever(b, status);
        return;
    }
    if (f->is_answered || b->is_given_up) {
        msg_destroy(msg);
        branch_drop(b);
        if (f->is_answered)
            forward_end(f);
        return;
    }
    if (is_other_gateway_worth_trying(b, status, is_ours)) {
        if (status == 481)
            forward_note(f, status, msg);
        else
            msg_destroy(msg);
        branch_drop(b);
        forward_to_gateway(f);
        return;
    }
    if (!is_ours && status >= 600)
        forward_reason(f, sip_object(msg));
    if (is_ours) {
        msg_destroy(msg);
        forward_note(f, status_of_failure(b, status), NULL);
        branch_peer_lost(b, status == 503 ? PATH_REFUSED : PATH_SILENT);
    } else if (status == 430 && f->aor_count > 0) { /* nothing that a caller could make use of */
        msg_destroy(msg);
        forward_note(f, 480, NULL);
    } else {
        forward_note(f, status, msg);
        if (status == 503) /* it drains: between our nodes that means "try another" */
            branch_peer_lost(b, PATH_BUSY);
    }
    branch_drop(b);
    if (phone && is_lost) {
        forward_next_flow(f, phone);
        return;
    }
    if (status >= 600 && f->is_invite)
        list_each(at, &f->branches) branch_cancel(list_entry(at, struct branch, link));
    forward_finish(f);
}

/* The serving peer is lost, and the phone may be there: without it. */
static void
go_straight(struct branch *b)
{
    struct forward *f = b->forward;
    struct sip_target target;
    struct branch *straight;

    if (!b->uri || f->is_answered || f->is_cancelled ||
        sip_target_of_phone(f->proxy->sip, b->uri, &target))
        return;
    straight = branch_start(f, &target, BRANCH_TO_PHONE, 0, NULL);
    if (straight)
        straight->phone = b->phone;
}

void
branch_peer_lost(struct branch *b, enum path_loss loss)
{
    if (!b->hop || (loss == PATH_SILENT && b->has_answer))
        return; /* it has the request: the phone is silent */
    paths_lost(b->forward->proxy->sip, b->hop, loss, b->sent_ms);
    go_straight(b);
}

/* Timer C starts, or starts anew. */
static void
watch_ringing(struct branch *b)
{
    static const enum sip_ring ring[] = {[BRANCH_TO_PHONE] = SIP_RING_PHONE,
                                         [BRANCH_TO_PEER] = SIP_RING_PEER,
                                         [BRANCH_TO_GATEWAY] = SIP_RING_GATEWAY};
    struct proxy *p = b->forward->proxy;

    b->ring_due_ms = sip_moment(p->sip).mono_ms + sip_ring_ms(&p->sip->conf, ring[b->to]);
    list_remove(&b->ring);
    list_append(&p->ring_watch[ring[b->to]], &b->ring);
    proxy_arm(p);
}

/* The peer a request came from: the one whose Via is on top; "" for a phone's own. */
static void
write_through(const struct forward *f, char out[SIP_URI_BYTES])
{
    const sip_via_t *via = f->request->sip_via;

    out[0] = '\0';
    if (f->side == SIP_PEERS)
        snprintf(out, SIP_URI_BYTES, "sip:%s:%s;transport=tls", via->v_host,
                 via->v_port ? via->v_port : "5061");
}

static void
note_caller(const struct forward *f, const sip_t *response)
{
    char through[SIP_URI_BYTES];

    write_through(f, through);
    route_note_dialog(f->proxy->sip, response, f->request, through);
}

/* NOTIFYs may come before the 2xx, and of phones whose 2xx is not passed on (RFC 6665 section
 * 4.1.2.4). */
static void
note_subscriber(const struct forward *f)
{
    char through[SIP_URI_BYTES];

    write_through(f, through);
    route_note_subscriber(f->proxy->sip, f->request, through);
}

/* Both ends of the dialog: the peer the answer came through, and the one the request came from. */
static void
note_dialog(const struct branch *b, const sip_t *response)
{
    const url_t *through = nta_outgoing_route_uri(b->orq);
    char uri[SIP_URI_BYTES] = "";

    if (b->to != BRANCH_TO_PHONE && (!through || url_e(uri, (int)sizeof(uri), through) <= 0))
        return;
    note_caller(b->forward, response);
    route_note_dialog(b->forward->proxy->sip, response, response, uri);
}

/* The phone's INVITE, for a node that may have to end it without us. */
static bool
is_to_be_told(const struct branch *b)
{
    const struct forward *f = b->forward;

    return f->side == SIP_PEERS && f->is_invite && !f->is_dialog && b->to == BRANCH_TO_PHONE;
}

void
branch_send_up(struct branch *b, msg_t *msg)
{
    struct forward *f = b->forward;
    sip_t *sip = sip_object(msg);

    list_remove(&f->trying);
    sip_via_remove(msg, sip); /* section 16.7 item 3 */
    twin_readdress(f, msg, sip);
    headers_release(msg, sip, f->side);
    if (sip->sip_status->st_status < 200 && is_to_be_told(b))
        phone_via_tell(msg, b->orq);
    sip_pack(msg, f->side);
    nta_incoming_mreply(f->irq, msg);
}

void
forward_trying(struct forward *f)
{
    nta_outgoing_t *orq = NULL;

    list_each(at, &f->branches)
    {
        const struct branch *b = list_entry(at, struct branch, link);

        if (is_to_be_told(b) && !b->is_given_up)
            orq = b->orq;
    }
    phone_via_trying(f->irq, orq);
}

static void
on_provisional(struct branch *b, int status, msg_t *msg)
{
    struct forward *f = b->forward;

    b->has_answer = true;
    phone_via_learn(&b->phone_via, sip_object(msg));
    if (!b->is_cancelled)
        list_remove(&b->watch);
    if (b->is_cancel_due)
        branch_cancel(b);
    if (f->is_answered || b->is_given_up || status == 100 || nta_incoming_status(f->irq) >= 200) {
        msg_destroy(msg);
        return;
    }
    if (f->is_invite) {
        watch_ringing(b); /* section 16.7 item 2 */
        note_dialog(b, sip_object(msg));
    }
    branch_send_up(b, msg);
}

/* The first 2xx ends it; that of a branch that was cancelled too late goes up as any other, and the
 * caller hangs up (section 16.7 item 5), unless he has been told that nobody answers. */
static void
on_success(struct branch *b, msg_t *msg)
{
    struct forward *f = b->forward;

    note_dialog(b, sip_object(msg));
    note_end(f, 200);
    if (!f->is_answered) {
        forward_reason(f, sip_object(msg));
        twin_answered(f, msg);
        branch_send_up(b, msg);
    } else if (f->is_failed) {
        orphan_hang_up(b->agent, b->orq, sip_object(msg));
        msg_destroy(msg);
    } else {
        proxy_on_response(f->proxy->sip, msg, sip_object(msg), NULL);
    }
    branch_drop(b);
    forward_end(f);
}

bool
branch_on_late(struct sip *s, const sip_t *sip)
{
    if (!sip->sip_via || !sip->sip_via->v_branch || sip->sip_cseq->cs_method != sip_method_invite ||
        sip->sip_status->st_status / 100 != 2)
        return false;
    list_each(at, &s->proxy->cancel_watch)
    {
        struct branch *b = list_entry(at, struct branch, watch);

        if ((!b->is_severed && !b->is_deserted) ||
            strcmp(nta_outgoing_branch(b->orq), sip->sip_via->v_branch) != 0)
            continue;
        if (b->is_severed)
            orphan_hang_up(b->agent, b->orq, sip);
        return true;
    }
    return false;
}

static int
on_response(nta_outgoing_magic_t *magic, nta_outgoing_t *orq, const sip_t *sip)
{
    struct branch *b = (struct branch *)magic;
    int status = sip && sip->sip_status ? sip->sip_status->st_status : nta_outgoing_status(orq);
    msg_t *msg = nta_outgoing_getresponse(orq);
    bool is_ours = !sip || nta_sip_is_internal(sip);

    if (b->is_deserted) {
        msg_destroy(msg);
        return 0;
    }
    if (!is_ours) {
        overdue_heard(b);
        if (b->hop && status != 503)
            paths_heard(b->forward->proxy->sip, b->hop);
        connections_on_response(b->agent, msg);
        headers_accept_response(b->agent, msg);
    }
    if (status < 200 && !is_ours && msg) {
        on_provisional(b, status, msg);
    } else if (status < 300 && !is_ours && msg) {
        on_success(b, msg);
    } else {
        on_final(b, status, msg, is_ours || !msg);
    }
    return 0;
}

/* Neither CANCEL nor BYE, which would reach the call by the way that it had before. */
static void
desert(struct branch *b)
{
    struct proxy *p = b->forward->proxy;

    b->is_given_up = true;
    b->is_cancelled = true;
    b->is_deserted = true;
    list_remove(&b->watch);
    list_remove(&b->ring);
    silence_give_up(p->sip, b->orq, 0);
    b->due_ms = sip_moment(p->sip).mono_ms + CANCEL_WAIT_MS;
    list_append(&p->cancel_watch, &b->watch);
    proxy_arm(p);
}

/* The same of one that was called off there, and may not have heard of it. */
static bool
is_cancel_lost(const struct branch *b)
{
    const struct forward *f = b->forward;

    return b->to == BRANCH_TO_GATEWAY && f->is_invite && !f->is_dialog && f->is_cancelled &&
           b->has_answer && b->orq && !f->is_answered && !b->is_given_up &&
           f->gateway_losses < GATEWAY_LOSSES_MAX;
}

void
branch_look_at_gateway(struct forward *f)
{
    if (f->proxy->sip->gateway_count == 0)
        return; /* nobody has its place */
    list_each(at, &f->branches)
    {
        struct branch *b = list_entry(at, struct branch, link);

        if ((!is_gateway_lost(b, true) && !is_cancel_lost(b)) ||
            sip_gateway_of(f->proxy->sip, &b->gateway))
            continue;
        desert(b);
        f->gateway_losses++;
        f->gateway_until_ms = 0;
        forward_to_gateway_again(f);
        return;
    }
}

void
branch_look(struct forward *f)
{
    uint64_t now_ms = sip_moment(f->proxy->sip).mono_ms;

    list_each(at, &f->branches)
    {
        struct branch *b = list_entry(at, struct branch, link);
        bool was_lost = b->is_way_lost;

        if (is_cancel_lost(b) && b->is_cancelled &&
            now_ms + CANCEL_WAIT_MS >= b->due_ms + UNHEARD_MS)
            proxy_locate(f->proxy); /* it may hang, and another have its place */
        b->is_way_lost = b->to != BRANCH_TO_PHONE && !b->is_given_up && sip_is_way_lost(b->orq);
        if (b->is_way_lost && was_lost) { /* the library has not found out */
            on_final(b, 503, NULL, true);
            return;
        }
    }
}

static void
watch(struct branch *b)
{
    struct proxy *p = b->forward->proxy;

    if (b->forward->is_invite)
        watch_ringing(b);
    if (b->to == BRANCH_TO_GATEWAY) {
        proxy_watch_gateway(p, b, !sip_gateway_of(p->sip, &b->gateway));
    } else if (b->to == BRANCH_TO_PEER) {
        b->due_ms = sip_moment(p->sip).mono_ms + p->sip->conf.branch_timeout_ms;
        list_append(&p->peer_watch, &b->watch);
        proxy_arm(p);
    }
}

/* "host:port" of the phone, for the limit of INVITEs under way; gateways and peers have none. */
static bool
take_place(struct branch *b, const struct sip_target *target)
{
    if (!b->forward->is_invite || b->to != BRANCH_TO_PHONE)
        return true;
    sip_hop_address(target->next_hop, b->destination);
    if (!b->destination[0])
        return true;
    if (limits_begin(b->forward->proxy->sip->limits, b->destination))
        return true;
    b->destination[0] = '\0';
    return false;
}

struct branch *
branch_start(struct forward *f, const struct sip_target *target, enum branch_to to, uint64_t flow,
             const struct id *gateway)
{
    char branch[SIP_BRANCH_BYTES + PROXY_LOOP_BYTES];
    struct branch *b = f->tried < FORWARD_BRANCHES_MAX ? calloc(1, sizeof(*b)) : NULL;
    bool is_recorded;
    msg_t *msg;

    if (!b) {
        forward_note(f, 500, NULL);
        return NULL;
    }
    if (!sip_keeps_sips(target, f->request->sip_request->rq_url)) {
        free(b);
        f->is_sips_lost = true;
        forward_note(f, 480, NULL);
        return NULL;
    }
    b->forward = f;
    b->to = to;
    b->agent = target->agent;
    b->sent_ms = sip_moment(f->proxy->sip).mono_ms;
    list_init(&b->watch);
    list_init(&b->ring);
    list_append(&f->branches, &b->link);
    f->tried++;
    if (gateway)
        b->gateway = *gateway;
    if (to == BRANCH_TO_PEER && target->next_hop[0])
        b->hop = strdup(target->next_hop);
    is_recorded = is_to_be_recorded(f, target, to, flow, f->is_callee_on_connection);
    sip_branch(branch);
    memcpy(branch + strlen(branch), f->loop_key, sizeof(f->loop_key));
    msg = take_place(b, target) ? request_copy(f, target, is_recorded, flow,
                                               to == BRANCH_TO_GATEWAY ? FLOW_TO_GATEWAY : 0)
                                : NULL;
    b->orq =
        msg ? sip_send_branch(target, msg, branch, on_response, (nta_outgoing_magic_t *)b) : NULL;
    if (b->orq) {
        watch(b);
        if (!f->is_invite && is_dialog_forming(f))
            note_subscriber(f);
        return b;
    }
    forward_note(f, 503, NULL);
    branch_drop(b);
    return NULL;
}
