#include "gateway/sip/registrar.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <sofia-sip/sip_tag.h>

#include "gateway/sip/flow.h"
#include "gateway/sip/location.h"

/* One REGISTER on its way. */
struct registration {
    struct location_change change;
    struct sip *sip;
    nta_incoming_t *irq;
    char call_id[CALL_ID_BYTES];
    uint32_t cseq;
    bool is_star;
    size_t count;
    struct location_contact wanted[BINDING_CONTACTS_MAX];
    uint32_t expires_s[BINDING_CONTACTS_MAX]; /* 0 removes */
};

static void
registration_end(struct registration *r)
{
    nta_incoming_destroy(r->irq);
    free(r);
}

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

/* q in thousandths; without a q, 1 (RFC 3261 section 20.10 leaves it open; RFC 3261 section 16.6).
 */
static uint16_t
q_of(const char *q)
{
    unsigned value = 0;
    unsigned unit = 1000;

    if (!q)
        return 1000;
    if (*q == '1')
        return 1000;
    q += strcspn(q, ".");
    for (unit = 100; *q == '.' || isdigit((unsigned char)*q); q++)
        if (*q != '.') {
            value += (unsigned)(*q - '0') * unit;
            unit /= 10;
        }
    return (uint16_t)(value > 1000 ? 1000 : value);
}

static uint32_t
expires_of(const struct sip *s, const sip_t *sip, const sip_contact_t *m)
{
    uint32_t wanted = s->conf.default_expires_s;

    if (m->m_expires) {
        /* A value that is no number counts as the default (RFC 3261 section 10.2.1.1). */
        char *end = NULL;
        unsigned long value = strtoul(m->m_expires, &end, 10);

        if (end && end != m->m_expires && *end == '\0')
            wanted = value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
    } else if (sip->sip_expires) {
        wanted = sip->sip_expires->ex_delta > UINT32_MAX ? UINT32_MAX
                                                         : (uint32_t)sip->sip_expires->ex_delta;
    }
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

static int
read_contact(struct registration *r, const sip_t *sip, const sip_contact_t *m,
             const struct sip_sender *sender)
{
    struct sip *s = r->sip;
    struct location_contact *c = &r->wanted[r->count];
    uint32_t expires_s = expires_of(s, sip, m);
    const char *reg_id;
    url_t url = *m->m_url;
    int len;

    if ((url.url_type != url_sip && url.url_type != url_sips) || !url.url_host)
        return 400;
    len = (int)url_e(c->binding.uri, (int)sizeof(c->binding.uri), &url);
    if (len <= 0 || len >= (int)sizeof(c->binding.uri))
        return 400;
    if (expires_s > 0 && expires_s < s->conf.min_expires_s)
        return 423;
    r->expires_s[r->count] = expires_s;
    c->binding.q_thousandths = q_of(m->m_q);
    c->binding.expires_at_wall_ms = sip_moment(s).wall_ms + (uint64_t)expires_s * 1000;
    memcpy(c->binding.call_id, r->call_id, sizeof(c->binding.call_id));
    c->binding.cseq = r->cseq;
    instance_of(m, c->binding.instance);
    reg_id = msg_header_find_param(m->m_common, "reg-id=");
    c->reg_id = reg_id ? (uint32_t)strtoul(reg_id, NULL, 10) : 0;
    c->binding.is_on_connection = flow_needed(sender, sip->sip_via, &url);
    if (expires_s > 0 && (c->binding.is_on_connection || tport_is_reliable(sender->tport)))
        c->flow = flow_of(s, sender);
    r->count++;
    return 0;
}

/* 0, or the status that refuses it. */
static int
read_contacts(struct registration *r, const sip_t *sip, const struct sip_sender *sender)
{
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
            return 403;
        status = read_contact(r, sip, m, sender);
        if (status)
            return status;
    }
    return 0;
}

static bool
is_same_contact(const struct location_contact *a, const struct location_contact *b)
{
    char text[2][SIP_URI_BYTES];
    url_t url[2];

    /* RFC 5626 section 6: the same instance and reg-id is the same phone at a new address */
    if (a->reg_id && a->reg_id == b->reg_id && a->binding.instance[0] &&
        strcmp(a->binding.instance, b->binding.instance) == 0)
        return true;
    memcpy(text[0], a->binding.uri, SIP_URI_BYTES);
    memcpy(text[1], b->binding.uri, SIP_URI_BYTES);
    return url_d(&url[0], text[0]) == 0 && url_d(&url[1], text[1]) == 0 &&
           location_url_equal(&url[0], &url[1]);
}

/* RFC 3261 section 10.3 items 6 and 7: the same Call-ID must come with a higher CSeq. */
static bool
is_late(const struct registration *r, const struct location_contact *c)
{
    return strcmp(c->binding.call_id, r->call_id) == 0 && r->cseq <= c->binding.cseq;
}

static void
refuse(struct registration *r, int status, const char *phrase)
{
    sip_reply(r->irq, status, phrase, 0);
    registration_end(r);
}

static bool
apply_star(struct registration *r, const struct location_contact *contact, size_t *count)
{
    for (size_t i = 0; i < *count; i++)
        if (is_late(r, &contact[i])) {
            refuse(r, 500, "CSeq is not higher than the last one");
            return false;
        }
    *count = 0;
    return true;
}

static bool
apply(void *ctx, struct location_contact *contact, size_t *count)
{
    struct registration *r = ctx;

    if (r->is_star)
        return apply_star(r, contact, count);
    for (size_t i = 0; i < r->count; i++) {
        size_t k = 0;

        while (k < *count && !is_same_contact(&contact[k], &r->wanted[i]))
            k++;
        if (k < *count && is_late(r, &contact[k]) && k < *count) {
            refuse(r, 500, "CSeq is not higher than the last one");
            return false;
        }
        if (r->expires_s[i] > 0) {
            if (k >= BINDING_CONTACTS_MAX) {
                refuse(r, 403, "Too many contacts");
                return false;
            }
            contact[k] = r->wanted[i];
            *count += k == *count;
        } else if (k < *count) {
            contact[k] = contact[--*count];
        }
    }
    return true;
}

/* "<uri>;q=0.5;expires=60, ..." */
static size_t
contacts_text(struct sip *s, const struct location_contact *contact, size_t count, char *out,
              size_t out_bytes)
{
    uint64_t wall_ms = sip_moment(s).wall_ms;
    size_t len = 0;

    out[0] = '\0';
    for (size_t i = 0; i < count && len < out_bytes; i++) {
        const struct binding_contact *b = &contact[i].binding;
        uint64_t left_ms = b->expires_at_wall_ms > wall_ms ? b->expires_at_wall_ms - wall_ms : 0;

        len += (size_t)snprintf(out + len, out_bytes - len, "%s<%s>", len ? ", " : "", b->uri);
        if (b->q_thousandths < 1000 && len < out_bytes) {
            unsigned q = b->q_thousandths;

            len += (size_t)snprintf(out + len, out_bytes - len, ";q=0.%0*u",
                                    q % 10    ? 3
                                    : q % 100 ? 2
                                              : 1,
                                    q % 10    ? q
                                    : q % 100 ? q / 10
                                              : q / 100);
        }
        if (b->instance[0] && len < out_bytes)
            len +=
                (size_t)snprintf(out + len, out_bytes - len, ";+sip.instance=\"%s\"", b->instance);
        if (len < out_bytes)
            len += (size_t)snprintf(out + len, out_bytes - len, ";expires=%llu",
                                    (unsigned long long)((left_ms + 500) / 1000));
    }
    return len;
}

static void
done(void *ctx, enum status st, const struct location_contact *contact, size_t count)
{
    struct registration *r = ctx;
    char text[BINDING_CONTACTS_MAX * (SIP_URI_BYTES + INSTANCE_BYTES + 64)];

    if (st) {
        log_write(LOG_LEVEL_WARN, "sip", "%s: registration is not stored: %s", r->change.aor,
                  status_text(st));
        sip_reply(r->irq, 503, "Location service unavailable", SIP_RETRY_AFTER_S);
        registration_end(r);
        return;
    }
    contacts_text(r->sip, contact, count, text, sizeof(text));
    nta_incoming_treply(r->irq, SIP_200_OK, TAG_IF(count > 0, SIPTAG_CONTACT_STR(text)), TAG_END());
    registration_end(r);
}

/* Whose registration is it, and may this sender make it?  0, or the status that refuses it. */
static int
check(struct sip *s, const sip_t *sip, const struct sip_sender *sender, char aor[AOR_BYTES])
{
    if (sender->side != SIP_PHONES)
        return 403;
    if (sip->sip_to->a_url->url_type != url_sip && sip->sip_to->a_url->url_type != url_sips)
        return 400;
    if (!sip_domain_is_local(s, sip->sip_to->a_url->url_host))
        return 404; /* RFC 3261 section 10.3 item 5 */
    if (!sip_domain_is_local(s, sip->sip_from->a_url->url_host))
        return 403;
    return sip_aor_of(sip->sip_to->a_url, aor) ? 400 : 0;
}

void
registrar_on_request(struct sip *s, nta_incoming_t *irq, const sip_t *sip,
                     const struct sip_sender *sender)
{
    struct registration *r = calloc(1, sizeof(*r));
    char min_expires[16];
    int status;

    if (!r) {
        sip_reply(irq, 503, NULL, SIP_RETRY_AFTER_S);
        nta_incoming_destroy(irq);
        return;
    }
    *r = (struct registration){.sip = s, .irq = irq, .cseq = sip->sip_cseq->cs_seq};
    r->change.apply = apply;
    r->change.done = done;
    r->change.ctx = r;
    copy_call_id(s, sip->sip_call_id->i_id, r->call_id);
    status = check(s, sip, sender, r->change.aor);
    if (!status)
        status = read_contacts(r, sip, sender);
    if (status == 423) {
        snprintf(min_expires, sizeof(min_expires), "%u", s->conf.min_expires_s);
        nta_incoming_treply(irq, SIP_423_INTERVAL_TOO_BRIEF, SIPTAG_MIN_EXPIRES_STR(min_expires),
                            TAG_END());
        registration_end(r);
    } else if (status) {
        refuse(r, status, NULL);
    } else if (!sip->sip_contact) {
        size_t count;
        const struct location_contact *contact = location_find(s, r->change.aor, &count);

        done(r, ST_OK, contact, count);
    } else {
        location_change(s, &r->change);
    }
}
