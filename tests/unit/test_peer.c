#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "local-overlays/peer_internal.h"
#include "tests/unit/lan_ask.h"

/* ---- starting ----------------------------------------------------------------------------------
 */

START_TEST(test_alone)
{
    lan_members(1);
    lan_run_ms(100);
    ck_assert_int_eq(peer_state(lan_peer(0)), PEER_ALONE);
    ck_assert(peer_is_member(lan_peer(0)));
    ck_assert_int_eq(lan.host[0].state, PEER_ALONE);
    ck_assert_int_eq(store(0, "alice@test", "here", true).st, ST_OK);
    ck_assert_str_eq(fetch(0, "alice@test").value, "here");
}
END_TEST

START_TEST(test_nobody_answers)
{
    lan_start(lan_add());
    lan_start(lan_add());
    peer_aim(lan_peer(1), lan_now(), PEER_AIM_MEMBER);
    lan_crash(0);
    lan_run_ms(1900);
    ck_assert_int_eq(peer_state(lan_peer(1)), PEER_JOINING);
    lan_run_ms(300);
    ck_assert_int_eq(peer_state(lan_peer(1)), PEER_ALONE);
}
END_TEST

START_TEST(test_four_join)
{
    lan_members(4);
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    lan_run_ms(2000);
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_uint_eq(peer_neighbour_count(lan_peer(i)), 3);
        ck_assert_uint_eq(lan.host[i].remote_lines, 0);
    }
}
END_TEST

/* Everybody knows everybody, nobody is there first: the lowest Node-ID forms the overlay. */
START_TEST(test_lowest_forms)
{
    for (unsigned i = 0; i < 4; i++)
        lan_add();
    for (unsigned i = 0; i < 4; i++) {
        lan.host[i].conf.bootstrap_count = 4;
        for (unsigned o = 0; o < 4; o++)
            snprintf(lan.host[i].conf.bootstrap[o], NODE_ADDRESS_BYTES, "10.0.0.%u:6084", o + 1);
        lan_start(i);
    }
    for (unsigned i = 0; i < 4; i++)
        peer_aim(lan_peer(i), lan_now(), PEER_AIM_MEMBER);
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    lan_run_ms(2000);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_uint_eq(peer_neighbour_count(lan_peer(i)), 3);
}
END_TEST

/* A machine above the peer watches, aims and learns in the middle of its step: what is under way,
 * a fetch from this very node, must not end there. */
START_TEST(test_no_completion_in_a_call)
{
    const struct node_ref other = {.node = {{9}}, .name = "other", .address = "10.0.0.9:6084"};
    struct result r = {0};
    struct peer_fetched done = {on_fetched, &r};

    lan_members(1);
    lan_run_ms(100);
    peer_fetch(lan_peer(0), lan_now(), "alice@test", KIND_BINDING, &done);
    peer_watch(lan_peer(0), lan_now(), &other.node, "");
    peer_unwatch(lan_peer(0), lan_now(), &other.node);
    peer_learn(lan_peer(0), lan_now(), &other);
    peer_answer(lan_peer(0), lan_now(), 4711, ST_OK, slice_of(NULL, 0));
    peer_aim(lan_peer(0), lan_now(), PEER_AIM_MEMBER);
    ck_assert_uint_eq(r.count, 0);
    ck_assert_uint_le(peer_deadline_ms(lan_peer(0)), lan_now().mono_ms);
    peer_tick(lan_peer(0), lan_now());
    ck_assert_uint_eq(r.count, 1);
    ck_assert_int_eq(r.st, ST_OK);
}
END_TEST

/* ---- storing -----------------------------------------------------------------------------------
 */

START_TEST(test_store_and_fetch)
{
    lan_members(4);
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    lan_run_ms(2000);
    for (unsigned i = 0; i < 4; i++) {
        struct result r = store(i, "alice@test", "one", true);
        ck_assert_int_eq(r.st, ST_OK);
        ck_assert(id_equal(&r.from.node, lan_id(responsible_for("alice@test"))));
    }
    for (unsigned i = 0; i < 4; i++) {
        struct result r = fetch(i, "alice@test");
        ck_assert_int_eq(r.st, ST_OK);
        ck_assert_uint_eq(r.data, 4);
        ck_assert_str_eq(r.value, "one");
    }
    ck_assert_int_eq(store(2, "alice@test", "", false).st, ST_OK);
    ck_assert_uint_eq(fetch(0, "alice@test").data, 3);
    ck_assert_uint_eq(fetch(0, "bob@test").data, 0);
    ck_assert_int_eq(fetch(0, "bob@test").st, ST_OK);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_uint_eq(lan.host[i].remote_lines, 0);
}
END_TEST

START_TEST(test_replicas_survive)
{
    unsigned owner;

    lan_members(5);
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    lan_run_ms(2000);
    ck_assert_int_eq(store(0, "alice@test", "one", true).st, ST_OK);
    ck_assert_uint_eq(holders(), 3);
    for (unsigned gone = 0; gone < 3; gone++) {
        owner = responsible_for("alice@test");
        if (owner == 0)
            break;
        lan_crash(owner);
        lan_run_ms(3000);
        ck_assert_uint_ge(holders(), 2);
        ck_assert_str_eq(fetch(0, "alice@test").value, "one");
    }
}
END_TEST

START_TEST(test_joiner_gets_records)
{
    char name[32];

    lan_members(2);
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    for (unsigned i = 0; i < 20; i++) {
        snprintf(name, sizeof(name), "u%u@test", i);
        ck_assert_int_eq(store(0, name, name, true).st, ST_OK);
    }
    for (unsigned i = 0; i < 3; i++) {
        lan_start(lan_add());
        peer_aim(lan_peer(lan.count - 1), lan_now(), PEER_AIM_MEMBER);
        ck_assert(lan_run_until(PEER_JOINED, 10000));
        for (unsigned u = 0; u < 20; u++) {
            snprintf(name, sizeof(name), "u%u@test", u);
            ck_assert_str_eq(fetch(lan.count - 1, name).value, name);
        }
    }
    lan_run_ms(5000);
    for (unsigned u = 0; u < 20; u++) {
        snprintf(name, sizeof(name), "u%u@test", u);
        ck_assert_str_eq(fetch(1, name).value, name);
    }
}
END_TEST

START_TEST(test_leave_hands_over)
{
    char name[32];

    lan_members(4);
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    lan_run_ms(1000);
    for (unsigned i = 0; i < 10; i++) {
        snprintf(name, sizeof(name), "u%u@test", i);
        ck_assert_int_eq(store(0, name, name, true).st, ST_OK);
    }
    for (unsigned i = 3; i > 0; i--) {
        peer_aim(lan_peer(i), lan_now(), PEER_AIM_NOTHING);
        lan_run_ms(3000);
        ck_assert_int_eq(peer_state(lan_peer(i)), PEER_DOWN);
        for (unsigned u = 0; u < 10; u++) {
            snprintf(name, sizeof(name), "u%u@test", u);
            ck_assert_str_eq(fetch(0, name).value, name);
        }
    }
    ck_assert_int_eq(peer_state(lan_peer(0)), PEER_ALONE);
}
END_TEST

/* ---- asking ------------------------------------------------------------------------------------
 */

START_TEST(test_ask)
{
    lan_members(4);
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    struct result r = ask(3, 1, 0);
    ck_assert_int_eq(r.st, ST_OK);
    ck_assert_str_eq(r.body, "yes");
    ck_assert(id_equal(&r.from.node, lan_id(1)));
    ck_assert_str_eq(r.from.user, "n1@test");
    ck_assert_str_eq(lan.host[1].last_request_body, "hello");
    ck_assert(id_equal(&lan.host[1].last_request.from, lan_id(3)));
    lan.host[1].is_answering = false;
    ck_assert_int_eq(ask(3, 1, 250).st, ST_TIMEOUT);
}
END_TEST

START_TEST(test_retransmission)
{
    lan_members(2);
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    lan_run_ms(1000);
    lan.tap = lose;
    for (unsigned lost = 1; lost <= 4; lost++) {
        lost_left = lost;
        lan.host[0].requests = 0;
        ck_assert_int_eq(ask(1, 0, 0).st, ST_OK);
        ck_assert_uint_eq(lan.host[0].requests, 1); /* carried out once, however often it came */
    }
    ck_assert_uint_gt(peer_counters_of(lan_peer(1))->retransmitted, 3);
}
END_TEST

struct traced {
    unsigned count;
    enum status st;
    size_t hops;
    struct peer_hop last;
};

static void
on_traced(void *ctx, struct moment now, enum status st, const struct peer_hop *hop, size_t count)
{
    struct traced *t = ctx;

    (void)now;
    t->count++;
    t->st = st;
    t->hops = count;
    if (count > 0)
        t->last = hop[count - 1];
}

START_TEST(test_trace)
{
    lan_members(5);
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    lan_run_ms(1000);
    for (unsigned i = 0; i < 5; i++) {
        unsigned owner = responsible_for("alice@test");
        struct traced t = {0};
        struct peer_traced done = {on_traced, &t};
        peer_trace(lan_peer(i), lan_now(), "alice@test", &done);
        lan_run_ms(3000);
        ck_assert_uint_eq(t.count, 1);
        ck_assert_int_eq(t.st, ST_OK);
        ck_assert_uint_ge(t.hops, 1);
        ck_assert(id_equal(&t.last.ref.node, lan_id(owner)));
        ck_assert_str_eq(t.last.ref.address, lan.host[owner].conf.self.address);
    }
}
END_TEST

START_TEST(test_watch)
{
    unsigned a, b;

    lan_members(3);
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    a = lan_add();
    b = lan_add();
    lan_start(a);
    lan_start(b);
    peer_aim(lan_peer(a), lan_now(), PEER_AIM_CLIENT);
    peer_aim(lan_peer(b), lan_now(), PEER_AIM_CLIENT);
    lan_run_ms(1000);
    ck_assert(!lan.host[a].is_linked[b]);
    peer_watch(lan_peer(a), lan_now(), lan_id(b), "");
    lan_run_ms(1000);
    ck_assert(lan.host[a].is_linked[b]);
    unsigned up = lan.host[a].links_up, down = lan.host[a].links_down;
    lan_cut(a, b);
    lan_run_ms(1000);
    ck_assert_uint_eq(lan.host[a].links_up, up + 1);
    ck_assert_uint_eq(lan.host[a].links_down, down + 1);
    ck_assert(lan.host[a].is_linked[b]);
    for (unsigned i = 0; i < 3; i++) /* a link is no place in the ring */
        ck_assert_uint_eq(peer_neighbour_count(lan_peer(i)), 2);
    peer_unwatch(lan_peer(a), lan_now(), lan_id(b));
    lan_cut(a, b);
    lan_run_ms(5000);
    ck_assert(!lan.host[a].is_linked[b]);
}
END_TEST

/* ---- partitions --------------------------------------------------------------------------------
 */

/* Two overlays of one name that learn of each other become one, with all their records. */
START_TEST(test_two_overlays)
{
    for (unsigned i = 0; i < 6; i++) {
        lan_add();
        lan.host[i].conf.bootstrap_count = 1;
        snprintf(lan.host[i].conf.bootstrap[0], NODE_ADDRESS_BYTES, "10.0.0.%u:6084",
                 i < 3 ? 1u : 4u);
        lan_start(i);
        peer_aim(lan_peer(i), lan_now(), PEER_AIM_MEMBER);
    }
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    lan_run_ms(2000);
    for (unsigned i = 0; i < 6; i++)
        ck_assert_uint_eq(peer_neighbour_count(lan_peer(i)), 2);
    ck_assert_int_eq(store(0, "alice@test", "left", true).st, ST_OK);
    ck_assert_int_eq(store(3, "bob@test", "right", true).st, ST_OK);
    peer_learn(lan_peer(0), lan_now(), &lan.host[3].conf.self);
    peer_learn(lan_peer(3), lan_now(), &lan.host[0].conf.self);
    lan_run_ms(100000);
    for (unsigned i = 0; i < 6; i++) {
        ck_assert_uint_eq(peer_neighbour_count(lan_peer(i)), 5);
        ck_assert_str_eq(fetch(i, "alice@test").value, "left");
        ck_assert_str_eq(fetch(i, "bob@test").value, "right");
    }
}
END_TEST

/* A node that was cut off for a moment is back soon after the cut ends: it looked all the time. */
START_TEST(test_cut_off_for_a_moment)
{
    lan_members(3);
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    lan_run_ms(2000);
    for (unsigned cut = 1; cut < 3; cut++) { /* 0 is the one that all bootstrap from */
        lan.host[cut].is_cut_off = true;
        for (unsigned i = 0; i < 3; i++)
            if (i != cut)
                lan_cut(cut, i);
        lan_run_ms(1000);
        ck_assert_int_eq(lan.host[cut].state, PEER_ALONE);
        lan.host[cut].is_cut_off = false;
        lan_run_ms(3000);
        for (unsigned i = 0; i < 3; i++)
            ck_assert_uint_eq(peer_neighbour_count(lan_peer(i)), 2);
    }
}
END_TEST

/* Who was alone joins the others, whatever its Node-ID: none of them moves. */
START_TEST(test_one_does_not_move_many)
{
    static const uint64_t gone_ms[] = {3000, 6000, 40000};
    unsigned cut = 0;

    lan_members(5);
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    lan_run_ms(2000);
    for (unsigned i = 1; i < 5; i++)
        if (id_compare(lan_id(i), lan_id(cut)) < 0)
            cut = i;
    for (unsigned round = 0; round < 3; round++) {
        lan.host[cut].is_cut_off = true;
        for (unsigned i = 0; i < 5; i++)
            if (i != cut)
                lan_cut(cut, i);
        lan_run_ms(gone_ms[round]);
        ck_assert_int_eq(lan.host[cut].state, PEER_ALONE);
        lan.host[cut].is_cut_off = false;
        for (unsigned ms = 0; ms < 20000; ms += 10) {
            lan_run_ms(10);
            for (unsigned i = 0; i < 5; i++)
                if (i != cut)
                    ck_assert_int_eq(lan.host[i].state, PEER_JOINED);
        }
        for (unsigned i = 0; i < 5; i++)
            ck_assert_uint_eq(peer_neighbour_count(lan_peer(i)), 4);
    }
}
END_TEST

static bool
lose_attach(unsigned from, unsigned to, struct slice *message)
{
    (void)from;
    (void)to;
    return peer_code_of(*message) != MESSAGE_ATTACH_REQ;
}

/* The member that a node joins by leaves.  It is known by two entries; neither is taken for a
 * member any more, and the node does without it instead of trying for ever. */
START_TEST(test_informant_leaves)
{
    struct node_ref twice;

    lan_members(1);
    ck_assert(lan_run_until(PEER_ALONE, 10000));
    lan_add();
    lan_start(1);
    twice = lan.host[0].conf.self;
    snprintf(twice.address, sizeof(twice.address), "10.0.0.99:6084");
    peer_learn(lan_peer(1), lan_now(), &twice);
    lan.tap = lose_attach;
    peer_aim(lan_peer(1), lan_now(), PEER_AIM_MEMBER);
    lan_run_ms(300);
    ck_assert_int_eq(lan.host[1].state, PEER_JOINING);
    peer_aim(lan_peer(0), lan_now(), PEER_AIM_CLIENT);
    lan.tap = NULL;
    lan_run_ms(10000);
    ck_assert_int_eq(peer_state(lan_peer(1)), PEER_ALONE);
}
END_TEST

/* What was asked through a member that goes away is not waited for: there is another one. */
START_TEST(test_informant_dies)
{
    unsigned informant;

    lan_members(2);
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    lan_run_ms(1000);
    lan_add();
    for (unsigned i = 0; i < 2; i++)
        snprintf(lan.host[2].conf.bootstrap[i], NODE_ADDRESS_BYTES, "10.0.0.%u:6084", i + 1);
    lan.host[2].conf.bootstrap_count = 2;
    lan_start(2);
    lan.tap = lose_attach;
    peer_aim(lan_peer(2), lan_now(), PEER_AIM_MEMBER);
    lan_run_ms(300);
    ck_assert_int_eq(lan.host[2].state, PEER_JOINING);
    informant = lan_find(&lan_peer(2)->informant);
    ck_assert_uint_lt(informant, 2);
    lan.tap = NULL;
    lan_crash(informant);
    lan_run_ms(400);
    ck_assert_int_eq(peer_state(lan_peer(2)), PEER_JOINED);
}
END_TEST

static bool
lose_pings_to_the_member(unsigned from, unsigned to, struct slice *message)
{
    return from != 1 || to != 0 || peer_code_of(*message) != MESSAGE_PING_REQ;
}

/* A link is up with a member through which no question is answered: nobody forms an overlay beside
 * that one's meanwhile. */
START_TEST(test_a_silent_link_is_waited_for)
{
    lan_members(1);
    ck_assert(lan_run_until(PEER_ALONE, 10000));
    lan_add();
    lan_start(1);
    lan.tap = lose_pings_to_the_member;
    peer_aim(lan_peer(1), lan_now(), PEER_AIM_MEMBER);
    lan_run_ms(10000);
    ck_assert_int_eq(peer_state(lan_peer(1)), PEER_JOINING);
    lan.tap = NULL;
    lan_run_ms(5000);
    ck_assert_int_eq(peer_state(lan_peer(1)), PEER_JOINED);
}
END_TEST

/* The bootstrap node restarts and forms an overlay of its own; the others find it again. */
START_TEST(test_bootstrap_restarts)
{
    lan_members(4);
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    lan_run_ms(2000);
    ck_assert_int_eq(store(1, "alice@test", "kept", true).st, ST_OK);
    lan_crash(0);
    lan_run_ms(3000);
    lan_start(0);
    peer_aim(lan_peer(0), lan_now(), PEER_AIM_MEMBER);
    lan_run_ms(1000);
    ck_assert_int_eq(peer_state(lan_peer(0)), PEER_ALONE);
    lan_run_ms(100000);
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_uint_eq(peer_neighbour_count(lan_peer(i)), 3);
        ck_assert_str_eq(fetch(i, "alice@test").value, "kept");
    }
}
END_TEST

/* ---- incompatible ------------------------------------------------------------------------------
 */

static enum status
other_create(void *state, const struct topology_conf *conf, const struct topology_env *env,
             struct why *why)
{
    return chord_topology.create(state, conf, env, why);
}

START_TEST(test_incompatible)
{
    struct topology_ops other = chord_topology;
    unsigned stranger;

    other.name = "other";
    other.create = other_create;
    lan_members(2);
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    stranger = lan_add();
    lan.host[stranger].conf.topology = &other;
    lan_start(stranger);
    peer_aim(lan_peer(stranger), lan_now(), PEER_AIM_MEMBER);
    lan_run_ms(3000);
    ck_assert_int_eq(peer_state(lan_peer(stranger)), PEER_DOWN);
    ck_assert_uint_eq(lan.host[stranger].error_lines, 1);
    ck_assert_uint_eq(peer_neighbour_count(lan_peer(0)), 1);
    lan_teardown(); /* its plug-in goes with this function */
}
END_TEST

/* ---- clients -----------------------------------------------------------------------------------
 */

START_TEST(test_client)
{
    unsigned client;

    lan_members(3);
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    client = lan_add();
    lan_start(client);
    peer_aim(lan_peer(client), lan_now(), PEER_AIM_CLIENT);
    ck_assert(lan_run_until(PEER_JOINED, 5000));
    ck_assert(!peer_is_member(lan_peer(client)));
    ck_assert_int_eq(store(client, "alice@test", "mine", true).st, ST_OK);
    ck_assert_str_eq(fetch(client, "alice@test").value, "mine");
    ck_assert_str_eq(fetch(2, "alice@test").value, "mine");
    ck_assert_int_eq(ask(client, 2, 0).st, ST_OK);
    ck_assert_uint_eq(peer_neighbour_count(lan_peer(1)), 2);
    peer_aim(lan_peer(client), lan_now(), PEER_AIM_MEMBER);
    lan_run_ms(3000);
    ck_assert(peer_is_member(lan_peer(client)));
    ck_assert_uint_eq(peer_neighbour_count(lan_peer(1)), 3);
    peer_aim(lan_peer(client), lan_now(), PEER_AIM_CLIENT);
    lan_run_ms(3000);
    ck_assert(!peer_is_member(lan_peer(client)));
    ck_assert_int_eq(peer_state(lan_peer(client)), PEER_JOINED);
    ck_assert_uint_eq(peer_neighbour_count(lan_peer(1)), 2);
    ck_assert_str_eq(fetch(client, "alice@test").value, "mine");
}
END_TEST

/* A node whose clock has gone back stores again, and what it stored before does not stand in its
 * way. */
START_TEST(test_clock_goes_back)
{
    lan_members(3);
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    lan_run_ms(1000);
    lan.wall_ahead_ms = 3600000;
    ck_assert_int_eq(store(1, "alice@test", "before", true).st, ST_OK);
    lan_crash(1);
    lan.wall_ahead_ms = 0;
    lan_run_ms(3000);
    lan_start(1);
    peer_aim(lan_peer(1), lan_now(), PEER_AIM_MEMBER);
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    ck_assert_int_eq(store(1, "alice@test", "after", true).st, ST_OK);
    ck_assert_str_eq(fetch(0, "alice@test").value, "after");
    ck_assert_int_eq(store(1, "alice@test", "later", true).st, ST_OK);
    ck_assert_str_eq(fetch(2, "alice@test").value, "later");
}
END_TEST

static Suite *
suite(void)
{
    Suite *s = suite_create("peer");
    TCase *t = tcase_create("peer");

    tcase_add_checked_fixture(t, lan_setup, lan_teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_alone);
    tcase_add_test(t, test_nobody_answers);
    tcase_add_test(t, test_four_join);
    tcase_add_test(t, test_lowest_forms);
    tcase_add_test(t, test_no_completion_in_a_call);
    tcase_add_test(t, test_store_and_fetch);
    tcase_add_test(t, test_replicas_survive);
    tcase_add_test(t, test_joiner_gets_records);
    tcase_add_test(t, test_leave_hands_over);
    tcase_add_test(t, test_ask);
    tcase_add_test(t, test_retransmission);
    tcase_add_test(t, test_trace);
    tcase_add_test(t, test_watch);
    tcase_add_test(t, test_two_overlays);
    tcase_add_test(t, test_one_does_not_move_many);
    tcase_add_test(t, test_informant_leaves);
    tcase_add_test(t, test_informant_dies);
    tcase_add_test(t, test_a_silent_link_is_waited_for);
    tcase_add_test(t, test_cut_off_for_a_moment);
    tcase_add_test(t, test_bootstrap_restarts);
    tcase_add_test(t, test_incompatible);
    tcase_add_test(t, test_client);
    tcase_add_test(t, test_clock_goes_back);
    suite_add_tcase(s, t);
    return s;
}

int
main(void)
{
    SRunner *r = srunner_create(suite());
    int failed;

    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed > 0;
}
