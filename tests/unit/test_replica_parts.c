/* Records that are longer than a request: each call's is, unless said. */
#include "tests/unit/replica_world.h"

static void
begin(unsigned count, const char *candidates)
{
    world.large_each = 1;
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

static void
each_is(unsigned i, unsigned count, uint32_t version)
{
    for (unsigned c = 0; c < count; c++) {
        ck_assert_msg(world_owners(c) == 1 && world_owns(i, c), "call %u", c);
        ck_assert_uint_eq(world.node[i].version[c], version);
    }
}

/* Requests that were sent. */
static unsigned parts, others, lose_each;

static bool
count_parts(unsigned from, unsigned to, const struct dialogs_req *req)
{
    (void)from;
    (void)to;
    parts += (req->flags & DIALOGS_PART) != 0;
    others += !(req->flags & DIALOGS_PART);
    return lose_each == 0 || parts % lose_each != 0;
}

static void
setup(void)
{
    world_setup();
    parts = others = lose_each = 0;
    world.tap = count_parts;
}

START_TEST(parts_come_one_after_the_other)
{
    begin(3, "bc");
    put_many(0, 98, 1); /* 127,747 bytes */
    world_run_ms(100);
    ck_assert_uint_eq(parts, 2 * 4);
    ck_assert(world_copies(1, 98) && world_copies(2, 98));
    ck_assert_uint_eq(world_report(1).copy_bytes, world_bytes(98) + strlen("call-98"));
    ck_assert_uint_eq(world_report(0).heir[0].pending, 0);
    world_drop(0, 98);
    world_run_ms(100);
    ck_assert(!world_copies(1, 98) && !world_copies(2, 98));
}
END_TEST

START_TEST(large_calls_outlive_their_gateway)
{
    begin(3, "bc");
    world.large_each = 3; /* the others between them */
    put_many(0, 0, 40);
    world_run_ms(500);
    for (unsigned c = 0; c < 40; c++)
        world_put(0, c, 2);
    world_run_ms(500);
    world_kill(0);
    world_tell(1, "b");
    world_tell(2, "b");
    each_is(1, 40, 2);
    ck_assert_uint_eq(world_report(1).calls, 40);
}
END_TEST

/* A record that changes while its parts are on their way is sent from its start. */
START_TEST(a_change_between_parts)
{
    uint32_t version = 0;

    begin(2, "b");
    for (unsigned after_ms = 0; after_ms < 40; after_ms++) {
        const struct kept *copy;

        world_put(0, 98, ++version);
        world_run_ms(after_ms);
        world_put(0, 98, ++version);
        world_run_ms(100);
        copy =
            copy_find(owner_find(world.node[1].replica, &world.node[0].id), slice_text("call-98"));
        ck_assert_uint_eq(copy->record.len, world_bytes(98));
        ck_assert_mem_eq(copy->record.data, &version, 4);
        ck_assert_mem_eq(copy->record.data + world_bytes(98) - 4, &version, 4);
    }
}
END_TEST

START_TEST(a_lost_part_is_made_good)
{
    lose_each = 3;
    begin(2, "b");
    put_many(0, 0, 6); /* two or three parts each */
    world_run_ms(90000);
    lose_each = 0;
    world_run_ms(5000);
    ck_assert_uint_eq(world_report(0).heir[0].pending, 0);
    world_kill(0);
    world_tell(1, "b");
    each_is(1, 6, 1);
}
END_TEST

START_TEST(a_hand_over_moves_large_calls)
{
    begin(3, "bc");
    put_many(0, 60, 8);
    world_run_ms(300);
    put_many(0, 0, 8); /* nobody has them */
    replica_hands_over(world.node[0].replica, world_now());
    replica_on_handover(world.node[1].replica, world_now(), &world.node[0].id);
    world_tell_all("b");
    world_candidates(1, "ca");
    world_run_ms(2000);
    for (unsigned c = 0; c < 8; c++)
        ck_assert(world_owns(1, c) && world_owns(1, c + 60));
    ck_assert_uint_eq(world_report(0).calls, 0);
    ck_assert(world_copies(2, 0) && world_copies(2, 67));
}
END_TEST

/* The successor never heard of them; who holds copies offers them. */
START_TEST(large_calls_are_offered)
{
    begin(3, "c");
    put_many(0, 0, 5);
    world_run_ms(300);
    world_kill(0);
    world_tell(1, "b");
    world_tell(2, "b");
    ck_assert_uint_eq(world_report(1).calls, 0);
    parts = 0;
    lose_each = 4;
    world_run_ms(60000);
    ck_assert_uint_ge(parts, 10);
    each_is(1, 5, 1);
}
END_TEST

static enum status
tell(uint32_t number, unsigned flags, const char *token, uint32_t at, size_t bytes,
     struct dialogs_ans *ret)
{
    static const uint8_t record[DIALOGS_RECORD_MAX];
    const struct id owner = {{9}};
    struct dialogs_req req = {.stream = 7,
                              .number = number,
                              .flags = (uint8_t)flags,
                              .total = 1,
                              .part_at = at,
                              .part_whole = DIALOGS_WHOLE_MAX,
                              .count = 1};
    struct writer w;

    writer_init(&w, 60000);
    dialogs_entry_write(&w, slice_text(token), slice_of(record, bytes));
    req.entries = writer_slice(&w);
    enum status st = replica_on_request(world.node[0].replica, world_now(), &owner, &req, ret);
    writer_done(&w);
    return st;
}

/* What does not follow what came before is asked for anew, or refused where nobody can be asked. */
START_TEST(parts_out_of_their_order)
{
    struct dialogs_ans ans;

    begin(1, "");
    ck_assert_int_eq(tell(1, DIALOGS_FIRST | DIALOGS_PART, "call-1", 32000, 9, &ans), ST_OK);
    ck_assert_uint_eq(ans.wants_all, 1);
    for (unsigned wrong = 0; wrong < 4; wrong++) {
        world_kill(0);
        world_start(0);
        world_tell_all("a");
        ck_assert_int_eq(tell(1, DIALOGS_FIRST | DIALOGS_PART, "call-1", 0, 32000, &ans), ST_OK);
        ck_assert(ans.wants_all == 0 && ans.held == 0);
        if (wrong == 0) /* another call in between */
            ck_assert_int_eq(tell(2, 0, "call-2", 0, 9, &ans), ST_OK);
        ck_assert_int_eq(tell(3, DIALOGS_PART, wrong == 1 ? "call-2" : "call-1",
                              wrong == 2 ? 31999 : 32000, 9, &ans),
                         ST_OK);
        ck_assert_uint_eq(ans.wants_all, wrong < 3);
        ck_assert(!world_copies(0, 1));
    }
    ck_assert_int_eq(tell(1, DIALOGS_OFFER | DIALOGS_PART, "call-3", 0, 32000, &ans), ST_OK);
    ck_assert_int_eq(tell(1, DIALOGS_OFFER | DIALOGS_PART, "call-3", 9, 32000, &ans), ST_STATE);
    ck_assert_int_eq(tell(1, DIALOGS_OFFER | DIALOGS_PART, "call-3", 32000, 9, &ans), ST_STATE);
    ck_assert(!world_owns(0, 3));
}
END_TEST

START_TEST(a_full_heir_says_so_at_the_first_part)
{
    world.conf.bytes_max = 100000;
    begin(2, "b");
    put_many(0, 90, 1); /* 119,931 bytes */
    world_run_ms(5000);
    ck_assert_uint_le(parts, 6); /* one each second */
    ck_assert_uint_eq(world_report(0).heir[0].pending, 1);
    world_put(0, 0, 1);
    world_drop(0, 90);
    world_run_ms(5000);
    ck_assert_uint_eq(world_report(0).heir[0].pending, 0);
    ck_assert(world_copies(1, 0));
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("records in parts");
    TCase *tc = tcase_create("all");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tc, setup, world_teardown);
    tcase_add_test(tc, parts_come_one_after_the_other);
    tcase_add_test(tc, large_calls_outlive_their_gateway);
    tcase_add_test(tc, a_change_between_parts);
    tcase_add_test(tc, a_lost_part_is_made_good);
    tcase_add_test(tc, a_hand_over_moves_large_calls);
    tcase_add_test(tc, large_calls_are_offered);
    tcase_add_test(tc, parts_out_of_their_order);
    tcase_add_test(tc, a_full_heir_says_so_at_the_first_part);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
