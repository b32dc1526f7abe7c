/**
 * DOC: measurements that are held beside the papers' figures
 *
 * main_papers.c chooses, papers_tables.c prints, papers_measure.c measures.  All of it runs whole
 * peers on the simulator: hops, messages and bytes are those of RELOAD messages on links.
 */
#ifndef TESTS_SIM_PAPERS_H
#define TESTS_SIM_PAPERS_H

#include <stdio.h>

#include "tests/sim/sim.h"

#define PAPERS_HOPS_MAX 64

struct setting {
    const struct topology_ops *topology;
    const char *parameters; /* "" for none */
    unsigned peers;
    uint64_t seed;
    unsigned lookups;
    enum sim_latency latency;
    uint32_t update_ms;
};

struct path {
    unsigned lookups;
    unsigned right; /* ended at the true owner */
    double mean_hops;
    double mean_ms;                /* of the right ones, there and back */
    double mean_timeouts;          /* of all: how often a request was given to a node that is off */
    double share[PAPERS_HOPS_MAX]; /* of the right ones, by hops */
    double cpu_us_hop;
};

struct cost {
    double join_messages;
    double join_bytes;
    double bytes_peer_second; /* of maintenance, quiet */
    double memory_peer_bytes; /* of the process, the simulator included */
    unsigned joined;
};

/** papers_begin - an overlay of setting->peers, joined and settled: a hundred come at one instant,
 *  then as many as there are members each time. */
struct sim *papers_begin(const struct setting *setting, struct cost *ret);

/** papers_look_up - random members look up random names, @at_once at a time. */
void papers_look_up(struct sim *s, unsigned count, unsigned at_once, struct path *ret);

/** papers_quiet - let it be for a while; fills what costs are left. */
void papers_quiet(struct sim *s, uint64_t duration_ms, struct cost *ret);

/** papers_crash - @percent of the members are switched off at one instant. */
void papers_crash(struct sim *s, unsigned percent);

struct churned {
    unsigned joins, leaves, crashes;
    unsigned lookups, first, retried; /* right at first try; right at first or second */
    unsigned disputed, orphaned;      /* not right at first: several members call the ID theirs, or
                                         nobody does; the rest failed or ended elsewhere */
    unsigned records, lost;           /* records found by nobody at the end */
    double mean_hops;
    double mean_timeouts; /* of first tries */
    double resident_mib;
};

/** papers_churn - members come and go at @per_s each way for @duration_ms, looked up meanwhile;
 *  half of those that go crash if @has_crashes. */
void papers_churn(struct sim *s, double per_s, bool has_crashes, uint64_t duration_ms,
                  unsigned records, struct churned *ret);

/** What is to be printed, and about what. */
struct tables {
    struct setting setting;
    unsigned least;   /* the smallest overlay of hops against N */
    unsigned peers;   /* the largest */
    unsigned percent; /* of the members that are replaced while the run lasts */
    FILE *json;       /* one object a line; NULL for none */
};

/** Each prints one table: hops against N and the distribution at the largest; a part switched off
 *  at one instant (Chord's Table II); a tenth switched off, and the repair (Pastry's figure 10);
 *  joins and leaves under way (Chord's Table III); a part replaced while the run lasts. */
void papers_hops(const struct tables *t);
void papers_failures(const struct tables *t);
void papers_repair(const struct tables *t);
void papers_table3(const struct tables *t);
void papers_replaced(const struct tables *t);

#endif
