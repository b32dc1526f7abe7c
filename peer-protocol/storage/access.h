/**
 * DOC: who may write a stored value
 *
 * The policies of RFC 6940 section 7.3, and our NODE_KEY: any peer of the overlay under a
 * dictionary key that is its own Node-ID.
 */
#ifndef PEER_PROTOCOL_STORAGE_ACCESS_H
#define PEER_PROTOCOL_STORAGE_ACCESS_H

#include "peer-protocol/message/kind.h"
#include "peer-protocol/message/security.h"

/**
 * access_check - may @signer write this value?
 * @keys: for its hash; with security "none" (no verify) everybody may
 * @key:  the dictionary key; ignored for other models
 * Returns: ST_OK; ST_FORBIDDEN with the policy that says no.
 */
NODISCARD enum status access_check(const struct keys *keys, const struct kind *kind,
                                   const struct id *resource, const struct signer *signer,
                                   struct slice key, struct why *why);

#endif
