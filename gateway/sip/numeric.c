#include "gateway/sip/numeric.h"

#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

static _Thread_local bool is_numeric;

void
numeric_only(bool is_on)
{
    is_numeric = is_on;
}

int
getaddrinfo(const char *restrict host, const char *restrict service,
            const struct addrinfo *restrict hints, struct addrinfo **restrict ret)
{
    static _Atomic(void *) found;
    int (*library_getaddrinfo)(const char *, const char *, const struct addrinfo *,
                               struct addrinfo **);
    struct addrinfo numeric = {.ai_family = AF_UNSPEC};
    void *at = found;

    if (!at) {
        at = dlsym(RTLD_NEXT, "getaddrinfo");
        found = at;
    }
    *(void **)&library_getaddrinfo = at; /* POSIX's way from an object pointer to a function */
    if (!is_numeric)
        return library_getaddrinfo(host, service, hints, ret);
    if (hints)
        numeric = *hints;
    numeric.ai_flags |= AI_NUMERICHOST | AI_NUMERICSERV;
    return library_getaddrinfo(host, service, &numeric, ret);
}

struct sres_query_s *sres_query(void *resolver, void *on_answer, void *ctx, uint16_t type,
                                const char *domain);

/* NULL is the library's word for a question that cannot be asked: the request fails at once. */
struct sres_query_s *
sres_query(void *resolver, void *on_answer, void *ctx, uint16_t type, const char *domain)
{
    (void)resolver;
    (void)on_answer;
    (void)ctx;
    (void)type;
    (void)domain;
    errno = ENETUNREACH;
    return NULL;
}
