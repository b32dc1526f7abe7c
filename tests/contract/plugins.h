/**
 * DOC: the plug-ins that the contract suites hold to the promises
 *
 * Those that are built in, then those that the environment names: RINGWAY_PLUGINS, paths of shared
 * objects separated by colons, each loaded as the daemon would load it.
 */
#ifndef TESTS_CONTRACT_PLUGINS_H
#define TESTS_CONTRACT_PLUGINS_H

#include "local-overlays/topology.h"

/** plugins_load - load what the environment names, say what there is; false if one cannot be. */
bool plugins_load(void);

int plugins_count(void);
const struct topology_ops *plugins_at(int index);

/** plugins_run - the whole of a suite's main(). */
struct Suite;
int plugins_run(struct Suite *(*suite)(void));

#endif
