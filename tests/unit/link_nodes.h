/**
 * DOC: nodes with real links in one event loop, and one made by hand that breaks the rules
 *
 * Each test is a process with addresses of its own in 127.20.0.0/16.  Everything waits for a state.
 */
#ifndef TESTS_UNIT_LINK_NODES_H
#define TESTS_UNIT_LINK_NODES_H

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "peer-protocol/identity/issuer.h"
#include "peer-protocol/link/link.h"
#include "peer-protocol/message/frame.h"
#include "tests/unit/credentials.h"

#define WAIT_MS  15000
#define NODE_MAX 3

/* ---- nodes that write down what they are told ----------------------------------------------- */

struct told {
    unsigned broken;
    unsigned up, down, failed, messages, suspects, rivals;
    bool is_suspect;
    struct id node;
    char address[64];
    char reason[256];
    uint64_t message_bytes;
    char last[64];
    unsigned in_order;
    bool is_closing; /* close the link inside on_message */
    bool is_echoing;
};

struct node {
    struct identity *identity;
    struct links *links;
    char listen[64];
    struct told told;
};

static struct event_base *base;
static struct node node[NODE_MAX];

static inline void
on_up(void *ctx, const struct id *id, const char *address)
{
    struct node *n = ctx;

    n->told.up++;
    n->told.node = *id;
    snprintf(n->told.address, sizeof(n->told.address), "%s", address);
}

static inline void
on_suspect(void *ctx, const struct id *id, bool is_suspect)
{
    struct node *n = ctx;

    ck_assert(id_equal(id, &n->told.node));
    n->told.is_suspect = is_suspect;
    n->told.suspects += is_suspect;
}

static inline void
on_down(void *ctx, const struct id *id, bool is_broken, const char *reason)
{
    struct node *n = ctx;

    ck_assert(!id_is_zero(id));
    n->told.down++;
    n->told.broken += is_broken;
    snprintf(n->told.reason, sizeof(n->told.reason), "%s", reason);
}

static inline void
on_connect_failed(void *ctx, const char *address, const struct id *expected, const char *reason)
{
    struct node *n = ctx;

    (void)expected;
    n->told.failed++;
    snprintf(n->told.address, sizeof(n->told.address), "%s", address);
    snprintf(n->told.reason, sizeof(n->told.reason), "%s", reason);
}

static inline void
on_message(void *ctx, const struct id *from, struct slice message)
{
    struct node *n = ctx;
    uint32_t number = n->told.messages;

    ck_assert_uint_gt(n->told.up, 0);
    n->told.messages++;
    n->told.message_bytes += message.len;
    if (message.len == sizeof(number) && memcmp(message.data, &number, sizeof(number)) == 0)
        n->told.in_order++;
    if (slice_to_text(message, n->told.last, sizeof(n->told.last)) != ST_OK)
        n->told.last[0] = '\0';
    if (n->told.is_echoing)
        ck_assert_int_eq(links_send(n->links, from, message), ST_OK);
    if (n->told.is_closing)
        links_close(n->links, from);
}

static inline void
on_rival(void *ctx, const struct id *id)
{
    struct node *n = ctx;

    ck_assert(id_equal(id, &n->told.node));
    n->told.rivals++;
    ck_assert_int_eq(links_send(n->links, id, slice_text("there?")), ST_OK);
}

/* Each test is a process: its addresses are its own, also beside another run of this program. */
static inline void
listen_text(unsigned index, char out[64])
{
    unsigned pid = (unsigned)getpid();

    snprintf(out, 64, "127.20.%u.%u:%u", pid >> 8 & 255, pid & 255, 20000 + index);
}

static inline void
conf_of(struct links_conf *conf, const struct node *n)
{
    links_conf_defaults(conf);
    conf->overlay = "pastry";
    conf->listen = n->listen;
}

static inline enum status
start_as(struct node *n, const char *credentials, const struct links_conf *changed)
{
    struct links_handler handler = {.ctx = n,
                                    .on_up = on_up,
                                    .on_suspect = on_suspect,
                                    .on_down = on_down,
                                    .on_connect_failed = on_connect_failed,
                                    .on_message = on_message,
                                    .on_rival = on_rival};
    struct links_conf conf;
    struct why why = {""};

    if (!n->identity)
        n->identity = credentials_load(credentials, "pastry");
    listen_text((unsigned)(n - node), n->listen);
    if (changed)
        conf = *changed;
    else
        conf_of(&conf, n);
    conf.listen = n->listen;
    return links_new(base, &conf, n->identity, &handler, &n->links, &why);
}

static inline void
start(unsigned index, const char *credentials)
{
    ck_assert_int_eq(start_as(&node[index], credentials, NULL), ST_OK);
}

static inline void
setup(void)
{
    memset(node, 0, sizeof(node));
    base = event_base_new();
    ck_assert_ptr_nonnull(base);
}

static inline void
stop(struct node *n)
{
    links_free(n->links);
    n->links = NULL;
}

static inline void
teardown(void)
{
    for (unsigned i = 0; i < NODE_MAX; i++) {
        stop(&node[i]);
        identity_free(node[i].identity);
        node[i].identity = NULL;
    }
    event_base_free(base);
}

/* ---- waiting -------------------------------------------------------------------------------- */

static inline uint64_t
now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static inline void
turn(void)
{
    struct timeval at_most = {0, 5000};

    event_base_loopexit(base, &at_most);
    event_base_loop(base, EVLOOP_ONCE);
}

#define WAIT_FOR(condition)                                                                        \
    do {                                                                                           \
        uint64_t until_ms = now_ms() + WAIT_MS;                                                    \
        bool is_so = (condition);                                                                  \
        for (; !is_so && now_ms() < until_ms; is_so = (condition))                                 \
            turn();                                                                                \
        ck_assert_msg(is_so, "%s; last reason: %s, %s", #condition, node[0].told.reason,           \
                      node[1].told.reason);                                                        \
    } while (0)

static inline void
run_for_ms(unsigned ms)
{
    uint64_t until_ms = now_ms() + ms;

    while (now_ms() < until_ms)
        turn();
}

static inline struct slice
text(const char *s)
{
    return slice_text(s);
}

static inline const struct id *
id_of(unsigned index)
{
    return identity_node(node[index].identity);
}

static inline void
join_two(void)
{
    start(0, "a");
    start(1, "b");
    links_connect(node[0].links, node[1].listen, id_of(1));
    WAIT_FOR(node[0].told.up == 1 && node[1].told.up == 1);
}

/* ---- a node made by hand: it does what no link of ours would do ----------------------------- */

struct raw {
    int fd;
    SSL_CTX *ctx;
    SSL *ssl;
};

static inline int
tcp_to(const char *address)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    char host[64];

    snprintf(host, sizeof(host), "%s", address);
    char *colon = strchr(host, ':');
    *colon = '\0';
    ck_assert_int_eq(inet_pton(AF_INET, host, &to.sin_addr), 1);
    to.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

/* Credentials of the test's folder, no questions asked about the other side. */
static inline struct raw
raw_new(const char *address, const char *certificate, const char *key, int version)
{
    struct raw r = {.fd = tcp_to(address), .ctx = SSL_CTX_new(TLS_method())};

    SSL_CTX_set_max_proto_version(r.ctx, version);
    ck_assert_int_eq(
        SSL_CTX_use_certificate_file(r.ctx, credentials_path(certificate), SSL_FILETYPE_PEM), 1);
    ck_assert_int_eq(SSL_CTX_use_PrivateKey_file(r.ctx, credentials_path(key), SSL_FILETYPE_PEM),
                     1);
    r.ssl = SSL_new(r.ctx);
    SSL_set_fd(r.ssl, r.fd);
    SSL_set_connect_state(r.ssl);
    return r;
}

static inline bool
raw_handshake(struct raw *r)
{
    return SSL_do_handshake(r->ssl) == 1;
}

static inline struct raw
raw_join(const char *certificate, const char *key)
{
    unsigned up = node[0].told.up;
    struct raw r = raw_new(node[0].listen, certificate, key, 0);

    WAIT_FOR(raw_handshake(&r));
    WAIT_FOR(node[0].told.up == up + 1);
    return r;
}

static inline void
raw_send(struct raw *r, const void *bytes, size_t len)
{
    ck_assert_int_eq(SSL_write(r->ssl, bytes, (int)len), (int)len);
}

/* Read until the other side has closed. */
static inline bool
raw_is_closed(struct raw *r)
{
    char bytes[4096];
    int got = SSL_read(r->ssl, bytes, sizeof(bytes));

    ERR_clear_error();
    return got <= 0 && SSL_get_error(r->ssl, got) != SSL_ERROR_WANT_READ;
}

static inline void
raw_free(struct raw *r)
{
    SSL_free(r->ssl);
    SSL_CTX_free(r->ctx);
    close(r->fd);
}

static inline void
raw_reset(struct raw *r)
{
    struct linger hard = {1, 0};

    setsockopt(r->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    raw_free(r);
}

/* One frame of ours that came over the link: its type and sequence. */
static inline bool
raw_has_frame(struct raw *r, uint8_t type, uint32_t *ret_sequence)
{
    uint8_t bytes[4096];
    int got = SSL_read(r->ssl, bytes, sizeof(bytes));
    struct reader in;

    ERR_clear_error();
    if (got <= 0 || bytes[0] != type)
        return false;
    reader_init(&in, slice_of(bytes + 1, (size_t)got - 1));
    *ret_sequence = reader_u32(&in);
    return true;
}

static inline void
raw_ack(struct raw *r, uint32_t sequence)
{
    struct writer w;

    writer_init(&w, 100);
    frame_write_ack(&w, sequence, 0);
    raw_send(r, w.data, w.len);
    writer_done(&w);
}

/* ---- credentials ---------------------------------------------------------------------------- */

static inline void
append(const char *from, const char *to)
{
    char bytes[8192];
    FILE *in = fopen(credentials_path(from), "r");
    FILE *out = fopen(credentials_path(to), "a");

    ck_assert(in && out);
    size_t len = fread(bytes, 1, sizeof(bytes), in);
    ck_assert_uint_eq(fwrite(bytes, 1, len, out), len);
    fclose(in);
    fclose(out);
}

/* A certificate of the right authority that names no node: the authority's own key certified anew.
 */
static inline void
make_nameless(void)
{
    FILE *file = fopen(credentials_path("ca/ca-key.pem"), "r");
    EVP_PKEY *root_key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    fclose(file);
    file = fopen(credentials_path("ca/ca.pem"), "r");
    X509 *root = PEM_read_X509(file, NULL, NULL, NULL);
    fclose(file);
    EVP_PKEY *key = issuer_key(KEY_ECDSA_P256);
    struct issuer_node nobody = {.overlay = "another", .user = "a@pastry", .days = 1};
    X509 *x = issuer_certificate(root, root_key, key, &nobody);
    ck_assert_ptr_nonnull(x);
    int at = X509_get_ext_by_NID(x, NID_subject_alt_name, -1);
    X509_EXTENSION_free(X509_delete_ext(x, at));
    ck_assert_int_gt(X509_sign(x, root_key, EVP_sha256()), 0);
    credentials_issue("ca", "127.20.0.9", "x@pastry", KEY_ECDSA_P256, "nameless");
    file = fopen(credentials_path("nameless/cert.pem"), "w");
    PEM_write_X509(file, x);
    fclose(file);
    file = fopen(credentials_path("nameless/key.pem"), "w");
    PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
    fclose(file);
    X509_free(x);
    X509_free(root);
    EVP_PKEY_free(key);
    EVP_PKEY_free(root_key);
}

static inline void
make_credentials(void)
{
    credentials_setup();
    credentials_init("ca", "pastry");
    credentials_init("other-ca", "pastry");
    credentials_issue("ca", "127.20.0.1", "a@pastry", KEY_ECDSA_P256, "a");
    credentials_issue("ca", "127.20.0.2", "b@pastry", KEY_ECDSA_P256, "b");
    credentials_issue("ca", "127.20.0.2", "b-again@pastry", KEY_ECDSA_P256, "b-again");
    credentials_issue("ca", "127.20.0.3", "c@pastry", KEY_ECDSA_P256, "c");
    credentials_issue("ca", "127.20.0.4", "rsa@pastry", KEY_RSA_2048, "rsa");
    credentials_issue("other-ca", "127.20.0.2", "b@pastry", KEY_ECDSA_P256, "stranger");
    credentials_issue("other-ca", "127.20.0.5", "e@pastry", KEY_ECDSA_P256, "two-faced");
    append("ca/ca.pem", "two-faced/ca.pem");
    make_nameless();
}

/* A program of such tests; the exit status of main(). */
static inline int
run_links(TCase *c, const char *name)
{
    Suite *suite = suite_create(name);

    tcase_set_timeout(c, 60);
    tcase_add_unchecked_fixture(c, make_credentials, credentials_teardown);
    tcase_add_checked_fixture(c, setup, teardown);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}

#endif
