#include <stdio.h>
#include <string.h>

#include "tests/sim/sim_internal.h"

/*
 * Security "none" with a memory: what stands for a signature is a hash that anybody could make, but
 * one that does not fit tells that something was signed or carried wrongly.
 */

static const uint8_t identity_prefix[] = {SIGNER_CERT_HASH_NODE_ID, 0, 2 + ID_BYTES, HASH_SHA256,
                                          ID_BYTES};

static void
checksum(const struct id *node, struct slice input, uint8_t out[8])
{
    uint64_t key;
    uint64_t sum;

    memcpy(&key, node->bytes, sizeof(key));
    sum = map_hash(key, input);
    memcpy(out, &sum, sizeof(sum));
}

static enum status
keys_sign(void *ctx, struct slice input, struct signature *ret)
{
    struct sim_node *n = ctx;
    struct sim_signature *made = &n->sim->signature;

    made->node = n->id;
    checksum(&n->id, input, made->value);
    *ret = (struct signature){.hash = HASH_SHA256,
                              .algorithm = SIGNATURE_ECDSA,
                              .identity_type = SIGNER_CERT_HASH_NODE_ID,
                              .identity_hash = HASH_SHA256,
                              .identity = slice_of(made->node.bytes, ID_BYTES),
                              .value = slice_of(made->value, sizeof(made->value))};
    return ST_OK;
}

static enum status
keys_verify(void *ctx, const struct signature *s, struct slice input, struct slice certificates,
            uint64_t at_wall_ms, struct signer *ret, struct why *why)
{
    const struct sim_node *n = ctx;
    uint8_t expected[8];
    struct id node;
    int signer;

    (void)certificates;
    (void)at_wall_ms;
    if (s->identity.len != ID_BYTES || s->value.len != sizeof(expected) ||
        s->identity_whole.len != sizeof(identity_prefix) + ID_BYTES ||
        memcmp(s->identity_whole.data, identity_prefix, sizeof(identity_prefix)) != 0)
        return why_set(why, ST_SIGNATURE, "not a signature of the simulator");
    memcpy(node.bytes, s->identity.data, ID_BYTES);
    checksum(&node, input, expected);
    if (memcmp(expected, s->value.data, sizeof(expected)) != 0)
        return why_set(why, ST_SIGNATURE, "what came is not what was signed");
    *ret = (struct signer){.node = node};
    signer = n->sim->conf.user ? sim_find(n->sim, &node) : -1;
    if (signer >= 0) {
        snprintf(ret->user, sizeof(ret->user), "%s",
                 n->sim->conf.user(n->sim->conf.ctx, (unsigned)signer));
        return ST_OK;
    }
    id_text(&node, ret->user);
    strncat(ret->user, "@" SIM_OVERLAY, sizeof(ret->user) - strlen(ret->user) - 1);
    return ST_OK;
}

static void
keys_certificate_for(void *ctx, const struct signature *s, struct writer *w)
{
    (void)ctx;
    (void)s;
    (void)w;
}

static void
keys_resource_id(void *ctx, struct slice name, struct id *ret)
{
    uint64_t half[2] = {map_hash(1, name), map_hash(2, name)};

    (void)ctx;
    memcpy(ret->bytes, half, sizeof(half));
}

struct keys
sim_keys(struct sim_node *n)
{
    static const struct security_ops ops = {.sign = keys_sign,
                                            .verify = keys_verify,
                                            .certificate_for = keys_certificate_for,
                                            .resource_id = keys_resource_id};

    return (struct keys){&ops, n};
}

struct id
sim_hash(const char *name)
{
    struct id id;

    keys_resource_id(NULL, slice_text(name), &id);
    return id;
}
