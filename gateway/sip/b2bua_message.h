/** DOC: inside the B2BUA: messages on their way from one leg to the other */
#ifndef GATEWAY_SIP_B2BUA_MESSAGE_H
#define GATEWAY_SIP_B2BUA_MESSAGE_H

#include "gateway/sip/b2bua_dialog.h"

struct b2bua;
struct b2bua_call;

/** b2bua_initial_request - the initial request as a branch sends it; NULL without memory. */
msg_t *b2bua_initial_request(struct b2bua_call *c, const struct sip_target *target);

/** b2bua_dialog_request - a request from the other leg, for @leg in @dialog with CSeq @cseq */
msg_t *b2bua_dialog_request(struct b2bua_call *c, enum call_leg leg, uint8_t dialog, msg_t *in,
                            uint32_t cseq);

/** b2bua_set_contact - our Contact, in place of theirs: <sip:CALL-TOKENx@ADDRESS>, where x says
 * which end it stands for; @p is the caller's or of the callee's leg */
bool b2bua_set_contact(const struct b2bua_call *c, msg_t *msg, sip_t *sip,
                       const struct b2bua_peer *p);

/** b2bua_own_request - a request of our own: ACK, BYE, or what a refresh begins with */
msg_t *b2bua_own_request(struct b2bua_call *c, enum call_leg leg, uint8_t dialog,
                         sip_method_t method, uint32_t cseq);

/**
 * b2bua_pass_response - answer a request of @leg with a response of the other leg
 * @to_tag: set where the request had none
 */
void b2bua_pass_response(struct b2bua_call *c, enum call_leg leg, uint8_t dialog,
                         nta_incoming_t *irq, msg_t *in, const char *to_tag);

/** b2bua_map_replaces - Replaces, Join and Target-Dialog, in header fields or inside Refer-To, name
 * the dialog as the other end of the call it belongs to knows it (RFC 3891, 3911, 4538) */
void b2bua_map_replaces(struct b2bua *b, msg_t *msg, sip_t *sip);

/** b2bua_named_peer - who is at the other end of the call whose dialog the request names so; NULL
 * if it names none of ours */
const struct b2bua_peer *b2bua_named_peer(struct b2bua *b, const sip_t *sip);

/**
 * b2bua_map_refer - Event of a NOTIFY or SUBSCRIBE names a REFER of this call by the CSeq that it
 * has at @leg, where the request goes (RFC 3515 section 2.4.6); a REFER is remembered
 * @in_cseq: of the request as it came; @sip has that which it goes with
 */
void b2bua_map_refer(struct b2bua_call *c, enum call_leg leg, uint32_t in_cseq, msg_t *msg,
                     sip_t *sip);

/**
 * b2bua_refer_ask - a REFER from a phone of this overlay to a colleague's Contact, as RFC 5589 has
 * it: an address that nobody in another overlay can call.  The overlay is asked whose it is; then
 * the request goes on
 * Returns: false: there is nothing to ask.
 */
bool b2bua_refer_ask(struct b2bua_exchange *x, const sip_t *sip);

/** b2bua_refer_to_user - him in the place of his Contact, where that is known; Replaces, which says
 * which of his phones is meant, stays */
void b2bua_refer_to_user(const struct b2bua_exchange *x, msg_t *msg, sip_t *sip);

#endif
