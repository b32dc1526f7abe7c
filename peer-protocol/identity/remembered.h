/**
 * DOC: the certificates that have been checked
 *
 * Found by the SHA-256 of their DER.  Bounded: when it is full, the one that was not used for the
 * longest time goes.
 */
#ifndef PEER_PROTOCOL_IDENTITY_REMEMBERED_H
#define PEER_PROTOCOL_IDENTITY_REMEMBERED_H

#include "base/map.h"
#include "peer-protocol/identity/certificate.h"

struct remembered {
    struct map *map;
    struct list_node used; /* the one used last comes first */
    size_t limit;
};

/** remembered_init - @limit at least 1.  Returns: ST_OK; ST_NOMEM. */
NODISCARD enum status remembered_init(struct remembered *r, uint64_t seed, size_t limit);
void remembered_done(struct remembered *r);

/** remembered_get - NULL if it is not remembered; borrowed until the next call of remembered_add.
 */
struct certificate *remembered_get(struct remembered *r, struct slice hash);

/** remembered_add - keep a certificate that is not there yet; taken, also on failure. */
NODISCARD enum status remembered_add(struct remembered *r, struct certificate *c);

/** remembered_set_limit - another limit. */
void remembered_set_limit(struct remembered *r, size_t limit);

#endif
