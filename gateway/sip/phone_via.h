/**
 * DOC: a phone that rings when its serving peer is lost
 *
 *   phone <---- INVITE ----- serving peer <---- INVITE ----- the node before it
 *                              (lost)     -- Phone-Via ---->   |
 *   phone <------------------------ CANCEL --------------------+
 *
 * A CANCEL has to come under the Via of its INVITE (RFC 3261 sections 9.1, 9.2 and 17.2.3), and
 * that one the serving peer alone knows: without it the phone rings until the INVITE expires.  So a
 * serving peer tells the node that it has the INVITE from, the gateway or the caller's serving
 * peer, the Via of what went out by UDP, in its provisional responses.  All else that node knows
 * itself: the Contact from the binding, and From, To, Call-ID and CSeq from the INVITE, which a
 * proxy leaves as they are.
 *
 *                                 lost
 *   (told) ------------------------------------------> SENT, and PHONE_VIA_AGAIN_MS later once more
 *      |      cancelled by the serving peer             ^
 *      +-----------------------------------> WAITING ---+ PHONE_VIA_AGAIN_MS
 *                                               +-------> (nothing): a final response came
 *
 * What a serving peer says chooses neither whether nor where anything is sent: the CANCEL goes to
 * where an INVITE went, to a Contact that can be reached without its serving peer, twice at most.
 * Its response is not waited for.
 *
 * Left out on purpose: phones on a connection, behind a NAT, or behind another proxy.  They ring
 * until the INVITE expires, and are counted.
 */
#ifndef GATEWAY_SIP_PHONE_VIA_H
#define GATEWAY_SIP_PHONE_VIA_H

#include "gateway/sip/service.h"

#define PHONE_VIA_BYTES    256  /* of the header field's value */
#define PHONE_VIA_AGAIN_MS 500  /* T1 */
#define PHONE_VIA_MAX      1024 /* CANCELs that wait; more are sent once, when the peer is lost */

struct phone_cancel;
struct phone_cancels;

/** What the node before the serving peer knows of one INVITE; begins as zeros. */
struct phone_via {
    char *text;                  /* checked; NULL: the peer has not said it */
    struct phone_cancel *cancel; /* WAITING; or NULL */
    bool is_used;                /* SENT */
};

/** The INVITE as that node sent it. */
struct phone_invite {
    const char *uri;    /* the phone's Contact; NULL where it needs its serving peer */
    const sip_t *sip;   /* From, To, Call-ID, CSeq */
    const char *reason; /* see cancel_reason() */
};

struct phone_cancels *phone_cancels_new(struct sip *s);
void phone_cancels_free(struct phone_cancels *p);

/** phone_via_tell - the serving peer: write into a provisional response under which Via it sent the
 * INVITE; nothing where that was not by UDP */
void phone_via_tell(msg_t *response, nta_outgoing_t *orq);

/** phone_via_trying - the same in a 100 to @irq, where no phone has responded yet; @orq NULL: none
 */
void phone_via_trying(nta_incoming_t *irq, nta_outgoing_t *orq);

/** phone_via_learn - from a provisional response, past headers_accept_response() */
void phone_via_learn(struct phone_via *v, const sip_t *response);

/** phone_via_cancelled - the serving peer was sent the CANCEL */
void phone_via_cancelled(struct sip *s, struct phone_via *v, const struct phone_invite *invite);

/** phone_via_lost - it rang there, and the serving peer is lost */
void phone_via_lost(struct sip *s, struct phone_via *v, const struct phone_invite *invite);

/** phone_via_done - a final response came, or nobody is interested any longer; twice does no harm.
 */
void phone_via_done(struct phone_via *v);

/** phone_cancels_count - INVITEs cancelled so; @ret_left: that were left ringing */
uint64_t phone_cancels_count(const struct sip *s, uint64_t *ret_left);

#endif
