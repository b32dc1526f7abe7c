#include "tests/sim/scenario.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tests/sim/churn.h"
#include "tests/sim/events.h"

#define PEERS_MIN  6u
#define PEERS_MAX  20u
#define RECORDS    8u
#define HOLDERS    3u
#define LOOKUPS    40u
#define JOIN_MS    60000u
#define CHURN_MS   20000u
#define CUT_MS     8000u
#define SETTLE_MS  30000u
#define HEAL_MS    90000u /* bootstrap entries are asked every 30 s */
#define NAME_BYTES 32

struct run {
    const struct scenario *scenario;
    struct verdict *verdict;
    struct sim *sim;
    struct watch watch;
    uint64_t chance;
    unsigned peers;
    bool is_cut;
    bool is_excused[RECORDS];
};

static void broken(struct run *r, const char *invariant, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void
broken(struct run *r, const char *invariant, const char *format, ...)
{
    va_list args;

    if (r->verdict->is_broken)
        return;
    r->verdict->is_broken = true;
    snprintf(r->verdict->invariant, sizeof(r->verdict->invariant), "%s", invariant);
    va_start(args, format);
    vsnprintf(r->verdict->detail, sizeof(r->verdict->detail), format, args);
    va_end(args);
}

static unsigned
drawn(struct run *r, unsigned limit)
{
    return (unsigned)chance_below(&r->chance, limit);
}

static void
record_name(unsigned i, char name[NAME_BYTES])
{
    snprintf(name, NAME_BYTES, "user%u@site.sim", i);
}

/* Those that have left keep what they had, and nobody asks them: not from their Leave on. */
static bool
has_left(const struct peer *p)
{
    return peer_state(p) == PEER_DOWN || (peer_state(p) == PEER_LEAVING && !peer_is_member(p));
}

static unsigned
holders(const struct run *r, unsigned record)
{
    unsigned holder[2 * PEERS_MAX];
    char name[NAME_BYTES];
    unsigned count;
    unsigned in = 0;

    record_name(record, name);
    count = sim_holders(r->sim, name, holder, 2 * PEERS_MAX);
    for (unsigned i = 0; i < count && i < 2 * PEERS_MAX; i++)
        in += !has_left(sim_peer(r->sim, holder[i]));
    return in;
}

/* ---- the run -------------------------------------------------------------------------------- */

static void
begin(struct run *r, struct sim_conf *conf, struct churn *churn)
{
    const struct topology_ops *ops = r->scenario->topology;

    if (r->scenario->broken != BROKEN_NOT)
        ops = broken_topology(ops, r->scenario->broken);
    r->chance = r->scenario->seed;
    r->peers = PEERS_MIN + drawn(r, PEERS_MAX - PEERS_MIN + 1);
    *conf = (struct sim_conf){.topology = watch_topology(ops, &r->watch),
                              .seed = r->scenario->seed,
                              .latency = drawn(r, SIM_LATENCY_MODELS),
                              .latency_min_us = 20000,
                              .latency_max_us = 50000,
                              .loss_permille = drawn(r, 3) * 10,
                              .is_loud = r->scenario->is_loud};
    *churn = (struct churn){.seed = chance_next(&r->chance),
                            .joins_per_s = 0.1 * drawn(r, 6),
                            .leaves_per_s = 0.1 * drawn(r, 4),
                            .crashes_per_s = 0.1 * drawn(r, 4),
                            .first = 1, /* a bootstrap entry stays */
                            .min_members = 4,
                            .max_nodes = 2 * r->peers,
                            .ctx = r};
    r->is_cut = drawn(r, 4) == 0;
    r->sim = churn->sim = sim_new(conf);
}

static void
join(struct run *r, bool is_at_once)
{
    for (unsigned i = 0; i < r->peers; i++) {
        sim_add(r->sim);
        sim_start(r->sim, i);
        if (!is_at_once)
            sim_run_until(r->sim, sim_are_all_joined, JOIN_MS);
    }
    if (!sim_run_until(r->sim, sim_are_all_joined, JOIN_MS))
        broken(r, "joined", "%u of %u are members after %u s", sim_member_count(r->sim), r->peers,
               JOIN_MS / 1000);
}

static void
store(struct run *r)
{
    char name[NAME_BYTES];

    for (unsigned i = 0; i < RECORDS; i++) {
        record_name(i, name);
        if (sim_store(r->sim, 0, name, "here") != ST_OK)
            broken(r, "record", "%s could not be stored", name);
    }
}

/* Copies are made in time or they are not; what nobody holds any more nobody can find.  It may come
 * back with one that had left and starts again: then it is judged like any other. */
static void
on_gone(void *ctx, unsigned node, bool is_crash)
{
    struct run *r = ctx;

    (void)node;
    for (unsigned i = 0; is_crash && i < RECORDS; i++)
        r->is_excused[i] |= holders(r, i) == 0;
}

static void
cut_and_heal(struct run *r)
{
    for (unsigned i = 0; i < sim_count(r->sim); i++)
        sim_set_group(r->sim, i, drawn(r, 2));
    sim_run_ms(r->sim, CUT_MS);
    for (unsigned i = 0; i < sim_count(r->sim); i++)
        sim_set_group(r->sim, i, 0);
    sim_run_ms(r->sim, HEAL_MS);
}

/* ---- the verdict ---------------------------------------------------------------------------- */

static void
check_owner(struct run *r, const struct id *id)
{
    int owner = sim_owner(r->sim, id);

    if (owner < 0)
        broken(r, "one owner", "%02x%02x%02x%02x... has %s", id->bytes[0], id->bytes[1],
               id->bytes[2], id->bytes[3], owner == -1 ? "none" : "more than one");
}

static void
step_id(struct id *id, int by)
{
    for (size_t i = ID_BYTES; i-- > 0;) {
        uint8_t before = id->bytes[i];
        id->bytes[i] = (uint8_t)(before + by);
        if (by > 0 ? id->bytes[i] > before : id->bytes[i] < before)
            break;
    }
}

static void
check_owners(struct run *r)
{
    for (unsigned i = 0; i < sim_count(r->sim); i++) {
        struct id id = *sim_id(r->sim, i);
        check_owner(r, &id);
        step_id(&id, 1);
        check_owner(r, &id);
        id = *sim_id(r->sim, i);
        step_id(&id, -1);
        check_owner(r, &id);
        for (size_t byte = 0; byte < ID_BYTES; byte += sizeof(uint64_t)) {
            uint64_t bits = chance_next(&r->chance);
            memcpy(&id.bytes[byte], &bits, sizeof(bits));
        }
        check_owner(r, &id);
    }
}

static void
check_lookups(struct run *r)
{
    struct sim_lookup lookup[LOOKUPS];

    sim_lookups(r->sim, lookup, LOOKUPS, LOOKUPS);
    for (unsigned i = 0; i < LOOKUPS; i++)
        if (lookup[i].st != ST_OK || lookup[i].ended != sim_owner(r->sim, &lookup[i].resource))
            broken(r, "lookup", "from %u: %s, ended at %d after %u hops, the owner is %d",
                   lookup[i].from, status_text(lookup[i].st), lookup[i].ended, lookup[i].hops,
                   sim_owner(r->sim, &lookup[i].resource));
}

static void
check_records(struct run *r)
{
    unsigned members = sim_member_count(r->sim);
    unsigned least = members < HOLDERS ? members : HOLDERS;
    char name[NAME_BYTES];

    for (unsigned i = 0; i < RECORDS; i++) {
        struct sim_lookup l;
        unsigned count = holders(r, i);

        record_name(i, name);
        if (count == 0 && r->is_excused[i]) {
            r->verdict->excused++;
            continue;
        }
        if (count < least)
            broken(r, "replicas", "%s has %u holders, not %u", name, count, least);
        sim_lookup(r->sim, sim_random_member(r->sim), name, &l);
        if (l.st != ST_OK || l.count != 1)
            broken(r, "record", "%s from %u: %s, %zu values, %u holders", name, l.from,
                   status_text(l.st), l.count, count);
    }
}

static void
judge(struct run *r)
{
    sim_set_loss(r->sim, 0);
    if (!sim_run_until(r->sim, sim_are_all_joined, JOIN_MS))
        broken(r, "joined", "not all are members %u s after the last one left", JOIN_MS / 1000);
    sim_run_ms(r->sim, SETTLE_MS);
    check_owners(r);
    if (!r->verdict->is_broken) /* a lookup needs somebody to ask */
        check_lookups(r);
    if (!r->verdict->is_broken)
        check_records(r);
}

void
scenario_run(const struct scenario *scenario, struct verdict *ret)
{
    struct run r = {.scenario = scenario, .verdict = ret};
    struct sim_conf conf;
    struct churn churn;
    bool is_at_once;

    *ret = (struct verdict){0};
    begin(&r, &conf, &churn);
    churn.on_gone = on_gone;
    is_at_once = drawn(&r, 2);
    snprintf(ret->drawn, sizeof(ret->drawn),
             "%u peers %s, %s, loss %u, joins %.1f leaves %.1f crashes %.1f a second%s", r.peers,
             is_at_once ? "at once" : "in turn", sim_latency_name(conf.latency), conf.loss_permille,
             churn.joins_per_s, churn.leaves_per_s, churn.crashes_per_s,
             r.is_cut ? ", cut in two" : "");
    join(&r, is_at_once);
    if (!ret->is_broken) {
        sim_run_ms(r.sim, SETTLE_MS);
        store(&r);
        churn_run_ms(&churn, CHURN_MS);
        if (r.is_cut)
            cut_and_heal(&r);
        judge(&r);
    }
    if (r.watch.breaches) { /* the cause comes before what follows from it */
        ret->is_broken = false;
        broken(&r, r.watch.invariant, "%s", r.watch.detail);
    }
    ret->trace = sim_trace(r.sim);
    ret->steps = r.watch.calls + r.watch.next_hops;
    sim_free(r.sim);
}
