#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/election_world.h"

/* Who ranks first, how often HELLO goes, and whom silence makes suspect. */

static struct world w;
static const uint16_t falling[WORLD_NODES] = {900, 800, 700, 600, 550, 500,
                                              480, 460, 440, 420, 410, 405};

static void
begin(const uint16_t *score, int count, void (*adjust)(struct election_conf *conf, int index))
{
    world_init(&w, score, count, adjust);
    world_start_all(&w);
    world_run_until(&w, 5000);
    w.trace[0] = '\0';
}

static void
expect_followed(char gateway)
{
    for (int i = 0; i < w.count; i++)
        if (w.node[i].is_up && !w.node[i].is_asleep)
            ck_assert_msg(world_gateway(&w, w.node[i].name) == gateway,
                          "%c follows %c, not %c, at %llu\n%s", w.node[i].name,
                          world_gateway(&w, w.node[i].name), gateway, (unsigned long long)w.now_ms,
                          w.trace);
}

static void
teardown(void)
{
    world_done(&w);
}

/* ---- rank --------------------------------------------------------------------------------------
 */

static void
pin_c(struct election_conf *conf, int index)
{
    conf->is_pinned = index == 2;
}

static void
pin_c_and_preempt(struct election_conf *conf, int index)
{
    conf->is_pinned = index == 2;
    conf->preempt = true;
    conf->hold_ms = 2000;
}

START_TEST(a_pinned_node_ranks_first_and_needs_no_threshold)
{
    static const uint16_t scores[4] = {900, 800, 150, 700};
    struct election_candidate shown[4];
    size_t count;

    begin(scores, 4, pin_c);
    expect_followed('c');
    const struct election_gateway *g = election_gateways(world_election(&w, 'a'), &count);
    ck_assert_uint_eq(g[0].score, 150 | SCORE_PINNED);
    ck_assert_uint_eq(g[0].weight, 150);
    world_kill(&w, 'c');
    world_run_until(&w, 5100);
    expect_followed('a'); /* of those that are not pinned the best */
    world_start(&w, 'c');
    world_run_until(&w, 40000);
    expect_followed('a'); /* and it is left where it is */
    ck_assert_uint_eq(
        election_candidates(world_election(&w, 'a'), (struct moment){w.now_ms, 0}, shown, 4), 3);
    ck_assert_str_eq(shown[0].ref.name, "c");
    ck_assert(shown[0].is_pinned);
    ck_assert_uint_eq(shown[0].score, 150);
    ck_assert(!shown[1].is_pinned);
}
END_TEST

START_TEST(a_pinned_node_preempts_where_that_is_allowed)
{
    static const uint16_t scores[3] = {900, 800, 250};

    world_init(&w, scores, 3, pin_c_and_preempt);
    world_start(&w, 'a');
    world_start(&w, 'b');
    world_run_until(&w, 5000);
    expect_followed('a');
    world_start(&w, 'c');
    world_run_until(&w, 20000);
    expect_followed('c');
    world_run_until(&w, 60000); /* nobody else leads it, whatever its score */
    expect_followed('c');
}
END_TEST

START_TEST(equal_scores_are_ordered_by_node_id)
{
    static const uint16_t scores[4] = {700, 700, 700, 700};

    begin(scores, 4, NULL);
    expect_followed('d'); /* the highest Node-ID */
    world_kill(&w, 'd');
    world_run_until(&w, 5100);
    expect_followed('c');
}
END_TEST

static const char *
first_in_rank_after(uint16_t score_of_c)
{
    static struct election_candidate shown[3];
    struct hello_req req = {.term = 1, .score = score_of_c, .is_candidate = 1};
    struct election_event ev = {.type = ELECTION_HELLO};

    ev.request.hello = &req;
    ev.request.from = world_id('c');
    ev.request.handle = (uint64_t)ELECTION_HELLO << 48 | 200ULL << 32;
    world_step(&w, 'a', &ev);
    ck_assert_uint_eq(
        election_candidates(world_election(&w, 'a'), (struct moment){w.now_ms, 0}, shown, 3), 2);
    ck_assert_uint_eq(shown[0].ref.node.bytes[0] == 'c' ? shown[0].score : shown[1].score,
                      score_of_c); /* what is shown is what it said last */
    return shown[0].ref.name;
}

START_TEST(a_small_change_of_score_changes_no_rank)
{
    static const uint16_t scores[3] = {900, 700, 695};

    begin(scores, 3, NULL);
    expect_followed('a');
    ck_assert_str_eq(first_in_rank_after(705), "b");
    ck_assert_str_eq(first_in_rank_after(714), "b");
    ck_assert_str_eq(first_in_rank_after(715), "c");
    ck_assert_str_eq(first_in_rank_after(700), "c"); /* equal now, and not again the other way */
    ck_assert_str_eq(first_in_rank_after(690), "b");
}
END_TEST

/* ---- pace --------------------------------------------------------------------------------------
 */

/* HELLOs in ten seconds: at most every 75 ms, at least every 100 ms; each rank further half. */
START_TEST(the_first_in_rank_are_fast_and_the_others_ever_slower)
{
    unsigned before[8];

    begin(falling, 8, NULL);
    for (int i = 0; i < 8; i++)
        before[i] = w.node[i].hellos;
    world_run_until(&w, 15000);
    ck_assert_uint_eq(w.node[0].hellos, before[0]);
    for (unsigned i = 1; i < 8; i++) {
        unsigned sent = w.node[i].hellos - before[i];
        unsigned interval_ms = i <= 3 ? 100 : i <= 6 ? 100U << (i - 3) : 1000;
        ck_assert_msg(sent >= 10000 / interval_ms - 1 && sent <= 10000 / (interval_ms * 3 / 4) + 1,
                      "rank %u sent %u HELLOs", i, sent);
    }
}
END_TEST

static unsigned
reads_in_a_minute(int node)
{
    unsigned before = w.node[node].reads;

    world_run_until(&w, w.now_ms + 60000);
    return w.node[node].reads - before;
}

START_TEST(many_candidates_read_the_records_less_often)
{
    static const uint16_t equal[WORLD_NODES] = {900, 500, 500, 500, 500, 500, 500, 500, 500, 500,
                                                500, 500, 500, 500, 500, 500, 500, 500, 500, 500};
    unsigned others;

    begin(falling, 8, NULL);
    ck_assert_uint_ge(reads_in_a_minute(0), 10); /* every 5 s, and an eighth at most */
    ck_assert_uint_ge(reads_in_a_minute(7), 10);
    world_done(&w);
    begin(equal, WORLD_NODES, NULL);
    expect_followed('a');
    ck_assert_uint_ge(reads_in_a_minute(0), 10); /* the gateway */
    others = reads_in_a_minute(1);
    ck_assert_uint_ge(others, 4);
    ck_assert_uint_le(others, 6);
}
END_TEST

START_TEST(a_late_machine_slows_down_only_where_nobody_waits_for_it)
{
    begin(falling, 6, NULL);
    w.node[1].late_ms = w.node[5].late_ms = 90;
    world_run_until(&w, 15000);
    unsigned first = w.node[1].hellos, last = w.node[5].hellos;
    world_run_until(&w, 25000);
    ck_assert_uint_ge(w.node[1].hellos - first, 60); /* as fast as its ticks come */
    ck_assert_uint_le(w.node[5].hellos - last, 26);  /* 400 ms by rank */
    expect_followed('a');
    ck_assert_str_eq(w.trace, "");
}
END_TEST

/* ---- suspicion ---------------------------------------------------------------------------------
 */

START_TEST(a_starved_candidate_takes_nobody_for_dead)
{
    begin(falling, 4, NULL);
    for (uint64_t at_ms = 5000; at_ms < 25000; at_ms += 400) {
        world_sleep(&w, 'b');
        world_sleep(&w, 'c');
        world_run_until(&w, at_ms + 190);
        world_wake(&w, 'b');
        world_wake(&w, 'c');
        world_run_until(&w, at_ms + 400);
    }
    ck_assert_str_eq(w.trace, "");
    expect_followed('a');
    world_cut_power(&w, 'a'); /* and yet it finds the dead */
    world_run_until(&w, 26500);
    expect_followed('b');
}
END_TEST

/* The pause was no round trip: its patience afterwards is as before. */
START_TEST(a_candidate_that_slept_is_as_quick_as_before)
{
    begin(falling, 3, NULL);
    world_sleep(&w, 'b');
    world_run_until(&w, 17000);
    world_wake(&w, 'b');
    world_run_until(&w, 17500);
    world_cut_power(&w, 'a');
    world_run_until(&w, 17805);
    expect_followed('b');
}
END_TEST

START_TEST(one_that_alone_hears_nothing_waits_for_the_others)
{
    begin(falling, 4, NULL);
    w.node[0].is_deaf_to_me[1] = true; /* b hears nothing of a */
    world_run_until(&w, 30000);
    ck_assert_str_eq(w.trace, "");
    w.node[0].is_deaf_to_me[1] = false;
    world_run_until(&w, 32000);
    world_cut_power(&w, 'a');
    world_run_until(&w, 32303);
    expect_followed('b');
}
END_TEST

/* What a slow candidate is asked it finds out now, not at its own pace. */
START_TEST(who_is_asked_looks)
{
    begin(falling, 8, NULL);
    for (char name = 'b'; name <= 'f'; name++)
        world_kill(&w, name);
    world_run_until(&w, 5050); /* g does not know yet that it is first */
    w.node[0].is_deaf_to_me[6] = true;
    world_run_until(&w, 20000);
    w.trace[0] = '\0';
    expect_followed('a'); /* h, at its own pace, still hears it */
    world_cut_power(&w, 'a');
    world_run_until(&w, 20600);
    ck_assert(world_gateway(&w, 'h') != 'a');
}
END_TEST

START_TEST(silence_is_seen_in_three_intervals_whatever_the_phase)
{
    for (unsigned phase_ms = 0; phase_ms < 100; phase_ms += 7) {
        world_init(&w, falling, 4, NULL);
        w.seed = phase_ms + 1;
        world_start_all(&w);
        world_run_until(&w, 5000 + phase_ms);
        world_cut_power(&w, 'a');
        world_run_until(&w, 5000 + phase_ms + 147); /* the HELLOs go out up to a quarter early */
        expect_followed('a');
        world_run_until(&w, 5000 + phase_ms + 303);
        expect_followed('b');
        world_done(&w);
    }
    world_init(&w, falling, 1, NULL);
}
END_TEST

/* ---- several gateways --------------------------------------------------------------------------
 */

static void
two_gateways(struct election_conf *conf, int index)
{
    (void)index;
    conf->gateways = 2;
}

/* All that live know these two, the first before the second. */
static void
expect_pair(char first, char second)
{
    for (int i = 0; i < w.count; i++) {
        size_t count = 0;
        if (!w.node[i].is_up)
            continue;
        const struct election_gateway *g = election_gateways(w.node[i].election, &count);
        ck_assert_msg(count == 2 && g[0].ref.node.bytes[0] == first &&
                          g[1].ref.node.bytes[0] == second,
                      "%c knows other gateways\n%s", w.node[i].name, w.trace);
    }
    ck_assert_int_eq(world_actives(&w, -1), 2);
}

START_TEST(all_gateways_die_and_as_many_follow)
{
    begin(falling, 6, two_gateways);
    expect_pair('a', 'b');
    world_cut_power(&w, 'a');
    world_cut_power(&w, 'b');
    world_run_until(&w, 5400);
    ck_assert_int_eq(world_actives(&w, -1), 2);
    world_run_until(&w, 8000);
    expect_pair('c', 'd');
    ck_assert_uint_eq(w.ring_term[2], w.ring_term[3]);
}
END_TEST

START_TEST(four_that_meet_again_leave_the_two_best)
{
    begin(falling, 8, two_gateways);
    world_partition(&w, "acegh");
    world_run_until(&w, 9000);
    ck_assert_int_eq(world_actives(&w, 0), 2); /* b, d */
    ck_assert_int_eq(world_actives(&w, 1), 2); /* a, c */
    world_heal(&w);
    world_run_until(&w, 9000 + WORLD_HEAL_MS);
    expect_pair('a', 'b');
    world_run_until(&w, 40000);
    expect_pair('a', 'b');
    ck_assert_uint_eq(w.ring_term[0], w.ring_term[1]);
    ck_assert_uint_eq(w.ring_term[2], 0);
    ck_assert_uint_eq(w.ring_term[3], 0);
}
END_TEST

/* Weights are the scores: of callers that draw by them each gateway gets its share. */
START_TEST(the_load_is_spread_by_score)
{
    static const uint16_t scores[3] = {800, 400, 300};
    size_t count;

    begin(scores, 3, two_gateways);
    const struct election_gateway *g = election_gateways(world_election(&w, 'c'), &count);
    ck_assert_uint_eq(count, 2);
    ck_assert_uint_eq(g[0].weight, 800);
    ck_assert_uint_eq(g[1].weight, 400);
    ck_assert_uint_eq(g[0].priority, g[1].priority);
}
END_TEST

/* ---- history -----------------------------------------------------------------------------------
 */

static struct election_transition
last_of(char name)
{
    struct election_transition t[ELECTION_HISTORY_MAX];
    size_t count = election_history(world_election(&w, name), t, ELECTION_HISTORY_MAX);

    ck_assert_uint_gt(count, 0);
    ck_assert_uint_eq(t[count - 1].serial, count);
    return t[count - 1];
}

START_TEST(the_history_tells_each_step_of_a_take_over)
{
    begin(falling, 4, NULL);
    world_cut_power(&w, 'a');
    world_run_until(&w, 6000);
    struct election_transition t = last_of('b');
    ck_assert_str_eq(t.steps.gateway, "a");
    ck_assert(!t.steps.is_reset);
    ck_assert_uint_eq(t.steps.silent_ms, 242); /* the last HELLO is nearly due */
    ck_assert_uint_eq(t.steps.probe_ms, 22);   /* and then it has no answer */
    ck_assert_uint_eq(t.steps.probes_asked, 2);
    ck_assert_uint_eq(t.steps.probes_answered, 2);
    ck_assert_uint_eq(t.steps.turn_ms, 0);
    ck_assert_uint_eq(t.steps.answered_ms, 2);
    ck_assert_uint_eq(t.steps.stored_ms, 2);
    ck_assert_uint_eq(t.steps.ring_ms, 2);

    world_kill(&w, 'b');
    world_run_until(&w, 7000);
    t = last_of('c');
    ck_assert_str_eq(t.steps.gateway, "b");
    ck_assert(t.steps.is_reset);
    ck_assert_uint_eq(t.steps.probe_ms, 11);
    ck_assert_uint_eq(t.steps.probes_answered, 1);
    ck_assert_uint_eq(last_of('d').steps.silent_ms, ELECTION_UNKNOWN_MS);
}
END_TEST

START_TEST(health_is_what_hello_tells)
{
    struct election_health h;

    begin(falling, 4, NULL);
    election_health(world_election(&w, 'a'), (struct moment){w.now_ms, 0}, 0, &h);
    ck_assert_str_eq(h.state, "self");
    election_health(world_election(&w, 'b'), (struct moment){w.now_ms, 0}, 0, &h);
    ck_assert_str_eq(h.state, "trusted");
    ck_assert_uint_eq(h.interval_ms, 100);
    ck_assert_uint_eq(h.rtt_ms, 2);
    ck_assert_uint_eq(h.missed, 0);
    w.node[0].is_deaf_to_me[1] = true;
    world_run_until(&w, 5330);
    election_health(world_election(&w, 'b'), (struct moment){w.now_ms, 0}, 0, &h);
    ck_assert_str_eq(h.state, "suspect");
    ck_assert_uint_ge(h.missed, 2);
    w.node[1].late_ms = 90;
    world_run_until(&w, 7000);
    ck_assert_uint_gt(election_late_ms(world_election(&w, 'b')), 20);
    ck_assert_uint_eq(election_late_ms(world_election(&w, 'c')), 0);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("election, pace");
    TCase *tc = tcase_create("pace");

    tcase_add_checked_fixture(tc, NULL, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_pinned_node_ranks_first_and_needs_no_threshold);
    tcase_add_test(tc, a_pinned_node_preempts_where_that_is_allowed);
    tcase_add_test(tc, equal_scores_are_ordered_by_node_id);
    tcase_add_test(tc, a_small_change_of_score_changes_no_rank);
    tcase_add_test(tc, the_first_in_rank_are_fast_and_the_others_ever_slower);
    tcase_add_test(tc, many_candidates_read_the_records_less_often);
    tcase_add_test(tc, a_late_machine_slows_down_only_where_nobody_waits_for_it);
    tcase_add_test(tc, a_starved_candidate_takes_nobody_for_dead);
    tcase_add_test(tc, a_candidate_that_slept_is_as_quick_as_before);
    tcase_add_test(tc, one_that_alone_hears_nothing_waits_for_the_others);
    tcase_add_test(tc, who_is_asked_looks);
    tcase_add_test(tc, silence_is_seen_in_three_intervals_whatever_the_phase);
    tcase_add_test(tc, all_gateways_die_and_as_many_follow);
    tcase_add_test(tc, four_that_meet_again_leave_the_two_best);
    tcase_add_test(tc, the_load_is_spread_by_score);
    tcase_add_test(tc, the_history_tells_each_step_of_a_take_over);
    tcase_add_test(tc, health_is_what_hello_tells);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
