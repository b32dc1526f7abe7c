/**
 * DOC: many peers, one clock
 *
 * Runs the struct peer objects that the daemon runs, without sockets: virtual time, seeded latency
 * and loss, links that behave as link.h promises.  Latency is fixed for each pair of nodes, drawn
 * after one of four models.  Links are streams: what is lost arrives a retransmission later, and
 * nothing overtakes it.  A node that is switched off is noticed by those who send to it (suspect
 * after max(100 ms, 4 RTT), down after three times that); one whose process ended is noticed by all
 * after one latency.
 *
 * The same seed gives the same run.  Nodes are numbered from 0 in order of sim_add(); their address
 * is 10.x.y.z:6084 and their Node-ID the hash of it.
 */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include "local-overlays/peer.h"

#define SIM_OVERLAY "sim"

struct sim;
struct event;

/** One way, between two nodes. */
enum sim_latency {
    SIM_LATENCY_SPREAD,    /* latency_min_us to latency_max_us, at random */
    SIM_LATENCY_FIXED,     /* latency_min_us */
    SIM_LATENCY_LAN,       /* 100 to 300 us */
    SIM_LATENCY_WIDE_AREA, /* a matrix of eight regions, and 0.5 to 5 ms of access at each end */
    SIM_LATENCY_MODELS
};

struct sim_conf {
    const struct topology_ops *topology;
    const char *parameters; /* of the plug-in; NULL: none */
    uint64_t seed;
    enum sim_latency latency;
    uint32_t latency_min_us; /* one way; default 1 ms to 50 ms */
    uint32_t latency_max_us;
    uint32_t loss_permille; /* of frames that need a retransmission */
    uint32_t update_ms;     /* stabilisation; 0: the plug-in's default */
    unsigned
        bootstrap_count; /* nodes 0.. that all have as bootstrap entries; default 3, at most 8 */
    unsigned bootstrap_spread; /* if not 0: nodes from this number on have random ones below it */
    bool is_spread_growing;    /* or below half of their own number, if that is more */
    size_t max_records;        /* of each peer; 0: the default */
    /* Optional, for those who put something on top of the peers. */
    void *ctx;
    void (*on_state)(void *ctx, unsigned node, enum peer_state state, const char *reason);
    void (*on_request)(void *ctx, unsigned node, const struct peer_request *req);
    void (*on_link)(void *ctx, unsigned node, const struct id *other, bool is_up);
    void (*on_log)(void *ctx, unsigned node, enum log_level level, const char *text);
    void (*on_event)(void *ctx, const struct event *e); /* before each; kinds: sim_internal.h */
    const char *(*user)(void *ctx, unsigned node);      /* of its certificate; NULL: its ID */
    void (*adjust)(void *ctx, unsigned node, struct peer_conf *conf);
    bool is_loud; /* lines of level INFO and above to stderr */
};

enum sim_crash { SIM_CRASH_RESET, SIM_CRASH_SILENT };

struct sim *sim_new(const struct sim_conf *conf);
void sim_free(struct sim *s);

/** sim_add - a node whose peer is DOWN; its number. */
unsigned sim_add(struct sim *s);
unsigned sim_count(const struct sim *s);

void sim_start(struct sim *s, unsigned node); /* aim MEMBER */
void sim_stop(struct sim *s, unsigned node);  /* leave gracefully */
void sim_crash(struct sim *s, unsigned node, enum sim_crash how);
void sim_restart(struct sim *s, unsigned node); /* after a crash: a new peer, aim MEMBER */
void sim_boot(struct sim *s, unsigned node);    /* after a crash: a new peer, DOWN */

/** sim_sleep - the process stands still for so long: what comes for it waits, and links that need
 * its acknowledgements are suspected, and go down, at their other ends. */
void sim_sleep(struct sim *s, unsigned node, uint32_t duration_ms);
bool sim_is_asleep(const struct sim *s, unsigned node);

/** sim_set_group - nodes of different groups cannot reach each other; all begin in group 0. */
void sim_set_group(struct sim *s, unsigned node, unsigned group);

void sim_run_ms(struct sim *s, uint64_t duration_ms);
/** sim_run_until - run until @is_done; false if it is not after @limit_ms. */
bool sim_run_until(struct sim *s, bool (*is_done)(struct sim *s), uint64_t limit_ms);

/** sim_are_all_joined - is every node that runs and is to be a member one, JOINED or (if it is the
 *  only one) ALONE? */
bool sim_are_all_joined(struct sim *s);

struct moment sim_now(const struct sim *s);
uint64_t sim_random(struct sim *s);

/** sim_peer - a node's peer, NULL while it is crashed.  After a call into it: sim_touch(). */
struct peer *sim_peer(const struct sim *s, unsigned node);
void sim_touch(struct sim *s, unsigned node);
const struct id *sim_id(const struct sim *s, unsigned node);
const char *sim_address(const struct sim *s, unsigned node);
int sim_find(const struct sim *s, const struct id *id); /* -1: nobody */
bool sim_is_member(const struct sim *s, unsigned node);
unsigned sim_member_count(const struct sim *s);
unsigned sim_random_member(struct sim *s);

/** sim_end_growth - from now on the bootstrap entries of who starts are the first ones again, as
 *  without is_spread_growing: those that may be switched off are nobody's. */
void sim_end_growth(struct sim *s);
/** sim_set_loss - from now on. */
void sim_set_loss(struct sim *s, uint32_t loss_permille);

/** sim_trace - a hash of every event and every byte that arrived up to now. */
uint64_t sim_trace(const struct sim *s);
const char *sim_latency_name(enum sim_latency latency);

/** sim_hash - the Resource-ID of a name, as the peers compute it. */
struct id sim_hash(const char *name);

/** sim_owner - the one member that calls itself responsible; -1 for none, -2 for several. */
int sim_owner(const struct sim *s, const struct id *id);

struct sim_counters {
    uint64_t messages; /* given to links */
    uint64_t bytes;
    uint64_t by_code[0x30];
    uint64_t links; /* opened */
};
const struct sim_counters *sim_counters_of(const struct sim *s);

/**
 * A fetch through the overlay, watched on its way: the real thing, not a walk over tables.
 */
struct sim_lookup {
    unsigned from;
    char name[48];
    struct id resource;
    bool is_done;
    enum status st;
    size_t count; /* values that came back */
    int ended;    /* the node that answered first */
    unsigned hops;
    uint64_t begin_ms;
    uint64_t took_ms;
    unsigned timeouts; /* its request was given to a node that is off, or cut off */
    uint64_t transaction_id;
};
/** sim_lookup - fetch the bindings under @name; runs the simulation until it has ended. */
void sim_lookup(struct sim *s, unsigned from, const char *name, struct sim_lookup *ret);
/** sim_lookups - @count of them from random members, to random names, @at_once at a time.
 *  @ret holds @count. */
void sim_lookups(struct sim *s, struct sim_lookup *ret, size_t count, size_t at_once);

/** sim_lookups_of - of the names that @ret holds already, from random members, all at once. */
void sim_lookups_of(struct sim *s, struct sim_lookup *ret, size_t count);

/** sim_store - store a binding of @from under @name; runs until it has ended. */
enum status sim_store(struct sim *s, unsigned from, const char *name, const char *value);
/** sim_stores - the same for all names in @name at once, from random members; how many were stored.
 */
size_t sim_stores(struct sim *s, const struct sim_lookup *name, size_t count, const char *value);
/** sim_holders - how many nodes hold a value under @name; the first @cap of them in @ret. */
unsigned sim_holders(const struct sim *s, const char *name, unsigned *ret, unsigned cap);

#endif
