#include "gateway/sip/tls_judge.h"

#include <dlfcn.h>

#include <openssl/ssl.h>

#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20" /* of TLS 1.2; those of 1.3 are all good */

/** The listener that this thread is adding; tls is NULL otherwise. */
static _Thread_local struct {
    const struct sip_tls *tls;
    bool is_global;
} adding;

void
tls_judge_begin(const struct sip_tls *tls, bool is_global)
{
    adding.tls = tls;
    adding.is_global = is_global;
}

void
tls_judge_end(void)
{
    adding.tls = NULL;
}

/* A phone shows no certificate: its side verifies nobody. */
static bool
set_up(SSL_CTX *ctx)
{
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1)
        return false;
    if (SSL_CTX_get_verify_mode(ctx) == SSL_VERIFY_NONE || !adding.tls->judge)
        return true;
    return adding.tls->judge(adding.tls->ctx, adding.is_global, ctx);
}

int
SSL_CTX_set_cipher_list(SSL_CTX *ctx, const char *list)
{
    int (*set)(SSL_CTX *, const char *);

    *(void **)&set = dlsym(RTLD_NEXT, "SSL_CTX_set_cipher_list");
    if (!set)
        return 0;
    if (!adding.tls)
        return set(ctx, list);
    return set_up(ctx) ? set(ctx, CIPHERS) : 0;
}
