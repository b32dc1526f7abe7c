#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/election_world.h"

/* Which terms are believed: a is the gateway, b a candidate, c an observer, d says what is not so.
 */

static struct world w;
static const uint16_t scores[4] = {900, 800, 100, 100};

static void
begin(void)
{
    world_init(&w, scores, 4, NULL);
    for (char name = 'a'; name <= 'c'; name++)
        world_start(&w, name);
    world_set_calls(&w, 'c', 1);
    world_run_until(&w, 5000);
    w.trace[0] = '\0';
    ck_assert_int_eq(world_gateway(&w, 'c'), 'a');
}

static void
run_ms(uint64_t ms)
{
    world_run_until(&w, w.now_ms + ms);
}

static void
expect(char gateway, uint32_t term)
{
    for (char name = 'a'; name <= 'c'; name++)
        if (w.node[name - 'a'].is_up) {
            ck_assert_msg(world_gateway(&w, name) == gateway, "%c follows %c\n%s", name,
                          world_gateway(&w, name), w.trace);
            ck_assert_uint_eq(election_term(world_election(&w, name)), term);
        }
}

static void
claim(char to, char by, uint32_t term)
{
    struct claim_req req = {.term = term, .score = 1000, .ref = {.node = world_id(by)}};
    struct election_event ev = {.type = ELECTION_CLAIM};

    req.sip_uri[0] = 's';
    ev.request.from = world_id(by);
    ev.request.claim = &req;
    world_step(&w, to, &ev);
}

static void
read_records(char at, const uint32_t *term, const char *of, size_t count)
{
    struct gateway_record record[4];
    struct election_event ev = {.type = ELECTION_GATEWAYS};

    memset(record, 0, sizeof(record));
    for (size_t i = 0; i < count; i++)
        record[i] = (struct gateway_record){
            .term = term[i], .score = 900, .ref.node = world_id(of[i]), .sip_uri = "sip:x"};
    ev.gateways.st = ST_OK;
    ev.gateways.record = record;
    ev.gateways.count = count;
    world_step(&w, at, &ev);
}

static void
teardown(void)
{
    world_done(&w);
}

START_TEST(a_hello_raises_no_term)
{
    static const uint32_t term[] = {2, 1024, 0x7fffffff, 0x80000000, UINT32_MAX - 1, UINT32_MAX};

    begin();
    for (size_t i = 0; i < 6; i++)
        for (char to = 'a'; to <= 'c'; to++) {
            struct hello_req hello = {.term = term[i], .score = 1000, .is_candidate = 1};
            struct election_event ev = {.type = ELECTION_HELLO};
            ev.request.from = world_id('d');
            ev.request.hello = &hello;
            world_step(&w, to, &ev);
            run_ms(3000);
        }
    expect('a', 1);
    world_kill(&w, 'a');
    run_ms(3000);
    expect('b', 2);
}
END_TEST

START_TEST(an_answer_to_a_claim_raises_no_term)
{
    struct hello_ans ans = {.term = UINT32_MAX, .score = 1000};
    struct election_event ev = {.type = ELECTION_CLAIM_ANSWER};

    begin();
    ev.answer.from = world_id('d');
    ev.answer.hello = &ans;
    for (char to = 'a'; to <= 'c'; to++)
        world_step(&w, to, &ev);
    run_ms(5000);
    expect('a', 1);
    world_kill(&w, 'a');
    run_ms(3000);
    expect('b', 2);
}
END_TEST

START_TEST(what_others_say_of_a_gateway_raises_no_term)
{
    struct probe_gateway_req probe = {world_id('a'), UINT32_MAX, 0};
    struct probe_gateway_ans view = {1, 0, UINT32_MAX};
    struct handover_req handover = {.term = UINT32_MAX};
    struct election_event ev = {.type = ELECTION_PROBE};

    begin();
    for (char to = 'a'; to <= 'c'; to++) {
        ev = (struct election_event){.type = ELECTION_PROBE};
        ev.request.from = world_id('d');
        ev.request.probe = &probe;
        world_step(&w, to, &ev);
        ev = (struct election_event){.type = ELECTION_PROBE_ANSWER};
        ev.answer.from = world_id('d');
        ev.answer.probe = &view;
        world_step(&w, to, &ev);
        ev = (struct election_event){.type = ELECTION_HANDOVER};
        ev.request.from = world_id('d');
        ev.request.handover = &handover;
        world_step(&w, to, &ev);
    }
    run_ms(5000);
    expect('a', 1);
    world_kill(&w, 'a');
    run_ms(3000);
    expect('b', 2); /* nor that of the next claim */
}
END_TEST

START_TEST(a_claim_is_bounded)
{
    static const uint32_t term[] = {2000, 0x7fffffff, 0x80000000, UINT32_MAX};

    begin();
    for (size_t i = 0; i < 4; i++)
        for (char to = 'a'; to <= 'c'; to++)
            claim(to, 'd', term[i]);
    run_ms(5000);
    expect('a', 1);
    for (char to = 'a'; to <= 'c'; to++)
        claim(to, 'd', 2);
    expect('d', 2);
}
END_TEST

/* Claim after claim at the bound: together they get no further than one, until time has passed. */
START_TEST(claims_one_after_the_other_are_bounded)
{
    uint32_t term = 1;

    begin();
    for (int i = 0; i < 3000; i++) {
        claim('c', 'd', term + 1000);
        run_ms(1);
        term = election_term(world_election(&w, 'c'));
    }
    ck_assert_uint_le(term, 1 + ELECTION_TERM_STEP + 5);
    w.node['c' - 'a'].wall_jump_ms += 3600 * 1000; /* an hour later */
    claim('c', 'd', term + 3000);
    ck_assert_uint_eq(election_term(world_election(&w, 'c')), term + 3000);
}
END_TEST

START_TEST(a_record_is_bounded)
{
    static const uint32_t term[] = {1, 0x7fffffff};
    static const uint32_t beyond[] = {1, UINT32_MAX};

    begin();
    for (char at = 'a'; at <= 'c'; at++) {
        read_records(at, term, "ad", 2);
        read_records(at, beyond, "ad", 2);
    }
    expect('a', 1);
    run_ms(5000);
    expect('a', 1);
    world_kill(&w, 'a');
    run_ms(3000);
    expect('b', 2);
}
END_TEST

/* Who has just come knows nothing, and one record stands far above the others. */
START_TEST(who_knows_nothing_begins_with_the_lowest)
{
    static const uint32_t term[] = {0x7fffffff, 70000};

    begin();
    world_start(&w, 'd');
    read_records('d', term, "ba", 2);
    ck_assert_uint_eq(election_term(world_election(&w, 'd')), 70000);
    ck_assert_int_eq(world_gateway(&w, 'd'), 'a');
}
END_TEST

/* The overlay has gone far while this node was away, and nobody it knows is there any more. */
START_TEST(who_was_away_for_long_comes_back)
{
    static const uint32_t term[] = {5000000};

    begin();
    world_partition(&w, "c");
    w.node[0].is_up = false;
    run_ms(30000);
    read_records('c', term, "d", 1);
    ck_assert_uint_eq(election_term(world_election(&w, 'c')), 5000000);
    ck_assert_int_eq(world_gateway(&w, 'c'), 'd');
}
END_TEST

START_TEST(the_rings_term_is_bounded)
{
    struct election_event ev = {.type = ELECTION_RING};

    begin();
    ev.ring.st = ST_OK;
    ev.ring.term = 0x7ffffff0;
    for (char at = 'a'; at <= 'c'; at++)
        world_step(&w, at, &ev);
    ev.ring.term = UINT32_MAX;
    for (char at = 'a'; at <= 'c'; at++)
        world_step(&w, at, &ev);
    world_kill(&w, 'a');
    run_ms(3000);
    expect('b', 2);
}
END_TEST

/* All terms are used up, for whatever reason: elections go on, and the operator sets them back. */
START_TEST(the_operator_resets_the_term)
{
    world_init(&w, scores, 4, NULL);
    w.ring_term[WORLD_NODES - 1] = ELECTION_TERM_MAX - 1;
    for (char name = 'a'; name <= 'c'; name++)
        world_start(&w, name);
    world_set_calls(&w, 'c', 1);
    world_run_until(&w, 5000);
    expect('a', ELECTION_TERM_MAX);
    world_kill(&w, 'a');
    run_ms(3000);
    expect('b', ELECTION_TERM_MAX);

    ck_assert_int_eq(world_reset_term(&w, 'c'), ST_STATE);
    w.ring_term[WORLD_NODES - 1] = 0;
    ck_assert_int_eq(world_reset_term(&w, 'b'), ST_OK);
    run_ms(1000);
    expect('b', 1);
    ck_assert_uint_eq(w.ring_term[1], 1);
    ck_assert_int_eq(world_reset_term(&w, 'b'), ST_STATE);
    world_start(&w, 'a');
    run_ms(10000);
    expect('b', 1);
    ck_assert_int_eq(world_handover(&w, 'b', "a"), ST_OK);
    run_ms(1000);
    expect('a', 2);
    world_kill(&w, 'a');
    run_ms(3000);
    expect('b', 3); /* nothing is left of the high one */
}
END_TEST

/* Who missed the CLAIM of the reset sees it in the gateway's answer, or in its record. */
START_TEST(a_reset_is_seen_in_the_record)
{
    static const uint32_t high[] = {900000}, low[] = {1};

    begin();
    world_start(&w, 'd');
    read_records('d', high, "b", 1);
    ck_assert_uint_eq(election_term(world_election(&w, 'd')), 900000);
    read_records('d', low, "b", 1);
    ck_assert_uint_eq(election_term(world_election(&w, 'd')), 1);
    ck_assert_int_eq(world_gateway(&w, 'd'), 'b');
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("election, terms");
    TCase *tc = tcase_create("terms");

    tcase_add_checked_fixture(tc, NULL, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_hello_raises_no_term);
    tcase_add_test(tc, an_answer_to_a_claim_raises_no_term);
    tcase_add_test(tc, what_others_say_of_a_gateway_raises_no_term);
    tcase_add_test(tc, a_claim_is_bounded);
    tcase_add_test(tc, claims_one_after_the_other_are_bounded);
    tcase_add_test(tc, a_record_is_bounded);
    tcase_add_test(tc, who_knows_nothing_begins_with_the_lowest);
    tcase_add_test(tc, who_was_away_for_long_comes_back);
    tcase_add_test(tc, the_rings_term_is_bounded);
    tcase_add_test(tc, the_operator_resets_the_term);
    tcase_add_test(tc, a_reset_is_seen_in_the_record);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
