#include "peer-protocol/storage/access.h"
#include "tests/unit/store_played.h"

START_TEST(test_dictionary)
{
    struct got g;
    struct writer model;
    struct slice keys[2] = {slice_of(alice.self.node.bytes, 16), slice_text("nobody")};

    ck_assert_int_eq(put(&(struct put){.by = &alice, .kind = KIND_BINDING, .value = "one"}), ST_OK);
    ck_assert_int_eq(put(&(struct put){.by = &bob, .kind = KIND_BINDING, .value = "two"}), ST_OK);
    g = get_all(KIND_BINDING);
    ck_assert_uint_eq(g.exist, 2);
    ck_assert_uint_eq(g.generation, 2);
    ck_assert_uint_gt(g.certificate_bytes, 2 * (3 + 16));
    ck_assert_uint_eq(storage_value_count(storage), 2);

    writer_init(&model, 4096);
    specifier_write_keys(&model, keys, 2);
    g = get(KIND_BINDING, 0, writer_slice(&model));
    ck_assert_uint_eq(g.exist, 1);
    ck_assert_uint_eq(g.synthetic, 1); /* unknown: said without a signature (section 7.4.2.2) */
    ck_assert_str_eq(g.value, "one");
    writer_done(&model);

    g = get(KIND_BINDING, 2, slice_of(NULL, 0)); /* nothing new */
    ck_assert_uint_eq(g.exist, 0);
    ck_assert_uint_eq(g.generation, 2);

    ck_assert_int_eq(put(&(struct put){.by = &alice, .kind = KIND_BINDING, .time_ms = 1}), ST_OK);
    g = get_all(KIND_BINDING);
    ck_assert_uint_eq(g.exist, 1);
    ck_assert_uint_eq(g.gone, 1); /* kept, so that it is known as removed */
    g = get_all(KIND_CANDIDATE);
    ck_assert_int_eq(g.st, ST_OK);
    ck_assert_uint_eq(g.exist + g.synthetic, 0);
}
END_TEST

START_TEST(test_array)
{
    struct put p = {.by = &alice, .kind = KIND_CERTIFICATE_BY_USER, .value = "x"};
    struct writer model;
    struct got g;

    p.index = 2;
    ck_assert_int_eq(put(&p), ST_OK);
    p.index = 0xffffffff; /* append */
    ck_assert_int_eq(put(&p), ST_OK);
    p.index = 0;
    p.value = "first";
    ck_assert_int_eq(put(&p), ST_OK);
    g = get_all(KIND_CERTIFICATE_BY_USER);
    ck_assert_uint_eq(g.exist, 3);
    ck_assert_uint_eq(g.last_index, 3);
    writer_init(&model, 4096);
    specifier_write_range(&model, 0, -1);
    g = get(KIND_CERTIFICATE_BY_USER, 0, writer_slice(&model));
    ck_assert_uint_eq(g.exist, 3);
    ck_assert_uint_eq(g.synthetic, 1); /* the gap at 1 */
    writer_reset(&model);
    specifier_write_range(&model, 0, 0);
    g = get(KIND_CERTIFICATE_BY_USER, 0, writer_slice(&model));
    ck_assert_uint_eq(g.exist, 1);
    ck_assert_str_eq(g.value, "first");
    writer_done(&model);
    p.index = 32; /* over the kind's count */
    ck_assert_int_eq(put(&p), ST_TOO_LARGE);
}
END_TEST

START_TEST(test_storage_time)
{
    struct put p = {.by = &alice, .kind = KIND_BINDING, .value = "new", .time_ms = 10};

    ck_assert_int_eq(put(&p), ST_OK);
    ck_assert_int_eq(put(&p), ST_OK); /* the same value again is no change */
    ck_assert_uint_eq(get_all(KIND_BINDING).generation, 1);
    p.value = "other";
    ck_assert_int_eq(put(&p), ST_TOO_OLD);
    p.time_ms = 9;
    ck_assert_int_eq(put(&p), ST_TOO_OLD);
    ck_assert_str_eq(get_all(KIND_BINDING).value, "new");
    p.time_ms = 11;
    ck_assert_int_eq(put(&p), ST_OK);
    ck_assert_str_eq(get_all(KIND_BINDING).value, "other");
}
END_TEST

START_TEST(test_generation)
{
    struct put p = {.by = &alice, .kind = KIND_BINDING, .value = "a"};
    struct store_kind_response response;
    struct reader r;

    ck_assert_int_eq(put(&p), ST_OK);
    p.generation = 1;
    p.time_ms = 1;
    ck_assert_int_eq(put(&p), ST_OK);
    p.time_ms = 2;
    ck_assert_int_eq(put(&p), ST_GENERATION); /* it is 2 now */
    reader_init(&r, writer_slice(&answer));
    ck_assert(store_kind_response_read(&r, &response));
    ck_assert_uint_eq(response.generation, 2);
    ck_assert_uint_eq(response.replicas.len, 0);
    p.generation = 3;
    ck_assert_int_eq(put(&p), ST_GENERATION);
    p.is_copy = true; /* copies set it (section 7.4.1.1) */
    p.generation = 9;
    ck_assert_int_eq(put(&p), ST_OK);
    ck_assert_uint_eq(get_all(KIND_BINDING).generation, 9);
    p.generation = 0;
    p.time_ms = 3;
    ck_assert_int_eq(put(&p), ST_MALFORMED);
}
END_TEST

START_TEST(test_atomic)
{
    struct put p[3] = {
        {.by = &alice, .kind = KIND_CERTIFICATE_BY_USER, .index = 0, .value = "a"},
        {.by = &alice, .kind = KIND_CERTIFICATE_BY_USER, .index = 1, .value = "b"},
        {.by = &bob, .kind = KIND_CERTIFICATE_BY_USER, .index = 2, .value = "not bob's"}};

    ck_assert_int_eq(put_all(p, 3), ST_NOT_FOUND); /* nobody knows bob's certificate */
    ck_assert_uint_eq(storage_value_count(storage), 0);
    ck_assert_ptr_null(storage_find_record(storage, &home, KIND_CERTIFICATE_BY_USER));
    ck_assert_int_eq(put_all(p, 2), ST_OK);
    ck_assert_uint_eq(storage_value_count(storage), 2);
    p[1].index = 0;
    p[0].time_ms = p[1].time_ms = 5;
    ck_assert_int_eq(put_all(p, 2), ST_MALFORMED); /* one place twice */
    ck_assert_uint_eq(get_all(KIND_CERTIFICATE_BY_USER).generation, 1);
}
END_TEST

START_TEST(test_signatures)
{
    struct put p = {.by = &alice, .kind = KIND_BINDING, .value = "a", .is_spoiled = true};

    ck_assert_int_eq(put(&p), ST_SIGNATURE);
    p.is_spoiled = false;
    p.is_unsigned = true;
    ck_assert_int_eq(put(&p), ST_FORBIDDEN);
    p.is_unsigned = false;
    p.key = &bob.self.node;
    ck_assert_int_eq(put(&p), ST_FORBIDDEN);
    p.key = NULL;
    p.requester = &bob; /* both signers must conform (section 7.3) */
    ck_assert_int_eq(put(&p), ST_FORBIDDEN);
    p.is_copy = true; /* a copy comes from whoever has it */
    p.generation = 1;
    ck_assert_int_eq(put(&p), ST_OK);
    p.is_spoiled = true;
    p.time_ms = 1;
    ck_assert_int_eq(put(&p), ST_FORBIDDEN);
    ck_assert_uint_eq(storage_value_count(storage), 1);
}
END_TEST

START_TEST(test_unknown_kind)
{
    struct keys keys = fake_keys(&alice);
    struct storage_store s = {.request = {.resource = home}, .requester = alice.self};
    struct store_kind_data d = {.kind = 0x4242};
    struct writer kinds;

    writer_init(&kinds, 4096);
    store_kind_data_write(&kinds, &d);
    s.request.kind_data = writer_slice(&kinds);
    ck_assert_int_eq(storage_put(storage, now, &keys, &s, &answer, &why), ST_UNKNOWN_KIND);
    ck_assert_uint_eq(answer.len, 4);
    for (size_t len = 0; len < kinds.len; len++) { /* truncated at each byte */
        s.request.kind_data = slice_of(kinds.data, len);
        ck_assert_int_ne(storage_put(storage, now, &keys, &s, &answer, &why), ST_UNKNOWN_KIND);
        writer_reset(&answer);
    }
    writer_done(&kinds);
}
END_TEST

/* Copies merge by storage time, whichever way they come. */
START_TEST(test_copies_merge)
{
    struct put newer = {.by = &alice,
                        .requester = &bob,
                        .kind = KIND_BINDING,
                        .generation = 3,
                        .time_ms = 10,
                        .value = "newer",
                        .is_copy = true};
    struct put older = newer;
    struct storage_record *r;

    older.time_ms = 5;
    older.value = "older";
    older.generation = 7;
    ck_assert_int_eq(put(&newer), ST_OK);
    r = storage_find_record(storage, &home, KIND_BINDING);
    ck_assert(storage_holder_has(r, &bob.self.node));
    ck_assert_int_eq(put(&older), ST_TOO_OLD); /* and its sender fetches ours */
    ck_assert_str_eq(get_all(KIND_BINDING).value, "newer");
    ck_assert_uint_eq(get_all(KIND_BINDING).generation, 7);
    newer.time_ms = 20;
    newer.value = "newest";
    ck_assert_int_eq(put(&newer), ST_OK);
    ck_assert_str_eq(get_all(KIND_BINDING).value, "newest");
}
END_TEST

START_TEST(test_record_copy)
{
    struct storage_limits limits = {.max_values = 40, .max_bytes = 1u << 20};
    struct storage *copy;
    struct storage_record *r;
    struct writer kinds, certificates;
    struct fake_keys stranger;
    struct keys keys;
    struct storage_store s = {.request = {.resource = home, .replica_number = 1}};

    ck_assert_int_eq(put(&(struct put){.by = &alice, .kind = KIND_BINDING, .value = "one"}), ST_OK);
    ck_assert_int_eq(put(&(struct put){.by = &bob, .kind = KIND_BINDING, .value = "two"}), ST_OK);
    now.mono_ms += 1000000;
    r = storage_marked(storage);
    ck_assert_ptr_nonnull(r);
    ck_assert_ptr_null(storage_marked(storage));
    storage_mark_all(storage);
    ck_assert(storage_has_marked(storage));
    writer_init(&kinds, 1u << 20);
    writer_init(&certificates, 1u << 16);
    storage_record_write(r, now, &kinds, &certificates);
    s.request.kind_data = writer_slice(&kinds);
    s.certificates = writer_slice(&certificates);
    s.requester = alice.self;
    fake_keys_init(&stranger, &(struct id){{0xc}}, "c@test"); /* knows no certificate yet */
    keys = fake_keys(&stranger);
    ck_assert_int_eq(storage_new(&limits, NULL, &copy), ST_OK);
    ck_assert_int_eq(storage_put(copy, now, &keys, &s, &answer, &why), ST_OK);
    ck_assert_uint_eq(storage_value_count(copy), 2);
    storage_free(storage);
    storage = copy;
    ck_assert_uint_eq(get_all(KIND_BINDING).exist, 2);
    ck_assert_uint_eq(get_all(KIND_BINDING).generation, 2);
    ck_assert_uint_eq(get_all(KIND_BINDING).lifetime_s, 2600);
    writer_done(&kinds);
    writer_done(&certificates);
}
END_TEST

START_TEST(test_holders)
{
    struct storage_record *r;

    ck_assert_int_eq(put(&(struct put){.by = &alice, .kind = KIND_BINDING, .value = "one"}), ST_OK);
    r = storage_find_record(storage, &home, KIND_BINDING);
    for (uint8_t i = 1; i <= 6; i++)
        storage_holder_add(r, &(struct id){{i}});
    ck_assert(storage_holder_has(r, &(struct id){{6}}));
    ck_assert(!storage_holder_has(r, &(struct id){{1}}));
    ck_assert_ptr_eq(storage_marked(storage), r);
    storage_holder_remove_everywhere(storage, &(struct id){{6}});
    ck_assert(!storage_holder_has(r, &(struct id){{6}}));
    ck_assert(storage_has_marked(storage));
    uint64_t version = storage_record_version(r);
    ck_assert_int_eq(
        put(&(struct put){.by = &alice, .kind = KIND_BINDING, .value = "x", .time_ms = 1}), ST_OK);
    ck_assert_uint_ne(storage_record_version(r), version);
    ck_assert(!storage_holder_has(r, &(struct id){{5}})); /* they have the old one */
}
END_TEST

/* Bob brings his copy: told that he is no replica he drops it; else he keeps it. */
START_TEST(test_holder_is_refused)
{
    const struct id *bob_node = &bob.self.node;
    struct put copy = {.by = &alice,
                       .requester = &bob,
                       .kind = KIND_BINDING,
                       .generation = 1,
                       .value = "one",
                       .is_copy = true};
    struct storage_record *r;

    ck_assert_int_eq(put(&(struct put){.by = &alice, .kind = KIND_BINDING, .value = "one"}), ST_OK);
    r = storage_find_record(storage, &home, KIND_BINDING);
    storage_holder_add(r, bob_node);
    ck_assert_ptr_eq(storage_marked(storage), r);
    copy.replicas = slice_of((struct id){{0xc}}.bytes, ID_BYTES);
    ck_assert_int_eq(put(&copy), ST_OK);
    ck_assert(!storage_holder_has(r, bob_node));
    ck_assert(storage_has_marked(storage));
    ck_assert_uint_eq(storage_record_traffic(r)->taken, 1);
    ck_assert_uint_eq(storage_record_traffic(r)->refused, 1);
    copy.replicas = slice_of(bob_node->bytes, ID_BYTES);
    ck_assert_int_eq(put(&copy), ST_OK);
    ck_assert(storage_holder_has(r, bob_node));
    ck_assert_uint_eq(storage_record_traffic(r)->taken, 2);
    ck_assert_uint_eq(storage_record_traffic(r)->refused, 1);
    storage_holder_add(r, &(struct id){{0xc}});
    storage_holder_forget_others(r, bob_node);
    ck_assert(storage_holder_has(r, bob_node));
    ck_assert(!storage_holder_has(r, &(struct id){{0xc}}));
    storage_forget_holders(storage);
    ck_assert(!storage_holder_has(r, bob_node));
}
END_TEST

START_TEST(test_access)
{
    struct keys keys = fake_keys(&alice);
    struct kind kind = {.name = "test", .max_node_multiple = 3};
    struct signer writer = alice.self;
    struct slice own = slice_of(writer.node.bytes, ID_BYTES);
    struct id resource;
    uint8_t name[ID_BYTES + 1];

    kind.access = ACCESS_USER_MATCH;
    ck_assert_int_eq(access_check(&keys, &kind, &home, &writer, own, &why), ST_OK);
    ck_assert_int_eq(access_check(&keys, &kind, &home, &bob.self, own, &why), ST_FORBIDDEN);
    kind.access = ACCESS_NODE_MATCH;
    ck_assert_int_eq(access_check(&keys, &kind, &home, &writer, own, &why), ST_FORBIDDEN);
    fake_hash(own, &resource);
    ck_assert_int_eq(access_check(&keys, &kind, &resource, &writer, own, &why), ST_OK);
    kind.access = ACCESS_USER_NODE_MATCH;
    ck_assert_int_eq(access_check(&keys, &kind, &home, &writer, own, &why), ST_OK);
    ck_assert_int_eq(access_check(&keys, &kind, &home, &writer, slice_text("k"), &why),
                     ST_FORBIDDEN);
    kind.access = ACCESS_NODE_KEY;
    ck_assert_int_eq(access_check(&keys, &kind, &resource, &writer, own, &why), ST_OK);
    ck_assert_int_eq(access_check(&keys, &kind, &resource, &bob.self, own, &why), ST_FORBIDDEN);
    kind.access = ACCESS_NODE_MULTIPLE;
    memcpy(name, writer.node.bytes, ID_BYTES);
    for (uint8_t i = 1; i <= 4; i++) {
        name[ID_BYTES] = i;
        fake_hash(slice_of(name, sizeof(name)), &resource);
        ck_assert_int_eq(access_check(&keys, &kind, &resource, &writer, own, &why),
                         i <= 3 ? ST_OK : ST_FORBIDDEN);
    }
    keys.ops = &fake_none_ops; /* security "none" */
    kind.access = ACCESS_USER_MATCH;
    ck_assert_int_eq(access_check(&keys, &kind, &home, &bob.self, own, &why), ST_OK);
}
END_TEST

/* Not SHA-256, but of the same length, and of both parts. */
static bool
digest(void *ctx, struct slice first, struct slice second, uint8_t ret[DIGEST_BYTES])
{
    (void)ctx;
    memset(ret, (int)(first.len + second.len), DIGEST_BYTES);
    ret[0] = first.data[first.len - 1];
    return true;
}

static const struct security_ops digest_ops = {.digest = digest};
static const struct keys digests = {.ops = &digest_ops};

START_TEST(test_stat_and_find)
{
    struct data_specifier spec = {.kind = KIND_BINDING};
    struct fetch_req request = {.resource = home};
    struct find_req find = {.resource = {{0}}};
    struct find_kind_data found;
    struct fetch_kind_response response;
    struct stored_metadata meta;
    struct writer specs, body;
    struct slice list;
    struct reader r;

    ck_assert_int_eq(put(&(struct put){.by = &alice, .kind = KIND_BINDING, .value = "one"}), ST_OK);
    writer_init(&specs, 4096);
    writer_init(&body, 4096);
    data_specifier_write(&specs, &spec);
    request.specifiers = writer_slice(&specs);
    ck_assert_int_eq(storage_stat(storage, now, &digests, &request, &body), ST_OK);
    ck_assert_int_eq(fetch_ans_read(writer_slice(&body), &list), ST_OK);
    reader_init(&r, list);
    ck_assert(fetch_kind_response_read(&r, &response));
    reader_init(&r, response.values);
    ck_assert(stored_metadata_read(&r, MODEL_DICTIONARY, &meta));
    ck_assert(meta.exists);
    ck_assert_uint_eq(meta.value_len, 3);
    ck_assert_uint_eq(meta.hash_algorithm, HASH_SHA256);
    ck_assert_uint_eq(meta.hash_value.len, DIGEST_BYTES);
    ck_assert_uint_eq(meta.hash_value.data[0], 3); /* the length's last byte, hashed too */
    ck_assert_uint_eq(meta.hash_value.data[1], 4 + 3);

    writer_reset(&specs);
    writer_reset(&body);
    writer_u32(&specs, KIND_BINDING);
    writer_u32(&specs, KIND_CANDIDATE);
    find.kinds = writer_slice(&specs);
    ck_assert_int_eq(storage_find(storage, &find, &body), ST_OK);
    ck_assert_int_eq(find_ans_read(writer_slice(&body), &list), ST_OK);
    reader_init(&r, list);
    ck_assert(find_kind_data_read(&r, &found));
    ck_assert(id_equal(&found.closest, &home));
    ck_assert(find_kind_data_read(&r, &found));
    ck_assert(id_is_zero(&found.closest));
    writer_done(&specs);
    writer_done(&body);
}
END_TEST

static Suite *
suite(void)
{
    Suite *s = suite_create("storage");
    TCase *t = tcase_create("storage");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_dictionary);
    tcase_add_test(t, test_array);
    tcase_add_test(t, test_storage_time);
    tcase_add_test(t, test_generation);
    tcase_add_test(t, test_atomic);
    tcase_add_test(t, test_signatures);
    tcase_add_test(t, test_unknown_kind);
    tcase_add_test(t, test_copies_merge);
    tcase_add_test(t, test_record_copy);
    tcase_add_test(t, test_holders);
    tcase_add_test(t, test_holder_is_refused);
    tcase_add_test(t, test_access);
    tcase_add_test(t, test_stat_and_find);
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
