/**
 * DOC: which frames of a link wait for their acknowledgement, and what that says of the link
 *
 * TCP delivers in order, so an acknowledgement of frame N is one of all before N.  The round trip
 * is smoothed as RFC 6298 does it.  A period is max(suspect_min, 4 RTT); one without any
 * acknowledgement while a frame waits for it is late.  Reads no clock.
 *
 * Source: RFC 6940 sections 6.6.2 and 6.6.5, RFC 6298 section 2.
 */
#ifndef PEER_PROTOCOL_LINK_ACKS_H
#define PEER_PROTOCOL_LINK_ACKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define ACKS_OUTSTANDING_MAX 65536 /* frames; a link with more of them is of no use */
#define ACKS_PERIOD_MAX_US   5000000u
#define ACKS_NEVER           UINT64_MAX

struct acks {
    uint32_t first;    /* the oldest frame that waits */
    uint32_t next;     /* sequence of the next frame to be sent */
    uint64_t *sent_us; /* when each was sent, at sequence modulo cap */
    size_t cap;        /* a power of two */
    uint32_t min_us;
    uint32_t rtt_us;       /* smoothed */
    uint64_t deadline_us;  /* end of the period under way; ACKS_NEVER if nothing waits */
    unsigned late_periods; /* in a row */
};

/** acks_init - @rtt_us: a first estimate, from the handshake. */
void acks_init(struct acks *a, uint32_t suspect_min_ms, uint32_t rtt_us);
void acks_done(struct acks *a);

/** acks_sent - a frame goes out now.  Returns: ST_OK; ST_LIMIT too many wait; ST_NOMEM. */
NODISCARD enum status acks_sent(struct acks *a, uint64_t now_us, uint32_t *ret_sequence);

/** acks_received - an acknowledgement came.  Returns: ST_OK, also for one seen before; ST_MALFORMED
 *  for a frame that was never sent. */
NODISCARD enum status acks_received(struct acks *a, uint64_t now_us, uint32_t sequence);

/** acks_check - late periods in a row by now; at most one more than at the last call. */
unsigned acks_check(struct acks *a, uint64_t now_us);

bool acks_is_waiting(const struct acks *a);

/** acks_waiting_us - how long the oldest frame without acknowledgement has waited; 0 for none. */
uint64_t acks_waiting_us(const struct acks *a, uint64_t now_us);

#endif
