#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/stat.h>

#include "peer-protocol/identity/issuer.h"
#include "peer-protocol/identity/openssl.h"
#include "peer-protocol/identity/remembered.h"
#include "tests/unit/credentials.h"

#define DAY_MS UINT64_C(86400000)

static struct identity *a, *b;
static struct writer bucket; /* the certificates that come along with a message */

static void
make_credentials(void)
{
    credentials_setup();
    credentials_init("ca", "pastry");
    credentials_init("other-ca", "pastry");
    credentials_init("can-ca", "can");
    credentials_issue("ca", "127.20.1.1", "a@pastry", KEY_ECDSA_P256, "a");
    credentials_issue("ca", "127.20.1.2", "b@pastry", KEY_RSA_2048, "b");
    credentials_issue("ca", "127.20.1.3", "c@pastry", KEY_ECDSA_P256, "c");
    credentials_issue("other-ca", "127.20.1.2", "b@pastry", KEY_ECDSA_P256, "stranger");
    credentials_issue("can-ca", "127.20.1.2", "b@can", KEY_ECDSA_P256, "can");
}

static void
setup(void)
{
    a = credentials_load("a", "pastry");
    b = credentials_load("b", "pastry");
    writer_init(&bucket, 100000);
}

static void
teardown(void)
{
    identity_free(a);
    identity_free(b);
    writer_done(&bucket);
}

static enum status
verify(struct identity *who, const struct signature *s, struct slice input, struct signer *ret)
{
    struct keys keys = identity_keys(who);
    struct why why = {""};

    return keys.ops->verify(keys.ctx, s, input, writer_slice(&bucket), openssl_wall_ms(), ret,
                            &why);
}

static struct signature
sign(struct identity *who, struct slice input)
{
    struct keys keys = identity_keys(who);
    struct signature s;

    ck_assert_int_eq(keys.ops->sign(keys.ctx, input, &s), ST_OK);
    return s;
}

START_TEST(test_who)
{
    struct id node;

    identity_node_of_address("127.20.1.1", &node);
    ck_assert(id_equal(identity_node(a), &node));
    ck_assert_str_eq(identity_user(a), "a@pastry");
}
END_TEST

/* echo -n 127.0.0.1:6084 | sha1sum; echo -n pastry | sha1sum */
START_TEST(test_hashes)
{
    struct keys keys = identity_keys(a);
    struct id node;
    struct id expected;
    struct id resource;

    identity_node_of_address("127.0.0.1:6084", &node);
    keys.ops->resource_id(keys.ctx, slice_text("127.0.0.1:6084"), &resource);
    ck_assert_int_eq(id_parse("3c7e68087bd6ff1315ca07697c37e817", &expected), ST_OK);
    ck_assert(id_equal(&node, &expected));
    ck_assert(id_equal(&resource, &expected));
    ck_assert_uint_eq(keys.ops->overlay_hash(keys.ctx, slice_text("pastry")), 0xf1b63d34u);
}
END_TEST

START_TEST(test_signature)
{
    static struct identity **const pair[][2] = {{&a, &b}, {&b, &a}};
    static const uint8_t algorithm[] = {SIGNATURE_ECDSA, SIGNATURE_RSA};

    for (unsigned i = 0; i < 2; i++) {
        struct identity *from = *pair[i][0];
        struct identity *to = *pair[i][1];
        struct signer signer = {.user = ""};
        struct signature s = sign(from, slice_text("a message"));
        ck_assert_uint_eq(s.hash, HASH_SHA256);
        ck_assert_uint_eq(s.algorithm, algorithm[i]);
        ck_assert_uint_eq(s.identity_type, SIGNER_CERT_HASH);
        /* RFC 6940 section 6.3.4: type, length, hash algorithm, the hash behind its length */
        ck_assert_uint_eq(s.identity_whole.len, 37);
        ck_assert_int_eq(memcmp(s.identity_whole.data, "\x01\x00\x22\x04\x20", 5), 0);
        ck_assert_int_eq(verify(to, &s, slice_text("a message"), &signer), ST_NOT_FOUND);
        writer_reset(&bucket);
        certificate_write(&bucket, identity_certificate(from));
        ck_assert_int_eq(verify(to, &s, slice_text("a message"), &signer), ST_OK);
        ck_assert(id_equal(&signer.node, identity_node(from)));
        ck_assert_str_eq(signer.user, identity_user(from));
        writer_reset(&bucket); /* it is remembered now */
        ck_assert_int_eq(verify(to, &s, slice_text("a message"), &signer), ST_OK);
        ck_assert_int_eq(verify(to, &s, slice_text("another one"), &signer), ST_SIGNATURE);
    }
}
END_TEST

START_TEST(test_changed_bytes)
{
    uint8_t value[600];
    uint8_t whole[64];
    struct signer signer;
    struct slice input = slice_text("a message");
    struct signature s = sign(b, input);

    certificate_write(&bucket, identity_certificate(b));
    ck_assert_int_eq(verify(a, &s, input, &signer), ST_OK);
    memcpy(value, s.value.data, s.value.len);
    struct signature changed = s;
    for (size_t i = 0; i < s.value.len; i += 7) {
        value[i] ^= 1;
        changed.value = slice_of(value, s.value.len);
        ck_assert_int_eq(verify(a, &changed, input, &signer), ST_SIGNATURE);
        value[i] ^= 1;
    }
    for (size_t len = 0; len < s.value.len; len += 13) {
        changed.value = slice_of(value, len);
        ck_assert_int_eq(verify(a, &changed, input, &signer), ST_SIGNATURE);
    }
    changed = s; /* the SignerIdentity is signed too */
    memcpy(whole, s.identity_whole.data, s.identity_whole.len);
    whole[36] ^= 1;
    changed.identity_whole = slice_of(whole, s.identity_whole.len);
    ck_assert_int_eq(verify(a, &changed, input, &signer), ST_SIGNATURE);
}
END_TEST

START_TEST(test_other_algorithms)
{
    struct signer signer;
    struct slice input = slice_text("a message");
    struct signature good = sign(b, input);
    struct signature s;

    certificate_write(&bucket, identity_certificate(b));
    s = good;
    s.algorithm = SIGNATURE_ECDSA;
    ck_assert_int_eq(verify(a, &s, input, &signer), ST_SIGNATURE);
    s = good;
    s.hash = HASH_SHA1;
    ck_assert_int_eq(verify(a, &s, input, &signer), ST_SIGNATURE);
    s = good;
    s.identity_type = SIGNER_NONE;
    ck_assert_int_eq(verify(a, &s, input, &signer), ST_SIGNATURE);
    s = good;
    s.identity_hash = HASH_SHA1;
    ck_assert_int_eq(verify(a, &s, input, &signer), ST_SIGNATURE);
    s = good;
    s.identity.len = 20;
    ck_assert_int_eq(verify(a, &s, input, &signer), ST_SIGNATURE);
    s = signature_none();
    ck_assert_int_eq(verify(a, &s, input, &signer), ST_SIGNATURE);
}
END_TEST

START_TEST(test_stranger_signs)
{
    struct identity *stranger = credentials_load("stranger", "pastry");
    struct signer signer;
    struct signature s = sign(stranger, slice_text("x"));

    certificate_write(&bucket, slice_text("no certificate at all"));
    certificate_write(&bucket, identity_certificate(b));
    certificate_write(&bucket, identity_certificate(stranger));
    ck_assert_int_eq(verify(a, &s, slice_text("x"), &signer), ST_SIGNATURE);
    s = sign(b, slice_text("x"));
    ck_assert_int_eq(verify(a, &s, slice_text("x"), &signer), ST_OK);
    identity_free(stranger);
}
END_TEST

START_TEST(test_bucket_cut_off)
{
    struct signer signer;
    struct signature s = sign(b, slice_text("x"));

    certificate_write(&bucket, identity_certificate(b));
    for (size_t len = 0; len < bucket.len; len++) {
        struct keys keys = identity_keys(a);
        ck_assert_int_eq(keys.ops->verify(keys.ctx, &s, slice_text("x"), slice_of(bucket.data, len),
                                          openssl_wall_ms(), &signer, NULL),
                         ST_NOT_FOUND);
    }
    ck_assert_int_eq(verify(a, &s, slice_text("x"), &signer), ST_OK);
}
END_TEST

START_TEST(test_time)
{
    struct slice der = identity_certificate(b);
    struct signer signer;
    struct why why = {""};
    uint64_t now = openssl_wall_ms();

    ck_assert_int_eq(identity_check(a, der, now + 400 * DAY_MS, &signer, &why), ST_SIGNATURE);
    ck_assert_int_eq(identity_check(a, der, now - DAY_MS, &signer, &why), ST_SIGNATURE);
    ck_assert_int_eq(identity_check(a, der, now, &signer, &why), ST_OK);
    /* the same once it is remembered */
    ck_assert_int_eq(identity_check(a, der, now + 400 * DAY_MS, &signer, &why), ST_SIGNATURE);
    ck_assert_ptr_nonnull(strstr(why.text, "expired"));
    ck_assert_int_eq(identity_check(a, der, now - DAY_MS, &signer, &why), ST_SIGNATURE);
    ck_assert_ptr_nonnull(strstr(why.text, "not yet"));
    ck_assert_int_eq(identity_check(a, der, now + 364 * DAY_MS, &signer, &why), ST_OK);
    /* a message of one whose time is over is no forgery */
    struct keys keys = identity_keys(a);
    struct signature by_b = sign(b, slice_text("x"));
    ck_assert_int_eq(keys.ops->verify(keys.ctx, &by_b, slice_text("x"), writer_slice(&bucket),
                                      now + 400 * DAY_MS, &signer, &why),
                     ST_TOO_OLD);
}
END_TEST

START_TEST(test_remembering_is_bounded)
{
    struct identity *c = credentials_load("c", "pastry");
    struct signer signer;
    struct writer out;
    struct keys keys = identity_keys(a);
    uint64_t now = openssl_wall_ms();

    writer_init(&out, 100000);
    identity_set_limit(a, 1);
    ck_assert_int_eq(identity_check(a, identity_certificate(b), now, &signer, NULL), ST_OK);
    struct signature by_b = sign(b, slice_text("x"));
    ck_assert_int_eq(verify(a, &by_b, slice_text("x"), &signer), ST_OK);
    keys.ops->certificate_for(keys.ctx, &by_b, &out);
    ck_assert_uint_eq(out.len, 3 + identity_certificate(b).len);
    ck_assert_int_eq(identity_check(a, identity_certificate(c), now, &signer, NULL), ST_OK);
    ck_assert_int_eq(verify(a, &by_b, slice_text("x"), &signer), ST_NOT_FOUND);
    writer_reset(&out);
    keys.ops->certificate_for(keys.ctx, &by_b, &out);
    ck_assert_uint_eq(out.len, 0);
    /* our own does not count and does not go */
    struct signature by_a = sign(a, slice_text("x"));
    ck_assert_int_eq(verify(a, &by_a, slice_text("x"), &signer), ST_OK);
    keys.ops->certificate_for(keys.ctx, &by_a, &out);
    ck_assert_uint_eq(out.len, 3 + identity_certificate(a).len);
    writer_done(&out);
    identity_free(c);
}
END_TEST

/* ---- certificates that are not as they should be -------------------------------------------- */

struct authority_at_hand {
    X509 *root;
    EVP_PKEY *root_key;
    EVP_PKEY *key;
};

static struct authority_at_hand
authority_at_hand(void)
{
    struct authority_at_hand at_hand = {.key = issuer_key(KEY_ECDSA_P256)};
    FILE *file = fopen(credentials_path("ca/ca-key.pem"), "r");

    at_hand.root_key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    fclose(file);
    file = fopen(credentials_path("ca/ca.pem"), "r");
    at_hand.root = PEM_read_X509(file, NULL, NULL, NULL);
    fclose(file);
    ck_assert(at_hand.key && at_hand.root && at_hand.root_key);
    return at_hand;
}

static void
authority_away(struct authority_at_hand *at_hand)
{
    EVP_PKEY_free(at_hand->key);
    EVP_PKEY_free(at_hand->root_key);
    X509_free(at_hand->root);
}

/* A certificate of our authority whose subjectAltName is what the configuration text says. */
static enum status
check_names(const struct authority_at_hand *at_hand, const char *names, struct why *why)
{
    struct issuer_node node = {.overlay = "pastry", .user = "a@pastry", .days = 1};
    struct signer signer;
    unsigned char *der = NULL;

    node.node.bytes[0] = 1;
    X509 *x = issuer_certificate(at_hand->root, at_hand->root_key, at_hand->key, &node);
    ck_assert_ptr_nonnull(x);
    X509_EXTENSION_free(X509_delete_ext(x, X509_get_ext_by_NID(x, NID_subject_alt_name, -1)));
    if (names) {
        X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);
        ck_assert_ptr_nonnull(extension);
        X509_add_ext(x, extension, -1);
        X509_EXTENSION_free(extension);
    }
    ck_assert_int_gt(X509_sign(x, at_hand->root_key, EVP_sha256()), 0);
    int len = i2d_X509(x, &der);
    enum status st = identity_check(a, slice_of(der, (size_t)len), openssl_wall_ms(), &signer, why);
    OPENSSL_free(der);
    X509_free(x);
    return st;
}

#define HEX  "00112233445566778899aabbccddeeff"
#define URI  "URI:reload://0110" HEX "@pastry/"
#define USER ",email:a@pastry"

START_TEST(test_names)
{
    static const char *const good[] = {URI USER, URI ",email:overlay@pastry,URI:sip:pastry",
                                       "URI:RELOAD://0110" HEX "@PASTRY/" USER,
                                       URI USER ",DNS:pastry"};
    static const char *const bad[] = {
        NULL,
        URI,
        "email:a@pastry",
        URI USER ",email:b@pastry",
        URI ",URI:reload://0110ff" HEX "@pastry/" USER,
        URI "," URI USER,
        "URI:reload://0110" HEX "@can/" USER,
        "URI:reload://0110" HEX "@pastry" USER,
        "URI:reload://0110" HEX "@pastry/x" USER,
        "URI:reload://0110" HEX "@pastry.example/" USER,
        "URI:reload://" HEX "@pastry/" USER,
        "URI:reload://0210" HEX "@pastry/" USER,
        "URI:reload://011000112233445566778899aabbccddeexx@pastry/" USER,
        "URI:reload://011000000000000000000000000000000000@pastry/" USER,
        "URI:reload://0110ffffffffffffffffffffffffffffffff@pastry/" USER,
        "URI:reload:" USER,
        "URI:sip:pastry" USER,
        URI USER ",URI:sip:pastry",
        URI ",email:overlay@pastry,URI:sip:pastry,URI:sip:can",
        URI ",email:overlay@pastry,URI:sip:can,URI:sip:pastry",
        URI ",email:overlay@pastry,URI:sip:can",
        URI ",email:overlay@pastry,URI:sip:",
    };
    struct authority_at_hand at_hand = authority_at_hand();
    struct why why;

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        ck_assert_msg(check_names(&at_hand, good[i], &why) == ST_OK, "%s: %s", good[i], why.text);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        why.text[0] = '\0';
        ck_assert_msg(check_names(&at_hand, bad[i], &why) == ST_SIGNATURE, "%s",
                      bad[i] ? bad[i] : "no names");
        ck_assert_msg(why.text[0] != '\0', "%s", bad[i] ? bad[i] : "no names");
    }
    authority_away(&at_hand);
}
END_TEST

/* One certificate of our authority with another value of one extension. */
static enum status
check_extension(const struct authority_at_hand *at_hand, int nid, const char *value)
{
    struct issuer_node node = {.overlay = "pastry", .user = "a@pastry", .days = 1};
    struct why why = {""};
    struct signer signer;
    unsigned char *der = NULL;

    node.node.bytes[0] = 1;
    X509 *x = issuer_certificate(at_hand->root, at_hand->root_key, at_hand->key, &node);
    ck_assert_ptr_nonnull(x);
    X509_EXTENSION_free(X509_delete_ext(x, X509_get_ext_by_NID(x, nid, -1)));
    if (value) {
        X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
        ck_assert_ptr_nonnull(extension);
        X509_add_ext(x, extension, -1);
        X509_EXTENSION_free(extension);
    }
    ck_assert_int_gt(X509_sign(x, at_hand->root_key, EVP_sha256()), 0);
    int len = i2d_X509(x, &der);
    enum status st =
        identity_check(a, slice_of(der, (size_t)len), openssl_wall_ms(), &signer, &why);
    OPENSSL_free(der);
    X509_free(x);
    ck_assert(st == ST_OK || why.text[0]);
    return st;
}

START_TEST(test_purpose)
{
    static const struct {
        int nid;
        const char *value;
        enum status st;
    } as[] = {
        {NID_ext_key_usage, NULL, ST_OK}, /* RFC 5280 section 4.2.1.12: for anything */
        {NID_ext_key_usage, "clientAuth,serverAuth,emailProtection", ST_OK},
        {NID_ext_key_usage, "clientAuth", ST_SIGNATURE},
        {NID_ext_key_usage, "serverAuth", ST_SIGNATURE},
        {NID_ext_key_usage, "codeSigning", ST_SIGNATURE},
        {NID_key_usage, "keyEncipherment", ST_SIGNATURE},
        {NID_key_usage, "digitalSignature,keyCertSign", ST_SIGNATURE},
        {NID_key_usage, "digitalSignature,cRLSign", ST_SIGNATURE},
        {NID_basic_constraints, "CA:FALSE", ST_OK},
        {NID_basic_constraints, "CA:TRUE", ST_SIGNATURE},
        {NID_basic_constraints, "critical,CA:TRUE,pathlen:0", ST_SIGNATURE},
    };
    struct authority_at_hand at_hand = authority_at_hand();

    for (size_t i = 0; i < sizeof(as) / sizeof(as[0]); i++)
        ck_assert_msg(check_extension(&at_hand, as[i].nid, as[i].value) == as[i].st, "%s",
                      as[i].value ? as[i].value : "none");
    authority_away(&at_hand);
}
END_TEST

static struct signature
signed_by(struct identity *who, struct slice input)
{
    struct keys keys = identity_keys(who);
    struct signature s;

    ck_assert_int_eq(keys.ops->sign(keys.ctx, input, &s), ST_OK);
    return s;
}

/* Another key, another certificate, the same node: what others remember of it stays good. */
START_TEST(test_renewed)
{
    struct identity *mine;
    struct slice former, text = slice_text("x");
    struct why why = {""};
    struct signer signer;
    struct signature s;
    bool is_new = true;
    X509 *x;

    credentials_issue("ca", "127.20.1.9", "r@pastry", KEY_ECDSA_P256, "r");
    mine = credentials_load("r", "pastry");
    former = identity_certificate(mine);
    ck_assert_int_eq(identity_renew(mine, &is_new, &why), ST_OK);
    ck_assert(!is_new);
    credentials_issue("ca", "127.20.1.9", "r@pastry", KEY_RSA_2048, "r");
    ck_assert_int_eq(identity_renew(mine, &is_new, &why), ST_OK);
    ck_assert(is_new);
    ck_assert(!slice_equal(former, identity_certificate(mine)));
    ck_assert_int_eq(identity_check(a, former, openssl_wall_ms(), &signer, NULL), ST_OK);
    ck_assert_int_eq(
        identity_check(a, identity_certificate(mine), openssl_wall_ms(), &signer, NULL), ST_OK);
    s = signed_by(mine, text);
    ck_assert_int_eq(verify(a, &s, text, &signer), ST_OK);
    ck_assert_str_eq(signer.user, "r@pastry");
    x = SSL_CTX_get0_certificate(identity_tls(mine));
    ck_assert_int_eq(X509_check_private_key(x, SSL_CTX_get0_privatekey(identity_tls(mine))), 1);
    ck_assert_uint_gt(identity_valid_until_ms(mine), openssl_wall_ms() + 364 * DAY_MS);

    /* what cannot be taken leaves all as it was */
    credentials_issue("ca", "127.20.1.8", "r@pastry", KEY_ECDSA_P256, "r");
    ck_assert_int_eq(identity_renew(mine, &is_new, &why), ST_SIGNATURE);
    ck_assert_ptr_nonnull(strstr(why.text, "another Node-ID"));
    credentials_issue("ca", "127.20.1.9", "other@pastry", KEY_ECDSA_P256, "r");
    ck_assert_int_eq(identity_renew(mine, &is_new, &why), ST_SIGNATURE);
    ck_assert_ptr_nonnull(strstr(why.text, "user name other@pastry"));
    unlink(credentials_path("r/key.pem"));
    ck_assert_int_ne(identity_renew(mine, &is_new, &why), ST_OK);
    s = signed_by(mine, text);
    ck_assert_int_eq(verify(a, &s, text, &signer), ST_OK);
    identity_free(mine);
}
END_TEST

static void
write_revoked(const char *text)
{
    FILE *file = fopen(credentials_path("a/revoked"), "w");

    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

/* b's serial number in the form that "openssl x509 -serial" prints, or with colons. */
static void
serial_text(char out[64], bool has_colons)
{
    const unsigned char *at = identity_certificate(b).data;
    X509 *x = d2i_X509(NULL, &at, (long)identity_certificate(b).len);
    const ASN1_INTEGER *number = X509_get0_serialNumber(x);
    size_t len = 0;

    for (int i = 0; i < ASN1_STRING_length(number); i++)
        len += (size_t)snprintf(out + len, 64 - len, has_colons && i > 0 ? ":%02x" : "%02X",
                                ASN1_STRING_get0_data(number)[i]);
    X509_free(x);
}

START_TEST(test_revoked)
{
    struct slice der = identity_certificate(b);
    struct why why = {""};
    struct signer signer;
    char serial[64], text[256];

    ck_assert_int_eq(identity_check(a, der, openssl_wall_ms(), &signer, NULL), ST_OK);
    for (int form = 0; form < 2; form++) {
        serial_text(serial, form == 1);
        snprintf(text, sizeof(text), "# who is out\n\n 01ff \n%s # b\n", serial);
        write_revoked(text);
        ck_assert_int_eq(identity_reread_revoked(a, &why), ST_OK);
        ck_assert_int_eq(identity_check(a, der, openssl_wall_ms(), &signer, &why), ST_SIGNATURE);
        ck_assert_ptr_nonnull(strstr(why.text, "is revoked"));
        write_revoked("");
        ck_assert_int_eq(identity_reread_revoked(a, &why), ST_OK);
        ck_assert_int_eq(identity_check(a, der, openssl_wall_ms(), &signer, &why), ST_OK);
    }
    write_revoked(text);
    ck_assert_int_eq(identity_reread_revoked(a, &why), ST_OK);
    static const char *const bad[] = {
        "00\nxyz\n", "01\n01 02\n", "\n:01\n",
        "\n01:\n",   "\n1::2\n",    "\n0123456789012345678901234567890123456789ff\n"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        write_revoked(bad[i]);
        ck_assert_int_eq(identity_reread_revoked(a, &why), ST_MALFORMED);
        ck_assert_msg(strstr(why.text, "/revoked:2: expected") != NULL, "%s", why.text);
        ck_assert_int_eq(identity_check(a, der, openssl_wall_ms(), &signer, &why), ST_SIGNATURE);
    }
    unlink(credentials_path("a/revoked"));
    ck_assert_int_eq(identity_reread_revoked(a, &why), ST_OK);
    ck_assert_int_eq(identity_check(a, der, openssl_wall_ms(), &signer, &why), ST_OK);
}
END_TEST

START_TEST(test_garbage)
{
    struct slice der = identity_certificate(b);
    uint8_t bytes[2048];
    struct signer signer;

    ck_assert_uint_le(der.len, sizeof(bytes));
    memcpy(bytes, der.data, der.len);
    ck_assert_int_eq(identity_check(a, slice_of(NULL, 0), openssl_wall_ms(), &signer, NULL),
                     ST_SIGNATURE);
    for (size_t len = 1; len < der.len; len += 5)
        ck_assert_int_eq(identity_check(a, slice_of(bytes, len), openssl_wall_ms(), &signer, NULL),
                         ST_SIGNATURE);
    for (size_t i = 0; i < der.len; i++) {
        bytes[i] ^= 0x20;
        ck_assert_int_eq(
            identity_check(a, slice_of(bytes, der.len), openssl_wall_ms(), &signer, NULL),
            ST_SIGNATURE);
        bytes[i] ^= 0x20;
    }
    bytes[der.len] = 0;
    ck_assert_int_eq(
        identity_check(a, slice_of(bytes, der.len + 1), openssl_wall_ms(), &signer, NULL),
        ST_SIGNATURE);
}
END_TEST

/* ---- loading -------------------------------------------------------------------------------- */

static void
copy(const char *from, const char *to)
{
    char bytes[8192];
    FILE *in = fopen(credentials_path(from), "r");
    FILE *out = fopen(credentials_path(to), "w");

    ck_assert(in && out);
    size_t len = fread(bytes, 1, sizeof(bytes), in);
    ck_assert_uint_eq(fwrite(bytes, 1, len, out), len);
    fclose(in);
    fclose(out);
}

static void
expect_load(enum status expected, const char *overlay, const char *word)
{
    struct identity *i = NULL;
    struct why why = {""};

    ck_assert_int_eq(identity_load(credentials_path("d"), overlay, &i, &why), expected);
    ck_assert_ptr_null(i);
    ck_assert_msg(strstr(why.text, word) != NULL, "%s", why.text);
}

START_TEST(test_load_failures)
{
    credentials_issue("ca", "127.20.1.4", "d@pastry", KEY_ECDSA_P256, "d");
    expect_load(ST_SIGNATURE, "can", "another overlay");
    copy("a/key.pem", "d/key.pem");
    expect_load(ST_SIGNATURE, "pastry", "not the key of cert.pem");
    copy("a/cert.pem", "d/key.pem");
    expect_load(ST_SIGNATURE, "pastry", "d/key.pem: not an unencrypted private key");
    remove(credentials_path("d/key.pem"));
    expect_load(ST_IO, "pastry", "d/key.pem: No such file");
    credentials_issue("ca", "127.20.1.4", "d@pastry", KEY_ECDSA_P256, "d");
    copy("other-ca/ca.pem", "d/ca.pem");
    expect_load(ST_SIGNATURE, "pastry", "not of this overlay's authority");
    copy("d/key.pem", "d/ca.pem");
    expect_load(ST_SIGNATURE, "pastry", "d/ca.pem: not a certificate");
    remove(credentials_path("d/ca.pem"));
    expect_load(ST_IO, "pastry", "d/ca.pem");
    remove(credentials_path("d/cert.pem"));
    copy("ca/ca.pem", "d/ca.pem");
    expect_load(ST_IO, "pastry", "d/cert.pem: No such file");
}
END_TEST

/* A key that others can read is warned of and loaded. */
START_TEST(test_open_key)
{
    credentials_issue("ca", "127.20.1.4", "d@pastry", KEY_ECDSA_P256, "d");
    ck_assert_int_eq(chmod(credentials_path("d/key.pem"), 0644), 0);
    struct identity *d = credentials_load("d", "pastry");
    ck_assert_str_eq(identity_user(d), "d@pastry");
    identity_free(d);
}
END_TEST

/* ---- TLS ------------------------------------------------------------------------------------ */

static bool
handshake(SSL *client, SSL *server)
{
    BIO *one, *other;

    BIO_new_bio_pair(&one, 0, &other, 0);
    SSL_set_bio(client, one, one);
    SSL_set_bio(server, other, other);
    SSL_set_connect_state(client);
    SSL_set_accept_state(server);
    for (unsigned i = 0; i < 10; i++) {
        SSL_do_handshake(client);
        SSL_do_handshake(server);
    }
    openssl_reason();
    return SSL_is_init_finished(client) && SSL_is_init_finished(server);
}

START_TEST(test_tls)
{
    struct signer signer;
    SSL *client = SSL_new(identity_tls(a));
    SSL *server = SSL_new(identity_tls(b));

    ck_assert_int_eq(identity_of_tls(a, client, &signer, NULL), ST_SIGNATURE);
    ck_assert(!identity_tls_is_marked(client));
    ck_assert(identity_tls_mark(client));
    ck_assert(identity_tls_is_marked(client));
    ck_assert(!identity_tls_is_marked(server));
    ck_assert(handshake(client, server));
    ck_assert_int_eq(identity_of_tls(a, client, &signer, NULL), ST_OK);
    ck_assert_str_eq(signer.user, "b@pastry");
    ck_assert_int_eq(identity_of_tls(b, server, &signer, NULL), ST_OK);
    ck_assert(id_equal(&signer.node, identity_node(a)));
    ck_assert_str_eq(identity_tls_refusal(client), "");
    SSL_free(client);
    SSL_free(server);
}
END_TEST

START_TEST(test_tls_of_a_stranger)
{
    struct identity *stranger = credentials_load("stranger", "pastry");
    SSL *client = SSL_new(identity_tls(a));
    SSL *server = SSL_new(identity_tls(stranger));

    ck_assert(identity_tls_mark(client));
    ck_assert(!handshake(client, server));
    ck_assert_str_eq(identity_tls_refusal(client), "not of this overlay's authority");
    SSL_free(client);
    SSL_free(server);
    identity_free(stranger);
}
END_TEST

START_TEST(test_key_log)
{
    struct stat st;

    setenv("SSLKEYLOGFILE", credentials_path("keys.log"), 1);
    struct identity *i = credentials_load("a", "pastry");
    unsetenv("SSLKEYLOGFILE");
    SSL *client = SSL_new(identity_tls(i));
    SSL *server = SSL_new(identity_tls(b));
    ck_assert(handshake(client, server));
    SSL_free(client);
    SSL_free(server);
    identity_free(i);
    ck_assert_int_eq(stat(credentials_path("keys.log"), &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
    char line[512];
    FILE *file = fopen(credentials_path("keys.log"), "r");
    bool has_secret = false;
    while (fgets(line, sizeof(line), file))
        has_secret = has_secret || strncmp(line, "CLIENT_TRAFFIC_SECRET_0 ", 24) == 0;
    fclose(file);
    ck_assert(has_secret);
}
END_TEST

START_TEST(test_random)
{
    uint8_t bytes[10000] = {0};
    unsigned zeros = 0;

    identity_random_bytes(bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++)
        zeros += bytes[i] == 0;
    ck_assert_uint_lt(zeros, 200);
    ck_assert_uint_ne(identity_random(), identity_random());
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("identity");
    TCase *c = tcase_create("identity");

    tcase_set_timeout(c, 60);
    tcase_add_unchecked_fixture(c, make_credentials, credentials_teardown);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, test_who);
    tcase_add_test(c, test_hashes);
    tcase_add_test(c, test_signature);
    tcase_add_test(c, test_changed_bytes);
    tcase_add_test(c, test_other_algorithms);
    tcase_add_test(c, test_stranger_signs);
    tcase_add_test(c, test_bucket_cut_off);
    tcase_add_test(c, test_time);
    tcase_add_test(c, test_remembering_is_bounded);
    tcase_add_test(c, test_names);
    tcase_add_test(c, test_garbage);
    tcase_add_test(c, test_purpose);
    tcase_add_test(c, test_renewed);
    tcase_add_test(c, test_revoked);
    tcase_add_test(c, test_load_failures);
    tcase_add_test(c, test_open_key);
    tcase_add_test(c, test_tls);
    tcase_add_test(c, test_tls_of_a_stranger);
    tcase_add_test(c, test_key_log);
    tcase_add_test(c, test_random);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
