/**
 * DOC: the CANCEL of a client transaction, and its Reason
 *
 * Whoever passes a CANCEL on, or makes one because of a response, says why (RFC 3326).  NTA's own
 * CANCEL ends the INVITE's client transaction at once where the transport is reliable, and its 487
 * finds nobody; this one leaves it as it is.
 */
#ifndef GATEWAY_SIP_CANCEL_H
#define GATEWAY_SIP_CANCEL_H

#include "gateway/sip/service.h"

/**
 * cancel_reason - the Reason of the CANCELs that follow from a message
 * @cause: a CANCEL: all its Reason header fields; a 2xx of another branch: the call is completed
 *         elsewhere; a 6xx: its status; all else, and NULL: none
 * Returns: the value of a Reason header field, allocated; NULL for none, or without memory.
 */
char *cancel_reason(const sip_t *cause);

/**
 * cancel_message - the CANCEL of an INVITE
 * @invite: as it was sent
 * @via:    its topmost Via where the CANCEL goes
 * @uri:    its Request-URI there, without Routes; NULL: as it was sent
 * Returns: the message; NULL without memory.
 */
msg_t *cancel_message(const sip_t *invite, const sip_via_t *via, const char *uri,
                      const char *reason);

/**
 * cancel_send - CANCEL an INVITE that has a provisional answer and no final one (RFC 3261 section
 * 9.1)
 * @tport:  the connection, while it lives; NULL for any
 * @reason: see above, borrowed; or NULL
 */
void cancel_send(struct sip_agent *agent, nta_outgoing_t *orq, tport_t *tport, const char *reason);

#endif
