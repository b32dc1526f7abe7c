/* What CHORD-RELOAD puts into Update, RouteQuery and Leave: RFC 6940 sections 10.6 to 10.9. */
#include "peer-protocol/message/body.h"
#include "peer-protocol/message/wire.h"

enum status
chord_update_read(struct slice in, struct chord_update *ret)
{
    struct chord_update b = {0};
    struct reader r;

    reader_init(&r, in);
    b.uptime_s = reader_u32(&r);
    b.type = reader_u8(&r);
    if (b.type < CHORD_PEER_READY || b.type > CHORD_FULL)
        reader_fail(&r);
    if (b.type >= CHORD_NEIGHBORS) {
        b.predecessors = wire_nodes_read(&r);
        b.successors = wire_nodes_read(&r);
    }
    if (b.type == CHORD_FULL)
        b.fingers = wire_nodes_read(&r);
    if (reader_is_done(&r))
        *ret = b;
    return wire_end(&r);
}

void
chord_update_write(struct writer *w, const struct chord_update *b)
{
    writer_u32(w, b->uptime_s);
    writer_u8(w, b->type);
    if (b->type >= CHORD_NEIGHBORS) {
        writer_opaque(w, b->predecessors, 2);
        writer_opaque(w, b->successors, 2);
    }
    if (b->type == CHORD_FULL)
        writer_opaque(w, b->fingers, 2);
}

enum status
chord_route_query_ans_read(struct slice in, struct id *ret_next)
{
    struct reader r;

    reader_init(&r, in);
    struct id next = wire_node_read(&r);
    if (reader_is_done(&r))
        *ret_next = next;
    return wire_end(&r);
}

void
chord_route_query_ans_write(struct writer *w, const struct id *next)
{
    writer_id(w, next);
}

enum status
chord_leave_read(struct slice in, struct chord_leave *ret)
{
    struct chord_leave b = {0};
    struct reader r;

    reader_init(&r, in);
    b.type = reader_u8(&r);
    if (b.type != CHORD_LEAVE_FROM_SUCCESSOR && b.type != CHORD_LEAVE_FROM_PREDECESSOR)
        reader_fail(&r);
    b.nodes = wire_nodes_read(&r);
    if (reader_is_done(&r))
        *ret = b;
    return wire_end(&r);
}

void
chord_leave_write(struct writer *w, const struct chord_leave *b)
{
    writer_u8(w, b->type);
    writer_opaque(w, b->nodes, 2);
}
