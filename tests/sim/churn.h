/**
 * DOC: nodes that come and go
 *
 * Joins, leaves and crashes as three Poisson processes on the simulator.  A join takes a node that
 * is out, or adds one while there are fewer than @max_nodes; the node that goes is drawn among the
 * members from number @first on, and nobody goes while @min_members or fewer are left.  Its chance
 * is its own: the same seed gives the same churn whatever the peers draw.
 */
#ifndef TESTS_SIM_CHURN_H
#define TESTS_SIM_CHURN_H

#include "tests/sim/sim.h"

struct churn {
    struct sim *sim;
    uint64_t seed;
    double joins_per_s;
    double leaves_per_s;
    double crashes_per_s; /* half are resets, half silent */
    unsigned first;
    unsigned min_members;
    unsigned max_nodes;
    bool is_forgetful; /* who left comes back as a new process: no records, the entries of its start
                        */
    void *ctx;
    void (*on_gone)(void *ctx, unsigned node, bool is_crash); /* right after it; may be NULL */
    /* counted */
    unsigned joins;
    unsigned leaves;
    unsigned crashes;
};

/** churn_run_ms - run the simulation with churn. */
void churn_run_ms(struct churn *c, uint64_t duration_ms);

/** churn_rejoin - bring back all that are out. */
void churn_rejoin(struct churn *c);

#endif
