#include "gateway/sip/twin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sofia-sip/sip_util.h>

#include "gateway/sip/header_policy.h"
#include "gateway/sip/send.h"

struct twin {
    struct list_node link;   /* ANSWERED: by until_ms */
    struct forward *forward; /* RINGING */
    msg_t *ok;               /* ANSWERED: as the phone sent it */
    uint64_t until_ms;
    char *key;
};

struct twins {
    struct sip *sip;
    struct map *by_key;
    struct list_node answered;
};

struct twins *
twins_new(struct sip *s)
{
    struct twins *t = calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    t->sip = s;
    list_init(&t->answered);
    t->by_key = map_new(s->seed, 0);
    if (t->by_key)
        return t;
    free(t);
    return NULL;
}

static void
drop(struct twins *t, struct twin *one)
{
    if (map_get(t->by_key, slice_text(one->key)) == one)
        map_remove(t->by_key, slice_text(one->key));
    list_remove(&one->link);
    msg_destroy(one->ok);
    free(one->key);
    free(one);
}

void
twins_free(struct twins *t)
{
    struct map_cursor at = {0};

    if (!t)
        return;
    while (map_next(t->by_key, &at))
        drop(t, at.value);
    map_free(t->by_key);
    free(t);
}

static char *
write_key(const char *loop_key, const sip_t *sip)
{
    size_t bytes = strlen(loop_key) + strlen(sip->sip_call_id->i_id) + 1;
    char *key = malloc(bytes);

    if (key)
        snprintf(key, bytes, "%s%s", loop_key, sip->sip_call_id->i_id);
    return key;
}

void
twin_note(struct forward *f)
{
    struct twins *t = f->proxy->twins;
    struct twin *one;

    if (!f->is_invite || f->is_dialog || !f->is_from_gateway)
        return;
    one = calloc(1, sizeof(*one));
    if (!one)
        return; /* should the gateway be lost, it rings twice */
    list_init(&one->link);
    one->forward = f;
    one->key = write_key(f->loop_key, f->request);
    if (one->key && !map_get(t->by_key, slice_text(one->key)) &&
        map_put(t->by_key, slice_text(one->key), one, NULL) == ST_OK) {
        f->twin = one;
        return;
    }
    free(one->key);
    free(one);
}

bool
twin_rings(const struct sip *s, const char *call_id)
{
    size_t len = strlen(call_id);
    struct map_cursor at = {0};

    while (map_next(s->proxy->twins->by_key, &at)) {
        const struct twin *one = at.value;
        size_t key_len = strlen(one->key);

        if (key_len > len && strcmp(one->key + key_len - len, call_id) == 0)
            return true;
    }
    return false;
}

void
twin_forget(struct forward *f)
{
    if (f->twin && f->twin->forward == f && !f->twin->ok)
        drop(f->proxy->twins, f->twin);
    else if (f->twin)
        f->twin->forward = NULL;
    f->twin = NULL;
}

void
twin_answered(struct forward *f, msg_t *msg)
{
    struct twins *t = f->proxy->twins;

    if (!f->twin || f->twin->ok)
        return;
    f->twin->ok = msg_copy(msg);
    f->twin->until_ms = sip_moment(t->sip).mono_ms + TWIN_ANSWERED_MS;
    list_append(&t->answered, &f->twin->link);
}

void
twin_tick(struct sip *s)
{
    struct twins *t = s->proxy->twins;
    uint64_t now_ms = sip_moment(s).mono_ms;

    while (!list_is_empty(&t->answered)) {
        struct twin *one = list_entry(t->answered.next, struct twin, link);

        if (one->until_ms > now_ms)
            return;
        if (one->forward)
            one->forward->twin = NULL;
        drop(t, one);
    }
}

/* ---- the responses ---- */

/* In the order in which they stand: the library puts each before the last. */
static void
put_vias(msg_t *msg, sip_t *sip, const sip_via_t *list)
{
    sip_via_t *copy = sip_via_dup(msg_home(msg), list);

    while (sip->sip_via)
        sip_via_remove(msg, sip);
    if (copy)
        msg_header_insert(msg, (msg_pub_t *)sip, (msg_header_t *)copy);
}

void
twin_readdress(const struct forward *f, msg_t *msg, sip_t *sip)
{
    msg_t *request = f->is_moved ? nta_incoming_getrequest(f->irq) : NULL;

    if (request)
        put_vias(msg, sip, sip_object(request)->sip_via);
    msg_destroy(request);
}

static void
answer(const struct twin *one, nta_incoming_t *irq)
{
    msg_t *request = nta_incoming_getrequest(irq);
    msg_t *msg = msg_copy(one->ok);
    sip_t *sip = msg ? sip_object(msg) : NULL;

    if (request && sip) {
        put_vias(msg, sip, sip_object(request)->sip_via);
        headers_release(msg, sip, SIP_PEERS);
        sip_pack(msg, SIP_PEERS);
        nta_incoming_mreply(irq, msg);
    } else {
        msg_destroy(msg);
        sip_reply(irq, 500, NULL, SIP_RETRY_AFTER_S);
    }
    msg_destroy(request);
    nta_incoming_destroy(irq);
}

bool
twin_take(struct sip *s, nta_incoming_t *irq, msg_t *msg, const struct sip_sender *sender)
{
    const sip_t *sip = sip_object(msg);
    char loop_key[PROXY_LOOP_BYTES];
    struct twin *one;
    char *key;

    if (sip->sip_request->rq_method != sip_method_invite || sip->sip_to->a_tag ||
        !sender->is_active_gateway || sip->sip_via->v_next)
        return false;
    proxy_loop_key(s, sip, loop_key);
    key = write_key(loop_key, sip);
    one = key ? map_get(s->proxy->twins->by_key, slice_text(key)) : NULL;
    free(key);
    if (one && one->ok) {
        answer(one, irq);
        return true;
    }
    if (!one || !one->forward || one->forward->is_answered)
        return false;
    log_write(LOG_LEVEL_INFO, "sip", "%s: its INVITE came by another gateway, from %s",
              sip->sip_call_id->i_id, sender->address);
    forward_move(one->forward, irq, sender);
    return true;
}
