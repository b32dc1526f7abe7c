#include "gateway/sip/tls_leak.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

/* identity/ marks what it and HTTP own; a program without it (a test) has no marked object. */
extern bool identity_tls_is_marked(const SSL *ssl) __attribute__((weak));

/* Any function of the SIP library: where it is loaded. */
extern void tls_library_symbol(void) __asm__("nta_agent_create");

static atomic_uint_least64_t freed;

/** The names of one certificate, as the library was handed them and will not free them. */
static _Thread_local struct {
    const X509V3_EXT_METHOD *method; /* OpenSSL's */
    X509V3_EXT_METHOD shown;         /* the same, with our i2v */
    void *extension;
    STACK_OF(CONF_VALUE) * values;
} names;

/* OpenSSL's own function of a name that is defined here too. */
static void *
following(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

/* Is @caller code of the SIP library?  OpenSSL calls some of these functions itself. */
static bool
is_library(const void *caller)
{
    Dl_info it;
    Dl_info library;

    return dladdr(caller, &it) && dladdr((const void *)(uintptr_t)&tls_library_symbol, &library) &&
           it.dli_fbase == library.dli_fbase;
}

static void
free_names(void)
{
    if (names.values)
        sk_CONF_VALUE_pop_free(names.values, X509V3_conf_free);
    if (names.extension && names.method->it)
        ASN1_item_free(names.extension, ASN1_ITEM_ptr(names.method->it));
    names.values = NULL;
    names.extension = NULL;
}

static STACK_OF(CONF_VALUE) *
    note_values(const X509V3_EXT_METHOD *method, void *extension, STACK_OF(CONF_VALUE) * list)
{
    STACK_OF(CONF_VALUE) *values = names.method->i2v(names.method, extension, list);

    (void)method;
    if (!list)
        names.values = values;
    return values;
}

const X509V3_EXT_METHOD *
X509V3_EXT_get(X509_EXTENSION *extension)
{
    const X509V3_EXT_METHOD *(*get)(X509_EXTENSION *);
    const X509V3_EXT_METHOD *method;

    *(void **)&get = following("X509V3_EXT_get"); /* POSIX's way from an object pointer */
    method = get ? get(extension) : NULL;
    if (!method || !method->i2v || !is_library(__builtin_return_address(0)))
        return method;
    free_names();
    names.method = method;
    names.shown = *method;
    names.shown.i2v = note_values;
    return &names.shown;
}

void *
X509V3_EXT_d2i(X509_EXTENSION *extension)
{
    void *(*d2i)(X509_EXTENSION *);
    void *decoded;

    *(void **)&d2i = following("X509V3_EXT_d2i");
    decoded = d2i ? d2i(extension) : NULL;
    if (names.method && !names.extension && is_library(__builtin_return_address(0)))
        names.extension = decoded;
    return decoded;
}

int
SSL_shutdown(SSL *ssl)
{
    int (*shutdown)(SSL *);
    int result;

    *(void **)&shutdown = following("SSL_shutdown");
    result = shutdown ? shutdown(ssl) : -1;
    if (identity_tls_is_marked && identity_tls_is_marked(ssl))
        return result;
    /* Right after this call the library lets go of the connection's BIO and of its SSL_CTX, which
     * are the SSL's to hold: it spends the SSL's references.  So they get one more of each. */
    BIO *bio = SSL_get_rbio(ssl);
    if (bio)
        BIO_up_ref(bio);
    SSL_CTX_up_ref(SSL_get_SSL_CTX(ssl));
    SSL_free(ssl);
    freed++;
    return result;
}

uint64_t
tls_leak_count(void)
{
    return freed;
}

void
tls_leak_end(void)
{
    free_names();
}
