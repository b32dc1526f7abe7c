/* The record of a binding: its size is what it says, and what supersedes it. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer-protocol/message/binding.h"
#include "peer-protocol/message/kind.h"

static struct writer w;

static void
setup(void)
{
    writer_init(&w, 65536);
}

static void
teardown(void)
{
    writer_done(&w);
}

static struct binding_contact
contact_of(const char *uri, const char *token)
{
    return (struct binding_contact){.uri = uri,
                                    .q_thousandths = 700,
                                    .expires_at_wall_ms = 1700000000123,
                                    .registered_at_wall_ms = 1000,
                                    .call_id = "a84b",
                                    .cseq = 3,
                                    .instance = "<urn:uuid:1>",
                                    .reg_id = 2,
                                    .token = token,
                                    .is_on_connection = 1};
}

#define NOW_MS 1700000000000

static struct binding_record *
stored(uint64_t writer_now_ms, uint32_t *ret_lifetime_s)
{
    struct binding_contact c[2] = {contact_of("sip:a@h", "t1"), contact_of("sip:b@h", "t2")};
    struct binding_superseded s = {"*", "b", 7, writer_now_ms - 500, writer_now_ms + 20000};
    const struct binding_record b = {.aor = "a@h",
                                     .path = "",
                                     .contact_count = 2,
                                     .superseded_count = 1,
                                     .contact = c,
                                     .superseded = &s};
    struct binding_record *again = NULL;
    struct binding_record *copy;

    c[0].expires_at_wall_ms = writer_now_ms + 60500;
    c[1].expires_at_wall_ms = writer_now_ms + 30000;
    c[0].registered_at_wall_ms = writer_now_ms - 100;
    c[1].registered_at_wall_ms = writer_now_ms - 900;
    copy = binding_record_copy(&b);
    ck_assert_ptr_nonnull(copy);
    *ret_lifetime_s = binding_record_store(copy, writer_now_ms);
    writer_reset(&w);
    binding_record_write(&w, copy);
    ck_assert_int_eq(binding_record_read(writer_slice(&w), &again), ST_OK);
    binding_record_free(copy);
    return again;
}

/* Whoever reads it, by whatever clock, after ten seconds. */
START_TEST(time_left_is_the_same_for_all_clocks)
{
    static const int64_t ahead_ms[] = {0, 1200000, -1200000, 1000};

    for (size_t i = 0; i < sizeof(ahead_ms) / sizeof(ahead_ms[0]); i++) {
        uint64_t writer_ms = (uint64_t)(NOW_MS + ahead_ms[i]);
        bool is_exact = ahead_ms[i] == 0;
        uint32_t lifetime_s;
        struct binding_record *b = stored(writer_ms, &lifetime_s);
        uint64_t then_ms = NOW_MS + 10000;

        ck_assert_uint_eq(lifetime_s, 61);
        binding_record_fetched(b, writer_ms, lifetime_s - 10, then_ms);
        ck_assert_uint_ge(b->contact[0].expires_at_wall_ms, then_ms + (is_exact ? 50500 : 49500));
        ck_assert_uint_le(b->contact[0].expires_at_wall_ms, then_ms + (is_exact ? 50500 : 51500));
        ck_assert_uint_eq(b->contact[0].expires_at_wall_ms - b->contact[1].expires_at_wall_ms,
                          30500);
        ck_assert_uint_eq(b->contact[0].registered_at_wall_ms - b->contact[1].registered_at_wall_ms,
                          800);
        ck_assert(binding_is_live(&b, 1, 0, 1, then_ms));
        ck_assert(!binding_is_live(&b, 1, 0, 1, then_ms + 21500));
        ck_assert_uint_gt(b->superseded[0].at_wall_ms, b->contact[1].registered_at_wall_ms);
        ck_assert_uint_lt(b->superseded[0].at_wall_ms, b->contact[0].registered_at_wall_ms);
        binding_record_free(b);
    }
}
END_TEST

START_TEST(times_of_a_stranger_stay_within_bounds)
{
    uint32_t lifetime_s;
    struct binding_record *b = stored(NOW_MS, &lifetime_s);

    b->contact[0].expires_at_wall_ms = UINT64_MAX;
    b->contact[0].registered_at_wall_ms = UINT64_MAX;
    b->superseded[0].at_wall_ms = UINT64_MAX;
    b->superseded[0].expires_at_wall_ms = UINT64_MAX;
    binding_record_fetched(b, NOW_MS, 1, NOW_MS);
    ck_assert_uint_eq(b->contact[0].registered_at_wall_ms, 0);
    ck_assert_uint_eq(b->superseded[0].at_wall_ms, 0);
    binding_record_free(b);
}
END_TEST

START_TEST(binding_survives_the_wire)
{
    struct binding_contact c = contact_of("sip:alice@127.0.0.1:5070", "t1");
    struct binding_superseded s = {"*", "b", 7, 8, 9};
    const struct binding_record b = {.aor = "alice@site.pastry",
                                     .path = "sip:127.1.0.1:5062;transport=tls",
                                     .contact_count = 1,
                                     .superseded_count = 1,
                                     .contact = &c,
                                     .superseded = &s};
    struct binding_record *again = NULL;

    binding_record_write(&w, &b);
    ck_assert_uint_eq(w.len, binding_record_bytes(&b));
    ck_assert_int_eq(binding_record_read(writer_slice(&w), &again), ST_OK);
    ck_assert_str_eq(again->aor, b.aor);
    ck_assert_str_eq(again->path, b.path);
    ck_assert_str_eq(again->contact[0].uri, c.uri);
    ck_assert_uint_eq(again->contact[0].q_thousandths, 700);
    ck_assert(again->contact[0].expires_at_wall_ms == 1700000000123);
    ck_assert(again->contact[0].registered_at_wall_ms == 1000);
    ck_assert_str_eq(again->contact[0].instance, "<urn:uuid:1>");
    ck_assert_uint_eq(again->contact[0].reg_id, 2);
    ck_assert_str_eq(again->contact[0].token, "t1");
    ck_assert_uint_eq(again->contact[0].is_on_connection, 1);
    ck_assert_str_eq(again->superseded[0].token, "*");
    ck_assert_uint_eq(again->superseded[0].cseq, 7);
    binding_record_free(again);
}
END_TEST

START_TEST(a_uri_of_two_kilobytes_fits)
{
    char uri[PHONE_URI_BYTES + 1];
    struct binding_contact c = contact_of(uri, "t1");
    const struct binding_record b = {.aor = "a@b", .path = "", .contact_count = 1, .contact = &c};
    struct binding_record *again = NULL;

    memset(uri, 'u', sizeof(uri));
    uri[PHONE_URI_BYTES - 1] = '\0';
    binding_record_write(&w, &b);
    ck_assert_uint_le(w.len, kind_find(KIND_BINDING)->max_bytes);
    ck_assert_int_eq(binding_record_read(writer_slice(&w), &again), ST_OK);
    ck_assert_str_eq(again->contact[0].uri, uri);
    binding_record_free(again);
    uri[PHONE_URI_BYTES - 1] = 'u';
    uri[PHONE_URI_BYTES] = '\0';
    writer_reset(&w);
    binding_record_write(&w, &b);
    ck_assert_int_eq(binding_record_read(writer_slice(&w), &again), ST_MALFORMED);
}
END_TEST

START_TEST(broken_and_foreign_records_are_refused)
{
    struct binding_contact c = contact_of("sip:alice@127.0.0.1:5070", "t1");
    const struct binding_record b = {.aor = "a@b", .path = "p", .contact_count = 1, .contact = &c};
    struct binding_record *again = NULL;
    uint8_t bytes[512];

    binding_record_write(&w, &b);
    ck_assert_uint_le(w.len, sizeof(bytes));
    memcpy(bytes, w.data, w.len);
    for (size_t len = 0; len < w.len; len++)
        ck_assert_int_eq(binding_record_read(slice_of(bytes, len), &again), ST_MALFORMED);
    bytes[0] = BINDING_VERSION + 1;
    ck_assert_int_eq(binding_record_read(slice_of(bytes, w.len), &again), ST_UNSUPPORTED);
    bytes[0] = BINDING_VERSION;
    bytes[1] = BINDING_CONTACTS_MAX + 1;
    ck_assert_int_eq(binding_record_read(slice_of(bytes, w.len), &again), ST_MALFORMED);
}
END_TEST

START_TEST(a_path_carries_the_token)
{
    char path[SIP_URI_BYTES];

    ck_assert(binding_path("sip:127.1.0.1:5062;transport=tls", "abc", path));
    ck_assert_str_eq(path, "sip:abc@127.1.0.1:5062;transport=tls");
    ck_assert(binding_path("sip:[::1]:5062;transport=tls", "", path));
    ck_assert_str_eq(path, "sip:[::1]:5062;transport=tls");
    ck_assert(!binding_path("", "abc", path));
}
END_TEST

/* What a peer noted of another's binding leaves out what is older, and nothing that is newer. */
START_TEST(a_note_supersedes_what_is_older)
{
    struct binding_contact old = contact_of("sip:a@h", "t1");
    struct binding_superseded note = {"t1", "a84b", 3, 500, 9};
    struct binding_record there = {.aor = "", .path = "", .contact_count = 1, .contact = &old};
    struct binding_record here = {
        .aor = "", .path = "", .superseded_count = 1, .superseded = &note};
    struct binding_record *both[] = {&there, &here};

    ck_assert(!binding_is_live(both, 2, 0, 0, 0));
    old.cseq = 4; /* the phone has registered there again */
    ck_assert(binding_is_live(both, 2, 0, 0, 0));
    old.call_id = "other";
    old.registered_at_wall_ms = 500;
    ck_assert(!binding_is_live(both, 2, 0, 0, 0));
    old.registered_at_wall_ms = 501;
    ck_assert(binding_is_live(both, 2, 0, 0, 0));
    old.registered_at_wall_ms = 499;
    note.token = "t2";
    ck_assert(binding_is_live(both, 2, 0, 0, 0));
    note.token = "*";
    ck_assert(!binding_is_live(both, 2, 0, 0, 0));
    there.superseded_count = 1; /* a record says nothing of itself */
    there.superseded = &note;
    ck_assert(binding_is_live(both, 1, 0, 0, 0));
    ck_assert(!binding_is_live(both, 1, 0, 0, old.expires_at_wall_ms));
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("binding");
    TCase *tc = tcase_create("record");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, binding_survives_the_wire);
    tcase_add_test(tc, time_left_is_the_same_for_all_clocks);
    tcase_add_test(tc, times_of_a_stranger_stay_within_bounds);
    tcase_add_test(tc, a_uri_of_two_kilobytes_fits);
    tcase_add_test(tc, broken_and_foreign_records_are_refused);
    tcase_add_test(tc, a_path_carries_the_token);
    tcase_add_test(tc, a_note_supersedes_what_is_older);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
