/**
 * DOC: the transaction-stateful proxy
 *
 *    request -> forward (one server transaction)
 *                 |  lookup, or one place, or the gateway
 *                 +-- branch (one client transaction) for each contact
 *    provisional ........ sent up
 *    2xx ................ sent up, other branches cancelled
 *    6xx ................ other branches cancelled
 *    last branch done ... best answer sent up (RFC 3261 section 16.7)
 *
 * A gateway that is lost while it rings behind it, and who sent an INVITE and is lost, see twin.h.
 *
 * Three things are watched by lists of equal delays: a gateway that does not answer
 * (peer_retry_ms), a serving peer that cannot be reached (branch_timeout_ms), and an INVITE nobody
 * answers (timer C, ring_timeout_s after the last provisional answer but 100).
 *
 * Once the final answer is sent nothing of it is kept here: NTA repeats it, and repeated 2xx pass
 * statelessly (section 16.11).
 */
#ifndef GATEWAY_SIP_PROXY_H
#define GATEWAY_SIP_PROXY_H

#include "gateway/sip/route.h"
#include "gateway/sip/service.h"

struct proxy *proxy_new(struct sip *s);
void proxy_free(struct proxy *p);

/** proxy_on_request - forward a request as @route says; the transaction is the proxy's from now on.
 *  @msg: the request; borrowed */
void proxy_on_request(struct sip *s, nta_incoming_t *irq, msg_t *msg,
                      const struct sip_sender *sender, const struct route *route);

/** proxy_on_ack - an ACK to a 2xx. @msg is taken. */
void proxy_on_ack(struct sip *s, msg_t *msg, sip_t *sip, const struct sip_sender *sender,
                  const struct route *route);

/** proxy_on_response - a response that belongs to no transaction any more: a repeated 2xx. @msg is
 *  taken. */
void proxy_on_response(struct sip *s, msg_t *msg, sip_t *sip, const struct sip_sender *sender);

/** proxy_on_gateways - the active set has changed: requests that wait for one that is no gateway
 * any more go to another.  One that hands over still answers what it has: it gets PROXY_FORMER_MS.
 */
void proxy_on_gateways(struct sip *s);
#define PROXY_FORMER_MS 150

/** proxy_take_requests - how many have been sent to our gateway since the last call. */
uint32_t proxy_take_requests(struct sip *s);

/** proxy_is_busy - does a request wait for its answer? */
bool proxy_is_busy(const struct sip *s);

/** proxy_loop_key - what tells a loop from a spiral: the fields that steer a request (section 16.6
 *  item 8), as text in our branches. */
#define PROXY_LOOP_BYTES 14
void proxy_loop_key(struct sip *s, const sip_t *sip, char out[PROXY_LOOP_BYTES]);

/** proxy_is_loop - has the request been here before with the same key? */
bool proxy_is_loop(struct sip *s, const sip_t *sip);

#endif
