/**
 * DOC: what is done to a message before the library acts on it
 *
 * libsofia-sip-ua matches a message with its transactions, and sends responses of its own, before
 * it hands anything up.  inlet.c defines tport_deliver(), which the dynamic linker finds before the
 * library's, and looks at each parsed message first, in the threads that asked for it:
 *
 *  - a request by UDP whose top Via names a place that no datagram can be sent to is discarded: who
 *    cannot be answered is not served.  With rport the response goes to where the request came from
 *    (RFC 3581 section 4), and a maddr that leads nowhere is left out of account; so it is on
 *    connections (RFC 3261 section 18.2.2).
 *  - a Via that names another transport than the one it came by is taken at its place, not at its
 *    word: the library would discard the request without a response.  inlet_restore() puts back
 *    what it said, so that the response repeats it.
 *  - a malformed request does not end the connection that it came by, which may carry the calls of
 * many, as long as the message ended where it said: it is answered with 400.  Without a Via to
 * answer by it ends a phone's connection, and is discarded between nodes.
 *  - a header field that may stand once and stands twice makes a request bad (400), for the library
 *    asserts that it never writes such a message; of a response, which nobody can refuse, the first
 *    counts and the others are dropped, as is what cannot be read.  A response that has no readable
 *    Content-Length, or two, is discarded (RFC 3261 section 18.3).
 *  - a connection whose messages cannot be told apart any longer is not read again by the library,
 * which leaves it open unless it has answered 400 or 413: whoever watches (inlet_watch()) ends it.
 *  - a branch shorter than the library's comparison reads is kept from it; the dispatcher refuses
 * it.
 *
 * Left out on purpose: names in maddr and Via are not looked up; received is what the library makes
 * of it.
 */
#ifndef GATEWAY_SIP_INLET_H
#define GATEWAY_SIP_INLET_H

#include <stdbool.h>
#include <stdint.h>

#include <sofia-sip/sip.h>
#include <sofia-sip/su.h>

/** inlet_open - this thread's messages are looked at from now on; inlet_close ends it. */
void inlet_open(void);
void inlet_close(void);

/** inlet_watch - in this thread, from now on: a connection is not read again. @on_broken: told
 *  where it came from, once what could be said has been; NULL ends it. */
void inlet_watch(void (*on_broken)(void *ctx, const su_sockaddr_t *from), void *ctx);

/** inlet_drop_unreadable - header fields that could not be read go no further: the next element
 * might read them otherwise.  Responses have been rid of them; requests are once the library has
 * judged them. */
void inlet_drop_unreadable(msg_t *msg, sip_t *sip);

/** inlet_restore - the top Via of the request in hand says again what its sender wrote. */
void inlet_restore(sip_t *sip);

/**
 * inlet_is_answerable - can a response be sent by UDP to the top Via of a request?
 * @via:    as it came; borrowed
 * @family: of the socket it came by: AF_INET or AF_INET6
 * Returns: false for port 0 or over 65535 without rport, and for a maddr that is no unicast address
 *          of @family, unless there is an rport.
 * Source:  RFC 3261 section 18.2.2, RFC 3581 section 4.
 */
bool inlet_is_answerable(const sip_via_t *via, int family);

/** inlet_keeps_connection - may the connection of the message in hand go on after a 400?  False
 * where it is not known where the next message begins, and outside tport_deliver(). */
bool inlet_keeps_connection(void);

/** inlet_discarded - requests of any thread that nobody could have been answered at. */
uint64_t inlet_discarded(void);

#endif
