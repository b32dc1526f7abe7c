/**
 * DOC: the registrar
 *
 * Answers REGISTER for the overlay's domains: checks, then one change of the AOR's contacts, then
 * 200 with all contacts once the overlay has stored it, 503 with Retry-After if it has not.
 *
 * Source: RFC 3261 section 10.3.
 */
#ifndef GATEWAY_SIP_REGISTRAR_H
#define GATEWAY_SIP_REGISTRAR_H

#include "gateway/sip/service.h"

/** registrar_on_request - a REGISTER; the transaction is the registrar's from now on. */
void registrar_on_request(struct sip *s, nta_incoming_t *irq, const sip_t *sip,
                          const struct sip_sender *sender);

#endif
