/* The NTA agents, and what a connection's certificate says about a sender. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <sofia-sip/msg_addr.h>

#include "gateway/sip/dispatch.h"
#include "gateway/sip/large.h"
#include "gateway/sip/size.h"
#include "gateway/sip/tls_judge.h"

#define UDP_BUFFER_BYTES 4194304  /* as much of it as the kernel allows: bursts */
#define TIMER_C_NEVER_MS 86400000 /* the proxy and the B2BUA have their own; 0 means 185 s here */
#define QUEUE_MESSAGES   1000     /* waiting in one connection; the library's most */

/* "udp:127.1.0.1:5060" in its parts. */
static enum status
address_parse(const char *text, enum sip_side side, struct sip_address *ret)
{
    const char *host = strchr(text, ':');
    const char *port = strrchr(text, ':');
    struct sip_address a = {.side = side};

    if (!host || port == host)
        return ST_RANGE;
    if ((size_t)(host - text) >= sizeof(a.protocol) ||
        (size_t)(port - host - 1) >= sizeof(a.host) || strlen(port + 1) >= sizeof(a.port))
        return ST_RANGE;
    memcpy(a.protocol, text, (size_t)(host - text));
    memcpy(a.host, host + 1, (size_t)(port - host - 1));
    memcpy(a.port, port + 1, strlen(port + 1));
    if (strcasecmp(a.protocol, "udp") != 0 && strcasecmp(a.protocol, "tcp") != 0 &&
        strcasecmp(a.protocol, "tls") != 0)
        return ST_RANGE;
    *ret = a;
    return ST_OK;
}

static enum status
address_add(struct sip *s, const char *text, enum sip_side side, struct why *why)
{
    enum status st = address_parse(text, side, &s->own[s->own_count]);

    if (st)
        return why_set(why, st, "sip: listen \"%s\": want udp|tcp|tls:IP:PORT", text);
    s->own_count++;
    return ST_OK;
}

static const char *
credentials_of(const struct sip *s, enum sip_side side)
{
    return side == SIP_GATEWAYS ? s->conf.global_credentials : s->conf.local_credentials;
}

/* Chains are verified in both directions on the two TLS sides between nodes, subjects are compared
 * by our own code (design, TLS in SIP).  A phone on a tls port has no certificate. */
static enum status
bind_address(struct sip_agent *agent, const struct sip_address *a, struct why *why)
{
    struct sip *s = agent->sip;
    unsigned verify = agent->side == SIP_PHONES ? TPTLS_VERIFY_NONE : TPTLS_VERIFY_ALL;
    bool is_tls = strcasecmp(a->protocol, "tls") == 0;
    bool failed;
    char url[128];

    /* The library binds TLS for "sips" only; what others are told stays "sip" with its transport.
     */
    if (is_tls)
        snprintf(url, sizeof(url), "sips:%s:%s", a->host, a->port);
    else
        snprintf(url, sizeof(url), "sip:%s:%s;transport=%s", a->host, a->port, a->protocol);
    if (!agent->nta) {
        agent->nta = nta_agent_create(
            s->root, (url_string_t *)-1, dispatch_message, agent, NTATAG_UA(0),
            NTATAG_CANCEL_487(0), NTATAG_PASS_100(1), NTATAG_PASS_408(1), NTATAG_MERGE_482(0),
            NTATAG_EXTRA_100(0), NTATAG_SERVER_RPORT(1), NTATAG_MAX_FORWARDS(70),
            NTATAG_TIMER_C(TIMER_C_NEVER_MS),
            /* timer N3 (large.h); timers I and K are our own (finished.h, client.h) */
            TAG_IF(agent->side == SIP_PHONES, NTATAG_SIP_T4(LARGE_CONNECT_MS)),
            /* what could be read of a response is judged by us (inlet.h): the library would discard
               it for one bad header field, and its sender would wait for ever */
            NTATAG_BAD_RESP_MASK(0), NTATAG_MAXSIZE(size_limit(agent->side != SIP_PHONES)),
            TAG_END());
        if (!agent->nta)
            return why_set(why, ST_NOMEM, "sip: cannot make an agent");
        snprintf(agent->uri, sizeof(agent->uri), "sip:%s:%s;transport=%s", a->host, a->port,
                 a->protocol);
        snprintf(agent->host, sizeof(agent->host), "%s", a->host);
    }
    tls_judge_begin(&s->conf.tls, agent->side == SIP_GATEWAYS);
    failed = nta_agent_add_tport(
                 agent->nta, URL_STRING_MAKE(url),
                 TPTAG_CERTIFICATE(credentials_of(s, agent->side)), TPTAG_TLS_VERIFY_POLICY(verify),
                 TPTAG_TLS_VERIFY_DEPTH(4), TPTAG_QUEUESIZE(QUEUE_MESSAGES),
                 TPTAG_UDP_RMEM(UDP_BUFFER_BYTES), TPTAG_UDP_WMEM(UDP_BUFFER_BYTES),
                 /* requests that wait hear of a connection between nodes that ends
                    in order, or before its TLS is up (resend.h) */
                 TAG_IF(agent->side != SIP_PHONES, TPTAG_SDWN_ERROR(1)), TAG_END()) < 0;
    tls_judge_end();
    if (failed)
        return why_set(why, ST_IO, "sip: %s:%s:%s: %s", a->protocol, a->host, a->port,
                       strerror(errno));
    return ST_OK;
}

enum status
sip_agents_open(struct sip *s, struct why *why)
{
    enum status st = ST_OK;

    for (size_t i = 0; i < s->conf.listen_count && !st; i++)
        st = address_add(s, s->conf.listen[i], SIP_PHONES, why);
    if (!st && s->conf.peer_listen[0])
        st = address_add(s, s->conf.peer_listen, SIP_PEERS, why);
    if (!st && s->conf.gateway_listen[0])
        st = address_add(s, s->conf.gateway_listen, SIP_GATEWAYS, why);
    for (unsigned side = 0; side < SIP_SIDES; side++) {
        s->agent[side].sip = s;
        s->agent[side].side = (enum sip_side)side;
    }
    for (size_t i = 0; i < s->own_count && !st; i++)
        st = bind_address(&s->agent[s->own[i].side], &s->own[i], why);
    if (st)
        sip_agents_close(s);
    return st;
}

void
sip_agents_close(struct sip *s)
{
    large_free();
    for (unsigned side = 0; side < SIP_SIDES; side++) {
        if (s->agent[side].nta)
            nta_agent_destroy(s->agent[side].nta);
        s->agent[side].nta = NULL;
    }
}

bool
sip_is_own_address(const struct sip *s, const char *host, const char *port)
{
    for (size_t i = 0; i < s->own_count; i++) {
        const struct sip_address *a = &s->own[i];

        if (strcasecmp(a->host, host) != 0)
            continue;
        if (port && port[0] ? strcmp(a->port, port) == 0
                            : strcmp(a->port, "5060") == 0 || strcmp(a->port, "5061") == 0)
            return true;
    }
    return false;
}

bool
sip_is_own_url(const struct sip *s, const url_t *url)
{
    return url->url_host && sip_is_own_address(s, url->url_host, url->url_port);
}

struct sip_agent *
sip_agent_for(struct sip *s, const char *uri)
{
    bool is_tls = strcasestr(uri, ";transport=tls") != NULL;

    return &s->agent[is_tls && s->agent[SIP_PEERS].nta ? SIP_PEERS : SIP_PHONES];
}

/* reload://HEX@OVERLAY/ where HEX is a destination list of one node: type 1, length 16, Node-ID
 * (RFC 6940 sections 6.3.2.2 and 11.3). */
static bool
node_of_subject(const char *subject, struct id *ret_node)
{
    static const char scheme[] = "reload://";
    char hex[ID_TEXT_BYTES];
    const char *at = subject + sizeof(scheme) - 1;

    if (strncasecmp(subject, scheme, sizeof(scheme) - 1) != 0)
        return false;
    if (strncmp(at, "0110", 4) != 0 || strcspn(at, "@") != 4 + ID_TEXT_BYTES - 1)
        return false;
    memcpy(hex, at + 4, sizeof(hex) - 1);
    hex[sizeof(hex) - 1] = '\0';
    return id_parse(hex, ret_node) == ST_OK;
}

/* "...@pastry/" : the overlay the Node-ID is valid in. */
static bool
is_subject_of_overlay(const char *subject, const char *overlay)
{
    const char *at = strchr(subject, '@');
    size_t len = strlen(overlay);

    return at && strncasecmp(at + 1, overlay, len) == 0 &&
           (at[1 + len] == '/' || at[1 + len] == '\0');
}

static enum status
sender_of_certificate(struct sip_agent *agent, const msg_t *msg, struct sip_sender *ret)
{
    tport_t *tports = nta_agent_tports(agent->nta);
    const su_strlst_t *subjects = tport_delivered_from_subjects(tports, msg);
    bool has_node = false;
    bool has_name = agent->side == SIP_PEERS;

    if (!subjects || !tport_is_verified(ret->tport))
        return ST_FORBIDDEN;
    if (agent->side == SIP_PEERS)
        snprintf(ret->overlay, sizeof(ret->overlay), "%s", agent->sip->conf.overlay);
    for (unsigned i = 0; i < su_strlst_len(subjects); i++) {
        const char *subject = su_strlst_item(subjects, i);

        if (node_of_subject(subject, &ret->node) &&
            (agent->side == SIP_GATEWAYS ||
             is_subject_of_overlay(subject, agent->sip->conf.overlay)))
            has_node = true;
        else if (agent->side == SIP_GATEWAYS && strncasecmp(subject, "sip:", 4) == 0 &&
                 strlen(subject + 4) < sizeof(ret->overlay)) {
            /* RFC 5922 section 7.1: the SIP domain identity */
            snprintf(ret->overlay, sizeof(ret->overlay), "%s", subject + 4);
            has_name = true;
        }
    }
    return has_node && has_name ? ST_OK : ST_FORBIDDEN;
}

enum status
sip_sender_of(struct sip_agent *agent, const msg_t *msg, struct sip_sender *ret)
{
    const su_sockaddr_t *from = msg_addr((msg_t *)msg);
    struct sip *s = agent->sip;
    enum status st;

    memset(ret, 0, sizeof(*ret));
    ret->side = agent->side;
    ret->nta = agent->nta;
    ret->tport = tport_delivered_by(nta_agent_tports(agent->nta), msg);
    tport_hostport(ret->address, sizeof(ret->address), from, 1);
    if (agent->side == SIP_PHONES)
        return ST_OK;
    if (!ret->tport)
        return ST_FORBIDDEN;
    st = sender_of_certificate(agent, msg, ret);
    ret->is_active_gateway = !st && agent->side == SIP_PEERS && sip_is_gateway(s, &ret->node);
    return st;
}
