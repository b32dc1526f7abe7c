/**
 * DOC: what the files of pastry/ share
 *
 *    OUT --join--> WALKING --place reserved--> LINKING --links up--> ENTERING
 *     ^             ^   |                         |                      |
 *     |             +---+---- busy, moved on -----+---- Join refused ----+
 *     |                                                                  |
 *     +-------------- leave, join failed -------------- IN <--admitted---+
 *
 * There is one table: the contacts, members of the overlay with which a link is up, sorted by
 * Node-ID.  What the paper calls leaf set, routing table and neighbourhood set are views of it:
 *  - the leaf set is the 8 contacts before and the 8 after this node's own ID;
 *  - the contacts that share r digits with us and have c as their next lie side by side; the one
 *    among them that is marked is_row is the entry of row r, column c;
 *  - the neighbourhood set is the 16 contacts marked is_near, those with the shortest round trip.
 * A contact in none of the three goes.  Nothing is kept for slots that are vacant.
 *
 * Whom others name is a rumour.  A node becomes a contact when a link with it is up, which proves
 * its Node-ID, and it has answered as a member over it, which also gives the first round-trip time.
 *
 * Responsible for an ID is the member that is numerically closest to it around the ring; of two at
 * the same distance the one clockwise from the ID.
 */
#ifndef LOCAL_OVERLAYS_PASTRY_STATE_H
#define LOCAL_OVERLAYS_PASTRY_STATE_H

#include "local-overlays/pastry/body.h"
#include "local-overlays/topology.h"
#include "peer-protocol/message/body.h"

#define PASTRY_CONTACTS_MAX   192
#define PASTRY_TASKS_MAX      96
#define PASTRY_CANDIDATES_MAX 256
#define PASTRY_LOST_MAX       16
#define PASTRY_JOINERS_MAX    6
#define PASTRY_REPLICAS_MAX   4
#define PASTRY_JOIN_SIDE      3 /* leaves on each side that a join waits for */
#define PASTRY_FILL_MAX       8 /* links for rows that are built at one time */
#define PASTRY_RTT_UNKNOWN    UINT16_MAX

#define PASTRY_UPDATE_MS   10000u
#define PASTRY_FIRST_MS    1000u  /* the first round after the join; each is twice as long */
#define PASTRY_SETTLE_MS   30u    /* what is owed within it goes into one Update */
#define PASTRY_REMIND_MS   500u   /* between two Updates that tell a contact what it lacks */
#define PASTRY_REPAIR_MS   100u   /* losses within it are repaired together */
#define PASTRY_LOST_MS     3000u  /* a rumour does not bring a lost node back before */
#define PASTRY_MEASURE_MS  60000u /* between two links that are built to compare distances */
#define PASTRY_TASK_MS     15000u /* the host has answered by then */
#define PASTRY_JOIN_MS     60000u /* all of a join */
#define PASTRY_WALK_MS     4000u  /* how long a step of the join path may take */
#define PASTRY_LINKING_MS  2000u  /* how long a join waits for links with leaves */
#define PASTRY_ENTERING_MS 5000u  /* how long it waits to be admitted */
#define PASTRY_OTHER_MS    1000u  /* and for the records of the other side after that */
#define PASTRY_RESERVE_MS  4000u  /* how long a place is kept before the Join */
#define PASTRY_ADMIT_MS    10000u /* and after it */

enum pastry_state {
    PASTRY_OUT,
    PASTRY_WALKING,  /* asking along the path to the nearest member */
    PASTRY_LINKING,  /* attaching to the leaves it named */
    PASTRY_ENTERING, /* Joins sent */
    PASTRY_IN,
};

struct pastry_contact {
    struct id node;
    uint64_t owed_ms; /* when the Update that we owe it is due; MOMENT_NEVER: none */
    uint64_t told_ms; /* when it last got our leaf set */
    uint16_t rtt_ms;
    bool is_row;
    bool is_near;
    bool is_state_owed; /* it gets the rows too */
};

enum pastry_task_kind {
    PASTRY_TASK_WALK = 1, /* RouteQuery on the join path */
    PASTRY_TASK_LINK,     /* Attach */
    PASTRY_TASK_HELLO,    /* the first request over a link */
    PASTRY_TASK_TELL,     /* Update to a contact */
    PASTRY_TASK_ASK,      /* RouteQuery to a contact */
    PASTRY_TASK_SEARCH,   /* RouteQuery for a vacant slot */
    PASTRY_TASK_JOIN,
    PASTRY_TASK_OFFER,
};

enum pastry_purpose { PASTRY_FOR_LEAF = 1, PASTRY_FOR_ROW, PASTRY_FOR_MEASURE };

/** One thing asked of the host whose end is awaited. */
struct pastry_task {
    struct id node;
    uint32_t token;
    uint8_t kind;
    uint8_t purpose; /* LINK, HELLO */
    bool is_update;  /* HELLO: it was an Update */
    uint64_t sent_ms;
};

struct pastry_lost {
    struct id node;
    uint64_t until_ms;
};

struct pastry_joiner {
    struct id node;
    uint64_t end_ms; /* 0: no such joiner */
    bool is_reserved;
    bool is_offered; /* its Join came, the records are on their way */
};

struct pastry {
    struct topology_conf conf;
    struct topology_env env;
    enum pastry_state state;

    struct pastry_contact *contact;
    struct pastry_task *task;
    struct id *candidate; /* rumours of nodes for vacant slots */
    uint16_t contact_count, contact_cap;
    uint16_t task_count, task_cap;
    uint16_t candidate_count, candidate_cap;
    uint32_t next_token;
    bool is_changed; /* the tables, in this step */
    struct pastry_lost lost[PASTRY_LOST_MAX];
    unsigned lost_next;

    /* what the outside was told last */
    uint8_t shown_count;
    struct id shown[2 * PASTRY_REPLICAS_MAX];

    /* joining */
    struct id informant;
    struct id at;       /* WALKING: who is asked */
    struct id door;     /* the nearest member, which admits us */
    unsigned named;     /* leaves of its that it named, on either side */
    struct id reach[2]; /* the farthest of these, smaller and larger */
    struct id other;    /* the next one on the other side; zero: there is none */
    uint8_t walk_row;
    uint8_t hop_count;
    bool is_door_open;
    bool is_other_done;
    unsigned retry_count;
    uint64_t step_due_ms; /* the next thing a join does if nothing happens before */
    uint64_t join_end_ms;

    /* admitting */
    struct pastry_joiner joiner[PASTRY_JOINERS_MAX];

    /* maintenance */
    uint64_t owed_due_ms; /* the earliest of all contacts */
    uint64_t round_due_ms;
    uint32_t round_ms;
    uint64_t measure_due_ms;
    uint32_t measure_ms;
    uint64_t row_repair_due_ms;
    uint32_t rows_to_repair; /* bit r: row r */
    uint64_t leaf_repair_due_ms;
    uint64_t leaf_recheck_due_ms; /* once what was lost may be believed in again */
    struct id asked;              /* the contact that the last round ended with */
};

/* ---- table.c: contacts and what follows from them ------------------------------------------- */

/** pastry_at - index of the first contact with @id or a larger one; contact_count if none. */
unsigned pastry_at(const struct pastry *p, const struct id *id);

/** pastry_find - the contact with this Node-ID, NULL if there is none. */
struct pastry_contact *pastry_find(const struct pastry *p, const struct id *node);

/** pastry_side - how many leaves there are on each side: 8, or all contacts if there are fewer. */
unsigned pastry_side(const struct pastry *p);

/** pastry_smaller, pastry_larger - the index-th leaf of a side, nearest first. */
struct pastry_contact *pastry_smaller(const struct pastry *p, unsigned index);
struct pastry_contact *pastry_larger(const struct pastry *p, unsigned index);

bool pastry_is_leaf(const struct pastry *p, const struct id *node);

/** pastry_is_leaf_wanted - would @node be a leaf if it were a contact? */
bool pastry_is_leaf_wanted(const struct pastry *p, const struct id *node);

/** pastry_is_next_wanted - would it be among the first PASTRY_JOIN_SIDE leaves of a side? */
bool pastry_is_next_wanted(const struct pastry *p, const struct id *node);

/** pastry_is_closer - is @a closer to @id than @b?  Of two as close, the one clockwise is. */
bool pastry_is_closer(const struct id *a, const struct id *b, const struct id *id);

/** pastry_closest - the contact that is closest to @id, NULL if this node is closer. */
struct pastry_contact *pastry_closest(const struct pastry *p, const struct id *id);

/** pastry_is_covered - is @id in the range of the leaf set? */
bool pastry_is_covered(const struct pastry *p, const struct id *id);

/** pastry_slot - the contacts of a slot: the index of the first; @ret_count of them. */
unsigned pastry_slot(const struct pastry *p, unsigned row, unsigned column, unsigned *ret_count);

/** pastry_entry - the contact that serves a slot, NULL if it is vacant. */
struct pastry_contact *pastry_entry(const struct pastry *p, unsigned row, unsigned column);

/** pastry_row_count - rows up to the last that has an entry. */
unsigned pastry_row_count(const struct pastry *p);

/** pastry_is_vacant - is there no entry where @node would be one? */
bool pastry_is_vacant(const struct pastry *p, const struct id *node);

/** pastry_put - enter a member, or note its round-trip time; NULL if there is no room. */
struct pastry_contact *pastry_put(struct pastry *p, const struct id *node, uint16_t rtt_ms);

/** pastry_remove - take a contact out; false if it was none. */
bool pastry_remove(struct pastry *p, const struct id *node);

/** pastry_replan - say anew who serves where, and let go of those that serve nowhere. */
void pastry_replan(struct pastry *p);

/** pastry_near - the neighbourhood set, nearest first; how many there are. */
unsigned pastry_near(const struct pastry *p,
                     const struct pastry_contact *ret_near[PASTRY_NEAR_MAX]);

/** pastry_size_bits - log2 of the estimated number of members. */
unsigned pastry_size_bits(const struct pastry *p);

/** pastry_check - assert what must hold at the end of each step. */
void pastry_check(const struct pastry *p);

/* ---- join.c: entering, and letting others in ------------------------------------------------ */

void pastry_join_begin(struct pastry *p, struct moment now, const struct id *informant);
void pastry_join_on_walk(struct pastry *p, struct moment now, enum status st, const struct id *from,
                         struct slice body);
void pastry_join_on_answer(struct pastry *p, struct moment now, const struct id *node,
                           enum status st);
void pastry_join_on_admitted(struct pastry *p, const struct id *from);
void pastry_join_on_lost(struct pastry *p, struct moment now, const struct id *node);
/** pastry_join_progress - go on if nothing is awaited any more; called at the end of each step. */
void pastry_join_progress(struct pastry *p, struct moment now);
void pastry_join_tick(struct pastry *p, struct moment now);
/** pastry_become_in - become a member. */
void pastry_become_in(struct pastry *p, struct moment now);

/** pastry_reserve - keep a place for @node; false if another joiner goes first. */
bool pastry_reserve(struct pastry *p, struct moment now, const struct id *node);
enum status pastry_admit(struct pastry *p, struct moment now, const struct topology_request *req,
                         struct writer *ret_body, struct why *why);
void pastry_admit_on_offered(struct pastry *p, struct moment now, const struct id *node);
/** pastry_admit_end - @node has come in, or is not coming. */
void pastry_admit_end(struct pastry *p, const struct id *node);
void pastry_admit_tick(struct pastry *p, struct moment now);
uint64_t pastry_admit_due_ms(const struct pastry *p);

/* ---- update.c: telling and being told ------------------------------------------------------- */

void pastry_send_update(struct pastry *p, const struct id *node, enum pastry_update_type type,
                        uint32_t token);
enum status pastry_on_update(struct pastry *p, struct moment now,
                             const struct topology_request *req, struct why *why);
enum status pastry_on_leave(struct pastry *p, struct moment now, const struct topology_request *req,
                            struct why *why);
void pastry_send_leaves(struct pastry *p);

/** pastry_owe - send @contact our leaf set soon, and the rows if @is_state. */
void pastry_owe(struct pastry *p, struct moment now, struct pastry_contact *contact, bool is_state);
void pastry_pay(struct pastry *p, struct moment now);

/** pastry_leaves_of - this node's leaf set, written to @w, which is to live as long. */
struct pastry_leaves pastry_leaves_of(const struct pastry *p, struct writer *w);

/** pastry_write_rows - the entries of @count rows from @first on, in order. */
void pastry_write_rows(const struct pastry *p, struct writer *w, unsigned first, unsigned count);

/* ---- learn.c: from a rumour to a contact ---------------------------------------------------- */

/** pastry_learn_leaves - whom @via names as its leaves. */
void pastry_learn_leaves(struct pastry *p, struct moment now, const struct pastry_leaves *leaves,
                         const struct id *via);
void pastry_learn_leaf(struct pastry *p, struct moment now, const struct id *node,
                       const struct id *via);
/** pastry_learn_rows - nodes for vacant slots; of those for others one may be measured. */
void pastry_learn_rows(struct pastry *p, struct moment now, struct slice nodes);
/** pastry_remember - keep nodes for later: a join has no rows yet. */
void pastry_remember(struct pastry *p, struct slice nodes);
/** pastry_fill - build links with those that were remembered. */
void pastry_fill(struct pastry *p, struct moment now);
/** pastry_meet - a member has spoken over its own link. */
void pastry_meet(struct pastry *p, struct moment now, const struct id *node);
void pastry_learn_on_attach(struct pastry *p, struct moment now, const struct pastry_task *task,
                            enum status st);
void pastry_learn_on_hello(struct pastry *p, struct moment now, const struct pastry_task *task,
                           enum status st, struct slice body);

/** pastry_drop - @node is gone: forget it, and do not believe in it for a while. */
void pastry_drop(struct pastry *p, struct moment now, const struct id *node);
bool pastry_is_lost(const struct pastry *p, struct moment now, const struct id *node);

/* ---- maintain.c ----------------------------------------------------------------------------- */

void pastry_maintain_begin(struct pastry *p, struct moment now);
void pastry_maintain_tick(struct pastry *p, struct moment now);
uint64_t pastry_maintain_due_ms(const struct pastry *p);
/** pastry_send_query - RouteQuery to @to with the plug-in's part; the token's answer follows. */
void pastry_send_query(struct pastry *p, uint32_t token, const struct topology_target *to,
                       const struct id *resource, const struct pastry_query *q);
void pastry_on_tell_answer(struct pastry *p, struct moment now, const struct pastry_task *task,
                           enum status st);
void pastry_on_ask_answer(struct pastry *p, struct moment now, const struct pastry_task *task,
                          enum status st, struct slice body);
void pastry_on_search_answer(struct pastry *p, enum status st, const struct id *from);

/* ---- route.c: questions of the host; contracts in topology.h -------------------------------- */

enum status pastry_next_hop(const void *state, const struct id *id, bool is_node,
                            struct id *ret_next);
bool pastry_is_responsible(const void *state, const struct id *id);
size_t pastry_replica_set(const void *state, const struct id *id, struct id *ret_node, size_t cap);
bool pastry_responsible_hint(const void *state, const struct id *id, struct id *ret_node);
enum status pastry_on_route_query(struct pastry *p, struct moment now,
                                  const struct topology_request *req, struct writer *ret_body,
                                  struct why *why);

/* ---- pastry.c ------------------------------------------------------------------------------- */

/** pastry_task_add - remember something asked of the host; its token, 0 if there are too many. */
uint32_t pastry_task_add(struct pastry *p, struct moment now, enum pastry_task_kind kind,
                         const struct id *node, enum pastry_purpose purpose);
/** pastry_task_find - is there one of this kind for this node? */
bool pastry_task_find(const struct pastry *p, enum pastry_task_kind kind, const struct id *node);
unsigned pastry_task_count(const struct pastry *p, enum pastry_task_kind kind);

static inline struct topology_target
pastry_to_node(const struct id *node)
{
    return (struct topology_target){.count = 1, .to = {destination_node(node)}};
}

static inline uint16_t
pastry_since_ms(struct moment now, uint64_t sent_ms)
{
    uint64_t passed_ms = now.mono_ms - sent_ms;

    return (uint16_t)(passed_ms < PASTRY_RTT_UNKNOWN ? passed_ms : PASTRY_RTT_UNKNOWN - 1);
}

static inline bool
pastry_is_joining(const struct pastry *p)
{
    return p->state > PASTRY_OUT && p->state < PASTRY_IN;
}

static inline bool
pastry_is_usable(const struct pastry *p, const struct id *node)
{
    return p->env.is_usable(p->env.ctx, node);
}

#endif
