#include <check.h>
#include <stdlib.h>

#include "peer-protocol/message/frame.h"

#define MAX_BYTES 100

START_TEST(frames_come_out_of_a_stream)
{
    struct writer w;
    struct frame f;
    size_t used;

    writer_init(&w, 1000);
    frame_write_data(&w, 5, slice_text("hello"));
    frame_write_ack(&w, 4, 0x0a);
    ck_assert_uint_eq(w.len, FRAME_DATA_HEADER_BYTES + 5 + FRAME_ACK_BYTES);
    ck_assert_int_eq(frame_read(writer_slice(&w), MAX_BYTES, &f, &used), ST_OK);
    ck_assert_uint_eq(used, FRAME_DATA_HEADER_BYTES + 5);
    ck_assert_int_eq(f.type, FRAME_DATA);
    ck_assert_uint_eq(f.sequence, 5);
    ck_assert(slice_equal(f.message, slice_text("hello")));
    struct slice rest = slice_of(w.data + used, w.len - used);
    ck_assert_int_eq(frame_read(rest, MAX_BYTES, &f, &used), ST_OK);
    ck_assert_uint_eq(used, FRAME_ACK_BYTES);
    ck_assert_int_eq(f.type, FRAME_ACK);
    ck_assert_uint_eq(f.sequence, 4);
    ck_assert_uint_eq(f.received, 0x0a);
    writer_done(&w);
}
END_TEST

START_TEST(half_a_frame_waits)
{
    struct writer w;
    struct frame f;
    size_t used = 1;

    writer_init(&w, 1000);
    frame_write_data(&w, 5, slice_text("hello"));
    for (size_t len = 0; len < w.len; len++) {
        ck_assert_int_eq(frame_read(slice_of(w.data, len), MAX_BYTES, &f, &used), ST_OK);
        ck_assert_uint_eq(used, 0);
    }
    writer_done(&w);
}
END_TEST

START_TEST(bad_frames_are_refused_at_once)
{
    const uint8_t unknown[] = {130};
    const uint8_t large[] = {FRAME_DATA, 0, 0, 0, 0, 0, 0, MAX_BYTES + 1};
    struct frame f;
    size_t used;

    ck_assert_int_eq(frame_read(slice_of(unknown, 1), MAX_BYTES, &f, &used), ST_MALFORMED);
    ck_assert_int_eq(frame_read(slice_of(large, sizeof(large)), MAX_BYTES, &f, &used),
                     ST_TOO_LARGE);
}
END_TEST

/* RFC 6940 section 6.6.2: bit N-M for each M received, N-32 < M < N. */
START_TEST(ack_names_what_came_before)
{
    struct frame_received f = {0};

    ck_assert_uint_eq(frame_received_add(&f, 0), 0);
    ck_assert_uint_eq(frame_received_add(&f, 1), 0x2);
    ck_assert_uint_eq(frame_received_add(&f, 2), 0x6);
    ck_assert_uint_eq(frame_received_add(&f, 5), 0x38); /* 3 and 4 are missing */
    ck_assert_uint_eq(frame_received_add(&f, 3), 0x0e); /* late: 2, 1 and 0 came before it */
    ck_assert_uint_eq(frame_received_add(&f, 6), 0x7a); /* 5, 3, 2, 1, 0 */
    ck_assert_uint_eq(frame_received_add(&f, 100), 0);
}
END_TEST

START_TEST(sequence_numbers_wrap)
{
    struct frame_received f = {0};

    ck_assert_uint_eq(frame_received_add(&f, UINT32_MAX - 1), 0);
    ck_assert_uint_eq(frame_received_add(&f, UINT32_MAX), 0x2);
    ck_assert_uint_eq(frame_received_add(&f, 0), 0x6);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("frame");
    TCase *tc = tcase_create("all");

    tcase_add_test(tc, frames_come_out_of_a_stream);
    tcase_add_test(tc, half_a_frame_waits);
    tcase_add_test(tc, bad_frames_are_refused_at_once);
    tcase_add_test(tc, ack_names_what_came_before);
    tcase_add_test(tc, sequence_numbers_wrap);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
