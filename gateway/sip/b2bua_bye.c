#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/sip/ask.h"
#include "gateway/sip/b2bua_bye.h"
#include "gateway/sip/b2bua_call.h"
#include "gateway/sip/silence.h"

struct b2bua_bye {
    struct list_node link; /* of b2bua.byes */
    struct b2bua *b2bua;
    msg_t *msg; /* as it was before it was sent */
    struct sip_target target;
    char *far_overlay; /* whose gateway it goes to; NULL: to a node of ours, or a phone */
    struct ask ask;
    nta_outgoing_t *orq;
    uint64_t again_ms; /* when it is sent once more; 0: it is under way */
    uint64_t doubt_ms; /* when silence is taken for an answer; 0: it is not silent */
    uint64_t until_ms;
    uint32_t pause_ms;
};

static void
free_bye(struct b2bua_bye *bye)
{
    list_remove(&bye->link);
    bye->b2bua->bye_count--;
    ask_cancel(&bye->ask);
    if (bye->orq)
        sip_send_end(bye->orq);
    if (bye->msg)
        msg_destroy(bye->msg);
    free(bye->far_overlay);
    free(bye);
}

static void
pause_bye(struct b2bua_bye *bye)
{
    uint64_t now_ms = sip_moment(bye->b2bua->sip).mono_ms;

    if (bye->orq)
        sip_send_end(bye->orq);
    bye->orq = NULL;
    bye->doubt_ms = 0;
    bye->again_ms = now_ms + bye->pause_ms;
    bye->pause_ms *= 2;
    if (bye->again_ms > bye->until_ms || !bye->target.next_hop[0])
        free_bye(bye);
}

/** Has nobody at the end of it spoken?  A node between, or this one, says 503, 500, 408 or 430. */
static bool
is_unheard(const sip_t *sip)
{
    int status = sip ? sip->sip_status->st_status : 503;

    return status == 503 || status == 500 || status == 408 || status == 430;
}

static int
on_response(nta_outgoing_magic_t *magic, nta_outgoing_t *orq, const sip_t *sip)
{
    struct b2bua_bye *bye = (struct b2bua_bye *)(void *)magic;

    (void)orq;
    bye->doubt_ms = 0;
    if (sip && sip->sip_status->st_status < 200)
        return 0;
    if (is_unheard(sip))
        pause_bye(bye);
    else
        free_bye(bye);
    return 0;
}

static void
send_bye(struct b2bua_bye *bye)
{
    msg_t *msg = msg_dup(bye->msg);

    bye->again_ms = 0;
    bye->doubt_ms = sip_moment(bye->b2bua->sip).mono_ms + B2BUA_SILENCE_MS;
    sip_object(bye->msg)->sip_cseq->cs_seq++;
    if (msg)
        bye->orq = sip_send(bye->b2bua->sip, &bye->target, msg, on_response,
                            (nta_outgoing_magic_t *)(void *)bye);
    bye->target.tport = NULL; /* borrowed */
    if (!bye->orq)
        pause_bye(bye);
}

/** Whoever is the far overlay's gateway now; the one it was sent to, if the ring names no other. */
static void
on_gateways(void *ctx, const struct answer *answer)
{
    struct b2bua_bye *bye = ctx;
    size_t was_len = strcspn(bye->target.next_hop, ";");

    for (size_t i = 0; answer->status == ST_OK && i < answer->count; i++) {
        const char *uri = answer->gateway[i].uri;
        size_t len = strcspn(uri, ";");

        if (len == was_len && strncasecmp(uri, bye->target.next_hop, len) == 0)
            continue;
        snprintf(bye->target.next_hop, sizeof(bye->target.next_hop), "%.*s;transport=tls",
                 (int)(len < 200 ? len : 200), uri);
        break;
    }
    send_bye(bye);
}

static void
send_again(struct b2bua_bye *bye)
{
    bye->again_ms = 0;
    if (!bye->far_overlay) {
        send_bye(bye);
        return;
    }
    bye->ask = (struct ask){.done = on_gateways, .ctx = bye};
    list_init(&bye->ask.link);
    ask_resolve(bye->b2bua->sip, bye->far_overlay, true, &bye->ask);
}

static struct b2bua_bye *
new_bye(struct b2bua *b, msg_t *msg, const struct sip_target *target)
{
    struct b2bua_bye *bye = b->bye_count < B2BUA_BYES_MAX ? calloc(1, sizeof(*bye)) : NULL;

    if (!bye)
        return NULL;
    bye->b2bua = b;
    bye->msg = msg;
    bye->target = *target;
    bye->pause_ms = B2BUA_BYE_PAUSE_MS;
    bye->until_ms = sip_moment(b->sip).mono_ms + B2BUA_BYE_MS;
    list_init(&bye->ask.link);
    list_append(&b->byes, &bye->link);
    b->bye_count++;
    return bye;
}

void
b2bua_say_bye(struct b2bua_call *c, enum call_leg leg, uint8_t dialog)
{
    struct b2bua *b = c->b2bua;
    struct b2bua_peer *p = b2bua_peer_of(c, leg, dialog);
    msg_t *msg = b2bua_own_request(c, leg, dialog, sip_method_bye, ++c->cseq[leg]);
    struct sip_target target;
    struct b2bua_bye *bye;

    if (!msg)
        return;
    b2bua_peer_target(b, p, &target);
    bye = new_bye(b, msg, &target);
    if (!bye) {
        (void)sip_send(b->sip, &target, msg, NULL, NULL);
        return;
    }
    if (p->side == SIP_GATEWAYS && c->far_overlay)
        bye->far_overlay = strdup(c->far_overlay);
    send_bye(bye);
}

/** A node says 100 at once: one that does not may be dead, or hang. */
static void
give_up(struct b2bua_bye *bye)
{
    silence_give_up(bye->b2bua->sip, bye->orq, B2BUA_SILENCE_MS);
    pause_bye(bye);
}

void
b2bua_bye_tick(struct b2bua *b, uint64_t now_ms)
{
    struct list_node *next;

    for (struct list_node *at = b->byes.next; at != &b->byes; at = next) {
        struct b2bua_bye *bye = list_entry(at, struct b2bua_bye, link);

        next = at->next;
        if (bye->again_ms > 0 && bye->again_ms <= now_ms)
            send_again(bye);
        else if (bye->orq && bye->doubt_ms > 0 && bye->doubt_ms <= now_ms)
            give_up(bye);
    }
}

void
b2bua_bye_free(struct b2bua *b)
{
    while (!list_is_empty(&b->byes))
        free_bye(list_entry(b->byes.next, struct b2bua_bye, link));
}
