#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/map.h"

#define MANY 1000

static int values[MANY];

static struct slice
key_of(int i, char text[16])
{
    (void)snprintf(text, 16, "key %d", i);
    return slice_text(text);
}

START_TEST(put_get_replace_remove)
{
    struct map *m = map_new(1, 0);
    void *old = &values[9];

    ck_assert_ptr_nonnull(m);
    ck_assert_ptr_null(map_get(m, slice_text("a")));
    ck_assert_int_eq(map_put(m, slice_text("a"), &values[0], &old), ST_OK);
    ck_assert_ptr_null(old);
    ck_assert_int_eq(map_put(m, slice_text("a"), &values[1], &old), ST_OK);
    ck_assert_ptr_eq(old, &values[0]);
    ck_assert_uint_eq(map_count(m), 1);
    ck_assert_ptr_eq(map_remove(m, slice_text("a")), &values[1]);
    ck_assert_ptr_null(map_remove(m, slice_text("a")));
    ck_assert_int_eq(map_put(m, slice_of(NULL, 0), &values[2], NULL), ST_OK); /* the empty key */
    ck_assert_ptr_eq(map_get(m, slice_text("")), &values[2]);
    map_free(m);
    map_free(NULL);
}
END_TEST

START_TEST(grows_and_walks_in_order)
{
    struct map *m = map_new(7, 0);
    char text[16];

    for (int i = 0; i < MANY; i++)
        ck_assert_int_eq(map_put(m, key_of(i, text), &values[i], NULL), ST_OK);
    for (int i = 0; i < MANY; i += 2)
        ck_assert_ptr_eq(map_remove(m, key_of(i, text)), &values[i]);
    int expected = 1;
    for (struct map_cursor c = {0}; map_next(m, &c); expected += 2) {
        ck_assert_ptr_eq(c.value, &values[expected]);
        ck_assert(slice_equal(c.key, key_of(expected, text)));
        ck_assert_ptr_eq(map_remove(m, c.key), &values[expected]); /* allowed during a walk */
    }
    ck_assert_int_eq(expected, MANY + 1);
    ck_assert_uint_eq(map_count(m), 0);
    map_free(m);
}
END_TEST

START_TEST(limit_leaves_the_map_unchanged)
{
    struct map *m = map_new(3, 2);

    ck_assert_int_eq(map_put(m, slice_text("a"), &values[0], NULL), ST_OK);
    ck_assert_int_eq(map_put(m, slice_text("b"), &values[1], NULL), ST_OK);
    ck_assert_int_eq(map_put(m, slice_text("c"), &values[2], NULL), ST_LIMIT);
    ck_assert_int_eq(map_put(m, slice_text("a"), &values[3], NULL), ST_OK); /* replaces */
    ck_assert_uint_eq(map_count(m), 2);
    map_free(m);
}
END_TEST

START_TEST(hash_depends_on_seed_and_all_bytes)
{
    ck_assert(map_hash(1, slice_text("abcdefghi")) != map_hash(2, slice_text("abcdefghi")));
    ck_assert(map_hash(1, slice_text("abcdefghi")) != map_hash(1, slice_text("abcdefghj")));
    ck_assert(map_hash(1, slice_text("")) != map_hash(1, slice_of("\0", 1)));
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("map");
    TCase *tc = tcase_create("all");

    tcase_add_test(tc, put_get_replace_remove);
    tcase_add_test(tc, grows_and_walks_in_order);
    tcase_add_test(tc, limit_leaves_the_map_unchanged);
    tcase_add_test(tc, hash_depends_on_seed_and_all_bytes);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
