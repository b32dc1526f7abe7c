/**
 * DOC: bytes that many values have in common are kept once
 *
 * The certificate of a signer comes with each of its values, and may be most of it.
 */
#ifndef PEER_PROTOCOL_STORAGE_SHARED_BYTES_H
#define PEER_PROTOCOL_STORAGE_SHARED_BYTES_H

#include "base/bytes.h"
#include "base/status.h"

struct shared_bytes;

/** shared_bytes_new - none; NULL without memory. */
struct shared_bytes *shared_bytes_new(void);
void shared_bytes_free(struct shared_bytes *s);

/** shared_bytes_take - one more has @bytes; @ret lives until shared_bytes_leave(). */
NODISCARD enum status shared_bytes_take(struct shared_bytes *s, struct slice bytes,
                                        struct slice *ret);

/** shared_bytes_leave - one has them no longer; @taken: as returned. */
void shared_bytes_leave(struct shared_bytes *s, struct slice taken);

/** shared_bytes_count - different ones. */
size_t shared_bytes_count(const struct shared_bytes *s);

#endif
