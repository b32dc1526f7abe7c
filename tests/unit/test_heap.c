#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/heap.h"

#define MIB ((size_t)1 << 20)

START_TEST(test_when_memory_is_given_back)
{
    struct heap_wave wave = {0};
    uint64_t now_ms = HEAP_LOOK_MS;

    ck_assert(!heap_is_ebb(&wave, now_ms, 0, 10 * MIB, 0)); /* nothing has gone */
    ck_assert(!heap_is_ebb(&wave, now_ms += HEAP_LOOK_MS, 90000, 90 * MIB, 0));
    ck_assert(!heap_is_ebb(&wave, now_ms += HEAP_LOOK_MS, HEAP_BUSY_FINISHED + 1, 12 * MIB,
                           0));                                                /* load */
    ck_assert(!heap_is_ebb(&wave, now_ms + HEAP_LOOK_MS - 1, 0, 12 * MIB, 0)); /* too early */
    ck_assert(heap_is_ebb(&wave, now_ms += HEAP_LOOK_MS, HEAP_BUSY_FINISHED, 12 * MIB, 0));
    ck_assert(!heap_is_ebb(&wave, now_ms += HEAP_LOOK_MS, 0, 12 * MIB, 0)); /* once a wave */
    ck_assert(!heap_is_ebb(&wave, now_ms += HEAP_LOOK_MS, 0, 12 * MIB - HEAP_WAVE_BYTES + 1, 0));
    ck_assert(heap_is_ebb(&wave, now_ms + HEAP_LOOK_MS, 0, 12 * MIB - HEAP_WAVE_BYTES, 0));
}
END_TEST

START_TEST(test_when_it_has_come_back)
{
    struct heap_wave wave = {0};
    size_t most = 20 * MIB + HEAP_SLACK_BYTES;
    uint64_t now_ms = HEAP_LOOK_MS;

    ck_assert(!heap_is_ebb(&wave, now_ms, 0, 20 * MIB, most - 1));
    ck_assert(!heap_is_ebb(&wave, now_ms += HEAP_LOOK_MS, HEAP_BUSY_FINISHED + 1, 20 * MIB, most));
    ck_assert(heap_is_ebb(&wave, now_ms += HEAP_LOOK_MS, 0, 20 * MIB, most));
    ck_assert(!heap_is_ebb(&wave, now_ms + HEAP_LOOK_MS - 1, 0, 20 * MIB, most));
    ck_assert(heap_is_ebb(&wave, now_ms + HEAP_LOOK_MS, 0, 20 * MIB, most)); /* whenever it does */
}
END_TEST

#ifndef __SANITIZE_ADDRESS__ /* whose heap is another */
static size_t
resident_bytes(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    unsigned long all, resident;

    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fscanf(f, "%lu %lu", &all, &resident), 2);
    fclose(f);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

/** A wave of small pieces, of which some remain all over the heap. */
START_TEST(test_wave_goes)
{
    enum { PIECES = 40000, PIECE_BYTES = 2000, KEPT_EVERY = 500 };
    static char *piece[PIECES];
    size_t before, most;

    heap_tune();
    before = resident_bytes();
    for (size_t i = 0; i < PIECES; i++) {
        piece[i] = malloc(PIECE_BYTES);
        memset(piece[i], 1, PIECE_BYTES);
    }
    heap_follow();
    heap_on_load(HEAP_LOOK_MS, PIECES);
    most = resident_bytes();
    ck_assert_uint_gt(most, before + 60 * MIB);
    for (size_t i = 0; i < PIECES; i++) {
        if (i % KEPT_EVERY)
            free(piece[i]);
    }
    heap_on_load(2 * HEAP_LOOK_MS, PIECES);
    ck_assert_uint_gt(resident_bytes(), most - 10 * MIB); /* not under load */
    heap_on_load(3 * HEAP_LOOK_MS, 0);
    ck_assert_uint_lt(resident_bytes(), before + 10 * MIB);
    for (size_t i = 0; i < PIECES; i += KEPT_EVERY)
        free(piece[i]);
}
END_TEST
#endif

int
main(void)
{
    Suite *suite = suite_create("heap");
    TCase *t = tcase_create("waves");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(t, test_when_memory_is_given_back);
    tcase_add_test(t, test_when_it_has_come_back);
#ifndef __SANITIZE_ADDRESS__
    tcase_add_test(t, test_wave_goes);
#endif
    suite_add_tcase(suite, t);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
