#include "peer-protocol/message/frame.h"

enum status
frame_read(struct slice in, size_t max_bytes, struct frame *ret, size_t *ret_used)
{
    struct frame f = {0};
    struct reader r;

    *ret_used = 0;
    if (in.len == 0)
        return ST_OK;
    reader_init(&r, in);
    uint8_t type = reader_u8(&r);
    if (type != FRAME_DATA && type != FRAME_ACK)
        return ST_MALFORMED;
    f.type = type == FRAME_DATA ? FRAME_DATA : FRAME_ACK;
    f.sequence = reader_u32(&r);
    if (f.type == FRAME_ACK) {
        f.received = reader_u32(&r);
    } else {
        size_t len = reader_u24(&r);
        if (!r.failed && len > max_bytes)
            return ST_TOO_LARGE;
        f.message = reader_bytes(&r, len);
    }
    if (r.failed)
        return ST_OK; /* more must arrive first */
    *ret = f;
    *ret_used = in.len - reader_left(&r);
    return ST_OK;
}

void
frame_write_data(struct writer *w, uint32_t sequence, struct slice message)
{
    writer_u8(w, FRAME_DATA);
    writer_u32(w, sequence);
    writer_opaque(w, message, 3);
}

void
frame_write_ack(struct writer *w, uint32_t sequence, uint32_t received)
{
    writer_u8(w, FRAME_ACK);
    writer_u32(w, sequence);
    writer_u32(w, received);
}

uint32_t
frame_received_add(struct frame_received *f, uint32_t sequence)
{
    uint32_t ahead = sequence - f->last; /* modulo 2^32: sequence numbers wrap */

    if (!f->any) {
        *f = (struct frame_received){.last = sequence, .mask = 1, .any = true};
        return 0;
    }
    if (ahead < UINT32_C(0x80000000)) {
        f->mask = ahead < 32 ? f->mask << ahead : 0;
        f->mask |= 1;
        f->last = sequence;
        return f->mask & ~UINT32_C(1);
    }
    uint32_t behind = f->last - sequence;
    if (behind >= 32)
        return 0;
    f->mask |= UINT32_C(1) << behind;
    return f->mask >> behind & ~UINT32_C(1);
}
