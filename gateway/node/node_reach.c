/* What this node has of the ring: members of it are asked in turn whether they are there. */
#include "gateway/node/node_internal.h"

enum {
    IDLE_MS = 500,  /* nobody is asked: who is no candidate, or has no ring */
    SLOW_SHARE = 5, /* a candidate asks so much less often than a gateway */
    ANSWER_MS = 1000,
    SEEK_MS = 5000,     /* between two questions to the same node whether it is a member */
    SEEK_SOON_MS = 250, /* the same, while the gateway says that the ring is silent */
    KEPT_ROUNDS = 3,    /* who answered so lately counts */
    KEPT_LEAST_MS = 300,
};

/* The gateway as often as HELLOs go; its candidates when it says that the ring is silent. */
static uint32_t
pace_ms(const struct node *n)
{
    uint32_t hello_ms = n->conf.election.hello_ms;

    return election_role(n->election) == ELECTION_ACTIVE || election_doubts_ring(n->election)
               ? hello_ms
               : SLOW_SHARE * hello_ms;
}

static struct node_reached *
slot_of(struct node *n, const struct id *id)
{
    struct node_reached *oldest = &n->reach.member[0];

    for (size_t i = 0; i < NODE_REACHED_MAX; i++) {
        struct node_reached *m = &n->reach.member[i];
        if (id_equal(&m->node, id))
            return m;
        if (m->heard_ms < oldest->heard_ms)
            oldest = m;
    }
    oldest->node = *id;
    return oldest;
}

static void
on_answered(void *ctx, struct moment now, enum status st, const struct signer *from,
            struct slice body)
{
    struct node *n = ctx;

    (void)body;
    if (n->is_ending || st != ST_OK)
        return;
    n->now = now;
    slot_of(n, &from->node)->heard_ms = now.mono_ms;
    n->reach.heard_ms = now.mono_ms;
    n->reach.has_heard = true;
}

/* A member of the ring that is no gateway of ours, another one each time. */
static bool
next_member(struct node *n, struct id *ret)
{
    struct id member[NODE_REACHED_MAX];
    size_t count = peer_linked_members(n->peer[NODE_GLOBAL], member, NODE_REACHED_MAX);

    for (size_t i = 0; i < count; i++) {
        *ret = member[n->reach.turn++ % count];
        if (!election_is_gateway(n->election, ret))
            return true;
    }
    return false;
}

/* The role may have changed since the last question: who has become gateway asks at once, since its
 * candidates' pace would leave it in silence for longer than a gateway bears. */
static uint64_t
next_ms(const struct node *n)
{
    uint64_t pause_ms = election_role(n->election) == ELECTION_OBSERVER ? IDLE_MS : pace_ms(n);

    return n->reach.asked_ms + pause_ms;
}

void
node_reach_tick(struct node *n, struct moment now)
{
    const struct election_event tick = {.type = ELECTION_TICK};
    struct id to;

    if (!n->peer[NODE_GLOBAL] || now.mono_ms < next_ms(n))
        return;
    n->reach.asked_ms = now.mono_ms;
    if (election_role(n->election) == ELECTION_OBSERVER)
        return;
    if (next_member(n, &to))
        peer_ask(n->peer[NODE_GLOBAL], now, &to, PRIVATE_NODE_INFO, slice_of(NULL, 0), ANSWER_MS,
                 &(struct peer_reply){on_answered, n});
    else /* a candidate whose only way into the ring is by its gateway could not replace it */
        peer_seek_members(n->peer[NODE_GLOBAL], now,
                          election_doubts_ring(n->election) ? SEEK_SOON_MS : SEEK_MS);
    if (election_role(n->election) == ELECTION_ACTIVE)
        election_step(n->election, now, &tick);
}

uint64_t
node_reach_deadline_ms(const struct node *n)
{
    return n->peer[NODE_GLOBAL] ? next_ms(n) : MOMENT_NEVER;
}

bool
node_is_published(const struct node *n)
{
    return n->directory && directory_is_published(n->directory);
}

struct ring_health
node_ring_health(const struct node *n, struct moment now)
{
    uint64_t kept_ms = (uint64_t)KEPT_ROUNDS * pace_ms(n);
    struct ring_health h = {.silent_ms = RING_SILENT_EVER};

    if (!n->reach.has_heard)
        return h;
    kept_ms = kept_ms > KEPT_LEAST_MS ? kept_ms : KEPT_LEAST_MS;
    if (now.mono_ms < n->reach.heard_ms)
        h.silent_ms = 0;
    else if (now.mono_ms - n->reach.heard_ms < RING_SILENT_EVER)
        h.silent_ms = (uint32_t)(now.mono_ms - n->reach.heard_ms);
    for (size_t i = 0; i < NODE_REACHED_MAX; i++)
        if (n->reach.member[i].heard_ms > 0 && now.mono_ms < n->reach.member[i].heard_ms + kept_ms)
            h.members++;
    return h;
}
