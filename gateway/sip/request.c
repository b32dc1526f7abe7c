/* What is changed in a request on its way through (RFC 3261 section 16.6). */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <sofia-sip/sip_util.h>

#include "gateway/sip/flow.h"
#include "gateway/sip/forward.h"
#include "gateway/sip/header_policy.h"
#include "gateway/sip/strict.h"

#define MAX_FORWARDS 70u /* RFC 3261 section 16.6 item 3 */

void
request_pop_routes(msg_t *msg, sip_t *sip, unsigned popped)
{
    while (popped-- > 0 && sip->sip_route)
        sip_route_remove(msg, sip);
}

static bool
set_request_uri(msg_t *msg, sip_t *sip, const char *uri)
{
    url_t *url = url_make(msg_home(msg), uri);

    if (!url)
        return false;
    url->url_headers = NULL; /* RFC 3261 section 19.1.1: not in a Request-URI */
    *sip->sip_request->rq_url = *url;
    msg_fragment_clear(sip->sip_request->rq_common);
    return true;
}

static bool
count_down(msg_t *msg, sip_t *sip)
{
    if (!sip->sip_max_forwards) {
        sip_max_forwards_t *mf = sip_max_forwards_format(msg_home(msg), "%u", MAX_FORWARDS);

        return mf && msg_header_insert(msg, (msg_pub_t *)sip, (msg_header_t *)mf) == 0;
    }
    sip->sip_max_forwards->mf_count--;
    msg_fragment_clear(sip->sip_max_forwards->mf_common);
    return true;
}

/* Our address on one side, for the transport the other end uses. */
static const struct sip_address *
own_address(const struct sip *s, enum sip_side side, const char *protocol)
{
    const struct sip_address *fallback = NULL;

    for (size_t i = 0; i < s->own_count; i++) {
        if (s->own[i].side != side)
            continue;
        if (strcasecmp(s->own[i].protocol, protocol) == 0)
            return &s->own[i];
        fallback = fallback ? fallback : &s->own[i];
    }
    return fallback;
}

static sip_record_route_t *
record_route(struct sip *s, msg_t *msg, enum sip_side side, const char *protocol, uint64_t flow,
             unsigned flags)
{
    const struct sip_address *a = own_address(s, side, protocol);
    char token[FLOW_TOKEN_BYTES];
    char text[SIP_URI_BYTES];

    if (!a)
        return NULL;
    flow_token(s, flow, flags, token);
    snprintf(text, sizeof(text), "<sip:%s@%s:%s;transport=%s;lr>", token, a->host, a->port,
             a->protocol);
    return sip_record_route_make(msg_home(msg), text);
}

/* The library would put a new Record-Route in front of everything, and Vias and Record-Routes of
 * several hops would alternate, which not every phone takes apart.  So the whole list goes to the
 * end of the header, linked as the library does when it serializes. */
static bool
append_record_routes(msg_t *msg, sip_t *sip, sip_record_route_t *list)
{
    sip_record_route_t *rest = NULL;
    sip_record_route_t *last = list;

    if (sip->sip_record_route) {
        rest = sip_record_route_dup(msg_home(msg), sip->sip_record_route);
        if (!rest)
            return false;
    }
    while (sip->sip_record_route)
        msg_header_remove(msg, (msg_pub_t *)sip, (msg_header_t *)sip->sip_record_route);
    while (last->r_next)
        last = last->r_next;
    last->r_next = rest;
    for (sip_record_route_t *rr = list; rr->r_next; rr = rr->r_next) {
        rr->r_common->h_succ = (msg_header_t *)rr->r_next;
        rr->r_next->r_common->h_prev = &rr->r_common->h_succ;
    }
    list->r_common->h_prev = NULL;
    sip->sip_record_route = list;
    return true;
}

static void
protocol_of_target(const struct sip_target *target, char out[8])
{
    const char *param = strcasestr(target->next_hop, ";transport=");
    size_t len = param ? strcspn(param + 11, ";>") : 0;

    if (target->tport) {
        snprintf(out, 8, "%s", tport_name(target->tport)->tpn_proto);
    } else if (len > 0 && len < 8) {
        memcpy(out, param + 11, len);
        out[len] = '\0';
    } else {
        memcpy(out, "udp", 4);
    }
}

/* Twice: the first for the way back to the caller, the second, on top, for the way to the callee
 * (RFC 5658), each with the flow of the end it leads to. */
static bool
record_both(struct forward *f, msg_t *msg, sip_t *sip, const struct sip_target *target,
            uint64_t callee_flow, unsigned callee_flags)
{
    struct sip *s = f->proxy->sip;
    sip_record_route_t *to_callee;
    sip_record_route_t *to_caller;
    char protocol[8];

    protocol_of_target(target, protocol);
    to_callee = record_route(s, msg, target->agent->side, protocol, callee_flow, callee_flags);
    to_caller = record_route(s, msg, f->side, f->caller_protocol, f->caller_flow,
                             f->is_from_gateway ? FLOW_TO_GATEWAY : 0);
    if (!to_callee || !to_caller)
        return false;
    to_callee->r_next = to_caller;
    return append_record_routes(msg, sip, to_callee);
}

msg_t *
request_copy(struct forward *f, const struct sip_target *target, bool is_recorded,
             uint64_t callee_flow, unsigned callee_flags)
{
    msg_t *msg = msg_copy(f->msg);
    sip_t *sip = msg ? sip_object(msg) : NULL;

    if (!sip) {
        msg_destroy(msg);
        return NULL;
    }
    request_pop_routes(msg, sip, f->popped);
    headers_release(msg, sip, target->agent->side);
    if ((target->request_uri && !set_request_uri(msg, sip, target->request_uri)) ||
        !count_down(msg, sip) || (!target->route[0] && !strict_apply(msg, sip)) ||
        (is_recorded && !record_both(f, msg, sip, target, callee_flow, callee_flags))) {
        msg_destroy(msg);
        return NULL;
    }
    return msg;
}
