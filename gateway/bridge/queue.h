/**
 * DOC: the queue that carries messages up to the overlay thread
 *
 * Any thread may post; one thread takes.  An eventfd is readable while something waits, so that a
 * libevent loop can sleep on it.
 */
#ifndef GATEWAY_BRIDGE_QUEUE_H
#define GATEWAY_BRIDGE_QUEUE_H

#include "gateway/bridge/bridge.h"

struct bridge_queue;

/** bridge_queue_new - an empty queue; ST_IO without an eventfd, ST_NOMEM. */
NODISCARD enum status bridge_queue_new(struct bridge_queue **ret_queue, struct why *why);

/** bridge_queue_free - frees what still waits too. Accepts NULL. */
void bridge_queue_free(struct bridge_queue *q);

/** bridge_queue_fd - readable while a message waits; the queue's own. */
int bridge_queue_fd(const struct bridge_queue *q);

/** bridge_queue_post - give a message away; from any thread. */
void bridge_queue_post(struct bridge_queue *q, struct bridge_message *m);

/** bridge_queue_take - the oldest message, the caller's now; NULL (and the eventfd cleared) if
 * none. */
struct bridge_message *bridge_queue_take(struct bridge_queue *q);

#endif
