/**
 * DOC: a 2xx to an INVITE whose sender has been told that it failed
 *
 * A branch that was given up may be picked up all the same: its CANCEL crossed the 2xx, or the 2xx
 * waited behind a link that was dead.  The caller has his final response and will send no ACK, so
 * this node ends in his place what he does not know of (RFC 3261 section 13.2.2.4).
 */
#ifndef GATEWAY_SIP_ORPHAN_H
#define GATEWAY_SIP_ORPHAN_H

#include "gateway/sip/service.h"

/**
 * orphan_hang_up - ACK and BYE the dialog of a 2xx, the way its INVITE went
 * @agent: sent the INVITE
 * @orq:   its transaction
 * @ok:    the 2xx
 */
void orphan_hang_up(struct sip_agent *agent, nta_outgoing_t *orq, const sip_t *ok);

#endif
