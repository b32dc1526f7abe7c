/**
 * DOC: the first look at every message
 *
 * NTA hands each message up before it keeps a transaction for it.  Here it is found out who sent
 * it, whether the sender may, and which part it is for.
 */
#ifndef GATEWAY_SIP_DISPATCH_H
#define GATEWAY_SIP_DISPATCH_H

#include "gateway/sip/service.h"

/** dispatch_message - NTA's callback for requests and responses that belong to no transaction. */
int dispatch_message(struct sip_agent *agent, nta_agent_t *nta, msg_t *msg, sip_t *sip);

/** dispatch_held - a request that had to wait (fence.h, stranger.h). @msg is taken. */
void dispatch_held(struct sip_agent *agent, msg_t *msg, const struct sip_sender *sender,
                   enum status st);

/** dispatch_judged - the rest, once it is known whose the domains are that it names (domain.h).
 * @msg is taken. */
void dispatch_judged(struct sip_agent *agent, msg_t *msg, const struct sip_sender *sender);

#endif
