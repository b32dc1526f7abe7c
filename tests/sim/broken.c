#include "tests/sim/broken.h"

#include <string.h>

#define SOME(id) ((id)->bytes[ID_BYTES - 1] % 8 == 3)

/* The conf that every plug-in's state begins with is no promise, so the fault keeps its own Node-ID
 * behind the state. */
static const struct topology_ops *sound;
static struct topology_ops ops;

static const struct id *
self_of(const void *state)
{
    return (const struct id *)(const void *)((const char *)state + sound->state_bytes);
}

static enum status
broken_create(void *state, const struct topology_conf *conf, const struct topology_env *env,
              struct why *why)
{
    memcpy((char *)state + sound->state_bytes, &conf->self, sizeof(conf->self));
    return sound->create(state, conf, env, why);
}

static enum status
wrong_next_hop(const void *state, const struct id *id, bool is_node, struct id *ret_next)
{
    enum status st = sound->next_hop(state, id, is_node, ret_next);
    struct id other = *id;
    struct id wrong;

    if (is_node || st != ST_OK || !SOME(id))
        return st;
    for (size_t i = 0; i < ID_BYTES; i++)
        other.bytes[i] = (uint8_t)~other.bytes[i];
    if (sound->next_hop(state, &other, false, &wrong) == ST_OK)
        *ret_next = wrong;
    return ST_OK;
}

static enum status
self_next_hop(const void *state, const struct id *id, bool is_node, struct id *ret_next)
{
    enum status st = sound->next_hop(state, id, is_node, ret_next);

    if (!is_node && st == ST_OK && SOME(id))
        *ret_next = *self_of(state);
    return st;
}

static bool
greedy_is_responsible(const void *state, const struct id *id)
{
    const struct id *self = self_of(state);
    struct id next;
    bool is_in = sound->next_hop(state, id, false, &next) != ST_UNREACHABLE;
    uint8_t behind = (uint8_t)(id->bytes[0] - self->bytes[0]);

    return sound->is_responsible(state, id) || (is_in && behind > 0 && behind <= 16);
}

static enum status
greedy_next_hop(const void *state, const struct id *id, bool is_node, struct id *ret_next)
{
    if (!is_node && greedy_is_responsible(state, id))
        return ST_EXISTS;
    return sound->next_hop(state, id, is_node, ret_next);
}

static size_t
no_replica_set(const void *state, const struct id *id, struct id *ret_node, size_t cap)
{
    (void)state;
    (void)id;
    (void)ret_node;
    (void)cap;
    return 0;
}

static bool
stubborn_is_responsible(const void *state, const struct id *id)
{
    return sound->is_responsible(state, id) || id_equal(id, self_of(state));
}

const struct topology_ops *
broken_topology(const struct topology_ops *inner, enum broken kind)
{
    sound = inner;
    ops = *inner;
    ops.state_bytes += sizeof(struct id);
    ops.create = broken_create;
    if (kind == BROKEN_NEXT_HOP)
        ops.next_hop = wrong_next_hop;
    if (kind == BROKEN_SELF)
        ops.next_hop = self_next_hop;
    if (kind == BROKEN_OWNER) {
        ops.is_responsible = greedy_is_responsible;
        ops.next_hop = greedy_next_hop;
    }
    if (kind == BROKEN_REPLICAS)
        ops.replica_set = no_replica_set;
    if (kind == BROKEN_LEAVE)
        ops.is_responsible = stubborn_is_responsible;
    return &ops;
}

const char *
broken_name(enum broken kind)
{
    static const char *const name[BROKEN_KINDS] = {"not",   "next-hop", "self",
                                                   "owner", "replicas", "leave"};

    return kind < BROKEN_KINDS ? name[kind] : "?";
}
