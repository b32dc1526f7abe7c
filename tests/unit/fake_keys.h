/**
 * DOC: a keys table without cryptography
 *
 * A "certificate" is a Node-ID and a user name, a "signature" a keyed hash over what is signed;
 * whoever has not the right name cannot make it by accident, which is all a test needs.
 */
#ifndef TESTS_UNIT_FAKE_KEYS_H
#define TESTS_UNIT_FAKE_KEYS_H

#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "peer-protocol/message/security.h"

#define FAKE_KEYS_KNOWN 16

struct fake_keys {
    struct signer self;
    struct signer known[FAKE_KEYS_KNOWN];
    size_t known_count;
    uint8_t value[8];
    uint8_t identity[ID_BYTES];
    uint8_t whole[64];
    unsigned verified; /* how often it was asked */
};

static inline void
fake_hash(struct slice name, struct id *ret)
{
    uint64_t high = map_hash(1, name), low = map_hash(2, name);

    memcpy(ret->bytes, &high, 8);
    memcpy(ret->bytes + 8, &low, 8);
}

static inline void
fake_resource_id(void *ctx, struct slice name, struct id *ret)
{
    (void)ctx;
    fake_hash(name, ret);
}

static inline struct slice
fake_identity_whole(const struct id *node, uint8_t out[64])
{
    struct writer w;
    struct slice whole;

    writer_init(&w, 64);
    writer_u8(&w, SIGNER_CERT_HASH);
    size_t mark = writer_open(&w, 2);
    writer_u8(&w, HASH_SHA256);
    writer_opaque(&w, slice_of(node->bytes, ID_BYTES), 1);
    writer_close(&w, mark, 2);
    memcpy(out, w.data, w.len);
    whole = slice_of(out, w.len);
    writer_done(&w);
    return whole;
}

static inline uint64_t
fake_digest(const struct signer *signer, struct slice input)
{
    struct writer w;
    uint64_t digest;

    writer_init(&w, 1u << 25);
    writer_bytes(&w, input);
    writer_id(&w, &signer->node);
    writer_bytes(&w, slice_text(signer->user));
    digest = map_hash(3, writer_slice(&w));
    writer_done(&w);
    return digest;
}

static inline enum status
fake_sign(void *ctx, struct slice input, struct signature *ret)
{
    struct fake_keys *k = ctx;
    uint64_t digest = fake_digest(&k->self, input);

    memcpy(k->value, &digest, 8);
    memcpy(k->identity, k->self.node.bytes, ID_BYTES);
    *ret = (struct signature){.hash = HASH_SHA256,
                              .algorithm = SIGNATURE_ECDSA,
                              .identity_type = SIGNER_CERT_HASH,
                              .identity_hash = HASH_SHA256,
                              .identity = slice_of(k->identity, ID_BYTES),
                              .identity_whole = fake_identity_whole(&k->self.node, k->whole),
                              .value = slice_of(k->value, 8)};
    return ST_OK;
}

static inline const struct signer *
fake_find(struct fake_keys *k, struct slice identity)
{
    if (identity.len != ID_BYTES)
        return NULL;
    if (memcmp(identity.data, k->self.node.bytes, ID_BYTES) == 0)
        return &k->self;
    for (size_t i = 0; i < k->known_count; i++)
        if (memcmp(identity.data, k->known[i].node.bytes, ID_BYTES) == 0)
            return &k->known[i];
    return NULL;
}

static inline void
fake_learn(struct fake_keys *k, struct slice certificates)
{
    struct reader r;
    struct slice der;

    reader_init(&r, certificates);
    while (certificate_read(&r, &der)) {
        if (der.len < ID_BYTES || fake_find(k, slice_of(der.data, ID_BYTES)) ||
            k->known_count == FAKE_KEYS_KNOWN)
            continue;
        struct signer *s = &k->known[k->known_count];
        memcpy(s->node.bytes, der.data, ID_BYTES);
        if (slice_to_text(slice_of(der.data + ID_BYTES, der.len - ID_BYTES), s->user,
                          sizeof(s->user)) == ST_OK)
            k->known_count++;
    }
}

/** fake_meet - the other's certificate was seen otherwise than in a message. */
static inline void
fake_meet(struct fake_keys *k, const struct fake_keys *other)
{
    if (!fake_find(k, slice_of(other->self.node.bytes, ID_BYTES)) &&
        k->known_count < FAKE_KEYS_KNOWN)
        k->known[k->known_count++] = other->self;
}

static inline enum status
fake_verify(void *ctx, const struct signature *s, struct slice input, struct slice certificates,
            uint64_t at_wall_ms, struct signer *ret, struct why *why)
{
    struct fake_keys *k = ctx;
    const struct signer *signer;
    uint64_t digest;

    (void)at_wall_ms;
    k->verified++;
    fake_learn(k, certificates);
    signer = fake_find(k, s->identity);
    if (!signer)
        return why_set(why, ST_NOT_FOUND, "no certificate");
    digest = fake_digest(signer, input);
    if (s->value.len != 8 || memcmp(s->value.data, &digest, 8) != 0)
        return why_set(why, ST_SIGNATURE, "bad signature");
    *ret = *signer;
    return ST_OK;
}

static inline void
fake_certificate_for(void *ctx, const struct signature *s, struct writer *w)
{
    const struct signer *signer = fake_find(ctx, s->identity);
    uint8_t der[ID_BYTES + USER_NAME_BYTES];

    if (!signer)
        return;
    memcpy(der, signer->node.bytes, ID_BYTES);
    memcpy(der + ID_BYTES, signer->user, strlen(signer->user));
    certificate_write(w, slice_of(der, ID_BYTES + strlen(signer->user)));
}

static const struct security_ops fake_ops = {.sign = fake_sign,
                                             .verify = fake_verify,
                                             .certificate_for = fake_certificate_for,
                                             .resource_id = fake_resource_id};

/** The table of security "none". */
static const struct security_ops fake_none_ops = {.resource_id = fake_resource_id};

static inline void
fake_keys_init(struct fake_keys *k, const struct id *node, const char *user)
{
    *k = (struct fake_keys){.self.node = *node};
    if (slice_to_text(slice_text(user), k->self.user, sizeof(k->self.user)) != ST_OK)
        abort();
}

static inline struct keys
fake_keys(struct fake_keys *k)
{
    return (struct keys){.ops = &fake_ops, .ctx = k};
}

#endif
