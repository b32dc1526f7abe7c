/**
 * DOC: the limits of a message's size
 *
 * A phone's request may have MESSAGE_BYTES_MAX (413), its header fields HEAD_BYTES_MAX of them
 * (513), as they are sent: each value of a list gets a line of its own.  Its response may have
 * RESPONSE_BYTES_MAX.  What nodes add to it, and what a response repeats of its request beside its
 * own body, then fits into MESSAGE_BYTES_MORE between nodes, whose connection carries the calls of
 * many.
 *
 * libsofia-sip-ua 1.12.11 has one limit (NTATAG_MAXSIZE), and means the buffer by it: it gives up a
 * connection where part of a message is there and more bytes wait behind it than the limit leaves,
 * be they ten small messages; the messages behind the first of what was read have no limit at all
 * (a Content-Length of 4294967295 makes it write outside of its buffer); and a message with one
 * long header field is not sent, as the buffer for it is doubled until it fits.  size.c defines
 * msg_recv_iovec() and msg_next(), which the dynamic linker finds before the library's: no more
 * than READ_BYTES are read at once, for which there is room above the limit, and each message has
 * its limit.
 */
#ifndef GATEWAY_SIP_SIZE_H
#define GATEWAY_SIP_SIZE_H

#include <stdbool.h>

#include <sofia-sip/msg_types.h>

#define MESSAGE_BYTES_MAX  65536
#define HEAD_BYTES_MAX     32768
#define MESSAGE_BYTES_MORE 65536
#define RESPONSE_BYTES_MAX 98304 /* of a phone's response; a larger one is discarded */
#define READ_BYTES         16384 /* as many as the library reads at once by TLS */
#define ENCODE_BYTES_MAX   (16 * MESSAGE_BYTES_MAX)

/** size_limit - NTATAG_MAXSIZE of an agent. @is_node: it listens for nodes, not for phones. */
unsigned size_limit(bool is_node);

/** size_refusal - 0; 413 or 513, as the request of a phone is too large. */
int size_refusal(msg_t *msg);

/** size_is_response_huge - is a phone's response larger than the connections between nodes carry,
 *  beside what it repeats of its request? */
bool size_is_response_huge(msg_t *msg);

/** size_lift - let a message that is about to be sent be as large as it is. */
void size_lift(msg_t *msg);

#endif
