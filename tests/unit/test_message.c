#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "peer-protocol/message/message.h"

static struct writer w;

static void
setup(void)
{
    writer_init(&w, 1u << 20);
}

static void
teardown(void)
{
    writer_done(&w);
}

static struct id
id(uint8_t first)
{
    return (struct id){{first}};
}

/* A message to a resource, come over one hop, with @body_bytes of body; in w. */
static void
build(size_t body_bytes)
{
    static const uint8_t body[60000] = {1, 2, 3};
    struct signature none = signature_none();
    struct id hop = id(1), target = id(2);
    struct writer via, destinations, contents, security;

    writer_init(&via, 100);
    writer_init(&destinations, 100);
    writer_init(&contents, 1u << 20);
    writer_init(&security, 100);
    struct destination d = destination_node(&hop);
    destination_write(&via, &d);
    d = destination_resource(&target);
    destination_write(&destinations, &d);
    contents_write(&contents, MESSAGE_PING_REQ, slice_of(body, body_bytes), slice_of(NULL, 0));
    security_write(&security, slice_of(NULL, 0), &none);
    struct forwarding h = {.overlay = 0x0a0b0c0d,
                           .configuration_sequence = 1,
                           .version = MESSAGE_VERSION,
                           .ttl = 99,
                           .fragment = MESSAGE_SINGLE_FRAGMENT,
                           .transaction_id = 0x1112131415161718,
                           .max_response_length = 5000,
                           .via = writer_slice(&via),
                           .destinations = writer_slice(&destinations)};
    writer_reset(&w);
    message_write(&w, &h, writer_slice(&contents), writer_slice(&security));
    ck_assert_int_eq(w.failed, ST_OK);
    writer_done(&via);
    writer_done(&destinations);
    writer_done(&contents);
    writer_done(&security);
}

/* The layout of section 6.3.2, byte by byte. */
START_TEST(header_is_as_the_rfc_draws_it)
{
    static const uint8_t expected[] = {
        0xd2, 0x45, 0x4c, 0x4f, 0x0a, 0x0b, 0x0c, 0x0d, 0x00, 0x01, 0x0a, 99,   0xc0, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x61, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x00, 0x00,
        0x13, 0x88, 0x00, 0x12, 0x00, 0x13, 0x00, 0x00, 0x01, 0x10, 0x01, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x11, 0x10, 0x02};

    build(3);
    ck_assert_uint_eq(w.len, 0x61);
    ck_assert_mem_eq(w.data, expected, sizeof(expected));
}
END_TEST

START_TEST(message_reads_back)
{
    struct message m;
    struct destination d;
    struct reader r;

    build(10);
    ck_assert_int_eq(message_decode(writer_slice(&w), &m, NULL), ST_OK);
    ck_assert_uint_eq(m.header.overlay, 0x0a0b0c0d);
    ck_assert_uint_eq(m.header.ttl, 99);
    ck_assert_uint_eq(m.header.max_response_length, 5000);
    ck_assert_uint_eq(m.contents.code, MESSAGE_PING_REQ);
    ck_assert_uint_eq(m.contents.body.len, 10);
    ck_assert_uint_eq(m.contents.whole.len, 2 + 4 + 10 + 4);
    ck_assert_uint_eq(m.security.signature.identity_type, SIGNER_NONE);
    reader_init(&r, m.header.destinations);
    ck_assert(destination_read(&r, &d));
    ck_assert_int_eq(d.type, DESTINATION_RESOURCE);
    ck_assert_uint_eq(d.id.bytes[0], 2);
    ck_assert(!destination_read(&r, &d));
    ck_assert(!r.failed);
}
END_TEST

START_TEST(nothing_shorter_or_longer_is_a_message)
{
    struct message m;
    struct why why = {""};

    build(10);
    for (size_t len = 0; len < w.len; len++) {
        struct slice copy; /* of its own size, for the sanitizer */
        ck_assert_int_eq(slice_copy(slice_of(w.data, len), &copy), ST_OK);
        ck_assert_int_eq(message_decode(copy, &m, &why), ST_MALFORMED);
        slice_free(&copy);
    }
    writer_u8(&w, 0);
    writer_patch_u32(&w, 16, (uint32_t)w.len);
    ck_assert_int_eq(message_decode(writer_slice(&w), &m, &why), ST_MALFORMED);
    ck_assert_str_eq(why.text, "1 bytes after the message");
}
END_TEST

START_TEST(strange_headers_are_refused)
{
    struct message m;
    struct why why = {""};

    build(10);
    w.data[10] = 0x09;
    ck_assert_int_eq(message_decode(writer_slice(&w), &m, &why), ST_UNSUPPORTED);
    build(10);
    w.data[0] ^= 1;
    ck_assert_int_eq(message_decode(writer_slice(&w), &m, &why), ST_MALFORMED);
    build(10);
    w.data[12] &= 0x7f;
    ck_assert_int_eq(message_decode(writer_slice(&w), &m, &why), ST_MALFORMED);
    build(10);
    w.data[38] = DESTINATION_RESOURCE; /* in a via list */
    ck_assert_int_eq(message_decode(writer_slice(&w), &m, &why), ST_MALFORMED);
    ck_assert_str_eq(why.text, "bad via list");
}
END_TEST

START_TEST(lists_keep_their_rules)
{
    struct id node = id(1);
    struct destination n = destination_node(&node), r = destination_resource(&node);
    size_t count = 0;

    destination_write(&w, &n);
    destination_write(&w, &r);
    ck_assert_int_eq(destination_list_check(writer_slice(&w), false, &count), ST_OK);
    ck_assert_uint_eq(count, 2);
    ck_assert_int_eq(destination_list_check(writer_slice(&w), true, NULL), ST_MALFORMED);
    destination_write(&w, &n);
    ck_assert_int_eq(destination_list_check(writer_slice(&w), false, NULL), ST_MALFORMED);
    writer_reset(&w);
    for (int i = 0; i < MESSAGE_LIST_MAX; i++)
        destination_write(&w, &n);
    ck_assert_int_eq(destination_list_check(writer_slice(&w), true, NULL), ST_OK);
    destination_write(&w, &n);
    ck_assert_int_eq(destination_list_check(writer_slice(&w), true, NULL), ST_MALFORMED);
    writer_reset(&w);
    n.id = (struct id){{0}}; /* section 6.3.1.1: zero names nobody */
    destination_write(&w, &n);
    ck_assert_int_eq(destination_list_check(writer_slice(&w), true, NULL), ST_MALFORMED);
    ck_assert_int_eq(destination_list_check(slice_of("\4\0", 2), false, NULL), ST_MALFORMED);
}
END_TEST

START_TEST(forwarder_changes_lists_and_length_only)
{
    struct id hops[] = {id(1), id(7)};
    struct writer via, out;
    struct message m, again;

    build(10);
    writer_init(&via, 100);
    writer_init(&out, 1000);
    for (size_t i = 0; i < 2; i++) {
        struct destination d = destination_node(&hops[i]);
        destination_write(&via, &d);
    }
    ck_assert_int_eq(message_decode(writer_slice(&w), &m, NULL), ST_OK);
    struct forwarding h = m.header;
    h.via = writer_slice(&via);
    h.ttl--;
    forwarding_rewrite(&out, writer_slice(&w), &h);
    ck_assert_int_eq(message_decode(writer_slice(&out), &again, NULL), ST_OK);
    ck_assert_uint_eq(out.len, w.len + 18);
    ck_assert_uint_eq(again.header.ttl, 98);
    ck_assert(slice_equal(again.contents.whole, m.contents.whole));
    writer_done(&via);
    writer_done(&out);
}
END_TEST

START_TEST(signature_input_is_as_the_rfc_says)
{
    build(3);
    writer_reset(&w);
    message_signature_input(&w, 0x01020304, 5, slice_text("contents"), slice_of("\3\0\0", 3));
    ck_assert(
        slice_equal(writer_slice(&w), slice_of("\1\2\3\4\0\0\0\0\0\0\0\5contents\3\0\0", 23)));
}
END_TEST

START_TEST(names_and_errors)
{
    ck_assert_str_eq(message_code_name(MESSAGE_ROUTE_QUERY_ANS), "route_query_ans");
    ck_assert_str_eq(message_code_name(0x05), "unknown");
    ck_assert_str_eq(error_code_name(ERROR_NOT_FOUND), "Not_Found");
    ck_assert_str_eq(error_code_name(0x77), "unknown");
    ck_assert_uint_eq(error_code_of(ST_OK), 0);
    ck_assert_uint_eq(error_code_of(ST_SIGNATURE), ERROR_FORBIDDEN);
    ck_assert_uint_eq(error_code_of(ST_TOO_LARGE), ERROR_DATA_TOO_LARGE);
    ck_assert_int_eq(error_code_status(0x77), ST_UNSUPPORTED);
    for (uint16_t code = ERROR_FORBIDDEN; code <= ERROR_INVALID_MESSAGE; code++)
        ck_assert_int_ne(error_code_status(code), ST_OK);
    static const enum status round[] = {ST_FORBIDDEN,    ST_NOT_FOUND,   ST_TIMEOUT,
                                        ST_GENERATION,   ST_TOO_OLD,     ST_UNKNOWN_KIND,
                                        ST_INCOMPATIBLE, ST_IN_PROGRESS, ST_MALFORMED};
    for (size_t i = 0; i < sizeof(round) / sizeof(round[0]); i++)
        ck_assert_int_eq(error_code_status(error_code_of(round[i])), round[i]);
}
END_TEST

/* ---- fragments ------------------------------------------------------------------------------- */

struct pieces {
    size_t count;
    struct slice piece[200];
};

static void
keep(void *ctx, struct slice fragment)
{
    struct pieces *p = ctx;

    ck_assert_int_eq(slice_copy(fragment, &p->piece[p->count++]), ST_OK);
}

static void
drop(struct pieces *p)
{
    for (size_t i = 0; i < p->count; i++)
        slice_free(&p->piece[i]);
    p->count = 0;
}

START_TEST(fragments_join_in_any_order)
{
    struct reassembly *a = reassembly_new(&(struct reassembly_limits){4, 1u << 20, 4, 1u << 20});
    struct id from = id(9);
    struct pieces p = {0};
    struct slice whole;

    build(5000);
    ck_assert_int_eq(fragment_split(writer_slice(&w), 1200, keep, &p), ST_OK);
    ck_assert_uint_eq(p.count, 5);
    for (size_t i = p.count; i-- > 0;) {
        ck_assert_uint_le(p.piece[i].len, 1200);
        ck_assert_int_eq(reassembly_add(a, 0, &from, p.piece[i], &whole), ST_OK);
        ck_assert_int_eq(whole.data != NULL, i == 0);
        if (i == 3) /* the same again does no harm */
            ck_assert_int_eq(reassembly_add(a, 0, &from, p.piece[i], &whole), ST_OK);
    }
    ck_assert(slice_equal(whole, writer_slice(&w)));
    slice_free(&whole);
    drop(&p);
    reassembly_free(a);
}
END_TEST

START_TEST(fragments_can_be_cut_again)
{
    struct reassembly *a = reassembly_new(&(struct reassembly_limits){4, 1u << 20, 4, 1u << 20});
    struct id from = id(9);
    struct pieces large = {0}, small = {0};
    struct slice whole = {NULL, 0};

    build(5000);
    ck_assert_int_eq(fragment_split(writer_slice(&w), 3000, keep, &large), ST_OK);
    for (size_t i = 0; i < large.count; i++)
        ck_assert_int_eq(fragment_split(large.piece[i], 900, keep, &small), ST_OK);
    for (size_t i = 0; i < small.count; i++)
        ck_assert_int_eq(reassembly_add(a, 0, &from, small.piece[i], &whole), ST_OK);
    ck_assert(slice_equal(whole, writer_slice(&w)));
    slice_free(&whole);
    drop(&large);
    drop(&small);
    ck_assert_int_eq(fragment_split(writer_slice(&w), 300, keep, &small), ST_RANGE);
    reassembly_free(a);
}
END_TEST

START_TEST(overlaps_are_refused)
{
    struct reassembly *a = reassembly_new(&(struct reassembly_limits){4, 1u << 20, 4, 1u << 20});
    struct id from = id(9);
    struct pieces p = {0}, q = {0};
    struct slice whole;

    build(5000);
    ck_assert_int_eq(fragment_split(writer_slice(&w), 1200, keep, &p), ST_OK);
    ck_assert_int_eq(fragment_split(writer_slice(&w), 900, keep, &q), ST_OK);
    ck_assert_int_eq(reassembly_add(a, 0, &from, p.piece[0], &whole), ST_OK);
    ck_assert_int_eq(reassembly_add(a, 0, &from, q.piece[1], &whole), ST_MALFORMED);
    ck_assert_ptr_null(whole.data);
    drop(&p);
    drop(&q);
    reassembly_free(a);
}
END_TEST

START_TEST(reassembly_is_bounded_and_forgets)
{
    struct reassembly *a = reassembly_new(&(struct reassembly_limits){2, 8000, 1, 4000});
    struct id from[] = {id(1), id(2), id(3)};
    struct pieces p = {0};
    struct slice whole;

    build(5000);
    ck_assert_int_eq(fragment_split(writer_slice(&w), 1200, keep, &p), ST_OK);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(reassembly_add(a, 0, &from[i], p.piece[0], &whole), ST_OK);
    ck_assert_uint_eq(reassembly_evicted(a), 1); /* two messages at most */
    ck_assert_int_eq(reassembly_add(a, 15000, &from[2], p.piece[0], &whole), ST_OK);
    ck_assert_uint_eq(reassembly_evicted(a), 1); /* they are too old now */
    ck_assert_int_eq(reassembly_add(a, 15000, &from[2], p.piece[1], &whole), ST_OK);
    ck_assert_int_eq(reassembly_add(a, 15000, &from[2], p.piece[2], &whole), ST_OK);
    ck_assert_int_eq(reassembly_add(a, 15000, &from[2], p.piece[3], &whole), ST_LIMIT); /* bytes */
    drop(&p);
    reassembly_free(a);
    reassembly_free(NULL);
}
END_TEST

/* A message of its own: another transaction. */
static void
number(struct pieces *p, uint8_t transaction)
{
    for (size_t i = 0; i < p->count; i++)
        ((uint8_t *)(uintptr_t)p->piece[i].data)[27] = transaction;
}

static bool
joins(struct reassembly *a, const struct id *from, const struct pieces *p)
{
    struct slice whole = {NULL, 0};
    bool is_whole;

    for (size_t i = 0; i < p->count; i++)
        ck_assert_int_eq(reassembly_add(a, 0, from, p->piece[i], &whole), ST_OK);
    is_whole = whole.data != NULL;
    slice_free(&whole);
    return is_whole;
}

/* Beginnings by the hundred from two links, and messages of others that become whole between them;
 * of the same link, too: there may be others behind it. */
START_TEST(beginnings_hold_up_nobody)
{
    struct reassembly *a = reassembly_new(&(struct reassembly_limits){8, 1u << 16, 4, 1u << 15});
    struct id from[] = {id(1), id(2), id(3), id(4)};
    struct pieces begun = {0}, good = {0};
    struct slice whole;

    build(5000);
    ck_assert_int_eq(fragment_split(writer_slice(&w), 3000, keep, &begun), ST_OK);
    ck_assert_int_eq(fragment_split(writer_slice(&w), 1200, keep, &good), ST_OK);
    number(&good, 255);
    for (unsigned i = 0; i < 200; i++) {
        number(&begun, (uint8_t)i);
        ck_assert_int_eq(reassembly_add(a, 0, &from[i % 2], begun.piece[0], &whole), ST_OK);
        for (unsigned k = 4; i % 10 == 9 && k-- > 0;) /* first those for whom there is no room */
            ck_assert(joins(a, &from[k], &good));
    }
    ck_assert_uint_gt(reassembly_evicted(a), 180);
    reassembly_forget(a, &from[0]);
    reassembly_forget(a, &from[1]);
    uint64_t evicted = reassembly_evicted(a);
    for (uint8_t i = 0; i < 4; i++) {
        number(&begun, i);
        ck_assert_int_eq(reassembly_add(a, 0, &from[2], begun.piece[0], &whole), ST_OK);
    }
    ck_assert_uint_eq(reassembly_evicted(a), evicted);
    number(&begun, 4); /* a link has its share, and no more where there is room */
    ck_assert_int_eq(reassembly_add(a, 0, &from[2], begun.piece[0], &whole), ST_OK);
    ck_assert_uint_eq(reassembly_evicted(a), ++evicted);
    for (uint8_t i = 0; i < 4; i++) {
        number(&begun, i);
        ck_assert_int_eq(reassembly_add(a, 0, &from[3], begun.piece[0], &whole), ST_OK);
    }
    ck_assert_uint_eq(reassembly_evicted(a), evicted); /* nothing is left of a link that is gone */
    drop(&begun);
    drop(&good);
    reassembly_free(a);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("message");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, header_is_as_the_rfc_draws_it);
    tcase_add_test(tc, message_reads_back);
    tcase_add_test(tc, nothing_shorter_or_longer_is_a_message);
    tcase_add_test(tc, strange_headers_are_refused);
    tcase_add_test(tc, lists_keep_their_rules);
    tcase_add_test(tc, forwarder_changes_lists_and_length_only);
    tcase_add_test(tc, signature_input_is_as_the_rfc_says);
    tcase_add_test(tc, names_and_errors);
    tcase_add_test(tc, fragments_join_in_any_order);
    tcase_add_test(tc, fragments_can_be_cut_again);
    tcase_add_test(tc, overlaps_are_refused);
    tcase_add_test(tc, reassembly_is_bounded_and_forgets);
    tcase_add_test(tc, beginnings_hold_up_nobody);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
