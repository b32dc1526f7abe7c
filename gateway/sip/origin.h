/**
 * DOC: which user speaks from where
 *
 * A caller who hides his name in From (RFC 3323) is whoever is registered from where the request
 * comes: by the same connection, or from the same address over UDP.  If several are, or none is,
 * nobody can say who it is.
 */
#ifndef GATEWAY_SIP_ORIGIN_H
#define GATEWAY_SIP_ORIGIN_H

#include "gateway/sip/service.h"

struct origins;

/** origins_new - @limit: pairs of origin and user */
struct origins *origins_new(uint64_t seed, size_t limit);
void origins_free(struct origins *o);

/** origin_of - where a message came from; 0 if there is no room for its connection. */
uint64_t origin_of(struct sip *s, const struct sip_sender *sender);

/** origins_add, origins_remove - a contact of @aor registered from there, and is bound no more. */
void origins_add(struct origins *o, uint64_t origin, const char *aor);
void origins_remove(struct origins *o, uint64_t origin, const char *aor);

/**
 * origins_find - who is registered from there
 * @ret_aor: borrowed until the next change
 * Returns: ST_OK; ST_NOT_FOUND if nobody is; ST_EXISTS if several are.
 */
NODISCARD enum status origins_find(const struct origins *o, uint64_t origin, const char **ret_aor);

#endif
