#include "peer-protocol/identity/identity.h"

#include <assert.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "peer-protocol/identity/certificate.h"
#include "peer-protocol/identity/openssl.h"
#include "peer-protocol/identity/pem.h"
#include "peer-protocol/identity/remembered.h"
#include "peer-protocol/identity/tls.h"

#define OVERLAY_BYTES       128
#define REMEMBERED_MAX      8192
#define SIGNATURE_MAX_BYTES 512 /* RSA 4096 */
#define WHOLE_BYTES         (5 + OPENSSL_SHA256_BYTES)

#define JUDGED_MAX 4 /* contexts of another library */

struct identity {
    char overlay[OVERLAY_BYTES];
    struct certificate *own;
    X509_STORE *anchors;
    struct remembered remembered;
    struct revoked revoked;
    struct list_node connections; /* those whose certificate was good; tls.c */
    char folder[PEM_PATH_BYTES];
    EVP_PKEY *key;
    EVP_PKEY_CTX *sign;
    EVP_MD *sha256; /* fetched once: doing so at each message costs as much as hashing it */
    EVP_MD_CTX *digest;
    SSL_CTX *tls;
    SSL_CTX *judged[JUDGED_MAX]; /* they show our certificate, too */
    size_t judged_count;
    struct list_node former;              /* certificates of ours, by used */
    uint8_t signer_identity[WHOLE_BYTES]; /* our SignerIdentity as on the wire */
    uint8_t signature[SIGNATURE_MAX_BYTES];
};

/* ---- certificates ------------------------------------------------------------------------------
 */

static struct certificate *
find(struct identity *i, struct slice hash)
{
    if (slice_equal(hash, slice_of(i->own->hash, sizeof(i->own->hash))))
        return i->own;
    list_each(at, &i->former)
    {
        struct certificate *c = list_entry(at, struct certificate, used);
        if (slice_equal(hash, slice_of(c->hash, sizeof(c->hash))))
            return c;
    }
    return remembered_get(&i->remembered, hash);
}

/* Time goes on, and serial numbers are revoked: asked again at each use. */
static enum status
check_use(const struct identity *i, const struct certificate *c, uint64_t at_wall_ms,
          int *ret_error, struct why *why)
{
    if (revoked_has(&i->revoked, &c->serial)) {
        if (ret_error)
            *ret_error = X509_V_ERR_CERT_REVOKED;
        return why_set(why, ST_SIGNATURE, "the certificate of %s is revoked", c->signer.user);
    }
    if (ret_error)
        *ret_error = X509_V_ERR_CERT_HAS_EXPIRED;
    return certificate_check_time(c, at_wall_ms, why);
}

/* Check a certificate that is not remembered yet, and remember it. */
static enum status
admit(struct identity *i, struct slice der, uint64_t at_wall_ms, struct certificate **ret,
      int *ret_error, struct why *why)
{
    struct certificate *c = NULL;
    enum status st = certificate_new(der, i->anchors, i->overlay, at_wall_ms, &c, ret_error, why);

    if (st == ST_OK)
        st = remembered_add(&i->remembered, c);
    if (st == ST_OK)
        *ret = c;
    return st;
}

/* A certificate in DER that is valid at this time, checked now or earlier. */
static enum status
certificate_of(struct identity *i, struct slice der, uint64_t at_wall_ms, struct certificate **ret,
               int *ret_error, struct why *why)
{
    uint8_t hash[OPENSSL_SHA256_BYTES];
    enum status st = openssl_sha256(der.data, der.len, hash);

    if (st != ST_OK)
        return st;
    struct certificate *c = find(i, slice_of(hash, sizeof(hash)));
    if (!c)
        st = admit(i, der, at_wall_ms, &c, ret_error, why);
    if (st == ST_OK)
        st = check_use(i, c, at_wall_ms, ret_error, why);
    if (st == ST_OK)
        *ret = c;
    return st;
}

enum status
identity_check(struct identity *i, struct slice der, uint64_t at_wall_ms, struct signer *ret,
               struct why *why)
{
    struct certificate *c = NULL;
    enum status st = certificate_of(i, der, at_wall_ms, &c, NULL, why);

    if (st == ST_OK)
        *ret = c->signer;
    return st;
}

enum status
identity_of_tls(struct identity *i, SSL *ssl, struct signer *ret, struct why *why)
{
    struct slice der = {NULL, 0};
    enum status st = tls_peer(ssl, &der, why);

    if (st == ST_OK)
        st = identity_check(i, der, openssl_wall_ms(), ret, why);
    slice_free(&der);
    return st;
}

static enum status
check_tls(void *ctx, struct slice der, int *ret_error, struct why *why)
{
    struct certificate *c;

    return certificate_of(ctx, der, openssl_wall_ms(), &c, ret_error, why);
}

/* ---- struct security_ops ------------------------------------------------------------------------
 */

static bool
digest_of(struct identity *i, struct slice input, struct slice signer_identity,
          uint8_t out[OPENSSL_SHA256_BYTES])
{
    return EVP_DigestInit_ex2(i->digest, i->sha256, NULL) == 1 &&
           EVP_DigestUpdate(i->digest, input.data, input.len) == 1 &&
           EVP_DigestUpdate(i->digest, signer_identity.data, signer_identity.len) == 1 &&
           EVP_DigestFinal_ex(i->digest, out, NULL) == 1;
}

/* RFC 6940 section 6.3.4: a certificate with one Node-ID is named by cert_hash. */
static enum status
sign(void *ctx, struct slice input, struct signature *ret)
{
    struct identity *i = ctx;
    struct slice whole = slice_of(i->signer_identity, sizeof(i->signer_identity));
    uint8_t digest[OPENSSL_SHA256_BYTES];
    size_t len = sizeof(i->signature);

    if (!digest_of(i, input, whole, digest) ||
        EVP_PKEY_sign(i->sign, i->signature, &len, digest, sizeof(digest)) != 1) {
        openssl_reason();
        return ST_NOMEM;
    }
    *ret = (struct signature){.hash = HASH_SHA256,
                              .algorithm = i->own->algorithm,
                              .identity_type = SIGNER_CERT_HASH,
                              .identity_hash = HASH_SHA256,
                              .identity = slice_of(i->own->hash, sizeof(i->own->hash)),
                              .identity_whole = whole,
                              .value = slice_of(i->signature, len)};
    return ST_OK;
}

static bool
is_ours(const struct signature *s)
{
    return s->identity_type == SIGNER_CERT_HASH && s->identity_hash == HASH_SHA256 &&
           s->identity.len == OPENSSL_SHA256_BYTES;
}

/* The one certificate of a message's bucket that @hash names.  The others cost us their hash only,
 * whatever a stranger puts there. */
static enum status
find_among(struct identity *i, struct slice certificates, struct slice hash, uint64_t at_wall_ms,
           struct certificate **ret, struct why *why)
{
    struct reader r;
    struct slice der;

    reader_init(&r, certificates);
    while (certificate_read(&r, &der)) {
        uint8_t found[OPENSSL_SHA256_BYTES];
        enum status st = openssl_sha256(der.data, der.len, found);
        if (st != ST_OK)
            return st;
        if (slice_equal(hash, slice_of(found, sizeof(found))))
            return admit(i, der, at_wall_ms, ret, NULL, why);
    }
    return why_set(why, ST_NOT_FOUND, "the signer's certificate is not known");
}

static enum status
verify(void *ctx, const struct signature *s, struct slice input, struct slice certificates,
       uint64_t at_wall_ms, struct signer *ret, struct why *why)
{
    struct identity *i = ctx;
    uint8_t digest[OPENSSL_SHA256_BYTES];
    enum status st;

    if (!is_ours(s))
        return why_set(why, ST_SIGNATURE,
                       s->identity_type == SIGNER_NONE ? "not signed"
                                                       : "the signer is not named by SHA-256");
    struct certificate *c = find(i, s->identity);
    st = c ? ST_OK : find_among(i, certificates, s->identity, at_wall_ms, &c, why);
    if (st == ST_OK && certificate_check_time(c, at_wall_ms, why) != ST_OK)
        return ST_TOO_OLD; /* no harm is meant: its node may have a new one soon */
    if (st == ST_OK)
        st = check_use(i, c, at_wall_ms, NULL, why);
    if (st != ST_OK)
        return st;
    if (s->hash != HASH_SHA256 || s->algorithm != c->algorithm)
        return why_set(why, ST_SIGNATURE, "signature algorithm %u,%u does not fit the key", s->hash,
                       s->algorithm);
    if (!digest_of(i, input, s->identity_whole, digest))
        return why_set(why, ST_NOMEM, "%s", openssl_reason());
    st = certificate_verify(c, digest, s->value, why);
    if (st == ST_OK)
        *ret = c->signer;
    return st;
}

static void
certificate_for(void *ctx, const struct signature *s, struct writer *w)
{
    struct identity *i = ctx;
    struct certificate *c = is_ours(s) ? find(i, s->identity) : NULL;

    if (c)
        certificate_write(w, c->der);
}

static bool
digest(void *ctx, struct slice first, struct slice second, uint8_t ret[DIGEST_BYTES])
{
    return digest_of(ctx, first, second, ret);
}

static void
sha1_of(struct slice name, uint8_t out[OPENSSL_SHA1_BYTES])
{
    enum status st = openssl_sha1(name.data, name.len, out);

    assert(st == ST_OK); /* a library without SHA-1 cannot serve RELOAD at all */
}

static void
resource_id(void *ctx, struct slice name, struct id *ret)
{
    uint8_t hash[OPENSSL_SHA1_BYTES];

    (void)ctx;
    sha1_of(name, hash);
    memcpy(ret->bytes, hash, ID_BYTES);
}

static uint32_t
overlay_hash(void *ctx, struct slice name)
{
    uint8_t hash[OPENSSL_SHA1_BYTES];
    struct reader r;

    (void)ctx;
    sha1_of(name, hash);
    reader_init(&r, slice_of(hash + OPENSSL_SHA1_BYTES - 4, 4));
    return reader_u32(&r);
}

struct keys
identity_keys(struct identity *i)
{
    static const struct security_ops ops = {.sign = sign,
                                            .verify = verify,
                                            .certificate_for = certificate_for,
                                            .resource_id = resource_id,
                                            .digest = digest,
                                            .overlay_hash = overlay_hash};

    return (struct keys){&ops, i};
}

/* ---- life --------------------------------------------------------------------------------------
 */

static enum status
read_anchors(struct identity *i, const char *folder, struct why *why)
{
    char path[PEM_PATH_BYTES];
    enum status st = pem_path(folder, "ca.pem", path, why);

    if (st != ST_OK)
        return st;
    if (!pem_exists(folder, "ca.pem"))
        return why_set(why, ST_IO, "%s: not there", path);
    i->anchors = X509_STORE_new();
    if (!i->anchors)
        return ST_NOMEM;
    if (X509_STORE_load_file(i->anchors, path) != 1)
        return why_set(why, ST_SIGNATURE, "%s: not a certificate: %s", path, openssl_reason());
    return ST_OK;
}

static void
warn_of_open_key(const char *folder)
{
    char path[PEM_PATH_BYTES];
    struct stat file;

    if (pem_path(folder, "key.pem", path, NULL) == ST_OK && stat(path, &file) == 0 &&
        (file.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        log_write(LOG_LEVEL_WARN, "identity", "%s can be read by others (mode %o): chmod 600", path,
                  (unsigned)file.st_mode & 0777u);
}

static enum status
read_own(struct identity *i, const char *folder, X509 *x, struct why *why)
{
    struct why cause = {""};
    unsigned char *der = NULL;
    int len = i2d_X509(x, &der);

    if (len <= 0)
        return ST_NOMEM;
    enum status st = certificate_new(slice_of(der, (size_t)len), i->anchors, i->overlay,
                                     openssl_wall_ms(), &i->own, NULL, &cause);
    OPENSSL_free(der);
    if (st != ST_OK)
        return why_set(why, st, "%s/cert.pem: %s", folder,
                       cause.text[0] ? cause.text : status_text(st));
    if (X509_check_private_key(x, i->key) != 1) {
        openssl_reason();
        return why_set(why, ST_SIGNATURE, "%s/key.pem: not the key of cert.pem", folder);
    }
    return ST_OK;
}

/* RFC 6940 section 6.3.4: u8 type, u16 length, u8 hash algorithm, opaque hash<0..2^8-1>. */
static void
write_signer_identity(struct identity *i)
{
    static const uint8_t head[5] = {SIGNER_CERT_HASH, 0, 2 + OPENSSL_SHA256_BYTES, HASH_SHA256,
                                    OPENSSL_SHA256_BYTES};

    memcpy(i->signer_identity, head, sizeof(head));
    memcpy(i->signer_identity + sizeof(head), i->own->hash, OPENSSL_SHA256_BYTES);
}

static enum status
prepare(struct identity *i, struct why *why)
{
    i->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    i->digest = EVP_MD_CTX_new();
    i->sign = EVP_PKEY_CTX_new(i->key, NULL);
    if (!i->sha256 || !i->digest || !i->sign || EVP_PKEY_sign_init(i->sign) <= 0 ||
        !certificate_prepare(i->sign, i->own->algorithm))
        return why_set(why, ST_NOMEM, "%s", openssl_reason());
    write_signer_identity(i);
    return remembered_init(&i->remembered, identity_random(), REMEMBERED_MAX);
}

static enum status
load(struct identity *i, const char *folder, struct why *why)
{
    struct tls_check check = {i, check_tls, &i->connections};
    X509 *x = NULL;
    enum status st = read_anchors(i, folder, why);

    if (st == ST_OK)
        st = revoked_read(folder, &i->revoked, why);
    if (st == ST_OK)
        st = pem_read_certificate(folder, "cert.pem", &x, why);
    if (st == ST_OK)
        st = pem_read_key(folder, "key.pem", &i->key, why);
    if (st == ST_OK)
        st = read_own(i, folder, x, why);
    if (st == ST_OK)
        st = prepare(i, why);
    if (st == ST_OK)
        st = tls_new(x, i->key, &check, &i->tls, why);
    X509_free(x);
    return st;
}

enum status
identity_load(const char *folder, const char *overlay, struct identity **ret_identity,
              struct why *why)
{
    if (strlen(overlay) >= OVERLAY_BYTES)
        return why_set(why, ST_RANGE, "%.32s...: too long for an overlay's name", overlay);
    struct identity *i = calloc(1, sizeof(*i));
    if (!i)
        return ST_NOMEM;
    list_init(&i->connections);
    list_init(&i->former);
    memcpy(i->overlay, overlay, strlen(overlay) + 1);
    snprintf(i->folder, sizeof(i->folder), "%s", folder);
    enum status st = load(i, folder, why);
    if (st != ST_OK) {
        identity_free(i);
        return st;
    }
    warn_of_open_key(folder);
    *ret_identity = i;
    return ST_OK;
}

void
identity_free(struct identity *i)
{
    if (!i)
        return;
    tls_forget(&i->connections);
    while (!list_is_empty(&i->former)) {
        struct certificate *c = list_entry(i->former.next, struct certificate, used);
        list_remove(&c->used);
        certificate_free(c);
    }
    while (i->judged_count > 0)
        SSL_CTX_free(i->judged[--i->judged_count]);
    SSL_CTX_free(i->tls);
    revoked_done(&i->revoked);
    remembered_done(&i->remembered);
    certificate_free(i->own);
    EVP_PKEY_CTX_free(i->sign);
    EVP_MD_CTX_free(i->digest);
    EVP_MD_free(i->sha256);
    EVP_PKEY_free(i->key);
    X509_STORE_free(i->anchors);
    free(i);
}

const struct id *
identity_node(const struct identity *i)
{
    return &i->own->signer.node;
}

const char *
identity_user(const struct identity *i)
{
    return i->own->signer.user;
}

struct slice
identity_certificate(const struct identity *i)
{
    return i->own->der;
}

SSL_CTX *
identity_tls(struct identity *i)
{
    return i->tls;
}

bool
identity_tls_judge(struct identity *i, SSL_CTX *tls)
{
    struct tls_check check = {i, check_tls, &i->connections};

    if (tls_judge(tls, &check) != ST_OK)
        return false;
    if (i->judged_count < JUDGED_MAX && SSL_CTX_up_ref(tls) == 1)
        i->judged[i->judged_count++] = tls;
    return true;
}

/* ---- renewal ---- */

uint64_t
identity_valid_until_ms(const struct identity *i)
{
    return i->own->not_after_ms;
}

uint64_t
identity_valid_from_ms(const struct identity *i)
{
    return i->own->not_before_ms;
}

static enum status
check_same(const struct identity *i, const struct identity *fresh, struct why *why)
{
    if (!id_equal(&i->own->signer.node, &fresh->own->signer.node))
        return why_set(why, ST_SIGNATURE, "%s/cert.pem: another Node-ID than before", i->folder);
    if (strcmp(i->own->signer.user, fresh->own->signer.user) != 0)
        return why_set(why, ST_SIGNATURE, "%s/cert.pem: user name %s, before it was %s", i->folder,
                       fresh->own->signer.user, i->own->signer.user);
    return ST_OK;
}

static enum status
show_renewed(struct identity *i, const struct identity *fresh, struct why *why)
{
    X509 *x = SSL_CTX_get0_certificate(fresh->tls);
    enum status st = tls_show(i->tls, x, fresh->key, why);

    for (size_t k = 0; st == ST_OK && k < i->judged_count; k++)
        st = tls_show(i->judged[k], x, fresh->key, why);
    return st;
}

#define SWAP(type, a, b)                                                                           \
    do {                                                                                           \
        type swapped = (a);                                                                        \
        (a) = (b);                                                                                 \
        (b) = swapped;                                                                             \
    } while (0)

enum status
identity_renew(struct identity *i, bool *ret_is_new, struct why *why)
{
    struct identity *fresh = NULL;
    enum status st = identity_load(i->folder, i->overlay, &fresh, why);
    bool is_new;

    if (st != ST_OK)
        return st;
    is_new = memcmp(fresh->own->hash, i->own->hash, sizeof(i->own->hash)) != 0;
    st = check_same(i, fresh, why);
    if (st == ST_OK && is_new)
        st = show_renewed(i, fresh, why);
    if (st == ST_OK) {
        *ret_is_new = is_new;
        SWAP(X509_STORE *, i->anchors, fresh->anchors);
    }
    if (st == ST_OK && is_new) {
        SWAP(EVP_PKEY *, i->key, fresh->key);
        SWAP(EVP_PKEY_CTX *, i->sign, fresh->sign);
        list_append(&i->former, &i->own->used);
        i->own = fresh->own;
        fresh->own = NULL;
        write_signer_identity(i);
    }
    identity_free(fresh);
    return st;
}

enum status
identity_reread_revoked(struct identity *i, struct why *why)
{
    struct revoked fresh;
    enum status st = revoked_read(i->folder, &fresh, why);

    if (st != ST_OK)
        return st;
    revoked_done(&i->revoked);
    i->revoked = fresh;
    unsigned ended = tls_end_revoked(&i->connections, &i->revoked);
    if (i->revoked.count > 0 || ended > 0)
        log_write(LOG_LEVEL_INFO, "identity",
                  "%s/revoked: %zu serial numbers, %u connections ended", i->folder,
                  i->revoked.count, ended);
    return ST_OK;
}

void
identity_set_limit(struct identity *i, size_t certificates)
{
    remembered_set_limit(&i->remembered, certificates);
}
