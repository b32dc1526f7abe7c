/**
 * DOC: where a message goes: destination lists, via lists, TTL
 *
 * Symmetric recursive routing: a forwarder appends the Node-ID it received from to the via list,
 * and a response goes back along the reversed one.
 *
 * Source: RFC 6940 sections 6.1, 6.2, 6.3.2.
 * One message is not many: a destination list names no node twice, a request's has at most
 * ROUTING_DESTINATIONS_MAX entries, and a via list is no longer than the TTL says the way was.
 *
 * Left out on purpose: opaque IDs of our own (we keep whole via lists, section 6.1.2), so an opaque
 * ID that arrives first in a destination list is none of ours.
 */
#ifndef PEER_PROTOCOL_ROUTING_ROUTING_H
#define PEER_PROTOCOL_ROUTING_ROUTING_H

#include "peer-protocol/message/message.h"

#define ROUTING_DESTINATIONS_MAX 8 /* of a request: plug-ins name TOPOLOGY_TARGET_MAX at most */

/** The connection table and the topology plug-in behind it. */
struct routing_table {
    void *ctx;
    /** next_hop - ST_OK with the node to send to; ST_EXISTS it ends here; ST_UNREACHABLE. */
    enum status (*next_hop)(void *ctx, const struct id *id, bool is_node, struct id *ret_next);
};

enum routing_verdict {
    ROUTING_DELIVER, /* it ends here */
    ROUTING_FORWARD, /* to .next, with .destinations left */
    ROUTING_REFUSE,  /* answer .error, if it is a request and there is one */
    ROUTING_DROP,    /* silently */
};

struct routing {
    enum routing_verdict verdict;
    struct destination target; /* DELIVER: the entry that ended here */
    struct id next;            /* FORWARD */
    struct slice destinations; /* FORWARD */
    uint16_t error;            /* REFUSE: enum error_code; 0: the way back cannot be believed */
    const char *reason;        /* REFUSE, DROP: for the log */
    bool has_no_way;           /* DROP: its next hop is not there; there may be one later */
};

/**
 * routing_decide - what to do with a message that came in
 * @h:          as forwarding_read() checked it
 * @is_request: false for a response, the list of which is the way the request came, and for a
 *              fragment of which that cannot be told
 */
void routing_decide(const struct forwarding *h, bool is_request, const struct id *self,
                    uint8_t initial_ttl, const struct routing_table *table, struct routing *ret);

/**
 * routing_forward - write the message as it is to be sent on
 * @from: the link it came from; goes into the via list
 * Returns: ST_OK; ST_LIMIT when the via list is full; ST_TOO_LARGE, ST_NOMEM.
 */
NODISCARD enum status routing_forward(struct slice message, const struct forwarding *h,
                                      const struct routing *route, const struct id *from,
                                      struct writer *ret);

/** routing_response_destinations - the destination list for the response to a request that came
 * with @via from the link with @from: the way back without its circles. */
void routing_response_destinations(struct slice via, const struct id *from, struct writer *ret);

/** routing_response_options - the options a response has to copy (RESPONSE_COPY), flags cleared. */
void routing_response_options(struct slice options, struct writer *ret);

/** routing_has_option - is there an option with one of @flags? We understand none. */
bool routing_has_option(struct slice options, uint8_t flags);

/** routing_destinations - a destination list of @count entries. */
void routing_destinations(const struct destination *to, size_t count, struct writer *ret);

/** routing_is_request - can an error answer this message code? */
bool routing_is_request(uint16_t code);

#endif
