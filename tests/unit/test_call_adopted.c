#include "tests/unit/call_traced.h"

/* Calls that change their gateway. */

static void
adopt(uint32_t lifetime_s, bool awaits_ack)
{
    struct call_adopted how = {.lifetime_s = lifetime_s,
                               .invites = 2,
                               .invite = {{.awaits_ack = awaits_ack, .from = CALL_CALLER},
                                          {.awaits_ack = awaits_ack, .from = CALL_CALLEE}}};

    call_free(call);
    call = call_adopt(&conf, &out, NULL, now, &how);
    ck_assert_ptr_nonnull(call);
    expect("-> confirmed: taken over\n");
}

/* It lasts as long as it did, whatever phone it is of, and ends with the last NOTIFY. */
START_TEST(an_adopted_subscription_goes_on_and_ends)
{
    struct call_adopted how = {.is_subscription = true, .lifetime_s = 100};
    unsigned exchange;

    call_free(call);
    call = call_adopt(&conf, &out, NULL, now, &how);
    expect("-> confirmed: taken over\n");
    ck_assert_int_eq(call_kind(call), CALL_SUBSCRIPTION);
    ck_assert_uint_eq(call_deadline_ms(call), now.mono_ms + 100000);
    now.mono_ms += 60000;
    ck_assert(call_may_fork(call, now));
    ck_assert_int_eq(call_on_request(call, now, CALL_CALLER, CALL_SUBSCRIBE, &exchange), CALL_PASS);
    ck_assert_int_eq(call_on_answer(call, now, exchange,
                                    &(struct call_response){.status = 200, .expires_s = 100},
                                    false),
                     CALL_PASS);
    ck_assert_uint_eq(call_deadline_ms(call), now.mono_ms + 100000);
    ck_assert_int_eq(call_on_request(call, now, CALL_CALLEE, CALL_NOTIFY, &exchange), CALL_PASS);
    ck_assert_int_eq(
        call_on_answer(call, now, exchange, &(struct call_response){.status = 200}, true),
        CALL_PASS);
    expect("-> ending: subscription terminated\n-> ended: all is quiet\n");
}
END_TEST

START_TEST(an_adopted_call_is_up_and_ends_as_any)
{
    unsigned exchange;

    adopt(0, false);
    ck_assert_uint_eq(call_winner(call), 0);
    ck_assert(!call_awaits_ack(call));
    ck_assert_uint_eq(call_deadline_ms(call), MOMENT_NEVER);
    ck_assert_int_eq(call_on_request(call, now, CALL_CALLEE, CALL_BYE, &exchange), CALL_PASS);
    ck_assert_int_eq(
        call_on_answer(call, now, exchange, &(struct call_response){.status = 200}, false),
        CALL_PASS);
    expect("-> ending: callee hung up\n-> ended: all is quiet\n");
}
END_TEST

/* The 2xx had passed the gateway before, its ACK comes to this one. */
START_TEST(an_adopted_call_may_wait_for_its_ack)
{
    adopt(0, true);
    ck_assert(call_awaits_ack(call));
    call_on_ack(call, now, CALL_INITIAL);
    call_on_ack(call, now, 1);
    expect("ack 0\nack 1\n");
    ck_assert(!call_awaits_ack(call));
    adopt(0, true);
    wait_until(33000);
    expect("ack 0\nack 1\nbye caller\nbye callee\n-> ending: no ACK\n-> ended: all is quiet\n");
}
END_TEST

START_TEST(an_adopted_session_lives_as_long_as_it_did)
{
    adopt(90, false);
    ck_assert_uint_eq(call_lifetime_s(call), 90);
    wait_until(91000);
    expect("bye caller\nbye callee\n-> ending: session expired\n-> ended: all is quiet\n");
}
END_TEST

START_TEST(a_released_call_ends_without_a_word)
{
    unsigned exchange;

    adopt(0, false);
    call_release(call, now);
    expect("-> ending: another gateway has it\n-> ended: all is quiet\n");
    adopt(0, false);
    ck_assert_int_eq(call_on_request(call, now, CALL_CALLER, CALL_INVITE, &exchange), CALL_PASS);
    call_release(call, now);
    expect("-> ending: another gateway has it\n"); /* what is under way comes to its end */
    ck_assert_int_eq(
        call_on_answer(call, now, exchange, &(struct call_response){.status = 488}, false),
        CALL_PASS);
    expect("-> ended: all is quiet\n");
}
END_TEST

/* The 2xx to it comes yet, and wants its ACK; a phone may wait for that with all it has to say. */
START_TEST(a_released_call_waits_for_its_own_invite)
{
    unsigned own;

    adopt(0, false);
    ck_assert(call_begin_invite(call, CALL_CALLER, &own));
    call_release(call, now);
    expect("-> ending: another gateway has it\n");
    call_end_invite(call, now, own, true);
    expect("-> ended: all is quiet\n");
    adopt(0, false);
    ck_assert(call_begin_invite(call, CALL_CALLER, &own));
    call_release(call, now);
    wait_until(41000); /* but not for ever */
    expect("-> ending: another gateway has it\n-> ended: timed out\n");
}
END_TEST

START_TEST(an_invite_of_the_gateway_itself)
{
    unsigned exchange, own;

    adopt(0, false);
    ck_assert(call_begin_invite(call, CALL_CALLER, &own));
    ck_assert(!call_begin_invite(call, CALL_CALLEE, &own)); /* one at a time */
    ck_assert_int_eq(call_on_request(call, now, CALL_CALLER, CALL_INVITE, &exchange), 491);
    call_end_invite(call, now, own, true);
    ck_assert_int_eq(call_on_answered_again(call, now, own), CALL_SWALLOW);
    expect("ack 2\n");
    ck_assert(call_begin_invite(call, CALL_CALLEE, &own));
    call_end_invite(call, now, own, false);
    ck_assert_int_eq(call_on_request(call, now, CALL_CALLER, CALL_INVITE, &exchange), CALL_PASS);
    ck_assert(!call_begin_invite(call, CALL_CALLEE, &own)); /* the phone's comes first */
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("call, another gateway's");
    TCase *tc = tcase_create("call");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, an_adopted_call_is_up_and_ends_as_any);
    tcase_add_test(tc, an_adopted_subscription_goes_on_and_ends);
    tcase_add_test(tc, an_adopted_call_may_wait_for_its_ack);
    tcase_add_test(tc, an_adopted_session_lives_as_long_as_it_did);
    tcase_add_test(tc, a_released_call_ends_without_a_word);
    tcase_add_test(tc, an_invite_of_the_gateway_itself);
    tcase_add_test(tc, a_released_call_waits_for_its_own_invite);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
