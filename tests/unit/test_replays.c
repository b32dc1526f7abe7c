#include <check.h>
#include <stdlib.h>

#include "peer-protocol/routing/replays.h"

static struct replays *r;
static const struct id a = {{0, 1}}, b = {{0, 2}};

static void
setup(void)
{
    ck_assert_int_eq(replays_new(2, &r), ST_OK);
}

static void
teardown(void)
{
    replays_free(r);
}

START_TEST(each_number_is_taken_once)
{
    ck_assert(replays_take(r, &a, 1000));
    ck_assert(!replays_take(r, &a, 1000));
    ck_assert(replays_take(r, &b, 1000)); /* another's */
    ck_assert(replays_take(r, &a, 1002));
    ck_assert(replays_take(r, &a, 1001)); /* overtaken */
    ck_assert(!replays_take(r, &a, 1001));
    ck_assert(!replays_take(r, &a, 1000));
    ck_assert(!replays_take(r, &a, 0));
}
END_TEST

START_TEST(the_window_moves)
{
    ck_assert(replays_take(r, &a, 100));
    ck_assert(replays_take(r, &a, 100 + REPLAYS_WINDOW));
    ck_assert(!replays_take(r, &a, 100));
    ck_assert(replays_take(r, &a, 101));
    ck_assert(replays_take(r, &a, UINT64_MAX));
    ck_assert(!replays_take(r, &a, 102));
    ck_assert(replays_take(r, &a, UINT64_MAX - REPLAYS_WINDOW + 1));
    ck_assert(!replays_take(r, &a, UINT64_MAX - REPLAYS_WINDOW));
}
END_TEST

START_TEST(who_speaks_for_itself_may_count_anew)
{
    ck_assert(replays_take(r, &a, 5000));
    replays_restart(r, &a, 10);
    ck_assert(!replays_take(r, &a, 10));
    ck_assert(replays_take(r, &a, 11));
    replays_restart(r, &a, 12);
    ck_assert(!replays_take(r, &a, 12));
}
END_TEST

START_TEST(the_longest_silent_is_forgotten)
{
    static const struct id c = {{0, 3}};

    ck_assert(replays_take(r, &a, 7));
    ck_assert(replays_take(r, &b, 7));
    ck_assert(replays_take(r, &a, 8));
    ck_assert(replays_take(r, &c, 7));
    ck_assert(!replays_take(r, &a, 8));
    ck_assert(replays_take(r, &b, 7));
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("replays");
    TCase *tc = tcase_create("replays");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, each_number_is_taken_once);
    tcase_add_test(tc, the_window_moves);
    tcase_add_test(tc, who_speaks_for_itself_may_count_anew);
    tcase_add_test(tc, the_longest_silent_is_forgotten);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
