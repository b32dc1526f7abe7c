/* Who has become gateway asks the ring as often as a gateway does, from the first moment. */
#include <check.h>
#include <stdlib.h>

#include "gateway/node/node_internal.h"
#include "tests/sim/election_world.h"

enum { ASKED_MS = 500 };

static const uint16_t scores[] = {500, 400};
static struct world w;
static struct node node;

static uint64_t
pause_of(char name)
{
    node.election = world_election(&w, name);
    return node_reach_deadline_ms(&node) - ASKED_MS;
}

START_TEST(the_role_decides_when_the_ring_is_asked_next)
{
    uint32_t hello_ms;

    world_init(&w, scores, 2, NULL);
    hello_ms = w.node[0].conf.hello_ms;
    node.conf.election.hello_ms = hello_ms;
    node.peer[NODE_GLOBAL] = (struct peer *)&node; /* there is one: no more is asked of it */
    node.reach.asked_ms = ASKED_MS;
    world_start_all(&w);
    world_run_until(&w, 10000);
    ck_assert_int_eq(election_role(world_election(&w, 'a')), ELECTION_ACTIVE);
    ck_assert_int_eq(election_role(world_election(&w, 'b')), ELECTION_CANDIDATE);
    ck_assert_uint_eq(pause_of('a'), hello_ms);
    ck_assert_uint_eq(pause_of('b'), 5 * hello_ms);
    world_kill(&w, 'a');
    while (election_role(world_election(&w, 'b')) != ELECTION_ACTIVE && w.now_ms < 20000)
        world_run_until(&w, w.now_ms + 1);
    ck_assert_int_eq(election_role(world_election(&w, 'b')), ELECTION_ACTIVE);
    ck_assert_uint_eq(pause_of('b'), hello_ms); /* not only after its next question */
    world_done(&w);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("node_reach");
    TCase *tc = tcase_create("node_reach");

    tcase_add_test(tc, the_role_decides_when_the_ring_is_asked_next);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
