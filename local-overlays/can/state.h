/**
 * DOC: what the files of can/ share
 *
 *    OUT --join--> CONTACTING --attached--> LEARNING --Update--> LINKING --links up--> ENTERING
 *     ^                 ^                      |                                          |
 *     |                 +--- owner has moved --+---------- Join refused ------------------+
 *     |                                                                                   |
 *     +------------------- leave, join failed -------------------- IN <--all admit us-----+
 *
 * There is one table: the contacts, members of the overlay with which a link is up.  Those whose
 * zones touch ours are the neighbours of the paper; two more at each level are witnesses that there
 * is somebody on the other side of that plane, and the nearest in the tree of splits are those who
 * would share out our zone.  Our levels, and so our zone, follow from the contacts (can_zone.h).
 *
 * A link alone makes no member: lists are out of date when several nodes go and come back together,
 * and a node that is still joining takes part in an Attach.  Until its own Update has come, a
 * contact stands for nothing: it has no plane, is on no way, holds no copy, and is not named to
 * others.
 *
 * Each contact's own list of contacts is kept: when it goes, whoever shares out its zone, and
 * whoever touched it, is found there.
 */
#ifndef LOCAL_OVERLAYS_CAN_STATE_H
#define LOCAL_OVERLAYS_CAN_STATE_H

#include "local-overlays/can/can_body.h"
#include "local-overlays/can/can_list.h"
#include "local-overlays/can/can_zone.h"
#include "local-overlays/topology.h"
#include "peer-protocol/message/body.h"

#define CAN_DIMENSIONS    4
#define CAN_WITNESSES     2 /* contacts at each level */
#define CAN_CONTACTS_STEP 8 /* contacts that room is made for at a time */
#define CAN_NEAREST       4 /* contacts that share the most bits with us */
#define CAN_TASKS_MAX     64
#define CAN_VIA_MAX       24 /* tasks that one contact's list may cause at a time */
#define CAN_LOST_MAX      32
#define CAN_ORPHANS_MAX   16
#define CAN_JOINERS_MAX   4 /* that are admitted at a time */
#define CAN_REPLICAS_MAX  3
#define CAN_UPDATE_MS     10000u
#define CAN_SETTLE_MS     30u    /* changes of the zone within it go into one Update */
#define CAN_GATHER_MS     300u   /* the same, changes of the contacts */
#define CAN_LOST_MS       3000u  /* hearsay does not bring a lost node back before */
#define CAN_ORPHAN_MS     20000u /* how long a lost node's list is kept */
#define CAN_GHOST_MS                                                                               \
    1500u /* how long somebody behind a plane has to show up, at most; three times                 \
             that while somebody named there is being looked for */
#define CAN_GHOST_MIN_MS 500u   /* the same where all are near */
#define CAN_GHOST_RTTS   8      /* the same, in round trips with the farthest contact */
#define CAN_FRESH_MS     2000u  /* how long a contact may turn out to be of use */
#define CAN_REMIND_MS    200u   /* between two Updates that tell a contact that we are there */
#define CAN_RTT_MS       100u   /* taken for a round trip that was not measured yet */
#define CAN_TASK_MS      15000u /* the host has answered by then */
#define CAN_JOIN_MS      60000u /* all of a join */
#define CAN_LEARNING_MS  1500u  /* how long a join waits for an Update */
#define CAN_LINKING_MS   2000u  /* how long it waits for links with neighbours */
#define CAN_ENTERING_MS  5000u  /* how long it waits to be admitted */
#define CAN_YIELD_MS     300u   /* how long one that was admitted may keep others waiting */
#define CAN_ADMIT_MS     8000u  /* how long one that is not may */

enum can_state {
    CAN_OUT,
    CAN_CONTACTING, /* Attach to our own point is under way */
    CAN_LEARNING,   /* attached to its owner, no Update of it yet */
    CAN_LINKING,    /* attaching to the neighbours it named */
    CAN_ENTERING,   /* Join sent to all who lose a part of their zone */
    CAN_IN,
};

struct can_contact {
    struct id node;
    struct id apart;          /* its Node-ID xor ours: the less, the nearer in the tree of splits */
    unsigned level;           /* at which it is separated from us */
    struct can_levels levels; /* as it says */
    struct can_zone zone;     /* what is left of what it says when the plane to us is drawn */
    struct can_list list;
    bool is_neighbour;    /* its zone touches ours */
    bool is_needed;       /* a neighbour, a witness or one of the nearest */
    bool is_named;        /* needed, and it has told: a part of what we tell */
    bool needs_us;        /* as it said last */
    bool has_told;        /* an Update of it came: it is a member */
    bool is_asked;        /* joining: it has our Join */
    bool has_admitted;    /* joining: it has offered its records */
    uint64_t born_ms;     /* when it became a contact */
    uint64_t heard_ms;    /* when it last told us anything */
    uint64_t reminded_ms; /* when it was last told anything */
    uint32_t told_token;  /* of the last Update to it, 0 when it was answered */
    uint32_t rtt_ms;      /* of Updates and their answers, smoothed; 0: not measured yet */
    uint32_t named_in;    /* the edition in which it became named */
    uint32_t told_of;     /* the edition that it was told last */
    bool told_needed;     /* it was told that it is needed */
};

enum can_task_kind {
    CAN_TASK_OWNER = 1, /* Attach to whoever owns our point */
    CAN_TASK_NEIGHBOUR,
    CAN_TASK_AUDIT,
    CAN_TASK_JOIN,
    CAN_TASK_OFFER,
};

/** One thing asked of the host whose end is awaited. */
struct can_task {
    uint32_t token;
    enum can_task_kind kind;
    struct can_peer about; /* NEIGHBOUR, JOIN, OFFER: with whom */
    struct id via;         /* NEIGHBOUR: who named it */
    uint64_t expire_ms;    /* a host that forgets must not keep us waiting for ever */
};

/** A node that went, or could not be reached. */
struct can_lost {
    struct can_peer peer;
    uint64_t until_ms;
    bool is_missed; /* it may be alive after all: try it once more then */
};

/** The list of a contact that went. */
struct can_orphan {
    struct can_list list;
    uint64_t until_ms;
};

/** A node that is being admitted. */
struct can_joiner {
    struct id node;
    uint64_t end_ms;
    uint64_t
        yield_ms; /* from then on another may have its place: it has been offered its records */
};

/** What the outside was told last. */
struct can_shown {
    struct can_zone zone;
    uint64_t contacts; /* a digest of all, of those we name, of those that may hold copies */
    uint64_t named;
    uint64_t holders;
};

struct can {
    struct topology_conf conf;
    struct topology_env env;
    unsigned dimensions;
    bool is_by_rtt; /* the next hop is chosen by progress over round-trip time */
    enum can_state state;

    struct can_levels levels;
    struct can_zone zone;
    struct can_contact *contact;
    unsigned contact_count;
    unsigned contact_cap;
    struct can_task task[CAN_TASKS_MAX];
    unsigned task_count;
    struct can_lost lost[CAN_LOST_MAX];
    unsigned lost_next;
    struct can_orphan orphan[CAN_ORPHANS_MAX];
    unsigned orphan_next;
    uint64_t ghost_until_ms[CAN_LEVELS]; /* the last contact there went, and was not alone */
    uint64_t ghost_most_ms[CAN_LEVELS];  /* at the latest */
    uint32_t next_token;
    uint32_t edition;   /* of what there is to tell: counts changes of it */
    uint32_t levels_in; /* the edition in which our levels changed last */
    bool is_changed;    /* contacts or zones, since can_refresh */
    bool is_scan_due;   /* somebody in the lists may be wanted now */
    bool is_scan_cut;   /* there were more of them than could be attached to at a time */
    struct can_shown shown;

    /* joining */
    struct id informant;
    struct id owner;
    uint64_t step_due_ms; /* the next thing a join does if nothing happens before */
    uint64_t join_end_ms;
    unsigned retry_count;

    /* admitting */
    struct can_joiner joiner[CAN_JOINERS_MAX];
    unsigned joiner_count;

    /* maintenance */
    uint64_t in_since_ms;
    uint64_t update_due_ms; /* reactive Updates, MOMENT_NEVER when there is nothing to tell */
    uint64_t stabilise_due_ms;
    uint64_t trim_due_ms;
};

/* ---- can_table.c: contacts and what follows from them --------------------------------------- */

/** can_find - the contact with this Node-ID, NULL if there is none. */
struct can_contact *can_find(const struct can *c, const struct id *node);

/** can_add - a contact, made if need be; NULL if there is no room. */
struct can_contact *can_add(struct can *c, struct moment now, const struct can_peer *peer);

/** can_set_levels - what a contact says of itself. */
void can_set_levels(struct can *c, struct can_contact *contact, const struct can_levels *levels);

/** can_remove - take a contact out; its list goes to @ret_list, or is freed if that is NULL. */
void can_remove(struct can *c, struct can_contact *contact, struct can_list *ret_list);
void can_remove_all(struct can *c);

/** can_keep_plane - a plane stands though nobody is known behind it, until somebody shows up or the
 *  time for that is over. */
void can_keep_plane(struct can *c, struct moment now, unsigned level);

/** can_refresh - levels, zone and who is needed anew from the contacts; false if all is as before.
 */
bool can_refresh(struct can *c, struct moment now);

/** can_zone_with_us - the zone of @peer as it says, cut by the plane to us. */
struct can_zone can_zone_with_us(const struct can *c, const struct can_peer *peer);
unsigned can_level_count(const struct can *c, unsigned level);

/** can_is_wanted - would @peer, no contact yet, be a neighbour, a witness or one of the nearest? */
bool can_is_wanted(const struct can *c, const struct can_peer *peer);
/** can_is_news - the same for @contact, as far as it has told us of itself and its contacts. */
bool can_is_news(const struct can *c, const struct can_contact *contact,
                 const struct can_contact *about);
/** can_trim - part with contacts that neither we nor they need. */
void can_trim(struct can *c, struct moment now);
void can_check(const struct can *c);

/* ---- can_join.c ----------------------------------------------------------------------------- */

void can_join_begin(struct can *c, struct moment now, const struct id *informant);
void can_join_on_owner(struct can *c, struct moment now, enum status st, const struct id *node);
void can_join_on_answer(struct can *c, struct moment now, enum status st);
void can_join_on_lost(struct can *c, struct moment now, const struct id *node);
/** can_join_progress - go on if what was waited for has happened. */
void can_join_progress(struct can *c, struct moment now);
void can_join_tick(struct can *c, struct moment now);
void can_become_in(struct can *c, struct moment now);

enum status can_admit(struct can *c, struct moment now, const struct topology_request *req,
                      struct writer *ret_body, struct why *why);
void can_admit_on_offered(struct can *c, struct moment now, const struct id *node);
/** can_admit_end - @node is in, or gone. */
void can_admit_end(struct can *c, const struct id *node);
void can_admit_tick(struct can *c, struct moment now);

/* ---- can_update.c: what is told and heard --------------------------------------------------- */

void can_send_update(struct can *c, struct moment now, const struct id *node,
                     enum can_news_type type);
/** can_on_told - the end of an Update of ours: the round trip, and whether it was in vain. */
void can_on_told(struct can *c, struct moment now, uint32_t token, enum status st,
                 const struct id *from);
void can_send_leave(struct can *c, struct moment now);
enum status can_on_update(struct can *c, struct moment now, const struct topology_request *req,
                          struct why *why);
enum status can_on_leave(struct can *c, struct moment now, const struct topology_request *req,
                         struct why *why);

/** can_drop - a node is gone; its list is kept. @is_missed: it may only have lost its link. */
void can_drop(struct can *c, struct moment now, const struct id *node, bool is_missed);

/** can_scan - attach to all in the lists that are wanted. */
void can_scan(struct can *c, struct moment now);
/** can_attach_to - have a link with @peer, through @via if that is known. */
void can_attach_to(struct can *c, struct moment now, const struct can_peer *peer,
                   const struct id *via);
void can_neighbour_on_attach(struct can *c, struct moment now, const struct can_task *task,
                             enum status st, const struct id *node);
void can_update_tick(struct can *c, struct moment now);
uint64_t can_update_deadline_ms(const struct can *c);

/* ---- can_route.c: questions of the host; contracts in topology.h ---------------------------- */

enum status can_next_hop(const void *state, const struct id *id, bool is_node, struct id *ret_next);
bool can_is_responsible(const void *state, const struct id *id);
size_t can_replica_set(const void *state, const struct id *id, struct id *ret_node, size_t cap);
bool can_responsible_hint(const void *state, const struct id *id, struct id *ret_node);
enum status can_on_route_query(struct can *c, struct moment now, const struct topology_request *req,
                               struct writer *ret_body, struct why *why);

/* ---- can.c ---------------------------------------------------------------------------------- */

/** can_task_add - remember something asked of the host; its token, 0 if there are too many. */
uint32_t can_task_add(struct can *c, struct moment now, enum can_task_kind kind,
                      const struct can_peer *about, const struct id *via);
unsigned can_task_count(const struct can *c, enum can_task_kind kind);
/** can_token - one that was not used before. */
uint32_t can_token(struct can *c);

static inline struct topology_target
can_to_node(const struct id *node)
{
    return (struct topology_target){.count = 1, .to = {destination_node(node)}};
}

static inline bool
can_is_joining(const struct can *c)
{
    return c->state > CAN_OUT && c->state < CAN_IN;
}

#endif
