/* A plug-in that breaks its contract: the peer says so and goes down, the process goes on. */
#include "tests/unit/lan_ask.h"

#define BROKEN 1

static struct topology_ops broken;
static const void *broken_state; /* of host BROKEN, once it has formed or joined */
static bool is_breaking;
static struct topology_env broken_env;

/* Chord itself until the test says otherwise, and with any other host. */
static bool
breaks(const void *state)
{
    return is_breaking && state == broken_state;
}

static enum status
keep_env(void *state, const struct topology_conf *conf, const struct topology_env *env,
         struct why *why)
{
    broken_state = state;
    broken_env = *env;
    return chord_topology.create(state, conf, env, why);
}

static size_t
many_replicas(const void *state, const struct id *id, struct id *ret_node, size_t cap)
{
    size_t count = chord_topology.replica_set(state, id, ret_node, cap);

    return breaks(state) ? 4000000 : count;
}

static size_t
overflowing_replicas(const void *state, const struct id *id, struct id *ret_node, size_t cap)
{
    size_t count = chord_topology.replica_set(state, id, ret_node, cap);

    for (size_t i = 0; breaks(state) && i < cap + 3; i++)
        ret_node[i] = (struct id){{(uint8_t)(i + 1)}};
    return count;
}

static size_t
zero_replicas(const void *state, const struct id *id, struct id *ret_node, size_t cap)
{
    size_t count = chord_topology.replica_set(state, id, ret_node, cap);

    if (breaks(state) && count > 0)
        ret_node[0] = (struct id){{0}};
    return count;
}

static size_t
double_replicas(const void *state, const struct id *id, struct id *ret_node, size_t cap)
{
    size_t count = chord_topology.replica_set(state, id, ret_node, cap);

    if (breaks(state) && count > 1)
        ret_node[1] = ret_node[0];
    return count;
}

static enum status
no_hop(const void *state, const struct id *id, bool is_node, struct id *ret_next)
{
    return breaks(state) ? ST_OK : chord_topology.next_hop(state, id, is_node, ret_next);
}

static enum status
odd_hop(const void *state, const struct id *id, bool is_node, struct id *ret_next)
{
    return breaks(state) ? ST_NOMEM : chord_topology.next_hop(state, id, is_node, ret_next);
}

static bool
no_hint(const void *state, const struct id *id, struct id *ret_node)
{
    return breaks(state) || chord_topology.responsible_hint(state, id, ret_node);
}

static size_t
many_neighbours(const void *state)
{
    return breaks(state) ? SIZE_MAX : chord_topology.neighbour_count(state);
}

static void
nameless_dump(const void *state, void (*visit)(void *ctx, const struct topology_dump *line),
              void *ctx)
{
    struct topology_dump line = {0};

    if (breaks(state))
        visit(ctx, &line);
    else
        chord_topology.dump(state, visit, ctx);
}

static void
endless_note(const void *state, void (*visit)(void *ctx, const struct topology_dump *line),
             void *ctx)
{
    struct topology_dump line = {.table = "x"};

    memset(line.note, 'x', sizeof(line.note));
    if (breaks(state))
        visit(ctx, &line);
    else
        chord_topology.dump(state, visit, ctx);
}

static unsigned asking; /* which of the following */

static void
asks_too_much(void *state, struct moment now)
{
    struct topology_target to = {.count = 1, .to = {destination_node(lan_id(0))}};
    struct id zero = {{0}};

    if (!breaks(state)) {
        chord_topology.tick(state, now);
        return;
    }
    if (asking == 0) {
        to.count = 4000;
        broken_env.request(broken_env.ctx, 1, &to, MESSAGE_PING_REQ, slice_of(NULL, 0));
    } else if (asking == 1) {
        broken_env.request(broken_env.ctx, 1, &to, MESSAGE_STORE_REQ, slice_of(NULL, 0));
    } else if (asking == 2) {
        to.count = 0;
        broken_env.attach(broken_env.ctx, 1, &to, false);
    } else if (asking == 3) {
        broken_env.offer(broken_env.ctx, 1, &zero);
    } else if (asking == 4) {
        broken_env.joined(broken_env.ctx);
    } else {
        broken_env.request(broken_env.ctx, 1, &to, MESSAGE_PING_REQ, slice_of(NULL, 100));
    }
}

static uint64_t
always_due(const void *state)
{
    return breaks(state) ? lan_now().mono_ms : chord_topology.deadline_ms(state);
}

static void
visit_nothing(void *ctx, const struct topology_dump *line)
{
    (void)ctx;
    (void)line;
}

/* Three members, one of which runs the broken one and stores and asks until it shows. */
static const char *
breaks_with(void)
{
    static char error[512];
    struct peer_reply done = {on_reply, &(struct result){0}};
    struct peer_value v = {
        .kind = KIND_BINDING, .exists = true, .lifetime_s = 60, .value = slice_text("x")};
    char name[32];

    is_breaking = false;
    for (unsigned i = 0; i < 3; i++) {
        lan_add();
        if (i == BROKEN)
            lan.host[i].conf.topology = &broken;
        lan_start(i);
        peer_aim(lan_peer(i), lan_now(), PEER_AIM_MEMBER);
    }
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    lan_run_ms(1000);
    is_breaking = true;
    v.key = *lan_id(BROKEN);
    for (unsigned i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "user%u@test", i);
        peer_store(lan_peer(BROKEN), lan_now(), name, &v, &done);
        peer_dump(lan_peer(BROKEN), visit_nothing, NULL);
        lan_run_ms(30);
    }
    ck_assert_int_eq(peer_state(lan_peer(BROKEN)), PEER_DOWN);
    ck_assert_uint_eq(lan.host[BROKEN].error_lines, 1);
    ck_assert_ptr_nonnull(strstr(lan.host[BROKEN].last_error, "plug-in chord broke its contract"));
    memcpy(error, lan.host[BROKEN].last_error, sizeof(error));
    peer_aim(lan_peer(BROKEN), lan_now(), PEER_AIM_MEMBER); /* it is not tried again */
    lan_run_ms(20000);
    ck_assert_int_eq(peer_state(lan_peer(BROKEN)), PEER_DOWN);
    ck_assert_int_eq(peer_state(lan_peer(0)), PEER_JOINED);
    ck_assert_uint_eq(peer_neighbour_count(lan_peer(0)), 1);
    lan_teardown();
    lan_setup();
    return error;
}

static bool
says(const char *error, const char *said)
{
    if (!strstr(error, said))
        fprintf(stderr, "%s, not %s\n", error, said);
    return strstr(error, said) != NULL;
}

#define WITH(function, broken_one)                                                                 \
    (broken = chord_topology, broken.create = keep_env, broken.function = broken_one, breaks_with())

START_TEST(test_replica_set)
{
    ck_assert(
        says(WITH(replica_set, many_replicas), "replica_set: more replicas than were asked for"));
    ck_assert(says(WITH(replica_set, overflowing_replicas),
                   "replica_set: more replicas than were asked for"));
    ck_assert(
        says(WITH(replica_set, zero_replicas), "replica_set: a replica that is no other node"));
    ck_assert(says(WITH(replica_set, double_replicas), "replica_set: one replica twice"));
}
END_TEST

START_TEST(test_routes)
{
    ck_assert(says(WITH(next_hop, no_hop), "next_hop: no other node"));
    ck_assert(says(WITH(next_hop, odd_hop), "next_hop: a status"));
    ck_assert(says(WITH(responsible_hint, no_hint), "responsible_hint: no node"));
}
END_TEST

START_TEST(test_tables)
{
    ck_assert(says(WITH(neighbour_count, many_neighbours), "neighbour_count: more"));
    ck_assert(says(WITH(dump, nameless_dump), "dump: a line without a table"));
    ck_assert(says(WITH(dump, endless_note), "dump: a note without an end"));
}
END_TEST

START_TEST(test_what_it_asks)
{
    static const char *const said[] = {"env.request: a target of no entries, or of too many",
                                       "env.request: a request that is none of a plug-in's",
                                       "env.attach: a target",
                                       "env.offer: no other node",
                                       "env.joined: while it does not join",
                                       "env.request: a body that cannot be sent"};

    for (asking = 0; asking < sizeof(said) / sizeof(said[0]); asking++) {
        broken = chord_topology;
        broken.create = keep_env;
        broken.deadline_ms = always_due;
        broken.tick = asks_too_much;
        ck_assert(says(breaks_with(), said[asking]));
    }
    ck_assert_uint_eq(asking, 6);
}
END_TEST

START_TEST(test_two_versions)
{
    for (unsigned i = 0; i < 3; i++) {
        lan_add();
        lan.host[i].conf.topology_version = i < 2 ? 1 : 2;
        lan_start(i);
        peer_aim(lan_peer(i), lan_now(), PEER_AIM_MEMBER);
    }
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    lan_run_ms(60000);
    ck_assert_uint_eq(lan.host[0].warn_lines, 1); /* of the third node, once */
    ck_assert_uint_eq(lan.host[1].warn_lines, 1);
    ck_assert_uint_eq(lan.host[2].warn_lines, 2);
    ck_assert_ptr_nonnull(
        strstr(lan.host[0].last_warn, "version 0000000000000002 of plug-in chord"));
    ck_assert_ptr_nonnull(
        strstr(lan.host[2].last_warn, "version 0000000000000001 of plug-in chord"));
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("peer promise");
    TCase *t = tcase_create("promises");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(t, lan_setup, lan_teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_replica_set);
    tcase_add_test(t, test_routes);
    tcase_add_test(t, test_tables);
    tcase_add_test(t, test_what_it_asks);
    tcase_add_test(t, test_two_versions);
    suite_add_tcase(suite, t);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
