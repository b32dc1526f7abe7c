#include "gateway/sip/registrar.h"
#include "gateway/sip/domain.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <sofia-sip/hostdomain.h>
#include <sofia-sip/sip_tag.h>
#include <sofia-sip/sip_util.h>

#include "base/text.h"

#include "gateway/sip/flow.h"
#include "gateway/sip/origin.h"
#include "gateway/sip/registration.h"

#define MALFORMED_EXPIRES_S  3600        /* RFC 3261 sections 10.2.1.1 and 20.10 */
#define SECONDS_1900_TO_1970 2208988800u /* the library's dates count from 1900 */

/* A Call-ID too long to be stored is stored as its hash: all that is asked of it is to be the same.
 */
static void
copy_call_id(struct sip *s, const char *id, char out[CALL_ID_BYTES])
{
    if (strlen(id) < CALL_ID_BYTES)
        memcpy(out, id, strlen(id) + 1);
    else
        snprintf(out, CALL_ID_BYTES, "#%016llx",
                 (unsigned long long)map_hash(s->seed, slice_text(id)));
}

/* q in thousandths; without one, or with one that is none, 1 (RFC 3261 sections 16.6 and 20.10). */
static uint16_t
q_of(const char *q)
{
    unsigned value = 0;
    unsigned unit = 1000;

    if (!q || (*q != '0' && *q != '1') || (q[1] && q[1] != '.'))
        return 1000;
    value = *q == '1' ? 1000 : 0;
    for (const char *at = q[1] ? q + 2 : q + 1; *at; at++) {
        if (!isdigit((unsigned char)*at) || at - q > 4)
            return 1000;
        unit /= 10;
        value += (unsigned)(*at - '0') * unit;
    }
    return (uint16_t)(value > 1000 ? 1000 : value);
}

/* RFC 3261 section 10.2.1.1: digits; values over 2^32 - 1 are as good as that. */
static uint32_t
delta_of(const char *text)
{
    uint64_t value = 0;

    if (!*text)
        return MALFORMED_EXPIRES_S;
    for (; *text; text++) {
        if (!isdigit((unsigned char)*text))
            return MALFORMED_EXPIRES_S;
        value = value * 10 + (uint64_t)(*text - '0');
        if (value > UINT32_MAX)
            value = UINT32_MAX;
    }
    return (uint32_t)value;
}

/* Is a header field there that the library could not read? */
static bool
is_malformed(const sip_t *sip, const char *name, const char *short_name)
{
    for (const sip_error_t *e = sip->sip_error; e; e = e->er_next)
        if (e->er_name &&
            (strcasecmp(e->er_name, name) == 0 || strcasecmp(e->er_name, short_name) == 0))
            return true;
    return false;
}

static uint32_t
expires_of(const struct sip *s, const sip_t *sip, const sip_contact_t *m)
{
    uint32_t wanted = s->conf.default_expires_s;

    if (m->m_expires)
        wanted = delta_of(m->m_expires);
    else if (sip->sip_expires)
        wanted = sip->sip_expires->ex_delta > UINT32_MAX ? UINT32_MAX
                                                         : (uint32_t)sip->sip_expires->ex_delta;
    else if (is_malformed(sip, "Expires", "Expires"))
        wanted = MALFORMED_EXPIRES_S;
    return wanted > s->conf.max_expires_s ? s->conf.max_expires_s : wanted;
}

static void
instance_of(const sip_contact_t *m, char out[INSTANCE_BYTES])
{
    const char *value = msg_header_find_param(m->m_common, "+sip.instance=");
    size_t len = value ? strlen(value) : 0;

    if (len >= 2 && value[0] == '"' && len - 2 < INSTANCE_BYTES) {
        memcpy(out, value + 1, len - 2);
        out[len - 2] = '\0';
    }
}

/* RFC 5626 section 6: it counts with an instance and where the phone says that it means it. */
static uint32_t
reg_id_of(const sip_t *sip, const sip_contact_t *m, const char *instance)
{
    const char *value = msg_header_find_param(m->m_common, "reg-id=");

    if (!value || !instance[0] || !sip_has_feature(sip->sip_supported, "outbound"))
        return 0;
    return delta_of(value) < 1u << 31 ? delta_of(value) : 0;
}

/* The URI as text, NULL where it has no room. */
static char *
uri_text(const url_t *url)
{
    char text[PHONE_URI_BYTES];
    issize_t len = url_e(text, sizeof(text), url);

    return len > 0 && (size_t)len < sizeof(text) ? strdup(text) : NULL;
}

/* A contact that is a user of the overlay is no phone's address: it is looked up again. */
static bool
is_on_connection(const struct sip *s, const sip_t *sip, const sip_contact_t *m, uint32_t reg_id,
                 const struct sip_sender *sender)
{
    if (sip_domain_is_local(s, m->m_url->url_host))
        return false;
    return reg_id != 0 || flow_binds(sender, sip->sip_via, m->m_url);
}

static int
read_contact(struct registration *r, const sip_t *sip, const sip_contact_t *m,
             const struct sip_sender *sender)
{
    struct sip *s = r->sip;
    struct wanted *w = &r->wanted[r->count];

    if ((m->m_url->url_type != url_sip && m->m_url->url_type != url_sips) || !m->m_url->url_host ||
        sip_has_control(m->m_url) ||
        text_has_control(msg_header_find_param(m->m_common, "+sip.instance=")))
        return 400; /* the other peers could not read the binding */
    w->expires_s = expires_of(s, sip, m);
    if (w->expires_s > 0 && w->expires_s < s->conf.min_expires_s)
        return 423;
    w->uri = uri_text(m->m_url);
    if (!w->uri)
        return 513;
    r->count++;
    w->q_thousandths = q_of(m->m_q);
    instance_of(m, w->instance);
    w->reg_id = reg_id_of(sip, m, w->instance);
    r->has_outbound = r->has_outbound || w->reg_id;
    /* behind an edge proxy it is reached by that, whose connection this one is */
    w->is_on_connection = !r->path && is_on_connection(s, sip, m, w->reg_id, sender);
    if (w->expires_s > 0)
        r->origin = origin_of(s, sender);
    if (w->expires_s > 0 && !r->path && (w->is_on_connection || tport_is_reliable(sender->tport)))
        w->flow = flow_of(s, sender);
    return 0;
}

/* May requests go there: an address, by UDP or TCP, and not this very node? */
static bool
is_usable_hop(const struct sip *s, const url_t *url)
{
    char hop[SIP_URI_BYTES];
    char *text = uri_text(url);
    bool is_usable =
        text && url->url_type == url_sip && !sip_is_own_url(s, url) && sip_next_hop(text, hop);

    free(text);
    return is_usable;
}

/* The Routes that edge proxies have put before the phone (RFC 3327 section 5.3).  0, or the status
 * that refuses it. */
static int
read_path(struct registration *r, const sip_t *sip)
{
    su_home_t home[1] = {SU_HOME_INIT(home)};
    size_t len = 0;
    FILE *out;

    if (!sip->sip_path)
        return 0;
    if (!r->has_path)
        return 420;
    if (!is_usable_hop(r->sip, sip->sip_path->r_url))
        return 400;
    out = open_memstream(&r->path, &len);
    if (!out)
        return 500;
    su_home_init(home);
    for (const sip_path_t *p = sip->sip_path; p; p = p->r_next) {
        const char *text = sip_header_as_string(home, (const sip_header_t *)p);

        fprintf(out, "%s%s", ftell(out) > 0 ? ", " : "", text ? text : "");
    }
    su_home_deinit(home);
    fclose(out);
    return len < PHONE_URI_BYTES ? 0 : 513;
}

/* 0, or the status that refuses it. */
static int
read_contacts(struct registration *r, const sip_t *sip, const struct sip_sender *sender)
{
    if (is_malformed(sip, "Contact", "m"))
        return 400;
    r->is_query = !sip->sip_contact;
    for (const sip_contact_t *m = sip->sip_contact; m; m = m->m_next) {
        int status;

        if (m->m_url->url_type == url_any) {
            /* RFC 3261 section 10.3 item 6: "*" stands alone and with Expires: 0 */
            if (m != sip->sip_contact || m->m_next || !sip->sip_expires ||
                sip->sip_expires->ex_delta != 0)
                return 400;
            r->is_star = true;
            return 0;
        }
        if (r->count >= BINDING_CONTACTS_MAX)
            return 500;
        status = read_contact(r, sip, m, sender);
        if (status)
            return status;
    }
    return 0;
}

/* ---- what is said back
 * --------------------------------------------------------------------------------- */

void
registration_refuse(struct registration *r, int status, const char *phrase, unsigned retry_after_s)
{
    if (r->irq)
        sip_reply(r->irq, status, phrase, retry_after_s);
    registration_end(r);
}

/* "<uri>;q=0.5;expires=60" */
static void
print_contact(FILE *out, const struct binding_contact *c, uint64_t wall_ms)
{
    uint64_t left_ms = c->expires_at_wall_ms > wall_ms ? c->expires_at_wall_ms - wall_ms : 0;
    unsigned q = c->q_thousandths;

    fprintf(out, "%s<%s>", ftell(out) > 0 ? ", " : "", c->uri);
    if (q < 1000)
        fprintf(out, ";q=0.%0*u",
                q % 10    ? 3
                : q % 100 ? 2
                          : 1,
                q % 10    ? q
                : q % 100 ? q / 10
                          : q / 100);
    if (c->instance[0])
        fprintf(out, ";+sip.instance=\"%s\"", c->instance);
    if (c->reg_id)
        fprintf(out, ";reg-id=%u", c->reg_id);
    fprintf(out, ";expires=%llu", (unsigned long long)((left_ms + 500) / 1000));
}

/* All bindings of the AOR, this node's and the other peers' (RFC 3261 section 10.3 item 8). NULL
 * without memory. */
static char *
contacts_text(const struct registration *r, struct location_contact *const *contact, size_t count)
{
    uint64_t wall_ms = sip_moment(r->sip).wall_ms;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    if (!out)
        return NULL;
    for (size_t i = 0; i < count; i++)
        print_contact(out, &contact[i]->binding, wall_ms);
    for (size_t k = 0; k < r->record_count; k++)
        for (size_t i = 0; i < r->record[k]->contact_count; i++)
            if (peer_bindings_is_listed(r, k, i, wall_ms))
                print_contact(out, &r->record[k]->contact[i], wall_ms);
    fclose(out);
    return text;
}

/* RFC 3327 section 5.3: the Path of what was registered, to a phone that understands it. */
static void
path_text(const struct registration *r, struct location_contact *const *contact, size_t count,
          char out[SIP_URI_BYTES + 8])
{
    char path[SIP_URI_BYTES];

    out[0] = '\0';
    if (r->path)
        return; /* and those before it go on by its own */
    for (size_t i = 0; r->has_path && i < count; i++)
        if (r->count > 0 && registration_is_same(&contact[i]->binding, &r->wanted[0]) &&
            binding_path(location_peer_uri(r->sip), contact[i]->binding.token, path)) {
            snprintf(out, SIP_URI_BYTES + 8, "<%s;lr>", path);
            return;
        }
}

static void
reply_ok(const struct registration *r, struct location_contact *const *contact, size_t count,
         const char *contacts)
{
    su_home_t home[1] = {SU_HOME_INIT(home)};
    sip_time_t now = (sip_time_t)(sip_moment(r->sip).wall_ms / 1000 + SECONDS_1900_TO_1970);
    char path[SIP_URI_BYTES + 8];

    path_text(r, contact, count, path);
    su_home_init(home);
    nta_incoming_treply(r->irq, SIP_200_OK, SIPTAG_DATE(sip_date_create(home, now)),
                        TAG_IF(contacts[0], SIPTAG_CONTACT_STR(contacts)),
                        TAG_IF(path[0], SIPTAG_PATH_STR(path)),
                        TAG_IF(r->path, SIPTAG_PATH_STR(r->path)),
                        TAG_IF(r->has_outbound, SIPTAG_REQUIRE_STR("outbound")), TAG_END());
    su_home_deinit(home);
}

void
registration_done(void *ctx, enum status st, struct location_contact *const *contact, size_t count)
{
    struct registration *r = ctx;
    char *contacts = st ? NULL : contacts_text(r, contact, count);
    /* what stops all registrations, and not only this one */
    bool is_node = st == ST_LIMIT || st == ST_NOMEM || st == ST_STATE;

    if (st)
        log_write(LOG_LEVEL_WARN, "sip", "%s: registration is not stored: %s", r->change.aor,
                  status_text(st));
    if (contacts && r->irq)
        reply_ok(r, contact, count, contacts);
    else if (r->irq)
        sip_reply(r->irq, is_node ? 503 : 500, "Location service unavailable", SIP_RETRY_AFTER_S);
    free(contacts);
    registration_end(r);
}

/* ---- the beginning
 * ------------------------------------------------------------------------------------ */

/* Another overlay has the name though it is inside ours: that one's nodes are to be registered at.
 */
static void
refuse_foreign(struct registration *r, const char *warning)
{
    nta_incoming_treply(r->irq, SIP_403_FORBIDDEN, SIPTAG_WARNING_STR(warning), TAG_END());
    registration_end(r);
}

/* Whose registration is it?  0, or the status that refuses it. */
static int
check(struct sip *s, const sip_t *sip, char aor[AOR_BYTES])
{
    const url_t *url = sip->sip_request->rq_url;

    /* RFC 3261 section 10.3 item 1: another domain's registrar is meant; an address is this node's
     */
    if (url->url_host && !sip_domain_is_local(s, url->url_host) && !sip_is_own_url(s, url) &&
        !host_is_ip_address(url->url_host))
        return 404;
    if (sip->sip_to->a_url->url_type != url_sip && sip->sip_to->a_url->url_type != url_sips)
        return 400;
    if (!sip_domain_is_local(s, sip->sip_to->a_url->url_host))
        return 404; /* RFC 3261 section 10.3 item 5 */
    if (!sip_domain_is_local(s, sip->sip_from->a_url->url_host) ||
        sip_is_reserved(s, sip->sip_to->a_url))
        return 403;
    return sip_aor_of(sip->sip_to->a_url, aor) ? 400 : 0;
}

/* Option tags of Require that this registrar does not know: "a, b", NULL for none. */
static char *
unsupported_text(const sip_t *sip)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out;

    if (!sip->sip_require)
        return NULL;
    out = open_memstream(&text, &len);
    for (msg_param_t const *at = sip->sip_require->k_items; out && at && *at; at++)
        if (strcasecmp(*at, "path") != 0 && strcasecmp(*at, "outbound") != 0)
            fprintf(out, "%s%s", ftell(out) > 0 ? ", " : "", *at);
    if (out)
        fclose(out);
    if (text && text[0])
        return text;
    free(text);
    return NULL;
}

/* True: refused, for an extension that is required of us (RFC 3261 section 8.2.2.3). */
static bool
refuse_extension(struct registration *r, const sip_t *sip)
{
    char *unsupported = unsupported_text(sip);

    if (!unsupported)
        return false;
    nta_incoming_treply(r->irq, SIP_420_BAD_EXTENSION, SIPTAG_UNSUPPORTED_STR(unsupported),
                        TAG_END());
    free(unsupported);
    registration_end(r);
    return true;
}

/* So the phone hears that a proxy has put a Path there which it does not know of (RFC 3327 section
 * 5.3). */
static void
refuse_path(struct registration *r)
{
    nta_incoming_treply(r->irq, SIP_420_BAD_EXTENSION, SIPTAG_UNSUPPORTED_STR("path"), TAG_END());
    registration_end(r);
}

static void
refuse_brief(struct registration *r)
{
    char min_expires[16];

    snprintf(min_expires, sizeof(min_expires), "%u", r->sip->conf.min_expires_s);
    nta_incoming_treply(r->irq, SIP_423_INTERVAL_TOO_BRIEF, SIPTAG_MIN_EXPIRES_STR(min_expires),
                        TAG_END());
    registration_end(r);
}

/* Another serving peer passes on what a phone has removed: it binds nothing here. */
static bool
is_removal(const struct registration *r)
{
    for (size_t i = 0; i < r->count; i++)
        if (r->wanted[i].expires_s > 0)
            return false;
    return !r->is_query;
}

/* Is there anything of the AOR here?  If not, what an earlier run of this node has stored counts.
 */
static bool
is_served(const struct registration *r)
{
    size_t count;

    return location_find(r->sip, r->change.aor, &count) && count > 0;
}

static const char *
phrase_of(int status)
{
    return status == 500   ? "Too many contacts"
           : status == 513 ? "Contact or Path is longer than 2048 bytes"
                           : NULL;
}

static bool
is_too_much(const struct registration *r)
{
    size_t bindings;

    if (r->is_of_peer)
        return false;
    (void)location_find(r->sip, r->change.aor, &bindings);
    if (registration_has_room(r->sip->registration_count, bindings))
        return false;
    log_write(LOG_LEVEL_REMOTE, "sip", "REGISTER for %s refused: %zu are under way", r->change.aor,
              r->sip->registration_count);
    return true;
}

void
registrar_on_request(struct sip *s, nta_incoming_t *irq, const sip_t *sip,
                     const struct sip_sender *sender)
{
    struct registration *r = calloc(1, sizeof(*r));
    char warning[DOMAIN_WARNING_BYTES];
    int status;

    if (!r) {
        sip_reply(irq, 503, NULL, SIP_RETRY_AFTER_S);
        nta_incoming_destroy(irq);
        return;
    }
    *r = (struct registration){.sip = s, .irq = irq, .cseq = sip->sip_cseq->cs_seq};
    list_append(&s->registrations, &r->link);
    s->registration_count++;
    list_init(&r->change.link);
    r->is_of_peer = sender->side != SIP_PHONES;
    r->has_path = sip_has_feature(sip->sip_supported, "path");
    copy_call_id(s, sip->sip_call_id->i_id, r->call_id);
    if (refuse_extension(r, sip))
        return;
    if (domain_warning(s, sip->sip_to->a_url->url_host, warning)) {
        refuse_foreign(r, warning);
        return;
    }
    status = check(s, sip, r->change.aor);
    if (!status)
        status = read_path(r, sip);
    if (!status)
        status = read_contacts(r, sip, sender);
    if (!status && r->is_of_peer && !is_removal(r))
        status = 403;
    if (status == 423)
        refuse_brief(r);
    else if (status == 420)
        refuse_path(r);
    else if (status)
        registration_refuse(r, status, phrase_of(status), status == 500 ? SIP_RETRY_AFTER_S : 0);
    else if (is_too_much(r))
        registration_refuse(r, 503, NULL, SIP_RETRY_AFTER_S);
    else if (r->is_of_peer && is_served(r))
        registration_change(r);
    else
        peer_bindings_ask(r);
}

void
registrar_end_all(struct sip *s)
{
    while (!list_is_empty(&s->registrations))
        registration_end(list_entry(s->registrations.next, struct registration, link));
}
