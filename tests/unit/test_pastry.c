#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "local-overlays/pastry/body.h"
#include "local-overlays/pastry/pastry.h"
#include "peer-protocol/message/body.h"
#include "tests/sim/mesh.h"

#define BYTES 16384

static struct mesh *mesh;

static void
teardown(void)
{
    mesh_free(mesh);
    mesh = NULL;
}

/* ---- the truth, computed from all that are members ------------------------------------------ */

static struct id
gap_of(const struct id *node, const struct id *id, bool *ret_is_ahead)
{
    struct id ahead = id_subtract(node, id);
    struct id behind = id_subtract(id, node);

    *ret_is_ahead = id_compare(&ahead, &behind) <= 0;
    return *ret_is_ahead ? ahead : behind;
}

/** The @rank-th closest member to @id; rank 0 is responsible. */
static int
closest(const struct id *id, unsigned rank)
{
    bool is_taken[1024] = {false};
    int best;

    for (;;) {
        struct id best_gap = {{0}};
        bool is_best_ahead = false;

        best = -1;
        for (unsigned i = 0; i < mesh_count(mesh); i++) {
            bool is_ahead;
            struct id gap = gap_of(mesh_id(mesh, i), id, &is_ahead);
            int order = best < 0 ? -1 : id_compare(&gap, &best_gap);

            if (!mesh_is_member(mesh, i) || is_taken[i] || order > 0 ||
                (order == 0 && is_best_ahead))
                continue;
            best = (int)i;
            best_gap = gap;
            is_best_ahead = is_ahead;
        }
        if (best < 0 || rank-- == 0)
            return best;
        is_taken[best] = true;
    }
}

/** The member nearest to @id in one direction. */
static int
beside(const struct id *id, bool is_clockwise)
{
    int best = -1;
    struct id best_gap = {{0}};

    for (unsigned i = 0; i < mesh_count(mesh); i++) {
        struct id gap =
            is_clockwise ? id_subtract(mesh_id(mesh, i), id) : id_subtract(id, mesh_id(mesh, i));
        if (!mesh_is_member(mesh, i) || id_is_zero(&gap))
            continue;
        if (best < 0 || id_compare(&gap, &best_gap) < 0) {
            best = (int)i;
            best_gap = gap;
        }
    }
    return best;
}

static unsigned
member_count(void)
{
    unsigned count = 0;

    for (unsigned i = 0; i < mesh_count(mesh); i++)
        count += mesh_is_member(mesh, i);
    return count;
}

struct seen {
    unsigned self;
    unsigned leaves[2]; /* smaller, larger */
    struct id last[2];
    unsigned near;
    bool slots[PASTRY_ROWS][PASTRY_COLUMNS];
    unsigned rtt_count;
    double rtt_sum; /* of rows 0 */
};

static void
on_line(void *ctx, const struct topology_dump *line)
{
    const struct id *self = mesh_id(mesh, ((struct seen *)ctx)->self);
    unsigned row = pastry_row(self, &line->node);
    struct seen *s = ctx;
    unsigned column;
    unsigned rtt_ms;

    if (strcmp(line->table, "leaf") == 0) {
        bool is_larger = strncmp(line->note, "larger", 6) == 0;
        int expected = beside(&s->last[is_larger], is_larger);
        ck_assert_uint_eq(line->index, s->leaves[is_larger]++);
        ck_assert_msg(id_equal(&line->node, mesh_id(mesh, (unsigned)expected)),
                      "node %u: leaf %u, %s, is not the true one", s->self, line->index,
                      line->note);
        s->last[is_larger] = line->node;
    } else if (strcmp(line->table, "row") == 0) {
        ck_assert_uint_eq(line->index, row);
        ck_assert_int_eq(sscanf(line->note, "column %x", &column), 1);
        ck_assert_uint_eq(column, id_digit(&line->node, row, PASTRY_DIGIT_BITS));
        ck_assert(!s->slots[row][column]);
        s->slots[row][column] = true;
        if (row == 0 && sscanf(line->note, "column %*x, %u ms", &rtt_ms) == 1) {
            s->rtt_count++;
            s->rtt_sum += rtt_ms;
        }
    } else {
        ck_assert_str_eq(line->table, "near");
        ck_assert_uint_eq(line->index, s->near++);
        ck_assert_uint_le(s->near, PASTRY_NEAR_MAX);
    }
}

static struct seen
look_at(unsigned node)
{
    struct seen s = {.self = node, .last = {*mesh_id(mesh, node), *mesh_id(mesh, node)}};

    pastry_topology.dump(mesh_state(mesh, node), on_line, &s);
    return s;
}

static void
check_leaves(void)
{
    unsigned others = member_count() - 1;

    for (unsigned i = 0; i < mesh_count(mesh); i++) {
        struct seen s;
        if (!mesh_is_member(mesh, i))
            continue;
        s = look_at(i);
        ck_assert_msg(s.leaves[0] == (others < 8 ? others : 8), "node %u has %u leaves of %u", i,
                      s.leaves[0], others);
        ck_assert_uint_eq(s.leaves[1], s.leaves[0]);
    }
}

static struct id
random_id(void)
{
    uint64_t bits[2] = {mesh_random(mesh), mesh_random(mesh)};
    struct id id;

    memcpy(id.bytes, bits, sizeof(id.bytes));
    return id;
}

static unsigned
random_member(void)
{
    unsigned i;

    do
        i = (unsigned)(mesh_random(mesh) % mesh_count(mesh));
    while (!mesh_is_member(mesh, i));
    return i;
}

static double
check_lookups(unsigned count)
{
    unsigned sum = 0;

    for (unsigned i = 0; i < count; i++) {
        struct id id = random_id();
        unsigned hops = 0;
        int owner = closest(&id, 0);

        ck_assert_int_eq(mesh_owner(mesh, &id), owner);
        ck_assert_int_eq(mesh_walk(mesh, random_member(), &id, false, &hops), owner);
        sum += hops;
        owner = (int)random_member();
        ck_assert_int_eq(
            mesh_walk(mesh, random_member(), mesh_id(mesh, (unsigned)owner), true, NULL), owner);
    }
    return (double)sum / count;
}

static void
grow(uint64_t seed, unsigned count)
{
    mesh = mesh_new(&pastry_topology, seed);
    for (unsigned i = 0; i < count; i++)
        mesh_add_random(mesh);
    mesh_form(mesh, 0);
}

static void
join_all(uint64_t seed, unsigned count)
{
    grow(seed, count);
    for (unsigned i = 1; i < count; i++)
        mesh_join(mesh, i, 0);
    ck_assert(mesh_run_until_in(mesh, 60000));
    mesh_run_ms(mesh, 30000);
}

/* ---- the overlay ---------------------------------------------------------------------------- */

START_TEST(of_two_as_close_the_larger_is_responsible)
{
    struct id at[3] = {{{0x10}}, {{0x30}}, {{0xe0}}};
    struct id between = {{0x20}};
    struct id around = {{0xf8}}; /* between 0xe0 and 0x10, past zero */

    mesh = mesh_new(&pastry_topology, 1);
    for (unsigned i = 0; i < 3; i++)
        mesh_add(mesh, &at[i]);
    mesh_form(mesh, 0);
    mesh_join(mesh, 1, 0);
    mesh_join(mesh, 2, 0);
    ck_assert(mesh_run_until_in(mesh, 10000));
    mesh_run_ms(mesh, 1000);
    ck_assert_int_eq(mesh_owner(mesh, &between), 1);
    ck_assert_int_eq(mesh_owner(mesh, &around), 0);
    between.bytes[0]--;
    around.bytes[0]--;
    ck_assert_int_eq(mesh_owner(mesh, &between), 0);
    ck_assert_int_eq(mesh_owner(mesh, &around), 2);
    check_lookups(50);
}
END_TEST

START_TEST(one_after_the_other)
{
    grow(2, 24);
    for (unsigned i = 1; i < 24; i++) {
        mesh_join(mesh, i, (unsigned)(mesh_random(mesh) % i));
        ck_assert(mesh_run_until_in(mesh, 10000));
        mesh_run_ms(mesh, 1500);
        check_leaves();
        check_lookups(20);
    }
}
END_TEST

START_TEST(all_at_one_instant)
{
    join_all(100 + (uint64_t)_i, 40);
    check_leaves();
    check_lookups(200);
}
END_TEST

START_TEST(two_between_the_same_pair)
{
    struct id at[4] = {{{0x10}}, {{0x80}}, {{0x40}}, {{0x50}}};

    mesh = mesh_new(&pastry_topology, 7 + (uint64_t)_i);
    for (unsigned i = 0; i < 4; i++)
        mesh_add(mesh, &at[i]);
    mesh_form(mesh, 0);
    mesh_join(mesh, 1, 0);
    ck_assert(mesh_run_until_in(mesh, 5000));
    mesh_join(mesh, _i % 2 ? 2 : 3, 0);
    mesh_join(mesh, _i % 2 ? 3 : 2, 1);
    ck_assert(mesh_run_until_in(mesh, 5000));
    mesh_run_ms(mesh, 1000);
    check_leaves();
    check_lookups(50);
}
END_TEST

START_TEST(crash_is_mended)
{
    join_all(200 + (uint64_t)_i, 60);
    for (unsigned i = 0; i < 60; i += 5)
        mesh_crash(mesh, i);
    mesh_run_ms(mesh, 30000);
    check_leaves();
    check_lookups(200);
}
END_TEST

START_TEST(leave_is_mended_at_once)
{
    join_all(300, 30);
    for (unsigned i = 0; i < 10; i++) {
        mesh_leave(mesh, 3 * i);
        mesh_run_ms(mesh, 500);
        check_lookups(30);
    }
    mesh_run_ms(mesh, 1000);
    check_leaves();
}
END_TEST

START_TEST(a_broken_link_comes_back)
{
    unsigned self = 5;

    join_all(400, 40);
    mesh_break(mesh, self, (unsigned)beside(mesh_id(mesh, self), true));
    mesh_run_ms(mesh, 5000);
    check_leaves();
    check_lookups(50);
}
END_TEST

/* It comes back before anybody has noticed that it was gone. */
START_TEST(a_restart_is_no_riddle)
{
    unsigned again;

    join_all(410, 30);
    for (unsigned i = 1; i < 6; i++) {
        mesh_crash(mesh, i);
        again = mesh_add(mesh, mesh_id(mesh, i));
        mesh_join(mesh, again, 0);
        ck_assert(mesh_run_until_in(mesh, 20000));
        mesh_run_ms(mesh, 3000);
        check_lookups(50);
    }
    mesh_run_ms(mesh, 15000);
    check_leaves();
}
END_TEST

START_TEST(a_suspect_is_routed_round)
{
    join_all(500, 60);
    for (unsigned i = 0; i < 500; i++) {
        struct id id = random_id();
        unsigned from = random_member();
        int owner = mesh_owner(mesh, &id);
        struct id next;

        if ((int)from == owner)
            continue;
        ck_assert_int_eq(pastry_topology.next_hop(mesh_state(mesh, from), &id, false, &next),
                         ST_OK);
        for (unsigned hop = 0; hop < mesh_count(mesh); hop++) {
            if (!id_equal(mesh_id(mesh, hop), &next) || (int)hop == owner)
                continue;
            mesh_suspect(mesh, from, hop, true);
            ck_assert_int_eq(mesh_walk(mesh, from, &id, false, NULL), owner);
            mesh_suspect(mesh, from, hop, false);
        }
    }
}
END_TEST

START_TEST(come_and_go)
{
    unsigned next = 50;

    join_all(600 + (uint64_t)_i, 50);
    for (unsigned round = 0; round < 60; round++) {
        unsigned gone = random_member();
        if (round % 2)
            mesh_crash(mesh, gone);
        else
            mesh_leave(mesh, gone);
        mesh_add_random(mesh);
        mesh_join(mesh, next++, random_member());
        mesh_run_ms(mesh, mesh_random(mesh) % 1500);
    }
    ck_assert(mesh_run_until_in(mesh, 30000));
    mesh_run_ms(mesh, 30000);
    check_leaves();
    check_lookups(200);
}
END_TEST

START_TEST(replicas_are_the_next_closest)
{
    struct id node[4];

    join_all(650, 40);
    for (unsigned i = 0; i < 200; i++) {
        struct id id = random_id();
        unsigned owner = (unsigned)closest(&id, 0);

        ck_assert_uint_eq(pastry_topology.replica_set(mesh_state(mesh, owner), &id, node, 4), 2);
        ck_assert(id_equal(&node[0], mesh_id(mesh, (unsigned)closest(&id, 1))));
        ck_assert(id_equal(&node[1], mesh_id(mesh, (unsigned)closest(&id, 2))));
    }
}
END_TEST

/* Slots that somebody could fill are filled, and by near nodes. */
START_TEST(rows_are_full_and_near)
{
    unsigned slots = 0;
    unsigned vacant = 0;
    double rtt_sum = 0;
    unsigned rtt_count = 0;

    join_all(700, 200);
    mesh_run_ms(mesh, 60000);
    for (unsigned i = 0; i < mesh_count(mesh); i++) {
        struct seen s = look_at(i);
        bool is_possible[2][PASTRY_COLUMNS] = {{false}};

        for (unsigned k = 0; k < mesh_count(mesh); k++) {
            unsigned row = pastry_row(mesh_id(mesh, i), mesh_id(mesh, k));
            if (row < 2)
                is_possible[row][id_digit(mesh_id(mesh, k), row, PASTRY_DIGIT_BITS)] = true;
        }
        for (unsigned slot = 0; slot < 2 * PASTRY_COLUMNS; slot++) {
            slots += is_possible[slot / PASTRY_COLUMNS][slot % PASTRY_COLUMNS];
            vacant += is_possible[slot / PASTRY_COLUMNS][slot % PASTRY_COLUMNS] &&
                      !s.slots[slot / PASTRY_COLUMNS][slot % PASTRY_COLUMNS];
        }
        ck_assert_uint_eq(s.near, PASTRY_NEAR_MAX);
        rtt_sum += s.rtt_sum;
        rtt_count += s.rtt_count;
    }
    ck_assert_msg(vacant * 50 <= slots, "%u of %u slots are vacant", vacant, slots);
    /* Latencies are 5 to 50 ms: 55 ms there and back on average. */
    ck_assert_uint_gt(rtt_count, 0);
    ck_assert_msg(rtt_sum / rtt_count < 45, "%.1f ms on average", rtt_sum / rtt_count);
}
END_TEST

START_TEST(few_hops)
{
    double hops;

    join_all(710, 320);
    check_leaves();
    hops = check_lookups(2000);
    ck_assert_msg(hops < 2.2, "%.2f hops on average, log16 N is 2.08", hops);
}
END_TEST

START_TEST(state_is_small)
{
    ck_assert_uint_le(pastry_topology.state_bytes, 2048);
}
END_TEST

/* ---- other people's messages ---------------------------------------------------------------- */

static enum status
request(unsigned at, unsigned from, uint16_t code, struct slice body, struct writer *ret_answer)
{
    struct moment now = {.mono_ms = mesh_now_ms(mesh)};
    struct topology_request req = {.from = *mesh_id(mesh, from), .code = code, .body = body};
    struct why why;

    return pastry_topology.on_request((void *)(uintptr_t)mesh_state(mesh, at), now, &req,
                                      ret_answer, &why);
}

START_TEST(a_plain_route_query_is_answered_as_in_chord)
{
    struct writer body, answer;

    join_all(800, 40);
    for (unsigned i = 0; i < 100; i++) {
        struct id id = random_id();
        struct route_query_req q = {.destination = destination_resource(&id)};
        struct id told, next = *mesh_id(mesh, 3);

        writer_init(&body, BYTES);
        writer_init(&answer, BYTES);
        route_query_req_write(&body, &q);
        ck_assert_int_eq(request(3, 4, MESSAGE_ROUTE_QUERY_REQ, writer_slice(&body), &answer),
                         ST_OK);
        ck_assert_int_eq(chord_route_query_ans_read(writer_slice(&answer), &told), ST_OK);
        (void)pastry_topology.next_hop(mesh_state(mesh, 3), &id, false, &next);
        ck_assert(id_equal(&told, &next));
        writer_done(&body);
        writer_done(&answer);
    }
}
END_TEST

/* A member names leaves that do not exist: in order, so that they might be true. */
START_TEST(lies_are_not_believed)
{
    unsigned victim;
    unsigned before;

    join_all(810, 30);
    victim = (unsigned)beside(mesh_id(mesh, 7), true);
    for (unsigned round = 0; round < 20; round++) {
        struct id one = id_power_of_two(60 + round);
        struct id smaller[8], larger[8];
        struct pastry_update u = {
            .type = PASTRY_LEAVES,
            .leaves = {slice_of(smaller, sizeof(smaller)), slice_of(larger, sizeof(larger))}};
        struct writer body, answer;

        smaller[0] = id_subtract(mesh_id(mesh, 7), &one);
        larger[0] = id_add(mesh_id(mesh, 7), &one);
        for (unsigned i = 1; i < 8; i++) {
            smaller[i] = id_subtract(&smaller[i - 1], &one);
            larger[i] = id_add(&larger[i - 1], &one);
        }
        writer_init(&body, BYTES);
        writer_init(&answer, BYTES);
        pastry_update_write(&body, &u);
        ck_assert_int_eq(request(victim, 7, MESSAGE_UPDATE_REQ, writer_slice(&body), &answer),
                         ST_OK);
        writer_done(&body);
        writer_done(&answer);
        check_leaves();
    }
    before = (unsigned)mesh_messages_of(mesh, MESSAGE_ATTACH_REQ);
    mesh_run_ms(mesh, 30000);
    ck_assert_uint_le(mesh_messages_of(mesh, MESSAGE_ATTACH_REQ) - before, 1000);
    check_leaves();
    check_lookups(50);
}
END_TEST

START_TEST(who_has_left_is_no_member)
{
    struct pastry_update u = {.type = PASTRY_READY};
    struct writer body, answer;

    join_all(820, 20);
    mesh_leave(mesh, 7);
    mesh_run_ms(mesh, 5000);
    writer_init(&body, BYTES);
    writer_init(&answer, BYTES);
    pastry_update_write(&body, &u);
    for (unsigned i = 0; i < 20; i++)
        if (i != 7)
            (void)request(i, 7, MESSAGE_UPDATE_REQ, writer_slice(&body), &answer);
    check_leaves();
    mesh_run_ms(mesh, 20000);
    check_leaves();
    check_lookups(50);
    writer_done(&body);
    writer_done(&answer);
}
END_TEST

START_TEST(bad_requests_are_refused)
{
    static const uint8_t rubbish[] = {0, 0, 0, 1, 9, 9, 9};
    const uint16_t code[] = {MESSAGE_JOIN_REQ, MESSAGE_LEAVE_REQ, MESSAGE_UPDATE_REQ,
                             MESSAGE_ROUTE_QUERY_REQ, MESSAGE_PING_REQ};
    struct writer answer;

    grow(8, 2);
    writer_init(&answer, 1000);
    for (unsigned i = 0; i < sizeof(code) / sizeof(code[0]); i++)
        ck_assert_int_ne(request(0, 1, code[i], slice_of(rubbish, sizeof(rubbish)), &answer),
                         ST_OK);
    writer_done(&answer);
}
END_TEST

START_TEST(nobody_speaks_for_another)
{
    uint8_t role = PASTRY_ADMIT;
    struct pastry_query query = {.wants = PASTRY_WANT_PLACE};
    struct join_req join = {.plugin = slice_of(&role, 1)};
    struct leave_req leave = {{{0}}, {NULL, 0}};
    struct route_query_req q;
    struct writer body, plugin, answer;

    join_all(820, 4);
    join.joining_peer = leave.leaving_peer = *mesh_id(mesh, 2);
    writer_init(&body, BYTES);
    writer_init(&plugin, BYTES);
    writer_init(&answer, BYTES);
    join_req_write(&body, &join);
    ck_assert_int_eq(request(1, 3, MESSAGE_JOIN_REQ, writer_slice(&body), &answer), ST_FORBIDDEN);
    writer_reset(&body);
    leave_req_write(&body, &leave);
    ck_assert_int_eq(request(1, 3, MESSAGE_LEAVE_REQ, writer_slice(&body), &answer), ST_FORBIDDEN);
    writer_reset(&body);
    pastry_query_write(&plugin, &query);
    q = (struct route_query_req){.destination = destination_resource(mesh_id(mesh, 2)),
                                 .plugin = writer_slice(&plugin)};
    route_query_req_write(&body, &q);
    ck_assert_int_eq(request(1, 3, MESSAGE_ROUTE_QUERY_REQ, writer_slice(&body), &answer),
                     ST_FORBIDDEN);
    writer_done(&body);
    writer_done(&plugin);
    writer_done(&answer);
    check_leaves();
}
END_TEST

static Suite *
pastry_suite(void)
{
    Suite *s = suite_create("pastry");
    TCase *t = tcase_create("mesh");

    tcase_add_checked_fixture(t, NULL, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, of_two_as_close_the_larger_is_responsible);
    tcase_add_test(t, one_after_the_other);
    tcase_add_loop_test(t, all_at_one_instant, 0, 5);
    tcase_add_loop_test(t, two_between_the_same_pair, 0, 10);
    tcase_add_loop_test(t, crash_is_mended, 0, 5);
    tcase_add_test(t, leave_is_mended_at_once);
    tcase_add_test(t, a_broken_link_comes_back);
    tcase_add_test(t, a_restart_is_no_riddle);
    tcase_add_test(t, a_suspect_is_routed_round);
    tcase_add_loop_test(t, come_and_go, 0, 3);
    tcase_add_test(t, replicas_are_the_next_closest);
    tcase_add_test(t, rows_are_full_and_near);
    tcase_add_test(t, few_hops);
    tcase_add_test(t, state_is_small);
    tcase_add_test(t, a_plain_route_query_is_answered_as_in_chord);
    tcase_add_test(t, lies_are_not_believed);
    tcase_add_test(t, who_has_left_is_no_member);
    tcase_add_test(t, bad_requests_are_refused);
    tcase_add_test(t, nobody_speaks_for_another);
    suite_add_tcase(s, t);
    return s;
}

int
main(void)
{
    SRunner *runner = srunner_create(pastry_suite());
    int failed;

    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
