#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/stat.h>

#include "gateway/cli/ca.h"
#include "tests/unit/credentials.h"

static X509 *
read_certificate(const char *name)
{
    FILE *file = fopen(credentials_path(name), "r");

    ck_assert_ptr_nonnull(file);
    X509 *x = PEM_read_X509(file, NULL, NULL, NULL);
    fclose(file);
    ck_assert_ptr_nonnull(x);
    return x;
}

static mode_t
mode_of(const char *name)
{
    struct stat st;

    ck_assert_int_eq(stat(credentials_path(name), &st), 0);
    return st.st_mode & 0777;
}

START_TEST(test_root)
{
    credentials_init("ca", "bupt.pastry");
    X509 *root = read_certificate("ca/ca.pem");
    ck_assert_int_eq(X509_check_ca(root), 1);
    ck_assert_int_eq(X509_get_pathlen(root), 0);
    ck_assert_uint_eq(X509_get_key_usage(root), KU_KEY_CERT_SIGN | KU_CRL_SIGN);
    ck_assert_uint_eq(mode_of("ca/ca-key.pem"), 0600);
    X509_free(root);
}
END_TEST

START_TEST(test_second_init_is_refused)
{
    credentials_init("ca", "pastry");
    ck_assert_int_eq(authority_init(credentials_path("ca"), "pastry", 0, NULL), ST_EXISTS);
}
END_TEST

START_TEST(test_overlay_names)
{
    static const char *const bad[] = {"",   "Pastry", "pas try", "a..b", ".a",    "a.",
                                      "-a", "a-",     "a/b",     "a\n",  "a_b.c", "@"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_int_eq(authority_init(credentials_path("ca"), bad[i], 0, NULL), ST_RANGE);
    ck_assert_int_eq(authority_init(credentials_path("ca"), "pastry", 40000, NULL), ST_RANGE);
    ck_assert_int_eq(authority_init(credentials_path("ca"), "p2psip.global", 0, NULL), ST_OK);
}
END_TEST

static bool
has_name(X509 *x, int type, const char *text)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    bool is_found = false;

    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        const ASN1_STRING *value = GENERAL_NAME_get0_value(name, NULL);
        if (name->type == type && ASN1_STRING_length(value) == (int)strlen(text) &&
            memcmp(ASN1_STRING_get0_data(value), text, strlen(text)) == 0)
            is_found = true;
    }
    GENERAL_NAMES_free(names);
    return is_found;
}

static int
name_count(X509 *x)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    int count = sk_GENERAL_NAME_num(names);

    GENERAL_NAMES_free(names);
    return count;
}

/* RFC 6940 section 11.3: empty subject, the Node-ID and one user name.  The Node-ID is SHA-1 over
 * the address: echo -n 127.20.0.1:6084 | sha1sum */
START_TEST(test_node_certificate)
{
    credentials_init("ca", "pastry");
    credentials_issue("ca", "127.20.0.1:6084", "gw1.bupt@pastry", KEY_ECDSA_P256, "new/node");
    X509 *x = read_certificate("new/node/cert.pem");
    ck_assert_int_eq(X509_get_version(x), X509_VERSION_3);
    ck_assert_int_eq(X509_NAME_entry_count(X509_get_subject_name(x)), 0);
    ck_assert_int_eq(X509_EXTENSION_get_critical(
                         X509_get_ext(x, X509_get_ext_by_NID(x, NID_subject_alt_name, -1))),
                     1);
    struct id node;
    char hex[ID_TEXT_BYTES];
    char uri[128];
    identity_node_of_address("127.20.0.1:6084", &node);
    snprintf(uri, sizeof(uri), "reload://0110%s@pastry/", id_text(&node, hex));
    ck_assert(has_name(x, GEN_URI, uri));
    ck_assert(has_name(x, GEN_EMAIL, "gw1.bupt@pastry"));
    ck_assert_int_eq(name_count(x), 2);
    ck_assert_int_eq(X509_check_ca(x), 0);
    ck_assert_int_eq(EVP_PKEY_get_base_id(X509_get0_pubkey(x)), EVP_PKEY_EC);
    X509 *root = read_certificate("new/node/ca.pem");
    ck_assert_int_eq(X509_verify(x, X509_get0_pubkey(root)), 1);
    X509_free(root);
    X509_free(x);
}
END_TEST

START_TEST(test_gateway_certificate)
{
    credentials_init("ca", "p2psip.global");
    credentials_issue("ca", "127.20.0.1", "overlay@bupt.pastry", KEY_RSA_2048, "node");
    X509 *x = read_certificate("node/cert.pem");
    ck_assert(has_name(x, GEN_URI, "sip:bupt.pastry"));
    ck_assert(has_name(x, GEN_EMAIL, "overlay@bupt.pastry"));
    ck_assert_int_eq(name_count(x), 3);
    ck_assert_int_eq(EVP_PKEY_get_base_id(X509_get0_pubkey(x)), EVP_PKEY_RSA);
    ck_assert_int_eq(EVP_PKEY_get_bits(X509_get0_pubkey(x)), 2048);
    X509_free(x);
}
END_TEST

/* sofia-sip reads key and certificate from one file. */
START_TEST(test_files_for_sip)
{
    credentials_init("ca", "pastry");
    credentials_issue("ca", "127.20.0.1", "a@pastry", KEY_ECDSA_P256, "node");
    ck_assert_uint_eq(mode_of("node/key.pem"), 0600);
    ck_assert_uint_eq(mode_of("node/agent.pem"), 0600);
    X509 *x = read_certificate("node/agent.pem");
    FILE *file = fopen(credentials_path("node/agent.pem"), "r");
    EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    fclose(file);
    ck_assert_int_eq(X509_check_private_key(x, key), 1);
    EVP_PKEY_free(key);
    X509_free(x);
    X509_free(read_certificate("node/cafile.pem"));
}
END_TEST

START_TEST(test_addresses)
{
    static const char *const bad[] = {"",         "127.0.0",     "127.0.0.01",    "localhost",
                                      "1.2.3.4:", "1.2.3.4:0",   "1.2.3.4:65536", "1.2.3.4:07",
                                      "[::1]",    "[::1]:",      "2001:DB8::1",   "[1.2.3.4]:5",
                                      "0:0::1",   "1.2.3.4:5:6", "1.2.3.4 ",      "[::1:6084",
                                      ":6084",    "[]:6084"};
    static const char *const good[] = {"127.0.0.1", "127.0.0.1:1", "::1", "2001:db8::1",
                                       "[2001:db8::1]:65535"};
    struct authority_request request = {.user = "a@pastry"};

    credentials_init("ca", "pastry");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        request.address = bad[i];
        ck_assert_msg(authority_issue(credentials_path("ca"), &request, credentials_path("out"),
                                      NULL) == ST_RANGE,
                      "%s", bad[i]);
    }
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        credentials_issue("ca", good[i], "a@pastry", KEY_ECDSA_P256, "out");
}
END_TEST

START_TEST(test_users)
{
    static const char *const bad[] = {
        "",          "alice",     "@pastry",     "alice@",   "a b@pastry",       "a@b@c",
        ".a@pastry", "a.@pastry", "a..b@pastry", "a@Pastry", "a,email:b@pastry", "a\n@pastry"};
    struct authority_request request = {.address = "127.20.0.1"};

    credentials_init("ca", "pastry");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        request.user = bad[i];
        ck_assert_msg(authority_issue(credentials_path("ca"), &request, credentials_path("out"),
                                      NULL) == ST_RANGE,
                      "%s", bad[i]);
    }
}
END_TEST

START_TEST(test_end_within_root)
{
    struct authority_request request = {.address = "127.20.0.1", .user = "a@pastry", .days = 1000};

    ck_assert_int_eq(authority_init(credentials_path("ca"), "pastry", 10, NULL), ST_OK);
    ck_assert_int_eq(
        authority_issue(credentials_path("ca"), &request, credentials_path("out"), NULL), ST_OK);
    X509 *root = read_certificate("out/ca.pem");
    X509 *x = read_certificate("out/cert.pem");
    ck_assert_int_eq(ASN1_TIME_compare(X509_get0_notAfter(root), X509_get0_notAfter(x)), 0);
    X509_free(root);
    X509_free(x);
}
END_TEST

START_TEST(test_no_authority)
{
    struct authority_request request = {.address = "127.20.0.1", .user = "a@pastry"};
    struct why why = {""};

    ck_assert_int_eq(
        authority_issue(credentials_path("none"), &request, credentials_path("out"), &why), ST_IO);
    ck_assert_ptr_nonnull(strstr(why.text, "none/overlay"));
}
END_TEST

static int
run(const char *const *words)
{
    char copy[16][128];
    char *argv[17];
    int argc = 0;

    for (; words[argc]; argc++) {
        snprintf(copy[argc], sizeof(copy[argc]), "%s", words[argc]);
        argv[argc] = copy[argc];
    }
    argv[argc] = NULL;
    return ca_command(argc, argv);
}
#define RUN(...) run((const char *const[]){__VA_ARGS__, NULL})

START_TEST(test_command)
{
    const char *ca = credentials_path("ca");
    const char *out = credentials_path("node");

    ck_assert_int_eq(RUN("ca"), 2);
    ck_assert_int_eq(RUN("ca", "revoke", ca), 2);
    ck_assert_int_eq(RUN("ca", "init", ca), 2);
    ck_assert_int_eq(RUN("ca", "init", "--overlay", "pastry"), 2);
    ck_assert_int_eq(RUN("ca", "init", ca, "--overlay", "pastry", "--days", "no"), 2);
    ck_assert_int_eq(RUN("ca", "init", ca, "--overlay"), 2);
    ck_assert_int_eq(RUN("ca", "init", ca, "--overlay", "pastry", "--days", "30"), 0);
    ck_assert_int_eq(RUN("ca", "init", ca, "--overlay", "pastry"), 1);
    ck_assert_int_eq(RUN("ca", "issue", ca, "--address", "127.20.0.1"), 2);
    ck_assert_int_eq(RUN("ca", "issue", "--address", "127.20.0.1", "--user", "a@pastry", "--out",
                         out, ca, "--rsa"),
                     0);
    ck_assert_int_eq(
        RUN("ca", "issue", ca, "--address", "nowhere", "--user", "a@pastry", "--out", out), 1);
    identity_free(credentials_load("node", "pastry"));
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("authority");
    TCase *c = tcase_create("authority");

    tcase_add_checked_fixture(c, credentials_setup, credentials_teardown);
    tcase_add_test(c, test_root);
    tcase_add_test(c, test_second_init_is_refused);
    tcase_add_test(c, test_overlay_names);
    tcase_add_test(c, test_node_certificate);
    tcase_add_test(c, test_gateway_certificate);
    tcase_add_test(c, test_files_for_sip);
    tcase_add_test(c, test_addresses);
    tcase_add_test(c, test_users);
    tcase_add_test(c, test_end_within_root);
    tcase_add_test(c, test_no_authority);
    tcase_add_test(c, test_command);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
