/* Sending: where to, with what in front, and answering. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <sofia-sip/hostdomain.h>
#include <sofia-sip/msg_buffer.h>
#include <sofia-sip/sip_tag.h>

#include "gateway/sip/client.h"
#include "gateway/sip/clock.h"
#include "gateway/sip/flow.h"
#include "gateway/sip/location.h"
#include "gateway/sip/paths.h"
#include "gateway/sip/send.h"

#define PACKED_HEADER_BYTES                                                                        \
    1024 /* room for header fields; what is longer is sent in two pieces                           \
          */

struct moment
sip_moment(const struct sip *s)
{
    (void)s;
    return sip_clock_read();
}

/* No name is looked up: the library's resolver tries the same server for ever when that one cannot
 * be reached, and all calls would wait. */
static bool
is_address(const url_t *url)
{
    return url->url_host &&
           (host_is_ip4_address(url->url_host) || host_is_ip6_reference(url->url_host));
}

bool
sip_is_address(const char *uri)
{
    char text[PHONE_URI_BYTES];
    url_t url[1];

    snprintf(text, sizeof(text), "%s", uri);
    return url_d(url, text) == 0 && is_address(url);
}

bool
sip_next_hop(const char *uri, char ret_hop[SIP_URI_BYTES])
{
    char text[PHONE_URI_BYTES];
    char transport[16] = "";
    char maddr[64] = "";
    url_t url[1];
    int len;

    ret_hop[0] = '\0';
    if (snprintf(text, sizeof(text), "%s", uri) >= (int)sizeof(text) || url_d(url, text) < 0 ||
        (url->url_type != url_sip && url->url_type != url_sips))
        return false;
    /* url_param: the value's length and its zero, which may be more than there is room for */
    if (url_param(url->url_params, "transport", transport, sizeof(transport)) >
            (isize_t)sizeof(transport) ||
        url_param(url->url_params, "maddr", maddr, sizeof(maddr)) > (isize_t)sizeof(maddr))
        return false;
    if (maddr[0]) /* RFC 3261 section 19.1.1 */
        url->url_host = maddr;
    if (!is_address(url))
        return false;
    len = snprintf(ret_hop, SIP_URI_BYTES, "%s:%s%s%s%s%s", url->url_scheme, url->url_host,
                   url->url_port && url->url_port[0] ? ":" : "",
                   url->url_port && url->url_port[0] ? url->url_port : "",
                   transport[0] ? ";transport=" : "", transport);
    if (len > 0 && len < SIP_URI_BYTES)
        return true;
    ret_hop[0] = '\0';
    return false;
}

void
sip_hop_address(const char *hop, char ret_address[SIP_HOP_ADDRESS_BYTES])
{
    const char *at = strchr(hop, ':');
    size_t len = at ? strcspn(at + 1, ";?>") : 0;

    if (len >= SIP_HOP_ADDRESS_BYTES)
        len = 0;
    if (len > 0)
        memcpy(ret_address, at + 1, len);
    ret_address[len] = '\0';
}

enum status
sip_target_of_uri(struct sip *s, const char *uri, struct sip_target *ret)
{
    struct sip_agent *agent = sip_agent_for(s, uri);
    struct sip_target t = {.agent = agent, .request_uri = uri};

    if (strlen(uri) >= PHONE_URI_BYTES)
        return ST_MALFORMED;
    if (!agent->nta || !sip_next_hop(uri, t.next_hop))
        return ST_UNREACHABLE;
    *ret = t;
    return ST_OK;
}

enum status
sip_target_of_phone(struct sip *s, const char *uri, struct sip_target *ret)
{
    struct sip_target t = {.agent = &s->agent[SIP_PHONES], .request_uri = uri};

    if (!sip_next_hop(uri, t.next_hop))
        return ST_UNREACHABLE;
    *ret = t;
    return ST_OK;
}

enum status
sip_target_of_local(struct sip *s, const struct location_contact *contact, struct sip_target *ret)
{
    struct sip_target t = {.agent = &s->agent[SIP_PHONES], .request_uri = contact->binding.uri};
    enum status st = ST_UNREACHABLE;

    if (contact->path) {
        size_t at = strcspn(contact->path, "<") + 1;
        char first[PHONE_URI_BYTES];

        snprintf(first, sizeof(first), "%.*s", (int)strcspn(contact->path + at, ">"),
                 contact->path + at);
        t.path = contact->path;
        if (!sip_next_hop(first, t.next_hop))
            return ST_UNREACHABLE;
        *ret = t;
        return ST_OK;
    }
    if (contact->flow)
        st = flow_target(s, contact->flow, &t);
    if (st && (contact->binding.is_on_connection || !sip_next_hop(t.request_uri, t.next_hop)))
        return ST_UNREACHABLE;
    *ret = t;
    return ST_OK;
}

bool
sip_is_own_path(const struct sip *s, const char *path)
{
    return strcasecmp(path, s->agent[SIP_PEERS].uri) == 0 ||
           strcasecmp(path, s->agent[SIP_PHONES].uri) == 0;
}

/* One contact of another node: to that node, which knows by the token how to reach the phone
 * (RFC 3327). */
enum status
sip_target_of_remote(struct sip *s, const struct binding_record *binding,
                     const struct binding_contact *contact, struct sip_target *ret)
{
    struct sip_target t = {.agent = sip_agent_for(s, binding->path), .request_uri = contact->uri};
    char path[SIP_URI_BYTES];
    enum path_state state;
    int len;

    if (!t.agent->nta)
        return ST_UNREACHABLE;
    if (!binding_path(binding->path, contact->token, path))
        return ST_MALFORMED;
    len = snprintf(t.route, sizeof(t.route), "<%s;lr>", path);
    if (len < 0 || len >= (int)sizeof(t.route))
        return ST_MALFORMED;
    if (!sip_next_hop(binding->path, t.next_hop))
        return ST_UNREACHABLE;
    state = paths_state(s, t.next_hop);
    if (state != PATH_HEARD && contact->is_by_uri)
        return sip_target_of_phone(s, contact->uri, ret);
    if (state == PATH_DOWN)
        return ST_TIMEOUT;
    *ret = t;
    return ST_OK;
}

enum status
sip_target_of_contact(struct sip *s, const struct binding_record *binding, size_t contact,
                      struct sip_target *ret)
{
    const struct location_contact *own = NULL;
    const struct binding_contact *c = &binding->contact[contact];

    if (contact >= binding->contact_count)
        return ST_MALFORMED;
    if (!sip_is_own_path(s, binding->path))
        return sip_target_of_remote(s, binding, c, ret);
    switch (location_token_read(s, c->token, &own)) {
    case LOCATION_TOKEN_LIVE:
        return sip_target_of_local(s, own, ret);
    case LOCATION_TOKEN_BY_URI: /* bound before this node started anew: it may still be there */
        return sip_target_of_phone(s, c->uri, ret);
    default:
        return ST_UNREACHABLE;
    }
}

/* Separator and body still lie where they were received; without that memory they are encoded anew,
 * behind the header fields. */
void
sip_pack(msg_t *msg, enum sip_side side)
{
    sip_t *sip = sip_object(msg);
    usize_t body_len = sip && sip->sip_payload ? sip->sip_payload->pl_len : 0;

    if (side == SIP_PHONES || !sip || !sip->sip_separator)
        return;
    if (!msg_buf_alloc(msg, PACKED_HEADER_BYTES + body_len))
        return; /* two pieces then */
    msg_fragment_clear(sip->sip_separator->sep_common);
    if (sip->sip_payload)
        msg_fragment_clear(sip->sip_payload->pl_common);
}

/* The library sends to maddr where there is one (RFC 3261 section 19.1.1). */
static bool
leads_to_address(const url_t *url)
{
    char maddr[64] = "";
    url_t there = *url;

    if (!url_has_param(url, "maddr"))
        return is_address(url);
    if (url_param(url->url_params, "maddr", maddr, sizeof(maddr)) > (isize_t)sizeof(maddr))
        return false;
    there.url_host = maddr;
    return is_address(&there);
}

static bool
is_resolved(const struct sip_target *target, const sip_t *sip)
{
    if (target->tport)
        return true;
    if (target->next_hop[0])
        return true;
    return leads_to_address(sip->sip_route ? sip->sip_route->r_url : sip->sip_request->rq_url);
}

bool
sip_is_sips(const char *uri)
{
    return strncasecmp(uri, "sips:", 5) == 0;
}

static bool
is_over_tls(const struct sip_target *target)
{
    return target->tport ? tport_has_tls(target->tport) != 0 : target->agent->side != SIP_PHONES;
}

bool
sip_keeps_sips(const struct sip_target *target, const url_t *asked)
{
    bool was_sips = asked->url_type == url_sips;
    bool is_sips = target->request_uri ? sip_is_sips(target->request_uri) : was_sips;

    if (was_sips && !is_sips)
        return false;
    return !is_sips || is_over_tls(target);
}

/* Before those that are there; the last one first. */
static bool
put_routes(msg_t *msg, sip_t *sip, const char *text)
{
    sip_route_t *first = sip_route_make(msg_home(msg), text);
    sip_route_t *end = NULL;

    while (end != first) {
        sip_route_t *last = first;

        while (last->r_next && last->r_next != end)
            last = last->r_next;
        end = last;
        last = (sip_route_t *)msg_header_dup_one(msg_home(msg), (const msg_header_t *)last);
        if (!last || msg_header_prepend(msg, (msg_pub_t *)sip, (msg_header_t **)&sip->sip_route,
                                        (msg_header_t *)last) < 0)
            return false;
    }
    return first != NULL;
}

/* The library takes connection, address, branch; Route is put in here. */
static nta_outgoing_t *
hand_to_nta(const struct sip_target *target, msg_t *msg, const char *branch, bool is_stateless,
            nta_response_f *on_response, nta_outgoing_magic_t *magic)
{
    sip_t *sip = sip_object(msg);
    const char *next_hop = target->next_hop[0] ? target->next_hop : NULL;

    if (!target->agent || !target->agent->nta || !sip ||
        (sip->sip_request->rq_url->url_type == url_sips && !is_over_tls(target)))
        return NULL;
    if (target->route[0] && !put_routes(msg, sip, target->route))
        return NULL;
    if (target->path && !put_routes(msg, sip, target->path))
        return NULL;
    if (!is_resolved(target, sip))
        return NULL;
    sip_pack(msg, target->agent->side);
    return nta_outgoing_mcreate(target->agent->nta, on_response, magic, URL_STRING_MAKE(next_hop),
                                msg, NTATAG_BRANCH_KEY(branch), NTATAG_STATELESS(is_stateless),
                                TAG_IF(target->tport, NTATAG_TPORT(target->tport)), TAG_END());
}

nta_outgoing_t *
sip_send_branch(const struct sip_target *target, msg_t *msg, const char *branch,
                nta_response_f *on_response, nta_outgoing_magic_t *magic)
{
    nta_outgoing_t *orq;

    client_want(on_response != NULL);
    orq = hand_to_nta(target, msg, branch, false, on_response, magic);
    client_want(false);
    if (!orq)
        msg_destroy(msg);
    return orq;
}

nta_outgoing_t *
sip_send(struct sip *s, const struct sip_target *target, msg_t *msg, nta_response_f *on_response,
         nta_outgoing_magic_t *magic)
{
    char branch[SIP_BRANCH_BYTES];

    (void)s;
    sip_branch(branch);
    return sip_send_branch(target, msg, branch, on_response, magic);
}

bool
sip_is_way_lost(nta_outgoing_t *orq)
{
    tport_t *transport = nta_outgoing_transport(orq);
    bool is_lost = transport && tport_is_secondary(transport) && tport_is_stream(transport) &&
                   !tport_is_clear_to_send(transport);

    if (transport)
        tport_unref(transport);
    return is_lost;
}

void
sip_send_stateless(struct sip *s, const struct sip_target *target, msg_t *msg)
{
    char branch[SIP_BRANCH_BYTES];

    (void)s;
    sip_branch(branch);
    /* Stateless, the library returns a marker when it has sent the message, and NULL when it has
     * not and the message is still ours. */
    if (!hand_to_nta(target, msg, branch, true, NULL, NULL))
        msg_destroy(msg);
}

void
sip_reply(nta_incoming_t *irq, int status, const char *phrase, unsigned retry_after_s)
{
    char seconds[16];

    if (nta_incoming_status(irq) >= 200)
        return;
    snprintf(seconds, sizeof(seconds), "%u", retry_after_s);
    nta_incoming_treply(irq, status, phrase, TAG_IF(retry_after_s, SIPTAG_RETRY_AFTER_STR(seconds)),
                        TAG_END());
}

void
sip_reply_sips(struct sip *s, nta_incoming_t *irq)
{
    char warning[sizeof(s->agent[SIP_PHONES].host) + 32];

    if (nta_incoming_status(irq) >= 200)
        return;
    snprintf(warning, sizeof(warning), "380 %s \"SIPS Not Allowed\"", s->agent[SIP_PHONES].host);
    nta_incoming_treply(irq, SIP_480_TEMPORARILY_UNAVAILABLE, SIPTAG_WARNING_STR(warning),
                        TAG_END());
}
