/**
 * DOC: inside the B2BUA: a call's first 2xx waits for its copy
 *
 * Who hears that the call is up takes it for granted that it lasts.  So the 2xx goes on when the
 * first standby has the call, or after B2BUA_HOLD_MS: a standby that is slow or gone holds nobody
 * up. Whatever else the callee says in the dialog goes after it.
 */
#ifndef GATEWAY_SIP_B2BUA_HOLD_H
#define GATEWAY_SIP_B2BUA_HOLD_H

#include "gateway/bridge/bridge.h"

struct b2bua;
struct b2bua_call;

#define B2BUA_HOLD_MS 10

/** b2bua_hold - its 2xx, kept as the last response, is not sent yet; false: it is to be, as no copy
 * is made of the call */
bool b2bua_hold(struct b2bua_call *c);

/** b2bua_hold_end - send it, if it is held */
void b2bua_hold_end(struct b2bua_call *c);

/** b2bua_on_copied - BRIDGE_COPIED */
void b2bua_on_copied(struct b2bua *b, const struct bridge_message *m);

NODISCARD enum status b2bua_hold_new(struct b2bua *b);
void b2bua_hold_free(struct b2bua *b);

#endif
