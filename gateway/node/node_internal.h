/**
 * DOC: what the files of a node share
 *
 * node.c is the life of a node and its settling; node_election.c carries out what the election asks
 * for and brings it what the local peer hears; node_directory.c does the same for the directory of
 * overlays and answers look-ups, node_replica.c for the replica of calls, node_names.c for names
 * inside ours.  node_ring.c reads our overlay's entries in the ring, node_reach.c asks whether its
 * members are there, node_confirm.c whether a gateway that was stopped still is one; node_lists.c
 * has what waits.
 *
 * Peers report states and links while they work, when they must not be called; such reports wait in
 * a list and are acted on by node_settle(), at the end of each step.
 */
#ifndef GATEWAY_NODE_NODE_INTERNAL_H
#define GATEWAY_NODE_NODE_INTERNAL_H

#include "base/list.h"
#include "gateway/node/node.h"
#include "gateway/node/node_lists.h"

#define NODE_VERIFIED_MAX 32

enum node_leaving { NODE_STAYS, NODE_HANDS_OVER, NODE_MOVES, NODE_DEPARTS, NODE_HAS_LEFT };

/** The ctx of a peer's environment: which of the two it is. */
struct node_side {
    struct node *node;
    enum node_overlay which;
};

#define CONFIRM_OTHERS_MAX 4

/** Who could have this gateway's place, by a clock that stands still while this process does. */
struct standbys {
    uint64_t awake_ms;
    uint64_t turn_ms; /* the last that there was */
    struct id node[CONFIRM_OTHERS_MAX];
    uint64_t seen_ms[CONFIRM_OTHERS_MAX]; /* of that clock; 0: a free place */
};

/** A question of node_confirm(): one at a time, the last that was asked. */
struct confirm {
    bool is_under_way;
    bool is_agreed;   /* a standby knows of no later term */
    bool is_outdated; /* one does */
    bool is_replaced; /* and so does this node by now */
    unsigned open;    /* answers that are still to come */
    uint32_t round;
    uint64_t ask_at_ms; /* the next try; MOMENT_NEVER while answers are still to come */
    uint64_t until_ms;
    uint64_t most_ms;                    /* where somebody knows better */
    struct id other[CONFIRM_OTHERS_MAX]; /* who is asked */
    size_t count;
    struct node_confirmed done;
};

#define NODE_REACHED_MAX 8

/** A member of the ring that has answered. */
struct node_reached {
    struct id node;
    uint64_t heard_ms;
};

struct node {
    struct node_conf conf;
    struct node_env env;
    struct peer *peer[NODE_OVERLAYS];
    struct { /* members of the ring that are asked in turn */
        struct node_reached member[NODE_REACHED_MAX];
        uint64_t asked_ms; /* the last question */
        uint64_t heard_ms; /* has_heard: the last answer of all */
        bool has_heard;
        unsigned turn;
    } reach;
    struct { /* of our own overlay's entries in the ring, for the election */
        bool is_under_way;
        unsigned pending; /* of those that have one: asked whether they live */
        enum status st;
        uint32_t term;
        uint32_t lives;
    } ring_read;
    struct node_side *side[NODE_OVERLAYS]; /* each peer's ctx */
    struct election *election;
    struct directory *directory;     /* NULL without a global overlay */
    struct nested *nested;           /* whose the domains inside our name are */
    struct names_asked *names_asked; /* to be asked of the gateway at this step's end; or NULL */
    struct id names_gateway;         /* that is asked */
    char overlay_aor[AOR_BYTES];     /* "overlay@NAME" */
    struct list_node reports;        /* of the peers, oldest first */
    struct { /* look-ups that wait for the ring (node_await.c), oldest first */
        struct list_node joining;
        struct list_node seeking;  /* it is lost, and looked for until this is over */
        struct list_node hopeless; /* to be refused at once, but not from inside the question */
        uint64_t seek_ms;
        size_t count;
    } await;
    enum node_leaving leaving;
    bool election_left; /* the election's hand-over has ended */
    bool replica_left;  /* all calls are moved */
    struct moment now;  /* of this step: the callbacks of the election and directory bring none */
    bool is_settling;
    bool is_ending; /* node_free: completions only give their memory back */
    uint64_t leave_deadline_ms;
    struct standbys standbys;
    struct confirm confirm;
    struct replica *replica;               /* NULL without a global overlay */
    bool is_in_replica;                    /* it is at work, and must not be called */
    struct id stand_by[REPLICA_HEIRS_MAX]; /* the candidates it knows */
    size_t stand_by_count;
    struct id handover_from; /* who sent the HANDOVER that is answered */
    uint64_t
        linger_until_ms;  /* the gateway's records stay until then; MOMENT_NEVER: nothing waits */
    bool is_lingering[2]; /* its record in the local overlay, its entry in the ring */
    struct id verified[NODE_VERIFIED_MAX]; /* nodes whose certificate overlay@NAME was checked */
    size_t verified_count;
    size_t verified_next;
    struct node_lists lists; /* of the gateways that we say HELLO to */
    uint64_t list_seed;
    uint64_t asked_list;                  /* that the HELLO which is being answered names */
    bool is_candidate_asking;             /* it: he may be gateway, and needs the key */
    uint8_t naming_key[NAMING_KEY_BYTES]; /* the first gateway's; ours, if none is heard */
};

/** node_settle - act on what the peers reported, until nothing is left. */
void node_settle(struct node *n, struct moment now);

/* node_election.c */
NODISCARD enum status node_election_new(struct node *n, struct moment now, struct why *why);
/** node_linger_end - take back what a gateway that stepped down had published, if that waits. */
void node_linger_end(struct node *n, struct moment now);
/** node_on_private - one of our private requests came over the local overlay or the ring. */
void node_on_private(struct node *n, struct moment now, enum node_overlay which,
                     const struct peer_request *req);

/** node_check_gateway - does @certificate make @id a gateway of our overlay? Remembered if so. */
bool node_check_gateway(struct node *n, struct moment now, const struct id *id,
                        struct slice certificate);
/** node_is_verified - was such a certificate of it seen? */
bool node_is_verified(const struct node *n, const struct id *id);

/* node_replica.c */
NODISCARD enum status node_replica_new(struct node *n, struct moment now);
/** node_on_dialogs - another node's calls; an error is for the caller to answer. */
enum status node_on_dialogs(struct node *n, struct moment now, const struct peer_request *req);
/** node_replica_gateways - the active set, best first. */
void node_replica_gateways(struct node *n, const struct election_gateway *gateway, size_t count);
/** node_reach_tick - ask the next member of the ring, when it is time. */
void node_reach_tick(struct node *n, struct moment now);
uint64_t node_reach_deadline_ms(const struct node *n);

/** node_ring_read - an ELECTION_RING event follows. */
void node_ring_read(struct node *n);

/** node_replica_on_handover - we have said yes to @owner. */
void node_replica_on_handover(struct node *n, const struct id *owner);
/** node_replica_holds_calls - has it any that are not another's? */
bool node_replica_holds_calls(const struct node *n);
/** node_replica_hands_over - somebody is asked to take our role. */
void node_replica_hands_over(struct node *n);
/** node_replica_settle - the candidates may have changed; what is due. */
void node_replica_settle(struct node *n, struct moment now);
/** node_replica_leave - n->replica_left follows. */
void node_replica_leave(struct node *n, struct moment now);

/* node_confirm.c */
/** node_confirm_turn - this process runs */
void node_confirm_turn(struct node *n, struct moment now);
/** node_confirm_note - @id is a standby of this gateway */
void node_confirm_note(struct node *n, const struct id *id);
/** node_confirm_settle - has the question found its answer, or its end? */
void node_confirm_settle(struct node *n, struct moment now);

/* node_directory.c */
NODISCARD enum status node_directory_new(struct node *n, struct why *why);
/** node_ring_fetch - ask the ring; the directory hears what was found. */
void node_ring_fetch(struct node *n, uint32_t token, const char *name);

/* node_await.c */
/** node_ring_await - node_ring_fetch() at once, or when the ring has been joined */
void node_ring_await(void *ctx, uint32_t token, const char *name);
/** node_ring_joined - the ring can be asked now: so is what waited for it. */
void node_ring_joined(struct node *n, struct moment now);
/** node_ring_expire - who has waited too long for the ring is told so; all of them at node_free. */
void node_ring_expire(struct node *n, struct moment now);
uint64_t node_ring_deadline_ms(const struct node *n);
/* node_ring.c */
/** node_on_local - a node of our overlay asks, over the ring, where that is. */
void node_on_local(struct node *n, struct moment now, const struct peer_request *req);

/* node_names.c */
NODISCARD enum status node_names_new(struct node *n);
/** node_names_gateways - the active set has changed: another knows which names are foreign. */
void node_names_gateways(struct node *n, const struct election_gateway *gateway, size_t count);
/** node_names_flush - send what is to be asked of the gateway. */
void node_names_flush(struct node *n);
/** node_on_names - another node asks us, the gateway, whose domains are. */
void node_on_names(struct node *n, struct moment now, const struct peer_request *req);
/** node_names_resolve - directory_resolve(), where a name that was known lately counts. */
void node_names_resolve(struct node *n, struct moment now, const char *domain, bool is_past_cache,
                        bool wants_hops, const struct directory_resolved *done);

/** node_on_resolve - another node asks us, the gateway, for a foreign domain. */
void node_on_resolve(struct node *n, struct moment now, const struct peer_request *req);

/** node_log - a line of this node. */
#define node_log(n, level, ...) log_to(&(n)->env.log, level, __VA_ARGS__)

#endif
