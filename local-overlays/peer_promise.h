/**
 * DOC: a plug-in and what it has promised
 *
 * All that a peer asks of its plug-in goes through here, and all that the plug-in asks of the peer
 * is held against the same rules: counts are within their limits, IDs are IDs of nodes, answers are
 * among those that topology.h names, calls come in their state.  A plug-in that breaks one is not
 * asked again: the peer says who broke what, and goes DOWN for good; the process goes on.
 *
 * A plug-in's code runs in this process: what it writes where it should not, or a pointer of its
 * that leads nowhere, cannot be caught.
 */
#ifndef LOCAL_OVERLAYS_PEER_PROMISE_H
#define LOCAL_OVERLAYS_PEER_PROMISE_H

#include "local-overlays/peer_internal.h"

/** peer_promise_broken - note it: the first counts, and has its effect at the end of the step. */
void peer_promise_broken(const struct peer *p, const char *function, const char *what);
bool peer_promise_is_kept(const struct peer *p);
/** peer_promise_settle - go DOWN if one was broken; false: nothing had to be done. */
bool peer_promise_settle(struct peer *p);

enum status peer_plugin_next_hop(const struct peer *p, const struct id *id, bool is_node,
                                 struct id *ret_next);
size_t peer_plugin_replica_set(const struct peer *p, const struct id *id, struct id *ret_node,
                               size_t cap);
bool peer_plugin_hint(const struct peer *p, const struct id *id, struct id *ret_node);
bool peer_plugin_lists(const struct peer *p, const struct id *node);
void peer_plugin_dump(const struct peer *p,
                      void (*visit)(void *ctx, const struct topology_dump *line), void *ctx);
size_t peer_plugin_neighbour_count(const struct peer *p);
enum status peer_plugin_request(struct peer *p, const struct topology_request *request,
                                struct writer *ret_body, struct why *why);

/** peer_plugin_may_ask - what the plug-in asks of its host by env.attach, env.request, env.offer.
 */
bool peer_plugin_may_ask(const struct peer *p, const char *function,
                         const struct topology_target *to);
bool peer_plugin_may_request(const struct peer *p, const struct topology_target *to, uint16_t code,
                             struct slice body);
bool peer_plugin_may_offer(const struct peer *p, const struct id *node);

#endif
