/**
 * DOC: 128-bit identifiers
 *
 * Node-IDs and Resource-IDs share one number space of 128 bits, big-endian (RFC 6940 section 10.2).
 * All arithmetic is modulo 2^128.
 */
#ifndef BASE_ID_H
#define BASE_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/status.h"

#define ID_BYTES      16
#define ID_TEXT_BYTES 33 /* 32 hex digits and the terminating zero */

struct id {
    uint8_t bytes[ID_BYTES];
};

/** id_compare - -1, 0 or 1, as numbers. */
int id_compare(const struct id *a, const struct id *b);

static inline bool
id_equal(const struct id *a, const struct id *b)
{
    return memcmp(a->bytes, b->bytes, ID_BYTES) == 0; /* in line: tables of IDs are walked a lot */
}

/** id_is_zero - the all-zero ID is invalid on the wire (RFC 6940 section 6.3.1.1). */
bool id_is_zero(const struct id *a);

/** id_is_wildcard - the all-ones Node-ID, "whoever is at the other end" (section 6.3.1.1). */
bool id_is_wildcard(const struct id *a);

/** id_add, id_subtract - a + b and a - b modulo 2^128. */
struct id id_add(const struct id *a, const struct id *b);
struct id id_subtract(const struct id *a, const struct id *b);

/** id_power_of_two - 2^exponent; exponent 0..127. */
struct id id_power_of_two(unsigned exponent);

/** id_is_in - is @x in the ring interval (from, to]?  The whole ring when from == to. */
bool id_is_in(const struct id *x, const struct id *from, const struct id *to);

/** id_digit - digit @row of @x in base 2^bits, most significant first; bits divides 8. */
unsigned id_digit(const struct id *x, unsigned row, unsigned bits);

/** id_common_bits - length of the common prefix in bits, 0..128. */
unsigned id_common_bits(const struct id *a, const struct id *b);

/** id_text - 32 lower-case hex digits. @out holds ID_TEXT_BYTES. Returns @out. */
char *id_text(const struct id *a, char out[ID_TEXT_BYTES]);

/** id_parse - read 32 hex digits; ST_MALFORMED otherwise. */
NODISCARD enum status id_parse(const char *text, struct id *ret_id);

#endif
