/**
 * DOC: server transactions that have their final response
 *
 *            begin            final response          ACK (INVITE)            5 s
 *     (none) -----> PENDING ----------------> FINISHED ------------> CONFIRMED ----> (none)
 *                      | 2xx to an INVITE         | 32 s
 *                      +--------> ACCEPTED -------+----> (none)
 *
 * RFC 3261 section 17.2 has a server remember each response for 32 s, and libsofia-sip-ua 1.12.11
 * remembers the request, the response and its own state with it: ten kilobytes, in lists that are
 * searched from the front when a final response to an INVITE has no ACK.  Here a finished
 * transaction is a key and, by UDP and between nodes, the bytes that were sent; the library is told
 * that the transport is reliable, so that it keeps nothing:
 *
 *  - a request that is retransmitted hears the same response again.  Between nodes it comes once
 *    more where its first connection was lost (resend.h): what is still to be said to it goes by
 *    the connection that brought it last, for the first one may look alive for long;
 *  - a final response to an INVITE by UDP is retransmitted until its ACK comes (timers G and H),
 * but not to a destination that leaves more than FINISHED_PER_DESTINATION of them without one
 * (somebody else may have given its address), nor above the limit of all: these are stateless
 * finals (section 8.2.7), their ACK is discarded, and they are no transaction of the library's any
 * more;
 *  - above FINISHED_BYTES_MAX responses the oldest go first.
 *
 * A response to an INVITE that succeeds is the library's and the dialog's business; the INVITE is
 * no new one when it comes again.
 *
 * Source: RFC 3261 sections 8.2.7, 17.2; RFC 6026.
 * Left out on purpose: requests whose branch does not begin with z9hG4bK: the library matches them.
 */
#ifndef GATEWAY_SIP_FINISHED_H
#define GATEWAY_SIP_FINISHED_H

#include "gateway/sip/service.h"

struct msghdr;

#define FINISHED_MS              32000 /* 64*T1: timers H and J */
#define FINISHED_CONFIRMED_MS    5000  /* T4: timer I */
#define FINISHED_PER_DESTINATION 64
#define FINISHED_BYTES_MAX       (64u << 20)
#define FINISHED_COUNT_MAX       400000

struct finished;

/** finished_new - the table of this thread's service; one a thread.  NULL without memory. */
struct finished *finished_new(struct sip *s);
void finished_free(struct finished *f);

/**
 * finished_create - the library's server transaction of a request, kept here once it is finished
 * Returns: as nta_incoming_create(): NULL without memory.
 */
nta_incoming_t *finished_create(struct sip_agent *agent, msg_t *msg, sip_t *sip,
                                tport_t *transport);

/** finished_on_request - a request comes in by @transport, before the library sees it.  True: it
 * was a retransmission, or an ACK, that is dealt with; to be discarded. */
bool finished_on_request(const sip_t *sip, tport_t *transport);

/** finished_transport - the connection that brought a request last, of which the library does not
 * know; NULL: the one it knows. */
tport_t *finished_transport(const sip_t *response);

/** What becomes of a response on its way to the library's transport. */
enum finished_send {
    FINISHED_PASS,     /* it is none of ours */
    FINISHED_SUPPRESS, /* its transaction is over: do not send, and say that it failed */
    FINISHED_TAKE,     /* send it, then ask finished_after() */
};
enum finished_send finished_before(const sip_t *response);

/** finished_after - @msg was sent, or lost.  False: tell the library that it failed, so that its
 * transaction goes. */
bool finished_after(msg_t *msg, const sip_t *response);

/** finished_on_datagram - this thread sends a datagram now; the one that a FINISHED_TAKE waits for
 * is kept. */
void finished_on_datagram(int fd, const struct msghdr *datagram);

/** finished_tick - once a second: what is too old. */
void finished_tick(struct finished *f);

/** finished_count - transactions remembered; @ret_unacknowledged: those that wait for an ACK. */
size_t finished_count(const struct finished *f, size_t *ret_unacknowledged);

#endif
