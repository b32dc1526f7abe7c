/* The bodies of DIALOGS, by which calls go from node to node: docs/protocol.md. */
#include <assert.h>

#include "peer-protocol/message/private.h"
#include "peer-protocol/message/wire.h"

static bool
is_token(struct slice token)
{
    if (token.len == 0 || token.len > DIALOGS_TOKEN_MAX)
        return false;
    for (size_t i = 0; i < token.len; i++)
        if (token.data[i] < 0x20 || token.data[i] == 0x7f)
            return false;
    return true;
}

bool
dialogs_entry_read(struct reader *r, struct dialogs_entry *ret)
{
    struct dialogs_entry e;

    if (reader_left(r) == 0)
        return false;
    e.token = reader_opaque(r, 1);
    e.record = reader_opaque(r, 2);
    if (r->failed || !is_token(e.token) || e.record.len > DIALOGS_RECORD_MAX) {
        reader_fail(r);
        return false;
    }
    *ret = e;
    return true;
}

void
dialogs_entry_write(struct writer *w, struct slice token, struct slice record)
{
    assert(is_token(token) && record.len <= DIALOGS_RECORD_MAX);
    writer_opaque(w, token, 1);
    writer_opaque(w, record, 2);
}

size_t
dialogs_entry_bytes(struct slice token, struct slice record)
{
    return 1 + token.len + 2 + record.len;
}

static bool
is_flags(uint8_t flags)
{
    flags &= (uint8_t)~DIALOGS_PART;
    return flags == DIALOGS_OFFER || (flags & ~(DIALOGS_FIRST | DIALOGS_MOVE)) == 0;
}

/** @first: the first entry, if there is one */
static bool
is_part(const struct dialogs_req *b, const struct dialogs_entry *first)
{
    return b->count == 1 && first->record.len > 0 && b->part_whole <= DIALOGS_WHOLE_MAX &&
           b->part_at <= b->part_whole && first->record.len <= b->part_whole - b->part_at;
}

enum status
dialogs_req_read(struct slice in, struct dialogs_req *ret)
{
    struct dialogs_req b = {0};
    struct dialogs_entry entry, first = {.record = {NULL, 0}};
    struct reader r, entries;
    size_t count = 0;

    reader_init(&r, in);
    b.stream = reader_u64(&r);
    b.number = reader_u32(&r);
    b.flags = reader_u8(&r);
    b.total = reader_u32(&r);
    b.certificate = reader_opaque(&r, 2);
    if (b.flags & DIALOGS_PART) {
        b.part_at = reader_u32(&r);
        b.part_whole = reader_u32(&r);
    }
    b.count = reader_u16(&r);
    b.entries = reader_bytes(&r, reader_left(&r));
    reader_init(&entries, b.entries);
    while (count <= DIALOGS_ENTRIES_MAX && dialogs_entry_read(&entries, &entry))
        if (count++ == 0)
            first = entry;
    if (r.failed || b.stream == 0 || !is_flags(b.flags) || entries.failed ||
        count > DIALOGS_ENTRIES_MAX || count != b.count ||
        ((b.flags & DIALOGS_PART) && !is_part(&b, &first)))
        return ST_MALFORMED;
    *ret = b;
    return ST_OK;
}

void
dialogs_req_write(struct writer *w, const struct dialogs_req *b)
{
    assert(b->stream != 0 && is_flags(b->flags) && b->count <= DIALOGS_ENTRIES_MAX);
    writer_u64(w, b->stream);
    writer_u32(w, b->number);
    writer_u8(w, b->flags);
    writer_u32(w, b->total);
    writer_opaque(w, b->certificate, 2);
    if (b->flags & DIALOGS_PART) {
        writer_u32(w, b->part_at);
        writer_u32(w, b->part_whole);
    }
    writer_u16(w, b->count);
    writer_bytes(w, b->entries);
}

enum status
dialogs_ans_read(struct slice in, struct dialogs_ans *ret)
{
    struct dialogs_ans b = {0};
    struct reader r;

    reader_init(&r, in);
    b.stream = reader_u64(&r);
    b.wants_all = reader_bool(&r);
    b.held = reader_u32(&r);
    if (b.stream == 0)
        reader_fail(&r);
    if (reader_is_done(&r))
        *ret = b;
    return wire_end(&r);
}

void
dialogs_ans_write(struct writer *w, const struct dialogs_ans *b)
{
    writer_u64(w, b->stream);
    writer_bool(w, b->wants_all);
    writer_u32(w, b->held);
}
