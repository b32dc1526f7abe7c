/**
 * DOC: a connection that swallows what it is given, and requests that are given up
 *
 * A link may lose every packet without a word.  What is written to a connection then waits in the
 * kernel, what is written to one that is being made in the library, and all of it arrives when the
 * link is back: requests whose senders were told long ago that they failed.  So
 *
 * - when an answer is overdue, and the kernel says that the other end has acknowledged nothing for
 *   as long, the connection is reset: its queue dies with it, and who waits for a response over it
 *   sends once more, over a new connection and by the same branch (resend.h);
 * - a request that is given up is not sent once more, nor where it waits for its connection to be
 *   made (unsent.h).  Its transaction goes on: if the request has arrived all the same, its
 * response is met.
 */
#ifndef GATEWAY_SIP_SILENCE_H
#define GATEWAY_SIP_SILENCE_H

#include <stdint.h>

#include <sofia-sip/nta.h>

struct sip;

/** silence_doubt - nothing has come for a request for @silent_ms; reset its connection if that is
 * dead. Less than the time of a hop, as with a CANCEL right after its INVITE, says nothing of the
 * connection. Calls nobody back. */
void silence_doubt(struct sip *s, nta_outgoing_t *orq, uint32_t silent_ms);

/** silence_give_up - the same, and nobody waits for the request any longer */
void silence_give_up(struct sip *s, nta_outgoing_t *orq, uint32_t silent_ms);

#endif
