/**
 * DOC: inside the B2BUA: BYE of our own
 *
 *      b2bua_say_bye() -> sent -> 2xx, 481 or another refusal of the end itself     -> over
 *                              -> 503, 500, 408 or 430, or not a word in
 *                                 B2BUA_SILENCE_MS: nobody said that it was heard    -> once more
 *
 * The call is freed when its BYE is sent; the BYE is not.  Once more is after B2BUA_BYE_PAUSE_MS
 * and then at twice the distance each time, for B2BUA_BYE_MS in all (64 * T1 of RFC 3261 section
 * 17.1.2.2), with a new branch and the next CSeq.  A leg that leads to another overlay belongs to
 * the overlay's name: the ring is asked who is its gateway now.  A phone's connection that is gone
 * has no other way.
 *
 * More than B2BUA_BYES_MAX at once are sent and not looked after.
 */
#ifndef GATEWAY_SIP_B2BUA_BYE_H
#define GATEWAY_SIP_B2BUA_BYE_H

#include "gateway/call/call.h"

struct b2bua;
struct b2bua_call;

#define B2BUA_BYES_MAX     4096
#define B2BUA_BYE_PAUSE_MS 250
#define B2BUA_BYE_MS       32000

/** b2bua_say_bye - end @leg's dialog @dialog; nothing without a target to send it to */
void b2bua_say_bye(struct b2bua_call *c, enum call_leg leg, uint8_t dialog);

/** b2bua_bye_tick - those whose pause is over */
void b2bua_bye_tick(struct b2bua *b, uint64_t now_ms);

/** b2bua_bye_free - forget all */
void b2bua_bye_free(struct b2bua *b);

#endif
