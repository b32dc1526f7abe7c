/**
 * DOC: what the kernel says of the packets of one connection
 *
 * TCP sends a lost segment again after 200 ms at least, and waits twice as long each time: a
 * connection that loses packets is silent for as long as a process that hangs, or is dead.  What
 * tells them apart is the past.  A path is LOSSY once segments were sent again, or came out of
 * order, and the other end was heard all the same, three times within PATH_LOSSY_MS.  A cut, which
 * nothing comes through, makes no path lossy, nor does a process that stands still, whose kernel
 * acknowledges.
 *
 * Source: tcp(7), TCP_INFO; RFC 6298 section 5.
 */
#ifndef PEER_PROTOCOL_LINK_PATH_H
#define PEER_PROTOCOL_LINK_PATH_H

#include <stdbool.h>
#include <stdint.h>

#define PATH_LOSSY_MS 30000u

struct path {
    uint64_t looked_us;
    uint32_t lost;       /* segments, as last seen */
    uint64_t lost_us[3]; /* when it was seen to grow, the last time first; 0: never */
    uint32_t rto_us;     /* without what TCP adds each time in vain */
};

/** path_heard - something came from the other end of @fd: look what it took, now and then. */
void path_heard(struct path *p, int fd, uint64_t now_us);

bool path_is_lossy(const struct path *p, uint64_t now_us);

#endif
