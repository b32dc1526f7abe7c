/** DOC: inside the B2BUA: INVITEs until no ACK and no repeated 2xx of them can come */
#ifndef GATEWAY_SIP_B2BUA_INVITE_H
#define GATEWAY_SIP_B2BUA_INVITE_H

#include "gateway/call/call.h"
#include "gateway/sip/service.h"

struct b2bua;
struct b2bua_call;

/** An INVITE on both legs, from its request until no ACK and no repeated 2xx of it can come. */
struct b2bua_invite {
    uint8_t from;        /* enum call_leg: who sent it, or would have */
    bool is_own;         /* the gateway's: nobody's ACK acknowledges it */
    uint32_t in_cseq;    /* as it came */
    uint32_t out_cseq;   /* as it was sent on */
    nta_incoming_t *irq; /* until its ACK: repeated 2xx are forwarded by it; NULL while pending */
    msg_t *ack;          /* an ACK with a body (the answer to a late offer), for repeated 2xx */
};

/** b2bua_invite_new - keep an INVITE under the machine's number; what had it before is dropped
 *  Returns: NULL without memory. */
struct b2bua_invite *b2bua_invite_new(struct b2bua_call *c, unsigned number, enum call_leg from);
void b2bua_invite_drop(struct b2bua_call *c, unsigned number);

/** b2bua_invite_answered - keep the server transaction of an INVITE that got its 2xx; takes @irq */
void b2bua_invite_answered(struct b2bua_call *c, unsigned number, nta_incoming_t *irq);

/** b2bua_invite_sent_by - the INVITE that @leg sent with this CSeq; CALL_INVITES_MAX if none */
unsigned b2bua_invite_sent_by(const struct b2bua_call *c, enum call_leg leg, uint32_t cseq);
/** b2bua_invite_sent_to - the same for the one that was sent on to @leg */
unsigned b2bua_invite_sent_to(const struct b2bua_call *c, enum call_leg leg, uint32_t cseq);

/** b2bua_invite_again - the 2xx in hand is one that @leg has sent before, in the confirmed dialog
 */
void b2bua_invite_again(struct b2bua_call *c, enum call_leg leg, uint32_t cseq);

/** b2bua_acknowledge - ACK the 2xx of an INVITE: the ACK in hand, the one kept, or bare */
void b2bua_acknowledge(struct b2bua_call *c, unsigned number);

/** b2bua_acknowledge_dialog - ACK the 2xx that a dialog of the callee's leg got the initial INVITE
 * with */
void b2bua_acknowledge_dialog(struct b2bua_call *c, uint8_t dialog);

#endif
