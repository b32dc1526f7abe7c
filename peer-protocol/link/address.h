/**
 * DOC: "IP:PORT" and socket addresses
 */
#ifndef PEER_PROTOCOL_LINK_ADDRESS_H
#define PEER_PROTOCOL_LINK_ADDRESS_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "base/status.h"

#define ADDRESS_TEXT_BYTES 64

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    };
    socklen_t len;
};

/** address_parse - "192.0.2.1:6084", "[2001:db8::1]:6084".  Returns: ST_OK; ST_RANGE. */
NODISCARD enum status address_parse(const char *text, struct address *ret);

/** address_text - the other way; "?" for what is no IP address. */
void address_text(const struct address *a, char out[ADDRESS_TEXT_BYTES]);

in_port_t address_port(const struct address *a);

/** address_near, address_far - the near or far end of a socket; len 0 if there is none. */
struct address address_near(int fd);
struct address address_far(int fd);

#endif
