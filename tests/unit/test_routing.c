#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "peer-protocol/routing/duplicates.h"
#include "peer-protocol/routing/envelope.h"
#include "peer-protocol/routing/routing.h"
#include "peer-protocol/routing/transactions.h"
#include "tests/unit/fake_keys.h"

static const struct id self = {{1}};
static const struct id link_node = {{2}};
static const struct id other = {{3}};
static const struct id far = {{4}};

/* ---- routing_decide
 * ------------------------------------------------------------------------------
 */

/* Resource-IDs that begin with 0xaa end here, those with 0xbb nowhere; all else goes to far. */
static enum status
next_hop(void *ctx, const struct id *id, bool is_node, struct id *ret_next)
{
    (void)ctx;
    if (!is_node && id->bytes[0] == 0xaa)
        return ST_EXISTS;
    if (id->bytes[0] == 0xbb)
        return is_node ? ST_EXISTS : ST_UNREACHABLE;
    *ret_next = is_node && id_equal(id, &other) ? other : far;
    return ST_OK;
}

static const struct routing_table table = {.next_hop = next_hop};

static struct routing
decide(struct forwarding *h, const struct destination *to, size_t count, struct writer *list)
{
    struct routing r;

    writer_reset(list);
    routing_destinations(to, count, list);
    h->destinations = writer_slice(list);
    routing_decide(h, true, &self, 100, &table, &r);
    return r;
}

START_TEST(test_decide)
{
    struct forwarding h = {.ttl = 50};
    struct writer list;
    struct id mine = {{0xaa}}, nobodys = {{0xbb}}, all;
    struct destination node_self = destination_node(&self), node_other = destination_node(&other);
    struct destination resource = destination_resource(&mine);
    struct destination compact = {
        .type = DESTINATION_OPAQUE, .opaque = slice_of("\x80\x01", 2), .is_compact = true};
    struct routing r;

    writer_init(&list, 4096);
    memset(&all, 0xff, sizeof(all));
    r = decide(&h, &node_self, 1, &list);
    ck_assert_int_eq(r.verdict, ROUTING_DELIVER);
    r = decide(&h, &resource, 1, &list);
    ck_assert_int_eq(r.verdict, ROUTING_DELIVER);
    ck_assert(id_equal(&r.target.id, &mine));
    struct destination wildcard = destination_node(&all);
    r = decide(&h, &wildcard, 1, &list);
    ck_assert_int_eq(r.verdict, ROUTING_DELIVER); /* a wildcard is never sent on */
    r = decide(&h, (struct destination[]){node_self, node_other, resource}, 3, &list);
    ck_assert_int_eq(r.verdict, ROUTING_FORWARD);
    ck_assert(id_equal(&r.next, &other));
    ck_assert_uint_eq(r.destinations.len, 18 + 19);
    r = decide(&h, (struct destination[]){resource, node_other}, 2, &list);
    ck_assert_int_eq(r.verdict, ROUTING_DROP);
    r = decide(&h, &compact, 1, &list);
    ck_assert_int_eq(r.verdict, ROUTING_DROP);
    r = decide(&h, NULL, 0, &list);
    ck_assert_int_eq(r.verdict, ROUTING_DROP);
    struct destination lost = destination_node(&nobodys);
    r = decide(&h, &lost, 1, &list); /* section 6.1.1: a Node-ID of ours that is not ours */
    ck_assert_int_eq(r.verdict, ROUTING_DROP);
    lost = destination_resource(&nobodys);
    r = decide(&h, &lost, 1, &list);
    ck_assert_int_eq(r.verdict, ROUTING_DROP);
    writer_done(&list);
}
END_TEST

START_TEST(test_ttl)
{
    struct forwarding h = {.ttl = 0};
    struct writer list;
    struct destination node_self = destination_node(&self), node_other = destination_node(&other);
    struct routing r;

    writer_init(&list, 4096);
    r = decide(&h, &node_other, 1, &list);
    ck_assert_int_eq(r.verdict, ROUTING_REFUSE);
    ck_assert_uint_eq(r.error, ERROR_TTL_EXCEEDED);
    r = decide(&h, &node_self, 1, &list);
    ck_assert_int_eq(r.verdict, ROUTING_DELIVER);
    h.ttl = 101;
    r = decide(&h, &node_self, 1, &list);
    ck_assert_int_eq(r.verdict, ROUTING_REFUSE);
    ck_assert_uint_eq(r.error, ERROR_TTL_EXCEEDED);
    writer_done(&list);
}
END_TEST

START_TEST(test_options)
{
    struct forwarding_option o = {
        .type = 9, .flags = FORWARDING_FORWARD_CRITICAL, .data = slice_text("ab")};
    struct forwarding h = {.ttl = 9};
    struct destination node_other = destination_node(&other);
    struct writer list, options, copy;
    struct reader in;
    struct routing r;

    writer_init(&list, 4096);
    writer_init(&options, 4096);
    writer_init(&copy, 4096);
    forwarding_option_write(&options, &o);
    h.options = writer_slice(&options);
    r = decide(&h, &node_other, 1, &list);
    ck_assert_int_eq(r.verdict, ROUTING_REFUSE);
    ck_assert_uint_eq(r.error, ERROR_UNSUPPORTED_FORWARDING_OPTION);
    ck_assert(!routing_has_option(h.options, FORWARDING_DESTINATION_CRITICAL));

    o.flags = FORWARDING_RESPONSE_COPY;
    o.type = 10;
    forwarding_option_write(&options, &o);
    routing_response_options(writer_slice(&options), &copy);
    reader_init(&in, writer_slice(&copy));
    ck_assert(forwarding_option_read(&in, &o));
    ck_assert_uint_eq(o.type, 10);
    ck_assert_uint_eq(o.flags, 0);
    ck_assert_uint_eq(reader_left(&in), 0);
    writer_done(&list);
    writer_done(&options);
    writer_done(&copy);
}
END_TEST

/* ---- on the wire -------------------------------------------------------------------------------
 */

static struct slice
letter(struct fake_keys *keys, const char *body)
{
    struct envelope e = {.keys = fake_keys(keys),
                         .overlay = 0x01020304,
                         .configuration_sequence = 1,
                         .initial_ttl = 100,
                         .max_bytes = 65000};
    struct envelope_letter l = {
        .transaction_id = 77, .code = MESSAGE_EXP_A_REQ, .body = slice_text(body)};
    struct forwarding h = envelope_header(&e, 77);
    struct destination to = destination_node(&far);
    struct writer list, w;
    struct slice sealed, message;

    ck_assert_int_eq(envelope_seal(&e, &l, &sealed), ST_OK);
    writer_init(&list, 4096);
    writer_init(&w, 65000);
    routing_destinations(&to, 1, &list);
    h.destinations = writer_slice(&list);
    message_write(&w, &h, sealed, slice_of(NULL, 0));
    ck_assert_int_eq(slice_copy(writer_slice(&w), &message), ST_OK);
    writer_done(&list);
    writer_done(&w);
    slice_free(&sealed);
    return message;
}

START_TEST(test_forward_and_back)
{
    struct fake_keys keys;
    struct forwarding h;
    struct routing r;
    struct message m;
    struct writer w, back, expected;
    struct slice message;
    struct signer signer;
    struct envelope e = {.max_bytes = 65000};
    struct destination reversed[] = {destination_node(&other), destination_node(&link_node)};

    fake_keys_init(&keys, &link_node, "n@test");
    e.keys = fake_keys(&keys);
    message = letter(&keys, "hi");
    writer_init(&w, 65000);
    ck_assert_int_eq(forwarding_read(message, &h, NULL, NULL), ST_OK);
    routing_decide(&h, true, &self, 100, &table, &r);
    ck_assert_int_eq(r.verdict, ROUTING_FORWARD);
    ck_assert_int_eq(routing_forward(message, &h, &r, &link_node, &w), ST_OK);
    ck_assert_int_eq(message_decode(writer_slice(&w), &m, NULL), ST_OK);
    ck_assert_uint_eq(m.header.ttl, 99);
    ck_assert_uint_eq(m.header.via.len, 18);
    ck_assert(slice_equal(m.header.destinations, h.destinations));
    struct id origin = envelope_origin(&m.header, &other);
    ck_assert(id_equal(&origin, &link_node));
    /* the signature does not cover what forwarders change */
    ck_assert_int_eq(envelope_verify(&e, &m, &other, 0, &signer, NULL), ST_OK);
    ck_assert(id_equal(&signer.node, &link_node));

    writer_init(&back, 4096);
    writer_init(&expected, 4096);
    routing_response_destinations(m.header.via, &other, &back);
    routing_destinations(reversed, 2, &expected);
    ck_assert(slice_equal(writer_slice(&back), writer_slice(&expected)));
    writer_done(&back);
    writer_done(&expected);
    writer_done(&w);
    slice_free(&message);
}
END_TEST

/* A forwarder that does not count makes its via list a made-up one. */
START_TEST(test_via_list_is_bounded)
{
    struct fake_keys keys;
    struct forwarding h;
    struct routing r;
    struct slice message;
    struct writer w[2];
    unsigned at = 0, hops = 0;

    fake_keys_init(&keys, &link_node, "n@test");
    message = letter(&keys, "hi");
    writer_init(&w[0], 65000);
    writer_init(&w[1], 65000);
    writer_bytes(&w[0], message);
    for (;;) {
        struct slice in = writer_slice(&w[at]);
        ck_assert_int_eq(forwarding_read(in, &h, NULL, NULL), ST_OK);
        h.ttl = 50;
        routing_decide(&h, true, &self, 100, &table, &r);
        if (r.verdict != ROUTING_FORWARD)
            break;
        writer_reset(&w[1 - at]);
        ck_assert_int_eq(routing_forward(in, &h, &r, &link_node, &w[1 - at]), ST_OK);
        at = 1 - at;
        ck_assert_uint_le(++hops, MESSAGE_LIST_MAX);
    }
    ck_assert_uint_eq(hops, 51);
    ck_assert_int_eq(r.verdict, ROUTING_REFUSE);
    ck_assert_uint_eq(r.error, 0); /* nobody knows to whom an answer would go */
    writer_done(&w[0]);
    writer_done(&w[1]);
    slice_free(&message);
}
END_TEST

static void
refuses(struct forwarding *h, const struct destination *to, size_t count, struct writer *list)
{
    struct routing r = decide(h, to, count, list);

    ck_assert_int_eq(r.verdict, ROUTING_REFUSE);
    ck_assert_uint_eq(r.error, ERROR_INVALID_MESSAGE);
}

START_TEST(test_no_destination_twice)
{
    struct forwarding h = {.ttl = 100};
    struct destination to[90], wildcard;
    struct destination compact = {
        .type = DESTINATION_OPAQUE, .opaque = slice_of("\x80\x01", 2), .is_compact = true};
    struct id all;
    struct writer list;

    writer_init(&list, 1u << 16);
    for (unsigned i = 0; i < 90; i++)
        to[i] = destination_node((const struct id *[]){&self, &other, &far}[i % 3]);
    refuses(&h, to, 90, &list);
    refuses(&h, to, 4, &list);
    refuses(&h, (struct destination[]){to[1], to[0], to[1]}, 3, &list);
    refuses(&h, (struct destination[]){to[1], compact, compact}, 3, &list);
    ck_assert_int_eq(decide(&h, to, 3, &list).verdict, ROUTING_FORWARD);

    memset(&all, 0xff, sizeof(all));
    wildcard = destination_node(&all);
    refuses(&h, (struct destination[]){wildcard, to[1]}, 2, &list);
    writer_done(&list);
}
END_TEST

START_TEST(test_few_destinations)
{
    struct forwarding h = {.ttl = 100};
    struct destination to[ROUTING_DESTINATIONS_MAX + 1];
    struct routing r;
    struct writer list;

    writer_init(&list, 1u << 16);
    for (uint8_t i = 0; i <= ROUTING_DESTINATIONS_MAX; i++)
        to[i] = destination_node(&(struct id){{3, i}});
    ck_assert_int_eq(decide(&h, to, ROUTING_DESTINATIONS_MAX, &list).verdict, ROUTING_FORWARD);
    refuses(&h, to, ROUTING_DESTINATIONS_MAX + 1, &list);
    routing_decide(&h, false, &self, 100, &table, &r); /* a response goes back the whole way */
    ck_assert_int_eq(r.verdict, ROUTING_FORWARD);
    writer_done(&list);
}
END_TEST

/* What lies between two visits to one node is left out. */
START_TEST(test_the_way_back_has_no_circles)
{
    struct destination a = destination_node(&other), b = destination_node(&far);
    struct destination c = destination_node(&link_node), d = destination_node(&(struct id){{9}});
    struct writer via, back, expected;

    writer_init(&via, 4096);
    writer_init(&back, 4096);
    writer_init(&expected, 4096);
    routing_destinations((struct destination[]){a, b, c, a, d}, 5, &via);
    routing_response_destinations(writer_slice(&via), &link_node, &back);
    routing_destinations((struct destination[]){c, b, a}, 3, &expected);
    ck_assert(slice_equal(writer_slice(&back), writer_slice(&expected)));

    writer_reset(&via);
    writer_reset(&back);
    writer_reset(&expected);
    routing_destinations((struct destination[]){d, a, b, c, a}, 5, &via);
    routing_response_destinations(writer_slice(&via), &self, &back);
    routing_destinations((struct destination[]){destination_node(&self), a, d}, 3, &expected);
    ck_assert(slice_equal(writer_slice(&back), writer_slice(&expected)));
    writer_done(&via);
    writer_done(&back);
    writer_done(&expected);
}
END_TEST

START_TEST(test_verify)
{
    struct fake_keys keys, none_keys;
    struct envelope e = {.max_bytes = 65000}, none = {.max_bytes = 65000};
    struct message m;
    struct signer signer;
    struct slice message;
    struct why why;
    uint8_t *data;

    fake_keys_init(&keys, &link_node, "n@test");
    fake_keys_init(&none_keys, &other, "o@test");
    e.keys = fake_keys(&keys);
    none.keys = (struct keys){.ops = &fake_none_ops, .ctx = &none_keys};
    message = letter(&keys, "hi");
    data = (uint8_t *)(uintptr_t)message.data;
    ck_assert_int_eq(message_decode(message, &m, NULL), ST_OK);
    ck_assert_int_eq(envelope_verify(&e, &m, &other, 0, &signer, &why), ST_OK);
    ck_assert_int_eq(envelope_verify(&none, &m, &other, 0, &signer, &why), ST_OK);
    ck_assert(id_equal(&signer.node, &other)); /* security "none" believes the link */

    data[11] ^= 1; /* the TTL changes on the way; the transaction ID is signed (section 6.3.4) */
    ck_assert_int_eq(message_decode(message, &m, NULL), ST_OK);
    ck_assert_int_eq(envelope_verify(&e, &m, &other, 0, &signer, &why), ST_OK);
    data[20] ^= 1;
    ck_assert_int_eq(message_decode(message, &m, NULL), ST_OK);
    ck_assert_int_eq(envelope_verify(&e, &m, &other, 0, &signer, &why), ST_SIGNATURE);
    data[20] ^= 1;
    data[4] ^= 1; /* and the overlay */
    ck_assert_int_eq(message_decode(message, &m, NULL), ST_OK);
    ck_assert_int_eq(envelope_verify(&e, &m, &other, 0, &signer, &why), ST_SIGNATURE);
    data[4] ^= 1;
    m.security.signature = signature_none();
    ck_assert_int_eq(envelope_verify(&e, &m, &other, 0, &signer, &why), ST_SIGNATURE);
    slice_free(&message);
}
END_TEST

/* ---- transactions ------------------------------------------------------------------------------
 */

static struct transactions *requests;
static unsigned sent, expired;
static uint64_t clock_ms;
static const struct id *hop;

static void
on_send(void *owner, struct transaction *tr)
{
    (void)owner;
    sent++;
    transactions_sent(requests, tr, clock_ms, hop);
}

static void
on_expired(void *owner, struct transaction *tr)
{
    (void)owner;
    expired++;
    transaction_free(tr);
}

static void
run_to(uint64_t ms)
{
    while (transactions_deadline_ms(requests) <= ms) {
        if (clock_ms < transactions_deadline_ms(requests))
            clock_ms = transactions_deadline_ms(requests);
        transactions_run(requests, clock_ms, NULL, on_send, on_expired);
    }
    clock_ms = ms;
}

static enum status
add(uint64_t id, uint64_t deadline_ms)
{
    struct transaction *tr = calloc(1, sizeof(*tr));
    enum status st;

    *tr = (struct transaction){.id = id, .next_ms = clock_ms, .deadline_ms = deadline_ms};
    st = transactions_add(requests, tr);
    if (st != ST_OK)
        transaction_free(tr);
    return st;
}

static void
requests_setup(void)
{
    ck_assert_int_eq(transactions_new(3, 500, &requests), ST_OK);
    sent = expired = 0;
    clock_ms = 1000;
    hop = &other;
}

static void
requests_teardown(void)
{
    transactions_free(requests);
}

START_TEST(test_sent_five_times)
{
    ck_assert_int_eq(add(1, 4000), ST_OK);
    run_to(1000);
    ck_assert_uint_eq(sent, 1);
    run_to(1499);
    ck_assert_uint_eq(sent, 1);
    run_to(1500);
    ck_assert_uint_eq(sent, 2);
    run_to(3999);
    ck_assert_uint_eq(sent, 5);
    ck_assert_uint_eq(expired, 0);
    run_to(4000);
    ck_assert_uint_eq(expired, 1);
    ck_assert_uint_eq(transactions_count(requests), 0);
    run_to(9000);
    ck_assert_uint_eq(sent, 5);
}
END_TEST

START_TEST(test_hop_lost)
{
    ck_assert_int_eq(add(1, 4000), ST_OK);
    hop = &far;
    run_to(1000);
    hop = &other;
    ck_assert_int_eq(add(2, 4000), ST_OK);
    run_to(1100);
    ck_assert_uint_eq(sent, 2);
    transactions_hop_lost(requests, &far, 1100);
    run_to(1100);
    ck_assert_uint_eq(sent, 3);
    ck_assert(id_equal(&transactions_find(requests, 1)->hop, &other));
    for (unsigned i = 0; i < 100; i++) { /* a link that flaps does not make a storm */
        transactions_hop_lost(requests, &other, 1100);
        run_to(1100);
    }
    ck_assert_uint_le(sent, 2 * TRANSACTION_RESENT_MAX);
}
END_TEST

START_TEST(test_nowhere_to_go)
{
    hop = NULL;
    ck_assert_int_eq(add(1, 4000), ST_OK);
    run_to(1200);
    ck_assert(!transactions_find(requests, 1)->has_hop);
    hop = &other;
    transactions_hop_found(requests, 1200);
    run_to(1200);
    ck_assert(transactions_find(requests, 1)->has_hop);
    ck_assert_uint_eq(transactions_find(requests, 1)->sent_count, 1);
}
END_TEST

START_TEST(test_transactions_limit)
{
    ck_assert_int_eq(add(1, 4000), ST_OK);
    ck_assert_int_eq(add(1, 4000), ST_EXISTS);
    ck_assert_int_eq(add(2, 4000), ST_OK);
    ck_assert_int_eq(add(3, 4000), ST_OK);
    ck_assert_int_eq(add(4, 4000), ST_LIMIT);
    struct transaction *tr = transactions_find(requests, 2);
    transactions_take(requests, tr);
    transaction_free(tr);
    ck_assert_ptr_null(transactions_find(requests, 2));
    ck_assert_int_eq(add(4, 4000), ST_OK);
}
END_TEST

/* ---- duplicates --------------------------------------------------------------------------------
 */

START_TEST(test_duplicates)
{
    struct duplicates *d;
    struct slice answer;

    ck_assert_int_eq(duplicates_new(4, 1000, &d), ST_OK);
    ck_assert_int_eq(duplicates_check(d, 0, &self, 1, &answer), DUPLICATE_NEW);
    ck_assert_int_eq(duplicates_check(d, 1, &self, 1, &answer), DUPLICATE_PENDING);
    ck_assert_int_eq(duplicates_check(d, 1, &other, 1, &answer), DUPLICATE_NEW);
    duplicates_answer(d, &self, 1, slice_text("yes"));
    ck_assert_int_eq(duplicates_check(d, 2, &self, 1, &answer), DUPLICATE_ANSWERED);
    ck_assert(slice_equal(answer, slice_text("yes")));
    ck_assert_int_eq(duplicates_check(d, 15001, &self, 1, &answer), DUPLICATE_NEW);
    for (uint64_t id = 10; id < 1000; id++) {
        ck_assert_int_eq(duplicates_check(d, 15001, &self, id, &answer), DUPLICATE_NEW);
        duplicates_answer(d, &self, id, slice_text("an answer of some length"));
        ck_assert_uint_le(duplicates_count(d), 4);
    }
    ck_assert_int_eq(duplicates_check(d, 15001, &self, 999, &answer), DUPLICATE_ANSWERED);
    duplicates_expire(d, 40000);
    ck_assert_uint_eq(duplicates_count(d), 0);
    duplicates_free(d);

    ck_assert_int_eq(duplicates_new(1000, 1000, &d), ST_OK); /* more than the table begins with */
    for (uint64_t id = 1; id <= 500; id++) {
        ck_assert_int_eq(duplicates_check(d, id, &self, id, &answer), DUPLICATE_NEW);
        if (id % 2) /* an empty answer is one, too */
            duplicates_answer(d, &self, id, slice_of(NULL, 0));
    }
    for (uint64_t id = 1; id <= 500; id++) {
        answer = slice_text("?");
        ck_assert_int_eq(duplicates_check(d, 500, &self, id, &answer),
                         id % 2 ? DUPLICATE_ANSWERED : DUPLICATE_PENDING);
        ck_assert_uint_eq(answer.len, id % 2 ? 0 : 1);
    }
    duplicates_expire(d, 5249); /* the empty ones go first */
    ck_assert_uint_eq(duplicates_count(d), 250 + 125);
    duplicates_expire(d, 15250);
    ck_assert_uint_eq(duplicates_count(d), 125);
    duplicates_free(d);
}
END_TEST

START_TEST(test_duplicate_bytes)
{
    static uint8_t large[300];
    struct duplicates *d;
    struct slice answer;

    ck_assert_int_eq(duplicates_new(100, 1000, &d), ST_OK);
    for (uint64_t id = 0; id < 20; id++) {
        ck_assert_int_eq(duplicates_check(d, 0, &self, id, &answer), DUPLICATE_NEW);
        duplicates_answer(d, &self, id, slice_of(large, 240));
    }
    ck_assert_uint_le(duplicates_count(d), 4);
    ck_assert_int_eq(duplicates_check(d, 0, &self, 50, &answer), DUPLICATE_NEW);
    duplicates_answer(d, &self, 50, slice_of(large, 300)); /* too dear: it is done again */
    ck_assert_int_eq(duplicates_check(d, 0, &self, 50, &answer), DUPLICATE_NEW);
    duplicates_free(d);
}
END_TEST

static Suite *
suite(void)
{
    Suite *s = suite_create("routing");
    TCase *t = tcase_create("messages");
    TCase *r = tcase_create("requests");

    tcase_add_test(t, test_decide);
    tcase_add_test(t, test_ttl);
    tcase_add_test(t, test_options);
    tcase_add_test(t, test_forward_and_back);
    tcase_add_test(t, test_via_list_is_bounded);
    tcase_add_test(t, test_no_destination_twice);
    tcase_add_test(t, test_few_destinations);
    tcase_add_test(t, test_the_way_back_has_no_circles);
    tcase_add_test(t, test_verify);
    tcase_add_test(t, test_duplicates);
    tcase_add_test(t, test_duplicate_bytes);
    suite_add_tcase(s, t);
    tcase_add_checked_fixture(r, requests_setup, requests_teardown);
    tcase_add_test(r, test_sent_five_times);
    tcase_add_test(r, test_hop_lost);
    tcase_add_test(r, test_nowhere_to_go);
    tcase_add_test(r, test_transactions_limit);
    suite_add_tcase(s, r);
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
