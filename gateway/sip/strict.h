/**
 * DOC: strict routers
 *
 * Before RFC 3261 the next hop stood in the Request-URI and the destination at the end of the
 * Route.  Phones and routers that still do so are met at the two ends of forwarding (sections 16.4,
 * 16.6 item 6); what lies between knows loose routing alone.
 */
#ifndef GATEWAY_SIP_STRICT_H
#define GATEWAY_SIP_STRICT_H

#include "gateway/sip/service.h"

/** strict_undo - a request has our Record-Route for its Request-URI: that becomes the first Route,
 * the last Route the Request-URI. False: without memory. */
bool strict_undo(struct sip *s, msg_t *msg, sip_t *sip);

/** strict_apply - the first Route of a request that is to be sent has no lr: it becomes the
 * Request-URI, that the last Route.  False: without memory. */
bool strict_apply(msg_t *msg, sip_t *sip);

#endif
