/**
 * DOC: CHORD-RELOAD, the mandatory topology plug-in
 *
 * Parameters: "neighbours=N", N of 3 to 20: so many predecessors and so many successors are kept.
 * Without it 3 to 8, growing with the overlay (RFC 6940 section 10.7 recommends O(log N)).
 *
 * Source: RFC 6940 section 10.
 */
#ifndef LOCAL_OVERLAYS_CHORD_CHORD_H
#define LOCAL_OVERLAYS_CHORD_CHORD_H

#include "local-overlays/topology.h"

extern const struct topology_ops chord_topology;

#endif
