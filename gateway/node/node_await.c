/* Look-ups that wait for the ring: while this node joins it, and, where it is lost, for as long as
 * it takes to see whether it is back.  A gateway without the ring does not learn by itself that the
 * way is free again, but by its next attempt, which may be far off: a call is the reason for one
 * now. */
#include <stdio.h>
#include <stdlib.h>

#include "gateway/node/node_internal.h"

enum {
    JOIN_MS = 3000, /* a gateway that has just been elected goes from client to member */
    SEEK_MS = 750,  /* a connection and a Ping, once more if the first packet was lost */
    SEEK_PACE_MS = 100,
    AWAITING_MAX = 1024,
};

struct ring_fetch {
    struct list_node link;
    uint64_t since_ms;
    uint32_t token;
    char name[AOR_BYTES];
};

static bool
is_ringless(const struct node *n)
{
    const char *text;

    return election_trouble(n->election, &text) == ELECTION_RINGLESS;
}

static void
append(struct node *n, struct list_node *list, uint32_t token, const char *name)
{
    struct ring_fetch *w = n->await.count < AWAITING_MAX ? malloc(sizeof(*w)) : NULL;

    if (!w) {
        node_ring_fetch(n, token, name);
        return;
    }
    w->since_ms = n->now.mono_ms;
    w->token = token;
    snprintf(w->name, sizeof(w->name), "%s", name);
    list_append(list, &w->link);
    n->await.count++;
}

void
node_ring_await(void *ctx, uint32_t token, const char *name)
{
    struct node *n = ctx;
    struct peer *ring = n->peer[NODE_GLOBAL];

    if (is_ringless(n) && peer_seek(ring, n->now)) {
        append(n, &n->await.seeking, token, name);
        n->await.seek_ms = n->now.mono_ms + SEEK_PACE_MS;
    } else if (is_ringless(n) || peer_finds_no_member(ring)) { /* the first gateway forms it */
        append(n, &n->await.hopeless, token, name);
    } else if (peer_state(ring) == PEER_JOINING) {
        append(n, &n->await.joining, token, name);
    } else {
        node_ring_fetch(n, token, name);
    }
}

static struct ring_fetch *
first(const struct list_node *list)
{
    return list_is_empty(list) ? NULL : list_entry(list->next, struct ring_fetch, link);
}

static void
drop(struct node *n, struct ring_fetch *w)
{
    list_remove(&w->link);
    n->await.count--;
    free(w);
}

/* Only those that were there before: what is asked now may come back at once. */
static void
ask_all(struct node *n, struct list_node *list)
{
    const struct ring_fetch *last =
        list_is_empty(list) ? NULL : list_entry(list->prev, struct ring_fetch, link);
    bool is_last = !last;

    while (!is_last) {
        struct ring_fetch *w = first(list);
        is_last = w == last;
        node_ring_fetch(n, w->token, w->name);
        drop(n, w);
    }
}

void
node_ring_joined(struct node *n, struct moment now)
{
    n->now = now;
    ask_all(n, &n->await.joining);
    if (!is_ringless(n) || peer_state(n->peer[NODE_GLOBAL]) == PEER_JOINED)
        ask_all(n, &n->await.seeking);
}

static void
fail_until(struct node *n, struct moment now, struct list_node *list, uint32_t wait_ms)
{
    struct ring_fetch *w;

    while ((w = first(list)) && (n->is_ending || w->since_ms + wait_ms <= now.mono_ms)) {
        uint32_t token = w->token;
        drop(n, w);
        if (!n->is_ending)
            directory_on_fetched(n->directory, now, token, ST_STATE, NULL, 0);
    }
}

/* There is another part of the ring: who of the two goes over to the other takes a moment. */
static void
run_seeking(struct node *n, struct moment now)
{
    struct ring_fetch *w;

    if (list_is_empty(&n->await.seeking) || now.mono_ms < n->await.seek_ms)
        return;
    n->await.seek_ms = now.mono_ms + SEEK_PACE_MS;
    if (!is_ringless(n)) {
        ask_all(n, &n->await.seeking);
    } else if (peer_meets_others(n->peer[NODE_GLOBAL])) {
        while ((w = first(&n->await.seeking))) {
            list_remove(&w->link);
            list_append(&n->await.joining, &w->link);
        }
    } else {
        (void)peer_seek(n->peer[NODE_GLOBAL], now);
    }
}

void
node_ring_expire(struct node *n, struct moment now)
{
    n->now = now;
    if (!n->is_ending)
        run_seeking(n, now);
    fail_until(n, now, &n->await.hopeless, 0);
    fail_until(n, now, &n->await.seeking, SEEK_MS);
    fail_until(n, now, &n->await.joining, JOIN_MS);
}

uint64_t
node_ring_deadline_ms(const struct node *n)
{
    const struct ring_fetch *joining = first(&n->await.joining);
    const struct ring_fetch *seeking = first(&n->await.seeking);
    uint64_t at_ms = list_is_empty(&n->await.hopeless) ? MOMENT_NEVER : 0;

    if (joining)
        at_ms = moment_earlier_ms(at_ms, joining->since_ms + JOIN_MS);
    if (seeking)
        at_ms = moment_earlier_ms(at_ms,
                                  moment_earlier_ms(n->await.seek_ms, seeking->since_ms + SEEK_MS));
    return at_ms;
}
