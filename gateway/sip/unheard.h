/**
 * DOC: addresses that have never answered
 *
 * Whoever registers somebody else's address has this node send there; by UDP each request goes out
 * seven to eleven times (RFC 3261 timers A and E), so that little would become much.  An address
 * that no response has come from within UNHEARD_AGE_MS gets, in UNHEARD_WINDOW_MS, the first copy
 * of UNHEARD_FIRST_MAX requests, and UNHEARD_AGAIN_MAX copies more of all of them together.  A copy
 * above that is lost, as by the network; a request above it fails, as one that cannot be sent
 * (section 17.1.4): its caller hears 480.  One response and the address has no such limit.
 *
 *                 a request goes there            a response to it
 *     (unknown) -----------------------> UNHEARD ------------------> HEARD
 *                                           ^   UNHEARD_AGE_MS without  |
 *                                           +---------------------------+
 *
 * Left out on purpose: connections; nobody is sent much who does not complete their handshake.
 */
#ifndef GATEWAY_SIP_UNHEARD_H
#define GATEWAY_SIP_UNHEARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UNHEARD_FIRST_MAX 256
#define UNHEARD_AGAIN_MAX 16
#define UNHEARD_WINDOW_MS 32000   /* 64*T1 */
#define UNHEARD_AGE_MS    3600000 /* of a response */
#define UNHEARD_MAX       65536   /* addresses */

struct sockaddr;
struct unheard;

/** unheard_new - NULL without memory. */
struct unheard *unheard_new(uint64_t seed);
void unheard_free(struct unheard *u);

/** unheard_may_begin, unheard_may_repeat - may the first copy of a request be sent to this address,
 * and one more?  It counts as sent then; what may not is told at level remote. */
bool unheard_may_begin(struct unheard *u, const struct sockaddr *to, uint64_t now_ms);
bool unheard_may_repeat(struct unheard *u, const struct sockaddr *to, uint64_t now_ms);

/** unheard_answered - a response to one of our requests has come for what was sent to this address.
 */
void unheard_answered(struct unheard *u, const struct sockaddr *from, uint64_t now_ms);

size_t unheard_count(const struct unheard *u);

#endif
