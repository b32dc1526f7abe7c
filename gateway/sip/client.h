/**
 * DOC: client transactions by UDP
 *
 *            send               final response, end           5 s, or 32 s
 *     (none) -----> PENDING -----------------------> FINISHED --------------> (none)
 *                      | INVITE ended before its final response
 *                      +--------> (none)
 *
 * RFC 3261 section 17.1 has a client remember an INVITE for 32 s after its final response, so that
 * copies of the response are recognised, and libsofia-sip-ua 1.12.11 remembers both messages and
 * its own state with it: fifteen kilobytes.  Here a request is the datagram that was sent; the
 * library is told that the transport is reliable, so that it leaves what concerns datagrams alone:
 *
 *  - without a response the request is retransmitted (timers A and E), an INVITE only before its
 * first response; timers B and F, and a port that is closed, remain the library's to notice;
 *  - a final response that comes again is ACKed again where it refused an INVITE (the ACK is kept
 * as it was sent), and goes no further; nor does a provisional response that comes late;
 *  - each 2xx to an INVITE is the dialog's, and passes (section 13.2.2.4).
 *
 * Source: RFC 3261 section 17.1; RFC 6026.
 * Left out on purpose: ACK and CANCEL, and requests that nobody waits for: the library's, as
 * before.
 */
#ifndef GATEWAY_SIP_CLIENT_H
#define GATEWAY_SIP_CLIENT_H

#include "gateway/sip/service.h"

struct msghdr;

#define CLIENT_INVITE_MS 32000 /* timer D */
#define CLIENT_OTHER_MS  5000  /* T4: timer K */
#define CLIENT_COUNT_MAX 400000

struct client;

/** client_new - the table of this thread's service; one a thread.  NULL without memory. */
struct client *client_new(struct sip *s);
void client_free(struct client *c);

/**
 * client_want - the request that is handed to the library until client_want(false) is to be kept
 * here, if it goes by UDP
 */
void client_want(bool is_wanted);

/** client_before - a request is about to be sent, new or an ACK; client_after() - it was, by @sent;
 * NULL: it could not be. */
void client_before(const tport_t *transport, msg_t *msg);
void client_after(const tport_t *sent);

/** client_on_datagram - this thread sends a datagram now; false: it must not (unheard.h). */
bool client_on_datagram(int fd, const struct msghdr *datagram);

/** client_is_kept - the library asks, once, whether the transport retransmits what it just sent. */
bool client_is_kept(const tport_t *transport);

/** client_on_response - a response comes in, before the library sees it.  True: it is dealt with;
 * to be discarded. */
bool client_on_response(const sip_t *sip);

/** client_tick - once a second: what is too old. */
void client_tick(struct client *c);

/** client_count - transactions remembered, finished ones too. */
size_t client_count(const struct client *c);

#endif
