#include "gateway/sip/b2bua_check.h"

#include <string.h>
#include <strings.h>

#include "base/text.h"

/* Names in RFC 3261's long form, as the parser knows them. */
static bool
is_malformed(const sip_t *sip, const char *name)
{
    for (const sip_error_t *e = sip->sip_error; e; e = e->er_next)
        if (e->er_name && strcasecmp(e->er_name, name) == 0)
            return true;
    return false;
}

static bool
is_sip(const url_t *url)
{
    return (url->url_type == url_sip || url->url_type == url_sips) && url->url_host &&
           url->url_host[0];
}

static size_t
url_bytes(const url_t *url)
{
    return (size_t)url_len(url);
}

static bool
is_long(const char *text)
{
    return text && strlen(text) > B2BUA_URI_BYTES;
}

/** 0, 400 or 513. */
static int
check_contact(const sip_t *sip, bool is_needed)
{
    const sip_contact_t *m = sip->sip_contact;

    if (is_malformed(sip, "Contact"))
        return 400;
    if (!m)
        return is_needed ? 400 : 0;
    /* exactly one: section 8.1.1.8 */
    if (m->m_next || !is_sip(m->m_url) || sip_has_control(m->m_url))
        return 400;
    return url_bytes(m->m_url) > B2BUA_URI_BYTES ? 513 : 0;
}

/** 0, 400 or 513. */
static int
check_routes(const sip_t *sip)
{
    size_t bytes = 0;

    if (is_malformed(sip, "Record-Route"))
        return 400;
    for (const sip_record_route_t *r = sip->sip_record_route; r; r = r->r_next) {
        if (!is_sip(r->r_url) || sip_has_control(r->r_url))
            return 400;
        if (url_bytes(r->r_url) > B2BUA_URI_BYTES)
            return 513;
        bytes += url_bytes(r->r_url) + strlen("<>,");
    }
    return bytes > B2BUA_ROUTE_BYTES ? 513 : 0;
}

static bool
has_long_name(const sip_t *sip)
{
    return url_bytes(sip->sip_from->a_url) > B2BUA_URI_BYTES ||
           url_bytes(sip->sip_to->a_url) > B2BUA_URI_BYTES || is_long(sip->sip_call_id->i_id) ||
           is_long(sip->sip_from->a_tag) || is_long(sip->sip_to->a_tag);
}

int
b2bua_check_initial(const sip_t *sip, const char **ret_phrase)
{
    sip_method_t method = sip->sip_request->rq_method;
    bool is_opening =
        method == sip_method_invite || method == sip_method_subscribe || method == sip_method_refer;
    int status;

    if (url_bytes(sip->sip_request->rq_url) > B2BUA_URI_BYTES)
        return 414;
    if (has_long_name(sip))
        return 513;
    if (!is_opening)
        return 0;
    status = check_contact(sip, true);
    if (status == 400)
        *ret_phrase = "Contact must be one SIP URI";
    if (status)
        return status;
    status = check_routes(sip);
    if (status == 400)
        *ret_phrase = "Record-Route must be SIP URIs";
    return status;
}

int
b2bua_check_refresh(const sip_t *sip)
{
    return check_contact(sip, false);
}

int
b2bua_check_response(const sip_t *sip, bool is_answer)
{
    int contact = check_contact(sip, is_answer);
    int routes = check_routes(sip);

    if (contact == 400 || routes == 400 || text_has_control(sip->sip_to->a_tag))
        return 502;
    return contact || routes || is_long(sip->sip_to->a_tag) ? 500 : 0;
}
