/**
 * DOC: Pastry, a topology plug-in
 *
 * Source: A. Rowstron and P. Druschel, "Pastry: Scalable, decentralized object location and routing
 * for large-scale peer-to-peer systems", Middleware 2001; docs/pastry.md for what goes over the
 * wire.
 */
#ifndef LOCAL_OVERLAYS_PASTRY_PASTRY_H
#define LOCAL_OVERLAYS_PASTRY_PASTRY_H

#include "local-overlays/topology.h"

extern const struct topology_ops pastry_topology;

#endif
