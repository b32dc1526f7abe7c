/* What a peer does with bad signatures, and with good ones that are old or of another place. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "peer-protocol/routing/envelope.h"
#include "peer-protocol/routing/routing.h"
#include "tests/unit/lan_ask.h"

static struct slice kept; /* a message of host 1 to host 0 */
static bool is_spoiling;

static bool
is_private_request(struct slice message)
{
    struct message m;

    return message_decode(message, &m, NULL) == ST_OK && m.contents.code == MESSAGE_EXP_A_REQ;
}

static bool
tap(unsigned from, unsigned to, struct slice *message)
{
    if (from != 1)
        return true;
    if (to == 0 && !kept.data && is_private_request(*message))
        ck_assert_int_eq(slice_copy(*message, &kept), ST_OK);
    if (is_spoiling) /* the signature's value comes last */
        ((uint8_t *)(uintptr_t)message->data)[message->len - 1] ^= 1;
    return true;
}

static void
begin(bool has_addresses)
{
    lan_setup();
    kept = slice_of(NULL, 0);
    is_spoiling = false;
    for (unsigned i = 0; i < 3; i++) {
        struct peer_conf *conf = &lan.host[lan_add()].conf;
        if (has_addresses)
            memcpy(conf->address, conf->self.address, sizeof(conf->address));
    }
    lan_begin();
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    lan_run_ms(1000);
    lan.tap = tap;
}

static void
teardown(void)
{
    slice_free(&kept);
    lan_teardown();
}

static unsigned
ask_once(void)
{
    struct result r = {0};
    struct peer_reply done = {on_reply, &r};

    peer_ask(lan_peer(1), lan_now(), lan_id(0), PRIVATE_HELLO, slice_text("hello"), 50, &done);
    lan_run_ms(100);
    return r.st == ST_OK;
}

START_TEST(a_sender_of_bad_signatures_loses_its_link)
{
    begin(false);
    ck_assert(ask_once());
    is_spoiling = true;
    for (unsigned i = 0; i < 3 && lan.host[0].is_linked[1]; i++)
        ask_once();
    ck_assert(!lan.host[0].is_linked[1]);
    ck_assert_uint_eq(lan.host[0].requests, 1);
    ck_assert(lan.host[0].remote_lines > 0);
    is_spoiling = false;
    lan_run_ms(20000); /* it comes back, better now, and is not let in */
    ck_assert(!lan.host[0].is_linked[1]);
    ck_assert(lan.host[0].is_linked[2]);
    lan_run_ms(100000);
    ck_assert(ask_once());
}
END_TEST

/* What host 1 once sent comes again, from host @from to host @to. */
static void
again(unsigned from, unsigned to)
{
    lan.host[to].last_remote[0] = '\0';
    lan_put(LAN_MESSAGE, to, lan_id(from), "", kept);
    lan_run_ms(100);
}

static void
keep_one(void)
{
    begin(false);
    ck_assert(ask_once());
    ck_assert_ptr_nonnull(kept.data);
    ck_assert_uint_eq(lan.host[0].requests, 1);
}

/* lan_put copies: what is kept stays. */
START_TEST(a_request_is_carried_out_once)
{
    keep_one();
    lan_run_ms(20000); /* longer than duplicates are remembered */
    again(2, 0);
    ck_assert_uint_eq(lan.host[0].requests, 1);
    ck_assert_ptr_nonnull(strstr(lan.host[0].last_remote, "was here before"));
    lan.wall_ahead_ms += 1801000;
    lan_run_ms(20000);
    again(2, 0);
    ck_assert_uint_eq(lan.host[0].requests, 1);
    ck_assert_ptr_nonnull(strstr(lan.host[0].last_remote, "of another time"));
    ck_assert(ask_once());
}
END_TEST

/* The destination is not signed, but whom it was sent to is. */
START_TEST(a_request_to_one_is_no_request_to_another)
{
    uint8_t *at;

    keep_one();
    at = memmem(kept.data, kept.len, lan_id(0)->bytes, ID_BYTES);
    ck_assert_ptr_nonnull(at);
    memcpy(at, lan_id(2)->bytes, ID_BYTES);
    again(0, 2);
    ck_assert_uint_eq(lan.host[2].requests, 0);
    ck_assert_ptr_nonnull(strstr(lan.host[2].last_remote, "to another node"));
}
END_TEST

/* A request as an earlier version signed it, or one that was made for it. */
START_TEST(a_forwarded_request_says_when_and_to_whom)
{
    struct envelope e = {.keys = fake_keys(&lan.host[1].keys), .max_bytes = 1u << 16};
    struct envelope_letter letter = {.transaction_id = 77, .code = MESSAGE_EXP_A_REQ};
    struct forwarding h;
    struct destination to;
    struct writer destinations, body, w;
    struct slice sealed;

    begin(false);
    e.keys = fake_keys(&lan.host[1].keys);
    e.overlay = envelope_overlay(&e.keys, "test");
    writer_init(&body, 1024);
    writer_init(&destinations, 1024);
    writer_init(&w, 1u << 16);
    private_write(&body, PRIVATE_HELLO, slice_text("hello"));
    letter.body = writer_slice(&body);
    ck_assert_int_eq(envelope_seal(&e, &letter, &sealed), ST_OK);
    h = envelope_header(&e, letter.transaction_id);
    h.configuration_sequence = 1;
    h.ttl = 100;
    to = destination_node(lan_id(0));
    destination_write(&destinations, &to);
    h.destinations = writer_slice(&destinations);
    message_write(&w, &h, sealed, slice_of(NULL, 0));
    ck_assert_int_eq(slice_copy(writer_slice(&w), &kept), ST_OK);
    again(2, 0);
    ck_assert_uint_eq(lan.host[0].requests, 0);
    ck_assert_ptr_nonnull(strstr(lan.host[0].last_remote, "when and to whom"));
    h.transaction_id = 77;
    slice_free(&sealed);
    writer_done(&body);
    writer_done(&destinations);
    writer_done(&w);
}
END_TEST

static unsigned seen_forbidden;

static bool
look(unsigned from, unsigned to, struct slice *message)
{
    struct message m;
    struct error_body error;

    (void)to;
    if (from == 0 && message_decode(*message, &m, NULL) == ST_OK &&
        m.contents.code == MESSAGE_ERROR && error_body_read(m.contents.body, &error) == ST_OK)
        seen_forbidden += error.code == ERROR_FORBIDDEN;
    return true;
}

/* Host 1 asks host 0 to connect to somebody else's address. */
START_TEST(an_attach_names_the_address_of_its_certificate)
{
    static const char *const other[] = {"10.9.9.9:22", "10.0.0.3:6084", "[2001:db8::1]:25"};

    begin(true);
    lan.tap = look;
    for (size_t i = 0; i < 3; i++) {
        lan.host[0].last_remote[0] = '\0';
        seen_forbidden = 0;
        peer_free(lan.host[1].peer);
        lan.host[1].peer = NULL;
        lan.host[1].is_running = false;
        for (unsigned o = 0; o < lan.count; o++)
            lan_cut(1, o);
        snprintf(lan.host[1].conf.self.address, NODE_ADDRESS_BYTES, "%s", other[i]);
        lan_start(1);
        peer_aim(lan_peer(1), lan_now(), PEER_AIM_MEMBER);
        lan_run_ms(10000);
        ck_assert_uint_gt(seen_forbidden, 0);
        ck_assert_ptr_nonnull(
            strstr(lan.host[0].last_remote, "not the address of the certificate"));
        ck_assert_int_ne(peer_state(lan_peer(1)), PEER_JOINED);
    }
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("peer, trust");
    TCase *tc = tcase_create("trust");

    tcase_add_checked_fixture(tc, NULL, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_sender_of_bad_signatures_loses_its_link);
    tcase_add_test(tc, a_request_is_carried_out_once);
    tcase_add_test(tc, a_request_to_one_is_no_request_to_another);
    tcase_add_test(tc, a_forwarded_request_says_when_and_to_whom);
    tcase_add_test(tc, an_attach_names_the_address_of_its_certificate);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
