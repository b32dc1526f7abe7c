#include <event2/event.h>
#include <stdlib.h>

#include "gateway/control/control_internal.h"

static void
free_if_done(struct waiting *w)
{
    if (w->control || w->owed > 0)
        return;
    free(w->memory);
    free(w);
}

/* Out of the control's hands: it has its answer. */
static void
detach(struct waiting *w)
{
    list_remove(&w->link);
    w->control->waiting_count--;
    w->control = NULL;
    w->request = NULL;
    event_free(w->timer);
    w->timer = NULL;
    free_if_done(w);
}

static void
on_timeout(int fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    waiting_refuse(ctx, ST_TIMEOUT, status_text(ST_TIMEOUT));
}

struct waiting *
waiting_new(struct control *c, struct evhttp_request *request)
{
    const struct timeval limit = {.tv_sec = c->conf.answer_ms / 1000,
                                  .tv_usec = c->conf.answer_ms % 1000 * 1000};
    struct waiting *w = NULL;

    if (c->waiting_count < c->conf.max_waiting)
        w = calloc(1, sizeof(*w));
    if (w)
        w->timer = event_new(c->base, -1, 0, on_timeout, w);
    if (!w || !w->timer || event_add(w->timer, &limit) != 0) {
        if (w && w->timer)
            event_free(w->timer);
        free(w);
        answer_status(request, ST_LIMIT, "too many requests wait for an answer");
        return NULL;
    }
    w->control = c;
    w->request = request;
    w->token = c->next_token++;
    w->begun = c->source.now(c->source.ctx);
    list_append(&c->waiting, &w->link);
    c->waiting_count++;
    return w;
}

struct waiting *
waiting_find(struct control *c, uint64_t token)
{
    list_each(at, &c->waiting)
    {
        struct waiting *w = list_entry(at, struct waiting, link);

        if (w->token == token)
            return w;
    }
    return NULL;
}

void
waiting_answer(struct waiting *w, json_t *body)
{
    if (!w->control) {
        json_decref(body);
        return;
    }
    answer_json(w->request, 200, body);
    detach(w);
}

void
waiting_refuse(struct waiting *w, enum status st, const char *text)
{
    if (!w->control)
        return;
    answer_status(w->request, st, text);
    detach(w);
}

void
waiting_owe(struct waiting *w)
{
    w->owed++;
}

void
waiting_paid(struct waiting *w)
{
    w->owed--;
    free_if_done(w);
}
