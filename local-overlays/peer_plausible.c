/*
 * Whose copies are taken.  RFC 6940 section 7.4.1.1: a replica Store is signed by a node that has
 * plausibly stored the value or been in its replica set.  Values are signed by their writers, their
 * lifetimes are not: a stranger could bring back what has gone, or fill the store.
 *
 * Plausible is the node that is responsible as far as we know, and one of our replicas; and any
 * other that the plug-in has in its tables, or that has attached to us for its own.  Responsibility
 * moves, and nodes hear of it one after the other: a record goes to its owner by way of nodes that
 * know better than the last one, and copies that were refused there would be lost.
 */
#include "local-overlays/peer_promise.h"

static bool
is_responsible_or_replica(const struct peer *p, const struct id *resource, const struct id *node)
{
    struct id replica[PEER_REPLICAS_MAX], responsible;
    size_t count = peer_replica_set(p, resource, replica);

    for (size_t i = 0; i < count; i++)
        if (id_equal(&replica[i], node))
            return true;
    return peer_plugin_hint(p, resource, &responsible) && id_equal(&responsible, node);
}

bool
peer_may_copy(const struct peer *p, const struct incoming *in, const struct store_req *request)
{
    const struct id *node = &in->signer->node;
    const struct link *l = peer_link_find(p, node);

    if (l && l->is_up && l->has_attached) /* while we join, too: whoever admits us */
        return p->is_engaged;
    if (!p->is_in)
        return false;
    return id_equal(node, &p->conf.self.node) ||
           is_responsible_or_replica(p, &request->resource, node) || peer_plugin_lists(p, node);
}
