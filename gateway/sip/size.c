#include "gateway/sip/size.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>

#include <sofia-sip/msg.h>
#include <sofia-sip/msg_addr.h>
#include <sofia-sip/sip_header.h>

static void *
library(_Atomic(void *) *found, const char *name)
{
    void *at = *found;

    if (!at) {
        at = dlsym(RTLD_NEXT, name);
        *found = at;
    }
    return at;
}

msg_t *
msg_next(msg_t *msg)
{
    static _Atomic(void *) found;
    msg_t *(*function)(msg_t *);
    msg_t *next;

    /* POSIX's way from an object pointer to a function */
    *(void **)&function = library(&found, "msg_next");
    next = function(msg);
    if (next)
        msg_maxsize(next, size_limit(true));
    return next;
}

/* @is_exact: a datagram, which is read whole or not at all */
issize_t
msg_recv_iovec(msg_t *msg, msg_iovec_t vec[], isize_t count, usize_t bytes, int is_exact)
{
    static _Atomic(void *) found;
    issize_t (*function)(msg_t *, msg_iovec_t *, isize_t, usize_t, int);

    *(void **)&function = library(&found, "msg_recv_iovec");
    if (!is_exact && bytes > READ_BYTES)
        bytes = READ_BYTES;
    return function(msg, vec, count, bytes, is_exact);
}

unsigned
size_limit(bool is_node)
{
    return MESSAGE_BYTES_MAX + READ_BYTES + (is_node ? MESSAGE_BYTES_MORE : 0);
}

/* As they would be sent; one that cannot be is as large as can be. */
static size_t
header_bytes(const msg_t *msg)
{
    char text[HEAD_BYTES_MAX];
    size_t bytes = 0;

    for (const msg_header_t *h = *msg_chain_head(msg); h; h = h->sh_succ) {
        issize_t one = msg_is_payload(h) ? 0 : msg_header_e(text, sizeof(text), h, 0);

        if (one < 0 || (size_t)one >= sizeof(text))
            return HEAD_BYTES_MAX + 1;
        bytes += (size_t)one;
    }
    return bytes;
}

int
size_refusal(msg_t *msg)
{
    size_t body = 0;
    size_t head;

    for (const sip_payload_t *at = sip_object(msg)->sip_payload; at; at = at->pl_next)
        body += at->pl_len;
    head = msg_size(msg) > body ? msg_size(msg) - body : 0;
    if (head > HEAD_BYTES_MAX) /* or the library has counted a body twice that came in pieces */
        head = header_bytes(msg);
    if (body + head > MESSAGE_BYTES_MAX)
        return 413;
    return head > HEAD_BYTES_MAX ? 513 : 0;
}

void
size_lift(msg_t *msg)
{
    msg_maxsize(msg, ENCODE_BYTES_MAX);
}
