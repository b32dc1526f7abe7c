/**
 * DOC: the signature of one stored value
 *
 * Source: RFC 6940 section 7.1.
 */
#ifndef PEER_PROTOCOL_STORAGE_SIGNED_DATA_H
#define PEER_PROTOCOL_STORAGE_SIGNED_DATA_H

#include "peer-protocol/message/kind.h"
#include "peer-protocol/message/security.h"

/**
 * signed_data_sign - set @d->signature, in the name of this node
 * The signature's slices are borrowed from @keys until its next signature.  With security "none"
 * it is the empty one.
 */
NODISCARD enum status signed_data_sign(const struct keys *keys, const struct id *resource,
                                       const struct kind *kind, struct stored_data *d);

/**
 * signed_data_verify - whose value is this, and may that node write it here?
 * @certificates: raw entries that came along
 * @ret:          the signer; with security "none" the Node-ID that the dictionary key is, if it is
 * Returns: ST_OK; ST_SIGNATURE; ST_NOT_FOUND without its certificate; ST_FORBIDDEN by access policy
 * or for an empty signature, which is for values that do not exist (section 7.4.2.2).
 */
NODISCARD enum status signed_data_verify(const struct keys *keys, const struct id *resource,
                                         const struct kind *kind, const struct stored_data *d,
                                         struct slice certificates, uint64_t at_wall_ms,
                                         struct signer *ret, struct why *why);

#endif
