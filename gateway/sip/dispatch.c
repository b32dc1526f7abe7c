#include "gateway/sip/dispatch.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <sofia-sip/hostdomain.h>
#include <sofia-sip/msg_addr.h>
#include <sofia-sip/sip_tag.h>
#include <sofia-sip/sip_util.h>

#include "base/aor.h"
#include "base/text.h"
#include "gateway/sip/b2bua.h"
#include "gateway/sip/connections.h"
#include "gateway/sip/domain.h"
#include "gateway/sip/fence.h"
#include "gateway/sip/finished.h"
#include "gateway/sip/flow.h"
#include "gateway/sip/forward.h"
#include "gateway/sip/header_policy.h"
#include "gateway/sip/inlet.h"
#include "gateway/sip/limits.h"
#include "gateway/sip/location.h"
#include "gateway/sip/noted.h"
#include "gateway/sip/proxy.h"
#include "gateway/sip/registrar.h"
#include "gateway/sip/route.h"
#include "gateway/sip/size.h"
#include "gateway/sip/stranger.h"
#include "gateway/sip/strict.h"

#define ALLOW                                                                                      \
    "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, PRACK, UPDATE, INFO, REFER, MESSAGE, "           \
    "SUBSCRIBE, NOTIFY, PUBLISH"

/* Why a request is refused before anything is kept for it. */
struct refusal {
    int status; /* 0: it is not refused */
    const char *phrase;
    bool is_silent;   /* no answer at all */
    bool is_stranger; /* unless its sender is a gateway by now */
};

/* The library compares what follows the first seven characters of a branch without looking whether
 * there are seven; "z9hG4bK" alone identifies nothing (RFC 4475 section 3.2.1). */
static bool
has_bad_branch(const sip_t *sip)
{
    const char *branch = sip->sip_via->v_branch;

    return branch && (strlen(branch) < 7 || strcasecmp(branch, "z9hG4bK") == 0);
}

static bool
is_for_server(const struct sip *s, const sip_t *sip)
{
    const url_t *url = sip->sip_request->rq_url;

    return !url->url_user && (sip_is_own_url(s, url) || sip_domain_is_local(s, url->url_host));
}

/* Who was called at an address has it for his URI in that dialog (RFC 3261 section 12.2.1.1); it is
 * no user's name. */
static bool
is_called_at_address(const struct sip *s, const sip_t *sip)
{
    const url_t *to = sip->sip_request->rq_url;
    const char *host = sip->sip_from->a_url->url_host;

    return sip->sip_to->a_tag && to->url_host && host &&
           (host_is_ip4_address(host) || host_is_ip6_reference(host)) &&
           noted_get(s->noted, sip, to, sip_moment(s).mono_ms);
}

/* Design, Trust between nodes of one overlay. */
static bool
may_send_from(const struct sip *s, const sip_t *sip, const struct sip_sender *sender)
{
    const url_t *from = sip->sip_from->a_url;

    if (sender->side == SIP_GATEWAYS) /* the B2BUA holds From against the certificate */
        return true;
    if (sender->side == SIP_PEERS && sender->is_active_gateway)
        return true;
    if (sender->side == SIP_PEERS && sip->sip_to->a_tag &&
        sip_former_gateway(s, &sender->node, NULL))
        return true; /* a call that it took while it was active */
    if (sender->side == SIP_PHONES && is_for_server(s, sip) &&
        sip->sip_request->rq_method == sip_method_options)
        return true; /* a ping tells nothing of anybody */
    if (is_called_at_address(s, sip))
        return true;
    if ((from->url_type != url_sip && from->url_type != url_sips) || sip_is_reserved(s, from))
        return false;
    /* a call that was up before another overlay had the name goes on */
    return sip->sip_to->a_tag ? sip_domain_is_of(s->conf.overlay, from->url_host)
                              : sip_domain_is_local(s, from->url_host);
}

/* Is it known who an anonymous caller is: to a serving peer by what he is registered from, to
 * others by that peer's word?  In a dialog it was asked before. */
static bool
is_caller_known(struct sip *s, const sip_t *sip, const struct sip_sender *sender)
{
    char aor[AOR_BYTES];

    if (sip->sip_to->a_tag)
        return true;
    if (sender->side == SIP_PHONES)
        return location_user_at(s, sender) != NULL;
    return header_asserted_aor(sip, aor) == ST_OK;
}

/* Each URI that is taken for a user's name somewhere: control characters are in none, escaped or
 * not (base/aor.h); nor are they in what names a dialog.  A Contact is no user's name: it stands in
 * the Request-URI of a dialog's requests, and behind a Route. */
static bool
has_control_character(const sip_t *sip, const struct sip_sender *sender)
{
    bool is_contact = sip->sip_to->a_tag || (sip->sip_route && sender->side != SIP_PHONES);
    const url_t *const urls[] = {is_contact ? NULL : sip->sip_request->rq_url, sip->sip_from->a_url,
                                 sip->sip_to->a_url,
                                 sip->sip_refer_to ? sip->sip_refer_to->r_url : NULL,
                                 sip->sip_referred_by ? sip->sip_referred_by->b_url : NULL};

    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++)
        if (urls[i] &&
            (aor_has_control(urls[i]->url_user) || aor_has_control(urls[i]->url_password) ||
             aor_has_control(urls[i]->url_host)))
            return true;
    return sip_has_control(sip->sip_request->rq_url) || sip_has_control(sip->sip_from->a_url) ||
           sip_has_control(sip->sip_to->a_url) || text_has_control(sip->sip_from->a_tag) ||
           text_has_control(sip->sip_to->a_tag) || text_has_control(sip->sip_call_id->i_id);
}

/* Other overlays are told whose call it is. */
static bool
is_nameless_abroad(const struct sip *s, const sip_t *sip)
{
    const url_t *url = sip->sip_request->rq_url;

    return !sip->sip_from->a_url->url_user && !sip->sip_to->a_tag && !sip_is_own_url(s, url) &&
           !sip_domain_is_local(s, url->url_host);
}

static struct refusal
check_from(struct sip *s, const sip_t *sip, const struct sip_sender *sender)
{
    bool is_register = sip->sip_request->rq_method == sip_method_register;

    if (header_is_anonymous(sip) && !is_register &&
        (sender->side == SIP_PHONES || (sender->side == SIP_PEERS && !sender->is_active_gateway))) {
        if (is_caller_known(s, sip, sender))
            return (struct refusal){0};
        return (struct refusal){.status = 403,
                                .phrase = "Anonymous caller is not one registered user",
                                .is_stranger = sender->side == SIP_PEERS};
    }
    if (!may_send_from(s, sip, sender))
        return (struct refusal){.status = 403,
                                .phrase = "From is not of this overlay",
                                .is_stranger = sender->side == SIP_PEERS};
    if (sender->side == SIP_PHONES && is_nameless_abroad(s, sip))
        return (struct refusal){.status = 403, .phrase = "From names no user"};
    return (struct refusal){0};
}

/* No user and no domain has such a name: whoever asks for it need not ask again. */
static bool
is_nobody(const url_t *url)
{
    const char *host = sip_text(url->url_host);

    return (url->url_user && !url->url_user[0]) || host[0] == '.' || strstr(host, "..");
}

static bool
requires_of_proxies(const sip_t *sip)
{
    const sip_proxy_require_t *required = sip->sip_proxy_require;

    return required && required->k_items && required->k_items[0] &&
           sip->sip_request->rq_method != sip_method_ack;
}

/* RFC 3261 section 16.3, in the order in which the torture tests ask. */
static struct refusal
check_request(struct sip *s, const sip_t *sip, const struct sip_sender *sender)
{
    const url_t *url = sip->sip_request->rq_url;

    if (has_bad_branch(sip))
        return (struct refusal){.status = 400, .phrase = "Bad Via branch"};
    if (has_control_character(sip, sender))
        return (struct refusal){.status = 400, .phrase = "Control character"};
    if (!sip->sip_call_id->i_id[0])
        return (struct refusal){.status = 400, .phrase = "Empty Call-ID"};
    if (url->url_type != url_sip && url->url_type != url_sips)
        return (struct refusal){.status = 416};
    if (sip->sip_max_forwards && sip->sip_max_forwards->mf_count == 0 && !is_for_server(s, sip))
        return (struct refusal){.status = 483};
    if (requires_of_proxies(sip))
        return (struct refusal){.status = 420};
    if (sender->side == SIP_PHONES && !sip->sip_to->a_tag && is_nobody(url))
        return (struct refusal){.status = 404};
    if (proxy_is_loop(s, sip))
        return (struct refusal){.status = 482};
    return check_from(s, sip, sender);
}

/* Statelessly: a refusal must not cost more than the request. */
static void
refuse(struct sip_agent *agent, msg_t *msg, const sip_t *sip, const struct sip_sender *sender,
       const struct refusal *why)
{
    bool is_ack = sip->sip_request->rq_method == sip_method_ack;
    bool is_busy = why->status == 503;
    bool is_known = why->is_stranger && agent->sip->gateway_count > 0;
    bool is_foreign;
    char gateway[SIP_URI_BYTES + 32];
    char warning[DOMAIN_WARNING_BYTES];

    if (is_known)
        snprintf(gateway, sizeof(gateway), HEADER_ACTIVE_GATEWAY ": <%s>",
                 agent->sip->gateway[0].uri);
    if (why->status == 403 || why->is_stranger)
        log_write(LOG_LEVEL_REMOTE, "sip", "%s: %s from %s@%s refused: %s", sender->address,
                  sip->sip_request->rq_method_name, sip_text(sip->sip_from->a_url->url_user),
                  sip_text(sip->sip_from->a_url->url_host), why->phrase);
    if (is_ack || why->is_silent) {
        msg_destroy(msg);
        return;
    }
    is_foreign =
        why->status == 403 && domain_warning(agent->sip, sip->sip_from->a_url->url_host, warning);
    /* One that was held has no transport any longer that the library would know of: by its Via it
     * would find none, or another (RFC 3261 section 18.2.2). */
    nta_msg_treply(agent->nta, msg, why->status, why->phrase, NTATAG_TPORT(sender->tport),
                   TAG_IF(why->status == 420, SIPTAG_UNSUPPORTED(sip->sip_proxy_require)),
                   TAG_IF(is_busy && !why->is_stranger, SIPTAG_RETRY_AFTER_STR("5")),
                   TAG_IF(is_known, SIPTAG_HEADER_STR(gateway)),
                   TAG_IF(is_foreign, SIPTAG_WARNING_STR(warning)), TAG_END());
}

/* ---- requests
 * -------------------------------------------------------------------------------------- */

static void
answer_as_server(nta_incoming_t *irq, const sip_t *sip, const struct sip_sender *sender)
{
    sip_method_t method = sip->sip_request->rq_method;

    if (sip->sip_require) /* RFC 3261 section 8.2.2.3 */
        nta_incoming_treply(irq, SIP_420_BAD_EXTENSION, SIPTAG_UNSUPPORTED(sip->sip_require),
                            TAG_END());
    else if (method == sip_method_options)
        nta_incoming_treply(irq, SIP_200_OK, SIPTAG_ALLOW_STR(ALLOW), SIPTAG_ACCEPT_STR("*/*"),
                            TAG_END());
    else if (sip->sip_to->a_tag)
        sip_reply(irq, 481, NULL, 0);
    else if (method == sip_method_unknown)
        nta_incoming_treply(irq, SIP_501_NOT_IMPLEMENTED, SIPTAG_ALLOW_STR(ALLOW), TAG_END());
    else if (method == sip_method_subscribe || method == sip_method_publish)
        sip_reply(irq, 489, NULL, 0);
    else
        nta_incoming_treply(
            irq, SIP_405_METHOD_NOT_ALLOWED,
            SIPTAG_ALLOW_STR(sender->side == SIP_GATEWAYS ? "OPTIONS" : "OPTIONS, REGISTER"),
            TAG_END());
    nta_incoming_destroy(irq);
}

static void
to_b2bua(struct sip *s, nta_incoming_t *irq, const sip_t *sip, const struct sip_sender *sender)
{
    bool is_dialog = sip->sip_to->a_tag != NULL;

    if (sender->side == SIP_GATEWAYS && !is_dialog && !s->is_gateway) {
        /* The far gateway's news are old: it forgets us, and asks the ring again. */
        sip_reply(irq, 503, NULL, SIP_RETRY_AFTER_S);
        nta_incoming_destroy(irq);
        return;
    }
    if (b2bua_on_request(s, irq, sip, sender))
        return;
    if (is_dialog && sender->side == SIP_GATEWAYS && !s->is_gateway)
        sip_reply(irq, 503, NULL, SIP_RETRY_AFTER_S); /* whoever is the gateway now may have it */
    else
        sip_reply(irq, is_dialog ? 481 : 404, NULL, 0);
    nta_incoming_destroy(irq);
}

static bool
is_new_call(const sip_t *sip)
{
    return sip->sip_request->rq_method == sip_method_invite && !sip->sip_to->a_tag;
}

/* Events that an agent of the overlay would notify of; a phone has no state of them. */
static bool
is_of_agent(const sip_t *sip)
{
    const char *event = sip->sip_event ? sip->sip_event->o_type : NULL;
    const char *template = event ? strrchr(event, '.') : NULL;

    if (sip->sip_request->rq_method == sip_method_publish)
        return true;
    if (sip->sip_request->rq_method != sip_method_subscribe || !event)
        return false;
    return strcasecmp(event, "message-summary") == 0 || strcasecmp(event, "reg") == 0 ||
           (template && strcasecmp(template, ".winfo") == 0);
}

/* A phone that publishes its state, or subscribes to its mailbox, does so at its own AOR, and means
 * no phone that is registered there (RFC 3903 section 4, RFC 3842 section 2.1). */
static bool
is_for_missing_agent(const sip_t *sip, const struct sip_sender *sender, const struct route *route)
{
    char aor[AOR_BYTES];
    enum status st;

    if (sender->side != SIP_PHONES || route->kind != ROUTE_LOOKUP || route->is_dialog ||
        !is_of_agent(sip))
        return false;
    st = header_is_anonymous(sip) ? header_asserted_aor(sip, aor)
                                  : sip_aor_of(sip->sip_from->a_url, aor);
    return st == ST_OK && strcmp(aor, route->aor) == 0;
}

static void
on_request(struct sip_agent *agent, msg_t *msg, sip_t *sip, const struct sip_sender *sender)
{
    struct sip *s = agent->sip;
    bool is_register = sip->sip_request->rq_method == sip_method_register;
    struct refusal closing = {.status = 503, .phrase = "Closing down"};
    struct route route;
    nta_incoming_t *irq;

    if (s->is_stopping && (is_new_call(sip) || is_register)) {
        refuse(agent, msg, sip, sender, &closing);
        return;
    }
    irq = finished_create(agent, msg, sip, sender->tport);
    if (!irq)
        return;
    if (is_register && sender->side != SIP_GATEWAYS) {
        registrar_on_request(s, irq, sip, sender);
        return;
    }
    if (sender->side == SIP_GATEWAYS && is_for_server(s, sip) && !sip->sip_to->a_tag) {
        answer_as_server(irq, sip, sender);
        return;
    }
    sip_route_decide(s, sip, sender, &route);
    if (is_for_missing_agent(sip, sender, &route)) {
        sip_reply(irq, 489, NULL, 0);
        nta_incoming_destroy(irq);
    } else if (route.kind == ROUTE_B2BUA) {
        if (sender->side == SIP_PHONES)
            request_pop_routes(msg, sip, route.popped);
        to_b2bua(s, irq, sip, sender);
    } else if (route.kind == ROUTE_SERVER) {
        answer_as_server(irq, sip, sender);
    } else if (route.kind == ROUTE_REFUSE) {
        sip_reply(irq, route.status, route.phrase, 0);
        nta_incoming_destroy(irq);
    } else {
        proxy_on_request(s, irq, msg, sender, &route);
    }
}

static void
on_ack(struct sip *s, msg_t *msg, sip_t *sip, const struct sip_sender *sender)
{
    struct route route;

    sip_route_decide(s, sip, sender, &route);
    if (route.kind != ROUTE_B2BUA) {
        if (route.is_dialog && route.kind != ROUTE_REFUSE)
            flow_on_dialog(s, sender);
        proxy_on_ack(s, msg, sip, sender, &route);
    } else if (b2bua_on_ack(s, msg, sip, sender)) {
        flow_on_dialog(s, sender);
    } else if (sender->side == SIP_GATEWAYS && !s->is_gateway) {
        /* a far gateway knows this node as the one that has the call, which is another's by now */
        proxy_on_ack(s, msg, sip, sender, &(struct route){.kind = ROUTE_GATEWAY});
    } else {
        msg_destroy(msg);
    }
}

static void
on_response(struct sip_agent *agent, msg_t *msg, sip_t *sip, const struct sip_sender *sender)
{
    struct sip *s = agent->sip;

    headers_accept(s, msg, sip, sender);
    if (sip->sip_via && !sip->sip_via->v_next) {
        if (!b2bua_on_response(s, msg, sip, sender))
            msg_destroy(msg);
        return;
    }
    if (branch_on_late(s, sip))
        msg_destroy(msg);
    else
        proxy_on_response(s, msg, sip, sender);
}

int
dispatch_message(struct sip_agent *agent, nta_agent_t *nta, msg_t *msg, sip_t *sip)
{
    struct sip *s = agent->sip;
    struct sip_sender sender;
    enum status st;

    if (!agent->nta)
        agent->nta = nta; /* the first message may come before nta_agent_create() returns */
    inlet_restore(sip);
    inlet_drop_unreadable(msg, sip);
    st = sip_sender_of(agent, msg, &sender);
    if (sender.tport && tport_is_reliable(sender.tport))
        connections_on_message(s->connections, msg_addr(msg), sip);
    if (!sender.tport) {
        msg_destroy(msg);
        return 0;
    }
    if (!sip->sip_request) {
        on_response(agent, msg, sip, &sender);
        return 0;
    }
    if (!fence_hold(s, agent, msg, &sender, st))
        dispatch_held(agent, msg, &sender, st);
    return 0;
}

/* An anonymous caller's serving peer says who it is to those who may know (RFC 3325 section 5). */
static bool
assert_caller(struct sip *s, msg_t *msg, sip_t *sip, const struct sip_sender *sender)
{
    const char *aor = NULL;

    if (sender->side == SIP_PHONES && header_is_anonymous(sip))
        aor = location_user_at(s, sender);
    return !aor || header_assert(msg, sip, aor) == ST_OK;
}

void
dispatch_held(struct sip_agent *agent, msg_t *msg, const struct sip_sender *sender, enum status st)
{
    struct sip *s = agent->sip;
    sip_t *sip = sip_object(msg);
    struct refusal why = {0};

    headers_accept(s, msg, sip, sender);
    if (!strict_undo(s, msg, sip)) {
        msg_destroy(msg);
        return;
    }
    if (st)
        why = (struct refusal){.status = 403, .phrase = "No certificate of this overlay"};
    else if (agent->side == SIP_PHONES && !limits_take(s->limits, msg_addr(msg)))
        why = (struct refusal){.status = 503, .phrase = "Too many requests"};
    else if (agent->side == SIP_PHONES)
        why.status = size_refusal(msg);
    if (why.status)
        refuse(agent, msg, sip, sender, &why);
    else if (!domain_hold(s, agent, msg, sender))
        dispatch_judged(agent, msg, sender);
}

void
dispatch_judged(struct sip_agent *agent, msg_t *msg, const struct sip_sender *sender)
{
    struct sip *s = agent->sip;
    sip_t *sip = sip_object(msg);
    struct refusal why = check_request(s, sip, sender);

    if (why.is_stranger && stranger_hold(s, agent, msg, sender))
        return;
    if (why.is_stranger)
        why.status = 503; /* it may be one that we shall hear of: another gateway is to try */
    if (why.status)
        refuse(agent, msg, sip, sender, &why);
    else if (sip->sip_request->rq_method == sip_method_ack)
        on_ack(s, msg, sip, sender);
    else if (!assert_caller(s, msg, sip, sender))
        refuse(agent, msg, sip, sender, &(struct refusal){.status = 503});
    else
        on_request(agent, msg, sip, sender);
}
