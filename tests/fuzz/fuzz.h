/**
 * DOC: the fuzz targets
 *
 * One for each group of decoders, with LLVM's entry point.  Besides not crashing, each holds its
 * decoders to a promise: what they accept, the encoders write again byte for byte.  The replay
 * program links them under the names below.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/bytes.h"

#define FUZZ_WRITER_BYTES (1u << 20)

/** Each takes one input; the return value is always 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int fuzz_message(const uint8_t *data, size_t len);
int fuzz_bodies(const uint8_t *data, size_t len);
int fuzz_frames(const uint8_t *data, size_t len);
int fuzz_private(const uint8_t *data, size_t len);
int fuzz_reassembly(const uint8_t *data, size_t len);
int fuzz_aor(const uint8_t *data, size_t len);

/** A decoder and its encoder: read @in, write it again. */
typedef enum status (*fuzz_pair)(struct slice in, struct writer *w);

/** fuzz_must - stop here, so that the fuzzer keeps the input. */
static inline void
fuzz_must(bool holds)
{
    if (!holds)
        abort();
}

/** fuzz_same - hold a pair to its promise. */
static inline void
fuzz_same(fuzz_pair pair, struct slice in)
{
    struct writer w;

    writer_init(&w, FUZZ_WRITER_BYTES);
    if (pair(in, &w) == ST_OK)
        fuzz_must(w.failed == ST_OK && slice_equal(writer_slice(&w), in));
    writer_done(&w);
}

#endif
