#include "gateway/sip/registrar.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <sofia-sip/sip_tag.h>

#include "gateway/sip/flow.h"
#include "gateway/sip/location.h"
#include "gateway/sip/origin.h"

/* One Contact of a REGISTER. */
struct wanted {
    char *uri; /* the registration's own */
    char instance[INSTANCE_BYTES];
    uint16_t q_thousandths;
    uint32_t reg_id;    /* RFC 5626; 0: none */
    uint32_t expires_s; /* 0 removes */
    bool is_on_connection;
    uint64_t flow; /* 0: reached by its URI */
};

/* One REGISTER on its way. */
struct registration {
    struct location_change change;
    struct sip *sip;
    nta_incoming_t *irq;
    char call_id[CALL_ID_BYTES];
    uint32_t cseq;
    uint64_t origin; /* where it came from: origin.h */
    bool is_star;
    size_t count;
    struct wanted wanted[BINDING_CONTACTS_MAX];
};

static void
registration_end(struct registration *r)
{
    nta_incoming_destroy(r->irq);
    for (size_t i = 0; i < BINDING_CONTACTS_MAX; i++)
        free(r->wanted[i].uri);
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

/* The URI as text, NULL where it has no room. */
static char *
uri_text(const url_t *url)
{
    char text[PHONE_URI_BYTES];
    issize_t len = url_e(text, sizeof(text), url);

    return len > 0 && (size_t)len < sizeof(text) ? strdup(text) : NULL;
}

static int
read_contact(struct registration *r, const sip_t *sip, const sip_contact_t *m,
             const struct sip_sender *sender)
{
    struct sip *s = r->sip;
    struct wanted *w = &r->wanted[r->count];
    const char *reg_id = msg_header_find_param(m->m_common, "reg-id=");

    if ((m->m_url->url_type != url_sip && m->m_url->url_type != url_sips) || !m->m_url->url_host)
        return 400;
    w->expires_s = expires_of(s, sip, m);
    if (w->expires_s > 0 && w->expires_s < s->conf.min_expires_s)
        return 423;
    w->uri = uri_text(m->m_url);
    if (!w->uri)
        return 513;
    r->count++;
    w->q_thousandths = q_of(m->m_q);
    instance_of(m, w->instance);
    w->reg_id = reg_id ? (uint32_t)strtoul(reg_id, NULL, 10) : 0;
    w->is_on_connection = flow_needed(sender, sip->sip_via, m->m_url);
    if (w->expires_s > 0)
        r->origin = origin_of(s, sender);
    if (w->expires_s > 0 && (w->is_on_connection || tport_is_reliable(sender->tport)))
        w->flow = flow_of(s, sender);
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
is_same_contact(const struct binding_contact *a, const struct wanted *w)
{
    /* RFC 5626 section 6: the same instance and reg-id is the same phone at a new address */
    if (a->reg_id && w->reg_id && a->instance[0] && w->instance[0])
        return a->reg_id == w->reg_id && strcmp(a->instance, w->instance) == 0;
    return location_uri_equal(a->uri, w->uri);
}

/* RFC 3261 section 10.3 items 6 and 7: the same Call-ID must come with a higher CSeq. */
static bool
is_late(const struct registration *r, const struct binding_contact *c)
{
    return strcmp(c->call_id, r->call_id) == 0 && r->cseq <= c->cseq;
}

static void
refuse(struct registration *r, int status, const char *phrase)
{
    sip_reply(r->irq, status, phrase, 0);
    registration_end(r);
}

static bool
apply_star(struct registration *r, struct location_contacts *l)
{
    for (size_t i = 0; i < l->count; i++)
        if (is_late(r, &l->item[i]->binding)) {
            refuse(r, 500, "CSeq is not higher than the last one");
            return false;
        }
    while (l->count > 0)
        location_contacts_drop(l, l->count - 1);
    return true;
}

/* The binding as it will be; @was: as it is, or NULL. */
static struct location_contact *
contact_of(const struct registration *r, const struct wanted *w, const struct location_contact *was)
{
    uint64_t wall_ms = sip_moment(r->sip).wall_ms;
    char token[BINDING_TOKEN_BYTES];
    struct location_contact *made;
    const struct binding_contact c = {.uri = w->uri,
                                      .q_thousandths = w->q_thousandths,
                                      .expires_at_wall_ms = wall_ms + w->expires_s * 1000ull,
                                      .registered_at_wall_ms = wall_ms,
                                      .call_id = r->call_id,
                                      .cseq = r->cseq,
                                      .instance = w->instance,
                                      .reg_id = w->reg_id,
                                      .token = token,
                                      .is_on_connection = w->is_on_connection};

    if (was && !was->binding.is_on_connection == !w->is_on_connection)
        memcpy(token, was->binding.token, strlen(was->binding.token) + 1);
    else
        location_token_new(r->sip, w->is_on_connection, token);
    made = location_contact_new(&c, w->flow);
    if (made)
        made->origin = r->origin;
    return made;
}

static bool
apply(void *ctx, struct location_contacts *l)
{
    struct registration *r = ctx;

    if (r->is_star)
        return apply_star(r, l);
    for (size_t i = 0; i < r->count; i++) {
        const struct wanted *w = &r->wanted[i];
        struct location_contact *made;
        size_t k = 0;

        while (k < l->count && !is_same_contact(&l->item[k]->binding, w))
            k++;
        if (k < l->count && is_late(r, &l->item[k]->binding)) {
            refuse(r, 500, "CSeq is not higher than the last one");
            return false;
        }
        if (w->expires_s == 0) {
            if (k < l->count)
                location_contacts_drop(l, k);
            continue;
        }
        made = k < BINDING_CONTACTS_MAX ? contact_of(r, w, k < l->count ? l->item[k] : NULL) : NULL;
        if (!made) {
            refuse(r, 500, "Too many contacts");
            return false;
        }
        if (k < l->count)
            location_contact_release(l->item[k]);
        else
            l->count++;
        l->item[k] = made;
    }
    return true;
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

static void
done(void *ctx, enum status st, struct location_contact *const *contact, size_t count)
{
    struct registration *r = ctx;
    uint64_t wall_ms = sip_moment(r->sip).wall_ms;
    char *text = NULL;
    size_t len = 0;
    FILE *out = st ? NULL : open_memstream(&text, &len);

    if (!out) {
        log_write(LOG_LEVEL_WARN, "sip", "%s: registration is not stored: %s", r->change.aor,
                  status_text(st));
        sip_reply(r->irq, 500, "Location service unavailable", SIP_RETRY_AFTER_S);
        registration_end(r);
        return;
    }
    for (size_t i = 0; i < count; i++)
        print_contact(out, &contact[i]->binding, wall_ms);
    fclose(out);
    nta_incoming_treply(r->irq, SIP_200_OK, TAG_IF(count > 0, SIPTAG_CONTACT_STR(text)), TAG_END());
    free(text);
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
    if (!sip_domain_is_local(s, sip->sip_from->a_url->url_host) ||
        sip_is_reserved(s, sip->sip_to->a_url))
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
        struct location_contact *const *contact = location_find(s, r->change.aor, &count);

        done(r, ST_OK, contact, count);
    } else {
        location_change(s, &r->change);
    }
}
