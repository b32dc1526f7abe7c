#include <check.h>
#include <stdlib.h>

#include "peer-protocol/storage/shared_bytes.h"

START_TEST(test_once)
{
    struct shared_bytes *s = shared_bytes_new();
    struct slice first, second, other, none;

    ck_assert_ptr_nonnull(s);
    ck_assert_int_eq(shared_bytes_take(s, slice_text("certificate"), &first), ST_OK);
    ck_assert_int_eq(shared_bytes_take(s, slice_text("certificate"), &second), ST_OK);
    ck_assert_int_eq(shared_bytes_take(s, slice_text("another"), &other), ST_OK);
    ck_assert_int_eq(shared_bytes_take(s, slice_text(""), &none), ST_OK);
    ck_assert_uint_eq(shared_bytes_count(s), 2);
    ck_assert_ptr_eq(first.data, second.data);
    ck_assert(slice_equal(other, slice_text("another")));
    ck_assert_uint_eq(none.len, 0);
    shared_bytes_leave(s, first);
    ck_assert(slice_equal(second, slice_text("certificate")));
    shared_bytes_leave(s, second);
    shared_bytes_leave(s, none);
    ck_assert_uint_eq(shared_bytes_count(s), 1);
    shared_bytes_free(s); /* and what is left */
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("shared bytes");
    TCase *tc = tcase_create("shared bytes");
    SRunner *runner;
    int failed;

    tcase_add_test(tc, test_once);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
