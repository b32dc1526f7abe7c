#include "tests/unit/replica_world.h"

/* Nodes are a, b, c, ... = 0, 1, 2, ...; a is active and the others are its candidates. */
static void
begin(unsigned count, const char *candidates)
{
    for (unsigned i = 0; i < count; i++)
        world_start(i);
    world_tell_all("a");
    world_candidates(0, candidates);
}

static void
put_many(unsigned i, unsigned first, unsigned count)
{
    for (unsigned c = first; c < first + count; c++)
        world_put(i, c, 1);
}

static unsigned
owned(unsigned i, unsigned count)
{
    unsigned n = 0;

    for (unsigned c = 0; c < count; c++)
        n += world_owns(i, c);
    return n;
}

static unsigned
copied(unsigned i, unsigned count)
{
    unsigned n = 0;

    for (unsigned c = 0; c < count; c++)
        n += world_copies(i, c);
    return n;
}

static void
each_has_one_owner(unsigned count)
{
    for (unsigned c = 0; c < count; c++)
        ck_assert_msg(world_owners(c) == !world.is_over[c], "call %u has %u owners", c,
                      world_owners(c));
}

static unsigned lost_at; /* taps lose what goes to this node */

static bool
lose_to(unsigned from, unsigned to, const struct dialogs_req *req)
{
    (void)from;
    (void)req;
    return to != lost_at;
}

static bool
lose_moves(unsigned from, unsigned to, const struct dialogs_req *req)
{
    (void)from;
    (void)to;
    return !(req->flags & DIALOGS_MOVE);
}

/* ---- copies ---- */

/* Who waits for the copy of a call hears of it when the first standby has it: the second is no
 * help. */
START_TEST(who_waits_for_a_copy_hears_of_it)
{
    begin(3, "bc");
    world_run_ms(100);
    world.is_awaited = true;
    lost_at = 1;
    world.tap = lose_to;
    put_many(0, 0, 3);
    world_run_ms(1000);
    ck_assert_uint_eq(copied(2, 3), 3);
    ck_assert_uint_eq(world.node[0].copied, 0);
    world.tap = NULL;
    world_run_ms(6000);
    ck_assert_uint_eq(copied(1, 3), 3);
    ck_assert_uint_eq(world.node[0].copied, 3);
    put_many(0, 3, 3);
    world_run_ms(20);
    ck_assert_uint_eq(world.node[0].copied, 6);
}
END_TEST

START_TEST(nobody_waits_where_there_is_no_standby)
{
    begin(1, "");
    world.is_awaited = true;
    put_many(0, 0, 3);
    ck_assert_uint_eq(world.node[0].copied, 3);
}
END_TEST

START_TEST(changes_reach_the_heirs)
{
    begin(4, "bcd");
    put_many(0, 0, 3);
    world_run_ms(100);
    ck_assert_uint_eq(copied(1, 3), 3);
    ck_assert_uint_eq(copied(2, 3), 3);
    ck_assert_uint_eq(copied(3, 3), 0); /* two are enough */
    ck_assert_uint_eq(world_report(0).heir_count, 2);
    ck_assert_uint_eq(world_report(0).heir[0].pending, 0);
    ck_assert_uint_eq(world_report(1).copy_bytes, 3 * (100 + strlen("call-0")));
    world_drop(0, 1);
    ck_assert_uint_eq(world_report(0).heir[1].pending, 1);
    world_run_ms(100);
    ck_assert(!world_copies(1, 1) && !world_copies(2, 1));
    ck_assert(world_copies(1, 0) && world_copies(2, 2));
    ck_assert_uint_eq(world_report(1).copies, 2);
    ck_assert_uint_eq(world.node[0].releases, 0);
}
END_TEST

START_TEST(changes_are_gathered)
{
    begin(3, "bc");
    for (unsigned c = 0; c < 200; c++) {
        world_put(0, c, 1);
        world_run_ms(1);
    }
    ck_assert_uint_le(world.node[0].requests, 2 * (200 / 20 + 1));
    world_run_ms(100);
    ck_assert_uint_eq(copied(1, 200), 200);
    ck_assert_uint_eq(world.node[0].entries, 2 * 200);
    world.node[0].requests = 0;
    world_run_ms(10000); /* quiet, and kept alive */
    ck_assert_uint_ge(world.node[0].requests, 2 * 9);
    ck_assert_uint_le(world.node[0].requests, 2 * 11);
    world_put(0, 5, 1); /* the same again is no news */
    ck_assert_uint_eq(world_report(0).heir[0].pending, 0);
}
END_TEST

START_TEST(new_heir_gets_all)
{
    world.record_bytes = 2000;
    begin(3, "b");
    put_many(0, 0, 10000);
    world_run_ms(5000); /* as fast as it answers: 417 requests of 4 to 8 ms */
    ck_assert_uint_eq(copied(1, 10000), 10000);
    ck_assert_uint_eq(world.node[0].entries, 10000);
    ck_assert_uint_le(world.node[0].max_batch, 48000 / 2000);
    world.node[0].entries = 0;
    world_candidates(0, "bc");
    ck_assert_uint_eq(world_report(0).heir[1].pending, 10000);
    world_run_ms(5000);
    ck_assert_uint_eq(copied(2, 10000), 10000);
    ck_assert_uint_eq(world.node[0].entries, 10000); /* none to b */
}
END_TEST

START_TEST(heir_that_started_anew_gets_all_again)
{
    begin(3, "bc");
    put_many(0, 0, 50);
    world_run_ms(100);
    world_kill(1);
    world_run_ms(300);
    world_start(1);
    world_tell(1, "a");
    world_drop(0, 3);
    world_run_ms(5000);
    ck_assert_uint_eq(copied(1, 50), 49);
    ck_assert(!world_copies(1, 3));
    ck_assert_uint_eq(copied(2, 50), 49);
}
END_TEST

START_TEST(heir_that_comes_back_hears_what_it_missed)
{
    begin(3, "bc");
    put_many(0, 0, 50);
    world_run_ms(100);
    world_candidates(0, "c");
    world_drop(0, 3);
    world_put(0, 4, 2);
    world_run_ms(1000);
    ck_assert(world_copies(1, 3));
    world.node[0].entries = 0;
    world_candidates(0, "bc");
    world_run_ms(100);
    ck_assert_uint_eq(world.node[0].entries, 2);
    ck_assert(!world_copies(1, 3));
    ck_assert_uint_eq(copied(1, 50), 49);
}
END_TEST

START_TEST(losses_are_made_good)
{
    world.loss = 300;
    begin(3, "bc");
    for (unsigned c = 0; c < 300; c++) {
        world_put(0, c, 1);
        if (c % 3 == 0)
            world_drop(0, c / 2);
        world_run_ms(5);
    }
    world_run_ms(40000);
    for (unsigned c = 0; c < 300; c++) {
        ck_assert(world_copies(1, c) == !world.is_over[c]);
        ck_assert(world_copies(2, c) == !world.is_over[c]);
    }
}
END_TEST

START_TEST(copies_go_when_their_owner_is_not_heard)
{
    world.conf.copy_ms = 20000;
    begin(2, "b");
    put_many(0, 0, 5);
    world_run_ms(100);
    world_kill(0);
    world_run_ms(19000);
    ck_assert_uint_eq(copied(1, 5), 5);
    world_run_ms(2000);
    ck_assert_uint_eq(copied(1, 5), 0);
    ck_assert_uint_eq(world_report(1).copy_bytes, 0);
}
END_TEST

/* ---- a gateway's end ---- */

START_TEST(successor_adopts_once)
{
    begin(4, "bcd");
    put_many(0, 0, 700);
    world_run_ms(3000);
    world_kill(0);
    world_run_ms(300);
    world_tell(1, "b");
    ck_assert_uint_eq(owned(1, 700), 700); /* at once */
    world_run_ms(10);
    world_tell(2, "b");
    world_tell(3, "b");
    world_candidates(1, "cd");
    world_run_ms(20000);
    each_has_one_owner(700);
    ck_assert_uint_eq(world.node[1].adopts, 700);
    ck_assert_uint_eq(world.node[2].adopts + world.node[3].adopts, 0);
    ck_assert_uint_eq(world_report(2).copies, 700); /* of b now, none of a */
    ck_assert_uint_eq(world_report(3).copies, 700);
    world_kill(1);
    world_tell(3, "d");
    world_tell(2, "d");
    world_run_ms(20000);
    each_has_one_owner(700);
    ck_assert_uint_eq(world.node[3].adopts, 700);
    ck_assert_uint_eq(world.node[2].adopts, 0);
}
END_TEST

START_TEST(second_death_before_the_successor_has_heirs)
{
    begin(3, "bc");
    put_many(0, 0, 40);
    world_run_ms(200);
    world_kill(0);
    world_tell(1, "b");
    world_tell(2, "b");
    world_kill(1);
    world_run_ms(500);
    world_tell(2, "c");
    each_has_one_owner(40);
    ck_assert_uint_eq(owned(2, 40), 40);
}
END_TEST

START_TEST(what_the_successor_never_heard_of_is_offered_to_it)
{
    begin(3, "bc");
    put_many(0, 0, 40);
    world_run_ms(200);
    lost_at = 1;
    world.tap = lose_to;
    put_many(0, 40, 10);
    world_drop(0, 5); /* b does not hear that either: its phones will tell it */
    world_run_ms(200);
    world_kill(0);
    world.tap = NULL;
    world_tell(1, "b");
    world_tell(2, "b");
    world_candidates(1, "c");
    ck_assert_uint_eq(owned(1, 50), 40);
    world_run_ms(15000);
    each_has_one_owner(50);
    ck_assert_uint_eq(owned(1, 50), 49);
    ck_assert_uint_eq(world.node[1].refreshed, 0);
    ck_assert_uint_eq(world_report(2).copies, 49);
}
END_TEST

START_TEST(call_that_ended_at_the_successor_stays_over)
{
    begin(4, "bc");
    put_many(0, 0, 10);
    world_run_ms(200);
    world_kill(0);
    world_tell(1, "b");
    world_drop(1, 4);
    world_tell(2, "b");
    world_tell(3, "b");
    world_candidates(1, "d"); /* c, with its copies of a, is not told what b does */
    world_run_ms(20000);
    ck_assert_uint_eq(world.node[1].adopts, 10);
    ck_assert_uint_eq(world_report(2).copies, 0);
    each_has_one_owner(10);
}
END_TEST

/* ---- a role that is given away, or lost ---- */

static void
hand_over_to_b(void)
{
    replica_hands_over(world.node[0].replica, world_now());
    world_run_ms(3);
    replica_on_handover(world.node[1].replica, world_now(), &world.node[0].id);
    world_tell(1, "b");
    world_run_ms(3);
    for (unsigned i = 0; i < WORLD_NODES; i++)
        if (i != 1)
            world_tell(i, "b");
}

START_TEST(hand_over_moves_all)
{
    begin(3, "bc");
    put_many(0, 0, 300);
    world_run_ms(500);
    lost_at = 1;
    world.tap = lose_to;
    put_many(0, 300, 20);
    world_put(0, 7, 2);
    world_run_ms(30);
    world.tap = NULL;
    hand_over_to_b();
    world_candidates(1, "ac");
    ck_assert_uint_eq(owned(0, 320), 320); /* none is released before it is moved */
    world_run_ms(20000);
    each_has_one_owner(320);
    ck_assert_uint_eq(owned(1, 320), 320);
    ck_assert_uint_eq(world.node[1].adopts, 320);
    ck_assert_uint_eq(world.node[1].moved, 320);
    ck_assert_uint_eq(world.node[1].version[7], 2);
    ck_assert_uint_eq(world.node[0].releases, 320);
    ck_assert_uint_eq(world_report(0).copies, 320); /* a is b's heir now */
}
END_TEST

START_TEST(owner_dies_while_it_moves)
{
    begin(3, "bc");
    put_many(0, 0, 300);
    world_run_ms(500);
    world.tap = lose_moves;
    hand_over_to_b();
    world_run_ms(1000);
    ck_assert_uint_eq(owned(1, 300), 0);
    world_kill(0);
    world_run_ms(1500);
    ck_assert_uint_eq(owned(1, 300), 0);
    world_run_ms(2000);
    ck_assert_uint_eq(owned(1, 300), 300);
    world.tap = NULL;
    world_candidates(1, "c");
    world_run_ms(20000);
    each_has_one_owner(300);
    ck_assert_uint_eq(world.node[1].adopts, 300);
    ck_assert_uint_eq(world.node[1].moved, 0);
}
END_TEST

START_TEST(outranked_gateway_releases_and_moves)
{
    begin(3, "bc");
    put_many(0, 0, 30);
    world_run_ms(200);
    lost_at = 1;
    world.tap = lose_to;
    put_many(0, 30, 10);
    world_put(0, 3, 2); /* b holds it, in another version */
    world_run_ms(50);
    world.tap = NULL;
    world_tell(1, "b");
    world_drop(1, 9); /* over at b while a still thinks it is up */
    world_run_ms(100);
    world_tell(0, "b");
    world_tell(2, "b");
    world_candidates(1, "ac");
    world_run_ms(20000);
    each_has_one_owner(40);
    ck_assert_uint_eq(owned(1, 40), 39);
    ck_assert_uint_eq(world.node[1].adopts, 40);
    ck_assert_uint_eq(world.node[1].refreshed, 0);
    ck_assert_uint_eq(world.node[1].version[3], 1);
    ck_assert_uint_eq(world.node[0].releases, 40);
}
END_TEST

START_TEST(successor_that_lost_its_copies_gets_all)
{
    begin(2, "b");
    put_many(0, 0, 30);
    world_run_ms(200);
    world_kill(1);
    world_start(1);
    world_tell(1, "b");
    world_tell(0, "b");
    world_run_ms(2000);
    each_has_one_owner(30);
    ck_assert_uint_eq(owned(1, 30), 30);
}
END_TEST

START_TEST(former_heir_is_remembered)
{
    begin(3, "bc");
    put_many(0, 0, 30);
    world_run_ms(200);
    world_candidates(0, "c"); /* b is cut off, and claims on its side */
    world_tell(1, "b");
    ck_assert_uint_eq(owned(1, 30), 30);
    world_put(0, 30, 1);
    world_drop(0, 5);
    world_run_ms(20000);
    world_drop(1, 6);
    world_run_ms(20000);
    world_tell(0, "b"); /* they meet again */
    world_tell(2, "b");
    world_candidates(1, "ac");
    world_run_ms(20000);
    each_has_one_owner(31);
    ck_assert_uint_eq(owned(1, 31), 29);
    ck_assert_uint_eq(world.node[1].adopts, 31);
}
END_TEST

START_TEST(call_that_ends_at_its_former_owner_is_released)
{
    begin(2, "b");
    put_many(0, 0, 3);
    world_run_ms(100);
    world_tell(1, "b"); /* a has not heard of it yet */
    world_drop(0, 1);
    world_run_ms(100);
    ck_assert(!world_owns(1, 1) && !world.node[1].has[1]);
    ck_assert_uint_eq(world.node[1].releases, 1);
    ck_assert(world_owns(1, 0) && world_owns(1, 2));
}
END_TEST

START_TEST(late_word_of_the_sip_side_is_not_heard)
{
    begin(2, "b");
    put_many(0, 0, 3);
    world_run_ms(100);
    world_tell(1, "b");
    world_tell(0, "b");
    world_run_ms(100);
    ck_assert_uint_eq(owned(1, 3), 3);
    world_put(0, 0, 7); /* on its way when the release crossed it */
    world.node[0].has[0] = false;
    world_drop(0, 1);
    world.is_over[1] = false;
    world_run_ms(1000);
    ck_assert_uint_eq(owned(0, 3), 0);
    ck_assert_uint_eq(owned(1, 3), 3);
    ck_assert_uint_eq(world.node[1].version[0], 1);
}
END_TEST

/* ---- several gateways ---- */

START_TEST(newcomer_of_two_gateways_adopts)
{
    for (unsigned i = 0; i < 3; i++)
        world_start(i);
    world_tell_all("ab");
    world_candidates(0, "c");
    world_candidates(1, "c");
    put_many(0, 0, 20);
    put_many(1, 20, 20);
    world_run_ms(200);
    ck_assert_uint_eq(copied(1, 20), 20); /* the other gateway, where candidates are few */
    ck_assert_uint_eq(copied(2, 40), 40);
    world_kill(0);
    world_tell(2, "bc");
    world_tell(1, "bc");
    world_candidates(1, "");
    world_run_ms(20000);
    each_has_one_owner(40);
    ck_assert_uint_eq(owned(2, 20), 20);
    ck_assert_uint_eq(owned(1, 40), 20);
    ck_assert_uint_eq(world.node[2].adopts, 20);
    ck_assert_uint_eq(world.node[1].adopts, 0);
}
END_TEST

START_TEST(gateway_without_candidates_is_followed_by_the_first)
{
    for (unsigned i = 0; i < 3; i++)
        world_start(i);
    world_tell_all("abc");
    put_many(2, 0, 20);
    world_run_ms(200);
    world_kill(2);
    world_tell(1, "ab");
    world_tell(0, "ab");
    world_run_ms(20000);
    each_has_one_owner(20);
    ck_assert_uint_eq(owned(0, 20), 20);
}
END_TEST

START_TEST(call_of_two_gateways_is_settled)
{
    for (unsigned i = 0; i < 2; i++)
        world_start(i);
    world_tell_all("ab");
    world_put(0, 0, 1);
    world_put(1, 0, 2);
    world_run_ms(3000);
    each_has_one_owner(1);
    ck_assert(world_owns(1, 0)); /* the higher Node-ID */
}
END_TEST

/* ---- limits, and what should not come ---- */

START_TEST(calls_beyond_the_limit_have_no_copies)
{
    world.conf.calls_max = 10;
    begin(2, "b");
    put_many(0, 0, 12);
    world_run_ms(100);
    ck_assert_uint_eq(world_report(0).calls, 10);
    ck_assert_uint_eq(copied(1, 12), 10);
    world_drop(0, 2);
    world_put(0, 10, 1);
    world_run_ms(100);
    ck_assert_uint_eq(copied(1, 12), 10);
    ck_assert(world_copies(1, 10));
}
END_TEST

START_TEST(full_heir_takes_more_when_calls_end)
{
    begin(2, "b");
    world_kill(1);
    world.conf.bytes_max = 20 * 106;
    world_start(1);
    world_tell(1, "a");
    put_many(0, 0, 30);
    world_run_ms(3000);
    ck_assert_uint_gt(copied(1, 30), 15);
    ck_assert_uint_lt(copied(1, 30), 30);
    ck_assert_uint_le(world_report(1).copy_bytes, world.conf.bytes_max);
    ck_assert_uint_lt(world.node[0].requests, 20); /* it is not asked all the time */
    for (unsigned c = 0; c < 15; c++)
        world_drop(0, c);
    world_run_ms(10000);
    ck_assert_uint_eq(copied(1, 30), 15);
    ck_assert_uint_eq(world_report(0).heir[0].pending, 0);
}
END_TEST

START_TEST(tombstones_are_bounded)
{
    world.conf.calls_max = 100;
    begin(2, "b");
    lost_at = 1;
    put_many(0, 0, 50);
    world_run_ms(100);
    world.tap = lose_to;
    for (unsigned c = 50; c < 1000; c++) {
        world_put(0, c, 1);
        world_drop(0, c);
    }
    for (unsigned c = 0; c < 10; c++)
        world_drop(0, c);
    ck_assert_uint_le(world.node[0].replica->grave_count, 101);
    ck_assert_uint_le(world.node[0].replica->ghost_count, 101);
    world.tap = NULL;
    world_candidates(0, "");
    world_candidates(0, "b");
    world_run_ms(5000);
    ck_assert_uint_eq(copied(1, 50), 40);
    ck_assert_uint_eq(world_report(1).copies, 40);
}
END_TEST

static enum status
tell(unsigned i, uint64_t stream, uint32_t number, uint8_t flags, uint32_t total,
     const char *record, struct dialogs_ans *ans)
{
    const struct id owner = {{9}};
    struct dialogs_req req = {
        .stream = stream, .number = number, .flags = flags, .total = total, .count = 1};
    struct writer w;
    enum status st;

    writer_init(&w, 1000);
    dialogs_entry_write(&w, slice_text("call-0"), slice_text(record));
    req.entries = writer_slice(&w);
    st = replica_on_request(world.node[i].replica, world_now(), &owner, &req, ans);
    writer_done(&w);
    return st;
}

START_TEST(late_requests_change_nothing)
{
    struct dialogs_ans ans;

    begin(1, "");
    ck_assert_int_eq(tell(0, 1, 1, 0, 1, "one", &ans), ST_OK);
    ck_assert(ans.wants_all == 1 && ans.stream == 1 && !world_copies(0, 0));
    ck_assert_int_eq(tell(0, 1, 2, DIALOGS_FIRST, 1, "one", &ans), ST_OK);
    ck_assert(ans.wants_all == 0 && ans.held == 1 && world_copies(0, 0));
    ck_assert_int_eq(tell(0, 1, 4, 0, 0, "", &ans), ST_OK);
    ck_assert(ans.held == 0 && !world_copies(0, 0));
    ck_assert_int_eq(tell(0, 1, 3, 0, 1, "one", &ans), ST_OK); /* before the call was over */
    ck_assert(ans.held == 0 && !world_copies(0, 0));
    ck_assert_int_eq(tell(0, 2, 1, DIALOGS_FIRST, 1, "two", &ans), ST_OK);
    ck_assert(ans.held == 1 && world_copies(0, 0));
    ck_assert_int_eq(tell(0, 1, 9, DIALOGS_FIRST, 1, "", &ans), ST_OK); /* an old stream's first */
    ck_assert(ans.wants_all == 1 && world_copies(0, 0));
    ck_assert_int_eq(tell(0, 2, 2, 0, 1, "three", &ans), ST_OK);
    ck_assert(ans.wants_all == 0 && ans.held == 1);
}
END_TEST

START_TEST(only_a_gateway_takes_calls)
{
    struct dialogs_ans ans;

    world.record_bytes = 4;
    begin(2, "b");
    ck_assert_int_eq(tell(1, 1, 1, DIALOGS_FIRST | DIALOGS_MOVE, 1, "1234", &ans), ST_STATE);
    ck_assert_int_eq(tell(1, 1, 1, DIALOGS_OFFER, 1, "1234", &ans), ST_STATE);
    ck_assert_uint_eq(world_report(1).calls + world_report(1).copies, 0);
    ck_assert_int_eq(tell(0, 1, 1, DIALOGS_OFFER, 1, "1234", &ans), ST_OK);
    ck_assert_int_eq(tell(0, 1, 1, DIALOGS_OFFER, 1, "5678", &ans), ST_OK); /* known by now */
    ck_assert(world_owns(0, 0));
    ck_assert_uint_eq(world.node[0].adopts, 1);
    ck_assert_int_eq(tell(0, 1, 1, DIALOGS_FIRST | DIALOGS_MOVE, 1, "9999", &ans), ST_OK);
    ck_assert_uint_eq(world.node[0].refreshed, 1);
}
END_TEST

START_TEST(malformed_requests_are_refused)
{
    static const uint8_t bad[] = {6, 'c', 'a', 'l', 'l', '-', '0', 0, 9, 'x'};
    const struct id owner = {{9}};
    struct dialogs_req req = {
        .stream = 1, .flags = DIALOGS_FIRST, .count = 1, .entries = {bad, sizeof(bad)}};
    struct dialogs_ans ans;

    begin(1, "");
    ck_assert_int_eq(replica_on_request(world.node[0].replica, world_now(), &owner, &req, &ans),
                     ST_MALFORMED);
    req.entries = slice_of(NULL, 0);
    ck_assert_int_eq(replica_on_request(world.node[0].replica, world_now(), &owner, &req, &ans),
                     ST_MALFORMED);
    req.count = 0;
    req.stream = 0;
    ck_assert_int_eq(replica_on_request(world.node[0].replica, world_now(), &owner, &req, &ans),
                     ST_MALFORMED);
    req.stream = 1;
    ck_assert_int_eq(
        replica_on_request(world.node[0].replica, world_now(), &world.node[0].id, &req, &ans),
        ST_MALFORMED); /* our own */
    ck_assert_uint_eq(world.node[0].replica->owner_count, 0);
    for (uint8_t i = 0; i < 40; i++) {
        const struct id other = {{(uint8_t)(100 + i)}};
        ck_assert_int_eq(replica_on_request(world.node[0].replica, world_now(), &other, &req, &ans),
                         ST_OK);
    }
    ck_assert_uint_le(world.node[0].replica->owner_count, REPLICA_OWNERS_MAX);
}
END_TEST

START_TEST(unasked_answers_change_nothing)
{
    struct dialogs_ans ans = {.stream = 1, .wants_all = 1};

    begin(2, "b");
    put_many(0, 0, 5);
    for (uint32_t token = 0; token < 100; token += 7)
        replica_on_answer(world.node[0].replica, world_now(), token + 50, ST_OK, &ans);
    world_run_ms(100);
    ck_assert_uint_eq(copied(1, 5), 5);
}
END_TEST

/* ---- leaving ---- */

START_TEST(leave_waits_until_all_are_moved)
{
    begin(2, "b");
    put_many(0, 0, 500);
    world_run_ms(2000);
    hand_over_to_b();
    replica_leave(world.node[0].replica, world_now());
    ck_assert(!world.node[0].has_left);
    world_run_ms(1000);
    ck_assert(world.node[0].has_left);
    each_has_one_owner(500);
}
END_TEST

START_TEST(leave_does_not_wait_for_ever)
{
    begin(2, "b");
    replica_leave(world.node[1].replica, world_now());
    ck_assert(world.node[1].has_left); /* nothing to move */
    put_many(0, 0, 5);
    world_run_ms(100);
    world_kill(1);
    world_tell(0, "b");
    replica_leave(world.node[0].replica, world_now());
    world_run_ms(2900);
    ck_assert(!world.node[0].has_left);
    world_run_ms(200);
    ck_assert(world.node[0].has_left);
    world_start(2);
    world_tell(2, "c");
    world_put(2, 7, 1);
    world_tell(2, "");
    replica_leave(world.node[2].replica, world_now());
    ck_assert(world.node[2].has_left); /* nobody to move it to */
}
END_TEST

static Suite *
replica_suite(void)
{
    Suite *suite = suite_create("replica");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, world_setup, world_teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, who_waits_for_a_copy_hears_of_it);
    tcase_add_test(tc, nobody_waits_where_there_is_no_standby);
    tcase_add_test(tc, changes_reach_the_heirs);
    tcase_add_test(tc, changes_are_gathered);
    tcase_add_test(tc, new_heir_gets_all);
    tcase_add_test(tc, heir_that_started_anew_gets_all_again);
    tcase_add_test(tc, heir_that_comes_back_hears_what_it_missed);
    tcase_add_test(tc, losses_are_made_good);
    tcase_add_test(tc, copies_go_when_their_owner_is_not_heard);
    tcase_add_test(tc, successor_adopts_once);
    tcase_add_test(tc, second_death_before_the_successor_has_heirs);
    tcase_add_test(tc, what_the_successor_never_heard_of_is_offered_to_it);
    tcase_add_test(tc, call_that_ended_at_the_successor_stays_over);
    tcase_add_test(tc, hand_over_moves_all);
    tcase_add_test(tc, owner_dies_while_it_moves);
    tcase_add_test(tc, outranked_gateway_releases_and_moves);
    tcase_add_test(tc, successor_that_lost_its_copies_gets_all);
    tcase_add_test(tc, former_heir_is_remembered);
    tcase_add_test(tc, call_that_ends_at_its_former_owner_is_released);
    tcase_add_test(tc, late_word_of_the_sip_side_is_not_heard);
    tcase_add_test(tc, newcomer_of_two_gateways_adopts);
    tcase_add_test(tc, gateway_without_candidates_is_followed_by_the_first);
    tcase_add_test(tc, call_of_two_gateways_is_settled);
    tcase_add_test(tc, calls_beyond_the_limit_have_no_copies);
    tcase_add_test(tc, full_heir_takes_more_when_calls_end);
    tcase_add_test(tc, tombstones_are_bounded);
    tcase_add_test(tc, late_requests_change_nothing);
    tcase_add_test(tc, only_a_gateway_takes_calls);
    tcase_add_test(tc, malformed_requests_are_refused);
    tcase_add_test(tc, unasked_answers_change_nothing);
    tcase_add_test(tc, leave_waits_until_all_are_moved);
    tcase_add_test(tc, leave_does_not_wait_for_ever);
    suite_add_tcase(suite, tc);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(replica_suite());

    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
