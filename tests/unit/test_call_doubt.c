#include "tests/unit/call_traced.h"

static const struct call_conf doubtful = {.search_ms = 5000,
                                          .hop_ms = 1000,
                                          .doubt_ms = 250,
                                          .doubt_again_ms = 100,
                                          .answer_ms = 60000,
                                          .ending_ms = 40000,
                                          .unreachable_status = 500};

static const struct call_conf seeking = {.search_ms = 5000,
                                         .hop_ms = 1000,
                                         .answer_ms = 60000,
                                         .ending_ms = 40000,
                                         .unreachable_status = 500,
                                         .seeks_others = true};

static const struct call_target halves[] = {{.group = 0, .is_hop = true},
                                            {.group = 1, .is_hop = true, .is_other = true}};

static void
unknown(unsigned branch, int status)
{
    const struct call_response r = {
        .status = status, .dialog = CALL_NO_DIALOG, .is_elsewhere = true};

    call_on_response(call, now, branch, &r);
}

/* The gateway of the other half of an overlay: asked for whom the first does not know. */
START_TEST(another_half_is_asked_for_the_unknown)
{
    static const int status[] = {404, 480, 500};

    call_on_targets(call, now, halves, 2);
    expect("-> trying: sent on\nsend 0\n");
    unknown(0, status[_i]);
    expect("keep 0\nsend 1\n");
    response(1, 486, CALL_NO_DIALOG);
    ck_assert_ptr_nonnull(strstr(trace, "finish 0\n"));
}
END_TEST

/* Who knew the callee says more than who never did, and who cannot tell leaves it open. */
START_TEST(of_two_who_do_not_know_him_the_better_is_told)
{
    static const int first[] = {404, 404, 480, 480, 500, 500};
    static const int second[] = {480, 500, 500, 404, 404, 480};

    call_on_targets(call, now, halves, 2);
    unknown(0, first[_i]);
    expect("-> trying: sent on\nsend 0\nkeep 0\nsend 1\n");
    unknown(1, second[_i]);
    ck_assert(!strstr(trace, "keep 1") == (_i >= 3));
    ck_assert_ptr_nonnull(strstr(trace, "finish 0\n"));
}
END_TEST

START_TEST(another_half_is_not_asked_otherwise)
{
    call_on_targets(call, now, halves, 2);
    if (_i == 1) /* it rang there */
        response(0, 180, 0);
    if (_i == 1)
        unknown(0, 480);
    else
        response(0, _i == 0 ? 486 : 404, CALL_NO_DIALOG);
    ck_assert_ptr_null(strstr(trace, "send 1"));
    ck_assert_ptr_nonnull(strstr(trace, "finish 0\n"));
}
END_TEST

/* Whoever has the higher term is gone: the other part may be all that is left. */
START_TEST(another_half_is_the_last_that_is_tried)
{
    call_on_targets(call, now, halves, 2);
    response(0, 503, CALL_NO_DIALOG);
    expect("-> trying: sent on\nsend 0\nforget 0\nkeep 0\n-> searching: nobody could be reached\n"
           "search again\n");
    call_on_no_target(call, now, 500, "no gateway can be found");
    expect("-> trying: nobody else is left\nsend 1\n");
    response(1, 486, CALL_NO_DIALOG);
    ck_assert_ptr_nonnull(strstr(trace, "finish 0\n"));
}
END_TEST

/* What the overlay said of its gateways may be old: it is asked once more. */
START_TEST(others_are_sought_once)
{
    call_free(call);
    call = call_new(CALL_SESSION, &seeking, &out, NULL, now);
    call_on_targets(call, now, halves, 1);
    unknown(0, 404);
    expect("-> trying: sent on\nsend 0\nkeep 0\n-> searching: nobody knows the callee\nsearch "
           "again\n");
    if (_i == 0) {
        call_on_no_target(call, now, 500, "no gateway can be found");
        ck_assert_ptr_nonnull(strstr(trace, "finish 0\n"));
        return;
    }
    call_on_targets(call, now, &(struct call_target){.group = 1, .is_hop = true}, 1);
    expect("-> trying: sent on\nsend 1\n");
    unknown(1, 404);
    ck_assert_ptr_null(strstr(trace, "search"));
    ck_assert_ptr_nonnull(strstr(trace, "finish 0\n"));
}
END_TEST

/* A silent gateway is asked after; who has its place gets the call, and the old one's word counts
 * no more. */
START_TEST(a_silent_gateway_is_doubted_until_another_has_its_place)
{
    static const struct call_target successor = {.group = 1, .is_hop = true};

    call_free(call);
    call = call_new(CALL_SESSION, &doubtful, &out, NULL, now);
    targets(1, true);
    ck_assert_uint_eq(call_deadline_ms(call), 1250);
    wait_until(1250);
    wait_until(1350);
    expect("-> trying: sent on\nsend 0\ndoubt\ndoubt\n");
    ck_assert(call_is_silent(call));
    call_on_successors(call, now, &successor, 1);
    expect("cancel 0\nforget 0\nsend 1\n");
    response(0, 180, 0);
    expect("");
    response(1, 180, 1);
    expect("relay 1 dialog 1\n-> early: ringing\n");
    ck_assert(!call_is_silent(call));
}
END_TEST

START_TEST(who_says_trying_is_not_doubted)
{
    call_free(call);
    call = call_new(CALL_SESSION, &doubtful, &out, NULL, now);
    targets(1, true);
    response(0, 100, CALL_NO_DIALOG);
    ck_assert(!call_is_silent(call));
    wait_until(2000);
    expect("-> trying: sent on\nsend 0\n");
}
END_TEST

START_TEST(who_has_gone_without_a_successor_is_given_up)
{
    call_free(call);
    call = call_new(CALL_SESSION, &doubtful, &out, NULL, now);
    targets(2, true);
    wait_until(1250);
    call_on_successors(call, now, NULL, 0);
    expect("-> trying: sent on\nsend 0\ndoubt\ncancel 0\nforget 0\nsend 1\n");
    ck_assert_uint_eq(call_deadline_ms(call), 1500);
    call_on_successors(call, now, NULL, 0);
    expect("cancel 1\nforget 1\nfinish 500\n-> ending: nobody could be reached\n");
    failure(0, 408);
    response(1, 200, 1); /* it had only been slow, and nobody waits for it any more */
    expect("refuse dialog 1\n-> ended: all is quiet\n");
}
END_TEST

/* The call is up through the successor; whoever picks up behind the one that was given up is told.
 */
START_TEST(who_was_given_up_is_told_when_he_answers)
{
    call_free(call);
    call = call_new(CALL_SESSION, &doubtful, &out, NULL, now);
    targets(2, true);
    wait_until(2000);
    response(1, 180, 1);
    response(1, 200, 1);
    trace[0] = '\0';
    ck_assert(!call_is_initial_over(call));
    response(0, 180, 0);
    expect("");
    response(0, 200, 0);
    expect("refuse dialog 0\n");
    ck_assert(call_is_initial_over(call));
}
END_TEST

START_TEST(who_was_given_up_may_stay_silent)
{
    call_free(call);
    call = call_new(CALL_SESSION, &doubtful, &out, NULL, now);
    targets(2, true);
    wait_until(2000);
    response(1, 200, 1);
    ck_assert(!call_is_initial_over(call));
    wait_until(45000);
    ck_assert(call_is_initial_over(call));
}
END_TEST

static const struct call_conf rescued = {.search_ms = 5000,
                                         .hop_ms = 1000,
                                         .answer_ms = 60000,
                                         .ending_ms = 40000,
                                         .searches = 2,
                                         .search_pause_ms = 400,
                                         .rescue_ms = 4000,
                                         .rescue_pause_ms = 100,
                                         .unreachable_status = 503};

/* A gateway dies behind which it rings: whoever takes its place goes on with the request. */
START_TEST(a_gateway_that_is_lost_has_a_successor)
{
    static const struct call_target dead = {.group = 1, .is_hop = true};
    static const struct call_target next = {.group = 2, .is_hop = true};

    call_free(call);
    call = call_new(CALL_SESSION, &rescued, &out, NULL, now);
    targets(1, true);
    response(0, 180, 0);
    trace[0] = '\0';
    failure(0, 503);
    expect("forget 0\n-> searching: nobody could be reached\nsearch again\n");
    call_on_targets(call, now, &dead, 1);
    failure(1, 503);
    expect("-> trying: sent on\nsend 1\nforget 1\n-> searching: nobody could be reached\n");
    wait_until(1100);
    expect("search again\n");
    call_on_no_target(call, now, 500, "nobody");
    wait_until(1200);
    call_on_targets(call, now, &next, 1);
    response(2, 180, 0);
    response(2, 200, 0);
    expect("search again\n-> trying: sent on\nsend 2\nrelay 2 dialog 0\n-> early: ringing\n"
           "relay 2 dialog 0\n-> confirmed: answered\n");
}
END_TEST

START_TEST(a_gateway_that_is_lost_for_good_ends_the_call)
{
    call_free(call);
    call = call_new(CALL_SESSION, &rescued, &out, NULL, now);
    targets(1, true);
    response(0, 180, 0);
    failure(0, 503);
    for (unsigned i = 1; i <= 40; i++) {
        call_on_no_target(call, now, 500, "nobody");
        wait_until(1000 + i * 100);
    }
    ck_assert_int_eq(call_state(call), CALL_SEARCHING);
    trace[0] = '\0';
    call_on_no_target(call, now, 500, "no gateway can be found");
    expect("finish 500\n-> ending: no gateway can be found\n-> ended: all is quiet\n");
}
END_TEST

/* He gives up while there is no gateway. */
START_TEST(who_cancels_in_the_gap_is_told_at_once)
{
    call_free(call);
    call = call_new(CALL_SESSION, &rescued, &out, NULL, now);
    targets(1, true);
    response(0, 180, 0);
    failure(0, 503);
    trace[0] = '\0';
    call_on_cancel(call, now);
    expect("finish 487\n-> ending: cancelled\n-> ended: all is quiet\n");
}
END_TEST

static const struct call_target again = {.group = 1, .is_hop = true, .again = 1};

/* Nobody else is there: the request that is under way is waited for, it does not ring twice. */
START_TEST(who_is_asked_again_has_one_request)
{
    targets(1, true);
    wait_until(3000);
    expect("-> trying: sent on\nsend 0\ncancel 0\nforget 0\n"
           "-> searching: nobody could be reached\nsearch again\n");
    call_on_targets(call, now, &again, 1);
    expect("resume 0\n-> trying: sent on\nsend 0\n");
    response(0, 180, 0);
    expect("relay 0 dialog 0\n-> early: ringing\n");
    response(0, 200, 0);
    expect("relay 0 dialog 0\n-> confirmed: answered\n");
}
END_TEST

START_TEST(who_is_asked_again_and_stays_silent_is_given_up)
{
    targets(1, true);
    wait_until(3000);
    call_on_targets(call, now, &again, 1);
    trace[0] = '\0';
    wait_until(5000);
    expect("cancel 0\nforget 0\nfinish 500\n-> ending: nobody could be reached\n");
    response(0, 200, 0);
    expect("refuse dialog 0\n-> ended: all is quiet\n");
}
END_TEST

START_TEST(who_is_to_be_asked_again_is_cancelled_with_the_call)
{
    struct call_target both[] = {{.group = 1, .is_hop = true}, {.group = 2, .again = 1}};

    targets(1, true);
    wait_until(3000);
    call_on_targets(call, now, both, 2);
    trace[0] = '\0';
    call_on_cancel(call, now);
    expect("finish 487\ncancel 0\ncancel 1\n-> ending: cancelled\n");
}
END_TEST

/* It was slow: no search and no other request are needed. */
START_TEST(who_is_heard_during_a_search_counts_again)
{
    targets(1, true);
    wait_until(3000);
    trace[0] = '\0';
    response(0, 180, 0);
    expect("resume 0\n-> trying: heard after all\nrelay 0 dialog 0\n-> early: ringing\n");
    call_on_targets(call, now, &again, 1);
    expect("");
    response(0, 486, 0);
    expect("keep 0\nfinish 0\n-> ending: refused\n-> ended: all is quiet\n");
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("call, silent gateways");
    TCase *tc = tcase_create("doubt");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, another_half_is_asked_for_the_unknown, 0, 3);
    tcase_add_loop_test(tc, of_two_who_do_not_know_him_the_better_is_told, 0, 6);
    tcase_add_loop_test(tc, another_half_is_not_asked_otherwise, 0, 3);
    tcase_add_test(tc, another_half_is_the_last_that_is_tried);
    tcase_add_loop_test(tc, others_are_sought_once, 0, 2);
    tcase_add_test(tc, a_silent_gateway_is_doubted_until_another_has_its_place);
    tcase_add_test(tc, who_says_trying_is_not_doubted);
    tcase_add_test(tc, who_has_gone_without_a_successor_is_given_up);
    tcase_add_test(tc, who_was_given_up_is_told_when_he_answers);
    tcase_add_test(tc, who_was_given_up_may_stay_silent);
    tcase_add_test(tc, a_gateway_that_is_lost_has_a_successor);
    tcase_add_test(tc, a_gateway_that_is_lost_for_good_ends_the_call);
    tcase_add_test(tc, who_cancels_in_the_gap_is_told_at_once);
    tcase_add_test(tc, who_is_asked_again_has_one_request);
    tcase_add_test(tc, who_is_asked_again_and_stays_silent_is_given_up);
    tcase_add_test(tc, who_is_to_be_asked_again_is_cancelled_with_the_call);
    tcase_add_test(tc, who_is_heard_during_a_search_counts_again);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
