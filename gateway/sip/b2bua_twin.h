/**
 * DOC: inside the B2BUA: the same INVITE by another way, and who sent it is gone
 *
 * A call rings, and a node dies that it came through.  Whoever is before that node sends the INVITE
 * once more, to the node in its place, and so on to the one that rings: a twin.  It has Call-ID,
 * From tag, CSeq and Request-URI of the first one, between gateways the same call token too, and
 * another branch.  It rings nobody: it takes the place of the first one as what the final response
 * answers.
 *
 *                                            twin                      2xx, ACK
 *    (the gateway before has it) ~~~> KNOWN -------> it goes on ------------------> (nothing)
 *        a record of the call           |   twin      ^  |
 *                                       |             |  | its sender's connection is lost
 *                        B2BUA_WAIT_MS  |             +--+-------------------------> ended: 487
 *                                       v              B2BUA_LOST_..._MS without a twin
 *                                   (nothing)
 *
 * KNOWN is a call of a gateway that is no more: its names alone, until its INVITE comes here.  One
 * that was answered there, and whose caller may not have heard of it, is KNOWN again when its
 * INVITE comes: whoever is behind it says once more that it is answered.
 *
 * One that comes when the call is up and acknowledged is late: 482 (RFC 3261 section 8.2.2.2), and
 * nobody rings anew.
 *
 * A gateway that stood still has lost its calls that ring in the same way, and nothing of them is
 * said to the far end then, which has them by another way: CANCEL or BYE would end them.
 *
 * Only from whoever may have had the first one: a node of our overlay, or a gateway whose
 * certificate is of the overlay that the call came from.
 */
#ifndef GATEWAY_SIP_B2BUA_TWIN_H
#define GATEWAY_SIP_B2BUA_TWIN_H

#include "gateway/sip/service.h"

struct b2bua;
struct b2bua_call;

#define B2BUA_UPSTREAM_MS     100 /* connections of those who sent an INVITE are looked at so often */
#define B2BUA_LOST_PEER_MS    1200 /* who has lost his connection alone sends once more at once */
#define B2BUA_LOST_GATEWAY_MS 1700 /* another gateway has its place by then, or soon */
#define B2BUA_LOST_MOST_MS    5000

/** b2bua_twin_note - from now on a twin of this INVITE is known; false without memory */
bool b2bua_twin_note(struct b2bua_call *c, const char *request_uri);
void b2bua_twin_forget(struct b2bua_call *c);

/** b2bua_twin_take - is it the twin of an INVITE that is here?  Then it is dealt with, and taken.
 */
bool b2bua_twin_take(struct b2bua *b, nta_incoming_t *irq, const sip_t *sip,
                     const struct sip_sender *sender);

/** b2bua_twin_is_awaited - is it a call of a gateway before us, whose INVITE has not come here yet?
 */
bool b2bua_twin_is_awaited(const struct b2bua_call *c);

/** b2bua_take_back_to_early - (b2bua_take.c) an adopted call whose 2xx the caller may not have: it
 * is answered once more when it has gone on from here
 * @c: freed, unless it fails: then NULL */
struct b2bua_call *b2bua_take_back_to_early(struct b2bua_call *c, const char *request_uri);

/** b2bua_twin_keep - the response in hand goes to the caller, and to a twin that comes later */
void b2bua_twin_keep(struct b2bua_call *c, uint8_t dialog);
/** b2bua_twin_drop - it is acknowledged */
void b2bua_twin_drop(struct b2bua_call *c);

/** b2bua_upstream_note - the INVITE came over this connection: when it is lost, and no twin comes,
 * the call ends */
void b2bua_upstream_note(struct b2bua_call *c, const struct sip_sender *sender);
void b2bua_upstream_free(struct b2bua_call *c);
void b2bua_upstream_tick(struct b2bua *b, uint64_t now_ms);

#endif
