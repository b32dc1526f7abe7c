/**
 * DOC: how much of a store each signer has, and how much more it may have
 *
 * A signer may have as much as is still free: alone half of the store, two a third each, and
 * whatever some have taken, another finds room.  A sixteenth is kept from all of them: for what
 * the overlay does not work without (kind.h), and for values that take the place of others.
 *
 * A share goes with the Node-ID that signs, whichever certificate it has.
 */
#ifndef PEER_PROTOCOL_STORAGE_SHARES_H
#define PEER_PROTOCOL_STORAGE_SHARES_H

#include "base/bytes.h"
#include "base/id.h"
#include "base/status.h"

struct shares;

/** What is in use, or may be. */
struct extent {
    size_t values;
    size_t bytes;
};

NODISCARD enum status shares_new(const struct extent *limit, struct shares **ret);
void shares_free(struct shares *s);

/** shares_add - @signer has one value more; ST_NOMEM changes nothing. */
NODISCARD enum status shares_add(struct shares *s, const struct id *signer, size_t bytes);
void shares_remove(struct shares *s, const struct id *signer, size_t bytes);

struct extent shares_used(const struct shares *s);
struct extent shares_of(const struct shares *s, const struct id *signer);

/** What is to come. */
struct addition {
    const struct id *signer;
    size_t bytes;          /* of the value */
    size_t replaced_bytes; /* of the value whose place it takes; 0: it takes a new one */
    bool may_use_kept;
};

/**
 * shares_check - is there room?
 * Returns: ST_OK; ST_LIMIT with the reason: the signer's share, or the whole, is full.
 */
NODISCARD enum status shares_check(const struct shares *s, const struct addition *a,
                                   struct why *why);

#endif
