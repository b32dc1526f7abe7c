#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

START_TEST(reader_stays_failed_and_returns_zeros)
{
    const uint8_t bytes[] = {1, 2, 3, 4, 5};
    struct reader r;

    reader_init(&r, slice_of(bytes, sizeof(bytes)));
    ck_assert_uint_eq(reader_u16(&r), 0x0102);
    ck_assert_uint_eq(reader_u32(&r), 0); /* three bytes are left */
    ck_assert(r.failed);
    ck_assert_uint_eq(reader_u8(&r), 0);
    ck_assert_uint_eq(reader_bytes(&r, 1).len, 0);
    ck_assert_uint_eq(reader_left(&r), 0);
    ck_assert(!reader_is_done(&r));
}
END_TEST

START_TEST(reader_takes_opaque_only_when_whole)
{
    const uint8_t bytes[] = {0, 2, 7, 8, 0, 3, 9};
    struct reader r;

    reader_init(&r, slice_of(bytes, sizeof(bytes)));
    struct slice first = reader_opaque(&r, 2);
    ck_assert_uint_eq(first.len, 2);
    ck_assert_uint_eq(first.data[1], 8);
    ck_assert_uint_eq(reader_opaque(&r, 2).len, 0);
    ck_assert(r.failed);
}
END_TEST

START_TEST(reader_bool_is_zero_or_one)
{
    const uint8_t bytes[] = {0, 1, 2};
    struct reader r;

    reader_init(&r, slice_of(bytes, sizeof(bytes)));
    ck_assert(!reader_bool(&r));
    ck_assert(reader_bool(&r));
    ck_assert(!r.failed);
    (void)reader_bool(&r);
    ck_assert(r.failed);
}
END_TEST

START_TEST(empty_input_is_no_null_arithmetic)
{
    struct reader r;

    reader_init(&r, slice_of(NULL, 0));
    ck_assert(reader_is_done(&r));
    ck_assert_uint_eq(reader_u64(&r), 0);
    ck_assert(r.failed);
}
END_TEST

START_TEST(writer_is_big_endian_and_reads_back)
{
    struct writer w;
    struct reader r;

    writer_init(&w, 1000);
    writer_u8(&w, 0x12);
    writer_u24(&w, 0x345678);
    writer_u64(&w, 0x0102030405060708);
    size_t mark = writer_open(&w, 2);
    writer_opaque(&w, slice_text("abc"), 1);
    writer_close(&w, mark, 2);
    writer_patch_u16(&w, 0, 0xaabb);
    ck_assert_int_eq(w.failed, ST_OK);
    reader_init(&r, writer_slice(&w));
    ck_assert_uint_eq(reader_u32(&r), 0xaabb5678);
    ck_assert_uint_eq(reader_u64(&r), 0x0102030405060708);
    ck_assert_uint_eq(reader_u16(&r), 4);
    ck_assert(slice_equal(reader_opaque(&r, 1), slice_text("abc")));
    ck_assert(reader_is_done(&r));
    writer_done(&w);
}
END_TEST

START_TEST(writer_stops_at_its_limit)
{
    struct writer w;

    writer_init(&w, 5);
    writer_u32(&w, 1);
    writer_u16(&w, 2);
    ck_assert_int_eq(w.failed, ST_TOO_LARGE);
    writer_u8(&w, 3); /* it would fit, but the writer has failed */
    ck_assert_uint_eq(w.len, 4);
    writer_reset(&w);
    writer_u8(&w, 3);
    ck_assert_int_eq(w.failed, ST_OK);
    ck_assert_uint_eq(w.len, 1);
    writer_done(&w);
}
END_TEST

START_TEST(writer_refuses_what_a_length_cannot_say)
{
    static const uint8_t long_value[256];
    struct writer w;

    writer_init(&w, 1000);
    writer_opaque(&w, slice_of(long_value, sizeof(long_value)), 1);
    ck_assert_int_eq(w.failed, ST_RANGE);
    writer_reset(&w);
    size_t mark = writer_open(&w, 1);
    writer_bytes(&w, slice_of(long_value, sizeof(long_value)));
    writer_close(&w, mark, 1);
    ck_assert_int_eq(w.failed, ST_RANGE);
    writer_done(&w);
}
END_TEST

START_TEST(text_fits_and_has_no_zero)
{
    char out[4] = "old";

    ck_assert_int_eq(slice_to_text(slice_text("abcd"), out, sizeof(out)), ST_TOO_LARGE);
    ck_assert_int_eq(slice_to_text(slice_of("a\0b", 3), out, sizeof(out)), ST_MALFORMED);
    ck_assert_str_eq(out, "old");
    ck_assert_int_eq(slice_to_text(slice_text("abc"), out, sizeof(out)), ST_OK);
    ck_assert_str_eq(out, "abc");
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("bytes");
    TCase *tc = tcase_create("all");

    tcase_add_test(tc, reader_stays_failed_and_returns_zeros);
    tcase_add_test(tc, reader_takes_opaque_only_when_whole);
    tcase_add_test(tc, reader_bool_is_zero_or_one);
    tcase_add_test(tc, empty_input_is_no_null_arithmetic);
    tcase_add_test(tc, writer_is_big_endian_and_reads_back);
    tcase_add_test(tc, writer_stops_at_its_limit);
    tcase_add_test(tc, writer_refuses_what_a_length_cannot_say);
    tcase_add_test(tc, text_fits_and_has_no_zero);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
