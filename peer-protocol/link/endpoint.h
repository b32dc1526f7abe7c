/**
 * DOC: "IP:PORT" and socket addresses
 */
#ifndef PEER_PROTOCOL_LINK_ENDPOINT_H
#define PEER_PROTOCOL_LINK_ENDPOINT_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "base/status.h"

#define ENDPOINT_TEXT_BYTES 64

struct endpoint {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    };
    socklen_t len;
};

/** endpoint_parse - "192.0.2.1:6084", "[2001:db8::1]:6084".  Returns: ST_OK; ST_RANGE. */
NODISCARD enum status endpoint_parse(const char *text, struct endpoint *ret);

/** endpoint_text - the other way; "?" for what is no IP address. */
void endpoint_text(const struct endpoint *a, char out[ENDPOINT_TEXT_BYTES]);

in_port_t endpoint_port(const struct endpoint *a);

/** endpoint_near, endpoint_far - the near or far end of a socket; len 0 if there is none. */
struct endpoint endpoint_near(int fd);
struct endpoint endpoint_far(int fd);

#endif
