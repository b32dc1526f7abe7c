/**
 * DOC: TLS to another address family than the one that we listen at
 *
 * libsofia-sip-ua 1.12.11 sends to an IPv4 address only where a listening address of the agent is
 * IPv4 (and lets IPv6 references pass by chance).  A node has one address, and a ring has overlays
 * of both families: a gateway on IPv6 could call none on IPv4.  family.c defines the two functions
 * that the library asks, and the dynamic linker finds ours before the library's own: a connection
 * that we make over TLS may go to any family, its socket then is bound to no address of ours.  All
 * else is answered as the library would.
 *
 * UDP and TCP keep to their family: a phone is reached from the address that it knows.
 */
#ifndef GATEWAY_SIP_FAMILY_H
#define GATEWAY_SIP_FAMILY_H

/** family_init - nothing but a reason for the linker to take this file. */
void family_init(void);

#endif
