#include "gateway/sip/refused.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>

#include <sys/socket.h>

#include "gateway/sip/client.h"
#include "gateway/sip/finished.h"

static atomic_uint_least64_t count;

uint64_t
refused_count(void)
{
    return count;
}

ssize_t
sendmsg(int fd, const struct msghdr *message, int flags)
{
    static _Atomic(void *) found;
    ssize_t (*library_sendmsg)(int, const struct msghdr *, int);
    void *at = found;
    ssize_t sent;

    if (!at) {
        at = dlsym(RTLD_NEXT, "sendmsg");
        found = at;
    }
    *(void **)&library_sendmsg = at; /* POSIX's way from an object pointer to a function */
    finished_on_datagram(fd, message);
    if (!client_on_datagram(fd, message)) {
        errno = EPERM;
        return -1;
    }
    sent = library_sendmsg(fd, message, flags);
    /* a socket that is told each destination is not connected: the error cannot be of this one */
    if (sent < 0 && errno == ECONNREFUSED && message->msg_name) {
        count++;
        sent = library_sendmsg(fd, message, flags);
    }
    return sent;
}
