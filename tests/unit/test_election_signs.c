#include <check.h>
#include <stdlib.h>

#include "tests/sim/election_world.h"

/* What is heard otherwise than by HELLO, work that waits without a word, and links that lose
 * packets. */

static struct world w;
static const uint16_t falling[WORLD_NODES] = {900, 800, 700, 600, 550};

static void
begin(int count, void (*adjust)(struct election_conf *conf, int index))
{
    world_init(&w, falling, count, adjust);
    w.is_traffic_heard = true;
    world_start_all(&w);
    world_run_until(&w, 20000);
    ck_assert_int_eq(world_gateway(&w, 'b'), 'a');
    w.trace[0] = '\0';
}

static void
teardown(void)
{
    world_done(&w);
}

/* At @name a request waits for 'a', since @since_ms. */
static void
doubt(char name, uint64_t since_ms)
{
    struct election_event ev = {.type = ELECTION_DOUBT};

    ev.doubt.node = world_id('a');
    ev.doubt.waiting_ms = (uint32_t)(w.now_ms - since_ms);
    world_step(&w, name, &ev);
}

/* From now on a request waits at @name, which says so every 20 ms; until when another claimed. */
static uint64_t
claimed_after(char name, uint64_t most_ms)
{
    uint64_t from_ms = w.now_ms;

    while (world_gateway(&w, 'b') == 'a' && w.now_ms < from_ms + most_ms) {
        world_run_until(&w, w.now_ms + 1);
        if (name && (w.now_ms - from_ms) % 20 == 0)
            doubt(name, from_ms);
    }
    return w.now_ms - from_ms;
}

static void
slow_hello(struct election_conf *conf, int index)
{
    (void)index;
    conf->hello_ms = 1000;
}

static void
e_has_phones(struct election_conf *conf, int index)
{
    conf->is_candidate = index != 4;
}

START_TEST(a_hung_gateway_that_work_waits_for_is_replaced_in_a_third_of_the_time)
{
    begin(4, NULL);
    world_sleep(&w, 'a');
    uint64_t taken_ms = claimed_after('b', 1000);
    ck_assert_uint_ge(taken_ms, 20);
    ck_assert_uint_le(taken_ms, 110);
    world_run_until(&w, w.now_ms + 5);
    ck_assert_int_eq(world_gateway(&w, 'c'), 'b');
}
END_TEST

START_TEST(without_work_it_has_what_the_hellos_allow)
{
    begin(4, NULL);
    world_sleep(&w, 'a');
    ck_assert_uint_gt(claimed_after(0, 1000), 150);
}
END_TEST

START_TEST(who_is_no_candidate_tells_those_that_are)
{
    begin(5, e_has_phones);
    world_sleep(&w, 'a');
    ck_assert_uint_le(claimed_after('e', 1000), 120);
    ck_assert_int_eq(world_gateway(&w, 'b'), 'b');
}
END_TEST

/* It knows the candidates, and the gateway by its HELLOs, from its first requests on. */
START_TEST(who_gives_the_gateway_requests_says_hello)
{
    begin(5, e_has_phones);
    unsigned before = w.node[4].hellos;
    world_run_until(&w, w.now_ms + 5000);
    ck_assert_uint_eq(w.node[4].hellos, before);
    w.node[4].load.requests = 1;
    world_set_calls(&w, 'e', 0);
    w.node[4].load.requests = 0;
    world_run_until(&w, w.now_ms + 30000);
    world_set_calls(&w, 'e', 0);
    ck_assert_uint_ge(w.node[4].hellos, before + 28);
    world_run_until(&w, w.now_ms + 40000);
    before = w.node[4].hellos;
    world_run_until(&w, w.now_ms + 5000);
    ck_assert_uint_eq(w.node[4].hellos, before);
}
END_TEST

START_TEST(no_verdict_before_a_third_of_the_patience)
{
    begin(4, slow_hello);
    world_sleep(&w, 'a');
    claimed_after('b', 700);
    world_wake(&w, 'a');
    world_run_until(&w, w.now_ms + 10000);
    ck_assert_str_eq(w.trace, "");
    world_sleep(&w, 'a');
    ck_assert_uint_le(claimed_after('b', 3000), 1100);
}
END_TEST

START_TEST(a_gateway_that_stands_still_in_calm_stays)
{
    begin(4, slow_hello);
    world_sleep(&w, 'a');
    world_run_until(&w, w.now_ms + 1600);
    world_wake(&w, 'a');
    world_run_until(&w, w.now_ms + 10000);
    ck_assert_str_eq(w.trace, "");
}
END_TEST

/* A slow far end, and not the gateway. */
START_TEST(work_that_waits_at_a_living_gateway_changes_nothing)
{
    begin(5, e_has_phones);
    ck_assert_uint_eq(claimed_after('b', 5000), 5000);
    ck_assert_uint_eq(claimed_after('e', 5000), 5000);
    ck_assert_str_eq(w.trace, "");
}
END_TEST

START_TEST(whom_another_hears_is_not_dead)
{
    begin(4, NULL);
    w.node[0].is_deaf_to_me[1] = true;
    ck_assert_uint_eq(claimed_after('b', 3000), 3000);
    ck_assert_str_eq(w.trace, "");
}
END_TEST

/* The two whom b would ask are asleep: nobody else saw it. */
START_TEST(a_verdict_takes_a_second_path)
{
    begin(4, NULL);
    w.node[0].is_deaf_to_me[1] = true;
    w.node[2].is_deaf_to_me[1] = w.node[3].is_deaf_to_me[1] = true;
    ck_assert_uint_gt(claimed_after('b', 1000), 150);
}
END_TEST

START_TEST(what_comes_over_its_link_is_a_sign_of_life)
{
    begin(4, NULL);
    for (int i = 1; i < 4; i++)
        w.node[0].is_deaf_to_me[i] = true;
    for (int i = 0; i < 40; i++) {
        for (int at = 1; at < 4; at++)
            w.node[at].heard_ms[0] = w.now_ms;
        world_run_until(&w, w.now_ms + 50);
    }
    ck_assert_str_eq(w.trace, "");
    for (int i = 0; i < 80; i++) { /* but not for ever: it must answer, too */
        for (int at = 1; at < 4; at++)
            w.node[at].heard_ms[0] = w.now_ms;
        world_run_until(&w, w.now_ms + 50);
    }
    ck_assert_int_eq(world_gateway(&w, 'b'), 'b');
}
END_TEST

/* ---- loss --------------------------------------------------------------------------------------
 */

static void
begin_lossy(int seed)
{
    world_init(&w, falling, 4, NULL);
    w.seed = (uint64_t)seed + 1;
    w.is_traffic_heard = true;
    world_start_all(&w);
    world_run_until(&w, 20000);
    w.segment_loss_thousandths = 100;
    world_run_until(&w, 25000); /* it takes a loss or two to know */
    w.trace[0] = '\0';
}

START_TEST(loss_is_not_death)
{
    begin_lossy(_i);
    char gateway = world_gateway(&w, 'b');
    world_run_until(&w, w.now_ms + 180000);
    ck_assert_msg(world_gateway(&w, 'b') == gateway && w.trace[0] == '\0', "%s", w.trace);
}
END_TEST

START_TEST(a_death_under_loss_is_seen_within_two_seconds)
{
    begin_lossy(_i);
    char gateway = world_gateway(&w, 'd');
    if (_i % 2)
        world_kill(&w, gateway);
    else
        world_sleep(&w, gateway);
    uint64_t from_ms = w.now_ms;
    while (world_actives(&w, -1) == 0 && w.now_ms < from_ms + 10000)
        world_run_until(&w, w.now_ms + 1);
    ck_assert_uint_le(w.now_ms - from_ms, 2000);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("election, signs");
    TCase *t = tcase_create("signs");
    SRunner *runner = srunner_create(s);

    tcase_add_checked_fixture(t, NULL, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, a_hung_gateway_that_work_waits_for_is_replaced_in_a_third_of_the_time);
    tcase_add_test(t, without_work_it_has_what_the_hellos_allow);
    tcase_add_test(t, who_is_no_candidate_tells_those_that_are);
    tcase_add_test(t, who_gives_the_gateway_requests_says_hello);
    tcase_add_test(t, no_verdict_before_a_third_of_the_patience);
    tcase_add_test(t, a_gateway_that_stands_still_in_calm_stays);
    tcase_add_test(t, work_that_waits_at_a_living_gateway_changes_nothing);
    tcase_add_test(t, whom_another_hears_is_not_dead);
    tcase_add_test(t, a_verdict_takes_a_second_path);
    tcase_add_test(t, what_comes_over_its_link_is_a_sign_of_life);
    tcase_add_loop_test(t, loss_is_not_death, 0, 30);
    tcase_add_loop_test(t, a_death_under_loss_is_seen_within_two_seconds, 0, 40);
    suite_add_tcase(s, t);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
