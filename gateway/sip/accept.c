#include "gateway/sip/accept.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

#include <netinet/in.h>
#include <sys/socket.h>

static _Thread_local struct {
    void (*on_accept)(void *ctx, int fd, const struct sockaddr *from);
    void (*on_connect)(void *ctx, int fd, const struct sockaddr *to);
    void *ctx;
} watch;

void
accept_watch(void (*on_accept)(void *ctx, int fd, const struct sockaddr *from),
             void (*on_connect)(void *ctx, int fd, const struct sockaddr *to), void *ctx)
{
    watch.on_accept = on_accept;
    watch.on_connect = on_connect;
    watch.ctx = ctx;
}

int
accept(int fd, struct sockaddr *restrict from, socklen_t *restrict from_len)
{
    static _Atomic(void *) found;
    int (*library_accept)(int, struct sockaddr *, socklen_t *);
    void *at = found;
    int accepted;
    int error;

    if (!at) {
        at = dlsym(RTLD_NEXT, "accept");
        found = at;
    }
    *(void **)&library_accept = at; /* POSIX's way from an object pointer to a function */
    accepted = library_accept(fd, from, from_len);
    if (accepted < 0 || !watch.on_accept || !from)
        return accepted;
    error = errno;
    watch.on_accept(watch.ctx, accepted, from);
    errno = error;
    return accepted;
}

int
connect(int fd, const struct sockaddr *to, socklen_t to_len)
{
    static _Atomic(void *) found;
    int (*library_connect)(int, const struct sockaddr *, socklen_t);
    void *at = found;

    if (!at) {
        at = dlsym(RTLD_NEXT, "connect");
        found = at;
    }
    *(void **)&library_connect = at; /* POSIX's way from an object pointer to a function */
    if (watch.on_connect && to && to_len >= sizeof(struct sockaddr_in))
        watch.on_connect(watch.ctx, fd, to);
    return library_connect(fd, to, to_len);
}
