/**
 * DOC: the limit of a message's size holds for each message of a connection
 *
 * libsofia-sip-ua 1.12.11 gives the first message of what it has read its limit (NTATAG_MAXSIZE)
 * and those behind it in the same read none: a Content-Length of 4294967295 there makes it write
 * outside of its buffer, and header fields without end fill the memory.  size.c defines msg_next(),
 * which the dynamic linker finds before the library's: the next message has a limit, too.
 */
#ifndef GATEWAY_SIP_SIZE_H
#define GATEWAY_SIP_SIZE_H

#define MESSAGE_BYTES_MAX  65536 /* of a phone's message; more is answered 413 */
#define MESSAGE_BYTES_MORE 16384 /* what nodes add to it between them */

/** size_init - nothing but a reason for the linker to take this file. */
void size_init(void);

#endif
