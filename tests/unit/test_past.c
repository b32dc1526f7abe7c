/* What has expired: as a list that is looked through from its begin has it. */
#include <check.h>
#include <stdio.h>

#include "peer-protocol/storage/past.h"

#define PLACES 300
#define MAX    100

struct known {
    unsigned place;
    uint64_t storage_time_ms, until_ms;
};

static struct known list[MAX + 1]; /* the oldest first */
static size_t count;

static void
cut(size_t at)
{
    count--;
    for (size_t i = at; i < count; i++)
        list[i] = list[i + 1];
}

static void
forget(unsigned place)
{
    for (size_t i = 0; i < count; i++)
        if (list[i].place == place)
            cut(i--);
}

static void
note(unsigned place, uint64_t storage_time_ms, uint64_t now_ms, uint64_t until_ms)
{
    forget(place);
    while (count > 0 && (count >= MAX || list[0].until_ms <= now_ms))
        cut(0);
    if (until_ms > now_ms)
        list[count++] = (struct known){place, storage_time_ms, until_ms};
}

static uint64_t
time_of(unsigned place, uint64_t now_ms)
{
    for (size_t i = 0; i < count; i++)
        if (list[i].place == place && list[i].until_ms > now_ms)
            return list[i].storage_time_ms;
    return 0;
}

static unsigned
any(unsigned below)
{
    static uint32_t x = 7;

    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return x % below;
}

START_TEST(is_as_a_list_has_it)
{
    struct past *p;
    char text[16];

    ck_assert_int_eq(past_new(MAX, &p), 0);
    for (uint64_t now_ms = 1; now_ms < 50000; now_ms++) {
        unsigned place = any(PLACES);
        uint64_t until_ms = now_ms + any(200);
        struct slice at = {(const uint8_t *)text,
                           (size_t)snprintf(text, sizeof(text), "%u", place)};

        ck_assert_uint_eq(past_time(p, at, now_ms), time_of(place, now_ms));
        if (any(4) == 0) {
            past_forget(p, at);
            forget(place);
        } else {
            past_note(p, at, now_ms, now_ms, until_ms);
            note(place, now_ms, now_ms, until_ms);
        }
        ck_assert_uint_eq(past_count(p), count);
    }
    past_free(p);
}
END_TEST

START_TEST(none_is_remembered_where_none_may_be)
{
    struct past *p;

    ck_assert_int_eq(past_new(0, &p), 0);
    past_note(p, slice_text("a"), 1, 2, 3);
    past_forget(p, slice_text("a"));
    ck_assert_uint_eq(past_time(p, slice_text("a"), 2), 0);
    ck_assert_uint_eq(past_count(p), 0);
    past_free(p);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("past");
    TCase *c = tcase_create("past");
    SRunner *sr;
    int failed;

    tcase_add_test(c, is_as_a_list_has_it);
    tcase_add_test(c, none_is_remembered_where_none_may_be);
    suite_add_tcase(s, c);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}
