/**
 * DOC: calls and subscriptions, where the next gateway will be, sans-I/O
 *
 *      this node's SIP side                                     another node's SIP side
 *        put, drop  |  ^ released                                  ^ adopt, released
 *                   v  |                                           |
 *             log of own calls  ==== DIALOGS, acknowledged ====>  copies, by owner
 *                                       to each heir
 *
 * One instance a node that may become gateway.  A call is a token and a record; what a record says
 * is the SIP side's secret (gateway/call/record.h), here it is bytes.
 *
 * Outgoing.  All own calls stand in one list in the order of their last change; each change has a
 * number, and each heir a place in the list: all before it is held there.  A call that is over
 * stays in the list as a tombstone until no heir's place is before it.  One DIALOGS request is
 * under way to an heir at a time, with the oldest changes that fit; the next follows flush_ms after
 * it, or at once where more had to wait than fitted, and to the first standby awaited_ms after it
 * while somebody waits until that has a call.  A record that is longer than a request goes in
 * parts, each in a request of its own, one after the other; it is held with the last of them, and
 * begins anew where one was not acknowledged.  Without changes an empty one goes every keepalive_ms
 * while there are calls.  A new heir begins at the start, and so gets all.  An heir that lost its
 * copies (it started anew) says so in its answer and begins there again.  An heir that is none for
 * a while keeps its place.
 *
 * Heirs.  Of an active gateway: the first heirs_max candidates by rank; where there are fewer,
 * other active gateways after them.  Of a node that is not active (any more): the gateway that came
 * in its place, to which it does not copy its calls but moves them: marked MOVE, adopted there at
 * once with all that is held of it, and forgotten here once acknowledged (env.released).  When all
 * is moved, the other holders are told that their copies are out of date.
 *
 * Incoming.  Copies are kept by owner.  They are adopted (env.adopt) when
 *   - their DIALOGS says MOVE;
 *   - the owner has left the set and this node is its successor: the best of those that came into
 * the set in that step, or where nobody came, the first in it; at once, but where the owner hands
 * over to this node and so moves its calls itself (replica_on_handover): when it is silent for
 *     handover_ms.
 * Where another is the successor, copies it has not told to be its own after handover_ms are
 * offered to it: it takes those of which it knows nothing.  So a call survives as long as one node
 * holds it. The same is done with the calls of a former life of an owner that started anew. The
 * copies of a node that is active again go when its new stream has told of all its calls; others
 * after copy_ms without a word of it.
 *
 * Outranked.  A gateway that hears a better claim it did not ask for has lost to its successor the
 * calls that this one holds copies of: those it acknowledged, ever, are released here without a
 * word to the phones, as soon as it shows that it still knows the stream; the rest, which the
 * successor never heard of, are moved to it.
 *
 * Two owners.  Lost answers and cuts can leave a call with two owners.  A node that is no gateway
 * lets it go when it hears the gateway tell of it; of two gateways that of the lower Node-ID does,
 * if they are each other's heirs.  What was moved or lost and comes back with the role is adopted
 * anew: the phones may have been told otherwise.  Tokens that are ours no more are remembered for
 * ten seconds: what the SIP side said before it heard of it is not listened to.
 *
 * Source: the design's "Calls survive"; 004 section 6.3.
 * Left out on purpose: what a record says, and of what.
 */
#ifndef GATEWAY_REPLICA_REPLICA_H
#define GATEWAY_REPLICA_REPLICA_H

#include "base/log.h"
#include "base/moment.h"
#include "peer-protocol/message/private.h"

#define REPLICA_HEIRS_MAX 4

struct replica;

struct replica_conf {
    struct id self;
    uint32_t heirs_max;    /* 2 */
    uint32_t flush_ms;     /* 20 */
    uint32_t keepalive_ms; /* 1000 */
    uint32_t awaited_ms;   /* 2: in place of flush_ms, where a call is awaited */
    uint32_t deadline_ms;  /* 2000: of one DIALOGS request; then it is sent again as a new one */
    uint32_t handover_ms;  /* 3000 */
    uint32_t copy_ms;      /* 600000 */
    uint32_t leave_ms;     /* 3000: most that a leave waits until all calls are moved */
    size_t calls_max;      /* own ones; and, separately, copies of all owners together */
    size_t bytes_max;      /* of all copies together; default 256 MiB */
    size_t batch_bytes;    /* 48000, at least 32066: most that one DIALOGS carries; longer
                              records go in parts */
};
void replica_conf_defaults(struct replica_conf *conf);

/** One call as it crosses modules: without record, it is over. */
struct replica_call {
    struct slice token;
    struct slice record;
    bool is_awaited; /* told of with env.copied once the first standby has it */
};

struct replica_env {
    void *ctx;
    /** send - a DIALOGS request to @heir; replica_on_answer() with @token follows, in a later step
     */
    void (*send)(void *ctx, const struct id *heir, uint32_t token, const struct dialogs_req *req,
                 uint32_t deadline_ms);
    /** adopt - these calls are this node's from now on: it is as if replica_on_calls() had told of
     * each.  A token that the SIP side has already (a call that comes back) is to be refreshed.
     * @is_moved: @owner lives and gave them away; else it is gone, or has only held copies. */
    void (*adopt)(void *ctx, const struct id *owner, bool is_moved, const struct replica_call *call,
                  size_t count);
    /** released - these calls are another node's from now on: forget them without a word to anybody
     */
    void (*released)(void *ctx, const struct replica_call *call, size_t count);
    /** copied - each of these is held by the first standby, if there is one; without record.  May
     * be NULL */
    void (*copied)(void *ctx, const struct replica_call *call, size_t count);
    /** left - replica_leave() has ended: all calls are moved, or their time is up */
    void (*left)(void *ctx);
    uint64_t (*random)(void *ctx);
    struct log_to log;
};

NODISCARD enum status replica_new(const struct replica_conf *conf, const struct replica_env *env,
                                  struct moment now, struct replica **ret_replica);
void replica_free(struct replica *r);

/** replica_on_calls - the SIP side tells what changed; without record, the call is over. */
void replica_on_calls(struct replica *r, struct moment now, const struct replica_call *call,
                      size_t count);

/**
 * replica_on_gateways - the active set changed, or was confirmed
 * @active: best first, this node's among them if it is active
 */
void replica_on_gateways(struct replica *r, struct moment now, const struct id *active,
                         size_t count);

/** replica_on_candidates - the stand-bys by rank, this node left out; told at each change. */
void replica_on_candidates(struct replica *r, struct moment now, const struct id *candidate,
                           size_t count);

/** replica_on_handover - @owner asked this node to take over: it will move its calls itself. */
void replica_on_handover(struct replica *r, struct moment now, const struct id *owner);

/** replica_hands_over - this node is about to give its role away, as asked: what it then hears is
 * no better claim, and its calls are moved, none released before that. */
void replica_hands_over(struct replica *r, struct moment now);

/**
 * replica_on_request - DIALOGS came from @owner, who is known to be a gateway of our overlay, or
 * to have been one, or to be fit for one
 * Returns: ST_OK with the answer; ST_MALFORMED; ST_STATE if calls are moved or offered to a node
 * that is no gateway; ST_LIMIT where no more copies may be held, ST_NOMEM: what fitted is kept.
 */
NODISCARD enum status replica_on_request(struct replica *r, struct moment now,
                                         const struct id *owner, const struct dialogs_req *req,
                                         struct dialogs_ans *ret);

/** replica_on_answer - @ans is NULL unless @st is ST_OK. */
void replica_on_answer(struct replica *r, struct moment now, uint32_t token, enum status st,
                       const struct dialogs_ans *ans);

/** replica_leave - move all calls to the active gateway, then env.left; at once where there is none
 *  to move, or nobody to move them to, and after leave_ms in any case. */
void replica_leave(struct replica *r, struct moment now);

void replica_tick(struct replica *r, struct moment now);
uint64_t replica_deadline_ms(const struct replica *r);

/* ---- what may be looked at ---- */
struct replica_heir {
    struct id node;
    bool is_moving;
    size_t pending;    /* changes it does not hold yet */
    uint32_t last_ms;  /* since its last answer; UINT32_MAX: never */
    uint32_t round_ms; /* of the last request */
};
struct replica_report {
    size_t calls; /* own ones */
    size_t copies;
    size_t copy_bytes;
    uint64_t adopted; /* since the start */
    uint64_t released;
    size_t heir_count;
    struct replica_heir heir[REPLICA_HEIRS_MAX];
};
void replica_report(const struct replica *r, struct moment now, struct replica_report *ret);

#endif
