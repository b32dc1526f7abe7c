/**
 * DOC: what the files of chord/ share
 *
 *    OUT --join--> CONTACTING --attached--> LEARNING --Update--> LINKING --links up--> ENTERING
 *     ^                 ^                      |                                          |
 *     |                 +--- AP has moved -----+---------- Join refused ------------------+
 *     |                                                                                   |
 *     +------------------- leave, join failed -------------------- IN <--AP names us------+
 *
 * There is one table: the contacts, members of the overlay with which a link is up, sorted by their
 * distance clockwise from this node.  Successors are its first entries, predecessors its last, so
 * that every neighbour is attached by construction (RFC 6940 section 10.7), and the Routing Table
 * of section 10.3 is all of it.  A contact may stand in for a finger: the one for slot s lies in
 * [self + 2^(127-s), self + 2^(128-s) - 1] (section 10.7.4.2, with i = s + 1).
 *
 * A contact nobody needs goes: neither a neighbour nor a finger of ours, and silent for so long
 * that it cannot be a neighbour or finger of its own (section 10.7.4.1 makes it speak each period).
 */
#ifndef LOCAL_OVERLAYS_CHORD_STATE_H
#define LOCAL_OVERLAYS_CHORD_STATE_H

#include "local-overlays/topology.h"
#include "peer-protocol/message/body.h"

#define CHORD_CONTACTS_MAX 256
#define CHORD_SPAN_MIN     3 /* predecessors, and successors: section 10.7 */
#define CHORD_SPAN_GROWN   8 /* at most, where the parameters set none */
#define CHORD_SPAN_MAX     20
#define CHORD_SLOTS        128
#define CHORD_SLOTS_MIN    16 /* section 10.7.4.3 */
#define CHORD_TASKS_MAX    48
#define CHORD_LOST_MAX     16
#define CHORD_UPDATE_MS    10000u
#define CHORD_SETTLE_MS    30u    /* changes within it go into one Update */
#define CHORD_LOST_MS      3000u  /* hearsay does not bring a lost node back before */
#define CHORD_REMIND_MS    200u   /* between two Updates that tell a contact what it lacks */
#define CHORD_TASK_MS      15000u /* the host has answered by then */
#define CHORD_JOIN_MS      60000u /* all of a join */
#define CHORD_LINKING_MS   2000u  /* how long a join waits for links with neighbours */
#define CHORD_ENTERING_MS  5000u  /* how long it waits for the Update that names us */
#define CHORD_ADMIT_MS     10000u /* how long one joiner may keep others waiting */
#define CHORD_RESERVE_MS   3000u  /* the same, before its Join */
#define CHORD_FINGER_MS    150u   /* between two searches while the table is filled */

enum chord_state {
    CHORD_OUT,
    CHORD_CONTACTING, /* Attach to Resource-ID n+1 is under way */
    CHORD_LEARNING,   /* attached to the admitting peer, no Update of it yet */
    CHORD_LINKING,    /* attaching to the neighbours it named */
    CHORD_ENTERING,   /* Join sent */
    CHORD_IN,
};

struct chord_contact {
    struct id node;
    struct id distance;   /* clockwise from self: the sort key */
    uint64_t heard_ms;    /* when it last said that it needs us */
    uint64_t reminded_ms; /* when it was last told what it lacks */
    bool is_finger;
};

enum chord_task_kind {
    CHORD_TASK_ADMITTING_PEER = 1,
    CHORD_TASK_NEIGHBOUR,
    CHORD_TASK_FINGER,
    CHORD_TASK_QUERY,
    CHORD_TASK_JOIN,
    CHORD_TASK_OFFER,
};

/** One thing asked of the host whose end is awaited. */
struct chord_task {
    uint32_t token;
    enum chord_task_kind kind;
    struct id node;     /* NEIGHBOUR, OFFER: with whom */
    unsigned slot;      /* FINGER */
    uint64_t expire_ms; /* a host that forgets must not keep us waiting for ever */
};

/** A node that went, or could not be reached. */
struct chord_lost {
    struct id node;
    uint64_t until_ms;
    bool is_missed; /* it may be alive after all: try it once more then */
};

/** What the outside was told last. */
struct chord_shown {
    uint8_t predecessor_count;
    uint8_t successor_count;
    struct id predecessor[CHORD_SPAN_MAX];
    struct id successor[CHORD_SPAN_MAX];
};

struct chord {
    struct topology_conf conf;
    struct topology_env env;
    unsigned span_set; /* by "neighbours=N"; 0: it grows with the overlay */
    enum chord_state state;

    struct chord_contact *contact;
    unsigned contact_count;
    unsigned contact_cap;
    struct chord_task task[CHORD_TASKS_MAX];
    unsigned task_count;
    struct chord_lost lost[CHORD_LOST_MAX];
    unsigned lost_next;
    uint32_t next_token;
    struct chord_shown shown;

    /* joining */
    struct id informant;
    struct id admitting_peer;
    struct id updated_by; /* who sent an Update since the Attach went out */
    uint64_t step_due_ms; /* the next thing a join does if nothing happens before */
    uint64_t join_end_ms;
    unsigned retry_count;

    /* admitting */
    bool is_admitting;
    bool is_offered; /* its Join came, the records are on their way */
    struct id joiner;
    uint64_t admit_end_ms;

    /* maintenance */
    uint64_t in_since_ms;
    uint64_t update_due_ms; /* reactive Updates, MOMENT_NEVER when there is nothing to tell */
    bool is_range_changed;  /* they go to all contacts, not to neighbours alone */
    uint64_t stabilise_due_ms;
    uint64_t finger_due_ms;
    uint8_t slot_tried[CHORD_SLOTS / 8]; /* slots that were searched in vain */
    unsigned tried_bits;                 /* log2 of the overlay's size then */
};

/* ---- chord_table.c: contacts and what follows from them ------------------------------------- */

/** chord_find - the contact with this Node-ID, NULL if there is none. */
struct chord_contact *chord_find(const struct chord *c, const struct id *node);

/** chord_at - index of the first contact at @distance or beyond; contact_count if none. */
unsigned chord_at(const struct chord *c, const struct id *distance);

/** chord_add - enter a linked member, or note that it was heard. False if the table is full of
 *  contacts that are needed. */
bool chord_add(struct chord *c, struct moment now, const struct id *node);

/** chord_remove - take a contact out; false if it was none. */
bool chord_remove(struct chord *c, const struct id *node);

/** chord_span - how many predecessors, and how many successors, are kept: as many as the parameters
 *  set, else after the size of the overlay. */
unsigned chord_span(const struct chord *c);

/** chord_size_bits - log2 of the estimated number of members. */
unsigned chord_size_bits(const struct chord *c);

unsigned chord_predecessor_count(const struct chord *c);
unsigned chord_successor_count(const struct chord *c);
/** chord_predecessor, chord_successor - the index-th, nearest first. */
const struct id *chord_predecessor(const struct chord *c, unsigned index);
const struct id *chord_successor(const struct chord *c, unsigned index);
bool chord_is_neighbour(const struct chord *c, const struct id *node);

/** chord_is_wanted - would @node be a neighbour if it were a contact? */
bool chord_is_wanted(const struct chord *c, const struct id *node);

/** chord_is_owned - is @id in (predecessor, self]? Without contacts: always. */
bool chord_is_owned(const struct chord *c, const struct id *id);

/** chord_finger - the contact that serves slot @slot, NULL if there is none. */
const struct chord_contact *chord_finger(const struct chord *c, unsigned slot);

/** chord_slot_of - the slot a distance belongs to. */
unsigned chord_slot_of(const struct id *distance);

/** chord_slot_count - slots in use: 16, or as many as reach the last successor. */
unsigned chord_slot_count(const struct chord *c);

/** chord_slot_is_covered - do the neighbour lists already name all that is in the slot's range? */
bool chord_slot_is_covered(const struct chord *c, unsigned slot);

/** chord_slot_target - a random ID in the slot's range. */
struct id chord_slot_target(const struct chord *c, unsigned slot);

/** chord_trim - let go of the contacts nobody needs. */
void chord_trim(struct chord *c, struct moment now);

/** chord_check - assert what must hold at the end of each step. */
void chord_check(const struct chord *c);

/* ---- chord_join.c: entering, and letting others in ------------------------------------------ */

void chord_join_begin(struct chord *c, struct moment now, const struct id *informant);
void chord_join_on_attach(struct chord *c, struct moment now, enum status st,
                          const struct id *node);
void chord_join_on_answer(struct chord *c, struct moment now, enum chord_task_kind kind,
                          enum status st, struct slice body);
/** chord_join_on_update - an Update came while joining; its lists were learned from already. */
void chord_join_on_update(struct chord *c, struct moment now, const struct id *from,
                          const struct chord_update *u);
void chord_join_on_lost(struct chord *c, struct moment now, const struct id *node);
/** chord_join_progress - go on if nothing is awaited any more; called at the end of each step. */
void chord_join_progress(struct chord *c, struct moment now);
void chord_join_tick(struct chord *c, struct moment now);

/** chord_become_in - become a member. */
void chord_become_in(struct chord *c, struct moment now);

enum status chord_admit(struct chord *c, struct moment now, const struct topology_request *req,
                        struct writer *ret_body, struct why *why);
void chord_admit_on_offered(struct chord *c, struct moment now, const struct id *node);
void chord_admit_tick(struct chord *c, struct moment now);
/** chord_welcome - answer a wish for an Update; a joiner's turn may have to come first. */
void chord_welcome(struct chord *c, struct moment now, const struct id *node, bool wants_full);

/* ---- chord_update.c: telling and being told ------------------------------------------------- */

void chord_send_update(struct chord *c, struct moment now, const struct id *node,
                       enum chord_update_type type);
enum status chord_on_update(struct chord *c, struct moment now, const struct topology_request *req,
                            struct why *why);
enum status chord_on_leave(struct chord *c, struct moment now, const struct topology_request *req,
                           struct why *why);
void chord_send_leave(struct chord *c);

/** chord_learn - @node is said to be a member, by @via. */
void chord_learn(struct chord *c, struct moment now, const struct id *node, const struct id *via);

/** chord_drop - @node is gone: forget it, and do not take it from hearsay for a while.
 *  @is_missed: only its link is known to be gone (RFC 6940 section 10.7.1: "by actively routing a
 *  new Attach to the lost peer"). */
void chord_drop(struct chord *c, struct moment now, const struct id *node, bool is_missed);

void chord_finger_on_attach(struct chord *c, struct moment now, unsigned slot, enum status st,
                            const struct id *node);
void chord_update_tick(struct chord *c, struct moment now);
uint64_t chord_update_deadline_ms(const struct chord *c);

/* ---- chord_route.c: questions of the host; contracts in topology.h -------------------------- */

enum status chord_next_hop(const void *state, const struct id *id, bool is_node,
                           struct id *ret_next);
bool chord_is_responsible(const void *state, const struct id *id);
size_t chord_replica_set(const void *state, const struct id *id, struct id *ret_node, size_t cap);
bool chord_responsible_hint(const void *state, const struct id *id, struct id *ret_node);
enum status chord_on_route_query(struct chord *c, struct moment now,
                                 const struct topology_request *req, struct writer *ret_body,
                                 struct why *why);

/* ---- chord.c -------------------------------------------------------------------------------- */

/** chord_settle - the end of each step: go on, tell the host what changed, check. */
void chord_settle(struct chord *c, struct moment now);

/** chord_task_add - remember something asked of the host; its token, 0 if there are too many. */
uint32_t chord_task_add(struct chord *c, struct moment now, enum chord_task_kind kind,
                        const struct id *node, unsigned slot);
unsigned chord_task_count(const struct chord *c, enum chord_task_kind kind);

static inline struct topology_target
chord_to_node(const struct id *node)
{
    return (struct topology_target){.count = 1, .to = {destination_node(node)}};
}

static inline bool
chord_is_joining(const struct chord *c)
{
    return c->state > CHORD_OUT && c->state < CHORD_IN;
}

#endif
