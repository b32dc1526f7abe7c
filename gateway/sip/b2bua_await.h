/**
 * DOC: inside the B2BUA: requests inside a dialog that is not here yet
 *
 * A call rings, and its gateway dies.  The next one has the call's names, but no dialog of it until
 * its INVITE has come once more and a phone has said again that it rings (b2bua_twin.h); of several
 * gateways another may get that INVITE, without a copy of the call.  PRACK and UPDATE that an end
 * sends meanwhile wait here for their dialog; so they do where the far gateway has died, until the
 * next one has said that it rings there:
 *
 *                     no dialog yet              1xx, 2xx
 *      request ------------------------> WAITS ------------> b2bua_exchange_start()
 *                                          | the call is over: 481
 *                                          | B2BUA_AWAIT_MS: 500, to be sent again
 *
 * The dialog has the tag it had before (b2bua_name.h): the far tag of the first one is copied; the
 * others, of phones that a request was forked to, begin with the same B2BUA_STEM_CHARS, by which
 * the call is found, and go on with a hash of the far tag.
 */
#ifndef GATEWAY_SIP_B2BUA_AWAIT_H
#define GATEWAY_SIP_B2BUA_AWAIT_H

#include "gateway/sip/b2bua_exchange.h"

struct b2bua;
struct b2bua_call;

#define B2BUA_STEM_CHARS 8
#define B2BUA_AWAIT_MS   4000
#define B2BUA_AWAIT_MAX  1024 /* more are 500 */

/** b2bua_await_call - the dialogs of a call are waited for while it rings: another gateway may have
 * had it; false without memory */
bool b2bua_await_call(struct b2bua_call *c);
void b2bua_await_forget(struct b2bua_call *c);

/** b2bua_is_awaited - is it a request inside a dialog that is waited for? */
bool b2bua_is_awaited(struct b2bua *b, const sip_t *sip);

/** b2bua_await - if it is, it waits, and @irq is taken; else false */
bool b2bua_await(struct b2bua *b, nta_incoming_t *irq, const sip_t *sip,
                 const struct sip_sender *sender);

/** b2bua_await_tick - those whose dialog is here by now go on */
void b2bua_await_tick(struct b2bua *b, uint64_t now_ms);

/** b2bua_await_tag - our tag of a dialog that is not the first of its call */
void b2bua_await_tag(const struct b2bua_call *c, const char *far_tag,
                     char ret[B2BUA_TAG_CHARS + 1]);

NODISCARD enum status b2bua_await_new(struct b2bua *b);
void b2bua_await_end(struct b2bua *b);

#endif
