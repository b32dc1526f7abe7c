#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/election_world.h"

static struct world w;
static const uint16_t falling[WORLD_NODES] = {900, 800, 700, 600, 550, 500,
                                              480, 460, 440, 420, 410, 405};

static void
expect_followed(char gateway)
{
    for (int i = 0; i < w.count; i++)
        if (w.node[i].is_up && !w.node[i].is_asleep && !w.node[i].has_left)
            ck_assert_msg(world_gateway(&w, w.node[i].name) == gateway,
                          "%c follows %c, not %c, at %llu\n%s", w.node[i].name,
                          world_gateway(&w, w.node[i].name), gateway, (unsigned long long)w.now_ms,
                          w.trace);
}

/* Nodes a, b, c, ... of falling score; a is the gateway, and the trace is empty. */
static void
begin(int count, void (*adjust)(struct election_conf *conf, int index))
{
    world_init(&w, falling, count, adjust);
    world_start_all(&w);
    world_run_until(&w, 5000);
    w.trace[0] = '\0';
}

static void
teardown(void)
{
    world_done(&w);
}

/* ---- start -------------------------------------------------------------------------------------
 */

START_TEST(alone_it_becomes_the_gateway)
{
    world_init(&w, falling, 1, NULL);
    world_start_all(&w);
    world_run_until(&w, 5000);
    world_expect(&w, "[     0] a: observer -> candidate, term 0, reason: score 900\n"
                     "[  1002] a: candidate -> active, term 1, reason: no gateway known\n");
    ck_assert_int_eq(w.node[0].aim, PEER_AIM_MEMBER);
    ck_assert_uint_eq(w.ring_term[0], 1);
    expect_followed('a');
}
END_TEST

START_TEST(of_three_that_start_together_the_best_claims)
{
    world_init(&w, falling, 3, NULL);
    world_start_all(&w);
    world_run_until(&w, 5000);
    world_expect(&w, "[     0] a: observer -> candidate, term 0, reason: score 900\n"
                     "[     0] b: observer -> candidate, term 0, reason: score 800\n"
                     "[     0] c: observer -> candidate, term 0, reason: score 700\n"
                     "[  1002] a: candidate -> active, term 1, reason: no gateway known\n");
    expect_followed('a');
    ck_assert_int_eq(w.node[1].aim, PEER_AIM_CLIENT);
}
END_TEST

START_TEST(a_mass_start_over_a_lossy_network_settles)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        world_init(&w, falling, 12, NULL);
        w.seed = seed;
        w.loss_thousandths = 200;
        world_start_all(&w);
        world_run_until(&w, 20000);
        w.loss_thousandths = 0;
        world_run_until(&w, 30000);
        ck_assert_msg(world_actives(&w, -1) == 1, "seed %llu\n%s", (unsigned long long)seed,
                      w.trace);
        if (seed < 20)
            world_done(&w);
    }
}
END_TEST

START_TEST(under_the_threshold_it_only_observes)
{
    static const uint16_t scores[3] = {150, 300, 190};

    world_init(&w, scores, 3, NULL);
    world_start_all(&w);
    world_run_until(&w, 5000);
    world_expect(&w, "[     0] b: observer -> candidate, term 0, reason: score 300\n"
                     "[  1002] b: candidate -> active, term 1, reason: no gateway known\n");
    expect_followed('b');
    world_set_score(&w, 'a', 250);
    world_set_score(&w, 'a', 185);
    world_set_score(&w, 'a', 170);
    world_expect(&w, "[  5000] a: observer -> candidate, term 1, reason: score 250\n"
                     "[  5000] a: candidate -> observer, term 1, reason: score 170 under the "
                     "threshold of 200\n");
    ck_assert_int_eq(w.node[0].aim, PEER_AIM_NOTHING);
}
END_TEST

static void
without_global(struct election_conf *conf, int index)
{
    if (index == 0)
        conf->global_address[0] = '\0';
    if (index == 1)
        conf->is_candidate = false;
}

START_TEST(who_cannot_or_will_not_is_no_candidate)
{
    begin(3, without_global);
    ck_assert_int_eq(election_role(world_election(&w, 'a')), ELECTION_OBSERVER);
    ck_assert_int_eq(election_role(world_election(&w, 'b')), ELECTION_OBSERVER);
    expect_followed('c');
}
END_TEST

START_TEST(a_latecomer_follows_whoever_is_there)
{
    static const uint16_t scores[3] = {500, 400, 900};

    world_init(&w, scores, 3, NULL);
    world_start(&w, 'a');
    world_start(&w, 'b');
    world_run_until(&w, 5000);
    world_start(&w, 'c');
    world_run_until(&w, 90000);
    expect_followed('a');
    ck_assert_uint_eq(election_term(world_election(&w, 'c')), 1);
}
END_TEST

/* The ring was out of reach at the claim, and knows a higher term of an earlier life. */
START_TEST(a_blind_claim_is_raised_over_the_rings_term)
{
    world_init(&w, falling, 2, NULL);
    w.is_ring_down = true;
    w.ring_term[WORLD_NODES - 1] = 41;
    world_start_all(&w);
    world_run_until(&w, 4000);
    ck_assert_uint_eq(w.ring_term[0], 1);
    w.trace[0] = '\0';
    w.is_ring_down = false;
    world_run_until(&w, 6000);
    world_expect(&w, "[  4010] a: active -> active, term 42, reason: the ring remembers term 41\n");
    ck_assert_uint_eq(w.ring_term[0], 42);
    ck_assert_uint_eq(election_term(world_election(&w, 'b')), 42);
}
END_TEST

START_TEST(a_first_claim_is_over_the_rings_term)
{
    world_init(&w, falling, 2, NULL);
    w.ring_term[WORLD_NODES - 1] = 7;
    world_start_all(&w);
    world_run_until(&w, 2000);
    ck_assert_uint_eq(election_term(world_election(&w, 'b')), 8);
    expect_followed('a');
}
END_TEST

/* ---- failure -----------------------------------------------------------------------------------
 */

START_TEST(a_crash_is_seen_as_a_reset)
{
    begin(3, NULL);
    world_kill(&w, 'a');
    world_run_until(&w, 5110);
    world_expect(&w, "[  5000] a: killed\n"
                     "[  5012] b: candidate -> active, term 2, reason: a silent for 70 ms\n");
    expect_followed('b');
    world_start(&w, 'a');
    world_run_until(&w, 70000);
    expect_followed('b');
    ck_assert_int_eq(election_role(world_election(&w, 'a')), ELECTION_CANDIDATE);
}
END_TEST

START_TEST(silence_takes_three_hellos)
{
    begin(3, NULL);
    world_cut_power(&w, 'a');
    world_run_until(&w, 6000);
    world_expect(&w, "[  5000] a: killed\n"
                     "[  5184] b: candidate -> active, term 2, reason: a silent for 242 ms\n");
    expect_followed('b');
}
END_TEST

START_TEST(the_last_of_three_is_as_quick)
{
    begin(3, NULL);
    world_kill(&w, 'a');
    world_run_until(&w, 12000);
    world_cut_power(&w, 'b');
    world_run_until(&w, 12400);
    expect_followed('c');
    ck_assert_uint_eq(election_term(world_election(&w, 'c')), 3);
}
END_TEST

/* c asks b, which is dead too: it does not wait for b's turn. */
START_TEST(the_next_in_rank_does_not_wait_for_the_dead)
{
    begin(4, NULL);
    world_kill(&w, 'b');
    world_kill(&w, 'a');
    world_run_until(&w, 6000);
    world_expect(&w, "[  5000] b: killed\n"
                     "[  5000] a: killed\n"
                     "[  5051] c: candidate -> active, term 2, reason: a silent for 102 ms\n");
    expect_followed('c');
}
END_TEST

START_TEST(a_reset_alone_unseats_nobody)
{
    begin(3, NULL);
    for (uint64_t at_ms = 5000; at_ms < 9000; at_ms += 250) {
        world_reset_links(&w, 'a');
        world_run_until(&w, at_ms);
    }
    world_expect(&w, "");
    expect_followed('a');
}
END_TEST

START_TEST(a_candidate_that_slept_suspects_nobody)
{
    begin(3, NULL);
    world_sleep(&w, 'b');
    world_run_until(&w, 15000);
    world_wake(&w, 'b');
    world_run_until(&w, 20000);
    world_expect(&w, "");
    expect_followed('a');
}
END_TEST

START_TEST(a_gateway_that_slept_steps_down)
{
    begin(3, NULL);
    world_sleep(&w, 'a');
    world_run_until(&w, 10000);
    world_wake(&w, 'a');
    world_run_until(&w, 15000);
    world_expect(&w, "[  5181] b: candidate -> active, term 2, reason: a silent for 239 ms\n"
                     "[ 10000] a: active -> candidate, term 2, reason: b claimed term 2 with "
                     "score 800\n");
    expect_followed('b');
    ck_assert_uint_eq(w.ring_term[0], 0);
    ck_assert_uint_eq(w.ring_term[1], 2);
}
END_TEST

static void
slow_hello(struct election_conf *conf, int index)
{
    (void)index;
    conf->fast_ranks = 1;
}

/* c says HELLO half as often: its view stops nobody.  A HELLO goes up to a quarter early. */
START_TEST(a_slow_candidate_does_not_delay_the_first)
{
    begin(3, slow_hello);
    unsigned before = w.messages;
    world_run_until(&w, 10000);
    ck_assert_uint_le(w.messages - before, 2 * (67 + 34));
    world_cut_power(&w, 'a');
    world_run_until(&w, 10450);
    expect_followed('b');
}
END_TEST

START_TEST(peers_with_calls_are_told_and_others_read)
{
    world_init(&w, falling, 5, NULL);
    w.node[3].conf.is_candidate = w.node[4].conf.is_candidate = false;
    world_start_all(&w);
    world_run_until(&w, 3000);
    world_set_calls(&w, 'd', 2);
    world_run_until(&w, 6000);
    world_kill(&w, 'a');
    world_run_until(&w, 6110);
    ck_assert_int_eq(world_gateway(&w, 'd'), 'b'); /* the claim went to it too */
    ck_assert_int_eq(world_gateway(&w, 'e'), 'a');
    world_step(&w, 'e', &(struct election_event){.type = ELECTION_LOCATE});
    world_run_until(&w, 6120);
    expect_followed('b');
}
END_TEST

/* ---- partitions --------------------------------------------------------------------------------
 */

START_TEST(a_gateway_cut_off_stays_and_steps_down_when_healed)
{
    begin(3, NULL);
    world_partition(&w, "a");
    world_run_until(&w, 20000);
    ck_assert_int_eq(world_gateway(&w, 'a'), 'a');
    ck_assert_uint_eq(w.ring_term[0], 1); /* still there, outranked by term */
    ck_assert_uint_eq(w.ring_term[1], 2);
    world_heal(&w);
    world_run_until(&w, 21000);
    world_expect(&w, "[  5000] partition: a\n"
                     "[  5012] b: candidate -> active, term 2, reason: a silent for 70 ms\n"
                     "[ 20000] healed\n"
                     "[ 20002] a: active -> candidate, term 2, reason: b is active under term 2\n");
    expect_followed('b');
    ck_assert_uint_eq(w.ring_term[0], 0);
}
END_TEST

START_TEST(whoever_followed_the_loser_hears_of_the_winner)
{
    begin(8, NULL);
    world_partition(&w, "aefgh");
    world_run_until(&w, 20000);
    ck_assert_int_eq(world_gateway(&w, 'h'), 'a');
    ck_assert_int_eq(world_gateway(&w, 'd'), 'b');
    world_heal(&w);
    world_run_until(&w, 20200);
    expect_followed('b');
}
END_TEST

START_TEST(two_claims_of_one_term_leave_the_better)
{
    begin(6, NULL);
    world_kill(&w, 'a');
    world_partition(&w, "ef");
    world_run_until(&w, 20000);
    ck_assert_uint_eq(election_term(world_election(&w, 'b')), 2);
    ck_assert_uint_eq(election_term(world_election(&w, 'e')), 2);
    ck_assert_int_eq(world_actives(&w, -1), 2);
    w.trace[0] = '\0';
    world_heal(&w);
    world_run_until(&w, 21000);
    world_expect(&w, "[ 20000] healed\n"
                     "[ 20002] e: active -> candidate, term 2, reason: b is active under term 2\n");
    expect_followed('b');
}
END_TEST

START_TEST(partitions_at_random_heal_within_the_bound)
{
    static const char *const sides[] = {"a", "ab", "bd", "cdef", "b", "ace"};

    begin(6, NULL);
    for (uint64_t round = 0; round < 30; round++) {
        world_partition(&w, sides[round % 6]);
        world_run_until(&w, w.now_ms + 500 + 700 * (round % 7));
        world_heal(&w); /* the world itself checks that one is left in time */
        world_run_until(&w, w.now_ms + WORLD_HEAL_MS + 2000);
        ck_assert_int_eq(world_actives(&w, -1), 1);
        w.trace[0] = '\0';
    }
}
END_TEST

/* ---- hand-over ---------------------------------------------------------------------------------
 */

START_TEST(a_planned_handover_names_its_successor)
{
    begin(3, NULL);
    ck_assert_int_eq(world_handover(&w, 'b', NULL), ST_STATE);
    ck_assert_int_eq(world_handover(&w, 'a', "nobody"), ST_NOT_FOUND);
    ck_assert_int_eq(world_handover(&w, 'a', "c"), ST_OK);
    ck_assert_int_eq(world_handover(&w, 'a', "b"), ST_STATE);
    world_run_until(&w, 5010);
    world_expect(&w, "[  5001] c: candidate -> active, term 2, reason: a hands over\n"
                     "[  5002] a: active -> candidate, term 2, reason: c claimed term 2 with "
                     "score 700\n");
    expect_followed('c');
    ck_assert_int_eq(world_handover(&w, 'c', NULL), ST_OK);
    world_run_until(&w, 6000);
    expect_followed('a');
}
END_TEST

START_TEST(a_successor_that_is_dead_changes_nothing)
{
    begin(3, NULL);
    world_cut_power(&w, 'c');
    ck_assert_int_eq(world_handover(&w, 'a', "c"), ST_OK);
    world_run_until(&w, 8000);
    world_expect(&w, "[  5000] c: killed\n");
    expect_followed('a');
    ck_assert_int_eq(world_handover(&w, 'a', "b"), ST_OK);
}
END_TEST

START_TEST(the_leaver_goes_when_it_hears_the_claim)
{
    begin(3, NULL);
    world_leave(&w, 'a');
    world_run_until(&w, 6000);
    world_expect(&w, "[  5001] b: candidate -> active, term 2, reason: a hands over\n"
                     "[  5002] a: active -> observer, term 2, reason: b claimed term 2 with "
                     "score 800\n"
                     "[  5002] a: left\n");
    expect_followed('b');
    world_leave(&w, 'c');
    world_expect(&w, "[  6000] c: candidate -> observer, term 2, reason: leaves\n"
                     "[  6000] c: left\n");
}
END_TEST

START_TEST(a_drained_gateway_stays_and_follows)
{
    const struct election_event drain = {.type = ELECTION_DRAIN};

    begin(3, NULL);
    world_step(&w, 'a', &drain);
    world_run_until(&w, 8000);
    world_expect(&w, "[  5001] b: candidate -> active, term 2, reason: a hands over\n"
                     "[  5002] a: active -> observer, term 2, reason: b claimed term 2 with "
                     "score 800\n");
    expect_followed('b');
    world_step(&w, 'a', &drain); /* a second time changes nothing */
    world_run_until(&w, 12000);
    world_expect(&w, "");
    world_leave(&w, 'a');
    world_expect(&w, "[ 12000] a: left\n");
}
END_TEST

START_TEST(a_leave_while_it_drains_waits_for_the_claim)
{
    const struct election_event drain = {.type = ELECTION_DRAIN};

    begin(3, NULL);
    world_step(&w, 'a', &drain);
    world_leave(&w, 'a');
    world_run_until(&w, 8000);
    world_expect(&w, "[  5001] b: candidate -> active, term 2, reason: a hands over\n"
                     "[  5002] a: active -> observer, term 2, reason: b claimed term 2 with "
                     "score 800\n"
                     "[  5002] a: left\n");
    world_step(&w, 'c', &drain);
    world_expect(&w, "[  8000] c: candidate -> observer, term 2, reason: drains\n");
}
END_TEST

START_TEST(a_leave_finds_the_next_if_the_first_is_dead)
{
    begin(3, NULL);
    world_cut_power(&w, 'b');
    world_leave(&w, 'a');
    world_run_until(&w, 8000);
    world_expect(&w, "[  5000] b: killed\n"
                     "[  5501] c: candidate -> active, term 2, reason: a hands over\n"
                     "[  5502] a: active -> observer, term 2, reason: c claimed term 2 with "
                     "score 700\n"
                     "[  5502] a: left\n");
}
END_TEST

START_TEST(a_leave_without_a_successor_is_not_held_up)
{
    begin(1, NULL);
    world_leave(&w, 'a');
    world_expect(&w, "[  5000] a: active -> observer, term 1, reason: leaves, no candidate takes "
                     "over\n"
                     "[  5000] a: left\n");
    ck_assert_uint_eq(w.ring_term[0], 0);
    ck_assert(!w.record[0][ELECTION_RECORD_GATEWAY][0].exists);
    ck_assert(!w.record[0][ELECTION_RECORD_CANDIDATE][0].exists);
}
END_TEST

START_TEST(a_leave_ends_in_bounded_time)
{
    begin(8, NULL);
    for (char name = 'b'; name <= 'h'; name++)
        world_cut_power(&w, name);
    world_leave(&w, 'a');
    world_run_until(&w, 7001);
    ck_assert(w.node[0].has_left);
    ck_assert_int_eq(election_role(world_election(&w, 'a')), ELECTION_OBSERVER);
}
END_TEST

/* ---- preemption --------------------------------------------------------------------------------
 */

static void
preempting(struct election_conf *conf, int index)
{
    (void)index;
    conf->preempt = true;
    conf->hold_ms = 10000;
}

START_TEST(a_better_candidate_takes_over_after_the_hold_time)
{
    static const uint16_t scores[2] = {500, 550};

    world_init(&w, scores, 2, preempting);
    world_start(&w, 'a');
    world_run_until(&w, 3000);
    world_start(&w, 'b');
    world_run_until(&w, 30000); /* 50 is less than the margin */
    expect_followed('a');
    w.trace[0] = '\0';
    world_set_score(&w, 'b', 700);
    world_run_until(&w, 38000);
    world_set_score(&w, 'b', 500); /* not held */
    world_run_until(&w, 50000);
    world_expect(&w, "");
    world_set_score(&w, 'b', 700);
    world_run_until(&w, 65000);
    world_expect(&w, "[ 60000] b: candidate -> active, term 2, reason: score 700 leads a with 500 "
                     "for 10000 ms\n"
                     "[ 60001] a: active -> candidate, term 2, reason: b claimed term 2 with score "
                     "700\n");
    expect_followed('b');
}
END_TEST

START_TEST(a_handover_on_purpose_is_not_undone_at_once)
{
    begin(3, preempting);
    ck_assert_int_eq(world_handover(&w, 'a', "c"), ST_OK);
    world_run_until(&w, 60000);
    expect_followed('c');
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

START_TEST(two_gateways_are_kept_active)
{
    size_t count;

    world_init(&w, falling, 5, two_gateways);
    world_start_all(&w);
    world_run_until(&w, 5000);
    ck_assert_int_eq(world_actives(&w, -1), 2);
    ck_assert_uint_eq(w.ring_term[0], w.ring_term[1]); /* a term names the set */
    election_gateways(world_election(&w, 'e'), &count);
    ck_assert_uint_eq(count, 2);
    w.trace[0] = '\0';
    world_kill(&w, 'a');
    world_run_until(&w, 5200);
    world_expect(&w, "[  5000] a: killed\n"
                     "[  5012] c: candidate -> active, term 3, reason: a silent for 26 ms\n");
    ck_assert_uint_eq(w.ring_term[1], 3);
    ck_assert_uint_eq(w.ring_term[2], 3);
    world_partition(&w, "be");
    world_run_until(&w, 15000);
    world_heal(&w);
    world_run_until(&w, 30000);
    ck_assert_int_eq(world_actives(&w, -1), 2);
}
END_TEST

/* ---- what strangers send -----------------------------------------------------------------------
 */

START_TEST(odd_claims_are_nobodys)
{
    struct claim_req claim = {.term = 9, .score = 990, .ref = {.node = world_id('c')}};
    struct election_event ev = {.type = ELECTION_CLAIM};

    begin(3, NULL);
    ev.request.claim = &claim;
    ev.request.handle = (uint64_t)ELECTION_CLAIM << 48 | 2ULL << 32;
    ev.request.from = world_id('b'); /* signed by another than it names */
    world_step(&w, 'a', &ev);
    ev.request.from = world_id('c');
    claim.score = 1001;
    world_step(&w, 'a', &ev);
    claim.score = 990;
    claim.term = 0;
    world_step(&w, 'a', &ev);
    ck_assert_uint_eq(election_term(world_election(&w, 'a')), 1);
    expect_followed('a');
    claim.term = UINT32_MAX; /* no election came so far */
    world_step(&w, 'a', &ev);
    expect_followed('a');
    claim.term = 9;
    world_step(&w, 'a', &ev);
    ck_assert_int_eq(world_gateway(&w, 'a'), 'c');
    world_run_until(&w, 12000);
    ck_assert_int_eq(world_actives(&w, -1), 1);
}
END_TEST

START_TEST(a_handover_from_a_stranger_is_refused)
{
    struct handover_req req = {.term = 1};
    struct election_event ev = {.type = ELECTION_HANDOVER};

    begin(3, NULL);
    ev.request.handover = &req;
    ev.request.from = world_id('c');
    ev.request.handle = (uint64_t)ELECTION_HANDOVER << 48 | 2ULL << 32;
    world_step(&w, 'b', &ev);
    ev.request.from = world_id('a');
    req.term = 5;
    world_step(&w, 'b', &ev);
    ck_assert_int_eq(election_role(world_election(&w, 'b')), ELECTION_CANDIDATE);
}
END_TEST

START_TEST(strangers_fill_no_table)
{
    struct hello_req req = {.term = 1, .score = 300, .is_candidate = 1};
    struct election_event ev = {.type = ELECTION_HELLO};
    struct election_candidate shown[ELECTION_CANDIDATES_MAX + 1];

    begin(3, NULL);
    w.loss_thousandths = 1000; /* the answers go nowhere */
    for (uint32_t i = 0; i < 1000; i++) {
        ev.request.hello = &req;
        ev.request.from = (struct id){{200, (uint8_t)(i >> 8), (uint8_t)i}};
        ev.request.handle = (uint64_t)ELECTION_HELLO << 48 | 200ULL << 32;
        req.is_candidate = i % 2;
        election_step(world_election(&w, 'a'), (struct moment){w.now_ms, w.now_ms}, &ev);
        world_forget(&w);
    }
    ck_assert_uint_eq(election_candidates(world_election(&w, 'a'), (struct moment){w.now_ms, 0},
                                          shown, ELECTION_CANDIDATES_MAX + 1),
                      ELECTION_CANDIDATES_MAX - 1);    /* our own entry takes one */
    ck_assert_int_eq(shown[0].ref.node.bytes[0], 'b'); /* the better ones stay */
}
END_TEST

/* ---- what may be looked at ---------------------------------------------------------------------
 */

START_TEST(candidates_are_shown_with_their_hello)
{
    struct election_candidate shown[4];

    begin(3, NULL);
    ck_assert_uint_eq(
        election_candidates(world_election(&w, 'a'), (struct moment){w.now_ms, 0}, shown, 4), 2);
    ck_assert_str_eq(shown[0].ref.name, "b");
    ck_assert_uint_eq(shown[0].rank, 1);
    ck_assert_uint_eq(shown[0].score, 800);
    ck_assert_uint_eq(shown[0].part[SCORE_ONLINE], 800);
    ck_assert_uint_lt(shown[0].last_ms, 100);
    ck_assert_uint_eq(shown[0].missed, 0);
    ck_assert_str_eq(shown[1].global_address, "127.0.0.3:6085");
    ck_assert_uint_eq(
        election_candidates(world_election(&w, 'b'), (struct moment){w.now_ms, 0}, shown, 4), 2);
    ck_assert(shown[0].is_self);
    ck_assert_uint_eq(shown[0].rtt_ms, 2);
    ck_assert_uint_eq(shown[1].last_ms, ELECTION_UNKNOWN_MS);
}
END_TEST

START_TEST(history_keeps_the_last_transitions)
{
    struct election_transition t[ELECTION_HISTORY_MAX + 8];

    begin(2, NULL);
    for (int i = 0; i < 40; i++) {
        ck_assert_int_eq(world_handover(&w, i % 2 ? 'b' : 'a', NULL), ST_OK);
        world_run_until(&w, w.now_ms + 50);
    }
    ck_assert_uint_eq(election_history(world_election(&w, 'a'), t, 2), 2);
    ck_assert_uint_eq(t[1].term, 41);
    ck_assert_int_eq(t[1].to, ELECTION_ACTIVE);
    ck_assert_str_eq(t[1].reason, "b hands over");
    ck_assert_uint_eq(t[0].term, 40);
    for (int i = 40; i < 100; i++) {
        ck_assert_int_eq(world_handover(&w, i % 2 ? 'b' : 'a', NULL), ST_OK);
        world_run_until(&w, w.now_ms + 50);
    }
    ck_assert_uint_eq(election_history(world_election(&w, 'a'), t, ELECTION_HISTORY_MAX + 8),
                      ELECTION_HISTORY_MAX);
    ck_assert_uint_eq(t[ELECTION_HISTORY_MAX - 1].term, 101);
    ck_assert_uint_gt(t[0].term, 30);
}
END_TEST

START_TEST(bad_settings_are_named)
{
    struct election_conf conf;
    struct election_env env = {0};
    struct election *e = NULL;
    struct why why = {""};

    election_conf_defaults(&conf);
    conf.self.node = world_id('a');
    conf.gateways = 9;
    ck_assert_int_eq(election_new(&conf, &env, (struct moment){0, 0}, &e, &why), ST_RANGE);
    ck_assert_str_eq(why.text, "election: gateways 9, allowed 1 to 8");
    conf.gateways = 1;
    conf.hello_ms = 5;
    ck_assert_int_eq(election_new(&conf, &env, (struct moment){0, 0}, &e, &why), ST_RANGE);
    ck_assert_str_eq(why.text, "election: hello-interval 5, allowed 10 to 60000");
    ck_assert_ptr_null(e);
    world_init(&w, falling, 1, NULL);
}
END_TEST

static void
add_cases(Suite *suite)
{
    const TTest *const tests[] = {
        alone_it_becomes_the_gateway,
        of_three_that_start_together_the_best_claims,
        a_mass_start_over_a_lossy_network_settles,
        under_the_threshold_it_only_observes,
        who_cannot_or_will_not_is_no_candidate,
        a_latecomer_follows_whoever_is_there,
        a_blind_claim_is_raised_over_the_rings_term,
        a_first_claim_is_over_the_rings_term,
        a_crash_is_seen_as_a_reset,
        silence_takes_three_hellos,
        the_last_of_three_is_as_quick,
        the_next_in_rank_does_not_wait_for_the_dead,
        a_reset_alone_unseats_nobody,
        a_candidate_that_slept_suspects_nobody,
        a_gateway_that_slept_steps_down,
        a_slow_candidate_does_not_delay_the_first,
        peers_with_calls_are_told_and_others_read,
        a_gateway_cut_off_stays_and_steps_down_when_healed,
        whoever_followed_the_loser_hears_of_the_winner,
        two_claims_of_one_term_leave_the_better,
        partitions_at_random_heal_within_the_bound,
        a_planned_handover_names_its_successor,
        a_successor_that_is_dead_changes_nothing,
        the_leaver_goes_when_it_hears_the_claim,
        a_drained_gateway_stays_and_follows,
        a_leave_while_it_drains_waits_for_the_claim,
        a_leave_finds_the_next_if_the_first_is_dead,
        a_leave_without_a_successor_is_not_held_up,
        a_leave_ends_in_bounded_time,
        a_better_candidate_takes_over_after_the_hold_time,
        a_handover_on_purpose_is_not_undone_at_once,
        two_gateways_are_kept_active,
        odd_claims_are_nobodys,
        a_handover_from_a_stranger_is_refused,
        strangers_fill_no_table,
        candidates_are_shown_with_their_hello,
        history_keeps_the_last_transitions,
        bad_settings_are_named,
    };
    TCase *tc = tcase_create("election");

    tcase_add_checked_fixture(tc, NULL, teardown);
    tcase_set_timeout(tc, 60);
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
        tcase_add_test(tc, tests[i]);
    suite_add_tcase(suite, tc);
}

int
main(void)
{
    Suite *suite = suite_create("election");

    add_cases(suite);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
