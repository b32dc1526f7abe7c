#include "gateway/sip/b2bua_await.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "gateway/sip/b2bua_call.h"

/** A request that waits; in the order in which they came. */
struct waiting {
    struct list_node link;
    uint64_t until_ms;
    nta_incoming_t *irq;
    struct sip_sender sender; /* its transport is kept */
    struct b2bua_trying trying;
};

/* ---- tags ---- */

static struct slice
stem_of(const char *tag)
{
    return slice_of(tag, strnlen(tag, B2BUA_STEM_CHARS));
}

void
b2bua_await_tag(const struct b2bua_call *c, const char *far_tag, char ret[B2BUA_TAG_CHARS + 1])
{
    static const char digits[] = "abcdefghijkmnpqrstuvwxyz23456789";
    struct slice stem = stem_of(c->answer_tag);
    uint64_t hash = map_hash(map_hash(0, stem), slice_text(far_tag));

    memcpy(ret, stem.data, stem.len);
    for (size_t i = stem.len; i < B2BUA_TAG_CHARS; i++, hash >>= 5)
        ret[i] = digits[hash & 31];
    ret[B2BUA_TAG_CHARS] = '\0';
}

bool
b2bua_await_call(struct b2bua_call *c)
{
    return map_put(c->b2bua->awaited, stem_of(c->answer_tag), c, NULL) == ST_OK;
}

void
b2bua_await_forget(struct b2bua_call *c)
{
    struct map *awaited = c->b2bua->awaited;

    if (map_get(awaited, stem_of(c->answer_tag)) == c)
        map_remove(awaited, stem_of(c->answer_tag));
}

/* ---- requests ---- */

/** Has it the names of the dialog that its To tag is of? */
static bool
has_names(const struct b2bua_call *c, enum call_leg leg, const sip_t *sip)
{
    const char *tag = sip_text(sip->sip_from->a_tag);

    if (leg == CALL_CALLEE)
        return strcmp(sip->sip_call_id->i_id, c->callee_call_id) == 0;
    return strcmp(sip->sip_call_id->i_id, c->caller_call_id) == 0 &&
           strcasecmp(tag, c->caller_tag) == 0;
}

/** Is that dialog known, of whatever phone? */
static bool
has_dialog(const struct b2bua_call *c, const struct b2bua_key *key, const sip_t *sip)
{
    if (key && key->leg == CALL_CALLEE)
        return b2bua_dialog_find(c, sip->sip_from->a_tag) != CALL_NO_DIALOG;
    return key != NULL;
}

bool
b2bua_is_awaited(struct b2bua *b, const sip_t *sip)
{
    const char *tag = sip_text(sip->sip_to->a_tag);
    struct b2bua_key *key = b2bua_find(b, tag);
    struct b2bua_call *c = key ? key->call : map_get(b->awaited, stem_of(tag));

    if (!c || call_kind(c->core) != CALL_SESSION || call_state(c->core) >= CALL_CONFIRMED ||
        !has_names(c, key ? (enum call_leg)key->leg : CALL_CALLER, sip))
        return false;
    if (has_dialog(c, key, sip)) /* its gateway is lost, and it does not ring elsewhere yet */
        return call_state(c->core) < CALL_EARLY;
    /* of several gateways another may have its INVITE */
    return b->sip->gateway_count <= 1 || !b2bua_twin_is_awaited(c);
}

static void
answer(nta_incoming_t *irq, int status)
{
    sip_reply(irq, status, NULL, status == 500 ? SIP_RETRY_AFTER_S : 0);
    nta_incoming_destroy(irq);
}

static void
free_waiting(struct b2bua *b, struct waiting *w)
{
    list_remove(&w->link);
    list_remove(&w->trying.link);
    tport_unref(w->sender.tport);
    free(w);
    b->waiting_count--;
}

bool
b2bua_await(struct b2bua *b, nta_incoming_t *irq, const sip_t *sip, const struct sip_sender *sender)
{
    struct waiting *w;

    if (!b2bua_is_awaited(b, sip))
        return false;
    w = b->waiting_count < B2BUA_AWAIT_MAX ? calloc(1, sizeof(*w)) : NULL;
    if (!w) {
        answer(irq, 500);
        return true;
    }
    w->until_ms = sip_moment(b->sip).mono_ms + B2BUA_AWAIT_MS;
    w->irq = irq;
    w->sender = *sender;
    w->sender.tport = tport_ref(sender->tport);
    list_init(&w->trying.link);
    list_append(&b->waiting, &w->link);
    b->waiting_count++;
    b2bua_trying_start(b, &w->trying, &w->irq, sender);
    return true;
}

/** Its dialog is here, or it never will be. */
static void
settle(struct b2bua *b, struct waiting *w, const sip_t *sip, bool is_late)
{
    struct b2bua_key *key = b2bua_find(b, sip->sip_to->a_tag);
    nta_incoming_t *irq = w->irq;

    list_remove(&w->trying.link);
    if (is_late || !key)
        answer(irq, is_late ? 500 : 481);
    else
        b2bua_exchange_start(key, irq, sip, &w->sender);
    free_waiting(b, w);
}

void
b2bua_await_tick(struct b2bua *b, uint64_t now_ms)
{
    list_each(at, &b->waiting)
    {
        struct waiting *w = list_entry(at, struct waiting, link);
        msg_t *request = nta_incoming_getrequest(w->irq);
        const sip_t *sip = request ? sip_object(request) : NULL;
        bool is_here = sip && !b2bua_is_awaited(b, sip);

        if (sip && (is_here || w->until_ms <= now_ms))
            settle(b, w, sip, !is_here);
        msg_destroy(request);
    }
}

enum status
b2bua_await_new(struct b2bua *b)
{
    b->awaited = map_new(b->sip->seed, b->sip->conf.limits.calls * (size_t)2);
    return b->awaited ? ST_OK : ST_NOMEM;
}

void
b2bua_await_end(struct b2bua *b)
{
    while (!list_is_empty(&b->waiting)) {
        struct waiting *w = list_entry(b->waiting.next, struct waiting, link);

        nta_incoming_destroy(w->irq);
        free_waiting(b, w);
    }
    map_free(b->awaited);
}
