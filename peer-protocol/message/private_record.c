/* The values of our own kinds: docs/protocol.md. */
#include "peer-protocol/message/private.h"
#include "peer-protocol/message/private_ref.h"
#include "peer-protocol/message/wire.h"

enum status
gateway_record_read(struct slice in, struct gateway_record *ret)
{
    struct gateway_record b = {0};
    struct reader r;

    reader_init(&r, in);
    b.term = reader_u32(&r);
    b.score = score_read(&r);
    b.priority = reader_u16(&r);
    b.weight = reader_u16(&r);
    node_ref_read(&r, &b.ref);
    wire_text_read(&r, b.sip_uri, sizeof(b.sip_uri));
    b.since_wall_ms = reader_u64(&r);
    b.certificate = reader_opaque(&r, 2);
    if (reader_is_done(&r))
        *ret = b;
    return wire_end(&r);
}

void
gateway_record_write(struct writer *w, const struct gateway_record *b)
{
    writer_u32(w, b->term);
    writer_u16(w, b->score);
    writer_u16(w, b->priority);
    writer_u16(w, b->weight);
    node_ref_write(w, &b->ref);
    wire_text_write(w, b->sip_uri, sizeof(b->sip_uri));
    writer_u64(w, b->since_wall_ms);
    writer_opaque(w, b->certificate, 2);
}

enum status
candidate_record_read(struct slice in, struct candidate_record *ret)
{
    struct candidate_record b = {0};
    struct reader r;

    reader_init(&r, in);
    node_ref_read(&r, &b.ref);
    b.score = score_read(&r);
    for (size_t i = 0; i < SCORE_PARTS; i++)
        b.part[i] = wire_number_read(&r, SCORE_MAX);
    wire_text_read(&r, b.global_address, sizeof(b.global_address));
    b.ring_members = reader_u8(&r);
    if (reader_is_done(&r))
        *ret = b;
    return wire_end(&r);
}

void
candidate_record_write(struct writer *w, const struct candidate_record *b)
{
    node_ref_write(w, &b->ref);
    writer_u16(w, b->score);
    for (size_t i = 0; i < SCORE_PARTS; i++)
        writer_u16(w, b->part[i]);
    wire_text_write(w, b->global_address, sizeof(b->global_address));
    writer_u8(w, b->ring_members);
}
