#include "gateway/sip/b2bua_look.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <sofia-sip/sip_tag.h>

#include "gateway/sip/b2bua_call.h"

/** A question about the gateways of one overlay. */
struct look {
    struct b2bua *b2bua;
    char overlay[OVERLAY_NAME_BYTES]; /* "": a free place */
    struct ask ask;
};

/** An OPTIONS to a gateway that the ring does not name. */
struct ping {
    struct b2bua *b2bua;
    char overlay[OVERLAY_NAME_BYTES];
    struct id node;
    char successor[SIP_URI_BYTES]; /* a gateway in its place */
    nta_outgoing_t *orq;           /* NULL: a free place */
    uint64_t until_ms;
};

struct b2bua_looks {
    uint64_t next_ms;
    struct look look[B2BUA_LOOKS_MAX];
    struct ping ping[B2BUA_PINGS_MAX];
};

enum status
b2bua_looks_new(struct b2bua *b)
{
    b->looks = calloc(1, sizeof(*b->looks));
    return b->looks ? ST_OK : ST_NOMEM;
}

void
b2bua_looks_free(struct b2bua *b)
{
    if (!b->looks)
        return;
    for (size_t i = 0; i < B2BUA_LOOKS_MAX; i++)
        if (b->looks->look[i].overlay[0])
            ask_cancel(&b->looks->look[i].ask);
    for (size_t i = 0; i < B2BUA_PINGS_MAX; i++)
        if (b->looks->ping[i].orq)
            sip_send_end(b->looks->ping[i].orq);
    free(b->looks);
    b->looks = NULL;
}

/** Does it ring behind a far gateway, or may it? */
static bool
is_ringing(const struct b2bua_branch *b)
{
    return b->orq && b->is_heard && b->target.agent->side == SIP_GATEWAYS;
}

static bool
is_outward(const struct b2bua_call *c, const char *overlay)
{
    return !c->is_inward && c->initial &&
           (!overlay || strcasecmp(c->initial->overlay, overlay) == 0);
}

/* ---- is it there? ---- */

static void
lose_all(const struct ping *p)
{
    list_each(at, &p->b2bua->upstreams)
    {
        struct b2bua_call *c = list_entry(at, struct b2bua_call, upstream.link);

        if (!is_outward(c, p->overlay))
            continue;
        b2bua_call_hold(c);
        for (unsigned i = 0; c->initial && i < c->initial->count; i++) {
            struct b2bua_branch *branch = c->initial->branch[i];

            if (!is_ringing(branch) || !id_equal(&branch->node, &p->node))
                continue;
            if (call_state(c->core) >= CALL_CONFIRMED)
                b2bua_chase(branch, p->successor);
            b2bua_branch_lose(branch);
        }
        b2bua_call_release(c);
    }
}

static void
end_ping(struct ping *p, bool is_lost)
{
    struct ping ended = *p;
    char node[ID_TEXT_BYTES];

    sip_send_end(p->orq);
    *p = (struct ping){0};
    if (!is_lost)
        return;
    log_write(LOG_LEVEL_INFO, "sip",
              "%s: gateway %s is silent and has a successor: its calls go there", ended.overlay,
              id_text(&ended.node, node));
    lose_all(&ended);
}

static int
on_pong(nta_outgoing_magic_t *magic, nta_outgoing_t *orq, const sip_t *sip)
{
    struct ping *p = (struct ping *)(void *)magic;
    bool is_lost = !sip || nta_sip_is_internal(sip);

    if (p->orq == orq && (!sip || sip->sip_status->st_status >= 200))
        end_ping(p, is_lost);
    return 0;
}

static msg_t *
options(const struct b2bua *b, const struct sip_target *target)
{
    struct sip *s = b->sip;
    msg_t *msg = nta_msg_create(target->agent->nta, 0);
    sip_t *sip = msg ? sip_object(msg) : NULL;
    su_home_t *home = msg ? msg_home(msg) : NULL;
    char id[B2BUA_TOKEN_CHARS + 1];

    if (!sip)
        return NULL;
    sip_random_text(id, B2BUA_TOKEN_CHARS);
    sip_add_tl(msg, sip,
               SIPTAG_REQUEST_STR(su_sprintf(home, "OPTIONS %s SIP/2.0", target->next_hop)),
               SIPTAG_FROM_STR(su_sprintf(home, "<sip:%s>;tag=%s", s->conf.overlay, id)),
               SIPTAG_TO_STR(su_sprintf(home, "<%s>", target->next_hop)), SIPTAG_CALL_ID_STR(id),
               SIPTAG_CSEQ_STR("1 OPTIONS"), SIPTAG_MAX_FORWARDS_STR("1"), TAG_END());
    if (sip->sip_request && sip->sip_from && sip->sip_to && sip->sip_cseq && sip->sip_call_id)
        return msg;
    msg_destroy(msg);
    return NULL;
}

static struct ping *
find_place(struct b2bua_looks *all, const struct b2bua_branch *branch)
{
    struct ping *free_one = NULL;

    for (size_t i = 0; i < B2BUA_PINGS_MAX; i++) {
        struct ping *p = &all->ping[i];

        if (p->orq && id_equal(&p->node, &branch->node))
            return NULL; /* it is asked already */
        if (!p->orq)
            free_one = p;
    }
    return free_one;
}

static void
send_ping(struct b2bua *b, const char *overlay, const struct b2bua_branch *branch,
          const char *successor)
{
    struct ping *p = find_place(b->looks, branch);
    struct sip_target target = {.agent = branch->target.agent};
    msg_t *msg;

    if (!p)
        return;
    memcpy(target.next_hop, branch->target.next_hop, sizeof(target.next_hop));
    msg = options(b, &target);
    if (!msg)
        return;
    *p = (struct ping){
        .b2bua = b, .node = branch->node, .until_ms = sip_moment(b->sip).mono_ms + B2BUA_PING_MS};
    memcpy(p->overlay, overlay, sizeof(p->overlay));
    snprintf(p->successor, sizeof(p->successor), "%s", successor);
    p->orq = sip_send(b->sip, &target, msg, on_pong, (nta_outgoing_magic_t *)(void *)p);
}

/* ---- is it a gateway still? ---- */

static void
on_gateways(void *ctx, const struct answer *answer)
{
    struct look *l = ctx;
    struct look ended = *l;

    l->overlay[0] = '\0';
    if (answer->status != ST_OK || answer->count == 0)
        return; /* nobody is known to have its place */
    list_each(at, &ended.b2bua->upstreams)
    {
        const struct b2bua_call *c = list_entry(at, struct b2bua_call, upstream.link);

        if (!is_outward(c, ended.overlay))
            continue;
        for (unsigned i = 0; i < c->initial->count; i++)
            if (is_ringing(c->initial->branch[i]) &&
                !answer_names(answer, &c->initial->branch[i]->node))
                send_ping(ended.b2bua, ended.overlay, c->initial->branch[i],
                          answer->gateway[0].uri);
    }
}

static void
look_at(struct b2bua *b, const char *overlay)
{
    struct look *free_one = NULL;

    for (size_t i = 0; i < B2BUA_LOOKS_MAX; i++) {
        struct look *l = &b->looks->look[i];

        if (l->overlay[0] && strcasecmp(l->overlay, overlay) == 0)
            return;
        if (!l->overlay[0])
            free_one = l;
    }
    if (!free_one)
        return;
    *free_one = (struct look){.b2bua = b, .ask = {.done = on_gateways, .ctx = free_one}};
    memcpy(free_one->overlay, overlay, sizeof(free_one->overlay));
    list_init(&free_one->ask.link);
    ask_resolve(b->sip, overlay, true, &free_one->ask);
}

void
b2bua_looks_tick(struct b2bua *b, uint64_t now_ms)
{
    for (size_t i = 0; i < B2BUA_PINGS_MAX; i++)
        if (b->looks->ping[i].orq && b->looks->ping[i].until_ms <= now_ms)
            end_ping(&b->looks->ping[i], true);
    if (now_ms < b->looks->next_ms)
        return;
    b->looks->next_ms = now_ms + B2BUA_LOOK_MS;
    list_each(at, &b->upstreams)
    {
        const struct b2bua_call *c = list_entry(at, struct b2bua_call, upstream.link);
        bool rings = false;

        for (unsigned i = 0; is_outward(c, NULL) && i < c->initial->count; i++)
            rings = rings || is_ringing(c->initial->branch[i]);
        if (rings)
            look_at(b, c->initial->overlay);
    }
}
