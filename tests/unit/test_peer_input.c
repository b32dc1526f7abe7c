/* What a peer does with messages that are damaged, forged, replayed or not for it. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "peer-protocol/routing/envelope.h"
#include "peer-protocol/routing/routing.h"
#include "tests/unit/lan_ask.h"

/* ---- bad input ---------------------------------------------------------------------------------
 */

static unsigned mutated_byte;
static bool is_truncating;

static bool
mutate(unsigned from, unsigned to, struct slice *message)
{
    uint8_t *data = (uint8_t *)(uintptr_t)message->data;

    (void)to;
    if (from != 1)
        return true;
    if (is_truncating)
        message->len = mutated_byte % message->len;
    else
        data[mutated_byte % message->len] ^= 0x41;
    return true;
}

/* Each byte of a request in turn, and each length: nothing of it is carried out, nothing breaks. */
START_TEST(test_mutated)
{
    lan_add();
    lan_add();
    lan.host[0].conf.max_bad_signatures = 0; /* host 1 goes on and on */
    lan_begin();
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    lan_run_ms(1000);
    lan.host[1].conf.request_deadline_ms = 100;
    lan.tap = mutate;
    for (unsigned pass = 0; pass < 2; pass++) {
        is_truncating = pass == 1;
        for (mutated_byte = 0; mutated_byte < 300; mutated_byte++) {
            struct result r = {0};
            struct peer_reply done = {on_reply, &r};
            peer_ask(lan_peer(1), lan_now(), lan_id(0), PRIVATE_HELLO, slice_text("hello"), 50,
                     &done);
            lan_run_ms(100);
            ck_assert_uint_eq(r.count, 1);
            if (lan.host[0].requests > 0)
                ck_assert_str_eq(lan.host[0].last_request_body, "hello");
        }
    }
    ck_assert_uint_gt(lan.host[0].remote_lines, 200);
    lan.tap = NULL;
    lan_run_ms(60000);
    ck_assert_int_eq(ask(1, 0, 0).st, ST_OK);
}
END_TEST

/* A message of host 1's, made here: what a test changes of it is signed as it is. */
struct forged {
    uint32_t overlay;
    uint16_t sequence;
    uint8_t ttl;
    uint64_t transaction_id;
    uint16_t code;
    struct slice body;
    struct slice extensions;
    struct slice via;
    struct slice options;
    struct destination to;
};

static struct slice
forge(const struct forged *f)
{
    struct fake_keys *keys = &lan.host[1].keys;
    struct envelope e = {.keys = fake_keys(keys), .overlay = f->overlay, .max_bytes = 1u << 20};
    struct envelope_letter letter = {.transaction_id = f->transaction_id,
                                     .code = f->code,
                                     .body = f->body,
                                     .extensions = f->extensions};
    struct forwarding h = envelope_header(&e, f->transaction_id);
    struct writer destinations, w;
    struct slice sealed, message;

    ck_assert_int_eq(envelope_seal(&e, &letter, &sealed), ST_OK);
    writer_init(&destinations, 1024);
    writer_init(&w, 1u << 20);
    destination_write(&destinations, &f->to);
    h.configuration_sequence = f->sequence;
    h.ttl = f->ttl;
    h.via = f->via;
    h.options = f->options;
    h.destinations = writer_slice(&destinations);
    message_write(&w, &h, sealed, slice_of(NULL, 0));
    ck_assert_int_eq(w.failed, ST_OK);
    ck_assert_int_eq(slice_copy(writer_slice(&w), &message), ST_OK);
    writer_done(&destinations);
    writer_done(&w);
    slice_free(&sealed);
    return message;
}

static uint16_t seen_error;
static unsigned seen_answers;
static uint32_t seen_probe[3]; /* by enum probe_type, from 1 */

static void
take_probe(struct slice body)
{
    struct probe_info info;
    struct slice infos;
    struct reader r;

    ck_assert_int_eq(probe_ans_read(body, &infos), ST_OK);
    reader_init(&r, infos);
    while (probe_info_read(&r, &info))
        seen_probe[info.type - 1] = info.value;
}

/* What host 0 answers. */
static bool
look(unsigned from, unsigned to, struct slice *message)
{
    struct message m;
    struct error_body error;

    (void)to;
    if (from != 0 || message_decode(*message, &m, NULL) != ST_OK ||
        routing_is_request(m.contents.code))
        return true;
    seen_answers++;
    seen_error = 0;
    if (m.contents.code == MESSAGE_PROBE_ANS)
        take_probe(m.contents.body);
    if (m.contents.code == MESSAGE_ERROR && error_body_read(m.contents.body, &error) == ST_OK)
        seen_error = error.code;
    return true;
}

static void
give(const struct forged *f)
{
    struct slice message = forge(f);

    seen_error = 0;
    seen_answers = 0;
    lan.tap = look;
    peer_on_message(lan_peer(0), lan_now(), lan_id(1), message);
    lan.tap = NULL;
    slice_free(&message);
}

static struct forged
good_ping(struct writer *body)
{
    struct ping_req ping = {0};
    struct keys keys = fake_keys(&lan.host[1].keys);

    writer_reset(body);
    ping_req_write(body, &ping);
    return (struct forged){.overlay = envelope_overlay(&keys, "test"),
                           .sequence = 1,
                           .ttl = 100,
                           .transaction_id = 0x1234,
                           .code = MESSAGE_PING_REQ,
                           .body = writer_slice(body),
                           .to = destination_node(lan_id(0))};
}

static void
two_members(void)
{
    lan_members(2);
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    lan_run_ms(1000);
}

/* Two members share the ring: host 0 has what lies behind host 1, up to itself. */
START_TEST(test_probe)
{
    static const uint8_t types[] = {PROBE_RESPONSIBLE_SET, PROBE_NUM_RESOURCES, PROBE_UPTIME};
    struct probe_req probe = {.types = slice_of(types, sizeof(types))};
    struct writer body;
    struct forged f;
    uint64_t top = 0;

    two_members();
    writer_init(&body, 4096);
    f = good_ping(&body);
    writer_reset(&body);
    probe_req_write(&body, &probe);
    f.code = MESSAGE_PROBE_REQ;
    f.body = writer_slice(&body);
    give(&f);
    ck_assert_uint_eq(seen_answers, 1);
    struct id part = id_subtract(lan_id(0), lan_id(1));
    for (unsigned i = 0; i < 4; i++)
        top = top << 8 | part.bytes[i];
    uint32_t wanted = (uint32_t)(top * 1000000000 >> 32);
    ck_assert_uint_gt(seen_probe[0] + 2, wanted);
    ck_assert_uint_lt(seen_probe[0], wanted + 2);
    ck_assert_uint_gt(seen_probe[2], 0);
    writer_done(&body);
}
END_TEST

START_TEST(test_refused)
{
    struct writer body;
    struct forged f;
    struct id elsewhere = {{0x42}};
    const struct peer_counters *c;

    two_members();
    c = peer_counters_of(lan_peer(0));
    writer_init(&body, 4096);
    f = good_ping(&body);
    give(&f);
    ck_assert_uint_eq(seen_answers, 1);
    ck_assert_uint_eq(seen_error, 0);

    uint64_t refused = c->refused;
    f = good_ping(&body);
    f.overlay ^= 1;
    give(&f);
    ck_assert_uint_eq(seen_answers, 0);
    ck_assert_uint_eq(c->refused, refused + 1);

    f = good_ping(&body);
    f.sequence = 0;
    give(&f);
    ck_assert_uint_eq(seen_error, ERROR_CONFIG_TOO_OLD);
    f.sequence = 2;
    give(&f);
    ck_assert_uint_eq(seen_error, ERROR_CONFIG_TOO_NEW);

    f = good_ping(&body);
    f.ttl = 101;
    give(&f);
    ck_assert_uint_eq(seen_error, ERROR_TTL_EXCEEDED);
    f.ttl = 0; /* it is for this node: no matter */
    give(&f);
    ck_assert_uint_eq(seen_error, 0);
    ck_assert_uint_eq(seen_answers, 1);

    f = good_ping(&body);
    f.to = destination_node(&elsewhere); /* nobody: dropped */
    give(&f);
    ck_assert_uint_eq(seen_answers, 0);

    writer_done(&body);
}
END_TEST

START_TEST(test_refused_options)
{
    struct writer body, list;
    struct forged f;
    struct extension critical = {.type = 0x7777, .is_critical = true};
    struct forwarding_option option = {.type = 9, .flags = FORWARDING_DESTINATION_CRITICAL};

    two_members();
    writer_init(&body, 4096);
    writer_init(&list, 4096);
    f = good_ping(&body);
    extension_write(&list, &critical);
    f.extensions = writer_slice(&list);
    give(&f);
    ck_assert_uint_eq(seen_error, ERROR_UNKNOWN_EXTENSION);

    writer_reset(&list);
    forwarding_option_write(&list, &option);
    f = good_ping(&body);
    f.options = writer_slice(&list);
    give(&f);
    ck_assert_uint_eq(seen_error, ERROR_UNSUPPORTED_FORWARDING_OPTION);

    f = good_ping(&body);
    f.body = slice_text("nonsense");
    give(&f);
    ck_assert_uint_eq(seen_error, ERROR_INVALID_MESSAGE);
    f.code = MESSAGE_STORE_REQ;
    give(&f);
    ck_assert_uint_eq(seen_error, ERROR_INVALID_MESSAGE);
    f.code = 0x31;
    f.transaction_id++;
    give(&f);
    ck_assert_uint_eq(seen_error, ERROR_INVALID_MESSAGE);
    for (uint16_t code = 1; code < 0x40; code += 2) {
        f.code = code;
        f.transaction_id++;
        give(&f);
        ck_assert_uint_ne(seen_error, 0);
    }
    writer_done(&body);
    writer_done(&list);
}
END_TEST

/* A Ping that host 0 of three members is to pass on to host 2. */
static struct forged
ping_to_pass_on(struct writer *ret_body)
{
    struct forged f;

    lan_members(3);
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    lan_run_ms(1000);
    writer_init(ret_body, 4096);
    f = good_ping(ret_body);
    f.to = destination_node(lan_id(2));
    return f;
}

START_TEST(test_via_overflow)
{
    struct writer body, via;
    struct forged f = ping_to_pass_on(&body);
    struct destination one;

    writer_init(&via, 1u << 16);
    one = destination_node(lan_id(2));
    for (unsigned i = 0; i < MESSAGE_LIST_MAX; i++)
        destination_write(&via, &one);
    f.via = writer_slice(&via);
    uint64_t forwarded = peer_counters_of(lan_peer(0))->forwarded;
    uint64_t refused = peer_counters_of(lan_peer(0))->refused;
    give(&f);
    ck_assert_uint_eq(peer_counters_of(lan_peer(0))->forwarded, forwarded);
    ck_assert_uint_eq(peer_counters_of(lan_peer(0))->refused, refused + 1);
    writer_done(&body);
    writer_done(&via);
}
END_TEST

/* A request that goes round comes by five times; then the link it went to is in doubt. */
START_TEST(test_what_comes_by_often_goes_again_once)
{
    struct writer body;
    struct forged f = ping_to_pass_on(&body);
    uint64_t forwarded = peer_counters_of(lan_peer(0))->forwarded;

    lan.host[2].is_cut_off = true;
    for (unsigned i = 0; i < 5; i++)
        give(&f);
    ck_assert_uint_eq(peer_counters_of(lan_peer(0))->forwarded, forwarded + 5);
    peer_on_link_suspect(lan_peer(0), lan_now(), lan_id(2), true);
    ck_assert_uint_le(peer_counters_of(lan_peer(0))->forwarded, forwarded + 6);
    peer_on_link_suspect(lan_peer(0), lan_now(), lan_id(2), false);
    peer_on_link_suspect(lan_peer(0), lan_now(), lan_id(2), true);
    ck_assert_uint_le(peer_counters_of(lan_peer(0))->forwarded, forwarded + 7);
    ck_assert_uint_gt(peer_counters_of(lan_peer(0))->forwarded, forwarded + 5);
    writer_done(&body);
}
END_TEST

START_TEST(test_replay)
{
    struct writer body;
    struct forged f;

    two_members();
    writer_init(&body, 4096);
    f = good_ping(&body);
    writer_reset(&body);
    private_write(&body, PRIVATE_HELLO, slice_text("again"));
    f.code = MESSAGE_EXP_A_REQ;
    f.body = writer_slice(&body);
    for (unsigned i = 0; i < 5; i++) {
        give(&f);
        ck_assert_uint_eq(seen_answers, 1);
        ck_assert_uint_eq(seen_error, 0);
        ck_assert_uint_eq(lan.host[0].requests, 1);
    }
    lan.host[0].is_answering = false;
    f.transaction_id++;
    for (unsigned i = 0; i < 3; i++) { /* while the answer is not ready: silence */
        give(&f);
        ck_assert_uint_eq(seen_answers, 0);
        ck_assert_uint_eq(lan.host[0].requests, 2);
    }
    writer_done(&body);
}
END_TEST

static uint64_t asked_transaction;

static bool
note_request(unsigned from, unsigned to, struct slice *message)
{
    struct message m;

    (void)to;
    if (from == 0 && message_decode(*message, &m, NULL) == ST_OK &&
        m.contents.code == MESSAGE_EXP_A_REQ)
        asked_transaction = m.header.transaction_id;
    return false;
}

/* Host 0 asks host 2; host 1 answers in its place, rightly signed as host 1. */
START_TEST(test_answers_of_others)
{
    struct writer body;
    struct forged f;
    struct result r = {0};
    struct peer_reply done = {on_reply, &r};

    lan_members(3);
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    lan_run_ms(1000);
    lan.tap = note_request;
    peer_ask(lan_peer(0), lan_now(), lan_id(2), PRIVATE_HELLO, slice_text("x"), 400, &done);
    writer_init(&body, 4096);
    f = good_ping(&body);
    writer_reset(&body);
    private_write(&body, PRIVATE_HELLO, slice_text("forged"));
    f.body = writer_slice(&body);
    f.code = MESSAGE_EXP_A_ANS;
    f.transaction_id = asked_transaction + 1; /* of no request */
    give(&f);
    ck_assert_uint_eq(r.count, 0);
    f.transaction_id = asked_transaction; /* of this request, from the wrong node */
    give(&f);
    ck_assert_uint_eq(r.count, 0);
    ck_assert_ptr_nonnull(strstr(lan.host[0].last_remote, "not asked"));
    f.code = MESSAGE_PING_ANS;
    give(&f);
    ck_assert_uint_eq(r.count, 0);
    lan_run_ms(500);
    ck_assert_uint_eq(r.count, 1);
    ck_assert_int_eq(r.st, ST_TIMEOUT);
    writer_done(&body);
}
END_TEST

static unsigned spoiled;

/* The stored value's signature in an answer to a Fetch is changed, and the message signed anew. */
static void
spoil_values(struct fake_keys *keys, struct slice *message)
{
    struct envelope e = {.keys = fake_keys(keys), .max_bytes = 1u << 20};
    struct envelope_letter letter = {.code = MESSAGE_FETCH_ANS};
    struct message m;
    struct slice sealed;
    struct writer w;
    uint8_t body[4096];

    if (message_decode(*message, &m, NULL) != ST_OK || m.contents.code != MESSAGE_FETCH_ANS)
        return;
    memcpy(body, m.contents.body.data, m.contents.body.len);
    body[m.contents.body.len - 1] ^= 1; /* the last byte of the last signature */
    e.overlay = m.header.overlay;
    letter.transaction_id = m.header.transaction_id;
    letter.body = slice_of(body, m.contents.body.len);
    letter.certificates = m.security.certificates;
    ck_assert_int_eq(envelope_seal(&e, &letter, &sealed), ST_OK);
    writer_init(&w, 1u << 20);
    message_write(&w, &m.header, sealed, slice_of(NULL, 0));
    slice_free(message);
    ck_assert_int_eq(slice_copy(writer_slice(&w), message), ST_OK);
    writer_done(&w);
    slice_free(&sealed);
    spoiled++;
}

static bool
spoil(unsigned from, unsigned to, struct slice *message)
{
    (void)to;
    spoil_values(&lan.host[from].keys, message);
    return true;
}

START_TEST(test_broken_value)
{
    unsigned owner, reader;

    two_members();
    ck_assert_int_eq(store(0, "alice@test", "one", true).st, ST_OK);
    owner = responsible_for("alice@test");
    reader = 1 - owner;
    ck_assert_uint_eq(fetch(reader, "alice@test").data, 1);
    lan.tap = spoil;
    spoiled = 0;
    struct result r = fetch(reader, "alice@test");
    ck_assert_uint_gt(spoiled, 0);
    ck_assert_int_eq(r.st, ST_OK);
    ck_assert_uint_eq(r.data, 0);
    ck_assert_ptr_nonnull(strstr(lan.host[reader].last_remote, "left out"));
}
END_TEST

/* Somebody else's key: NODE_KEY says no. */
START_TEST(test_foreign_key)
{
    struct result r = {0};
    struct peer_reply done = {on_reply, &r};
    struct peer_value v = {.kind = KIND_BINDING,
                           .key = {{7}},
                           .exists = true,
                           .lifetime_s = 60,
                           .value = slice_text("stolen")};

    two_members();
    peer_store(lan_peer(0), lan_now(), "alice@test", &v, &done);
    lan_run_ms(1000);
    ck_assert_uint_eq(r.count, 1);
    ck_assert_int_eq(r.st, ST_FORBIDDEN);
    ck_assert_uint_eq(fetch(1, "alice@test").data, 0);
}
END_TEST

static unsigned fragments;

static bool
count_fragments(unsigned from, unsigned to, struct slice *message)
{
    struct forwarding h;

    (void)from;
    (void)to;
    ck_assert_uint_le(message->len, 2000);
    if (forwarding_read(*message, &h, NULL, NULL) == ST_OK && h.fragment != MESSAGE_SINGLE_FRAGMENT)
        fragments++;
    return true;
}

START_TEST(test_fragments)
{
    static char large[8000];
    struct result r = {0};
    struct peer_reply done = {on_reply, &r};
    struct peer_value v = {.kind = KIND_BINDING, .exists = true, .lifetime_s = 60};

    for (unsigned i = 0; i < 3; i++) {
        lan_add();
        lan.host[i].conf.max_message_bytes = 2000;
        lan_start(i);
        peer_aim(lan_peer(i), lan_now(), PEER_AIM_MEMBER);
    }
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    lan_run_ms(1000);
    lan.tap = count_fragments;
    memset(large, 'x', sizeof(large));
    v.value = slice_of(large, sizeof(large));
    v.key = *lan_id(0);
    peer_store(lan_peer(0), lan_now(), "alice@test", &v, &done);
    lan_run_ms(1000);
    ck_assert_uint_eq(r.count, 1);
    ck_assert_int_eq(r.st, ST_OK);
    ck_assert_uint_gt(fragments, 8);
    ck_assert_uint_eq(holders(), 3);
}
END_TEST

/* The first hop is in doubt: what is under way takes another one at once. */
START_TEST(test_suspect_first_hop)
{
    struct result r = {0};
    struct peer_reply done = {on_reply, &r};
    unsigned client;

    lan_members(3);
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    client = lan_add();
    lan.host[client].conf.bootstrap_count = 2;
    snprintf(lan.host[client].conf.bootstrap[1], NODE_ADDRESS_BYTES, "10.0.0.2:6084");
    lan_start(client);
    peer_aim(lan_peer(client), lan_now(), PEER_AIM_CLIENT);
    lan_run_ms(1000);
    ck_assert_uint_eq(peer_neighbour_count(lan_peer(client)), 2);
    lost_left = 1;
    lan.tap = lose;
    peer_ask(lan_peer(client), lan_now(), lan_id(2), PRIVATE_HELLO, slice_text("x"), 300, &done);
    peer_on_link_suspect(lan_peer(client), lan_now(), lan_id(0), true);
    lan_run_ms(50);
    ck_assert_uint_eq(r.count, 1);
    ck_assert_int_eq(r.st, ST_OK);
}
END_TEST

START_TEST(test_security_none)
{
    lan.is_secure = false;
    lan_members(4);
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    lan_run_ms(1000);
    ck_assert_int_eq(store(1, "alice@test", "one", true).st, ST_OK);
    struct result r = fetch(2, "alice@test");
    ck_assert_str_eq(r.value, "one");
    ck_assert(id_equal(&r.writer, lan_id(1)));
    r = ask(3, 1, 0);
    ck_assert_int_eq(r.st, ST_OK);
    ck_assert(id_equal(&lan.host[1].last_request.from, lan_id(3)));
}
END_TEST

START_TEST(test_free_ends_all)
{
    struct result r = {0};
    struct peer_reply done = {on_reply, &r};
    struct peer_fetched fetched = {on_fetched, &r};

    two_members();
    lan.host[0].is_answering = false;
    peer_ask(lan_peer(1), lan_now(), lan_id(0), PRIVATE_HELLO, slice_text("x"), 0, &done);
    peer_fetch(lan_peer(1), lan_now(), "alice@test", KIND_BINDING, &fetched);
    peer_fetch(lan_peer(1), lan_now(), "alice@test", 0x77, &fetched);
    lan_crash(1);
    ck_assert_uint_eq(r.count, 3);
}
END_TEST

static Suite *
suite(void)
{
    Suite *s = suite_create("peer_input");
    TCase *t = tcase_create("input");

    tcase_add_checked_fixture(t, lan_setup, lan_teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_mutated);
    tcase_add_test(t, test_probe);
    tcase_add_test(t, test_refused);
    tcase_add_test(t, test_refused_options);
    tcase_add_test(t, test_via_overflow);
    tcase_add_test(t, test_what_comes_by_often_goes_again_once);
    tcase_add_test(t, test_replay);
    tcase_add_test(t, test_answers_of_others);
    tcase_add_test(t, test_broken_value);
    tcase_add_test(t, test_foreign_key);
    tcase_add_test(t, test_fragments);
    tcase_add_test(t, test_suspect_first_hop);
    tcase_add_test(t, test_security_none);
    tcase_add_test(t, test_free_ends_all);
    suite_add_tcase(s, t);
    return s;
}

int
main(void)
{
    SRunner *r = srunner_create(suite());
    int failed;

    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed > 0;
}
