/* Neighbours that somebody here keeps an eye on: a link with them, whatever it takes. */
#include <stdlib.h>

#include "local-overlays/peer_internal.h"

static struct watch *
find_watch(const struct peer *p, const struct id *node)
{
    list_each(at, &p->watches)
    {
        struct watch *w = list_entry(at, struct watch, at);
        if (id_equal(&w->node, node))
            return w;
    }
    return NULL;
}

void
peer_watch_ended(struct peer *p, const struct id *node)
{
    struct watch *w = find_watch(p, node);

    if (!w)
        return;
    w->is_attaching = false;
    w->next_ms = p->now.mono_ms + w->backoff_ms;
    w->backoff_ms = w->backoff_ms * 2 > PEER_CONNECT_MS ? PEER_CONNECT_MS : w->backoff_ms * 2;
}

void
peer_watch_link_up(struct peer *p, const struct id *node)
{
    struct watch *w = find_watch(p, node);

    if (!w)
        return;
    w->backoff_ms = PEER_BACKOFF_MIN_MS;
    w->is_tried = false;
}

void
peer_watch_link_down(struct peer *p, const struct id *node)
{
    struct watch *w = find_watch(p, node);

    if (w && !w->is_attaching)
        w->next_ms = p->now.mono_ms;
}

bool
peer_is_watched(const struct peer *p, const struct id *node)
{
    return find_watch(p, node) != NULL;
}

void
peer_watch(struct peer *p, struct moment now, const struct id *node, const char *address)
{
    struct watch *w;

    peer_enter(p, now);
    if (!find_watch(p, node) && !id_equal(node, &p->conf.self.node)) {
        w = calloc(1, sizeof(*w));
        if (w) {
            *w = (struct watch){
                .node = *node, .next_ms = now.mono_ms, .backoff_ms = PEER_BACKOFF_MIN_MS};
            peer_copy_text(w->address, sizeof(w->address), address);
            list_append(&p->watches, &w->at);
            peer_watch_tick(p);
        }
    }
    peer_leave_asked(p);
}

void
peer_unwatch(struct peer *p, struct moment now, const struct id *node)
{
    struct watch *w;

    peer_enter(p, now);
    w = find_watch(p, node);
    if (w) {
        list_remove(&w->at);
        free(w);
    }
    peer_leave_asked(p);
}

static void
run_watch(struct peer *p, struct watch *w)
{
    struct topology_target to = {.count = 1, .to = {destination_node(&w->node)}};

    if (w->address[0] && !w->is_tried) { /* straight: who refuses it is not there */
        w->is_tried = true;
        w->next_ms = p->now.mono_ms + w->backoff_ms;
        peer_link_connect(p, &w->node, w->address);
        return;
    }
    w->is_attaching = true;
    peer_attach(p, &to, false, 0, false);
}

static bool
is_watch_due(const struct peer *p, const struct watch *w)
{
    return !w->is_attaching && p->state != PEER_DOWN && !peer_link_is_up(p, &w->node);
}

void
peer_watch_tick(struct peer *p)
{
    list_each(at, &p->watches)
    {
        struct watch *w = list_entry(at, struct watch, at);
        if (is_watch_due(p, w) && w->next_ms <= p->now.mono_ms)
            run_watch(p, w);
    }
}

uint64_t
peer_watch_deadline_ms(const struct peer *p)
{
    uint64_t at_ms = MOMENT_NEVER;

    list_each(at, &p->watches)
    {
        const struct watch *w = list_entry(at, struct watch, at);
        if (is_watch_due(p, w))
            at_ms = moment_earlier_ms(at_ms, w->next_ms);
    }
    return at_ms;
}

void
peer_watch_free(struct peer *p)
{
    list_each(at, &p->watches) free(list_entry(at, struct watch, at));
}
