/**
 * DOC: the registrar
 *
 * Answers REGISTER for the overlay's domains: checks, then one change of the AOR's contacts, then
 * 200 with all contacts once the overlay has stored it, 500 with Retry-After if it has not.
 *
 * The registrar is the overlay's, not the node's.  What other serving peers have of the AOR is
 * looked up first: it is listed in the 200, it orders REGISTERs of one Call-ID, and what this one
 * removes (or a phone that has moved here leaves behind) is removed there, by a REGISTER over
 * peer-listen with the phone's own Call-ID and CSeq.  A peer that does not answer in time has it
 * noted in this node's record instead (binding.h), and readers leave it out.
 *
 * Source: RFC 3261 section 10.3, RFC 3327, RFC 5626 section 6.
 */
#ifndef GATEWAY_SIP_REGISTRAR_H
#define GATEWAY_SIP_REGISTRAR_H

#include "gateway/sip/service.h"

/** registrar_on_request - a REGISTER; the transaction is the registrar's from now on. */
void registrar_on_request(struct sip *s, nta_incoming_t *irq, const sip_t *sip,
                          const struct sip_sender *sender);

/** registrar_end_all - the REGISTERs under way get no response. */
void registrar_end_all(struct sip *s);

#endif
