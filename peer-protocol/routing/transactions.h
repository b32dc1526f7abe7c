/**
 * DOC: requests under way
 *
 *    add --> WAITING --answer--> (taken)
 *              |  ^
 *     500 ms   |  | sent again, up to 5 times, and at once when its first hop is lost
 *              +--+
 *              | overall deadline
 *              v
 *            (expired)
 *
 * End-to-end reliability of RFC 6940 section 6.2.1.  The table neither sends nor routes: its
 * owner's callbacks do.
 */
#ifndef PEER_PROTOCOL_ROUTING_TRANSACTIONS_H
#define PEER_PROTOCOL_ROUTING_TRANSACTIONS_H

#include "base/list.h"
#include "base/moment.h"
#include "peer-protocol/message/message.h"
#include "peer-protocol/message/security.h"

#define TRANSACTION_SENT_MAX   5
#define TRANSACTION_RESENT_MAX 16 /* with those that followed a lost link */

/** How a request ended. */
struct transaction_end {
    enum status st;
    const struct signer *from;    /* set when there was an answer, an error too */
    const struct message *answer; /* the same */
    struct slice body;            /* the answer's, or an error's info */
    uint16_t error;               /* enum error_code of an error answer, else 0 */
    uint32_t rtt_ms;
};

struct transaction {
    struct list_node at;
    uint64_t id;
    uint16_t code;             /* of the request */
    struct destination target; /* the last destination */
    bool is_any_responder;     /* do not hold the answerer against the target */
    struct slice message;      /* whole; owned */
    struct id hop;             /* first hop it was last sent to */
    bool has_hop;
    uint8_t sent_count;
    uint64_t first_ms;
    uint64_t next_ms;     /* when to send again */
    uint64_t deadline_ms; /* when to give up */
    void (*done)(void *owner, void *ctx, struct moment now, const struct transaction_end *end);
    void *ctx;
};

struct transactions;

NODISCARD enum status transactions_new(size_t limit, uint32_t reliability_ms,
                                       struct transactions **ret);
/** transactions_free - free all that is left, without calling anybody. */
void transactions_free(struct transactions *t);
size_t transactions_count(const struct transactions *t);

/** transactions_add - @tr (on the heap, with its message) is taken with ST_OK; ST_LIMIT, ST_EXISTS
 * or ST_NOMEM leave it to the caller. */
NODISCARD enum status transactions_add(struct transactions *t, struct transaction *tr);
struct transaction *transactions_find(const struct transactions *t, uint64_t id);
/** transactions_take - out of the table; the caller frees it by transaction_free(). */
void transactions_take(struct transactions *t, struct transaction *tr);
/** transactions_take_any - take the oldest; NULL when there is none. */
struct transaction *transactions_take_any(struct transactions *t);
void transaction_free(struct transaction *tr);

/** transactions_sent - @tr was sent to @hop (NULL: nobody to send it to), plan the next time. */
void transactions_sent(struct transactions *t, struct transaction *tr, uint64_t now_ms,
                       const struct id *hop);

/** transactions_hop_lost - all whose first hop was @hop are due at once. */
void transactions_hop_lost(struct transactions *t, const struct id *hop, uint64_t now_ms);
/** transactions_hop_found - all that had nobody to go to are due at once. */
void transactions_hop_found(struct transactions *t, uint64_t now_ms);

/**
 * transactions_run - what is due
 * @send:    send it again; it calls transactions_sent()
 * @expired: gets what is over, taken out of the table
 */
void transactions_run(struct transactions *t, uint64_t now_ms, void *owner,
                      void (*send)(void *owner, struct transaction *tr),
                      void (*expired)(void *owner, struct transaction *tr));
uint64_t transactions_deadline_ms(const struct transactions *t);

#endif
