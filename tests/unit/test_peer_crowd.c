/* Many that wait for the first member, all of whom know all others: how much they ask each other.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/sim.h"

enum { NODES = 40, WAIT_MS = 10000, MEMBERS = 12 };

static struct sim *s;

static void
adjust(void *ctx, unsigned node, struct peer_conf *conf)
{
    (void)ctx;
    (void)node;
    conf->bootstrap_count = NODES;
    for (unsigned i = 0; i < NODES; i++)
        snprintf(conf->bootstrap[i], sizeof(conf->bootstrap[i]), "10.0.0.%u:6084", i);
}

static void
setup(void)
{
    struct sim_conf conf = {.topology = topology_find("chord"), .seed = 3, .adjust = adjust};

    s = sim_new(&conf);
    for (unsigned i = 0; i < NODES; i++) {
        sim_add(s);
        peer_aim(sim_peer(s, i), sim_now(s), PEER_AIM_CLIENT);
        sim_touch(s, i);
    }
    sim_run_ms(s, WAIT_MS);
}

static void
teardown(void)
{
    sim_free(s);
}

START_TEST(clients_without_a_member_ask_each_other_seldom)
{
    uint64_t before = sim_counters_of(s)->by_code[MESSAGE_PING_REQ];

    sim_run_ms(s, WAIT_MS);
    uint64_t pings = sim_counters_of(s)->by_code[MESSAGE_PING_REQ] - before;
    printf("%d clients: %.1f Pings a second each\n", NODES, (double)pings / NODES / WAIT_MS * 1000);
    ck_assert_uint_lt(pings, NODES * 15 * WAIT_MS / 1000);
}
END_TEST

/* Of those some become members: whoever is not one closes what it does not need, and is let be. */
START_TEST(who_joins_does_not_connect_to_clients_again_and_again)
{
    uint64_t links = sim_counters_of(s)->links;
    uint64_t pings = sim_counters_of(s)->by_code[MESSAGE_PING_REQ];
    unsigned joined = 0;

    for (unsigned i = 0; i < MEMBERS; i++) {
        peer_aim(sim_peer(s, i), sim_now(s), PEER_AIM_MEMBER);
        sim_touch(s, i);
    }
    sim_run_ms(s, WAIT_MS);
    for (unsigned i = 0; i < MEMBERS; i++)
        joined += sim_is_member(s, i);
    ck_assert_uint_eq(joined, MEMBERS);
    links = sim_counters_of(s)->links - links;
    pings = sim_counters_of(s)->by_code[MESSAGE_PING_REQ] - pings;
    printf("%d of them become members: %llu links, %llu Pings\n", MEMBERS,
           (unsigned long long)links, (unsigned long long)pings);
    ck_assert_uint_lt(links, 150);
    ck_assert_uint_lt(pings, 5000);
    for (unsigned i = MEMBERS; i < NODES; i++)
        ck_assert_int_eq(peer_state(sim_peer(s, i)), PEER_JOINED);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("peer_crowd");
    TCase *tc = tcase_create("peer_crowd");

    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, clients_without_a_member_ask_each_other_seldom);
    tcase_add_test(tc, who_joins_does_not_connect_to_clients_again_and_again);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
