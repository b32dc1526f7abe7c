/**
 * DOC: serial numbers of certificates that count no more
 *
 * The file "revoked" in a credentials folder; none is an empty one.  One serial number a line, in
 * hexadecimal, upper or lower case, with or without colons between bytes ("openssl x509 -serial"
 * prints it); what follows a # is a comment.
 *
 * Left out on purpose: certificate revocation lists of RFC 5280, which the authority would have to
 * sign.
 */
#ifndef PEER_PROTOCOL_IDENTITY_REVOKED_H
#define PEER_PROTOCOL_IDENTITY_REVOKED_H

#include <openssl/x509.h>
#include <stdbool.h>

#include "base/status.h"

#define SERIAL_BYTES_MAX 20 /* RFC 5280 section 4.1.2.2 */
#define REVOKED_MAX      65536

struct serial {
    uint8_t len; /* without leading zero bytes */
    uint8_t bytes[SERIAL_BYTES_MAX];
};
/** serial_of - of a certificate; one too long for RFC 5280 is cut. */
struct serial serial_of(const X509 *x);

struct revoked {
    struct serial *serial; /* in order */
    size_t count;
};

/**
 * revoked_read - the file of a folder
 * Returns: ST_OK; ST_IO; ST_MALFORMED, ST_LIMIT with file, line and what was found; ST_NOMEM.
 */
NODISCARD enum status revoked_read(const char *folder, struct revoked *ret, struct why *why);
void revoked_done(struct revoked *r);
bool revoked_has(const struct revoked *r, const struct serial *serial);

#endif
