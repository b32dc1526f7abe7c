/**
 * DOC: topology plug-ins without their host
 *
 * Drives topology_ops directly: links, source routes, answers and time-outs as the host promises
 * them, and nothing else.  Latency is fixed for each pair of nodes, so a link keeps its order.
 * A link closes when neither end's plug-in needs it; a crash is suspected after 100 ms and certain
 * after 300 ms.
 */
#ifndef TESTS_SIM_MESH_H
#define TESTS_SIM_MESH_H

#include "local-overlays/topology.h"

struct mesh;

struct mesh *mesh_new(const struct topology_ops *ops, uint64_t seed);
void mesh_free(struct mesh *m);

/** mesh_add - a node that is up and OUT; its index. mesh_add_random picks the Node-ID. */
unsigned mesh_add(struct mesh *m, const struct id *node);
unsigned mesh_add_random(struct mesh *m);

void mesh_form(struct mesh *m, unsigned node);
/** mesh_join - join now; tried again if it fails, for as long as the node is up. */
void mesh_join(struct mesh *m, unsigned node, unsigned informant);
void mesh_leave(struct mesh *m, unsigned node);
void mesh_crash(struct mesh *m, unsigned node);
/** mesh_break - cut one link; both ends find out at once. mesh_suspect - one end doubts it. */
void mesh_break(struct mesh *m, unsigned a, unsigned b);
void mesh_suspect(struct mesh *m, unsigned at, unsigned other, bool is_suspect);

void mesh_run_ms(struct mesh *m, uint64_t duration_ms);
/** mesh_run_until_in - until all that were asked to join are in; false after @limit_ms. */
bool mesh_run_until_in(struct mesh *m, uint64_t limit_ms);

unsigned mesh_count(const struct mesh *m);
/** mesh_is_member - up, and joined. */
bool mesh_is_member(const struct mesh *m, unsigned node);
const struct id *mesh_id(const struct mesh *m, unsigned node);
const void *mesh_state(const struct mesh *m, unsigned node);
bool mesh_is_linked(const struct mesh *m, unsigned a, unsigned b);
uint64_t mesh_random(struct mesh *m);
uint64_t mesh_now_ms(const struct mesh *m);
/** mesh_messages - messages sent, each hop counted. */
uint64_t mesh_messages(const struct mesh *m);
uint64_t mesh_messages_of(const struct mesh *m, uint16_t code);
unsigned mesh_changes(const struct mesh *m, unsigned node); /* env.changed calls, responsibility */

/**
 * mesh_walk - follow next_hop from @from, in no time
 * Returns: where it ends; -1 if it does not (a loop, a dead end, a hop that is not usable).
 */
int mesh_walk(const struct mesh *m, unsigned from, const struct id *id, bool is_node,
              unsigned *ret_hops);

/** mesh_latency_us - one way. */
uint64_t mesh_latency_us(const struct mesh *m, unsigned a, unsigned b);

/** mesh_owner - the one member that calls itself responsible; -1 for none, -2 for several. */
int mesh_owner(const struct mesh *m, const struct id *id);

#endif
