/*
 * Whose copies are taken.  RFC 6940 section 7.4.1.1: a replica Store is signed by a node that has
 * plausibly stored the value or been in its replica set, and the receiver knows of none better.
 * Values are signed by their writers, their lifetimes are not: a stranger could bring back what has
 * gone, or fill the store.
 *
 * Responsibility moves, and nodes hear of it one after the other: for a while after a change, a
 * node in our tables, or attached to us, may hold what it should not any more.  Who is refused asks
 * again.
 */
#include "local-overlays/peer_internal.h"

static bool
is_responsible_or_replica(const struct peer *p, const struct id *resource, const struct id *node)
{
    struct id replica[PEER_REPLICAS_MAX], responsible;
    size_t count = peer_replica_set(p, resource, replica);

    for (size_t i = 0; i < count; i++)
        if (id_equal(&replica[i], node))
            return true;
    return peer_ops(p)->responsible_hint(p->topology, resource, &responsible) &&
           id_equal(&responsible, node);
}

/* A dictionary's key is the Node-ID of whoever signs the value. */
static bool
are_own_values(const struct store_req *request, const struct id *node)
{
    struct store_kind_data data;
    struct stored_data d;
    struct reader kinds, values;

    reader_init(&kinds, request->kind_data);
    while (store_kind_data_read(&kinds, &data)) {
        const struct kind *kind = kind_find(data.kind);
        if (!kind || kind->model != MODEL_DICTIONARY)
            return false;
        reader_init(&values, data.values);
        while (stored_data_read(&values, kind->model, &d))
            if (!slice_equal(d.key, slice_of(node->bytes, ID_BYTES)))
                return false;
        if (values.failed)
            return false;
    }
    return !kinds.failed;
}

bool
peer_may_copy(const struct peer *p, const struct incoming *in, const struct store_req *request)
{
    const struct id *node = &in->signer->node, *resource = &request->resource;
    const struct link *l = peer_link_find(p, node);
    bool is_attached = l && l->is_up && l->is_member;
    bool is_responsible = peer_is_responsible(p, resource);
    bool is_listed;

    if (id_equal(node, &p->conf.self.node))
        return true;
    if (!p->is_in) /* whoever admits us brings what will be ours */
        return p->is_engaged && is_attached;
    if (is_responsible_or_replica(p, resource, node))
        return true;
    is_listed = topology_lists(peer_ops(p), p->topology, node);
    if (is_responsible && (is_listed || (is_attached && are_own_values(request, node))))
        return true;
    return (is_listed || is_attached) && p->now.mono_ms < p->unsettled_until_ms;
}
