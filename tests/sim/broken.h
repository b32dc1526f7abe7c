/**
 * DOC: plug-ins with a fault, to see whether the judge finds it
 *
 * A wrapper over the operations of a sound plug-in; one at a time.
 */
#ifndef TESTS_SIM_BROKEN_H
#define TESTS_SIM_BROKEN_H

#include "local-overlays/topology.h"

enum broken {
    BROKEN_NOT,
    BROKEN_NEXT_HOP, /* routes some IDs the other way round */
    BROKEN_SELF,     /* names itself as the next hop of some IDs */
    BROKEN_OWNER,    /* takes a sixteenth of the circle behind itself, whoever has it */
    BROKEN_REPLICAS, /* keeps no copies */
    BROKEN_LEAVE,    /* leaves and still calls itself responsible */
    BROKEN_KINDS
};

/** broken_topology - @inner with a fault.  The faults need the state to begin with the Node-ID of
 *  the node: they are put around @inner, and watch.h around them. */
const struct topology_ops *broken_topology(const struct topology_ops *inner, enum broken kind);
const char *broken_name(enum broken kind);

#endif
