#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/chaos.h"

enum { SEEDS = 200 }; /* `make chaos SEEDS=10000` runs more */

START_TEST(the_promises_hold_under_random_misfortune)
{
    unsigned claims = 0;

    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct chaos_verdict v;

        chaos_run(&(struct chaos_conf){.seed = seed}, &v);
        ck_assert_msg(!v.is_broken, "seed %llu (%s): %s\n%s", (unsigned long long)seed, v.drawn,
                      v.what, v.story);
        claims += v.claims;
    }
    ck_assert_uint_gt(claims, 3 * SEEDS); /* something happened */
}
END_TEST

/* Further ones that once broke something. */
START_TEST(what_was_mended_stays_mended)
{
    static const uint64_t seeds[] = {771,  784,  803,  868,  889,  1314, 1401, 1449, 1511,
                                     1670, 1935, 2408, 3229, 3564, 6654, 8598, 9549};

    for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++) {
        struct chaos_verdict v;

        chaos_run(&(struct chaos_conf){.seed = seeds[i], .is_plain = true}, &v);
        ck_assert_msg(!v.is_broken, "seed %llu (%s): %s\n%s", (unsigned long long)seeds[i], v.drawn,
                      v.what, v.story);
    }
}
END_TEST

START_TEST(a_seed_is_one_run)
{
    struct chaos_verdict once, again, other;

    chaos_run(&(struct chaos_conf){.seed = 7}, &once);
    chaos_run(&(struct chaos_conf){.seed = 8}, &other);
    chaos_run(&(struct chaos_conf){.seed = 7}, &again);
    ck_assert_uint_eq(once.digest, again.digest);
    ck_assert_uint_eq(once.now_ms, again.now_ms);
    ck_assert_str_eq(once.drawn, again.drawn);
    ck_assert_uint_ne(once.digest, other.digest);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("chaos");
    TCase *tc = tcase_create("chaos");

    tcase_set_timeout(tc, 220);
    tcase_add_test(tc, the_promises_hold_under_random_misfortune);
    tcase_add_test(tc, what_was_mended_stays_mended);
    tcase_add_test(tc, a_seed_is_one_run);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
