#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/directory_ring.h"

/* Time passes, a step each 10 ms, and all that is asked meanwhile is answered. */
static void
live(uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i += 10) {
        pass(10);
        answer_all();
    }
}

static void
ask_young(struct told *t, const char *domain)
{
    directory_resolve(d, now, domain, false, false, &(struct directory_resolved){on_done, t});
    answer_all();
}

START_TEST(a_young_ring_is_asked_again)
{
    struct told t = {0}, u = {0};

    directory_on_ring(d, now, DIRECTORY_RING_UP);
    ask_young(&t, "b.chord");
    ask_young(&u, "chord");
    live(500);
    ck_assert_uint_eq(t.count + u.count, 0);
    ck_assert_uint_le(fetches, 2 + 2 * 11); /* once for all who wait, every 50 ms */
    add_entry("chord", 7, "sip:127.0.0.7:5061;term=3");
    live(50);
    ck_assert_uint_eq(t.count, 1);
    ck_assert_int_eq(t.st, ST_OK);
    ck_assert_uint_eq(u.count, 1);
    ck_assert_int_eq(u.st, ST_OK);
}
END_TEST

/* Whoever keeps the entry may have gone with the last change. */
START_TEST(a_young_ring_that_does_not_answer_is_asked_again)
{
    struct told t = {0}, u = {0}, v = {0};

    directory_on_ring(d, now, DIRECTORY_RING_UP);
    ring_status = ST_TIMEOUT;
    add_entry("chord", 7, "sip:127.0.0.7:5061;term=3");
    ask_young(&t, "chord");
    live(300);
    ck_assert_uint_eq(t.count, 0);
    ring_status = ST_OK;
    live(60);
    ck_assert_uint_eq(t.count, 1);
    ck_assert_int_eq(t.st, ST_OK);
    ring_status = ST_TIMEOUT;
    ask_young(&u, "nowhere");
    live(2060);
    ck_assert_uint_eq(u.count, 1);
    ck_assert_int_eq(u.st, ST_TIMEOUT);
    ring_status = ST_STATE; /* there is no ring: no use in waiting */
    directory_on_ring(d, now, DIRECTORY_RING_UP);
    ask_young(&v, "elsewhere");
    ck_assert_uint_eq(v.count, 1);
    ck_assert_int_eq(v.st, ST_STATE);
    ring_status = ST_OK;
}
END_TEST

START_TEST(a_young_ring_does_not_know_of_absence)
{
    struct told t = {0}, u = {0};

    directory_on_ring(d, now, DIRECTORY_RING_UP);
    ask_young(&t, "nowhere");
    live(1990);
    ck_assert_uint_eq(t.count, 0);
    live(60);
    ck_assert_uint_eq(t.count, 1);
    ck_assert_int_eq(t.st, ST_UNREACHABLE);
    directory_on_ring(d, now, DIRECTORY_RING_UP); /* another member comes */
    live(2000);
    ask_young(&u, "nowhere");
    live(990);
    ck_assert_uint_eq(u.count, 0);
    live(70); /* it has settled meanwhile, and the last fetch is of that time */
    ck_assert_uint_eq(u.count, 1);
    ck_assert_int_eq(u.st, ST_NOT_FOUND);
}
END_TEST

/* Its nodes have come, its gateway's entry has not: however settled the ring is, nobody can say
 * 404. */
START_TEST(a_name_whose_nodes_are_here_is_not_absent)
{
    struct told t[5] = {{0}};
    struct id one = node(7), other = node(8);

    directory_on_ring(d, now, DIRECTORY_RING_UP);
    settle();
    ask_young(&t[0], "b.chord");
    ck_assert_uint_eq(t[0].count, 1);
    ck_assert_int_eq(t[0].st, ST_NOT_FOUND);
    directory_on_linked(d, now, &other, "gw1.site@chord"); /* no name of the ring */
    directory_on_linked(d, now, &other, "overlay@");
    directory_on_linked(d, now, &one,
                        "overlay@Chord"); /* what was absent a moment ago is asked for */
    ask_young(&t[1], "b.chord");
    live(500);
    ck_assert_uint_eq(t[1].count, 0);
    live(1600);
    ck_assert_uint_eq(t[1].count, 1);
    ck_assert_int_eq(t[1].st, ST_UNREACHABLE);
    ask_young(&t[2], "nowhere"); /* it speaks for its own name alone */
    ck_assert_uint_eq(t[2].count, 1);
    ck_assert_int_eq(t[2].st, ST_NOT_FOUND);
    directory_on_left(d, now, &one);
    ask_young(&t[3], "b.chord");
    add_entry("chord", 7, "sip:127.0.0.7:5061;term=3");
    live(60);
    ck_assert_uint_eq(t[3].count, 1);
    ck_assert_int_eq(t[3].st, ST_OK);
    entry_count = 0;
    live(21000); /* nor for ever */
    ask_young(&t[4], "b.chord");
    live(60);
    ck_assert_uint_eq(t[4].count, 1);
    ck_assert_int_eq(t[4].st, ST_NOT_FOUND);
}
END_TEST

START_TEST(many_nodes_are_known_and_no_more)
{
    struct told t = {0};

    directory_on_ring(d, now, DIRECTORY_RING_UP);
    settle();
    for (int i = 0; i < 3 * 128; i++) {
        struct id id = node((uint8_t)i);
        char user[64];

        id.bytes[1] = (uint8_t)(i / 256 + 1);
        snprintf(user, sizeof(user), "overlay@n%d", i);
        directory_on_linked(d, now, &id, user);
        if (i % 3)
            directory_on_left(d, now, &id);
        pass(1);
    }
    ask_young(&t, "n383");
    live(100);
    ck_assert_uint_eq(t.count, 0);
    live(2000);
    ck_assert_int_eq(t.st, ST_UNREACHABLE);
    t = (struct told){0};
    ask_young(&t, "n1"); /* the first that left made room */
    ck_assert_int_eq(t.st, ST_NOT_FOUND);
}
END_TEST

START_TEST(a_young_ring_is_asked_again_for_so_many_names)
{
    struct told t[40] = {{0}};
    unsigned at_once = 0;

    directory_on_ring(d, now, DIRECTORY_RING_UP);
    for (size_t i = 0; i < 40; i++) {
        char name[32];

        snprintf(name, sizeof(name), "n%zu", i);
        ask_young(&t[i], name);
        at_once += t[i].count;
    }
    ck_assert_uint_eq(at_once, 8);
    ck_assert_int_eq(t[39].st, ST_UNREACHABLE);
    live(2100);
    for (size_t i = 0; i < 40; i++)
        ck_assert_uint_eq(t[i].count, 1);
    t[0] = (struct told){0};
    directory_on_ring(d, now, DIRECTORY_RING_UP);
    ask_young(&t[0], "n39"); /* there is room again */
    ck_assert_uint_eq(t[0].count, 0);
}
END_TEST

START_TEST(who_is_alone_though_others_are_configured_has_no_ring)
{
    struct told t = {0}, u = {0};

    directory_on_ring(d, now, DIRECTORY_RING_ALONE);
    live(3000);
    ask_young(&t, "nowhere"); /* no use in waiting */
    ck_assert_uint_eq(t.count, 1);
    ck_assert_int_eq(t.st, ST_UNREACHABLE);
    directory_on_ring(d, now, DIRECTORY_RING_UP);
    ask_young(&u, "nowhere");
    ck_assert_uint_eq(u.count, 0);
    add_entry("nowhere", 7, "sip:127.0.0.7:5061;term=3");
    live(50);
    ck_assert_int_eq(u.st, ST_OK);
}
END_TEST

/* A ring that is lost is looked for as long as somebody who asks may wait; who asks at the end of
 * that may wait as long. */
START_TEST(who_asks_late_does_not_share_a_failure)
{
    struct told t = {0}, u = {0}, v = {0};

    add_entry("chord", 7, "sip:127.0.0.7:5061;term=3");
    ask("chord", &t);
    pass(100);
    ask("chord", &u);
    pass(600);
    ask("chord", &v);
    ck_assert_uint_eq(fetches, 1);
    struct asked first = asked[0];
    asked_count = 0;
    ring_status = ST_STATE;
    answer_fetch(&first);
    ck_assert_uint_eq(t.count, 1);
    ck_assert_int_eq(t.st, ST_STATE);
    ck_assert_int_eq(u.st, ST_STATE);
    ck_assert_uint_eq(v.count, 0);
    ck_assert_uint_eq(fetches, 2);
    pass(750);
    ring_status = ST_OK;
    answer_all();
    ck_assert_uint_eq(v.count, 1);
    ck_assert_int_eq(v.st, ST_OK);
    ck_assert_uint_eq(fetches, 2);
}
END_TEST

START_TEST(asks_that_wait_for_a_young_ring_end_with_the_directory)
{
    static struct told t;

    t = (struct told){0};
    directory_on_ring(d, now, DIRECTORY_RING_UP);
    ask_young(&t, "nowhere");
    directory_free(d, now);
    ck_assert_uint_eq(t.count, 1);
    ck_assert_int_eq(t.st, ST_STATE);
    setup();
}
END_TEST

int
main(void)
{
    const TTest *const tests[] = {
        a_young_ring_is_asked_again,
        a_young_ring_that_does_not_answer_is_asked_again,
        a_young_ring_does_not_know_of_absence,
        a_name_whose_nodes_are_here_is_not_absent,
        many_nodes_are_known_and_no_more,
        a_young_ring_is_asked_again_for_so_many_names,
        who_is_alone_though_others_are_configured_has_no_ring,
        who_asks_late_does_not_share_a_failure,
        asks_that_wait_for_a_young_ring_end_with_the_directory,
    };
    Suite *suite = suite_create("a young ring");
    TCase *tc = tcase_create("a young ring");

    tcase_add_checked_fixture(tc, setup, teardown);
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
        tcase_add_test(tc, tests[i]);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
