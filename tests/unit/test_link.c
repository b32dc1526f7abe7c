#include "tests/unit/link_nodes.h"

/* ---- links that work ------------------------------------------------------------------------ */

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
    ck_assert_int_eq(SSL_version(r.ssl), TLS1_2_VERSION);
    raw_free(&r);
    WAIT_FOR(node[0].told.down == 1);
    ck_assert_uint_eq(node[0].told.broken, 1); /* it ended without a word */
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
    ck_assert_uint_eq(node[0].told.broken + node[1].told.broken, 0);
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

/* ---- one link a pair of nodes --------------------------------------------------------------- */

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

/* Who admits nobody keeps the link it has, and closes what comes new before it costs a handshake.
 */
START_TEST(test_admit)
{
    start(0, "a");
    start(1, "b");
    links_admit(node[1].links, false);
    links_connect(node[0].links, node[1].listen, id_of(1));
    WAIT_FOR(node[0].told.failed == 1);
    ck_assert_uint_eq(links_count(node[1].links), 0);
    links_admit(node[1].links, true);
    links_connect(node[0].links, node[1].listen, id_of(1));
    WAIT_FOR(node[0].told.up == 1 && node[1].told.up == 1);
    links_admit(node[1].links, false);
    ck_assert_int_eq(links_send(node[0].links, id_of(1), text("x")), ST_OK);
    WAIT_FOR(node[1].told.messages == 1);
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

int
main(void)
{
    TCase *c = tcase_create("link");

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
    tcase_add_test(c, test_crossing);
    tcase_add_test(c, test_connect_again);
    tcase_add_test(c, test_admit);
    tcase_add_test(c, test_replaced);
    tcase_add_test(c, test_replaced_when_suspect);
    tcase_add_test(c, test_restart);
    return run_links(c, "link");
}
