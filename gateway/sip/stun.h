/**
 * DOC: what comes to the SIP port and is STUN
 *
 * A phone that uses outbound asks by STUN whether its flow stands (RFC 5626 section 4.4.2).
 * libsofia-sip-ua 1.12.11 writes a line to the standard error for each datagram that begins with 0
 * or 1, whatever it is, reports each as an error of the socket, and answers a request that has the
 * magic cookie as if it had none.  stun.c defines stun_mini_request() and tport_recv_stun_dgram(),
 * which the dynamic linker finds before the library's: a Binding request gets its sender's address,
 * everything else is discarded, and nothing is written.
 *
 * Source: RFC 5389 sections 6, 7.3 and 15; RFC 5626 section 8.
 * Left out on purpose: requests with an attribute that has to be understood (credentials, another
 * address to answer to) are discarded: a keep-alive has none.
 */
#ifndef GATEWAY_SIP_STUN_H
#define GATEWAY_SIP_STUN_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define STUN_RESPONSE_BYTES_MAX 44 /* with an IPv6 address */

/**
 * stun_answer - what a datagram is answered
 * @in, @len:    the datagram; borrowed
 * @from:        where it came from: AF_INET or AF_INET6; an IPv4 address in IPv6's form is one of
 *               IPv4
 * @ret_out:     filled
 * Returns: bytes of @ret_out; 0: nothing is to be answered.
 */
size_t stun_answer(const uint8_t *in, size_t len, const struct sockaddr *from,
                   uint8_t ret_out[STUN_RESPONSE_BYTES_MAX]);

/** stun_init - nothing but a reason for the linker to take this file. */
void stun_init(void);

#endif
