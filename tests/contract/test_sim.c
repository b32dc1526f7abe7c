/*
 * Whole peers with every built-in plug-in, on the simulator: what the overlay promises to those who
 * store and fetch.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/contract/plugins.h"
#include "tests/sim/sim.h"

#define JOIN_MS    60000u
#define SETTLE_MS  30000u
#define PEERS      64u
#define RECORDS    40u
#define NAME_BYTES 32

static struct sim *sim;
static const struct topology_ops *ops;
static enum sim_latency latency;

static void
teardown(void)
{
    sim_free(sim);
    sim = NULL;
    latency = SIM_LATENCY_SPREAD;
}

static void
begin(int plugin, uint64_t seed, unsigned count, uint32_t loss_permille)
{
    struct sim_conf conf = {.seed = seed,
                            .latency = latency,
                            .loss_permille = loss_permille,
                            .is_loud = getenv("SIM_LOUD") != NULL};

    ops = conf.topology = plugins_at(plugin);
    ck_assert_ptr_nonnull(ops);
    sim = sim_new(&conf);
    for (unsigned i = 0; i < count; i++)
        sim_add(sim);
}

static void
join_all(int plugin, uint64_t seed, unsigned count, uint32_t loss_permille)
{
    begin(plugin, seed, count, loss_permille);
    for (unsigned i = 0; i < count; i++)
        sim_start(sim, i);
    ck_assert_msg(sim_run_until(sim, sim_are_all_joined, JOIN_MS), "%s, seed %llu: %u of %u joined",
                  ops->name, (unsigned long long)seed, sim_member_count(sim), count);
    sim_run_ms(sim, SETTLE_MS);
}

static void
check_lookups(size_t count)
{
    struct sim_lookup *lookup = calloc(count, sizeof(*lookup));

    ck_assert_ptr_nonnull(lookup);
    sim_lookups(sim, lookup, count, 50);
    for (size_t i = 0; i < count; i++) {
        int owner = sim_owner(sim, &lookup[i].resource);
        ck_assert_msg(owner >= 0, "%s: %s is responsible", ops->name,
                      owner == -1 ? "nobody" : "more than one");
        ck_assert_msg(lookup[i].st == ST_OK, "%s: lookup from %u: %s", ops->name, lookup[i].from,
                      status_text(lookup[i].st));
        ck_assert_msg(lookup[i].ended == owner, "%s: lookup from %u ended at %d, the owner is %d",
                      ops->name, lookup[i].from, lookup[i].ended, owner);
    }
    free(lookup);
}

static void
record_name(unsigned i, char name[NAME_BYTES])
{
    snprintf(name, NAME_BYTES, "user%u@site.sim", i);
}

static void
store_records(unsigned from, unsigned count)
{
    char name[NAME_BYTES];

    for (unsigned i = from; i < from + count; i++) {
        enum status st;

        record_name(i, name);
        st = sim_store(sim, sim_random_member(sim), name, "here");
        ck_assert_msg(st == ST_OK, "%s: store %u: %s", ops->name, i, status_text(st));
    }
}

static void
check_records(unsigned from, unsigned count)
{
    char name[NAME_BYTES];

    for (unsigned i = from; i < from + count; i++) {
        struct sim_lookup l;

        record_name(i, name);
        sim_lookup(sim, sim_random_member(sim), name, &l);
        ck_assert_msg(l.st == ST_OK && l.count == 1, "%s: record %u: %s, %zu values, %u holders",
                      ops->name, i, status_text(l.st), l.count, sim_holders(sim, name, NULL, 0));
    }
}

static void
check_holders(unsigned from, unsigned count, unsigned least)
{
    char name[NAME_BYTES];

    for (unsigned i = from; i < from + count; i++) {
        record_name(i, name);
        ck_assert_msg(sim_holders(sim, name, NULL, 0) >= least,
                      "%s: record %u has %u holders, not %u", ops->name, i,
                      sim_holders(sim, name, NULL, 0), least);
    }
}

/* ---- tests ---------------------------------------------------------------------------------- */

START_TEST(one_is_alone)
{
    struct sim_lookup l;

    join_all(_i, 1, 1, 0);
    ck_assert_int_eq(peer_state(sim_peer(sim, 0)), PEER_ALONE);
    ck_assert_int_eq(sim_store(sim, 0, "me@site.sim", "here"), ST_OK);
    sim_lookup(sim, 0, "me@site.sim", &l);
    ck_assert_int_eq(l.st, ST_OK);
    ck_assert_uint_eq(l.count, 1);
    ck_assert_int_eq(l.ended, 0);
}
END_TEST

START_TEST(one_by_one)
{
    begin(_i, 2, 24, 0);
    for (unsigned i = 0; i < 24; i++) {
        sim_start(sim, i);
        ck_assert(sim_run_until(sim, sim_are_all_joined, JOIN_MS));
    }
    sim_run_ms(sim, SETTLE_MS);
    check_lookups(200);
}
END_TEST

START_TEST(at_one_instant)
{
    for (uint64_t seed = 10; seed < 13; seed++) {
        join_all(_i, seed, PEERS, 0);
        check_lookups(500);
        teardown();
    }
}
END_TEST

START_TEST(on_lossy_links)
{
    join_all(_i, 20, PEERS, 10);
    store_records(0, RECORDS);
    check_lookups(500);
    check_records(0, RECORDS);
}
END_TEST

START_TEST(the_same_seed_is_the_same_run)
{
    struct sim_counters counters[2];

    for (unsigned i = 0; i < 2; i++) {
        join_all(_i, 30, 16, 10);
        counters[i] = *sim_counters_of(sim);
        teardown();
    }
    ck_assert_mem_eq(&counters[0], &counters[1], sizeof(counters[0]));
}
END_TEST

struct traced {
    bool is_done;
    enum status st;
    size_t count;
    struct id last;
};

static void
on_traced(void *ctx, struct moment now, enum status st, const struct peer_hop *hop, size_t count)
{
    struct traced *t = ctx;

    (void)now;
    *t = (struct traced){.is_done = true, .st = st, .count = count};
    if (count)
        t->last = hop[count - 1].ref.node;
}

/* What `resolve` shows: RouteQuery from hop to hop ends at the owner. */
START_TEST(routes_can_be_traced)
{
    char name[NAME_BYTES];

    join_all(_i, 15, PEERS, 0);
    for (unsigned i = 0; i < 20; i++) {
        unsigned from = sim_random_member(sim);
        struct traced t = {0};
        struct peer_traced done = {on_traced, &t};
        struct id id;

        record_name(i, name);
        id = sim_hash(name);
        peer_trace(sim_peer(sim, from), sim_now(sim), name, &done);
        sim_touch(sim, from);
        sim_run_ms(sim, 5000);
        ck_assert(t.is_done);
        ck_assert_int_eq(t.st, ST_OK);
        ck_assert_uint_ge(t.count, 1);
        ck_assert_msg(sim_find(sim, &t.last) == sim_owner(sim, &id), "%s: traced to another",
                      ops->name);
    }
}
END_TEST

START_TEST(records_survive_a_crash)
{
    join_all(_i, 40, 32, 0);
    store_records(0, RECORDS);
    check_holders(0, RECORDS, 3);
    for (unsigned i = 0; i < 6; i++) {
        sim_crash(sim, sim_random_member(sim), i % 2 ? SIM_CRASH_RESET : SIM_CRASH_SILENT);
        sim_run_ms(sim, SETTLE_MS);
        check_records(0, RECORDS);
        check_holders(0, RECORDS, 3);
    }
    check_lookups(200);
}
END_TEST

START_TEST(records_survive_two_crashes_at_once)
{
    join_all(_i, 50, 32, 0);
    store_records(0, RECORDS);
    for (unsigned i = 0; i < 4; i++) {
        unsigned holder[8];
        char name[NAME_BYTES];

        record_name(i, name);
        ck_assert_uint_ge(sim_holders(sim, name, holder, 8), 3);
        sim_crash(sim, holder[0], SIM_CRASH_RESET);
        sim_crash(sim, holder[1], SIM_CRASH_SILENT);
        sim_run_ms(sim, SETTLE_MS);
        check_records(0, RECORDS);
    }
}
END_TEST

static struct id
apart(const struct id *from, unsigned node)
{
    struct id id = *sim_id(sim, node);

    for (unsigned i = 0; i < ID_BYTES; i++)
        id.bytes[i] ^= from->bytes[i];
    return id;
}

/* The node that runs whose ID shares the most with @id. */
static unsigned
closest(const struct id *id, unsigned but)
{
    unsigned best = PEERS;

    for (unsigned i = 0; i < sim_count(sim); i++) {
        struct id far = apart(id, i);
        struct id best_far = best < PEERS ? apart(id, best) : far;
        if (i != but && sim_peer(sim, i) && (best == PEERS || id_compare(&far, &best_far) < 0))
            best = i;
    }
    return best;
}

/* Half a second later whatever was theirs has an owner, or will have one at once. */
START_TEST(three_neighbours_crash_at_once)
{
    static struct sim_lookup lookup[80];

    for (uint64_t seed = 2; seed <= 9; seed++) {
        unsigned centre;

        latency = SIM_LATENCY_LAN;
        begin(_i, seed, 24, 0);
        for (unsigned i = 0; i < 24; i++) {
            sim_start(sim, i);
            sim_run_ms(sim, 50);
        }
        ck_assert(sim_run_until(sim, sim_are_all_joined, JOIN_MS));
        sim_run_ms(sim, SETTLE_MS);
        centre = sim_random_member(sim);
        for (unsigned k = 0; k < 3; k++)
            sim_crash(sim, closest(sim_id(sim, centre), centre), SIM_CRASH_RESET);
        sim_run_ms(sim, 500);
        memset(lookup, 0, sizeof(lookup));
        for (unsigned i = 0; i < 80; i++)
            snprintf(lookup[i].name, sizeof(lookup[i].name), "u%u@x", i);
        sim_lookups_of(sim, lookup, 80);
        for (unsigned i = 0; i < 80; i++) {
            ck_assert_msg(lookup[i].st == ST_OK, "%s, seed %u: %s: %s", ops->name, (unsigned)seed,
                          lookup[i].name, status_text(lookup[i].st));
            ck_assert_msg(lookup[i].took_ms <= 600, "%s, seed %u: %s: %u ms", ops->name,
                          (unsigned)seed, lookup[i].name, (unsigned)lookup[i].took_ms);
        }
        teardown();
    }
}
END_TEST

START_TEST(leaving_moves_the_records)
{
    join_all(_i, 60, 16, 0);
    store_records(0, RECORDS);
    for (unsigned i = 15; i >= 1; i--) {
        sim_stop(sim, i);
        sim_run_ms(sim, 5000);
        ck_assert_int_eq(peer_state(sim_peer(sim, i)), PEER_DOWN);
        check_records(0, RECORDS);
    }
    ck_assert_int_eq(peer_state(sim_peer(sim, 0)), PEER_ALONE);
}
END_TEST

/* The owner is switched off, and at once, before anybody can know, the others leave. */
START_TEST(leaving_with_a_dead_owner)
{
    for (unsigned i = 0; i < 4; i++) {
        unsigned holder[8];
        unsigned count;
        char name[NAME_BYTES];
        struct id id;
        int owner;

        join_all(_i, 64 + i, 12, 0);
        store_records(0, RECORDS);
        record_name(i, name);
        id = sim_hash(name);
        owner = sim_owner(sim, &id);
        ck_assert_int_ge(owner, 0);
        count = sim_holders(sim, name, holder, 8);
        ck_assert_uint_ge(count, 3);
        sim_crash(sim, (unsigned)owner, SIM_CRASH_SILENT);
        for (unsigned k = 0; k < count; k++)
            if (holder[k] != (unsigned)owner)
                sim_stop(sim, holder[k]);
        sim_run_ms(sim, SETTLE_MS);
        check_records(i, 1);
        teardown();
    }
}
END_TEST

START_TEST(a_restart_comes_back)
{
    join_all(_i, 70, 24, 0);
    store_records(0, RECORDS);
    for (unsigned i = 0; i < 8; i++) {
        sim_crash(sim, 3 * i, SIM_CRASH_RESET);
        sim_run_ms(sim, sim_random(sim) % 3000);
        sim_restart(sim, 3 * i);
        ck_assert(sim_run_until(sim, sim_are_all_joined, JOIN_MS));
        sim_run_ms(sim, 5000);
        check_records(0, RECORDS);
    }
    sim_run_ms(sim, SETTLE_MS);
    check_lookups(200);
}
END_TEST

/* Nodes 0 to 2 are everybody's bootstrap entries: one of them is on each side. */
START_TEST(a_partition_heals)
{
    join_all(_i, 80, 24, 0);
    store_records(0, RECORDS);
    for (unsigned i = 0; i < sim_count(sim); i++)
        sim_set_group(sim, i, i % 2);
    sim_run_ms(sim, 2 * SETTLE_MS);
    store_records(RECORDS, 10);
    for (unsigned i = 0; i < sim_count(sim); i++)
        sim_set_group(sim, i, 0);
    sim_run_ms(sim, 4 * SETTLE_MS);
    ck_assert(sim_run_until(sim, sim_are_all_joined, JOIN_MS));
    sim_run_ms(sim, SETTLE_MS);
    check_lookups(200);
    check_records(0, RECORDS);
    check_records(RECORDS, 10);
}
END_TEST

/* One that nobody has as a bootstrap entry forms an overlay of its own; whichever of the two has to
 * give way, there is one in the end. */
static enum peer_state
meet_a_lone_one(int plugin, bool is_lowest)
{
    unsigned lone = 3;

    begin(plugin, 90, 24, 0);
    for (unsigned i = 4; i < 24; i++)
        if ((id_compare(sim_id(sim, i), sim_id(sim, lone)) < 0) == is_lowest)
            lone = i;
    sim_set_group(sim, lone, 1);
    for (unsigned i = 0; i < 24; i++)
        sim_start(sim, i);
    sim_run_ms(sim, SETTLE_MS);
    ck_assert_int_eq(peer_state(sim_peer(sim, lone)), PEER_ALONE);
    store_records(0, RECORDS);
    sim_set_group(sim, lone, 0);
    sim_run_ms(sim, 6 * SETTLE_MS);
    ck_assert_uint_eq(sim_member_count(sim), 24);
    check_lookups(200);
    check_records(0, RECORDS);
    return peer_state(sim_peer(sim, lone));
}

START_TEST(a_lone_one_with_the_lowest_id)
{
    ck_assert_int_eq(meet_a_lone_one(_i, true), PEER_JOINED);
}
END_TEST

START_TEST(a_lone_one_with_the_highest_id)
{
    ck_assert_int_eq(meet_a_lone_one(_i, false), PEER_JOINED);
}
END_TEST

static Suite *
sim_suite(void)
{
    Suite *s = suite_create("sim");
    TCase *t = tcase_create("peers");
    int count = plugins_count();

    tcase_add_checked_fixture(t, NULL, teardown);
    tcase_set_timeout(t, 180);
    tcase_add_loop_test(t, one_is_alone, 0, count);
    tcase_add_loop_test(t, one_by_one, 0, count);
    tcase_add_loop_test(t, at_one_instant, 0, count);
    tcase_add_loop_test(t, on_lossy_links, 0, count);
    tcase_add_loop_test(t, the_same_seed_is_the_same_run, 0, count);
    tcase_add_loop_test(t, routes_can_be_traced, 0, count);
    tcase_add_loop_test(t, records_survive_a_crash, 0, count);
    tcase_add_loop_test(t, records_survive_two_crashes_at_once, 0, count);
    tcase_add_loop_test(t, three_neighbours_crash_at_once, 0, count);
    tcase_add_loop_test(t, leaving_moves_the_records, 0, count);
    tcase_add_loop_test(t, leaving_with_a_dead_owner, 0, count);
    tcase_add_loop_test(t, a_restart_comes_back, 0, count);
    tcase_add_loop_test(t, a_partition_heals, 0, count);
    tcase_add_loop_test(t, a_lone_one_with_the_lowest_id, 0, count);
    tcase_add_loop_test(t, a_lone_one_with_the_highest_id, 0, count);
    suite_add_tcase(s, t);
    return s;
}

int
main(void)
{
    return plugins_run(sim_suite);
}
