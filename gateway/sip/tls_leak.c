#include "gateway/sip/tls_leak.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <openssl/ssl.h>

/* identity/ marks what it and HTTP own; a program without it (a test) has no marked object. */
extern bool identity_tls_is_marked(const SSL *ssl) __attribute__((weak));

static atomic_uint_least64_t freed;

static int (*library_shutdown(void))(SSL *)
{
    static _Atomic(void *) found;
    void *at = found;
    int (*function)(SSL *);

    if (!at) {
        at = dlsym(RTLD_NEXT, "SSL_shutdown");
        found = at;
    }
    *(void **)&function = at; /* POSIX's way from an object pointer to a function */
    return function;
}

int
SSL_shutdown(SSL *ssl)
{
    int (*shutdown)(SSL *) = library_shutdown();
    int result = shutdown ? shutdown(ssl) : -1;

    if (identity_tls_is_marked && identity_tls_is_marked(ssl))
        return result;
    SSL_free(ssl);
    freed++;
    return result;
}

uint64_t
tls_leak_count(void)
{
    return freed;
}
