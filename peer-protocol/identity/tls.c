#include "peer-protocol/identity/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "peer-protocol/identity/identity.h"
#include "peer-protocol/identity/openssl.h"

#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20" /* TLS 1.2; those of 1.3 are all good */

/** What hangs on a context: its owner's check, and the key log (-1: none). */
struct tls {
    struct tls_check check;
    int key_log;
};

/** What hangs on a connection that is marked as ours. */
struct tls_mark {
    struct why refusal;
};

/** A connection whose certificate was good. */
struct tls_shown {
    struct list_node at;
    SSL *ssl;
    struct serial serial;
};

static struct {
    pthread_once_t once;
    int tls;   /* index of struct tls on an SSL_CTX */
    int mark;  /* index of struct tls_mark on an SSL */
    int shown; /* index of struct tls_shown on an SSL */
} slots = {.once = PTHREAD_ONCE_INIT};

static void
free_tls(void *parent, void *ptr, CRYPTO_EX_DATA *data, int index, long number, void *arg)
{
    struct tls *t = ptr;

    (void)parent;
    (void)data;
    (void)index;
    (void)number;
    (void)arg;
    if (t && t->key_log >= 0)
        close(t->key_log);
    free(t);
}

static void
free_mark(void *parent, void *ptr, CRYPTO_EX_DATA *data, int index, long number, void *arg)
{
    (void)parent;
    (void)data;
    (void)index;
    (void)number;
    (void)arg;
    free(ptr);
}

static void
free_shown(void *parent, void *ptr, CRYPTO_EX_DATA *data, int index, long number, void *arg)
{
    struct tls_shown *shown = ptr;

    (void)parent;
    (void)data;
    (void)index;
    (void)number;
    (void)arg;
    if (shown)
        list_remove(&shown->at);
    free(shown);
}

static void
make_slots(void)
{
    slots.shown = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_shown);
    slots.tls = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_tls);
    slots.mark = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_mark);
}

bool
identity_tls_mark(SSL *ssl)
{
    pthread_once(&slots.once, make_slots);
    struct tls_mark *mark = calloc(1, sizeof(*mark));
    if (mark && SSL_set_ex_data(ssl, slots.mark, mark) == 1)
        return true;
    free(mark);
    return false;
}

bool
identity_tls_is_marked(const SSL *ssl)
{
    pthread_once(&slots.once, make_slots);
    return SSL_get_ex_data(ssl, slots.mark) != NULL;
}

const char *
identity_tls_refusal(const SSL *ssl)
{
    const struct tls_mark *mark = SSL_get_ex_data(ssl, slots.mark);

    return mark ? mark->refusal.text : "";
}

static enum status
der_of(X509 *x, struct slice *ret)
{
    unsigned char *der = NULL;
    int len = i2d_X509(x, &der);

    if (len <= 0)
        return ST_NOMEM;
    enum status st = slice_copy(slice_of(der, (size_t)len), ret);
    OPENSSL_free(der);
    return st;
}

static enum status
keep_shown(const struct tls *t, SSL *ssl, const X509 *x)
{
    struct tls_shown *shown = SSL_get_ex_data(ssl, slots.shown);

    if (!shown) {
        shown = calloc(1, sizeof(*shown));
        if (!shown)
            return ST_NOMEM;
        if (SSL_set_ex_data(ssl, slots.shown, shown) != 1) {
            free(shown);
            return ST_NOMEM;
        }
        list_append(t->check.connections, &shown->at);
    }
    shown->ssl = ssl;
    shown->serial = serial_of(x);
    return ST_OK;
}

unsigned
tls_end_revoked(struct list_node *connections, const struct revoked *revoked)
{
    unsigned ended = 0;

    list_each(at, connections)
    {
        struct tls_shown *shown = list_entry(at, struct tls_shown, at);
        int fd = SSL_get_fd(shown->ssl);
        if (fd < 0 || !revoked_has(revoked, &shown->serial))
            continue;
        shutdown(fd, SHUT_RDWR); /* its owner, whoever that is, sees the end */
        ended++;
    }
    return ended;
}

void
tls_forget(struct list_node *connections)
{
    list_each(at, connections) list_remove(at);
}

static int
on_verify(X509_STORE_CTX *store, void *arg)
{
    struct tls *t = arg;
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_mark *mark = SSL_get_ex_data(ssl, slots.mark);
    X509 *x = X509_STORE_CTX_get0_cert(store);
    struct slice der = {NULL, 0};
    struct why why = {""};
    int error = X509_V_ERR_OUT_OF_MEM;

    enum status st = x ? der_of(x, &der) : ST_SIGNATURE;
    if (st == ST_OK)
        st = t->check.check(t->check.ctx, der, &error, &why);
    if (st == ST_OK && keep_shown(t, ssl, x) != ST_OK) {
        st = ST_NOMEM;
        error = X509_V_ERR_OUT_OF_MEM;
    }
    slice_free(&der);
    if (mark)
        mark->refusal = why;
    else if (st != ST_OK) /* a library's, which would say nothing of it */
        log_write(LOG_LEVEL_REMOTE, "identity", "TLS: certificate rejected: %s",
                  why.text[0] ? why.text : status_text(st));
    X509_STORE_CTX_set_error(store, st == ST_OK ? X509_V_OK : error);
    return st == ST_OK;
}

static void
on_key_log(const SSL *ssl, const char *line)
{
    const struct tls *t = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), slots.tls);
    char out[512];
    int len = snprintf(out, sizeof(out), "%s\n", line);

    /* One write a line: other processes append to the same file. */
    if (len > 0 && len < (int)sizeof(out) && write(t->key_log, out, (size_t)len) != len)
        log_write(LOG_LEVEL_WARN, "identity", "key log: %s", strerror(errno));
}

static void
open_key_log(struct tls *t, SSL_CTX *ctx)
{
    static atomic_flag is_told = ATOMIC_FLAG_INIT;
    const char *file = getenv("SSLKEYLOGFILE");

    if (!file || file[0] == '\0')
        return;
    t->key_log = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (t->key_log < 0) {
        log_write(LOG_LEVEL_ERROR, "identity", "SSLKEYLOGFILE %s: %s", file, strerror(errno));
        return;
    }
    SSL_CTX_set_keylog_callback(ctx, on_key_log);
    if (!atomic_flag_test_and_set(&is_told))
        log_write(
            LOG_LEVEL_WARN, "identity",
            "SSLKEYLOGFILE is set: the keys of all links are written to %s, and whoever reads "
            "it can read the overlay's traffic",
            file);
}

static bool
set_up(SSL_CTX *ctx, X509 *certificate, EVP_PKEY *key)
{
    static const unsigned char session_context[] = "reload";

    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    /* One ticket is sent all the same: with TLS 1.3 it tells the client that it was accepted. */
    SSL_CTX_set_num_tickets(ctx, 1);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_cipher_list(ctx, CIPHERS) == 1 &&
           SSL_CTX_set_session_id_context(ctx, session_context, sizeof(session_context) - 1) == 1 &&
           SSL_CTX_use_certificate(ctx, certificate) == 1 &&
           SSL_CTX_use_PrivateKey(ctx, key) == 1 && SSL_CTX_check_private_key(ctx) == 1;
}

enum status
tls_new(X509 *certificate, EVP_PKEY *key, const struct tls_check *check, SSL_CTX **ret,
        struct why *why)
{
    pthread_once(&slots.once, make_slots);
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    struct tls *t = calloc(1, sizeof(*t));
    enum status st = ST_NOMEM;

    if (!ctx || !t)
        goto fail;
    *t = (struct tls){.check = *check, .key_log = -1};
    if (SSL_CTX_set_ex_data(ctx, slots.tls, t) != 1)
        goto fail;
    SSL_CTX_set_cert_verify_callback(ctx, on_verify, t);
    open_key_log(t, ctx);
    t = NULL; /* the context's now */
    if (!set_up(ctx, certificate, key)) {
        st = why_set(why, ST_SIGNATURE, "cannot be used for TLS: %s", openssl_reason());
        goto fail;
    }
    *ret = ctx;
    return ST_OK;

fail:
    free(t);
    SSL_CTX_free(ctx);
    return st;
}

enum status
tls_show(SSL_CTX *ctx, X509 *certificate, EVP_PKEY *key, struct why *why)
{
    if (SSL_CTX_use_certificate(ctx, certificate) != 1 || SSL_CTX_use_PrivateKey(ctx, key) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1)
        return why_set(why, ST_SIGNATURE, "cannot be used for TLS: %s", openssl_reason());
    return ST_OK;
}

enum status
tls_judge(SSL_CTX *ctx, const struct tls_check *check)
{
    pthread_once(&slots.once, make_slots);
    struct tls *t = calloc(1, sizeof(*t));

    if (!t)
        return ST_NOMEM;
    *t = (struct tls){.check = *check, .key_log = -1};
    if (SSL_CTX_set_ex_data(ctx, slots.tls, t) != 1) {
        free(t);
        return ST_NOMEM;
    }
    SSL_CTX_set_cert_verify_callback(ctx, on_verify, t);
    return ST_OK;
}

enum status
tls_peer(const SSL *ssl, struct slice *ret_der, struct why *why)
{
    X509 *x = SSL_get0_peer_certificate(ssl);

    if (!x)
        return why_set(why, ST_SIGNATURE, "no certificate");
    return der_of(x, ret_der);
}

enum status
identity_key_of_tls(const SSL *ssl, uint8_t ret[IDENTITY_KEY_BYTES])
{
    X509 *x = SSL_get0_peer_certificate(ssl);
    unsigned len = 0;

    if (!x || X509_pubkey_digest(x, EVP_sha256(), ret, &len) != 1 || len != IDENTITY_KEY_BYTES)
        return ST_SIGNATURE;
    return ST_OK;
}
