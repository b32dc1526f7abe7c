/**
 * DOC: hearing of each new connection
 *
 * The library tells nobody when it accepts or makes a connection, keeps a silent one for ever and
 * turns mad when descriptors run out.  accept.c defines accept() and connect(), which the dynamic
 * linker finds before the C library's; a thread that asked to is told of each new descriptor. Other
 * threads notice nothing.
 */
#ifndef GATEWAY_SIP_ACCEPT_H
#define GATEWAY_SIP_ACCEPT_H

struct sockaddr;

/**
 * accept_watch - in this thread, from now on; NULL ends it
 * @on_accept:  a connection from there is accepted
 * @on_connect: a socket is about to be connected to there
 */
void accept_watch(void (*on_accept)(void *ctx, int fd, const struct sockaddr *from),
                  void (*on_connect)(void *ctx, int fd, const struct sockaddr *to), void *ctx);

#endif
