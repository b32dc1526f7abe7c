#include "gateway/sip/orphan.h"

#include <stdio.h>

#include <sofia-sip/sip_tag.h>

#include "gateway/sip/flow.h"
#include "gateway/sip/send.h"

/* The hops beyond this node, in the order in which the caller would name them (section 12.1.2):
 * what recorded itself behind us stands above our own Record-Route. */
static bool
add_routes(struct sip *s, msg_t *msg, sip_t *sip, const sip_t *ok)
{
    const sip_record_route_t *at = ok->sip_record_route;

    for (; at && !sip_is_own_url(s, at->r_url); at = at->r_next) {
        sip_route_t *route = sip_route_create(msg_home(msg), at->r_url, NULL);

        if (!route || msg_header_prepend(msg, (msg_pub_t *)sip, (msg_header_t **)&sip->sip_route,
                                         (msg_header_t *)route) < 0)
            return false;
    }
    return true;
}

static msg_t *
request_of(struct sip *s, const sip_t *ok, sip_method_t method, const char *name)
{
    msg_t *msg = msg_create(sip_default_mclass(), 0);
    sip_t *sip = msg ? sip_object(msg) : NULL;
    su_home_t *home = msg ? msg_home(msg) : NULL;
    uint32_t cseq = ok->sip_cseq->cs_seq + (method == sip_method_ack ? 0u : 1u);
    int added = -1;

    if (sip)
        added = sip_add_tl(
            msg, sip,
            SIPTAG_REQUEST(sip_request_create(home, method, name,
                                              (const url_string_t *)ok->sip_contact->m_url, NULL)),
            SIPTAG_FROM(ok->sip_from), SIPTAG_TO(ok->sip_to), SIPTAG_CALL_ID(ok->sip_call_id),
            SIPTAG_CSEQ(sip_cseq_create(home, cseq, method, name)), SIPTAG_MAX_FORWARDS_STR("70"),
            TAG_END());
    if (added >= 0 && sip->sip_request && sip->sip_cseq && add_routes(s, msg, sip, ok))
        return msg;
    msg_destroy(msg);
    return NULL;
}

void
orphan_hang_up(struct sip_agent *agent, nta_outgoing_t *orq, const sip_t *ok)
{
    struct sip *s = agent->sip;
    struct sip_target target = {.agent = agent};
    const url_t *next_hop = nta_outgoing_route_uri(orq);
    tport_t *tport = nta_outgoing_transport(orq);
    msg_t *ack = ok->sip_contact ? request_of(s, ok, SIP_METHOD_ACK) : NULL;
    msg_t *bye = ok->sip_contact ? request_of(s, ok, SIP_METHOD_BYE) : NULL;

    if (next_hop && url_e(target.next_hop, (int)sizeof(target.next_hop), next_hop) >=
                        (issize_t)sizeof(target.next_hop))
        target.next_hop[0] = '\0';
    if (tport && tport_is_secondary(tport) && !tport_is_closed(tport))
        target.tport = tport;
    else if (tport && tport_is_secondary(tport))
        target.tport = flow_later(tport_name(tport));
    if (ack)
        sip_send_stateless(s, &target, ack);
    if (bye)
        (void)sip_send(s, &target, bye, NULL, NULL);
    if (tport)
        tport_unref(tport);
    log_write(LOG_LEVEL_REMOTE, "sip",
              "%s: 200 to an INVITE that was given up: acknowledged and %s", ok->sip_call_id->i_id,
              bye ? "hung up" : "left, for it has no Contact");
}
