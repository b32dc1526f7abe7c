/**
 * DOC: CAN, a d-dimensional torus, as a topology plug-in
 *
 * Parameters: "dimensions=N", N of 2 to 8, default 4; "next-hop=rtt", routing by progress over
 * round-trip time; both with a comma between them.
 *
 * Source: Ratnasamy, Francis, Handley, Karp and Shenker, "A Scalable Content-Addressable Network",
 * SIGCOMM 2001.  docs/can.md says where this one differs, and lays its bodies out byte by byte.
 */
#ifndef LOCAL_OVERLAYS_CAN_CAN_H
#define LOCAL_OVERLAYS_CAN_CAN_H

#include "local-overlays/topology.h"

extern const struct topology_ops can_topology;

#endif
