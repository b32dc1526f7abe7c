#include "tests/unit/link_nodes.h"

/* ---- links that do not come up -------------------------------------------------------------- */

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
    links_connect(node[1].links, node[0].listen, NULL);
    WAIT_FOR(node[0].told.up == 1 && node[1].told.up == 1);
    for (unsigned i = 0; i < 40; i++)
        close(fd[i]);
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

/* ---- what comes over a link ----------------------------------------------------------------- */

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

/* A second certificate for b's address: who holds it gets nowhere while b is there. */
START_TEST(test_second_certificate)
{
    start(0, "a");
    start(1, "b");
    links_connect(node[1].links, node[0].listen, NULL);
    WAIT_FOR(node[0].told.up == 1 && node[1].told.up == 1);
    run_for_ms(600); /* longer than connections cross */
    for (unsigned i = 1; i <= 3; i++) {
        struct raw r = raw_new(node[0].listen, "b-again/cert.pem", "b-again/key.pem",
                               i == 1 ? TLS1_2_VERSION : 0);
        WAIT_FOR(raw_handshake(&r));
        WAIT_FOR(raw_is_closed(&r));
        WAIT_FOR(node[0].told.rivals == i);
        raw_free(&r);
    }
    WAIT_FOR(node[1].told.messages == 3);
    ck_assert_uint_eq(node[0].told.up, 1);
    ck_assert_uint_eq(node[0].told.down + node[1].told.down, 0);
    ck_assert_str_eq(links_user(node[0].links, id_of(1)), "b@pastry");
}
END_TEST

/* b has lost its power, and is there again with a new key. */
START_TEST(test_second_certificate_of_a_dead_node)
{
    start(0, "a");
    struct raw dead = raw_join("b/cert.pem", "b/key.pem");
    struct raw r = raw_new(node[0].listen, "b-again/cert.pem", "b-again/key.pem", 0);
    WAIT_FOR(raw_handshake(&r));
    WAIT_FOR(raw_is_closed(&r)); /* nobody knows yet that it is dead */
    ck_assert_uint_eq(node[0].told.rivals, 1);
    ck_assert_uint_eq(node[0].told.down, 0);
    WAIT_FOR(node[0].told.down == 1); /* it has not acknowledged what it was asked with */
    ck_assert_ptr_nonnull(strstr(node[0].told.reason, "no acknowledgement"));
    ck_assert_str_eq(links_user(node[0].links, &node[0].told.node), "");
    raw_free(&r);
    r = raw_join("b-again/cert.pem", "b-again/key.pem");
    ck_assert_uint_eq(node[0].told.rivals, 1);
    ck_assert_uint_eq(node[0].told.down, 1);
    ck_assert_str_eq(links_user(node[0].links, &node[0].told.node), "b-again@pastry");
    raw_free(&r);
    raw_free(&dead);
}
END_TEST

/* A link ends when the certificate at its other end is revoked, and does not come back. */
START_TEST(test_revoked_certificate)
{
    FILE *in, *out;
    struct why why = {""};

    join_two();
    in = fopen(credentials_path("b/cert.pem"), "r");
    X509 *x = PEM_read_X509(in, NULL, NULL, NULL);
    fclose(in);
    ck_assert_ptr_nonnull(x);
    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(x), NULL);
    char *text = BN_bn2hex(number);
    out = fopen(credentials_path("a/revoked"), "w");
    fprintf(out, "%s\n", text);
    fclose(out);
    OPENSSL_free(text);
    BN_free(number);
    X509_free(x);
    ck_assert_int_eq(identity_reread_revoked(node[0].identity, &why), ST_OK);
    WAIT_FOR(node[0].told.down == 1 && node[1].told.down == 1);
    links_connect(node[1].links, node[0].listen, NULL);
    WAIT_FOR(node[1].told.failed == 1);
    links_connect(node[0].links, node[1].listen, NULL);
    WAIT_FOR(node[0].told.failed == 1);
    ck_assert_ptr_nonnull(strstr(node[0].told.reason, "is revoked"));
    unlink(credentials_path("a/revoked"));
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

int
main(void)
{
    TCase *c = tcase_create("link hostile");

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
    tcase_add_test(c, test_second_certificate);
    tcase_add_test(c, test_second_certificate_of_a_dead_node);
    tcase_add_test(c, test_revoked_certificate);
    tcase_add_test(c, test_queue_full);
    return run_links(c, "link hostile");
}
