#include "gateway/sip/route.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <sofia-sip/hostdomain.h>
#include <sofia-sip/msg_parser.h>
#include <sofia-sip/sip_extra.h>

#include "gateway/sip/b2bua.h"
#include "gateway/sip/flow.h"
#include "gateway/sip/forward.h"
#include "gateway/sip/header_policy.h"
#include "gateway/sip/location.h"
#include "gateway/sip/noted.h"
#include "gateway/sip/send.h"

/* What the request's own Routes to this node say. */
struct own_routes {
    unsigned count;
    bool has_token;
    uint64_t flow;
    unsigned flags;
    const char *user; /* of the last of them: a token of a binding, or not; NULL */
    const sip_route_t *rest;
};

static struct own_routes
read_own_routes(struct sip *s, const sip_t *sip)
{
    struct own_routes own = {.rest = sip->sip_route};

    for (; own.rest && sip_is_own_url(s, own.rest->r_url); own.rest = own.rest->r_next) {
        uint64_t flow;
        unsigned flags;

        own.count++;
        own.user = own.rest->r_url->url_user;
        if (!flow_read(s, own.rest->r_url->url_user, &flow, &flags))
            continue;
        own.has_token = true;
        own.flow = flow;
        own.flags = flags;
    }
    return own;
}

static void
refuse(struct route *r, int status, const char *phrase)
{
    r->kind = ROUTE_REFUSE;
    r->status = status;
    r->phrase = phrase;
}

/* @side: SIP_PHONES for what can only be a phone */
static void
direct(struct sip *s, struct route *r, const url_t *url, enum sip_side side)
{
    char uri[PHONE_URI_BYTES];
    int len = (int)url_e(uri, (int)sizeof(uri), url);

    r->kind = ROUTE_DIRECT;
    if (len <= 0 || len >= (int)sizeof(uri))
        refuse(r, 414, NULL); /* Request-URI Too Long */
    else if (side == SIP_PHONES ? sip_target_of_phone(s, uri, &r->target)
                                : sip_target_of_uri(s, uri, &r->target))
        refuse(r, 480, NULL);
    r->target.request_uri = NULL;
}

/* To a contact that was seen in a dialog, the way the dialog went. */
static void
noted(struct sip *s, struct route *r, const url_t *url, const char *through)
{
    if (!through[0]) {
        direct(s, r, url, SIP_PEERS);
        return;
    }
    r->kind = ROUTE_DIRECT;
    if (sip_target_of_uri(s, through, &r->target))
        refuse(r, 480, NULL);
    r->target.request_uri = NULL;
    snprintf(r->target.route, sizeof(r->target.route), "<%s;lr>", through);
}

static const char *
noted_through(struct sip *s, const sip_t *sip, const url_t *url)
{
    uint64_t now_ms = sip_moment(s).mono_ms;
    const char *through = url->url_host ? noted_get(s->noted, sip, url, now_ms) : NULL;

    if (!through && url->url_host && sip->sip_request->rq_method == sip_method_notify)
        through = noted_get_subscriber(s->noted, sip, url, now_ms);
    return through;
}

/* The same for a request outside of the dialog that it names. */
static const char *
named_through(struct sip *s, const sip_t *sip, const url_t *url)
{
    static const char *const fields[] = {"Join", "Target-Dialog"}; /* written as Replaces is */
    su_home_t home[1] = {SU_HOME_INIT(home)};
    const sip_replaces_t *named = sip->sip_replaces;
    const char *mine = NULL, *other = NULL, *through = NULL;

    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]) && !named; i++) {
        const char *value = header_find(sip, fields[i]);

        named = value ? sip_replaces_make(home, value) : NULL;
    }
    if (named) {
        mine =
            named->rp_to_tag ? named->rp_to_tag : msg_params_find(named->rp_params, "local-tag=");
        other = named->rp_from_tag ? named->rp_from_tag
                                   : msg_params_find(named->rp_params, "remote-tag=");
    }
    if (mine && other)
        through =
            noted_get_named(s->noted, named->rp_call_id, mine, other, url, sip_moment(s).mono_ms);
    su_home_deinit(home);
    return through;
}

/* May the request go to an address that it names itself?  A phone's only where its dialog goes;
 * its token says that the dialog was made here, not where to. */
static bool
may_name(struct sip *s, const sip_t *sip, const struct sip_sender *sender, const url_t *url)
{
    return sender->side != SIP_PHONES || (sip->sip_to->a_tag && noted_through(s, sip, url));
}

/* The piece of its URI that names a host and ends it: "@H:", "sip:H:". */
static bool
has_host(const char *uri, const char *host)
{
    size_t len = strlen(host);
    const char *at = strstr(uri, host);

    return at && (at == uri || at[-1] == ':' || at[-1] == '@') &&
           (at[len] == ':' || at[len] == ';' || at[len] == '\0');
}

/* Does it name a gateway of our overlay, or one of before? */
static bool
is_of_gateway(struct sip *s, const url_t *url)
{
    if (sip_is_own_url(s, url) || sip_former_gateway(s, NULL, url->url_host))
        return true;
    for (size_t i = 0; i < s->gateway_count; i++)
        if (has_host(s->gateway[i].uri, url->url_host))
            return true;
    return false;
}

static bool
is_address(const char *host)
{
    return host && (host_is_ip4_address(host) || host_is_ip6_reference(host));
}

/* The Path of a binding: to that very phone.  True when it has decided. */
static bool
by_path(struct sip *s, const sip_t *sip, const struct sip_sender *sender,
        const struct own_routes *own, struct route *r)
{
    const struct location_contact *phone = NULL;
    enum location_token token =
        own->user ? location_token_read(s, own->user, &phone) : LOCATION_TOKEN_NONE;
    /* another flow of that phone may be tried (RFC 5626 section 5.3) */
    int lost = sender->side == SIP_PEERS && !sip->sip_to->a_tag ? 430 : 480;

    if (!own->user || own->has_token || own->rest)
        return false;
    if (token == LOCATION_TOKEN_BY_URI && sender->side == SIP_PEERS) {
        direct(s, r, sip->sip_request->rq_url, SIP_PHONES);
    } else if (token == LOCATION_TOKEN_LIVE) {
        r->kind = ROUTE_DIRECT;
        r->flow = phone->binding.is_on_connection ? phone->flow : 0;
        if (sip_target_of_local(s, phone, &r->target))
            refuse(r, lost, NULL);
    } else if (token == LOCATION_TOKEN_NONE && sip->sip_to->a_tag) {
        return false; /* of a flow of an earlier run: its Request-URI may do */
    } else if (token == LOCATION_TOKEN_GONE || sender->side == SIP_PEERS) {
        refuse(r, lost, NULL); /* whoever sends it looks for the phone anew */
    } else {
        refuse(r, 403, "Not a route of ours");
    }
    return true;
}

/* Routes beyond ours, and flows. True when it has decided. */
static bool
by_route(struct sip *s, const sip_t *sip, const struct sip_sender *sender,
         const struct own_routes *own, struct route *r)
{
    if (own->has_token && (own->flags & FLOW_TO_GATEWAY)) {
        const url_t *url = sip->sip_request->rq_url;

        r->kind = ROUTE_GATEWAY;
        if (is_address(url->url_host) && !is_of_gateway(s, url) && !may_name(s, sip, sender, url))
            refuse(r, sip->sip_to->a_tag ? 481 : 404, NULL);
        return true;
    }
    if (own->has_token && own->flow) {
        r->kind = ROUTE_DIRECT;
        r->flow = own->flow;
        if (!flow_target(s, own->flow, &r->target))
            return true;
        r->flow = 0;
        if ((own->flags & FLOW_OR_CONTACT) && may_name(s, sip, sender, sip->sip_request->rq_url))
            direct(s, r, sip->sip_request->rq_url, SIP_PHONES);
        else
            refuse(r, sip->sip_to->a_tag ? 480 : 430, NULL);
        return true;
    }
    if (!own->rest)
        return false;
    if (!may_name(s, sip, sender, own->rest->r_url))
        refuse(r, 403, "Not a route of ours");
    else
        direct(s, r, own->rest->r_url, SIP_PEERS);
    return true;
}

/* A phone's Contact, as another phone has seen it in a dialog and names it in a transfer, has the
 * user's name in most: the user's bindings say whether it is one, and how it is reached. */
static bool
is_named_user(const struct sip *s, const sip_t *sip, const url_t *url, char ret_aor[AOR_BYTES])
{
    url_t named = *url;

    named.url_host = sip->sip_from->a_url->url_host;
    named.url_port = NULL;
    return named.url_user && sip_domain_is_local(s, named.url_host) &&
           sip_aor_of(&named, ret_aor) == ST_OK && !sip_is_reserved(s, &named);
}

static void
by_named_contact(struct route *r)
{
    r->kind = ROUTE_LOOKUP;
    r->is_contact = true;
}

/* A request of a call whose gateway is another's, and is no more: who takes its place may not be
 * one yet.  True when it has decided. */
static bool
by_lost_gateway(struct sip *s, const sip_t *sip, const struct sip_sender *sender, struct route *r)
{
    const url_t *url = sip->sip_request->rq_url;
    bool is_listed = false;

    if (sender->side != SIP_PEERS || !sip->sip_to->a_tag || !b2bua_is_token(url->url_user) ||
        sip_is_own_url(s, url) || !is_of_gateway(s, url))
        return false;
    for (size_t i = 0; i < s->gateway_count; i++)
        if (s->is_gateway && has_host(s->gateway[i].uri, url->url_host))
            is_listed = true; /* one of several: it has the call, or died just now */
    if (s->is_gateway)
        r->kind = is_listed ? ROUTE_GATEWAY : ROUTE_B2BUA;
    else
        refuse(r, 503, "Not the gateway"); /* the sender tries another */
    return true;
}

/* To an address rather than a name: one we know of. True when it has decided. */
static bool
by_address(struct sip *s, const sip_t *sip, const struct sip_sender *sender,
           const struct own_routes *own, struct route *r)
{
    const url_t *url = sip->sip_request->rq_url;
    const char *through;

    if (!is_address(url->url_host))
        return false;
    if (by_lost_gateway(s, sip, sender, r))
        return true;
    through = sip->sip_to->a_tag ? noted_through(s, sip, url) : named_through(s, sip, url);
    if (sender->side == SIP_PEERS || (own->has_token && sip->sip_to->a_tag && through))
        direct(s, r, url, SIP_PEERS);
    else if (through)
        noted(s, r, url, through);
    else if (sip->sip_to->a_tag)
        refuse(r, 481, NULL);
    else if (is_named_user(s, sip, url, r->aor))
        by_named_contact(r);
    else
        refuse(r, 404, NULL);
    return true;
}

/* To the Contact of a gateway in a call, outside its dialog (RFC 3261 section 8.1.1.8): to that
 * gateway, or to whoever has its calls now.  True when it has decided. */
static bool
by_contact(struct sip *s, const sip_t *sip, struct route *r)
{
    const url_t *url = sip->sip_request->rq_url;
    bool is_gateways = sip_is_own_url(s, url);

    if (sip->sip_to->a_tag || !url->url_host || !b2bua_is_token(url->url_user))
        return false;
    if (b2bua_owns_contact(s, sip)) {
        r->kind = ROUTE_B2BUA;
        r->is_foreign = true;
        return true;
    }
    for (size_t i = 0; i < s->gateway_count; i++) {
        if (!has_host(s->gateway[i].uri, url->url_host))
            continue;
        is_gateways = true;
        if (s->gateway[i].is_self || s->gateway_count == 1 ||
            sip_target_of_uri(s, s->gateway[i].uri, &r->target))
            continue;
        r->kind = ROUTE_DIRECT; /* one of several: it has the call */
        r->target.request_uri = NULL;
        return true;
    }
    is_gateways = is_gateways || sip_former_gateway(s, NULL, url->url_host);
    if (!is_gateways || s->is_gateway || s->gateway_count == 0)
        return false;
    r->kind = ROUTE_GATEWAY;
    return true;
}

/* Of several gateways another has the call that is to be replaced or joined: it goes from one to
 * the next.  The last one takes it. */
static bool
is_named_elsewhere(struct sip *s, const sip_t *sip)
{
    return s->gateway_count > 1 && !sip->sip_to->a_tag && forward_gateway_unasked(s, sip) &&
           b2bua_names_other(s, sip);
}

static void
by_domain(struct sip *s, const sip_t *sip, const struct sip_sender *sender, struct route *r)
{
    const url_t *url = sip->sip_request->rq_url;

    if (sip_domain_is_local(s, url->url_host)) {
        r->kind = ROUTE_LOOKUP;
        if (!url->url_user)
            r->kind = ROUTE_SERVER;
        else if (sip_aor_of(url, r->aor) || sip_is_reserved(s, url))
            refuse(r, 404, NULL);
    } else if (s->is_gateway) {
        r->is_elsewhere = is_named_elsewhere(s, sip);
        r->kind = r->is_elsewhere ? ROUTE_GATEWAY : ROUTE_B2BUA;
        r->is_foreign = true;
    } else if (sender->side == SIP_PEERS) {
        refuse(r, 503, "Not the gateway"); /* the sender's news are old */
    } else {
        r->kind = ROUTE_GATEWAY;
        r->is_foreign = true;
    }
}

void
sip_route_decide(struct sip *s, const sip_t *sip, const struct sip_sender *sender,
                 struct route *ret)
{
    struct own_routes own = read_own_routes(s, sip);
    const url_t *url = sip->sip_request->rq_url;

    memset(ret, 0, sizeof(*ret));
    ret->popped = own.count;
    ret->is_dialog = sip->sip_to->a_tag != NULL;
    if (sender->side == SIP_GATEWAYS || (ret->is_dialog && b2bua_owns(s, sip))) {
        ret->kind = ROUTE_B2BUA;
        return;
    }
    if (by_path(s, sip, sender, &own, ret) || by_route(s, sip, sender, &own, ret) ||
        by_contact(s, sip, ret))
        return;
    if (sip_is_own_url(s, url)) {
        ret->kind = ROUTE_SERVER;
        /* A call of the time when this node was the gateway: its successor has it. */
        if (url->url_user && ret->is_dialog && !s->is_gateway && s->gateway_count > 0)
            ret->kind = ROUTE_GATEWAY;
        else if (url->url_user)
            refuse(ret, ret->is_dialog ? 481 : 404, NULL);
        return;
    }
    if (!by_address(s, sip, sender, &own, ret))
        by_domain(s, sip, sender, ret);
}

static void
note(struct sip *s, const sip_t *named, const url_t *url, const char *through)
{
    if (url->url_host && !sip_is_own_url(s, url))
        noted_put(s->noted, named, url, through, sip_moment(s).mono_ms);
}

static void
note_ways(struct sip *s, const sip_t *named, const sip_t *sip, const char *through)
{
    if (sip->sip_contact)
        note(s, named, sip->sip_contact->m_url, through);
    if (!through[0])
        return; /* it came straight from a phone, whose word opens no way */
    for (const sip_record_route_t *at = sip->sip_record_route; at; at = at->r_next)
        note(s, named, at->r_url, "");
}

void
route_note_dialog(struct sip *s, const sip_t *named, const sip_t *sip, const char *through)
{
    if (named->sip_to->a_tag)
        note_ways(s, named, sip, through);
}

void
route_note_subscriber(struct sip *s, const sip_t *sip, const char *through)
{
    if (sip->sip_to->a_tag)
        return;
    note_ways(s, sip, sip, through);
    noted_end(s->noted, sip, sip_moment(s).mono_ms); /* whether there is a dialog or not */
}
