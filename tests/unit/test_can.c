#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "local-overlays/can/can.h"
#include "local-overlays/can/can_body.h"
#include "local-overlays/can/can_list.h"
#include "local-overlays/can/can_zone.h"
#include "tests/sim/mesh.h"

#define NODES_MAX 1024u

static struct mesh *mesh;

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
grow(const struct topology_ops *ops, uint64_t seed, unsigned count)
{
    mesh = mesh_new(ops, seed);
    for (unsigned i = 0; i < count; i++)
        mesh_add_random(mesh);
    mesh_form(mesh, 0);
    for (unsigned i = 1; i < count; i++)
        mesh_join(mesh, i, 0);
    ck_assert(mesh_run_until_in(mesh, 120000));
    mesh_run_ms(mesh, 30000);
}

/* ---- the truth, computed from all that are members ------------------------------------------ */

static int
true_owner(const struct id *id)
{
    const struct id *node[NODES_MAX];
    const struct id *owner;
    size_t count = 0;

    for (unsigned i = 0; i < mesh_count(mesh); i++)
        if (mesh_is_member(mesh, i))
            node[count++] = mesh_id(mesh, i);
    owner = can_owner_among(4, id, node, count);
    for (unsigned i = 0; i < mesh_count(mesh); i++)
        if (mesh_id(mesh, i) == owner)
            return (int)i;
    return -1;
}

static double
check_lookups(unsigned count)
{
    unsigned sum = 0;

    for (unsigned i = 0; i < count; i++) {
        struct id id = random_id();
        unsigned node = random_member();
        unsigned hops = 0;
        int owner = true_owner(&id);

        ck_assert_int_eq(mesh_owner(mesh, &id), owner);
        ck_assert_int_eq(mesh_walk(mesh, random_member(), &id, false, &hops), owner);
        ck_assert_int_eq(mesh_walk(mesh, random_member(), mesh_id(mesh, node), true, NULL), node);
        sum += hops;
    }
    return (double)sum / count;
}

static struct can_zone
zone_among(unsigned dimensions, const struct id *node, size_t count, size_t which)
{
    struct can_levels levels = {{0}};

    for (size_t i = 0; i < count; i++)
        if (i != which)
            can_levels_set(&levels, id_common_bits(&node[i], &node[which]));
    return can_zone_of(dimensions, &node[which], &levels);
}

/* ---- zones ---------------------------------------------------------------------------------- */

#define TILES 60u

START_TEST(zones_tile_the_torus)
{
    unsigned dimensions = (unsigned)_i;
    struct id node[TILES];
    struct can_zone zone[TILES];
    double volume = 0;

    mesh = mesh_new(&can_topology, (uint64_t)_i);
    for (unsigned i = 0; i < TILES; i++)
        node[i] = random_id();
    for (unsigned i = 0; i < TILES; i++) {
        struct can_point own = can_point_of(dimensions, &node[i]);

        zone[i] = zone_among(dimensions, node, TILES, i);
        ck_assert(can_zone_distance(dimensions, &zone[i], &own) == 0);
        volume += 1 / (double)(UINT64_C(1) << (unsigned)can_zone_bits(dimensions, &zone[i]));
        for (unsigned k = 0; k < i; k++)
            ck_assert(!can_zone_overlaps(dimensions, &zone[i], &zone[k]));
    }
    ck_assert(volume > 0.5 && volume < 2);
    for (unsigned round = 0; round < 500; round++) {
        struct id id = random_id();
        struct can_point p = can_point_of(dimensions, &id);
        const struct id *all[TILES];
        unsigned owners = 0;

        for (unsigned i = 0; i < TILES; i++)
            all[i] = &node[i];
        for (unsigned i = 0; i < TILES; i++) {
            if (can_zone_distance(dimensions, &zone[i], &p) != 0)
                continue;
            owners++;
            ck_assert(can_owner_among(dimensions, &id, all, TILES) == &node[i]);
            for (unsigned k = 0; k < TILES; k++)
                all[k] = &node[k];
        }
        ck_assert_uint_eq(owners, 1);
    }
}
END_TEST

/* From any zone some zone that touches it is nearer to any point outside: greedy never sticks. */
START_TEST(a_nearer_zone_always_touches)
{
    unsigned dimensions = (unsigned)_i;
    struct id node[TILES];
    struct can_zone zone[TILES];

    mesh = mesh_new(&can_topology, 100 + (uint64_t)_i);
    for (unsigned i = 0; i < TILES; i++)
        node[i] = random_id();
    for (unsigned i = 0; i < TILES; i++)
        zone[i] = zone_among(dimensions, node, TILES, i);
    for (unsigned round = 0; round < 200; round++) {
        struct id id = random_id();
        struct can_point p = can_point_of(dimensions, &id);

        for (unsigned i = 0; i < TILES; i++) {
            can_distance own = can_zone_distance(dimensions, &zone[i], &p);
            bool is_found = own == 0;

            for (unsigned k = 0; k < TILES && !is_found; k++)
                is_found = k != i && can_zone_touches(dimensions, &zone[i], &zone[k]) &&
                           can_zone_distance(dimensions, &zone[k], &p) < own;
            ck_assert(is_found);
        }
    }
}
END_TEST

#define PAPER_NODES   1000u
#define PAPER_LOOKUPS 4000u

/* Greedy steps over neighbours alone, as figure 4 of the paper counts them. */
static unsigned
steps_to(unsigned dimensions, const struct can_zone *zone, unsigned from, const struct can_point *p)
{
    can_distance best = can_zone_distance(dimensions, &zone[from], p);
    unsigned steps = 0;

    while (best > 0) {
        unsigned next = from;

        for (unsigned i = 0; i < PAPER_NODES; i++) {
            can_distance d = can_zone_distance(dimensions, &zone[i], p);
            if (d < best && can_zone_touches(dimensions, &zone[from], &zone[i])) {
                best = d;
                next = i;
            }
        }
        ck_assert_uint_ne(next, from);
        from = next;
        steps++;
    }
    return steps;
}

static double
mean_steps(unsigned dimensions)
{
    static struct id node[PAPER_NODES];
    static struct can_zone zone[PAPER_NODES];
    unsigned sum = 0;

    mesh = mesh_new(&can_topology, 7);
    for (unsigned i = 0; i < PAPER_NODES; i++)
        node[i] = random_id();
    for (unsigned i = 0; i < PAPER_NODES; i++)
        zone[i] = zone_among(dimensions, node, PAPER_NODES, i);
    for (unsigned i = 0; i < PAPER_LOOKUPS; i++) {
        struct id id = random_id();
        struct can_point p = can_point_of(dimensions, &id);
        sum += steps_to(dimensions, zone, (unsigned)(mesh_random(mesh) % PAPER_NODES), &p);
    }
    return (double)sum / PAPER_LOOKUPS;
}

/* Figure 4: 12.2 steps with two dimensions and 1000 nodes, 6.1 with three. */
START_TEST(steps_follow_the_paper)
{
    double two = mean_steps(2);
    double three;

    teardown();
    three = mean_steps(3);
    ck_assert_msg(two > 11 && two < 13.5, "%.2f steps with 2 dimensions", two);
    ck_assert_msg(three > 5.4 && three < 6.8, "%.2f steps with 3 dimensions", three);
}
END_TEST

START_TEST(the_torus_wraps)
{
    struct can_levels levels = {{0xf0}};
    struct id low = {{0}};
    struct id high = {{0}};
    struct can_zone a;
    struct can_zone b;
    struct can_point p;

    high.bytes[0] = 0xa0; /* the other end of dimension 0 of 2, the same place in dimension 1 */
    a = can_zone_of(2, &low, &levels);
    b = can_zone_of(2, &high, &levels);
    ck_assert(a.low[0] == 0 && a.high[0] == UINT64_MAX >> 2);
    ck_assert(b.low[0] == UINT64_C(3) << 62 && b.high[0] == UINT64_MAX);
    ck_assert(can_zone_touches(2, &a, &b));
    ck_assert(!can_zone_overlaps(2, &a, &b));
    p = can_point_of(2, &high);
    ck_assert(can_zone_distance(2, &a, &p) == (can_distance)1 << 62);
}
END_TEST

/* ---- bodies --------------------------------------------------------------------------------- */

START_TEST(news_are_read_as_written)
{
    struct can_news n = {.type = CAN_ADMITTED, .uptime_s = 0x01020304};
    struct can_news back;
    struct can_peer peer;
    struct can_levels levels = {{0x80, 1}};
    struct id node = {{7}};
    struct writer peers, w;

    writer_init(&peers, 1000);
    writer_init(&w, 1000);
    can_levels_set(&n.levels, 5);
    can_peer_write(&peers, &node, &levels);
    n.peers = writer_slice(&peers);
    can_news_write(&w, &n);
    ck_assert_uint_eq(w.len, 1 + 1 + 4 + 16 + 2 + CAN_PEER_BYTES);
    ck_assert_int_eq(can_news_read(writer_slice(&w), &back), ST_OK);
    ck_assert_uint_eq(back.type, CAN_ADMITTED);
    ck_assert_uint_eq(back.uptime_s, 0x01020304);
    ck_assert(can_levels_equal(&back.levels, &n.levels));
    ck_assert_uint_eq(can_news_peer_count(&back), 1);
    peer = can_news_peer(&back, 0);
    ck_assert(id_equal(&peer.node, &node) && can_levels_equal(&peer.levels, &levels));
    for (size_t len = 0; len < w.len; len++)
        ck_assert_int_eq(can_news_read(slice_of(w.data, len), &back), ST_MALFORMED);
    w.data[0] = 3;
    ck_assert_int_eq(can_news_read(writer_slice(&w), &back), ST_MALFORMED);
    writer_done(&peers);
    writer_done(&w);
}
END_TEST

/* However deep the levels of one of them are. */
START_TEST(a_list_is_what_was_told)
{
    struct can_peer told[3] = {{.node = {{1}}}, {.node = {{2}}}, {.node = {{3}}}};
    struct can_news n = {.type = CAN_MEMBER};
    struct can_list list = {0};
    struct writer w;

    can_levels_set(&told[0].levels, 0);
    can_levels_set(&told[0].levels, 19);
    can_levels_set(&told[1].levels, CAN_LEVELS - 1);
    for (unsigned count = 0; count <= 3; count++) {
        writer_init(&w, 256);
        for (unsigned i = 0; i < count; i++)
            can_peer_write(&w, &told[i].node, &told[i].levels);
        n.peers = writer_slice(&w);
        can_list_take(&list, &n);
        ck_assert_uint_eq(list.count, count);
        for (unsigned i = 0; i < 3; i++)
            ck_assert_int_eq(can_list_has(&list, &told[i].node), i < count);
        for (unsigned i = 0; i < count; i++) {
            struct can_peer peer = can_list_peer(&list, i);
            ck_assert(id_equal(&peer.node, &told[i].node));
            ck_assert(can_levels_equal(&peer.levels, &told[i].levels));
        }
        writer_done(&w);
    }
    can_list_free(&list);
    ck_assert_uint_eq(list.count, 0);
}
END_TEST

START_TEST(a_next_hop_is_a_node_id)
{
    uint8_t bytes[17] = {1, 2, 3};
    struct id next;

    ck_assert_int_eq(can_next_hop_read(slice_of(bytes, 16), &next), ST_OK);
    ck_assert_int_eq(memcmp(next.bytes, bytes, 16), 0);
    ck_assert_int_eq(can_next_hop_read(slice_of(bytes, 15), &next), ST_MALFORMED);
    ck_assert_int_eq(can_next_hop_read(slice_of(bytes, 17), &next), ST_MALFORMED);
}
END_TEST

START_TEST(parameters)
{
    static const char *const text[] = {
        "", "dimensions=2", "dimensions=8", "next-hop=rtt", "dimensions=4,next-hop=rtt",
        /* and what is refused */
        "dimensions=1", "dimensions=9", "dimensions=", "dimensions=33", "dimensions",
        " dimensions=3", "d=2", "next-hop=", "next-hop=rtt,dimensions=4", "dimensions=4,",
        "dimensions=4 next-hop=rtt", ",next-hop=rtt"};
    struct topology_env env = {0};
    struct why why;

    for (unsigned i = 0; i < sizeof(text) / sizeof(text[0]); i++) {
        struct topology_conf conf = {.replica_count = 2};
        void *state = calloc(1, can_topology.state_bytes);

        ck_assert_ptr_nonnull(state);
        snprintf(conf.parameters, sizeof(conf.parameters), "%s", text[i]);
        ck_assert_int_eq(can_topology.create(state, &conf, &env, &why), i < 5 ? ST_OK : ST_RANGE);
        can_topology.destroy(state);
        free(state);
    }
}
END_TEST

/* ---- overlays ------------------------------------------------------------------------------- */

static bool
knows(unsigned i, unsigned other)
{
    return topology_lists(&can_topology, mesh_state(mesh, i), mesh_id(mesh, other));
}

static unsigned
how_many_know(unsigned other)
{
    unsigned count = 0;

    for (unsigned i = 0; i < mesh_count(mesh); i++)
        count += i != other && mesh_is_member(mesh, i) && knows(i, other);
    return count;
}

START_TEST(many_at_one_instant)
{
    double hops;

    grow(&can_topology, 21, 150);
    hops = check_lookups(1500);
    ck_assert_msg(hops > 2 && hops < 4, "%.2f hops", hops);
}
END_TEST

START_TEST(a_third_crashes_at_once)
{
    unsigned members = 0;

    grow(&can_topology, 22, 90);
    for (unsigned i = 0; i < 30; i++)
        mesh_crash(mesh, random_member());
    mesh_run_ms(mesh, 60000);
    for (unsigned i = 0; i < 90; i++) {
        members += mesh_is_member(mesh, i);
        ck_assert_int_eq(how_many_know(i) > 0, mesh_is_member(mesh, i));
    }
    ck_assert_uint_eq(members, 60);
    check_lookups(500);
}
END_TEST

START_TEST(two_of_one_zone_join_at_one_instant)
{
    struct id node;

    for (uint64_t seed = 30; seed < 40; seed++) {
        grow(&can_topology, seed, 6);
        node = random_id();
        for (unsigned i = 0; i < 4; i++) {
            node.bytes[15] ^= (uint8_t)(1u << i); /* as near to each other as can be */
            mesh_join(mesh, mesh_add(mesh, &node), random_member());
        }
        ck_assert(mesh_run_until_in(mesh, 30000));
        mesh_run_ms(mesh, 5000);
        check_lookups(100);
        for (unsigned i = 6; i < 10; i++)
            ck_assert_int_eq(true_owner(mesh_id(mesh, i)), (int)i);
        teardown();
    }
}
END_TEST

START_TEST(a_way_around_a_doubtful_neighbour)
{
    unsigned dead_ends = 0;

    grow(&can_topology, 41, 100);
    for (unsigned round = 0; round < 300; round++) {
        struct id id = random_id();
        struct id next;
        unsigned from = random_member();
        int owner = true_owner(&id);
        int suspect = -1;

        if (can_topology.next_hop(mesh_state(mesh, from), &id, false, &next) != ST_OK)
            continue;
        for (unsigned i = 0; i < mesh_count(mesh); i++)
            if (id_equal(mesh_id(mesh, i), &next))
                suspect = (int)i;
        ck_assert_int_ge(suspect, 0);
        if (suspect == owner)
            continue; /* there is no other way to the owner itself */
        mesh_suspect(mesh, from, (unsigned)suspect, true);
        dead_ends += mesh_walk(mesh, from, &id, false, NULL) != owner;
        mesh_suspect(mesh, from, (unsigned)suspect, false);
    }
    ck_assert_uint_le(dead_ends, 6); /* where the only other ways lead away from the target */
}
END_TEST

static enum status
create_by_rtt(void *state, const struct topology_conf *conf, const struct topology_env *env,
              struct why *why)
{
    struct topology_conf by_rtt = *conf;

    snprintf(by_rtt.parameters, sizeof(by_rtt.parameters), "next-hop=rtt");
    return can_topology.create(state, &by_rtt, env, why);
}

/* How long @count messages are under way to random IDs, all told. */
static uint64_t
travel_us(unsigned count)
{
    uint64_t sum_us = 0;

    for (unsigned i = 0; i < count; i++) {
        uint64_t bits = 7919u * (i + 1u); /* the same IDs in both overlays */
        struct id id, next;
        unsigned at = i % mesh_count(mesh);
        unsigned to;

        for (unsigned half = 0; half < 2; half++, bits *= UINT64_C(0x9e3779b97f4a7c15)) {
            uint64_t mixed = bits * UINT64_C(0xbf58476d1ce4e5b9);
            memcpy(id.bytes + 8 * half, &mixed, 8);
        }
        ck_assert_int_eq(mesh_walk(mesh, at, &id, false, NULL), true_owner(&id));
        while (can_topology.next_hop(mesh_state(mesh, at), &id, false, &next) == ST_OK) {
            for (to = 0; !id_equal(mesh_id(mesh, to), &next); to++)
                continue;
            sum_us += mesh_latency_us(mesh, at, to);
            at = to;
        }
    }
    return sum_us;
}

/* Section 3.3: of the neighbours that lead there the one with the most progress in the time. */
START_TEST(the_faster_way)
{
    static struct topology_ops by_rtt; /* the mesh has it until teardown */
    uint64_t plain_us, faster_us;

    grow(&can_topology, 46, 120);
    plain_us = travel_us(2000);
    teardown();
    by_rtt = can_topology;
    by_rtt.create = create_by_rtt;
    grow(&by_rtt, 46, 120);
    faster_us = travel_us(2000);
    printf("can: %.1f ms under way, with next-hop=rtt %.1f ms\n", (double)plain_us / 2e6,
           (double)faster_us / 2e6);
    ck_assert_msg(10 * faster_us < 9 * plain_us, "%.1f ms, without round-trip times %.1f ms",
                  (double)faster_us / 2e6, (double)plain_us / 2e6);
}
END_TEST

/* An Update in the name of @from comes to all other members; how many take it. */
static unsigned
tell_all(unsigned from, const struct can_news *news)
{
    struct writer body, answer;
    struct why why;
    unsigned taken = 0;

    writer_init(&body, CAN_NEWS_BYTES_MAX);
    writer_init(&answer, 1000);
    can_news_write(&body, news);
    for (unsigned i = 0; i < mesh_count(mesh); i++) {
        struct moment now = {.mono_ms = mesh_now_ms(mesh)};
        struct topology_request req = {
            .from = *mesh_id(mesh, from), .code = MESSAGE_UPDATE_REQ, .body = writer_slice(&body)};
        void *state = (void *)(uintptr_t)mesh_state(mesh, i);

        if (i != from && mesh_is_member(mesh, i))
            taken += can_topology.on_request(state, now, &req, &answer, &why) == ST_OK;
    }
    writer_done(&body);
    writer_done(&answer);
    return taken;
}

/* A liar claims all of the torus, then nearly nothing of it; nobody else's zone moves. */
START_TEST(a_lie_moves_nobody)
{
    struct can_news n = {.type = CAN_MEMBER};

    grow(&can_topology, 42, 40);
    for (unsigned round = 0; round < 2; round++) {
        memset(&n.levels, round ? 0xff : 0, sizeof(n.levels));
        (void)tell_all(0, &n);
        for (unsigned i = 0; i < 200; i++) {
            struct id id = random_id();
            ck_assert_int_eq(mesh_owner(mesh, &id), true_owner(&id));
        }
    }
    mesh_run_ms(mesh, 20000);
    check_lookups(200);
}
END_TEST

/* Names of nodes that do not exist are tried and forgotten. */
START_TEST(invented_nodes_are_forgotten)
{
    struct can_news n = {.type = CAN_MEMBER};
    struct writer peers;

    grow(&can_topology, 43, 20);
    writer_init(&peers, CAN_NEWS_BYTES_MAX);
    for (unsigned i = 0; i < 300; i++) {
        struct id node = random_id();
        can_peer_write(&peers, &node, &n.levels);
    }
    n.peers = writer_slice(&peers);
    ck_assert_uint_eq(tell_all(0, &n), 19);
    check_lookups(50);
    mesh_run_ms(mesh, 40000);
    check_lookups(200);
    writer_done(&peers);
}
END_TEST

START_TEST(who_has_left_is_no_member)
{
    struct can_news n = {.type = CAN_MEMBER, .levels = {{0xff}}};

    grow(&can_topology, 45, 20);
    mesh_leave(mesh, 7);
    mesh_run_ms(mesh, 8000);
    ck_assert_uint_eq(tell_all(7, &n), 19);
    ck_assert_uint_eq(how_many_know(7), 0);
    check_lookups(50);
    mesh_run_ms(mesh, 20000);
    ck_assert_uint_eq(how_many_know(7), 0);
    check_lookups(100);
}
END_TEST

/* All are told that a node is a member which is about to become one: they open links to it, and
 * whose its point is stays his until the node itself says that it is in. */
START_TEST(who_joins_is_no_member_yet)
{
    struct can_news n = {.type = CAN_MEMBER};
    struct can_levels deep = {{0xff, 0xff, 0xff}};
    struct writer peers;
    struct id node;
    unsigned owner = 1;
    unsigned linked = 0;

    grow(&can_topology, 47, 20);
    while (owner < 19 && !mesh_is_linked(mesh, 0, owner))
        owner++;
    node = *mesh_id(mesh, owner);
    node.bytes[15] ^= 1; /* its point is of that one's zone */
    mesh_join(mesh, mesh_add(mesh, &node), 0);
    mesh_run_ms(mesh, 1);
    writer_init(&peers, CAN_NEWS_BYTES_MAX);
    can_peer_write(&peers, &node, &deep);
    n.peers = writer_slice(&peers);
    ck_assert_uint_eq(tell_all(0, &n), 19);
    for (unsigned i = 0; i < 1000 && !mesh_is_member(mesh, 20); i++) {
        ck_assert_int_ne(mesh_owner(mesh, &node), -1);
        mesh_run_ms(mesh, 5);
        for (unsigned k = 1; k < 20; k++)
            linked += k != owner && mesh_is_linked(mesh, k, 20);
    }
    ck_assert(mesh_is_member(mesh, 20));
    ck_assert_uint_gt(linked, 0);
    mesh_run_ms(mesh, 5000);
    check_lookups(200);
    writer_done(&peers);
}
END_TEST

START_TEST(links_break_and_come_back)
{
    unsigned pair[60][2];
    unsigned broken = 0;
    unsigned back = 0;
    struct id node[30];

    grow(&can_topology, 44, 30);
    for (unsigned i = 0; i < 60; i++) {
        unsigned a = random_member();
        unsigned b = random_member();
        if (a == b || !mesh_is_linked(mesh, a, b) || !knows(a, b))
            continue;
        mesh_break(mesh, a, b);
        pair[broken][0] = a;
        pair[broken++][1] = b;
    }
    ck_assert_uint_ge(broken, 10);
    mesh_run_ms(mesh, 100);
    for (unsigned i = 0; i < broken; i++)
        ck_assert(!mesh_is_linked(mesh, pair[i][0], pair[i][1]));
    mesh_run_ms(mesh, 40000);
    for (unsigned i = 0; i < 30; i++)
        node[i] = *mesh_id(mesh, i);
    for (unsigned i = 0; i < broken; i++) {
        struct can_zone zone = zone_among(4, node, 30, pair[i][0]);
        struct can_zone other = zone_among(4, node, 30, pair[i][1]);
        if (!can_zone_touches(4, &zone, &other))
            continue; /* a witness: another may have its place */
        back++;
        ck_assert(mesh_is_linked(mesh, pair[i][0], pair[i][1]));
        ck_assert(knows(pair[i][0], pair[i][1]) && knows(pair[i][1], pair[i][0]));
    }
    ck_assert_uint_ge(back, 10);
    check_lookups(300);
}
END_TEST

static Suite *
can_suite(void)
{
    Suite *s = suite_create("can");
    TCase *t = tcase_create("can");

    tcase_add_checked_fixture(t, NULL, teardown);
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, zones_tile_the_torus, CAN_DIMENSIONS_MIN, CAN_DIMENSIONS_MAX + 1);
    tcase_add_loop_test(t, a_nearer_zone_always_touches, CAN_DIMENSIONS_MIN,
                        CAN_DIMENSIONS_MAX + 1);
    tcase_add_test(t, steps_follow_the_paper);
    tcase_add_test(t, the_torus_wraps);
    tcase_add_test(t, news_are_read_as_written);
    tcase_add_test(t, a_list_is_what_was_told);
    tcase_add_test(t, a_next_hop_is_a_node_id);
    tcase_add_test(t, parameters);
    tcase_add_test(t, many_at_one_instant);
    tcase_add_test(t, a_third_crashes_at_once);
    tcase_add_test(t, two_of_one_zone_join_at_one_instant);
    tcase_add_test(t, a_way_around_a_doubtful_neighbour);
    tcase_add_test(t, the_faster_way);
    tcase_add_test(t, a_lie_moves_nobody);
    tcase_add_test(t, invented_nodes_are_forgotten);
    tcase_add_test(t, who_has_left_is_no_member);
    tcase_add_test(t, who_joins_is_no_member_yet);
    tcase_add_test(t, links_break_and_come_back);
    suite_add_tcase(s, t);
    return s;
}

int
main(void)
{
    SRunner *runner = srunner_create(can_suite());
    int failed;

    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
