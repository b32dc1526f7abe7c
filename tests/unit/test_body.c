#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "peer-protocol/message/body.h"

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

#define ck_assert_written(text)                                                                    \
    ck_assert(slice_equal(writer_slice(&w), slice_of(text, sizeof(text) - 1)))

START_TEST(addresses_as_text)
{
    static const char *const good[] = {"127.1.0.1:6084", "[::1]:1", "[2001:db8::1]:65535"};
    static const char *const bad[] = {"",           "127.1.0.1",  "127.1.0.1:", "127.1.0.1:65536",
                                      "127.1.0:80", "[::1]",      "::1:80",     "name:80",
                                      "[::1:80",    "1.2.3.4:8a", "1.2.3.4:-1", "1.2.3.4: 8"};
    char text[IP_ADDRESS_PORT_TEXT_BYTES];
    struct ip_address_port a;

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        ck_assert_int_eq(ip_address_port_parse(good[i], &a), ST_OK);
        ck_assert_str_eq(ip_address_port_text(&a, text), good[i]);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_int_eq(ip_address_port_parse(bad[i], &a), ST_MALFORMED);
}
END_TEST

START_TEST(attach_carries_candidates)
{
    struct ice_candidate c = {.overlay_link = LINK_TLS_TCP_FH_NO_ICE,
                              .foundation = slice_text("1"),
                              .priority = 7,
                              .type = CANDIDATE_HOST};
    struct attach_body b = {.role = slice_text("passive"), .send_update = true}, again;
    struct writer candidates;
    struct reader r;

    writer_init(&candidates, 100);
    ck_assert_int_eq(ip_address_port_parse("127.1.0.1:6084", &c.address), ST_OK);
    ice_candidate_write(&candidates, &c);
    b.candidates = writer_slice(&candidates);
    attach_write(&w, &b);
    ck_assert_written("\0\0\7passive\0\22\1\6\177\1\0\1\27\304\4\1"
                      "1\0\0\0\7\1\0\0\1");
    ck_assert_int_eq(attach_read(writer_slice(&w), &again), ST_OK);
    ck_assert(again.send_update);
    ck_assert(slice_equal(again.role, slice_text("passive")));
    reader_init(&r, again.candidates);
    ck_assert(ice_candidate_read(&r, &c));
    ck_assert_uint_eq(c.address.port, 6084);
    ck_assert(!ice_candidate_read(&r, &c));
    ck_assert(!r.failed);
    w.data[w.len - 4] = 3; /* a candidate type that is reserved */
    ck_assert_int_eq(attach_read(writer_slice(&w), &again), ST_MALFORMED);
    writer_done(&candidates);
}
END_TEST

START_TEST(app_attach_has_an_application)
{
    struct attach_body b = {.application = 5060, .role = slice_text("active")}, again;

    app_attach_write(&w, &b);
    ck_assert_written("\0\0\23\304\6active\0\0");
    ck_assert_int_eq(app_attach_read(writer_slice(&w), &again), ST_OK);
    ck_assert_uint_eq(again.application, 5060);
    ck_assert_int_eq(attach_read(writer_slice(&w), &again), ST_MALFORMED);
}
END_TEST

START_TEST(chord_update_by_type)
{
    struct id nodes[] = {{{1}}, {{2}}};
    struct chord_update b = {.uptime_s = 5,
                             .type = CHORD_NEIGHBORS,
                             .predecessors = slice_of(nodes, 16),
                             .successors = slice_of(nodes, 32)};
    struct chord_update again;

    chord_update_write(&w, &b);
    ck_assert_uint_eq(w.len, 4 + 1 + 2 + 16 + 2 + 32);
    ck_assert_int_eq(chord_update_read(writer_slice(&w), &again), ST_OK);
    ck_assert_uint_eq(again.successors.len, 32);
    ck_assert_uint_eq(again.fingers.len, 0);
    w.data[4] = CHORD_FULL; /* fingers are missing then */
    ck_assert_int_eq(chord_update_read(writer_slice(&w), &again), ST_MALFORMED);
    w.data[4] = CHORD_PEER_READY; /* and here the lists are too much */
    ck_assert_int_eq(chord_update_read(writer_slice(&w), &again), ST_MALFORMED);
    writer_reset(&w);
    b.successors.len = 31; /* not whole IDs */
    chord_update_write(&w, &b);
    ck_assert_int_eq(chord_update_read(writer_slice(&w), &again), ST_MALFORMED);
}
END_TEST

START_TEST(stored_data_by_model)
{
    static const enum data_model models[] = {MODEL_SINGLE, MODEL_ARRAY, MODEL_DICTIONARY};
    struct stored_data d = {.storage_time_ms = 1700000000000,
                            .lifetime_s = 60,
                            .index = 4,
                            .key = slice_text("key"),
                            .value = {true, slice_text("value")},
                            .signature = signature_none()};
    struct stored_data again;
    struct reader r;

    for (size_t i = 0; i < 3; i++) {
        writer_reset(&w);
        stored_data_write(&w, models[i], &d);
        stored_data_write(&w, models[i], &d);
        reader_init(&r, writer_slice(&w));
        ck_assert(stored_data_read(&r, models[i], &again));
        ck_assert(stored_data_read(&r, models[i], &again));
        ck_assert(!stored_data_read(&r, models[i], &again));
        ck_assert(!r.failed);
        ck_assert_uint_eq(again.index, models[i] == MODEL_ARRAY ? 4 : 0);
        ck_assert_uint_eq(again.key.len, models[i] == MODEL_DICTIONARY ? 3 : 0);
        ck_assert(slice_equal(again.value.value, d.value.value));
    }
    reader_init(&r, writer_slice(&w));
    ck_assert(!stored_data_read(&r, MODEL_ARRAY, &again));
    ck_assert(r.failed);
}
END_TEST

/* Section 7.1; the Resource-ID without its length, an array's index as 0. */
START_TEST(data_signature_input)
{
    struct id resource = {{0xee}};
    struct stored_data d = {.storage_time_ms = 9, .index = 4, .value = {true, slice_text("v")}};

    stored_data_signature_input(&w, &resource, 3, MODEL_ARRAY, &d);
    ck_assert_written(
        "\xee\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0\11\0\0\0\0\1\0\0\0\1v");
}
END_TEST

START_TEST(what_does_not_exist_has_no_value)
{
    struct stored_data d = {.value = {false, slice_text("v")}, .signature = signature_none()};
    struct reader r;

    stored_data_write(&w, MODEL_SINGLE, &d);
    reader_init(&r, writer_slice(&w));
    ck_assert(!stored_data_read(&r, MODEL_SINGLE, &d));
    ck_assert(r.failed);
}
END_TEST

START_TEST(store_request_nests)
{
    struct stored_data d = {.value = {true, slice_text("v")}, .signature = signature_none()};
    struct store_req b = {.resource = {{1}}, .replica_number = 2}, again;
    struct store_kind_data k = {.kind = 3, .generation = 5}, kind_again;
    struct writer values, kinds;
    struct reader r;

    writer_init(&values, 1000);
    writer_init(&kinds, 1000);
    stored_data_write(&values, MODEL_SINGLE, &d);
    k.values = writer_slice(&values);
    store_kind_data_write(&kinds, &k);
    b.kind_data = writer_slice(&kinds);
    store_req_write(&w, &b);
    ck_assert_int_eq(store_req_read(writer_slice(&w), &again), ST_OK);
    ck_assert_uint_eq(again.replica_number, 2);
    reader_init(&r, again.kind_data);
    ck_assert(store_kind_data_read(&r, &kind_again));
    ck_assert_uint_eq(kind_again.generation, 5);
    ck_assert(slice_equal(kind_again.values, k.values));
    w.data[0] = 15; /* a Resource-ID of another length */
    ck_assert_int_eq(store_req_read(writer_slice(&w), &again), ST_MALFORMED);
    writer_done(&values);
    writer_done(&kinds);
}
END_TEST

START_TEST(specifiers_name_keys_or_ranges)
{
    struct slice keys[] = {slice_text("a"), slice_text("bc")}, list, key;
    struct reader r;
    int32_t first, last;

    specifier_write_keys(&w, keys, 2);
    ck_assert_written("\0\7\0\1a\0\2bc");
    ck_assert_int_eq(specifier_keys(writer_slice(&w), &list), ST_OK);
    reader_init(&r, list);
    ck_assert(specifier_key_read(&r, &key) && slice_equal(key, keys[0]));
    ck_assert(specifier_key_read(&r, &key) && slice_equal(key, keys[1]));
    ck_assert(!specifier_key_read(&r, &key) && !r.failed);
    ck_assert_int_eq(specifier_ranges(writer_slice(&w), &list), ST_MALFORMED);
    writer_reset(&w);
    specifier_write_range(&w, 0, -1);
    ck_assert_written("\0\10\0\0\0\0\377\377\377\377");
    ck_assert_int_eq(specifier_ranges(writer_slice(&w), &list), ST_OK);
    reader_init(&r, list);
    ck_assert(specifier_range_read(&r, &first, &last));
    ck_assert_int_eq(first, 0);
    ck_assert_int_eq(last, -1);
}
END_TEST

START_TEST(small_bodies)
{
    struct probe_info info = {PROBE_UPTIME, 77}, info_again;
    struct error_body error = {ERROR_NOT_FOUND, slice_text("no")}, error_again;
    struct config_update_req config = {.type = CONFIG_UPDATE_CONFIG,
                                       .config_data = slice_text("<o/>")};
    struct config_update_req config_again;
    struct slice infos;
    struct reader r;

    probe_ans_write(&w, &info, 1);
    ck_assert_written("\0\6\3\4\0\0\0\115");
    ck_assert_int_eq(probe_ans_read(writer_slice(&w), &infos), ST_OK);
    reader_init(&r, infos);
    ck_assert(probe_info_read(&r, &info_again));
    ck_assert_uint_eq(info_again.value, 77);
    writer_reset(&w);
    error_body_write(&w, &error);
    ck_assert_written("\0\3\0\2no");
    ck_assert_int_eq(error_body_read(writer_slice(&w), &error_again), ST_OK);
    ck_assert_uint_eq(error_again.code, ERROR_NOT_FOUND);
    writer_reset(&w);
    config_update_req_write(&w, &config);
    ck_assert_written("\1\0\0\0\7\0\0\4<o/>");
    ck_assert_int_eq(config_update_req_read(writer_slice(&w), &config_again), ST_OK);
    ck_assert(slice_equal(config_again.config_data, config.config_data));
}
END_TEST

START_TEST(sip_registration_both_ways)
{
    struct id node = {{1}};
    struct destination d = destination_node(&node);
    struct sip_registration b = {.type = SIP_REGISTRATION_URI, .uri = slice_text("sip:a@b")};
    struct sip_registration again;
    struct writer destinations;

    writer_init(&destinations, 100);
    sip_registration_write(&w, &b);
    ck_assert_written("\1\0\11\0\7sip:a@b");
    ck_assert_int_eq(sip_registration_read(writer_slice(&w), &again), ST_OK);
    ck_assert(slice_equal(again.uri, b.uri));
    writer_reset(&w);
    destination_write(&destinations, &d);
    b = (struct sip_registration){.type = SIP_REGISTRATION_ROUTE,
                                  .destinations = writer_slice(&destinations)};
    sip_registration_write(&w, &b);
    ck_assert_int_eq(sip_registration_read(writer_slice(&w), &again), ST_OK);
    ck_assert(slice_equal(again.destinations, b.destinations));
    w.data[0] = 3;
    ck_assert_int_eq(sip_registration_read(writer_slice(&w), &again), ST_MALFORMED);
    writer_done(&destinations);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("body");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, addresses_as_text);
    tcase_add_test(tc, attach_carries_candidates);
    tcase_add_test(tc, app_attach_has_an_application);
    tcase_add_test(tc, chord_update_by_type);
    tcase_add_test(tc, stored_data_by_model);
    tcase_add_test(tc, data_signature_input);
    tcase_add_test(tc, what_does_not_exist_has_no_value);
    tcase_add_test(tc, store_request_nests);
    tcase_add_test(tc, specifiers_name_keys_or_ranges);
    tcase_add_test(tc, small_bodies);
    tcase_add_test(tc, sip_registration_both_ways);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
