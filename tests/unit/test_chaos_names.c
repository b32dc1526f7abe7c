#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/chaos_names.h"

enum {
    SEEDS = 12,      /* `make chaos SEEDS=10000` runs more */
    SEEDS_FAULT = 20 /* a fault has to show within so many */
};

static void
expect_sound(uint64_t seed)
{
    struct chaos_names_verdict v;

    chaos_names_run(&(struct chaos_names_conf){.seed = seed}, &v);
    ck_assert_msg(!v.is_broken, "seed %llu (%s): %s\n%s", (unsigned long long)seed, v.drawn, v.what,
                  v.story);
    ck_assert_uint_gt(v.found, 100);
}

START_TEST(names_are_found_under_random_misfortune)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        expect_sound(seed);
}
END_TEST

/* Further ones that once broke something. */
START_TEST(what_was_mended_stays_mended)
{
    static const uint64_t seeds[] = {403, 752}; /* all that held an entry died together */

    for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++)
        expect_sound(seeds[i]);
}
END_TEST

START_TEST(a_directory_with_a_fault_is_found)
{
    static const uint64_t first[CHAOS_NAMES_BROKEN_KINDS] = {[CHAOS_NAMES_NEVER_YOUNG] = 20};
    struct chaos_names_conf conf = {.broken = (enum chaos_names_broken)_i, .seed = first[_i]};
    struct chaos_names_verdict v = {0}, again;

    while (!v.is_broken && conf.seed < first[_i] + SEEDS_FAULT) {
        conf.seed++;
        chaos_names_run(&conf, &v);
    }
    ck_assert_msg(v.is_broken, "a directory with a fault (%s) passes %d seeds",
                  chaos_names_broken_name(conf.broken), SEEDS_FAULT);
    printf("a directory with a fault (%s): seed %llu: %s\n", chaos_names_broken_name(conf.broken),
           (unsigned long long)conf.seed, v.what);
    ck_assert_msg(strstr(v.what, "is told that there is no"), "%s", v.what);
    chaos_names_run(&conf, &again);
    ck_assert_str_eq(v.what, again.what);
    ck_assert_uint_eq(v.trace, again.trace);
    free(v.story);
    free(again.story);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("chaos_names");
    TCase *tc = tcase_create("chaos_names");

    tcase_set_timeout(tc, 300);
    tcase_add_test(tc, names_are_found_under_random_misfortune);
    tcase_add_test(tc, what_was_mended_stays_mended);
    tcase_add_loop_test(tc, a_directory_with_a_fault_is_found, CHAOS_NAMES_SOUND + 1,
                        CHAOS_NAMES_BROKEN_KINDS);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
