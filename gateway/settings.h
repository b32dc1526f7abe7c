/**
 * DOC: from ringway.conf to what the parts are told
 *
 * The configuration is read by gateway/ alone; this is where it becomes the plain structs of the
 * overlays, the election, the links and SIP.
 */
#ifndef GATEWAY_SETTINGS_H
#define GATEWAY_SETTINGS_H

#include "config/config.h"
#include "gateway/node/node.h"
#include "gateway/sip/sip.h"
#include "peer-protocol/identity/identity.h"
#include "peer-protocol/link/link.h"

/**
 * settings_identities - load the credentials of both overlays and hold them against the
 * configuration
 * @ret_identity: NODE_GLOBAL stays NULL without a global overlay; the caller frees both, also after
 * a failure Returns: ST_OK; ST_CONFIG when Node-ID or user name does not fit, with the cause; as
 * identity_load.
 */
NODISCARD enum status settings_identities(const struct config *c,
                                          struct identity *ret_identity[NODE_OVERLAYS],
                                          struct why *why);

/** settings_topology - the plug-in of the local overlay; ST_CONFIG with the cause if there is none.
 */
NODISCARD enum status settings_topology(const struct config *c, const struct topology_ops **ret_ops,
                                        struct why *why);

/** settings_node - what the node is told; ST_CONFIG as settings_topology. */
NODISCARD enum status settings_node(const struct config *c,
                                    struct identity *const identity[NODE_OVERLAYS],
                                    struct node_conf *ret, struct why *why);
void settings_links(const struct config *c, enum node_overlay which, struct links_conf *ret);
void settings_sip(const struct config *c, struct identity *const identity[NODE_OVERLAYS],
                  struct sip_conf *ret);
void settings_election(const struct config *c, struct election_conf *ret);

#endif
