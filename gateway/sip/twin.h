/**
 * DOC: INVITEs of our gateway to phones here, should the gateway be lost while they ring
 *
 *                INVITE            2xx               TWIN_ANSWERED_MS
 *     (nothing) -------> RINGING ------> ANSWERED ------------------> (nothing)
 *                           |  failed                                   ^
 *                           +-------------------------------------------+
 *
 * The gateway that takes over sends the INVITE once more, by a branch of its own: with the same
 * Call-ID, From tag, CSeq, Request-URI and Route.  The phone rings already and is not sent it
 * again: what it responds answers the new one.  It is believed from an active gateway of the
 * overlay alone, or from whoever may be one (struct sip_sender).
 */
#ifndef GATEWAY_SIP_TWIN_H
#define GATEWAY_SIP_TWIN_H

#include "gateway/sip/forward.h"

#define TWIN_ANSWERED_MS 5000 /* a gateway is replaced within that */

struct twins;

struct twins *twins_new(struct sip *s);
void twins_free(struct twins *t);

/** twin_note - @f is such an INVITE: one that comes once more is known by it */
void twin_note(struct forward *f);

/** twin_take - is it one that came before, by another gateway?  Then it is dealt with. */
bool twin_take(struct sip *s, nta_incoming_t *irq, msg_t *msg, const struct sip_sender *sender);

/** twin_rings - does a phone ring here for an INVITE of a gateway with this Call-ID, or has just
 * answered it? */
bool twin_rings(const struct sip *s, const char *call_id);

/** twin_answered - its 2xx is sent; @msg as the phone sent it */
void twin_answered(struct forward *f, msg_t *msg);

/** twin_forget - @f is freed */
void twin_forget(struct forward *f);

/** twin_readdress - a response of the phone, its own Via removed, answers the INVITE that came last
 */
void twin_readdress(const struct forward *f, msg_t *msg, sip_t *sip);

/** twin_tick - once a second */
void twin_tick(struct sip *s);

#endif
