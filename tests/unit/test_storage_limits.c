/* How much a store takes, of whom, and for how long. */
#include "tests/unit/store_played.h"

START_TEST(test_lifetime)
{
    struct put p = {.by = &alice, .kind = KIND_BINDING, .value = "a", .lifetime_s = 60};

    ck_assert_int_eq(put(&p), ST_OK);
    ck_assert_uint_eq(storage_deadline_ms(storage), now.mono_ms + 60000);
    now.mono_ms += 20500;
    ck_assert_uint_eq(get_all(KIND_BINDING).lifetime_s, 40); /* what is left of it */
    now.mono_ms += 39500;
    ck_assert_uint_eq(get_all(KIND_BINDING).exist, 0);
    storage_expire(storage, now);
    ck_assert_uint_eq(storage_value_count(storage), 0);
    ck_assert_uint_eq(storage_deadline_ms(storage), MOMENT_NEVER);
    ck_assert_int_eq(put(&p), ST_TOO_OLD); /* it does not come back */
    p.is_copy = true;
    p.generation = 7;
    p.lifetime_s = 2592000;
    ck_assert_int_eq(put(&p), ST_TOO_OLD);
    ck_assert_uint_eq(get_all(KIND_BINDING).exist, 0);
    p.time_ms = 1;
    ck_assert_int_eq(put(&p), ST_OK); /* what is newer does */
    ck_assert_uint_eq(get_all(KIND_BINDING).exist, 1);
}
END_TEST

static uint64_t
expires_in_ms(uint32_t kind)
{
    struct storage_record *r = storage_find_record(storage, &home, kind);

    ck_assert_ptr_nonnull(r);
    return storage_deadline_ms(storage) - now.mono_ms;
}

/* Whatever lifetime comes with it: lifetimes are not signed. */
START_TEST(test_longest_lifetime)
{
    const uint64_t day_ms = 86400000;
    struct put p = {.by = &alice, .kind = KIND_CANDIDATE, .value = "a", .lifetime_s = 2592000};
    uint64_t longest_ms = 1000ull * kind_find(KIND_CANDIDATE)->max_lifetime_s;

    ck_assert_int_eq(put(&p), ST_OK);
    ck_assert_uint_eq(expires_in_ms(KIND_CANDIDATE), longest_ms);
    ck_assert_uint_eq(get_all(KIND_CANDIDATE).lifetime_s, longest_ms / 1000);
    ck_assert_uint_eq(storage_counters_of(storage)->shortened, 1);

    now.mono_ms += day_ms / 2; /* a copy of it, twelve hours later, in a store that knows nothing */
    now.wall_ms += day_ms / 2;
    storage_drop(storage, storage_find_record(storage, &home, KIND_CANDIDATE));
    p.time_ms = 0 - day_ms / 2;
    p.is_copy = true;
    p.generation = 1;
    ck_assert_int_eq(put(&p), ST_OK);
    ck_assert_uint_eq(get_all(KIND_CANDIDATE).lifetime_s, (longest_ms - day_ms / 2) / 1000);

    storage_drop(storage, storage_find_record(storage, &home, KIND_CANDIDATE));
    now.mono_ms += day_ms;
    now.wall_ms += day_ms;
    p.time_ms = 0 - 3 * day_ms / 2;
    ck_assert_int_eq(put(&p), ST_TOO_OLD);
    p.is_copy = false;
    p.generation = 0;
    ck_assert_int_eq(put(&p), ST_TOO_OLD);
    ck_assert_uint_eq(storage_value_count(storage), 0);
}
END_TEST

START_TEST(test_from_the_future)
{
    struct put p = {.by = &alice, .kind = KIND_BINDING, .value = "a"};

    p.time_ms = STORAGE_AHEAD_MS + 1;
    ck_assert_int_eq(put(&p), ST_FORBIDDEN);
    ck_assert_ptr_nonnull(strstr(why.text, "1800 s in the future"));
    p.is_copy = true;
    p.generation = 1;
    ck_assert_int_eq(put(&p), ST_FORBIDDEN);
    ck_assert_uint_eq(storage_value_count(storage), 0);
    p.time_ms = STORAGE_AHEAD_MS;
    ck_assert_int_eq(put(&p), ST_OK);
    p.time_ms = STORAGE_AHEAD_MS + 1; /* newer than what is held: clocks that were ahead before */
    ck_assert_int_eq(put(&p), ST_OK);
    ck_assert_uint_eq(storage_counters_of(storage)->out_of_time, 2);
}
END_TEST

/* A phone that went is not brought back by an old copy: not while the word of it is held, nor when
 * that has run out itself. */
START_TEST(test_removed_stays_removed)
{
    struct put old = {.by = &alice, .kind = KIND_BINDING, .value = "a", .lifetime_s = 604800};
    struct put gone = {.by = &alice, .kind = KIND_BINDING, .time_ms = 1, .lifetime_s = 60};

    ck_assert_int_eq(put(&old), ST_OK);
    ck_assert_int_eq(put(&gone), ST_OK);
    old.is_copy = true;
    old.generation = 99;
    ck_assert_int_eq(put(&old), ST_TOO_OLD);
    ck_assert_uint_eq(get_all(KIND_BINDING).gone, 1);
    for (unsigned day = 0; day < 9; day++) {
        now.mono_ms += 86400000;
        now.wall_ms += 86400000;
        old.time_ms -= 86400000;
        ck_assert_int_eq(put(&old), ST_TOO_OLD);
        ck_assert_uint_eq(get_all(KIND_BINDING).exist, 0);
    }
}
END_TEST

START_TEST(test_limits)
{
    struct put p = {.by = &alice, .kind = KIND_CERTIFICATE_BY_USER, .value = "x"};
    static char large[9000];
    unsigned stored = 0;

    memset(large, 'x', sizeof(large) - 1);
    p.value = large;
    ck_assert_int_eq(put(&p), ST_TOO_LARGE);
    p.value = "x";
    for (p.index = 0; p.index < 32; p.index++)
        stored += put(&p) == ST_OK;
    ck_assert_uint_eq(stored, 19); /* half of 38: two of 40 are kept */
    ck_assert_uint_eq(storage_counters_of(storage)->over_share, 13);
    ck_assert_uint_eq(storage_counters_of(storage)->too_large, 1);
    ck_assert_ptr_nonnull(strstr(why.text, "19 values"));
    p.kind = KIND_BINDING;
    for (uint8_t i = 0; i < 30; i++) {
        struct id node = {{i, 1}};
        struct fake_keys other;
        char user[32];
        snprintf(user, sizeof(user), "u%u", i);
        fake_keys_init(&other, &node, user);
        p.by = &other;
        stored += put(&p) == ST_OK;
        p.kind = KIND_BINDING;
    }
    ck_assert_uint_eq(stored, 38);
    p = (struct put){.by = &alice, .kind = KIND_CERTIFICATE_BY_USER, .value = "y", .time_ms = 1};
    ck_assert_int_eq(put(&p), ST_OK); /* what is there can be renewed */
    p.kind = KIND_CANDIDATE;
    ck_assert_int_eq(put(&p), ST_OK); /* and elections go on */
    ck_assert_uint_eq(storage_value_count(storage), 39);
}
END_TEST

static char named[32];
static struct id under;

/* One value under another name each, by @by. */
static enum status
put_under(struct put *p, unsigned number)
{
    struct id before = home;
    enum status st;

    snprintf(named, sizeof(named), "user%u@test", number);
    fake_hash(slice_text(named), &under);
    home = under;
    st = put(p);
    home = before;
    return st;
}

/* Who fills the store with one certificate leaves room for all others, by values and by bytes. */
START_TEST(test_share_of_a_signer)
{
    static char large[4000];
    const struct storage_limits limits[2] = {{.max_values = 4000, .max_bytes = 64u << 20},
                                             {.max_values = 1u << 20, .max_bytes = 4u << 20}};

    memset(large, 'x', sizeof(large) - 1);
    for (unsigned pass = 0; pass < 2; pass++) {
        struct put p = {.by = &bob, .kind = KIND_BINDING, .value = pass == 0 ? "x" : large};
        unsigned bobs = 0, alices = 0;

        storage_free(storage);
        ck_assert_int_eq(storage_new(&limits[pass], NULL, &storage), ST_OK);
        for (unsigned i = 0; i < 3000; i++)
            bobs += put_under(&p, i) == ST_OK;
        ck_assert_uint_lt(bobs, pass == 0 ? 1876 : 500);
        ck_assert_uint_gt(bobs, pass == 0 ? 1874 : 400);
        p.is_copy = true; /* nor by way of copies */
        p.generation = 1;
        p.requester = &alice;
        ck_assert_int_eq(put_under(&p, 3001), ST_LIMIT);
        p = (struct put){.by = &alice, .kind = KIND_BINDING, .value = "a phone"};
        for (unsigned i = 0; i < 300; i++)
            alices += put_under(&p, i) == ST_OK;
        ck_assert_uint_eq(alices, 300);
        p = (struct put){
            .by = &bob, .kind = KIND_BINDING, .time_ms = 1, .value = pass == 0 ? "y" : large};
        ck_assert_int_eq(put_under(&p, 0), ST_OK); /* his own may be renewed */
        ck_assert_int_eq(put_under(&p, 3000), ST_LIMIT);
    }
}
END_TEST

/* A refused value of a copy does not keep the others of the record out. */
START_TEST(test_copy_with_a_refused_value)
{
    static char large[30000];
    struct put p[2] = {
        {.by = &alice,
         .kind = KIND_CERTIFICATE_BY_USER,
         .generation = 1,
         .value = "good",
         .is_copy = true},
        {.by = &alice, .index = 1, .kind = KIND_CERTIFICATE_BY_USER, .value = large}};

    memset(large, 'x', sizeof(large) - 1);
    ck_assert_int_eq(put_all(p, 2), ST_OK);
    ck_assert_uint_eq(storage_value_count(storage), 1);
    p[1].is_copy = true;
    p[1].generation = 2;
    ck_assert_int_eq(put(&p[1]), ST_TOO_LARGE);
}
END_TEST

/* Kinds have their overlay, and their place in it. */
START_TEST(test_where_kinds_belong)
{
    struct storage_limits limits = {
        .max_values = 40, .max_bytes = 1u << 20, .overlays = KIND_IN_LOCAL};
    struct put p = {.by = &alice, .value = "a"};

    fake_hash(slice_text("overlay@test"), &limits.overlay_resource);
    storage_free(storage);
    ck_assert_int_eq(storage_new(&limits, NULL, &storage), ST_OK);
    p.kind = KIND_SIP_REGISTRATION;
    ck_assert_int_eq(put(&p), ST_UNKNOWN_KIND);
    ck_assert_uint_eq(answer.len, 4);
    ck_assert_int_eq(get_all(KIND_SIP_REGISTRATION).st, ST_UNKNOWN_KIND);
    p.kind = KIND_CANDIDATE;
    ck_assert_int_eq(put(&p), ST_FORBIDDEN);
    p.kind = KIND_BINDING;
    ck_assert_int_eq(put(&p), ST_OK);
    home = limits.overlay_resource;
    ck_assert_int_eq(put(&p), ST_FORBIDDEN); /* nobody registers as overlay@NAME */
    p.kind = KIND_CANDIDATE;
    ck_assert_int_eq(put(&p), ST_OK);
    p.kind = KIND_ACTIVE_GATEWAY;
    ck_assert_int_eq(put(&p), ST_OK);

    limits.overlays = KIND_IN_GLOBAL;
    storage_free(storage);
    ck_assert_int_eq(storage_new(&limits, NULL, &storage), ST_OK);
    fake_hash(slice_text("alice@test"), &home);
    for (unsigned i = 0; i < 3; i++) {
        p.kind = (const uint32_t[]){KIND_BINDING, KIND_ACTIVE_GATEWAY, KIND_CANDIDATE}[i];
        ck_assert_int_eq(put(&p), ST_UNKNOWN_KIND);
        p.is_copy = true;
        p.generation = 1;
        ck_assert_int_eq(put(&p), ST_UNKNOWN_KIND);
        p.is_copy = false;
        p.generation = 0;
    }
    p.kind = KIND_SIP_REGISTRATION;
    ck_assert_int_eq(put(&p), ST_OK);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("storage limits");
    TCase *t = tcase_create("limits");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_limits);
    tcase_add_test(t, test_longest_lifetime);
    tcase_add_test(t, test_from_the_future);
    tcase_add_test(t, test_removed_stays_removed);
    tcase_add_test(t, test_share_of_a_signer);
    tcase_add_test(t, test_copy_with_a_refused_value);
    tcase_add_test(t, test_where_kinds_belong);
    tcase_add_test(t, test_lifetime);
    suite_add_tcase(suite, t);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
