#include "base/bytes.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct slice
slice_text(const char *text)
{
    return slice_of(text, strlen(text));
}

bool
slice_equal(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

enum status
slice_to_text(struct slice s, char *out, size_t out_bytes)
{
    if (s.len >= out_bytes)
        return ST_TOO_LARGE;
    if (s.len > 0 && memchr(s.data, 0, s.len))
        return ST_MALFORMED;
    if (s.len > 0)
        memcpy(out, s.data, s.len);
    out[s.len] = '\0';
    return ST_OK;
}

enum status
slice_copy(struct slice s, struct slice *ret_copy)
{
    uint8_t *data = malloc(s.len > 0 ? s.len : 1);

    if (!data)
        return ST_NOMEM;
    if (s.len > 0)
        memcpy(data, s.data, s.len);
    *ret_copy = slice_of(data, s.len);
    return ST_OK;
}

void
slice_free(struct slice *copy)
{
    free((void *)(uintptr_t)copy->data);
    *copy = slice_of(NULL, 0);
}

void
reader_init(struct reader *r, struct slice in)
{
    static const uint8_t nothing[1];

    r->at = in.data ? in.data : nothing;
    r->end = r->at + in.len;
    r->failed = false;
}

size_t
reader_left(const struct reader *r)
{
    return (size_t)(r->end - r->at);
}

bool
reader_is_done(const struct reader *r)
{
    return !r->failed && r->at == r->end;
}

void
reader_fail(struct reader *r)
{
    r->failed = true;
    r->at = r->end;
}

static uint64_t
read_number(struct reader *r, unsigned bytes)
{
    uint64_t v = 0;

    if (r->failed || reader_left(r) < bytes) {
        reader_fail(r);
        return 0;
    }
    for (unsigned i = 0; i < bytes; i++)
        v = v << 8 | *r->at++;
    return v;
}

uint8_t
reader_u8(struct reader *r)
{
    return (uint8_t)read_number(r, 1);
}

uint16_t
reader_u16(struct reader *r)
{
    return (uint16_t)read_number(r, 2);
}

uint32_t
reader_u24(struct reader *r)
{
    return (uint32_t)read_number(r, 3);
}

uint32_t
reader_u32(struct reader *r)
{
    return (uint32_t)read_number(r, 4);
}

uint64_t
reader_u64(struct reader *r)
{
    return read_number(r, 8);
}

struct slice
reader_bytes(struct reader *r, size_t len)
{
    struct slice s = {r->at, 0};

    if (r->failed || reader_left(r) < len) {
        reader_fail(r);
        return s;
    }
    s.len = len;
    r->at += len;
    return s;
}

struct id
reader_id(struct reader *r)
{
    struct id id = {{0}};
    struct slice s = reader_bytes(r, ID_BYTES);

    if (s.len == ID_BYTES)
        memcpy(id.bytes, s.data, ID_BYTES);
    return id;
}

struct slice
reader_opaque(struct reader *r, unsigned prefix)
{
    assert(prefix >= 1 && prefix <= 4);
    return reader_bytes(r, (size_t)read_number(r, prefix));
}

bool
reader_bool(struct reader *r)
{
    uint8_t v = reader_u8(r);

    if (v > 1)
        reader_fail(r);
    return v == 1;
}

void
writer_init(struct writer *w, size_t limit)
{
    *w = (struct writer){.limit = limit};
}

void
writer_done(struct writer *w)
{
    free(w->data);
    *w = (struct writer){.limit = w->limit};
}

void
writer_reset(struct writer *w)
{
    w->len = 0;
    w->failed = ST_OK;
}

/* Room for @more bytes at the end, already counted as written; NULL after a failure or for none. */
static uint8_t *
extend(struct writer *w, size_t more)
{
    if (w->failed != ST_OK || more == 0)
        return NULL;
    if (more > w->limit || w->len > w->limit - more) {
        w->failed = ST_TOO_LARGE;
        return NULL;
    }
    if (w->len + more > w->cap) {
        size_t cap = w->cap ? w->cap : 256;
        while (cap < w->len + more)
            cap *= 2;
        uint8_t *data = realloc(w->data, cap);
        if (!data) {
            w->failed = ST_NOMEM;
            return NULL;
        }
        w->data = data;
        w->cap = cap;
    }
    w->len += more;
    return w->data + w->len - more;
}

static void
put_number(uint8_t *at, uint64_t v, unsigned bytes)
{
    for (unsigned i = bytes; i-- > 0; v >>= 8)
        at[i] = (uint8_t)v;
}

static void
write_number(struct writer *w, uint64_t v, unsigned bytes)
{
    uint8_t *at = extend(w, bytes);

    if (at)
        put_number(at, v, bytes);
}

void
writer_u8(struct writer *w, uint8_t v)
{
    write_number(w, v, 1);
}

void
writer_u16(struct writer *w, uint16_t v)
{
    write_number(w, v, 2);
}

void
writer_u24(struct writer *w, uint32_t v)
{
    write_number(w, v, 3);
}

void
writer_u32(struct writer *w, uint32_t v)
{
    write_number(w, v, 4);
}

void
writer_u64(struct writer *w, uint64_t v)
{
    write_number(w, v, 8);
}

void
writer_bytes(struct writer *w, struct slice s)
{
    uint8_t *at = extend(w, s.len);

    if (at)
        memcpy(at, s.data, s.len);
}

void
writer_id(struct writer *w, const struct id *id)
{
    writer_bytes(w, slice_of(id->bytes, ID_BYTES));
}

void
writer_bool(struct writer *w, bool v)
{
    writer_u8(w, v ? 1 : 0);
}

static bool
fits(size_t len, unsigned prefix)
{
    return prefix >= sizeof(size_t) || len >> (8 * prefix) == 0;
}

void
writer_opaque(struct writer *w, struct slice s, unsigned prefix)
{
    if (w->failed == ST_OK && !fits(s.len, prefix))
        w->failed = ST_RANGE;
    write_number(w, s.len, prefix);
    writer_bytes(w, s);
}

size_t
writer_open(struct writer *w, unsigned prefix)
{
    size_t mark = w->len;

    write_number(w, 0, prefix);
    return mark;
}

void
writer_close(struct writer *w, size_t mark, unsigned prefix)
{
    if (w->failed != ST_OK)
        return;
    size_t len = w->len - mark - prefix;
    if (!fits(len, prefix)) {
        w->failed = ST_RANGE;
        return;
    }
    put_number(w->data + mark, len, prefix);
}

void
writer_patch_u16(struct writer *w, size_t at, uint16_t v)
{
    if (w->failed != ST_OK)
        return;
    assert(at + 2 <= w->len);
    put_number(w->data + at, v, 2);
}

void
writer_patch_u32(struct writer *w, size_t at, uint32_t v)
{
    if (w->failed != ST_OK)
        return;
    assert(at + 4 <= w->len);
    put_number(w->data + at, v, 4);
}
