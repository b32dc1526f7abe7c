/**
 * DOC: what the B2BUA can carry, and what a dialog cannot be made of
 *
 * A message that opens a dialog says where its sender is reached (RFC 3261 sections 8.1.1.8,
 * 12.1.1, 12.1.2); without that, or where it is too long to be kept, there would be a call that
 * nobody can end.  Such a message is refused before there is one.
 */
#ifndef GATEWAY_SIP_B2BUA_CHECK_H
#define GATEWAY_SIP_B2BUA_CHECK_H

#include "gateway/sip/service.h"

#define B2BUA_URI_BYTES   2048 /* of each URI, Call-ID and tag */
#define B2BUA_ROUTE_BYTES 8192 /* of a route set as the value of Route */

/**
 * b2bua_check_initial - a request that may open a dialog
 * Returns: 0; 400 with @ret_phrase; 414 for its Request-URI, 513 for anything else that is too
 * long.
 */
int b2bua_check_initial(const sip_t *sip, const char **ret_phrase);

/** b2bua_check_refresh - a request inside a dialog, or its 2xx, and the Contact it may have.
 *  Returns: 0, 400 or 513. */
int b2bua_check_refresh(const sip_t *sip);

/** b2bua_check_response - a response that makes a dialog; @is_answer if it needs a Contact.
 *  Returns: 0; what the caller hears in its place: 502, or 500 where it is too long. */
int b2bua_check_response(const sip_t *sip, bool is_answer);

#endif
