/* The bodies of our own requests and answers: docs/protocol.md. */
#include <assert.h>
#include <string.h>

#include "peer-protocol/message/private.h"
#include "peer-protocol/message/private_ref.h"
#include "peer-protocol/message/wire.h"

/* ---- HELLO ----------------------------------------------------------------------------------- */

static struct ring_health
health_read(struct reader *r)
{
    struct ring_health h = {.members = reader_u8(r)};

    h.silent_ms = reader_u32(r);
    return h;
}

static void
health_write(struct writer *w, const struct ring_health *h)
{
    writer_u8(w, h->members);
    writer_u32(w, h->silent_ms);
}

enum status
hello_req_read(struct slice in, struct hello_req *ret)
{
    struct hello_req b = {0};
    struct reader r;

    reader_init(&r, in);
    b.term = reader_u32(&r);
    b.score = score_read(&r);
    b.is_candidate = reader_bool(&r);
    b.list = reader_u64(&r);
    b.ring = health_read(&r);
    if (reader_is_done(&r))
        *ret = b;
    return wire_end(&r);
}

void
hello_req_write(struct writer *w, const struct hello_req *b)
{
    writer_u32(w, b->term);
    writer_u16(w, b->score);
    writer_bool(w, b->is_candidate);
    writer_u64(w, b->list);
    health_write(w, &b->ring);
}

static void
lists_read(struct reader *r, struct hello_ans *b)
{
    b->candidate_count = reader_u8(r);
    if (b->candidate_count > HELLO_CANDIDATES_MAX)
        reader_fail(r);
    for (uint8_t i = 0; i < b->candidate_count && !r->failed; i++) {
        node_ref_read(r, &b->candidate[i].ref);
        b->candidate[i].score = score_read(r);
    }
    b->ring_count = reader_u8(r);
    if (b->ring_count > RING_NEIGHBOURS_MAX)
        reader_fail(r);
    for (uint8_t i = 0; i < b->ring_count && !r->failed; i++)
        node_ref_read(r, &b->ring[i]);
    b->has_key = reader_left(r) > 0;
    if (b->has_key) {
        struct slice key = reader_bytes(r, sizeof(b->key));
        if (!r->failed)
            memcpy(b->key, key.data, sizeof(b->key));
    }
}

void
hello_lists_write(struct writer *w, const struct hello_ans *b)
{
    assert(b->candidate_count <= HELLO_CANDIDATES_MAX && b->ring_count <= RING_NEIGHBOURS_MAX);
    writer_u8(w, b->candidate_count);
    for (uint8_t i = 0; i < b->candidate_count; i++) {
        node_ref_write(w, &b->candidate[i].ref);
        writer_u16(w, b->candidate[i].score);
    }
    writer_u8(w, b->ring_count);
    for (uint8_t i = 0; i < b->ring_count; i++)
        node_ref_write(w, &b->ring[i]);
    if (b->has_key)
        writer_bytes(w, slice_of(b->key, sizeof(b->key)));
}

enum status
hello_ans_read(struct slice in, struct hello_ans *ret)
{
    struct hello_ans b = {0};
    struct reader r;

    reader_init(&r, in);
    b.term = reader_u32(&r);
    b.is_active = reader_bool(&r);
    b.score = score_read(&r);
    b.active = reader_id(&r);
    b.health = health_read(&r);
    b.list = reader_u64(&r);
    b.has_list = reader_bool(&r);
    if (b.has_list)
        lists_read(&r, &b);
    if (reader_is_done(&r))
        *ret = b;
    return wire_end(&r);
}

void
hello_ans_write(struct writer *w, const struct hello_ans *b)
{
    writer_u32(w, b->term);
    writer_bool(w, b->is_active);
    writer_u16(w, b->score);
    writer_id(w, &b->active);
    health_write(w, &b->health);
    writer_u64(w, b->list);
    writer_bool(w, b->has_list);
    if (b->has_list)
        hello_lists_write(w, b);
}

/* ---- CLAIM, HANDOVER ------------------------------------------------------------------------- */

enum status
claim_req_read(struct slice in, struct claim_req *ret)
{
    struct claim_req b = {0};
    struct reader r;

    reader_init(&r, in);
    b.term = reader_u32(&r);
    b.score = score_read(&r);
    node_ref_read(&r, &b.ref);
    b.replaces = reader_id(&r);
    wire_text_read(&r, b.sip_uri, sizeof(b.sip_uri));
    b.certificate = reader_opaque(&r, 2);
    if (reader_is_done(&r))
        *ret = b;
    return wire_end(&r);
}

void
claim_req_write(struct writer *w, const struct claim_req *b)
{
    writer_u32(w, b->term);
    writer_u16(w, b->score);
    node_ref_write(w, &b->ref);
    writer_id(w, &b->replaces);
    wire_text_write(w, b->sip_uri, sizeof(b->sip_uri));
    writer_opaque(w, b->certificate, 2);
}

enum status
handover_req_read(struct slice in, struct handover_req *ret)
{
    struct handover_req b = {0};
    struct reader r;

    reader_init(&r, in);
    b.term = reader_u32(&r);
    b.is_ring_lost = reader_bool(&r);
    if (reader_is_done(&r))
        *ret = b;
    return wire_end(&r);
}

void
handover_req_write(struct writer *w, const struct handover_req *b)
{
    writer_u32(w, b->term);
    writer_bool(w, b->is_ring_lost);
}

/* ---- GONE ------------------------------------------------------------------------------------ */

enum status
gone_req_read(struct slice in, struct gone_req *ret)
{
    struct gone_req b = {0};
    struct reader r;

    reader_init(&r, in);
    b.node = wire_node_read(&r);
    if (reader_is_done(&r))
        *ret = b;
    return wire_end(&r);
}

void
gone_req_write(struct writer *w, const struct gone_req *b)
{
    writer_id(w, &b->node);
}

enum status
gone_ans_read(struct slice in, struct gone_ans *ret)
{
    struct gone_ans b = {0};
    struct reader r;

    reader_init(&r, in);
    b.count = reader_u8(&r);
    if (b.count > GONE_NEIGHBOURS_MAX)
        return ST_MALFORMED;
    for (size_t i = 0; i < b.count; i++)
        b.neighbour[i] = wire_node_read(&r);
    if (reader_is_done(&r))
        *ret = b;
    return wire_end(&r);
}

void
gone_ans_write(struct writer *w, const struct gone_ans *b)
{
    writer_u8(w, b->count);
    for (size_t i = 0; i < b->count; i++)
        writer_id(w, &b->neighbour[i]);
}

/* ---- PROBE ----------------------------------------------------------------------------------- */

enum status
probe_gateway_req_read(struct slice in, struct probe_gateway_req *ret)
{
    struct probe_gateway_req b = {0};
    struct reader r;

    reader_init(&r, in);
    b.gateway = wire_node_read(&r);
    b.term = reader_u32(&r);
    b.waiting_ms = reader_u32(&r);
    if (reader_is_done(&r))
        *ret = b;
    return wire_end(&r);
}

void
probe_gateway_req_write(struct writer *w, const struct probe_gateway_req *b)
{
    writer_id(w, &b->gateway);
    writer_u32(w, b->term);
    writer_u32(w, b->waiting_ms);
}

enum status
probe_gateway_ans_read(struct slice in, struct probe_gateway_ans *ret)
{
    struct probe_gateway_ans b = {0};
    struct reader r;

    reader_init(&r, in);
    b.is_alive = reader_bool(&r);
    b.silent_ms = reader_u32(&r);
    b.term = reader_u32(&r);
    if (reader_is_done(&r))
        *ret = b;
    return wire_end(&r);
}

void
probe_gateway_ans_write(struct writer *w, const struct probe_gateway_ans *b)
{
    writer_bool(w, b->is_alive);
    writer_u32(w, b->silent_ms);
    writer_u32(w, b->term);
}

/* ---- RESOLVE --------------------------------------------------------------------------------- */

enum status
resolve_req_read(struct slice in, struct resolve_req *ret)
{
    struct resolve_req b = {0};
    struct reader r;

    reader_init(&r, in);
    wire_text_read(&r, b.domain, sizeof(b.domain));
    if (reader_is_done(&r))
        *ret = b;
    return wire_end(&r);
}

void
resolve_req_write(struct writer *w, const struct resolve_req *b)
{
    wire_text_write(w, b->domain, sizeof(b->domain));
}

enum status
resolve_ans_read(struct slice in, struct resolve_ans *ret)
{
    struct resolve_ans b = {0};
    struct reader r;

    reader_init(&r, in);
    b.error = reader_u16(&r);
    wire_text_read(&r, b.overlay, sizeof(b.overlay));
    b.gateway_count = reader_u8(&r);
    if (b.gateway_count > RESOLVE_GATEWAYS_MAX)
        reader_fail(&r);
    for (uint8_t i = 0; i < b.gateway_count && !r.failed; i++) {
        b.gateway[i].node = wire_node_read(&r);
        wire_text_read(&r, b.gateway[i].uri, sizeof(b.gateway[i].uri));
    }
    b.hop_count = reader_u8(&r);
    if (b.hop_count > RESOLVE_HOPS_MAX)
        reader_fail(&r);
    for (uint8_t i = 0; i < b.hop_count && !r.failed; i++) {
        node_ref_read(&r, &b.hop[i].ref);
        b.hop[i].rtt_us = reader_u32(&r);
    }
    if (reader_is_done(&r))
        *ret = b;
    return wire_end(&r);
}

void
resolve_ans_write(struct writer *w, const struct resolve_ans *b)
{
    assert(b->gateway_count <= RESOLVE_GATEWAYS_MAX && b->hop_count <= RESOLVE_HOPS_MAX);
    writer_u16(w, b->error);
    wire_text_write(w, b->overlay, sizeof(b->overlay));
    writer_u8(w, b->gateway_count);
    for (uint8_t i = 0; i < b->gateway_count; i++) {
        writer_id(w, &b->gateway[i].node);
        wire_text_write(w, b->gateway[i].uri, sizeof(b->gateway[i].uri));
    }
    writer_u8(w, b->hop_count);
    for (uint8_t i = 0; i < b->hop_count; i++) {
        node_ref_write(w, &b->hop[i].ref);
        writer_u32(w, b->hop[i].rtt_us);
    }
}

/* ---- NODE_INFO ------------------------------------------------------------------------------- */

enum status
node_info_read(struct slice in, struct node_info *ret)
{
    struct node_info b = {0};
    struct reader r;

    reader_init(&r, in);
    node_ref_read(&r, &b.ref);
    b.uptime_s = reader_u32(&r);
    b.records = reader_u32(&r);
    if (reader_is_done(&r))
        *ret = b;
    return wire_end(&r);
}

void
node_info_write(struct writer *w, const struct node_info *b)
{
    node_ref_write(w, &b->ref);
    writer_u32(w, b->uptime_s);
    writer_u32(w, b->records);
}
