/**
 * DOC: a datagram that may have to be sent again
 *
 * What was sent, where and by which socket, without the message that it was made of.  It is copied
 * while the library sends it (refused.c) and freed by its owner.
 */
#ifndef GATEWAY_SIP_DATAGRAM_H
#define GATEWAY_SIP_DATAGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include <sofia-sip/su.h>

struct datagram {
    int fd;
    socklen_t to_len;
    su_sockaddr_t to;
    size_t len;
    unsigned char *bytes; /* NULL: none */
};

/** datagram_keep - copy what is sent now.  False: it cannot be kept; @d is as it was. */
bool datagram_keep(struct datagram *d, int fd, const struct msghdr *sent);

/** datagram_send - once more; one that cannot be sent is lost, as any datagram may be. */
void datagram_send(const struct datagram *d);

/** datagram_drop - the bytes; where it went stays known.  Twice does no harm. */
void datagram_drop(struct datagram *d);

#endif
