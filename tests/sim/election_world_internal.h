/**
 * DOC: what the two halves of the little world share
 *
 *     election_world.c  the clock, and what happens to nodes
 *     world_network.c   what an election asks for: messages, records, the ring
 */
#ifndef TESTS_SIM_ELECTION_WORLD_INTERNAL_H
#define TESTS_SIM_ELECTION_WORLD_INTERNAL_H

#include "tests/sim/election_world.h"

#define WALL_MS 1700000000000ULL

/** What has to be looked up when an event is due. */
enum world_lookup {
    WORLD_LOOKUP_NONE,
    WORLD_LOOKUP_CANDIDATES,
    WORLD_LOOKUP_GATEWAYS,
    WORLD_LOOKUP_RING,
    WORLD_LOOKUP_OVERLAY,
};

/** Something that reaches a node at a time.  Bodies are copied: events borrow them. */
struct world_event {
    uint64_t at_ms;
    uint64_t serial;
    int to;
    int from;       /* whose message it is; -1: nobody's */
    bool is_resent; /* it was sent again on its way */
    unsigned life;  /* of the receiver: what was meant for an earlier one gets lost */
    enum world_lookup lookup;
    struct election_event ev;
    union {
        struct hello_req hello;
        struct claim_req claim;
        struct probe_gateway_req probe;
        struct handover_req handover;
        struct hello_ans hello_ans;
        struct probe_gateway_ans probe_ans;
    } body;
};

uint64_t world_draw(struct world *w);
struct moment world_moment(const struct world_node *n);
int world_index(const struct id *node);
void world_trace(struct world *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
/** world_break - an invariant does not hold; only the first one counts. */
void world_break(struct world *w, const char *fmt, ...) PRINTF_LIKE(2, 3);

/** world_later - a new event; the caller fills in the rest. */
struct world_event *world_later(struct world *w, uint64_t delay_ms, int to,
                                enum election_event_type type);
/** world_take - the next event, off the list; the caller gives it back with world_give_back(). */
struct world_event *world_take(struct world *w);
void world_give_back(struct world *w, struct world_event *x);
/** world_park - keep for a node that sleeps; world_unpark - all of its, due now. */
void world_park(struct world *w, struct world_event *x);
void world_unpark(struct world *w, int to);
/** world_next_ms - when the next event is due; MOMENT_NEVER for none. */
uint64_t world_next_ms(const struct world *w);

/** world_heard - a message has reached its receiver. */
void world_heard(struct world *w, const struct world_event *x);

/** world_fail_request - it reached nobody: its sender hears of that in time. */
void world_fail_request(struct world *w, const struct world_event *x);

/** world_env - the surroundings of a node's election. */
void world_env(struct world_node *n, struct election_env *ret);
bool world_is_record(const struct world *w, int side, enum election_record which, int node);
uint32_t world_ring_term(const struct world_node *n);

#endif
