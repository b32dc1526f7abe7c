/* The way to a phone that is reached on a flow, when its call changes its gateway: the node that
 * holds the flow stays in it (RFC 5626 section 5.3). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/sip/b2bua_call.h"
#include "gateway/sip/flow.h"
#include "gateway/sip/location.h"

void
b2bua_way_write(struct sip *s, const struct b2bua_peer *p, char ret_way[B2BUA_WAY_BYTES])
{
    char token[FLOW_TOKEN_BYTES];
    char uri[SIP_URI_BYTES];
    uint64_t flow = 0;

    ret_way[0] = '\0';
    if (p->side != SIP_PHONES || p->route)
        return;
    if (p->tport && !tport_is_shutdown(p->tport))
        flow = flow_of_connection(s, p->tport);
    else if (p->next_hop)
        flow = flow_of_hop(s, p->next_hop);
    if (!flow)
        return;
    flow_token(s, flow, FLOW_OR_CONTACT, token);
    if (binding_path(location_peer_uri(s), token, uri))
        snprintf(ret_way, B2BUA_WAY_BYTES, "<%s;lr>", uri);
}

/* Host and port of "<sip:TOKEN@H:P;lr>" and of "sip:H:P;transport=tls". */
static bool
leads_to(const url_t *way, const char *node)
{
    const char *host = way->url_host ? way->url_host : "";
    const char *at = strchr(node, ':');
    size_t len = strlen(host);

    if (!at || strncasecmp(at + 1, host, len) != 0)
        return false;
    at += 1 + len;
    if (*at != ':')
        return !way->url_port;
    len = strcspn(at + 1, ";?>");
    return way->url_port && strlen(way->url_port) == len &&
           strncmp(at + 1, way->url_port, len) == 0;
}

/* A flow of this node's. */
static void
take_own(struct sip *s, struct b2bua_peer *p, const char *token)
{
    struct sip_target target = {0};
    unsigned flags;
    uint64_t flow;

    if (!flow_read(s, token, &flow, &flags) || flow_target(s, flow, &target))
        return; /* where its Contact says */
    if (target.tport)
        p->tport = tport_ref(target.tport);
    else if (!p->next_hop)
        p->next_hop = strdup(target.next_hop);
}

void
b2bua_way_take(struct sip *s, struct b2bua_peer *p, const char *dead)
{
    char text[B2BUA_WAY_BYTES];
    url_t url[1];
    size_t len = strcspn(p->route + 1, ">");

    if (p->route[0] == '<' && len < sizeof(text)) {
        memcpy(text, p->route + 1, len);
        text[len] = '\0';
        if (url_d(url, text) == 0 && !sip_is_own_url(s, url) && !(dead && leads_to(url, dead))) {
            p->side = SIP_PEERS;
            p->is_by_flow = true;
            return;
        }
        if (sip_is_own_url(s, url))
            take_own(s, p, url->url_user);
    }
    free(p->route);
    p->route = NULL;
}
