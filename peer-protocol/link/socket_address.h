/**
 * DOC: "IP:PORT" and socket addresses
 */
#ifndef PEER_PROTOCOL_LINK_SOCKET_ADDRESS_H
#define PEER_PROTOCOL_LINK_SOCKET_ADDRESS_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "base/status.h"

#define SOCKET_ADDRESS_TEXT_BYTES 64

struct socket_address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    };
    socklen_t len;
};

/** socket_address_parse - "192.0.2.1:6084", "[2001:db8::1]:6084".  Returns: ST_OK; ST_RANGE. */
NODISCARD enum status socket_address_parse(const char *text, struct socket_address *ret);

/** socket_address_text - the other way; "?" for what is no IP address. */
void socket_address_text(const struct socket_address *a, char out[SOCKET_ADDRESS_TEXT_BYTES]);

in_port_t socket_address_port(const struct socket_address *a);

/** socket_address_near, socket_address_far - the near or far end of a socket; len 0 if there is
 * none. */
struct socket_address socket_address_near(int fd);
struct socket_address socket_address_far(int fd);

#endif
