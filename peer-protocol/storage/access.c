#include "peer-protocol/storage/access.h"

#include <string.h>

static bool
is_user_of(const struct keys *keys, const struct signer *signer, const struct id *resource)
{
    struct id hash;

    keys->ops->resource_id(keys->ctx, slice_text(signer->user), &hash);
    return id_equal(&hash, resource);
}

static bool
is_node_of(const struct keys *keys, const struct signer *signer, const struct id *resource)
{
    struct id hash;

    keys->ops->resource_id(keys->ctx, slice_of(signer->node.bytes, ID_BYTES), &hash);
    return id_equal(&hash, resource);
}

/* H(Node-ID || i): i is not on the wire, so each is tried (section 7.3.4). */
static bool
is_one_of_node(const struct keys *keys, const struct kind *kind, const struct signer *signer,
               const struct id *resource)
{
    uint8_t name[ID_BYTES + 1];
    struct id hash;

    memcpy(name, signer->node.bytes, ID_BYTES);
    for (uint32_t i = 1; i <= kind->max_node_multiple && i <= UINT8_MAX; i++) {
        name[ID_BYTES] = (uint8_t)i;
        keys->ops->resource_id(keys->ctx, slice_of(name, sizeof(name)), &hash);
        if (id_equal(&hash, resource))
            return true;
    }
    return false;
}

enum status
access_check(const struct keys *keys, const struct kind *kind, const struct id *resource,
             const struct signer *signer, struct slice key, struct why *why)
{
    bool is_own_key = slice_equal(key, slice_of(signer->node.bytes, ID_BYTES));
    bool may = false;

    if (!keys->ops->verify)
        return ST_OK;
    switch (kind->access) {
    case ACCESS_USER_MATCH:
        may = is_user_of(keys, signer, resource);
        break;
    case ACCESS_NODE_MATCH:
        may = is_node_of(keys, signer, resource);
        break;
    case ACCESS_USER_NODE_MATCH:
        may = is_own_key && is_user_of(keys, signer, resource);
        break;
    case ACCESS_NODE_MULTIPLE:
        may = is_one_of_node(keys, kind, signer, resource);
        break;
    case ACCESS_NODE_KEY:
        may = is_own_key;
        break;
    }
    if (may)
        return ST_OK;
    return why_set(why, ST_FORBIDDEN, "%s: %.64s may not write here", kind->name, signer->user);
}
