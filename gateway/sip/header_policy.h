/**
 * DOC: header fields that say something about somebody, and whose word is taken for them
 *
 *   arrival --> headers_accept() --> all that is left may be believed --> headers_release() --> on
 *
 * One table has the rule of each: which sides may send it, whether it names a user (then a far
 * gateway may name its own overlay's alone), which sides it is passed on to.  It holds for requests
 * and responses, inside and outside dialogs.
 *
 *   Overlay-ID, Node-ID, Gateway-Term   gateways of other overlays, by their certificate; each is
 *                                       made anew for the next hop, never passed on
 *   Active-Gateway                      in a node's 503 to another of its overlay: who it is
 *   Phone-Via                           in a serving peer's provisional response to another node of
 *                                       its overlay: see phone_via.h
 *   P-Asserted-Identity                 made by a phone's serving peer or its gateway (RFC 3325
 *                                       section 5); not for phones where Privacy has "id"
 *   Remote-Party-ID                     as P-Asserted-Identity, its forerunner
 *   P-Preferred-Identity                a phone's hint to its proxy (RFC 3325 section 9.2):
 * nobody's word here, and for nobody else
 */
#ifndef GATEWAY_SIP_HEADER_POLICY_H
#define GATEWAY_SIP_HEADER_POLICY_H

#include "gateway/sip/service.h"

#define HEADER_OVERLAY_ID        "Overlay-ID"
#define HEADER_NODE_ID           "Node-ID"
#define HEADER_GATEWAY_TERM      "Gateway-Term"
#define HEADER_ACTIVE_GATEWAY    "Active-Gateway"
#define HEADER_PHONE_VIA         "Phone-Via"
#define HEADER_ASSERTED_IDENTITY "P-Asserted-Identity"

/** headers_accept - take away what @sender's word is not taken for; first of all, on arrival */
void headers_accept(const struct sip *s, msg_t *msg, sip_t *sip, const struct sip_sender *sender);

/** headers_accept_response - the same for the response that NTA hands up now, see sip_sender_of()
 */
void headers_accept_response(struct sip_agent *agent, msg_t *msg);

/** headers_release - take away what is not for @side; last of all, before it is sent */
void headers_release(msg_t *msg, sip_t *sip, enum sip_side side);

/** header_find - the value of a header field that the library does not know; NULL without. */
const char *header_find(const sip_t *sip, const char *name);

/** header_is_anonymous - does From hide its user (RFC 3323 section 4.1.1.3)? */
bool header_is_anonymous(const sip_t *sip);

/** header_asserted_aor - whom P-Asserted-Identity names; ST_NOT_FOUND if nobody. */
NODISCARD enum status header_asserted_aor(const sip_t *sip, char ret_aor[AOR_BYTES]);

/** header_assert - write who sends this, for those who may know: P-Asserted-Identity, Privacy: id
 */
NODISCARD enum status header_assert(msg_t *msg, sip_t *sip, const char *aor);

/**
 * header_add_challenges - two phones of one AOR want credentials: the caller needs to know both
 * @to:   the response that goes up, borrowed; left alone where it is no 401 or 407
 * @from: another final response; its WWW-Authenticate and Proxy-Authenticate are added to @to where
 *        it is a 401 or 407
 * Source: RFC 3261 section 16.7 step 7.
 */
void header_add_challenges(msg_t *to, const sip_t *from);

#endif
