#include <stdlib.h>
#include <string.h>
#include <strings.h>

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
