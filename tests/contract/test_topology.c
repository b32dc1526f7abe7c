/*
 * What local-overlays/topology.h promises, asked of every plug-in that is built in.  A new plug-in
 * needs no line here.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "peer-protocol/message/body.h"
#include "tests/contract/plugins.h"
#include "tests/sim/mesh.h"

#define QUIET_MS  3000
#define REPAIR_MS 30000
#define SEEN_MAX  512

static struct mesh *mesh;
static const struct topology_ops *ops;

static void
teardown(void)
{
    mesh_free(mesh);
    mesh = NULL;
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

static void
begin(int plugin, uint64_t seed, unsigned count)
{
    ops = plugins_at(plugin);
    ck_assert_ptr_nonnull(ops);
    mesh = mesh_new(ops, seed);
    for (unsigned i = 0; i < count; i++)
        mesh_add_random(mesh);
    mesh_form(mesh, 0);
}

static void
join_all(int plugin, uint64_t seed, unsigned count)
{
    begin(plugin, seed, count);
    for (unsigned i = 1; i < count; i++)
        mesh_join(mesh, i, 0);
    ck_assert_msg(mesh_run_until_in(mesh, 60000), "%s: not all have joined", ops->name);
    mesh_run_ms(mesh, REPAIR_MS);
}

/* Every random ID has one owner, and every walk to it ends there; so does each walk to a node. */
static void
check_routes(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct id id = random_id();
        unsigned from = random_member();
        unsigned node = random_member();
        int owner = mesh_owner(mesh, &id);

        ck_assert_msg(owner >= 0, "%s: %s is responsible", ops->name,
                      owner == -1 ? "nobody" : "more than one");
        ck_assert_msg(mesh_walk(mesh, from, &id, false, NULL) == owner,
                      "%s: from %u to an ID of %d", ops->name, from, owner);
        ck_assert_msg(mesh_walk(mesh, from, mesh_id(mesh, node), true, NULL) == (int)node,
                      "%s: from %u to node %u", ops->name, from, node);
    }
}

struct seen {
    unsigned self;
    size_t count;
    struct id node[SEEN_MAX];
};

static void
on_line(void *ctx, const struct topology_dump *line)
{
    struct seen *seen = ctx;
    bool is_member = false;

    ck_assert_ptr_nonnull(line->table);
    ck_assert(memchr(line->note, 0, sizeof(line->note)) != NULL);
    if (id_equal(&line->node, mesh_id(mesh, seen->self)))
        return; /* its own zone, say */
    for (unsigned i = 0; i < mesh_count(mesh); i++)
        if (id_equal(&line->node, mesh_id(mesh, i)))
            is_member = mesh_is_member(mesh, i) && mesh_is_linked(mesh, seen->self, i);
    ck_assert_msg(is_member, "%s: node %u, table %s names one that is gone or not linked",
                  ops->name, seen->self, line->table);
    for (size_t i = 0; i < seen->count; i++)
        if (id_equal(&seen->node[i], &line->node))
            return;
    ck_assert_uint_lt(seen->count, SEEN_MAX);
    seen->node[seen->count++] = line->node;
}

static void
check_dumps(void)
{
    for (unsigned i = 0; i < mesh_count(mesh); i++) {
        struct seen seen = {.self = i};

        if (!mesh_is_member(mesh, i))
            continue;
        ops->dump(mesh_state(mesh, i), on_line, &seen);
        ck_assert_msg(seen.count == ops->neighbour_count(mesh_state(mesh, i)),
                      "%s: node %u dumps %zu nodes and counts %zu", ops->name, i, seen.count,
                      ops->neighbour_count(mesh_state(mesh, i)));
    }
}

/* ---- tests ---------------------------------------------------------------------------------- */

START_TEST(names_are_good)
{
    const struct topology_ops *o = plugins_at(_i);

    ck_assert_uint_eq(o->abi, TOPOLOGY_ABI);
    ck_assert_uint_ge(strlen(o->name), 1);
    ck_assert_uint_le(strlen(o->name), 15);
    ck_assert_uint_eq(strspn(o->name, "abcdefghijklmnopqrstuvwxyz0123456789-"), strlen(o->name));
    ck_assert(!topology_find(o->name) || topology_find(o->name) == o);
    ck_assert_ptr_null(topology_find("nonsense"));
}
END_TEST

START_TEST(bad_parameters_are_told)
{
    const struct topology_ops *o = plugins_at(_i);
    struct topology_conf conf = {.parameters = "no such parameter = 7", .replica_count = 2};
    struct topology_env env = {0};
    void *state = calloc(1, o->state_bytes);
    struct why why = {""};

    conf.self.bytes[0] = 1;
    ck_assert_ptr_nonnull(state);
    ck_assert_int_eq(o->create(state, &conf, &env, &why), ST_RANGE);
    ck_assert_uint_gt(strlen(why.text), 0);
    free(state);
}
END_TEST

START_TEST(out_it_is_responsible_for_nothing)
{
    struct id id;
    struct id next;

    begin(_i, 1, 2);
    id = random_id();
    ck_assert(!ops->is_responsible(mesh_state(mesh, 1), &id));
    ck_assert(!ops->responsible_hint(mesh_state(mesh, 1), &id, &next));
    ck_assert_int_eq(ops->next_hop(mesh_state(mesh, 1), &id, false, &next), ST_UNREACHABLE);
    ck_assert_uint_eq(ops->neighbour_count(mesh_state(mesh, 1)), 0);
}
END_TEST

START_TEST(alone_it_is_responsible_for_all)
{
    struct id node[4];

    begin(_i, 1, 1);
    for (unsigned i = 0; i < 100; i++) {
        struct id id = random_id();
        struct id hint;

        ck_assert_int_eq(mesh_owner(mesh, &id), 0);
        ck_assert_int_eq(mesh_walk(mesh, 0, &id, false, NULL), 0);
        ck_assert_int_eq(mesh_walk(mesh, 0, &id, true, NULL), -1);
        ck_assert_uint_eq(ops->replica_set(mesh_state(mesh, 0), &id, node, 4), 0);
        ck_assert(ops->responsible_hint(mesh_state(mesh, 0), &id, &hint));
        ck_assert(id_equal(&hint, mesh_id(mesh, 0)));
    }
}
END_TEST

START_TEST(one_after_the_other)
{
    begin(_i, 2, 20);
    for (unsigned i = 1; i < 20; i++) {
        mesh_join(mesh, i, (unsigned)(mesh_random(mesh) % i));
        ck_assert(mesh_run_until_in(mesh, 20000));
        mesh_run_ms(mesh, QUIET_MS);
        check_routes(40);
    }
    mesh_run_ms(mesh, REPAIR_MS);
    check_dumps();
}
END_TEST

START_TEST(all_at_one_instant)
{
    join_all(_i, 3, 48);
    check_routes(500);
    check_dumps();
}
END_TEST

START_TEST(a_join_moves_responsibility)
{
    unsigned moved = 0;

    join_all(_i, 4, 12);
    for (unsigned round = 0; round < 10; round++) {
        unsigned joiner = mesh_add_random(mesh);
        int owner = mesh_owner(mesh, mesh_id(mesh, joiner));
        unsigned before = mesh_changes(mesh, (unsigned)owner);

        mesh_join(mesh, joiner, random_member());
        ck_assert(mesh_run_until_in(mesh, 20000));
        mesh_run_ms(mesh, QUIET_MS);
        ck_assert(ops->is_responsible(mesh_state(mesh, joiner), mesh_id(mesh, joiner)));
        moved += mesh_changes(mesh, (unsigned)owner) > before;
    }
    ck_assert_uint_eq(moved, 10);
}
END_TEST

START_TEST(replicas_become_responsible)
{
    join_all(_i, 5, 30);
    for (unsigned round = 0; round < 8; round++) {
        struct id id = random_id();
        struct id replica[2];
        int owner = mesh_owner(mesh, &id);
        int next;
        size_t count = ops->replica_set(mesh_state(mesh, (unsigned)owner), &id, replica, 2);

        ck_assert_uint_eq(count, 2);
        ck_assert(!id_equal(&replica[0], &replica[1]));
        mesh_crash(mesh, (unsigned)owner);
        mesh_run_ms(mesh, REPAIR_MS);
        next = mesh_owner(mesh, &id);
        ck_assert_msg(next >= 0, "%s: nobody took over", ops->name);
        ck_assert_msg(id_equal(mesh_id(mesh, (unsigned)next), &replica[0]) ||
                          id_equal(mesh_id(mesh, (unsigned)next), &replica[1]),
                      "%s: one without the records took over", ops->name);
    }
    check_routes(200);
    check_dumps();
}
END_TEST

START_TEST(hints_are_true)
{
    join_all(_i, 6, 20);
    for (unsigned i = 0; i < 200; i++) {
        struct id id = random_id();
        unsigned at = random_member();
        int owner = mesh_owner(mesh, &id);
        bool is_known = false;
        struct id hint;

        if (!ops->responsible_hint(mesh_state(mesh, at), &id, &hint))
            continue;
        for (unsigned node = 0; node < mesh_count(mesh); node++)
            is_known |= id_equal(&hint, mesh_id(mesh, node)) && mesh_is_member(mesh, node);
        ck_assert(is_known);
        ck_assert_int_eq(id_equal(&hint, mesh_id(mesh, at)), owner == (int)at);
    }
}
END_TEST

START_TEST(leaving_leaves_no_gap)
{
    join_all(_i, 7, 30);
    for (unsigned i = 0; i < 12; i++) {
        mesh_leave(mesh, random_member());
        mesh_run_ms(mesh, QUIET_MS);
        check_routes(50);
    }
    mesh_run_ms(mesh, REPAIR_MS);
    check_dumps();
}
END_TEST

START_TEST(a_crash_of_a_fifth_is_mended)
{
    join_all(_i, 8, 60);
    for (unsigned i = 0; i < 12; i++)
        mesh_crash(mesh, random_member());
    mesh_run_ms(mesh, REPAIR_MS);
    check_routes(400);
    check_dumps();
}
END_TEST

START_TEST(down_to_one_and_up_again)
{
    join_all(_i, 9, 10);
    for (unsigned i = 1; i < 10; i++) {
        if (i % 2)
            mesh_leave(mesh, i);
        else
            mesh_crash(mesh, i);
        mesh_run_ms(mesh, REPAIR_MS);
        check_routes(20);
    }
    ck_assert_uint_eq(ops->neighbour_count(mesh_state(mesh, 0)), 0);
    for (unsigned i = 1; i < 10; i += 2)
        mesh_join(mesh, i, 0);
    ck_assert(mesh_run_until_in(mesh, 20000));
    mesh_run_ms(mesh, REPAIR_MS);
    check_routes(100);
    check_dumps();
}
END_TEST

START_TEST(come_and_go)
{
    join_all(_i, 10, 40);
    for (unsigned round = 0; round < 40; round++) {
        unsigned gone = random_member();
        unsigned joiner = mesh_add_random(mesh);

        if (round % 2)
            mesh_crash(mesh, gone);
        else
            mesh_leave(mesh, gone);
        mesh_join(mesh, joiner, random_member());
        mesh_run_ms(mesh, mesh_random(mesh) % 2000);
    }
    ck_assert(mesh_run_until_in(mesh, 60000));
    mesh_run_ms(mesh, 2 * REPAIR_MS);
    check_routes(400);
    check_dumps();
}
END_TEST

START_TEST(rubbish_does_no_harm)
{
    const uint16_t code[] = {MESSAGE_JOIN_REQ, MESSAGE_LEAVE_REQ, MESSAGE_UPDATE_REQ,
                             MESSAGE_ROUTE_QUERY_REQ};
    uint8_t bytes[256];
    struct why why;

    join_all(_i, 11, 8);
    for (unsigned i = 0; i < 4000; i++) {
        unsigned at = random_member();
        struct writer answer;
        struct topology_request req = {.from = i % 2 ? random_id() : *mesh_id(mesh, i % 8),
                                       .code = code[mesh_random(mesh) % 4],
                                       .body = slice_of(bytes, mesh_random(mesh) % 200),
                                       .is_for_resource = i % 3 == 0};
        struct moment now = {.mono_ms = mesh_now_ms(mesh)};

        for (unsigned k = 0; k < sizeof(bytes); k++)
            bytes[k] = (uint8_t)(mesh_random(mesh) % (i % 5 ? 256 : 4));
        writer_init(&answer, 4096);
        (void)ops->on_request((void *)(uintptr_t)mesh_state(mesh, at), now, &req, &answer, &why);
        writer_done(&answer);
    }
    mesh_run_ms(mesh, REPAIR_MS);
    check_routes(100);
}
END_TEST

/* A Join in the name of who is asked, then of another member: one ID has one owner all the same. */
START_TEST(a_taken_id_is_refused)
{
    static const uint8_t data[] = {1, 2};

    join_all(_i, 12, 8);
    for (unsigned i = 0; i < 48; i++) {
        unsigned at = random_member();
        unsigned taken = i % 2 ? at : random_member();
        struct join_req join = {.joining_peer = *mesh_id(mesh, taken),
                                .plugin = slice_of(data + (i / 2) % 2, (i / 4) % 2)};
        struct moment now = {.mono_ms = mesh_now_ms(mesh)};
        struct writer body, answer;
        struct topology_request req = {.from = join.joining_peer, .code = MESSAGE_JOIN_REQ};
        struct why why;
        enum status st;

        writer_init(&body, 256);
        writer_init(&answer, 4096);
        join_req_write(&body, &join);
        req.body = writer_slice(&body);
        st = ops->on_request((void *)(uintptr_t)mesh_state(mesh, at), now, &req, &answer, &why);
        ck_assert_msg(taken != at || st != ST_OK, "%s: lets itself in", ops->name);
        writer_done(&body);
        writer_done(&answer);
        mesh_run_ms(mesh, 500);
    }
    mesh_run_ms(mesh, REPAIR_MS);
    check_routes(100);
    check_dumps();
}
END_TEST

static Suite *
topology_suite(void)
{
    Suite *s = suite_create("topology");
    TCase *t = tcase_create("contract");
    int count = plugins_count();

    tcase_add_checked_fixture(t, NULL, teardown);
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, names_are_good, 0, count);
    tcase_add_loop_test(t, bad_parameters_are_told, 0, count);
    tcase_add_loop_test(t, out_it_is_responsible_for_nothing, 0, count);
    tcase_add_loop_test(t, alone_it_is_responsible_for_all, 0, count);
    tcase_add_loop_test(t, one_after_the_other, 0, count);
    tcase_add_loop_test(t, all_at_one_instant, 0, count);
    tcase_add_loop_test(t, a_join_moves_responsibility, 0, count);
    tcase_add_loop_test(t, replicas_become_responsible, 0, count);
    tcase_add_loop_test(t, hints_are_true, 0, count);
    tcase_add_loop_test(t, leaving_leaves_no_gap, 0, count);
    tcase_add_loop_test(t, a_crash_of_a_fifth_is_mended, 0, count);
    tcase_add_loop_test(t, down_to_one_and_up_again, 0, count);
    tcase_add_loop_test(t, come_and_go, 0, count);
    tcase_add_loop_test(t, rubbish_does_no_harm, 0, count);
    tcase_add_loop_test(t, a_taken_id_is_refused, 0, count);
    suite_add_tcase(s, t);
    return s;
}

int
main(void)
{
    return plugins_run(topology_suite);
}
