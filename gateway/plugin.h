/**
 * DOC: topology plug-ins, built in or loaded
 *
 * An algorithm that is not built in is looked for as DIR/NAME.so, a shared object that defines one
 * const struct topology_ops ringway_topology.  It may call what base/ and peer-protocol/message/
 * declare: the daemon exports both.  A loaded one stays until the process ends; its code runs with
 * all rights of the daemon (plugin_file.h says whose file it may be).  What it promises, the peer
 * holds it to (local-overlays/peer_promise.h).
 *
 * Source: docs/plugins.md.
 */
#ifndef GATEWAY_PLUGIN_H
#define GATEWAY_PLUGIN_H

#include "base/status.h"
#include "local-overlays/topology.h"

#define PLUGIN_SYMBOL "ringway_topology"

/**
 * plugin_find - the plug-in of this name, built in or else from a folder
 * @name:    [a-z0-9-], 1 to 15 bytes, as config/ lets through
 * @ret_ops: valid until the process ends
 * @why:     what was found and what is allowed, without file and line
 * Returns: ST_OK; ST_CONFIG if there is none, it cannot be loaded, it was built against another ABI
 *          or it lacks a function.
 */
NODISCARD enum status plugin_find(const char *dir, const char *name,
                                  const struct topology_ops **ret_ops, struct why *why);

/** plugin_version - tells two objects of one name and ABI apart: a hash of the file; 0 built in. */
uint64_t plugin_version(const struct topology_ops *ops);

/**
 * plugin_try - make one with these parameters, and forget it
 * Returns: ST_OK; ST_CONFIG with what the plug-in says against them.
 */
NODISCARD enum status plugin_try(const struct topology_ops *ops, const struct topology_conf *conf,
                                 struct why *why);

/**
 * plugin_check - is this table one that the daemon can use under this name?
 * Returns: ST_OK; ST_CONFIG with the cause.
 */
NODISCARD enum status plugin_check(const struct topology_ops *ops, const char *path,
                                   const char *name, struct why *why);

#endif
