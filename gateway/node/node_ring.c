/* What the election asks of the ring: the entries of our own overlay, and who of them lives.  A
 * node that has met nobody of its overlay asks them where that is, and joins it there. */
#include <stdlib.h>
#include <string.h>

#include "gateway/node/node_internal.h"

enum { LOCAL_BYTES_MAX = 4096 };
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

/* Those whom it names are where our own bootstrap entries should have led. */
static void
learn_overlay(struct node *n, struct moment now, struct slice body)
{
    struct in_progress found;

    if (!election_is_stranger(n->election) || in_progress_read(body, &found) != ST_OK)
        return;
    for (uint8_t i = 0; i < found.member_count; i++)
        if (!id_equal(&found.member[i].node, &n->conf.local.self.node))
            peer_learn(n->peer[NODE_LOCAL], now, &found.member[i]);
}

void
node_on_local(struct node *n, struct moment now, const struct peer_request *req)
{
    struct in_progress ans = {.node = n->conf.local.self.node};
    size_t count;
    const struct election_gateway *g = election_gateways(n->election, &count);
    struct writer w;

    if (strcmp(req->signer.user, n->overlay_aor) != 0) { /* where we live is for our own alone */
        peer_answer(n->peer[NODE_GLOBAL], now, req->handle, ST_FORBIDDEN,
                    slice_text("of another overlay"));
        return;
    }
    if (peer_is_member(n->peer[NODE_LOCAL]))
        ans.member[ans.member_count++] = n->conf.local.self;
    for (size_t i = 0; i < count && ans.member_count < RING_NEIGHBOURS_MAX; i++)
        if (!g[i].is_self)
            ans.member[ans.member_count++] = g[i].ref;
    writer_init(&w, LOCAL_BYTES_MAX);
    in_progress_write(&w, &ans);
    peer_answer(n->peer[NODE_GLOBAL], now, req->handle, w.failed, writer_slice(&w));
    writer_done(&w);
}

static void
on_life(void *ctx, struct moment now, enum status st, const struct signer *from, struct slice body)
{
    struct asked_life *a = ctx;
    struct node *n = a->node;
    bool is_alive = st == ST_OK && id_equal(&from->node, &a->id);

    free(a);
    if (n->is_ending)
        return;
    n->ring_read.lives += is_alive;
    if (is_alive)
        learn_overlay(n, now, body);
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
    peer_ask(n->peer[NODE_GLOBAL], n->now, id, PRIVATE_LOCAL, slice_of(NULL, 0), LIVES_MS,
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
