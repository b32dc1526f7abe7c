/**
 * DOC: requests that are too large for UDP
 *
 *      by UDP -- over 1,300 bytes --> by TCP --- connected -----------------> (sent)
 *                                       | refused, unreachable,
 *                                       | not connected within 500 ms
 *                                       +--> by UDP all the same, the connection closed unsent
 *
 * RFC 3261 section 18.1.1.  The library takes these steps by itself, but waits 5 s for a connection
 * that is not made (its timer N3 is T4: agent.c makes that 500 ms), leaves the request in the
 * connection's queue when it sends it by UDP, and gives up where the network says that nobody can
 * be reached.  An ACK and a CANCEL are never too large: the one has no response that would tell
 * whether it arrived, and both go where their INVITE went.
 */
#ifndef GATEWAY_SIP_LARGE_H
#define GATEWAY_SIP_LARGE_H

#include <stdbool.h>

#include <sofia-sip/tport.h>

#define LARGE_CONNECT_MS 500

/** large_before - a request is about to be sent by @transport.  True: whatever its size. */
bool large_before(const tport_t *transport, msg_t *msg);

/** large_after - it was sent by @sent; NULL: it could not be */
void large_after(const tport_t *transport, msg_t *msg, tport_t *sent);

/** large_error - why its connection ends, as the library has to hear it */
int large_error(msg_t *msg, int error);

/** large_free - this thread ends. */
void large_free(void);

#endif
