/**
 * DOC: inside the B2BUA: a far gateway that was heard, and hangs
 *
 *              every B2BUA_LOOK_MS             it is among them
 *     RINGING ---------------------> ASKED ---------------------------> RINGING
 *      (some INVITE was heard       (the ring:  |
 *       by a far gateway)            who are    | it is not
 *                                    they?)     v          any response
 *                                             PINGED ------------------> RINGING
 *                                      (OPTIONS) |  none in B2BUA_PING_MS
 *                                                v
 *                                     its INVITEs are lost there
 *
 * A process that stands still keeps its connections: what rings behind it is not lost, and nothing
 * of it comes.  So as long as INVITEs are under way to a far gateway the ring is asked, once for
 * all of an overlay, who its gateways are.  One that is none any longer, but responds, says itself
 * what becomes of its calls: it may keep those of its own phones.  From one that does not they go
 * to whoever has its place (b2bua_twin.h), as from one whose connection is gone.
 */
#ifndef GATEWAY_SIP_B2BUA_LOOK_H
#define GATEWAY_SIP_B2BUA_LOOK_H

#include "gateway/sip/service.h"

struct b2bua;
struct b2bua_looks;

#define B2BUA_LOOK_MS 1000
#define B2BUA_PING_MS 500
#define B2BUA_LOOKS_MAX                                                                            \
    64 /* overlays that are looked at; what rings in more is looked at later                       \
        */
#define B2BUA_PINGS_MAX 64

NODISCARD enum status b2bua_looks_new(struct b2bua *b);
void b2bua_looks_free(struct b2bua *b);

/** b2bua_looks_tick - ask about those whose time has come; lose what is silent */
void b2bua_looks_tick(struct b2bua *b, uint64_t now_ms);

#endif
