/**
 * DOC: contacts seen in dialogs
 *
 * A phone that sends everything to its proxy sends the requests of a call that way too, to the
 * other phone's address.  They may pass if that address was seen as a Contact in a dialog that was
 * made through us; nobody can use us to send to an address of his choice.  Bounded; what was noted
 * longest ago goes first.
 */
#ifndef GATEWAY_SIP_NOTED_H
#define GATEWAY_SIP_NOTED_H

#include <stdint.h>

#include <sofia-sip/url.h>

#define NOTED_MAX    65536
#define NOTED_AGE_MS 43200000 /* 12 hours after its last use */

struct noted;

struct noted *noted_new(uint64_t seed);
void noted_free(struct noted *n);

/** noted_put - @through: the serving peer's URI, or "" for straight to it. */
void noted_put(struct noted *n, const url_t *url, const char *through, uint64_t now_ms);

/** noted_get - through whom, "" for straight; NULL when it was never seen. Borrowed. */
const char *noted_get(struct noted *n, const url_t *url, uint64_t now_ms);

#endif
