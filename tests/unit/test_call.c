#include "tests/unit/call_traced.h"

START_TEST(plain_call)
{
    targets(1, true);
    expect("-> trying: sent on\nsend 0\n");
    response(0, 100, CALL_NO_DIALOG);
    expect("");
    response(0, 180, 0);
    expect("relay 0 dialog 0\n-> early: ringing\n");
    response(0, 200, 0);
    expect("relay 0 dialog 0\n-> confirmed: answered\n");
    call_on_ack(call, now, CALL_INITIAL);
    expect("ack 0\n");
    ck_assert_uint_eq(call_deadline_ms(call), MOMENT_NEVER);
    unsigned x = request(CALL_CALLER, CALL_BYE);
    expect(""); /* nothing has ended before the other end has said so */
    ck_assert_int_eq(answer(x, 200, 0, false), CALL_PASS);
    expect("-> ending: caller hung up\n-> ended: all is quiet\n");
}
END_TEST

START_TEST(next_gateway_when_one_is_dead)
{
    targets(3, true);
    failure(0, 503);
    expect("-> trying: sent on\nsend 0\nforget 0\nsend 1\n");
    wait_until(3000); /* the second says nothing at all */
    expect("cancel 1\nforget 1\nsend 2\n");
    response(2, 486, 0);
    expect("keep 2\nfinish 0\n-> ending: refused\n");
}
END_TEST

START_TEST(all_gateways_dead_then_search_past_the_cache)
{
    targets(1, true);
    failure(0, 503);
    expect("-> trying: sent on\nsend 0\nforget 0\n"
           "-> searching: nobody could be reached\nsearch again\n");
    targets(1, true);
    failure(1, 503);
    expect("-> trying: sent on\nsend 1\nforget 1\nfinish 500\n"
           "-> ending: nobody could be reached\n-> ended: all is quiet\n");
}
END_TEST

/* A gateway that changes is unknown for a moment: the second search waits. */
START_TEST(the_second_search_comes_after_a_pause)
{
    static const struct call_conf patient = {.search_ms = 5000,
                                             .hop_ms = 2000,
                                             .answer_ms = 60000,
                                             .unreachable_status = 500,
                                             .searches = 2,
                                             .search_pause_ms = 400};

    call_free(call);
    call = call_new(CALL_SESSION, &patient, &out, NULL, now);
    targets(1, true);
    failure(0, 503);
    targets(1, true);
    failure(1, 503);
    expect("-> trying: sent on\nsend 0\nforget 0\n"
           "-> searching: nobody could be reached\nsearch again\n"
           "-> trying: sent on\nsend 1\nforget 1\n-> searching: nobody could be reached\n");
    ck_assert_uint_eq(call_deadline_ms(call), 1400);
    wait_until(1400);
    expect("search again\n");
    targets(1, true);
    failure(2, 503);
    expect("-> trying: sent on\nsend 2\nforget 2\nfinish 500\n"
           "-> ending: nobody could be reached\n-> ended: all is quiet\n");
}
END_TEST

START_TEST(a_503_from_downstream_goes_up_as_500)
{
    targets(1, true);
    response(0, 503, CALL_NO_DIALOG);
    targets(1, true);
    response(1, 503, CALL_NO_DIALOG);
    expect("-> trying: sent on\nsend 0\nforget 0\nkeep 0\n"
           "-> searching: nobody could be reached\nsearch again\n"
           "-> trying: sent on\nsend 1\nforget 1\nfinish 500\n"
           "-> ending: nobody could be reached\n-> ended: all is quiet\n");
}
END_TEST

START_TEST(nothing_can_be_sent)
{
    is_sending_broken = true;
    targets(2, true);
    call_on_no_target(call, now, 503, "no gateway");
    expect("-> trying: sent on\nsend 0\nsend 1\n-> searching: nobody could be reached\n"
           "search again\nfinish 503\n-> ending: no gateway\n-> ended: all is quiet\n");
}
END_TEST

START_TEST(overlay_says_nothing)
{
    wait_until(6000);
    expect("finish 500\n-> ending: the overlay gave no answer\n-> ended: all is quiet\n");
}
END_TEST

START_TEST(fork_first_2xx_wins)
{
    targets(3, false);
    expect("-> trying: sent on\nsend 0\nsend 1\nsend 2\n");
    response(0, 180, 0);
    response(1, 180, 1);
    response(2, 486, 2);
    expect("relay 0 dialog 0\n-> early: ringing\nrelay 1 dialog 1\nkeep 2\n");
    response(1, 200, 1);
    expect("relay 1 dialog 1\ncancel 0\n-> confirmed: answered\n");
    response(0, 200, 0); /* crossed with its CANCEL */
    expect("refuse dialog 0\n");
    response(1, 200, 3); /* another phone behind the winner's branch */
    expect("refuse dialog 3\n");
    response(1, 200, 1); /* the winner again is for call_on_answered_again() */
    expect("");
}
END_TEST

START_TEST(fork_best_refusal)
{
    targets(5, false);
    response(0, 480, 0);
    response(1, 404, 1);
    response(2, 482, 2);
    response(3, 486, 3);
    response(4, 403, 4);
    expect("-> trying: sent on\nsend 0\nsend 1\nsend 2\nsend 3\nsend 4\n"
           "keep 0\nkeep 1\nkeep 2\nkeep 3\nfinish 0\n"
           "-> ending: refused\n-> ended: all is quiet\n");
}
END_TEST

START_TEST(a_6xx_ends_it_everywhere)
{
    targets(2, false);
    response(0, 180, 0);
    response(1, 603, 1);
    expect("-> trying: sent on\nsend 0\nsend 1\nrelay 0 dialog 0\n-> early: ringing\n"
           "keep 1\nfinish 0\ncancel 0\n-> ending: declined everywhere\n");
    response(0, 487, 0);
    expect("-> ended: all is quiet\n");
}
END_TEST

START_TEST(cancel_and_its_crossing)
{
    targets(1, true);
    response(0, 180, 0);
    trace[0] = '\0';
    call_on_cancel(call, now);
    expect("finish 487\ncancel 0\n-> ending: cancelled\n");
    response(0, 200, 0);
    expect("refuse dialog 0\n-> ended: all is quiet\n");

    begin(CALL_SESSION);
    call_on_cancel(call, now); /* before anyone was asked */
    expect("finish 487\n-> ending: cancelled\n-> ended: all is quiet\n");

    begin(CALL_SESSION);
    talk();
    call_on_cancel(call, now);
    expect("");
}
END_TEST

START_TEST(nobody_answers)
{
    targets(1, true);
    response(0, 180, 0);
    trace[0] = '\0';
    wait_until(61000);
    expect("cancel 0\nfinish 408\n-> ending: no answer\n");
    wait_until(101000); /* nor the CANCEL */
    expect("-> ended: timed out\n");
}
END_TEST

/* Timer C (sections 16.6 item 11, 16.7 item 2): anew with each 101 to 199 of its own branch. */
START_TEST(ringing_may_take_long)
{
    targets(2, false);
    response(0, 100, CALL_NO_DIALOG);
    response(1, 100, CALL_NO_DIALOG);
    now.mono_ms = 41000;
    response(0, 183, 0);
    response(1, 100, CALL_NO_DIALOG); /* counts for nothing */
    trace[0] = '\0';
    wait_until(61000);
    expect("cancel 1\n");
    now.mono_ms = 100000;
    response(0, 180, 0);
    response(1, 487, CALL_NO_DIALOG);
    expect("relay 0 dialog 0\n");
    ck_assert_uint_eq(call_deadline_ms(call), 160000);
    response(0, 200, 0);
    expect("relay 0 dialog 0\n-> confirmed: answered\n");
}
END_TEST

START_TEST(a_refusal_says_more_than_nobody_answers)
{
    targets(2, false);
    response(0, 486, CALL_NO_DIALOG);
    trace[0] = '\0';
    response(1, 180, 1);
    wait_until(61000);
    expect("relay 1 dialog 1\n-> early: ringing\ncancel 1\nfinish 0\n-> ending: refused\n");
    response(1, 200, 1); /* CANCEL and 2xx cross */
    expect("refuse dialog 1\n-> ended: all is quiet\n");
}
END_TEST

START_TEST(missing_ack_hangs_up)
{
    targets(1, true);
    response(0, 200, 0);
    trace[0] = '\0';
    ck_assert_int_eq(call_on_answered_again(call, now, CALL_INITIAL), CALL_PASS);
    wait_until(33000);
    expect("ack 0\nbye caller\nbye callee\n-> ending: no ACK\n-> ended: all is quiet\n");
}
END_TEST

START_TEST(repeated_2xx_is_acknowledged_from_here)
{
    talk();
    ck_assert_int_eq(call_on_answered_again(call, now, CALL_INITIAL), CALL_SWALLOW);
    expect("ack 0\n");
    ck_assert_int_eq(call_on_answered_again(call, now, 1), CALL_SWALLOW); /* none of ours */
    expect("");
}
END_TEST

/* The callee asks anew right after its 2xx, and the caller's ACK comes later (section 13.2.2.4). */
START_TEST(invites_of_both_directions_overlap)
{
    targets(1, true);
    response(0, 200, 0);
    trace[0] = '\0';
    unsigned x = request(CALL_CALLEE, CALL_INVITE);
    unsigned second = call_invite_of(call, x);
    ck_assert_uint_ne(second, CALL_INITIAL);
    ck_assert_int_eq(refused(CALL_CALLER, CALL_INVITE), 491);
    call_on_ack(call, now, second); /* nothing of that was answered yet */
    expect("");
    ck_assert_int_eq(call_on_answered_again(call, now, CALL_INITIAL), CALL_PASS);
    now.mono_ms = 1500;
    ck_assert_int_eq(answer(x, 200, 0, false), CALL_PASS);
    ck_assert_int_eq(call_on_answered_again(call, now, second), CALL_PASS);
    call_on_ack(call, now, CALL_INITIAL);
    expect("ack 0\n");
    ck_assert(call_awaits_ack(call));
    ck_assert_int_eq(call_on_answered_again(call, now, CALL_INITIAL), CALL_SWALLOW);
    ck_assert_int_eq(call_on_answered_again(call, now, second), CALL_PASS);
    expect("ack 0\n");
    ck_assert_uint_eq(call_deadline_ms(call), 33500); /* the second's own */
    wait_until(33500);
    expect("ack 1\nbye caller\nbye callee\n-> ending: no ACK\n-> ended: all is quiet\n");
}
END_TEST

/* What has had its ACK makes room; what waits for it is not forgotten, whoever asks for more. */
START_TEST(many_invites)
{
    targets(1, true);
    response(0, 200, 0);
    for (int i = 1; i < CALL_INVITES_MAX; i++)
        ck_assert_int_eq(answer(request(CALL_CALLEE, CALL_INVITE), 200, 0, false), CALL_PASS);
    ck_assert_int_eq(refused(CALL_CALLER, CALL_INVITE), 500);
    call_on_ack(call, now, 3);
    for (int i = 0; i < 20; i++) {
        unsigned x = request(CALL_CALLER, CALL_INVITE);
        ck_assert_uint_eq(call_invite_of(call, x), 3);
        ck_assert_int_eq(answer(x, 200, 0, false), CALL_PASS);
        call_on_ack(call, now, 3);
    }
    trace[0] = '\0';
    call_on_ack(call, now, CALL_INITIAL);
    expect("ack 0\n");
}
END_TEST

START_TEST(a_subscription_shares_its_dialog_with_no_session)
{
    begin(CALL_SUBSCRIPTION);
    targets(1, false);
    response(0, 200, 0);
    ck_assert_int_eq(refused(CALL_CALLEE, CALL_INVITE), 403);
    ck_assert_int_eq(refused(CALL_CALLER, CALL_INVITE), 403);
}
END_TEST

START_TEST(reinvite_glare_and_failure)
{
    talk();
    unsigned x = request(CALL_CALLEE, CALL_INVITE);
    ck_assert_int_eq(refused(CALL_CALLER, CALL_INVITE), 491);
    ck_assert_int_eq(refused(CALL_CALLEE, CALL_INVITE), 500);
    ck_assert_int_eq(answer(x, 100, 0, false), CALL_SWALLOW);
    ck_assert_int_eq(answer(x, 180, 0, false), CALL_PASS);
    ck_assert_int_eq(answer(x, 488, 0, false), CALL_PASS);
    ck_assert_int_eq(call_state(call), CALL_CONFIRMED);
    x = request(CALL_CALLER, CALL_INVITE);
    ck_assert_int_eq(answer(x, 200, 0, false), CALL_PASS);
    unsigned invite = call_invite_of(call, x);
    call_on_ack(call, now, invite + 1); /* not his */
    expect("");
    call_on_ack(call, now, invite);
    expect("ack 1\n");
}
END_TEST

START_TEST(early_dialog_takes_prack_but_no_invite)
{
    ck_assert_int_eq(refused(CALL_CALLER, CALL_OTHER), 481);
    targets(1, true);
    response(0, 183, 0);
    trace[0] = '\0';
    unsigned x = request(CALL_CALLER, CALL_OTHER);
    ck_assert_int_eq(refused(CALL_CALLER, CALL_INVITE), 500);
    ck_assert_int_eq(refused(CALL_CALLEE, CALL_INVITE), 491);
    ck_assert_int_eq(answer(x, 200, 0, false), CALL_PASS);
    ck_assert_int_eq(call_state(call), CALL_EARLY);
}
END_TEST

START_TEST(byes_cross)
{
    talk();
    unsigned x = request(CALL_CALLER, CALL_BYE);
    ck_assert_int_eq(refused(CALL_CALLEE, CALL_BYE), 200);
    ck_assert_int_eq(refused(CALL_CALLEE, CALL_OTHER), 481);
    ck_assert_int_eq(answer(x, 481, 0, false), 200);
    expect("-> ending: both hung up\n-> ended: all is quiet\n");
    ck_assert(call_is_parted(call));
}
END_TEST

/* Whoever is asked for credentials says BYE again (section 22.2); the other leg stays meanwhile. */
START_TEST(a_refused_bye_may_be_said_again)
{
    talk();
    ck_assert_int_eq(answer(request(CALL_CALLER, CALL_BYE), 407, 0, false), CALL_PASS);
    ck_assert_int_eq(call_state(call), CALL_CONFIRMED);
    ck_assert_int_eq(answer(request(CALL_CALLER, CALL_INVITE), 488, 0, false), CALL_PASS);
    ck_assert_uint_eq(call_deadline_ms(call), MOMENT_NEVER); /* he goes on talking */
    ck_assert_int_eq(answer(request(CALL_CALLER, CALL_BYE), 500, 0, false), CALL_PASS);
    expect("");
    ck_assert_int_eq(answer(request(CALL_CALLER, CALL_BYE), 200, 0, false), CALL_PASS);
    expect("-> ending: caller hung up\n-> ended: all is quiet\n");
}
END_TEST

START_TEST(a_refused_bye_that_is_not_said_again)
{
    talk();
    ck_assert_int_eq(answer(request(CALL_CALLEE, CALL_BYE), 401, 0, false), CALL_PASS);
    wait_until(33000);
    expect("bye caller\nbye callee\n-> ending: BYE refused\n-> ended: all is quiet\n");
}
END_TEST

/* Section 12.2.1.2. */
START_TEST(a_bye_that_nobody_knows_ends_the_call)
{
    static const int gone[] = {408, 481};
    struct call_response lost = {.status = 503, .dialog = CALL_NO_DIALOG, .is_ours = true};

    for (size_t i = 0; i < 2; i++) {
        begin(CALL_SESSION);
        talk();
        ck_assert_int_eq(answer(request(CALL_CALLEE, CALL_BYE), gone[i], 0, false), CALL_PASS);
        expect("-> ending: callee hung up\n-> ended: all is quiet\n");
        ck_assert(call_is_parted(call));
    }
    begin(CALL_SESSION);
    talk();
    unsigned x = request(CALL_CALLER, CALL_BYE);
    ck_assert_int_eq(call_on_answer(call, now, x, &lost, false), 408);
    expect("-> ending: caller hung up\n-> ended: all is quiet\n");
    ck_assert(!call_is_parted(call)); /* the other end may not know */
}
END_TEST

/* The connection of a branch that rings is lost for good: nobody else is rung in its place. */
START_TEST(a_branch_that_is_lost_while_it_rings_is_cancelled)
{
    struct call_response lost = {.status = 503, .dialog = CALL_NO_DIALOG, .is_ours = true};

    targets(2, true);
    response(0, 180, 0);
    trace[0] = '\0';
    call_on_response(call, now, 0, &lost);
    expect("cancel 0\nfinish 500\n-> ending: no answer\n");
}
END_TEST

START_TEST(too_many_requests_at_once)
{
    talk();
    for (int i = 0; i < CALL_EXCHANGES_MAX; i++)
        request(CALL_CALLER, CALL_OTHER);
    ck_assert_int_eq(refused(CALL_CALLEE, CALL_OTHER), 500);
    ck_assert_int_eq(refused(CALL_CALLEE, CALL_BYE), 200);
    expect("bye caller\n-> ending: too many requests at once\n");
    wait_until(41000);
    expect("-> ended: timed out\n");
}
END_TEST

START_TEST(session_expires_unless_refreshed)
{
    struct call_response ok = {.status = 200, .dialog = 0, .expires_s = 90};

    targets(1, true);
    call_on_response(call, now, 0, &ok);
    call_on_ack(call, now, CALL_INITIAL);
    trace[0] = '\0';
    ck_assert_uint_eq(call_deadline_ms(call), 91000);
    now.mono_ms = 50000;
    ck_assert_int_eq(answer(request(CALL_CALLER, CALL_OTHER), 200, 0, false), CALL_PASS);
    ck_assert_uint_eq(call_deadline_ms(call), 91000); /* an INFO refreshes nothing */
    ck_assert_int_eq(answer(request(CALL_CALLER, CALL_UPDATE), 200, 90, false), CALL_PASS);
    ck_assert_uint_eq(call_deadline_ms(call), 140000);
    wait_until(140000);
    expect("bye caller\nbye callee\n-> ending: session expired\n-> ended: all is quiet\n");
}
END_TEST

/* RFC 4028 section 7.2 */
START_TEST(a_refresh_without_session_expires_ends_the_timer)
{
    static const enum call_method method[] = {CALL_INVITE, CALL_UPDATE};
    struct call_response ok = {.status = 200, .dialog = 0, .expires_s = 37};

    for (size_t i = 0; i < 2; i++) {
        begin(CALL_SESSION);
        targets(1, true);
        call_on_response(call, now, 0, &ok);
        call_on_ack(call, now, CALL_INITIAL);
        ck_assert_uint_eq(call_deadline_ms(call), 38000);
        unsigned x = request(CALL_CALLEE, method[i]);
        ck_assert_int_eq(answer(x, 488, 0, false), CALL_PASS);
        ck_assert_uint_eq(call_deadline_ms(call), 38000); /* refused: as it was */
        x = request(CALL_CALLEE, method[i]);
        ck_assert_int_eq(answer(x, 200, 0, false), CALL_PASS);
        if (method[i] == CALL_INVITE)
            call_on_ack(call, now, call_invite_of(call, x));
        ck_assert_uint_eq(call_deadline_ms(call), MOMENT_NEVER);
        ck_assert_uint_eq(call_lifetime_s(call), 0);
    }
}
END_TEST

START_TEST(notify_of_a_transfer_outlives_the_session)
{
    talk();
    ck_assert_int_eq(answer(request(CALL_CALLER, CALL_REFER), 202, 0, false), CALL_PASS);
    ck_assert_int_eq(answer(request(CALL_CALLER, CALL_BYE), 200, 0, false), CALL_PASS);
    expect("-> ending: caller hung up\n");
    ck_assert_int_eq(answer(request(CALL_CALLEE, CALL_NOTIFY), 200, 0, true), CALL_PASS);
    expect("-> ended: all is quiet\n");
}
END_TEST

START_TEST(subscription)
{
    struct call_response ok = {.status = 200, .dialog = 0, .expires_s = 60};

    begin(CALL_SUBSCRIPTION);
    targets(1, false);
    unsigned early = request(CALL_CALLEE, CALL_NOTIFY);
    call_on_response(call, now, 0, &ok);
    expect("-> trying: sent on\nsend 0\nrelay 0 dialog 0\n-> confirmed: answered\n");
    ck_assert_int_eq(answer(early, 200, 0, false), CALL_PASS);
    ck_assert_uint_eq(call_deadline_ms(call), 61000);
    now.mono_ms = 30000;
    ck_assert_int_eq(answer(request(CALL_CALLER, CALL_SUBSCRIBE), 200, 60, false), CALL_PASS);
    ck_assert_uint_eq(call_deadline_ms(call), 90000);
    now.mono_ms = 40000;
    ck_assert_int_eq(answer(request(CALL_CALLEE, CALL_NOTIFY), 200, 0, true), CALL_PASS);
    expect("-> ending: subscription terminated\n-> ended: all is quiet\n");

    begin(CALL_SUBSCRIPTION);
    targets(1, false);
    call_on_response(call, now, 0, &ok);
    trace[0] = '\0';
    wait_until(61000);
    expect("-> ending: subscription expired\n-> ended: all is quiet\n");
}
END_TEST

/* RFC 6665 section 4.1.2.4: NOTIFYs of other phones may come for 32 s. */
START_TEST(a_forked_subscription)
{
    struct call_response ok = {.status = 200, .dialog = 0, .expires_s = 60};

    begin(CALL_SUBSCRIPTION);
    targets(2, false);
    ck_assert(call_may_fork(call, now));
    ck_assert_int_eq(answer(request(CALL_CALLEE, CALL_NOTIFY), 200, 0, true), CALL_PASS);
    call_on_response(call, now, 0, &ok);
    ck_assert_int_eq(call_state(call), CALL_CONFIRMED);
    ck_assert_uint_eq(call_deadline_ms(call), 33000);
    ck_assert_int_eq(answer(request(CALL_CALLEE, CALL_NOTIFY), 200, 0, false), CALL_PASS);
    call_prolong(call, now, 100); /* another phone's */
    ck_assert_uint_eq(call_deadline_ms(call), 101000);
    call_prolong(call, now, 50);
    ck_assert_int_eq(answer(request(CALL_CALLER, CALL_SUBSCRIBE), 200, 30, false), CALL_PASS);
    ck_assert_uint_eq(call_deadline_ms(call), 101000);
    now.mono_ms = 33000;
    ck_assert(!call_may_fork(call, now));
    trace[0] = '\0';
    ck_assert_int_eq(answer(request(CALL_CALLEE, CALL_NOTIFY), 481, 0, true), CALL_PASS);
    expect("-> ending: subscription terminated\n-> ended: all is quiet\n");

    begin(CALL_SUBSCRIPTION);
    targets(1, false);
    call_on_response(call, now, 0, &ok);
    ck_assert_int_eq(answer(request(CALL_CALLEE, CALL_NOTIFY), 200, 0, true), CALL_PASS);
    trace[0] = '\0';
    wait_until(33000);
    expect("-> ending: subscription expired\n-> ended: all is quiet\n");
}
END_TEST

/* RFC 5626 section 7: one flow at a time; the next where it failed, none where the phone responded.
 */
START_TEST(flows_of_one_phone)
{
    struct call_target flows[] = {{.phone = 1}, {.phone = 1}, {.phone = 0}, {.phone = 1}};
    struct call_response lost = {.status = 480, .dialog = CALL_NO_DIALOG, .is_flow_lost = true};

    begin(CALL_SESSION);
    call_on_targets(call, now, flows, 4);
    expect("-> trying: sent on\nsend 0\nsend 2\n");
    call_on_response(call, now, 0, &lost);
    expect("keep 0\nsend 1\n");
    response(1, 486, 1);
    expect("keep 1\n");
    response(2, 404, 2);
    expect("finish 0\n-> ending: refused\n-> ended: all is quiet\n");

    struct call_target hops[] = {{.phone = 1, .is_hop = true}, {.phone = 1, .is_hop = true}};

    begin(CALL_SESSION);
    call_on_targets(call, now, hops, 2);
    trace[0] = '\0';
    wait_until(3000); /* the serving peer of the one is silent */
    expect("cancel 0\nforget 0\nsend 1\n");
    response(1, 180, 1);
    ck_assert_int_eq(call_state(call), CALL_EARLY);
}
END_TEST

START_TEST(single_request)
{
    begin(CALL_SINGLE);
    targets(2, false);
    response(0, 404, 0);
    response(1, 202, 1);
    expect("-> trying: sent on\nsend 0\nsend 1\nkeep 0\nrelay 1 dialog 1\n"
           "-> ending: answered\n-> ended: all is quiet\n");
}
END_TEST

START_TEST(a_message_is_sent_elsewhere_when_a_hop_is_silent)
{
    begin(CALL_SINGLE);
    targets(2, true);
    wait_until(3000);
    expect("-> trying: sent on\nsend 0\nforget 0\nsend 1\n"); /* and nothing to cancel */
    response(1, 100, CALL_NO_DIALOG);
    ck_assert_uint_eq(call_deadline_ms(call), 5000);
    now.mono_ms = 5000;
    call_tick(call, now);
    response(0, 200, 0); /* too late to count */
    response(1, 200, 0);
    expect("relay 1 dialog 0\n-> ending: answered\n-> ended: all is quiet\n");
}
END_TEST

START_TEST(old_news_of_a_phone_are_worth_another_search)
{
    struct call_response gone = {.status = 404, .dialog = CALL_NO_DIALOG, .is_stale = true};

    targets(1, false);
    call_on_response(call, now, 0, &gone);
    expect("-> trying: sent on\nsend 0\nkeep 0\n-> searching: nobody could be reached\n"
           "search again\n");
    call_on_no_target(call, now, 480, "no live contact"); /* what he said was true after all */
    expect("finish 0\n-> ending: no live contact\n-> ended: all is quiet\n");
}
END_TEST

START_TEST(an_answer_of_no_use_says_more_than_refusals)
{
    struct call_response of_no_use = {.status = 500, .dialog = CALL_NO_DIALOG, .is_void = true};

    targets(3, false);
    response(0, 480, CALL_NO_DIALOG);
    trace[0] = '\0';
    call_on_response(call, now, 1, &of_no_use);
    response(2, 404, CALL_NO_DIALOG);
    expect("keep 1\nfinish 0\n-> ending: refused\n-> ended: all is quiet\n");
}
END_TEST

START_TEST(shutdown_ends_calls)
{
    talk();
    call_hang_up(call, now, "the gateway closes down");
    expect("bye caller\nbye callee\n-> ending: the gateway closes down\n"
           "-> ended: all is quiet\n");
    begin(CALL_SESSION);
    targets(1, true);
    trace[0] = '\0';
    call_hang_up(call, now, "the gateway closes down");
    expect("finish 503\ncancel 0\n-> ending: the gateway closes down\n");
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("call");
    TCase *tc = tcase_create("call");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, plain_call);
    tcase_add_test(tc, next_gateway_when_one_is_dead);
    tcase_add_test(tc, all_gateways_dead_then_search_past_the_cache);
    tcase_add_test(tc, the_second_search_comes_after_a_pause);
    tcase_add_test(tc, a_503_from_downstream_goes_up_as_500);
    tcase_add_test(tc, nothing_can_be_sent);
    tcase_add_test(tc, overlay_says_nothing);
    tcase_add_test(tc, fork_first_2xx_wins);
    tcase_add_test(tc, fork_best_refusal);
    tcase_add_test(tc, a_6xx_ends_it_everywhere);
    tcase_add_test(tc, cancel_and_its_crossing);
    tcase_add_test(tc, nobody_answers);
    tcase_add_test(tc, ringing_may_take_long);
    tcase_add_test(tc, a_refusal_says_more_than_nobody_answers);
    tcase_add_test(tc, missing_ack_hangs_up);
    tcase_add_test(tc, repeated_2xx_is_acknowledged_from_here);
    tcase_add_test(tc, invites_of_both_directions_overlap);
    tcase_add_test(tc, many_invites);
    tcase_add_test(tc, a_subscription_shares_its_dialog_with_no_session);
    tcase_add_test(tc, reinvite_glare_and_failure);
    tcase_add_test(tc, early_dialog_takes_prack_but_no_invite);
    tcase_add_test(tc, byes_cross);
    tcase_add_test(tc, a_refused_bye_may_be_said_again);
    tcase_add_test(tc, a_refused_bye_that_is_not_said_again);
    tcase_add_test(tc, a_bye_that_nobody_knows_ends_the_call);
    tcase_add_test(tc, a_refresh_without_session_expires_ends_the_timer);
    tcase_add_test(tc, a_branch_that_is_lost_while_it_rings_is_cancelled);
    tcase_add_test(tc, too_many_requests_at_once);
    tcase_add_test(tc, session_expires_unless_refreshed);
    tcase_add_test(tc, notify_of_a_transfer_outlives_the_session);
    tcase_add_test(tc, subscription);
    tcase_add_test(tc, flows_of_one_phone);
    tcase_add_test(tc, a_forked_subscription);
    tcase_add_test(tc, single_request);
    tcase_add_test(tc, a_message_is_sent_elsewhere_when_a_hop_is_silent);
    tcase_add_test(tc, old_news_of_a_phone_are_worth_another_search);
    tcase_add_test(tc, an_answer_of_no_use_says_more_than_refusals);
    tcase_add_test(tc, shutdown_ends_calls);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
