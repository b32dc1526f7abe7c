#include "gateway/sip/datagram.h"

#include <stdlib.h>
#include <string.h>

bool
datagram_keep(struct datagram *d, int fd, const struct msghdr *sent)
{
    size_t len = 0;
    unsigned char *bytes;
    unsigned char *at;

    if (!sent->msg_name || sent->msg_namelen > sizeof(d->to))
        return false;
    for (size_t i = 0; i < sent->msg_iovlen; i++)
        len += sent->msg_iov[i].iov_len;
    bytes = malloc(len);
    if (!bytes)
        return false;
    at = bytes;
    for (size_t i = 0; i < sent->msg_iovlen; i++) {
        memcpy(at, sent->msg_iov[i].iov_base, sent->msg_iov[i].iov_len);
        at += sent->msg_iov[i].iov_len;
    }
    free(d->bytes);
    d->bytes = bytes;
    d->len = len;
    d->fd = fd;
    memcpy(&d->to, sent->msg_name, sent->msg_namelen);
    d->to_len = sent->msg_namelen;
    return true;
}

void
datagram_send(const struct datagram *d)
{
    if (d->bytes)
        (void)sendto(d->fd, d->bytes, d->len, MSG_NOSIGNAL | MSG_DONTWAIT, &d->to.su_sa, d->to_len);
}

void
datagram_drop(struct datagram *d)
{
    free(d->bytes);
    d->bytes = NULL;
    d->len = 0;
}
