#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "local-overlays/chord/chord.h"
#include "peer-protocol/message/body.h"
#include "tests/sim/mesh.h"

static struct mesh *mesh;

static void
teardown(void)
{
    mesh_free(mesh);
    mesh = NULL;
}

/* ---- the truth, computed from all that are members ------------------------------------------ */

static int
nearest(const struct id *id, bool is_clockwise, int but)
{
    int best = -1;
    struct id best_distance;

    for (unsigned i = 0; i < mesh_count(mesh); i++) {
        struct id distance =
            is_clockwise ? id_subtract(mesh_id(mesh, i), id) : id_subtract(id, mesh_id(mesh, i));
        if (!mesh_is_member(mesh, i) || (int)i == but)
            continue;
        if (best < 0 || id_compare(&distance, &best_distance) < 0) {
            best = (int)i;
            best_distance = distance;
        }
    }
    return best;
}

struct seen {
    unsigned self;
    unsigned predecessors;
    unsigned successors;
    unsigned fingers;
    struct id expected_predecessor;
    struct id expected_successor;
};

static void
on_line(void *ctx, const struct topology_dump *line)
{
    struct seen *s = ctx;
    struct id one = id_power_of_two(0);
    int expected;

    if (strcmp(line->table, "predecessor") == 0) {
        struct id before = id_subtract(&s->expected_predecessor, &one);
        expected = nearest(&before, false, -1);
        ck_assert_msg(id_equal(&line->node, mesh_id(mesh, (unsigned)expected)),
                      "node %u: predecessor %u is not the true one", s->self, line->index);
        s->expected_predecessor = line->node;
        ck_assert_uint_eq(line->index, s->predecessors++);
    } else if (strcmp(line->table, "successor") == 0) {
        struct id after = id_add(&s->expected_successor, &one);
        expected = nearest(&after, true, -1);
        ck_assert_msg(id_equal(&line->node, mesh_id(mesh, (unsigned)expected)),
                      "node %u: successor %u is not the true one", s->self, line->index);
        s->expected_successor = line->node;
        ck_assert_uint_eq(line->index, s->successors++);
    } else if (strcmp(line->table, "finger") == 0) {
        struct id distance = id_subtract(&line->node, mesh_id(mesh, s->self));
        struct id zero = {{0}};
        ck_assert_uint_eq(id_common_bits(&distance, &zero), line->index);
        s->fingers++;
    }
}

static void
check_neighbours(void)
{
    unsigned members = 0;

    for (unsigned i = 0; i < mesh_count(mesh); i++)
        members += mesh_is_member(mesh, i);
    for (unsigned i = 0; i < mesh_count(mesh); i++) {
        struct seen s = {.self = i,
                         .expected_predecessor = *mesh_id(mesh, i),
                         .expected_successor = *mesh_id(mesh, i)};
        if (!mesh_is_member(mesh, i))
            continue;
        chord_topology.dump(mesh_state(mesh, i), on_line, &s);
        ck_assert_uint_eq(s.predecessors, s.successors);
        ck_assert_uint_ge(s.successors, members > 3 ? 3 : members - 1);
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
        int owner = nearest(&id, true, -1);

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
    mesh = mesh_new(&chord_topology, seed);
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

/* ---- tests ---------------------------------------------------------------------------------- */

START_TEST(alone_it_owns_everything)
{
    struct id id;

    grow(1, 1);
    ck_assert(mesh_is_member(mesh, 0));
    id = random_id();
    ck_assert_int_eq(mesh_owner(mesh, &id), 0);
    ck_assert_int_eq(mesh_walk(mesh, 0, &id, false, NULL), 0);
    ck_assert_int_eq(mesh_walk(mesh, 0, &id, true, NULL), -1);
}
END_TEST

START_TEST(one_after_the_other)
{
    grow(2, 24);
    for (unsigned i = 1; i < 24; i++) {
        mesh_join(mesh, i, (unsigned)(mesh_random(mesh) % i));
        ck_assert(mesh_run_until_in(mesh, 10000));
        mesh_run_ms(mesh, 1500);
        check_neighbours();
        check_lookups(20);
    }
}
END_TEST

START_TEST(all_at_one_instant)
{
    join_all(100 + (uint64_t)_i, 40);
    check_neighbours();
    check_lookups(200);
}
END_TEST

START_TEST(two_between_the_same_pair)
{
    struct id at[4] = {{{0x10}}, {{0x80}}, {{0x40}}, {{0x50}}};

    mesh = mesh_new(&chord_topology, 7 + (uint64_t)_i);
    for (unsigned i = 0; i < 4; i++)
        mesh_add(mesh, &at[i]);
    mesh_form(mesh, 0);
    mesh_join(mesh, 1, 0);
    ck_assert(mesh_run_until_in(mesh, 5000));
    mesh_join(mesh, _i % 2 ? 2 : 3, 0);
    mesh_join(mesh, _i % 2 ? 3 : 2, 1);
    ck_assert(mesh_run_until_in(mesh, 5000));
    mesh_run_ms(mesh, 1000);
    check_neighbours();
    check_lookups(50);
}
END_TEST

START_TEST(crash_is_mended)
{
    join_all(200 + (uint64_t)_i, 60);
    for (unsigned i = 0; i < 60; i += 5)
        mesh_crash(mesh, i);
    mesh_run_ms(mesh, 30000);
    check_neighbours();
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
    mesh_run_ms(mesh, 5000);
    check_neighbours();
}
END_TEST

START_TEST(a_broken_link_comes_back)
{
    int next;
    unsigned self = 5;

    join_all(400, 20);
    next = nearest(mesh_id(mesh, self), true, (int)self);
    mesh_break(mesh, self, (unsigned)next);
    mesh_run_ms(mesh, 15000);
    check_neighbours();
    check_lookups(50);
}
END_TEST

START_TEST(a_suspect_is_routed_round)
{
    join_all(500, 40);
    for (unsigned i = 0; i < 500; i++) {
        struct id id = random_id();
        unsigned from = random_member();
        int owner = mesh_owner(mesh, &id);
        struct id next;

        if ((int)from == owner)
            continue;
        ck_assert_int_eq(chord_topology.next_hop(mesh_state(mesh, from), &id, false, &next), ST_OK);
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
    check_neighbours();
    check_lookups(200);
}
END_TEST

START_TEST(few_hops)
{
    double hops;

    /* More than CHORD_CONTACTS_MAX come to the first member at once. */
    join_all(700, 320);
    check_neighbours();
    hops = check_lookups(2000);
    ck_assert_msg(hops < 3.9, "%.2f hops on average, 0.5 * log2 N is 4.16", hops);
}
END_TEST

START_TEST(bad_requests_are_refused)
{
    static const uint8_t rubbish[] = {0, 0, 0, 1, 9, 9, 9};
    const uint16_t code[] = {MESSAGE_JOIN_REQ, MESSAGE_LEAVE_REQ, MESSAGE_UPDATE_REQ,
                             MESSAGE_ROUTE_QUERY_REQ, MESSAGE_PING_REQ};
    struct moment now = {.mono_ms = 1};
    struct topology_request req = {.body = slice_of(rubbish, sizeof(rubbish))};
    struct writer answer;
    struct why why;

    grow(8, 2);
    req.from = *mesh_id(mesh, 1);
    writer_init(&answer, 1000);
    for (unsigned i = 0; i < sizeof(code) / sizeof(code[0]); i++) {
        req.code = code[i];
        ck_assert_int_ne(chord_topology.on_request((void *)(uintptr_t)mesh_state(mesh, 0), now,
                                                   &req, &answer, &why),
                         ST_OK);
    }
    writer_done(&answer);
}
END_TEST

static enum status
update(unsigned at, unsigned from, const struct chord_update *u)
{
    struct moment now = {.mono_ms = mesh_now_ms(mesh)};
    struct topology_request req = {.from = *mesh_id(mesh, from), .code = MESSAGE_UPDATE_REQ};
    struct writer body, answer;
    struct why why;
    enum status st;

    writer_init(&body, 4096);
    writer_init(&answer, 4096);
    chord_update_write(&body, u);
    req.body = writer_slice(&body);
    st = chord_topology.on_request((void *)(uintptr_t)mesh_state(mesh, at), now, &req, &answer,
                                   &why);
    writer_done(&body);
    writer_done(&answer);
    return st;
}

/* A liar names nobody's neighbours: nodes that do not exist, right before and behind each. */
START_TEST(a_lie_moves_nobody)
{
    join_all(910, 30);
    for (unsigned i = 1; i < 30; i++) {
        struct id step = id_power_of_two(60 + i);
        struct id nobody[8];
        struct chord_update u = {.type = CHORD_FULL,
                                 .predecessors = slice_of(nobody, 4 * sizeof(nobody[0])),
                                 .successors = slice_of(nobody + 4, 4 * sizeof(nobody[0]))};

        nobody[0] = id_subtract(mesh_id(mesh, i), &step);
        nobody[4] = id_add(mesh_id(mesh, i), &step);
        for (unsigned k = 1; k < 4; k++) {
            nobody[k] = id_subtract(&nobody[k - 1], &step);
            nobody[4 + k] = id_add(&nobody[3 + k], &step);
        }
        (void)update(i, 0, &u);
        check_neighbours();
    }
    mesh_run_ms(mesh, 30000);
    check_neighbours();
    check_lookups(100);
}
END_TEST

START_TEST(who_has_left_is_no_member)
{
    struct chord_update u = {.type = CHORD_PEER_READY};

    join_all(920, 20);
    mesh_leave(mesh, 7);
    mesh_run_ms(mesh, 5000);
    for (unsigned i = 0; i < 20; i++)
        if (i != 7)
            (void)update(i, 7, &u);
    check_neighbours();
    mesh_run_ms(mesh, 20000);
    check_neighbours();
    check_lookups(100);
}
END_TEST

START_TEST(parameters)
{
    static const char *const text[] = {"",
                                       "neighbours=3",
                                       "neighbours=20",
                                       "neighbours=2",
                                       "neighbours=21",
                                       "neighbours=",
                                       "neighbours=08",
                                       "neighbours=9x",
                                       "neighbours=99999999999",
                                       "neighbors=8"};
    struct topology_env env = {0};
    struct why why;

    for (unsigned i = 0; i < sizeof(text) / sizeof(text[0]); i++) {
        struct topology_conf conf = {.replica_count = 2};
        void *state = calloc(1, chord_topology.state_bytes);

        ck_assert_ptr_nonnull(state);
        snprintf(conf.parameters, sizeof(conf.parameters), "%s", text[i]);
        ck_assert_int_eq(chord_topology.create(state, &conf, &env, &why), i < 3 ? ST_OK : ST_RANGE);
        chord_topology.destroy(state);
        free(state);
    }
}
END_TEST

static Suite *
chord_suite(void)
{
    Suite *s = suite_create("chord");
    TCase *t = tcase_create("mesh");

    tcase_add_checked_fixture(t, NULL, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, alone_it_owns_everything);
    tcase_add_test(t, one_after_the_other);
    tcase_add_loop_test(t, all_at_one_instant, 0, 5);
    tcase_add_loop_test(t, two_between_the_same_pair, 0, 10);
    tcase_add_loop_test(t, crash_is_mended, 0, 5);
    tcase_add_test(t, leave_is_mended_at_once);
    tcase_add_test(t, a_broken_link_comes_back);
    tcase_add_test(t, a_suspect_is_routed_round);
    tcase_add_loop_test(t, come_and_go, 0, 3);
    tcase_add_test(t, few_hops);
    tcase_add_test(t, bad_requests_are_refused);
    tcase_add_test(t, a_lie_moves_nobody);
    tcase_add_test(t, who_has_left_is_no_member);
    tcase_add_test(t, parameters);
    suite_add_tcase(s, t);
    return s;
}

int
main(void)
{
    SRunner *runner = srunner_create(chord_suite());
    int failed;

    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
