/* The envelope of our own requests, and what several of them carry: docs/protocol.md. */
#include "peer-protocol/message/private.h"

#include <assert.h>

#include "peer-protocol/message/private_ref.h"
#include "peer-protocol/message/wire.h"

void
private_write(struct writer *w, uint16_t subtype, struct slice body)
{
    writer_u16(w, subtype);
    writer_u8(w, PRIVATE_VERSION);
    writer_bytes(w, body);
}

enum status
private_read(struct slice in, uint16_t *ret_subtype, struct slice *ret_body)
{
    struct reader r;

    reader_init(&r, in);
    uint16_t subtype = reader_u16(&r);
    uint8_t version = reader_u8(&r);
    if (r.failed)
        return ST_MALFORMED;
    if (version != PRIVATE_VERSION)
        return ST_UNSUPPORTED;
    *ret_subtype = subtype;
    *ret_body = reader_bytes(&r, reader_left(&r));
    return ST_OK;
}

uint16_t
score_read(struct reader *r)
{
    uint16_t v = reader_u16(r);

    if ((v & ~SCORE_PINNED) > SCORE_MAX)
        reader_fail(r);
    return v;
}

void
node_ref_read(struct reader *r, struct node_ref *ret)
{
    ret->node = wire_node_read(r);
    wire_text_read(r, ret->name, sizeof(ret->name));
    wire_text_read(r, ret->address, sizeof(ret->address));
}

void
node_ref_write(struct writer *w, const struct node_ref *ref)
{
    writer_id(w, &ref->node);
    wire_text_write(w, ref->name, sizeof(ref->name));
    wire_text_write(w, ref->address, sizeof(ref->address));
}

enum status
algorithm_extension_read(struct slice in, struct algorithm_extension *ret)
{
    struct algorithm_extension b = {0};
    struct reader r;

    reader_init(&r, in);
    wire_text_read(&r, b.name, sizeof(b.name));
    b.abi = reader_u32(&r);
    wire_text_read(&r, b.parameters, sizeof(b.parameters));
    if (reader_left(&r) > 0)
        b.version = reader_u64(&r);
    if (reader_is_done(&r))
        *ret = b;
    return wire_end(&r);
}

void
algorithm_extension_write(struct writer *w, const struct algorithm_extension *b)
{
    wire_text_write(w, b->name, sizeof(b->name));
    writer_u32(w, b->abi);
    wire_text_write(w, b->parameters, sizeof(b->parameters));
    if (b->version != 0)
        writer_u64(w, b->version);
}

enum status
in_progress_read(struct slice in, struct in_progress *ret)
{
    struct in_progress b = {0};
    struct reader r;

    reader_init(&r, in);
    b.node = wire_node_read(&r);
    b.wants_membership = reader_bool(&r);
    b.member_count = reader_u8(&r);
    if (b.member_count > RING_NEIGHBOURS_MAX)
        reader_fail(&r);
    for (uint8_t i = 0; i < b.member_count && !r.failed; i++)
        node_ref_read(&r, &b.member[i]);
    if (reader_is_done(&r))
        *ret = b;
    return wire_end(&r);
}

void
in_progress_write(struct writer *w, const struct in_progress *b)
{
    assert(b->member_count <= RING_NEIGHBOURS_MAX);
    writer_id(w, &b->node);
    writer_bool(w, b->wants_membership);
    writer_u8(w, b->member_count);
    for (uint8_t i = 0; i < b->member_count; i++)
        node_ref_write(w, &b->member[i]);
}
