/* What the election asks of the ring: the entries of our own overlay, and who of them lives. */
#include <stdlib.h>

#include "gateway/node/node_internal.h"

enum { LIVES_MS = 1500 }; /* to answer; who is dead is said to be so earlier */

/** One that has an entry under our name. */
struct asked_life {
    struct node *node;
    struct id id;
};

static void
tell(struct node *n, struct moment now)
{
    struct election_event ev = {.type = ELECTION_RING};

    n->ring_read.is_under_way = false;
    ev.ring.st = n->ring_read.st;
    ev.ring.term = n->ring_read.term;
    ev.ring.lives = n->ring_read.lives;
    n->now = now;
    election_step(n->election, now, &ev);
    node_settle(n, now);
}

static void
on_life(void *ctx, struct moment now, enum status st, const struct signer *from, struct slice body)
{
    struct asked_life *a = ctx;
    struct node *n = a->node;
    bool is_alive = st == ST_OK && id_equal(&from->node, &a->id);

    (void)body;
    free(a);
    if (n->is_ending)
        return;
    n->ring_read.lives += is_alive;
    if (--n->ring_read.pending == 0 && n->ring_read.is_under_way)
        tell(n, now);
}

static void
ask_life(struct node *n, const struct id *id)
{
    struct asked_life *a = calloc(1, sizeof(*a));

    if (!a)
        return;
    *a = (struct asked_life){n, *id};
    n->ring_read.pending++;
    peer_ask(n->peer[NODE_GLOBAL], n->now, id, PRIVATE_NODE_INFO, slice_of(NULL, 0), LIVES_MS,
             &(struct peer_reply){on_life, a});
}

static void
on_entries(void *ctx, struct moment now, enum status st, const struct directory_gateway *gateway,
           size_t count)
{
    struct node *n = ctx;

    if (n->is_ending)
        return;
    n->now = now;
    n->ring_read.st = st;
    n->ring_read.term = st == ST_OK && count > 0 ? gateway[0].term : 0;
    n->ring_read.lives = 0;
    n->ring_read.is_under_way = true;
    /* Only who has met nobody of his overlay has to know. */
    for (size_t i = 0; st == ST_OK && election_is_stranger(n->election) && i < count; i++)
        if (!id_equal(&gateway[i].node, &n->conf.local.self.node))
            ask_life(n, &gateway[i].node);
    if (n->ring_read.pending == 0)
        tell(n, now);
}

void
node_ring_read(struct node *n)
{
    directory_read_own(n->directory, n->now, &(struct directory_term){on_entries, n});
}
