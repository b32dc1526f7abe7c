/**
 * DOC: what Pastry puts into Update, RouteQuery, Join and Leave
 *
 * The layouts are in docs/pastry.md.  A reader is told whose tables it reads: what cannot be true
 * of that node (a leaf on the wrong side, a row entry in the wrong slot) is refused here, before
 * anyone looks at it.
 *
 * Source: RFC 6940 section 6.4.2 leaves these fields to the plug-in.
 */
#ifndef LOCAL_OVERLAYS_PASTRY_BODY_H
#define LOCAL_OVERLAYS_PASTRY_BODY_H

#include "base/bytes.h"

#define PASTRY_DIGIT_BITS 4 /* b */
#define PASTRY_COLUMNS    16
#define PASTRY_ROWS       32
#define PASTRY_SIDE_MAX   8  /* half of |L| */
#define PASTRY_NEAR_MAX   16 /* |M| */
#define PASTRY_BODY_BYTES 16384

/** pastry_row - the row of @whose table that @node belongs to: digits in common; 32 for itself. */
unsigned pastry_row(const struct id *whose, const struct id *node);

/** A leaf set: raw Node-IDs, nearest first, at most 8 on each side, as many on one as on the other.
 */
struct pastry_leaves {
    struct slice smaller; /* counterclockwise */
    struct slice larger;  /* clockwise */
};

enum pastry_update_type {
    PASTRY_READY = 1,    /* I am a member, and need you */
    PASTRY_LEAVES = 2,   /* my leaf set */
    PASTRY_STATE = 3,    /* leaf set and rows */
    PASTRY_ADMITTED = 4, /* leaf set; your records are with you, or on their way */
};

struct pastry_update {
    uint8_t type;
    struct pastry_leaves leaves;
    struct slice rows; /* raw Node-IDs in order of row and column */
};

enum pastry_wants {
    PASTRY_WANT_LEAVES = 1,
    PASTRY_WANT_NEAR = 2,
    PASTRY_WANT_PLACE = 4, /* keep a place free for me, I am about to join */
    PASTRY_WANT_ALL = 7,
};

/** The plug-in's part of a RouteQuery request. */
struct pastry_query {
    uint8_t wants;
    uint8_t first_row;
    uint8_t row_count; /* 0: no rows */
};

enum pastry_verdict {
    PASTRY_GO_ON = 1,    /* ask next */
    PASTRY_MINE = 2,     /* it ends here */
    PASTRY_RESERVED = 3, /* it ends here, and the place is yours for a while */
    PASTRY_BUSY = 4,     /* it ends here, and another joiner goes first */
};

struct pastry_query_ans {
    struct id next;
    uint8_t verdict;
    struct pastry_leaves leaves;
    struct slice rows;
    struct slice near; /* raw Node-IDs, nearest first by round-trip time, at most 16 */
};

enum pastry_join_role {
    PASTRY_ADMIT = 1,     /* let me in: you are the nearest to me */
    PASTRY_HAND_OVER = 2, /* give me the records that will be mine: you are next on the other side
                           */
};

/* Each reader returns ST_OK; ST_MALFORMED if bytes are missing, left over or out of range;
 * ST_FORBIDDEN with the cause if the tables cannot be those of @whose. */
NODISCARD enum status pastry_update_read(struct slice in, const struct id *whose,
                                         struct pastry_update *ret, struct why *why);
void pastry_update_write(struct writer *w, const struct pastry_update *u);

NODISCARD enum status pastry_query_read(struct slice in, struct pastry_query *ret, struct why *why);
void pastry_query_write(struct writer *w, const struct pastry_query *q);

NODISCARD enum status pastry_query_ans_read(struct slice in, const struct id *whose,
                                            struct pastry_query_ans *ret, struct why *why);
void pastry_query_ans_write(struct writer *w, const struct pastry_query_ans *a);

NODISCARD enum status pastry_join_read(struct slice in, enum pastry_join_role *ret,
                                       struct why *why);
void pastry_join_write(struct writer *w, enum pastry_join_role role);

NODISCARD enum status pastry_leave_read(struct slice in, const struct id *whose,
                                        struct pastry_leaves *ret, struct why *why);
void pastry_leave_write(struct writer *w, const struct pastry_leaves *leaves);

/** pastry_nth - the index-th of raw Node-IDs; there must be that many. */
struct id pastry_nth(struct slice nodes, size_t index);

static inline size_t
pastry_count(struct slice nodes)
{
    return nodes.len / ID_BYTES;
}

bool pastry_is_listed(struct slice nodes, const struct id *node);

#endif
