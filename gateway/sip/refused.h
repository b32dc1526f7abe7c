/**
 * DOC: a dead phone spoils nobody else's message
 *
 * Where a UDP phone is gone, the kernel learns it from an ICMP message, and reports it to whoever
 * sends next on the same socket, to whatever address: that datagram is not sent, and the library
 * takes its transaction for failed.  refused.c defines sendmsg(), which the dynamic linker finds
 * before the C library's: what was refused for another's sake is sent again.  The phone that is
 * gone is still noticed at once, from the socket's error queue.
 */
#ifndef GATEWAY_SIP_REFUSED_H
#define GATEWAY_SIP_REFUSED_H

#include <stdint.h>

/** refused_count - datagrams sent again so far; calling it also makes the linker take this file. */
uint64_t refused_count(void);

#endif
