#include "gateway/sip/fence.h"

#include <stdlib.h>

#include "gateway/sip/ask.h"
#include "gateway/sip/b2bua.h"
#include "gateway/sip/dispatch.h"

/** A message that waits. */
struct held {
    struct list_node link;
    struct sip_agent *agent;
    msg_t *msg;
    struct sip_sender sender;
    enum status status;
};

struct fence {
    bool is_up;
    uint64_t token;   /* of the question */
    uint64_t seen_ms; /* the last turn; 0 before the first */
    uint64_t until_ms;
    struct list_node held;
    size_t count;
};

struct fence *
fence_new(void)
{
    struct fence *f = calloc(1, sizeof(*f));

    if (f)
        list_init(&f->held);
    return f;
}

static void
free_held(struct held *h)
{
    list_remove(&h->link);
    tport_unref(h->sender.tport);
    free(h);
}

void
fence_free(struct fence *f)
{
    if (!f)
        return;
    while (!list_is_empty(&f->held)) {
        struct held *h = list_entry(f->held.next, struct held, link);

        msg_destroy(h->msg);
        free_held(h);
    }
    free(f);
}

static void
raise_fence(struct sip *s, uint64_t now_ms)
{
    struct fence *f = s->fence;
    struct bridge_message *m = bridge_new(BRIDGE_CONFIRM, f->token + 1, 0, 0);

    if (!m)
        return;
    log_write(LOG_LEVEL_WARN, "sip",
              "stopped for %llu ms: asking whether this is still the gateway",
              (unsigned long long)(now_ms - f->seen_ms));
    f->is_up = true;
    f->token++;
    f->until_ms = now_ms + FENCE_WAIT_MS;
    s->upward.post(s->upward.ctx, m);
}

static void
lower(struct sip *s)
{
    struct fence *f = s->fence;

    f->is_up = false;
    b2bua_on_fence_down(s);
    while (!list_is_empty(&f->held) && !f->is_up) {
        struct held *h = list_entry(f->held.next, struct held, link);
        struct held taken = *h;

        list_remove(&h->link);
        free(h);
        f->count--;
        dispatch_held(taken.agent, taken.msg, &taken.sender, taken.status);
        tport_unref(taken.sender.tport);
    }
}

bool
fence_stands(struct sip *s)
{
    struct fence *f = s->fence;
    uint64_t now_ms = sip_moment(s).mono_ms;
    bool has_stood_still =
        s->conf.fence_gap_ms > 0 && f->seen_ms > 0 && now_ms - f->seen_ms > s->conf.fence_gap_ms;

    if (has_stood_still)
        ask_doubt_all(s);
    if (has_stood_still && !f->is_up && s->is_gateway)
        raise_fence(s, now_ms);
    f->seen_ms = now_ms;
    return f->is_up;
}

bool
fence_is_up(struct sip *s)
{
    struct fence *f = s->fence;

    if (fence_stands(s) && f->seen_ms >= f->until_ms)
        lower(s);
    return f->is_up;
}

bool
fence_hold(struct sip *s, struct sip_agent *agent, msg_t *msg, const struct sip_sender *sender,
           enum status st)
{
    struct fence *f = s->fence;
    struct held *h;

    if (!fence_is_up(s) || f->count >= FENCE_HELD_MAX)
        return false;
    h = calloc(1, sizeof(*h));
    if (!h)
        return false;
    *h = (struct held){.agent = agent, .msg = msg, .sender = *sender, .status = st};
    h->sender.tport = tport_ref(sender->tport);
    list_append(&f->held, &h->link);
    f->count++;
    return true;
}

void
fence_on_confirmed(struct sip *s, uint64_t token)
{
    if (s->fence->is_up && token == s->fence->token)
        lower(s);
}
