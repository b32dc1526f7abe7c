/**
 * DOC: small tools around OpenSSL that the files of this folder share
 *
 * Left out on purpose: any type of our own; the folder's modules use OpenSSL's.
 */
#ifndef PEER_PROTOCOL_IDENTITY_OPENSSL_H
#define PEER_PROTOCOL_IDENTITY_OPENSSL_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/** openssl_reason - why the last call failed; empties the thread's error queue.  Never NULL. */
const char *openssl_reason(void);

/** openssl_wall_ms - the wall clock, for certificates' validity. */
uint64_t openssl_wall_ms(void);

/** The hashes that RELOAD asks for.  ST_NOMEM if the library has none to give. */
#define OPENSSL_SHA1_BYTES   20
#define OPENSSL_SHA256_BYTES 32
NODISCARD enum status openssl_sha1(const void *data, size_t len, uint8_t out[OPENSSL_SHA1_BYTES]);
NODISCARD enum status openssl_sha256(const void *data, size_t len,
                                     uint8_t out[OPENSSL_SHA256_BYTES]);

#endif
