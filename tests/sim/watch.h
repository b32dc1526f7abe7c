/**
 * DOC: the promises of topology.h, held to at every call
 *
 * Stands between a host and a plug-in and looks at each call in both directions.  What it finds is
 * kept, the first breach in words, and nothing else changes.  One plug-in is watched at a time: the
 * operations of a plug-in have no context but the state of a node.
 */
#ifndef TESTS_SIM_WATCH_H
#define TESTS_SIM_WATCH_H

#include "local-overlays/topology.h"

struct watch {
    uint64_t calls;
    uint64_t breaches;
    uint64_t next_hops;
    char invariant[32]; /* of the first breach, "" while there is none */
    char detail[128];
};

/** watch_topology - @inner, watched; what was found goes to @report, which is cleared. */
const struct topology_ops *watch_topology(const struct topology_ops *inner, struct watch *report);

#endif
