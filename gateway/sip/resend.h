/**
 * DOC: a connection that is lost takes no request with it
 *
 * A request that was sent waits for its response, and its connection is closed, reset or aborted:
 * that says nothing of the request, which its receiver may have in hand for minutes.  The receiver
 * answers over a new connection (RFC 3261 section 18.2.2), so the client transaction has to be
 * there.  libsofia-sip-ua 1.12.11 ends it with a 503 of its own, except for EPIPE: then it sends
 * the request once more, by another connection and with the same branch, which is a retransmission
 * to whoever has it (section 17.2.3) and arrives at all where it had not.  resend.c defines
 * tport_pend(), which the dynamic linker finds before the library's: each way in which a connection
 * that was up ends is told as EPIPE, between nodes its end in order, too (agent.c), and one that
 * ends before its TLS is up.  One that could not be made fails its requests as before (section
 * 17.1.4), and so does a second loss under one request.  What was given up (silence.h) is
 * not sent again.
 */
#ifndef GATEWAY_SIP_RESEND_H
#define GATEWAY_SIP_RESEND_H

#include <stdint.h>

/** resend_count - requests that lost their connection; calling it makes the linker take this file.
 */
uint64_t resend_count(void);

#endif
