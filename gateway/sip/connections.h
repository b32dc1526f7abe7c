/**
 * DOC: connections that others make to us, and those that we make
 *
 * Phones, peers of the overlay and gateways of other overlays each have a limit of their own, and
 * each source address has one: whoever opens many locks out nobody but himself.  One that stays
 * silent is closed, as is a phone's that is idle, unless it is needed: a binding in force was
 * registered by it, a dialog goes over it, an INVITE that came by it, or that it has responses to,
 * may still be ringing.  A peer's or a gateway's stays once it has carried a request.  One that
 * carried something that messages cannot be told apart in is closed (RFC 3261 section 18.3).
 * Phones leave the last descriptors to peers and gateways, these leave some to RELOAD's links and
 * the control socket.
 */
#ifndef GATEWAY_SIP_CONNECTIONS_H
#define GATEWAY_SIP_CONNECTIONS_H

#include "gateway/sip/service.h"

struct connections *connections_new(struct sip *s);
void connections_free(struct connections *c);

/** connections_on_message - the connection from this address has spoken */
void connections_on_message(struct connections *c, const su_sockaddr_t *from, const sip_t *sip);

/** connections_on_response - the same for the response that NTA hands up now, see sip_sender_of():
 * a phone may open a connection for its responses alone, and its 2xx to an INVITE is a dialog's */
void connections_on_response(struct sip_agent *agent, msg_t *msg);

/** connections_fd - the descriptor of a connection, accepted or made, that is up; -1 for one that
 * is not, or not yet. */
int connections_fd(const struct connections *c, const tport_t *transport);

/** connections_count - that are up, as of the last sweep; connections_refused - since the start. */
size_t connections_count(const struct connections *c, enum sip_side side);
uint64_t connections_refused(const struct connections *c, enum sip_side side);

/** connections_tick - once a second: closes silent and idle ones, forgets those that are gone. */
void connections_tick(struct connections *c);

#endif
