#include "gateway/sip/cancel.h"

#include "gateway/sip/flow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The values of a list of header fields, between commas. */
static char *
join(const sip_reason_t *list)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    su_home_t home[1] = {SU_HOME_INIT(home)};

    if (!out)
        return NULL;
    for (const sip_reason_t *at = list; at; at = at->re_next) {
        const char *value = sip_header_as_string(home, (const sip_header_t *)at);

        fprintf(out, "%s%s", at == list ? "" : ", ", value ? value : "");
    }
    su_home_deinit(home);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}

char *
cancel_reason(const sip_t *cause)
{
    int status = cause && cause->sip_status ? cause->sip_status->st_status : 0;
    const char *phrase;
    char text[128];

    if (cause && cause->sip_request && cause->sip_request->rq_method == sip_method_cancel)
        return cause->sip_reason ? join(cause->sip_reason) : NULL;
    if (status / 100 == 2)
        return strdup("SIP;cause=200;text=\"Call completed elsewhere\"");
    if (status < 600)
        return NULL;
    phrase = sip_status_phrase(status);
    if (phrase)
        snprintf(text, sizeof(text), "SIP;cause=%d;text=\"%s\"", status, phrase);
    else
        snprintf(text, sizeof(text), "SIP;cause=%d", status);
    return strdup(text);
}

msg_t *
cancel_message(const sip_t *invite, const sip_via_t *one, const char *uri, const char *reason)
{
    msg_t *msg = msg_create(sip_default_mclass(), 0);
    sip_t *sip = msg ? sip_object(msg) : NULL;
    const url_string_t *asked =
        uri ? URL_STRING_MAKE(uri) : (const url_string_t *)invite->sip_request->rq_url;
    sip_via_t via[1] = {*one};
    su_home_t *home = msg ? msg_home(msg) : NULL;
    int added = -1;

    via->v_next = NULL; /* RFC 3261 section 9.1: the one Via of the request that is cancelled */
    if (sip)
        added = sip_add_tl(
            msg, sip, SIPTAG_REQUEST(sip_request_create(home, SIP_METHOD_CANCEL, asked, NULL)),
            SIPTAG_VIA(via), SIPTAG_FROM(invite->sip_from), SIPTAG_TO(invite->sip_to),
            SIPTAG_CALL_ID(invite->sip_call_id), TAG_IF(!uri, SIPTAG_ROUTE(invite->sip_route)),
            SIPTAG_CSEQ(sip_cseq_create(home, invite->sip_cseq->cs_seq, SIP_METHOD_CANCEL)),
            SIPTAG_MAX_FORWARDS_STR("70"), TAG_IF(reason, SIPTAG_REASON_STR(reason)), TAG_END());
    if (added >= 0 && sip->sip_request && sip->sip_via && sip->sip_cseq)
        return msg;
    msg_destroy(msg);
    return NULL;
}

void
cancel_send(struct sip_agent *agent, nta_outgoing_t *orq, tport_t *tport, const char *reason)
{
    msg_t *invite = nta_outgoing_getrequest(orq);
    tport_t *way = tport && !tport_is_clear_to_send(tport) ? flow_later(tport_name(tport)) : tport;
    msg_t *msg = invite && sip_object(invite)->sip_via
                     ? cancel_message(sip_object(invite), sip_object(invite)->sip_via, NULL, reason)
                     : NULL;

    if (msg &&
        !nta_outgoing_mcreate(agent->nta, NULL, NULL, (url_string_t *)nta_outgoing_route_uri(orq),
                              msg, NTATAG_BRANCH_KEY(sip_object(msg)->sip_via->v_branch),
                              NTATAG_USER_VIA(1), TAG_IF(way, NTATAG_TPORT(way)), TAG_END()))
        msg_destroy(msg);
    msg_destroy(invite);
}
