/**
 * DOC: a response that cannot be sent is a response lost
 *
 * Where the last response of a transaction cannot be sent, libsofia-sip-ua 1.12.11 keeps the
 * transaction in a state in which the ACK that follows ends the process (nta.c, incoming_ack());
 * any error of the socket will do, and a stranger's Via chooses it.  To whoever waits for the
 * response it is the same as a datagram that the network has lost: he asks again, or gives up (RFC
 * 3261 sections 17.1 and 18.4).  lost.c defines tport_tsend(), which the dynamic linker finds
 * before the library's: a response whose connection is gone is sent by another (section 18.2.2);
 * one that cannot be sent at all is counted, logged, and told the library as sent.
 *
 * A request that cannot be sent fails as it did: its transaction ends at once (section 17.1.4).
 */
#ifndef GATEWAY_SIP_LOST_H
#define GATEWAY_SIP_LOST_H

#include <stdint.h>

/** lost_count - responses lost so far; calling it also makes the linker take this file. */
uint64_t lost_count(void);

#endif
