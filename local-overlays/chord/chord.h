/**
 * DOC: CHORD-RELOAD, the mandatory topology plug-in
 *
 * Source: RFC 6940 section 10.
 */
#ifndef LOCAL_OVERLAYS_CHORD_CHORD_H
#define LOCAL_OVERLAYS_CHORD_CHORD_H

#include "local-overlays/topology.h"

extern const struct topology_ops chord_topology;

#endif
