#include "gateway/sip/size.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

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
    static _Thread_local char text[MESSAGE_BYTES_MAX];
    size_t bytes = 0;

    for (const msg_header_t *h = *msg_chain_head(msg); h; h = h->sh_succ) {
        issize_t one = msg_is_payload(h) ? 0 : msg_header_e(text, sizeof(text), h, 0);

        if (one < 0 || (size_t)one >= sizeof(text))
            return 2 * sizeof(text);
        bytes += (size_t)one;
    }
    return bytes;
}

/* What is sent may be eight times as long as what came: each value of a list gets a line of its
 * own.  At most as long as this. */
static size_t
header_bytes_most(const msg_t *msg, size_t body)
{
    size_t bytes = msg_size(msg) > body ? msg_size(msg) - body : 0;

    for (const msg_header_t *h = *msg_chain_head(msg); h; h = h->sh_succ)
        bytes += (h->sh_class->hc_name ? strlen(h->sh_class->hc_name) : 0) + strlen(": \r\n");
    return bytes;
}

/* Exact where it is more than @enough. */
static size_t
head_of(const msg_t *msg, size_t body, size_t enough)
{
    size_t most = header_bytes_most(msg, body);

    return most > enough ? header_bytes(msg) : most;
}

static size_t
body_of(msg_t *msg)
{
    size_t body = 0;

    for (const sip_payload_t *at = sip_object(msg)->sip_payload; at; at = at->pl_next)
        body += at->pl_len;
    return body;
}

int
size_refusal(msg_t *msg)
{
    size_t body = body_of(msg);
    size_t head = head_of(msg, body, HEAD_BYTES_MAX);

    if (body + head > MESSAGE_BYTES_MAX)
        return head > HEAD_BYTES_MAX && body <= MESSAGE_BYTES_MAX - HEAD_BYTES_MAX ? 513 : 413;
    return head > HEAD_BYTES_MAX ? 513 : 0;
}

bool
size_is_response_huge(msg_t *msg)
{
    size_t body = body_of(msg);

    return head_of(msg, body, HEAD_BYTES_MAX) + body > RESPONSE_BYTES_MAX;
}

void
size_lift(msg_t *msg)
{
    msg_maxsize(msg, ENCODE_BYTES_MAX);
}
