/**
 * DOC: IpAddressPort on the wire
 *
 * Private to peer-protocol/message/; the struct and its text form are in body.h.
 * Source: RFC 6940 section 6.5.1.1.
 */
#ifndef PEER_PROTOCOL_MESSAGE_ADDRESS_H
#define PEER_PROTOCOL_MESSAGE_ADDRESS_H

#include "peer-protocol/message/body.h"

/** ip_address_port_read - type 1 with 6 bytes or type 2 with 18; anything else fails. */
struct ip_address_port ip_address_port_read(struct reader *r);
void ip_address_port_write(struct writer *w, const struct ip_address_port *a);

#endif
