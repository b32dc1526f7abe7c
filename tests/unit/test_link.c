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
#include "peer-protocol/link/acks.h"
#include "peer-protocol/link/link.h"
#include "peer-protocol/message/frame.h"
#include "tests/unit/credentials.h"

#define WAIT_MS  15000
#define NODE_MAX 3

/* ---- nodes that write down what they are told
 * ---------------------------------------------------- */

struct told {
    unsigned up, down, failed, messages, suspects;
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

static void
on_up(void *ctx, const struct id *id, const char *address)
{
    struct node *n = ctx;

    n->told.up++;
    n->told.node = *id;
    snprintf(n->told.address, sizeof(n->told.address), "%s", address);
}

static void
on_suspect(void *ctx, const struct id *id, bool is_suspect)
{
    struct node *n = ctx;

    ck_assert(id_equal(id, &n->told.node));
    n->told.is_suspect = is_suspect;
    n->told.suspects += is_suspect;
}

static void
on_down(void *ctx, const struct id *id, const char *reason)
{
    struct node *n = ctx;

    ck_assert(!id_is_zero(id));
    n->told.down++;
    snprintf(n->told.reason, sizeof(n->told.reason), "%s", reason);
}

static void
on_connect_failed(void *ctx, const char *address, const struct id *expected, const char *reason)
{
    struct node *n = ctx;

    (void)expected;
    n->told.failed++;
    snprintf(n->told.address, sizeof(n->told.address), "%s", address);
    snprintf(n->told.reason, sizeof(n->told.reason), "%s", reason);
}

static void
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

/* Each test is a process: its addresses are its own, also beside another run of this program. */
static void
listen_text(unsigned index, char out[64])
{
    unsigned pid = (unsigned)getpid();

    snprintf(out, 64, "127.20.%u.%u:%u", pid >> 8 & 255, pid & 255, 20000 + index);
}

static void
conf_of(struct links_conf *conf, const struct node *n)
{
    links_conf_defaults(conf);
    conf->overlay = "pastry";
    conf->listen = n->listen;
}

static enum status
start_as(struct node *n, const char *credentials, const struct links_conf *changed)
{
    struct links_handler handler = {.ctx = n,
                                    .on_up = on_up,
                                    .on_suspect = on_suspect,
                                    .on_down = on_down,
                                    .on_connect_failed = on_connect_failed,
                                    .on_message = on_message};
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

static void
start(unsigned index, const char *credentials)
{
    ck_assert_int_eq(start_as(&node[index], credentials, NULL), ST_OK);
}

static void
setup(void)
{
    memset(node, 0, sizeof(node));
    base = event_base_new();
    ck_assert_ptr_nonnull(base);
}

static void
stop(struct node *n)
{
    links_free(n->links);
    n->links = NULL;
}

static void
teardown(void)
{
    for (unsigned i = 0; i < NODE_MAX; i++) {
        stop(&node[i]);
        identity_free(node[i].identity);
        node[i].identity = NULL;
    }
    event_base_free(base);
}

/* ---- waiting
 * ------------------------------------------------------------------------------------- */

static uint64_t
now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void
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

static void
run_for_ms(unsigned ms)
{
    uint64_t until_ms = now_ms() + ms;

    while (now_ms() < until_ms)
        turn();
}

static struct slice
text(const char *s)
{
    return slice_text(s);
}

static const struct id *
id_of(unsigned index)
{
    return identity_node(node[index].identity);
}

static void
join_two(void)
{
    start(0, "a");
    start(1, "b");
    links_connect(node[0].links, node[1].listen, id_of(1));
    WAIT_FOR(node[0].told.up == 1 && node[1].told.up == 1);
}

/* ---- a node made by hand: it does what no link of ours would do
 * ---------------------------------- */

struct raw {
    int fd;
    SSL_CTX *ctx;
    SSL *ssl;
};

static int
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
static struct raw
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

static bool
raw_handshake(struct raw *r)
{
    return SSL_do_handshake(r->ssl) == 1;
}

static struct raw
raw_join(const char *certificate, const char *key)
{
    unsigned up = node[0].told.up;
    struct raw r = raw_new(node[0].listen, certificate, key, 0);

    WAIT_FOR(raw_handshake(&r));
    WAIT_FOR(node[0].told.up == up + 1);
    return r;
}

static void
raw_send(struct raw *r, const void *bytes, size_t len)
{
    ck_assert_int_eq(SSL_write(r->ssl, bytes, (int)len), (int)len);
}

/* Read until the other side has closed. */
static bool
raw_is_closed(struct raw *r)
{
    char bytes[4096];
    int got = SSL_read(r->ssl, bytes, sizeof(bytes));

    ERR_clear_error();
    return got <= 0 && SSL_get_error(r->ssl, got) != SSL_ERROR_WANT_READ;
}

static void
raw_free(struct raw *r)
{
    SSL_free(r->ssl);
    SSL_CTX_free(r->ctx);
    close(r->fd);
}

static void
raw_reset(struct raw *r)
{
    struct linger hard = {1, 0};

    setsockopt(r->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    raw_free(r);
}

/* One frame of ours that came over the link: its type and sequence. */
static bool
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

static void
raw_ack(struct raw *r, uint32_t sequence)
{
    struct writer w;

    writer_init(&w, 100);
    frame_write_ack(&w, sequence, 0);
    raw_send(r, w.data, w.len);
    writer_done(&w);
}

/* ---- links that work
 * ----------------------------------------------------------------------------- */

START_TEST(test_both_up)
{
    join_two();
    ck_assert(id_equal(&node[0].told.node, id_of(1)));
    ck_assert(id_equal(&node[1].told.node, id_of(0)));
    ck_assert_str_eq(node[0].told.address, node[1].listen);
    ck_assert_str_eq(node[1].told.address, "");
    ck_assert_uint_eq(links_count(node[0].links), 1);
}
END_TEST

static void
see_line(void *ctx, const struct link_line *line)
{
    *(struct link_line *)ctx = *line;
}

START_TEST(test_messages)
{
    struct link_line line = {.rtt_us = 0};

    join_two();
    node[1].told.is_echoing = true;
    ck_assert_int_eq(links_send(node[0].links, id_of(1), text("hello")), ST_OK);
    WAIT_FOR(node[0].told.messages == 1);
    ck_assert_str_eq(node[1].told.last, "hello");
    ck_assert_str_eq(node[0].told.last, "hello");
    WAIT_FOR(links_is_flushed(node[0].links) && links_is_flushed(node[1].links));
    links_each(node[0].links, see_line, &line);
    ck_assert(id_equal(&line.node, id_of(1)));
    ck_assert_str_eq(line.address, node[1].listen);
    ck_assert_uint_eq(line.sent_messages, 1);
    ck_assert_uint_eq(line.received_messages, 1);
    ck_assert_uint_gt(line.rtt_us, 0);
    ck_assert_uint_eq(line.sent_bytes, FRAME_DATA_HEADER_BYTES + 5 + FRAME_ACK_BYTES);
}
END_TEST

/* The near address of what we open is the one we listen on. */
START_TEST(test_source_address)
{
    struct link_line line = {.rtt_us = 0};
    char host[64];

    join_two();
    links_each(node[1].links, see_line, &line);
    snprintf(host, sizeof(host), "%s", node[0].listen);
    *strchr(host, ':') = '\0';
    *strchr(line.address, ':') = '\0';
    ck_assert_str_eq(line.address, host);
}
END_TEST

START_TEST(test_many_in_order)
{
    enum { COUNT = 3000 };

    join_two();
    for (uint32_t i = 0; i < COUNT; i++)
        ck_assert_int_eq(links_send(node[0].links, id_of(1), slice_of(&i, sizeof(i))), ST_OK);
    WAIT_FOR(node[1].told.messages == COUNT);
    ck_assert_uint_eq(node[1].told.in_order, COUNT);
    ck_assert_uint_eq(node[0].told.down, 0);
}
END_TEST

START_TEST(test_large)
{
    static uint8_t big[65001];

    join_two();
    ck_assert_int_eq(links_send(node[0].links, id_of(1), slice_of(big, 65001)), ST_TOO_LARGE);
    for (unsigned i = 0; i < 20; i++)
        ck_assert_int_eq(links_send(node[0].links, id_of(1), slice_of(big, 65000)), ST_OK);
    WAIT_FOR(node[1].told.message_bytes == 20 * 65000);
    ck_assert_uint_eq(node[0].told.down, 0);
}
END_TEST

START_TEST(test_rsa)
{
    start(0, "rsa");
    start(1, "b");
    links_connect(node[0].links, node[1].listen, id_of(1));
    WAIT_FOR(node[0].told.up == 1 && node[1].told.up == 1);
    ck_assert_int_eq(links_send(node[1].links, id_of(0), text("hello")), ST_OK);
    WAIT_FOR(node[0].told.messages == 1);
}
END_TEST

START_TEST(test_tls_1_2)
{
    start(0, "a");
    struct raw r = raw_new(node[0].listen, "b/cert.pem", "b/key.pem", TLS1_2_VERSION);
    WAIT_FOR(raw_handshake(&r));
    WAIT_FOR(node[0].told.up == 1);
    raw_free(&r);
    WAIT_FOR(node[0].told.down == 1);
}
END_TEST

START_TEST(test_tls_1_1_is_refused)
{
    start(0, "a");
    struct raw r = raw_new(node[0].listen, "b/cert.pem", "b/key.pem", TLS1_1_VERSION);
    SSL_set_security_level(r.ssl, 0);
    WAIT_FOR(!raw_handshake(&r) && raw_is_closed(&r));
    ck_assert_uint_eq(node[0].told.up, 0);
    raw_free(&r);
}
END_TEST

START_TEST(test_close)
{
    join_two();
    links_close(node[0].links, id_of(1));
    ck_assert_uint_eq(node[0].told.down, 0); /* told from the loop only */
    ck_assert_int_eq(links_send(node[0].links, id_of(1), text("x")), ST_UNREACHABLE);
    WAIT_FOR(node[0].told.down == 1 && node[1].told.down == 1);
    ck_assert_str_eq(node[1].told.reason, "closed by the other side");
    ck_assert_uint_eq(links_count(node[1].links), 0);
}
END_TEST

START_TEST(test_close_in_handler)
{
    join_two();
    node[1].told.is_closing = true;
    for (unsigned i = 0; i < 10; i++)
        ck_assert_int_ne(links_send(node[0].links, id_of(1), text("x")), ST_LIMIT);
    WAIT_FOR(node[0].told.down == 1 && node[1].told.down == 1);
    ck_assert_uint_eq(node[1].told.messages, 1);
}
END_TEST

START_TEST(test_free_at_once)
{
    join_two();
    start(2, "c");
    for (unsigned i = 0; i < 50; i++)
        ck_assert_int_eq(links_send(node[0].links, id_of(1), text("x")), ST_OK);
    links_connect(node[0].links, node[2].listen, NULL);
    links_connect(node[2].links, node[1].listen, NULL);
    turn();
    stop(&node[0]);
    WAIT_FOR(node[1].told.down == 1);
}
END_TEST

/* ---- links that do not come up
 * ------------------------------------------------------------------- */

START_TEST(test_refused)
{
    start(0, "a");
    listen_text(1, node[1].listen);
    links_connect(node[0].links, node[1].listen, NULL);
    links_connect(node[0].links, node[1].listen, NULL);
    WAIT_FOR(node[0].told.failed == 1);
    ck_assert_str_eq(node[0].told.reason, "Connection refused");
    ck_assert_str_eq(node[0].told.address, node[1].listen);
    links_connect(node[0].links, "nowhere", NULL);
    WAIT_FOR(node[0].told.failed == 2);
    ck_assert_str_eq(node[0].told.address, "nowhere");
}
END_TEST

START_TEST(test_self)
{
    start(0, "a");
    links_connect(node[0].links, node[0].listen, NULL);
    WAIT_FOR(node[0].told.failed == 1);
    ck_assert_str_eq(node[0].told.reason, "that is this node itself");
    ck_assert_uint_eq(node[0].told.up, 0);
}
END_TEST

START_TEST(test_port_in_use)
{
    struct links_conf conf;

    start(0, "a");
    conf_of(&conf, &node[0]);
    ck_assert_int_eq(start_as(&node[1], "b", NULL), ST_OK);
    stop(&node[1]);
    struct links *second = NULL;
    struct links_handler handler = {.ctx = NULL};
    struct why why = {""};
    ck_assert_int_eq(links_new(base, &conf, node[1].identity, &handler, &second, &why), ST_IO);
    ck_assert_ptr_nonnull(strstr(why.text, node[0].listen));
    conf.listen = "127.20.0.1";
    ck_assert_int_eq(links_new(base, &conf, node[1].identity, &handler, &second, &why), ST_RANGE);
}
END_TEST

START_TEST(test_another_node)
{
    start(0, "a");
    start(1, "b");
    start(2, "c");
    links_connect(node[0].links, node[1].listen, id_of(2));
    WAIT_FOR(node[0].told.failed == 1);
    ck_assert_ptr_nonnull(strstr(node[0].told.reason, "another node is there"));
    ck_assert_uint_eq(node[0].told.up, 0);
    WAIT_FOR(node[1].told.down == node[1].told.up);
}
END_TEST

/* Neither trusts the other's authority. */
START_TEST(test_other_authority)
{
    start(0, "a");
    start(1, "stranger");
    links_connect(node[0].links, node[1].listen, NULL);
    WAIT_FOR(node[0].told.failed == 1);
    ck_assert_ptr_nonnull(strstr(node[0].told.reason, "not of this overlay's authority"));
    links_connect(node[1].links, node[0].listen, NULL);
    WAIT_FOR(node[1].told.failed == 1);
    ck_assert_uint_eq(node[0].told.up + node[1].told.up, 0);
}
END_TEST

/* The client trusts the server but not the other way round.  TLS 1.3 is done at the client before
 * the server looks: no on_up all the same. */
START_TEST(test_refused_by_server)
{
    start(0, "a");
    start(1, "two-faced");
    links_connect(node[1].links, node[0].listen, id_of(0));
    WAIT_FOR(node[1].told.failed == 1);
    ck_assert_uint_eq(node[1].told.up, 0);
    ck_assert_uint_eq(node[0].told.up, 0);
}
END_TEST

START_TEST(test_refused_certificates)
{
    static const char *const folders[] = {"stranger", "nameless", "two-faced"};

    start(0, "a");
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        char certificate[64], key[64];
        snprintf(certificate, sizeof(certificate), "%s/cert.pem", folders[i]);
        snprintf(key, sizeof(key), "%s/key.pem", folders[i]);
        struct raw r = raw_new(node[0].listen, certificate, key, 0);
        WAIT_FOR(raw_handshake(&r));
        WAIT_FOR(raw_is_closed(&r));
        raw_free(&r);
    }
    ck_assert_uint_eq(node[0].told.up, 0);
}
END_TEST

START_TEST(test_half_open)
{
    struct links_conf conf;
    char byte;

    conf_of(&conf, &node[0]);
    conf.handshake_ms = 100;
    ck_assert_int_eq(start_as(&node[0], "a", &conf), ST_OK);
    int fd = tcp_to(node[0].listen);
    WAIT_FOR(recv(fd, &byte, 1, 0) == 0);
    close(fd);
    /* Also after the first half of a handshake. */
    fd = tcp_to(node[0].listen);
    ck_assert_int_eq(send(fd, "\x16\x03\x01\x02", 4, 0), 4);
    WAIT_FOR(recv(fd, &byte, 1, 0) == 0);
    close(fd);
    ck_assert_uint_eq(node[0].told.up, 0);
}
END_TEST

/* Strangers who only knock do not keep a node out. */
START_TEST(test_half_open_are_bounded)
{
    int fd[40];
    char byte;
    unsigned closed = 0;

    start(0, "a");
    struct links_conf conf;
    start(1, "b");
    stop(&node[0]);
    conf_of(&conf, &node[0]);
    conf.max_links = 40;
    ck_assert_int_eq(start_as(&node[0], "a", &conf), ST_OK);
    for (unsigned i = 0; i < 40; i++)
        fd[i] = tcp_to(node[0].listen);
    run_for_ms(50);
    for (unsigned i = 0; i < 40; i++)
        closed += recv(fd[i], &byte, 1, MSG_DONTWAIT) == 0;
    ck_assert_uint_eq(closed, 40 - 16);
    for (unsigned i = 0; i < 40; i++)
        close(fd[i]);
    run_for_ms(20);
    links_connect(node[1].links, node[0].listen, NULL);
    WAIT_FOR(node[0].told.up == 1 && node[1].told.up == 1);
}
END_TEST

START_TEST(test_max_links)
{
    struct links_conf conf;

    conf_of(&conf, &node[0]);
    conf.max_links = 1;
    ck_assert_int_eq(start_as(&node[0], "a", &conf), ST_OK);
    start(1, "b");
    start(2, "c");
    links_connect(node[0].links, node[1].listen, NULL);
    WAIT_FOR(node[0].told.up == 1);
    links_connect(node[0].links, node[2].listen, NULL);
    WAIT_FOR(node[0].told.failed == 1);
    ck_assert_ptr_nonnull(strstr(node[0].told.reason, "limit"));
    links_connect(node[2].links, node[0].listen, NULL);
    WAIT_FOR(node[2].told.failed == 1);
    ck_assert_uint_eq(links_count(node[0].links), 1);
}
END_TEST

/* ---- what comes over a link
 * ---------------------------------------------------------------------- */

START_TEST(test_garbage)
{
    start(0, "a");
    struct raw r = raw_join("b/cert.pem", "b/key.pem");
    raw_send(&r, "GET / HTTP/1.1\r\n\r\n", 18);
    WAIT_FOR(node[0].told.down == 1);
    ck_assert_ptr_nonnull(strstr(node[0].told.reason, "framing"));
    WAIT_FOR(raw_is_closed(&r));
    raw_free(&r);
}
END_TEST

START_TEST(test_oversize)
{
    static const uint8_t head[] = {FRAME_DATA, 0, 0, 0, 0, 0xff, 0xff, 0xff};

    start(0, "a");
    struct raw r = raw_join("b/cert.pem", "b/key.pem");
    raw_send(&r, head, sizeof(head)); /* refused by its length, before any of it comes */
    WAIT_FOR(node[0].told.down == 1);
    ck_assert_uint_eq(node[0].told.messages, 0);
    raw_free(&r);
}
END_TEST

START_TEST(test_truncated)
{
    static const uint8_t frame[] = {FRAME_DATA, 0, 0, 0, 0, 0, 0, 5, 'h', 'e', 'l', 'l', 'o'};
    uint32_t sequence = 77;

    start(0, "a");
    struct raw r = raw_join("b/cert.pem", "b/key.pem");
    for (size_t i = 0; i < sizeof(frame); i++) {
        ck_assert_uint_eq(node[0].told.messages, 0);
        raw_send(&r, frame + i, 1);
        run_for_ms(2);
    }
    WAIT_FOR(node[0].told.messages == 1);
    ck_assert_str_eq(node[0].told.last, "hello");
    WAIT_FOR(raw_has_frame(&r, FRAME_ACK, &sequence));
    ck_assert_uint_eq(sequence, 0);
    raw_send(&r, frame, sizeof(frame) - 1);
    raw_free(&r);
    WAIT_FOR(node[0].told.down == 1);
    ck_assert_uint_eq(node[0].told.messages, 1);
}
END_TEST

START_TEST(test_false_ack)
{
    start(0, "a");
    struct raw r = raw_join("b/cert.pem", "b/key.pem");
    raw_ack(&r, 0);
    WAIT_FOR(node[0].told.down == 1);
    ck_assert_ptr_nonnull(strstr(node[0].told.reason, "not sent"));
    raw_free(&r);
}
END_TEST

START_TEST(test_reset)
{
    start(0, "a");
    struct raw r = raw_join("b/cert.pem", "b/key.pem");
    struct id peer = node[0].told.node;
    raw_reset(&r);
    /* Writing into the reset connection must not end the process. */
    enum status st = links_send(node[0].links, &peer, text("x"));
    ck_assert(st == ST_OK || st == ST_UNREACHABLE);
    (void)!links_send(node[0].links, &peer, text("x"));
    WAIT_FOR(node[0].told.down == 1);
    ck_assert_int_eq(links_send(node[0].links, &peer, text("x")), ST_UNREACHABLE);
}
END_TEST

START_TEST(test_sigpipe)
{
    start(0, "a");
    struct raw r = raw_join("b/cert.pem", "b/key.pem");
    raw_reset(&r);
    WAIT_FOR(node[0].told.down == 1);
    int pair[2];
    ck_assert_int_eq(pipe(pair), 0);
    close(pair[0]);
    ck_assert_int_eq(write(pair[1], "x", 1), -1); /* alive to see it */
    ck_assert_int_eq(errno, EPIPE);
    close(pair[1]);
}
END_TEST

START_TEST(test_suspect)
{
    uint32_t sequence = 77;

    start(0, "a");
    struct raw r = raw_join("b/cert.pem", "b/key.pem");
    ck_assert_int_eq(links_send(node[0].links, &node[0].told.node, text("one")), ST_OK);
    WAIT_FOR(node[0].told.is_suspect);
    ck_assert_uint_eq(node[0].told.down, 0);
    WAIT_FOR(raw_has_frame(&r, FRAME_DATA, &sequence));
    ck_assert_uint_eq(sequence, 0);
    raw_ack(&r, sequence);
    WAIT_FOR(!node[0].told.is_suspect);
    /* Again, and this time nothing comes any more. */
    ck_assert_int_eq(links_send(node[0].links, &node[0].told.node, text("two")), ST_OK);
    WAIT_FOR(node[0].told.is_suspect);
    WAIT_FOR(node[0].told.down == 1);
    ck_assert_ptr_nonnull(strstr(node[0].told.reason, "no acknowledgement"));
    ck_assert_uint_eq(node[0].told.suspects, 2);
    raw_free(&r);
}
END_TEST

START_TEST(test_queue_full)
{
    static uint8_t big[60000];
    struct links_conf conf;
    enum status st = ST_OK;
    unsigned sent = 0;

    conf_of(&conf, &node[0]);
    conf.max_queue_bytes = 200000;
    conf.suspect_min_ms = 60000;
    ck_assert_int_eq(start_as(&node[0], "a", &conf), ST_OK);
    struct raw r = raw_join("b/cert.pem", "b/key.pem"); /* reads nothing */
    for (; st == ST_OK && sent < 1000; sent++)
        st = links_send(node[0].links, &node[0].told.node, slice_of(big, sizeof(big)));
    ck_assert_int_eq(st, ST_LIMIT);
    ck_assert_uint_gt(sent, 3);
    WAIT_FOR(node[0].told.down == 1);
    ck_assert_ptr_nonnull(strstr(node[0].told.reason, "full"));
    raw_free(&r);
}
END_TEST

/* ---- one link a pair of nodes
 * -------------------------------------------------------------------- */

/* Both connect at once: one link stays, opened by the higher Node-ID, and nobody is told of a loss.
 */
START_TEST(test_crossing)
{
    struct link_line line[2];

    start(0, "a");
    start(1, "b");
    for (unsigned i = 0; i < 2; i++)
        links_connect(node[i].links, node[1 - i].listen, id_of(1 - i));
    WAIT_FOR(node[0].told.up >= 2 && node[1].told.up >= 1);
    run_for_ms(1200); /* until the loser has drained */
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_uint_eq(node[i].told.down, 0);
        ck_assert_uint_eq(node[i].told.failed, 0);
        ck_assert_uint_eq(links_count(node[i].links), 1);
        links_each(node[i].links, see_line, &line[i]);
        ck_assert_int_eq(links_send(node[i].links, id_of(1 - i), text("x")), ST_OK);
    }
    WAIT_FOR(node[0].told.messages == 1 && node[1].told.messages == 1);
    unsigned higher = id_compare(id_of(0), id_of(1)) > 0 ? 0 : 1;
    ck_assert_str_eq(line[higher].address, node[1 - higher].listen);
    ck_assert_str_ne(line[1 - higher].address, node[higher].listen);
}
END_TEST

START_TEST(test_connect_again)
{
    join_two();
    links_connect(node[0].links, node[1].listen, id_of(1)); /* known by its Node-ID */
    ck_assert_uint_eq(node[0].told.up, 1);
    WAIT_FOR(node[0].told.up == 2);
    links_connect(node[0].links, node[1].listen, NULL); /* known after the handshake only */
    WAIT_FOR(node[0].told.up == 3);
    ck_assert_uint_eq(links_count(node[0].links), 1);
    ck_assert_int_eq(links_send(node[0].links, id_of(1), text("x")), ST_OK);
    WAIT_FOR(node[1].told.messages == 1);
    ck_assert_uint_eq(node[0].told.failed, 0);
    ck_assert_uint_eq(node[0].told.down + node[1].told.down, 0);
}
END_TEST

/* Another connection of a node, long after the first: the link is the new one, the old one still
 * delivers what was on its way. */
START_TEST(test_replaced)
{
    static const uint8_t frame[] = {FRAME_DATA, 0, 0, 0, 0, 0, 0, 1, '1'};
    uint32_t sequence = 77;

    start(0, "a");
    struct raw old = raw_join("b/cert.pem", "b/key.pem");
    run_for_ms(600);
    struct raw new = raw_join("b/cert.pem", "b/key.pem");
    ck_assert_uint_eq(node[0].told.down, 0);
    ck_assert_int_eq(links_send(node[0].links, &node[0].told.node, text("x")), ST_OK);
    WAIT_FOR(raw_has_frame(&new, FRAME_DATA, &sequence));
    raw_ack(&new, sequence);
    raw_send(&old, frame, sizeof(frame));
    WAIT_FOR(node[0].told.messages == 1);
    WAIT_FOR(raw_is_closed(&old)); /* drained */
    ck_assert_uint_eq(node[0].told.down, 0);
    raw_free(&old);
    raw_free(&new);
    WAIT_FOR(node[0].told.down == 1);
}
END_TEST

/* The old link was silent: what was sent over it is lost, and that is told. */
START_TEST(test_replaced_when_suspect)
{
    struct links_conf conf;

    conf_of(&conf, &node[0]);
    conf.suspect_min_ms = 600;
    ck_assert_int_eq(start_as(&node[0], "a", &conf), ST_OK);
    struct raw old = raw_join("b/cert.pem", "b/key.pem");
    ck_assert_int_eq(links_send(node[0].links, &node[0].told.node, text("x")), ST_OK);
    WAIT_FOR(node[0].told.is_suspect);
    struct raw new = raw_join("b/cert.pem", "b/key.pem");
    ck_assert_uint_eq(node[0].told.down, 1);
    ck_assert_uint_eq(links_count(node[0].links), 1);
    raw_free(&old);
    raw_free(&new);
}
END_TEST

START_TEST(test_restart)
{
    join_two();
    stop(&node[1]);
    start(1, "b");
    WAIT_FOR(node[0].told.down == 1);
    links_connect(node[1].links, node[0].listen, id_of(0));
    WAIT_FOR(node[0].told.up == 2);
    ck_assert_int_eq(links_send(node[0].links, id_of(1), text("x")), ST_OK);
    WAIT_FOR(node[1].told.messages == 1);
}
END_TEST

/* ---- acknowledgements, without a socket
 * ---------------------------------------------------------- */

START_TEST(test_acks)
{
    struct acks a;
    uint32_t sequence;

    acks_init(&a, 100, 1000);
    ck_assert_uint_eq(acks_check(&a, 1), 0);
    for (uint32_t i = 0; i < 100; i++) {
        ck_assert_int_eq(acks_sent(&a, 1000 + i, &sequence), ST_OK);
        ck_assert_uint_eq(sequence, i);
    }
    ck_assert_uint_eq(acks_check(&a, 100999), 0);
    ck_assert_uint_eq(acks_check(&a, 101000), 1);
    ck_assert_uint_eq(acks_check(&a, 500000), 2); /* one period at a time: we were late ourselves */
    ck_assert_int_eq(acks_received(&a, 500001, 100), ST_MALFORMED);
    ck_assert_int_eq(acks_received(&a, 500001, 50), ST_OK);
    ck_assert_int_eq(acks_received(&a, 500001, 50), ST_OK);
    ck_assert_int_eq(acks_received(&a, 500001, 3), ST_OK);
    ck_assert_uint_eq(acks_check(&a, 500002), 0);
    ck_assert_uint_eq(a.rtt_us, (7 * 1000 + 500001 - 1050) / 8);
    ck_assert(acks_is_waiting(&a));
    ck_assert_int_eq(acks_received(&a, 500003, 99), ST_OK);
    ck_assert(!acks_is_waiting(&a));
    ck_assert_uint_eq(acks_check(&a, UINT64_MAX - 1), 0);
    acks_done(&a);
}
END_TEST

START_TEST(test_acks_wrap_and_limit)
{
    struct acks a;
    uint32_t sequence;

    acks_init(&a, 100, 1000);
    a.first = a.next = UINT32_MAX - 2;
    for (uint32_t i = 0; i < 40; i++)
        ck_assert_int_eq(acks_sent(&a, i, &sequence), ST_OK);
    ck_assert_int_eq(acks_received(&a, 100, 20), ST_OK);
    ck_assert_int_eq(acks_received(&a, 100, UINT32_MAX), ST_OK);
    ck_assert_int_eq(acks_received(&a, 100, 37), ST_MALFORMED);
    ck_assert_int_eq(acks_received(&a, 100, 36), ST_OK);
    for (uint32_t i = 0; i < ACKS_OUTSTANDING_MAX; i++)
        ck_assert_int_eq(acks_sent(&a, 200 + i, &sequence), ST_OK);
    ck_assert_int_eq(acks_sent(&a, 100000, &sequence), ST_LIMIT);
    acks_done(&a);
}
END_TEST

/* ---- credentials
 * --------------------------------------------------------------------------------- */

static void
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
static void
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

static void
make_credentials(void)
{
    credentials_setup();
    credentials_init("ca", "pastry");
    credentials_init("other-ca", "pastry");
    credentials_issue("ca", "127.20.0.1", "a@pastry", KEY_ECDSA_P256, "a");
    credentials_issue("ca", "127.20.0.2", "b@pastry", KEY_ECDSA_P256, "b");
    credentials_issue("ca", "127.20.0.3", "c@pastry", KEY_ECDSA_P256, "c");
    credentials_issue("ca", "127.20.0.4", "rsa@pastry", KEY_RSA_2048, "rsa");
    credentials_issue("other-ca", "127.20.0.2", "b@pastry", KEY_ECDSA_P256, "stranger");
    credentials_issue("other-ca", "127.20.0.5", "e@pastry", KEY_ECDSA_P256, "two-faced");
    append("ca/ca.pem", "two-faced/ca.pem");
    make_nameless();
}

static void
add_tests(TCase *c)
{
    tcase_add_test(c, test_both_up);
    tcase_add_test(c, test_messages);
    tcase_add_test(c, test_source_address);
    tcase_add_test(c, test_many_in_order);
    tcase_add_test(c, test_large);
    tcase_add_test(c, test_rsa);
    tcase_add_test(c, test_tls_1_2);
    tcase_add_test(c, test_tls_1_1_is_refused);
    tcase_add_test(c, test_close);
    tcase_add_test(c, test_close_in_handler);
    tcase_add_test(c, test_free_at_once);
    tcase_add_test(c, test_refused);
    tcase_add_test(c, test_self);
    tcase_add_test(c, test_port_in_use);
    tcase_add_test(c, test_another_node);
    tcase_add_test(c, test_other_authority);
    tcase_add_test(c, test_refused_by_server);
    tcase_add_test(c, test_refused_certificates);
    tcase_add_test(c, test_half_open);
    tcase_add_test(c, test_half_open_are_bounded);
    tcase_add_test(c, test_max_links);
    tcase_add_test(c, test_garbage);
    tcase_add_test(c, test_oversize);
    tcase_add_test(c, test_truncated);
    tcase_add_test(c, test_false_ack);
    tcase_add_test(c, test_reset);
    tcase_add_test(c, test_sigpipe);
    tcase_add_test(c, test_suspect);
    tcase_add_test(c, test_queue_full);
    tcase_add_test(c, test_crossing);
    tcase_add_test(c, test_connect_again);
    tcase_add_test(c, test_replaced);
    tcase_add_test(c, test_replaced_when_suspect);
    tcase_add_test(c, test_restart);
    tcase_add_test(c, test_acks);
    tcase_add_test(c, test_acks_wrap_and_limit);
}

int
main(void)
{
    Suite *suite = suite_create("link");
    TCase *c = tcase_create("link");

    tcase_set_timeout(c, 60);
    tcase_add_unchecked_fixture(c, make_credentials, credentials_teardown);
    tcase_add_checked_fixture(c, setup, teardown);
    add_tests(c);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
