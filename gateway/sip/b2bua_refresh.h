/** DOC: inside the B2BUA: calls that were another gateway's */
#ifndef GATEWAY_SIP_B2BUA_REFRESH_H
#define GATEWAY_SIP_B2BUA_REFRESH_H

#include "gateway/call/call.h"
#include "gateway/sip/ask.h"

struct b2bua;
struct b2bua_call;

/** A call of another gateway: each end is told where its requests have to go from now on. */
struct b2bua_refresh_leg {
    struct b2bua_call *call;
    enum call_leg leg;
    bool is_due;
    bool is_invite;  /* what is under way, or, as it knows no UPDATE, will be */
    unsigned invite; /* its number */
    unsigned tries;
    uint64_t begin_ms;
    uint64_t at_ms; /* not before this */
    nta_outgoing_t *orq;
    struct ask ask;               /* who is the gateway of the far overlay now? */
    char next_hop[SIP_URI_BYTES]; /* the answer; "" */
};

struct b2bua_refresh {
    struct list_node link; /* in the order in which they are to be looked at */
    struct b2bua_refresh_leg leg[2];
};

/** b2bua_refresh_start - tell both ends of a call where their requests go from now on: paced,
 * UPDATE or, where that is not known, INVITE with the other end's last SDP */
void b2bua_refresh_start(struct b2bua_call *c);
void b2bua_refresh_free(struct b2bua_call *c);
/** b2bua_refresh_stop - there is nothing left to tell; an INVITE under way is still
 * acknowledged */
void b2bua_refresh_stop(struct b2bua_call *c);

NODISCARD enum status b2bua_refresh_new(struct b2bua *b);
void b2bua_refresh_end(struct b2bua *b);

/** b2bua_is_takeover - a far gateway tells that it has the call now; understood by the gateway
 *  itself, not forwarded */
bool b2bua_is_takeover(const sip_t *sip, const struct sip_sender *sender);

#endif
