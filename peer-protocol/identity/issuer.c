#include "peer-protocol/identity/issuer.h"

#include <openssl/ec.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>

#define DAY_S           86400L
#define SKEW_S          3600L /* clocks of an overlay may differ; a new certificate works at once */
#define SERIAL_BYTES    16
#define EXTENSION_BYTES 1024

EVP_PKEY *
issuer_key(enum key_type type)
{
    if (type == KEY_RSA_2048)
        return EVP_RSA_gen(2048);
    return EVP_EC_gen("P-256");
}

/* RFC 5280 section 4.1.2.2: positive, unique, at most 20 bytes. */
static bool
set_serial(X509 *certificate)
{
    unsigned char bytes[SERIAL_BYTES];

    if (RAND_bytes(bytes, sizeof(bytes)) != 1)
        return false;
    bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40);
    BIGNUM *number = BN_bin2bn(bytes, sizeof(bytes), NULL);
    bool is_set = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
    BN_free(number);
    return is_set;
}

static bool
add(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;

    X509V3_set_ctx(&ctx, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool is_added = extension && X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return is_added;
}

static X509 *
begin(EVP_PKEY *key)
{
    X509 *certificate = X509_new();

    if (!certificate)
        return NULL;
    if (X509_set_version(certificate, X509_VERSION_3) == 1 && set_serial(certificate) &&
        X509_set_pubkey(certificate, key) == 1 &&
        X509_gmtime_adj(X509_getm_notBefore(certificate), -SKEW_S))
        return certificate;
    X509_free(certificate);
    return NULL;
}

static bool
set_end(X509 *certificate, unsigned days)
{
    return X509_time_adj_ex(X509_getm_notAfter(certificate), (int)days, 0, NULL) != NULL;
}

X509 *
issuer_root(EVP_PKEY *key, const char *common_name, unsigned days)
{
    X509 *root = begin(key);

    if (!root)
        return NULL;
    X509_NAME *name = X509_get_subject_name(root);
    if (set_end(root, days) &&
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)common_name,
                                   -1, -1, 0) == 1 &&
        X509_set_issuer_name(root, name) == 1 &&
        add(root, root, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
        add(root, root, NID_key_usage, "critical,keyCertSign,cRLSign") &&
        add(root, root, NID_subject_key_identifier, "hash") &&
        X509_sign(root, key, EVP_sha256()) > 0)
        return root;
    X509_free(root);
    return NULL;
}

/* Names go in as objects, not as configuration text: nothing in them can be taken for syntax. */
static bool
push_name(GENERAL_NAMES *names, int type, const char *text)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *value = ASN1_IA5STRING_new();

    if (!name || !value || ASN1_STRING_set(value, text, -1) != 1)
        goto fail;
    GENERAL_NAME_set0_value(name, type, value);
    value = NULL;
    if (sk_GENERAL_NAME_push(names, name) <= 0)
        goto fail;
    return true;

fail:
    ASN1_IA5STRING_free(value);
    GENERAL_NAME_free(name);
    return false;
}

/* RFC 6940 sections 11.3 and 14.15: the Node-ID is a destination list of one entry, type node (1),
 * length 16, in hexadecimal.  RFC 5280 section 4.1.2.6: critical, since the subject is empty. */
static bool
add_names(X509 *certificate, const struct issuer_node *node)
{
    char hex[ID_TEXT_BYTES];
    char uri[EXTENSION_BYTES];
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    int len =
        snprintf(uri, sizeof(uri), "reload://0110%s@%s/", id_text(&node->node, hex), node->overlay);

    bool is_added =
        names && len > 0 && len < (int)sizeof(uri) && push_name(names, GEN_URI, uri) &&
        push_name(names, GEN_EMAIL, node->user) &&
        (!node->sip_uri || push_name(names, GEN_URI, node->sip_uri)) &&
        X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 1, X509V3_ADD_DEFAULT) == 1;
    GENERAL_NAMES_free(names);
    return is_added;
}

static bool
set_end_within(X509 *certificate, unsigned days, X509 *root)
{
    if (!set_end(certificate, days))
        return false;
    if (ASN1_TIME_compare(X509_get0_notAfter(certificate), X509_get0_notAfter(root)) <= 0)
        return true;
    return X509_set1_notAfter(certificate, X509_get0_notAfter(root)) == 1;
}

X509 *
issuer_certificate(X509 *root, EVP_PKEY *root_key, EVP_PKEY *key, const struct issuer_node *node)
{
    X509 *certificate = begin(key);
    const char *usage = EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA
                            ? "critical,digitalSignature,keyEncipherment"
                            : "critical,digitalSignature";

    if (!certificate)
        return NULL;
    if (set_end_within(certificate, node->days, root) &&
        X509_set_issuer_name(certificate, X509_get_subject_name(root)) == 1 &&
        add(certificate, root, NID_basic_constraints, "critical,CA:FALSE") &&
        add(certificate, root, NID_key_usage, usage) &&
        add(certificate, root, NID_ext_key_usage, "serverAuth,clientAuth") &&
        add(certificate, root, NID_subject_key_identifier, "hash") &&
        add(certificate, root, NID_authority_key_identifier, "keyid:always") &&
        add_names(certificate, node) && X509_sign(certificate, root_key, EVP_sha256()) > 0)
        return certificate;
    X509_free(certificate);
    return NULL;
}
