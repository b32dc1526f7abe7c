/** DOC: what the files of the simulator share: sim.c the world, sim_link.c links, sim_model.c
 * latencies and the trace, sim_keys.c the laboratory's security, sim_lookup.c requests that are
 * watched. */
#ifndef TESTS_SIM_SIM_INTERNAL_H
#define TESTS_SIM_SIM_INTERNAL_H

#include "base/map.h"
#include "tests/sim/events.h"
#include "tests/sim/sim.h"

enum sim_event {
    SIM_TICK,
    SIM_FRAME,
    SIM_CONNECTED,
    SIM_CONNECT_FAILED,
    SIM_NOBODY, /* an address where there is no node */
    SIM_SUSPECT,
    SIM_WELL,
    SIM_DOWN
};

struct sim_node {
    struct sim *sim;
    unsigned index;
    struct id id;
    char address[NODE_ADDRESS_BYTES];
    struct peer *peer;
    unsigned group;
    bool is_silent; /* switched off: answers not even with a reset */
    bool is_asked;  /* to be a member */
    uint64_t tick_us;
    unsigned life; /* counts restarts */
    uint64_t wakes_us;
    struct sim_link **link;
    size_t link_count;
    size_t link_cap;
};

/** A pair of nodes that has or had a link. Side 0 is the node with the lower number. */
struct sim_link {
    unsigned node[2];
    bool is_up[2];
    bool is_opening[2];
    bool is_doubted[2];
    bool is_suspect[2];
    uint64_t last_us[2]; /* arrival of the last frame that this side sent */
    unsigned generation;
    uint64_t latency_us;
};

struct sim_frame {
    struct sim_link *link;
    unsigned generation;
    unsigned side; /* who sent it, or whom the event is for */
    size_t len;
    uint8_t data[];
};

struct sim {
    struct sim_conf conf;
    struct events events;
    uint64_t seed;
    uint64_t trace;
    struct sim_node **node;
    unsigned count;
    unsigned cap;
    struct map *by_id;
    struct map *links;
    struct map *watched;      /* Resource-ID to struct sim_lookup */
    struct map *transactions; /* the same by transaction ID */
    struct sim_counters counters;
    struct sim_signature {
        uint8_t value[8];
        struct id node;
    } signature;
};

/** sim_step - call after each event into a peer: looks at its deadline again. */
void sim_arm(struct sim_node *n);

bool sim_link_send(void *ctx, const struct id *to, struct slice message);
void sim_link_connect(void *ctx, const char *address, const struct id *expected);
void sim_link_disconnect(void *ctx, const struct id *node);
void sim_link_event(struct sim *s, const struct event *e);
void sim_nobody_event(struct sim *s, const struct event *e);
void sim_link_crash(struct sim_node *n);
void sim_link_sleep(struct sim_node *n, uint64_t duration_us);

/** sim_latency_us - one way between two nodes, after the model; always the same. */
uint64_t sim_latency_us(const struct sim *s, unsigned a, unsigned b);

/** sim_trace_bytes - the trace goes on with these. */
void sim_trace_bytes(struct sim *s, const void *data, size_t len);

struct keys sim_keys(struct sim_node *n);

void sim_watch_frame(struct sim *s, unsigned from, struct slice message);
/** sim_watch_lost - @message goes to nobody. */
void sim_watch_lost(struct sim *s, struct slice message);

#endif
