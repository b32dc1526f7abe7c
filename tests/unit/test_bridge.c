#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/bridge/bridge.h"

START_TEST(records_lie_in_the_messages_bytes)
{
    struct bridge_message *m = bridge_new(BRIDGE_CALLS, 0, 3, sizeof(struct bridge_record));

    ck_assert_ptr_nonnull(m);
    m->bytes = malloc(10);
    m->bytes_len = 10;
    memcpy(m->bytes, "onethreexx", 10);
    m->record[0] = (struct bridge_record){.token = "a", .record_at = 0, .record_len = 3};
    m->record[1] = (struct bridge_record){.token = "b", .record_at = 3, .record_len = 5};
    ck_assert(slice_equal(bridge_record_bytes(m, 0), slice_text("one")));
    ck_assert(slice_equal(bridge_record_bytes(m, 1), slice_text("three")));
    ck_assert_uint_eq(bridge_record_bytes(m, 2).len, 0); /* over */
    ck_assert_uint_eq(bridge_record_bytes(m, 3).len, 0); /* there is none */
    bridge_free(m);
}
END_TEST

START_TEST(records_beyond_the_bytes_are_none)
{
    struct bridge_message *m = bridge_new(BRIDGE_ADOPT, 0, 3, sizeof(struct bridge_record));

    ck_assert_ptr_nonnull(m);
    m->bytes = calloc(1, 4);
    m->bytes_len = 4;
    m->record[0] = (struct bridge_record){.record_at = 2, .record_len = 3};
    m->record[1] = (struct bridge_record){.record_at = SIZE_MAX, .record_len = 3};
    m->record[2] = (struct bridge_record){.record_at = 0, .record_len = SIZE_MAX};
    for (size_t i = 0; i < 3; i++)
        ck_assert_uint_eq(bridge_record_bytes(m, i).len, 0);
    m->record[0].record_len = 2;
    ck_assert_uint_eq(bridge_record_bytes(m, 0).len, 2);
    bridge_free(m);
    bridge_free(NULL);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("bridge");
    TCase *tc = tcase_create("all");

    tcase_add_test(tc, records_lie_in_the_messages_bytes);
    tcase_add_test(tc, records_beyond_the_bytes_are_none);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
