#include "local-overlays/can/can_body.h"

#include <assert.h>
#include <string.h>

static struct can_levels
read_levels(struct reader *r)
{
    struct id bits = reader_id(r);
    struct can_levels levels;

    memcpy(levels.bytes, bits.bytes, sizeof(levels.bytes));
    return levels;
}

enum status
can_news_read(struct slice in, struct can_news *ret)
{
    struct can_news n;
    struct reader r;

    reader_init(&r, in);
    n.type = reader_u8(&r);
    n.needs_you = reader_bool(&r);
    n.uptime_s = reader_u32(&r);
    n.levels = read_levels(&r);
    n.peers = reader_opaque(&r, 2);
    if (!reader_is_done(&r) || n.type < CAN_MEMBER || n.type > CAN_ADMITTED ||
        n.peers.len % CAN_PEER_BYTES != 0 || n.peers.len / CAN_PEER_BYTES > CAN_CONTACTS_MAX)
        return ST_MALFORMED;
    *ret = n;
    return ST_OK;
}

void
can_news_write(struct writer *w, const struct can_news *n)
{
    writer_u8(w, n->type);
    writer_bool(w, n->needs_you);
    writer_u32(w, n->uptime_s);
    writer_bytes(w, slice_of(n->levels.bytes, sizeof(n->levels.bytes)));
    writer_opaque(w, n->peers, 2);
}

size_t
can_news_peer_count(const struct can_news *n)
{
    return n->peers.len / CAN_PEER_BYTES;
}

struct can_peer
can_news_peer(const struct can_news *n, size_t index)
{
    struct can_peer peer;
    const uint8_t *at = n->peers.data + index * CAN_PEER_BYTES;

    assert(index < can_news_peer_count(n));
    memcpy(peer.node.bytes, at, ID_BYTES);
    memcpy(peer.levels.bytes, at + ID_BYTES, sizeof(peer.levels.bytes));
    return peer;
}

void
can_peer_write(struct writer *w, const struct id *node, const struct can_levels *levels)
{
    writer_id(w, node);
    writer_bytes(w, slice_of(levels->bytes, sizeof(levels->bytes)));
}

enum status
can_next_hop_read(struct slice in, struct id *ret_next)
{
    struct reader r;
    struct id next;

    reader_init(&r, in);
    next = reader_id(&r);
    if (!reader_is_done(&r))
        return ST_MALFORMED;
    *ret_next = next;
    return ST_OK;
}

void
can_next_hop_write(struct writer *w, const struct id *next)
{
    writer_id(w, next);
}
