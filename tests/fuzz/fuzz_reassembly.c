/*
 * Fragments.  The input is read twice: as a message that is cut and put together again, out of
 * order, and as a stream of fragments (u16 length each) from a stranger.
 */
#include "peer-protocol/message/message.h"
#include "tests/fuzz/fuzz.h"

#define MAX_BYTES  (256u * 1024)
#define PIECES_MAX 300

struct pieces {
    size_t count;
    struct slice piece[PIECES_MAX];
};

static void
keep(void *ctx, struct slice fragment)
{
    struct pieces *p = ctx;

    fuzz_must(p->count < PIECES_MAX);
    fuzz_must(slice_copy(fragment, &p->piece[p->count]) == ST_OK);
    p->count++;
}

static void
cut_and_join(struct slice in, size_t max_bytes, size_t first)
{
    const struct id from = {{1}};
    struct pieces p = {0};
    struct message m;

    if (message_decode(in, &m, NULL) != ST_OK || in.len > MESSAGE_MAX_BYTES)
        return;
    if (m.header.fragment != MESSAGE_SINGLE_FRAGMENT) /* reserved bits are not kept */
        return;
    struct reassembly *a = reassembly_new(&(struct reassembly_limits){4, MAX_BYTES, 4, MAX_BYTES});
    fuzz_must(a);
    if (fragment_split(in, max_bytes, keep, &p) == ST_OK) {
        for (size_t i = 0; i < p.count; i++) {
            struct slice whole;
            const struct slice *piece = &p.piece[(i + first) % p.count];
            fuzz_must(piece->len <= max_bytes || p.count == 1);
            fuzz_must(reassembly_add(a, 0, &from, *piece, &whole) == ST_OK);
            fuzz_must((whole.data != NULL) == (i + 1 == p.count));
            if (whole.data)
                fuzz_must(slice_equal(whole, in));
            slice_free(&whole);
        }
    }
    for (size_t i = 0; i < p.count; i++)
        slice_free(&p.piece[i]);
    reassembly_free(a);
}

static void
take_stream(struct slice in)
{
    struct reassembly *a = reassembly_new(&(struct reassembly_limits){4, 16384, 3, 12288});
    const struct id from = {{1}};
    uint64_t now_ms = 0;
    struct reader r;

    fuzz_must(a);
    reader_init(&r, in);
    while (reader_left(&r) > 0 && !r.failed) {
        struct slice whole = {NULL, 0};
        struct slice fragment = reader_opaque(&r, 2);
        enum status st = reassembly_add(a, now_ms, &from, fragment, &whole);
        fuzz_must(st == ST_OK || !whole.data);
        slice_free(&whole);
        now_ms += 1000;
    }
    reassembly_free(a);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 2)
        return 0;
    cut_and_join(slice_of(data + 2, len - 2), 400u + 8u * data[0], data[1]);
    take_stream(slice_of(data, len));
    return 0;
}
