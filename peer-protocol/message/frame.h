/**
 * DOC: the framing header of TLS-TCP-FH-NO-ICE links
 *
 *    data (128): u8 type, u32 sequence, u24 length, message
 *    ack  (129): u8 type, u32 ack_sequence, u32 received
 *
 * Source: RFC 6940 section 6.6.2.
 */
#ifndef PEER_PROTOCOL_MESSAGE_FRAME_H
#define PEER_PROTOCOL_MESSAGE_FRAME_H

#include "base/bytes.h"

enum frame_type { FRAME_DATA = 128, FRAME_ACK = 129 };

#define FRAME_DATA_HEADER_BYTES 8
#define FRAME_ACK_BYTES         9

struct frame {
    enum frame_type type;
    uint32_t sequence;    /* DATA: its own; ACK: the one acknowledged */
    uint32_t received;    /* ACK: bit (N - M) for each earlier M that came too */
    struct slice message; /* DATA */
};

/**
 * frame_read - the first frame of a stream
 * @in:        what has arrived so far
 * @max_bytes: longest message accepted
 * @ret_used:  bytes the frame took; 0 if more must arrive first
 * Returns: ST_OK (also when incomplete); ST_MALFORMED unknown type; ST_TOO_LARGE by its own length
 * field, at once, before the bytes arrive.
 */
NODISCARD enum status frame_read(struct slice in, size_t max_bytes, struct frame *ret,
                                 size_t *ret_used);
void frame_write_data(struct writer *w, uint32_t sequence, struct slice message);
void frame_write_ack(struct writer *w, uint32_t sequence, uint32_t received);

/** What the receiver remembers to fill in the next ACK. */
struct frame_received {
    uint32_t last;
    uint32_t mask;
    bool any;
};
/** frame_received_add - note sequence @sequence; returns the `received` field of its ACK. */
uint32_t frame_received_add(struct frame_received *f, uint32_t sequence);

#endif
