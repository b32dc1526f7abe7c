/**
 * DOC: what the files of the onehop plug-in share
 *
 * The contacts are the one table: members with which a link is up, sorted by their distance
 * clockwise from this node.  Successors are its first entries, the predecessor its last.
 */
#ifndef TESTS_CONTRACT_FOREIGN_ONEHOP_H
#define TESTS_CONTRACT_FOREIGN_ONEHOP_H

#include "local-overlays/topology.h"
#include "peer-protocol/message/body.h"

#define ONEHOP_MEMBERS_MAX  256
#define ONEHOP_REPLICAS_MAX 8
#define TASKS_MAX           64
#define WANTED_MAX          256
#define LOST_MAX            16

enum onehop_state { OUT, ASKING, LINKING, ENTERING, IN };
enum said { SAID_MEMBER = 1, SAID_JOINER, SAID_ADMITTED };
enum task_kind { TASK_LINK = 1, TASK_UPDATE, TASK_JOIN, TASK_OFFER };

/** A member with which a link is up. */
struct contact {
    struct id node;
    struct id distance; /* clockwise from self: the sort key */
};

struct task {
    uint32_t token;
    enum task_kind kind;
    struct id node;
    uint64_t expire_ms;
};

struct lost {
    struct id node;
    uint64_t until_ms;
};

/** What the host was told last: the neighbours that bound our range, or hold copies of it. */
struct shown {
    unsigned count;
    struct id predecessor;
    struct id successor[ONEHOP_REPLICAS_MAX];
};

struct onehop {
    struct topology_conf conf;
    struct topology_env env;
    enum onehop_state state;
    struct contact contact[ONEHOP_MEMBERS_MAX];
    unsigned contact_count;
    struct task task[TASKS_MAX];
    unsigned task_count;
    struct id wanted[WANTED_MAX]; /* heard of, to be linked with when a task is free */
    unsigned wanted_count;
    struct lost lost[LOST_MAX];
    unsigned lost_next;
    uint32_t next_token;
    struct shown shown;
    bool is_changed;

    struct id informant;
    struct id door; /* who lets us in */
    uint64_t step_due_ms;
    uint64_t join_end_ms;
    uint64_t compare_due_ms;
    unsigned compare_next;

    bool is_admitting;
    bool is_offered;
    struct id joiner;
    uint64_t admit_end_ms;
};

bool onehop_is_joining(const struct onehop *o);
bool onehop_is_usable(const struct onehop *o, const struct id *node);
unsigned onehop_at_or_after(const struct onehop *o, const struct id *id);
bool onehop_is_contact(const struct onehop *o, const struct id *node);
bool onehop_add_contact(struct onehop *o, const struct id *node);
bool onehop_remove_contact(struct onehop *o, const struct id *node);
bool onehop_is_owned(const struct onehop *o, const struct id *id);
struct id onehop_sum_of(const struct onehop *o);
uint32_t onehop_add_task(struct onehop *o, struct moment now, enum task_kind kind,
                         const struct id *node);
bool onehop_take_task(struct onehop *o, uint32_t token, struct task *ret_task);
bool onehop_has_task(const struct onehop *o, enum task_kind kind, const struct id *node);
void onehop_send_update(struct onehop *o, struct moment now, const struct id *node, enum said said);
void onehop_introduce(struct onehop *o, struct moment now, const struct id *node);
void onehop_send_join(struct onehop *o, struct moment now);
void onehop_send_leaves(struct onehop *o);
void onehop_lose(struct onehop *o, struct moment now, const struct id *node);
void onehop_want(struct onehop *o, struct moment now, const struct id *node);
void onehop_want_all(struct onehop *o, struct moment now, struct slice body);
void onehop_link_wanted(struct onehop *o, struct moment now);

#endif
