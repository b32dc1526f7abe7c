/*
 * The judge of the simulator: the same seed is the same run to the last byte, sound plug-ins pass,
 * and plug-ins with a fault are found out, with the name of what they break.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/scenario.h"

#define SEEDS       4u
#define SEEDS_FAULT 12u /* a fault has to show within so many */

static void
judge(int plugin, enum broken broken, uint64_t seed, struct verdict *ret)
{
    struct scenario scenario = {
        .topology = topology_each((size_t)plugin), .broken = broken, .seed = seed};

    scenario_run(&scenario, ret);
}

START_TEST(the_same_seed_replays)
{
    struct verdict first, second, other;

    judge(_i, BROKEN_NOT, 7, &first);
    judge(_i, BROKEN_NOT, 7, &second);
    judge(_i, BROKEN_NOT, 8, &other);
    ck_assert_uint_ne(first.trace, 0);
    ck_assert_uint_eq(first.trace, second.trace);
    ck_assert_uint_eq(first.steps, second.steps);
    ck_assert_str_eq(first.drawn, second.drawn);
    ck_assert_uint_ne(first.trace, other.trace);
}
END_TEST

START_TEST(the_sound_pass)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct verdict v;

        judge(_i, BROKEN_NOT, seed, &v);
        ck_assert_msg(!v.is_broken, "%s, seed %llu (%s): %s: %s", topology_each((size_t)_i)->name,
                      (unsigned long long)seed, v.drawn, v.invariant, v.detail);
        ck_assert_uint_gt(v.steps, 1000);
    }
}
END_TEST

/* What broke an invariant once. */
START_TEST(old_faults_stay_mended)
{
    static const struct {
        const char *plugin;
        uint64_t seed;
    } once[] = {
        {"can", 16},    {"chord", 324},  {"chord", 430},  {"pastry", 320}, /* false holders */
        {"chord", 282}, {"can", 326},                                      /* crossing copies */
        {"chord", 96},  {"pastry", 489}, {"can", 935},    /* left with the record */
        {"can", 999},   {"pastry", 431}, {"pastry", 544}, /* in the middle of it */
        {"chord", 36},  {"chord", 880},                   /* the dead know better */
    };

    for (size_t i = 0; i < sizeof(once) / sizeof(once[0]); i++) {
        struct scenario scenario = {.topology = topology_find(once[i].plugin),
                                    .seed = once[i].seed};
        struct verdict v;

        scenario_run(&scenario, &v);
        ck_assert_msg(!v.is_broken, "%s, seed %llu (%s): %s: %s", once[i].plugin,
                      (unsigned long long)once[i].seed, v.drawn, v.invariant, v.detail);
    }
}
END_TEST

static void
check_found(int plugin, enum broken broken, const char *invariant)
{
    struct verdict v = {0};
    struct verdict again;
    uint64_t seed = 0;

    while (!v.is_broken && seed < SEEDS_FAULT)
        judge(plugin, broken, ++seed, &v);
    ck_assert_msg(v.is_broken, "%s with a fault (%s) passes %u seeds",
                  topology_each((size_t)plugin)->name, broken_name(broken), SEEDS_FAULT);
    printf("%s with a fault (%s): seed %llu: %s: %s\n", topology_each((size_t)plugin)->name,
           broken_name(broken), (unsigned long long)seed, v.invariant, v.detail);
    ck_assert_msg(strstr(invariant, v.invariant) != NULL, "%s is none of: %s", v.invariant,
                  invariant);
    judge(plugin, broken, seed, &again);
    ck_assert_str_eq(again.detail, v.detail);
    ck_assert_uint_eq(again.trace, v.trace);
}

START_TEST(a_wrong_next_hop_is_found)
{
    /* Joins, and copies for whoever is responsible, are routed too. */
    check_found(_i, BROKEN_NEXT_HOP, "joined, lookup, replicas, record");
}
END_TEST

START_TEST(itself_as_next_hop_is_found)
{
    check_found(_i, BROKEN_SELF, "next hop");
}
END_TEST

START_TEST(two_owners_are_found)
{
    check_found(_i, BROKEN_OWNER, "joined, one owner");
}
END_TEST

START_TEST(missing_copies_are_found)
{
    check_found(_i, BROKEN_REPLICAS, "replicas");
}
END_TEST

static Suite *
judge_suite(void)
{
    Suite *s = suite_create("judge");
    TCase *t = tcase_create("judge");
    int count = 0;

    while (topology_each((size_t)count))
        count++;
    tcase_set_timeout(t, 180);
    tcase_add_loop_test(t, the_same_seed_replays, 0, count);
    tcase_add_loop_test(t, the_sound_pass, 0, count);
    tcase_add_test(t, old_faults_stay_mended);
    tcase_add_loop_test(t, a_wrong_next_hop_is_found, 0, count);
    tcase_add_loop_test(t, itself_as_next_hop_is_found, 0, count);
    tcase_add_loop_test(t, two_owners_are_found, 0, count);
    tcase_add_loop_test(t, missing_copies_are_found, 0, count);
    suite_add_tcase(s, t);
    return s;
}

int
main(void)
{
    SRunner *runner = srunner_create(judge_suite());
    int failed;

    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
