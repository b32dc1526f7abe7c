/**
 * DOC: the B2BUA between overlays, as the dispatcher sees it
 *
 * The dispatcher hands over, on whatever agent it came:
 *   - every request on gateway-listen;
 *   - a request from a phone or a peer for a foreign domain, while this node is an active gateway;
 *   - every in-dialog request that b2bua_owns() claims.
 * From, Max-Forwards, Proxy-Require, rate and loops have been checked before, and the headers
 * Overlay-ID and Node-ID of phones are gone.  What is refused before is answered before.
 *
 * CANCEL is NTA's: the B2BUA gets it by nta_incoming_bind() of the INVITE.  ACK and 2xx see
 * service.h: each repeated 2xx comes to the INVITE's response callback while NTA has the
 * transaction, else to b2bua_on_response().
 */
#ifndef GATEWAY_SIP_B2BUA_H
#define GATEWAY_SIP_B2BUA_H

#include "gateway/sip/service.h"

NODISCARD enum status b2bua_new(struct sip *s, struct b2bua **ret_b2bua);
void b2bua_free(struct b2bua *b);

/** b2bua_owns - is it a request inside a dialog of ours: by the call token (user of the
 * Request-URI) or by Call-ID and tags? */
bool b2bua_owns(struct sip *s, const sip_t *sip);

/** b2bua_names_other - does it name a dialog, in Replaces, Join or Target-Dialog, that is in no
 * call of ours? */
bool b2bua_names_other(struct sip *s, const sip_t *sip);

/** b2bua_is_token - can this user of a URI be that of a gateway's Contact? */
bool b2bua_is_token(const char *user);

/** b2bua_owns_contact - is it a request outside a dialog to our Contact in a call that is up, or
 * was up 32 s ago (RFC 3261 section 8.1.1.8)? */
bool b2bua_owns_contact(struct sip *s, const sip_t *sip);

/**
 * b2bua_on_request - take a request
 * @irq:    its server transaction; the B2BUA's from now on, if it returns true
 * @sender: borrowed for the call; sender->tport too (tport_ref() to keep it)
 * Returns: false to leave it to the dispatcher, which answers 404 outside and 481 inside a dialog.
 */
bool b2bua_on_request(struct sip *s, nta_incoming_t *irq, const sip_t *sip,
                      const struct sip_sender *sender);

/** b2bua_on_ack - an ACK to a 2xx of ours, without transaction. True: taken, @msg included. */
bool b2bua_on_ack(struct sip *s, msg_t *msg, const sip_t *sip, const struct sip_sender *sender);

/** b2bua_on_response - a response without transaction whose only Via is ours (a repeated 2xx).
 * True: taken, @msg included. */
bool b2bua_on_response(struct sip *s, msg_t *msg, const sip_t *sip,
                       const struct sip_sender *sender);

/** b2bua_on_bridge - BRIDGE_ADOPT, BRIDGE_RELEASE: calls that become ours, or another gateway's;
 * BRIDGE_COPIED: ours are held by the first standby. */
void b2bua_on_bridge(struct sip *s, const struct bridge_message *m);

/** b2bua_on_fence_down - 2xx that came while it was up, to calls that are ours still */
void b2bua_on_fence_down(struct sip *s);

/** b2bua_tick - once a second. */
void b2bua_tick(struct sip *s);

size_t b2bua_count(const struct sip *s);

/** b2bua_not_replicated - calls up whose record is too large for the standbys. */
size_t b2bua_not_replicated(const struct sip *s);

/** b2bua_is_busy - is a call being set up or ended, or does a request in one wait for its answer?
 */
bool b2bua_is_busy(const struct sip *s);

/** b2bua_report - the calls, for BRIDGE_REPORT; NULL without memory. */
struct bridge_message *b2bua_report(const struct sip *s, uint64_t token);

#endif
