/* The framing of links: a stream that arrives as it likes. */
#include "peer-protocol/message/frame.h"
#include "tests/fuzz/fuzz.h"

#define MAX_BYTES 4096

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct slice left = slice_of(data, len);
    struct frame_received received = {0};
    struct writer w;

    writer_init(&w, FUZZ_WRITER_BYTES);
    for (;;) {
        struct frame f;
        size_t used = 0;
        enum status st = frame_read(left, MAX_BYTES, &f, &used);
        fuzz_must(used <= left.len && (st == ST_OK || used == 0));
        if (st != ST_OK || used == 0)
            break;
        writer_reset(&w);
        if (f.type == FRAME_DATA) {
            fuzz_must(f.message.len <= MAX_BYTES);
            fuzz_must((frame_received_add(&received, f.sequence) & 1) == 0);
            frame_write_data(&w, f.sequence, f.message);
        } else {
            frame_write_ack(&w, f.sequence, f.received);
        }
        fuzz_must(slice_equal(writer_slice(&w), slice_of(left.data, used)));
        /* One byte less is never a frame. */
        size_t less = 1;
        fuzz_must(frame_read(slice_of(left.data, used - 1), MAX_BYTES, &f, &less) == ST_OK);
        fuzz_must(less == 0);
        left = slice_of(left.data + used, left.len - used);
    }
    writer_done(&w);
    return 0;
}
