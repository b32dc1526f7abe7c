/**
 * DOC: inside the B2BUA: a CANCEL that a far gateway does not hear
 *
 *             INVITE             1xx            CANCEL, final response
 *    (nothing) -----> SENT ------------> CALLED OFF -------------------> (nothing)
 *                      |  300 to 699                                        ^
 *                      |  2xx: ACK, BYE                                     |
 *                      +----------------------------------------------------+
 *
 * The caller has given up, or is answered elsewhere, and the gateway behind which it still rings
 * hangs. The one in its place knows the call: it gets the INVITE once more, goes on with it
 * (b2bua_twin.h), and is told by the CANCEL that it is over, which may not go out before a
 * provisional response (RFC 3261 section 9.1).  Nobody waits for what comes of it.
 */
#ifndef GATEWAY_SIP_B2BUA_CHASE_H
#define GATEWAY_SIP_B2BUA_CHASE_H

#include "gateway/sip/service.h"

struct b2bua;
struct b2bua_branch;

#define B2BUA_CHASE_MS   35000 /* longer than its transaction, which ends it */
#define B2BUA_CHASES_MAX 10000

/** b2bua_chase - @branch, heard and called off, goes on to another gateway of that overlay */
void b2bua_chase(const struct b2bua_branch *branch, const char *gateway_uri);

/** b2bua_chases_tick - those that nothing came of are dropped; all of them with MOMENT_NEVER */
void b2bua_chases_tick(struct b2bua *b, uint64_t now_ms);

#endif
