/**
 * DOC: addresses of record as data, and as text of a URI
 *
 * An AOR is "user@host": the user with his case and without escapes, so that any byte that may be
 * escaped in a URI may be in it ("+49;ext=5@site.east", "joe b@site.east"), the host in lower case.
 * The last '@' parts them.  One function reads an AOR out of a URI, one writes it into a URI; what
 * is written reads as the same AOR again, and the different spellings of one user ("a%6cice",
 * "alice") are one AOR.
 *
 * Bytes under 0x20 and 0x7f are in no AOR: nobody types them, and in a header field, a log or a
 * terminal they are commands.
 *
 * Source: RFC 3261 sections 19.1.1, 19.1.2 and 25.1, RFC 7904 section 3.
 */
#ifndef BASE_AOR_H
#define BASE_AOR_H

#include <stdbool.h>

#include "base/bytes.h"

/**
 * aor_of_parts - the AOR of a URI that is taken apart already
 * @user: as in the URI, with its escapes
 * @host: as in the URI; a root dot at its end is dropped
 * Returns: ST_OK; ST_RANGE without user or host; ST_MALFORMED for a control character, escaped or
 *          not, a bare space, and a byte that no host has; ST_TOO_LARGE.
 */
NODISCARD enum status aor_of_parts(struct slice user, struct slice host, char *ret_aor,
                                   size_t aor_bytes);

/**
 * aor_of_uri - the same for "sip:user@host:port;parameters", in angle brackets or without
 *
 * A password, port, parameters and headers are no part of it.  Returns: as aor_of_parts();
 * ST_RANGE for another scheme too.
 */
NODISCARD enum status aor_of_uri(struct slice uri, char *ret_aor, size_t aor_bytes);

/**
 * aor_to_uri - "sip:user@host", with escapes where the grammar of user asks for them
 * Returns: ST_OK; ST_MALFORMED for what is no AOR; ST_TOO_LARGE.
 */
NODISCARD enum status aor_to_uri(const char *aor, char *ret_uri, size_t uri_bytes);

/** AOR_URI_BYTES - room for the URI of an AOR of @aor_bytes, whatever is in it. */
#define AOR_URI_BYTES(aor_bytes) (3 * (aor_bytes) + 4)

/** aor_has_control - is a byte under 0x20 or 0x7f in a piece of a URI, escaped or not? */
bool aor_has_control(const char *text);

#endif
