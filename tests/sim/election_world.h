/**
 * DOC: a little world of elections
 *
 * Up to WORLD_NODES nodes named a, b, c, ...; one clock, one network with a latency, losses and two
 * sides that a partition can cut apart; each side's copy of the overlay's records; one global ring.
 * The trace holds each change of role.  After every event the world checks that no node's term runs
 * back (an observer's may, and a reset), that each claim has a higher term than the node's last,
 * that nobody knows more gateways than are configured, that one side has no two gateways too
 * many for longer than WORLD_HEAL_MS, and that nobody who has met no other node of its overlay
 * becomes gateway while the ring, which it can read, has one that lives, each for
 * WORLD_STRANGER_MS.
 */
#ifndef TESTS_SIM_ELECTION_WORLD_H
#define TESTS_SIM_ELECTION_WORLD_H

#include "election/election.h"

#define WORLD_NODES   20
#define WORLD_HEAL_MS 7000
#define WORLD_EVENTS  16384

#define WORLD_STRANGER_MS 5000

struct world;
struct world_event;

struct world_node {
    struct world *world;
    struct election *election;
    struct election_conf conf;
    char name;
    int side;
    bool is_up;
    bool is_asleep;
    bool has_left;
    unsigned life;       /* how often it was started */
    uint32_t latency_ms; /* of its own, on top of the world's, each way */
    uint32_t late_ms;    /* its ticks come up to so much late */
    int64_t wall_jump_ms;
    bool is_deaf_to_me[WORLD_NODES]; /* one-way loss: what goes from here to there is lost */
    bool watches[WORLD_NODES];
    uint64_t arrives_ms[WORLD_NODES];      /* what was sent there last: nothing overtakes it */
    uint64_t heard_ms[WORLD_NODES];        /* the last message from there */
    uint64_t late_from_ms[WORLD_NODES][3]; /* when a message from there had been sent again, the
                                              last three times */
    enum peer_aim aim;
    uint64_t tick_ms;
    uint32_t term_before;
    uint32_t claimed_term;
    unsigned changes; /* of role */
    unsigned claims;
    unsigned verdicts; /* claims in the place of one that was silent */
    unsigned gateway_changes;
    unsigned hellos; /* sent */
    unsigned reads;  /* of the candidates' records */
    struct election_load load;
    uint32_t ring_lives;     /* of its overlay's others in the ring */
    uint64_t ring_silent_ms; /* since then no member of the ring answers it; 0: one does */
    bool was_active;
    bool is_published;     /* in the ring, in this life: its own entry is no news to it */
    uint64_t ring_from_ms; /* is_ring_live: since then it can read the ring; 0: it cannot */
    uint64_t live_from_ms; /* is_ring_live: since then the ring has it as a gateway; 0: not */
};

struct world_record {
    bool exists;
    uint64_t stored_ms;
    struct candidate_record candidate;
    struct gateway_record gateway;
};

struct world {
    uint64_t now_ms;
    uint64_t seed;
    uint32_t latency_ms;
    uint32_t jitter_ms; /* up to so much more, at random */
    uint32_t loss_thousandths;
    uint32_t segment_loss_thousandths; /* links lose segments, as TCP does: messages come late */
    bool is_traffic_heard;    /* elections are told what came over their links (env.signs) */
    uint32_t overlay_late_ms; /* 0: who comes or goes is noticed at once */
    uint32_t heal_ms;         /* WORLD_HEAL_MS: most that too many gateways are borne */
    int count;
    struct world_node node[WORLD_NODES];
    struct world_record record[2][2][WORLD_NODES]; /* side, which, node */
    uint32_t ring_term[WORLD_NODES];
    uint64_t ring_ms[WORLD_NODES];
    bool is_ring_down;
    bool is_ring_asked; /* nodes know what they have of the ring */
    bool is_ring_live;  /* and learn from it which gateways of their overlay live, instead of
                           ring_lives: then no stranger to its overlay may take its name */
    bool is_cut;
    bool is_cut_silent;         /* a partition breaks no link: it is only silent */
    int ringless_side;          /* of a partition: it does not reach the ring; -1: both do */
    struct world_event **event; /* a heap */
    size_t event_count;
    struct world_event **parked; /* for nodes that sleep */
    size_t parked_count;
    struct world_event **idle;
    size_t idle_count;
    uint64_t event_serial;
    uint64_t many_since_ms[2];
    unsigned messages;
    bool is_loud;     /* the trace and log lines also go to stdout at once */
    bool is_lenient;  /* a broken invariant ends the run, not the program */
    char broken[128]; /* the first one */
    char trace[32768];
};

/** world_init - nodes "a".."z" by @scores; none is started. @adjust may be NULL. */
void world_init(struct world *w, const uint16_t *score, int count,
                void (*adjust)(struct election_conf *conf, int index));
void world_done(struct world *w);

/** world_start - a node comes up and joins its side at once; with a loss of all it knew before. */
void world_start(struct world *w, char name);
void world_start_all(struct world *w);
/** world_forget - whatever is under way gets lost, its senders hear nothing. */
void world_forget(struct world *w);
void world_run_until(struct world *w, uint64_t until_ms);

/** world_kill - the process dies; its links are reset. world_cut_power - it falls silent. */
void world_kill(struct world *w, char name);
void world_cut_power(struct world *w, char name);
/** world_sleep, world_wake - the process is stopped; what is sent to it waits. */
void world_sleep(struct world *w, char name);
void world_wake(struct world *w, char name);
/** world_partition - @names are cut off from the others; world_heal joins the sides again. */
void world_partition(struct world *w, const char *names);
void world_heal(struct world *w);
/** world_reset_links - all links with a node break, and come back. */
void world_reset_links(struct world *w, char name);

void world_set_score(struct world *w, char name, uint16_t score);
void world_set_calls(struct world *w, char name, uint32_t calls);
void world_leave(struct world *w, char name);
enum status world_handover(struct world *w, char from, const char *to);
enum status world_reset_term(struct world *w, char name);
void world_step(struct world *w, char name, const struct election_event *ev);

/** world_expect - compare the trace since the last call. */
void world_expect(struct world *w, const char *trace);
/** world_actives - how many nodes are active, on a side or (-1) in all. */
int world_actives(const struct world *w, int side);
/** world_gateway - whom a node takes for the gateway; '-' for none. */
char world_gateway(const struct world *w, char name);
struct election *world_election(struct world *w, char name);
struct id world_id(char name);

#endif
