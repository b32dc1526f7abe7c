#include "gateway/sip/stranger.h"

#include <stdlib.h>

#include "gateway/sip/ask.h"
#include "gateway/sip/clock.h"
#include "gateway/sip/dispatch.h"

/** A request that waits. */
struct held {
    struct list_node link;
    struct ask ask;
    struct sip_agent *agent;
    msg_t *msg;
    struct sip_sender sender;
};

struct strangers {
    struct list_node held;
    size_t count;
    struct {
        struct id node;
        uint64_t until_ms;
    } refused[STRANGER_REFUSED_MAX];
    unsigned refused_next;
};

struct strangers *
strangers_new(void)
{
    struct strangers *t = calloc(1, sizeof(*t));

    if (t)
        list_init(&t->held);
    return t;
}

void
strangers_free(struct strangers *t)
{
    if (!t)
        return;
    while (!list_is_empty(&t->held)) {
        struct held *h = list_entry(t->held.next, struct held, link);

        ask_cancel(&h->ask);
        list_remove(&h->link);
        msg_destroy(h->msg);
        tport_unref(h->sender.tport);
        free(h);
    }
    free(t);
}

static bool
is_refused(const struct sip *s, const struct id *node)
{
    const struct strangers *t = s->strangers;
    uint64_t now_ms = sip_moment(s).mono_ms;

    for (unsigned i = 0; i < STRANGER_REFUSED_MAX; i++)
        if (now_ms < t->refused[i].until_ms && id_equal(&t->refused[i].node, node))
            return true;
    return false;
}

static void
remember_refused(struct sip *s, const struct id *node)
{
    struct strangers *t = s->strangers;
    unsigned slot = t->refused_next++ % STRANGER_REFUSED_MAX;

    t->refused[slot].node = *node;
    t->refused[slot].until_ms = sip_moment(s).mono_ms + STRANGER_REFUSED_MS;
}

/* Handled once more: a sender that is still no gateway is held again if there was other news. */
static void
on_located(void *ctx, const struct answer *answer)
{
    struct held *h = ctx;
    struct sip *s = h->agent->sip;
    struct sip_sender sender = h->sender;

    sender.is_active_gateway = sender.is_active_gateway || sip_gateway_of(s, &sender.node);
    if (!sender.is_active_gateway && answer->status != ST_OK && !is_refused(s, &sender.node))
        remember_refused(s, &sender.node);
    list_remove(&h->link);
    s->strangers->count--;
    dispatch_held(h->agent, h->msg, &sender, ST_OK);
    tport_unref(sender.tport);
    free(h);
}

bool
stranger_hold(struct sip *s, struct sip_agent *agent, msg_t *msg, const struct sip_sender *sender)
{
    struct strangers *t = s->strangers;
    struct held *h;

    if (t->count >= STRANGER_HELD_MAX || is_refused(s, &sender->node))
        return false;
    h = calloc(1, sizeof(*h));
    if (!h)
        return false;
    *h = (struct held){.agent = agent, .msg = msg, .sender = *sender};
    h->sender.tport = tport_ref(sender->tport);
    h->ask.done = on_located;
    h->ask.ctx = h;
    list_append(&t->held, &h->link);
    t->count++;
    ask_locate(s, &h->ask);
    return true;
}
