#include "peer-protocol/identity/certificate.h"

#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define URI_SCHEME    "reload:"
#define URI_START     "reload://0110"
#define URI_START_LEN (sizeof(URI_START) - 1)
#define RSA_BITS_MIN  2048
#define RSA_BITS_MAX  4096 /* more is a way to make us work */

static struct slice
text_of(const ASN1_STRING *text)
{
    return slice_of(ASN1_STRING_get0_data(text), (size_t)ASN1_STRING_length(text));
}

/* RFC 6940 section 14.15: reload://0110NODE-ID@OVERLAY/ */
static enum status
read_uri(struct slice uri, const char *overlay, struct id *ret_node, struct why *why)
{
    char hex[ID_TEXT_BYTES];
    size_t overlay_len = strlen(overlay);
    struct id node;

    if (uri.len < URI_START_LEN + ID_TEXT_BYTES ||
        strncasecmp((const char *)uri.data, URI_START, URI_START_LEN) != 0 ||
        uri.data[URI_START_LEN + ID_TEXT_BYTES - 1] != '@')
        return why_set(why, ST_SIGNATURE, "the URI holds no Node-ID");
    memcpy(hex, uri.data + URI_START_LEN, ID_TEXT_BYTES - 1);
    hex[ID_TEXT_BYTES - 1] = '\0';
    if (memchr(hex, 0, ID_TEXT_BYTES - 1) || id_parse(hex, &node) != ST_OK || id_is_zero(&node) ||
        id_is_wildcard(&node))
        return why_set(why, ST_SIGNATURE, "the URI holds no valid Node-ID");
    struct slice rest =
        slice_of(uri.data + URI_START_LEN + ID_TEXT_BYTES, uri.len - URI_START_LEN - ID_TEXT_BYTES);
    if (rest.len != overlay_len + 1 || rest.data[overlay_len] != '/' ||
        strncasecmp((const char *)rest.data, overlay, overlay_len) != 0)
        return why_set(why, ST_SIGNATURE, "the Node-ID is of another overlay than %s", overlay);
    *ret_node = node;
    return ST_OK;
}

static bool
has_scheme(struct slice uri, const char *scheme)
{
    size_t len = strlen(scheme);

    return uri.len >= len && strncasecmp((const char *)uri.data, scheme, len) == 0;
}

/* RFC 5922 section 7.1: the SIP domain a certificate speaks for; one, as it has one user name. */
static enum status
read_domain(struct slice uri, unsigned *domains, char out[USER_NAME_BYTES], struct why *why)
{
    struct slice name = slice_of(uri.data + 4, uri.len - 4);

    if (++*domains > 1)
        return why_set(why, ST_SIGNATURE, "more than one SIP domain");
    if (name.len == 0 || slice_to_text(name, out, USER_NAME_BYTES) != ST_OK)
        return why_set(why, ST_SIGNATURE, "the SIP domain is not valid");
    return ST_OK;
}

/* What a certificate of an authority is for, and what it is not (RFC 5280
 * sections 4.2.1.3, 4.2.1.9, 4.2.1.12): a node's key signs messages and serves both roles of TLS,
 * and certifies nobody. */
static enum status
check_purpose(X509 *x, struct why *why)
{
    uint32_t extended = X509_get_extended_key_usage(x);
    uint32_t usage = X509_get_key_usage(x);

    if (X509_get_extension_flags(x) & (EXFLAG_CA | EXFLAG_INVALID))
        return why_set(why, ST_SIGNATURE, "the certificate of an authority is no node's");
    if (!(usage & KU_DIGITAL_SIGNATURE))
        return why_set(why, ST_SIGNATURE, "the key is not for signatures");
    if (usage != UINT32_MAX && (usage & (KU_KEY_CERT_SIGN | KU_CRL_SIGN)))
        return why_set(why, ST_SIGNATURE, "the key is an authority's");
    if (!(extended & XKU_SSL_SERVER) || !(extended & XKU_SSL_CLIENT))
        return why_set(why, ST_SIGNATURE, "the key is not for both ends of TLS");
    return ST_OK;
}

/* RFC 6940 section 11.3: one Node-ID, exactly one user name; URIs of other schemes are not ours. */
static enum status
read_names(const GENERAL_NAMES *names, const char *overlay, struct signer *ret, struct why *why)
{
    unsigned nodes = 0;
    unsigned users = 0;
    unsigned domains = 0;
    char domain[USER_NAME_BYTES] = "";
    enum status st = ST_OK;

    for (int i = 0; st == ST_OK && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == GEN_URI) {
            struct slice uri = text_of(name->d.uniformResourceIdentifier);
            bool is_reload = has_scheme(uri, URI_SCHEME);
            bool is_sip = has_scheme(uri, "sip:");
            if (is_sip)
                st = read_domain(uri, &domains, domain, why);
            if (!is_reload)
                continue;
            nodes++;
            st = read_uri(uri, overlay, &ret->node, why);
        } else if (name->type == GEN_EMAIL) {
            users++;
            if (slice_to_text(text_of(name->d.rfc822Name), ret->user, sizeof(ret->user)) != ST_OK ||
                ret->user[0] == '\0')
                st = why_set(why, ST_SIGNATURE, "the user name is not valid");
        }
    }
    if (st == ST_OK && nodes != 1)
        st = why_set(why, ST_SIGNATURE, nodes ? "more than one Node-ID" : "no Node-ID");
    if (st == ST_OK && users != 1)
        st = why_set(why, ST_SIGNATURE, users ? "more than one user name" : "no user name");
    if (st == ST_OK && domains > 0 &&
        (strncmp(ret->user, "overlay@", 8) != 0 || strcasecmp(ret->user + 8, domain) != 0))
        st = why_set(why, ST_SIGNATURE, "its SIP domain %s is not that of its user name", domain);
    return st;
}

static enum status
read_signer(X509 *x, const char *overlay, struct signer *ret, struct why *why)
{
    if (X509_NAME_entry_count(X509_get_subject_name(x)) != 0)
        return why_set(why, ST_SIGNATURE, "the subject is not empty");
    if (check_purpose(x, why) != ST_OK)
        return ST_SIGNATURE;
    GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    if (!names)
        return why_set(why, ST_SIGNATURE, "no subjectAltName, so no Node-ID");
    enum status st = read_names(names, overlay, ret, why);
    GENERAL_NAMES_free(names);
    return st;
}

uint8_t
certificate_algorithm(EVP_PKEY *key)
{
    int bits = EVP_PKEY_get_bits(key);

    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_EC:
        return bits >= 256 && bits <= 521 ? SIGNATURE_ECDSA : 0;
    case EVP_PKEY_RSA:
        return bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX ? SIGNATURE_RSA : 0;
    default:
        return 0;
    }
}

bool
certificate_prepare(EVP_PKEY_CTX *ctx, uint8_t algorithm)
{
    if (algorithm == SIGNATURE_RSA && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) <= 0)
        return false;
    return EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) > 0;
}

static enum status
read_key(struct certificate *c, X509 *x, struct why *why)
{
    EVP_PKEY *key = X509_get0_pubkey(x);

    c->algorithm = key ? certificate_algorithm(key) : 0;
    if (c->algorithm == 0)
        return why_set(why, ST_SIGNATURE, "its key is neither ECDSA nor RSA of a usual length");
    c->verify = EVP_PKEY_CTX_new(key, NULL);
    if (!c->verify || EVP_PKEY_verify_init(c->verify) <= 0 ||
        !certificate_prepare(c->verify, c->algorithm))
        return why_set(why, ST_NOMEM, "%s", openssl_reason());
    return ST_OK;
}

static uint64_t
wall_ms_of(const ASN1_TIME *time, uint64_t otherwise)
{
    struct tm tm;

    if (ASN1_TIME_to_tm(time, &tm) != 1)
        return otherwise;
    time_t s = timegm(&tm);
    return s < 0 ? 0 : (uint64_t)s * 1000;
}

static void
narrow(struct certificate *c, const STACK_OF(X509) * chain)
{
    c->not_after_ms = UINT64_MAX;
    for (int i = 0; i < sk_X509_num(chain); i++) {
        const X509 *x = sk_X509_value(chain, i);
        uint64_t from_ms = wall_ms_of(X509_get0_notBefore(x), UINT64_MAX);
        uint64_t to_ms = wall_ms_of(X509_get0_notAfter(x), 0);
        if (from_ms > c->not_before_ms)
            c->not_before_ms = from_ms;
        if (to_ms < c->not_after_ms)
            c->not_after_ms = to_ms;
    }
}

static enum status
verify_chain(struct certificate *c, X509 *x, X509_STORE *anchors, uint64_t at_wall_ms,
             int *ret_error, struct why *why)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    enum status st = ST_OK;

    if (!ctx || X509_STORE_CTX_init(ctx, anchors, x, NULL) != 1) {
        st = why_set(why, ST_NOMEM, "%s", openssl_reason());
        goto out;
    }
    X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(ctx), (time_t)(at_wall_ms / 1000));
    if (X509_verify_cert(ctx) == 1) {
        narrow(c, X509_STORE_CTX_get0_chain(ctx));
        goto out;
    }
    int error = X509_STORE_CTX_get_error(ctx);
    if (ret_error)
        *ret_error = error;
    if (error == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
        error == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT)
        st = why_set(why, ST_SIGNATURE, "not of this overlay's authority");
    else
        st = why_set(why, ST_SIGNATURE, "%s", X509_verify_cert_error_string(error));
out:
    X509_STORE_CTX_free(ctx);
    return st;
}

static enum status
parse(struct slice der, X509 **ret, struct why *why)
{
    const unsigned char *at = der.data;

    if (der.len == 0 || der.len > CERTIFICATE_MAX_BYTES)
        return why_set(why, ST_SIGNATURE, "a certificate of %zu bytes", der.len);
    X509 *x = d2i_X509(NULL, &at, (long)der.len);
    if (x && at == der.data + der.len) {
        *ret = x;
        return ST_OK;
    }
    X509_free(x);
    return why_set(why, ST_SIGNATURE, "not a certificate: %s", openssl_reason());
}

enum status
certificate_new(struct slice der, X509_STORE *anchors, const char *overlay, uint64_t at_wall_ms,
                struct certificate **ret, int *ret_error, struct why *why)
{
    struct certificate *c = calloc(1, sizeof(*c));
    X509 *x = NULL;
    enum status st;

    if (ret_error)
        *ret_error = X509_V_ERR_APPLICATION_VERIFICATION;
    if (!c)
        return ST_NOMEM;
    list_init(&c->used);
    st = parse(der, &x, why);
    if (st == ST_OK)
        st = verify_chain(c, x, anchors, at_wall_ms, ret_error, why);
    if (st == ST_OK)
        st = read_signer(x, overlay, &c->signer, why);
    if (st == ST_OK)
        c->serial = serial_of(x);
    if (st == ST_OK)
        st = read_key(c, x, why);
    if (st == ST_OK)
        st = openssl_sha256(der.data, der.len, c->hash);
    if (st == ST_OK)
        st = slice_copy(der, &c->der);
    X509_free(x);
    if (st == ST_OK)
        *ret = c;
    else
        certificate_free(c);
    return st;
}

void
certificate_free(struct certificate *c)
{
    if (!c)
        return;
    list_remove(&c->used);
    EVP_PKEY_CTX_free(c->verify);
    slice_free(&c->der);
    free(c);
}

enum status
certificate_check_time(const struct certificate *c, uint64_t at_wall_ms, struct why *why)
{
    if (at_wall_ms < c->not_before_ms)
        return why_set(why, ST_SIGNATURE, "the certificate of %s is not yet valid", c->signer.user);
    if (at_wall_ms > c->not_after_ms)
        return why_set(why, ST_SIGNATURE, "the certificate of %s has expired", c->signer.user);
    return ST_OK;
}

enum status
certificate_verify(const struct certificate *c, const uint8_t digest[OPENSSL_SHA256_BYTES],
                   struct slice signature, struct why *why)
{
    if (EVP_PKEY_verify(c->verify, signature.data, signature.len, digest, OPENSSL_SHA256_BYTES) ==
        1)
        return ST_OK;
    openssl_reason(); /* empties the queue; a wrong signature has no further cause */
    return why_set(why, ST_SIGNATURE, "the signature of %s is wrong", c->signer.user);
}
