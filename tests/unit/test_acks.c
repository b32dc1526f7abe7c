#include <check.h>

#include "peer-protocol/link/acks.h"

START_TEST(test_acks)
{
    struct acks a;
    uint32_t sequence;

    acks_init(&a, 100, 1000);
    ck_assert_uint_eq(acks_check(&a, 1), 0);
    for (uint32_t i = 0; i < 100; i++) {
        ck_assert_int_eq(acks_sent(&a, 1000 + i, &sequence), ST_OK);
        ck_assert_uint_eq(sequence, i);
    }
    ck_assert_uint_eq(acks_check(&a, 100999), 0);
    ck_assert_uint_eq(acks_check(&a, 101000), 1);
    ck_assert_uint_eq(acks_check(&a, 500000), 2); /* one period at a time: we were late ourselves */
    ck_assert_int_eq(acks_received(&a, 500001, 100), ST_MALFORMED);
    ck_assert_int_eq(acks_received(&a, 500001, 50), ST_OK);
    ck_assert_int_eq(acks_received(&a, 500001, 50), ST_OK);
    ck_assert_int_eq(acks_received(&a, 500001, 3), ST_OK);
    ck_assert_uint_eq(acks_check(&a, 500002), 0);
    ck_assert_uint_eq(a.rtt_us, (7 * 1000 + 500001 - 1050) / 8);
    ck_assert(acks_is_waiting(&a));
    ck_assert_int_eq(acks_received(&a, 500003, 99), ST_OK);
    ck_assert(!acks_is_waiting(&a));
    ck_assert_uint_eq(acks_check(&a, UINT64_MAX - 1), 0);
    acks_done(&a);
}
END_TEST

START_TEST(test_acks_wrap_and_limit)
{
    struct acks a;
    uint32_t sequence;

    acks_init(&a, 100, 1000);
    a.first = a.next = UINT32_MAX - 2;
    for (uint32_t i = 0; i < 40; i++)
        ck_assert_int_eq(acks_sent(&a, i, &sequence), ST_OK);
    ck_assert_int_eq(acks_received(&a, 100, 20), ST_OK);
    ck_assert_int_eq(acks_received(&a, 100, UINT32_MAX), ST_OK);
    ck_assert_int_eq(acks_received(&a, 100, 37), ST_MALFORMED);
    ck_assert_int_eq(acks_received(&a, 100, 36), ST_OK);
    for (uint32_t i = 0; i < ACKS_OUTSTANDING_MAX; i++)
        ck_assert_int_eq(acks_sent(&a, 200 + i, &sequence), ST_OK);
    ck_assert_int_eq(acks_sent(&a, 100000, &sequence), ST_LIMIT);
    acks_done(&a);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("acks");
    TCase *c = tcase_create("acks");

    tcase_add_test(c, test_acks);
    tcase_add_test(c, test_acks_wrap_and_limit);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
