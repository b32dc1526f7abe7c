/**
 * DOC: what the files of gateway/replica/ share
 *
 *     replica.c   birth, what comes in, deadlines, what may be looked at
 *     own.c       this node's calls: the log, tombstones, ghosts
 *     heirs.c     who gets them, what was sent to whom
 *     parts.c     records that are longer than a request
 *     copies.c    other nodes' calls: what is held, and when it is adopted
 *     offers.c    copies that nobody came for
 *
 * The log holds own calls by their last change, tombstones among them.  An heir's place in it is a
 * pointer to the first entry it does not hold, so that a walk goes on where it stopped; whoever
 * takes an entry out moves the pointers on (own_cut).
 */
#ifndef GATEWAY_REPLICA_INTERNAL_H
#define GATEWAY_REPLICA_INTERNAL_H

#include "base/list.h"
#include "base/map.h"
#include "gateway/replica/replica.h"

#define REPLICA_KNOWN_MAX  16 /* heirs, present and past: bits of kept.held_by */
#define REPLICA_OWNERS_MAX 16
#define REPLICA_ACTIVE_MAX 8
#define REPLICA_TELL_MAX   256 /* calls in one adopt or released */
/* How long a token is remembered that is ours no more: an offer of old copies comes up to a minute
 * after their owner has gone. */
#define REPLICA_GHOST_MS  90000
#define REPLICA_LATE_MS   500 /* after deadline_ms an answer that was promised is given up */
#define REPLICA_PAST_MAX  4
#define REPLICA_NO_STREAM UINT64_MAX  /* of a copy that its owner has not told of */
#define REPLICA_RUN(s)    ((s) >> 32) /* the half of a stream that all of one run share */

enum kept_state {
    KEPT_LIVE,
    KEPT_OVER, /* a tombstone: some heir may still hold the call */
    KEPT_GONE, /* only its token is remembered */
};

/** An own call, or the copy of another node's. */
struct kept {
    struct list_node at;      /* LIVE, OVER: in the log */
    struct list_node rest;    /* OVER: among the graves; GONE: among the ghosts */
    struct list_node redone;  /* changed while a request with it was under way */
    struct list_node awaited; /* the SIP side waits until the first standby has it */
    enum kept_state state;
    bool is_released;   /* GONE: another node's; else it is over */
    bool is_offered;    /* a copy: in the offer that is under way */
    size_t offered;     /* a copy: so much of its record was taken by who it is offered to */
    uint64_t change;    /* an own call: when it last changed; a copy: the request that brought it */
    uint64_t until_ms;  /* GONE */
    uint32_t held_by;   /* heirs that acknowledged it, be it an older version */
    uint32_t under_way; /* heirs that a request with it is on its way to */
    uint32_t moved_to;  /* heirs that it was sent to as theirs, acknowledged or not */
    struct id from[2];  /* who had it, as they said: the one it was adopted from first */
    uint64_t stream;    /* a copy: told in this stream */
    struct slice record;
    uint8_t token_len;
    uint8_t token[DIALOGS_TOKEN_MAX];
};

/** A record that comes in parts, until it is whole. */
struct parts {
    uint8_t token_len;
    uint8_t token[DIALOGS_TOKEN_MAX];
    uint8_t *bytes; /* NULL: none is on its way */
    size_t len;     /* that are here */
    size_t whole;
};

/** Somebody who holds copies of our calls, or did. */
struct heir {
    struct id node;
    bool is_present;  /* wanted as an heir now */
    bool is_begun;    /* it knows the stream */
    bool is_gapped;   /* a tombstone was thrown away that it has not seen */
    bool is_full;     /* it can hold no more */
    bool has_to_know; /* of a new stream, even if there is nothing to say */
    bool has_moved;   /* it acknowledged a MOVE since it is our target */
    bool is_parting;  /* our calls are elsewhere: it is told that its copies are out of date */
    uint64_t stream;  /* 0: a new one is begun with the next request */
    uint32_t number;
    struct list_node *held; /* the first entry it does not hold; the log's head: it holds all */
    struct list_node *sent; /* the first entry not in the request under way */
    size_t held_part;       /* bytes that it has of the record of @held */
    size_t sent_part;       /* bytes of the record of @sent, with the request under way */
    uint32_t token;         /* of that request; 0: none */
    uint8_t sent_flags;
    bool sent_all; /* with it the heir has the whole log */
    uint32_t sent_total;
    uint64_t sent_ms;
    uint64_t next_ms; /* nothing is sent before */
    uint64_t heard_ms;
    uint64_t anew_ms; /* no new stream for a wrong count before */
    bool is_heard;
    uint32_t round_ms;
    unsigned failures;
};

/** Somebody whose calls we hold copies of. */
struct owner {
    struct id node;
    uint32_t serial;
    bool is_former; /* it started anew since: what is held is of its former life */
    uint64_t stream;
    uint64_t past[REPLICA_PAST_MAX]; /* streams that were before */
    unsigned past_next;
    uint32_t number;    /* of the last request */
    bool is_broken;     /* copies were dropped that it takes for held */
    bool has_adopted;   /* calls of this stream are ours now */
    struct map *copies; /* token -> struct kept */
    size_t fresh;       /* copies of the present stream */
    uint32_t total;     /* calls it has, as it says */
    struct parts told;  /* of a record of this stream */
    struct parts offers;
    uint64_t heard_ms;
    bool is_away; /* not in the active set */
    uint64_t away_ms;
    bool has_successor; /* who is to have its calls */
    struct id successor;
    struct id before; /* the successor before it: may have had them, too */
    bool hands_over;  /* it moves its calls itself */
    uint64_t hands_over_ms;
    uint64_t retry_ms;
};

enum replica_mode {
    REPLICA_ACTIVE,
    REPLICA_MOVES,     /* gave its role away: all calls go to the target */
    REPLICA_OUTRANKED, /* lost it: what the target acknowledged ever is the target's already */
};

struct replica {
    struct replica_conf conf;
    struct replica_env env;
    struct moment now;
    uint32_t next_token;
    uint32_t run; /* random, not zero: of this life of ours */

    struct map *calls; /* token -> struct kept, in all states */
    struct list_node log, graves, ghosts, redone, awaited;
    size_t live, grave_count, ghost_count;
    uint64_t change;
    bool is_full; /* told so in the log */

    enum replica_mode mode;
    bool has_target;
    struct id target;
    uint64_t hands_over_until_ms;
    uint64_t part_ms; /* all is moved: when those that still hold copies are told */
    bool is_leaving;
    uint64_t leave_until_ms;

    struct id active[REPLICA_ACTIVE_MAX];
    size_t active_count;
    struct id candidate[REPLICA_HEIRS_MAX];
    size_t candidate_count;
    struct heir heir[REPLICA_KNOWN_MAX];
    size_t heir_count;
    size_t present[REPLICA_HEIRS_MAX]; /* of heir[], in order */
    size_t present_count;

    struct owner *owner[REPLICA_OWNERS_MAX];
    size_t owner_count;
    size_t copies, copy_bytes;
    struct {
        uint32_t token; /* 0: none is under way */
        uint32_t owner; /* its serial */
        uint64_t sent_ms;
        size_t part; /* bytes, with this request, of the record that is offered in parts; or 0 */
    } offer;

    struct replica_call tell[REPLICA_TELL_MAX];
    size_t tell_count;
    bool takes_moved; /* what is told of as adopted was given away by its owner */
    uint64_t adopted, released;
    struct writer entries; /* of the request that is written */
};

/** replica_token - for requests, and whatever else has to be told apart. */
uint32_t replica_token(struct replica *r);
/** replica_stream - a new one. */
uint64_t replica_stream(struct replica *r);
bool replica_is_active(const struct replica *r, const struct id *node);
#define replica_log(r, level, ...) log_to(&(r)->env.log, level, "replica: " __VA_ARGS__)

/* ---- own.c ---- */
/** kept_new - neither in the log nor anywhere; NULL without memory. */
struct kept *kept_new(struct slice token, struct slice record);
void kept_free(struct kept *c);
bool kept_set_record(struct kept *c, struct slice record);
static inline struct slice
kept_token(const struct kept *c)
{
    return slice_of(c->token, c->token_len);
}
struct kept *own_find(const struct replica *r, struct slice token);
/** own_told - the SIP side told of a call; without record, it is over. */
void own_told(struct replica *r, const struct replica_call *call);
/** own_over - a tombstone from now on. */
void own_over(struct replica *r, struct kept *c);
/** own_release - another node's from now on; own_tell_released() follows. */
void own_release(struct replica *r, struct kept *c);
/** own_ended_elsewhere - it is over, as its former owner says; own_tell_released() follows. */
void own_ended_elsewhere(struct replica *r, struct kept *c);
/**
 * own_adopt - a copy becomes an own call; own_tell_adopted() follows
 * @c:       taken, with ST_OK and with ST_EXISTS
 * @is_sure: its owner says so: whatever is known of it here
 * Returns: ST_OK; ST_EXISTS if the call is ours already, or over; ST_LIMIT, ST_NOMEM.
 */
NODISCARD enum status own_adopt(struct replica *r, struct kept *c, const struct id *owner,
                                bool is_sure);
/** own_reclaim - @from was the gateway for a while, and may have told the phones so: what is still
 * ours is to be refreshed. */
void own_reclaim(struct replica *r, const struct id *from);
/** own_tell_* - what was gathered goes to the SIP side, also while more is gathered. */
void own_tell_adopted(struct replica *r, const struct id *owner);
void own_tell_released(struct replica *r);
/** own_tell_copied - what is waited for, and is held or never will be */
void own_tell_copied(struct replica *r);
/** own_purge - tombstones that all heirs have seen, tokens remembered long enough. */
void own_purge(struct replica *r);
uint64_t own_deadline_ms(const struct replica *r);

/* ---- heirs.c ---- */
static inline uint32_t
heir_bit(const struct replica *r, const struct heir *h)
{
    return UINT32_C(1) << (h - r->heir);
}
/** heirs_choose - after a change of the role, the set, the candidates or the target. */
void heirs_choose(struct replica *r);
/** heirs_part - all our calls are another's: those who hold copies of them are told, a little
 * later, when the other may have heirs of its own. */
void heirs_part(struct replica *r);
/** heirs_bit_of - the bit of @node; 0: it never was an heir. */
uint32_t heirs_bit_of(struct replica *r, const struct id *node);
/** heirs_run - send what is due. */
void heirs_run(struct replica *r);
/** heirs_on_answer - false if no heir's request has that token. */
bool heirs_on_answer(struct replica *r, uint32_t token, enum status st,
                     const struct dialogs_ans *ans);
/** heir_needs_graves - is its place in the log still of interest? */
bool heir_needs_graves(const struct replica *r, const struct heir *h);
uint64_t heirs_deadline_ms(const struct replica *r);

/* ---- parts.c ---- */
static inline bool
kept_needs_parts(const struct kept *c)
{
    return c->record.len > DIALOGS_RECORD_MAX;
}
/** parts_write - what fits of @c's record from @at on becomes all of @req's entries. Returns: where
 *  the next part begins. */
size_t parts_write(struct replica *r, const struct kept *c, size_t at, struct dialogs_req *req);
/**
 * parts_take - the part that @req brings
 * @ret_entry: what is here of the call by now; borrowed from @p
 * Returns: ST_OK; ST_STATE for one that does not follow the last; ST_MALFORMED, ST_NOMEM.  With
 * any of these nothing is left of the record.
 */
NODISCARD enum status parts_take(struct parts *p, const struct dialogs_req *req,
                                 struct dialogs_entry *ret_entry, bool *ret_is_whole);
void parts_drop(struct parts *p);

/* ---- copies.c ---- */
struct owner *owner_find(const struct replica *r, const struct id *node);
/** owner_make - found or made; NULL where there are too many, or no memory. */
struct owner *owner_make(struct replica *r, const struct id *node);
void owners_free(struct replica *r);
struct kept *copy_find(const struct owner *o, struct slice token);
void copy_remove(struct replica *r, struct owner *o, struct kept *c);
/** copies_keep - @c was moved to @node and is about to be released: it stays here as a copy, until
 * that node tells of its calls itself. */
void copies_keep(struct replica *r, const struct id *node, const struct kept *c);
/** owner_due_ms - when copies of a gateway that went are adopted, or offered. */
uint64_t owner_due_ms(const struct replica *r, const struct owner *o);
enum status copies_on_request(struct replica *r, const struct id *owner,
                              const struct dialogs_req *req, struct dialogs_ans *ret);
/** copies_on_gateways - @newly: the best of those that have become active; NULL: nobody. */
void copies_on_gateways(struct replica *r, const struct id *newly);
void copies_run(struct replica *r);
uint64_t copies_deadline_ms(const struct replica *r);

/* ---- offers.c ---- */
void offers_run(struct replica *r);
bool offers_on_answer(struct replica *r, uint32_t token, enum status st);
enum status offers_on_request(struct replica *r, const struct id *from,
                              const struct dialogs_req *req);
uint64_t offers_deadline_ms(const struct replica *r);

#endif
