/**
 * DOC: byte slices, and the two cursors every codec is made of
 *
 * A slice borrows bytes.  A reader walks a slice and a writer fills a buffer; both are sticky:
 * after the first failure all further calls do nothing and return zeros, so a codec checks once at
 * its end. All integers are big-endian (RFC 6940 section 6.3.1).
 */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/id.h"
#include "base/status.h"

struct slice {
    const uint8_t *data; /* may be NULL when len is 0 */
    size_t len;
};

static inline struct slice
slice_of(const void *data, size_t len)
{
    return (struct slice){(const uint8_t *)data, len};
}

/** slice_text - a zero-terminated string without its zero. */
struct slice slice_text(const char *text);

bool slice_equal(struct slice a, struct slice b);

/**
 * slice_to_text - copy into a zero-terminated buffer
 * Returns: ST_OK; ST_TOO_LARGE if it does not fit; ST_MALFORMED if it holds a zero byte.
 */
NODISCARD enum status slice_to_text(struct slice s, char *out, size_t out_bytes);

/** slice_copy - a heap copy the caller frees (free(copy.data) through slice_free). */
NODISCARD enum status slice_copy(struct slice s, struct slice *ret_copy);
void slice_free(struct slice *copy);

struct reader {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
};

void reader_init(struct reader *r, struct slice in);
size_t reader_left(const struct reader *r);

/** reader_is_done - nothing failed and nothing is left. */
bool reader_is_done(const struct reader *r);

void reader_fail(struct reader *r);
uint8_t reader_u8(struct reader *r);
uint16_t reader_u16(struct reader *r);
uint32_t reader_u24(struct reader *r);
uint32_t reader_u32(struct reader *r);
uint64_t reader_u64(struct reader *r);
struct id reader_id(struct reader *r);

/** reader_bytes - the next @len bytes, borrowed from the input. */
struct slice reader_bytes(struct reader *r, size_t len);

/** reader_opaque - bytes behind a length prefix of @prefix bytes (1 to 4). */
struct slice reader_opaque(struct reader *r, unsigned prefix);

/** reader_bool - one byte, 0 or 1; anything else fails. */
bool reader_bool(struct reader *r);

/** A buffer on the heap that grows up to @limit; more is ST_TOO_LARGE. */
struct writer {
    uint8_t *data;
    size_t len;
    size_t cap;
    size_t limit;
    enum status failed; /* ST_OK, ST_NOMEM, ST_TOO_LARGE or ST_RANGE */
};

void writer_init(struct writer *w, size_t limit);
void writer_done(struct writer *w);

/** writer_reset - empty it, keep the memory, forget a failure. */
void writer_reset(struct writer *w);

static inline struct slice
writer_slice(const struct writer *w)
{
    return slice_of(w->data, w->len);
}

void writer_u8(struct writer *w, uint8_t v);
void writer_u16(struct writer *w, uint16_t v);
void writer_u24(struct writer *w, uint32_t v);
void writer_u32(struct writer *w, uint32_t v);
void writer_u64(struct writer *w, uint64_t v);
void writer_id(struct writer *w, const struct id *id);
void writer_bytes(struct writer *w, struct slice s);
void writer_bool(struct writer *w, bool v);

/** writer_opaque - @s behind a length prefix of @prefix bytes; ST_RANGE if it is too long for it.
 */
void writer_opaque(struct writer *w, struct slice s, unsigned prefix);

/**
 * writer_open, writer_close - a length prefix that is filled in later
 *
 * size_t mark = writer_open(w, 2); ... writer_close(w, mark, 2);
 */
size_t writer_open(struct writer *w, unsigned prefix);
void writer_close(struct writer *w, size_t mark, unsigned prefix);

/** writer_patch - overwrite bytes written earlier; @at + bytes must be inside what was written. */
void writer_patch_u16(struct writer *w, size_t at, uint16_t v);
void writer_patch_u32(struct writer *w, size_t at, uint32_t v);

#endif
