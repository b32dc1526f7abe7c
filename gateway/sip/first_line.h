/**
 * DOC: a first line that cannot be read does not end the connection
 *
 * Where libsofia-sip-ua 1.12.11 cannot read the first line of a message it gives the rest of it up:
 * nobody is answered, and a connection is read no further though it stays open, so that whoever
 * sits behind it waits for ever.  first_line.c defines sip_request_d() and sip_status_d(), which
 * the dynamic linker finds before the library's: a line that speaks of SIP is kept, with a mark, so
 * that the header fields after it are read and the message ends where it says.  inlet.c then has a
 * request answered with 400 (RFC 3261 section 21.4.1, RFC 4475 section 3.1.2) and a response
 * discarded.  A line that does not speak of SIP fails as it did.
 */
#ifndef GATEWAY_SIP_FIRST_LINE_H
#define GATEWAY_SIP_FIRST_LINE_H

#include <stdbool.h>

#include <sofia-sip/sip.h>

/** first_line_is_unreadable - does the mark stand on a message?  True for a response whose status
 * is of no class, too (RFC 3261 section 7.2: 1xx to 6xx). */
bool first_line_is_unreadable(const sip_t *sip);

#endif
