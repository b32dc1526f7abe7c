/**
 * DOC: requests that were seen in the last 15 seconds, and what was answered
 *
 * A retransmission gets the same answer and is carried out once (RFC 6940 section 6.2.1).  Bounded
 * in entries and bytes; the oldest go first.
 */
#ifndef PEER_PROTOCOL_ROUTING_DUPLICATES_H
#define PEER_PROTOCOL_ROUTING_DUPLICATES_H

#include "base/bytes.h"
#include "base/id.h"

#define DUPLICATES_LIFETIME_MS 15000
#define DUPLICATES_BARE_MS     5000 /* empty answers: longer than anybody sends again */

struct duplicates;

enum duplicate { DUPLICATE_NEW, DUPLICATE_PENDING, DUPLICATE_ANSWERED };

NODISCARD enum status duplicates_new(size_t max_count, size_t max_bytes, struct duplicates **ret);
void duplicates_free(struct duplicates *d);

/**
 * duplicates_check - has @from sent this request before?  If not, it is noted as pending.
 * @ret_sealed: set with DUPLICATE_ANSWERED: contents and security block of the answer; borrowed
 *              until the next call; empty where duplicates_answer() was given nothing
 */
enum duplicate duplicates_check(struct duplicates *d, uint64_t now_ms, const struct id *from,
                                uint64_t transaction_id, struct slice *ret_sealed);

/** duplicates_answer - keep a copy of the answer; without memory the request is forgotten.  Nothing
 *  needs to be kept of an answer that can be made again: an empty @sealed. */
void duplicates_answer(struct duplicates *d, const struct id *from, uint64_t transaction_id,
                       struct slice sealed);

void duplicates_expire(struct duplicates *d, uint64_t now_ms);
size_t duplicates_count(const struct duplicates *d);

#endif
