/**
 * DOC: a short run that a seed decides, and the verdict on it
 *
 * The seed draws the number of peers, latency model, loss, whether they start at one instant, how
 * fast they come and go, and whether the overlay is cut in two for a while.  Records are stored
 * before that.  At every step the plug-in is held to topology.h (watch.h); when the overlay has had
 * time to settle, these are:
 *  - joined: whoever is to be a member is one;
 *  - one owner: each ID has exactly one, tried next to every Node-ID and at random ones;
 *  - lookup: a lookup ends at the owner, from anywhere;
 *  - replicas: a record has three holders, or all members if there are fewer;
 *  - record: a record that had a holder left after each crash is found from anywhere.
 */
#ifndef TESTS_SIM_SCENARIO_H
#define TESTS_SIM_SCENARIO_H

#include "tests/sim/broken.h"
#include "tests/sim/sim.h"
#include "tests/sim/watch.h"

struct scenario {
    const struct topology_ops *topology;
    enum broken broken;
    uint64_t seed;
    bool is_loud;
};

struct verdict {
    bool is_broken;
    char invariant[32];
    char detail[160];
    char drawn[120]; /* what the seed drew */
    uint64_t trace;
    uint64_t steps;   /* calls that were checked */
    unsigned excused; /* records whose holders all crashed before a copy could be made */
};

void scenario_run(const struct scenario *scenario, struct verdict *ret);

#endif
