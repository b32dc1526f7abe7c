/* REFER: its CSeq on both legs, and a colleague's Contact in its Refer-To. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <sofia-sip/hostdomain.h>

#include "base/aor.h"
#include "gateway/sip/b2bua_call.h"

#define REFERS 8 /* remembered: the last ones of a call */

struct refer {
    enum call_leg from;
    uint32_t in_cseq;  /* as it came */
    uint32_t out_cseq; /* as it was sent on */
};

struct b2bua_refers {
    unsigned count; /* all that there ever were */
    struct refer refer[REFERS];
};

static void
remember(struct b2bua_call *c, enum call_leg from, uint32_t in_cseq, uint32_t out_cseq)
{
    if (!c->refers)
        c->refers = calloc(1, sizeof(*c->refers));
    if (c->refers)
        c->refers->refer[c->refers->count++ % REFERS] = (struct refer){from, in_cseq, out_cseq};
}

/** The CSeq of a REFER at the leg that a request goes to, by what it is at the leg it comes from.
 */
static bool
cseq_at(const struct b2bua_refers *refers, enum call_leg leg, uint32_t cseq, uint32_t *ret)
{
    for (unsigned i = 0; refers && i < REFERS && i < refers->count; i++) {
        const struct refer *r = &refers->refer[(refers->count - 1 - i) % REFERS];
        bool is_referrer = r->from == leg;

        if ((is_referrer ? r->out_cseq : r->in_cseq) != cseq)
            continue;
        *ret = is_referrer ? r->in_cseq : r->out_cseq;
        return true;
    }
    return false;
}

/** The number that id is; 0 for other text, which is nobody's CSeq here. */
static uint32_t
cseq_of(const char *id)
{
    char *end;
    unsigned long number = strtoul(id, &end, 10);

    return id[0] >= '0' && id[0] <= '9' && !*end && number <= UINT32_MAX ? (uint32_t)number : 0;
}

/** "refer;id=7;x=y" with another id. */
static char *
event_with_id(su_home_t *home, const sip_event_t *o, uint32_t id)
{
    char *text = su_strdup(home, o->o_type);

    for (size_t i = 0; text && o->o_params && o->o_params[i]; i++)
        text = strncasecmp(o->o_params[i], "id=", 3) == 0
                   ? su_sprintf(home, "%s;id=%u", text, id)
                   : su_sprintf(home, "%s;%s", text, o->o_params[i]);
    return text;
}

void
b2bua_map_refer(struct b2bua_call *c, enum call_leg leg, uint32_t in_cseq, msg_t *msg, sip_t *sip)
{
    sip_method_t method = sip->sip_request->rq_method;
    sip_event_t *o = sip->sip_event;
    uint32_t id;
    char *text;

    if (method == sip_method_refer)
        remember(c, b2bua_other(leg), in_cseq, sip->sip_cseq->cs_seq);
    if ((method != sip_method_notify && method != sip_method_subscribe) || !o || !o->o_id ||
        strcasecmp(o->o_type, "refer") != 0 || !cseq_at(c->refers, leg, cseq_of(o->o_id), &id))
        return;
    text = event_with_id(msg_home(msg), o, id);
    if (!text)
        return;
    msg_header_remove(msg, (msg_pub_t *)sip, (msg_header_t *)o);
    sip_add_make(msg, sip, sip_event_class, text);
}

/* ---- a colleague's Contact ---- */

static bool
is_contact(const url_t *url, const char *uri)
{
    char text[PHONE_URI_BYTES];
    url_t contact[1];

    snprintf(text, sizeof(text), "%s", uri);
    return url_d(contact, text) == 0 && url_cmp(url, contact) == 0;
}

static bool
is_contact_of(const url_t *url, const struct answer *answer)
{
    for (size_t i = 0; i < answer->count; i++)
        for (unsigned k = 0; k < answer->binding[i]->contact_count; k++)
            if (is_contact(url, answer->binding[i]->contact[k].uri))
                return true;
    return false;
}

static void
on_user(void *ctx, const struct answer *answer)
{
    struct b2bua_exchange *x = ctx;
    msg_t *request = nta_incoming_getrequest(x->irq);

    if (!is_contact_of(sip_object(request)->sip_refer_to->r_url, answer)) {
        free(x->refer_aor);
        x->refer_aor = NULL;
    }
    msg_destroy(request);
    b2bua_exchange_go(x);
}

bool
b2bua_refer_ask(struct b2bua_exchange *x, const sip_t *sip)
{
    const struct b2bua_peer *p = b2bua_peer_of(x->call, x->from, x->dialog);
    struct b2bua *b = x->call->b2bua;
    char aor[AOR_BYTES];
    url_t user[1];

    if (sip->sip_request->rq_method != sip_method_refer || !sip->sip_refer_to || !p ||
        p->side == SIP_GATEWAYS || !host_is_ip_address(sip->sip_refer_to->r_url->url_host) ||
        b2bua_place_is(b, sip->sip_refer_to->r_url))
        return false;
    *user = *sip->sip_refer_to->r_url;
    user->url_host = sip->sip_from->a_url->url_host;
    if (!user->url_user || sip_aor_of(user, aor) != ST_OK)
        return false;
    x->refer_aor = strdup(aor);
    if (!x->refer_aor)
        return false;
    x->ask = (struct ask){.done = on_user, .ctx = x};
    list_init(&x->ask.link);
    ask_lookup(b->sip, aor, &x->ask);
    return true;
}

void
b2bua_refer_to_user(const struct b2bua_exchange *x, msg_t *msg, sip_t *sip)
{
    char uri[AOR_URI_BYTES(AOR_BYTES) + 1];
    const char *headers;
    url_t *url;

    if (!x->refer_aor || !sip->sip_refer_to || aor_to_uri(x->refer_aor, uri, sizeof(uri)) != ST_OK)
        return;
    url = url_make(msg_home(msg), uri);
    if (!url)
        return;
    headers = sip->sip_refer_to->r_url->url_headers;
    *sip->sip_refer_to->r_url = *url;
    sip->sip_refer_to->r_url->url_headers = headers;
    sip_fragment_clear(sip->sip_refer_to->r_common);
}
