#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/election_world.h"

/* A gateway that has lost the ring, and a node that has met nobody of its overlay. */

static struct world w;
static const uint16_t scores[3] = {900, 800, 700};

static void
run_ms(uint64_t ms)
{
    world_run_until(&w, w.now_ms + ms);
}

static void
begin(int count)
{
    world_init(&w, scores, count, NULL);
    w.is_ring_asked = true;
    for (int i = 0; i < count; i++)
        world_start(&w, (char)('a' + i));
}

static bool
is_active(char name)
{
    return election_role(world_election(&w, name)) == ELECTION_ACTIVE;
}

static enum election_trouble
trouble(char name)
{
    const char *text;
    enum election_trouble found = election_trouble(world_election(&w, name), &text);

    ck_assert_int_eq(found == ELECTION_FINE, text[0] == '\0');
    return found;
}

START_TEST(who_loses_the_ring_gives_the_role_to_one_that_has_it)
{
    begin(3);
    run_ms(8000);
    ck_assert(is_active('a'));
    w.node[0].ring_silent_ms = w.now_ms;
    w.node[1].ring_silent_ms = w.now_ms; /* the first in rank has lost it, too */
    run_ms(600);
    ck_assert(is_active('c'));
    ck_assert_int_eq(world_actives(&w, -1), 1);
    ck_assert_int_eq(trouble('c'), ELECTION_FINE);
    w.node[0].ring_silent_ms = w.node[1].ring_silent_ms = 0;
    run_ms(8000);
    ck_assert_msg(is_active('c'), "it comes back to nobody\n%s", w.trace);
}
END_TEST

/* Deaths and an operator's hand-overs before it say nothing of the ring. */
START_TEST(who_loses_the_ring_after_other_changes_is_as_quick)
{
    begin(3);
    run_ms(8000);
    for (int i = 0; i < 3; i++) {
        int gateway = is_active('a') ? 0 : is_active('b') ? 1 : 2;

        world_kill(&w, (char)('a' + gateway));
        run_ms(2000);
        world_start(&w, (char)('a' + gateway));
        run_ms(5000);
    }
    for (int i = 0; i < 3; i++)
        if (is_active((char)('a' + i)))
            w.node[i].ring_silent_ms = w.now_ms;
    run_ms(600);
    for (int i = 0; i < 3; i++)
        ck_assert_msg(!is_active((char)('a' + i)) || w.node[i].ring_silent_ms == 0, "%s", w.trace);
    ck_assert_int_eq(world_actives(&w, -1), 1);
}
END_TEST

/* Whoever is gateway loses the ring, and the other has it: the role does not go round and round. */
START_TEST(a_ring_that_comes_and_goes_moves_the_role_ever_more_seldom)
{
    uint32_t term;

    begin(2);
    run_ms(8000);
    term = election_term(world_election(&w, 'a'));
    for (int i = 0; i < 600; i++) {
        bool is_a = is_active('a');

        if (w.node[!is_a].ring_silent_ms == 0)
            w.node[!is_a].ring_silent_ms = w.now_ms;
        w.node[is_a].ring_silent_ms = 0;
        run_ms(100);
    }
    term = election_term(world_election(&w, 'a')) - term;
    ck_assert_msg(term >= 3 && term <= 16, "%u changes in a minute", term);
    ck_assert_int_eq(world_actives(&w, -1), 1);
}
END_TEST

START_TEST(where_nobody_has_it_the_role_stays)
{
    struct election_transition last;

    begin(2);
    run_ms(8000);
    w.node[0].ring_silent_ms = w.node[1].ring_silent_ms = w.now_ms;
    run_ms(5000);
    ck_assert(is_active('a'));
    ck_assert_uint_eq(election_term(world_election(&w, 'a')), 1);
    ck_assert_int_eq(trouble('a'), ELECTION_RINGLESS);
    ck_assert_uint_eq(election_history(world_election(&w, 'a'), &last, 1), 1);
    ck_assert_ptr_nonnull(strstr(last.reason, "no candidate has it"));
    w.node[0].ring_silent_ms = w.node[1].ring_silent_ms = 0;
    run_ms(6000);
    ck_assert_int_eq(trouble('a'), ELECTION_FINE);
    ck_assert(is_active('a'));
}
END_TEST

static void
certificate(char name, enum election_certificate state)
{
    struct election_event ev = {.type = ELECTION_CERTIFICATE};

    ev.certificate.state = state;
    ev.certificate.of = "p2psip.global";
    world_step(&w, name, &ev);
}

/* The role goes on while the gateway is still believed, and comes back with a new certificate. */
START_TEST(who_loses_his_certificate_hands_over_before)
{
    begin(3);
    run_ms(8000);
    ck_assert(is_active('a'));
    certificate('b', ELECTION_CERTIFICATE_ENDS); /* the first in rank is no better */
    run_ms(1000);
    certificate('a', ELECTION_CERTIFICATE_ENDS);
    run_ms(1000);
    ck_assert(is_active('c'));
    ck_assert_int_eq(world_actives(&w, -1), 1);
    ck_assert_int_eq(election_role(world_election(&w, 'a')), ELECTION_OBSERVER);
    ck_assert_int_eq(trouble('a'), ELECTION_FINE);
    certificate('a', ELECTION_CERTIFICATE_ENDED);
    ck_assert_int_eq(trouble('a'), ELECTION_UNCERTIFIED);
    run_ms(20000);
    ck_assert_int_eq(election_role(world_election(&w, 'a')), ELECTION_OBSERVER);
    certificate('a', ELECTION_CERTIFICATE_VALID);
    run_ms(2000);
    ck_assert_int_eq(election_role(world_election(&w, 'a')), ELECTION_CANDIDATE);
    ck_assert_int_eq(trouble('a'), ELECTION_FINE);
}
END_TEST

START_TEST(without_a_candidate_the_role_ends_with_the_certificate)
{
    begin(1);
    run_ms(8000);
    certificate('a', ELECTION_CERTIFICATE_ENDS);
    run_ms(5000);
    ck_assert(is_active('a'));
    certificate('a', ELECTION_CERTIFICATE_ENDED);
    ck_assert(!is_active('a'));
    ck_assert_int_eq(trouble('a'), ELECTION_UNCERTIFIED);
    run_ms(30000);
    ck_assert(!is_active('a'));
    certificate('a', ELECTION_CERTIFICATE_VALID);
    run_ms(8000);
    ck_assert(is_active('a'));
    ck_assert_uint_eq(election_term(world_election(&w, 'a')), 2);
}
END_TEST

START_TEST(a_stranger_takes_no_name)
{
    begin(1);
    w.node[0].ring_lives = 1;
    run_ms(30000);
    ck_assert(!is_active('a'));
    ck_assert(election_is_stranger(world_election(&w, 'a')));
    ck_assert_int_eq(trouble('a'), ELECTION_STRANGER);
    w.node[0].ring_lives = 0; /* they have gone: the name is free */
    run_ms(8000);
    ck_assert(is_active('a'));
    ck_assert_int_eq(trouble('a'), ELECTION_FINE);
}
END_TEST

START_TEST(who_has_met_others_may_claim)
{
    begin(2);
    run_ms(8000);
    world_kill(&w, 'a');
    w.node[1].ring_lives = 1; /* as the other side of a cut would be */
    run_ms(3000);
    ck_assert(is_active('b'));
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("election, ring");
    TCase *tc = tcase_create("all");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, who_loses_the_ring_gives_the_role_to_one_that_has_it);
    tcase_add_test(tc, who_loses_the_ring_after_other_changes_is_as_quick);
    tcase_add_test(tc, a_ring_that_comes_and_goes_moves_the_role_ever_more_seldom);
    tcase_add_test(tc, where_nobody_has_it_the_role_stays);
    tcase_add_test(tc, who_loses_his_certificate_hands_over_before);
    tcase_add_test(tc, without_a_candidate_the_role_ends_with_the_certificate);
    tcase_add_test(tc, a_stranger_takes_no_name);
    tcase_add_test(tc, who_has_met_others_may_claim);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
