/**
 * DOC: a node of our overlay that sends for foreign users
 *
 * Only an active gateway may (design, Trust between nodes of one overlay).  A node that serves
 * phones and has no calls hears of a failover late, so that the first it sees of the new gateway
 * may be a call: such a request waits while the gateways' record is read again (ask_locate), and is
 * then handled as what its sender turns out to be.
 *
 *           not known as gateway           it is one now
 *     new ----------------------> HELD ----------------------> handled
 *      |                            \  nothing new: remembered for a while
 *      |  remembered, or no room     +-----------------------> refused
 *      +-----------------------------------------------------> refused
 *
 * Who is refused hears 503, which between nodes means "try another", and who the gateway is: two
 * may be for a moment.  Bounded in what is held; somebody who is no gateway costs one question in
 * STRANGER_REFUSED_MS.
 */
#ifndef GATEWAY_SIP_STRANGER_H
#define GATEWAY_SIP_STRANGER_H

#include "gateway/sip/service.h"

#define STRANGER_HELD_MAX    256
#define STRANGER_REFUSED_MAX 16 /* the last that turned out to be no gateways */
#define STRANGER_REFUSED_MS  2000

struct strangers;

struct strangers *strangers_new(void);
/** strangers_free - what is held is dropped; before the table of questions is freed. */
void strangers_free(struct strangers *t);

/**
 * stranger_hold - keep a request back until it is known whether its sender is a gateway by now
 * @sender: of a node of our overlay, with its certificate
 * Returns: true, @msg is taken; false: it is refused at once.
 */
bool stranger_hold(struct sip *s, struct sip_agent *agent, msg_t *msg,
                   const struct sip_sender *sender);

#endif
