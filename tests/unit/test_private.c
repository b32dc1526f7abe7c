#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "peer-protocol/message/kind.h"
#include "peer-protocol/message/private.h"

static struct writer w;

static void
setup(void)
{
    writer_init(&w, MESSAGE_MAX_BYTES);
}

static void
teardown(void)
{
    writer_done(&w);
}

static struct node_ref
ref(uint8_t first)
{
    return (struct node_ref){.node = {{first}}, .name = "gw1.bupt", .address = "127.1.0.1:6084"};
}

START_TEST(envelope_has_subtype_and_version)
{
    struct slice body;
    uint16_t subtype = 0;

    private_write(&w, PRIVATE_RESOLVE, slice_text("x"));
    ck_assert(slice_equal(writer_slice(&w), slice_of("\0\4\1x", 4)));
    ck_assert_int_eq(private_read(writer_slice(&w), &subtype, &body), ST_OK);
    ck_assert_uint_eq(subtype, PRIVATE_RESOLVE);
    ck_assert(slice_equal(body, slice_text("x")));
    w.data[2] = 2;
    ck_assert_int_eq(private_read(writer_slice(&w), &subtype, &body), ST_UNSUPPORTED);
    ck_assert_int_eq(private_read(slice_of(w.data, 2), &subtype, &body), ST_MALFORMED);
}
END_TEST

START_TEST(hello_answer_keeps_the_rank)
{
    struct hello_ans b = {.term = 7,
                          .is_active = 1,
                          .score = 812,
                          .active = {{3}},
                          .list = 0x0102030405060708,
                          .has_list = 1,
                          .candidate_count = HELLO_CANDIDATES_MAX,
                          .ring_count = RING_NEIGHBOURS_MAX};
    struct hello_ans again;

    for (uint8_t i = 0; i < HELLO_CANDIDATES_MAX; i++)
        b.candidate[i] = (struct hello_candidate){ref((uint8_t)(i + 1)), (uint16_t)(900 - i)};
    for (uint8_t i = 0; i < RING_NEIGHBOURS_MAX; i++)
        b.ring[i] = ref((uint8_t)(i + 100));
    hello_ans_write(&w, &b);
    ck_assert_int_eq(hello_ans_read(writer_slice(&w), &again), ST_OK);
    ck_assert_uint_eq(again.candidate_count, HELLO_CANDIDATES_MAX);
    ck_assert_uint_eq(again.candidate[15].score, 885);
    ck_assert_str_eq(again.candidate[15].ref.name, "gw1.bupt");
    ck_assert_uint_eq(again.ring[7].node.bytes[0], 107);
    ck_assert_uint_eq(again.list, 0x0102030405060708);
    for (size_t len = 0; len < w.len; len++) /* nothing shorter will do */
        ck_assert_int_eq(hello_ans_read(slice_of(w.data, len), &again), ST_MALFORMED);
    writer_u8(&w, 0);
    ck_assert_int_eq(hello_ans_read(writer_slice(&w), &again), ST_MALFORMED);
}
END_TEST

START_TEST(hello_answer_without_list_is_short)
{
    struct hello_req req = {.term = 1, .score = 1, .is_candidate = 1, .list = 77};
    struct hello_req req_again;
    struct hello_ans b = {.term = 7, .is_active = 1, .list = 77, .candidate_count = 3};
    struct hello_ans again;

    hello_req_write(&w, &req);
    ck_assert_uint_eq(w.len, 20);
    ck_assert_int_eq(hello_req_read(writer_slice(&w), &req_again), ST_OK);
    ck_assert_uint_eq(req_again.list, 77);
    writer_reset(&w);
    hello_ans_write(&w, &b);
    ck_assert_uint_eq(w.len, 37);
    ck_assert_int_eq(hello_ans_read(writer_slice(&w), &again), ST_OK);
    ck_assert_uint_eq(again.list, 77);
    ck_assert_uint_eq(again.has_list, 0);
    ck_assert_uint_eq(again.candidate_count, 0);
    writer_u8(&w, 0);
    ck_assert_int_eq(hello_ans_read(writer_slice(&w), &again), ST_MALFORMED);
}
END_TEST

START_TEST(hello_answer_has_a_key_or_none)
{
    struct hello_ans b = {.term = 7, .is_active = 1, .list = 77, .has_list = 1, .has_key = 1};
    struct hello_ans again;
    size_t bare;

    for (uint8_t i = 0; i < NAMING_KEY_BYTES; i++)
        b.key[i] = (uint8_t)(200 + i);
    hello_ans_write(&w, &b);
    ck_assert_int_eq(hello_ans_read(writer_slice(&w), &again), ST_OK);
    ck_assert(again.has_key);
    ck_assert_mem_eq(again.key, b.key, NAMING_KEY_BYTES);
    bare = w.len - NAMING_KEY_BYTES;
    for (size_t len = 0; len < w.len; len++)
        ck_assert_int_eq(hello_ans_read(slice_of(w.data, len), &again),
                         len == bare ? ST_OK : ST_MALFORMED);
    ck_assert_int_eq(hello_ans_read(slice_of(w.data, bare), &again), ST_OK);
    ck_assert(!again.has_key);
    writer_u8(&w, 0);
    ck_assert_int_eq(hello_ans_read(writer_slice(&w), &again), ST_MALFORMED);
}
END_TEST

START_TEST(counts_and_scores_are_bounded)
{
    struct hello_req b = {.term = 1, .score = 1001};
    struct hello_ans ans = {.active = {{3}}, .has_list = 1, .candidate_count = 0};
    struct hello_req again;
    struct hello_ans ans_again;

    hello_req_write(&w, &b);
    ck_assert_int_eq(hello_req_read(writer_slice(&w), &again), ST_MALFORMED);
    b.score = 1001 | SCORE_PINNED;
    writer_reset(&w);
    hello_req_write(&w, &b);
    ck_assert_int_eq(hello_req_read(writer_slice(&w), &again), ST_MALFORMED);
    b.score = 1000 | SCORE_PINNED;
    writer_reset(&w);
    hello_req_write(&w, &b);
    ck_assert_int_eq(hello_req_read(writer_slice(&w), &again), ST_OK);
    ck_assert_uint_eq(again.score, 0x83e8);
    writer_reset(&w);
    hello_ans_write(&w, &ans);
    w.data[4 + 1 + 2 + ID_BYTES + 5 + 8 + 1] = HELLO_CANDIDATES_MAX + 1;
    ck_assert_int_eq(hello_ans_read(writer_slice(&w), &ans_again), ST_MALFORMED);
}
END_TEST

START_TEST(texts_carry_no_controls)
{
    static const char *const bad[] = {"a\r\nb", "a\x1b[31m", "\x7f"};
    struct resolve_req b, again;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        writer_reset(&w);
        ck_assert_int_eq(slice_to_text(slice_text(bad[i]), b.domain, sizeof(b.domain)), ST_OK);
        resolve_req_write(&w, &b);
        ck_assert_int_eq(resolve_req_read(writer_slice(&w), &again), ST_MALFORMED);
    }
    writer_reset(&w);
    writer_opaque(&w, slice_of("a\0b", 3), 1);
    ck_assert_int_eq(resolve_req_read(writer_slice(&w), &again), ST_MALFORMED);
}
END_TEST

START_TEST(longest_text_fits)
{
    struct resolve_req b, again;

    memset(b.domain, 'd', sizeof(b.domain));
    b.domain[sizeof(b.domain) - 1] = '\0';
    resolve_req_write(&w, &b);
    ck_assert_int_eq(resolve_req_read(writer_slice(&w), &again), ST_OK);
    ck_assert_str_eq(again.domain, b.domain);
    writer_reset(&w);
    writer_u8(&w, OVERLAY_NAME_BYTES);
    writer_bytes(&w, slice_of(b.domain, sizeof(b.domain) - 1));
    writer_u8(&w, 'd');
    ck_assert_int_eq(resolve_req_read(writer_slice(&w), &again), ST_MALFORMED);
}
END_TEST

START_TEST(largest_records_fit_their_kinds)
{
    static const uint8_t certificate[4096];
    struct gateway_record g = {.ref = ref(1), .certificate = {certificate, sizeof(certificate)}};
    struct candidate_record c = {.ref = ref(1)};

    memset(g.sip_uri, 'u', SIP_URI_BYTES - 1);
    gateway_record_write(&w, &g);
    ck_assert_uint_le(w.len, kind_find(KIND_ACTIVE_GATEWAY)->max_bytes);
    writer_reset(&w);
    memset(c.global_address, 'g', NODE_ADDRESS_BYTES - 1);
    candidate_record_write(&w, &c);
    ck_assert_uint_le(w.len, kind_find(KIND_CANDIDATE)->max_bytes);
}
END_TEST

START_TEST(in_progress_names_members)
{
    struct in_progress b = {
        .node = {{9}}, .wants_membership = 1, .member_count = 2, .member = {ref(1), ref(2)}};
    struct in_progress again;

    in_progress_write(&w, &b);
    ck_assert_int_eq(in_progress_read(writer_slice(&w), &again), ST_OK);
    ck_assert_uint_eq(again.member_count, 2);
    ck_assert(id_equal(&again.member[1].node, &b.member[1].node));
    memset(w.data, 0, ID_BYTES); /* a Node-ID of zeros names nobody */
    ck_assert_int_eq(in_progress_read(writer_slice(&w), &again), ST_MALFORMED);
}
END_TEST

static struct slice
some_entries(struct writer *e)
{
    writer_init(e, MESSAGE_MAX_BYTES);
    dialogs_entry_write(e, slice_text("call-1"), slice_text("record of it"));
    dialogs_entry_write(e, slice_text("call-2"), slice_of(NULL, 0));
    return writer_slice(e);
}

START_TEST(dialogs_keep_their_entries)
{
    struct writer e;
    struct dialogs_req b = {.stream = 0x1122334455667788,
                            .number = 9,
                            .flags = DIALOGS_FIRST | DIALOGS_MOVE,
                            .total = 17,
                            .certificate = slice_text("cert"),
                            .count = 2,
                            .entries = some_entries(&e)};
    struct dialogs_req again;
    struct dialogs_entry entry;
    struct reader r;

    dialogs_req_write(&w, &b);
    ck_assert_uint_eq(w.len, 21 + 4 + e.len);
    ck_assert_int_eq(dialogs_req_read(writer_slice(&w), &again), ST_OK);
    ck_assert(again.stream == b.stream && again.number == 9 && again.flags == 3);
    ck_assert_uint_eq(again.total, 17);
    ck_assert(slice_equal(again.certificate, b.certificate));
    reader_init(&r, again.entries);
    ck_assert(dialogs_entry_read(&r, &entry));
    ck_assert(slice_equal(entry.token, slice_text("call-1")));
    ck_assert(slice_equal(entry.record, slice_text("record of it")));
    ck_assert(dialogs_entry_read(&r, &entry));
    ck_assert(slice_equal(entry.token, slice_text("call-2")));
    ck_assert_uint_eq(entry.record.len, 0);
    ck_assert(!dialogs_entry_read(&r, &entry) && !r.failed);
    for (size_t len = 0; len < w.len; len++)
        ck_assert_int_eq(dialogs_req_read(slice_of(w.data, len), &again), ST_MALFORMED);
    writer_u8(&w, 0);
    ck_assert_int_eq(dialogs_req_read(writer_slice(&w), &again), ST_MALFORMED);
    writer_done(&e);
}
END_TEST

START_TEST(dialogs_are_bounded)
{
    static const uint8_t zeros[DIALOGS_RECORD_MAX + 1];
    struct writer e;
    struct dialogs_req b = {.stream = 1, .count = 2, .entries = some_entries(&e)}, again;
    struct dialogs_ans ans = {.stream = 0};

    for (unsigned flags = 0; flags < 256; flags++) {
        dialogs_req_write(&w, &b);
        w.data[12] = (uint8_t)flags;
        ck_assert_int_eq(dialogs_req_read(writer_slice(&w), &again),
                         flags <= 4 ? ST_OK : ST_MALFORMED);
        writer_reset(&w);
    }
    dialogs_req_write(&w, &b);
    w.data[7] = 0; /* no stream */
    ck_assert_int_eq(dialogs_req_read(writer_slice(&w), &again), ST_MALFORMED);
    writer_reset(&w);
    b.count = 1; /* more entries than it says */
    dialogs_req_write(&w, &b);
    ck_assert_int_eq(dialogs_req_read(writer_slice(&w), &again), ST_MALFORMED);

    b.count = 1;
    for (int bad = 0; bad < 4; bad++) {
        writer_reset(&w);
        writer_reset(&e);
        writer_opaque(&e, slice_of("a\nb", bad == 0 ? 3 : bad == 1 ? 0 : 1), 1);
        writer_opaque(&e, slice_of(zeros, bad == 2 ? DIALOGS_RECORD_MAX + 1 : DIALOGS_RECORD_MAX),
                      2);
        b.entries = writer_slice(&e);
        dialogs_req_write(&w, &b);
        ck_assert_int_eq(dialogs_req_read(writer_slice(&w), &again),
                         bad == 3 ? ST_OK : ST_MALFORMED);
    }
    writer_reset(&e);
    for (size_t i = 0; i <= DIALOGS_ENTRIES_MAX; i++)
        dialogs_entry_write(&e, slice_text("x"), slice_of(NULL, 0));
    b.entries = writer_slice(&e);
    writer_reset(&w);
    dialogs_req_write(&w, &b);
    w.data[19] = (uint8_t)((DIALOGS_ENTRIES_MAX + 1) >> 8);
    w.data[20] = (uint8_t)(DIALOGS_ENTRIES_MAX + 1);
    ck_assert_int_eq(dialogs_req_read(writer_slice(&w), &again), ST_MALFORMED);
    writer_done(&e);

    writer_reset(&w);
    dialogs_ans_write(&w, &ans);
    ck_assert_int_eq(dialogs_ans_read(writer_slice(&w), &ans), ST_MALFORMED);
    w.data[7] = w.data[8] = w.data[12] = 1;
    ck_assert_int_eq(dialogs_ans_read(writer_slice(&w), &ans), ST_OK);
    ck_assert(ans.stream == 1 && ans.wants_all == 1 && ans.held == 1);
    w.data[8] = 2;
    ck_assert_int_eq(dialogs_ans_read(writer_slice(&w), &ans), ST_MALFORMED);
}
END_TEST

/* One entry, and it lies in its record. */
START_TEST(a_part_lies_in_its_record)
{
    static const struct {
        uint32_t at, whole;
        size_t len;
        unsigned count;
        enum status st;
    } of[] = {{0, 128000, 32000, 1, ST_OK},
              {96000, 128000, 32000, 1, ST_OK},
              {96001, 128000, 32000, 1, ST_MALFORMED},
              {UINT32_MAX, 128000, 1, 1, ST_MALFORMED},
              {0, 128001, 32000, 1, ST_MALFORMED},
              {0, 10, 10, 1, ST_OK},
              {10, 10, 0, 1, ST_MALFORMED},
              {0, 10, 5, 2, ST_MALFORMED},
              {0, 10, 0, 0, ST_MALFORMED}};
    static const uint8_t zeros[DIALOGS_RECORD_MAX];

    for (size_t i = 0; i < sizeof(of) / sizeof(of[0]); i++) {
        struct dialogs_req b = {.stream = 1, .flags = DIALOGS_PART | DIALOGS_OFFER}, again;
        struct writer e;

        writer_init(&e, 65000);
        for (b.count = 0; b.count < of[i].count; b.count++)
            dialogs_entry_write(&e, slice_text("x"), slice_of(zeros, of[i].len));
        b.entries = writer_slice(&e);
        b.part_at = of[i].at;
        b.part_whole = of[i].whole;
        writer_reset(&w);
        dialogs_req_write(&w, &b);
        ck_assert_msg(dialogs_req_read(writer_slice(&w), &again) == of[i].st, "line %zu", i);
        if (of[i].st == ST_OK)
            ck_assert(again.part_at == of[i].at && again.part_whole == of[i].whole &&
                      again.flags == b.flags && slice_equal(again.entries, b.entries));
        writer_done(&e);
    }
}
END_TEST

START_TEST(gone_names_its_neighbours)
{
    struct gone_ans b = {.count = GONE_NEIGHBOURS_MAX}, again;
    struct gone_req req = {.node = {{7}}}, req_again;

    for (unsigned i = 0; i < GONE_NEIGHBOURS_MAX; i++)
        b.neighbour[i].bytes[3] = (uint8_t)(i + 1);
    gone_ans_write(&w, &b);
    ck_assert_uint_eq(w.len, 97);
    ck_assert_int_eq(gone_ans_read(writer_slice(&w), &again), ST_OK);
    ck_assert_uint_eq(again.count, GONE_NEIGHBOURS_MAX);
    ck_assert_uint_eq(again.neighbour[5].bytes[3], 6);
    for (size_t len = 0; len < w.len; len++)
        ck_assert_int_eq(gone_ans_read(slice_of(w.data, len), &again), ST_MALFORMED);
    w.data[0] = GONE_NEIGHBOURS_MAX + 1; /* too many */
    ck_assert_int_eq(gone_ans_read(writer_slice(&w), &again), ST_MALFORMED);
    w.data[0] = 1; /* more than it says */
    ck_assert_int_eq(gone_ans_read(writer_slice(&w), &again), ST_MALFORMED);
    writer_done(&w);
    writer_init(&w, UINT16_MAX);
    gone_req_write(&w, &req);
    ck_assert_int_eq(gone_req_read(writer_slice(&w), &req_again), ST_OK);
    ck_assert(id_equal(&req.node, &req_again.node));
    memset(w.data, 0, w.len); /* nobody */
    ck_assert_int_eq(gone_req_read(writer_slice(&w), &req_again), ST_MALFORMED);
}
END_TEST

START_TEST(names_are_judged)
{
    struct names_req req = {.count = 2, .domain = {"lab.pastry", "s.bupt.pastry"}}, req_again;
    struct names_ans *b = calloc(1, sizeof(*b)), *again = calloc(1, sizeof(*again));

    names_req_write(&w, &req);
    ck_assert_int_eq(names_req_read(writer_slice(&w), &req_again), ST_OK);
    ck_assert_uint_eq(req_again.count, 2);
    ck_assert_str_eq(req_again.domain[1], "s.bupt.pastry");
    for (size_t len = 0; len < w.len; len++)
        ck_assert_int_eq(names_req_read(slice_of(w.data, len), &req_again), ST_MALFORMED);
    w.data[0] = NAMES_ASKED_MAX + 1;
    ck_assert_int_eq(names_req_read(writer_slice(&w), &req_again), ST_MALFORMED);
    writer_done(&w);
    writer_init(&w, UINT16_MAX);
    b->count = 2;
    b->verdict[1] = NAMES_FOREIGN;
    b->foreign_count = NAMES_FOREIGN_MAX;
    for (unsigned i = 0; i < NAMES_FOREIGN_MAX; i++) {
        memset(b->foreign[i].name, 'n', OVERLAY_NAME_BYTES - 1); /* the most there can be */
        b->foreign[i].age_s = i;
    }
    names_ans_write(&w, b);
    ck_assert_int_eq(names_ans_read(writer_slice(&w), again), ST_OK);
    ck_assert_mem_eq(again, b, sizeof(*b));
    ck_assert_int_eq(names_ans_read(slice_of(w.data, w.len - 1), again), ST_MALFORMED);
    w.data[2] = NAMES_FOREIGN + 1;
    ck_assert_int_eq(names_ans_read(writer_slice(&w), again), ST_MALFORMED);
    free(b);
    free(again);
}
END_TEST

START_TEST(kinds_are_found_by_id)
{
    ck_assert_ptr_null(kind_find(0));
    ck_assert_ptr_null(kind_find(2));
    ck_assert_int_eq(kind_find(KIND_SIP_REGISTRATION)->access, ACCESS_USER_NODE_MATCH);
    ck_assert_int_eq(kind_find(KIND_SIP_REGISTRATION)->model, MODEL_DICTIONARY);
    ck_assert_int_eq(kind_find(KIND_BINDING)->access, ACCESS_NODE_KEY);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("private");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, envelope_has_subtype_and_version);
    tcase_add_test(tc, hello_answer_keeps_the_rank);
    tcase_add_test(tc, hello_answer_without_list_is_short);
    tcase_add_test(tc, hello_answer_has_a_key_or_none);
    tcase_add_test(tc, counts_and_scores_are_bounded);
    tcase_add_test(tc, texts_carry_no_controls);
    tcase_add_test(tc, longest_text_fits);
    tcase_add_test(tc, largest_records_fit_their_kinds);
    tcase_add_test(tc, in_progress_names_members);
    tcase_add_test(tc, dialogs_keep_their_entries);
    tcase_add_test(tc, dialogs_are_bounded);
    tcase_add_test(tc, a_part_lies_in_its_record);
    tcase_add_test(tc, gone_names_its_neighbours);
    tcase_add_test(tc, names_are_judged);
    tcase_add_test(tc, kinds_are_found_by_id);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
