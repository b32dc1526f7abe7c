/* The values of our own kinds: docs/protocol.md. */
#include <assert.h>

#include "peer-protocol/message/private.h"
#include "peer-protocol/message/private_ref.h"
#include "peer-protocol/message/wire.h"

#define Q_MAX 1000 /* thousandths, RFC 3261 section 20.10 */

static void
contact_read(struct reader *r, struct binding_contact *c)
{
    wire_text_read(r, c->uri, sizeof(c->uri));
    c->q_thousandths = wire_number_read(r, Q_MAX);
    c->expires_at_wall_ms = reader_u64(r);
    wire_text_read(r, c->call_id, sizeof(c->call_id));
    c->cseq = reader_u32(r);
    wire_text_read(r, c->instance, sizeof(c->instance));
    c->is_on_connection = reader_bool(r);
}

static void
contact_write(struct writer *w, const struct binding_contact *c)
{
    wire_text_write(w, c->uri, sizeof(c->uri));
    writer_u16(w, c->q_thousandths);
    writer_u64(w, c->expires_at_wall_ms);
    wire_text_write(w, c->call_id, sizeof(c->call_id));
    writer_u32(w, c->cseq);
    wire_text_write(w, c->instance, sizeof(c->instance));
    writer_bool(w, c->is_on_connection);
}

enum status
binding_record_read(struct slice in, struct binding_record *ret)
{
    struct binding_record b = {0};
    struct reader r;

    reader_init(&r, in);
    wire_text_read(&r, b.aor, sizeof(b.aor));
    b.contact_count = reader_u8(&r);
    if (b.contact_count > BINDING_CONTACTS_MAX)
        reader_fail(&r);
    for (uint8_t i = 0; i < b.contact_count && !r.failed; i++)
        contact_read(&r, &b.contact[i]);
    wire_text_read(&r, b.path, sizeof(b.path));
    if (reader_is_done(&r))
        *ret = b;
    return wire_end(&r);
}

void
binding_record_write(struct writer *w, const struct binding_record *b)
{
    assert(b->contact_count <= BINDING_CONTACTS_MAX);
    wire_text_write(w, b->aor, sizeof(b->aor));
    writer_u8(w, b->contact_count);
    for (uint8_t i = 0; i < b->contact_count; i++)
        contact_write(w, &b->contact[i]);
    wire_text_write(w, b->path, sizeof(b->path));
}

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
}
