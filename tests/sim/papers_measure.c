#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/churn.h"
#include "tests/sim/papers.h"

#define PIONEERS       100u
#define JOIN_MS        180000u
#define SETTLE_MS      40000u
#define SLICE_MS       1000u
#define SLICE_LOOKUPS  20u
#define LOOKUPS_SOUGHT 3u /* a record is lost when so many tries from anywhere do not find it */

static double
cpu_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double
resident_bytes(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    unsigned long total, resident;
    double bytes = 0;

    if (f && fscanf(f, "%lu %lu", &total, &resident) == 2)
        bytes = (double)resident * (double)sysconf(_SC_PAGESIZE);
    if (f)
        fclose(f);
    return bytes;
}

struct sim *
papers_begin(const struct setting *setting, struct cost *ret)
{
    struct sim_conf conf = {.topology = setting->topology,
                            .parameters = setting->parameters,
                            .seed = setting->seed,
                            .latency = setting->latency,
                            .update_ms = setting->update_ms,
                            .bootstrap_spread = setting->peers > PIONEERS ? PIONEERS : 0,
                            .is_spread_growing = true};
    double before = resident_bytes();
    struct sim *s = sim_new(&conf);

    for (unsigned i = 0; i < setting->peers; i++)
        sim_add(s);
    for (unsigned done = 0, next = PIONEERS; done < setting->peers; next *= 2) {
        for (; done < next && done < setting->peers; done++)
            sim_start(s, done);
        sim_run_until(s, sim_are_all_joined, JOIN_MS);
    }
    sim_end_growth(s);
    *ret = (struct cost){
        .joined = sim_member_count(s),
        .join_messages = (double)sim_counters_of(s)->messages / setting->peers,
        .join_bytes = (double)sim_counters_of(s)->bytes / setting->peers,
    };
    sim_run_ms(s, SETTLE_MS);
    ret->memory_peer_bytes = (resident_bytes() - before) / setting->peers;
    return s;
}

static bool
is_right(const struct sim *s, const struct sim_lookup *l)
{
    return l->st == ST_OK && l->ended == sim_owner(s, &l->resource);
}

void
papers_look_up(struct sim *s, unsigned count, unsigned at_once, struct path *ret)
{
    struct sim_lookup *lookup = calloc(count, sizeof(*lookup));
    uint64_t messages = sim_counters_of(s)->messages;
    double cpu = cpu_s();

    if (!lookup)
        abort();
    *ret = (struct path){.lookups = count};
    sim_lookups(s, lookup, count, at_once);
    ret->cpu_us_hop = (cpu_s() - cpu) * 1e6 / (double)(sim_counters_of(s)->messages - messages + 1);
    for (unsigned i = 0; i < count; i++) {
        ret->mean_timeouts += (double)lookup[i].timeouts / count;
        if (!is_right(s, &lookup[i]))
            continue;
        ret->right++;
        ret->mean_hops += lookup[i].hops;
        ret->mean_ms += (double)lookup[i].took_ms;
        ret->share[lookup[i].hops < PAPERS_HOPS_MAX ? lookup[i].hops : PAPERS_HOPS_MAX - 1]++;
    }
    for (unsigned i = 0; ret->right && i < PAPERS_HOPS_MAX; i++)
        ret->share[i] /= ret->right;
    ret->mean_hops /= ret->right ? ret->right : 1;
    ret->mean_ms /= ret->right ? ret->right : 1;
    free(lookup);
}

void
papers_quiet(struct sim *s, uint64_t duration_ms, struct cost *ret)
{
    uint64_t before = sim_counters_of(s)->bytes;

    sim_run_ms(s, duration_ms);
    ret->bytes_peer_second = (double)(sim_counters_of(s)->bytes - before) * 1000 /
                             (double)duration_ms / sim_member_count(s);
}

void
papers_crash(struct sim *s, unsigned percent)
{
    unsigned count = sim_member_count(s) * percent / 100;

    for (unsigned i = 0; i < count; i++)
        sim_crash(s, sim_random_member(s), SIM_CRASH_SILENT);
}

/* ---- churn ---------------------------------------------------------------------------------- */

static struct sim_lookup *
names(unsigned count)
{
    struct sim_lookup *lookup = calloc(count + 1, sizeof(*lookup));

    if (!lookup)
        abort();
    for (unsigned i = 0; i < count; i++)
        snprintf(lookup[i].name, sizeof(lookup[i].name), "user%u@site.sim", i);
    return lookup;
}

static void
look_up_meanwhile(struct sim *s, struct churned *ret)
{
    struct sim_lookup lookup[SLICE_LOOKUPS];
    unsigned again = 0;

    sim_lookups(s, lookup, SLICE_LOOKUPS, SLICE_LOOKUPS);
    ret->lookups += SLICE_LOOKUPS;
    for (unsigned i = 0; i < SLICE_LOOKUPS; i++) {
        ret->mean_timeouts += lookup[i].timeouts;
        if (is_right(s, &lookup[i])) {
            ret->first++;
            ret->retried++;
            ret->mean_hops += lookup[i].hops;
        } else {
            int owner = sim_owner(s, &lookup[i].resource);
            ret->disputed += owner == -2;
            ret->orphaned += owner == -1;
            lookup[again++] = lookup[i];
        }
    }
    sim_lookups_of(s, lookup, again);
    for (unsigned i = 0; i < again; i++)
        ret->retried += is_right(s, &lookup[i]);
}

static void
count_lost(struct sim *s, struct sim_lookup *record, struct churned *ret)
{
    ret->lost = ret->records;
    for (unsigned tries = 0; tries < LOOKUPS_SOUGHT; tries++) {
        unsigned lost = 0;

        sim_lookups_of(s, record, ret->lost);
        for (unsigned i = 0; i < ret->lost; i++)
            if (record[i].count == 0)
                record[lost++] = record[i];
        ret->lost = lost;
    }
}

void
papers_churn(struct sim *s, double per_s, bool has_crashes, uint64_t duration_ms, unsigned records,
             struct churned *ret)
{
    struct churn churn = {.sim = s,
                          .seed = sim_random(s),
                          .joins_per_s = per_s,
                          .leaves_per_s = has_crashes ? per_s / 2 : per_s,
                          .crashes_per_s = has_crashes ? per_s / 2 : 0,
                          .first = PIONEERS,
                          .is_forgetful = true,
                          .min_members = 2,
                          .max_nodes = 2 * sim_count(s)};
    struct sim_lookup *record = names(records);
    size_t stored = sim_stores(s, record, records, "here");

    *ret = (struct churned){.records = records};
    if (stored < records)
        fprintf(stderr, "%zu records of %u were not stored\n", records - stored, records);
    for (uint64_t done_ms = 0; done_ms < duration_ms; done_ms += SLICE_MS) { /* lookups aside */
        churn_run_ms(&churn, SLICE_MS);
        look_up_meanwhile(s, ret);
    }
    if (records)
        sim_run_ms(s, SETTLE_MS);
    count_lost(s, record, ret);
    free(record);
    ret->mean_hops /= ret->first ? ret->first : 1;
    ret->mean_timeouts /= ret->lookups ? ret->lookups : 1;
    ret->joins = churn.joins;
    ret->leaves = churn.leaves;
    ret->crashes = churn.crashes;
    ret->resident_mib = resident_bytes() / 1048576;
}
