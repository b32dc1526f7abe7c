#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/aor.h"
#include "gateway/sip/b2bua_call.h"
#include "gateway/sip/header_policy.h"
#include "gateway/sip/send.h"

/*
 * A message for the other leg is a shallow copy: it shares its strings with the message it came
 * from, which lives as long as the copy does.  What is each leg's own is then put in its place.
 * Headers are never taken from a third message without duplicating them, since a copy keeps one
 * parent only.
 */

static void
strip(msg_t *msg, sip_t *sip, void *list)
{
    sip_header_t **head = list;

    while (*head)
        msg_header_remove(msg, (msg_pub_t *)sip, (msg_header_t *)*head);
}

static void
set_tag(msg_t *msg, sip_addr_t *a, const char *tag)
{
    const char *param = su_sprintf(msg_home(msg), "tag=%s", tag);

    if (!tag[0])
        msg_header_remove_param(a->a_common, "tag"); /* a null tag (section 12.1.1) */
    else if (param)
        msg_header_replace_param(msg_home(msg), a->a_common, param);
}

static bool
set_request_uri(msg_t *msg, sip_t *sip, const char *uri)
{
    url_t *url = url_make(msg_home(msg), uri);

    if (!url)
        return false;
    *sip->sip_request->rq_url = *url;
    sip_fragment_clear(sip->sip_request->rq_common);
    return true;
}

static bool
set_to(msg_t *msg, sip_t *sip, const char *uri)
{
    url_t *url = url_make(msg_home(msg), uri);

    if (!url)
        return false;
    *sip->sip_to->a_url = *url;
    sip_fragment_clear(sip->sip_to->a_common);
    return true;
}

static bool
set_call_id(msg_t *msg, sip_t *sip, const char *call_id)
{
    sip->sip_call_id->i_id = su_strdup(msg_home(msg), call_id);
    if (!sip->sip_call_id->i_id)
        return false;
    sip->sip_call_id->i_hash = (uint32_t)msg_hash_string(call_id);
    sip_fragment_clear(sip->sip_call_id->i_common);
    return true;
}

static void
set_cseq(sip_t *sip, uint32_t cseq)
{
    sip->sip_cseq->cs_seq = cseq;
    sip_fragment_clear(sip->sip_cseq->cs_common);
}

/** What this hop has taken of the request's life; the dispatcher refused those that had none. */
static void
count_down(msg_t *msg, sip_t *sip)
{
    if (!sip->sip_max_forwards) {
        sip_add_tl(msg, sip, SIPTAG_MAX_FORWARDS_STR("70"), TAG_END());
    } else if (sip->sip_max_forwards->mf_count > 0) {
        sip->sip_max_forwards->mf_count--;
        sip_fragment_clear(sip->sip_max_forwards->mf_common);
    }
}

/** What a Contact says of the phone's abilities is the other end's to know (RFC 3840, RFC 4579);
 * the rest of its parameters mean something to a registrar alone. */
static bool
keep_parameters(su_home_t *home, const sip_contact_t *from, sip_contact_t *to)
{
    static const char *const registrars[] = {"q",        "expires",   "reg-id",
                                             "pub-gruu", "temp-gruu", "temp-gruu-cookie"};

    for (size_t i = 0; from->m_params && from->m_params[i]; i++) {
        size_t len = strcspn(from->m_params[i], "=");
        bool is_kept = true;

        for (size_t k = 0; k < sizeof(registrars) / sizeof(registrars[0]); k++)
            is_kept = is_kept && (strlen(registrars[k]) != len ||
                                  strncasecmp(registrars[k], from->m_params[i], len) != 0);
        if (is_kept && msg_header_add_param(home, to->m_common, from->m_params[i]) < 0)
            return false;
    }
    return true;
}

bool
b2bua_set_contact(const struct b2bua_call *c, msg_t *msg, sip_t *sip, const struct b2bua_peer *p)
{
    su_home_t *home = msg_home(msg);
    enum sip_side side = p->is_phone ? SIP_PHONES : p->side;
    const struct sip_agent *agent = &c->b2bua->sip->agent[side];
    sip_contact_t *m = (sip_contact_t *)(void *)msg_header_alloc(home, sip_contact_class, 0);

    if (!m)
        return false;
    if (sip->sip_contact && !keep_parameters(home, sip->sip_contact, m))
        return false;
    strip(msg, sip, &sip->sip_contact);
    url_init(m->m_url, url_sip);
    m->m_url->url_user = su_sprintf(home, "%s%c", c->token, p == &c->caller ? 'b' : 'a');
    m->m_url->url_host = agent->host;
    m->m_url->url_port = c->b2bua->port[side][0] ? c->b2bua->port[side] : NULL;
    if (side != SIP_PHONES)
        m->m_url->url_params = "transport=tls";
    else if (p->is_stream)
        m->m_url->url_params = "transport=tcp";
    return m->m_url->url_user && msg_header_insert(msg, (msg_pub_t *)sip, (msg_header_t *)m) >= 0;
}

/** Who calls: From, or whom the serving peer of an anonymous caller asserts (RFC 3325 section 5).
 */
static enum status
caller_aor(const sip_t *sip, char ret_aor[AOR_BYTES])
{
    return header_is_anonymous(sip) ? header_asserted_aor(sip, ret_aor)
                                    : sip_aor_of(sip->sip_from->a_url, ret_aor);
}

/** Who calls, for the far gateway to hold against its certificate (design, names). */
static bool
set_overlay_headers(const struct b2bua_call *c, msg_t *msg, sip_t *sip, enum sip_side side)
{
    char aor[AOR_BYTES];
    char uri[AOR_URI_BYTES(AOR_BYTES)];

    headers_release(msg, sip, side);
    if (side != SIP_GATEWAYS)
        return true;
    if (caller_aor(sip, aor))
        return sip->sip_to->a_tag != NULL; /* a dialog that is known says who it is of */
    if (aor_to_uri(aor, uri, sizeof(uri)))
        return false;
    return sip_add_make(msg, sip, sip_unknown_class,
                        su_sprintf(msg_home(msg), HEADER_OVERLAY_ID ": <sip:overlay@%s>",
                                   c->b2bua->sip->conf.overlay)) >= 0 &&
           sip_add_make(msg, sip, sip_unknown_class,
                        su_sprintf(msg_home(msg), HEADER_NODE_ID ": <%s>", uri)) >= 0;
}

/** Ours are wanted where theirs are missing, too: phones leave them out of NOTIFY (RFC 3265
 * section 7.1). */
static bool
needs_contact(const sip_t *sip)
{
    sip_method_t method = sip->sip_request->rq_method;

    return sip->sip_contact || method == sip_method_invite || method == sip_method_notify;
}

/** A copy of a request without what belongs to the leg it came from. */
static msg_t *
copy_request(struct b2bua_call *c, msg_t *in, const struct b2bua_peer *p, sip_t **ret_sip)
{
    msg_t *msg = msg_copy(in);
    sip_t *sip = msg ? sip_object(msg) : NULL;

    if (!sip)
        return NULL;
    strip(msg, sip, &sip->sip_via);
    strip(msg, sip, &sip->sip_record_route);
    strip(msg, sip, &sip->sip_route);
    count_down(msg, sip);
    if (!set_overlay_headers(c, msg, sip, p->side) ||
        (needs_contact(sip) && !b2bua_set_contact(c, msg, sip, p))) {
        msg_destroy(msg);
        return NULL;
    }
    b2bua_map_replaces(c->b2bua, msg, sip);
    *ret_sip = sip;
    return msg;
}

/** Whoever rings, and can be told by nobody that it is over, stops by itself (RFC 3261 section
 * 13.3.1): no later than the caller wants, or than we would have it. */
static bool
limit_ringing(const struct b2bua_call *c, msg_t *msg, sip_t *sip)
{
    uint32_t most_s = c->b2bua->sip->conf.ring_timeout_s;

    if (call_kind(c->core) != CALL_SESSION || most_s == 0)
        return true;
    if (!sip->sip_expires)
        return sip_add_make(msg, sip, sip_expires_class,
                            su_sprintf(msg_home(msg), "%u", (unsigned)most_s)) >= 0;
    if (sip->sip_expires->ex_date == 0 && sip->sip_expires->ex_delta > most_s) {
        sip->sip_expires->ex_delta = most_s;
        sip_fragment_clear(sip->sip_expires->ex_common);
    }
    return true;
}

msg_t *
b2bua_initial_request(struct b2bua_call *c, const struct sip_target *target)
{
    struct b2bua_peer p = {.side = target->agent->side};
    sip_t *sip;
    msg_t *msg;

    p.is_stream = target->tport ? tport_is_stream(target->tport) != 0
                                : strcasestr(target->next_hop, "transport=tcp") != NULL;
    msg = copy_request(c, c->initial->request, &p, &sip);
    if (!msg)
        return NULL;
    set_tag(msg, sip->sip_from, c->our_tag);
    set_cseq(sip, c->initial_cseq);
    if (c->initial->is_to_place && !set_to(msg, sip, c->to_uri)) {
        msg_destroy(msg);
        return NULL;
    }
    if (!limit_ringing(c, msg, sip) || !set_call_id(msg, sip, c->callee_call_id) ||
        (target->request_uri && !set_request_uri(msg, sip, target->request_uri))) {
        msg_destroy(msg);
        return NULL;
    }
    return msg;
}

static const char *
tag_of_peer(const struct b2bua_call *c, enum call_leg leg, uint8_t dialog)
{
    return leg == CALL_CALLER ? c->caller_tag : b2bua_dialog_at(c, dialog)->far_tag;
}

static const char *
tag_of_ours(const struct b2bua_call *c, enum call_leg leg, uint8_t dialog)
{
    return leg == CALL_CALLER ? b2bua_dialog_at(c, dialog)->our_tag : c->our_tag;
}

static const char *
call_id_of(const struct b2bua_call *c, enum call_leg leg)
{
    return leg == CALL_CALLER ? c->caller_call_id : c->callee_call_id;
}

/** Request-URI and Route (RFC 3261 section 12.2.1.1).  A first hop without lr takes the Request-URI
 * for itself, and the remote target stands at the end of the route. */
static bool
set_way(msg_t *msg, sip_t *sip, const struct b2bua_peer *p)
{
    su_home_t *home = msg_home(msg);
    const char *rest;
    sip_route_t *first;

    if (!p->route)
        return set_request_uri(msg, sip, p->target);
    first = sip_route_make(home, p->route);
    if (!first)
        return false;
    if (url_has_param(first->r_url, "lr"))
        return set_request_uri(msg, sip, p->target) &&
               sip_add_make(msg, sip, sip_route_class, p->route) >= 0;
    rest = p->route + strcspn(p->route, ">") + 1;
    return set_request_uri(msg, sip,
                           su_strndup(home, p->route + 1, (isize_t)strcspn(p->route, ">") - 1)) &&
           sip_add_make(msg, sip, sip_route_class,
                        su_sprintf(home, "%s%s<%s>", rest + (*rest == ','), *rest ? "," : "",
                                   p->target)) >= 0;
}

/** A PRACK names the INVITE whose answer it acknowledges (RFC 3262 section 7.2). */
static void
map_rack(const struct b2bua_call *c, enum call_leg leg, sip_t *sip)
{
    sip_rack_t *rack = sip->sip_rack;
    unsigned number = CALL_INVITES_MAX;

    if (rack)
        number = b2bua_invite_sent_by(c, b2bua_other(leg), rack->ra_cseq);
    if (number == CALL_INVITES_MAX)
        return;
    rack->ra_cseq = c->invite[number]->out_cseq;
    sip_fragment_clear(&rack->ra_common);
}

msg_t *
b2bua_dialog_request(struct b2bua_call *c, enum call_leg leg, uint8_t dialog, msg_t *in,
                     uint32_t cseq)
{
    struct b2bua_peer *p = b2bua_peer_of(c, leg, dialog);
    sip_t *sip;
    msg_t *msg;

    if (!p || !p->target || !b2bua_dialog_at(c, dialog))
        return NULL;
    msg = copy_request(c, in, p, &sip);
    if (!msg)
        return NULL;
    set_tag(msg, sip->sip_from, tag_of_ours(c, leg, dialog));
    set_tag(msg, sip->sip_to, tag_of_peer(c, leg, dialog));
    set_cseq(sip, cseq);
    map_rack(c, leg, sip);
    b2bua_map_refer(c, leg, sip_object(in)->sip_cseq->cs_seq, msg, sip);
    if (!set_call_id(msg, sip, call_id_of(c, leg)) || !set_way(msg, sip, p)) {
        msg_destroy(msg);
        return NULL;
    }
    return msg;
}

msg_t *
b2bua_own_request(struct b2bua_call *c, enum call_leg leg, uint8_t dialog, sip_method_t method,
                  uint32_t cseq)
{
    struct b2bua_peer *p = b2bua_peer_of(c, leg, dialog);
    const char *name = sip_method_name(method, NULL);
    const char *from = leg == CALL_CALLER ? c->to_uri : c->from_uri;
    const char *to = leg == CALL_CALLER ? c->from_uri : c->to_uri;
    const char *to_tag;
    sip_t *sip;
    msg_t *msg;
    su_home_t *home;

    if (!p || !p->target || !b2bua_dialog_at(c, dialog))
        return NULL;
    msg = nta_msg_create(c->b2bua->sip->agent[p->side].nta, 0);
    if (!msg)
        return NULL;
    sip = sip_object(msg);
    home = msg_home(msg);
    to_tag = tag_of_peer(c, leg, dialog);
    sip_add_tl(msg, sip, SIPTAG_REQUEST_STR(su_sprintf(home, "%s %s SIP/2.0", name, p->target)),
               SIPTAG_FROM_STR(su_sprintf(home, "<%s>;tag=%s", from, tag_of_ours(c, leg, dialog))),
               SIPTAG_TO_STR(su_sprintf(home, "<%s>%s%s", to, to_tag[0] ? ";tag=" : "", to_tag)),
               SIPTAG_CALL_ID_STR(call_id_of(c, leg)),
               SIPTAG_CSEQ_STR(su_sprintf(home, "%u %s", cseq, name)),
               SIPTAG_MAX_FORWARDS_STR("70"), TAG_END());
    if (!sip->sip_request || !sip->sip_from || !sip->sip_to || !sip->sip_cseq ||
        !sip->sip_call_id || !set_way(msg, sip, p)) {
        msg_destroy(msg);
        return NULL;
    }
    return msg;
}

/* Headers that stand in a list, in the list's order.  sip_add_dup() puts each Via and Record-Route
 * before the one it put last. */
static int
add_list(msg_t *msg, sip_t *sip, const sip_header_t *list)
{
    size_t count = 0;

    for (const sip_header_t *at = list; at; at = at->sh_next)
        count++;
    while (count-- > 0) {
        const sip_header_t *at = list;
        sip_header_t *copy;
        for (size_t i = 0; i < count; i++)
            at = at->sh_next;
        copy = (sip_header_t *)msg_header_dup_one(msg_home(msg), (const msg_header_t *)at);
        if (!copy || sip_header_insert(msg, sip, copy) < 0)
            return -1;
    }
    return 0;
}

void
b2bua_pass_response(struct b2bua_call *c, enum call_leg leg, uint8_t dialog, nta_incoming_t *irq,
                    msg_t *in, const char *to_tag)
{
    const struct b2bua_peer *p = b2bua_peer_of(c, leg, dialog);
    msg_t *request = nta_incoming_getrequest(irq);
    const sip_t *r = request ? sip_object(request) : NULL;
    msg_t *msg = r ? msg_copy(in) : NULL;
    sip_t *sip = msg ? sip_object(msg) : NULL;
    int status = sip ? sip->sip_status->st_status : 0;
    bool is_opening = r && !r->sip_to->a_tag && status < 300;
    bool is_answer = status / 100 == 2 && nta_incoming_method(irq) == sip_method_invite;

    if (!sip || (nta_incoming_status(irq) >= 200 && status >= 300))
        goto done;
    /* only the 2xx to an INVITE is ever sent again (RFC 3261 section 13.3.1.4) */
    if (nta_incoming_status(irq) >= 200 &&
        (status < 200 || nta_incoming_method(irq) != sip_method_invite))
        goto done;
    strip(msg, sip, &sip->sip_via);
    strip(msg, sip, &sip->sip_record_route);
    strip(msg, sip, &sip->sip_from);
    strip(msg, sip, &sip->sip_to);
    strip(msg, sip, &sip->sip_call_id);
    strip(msg, sip, &sip->sip_cseq);
    if (add_list(msg, sip, (sip_header_t *)r->sip_via) < 0 ||
        sip_add_dup(msg, sip, (sip_header_t *)r->sip_from) < 0 ||
        sip_add_dup(msg, sip, (sip_header_t *)r->sip_to) < 0 ||
        sip_add_dup(msg, sip, (sip_header_t *)r->sip_call_id) < 0 ||
        sip_add_dup(msg, sip, (sip_header_t *)r->sip_cseq) < 0)
        goto done;
    if (is_opening && r->sip_record_route &&
        add_list(msg, sip, (sip_header_t *)r->sip_record_route) < 0)
        goto done;
    if (!sip->sip_to->a_tag && to_tag && status > 100)
        set_tag(msg, sip->sip_to, to_tag);
    if (status < 300 && (sip->sip_contact || is_answer) && p && !b2bua_set_contact(c, msg, sip, p))
        goto done;
    headers_release(msg, sip, p ? p->side : SIP_PHONES);
    sip_pack(msg, p ? p->side : SIP_PHONES);
    nta_incoming_mreply(irq, msg);
    msg = NULL;
done:
    msg_destroy(msg);
    msg_destroy(request);
}
