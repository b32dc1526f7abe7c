/**
 * DOC: messages that wait in a connection and are not to be sent any longer
 *
 * The library keeps what is written to a connection that is being made, and takes nothing out of
 * its queue again.  A message that is marked here goes out as an empty line in its place, which
 * says nothing to anybody (RFC 3261 section 7.5).  unsent.c defines msg_iovec(), which the dynamic
 * linker finds before the library's.
 */
#ifndef GATEWAY_SIP_UNSENT_H
#define GATEWAY_SIP_UNSENT_H

#include <stdbool.h>

#include <sofia-sip/msg.h>

enum unsent {
    UNSENT_GIVEN_UP = 1,  /* nobody waits for it */
    UNSENT_BY_STREAM = 2, /* it goes by datagram instead */
};

/** unsent_mark - a request; marks add up */
void unsent_mark(msg_t *msg, enum unsent mark);

bool unsent_has(msg_t *msg, enum unsent mark);

/** unsent_datagram - until it is called with NULL, this thread sends @msg by datagram. */
void unsent_datagram(const msg_t *msg);

#endif
