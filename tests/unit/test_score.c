#include <check.h>
#include <stdlib.h>

#include "election/score.h"

static const struct score_conf even = {.weight = {1, 1, 1, 1, 1, 1}, .preference = 500};

static struct election_load
good_machine(void)
{
    return (struct election_load){
        .cpu_count = 4,
        .idle_thousandths = 750,
        .memory_available_kib = 512 * 1024,
        .link_mbit = 150,
        .used_mbit = 50,
        .calls = 90,
        .registrations = 100,
        .online_s = 3600,
    };
}

START_TEST(each_part_is_half_at_its_half)
{
    struct election_load load = good_machine();
    struct score s = {0};

    score_measure(&s, &even, &load);
    ck_assert_uint_eq(score_part(&s, SCORE_ONLINE), 500);
    ck_assert_uint_eq(score_part(&s, SCORE_BANDWIDTH), 500);
    ck_assert_uint_eq(score_part(&s, SCORE_CPU), 750); /* three idle cores */
    ck_assert_uint_eq(score_part(&s, SCORE_CALLS), 500);
    ck_assert_uint_eq(score_part(&s, SCORE_MEMORY), 500);
    ck_assert_uint_eq(score_part(&s, SCORE_PREFERENCE), 500);
    ck_assert_uint_eq(score_total(&s, &even), 542);
}
END_TEST

START_TEST(parts_saturate_and_never_leave_their_range)
{
    struct election_load most = {.cpu_count = UINT32_MAX,
                                 .idle_thousandths = UINT16_MAX,
                                 .memory_available_kib = UINT64_MAX,
                                 .link_mbit = UINT32_MAX,
                                 .online_s = UINT64_MAX};
    struct election_load least = {
        .link_mbit = 10, .used_mbit = UINT32_MAX, .calls = UINT32_MAX, .registrations = UINT32_MAX};
    struct score_conf conf = {
        .weight = {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX},
        .preference = UINT32_MAX};
    struct score s = {0};

    score_measure(&s, &conf, &most);
    for (unsigned i = 0; i < SCORE_PARTS; i++)
        ck_assert_uint_eq(score_part(&s, (enum score_part)i), 1000);
    ck_assert_uint_eq(score_total(&s, &conf), 1000);
    s.is_measured = false;
    conf.preference = 0;
    score_measure(&s, &conf, &least);
    for (unsigned i = 0; i < SCORE_PARTS; i++)
        ck_assert_uint_eq(score_part(&s, (enum score_part)i), 0);
    ck_assert_uint_eq(score_total(&s, &conf), 0);
}
END_TEST

START_TEST(peaks_are_smoothed_and_lasting_change_is_seen)
{
    struct election_load load = good_machine();
    struct score s = {0};

    score_measure(&s, &even, &load);
    load.idle_thousandths = 0;
    score_measure(&s, &even, &load);
    ck_assert_uint_gt(score_part(&s, SCORE_CPU), 650);
    for (int i = 0; i < 60; i++)
        score_measure(&s, &even, &load);
    ck_assert_uint_le(score_part(&s, SCORE_CPU), 1);
    load.online_s = 3 * 3600; /* grows steadily by itself: as it is */
    score_measure(&s, &even, &load);
    ck_assert_uint_eq(score_part(&s, SCORE_ONLINE), 750);
}
END_TEST

START_TEST(weights_choose_what_counts)
{
    struct score_conf conf = {.weight = {[SCORE_CPU] = 3, [SCORE_PREFERENCE] = 1},
                              .preference = 1000};
    struct score_conf none = {.preference = 500};
    struct election_load load = good_machine();
    struct score s = {0};

    ck_assert_uint_eq(score_total(&s, &conf), 0); /* nothing measured yet */
    score_measure(&s, &conf, &load);
    ck_assert_uint_eq(score_total(&s, &conf), 813);
    s.is_measured = false;
    score_measure(&s, &none, &load);
    ck_assert_uint_eq(score_total(&s, &none), 542);
}
END_TEST

START_TEST(bandwidth_may_be_configured_or_unknown)
{
    struct score_conf conf = even;
    struct election_load load = good_machine();
    struct score s = {0};

    load.link_mbit = 0;
    score_measure(&s, &conf, &load);
    ck_assert_uint_eq(score_part(&s, SCORE_BANDWIDTH), 500);
    conf.bandwidth_mbit = 950;
    s.is_measured = false;
    score_measure(&s, &conf, &load);
    ck_assert_uint_eq(score_part(&s, SCORE_BANDWIDTH), 900);
}
END_TEST

START_TEST(the_halves_may_be_configured)
{
    struct score_conf conf = even;
    struct election_load load = good_machine();
    struct score s = {0};

    conf.half[SCORE_ONLINE] = 10800;
    conf.half[SCORE_BANDWIDTH] = 900;
    conf.half[SCORE_CPU] = 3;
    conf.half[SCORE_CALLS] = 300;
    conf.half[SCORE_MEMORY] = 1536;
    score_measure(&s, &conf, &load);
    ck_assert_uint_eq(score_part(&s, SCORE_ONLINE), 250);
    ck_assert_uint_eq(score_part(&s, SCORE_BANDWIDTH), 100);
    ck_assert_uint_eq(score_part(&s, SCORE_CPU), 500);
    ck_assert_uint_eq(score_part(&s, SCORE_CALLS), 750);
    ck_assert_uint_eq(score_part(&s, SCORE_MEMORY), 250);
}
END_TEST

START_TEST(a_pin_is_no_part_of_what_is_shown)
{
    ck_assert_uint_eq(score_bare(430 | SCORE_PINNED), 430);
    ck_assert_uint_eq(score_bare(430), 430);
    ck_assert(score_is_good(1000 | SCORE_PINNED));
    ck_assert(!score_is_good(1001 | SCORE_PINNED));
    ck_assert(!score_is_good(0x4001));
}
END_TEST

START_TEST(parts_have_names)
{
    ck_assert_str_eq(score_part_name(SCORE_ONLINE), "online");
    ck_assert_str_eq(score_part_name(SCORE_PREFERENCE), "preference");
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("score");
    TCase *tc = tcase_create("score");

    tcase_add_test(tc, each_part_is_half_at_its_half);
    tcase_add_test(tc, parts_saturate_and_never_leave_their_range);
    tcase_add_test(tc, peaks_are_smoothed_and_lasting_change_is_seen);
    tcase_add_test(tc, weights_choose_what_counts);
    tcase_add_test(tc, bandwidth_may_be_configured_or_unknown);
    tcase_add_test(tc, the_halves_may_be_configured);
    tcase_add_test(tc, a_pin_is_no_part_of_what_is_shown);
    tcase_add_test(tc, parts_have_names);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
