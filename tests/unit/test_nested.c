/* Whose a domain inside our name is: what is asked, what is remembered, and for how long. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "global-overlay/nested.h"

enum { ASKED_MAX = 512, HEARD_MAX = 64, DAY_S = 86400 };

static struct nested *table;
static struct moment now;
static struct {
    uint32_t token[ASKED_MAX];
    char domain[ASKED_MAX][OVERLAY_NAME_BYTES];
    size_t count;
} asked;
static struct {
    enum names_verdict verdict[HEARD_MAX];
    char name[HEARD_MAX][OVERLAY_NAME_BYTES];
    size_t count;
} heard;
static unsigned looks, sets, changes;

static void
on_ask(void *ctx, uint32_t token, const char *domain)
{
    (void)ctx;
    ck_assert_uint_lt(asked.count, ASKED_MAX);
    asked.token[asked.count] = token;
    snprintf(asked.domain[asked.count++], OVERLAY_NAME_BYTES, "%s", domain);
}

static void
on_look(void *ctx)
{
    (void)ctx;
    looks++;
}

static void
on_changed(void *ctx, bool is_set)
{
    (void)ctx;
    sets += is_set;
    changes++;
}

static void
on_judged(void *ctx, struct moment at, enum names_verdict verdict, const char *name)
{
    (void)ctx;
    (void)at;
    ck_assert_uint_lt(heard.count, HEARD_MAX);
    heard.verdict[heard.count] = verdict;
    snprintf(heard.name[heard.count++], OVERLAY_NAME_BYTES, "%s", name);
}

static void
judge(const char *domain, uint32_t patience_ms)
{
    nested_judge(table, now, domain, patience_ms, &(struct nested_judged){on_judged, NULL});
}

static void
answer(size_t question, enum names_verdict verdict)
{
    nested_on_verdict(table, now, asked.token[question], verdict);
}

static void
pass(uint64_t ms)
{
    for (uint64_t end_ms = now.mono_ms + ms; now.mono_ms < end_ms;) {
        uint64_t next_ms = nested_deadline_ms(table);
        uint64_t to_ms = next_ms < end_ms ? next_ms : end_ms;

        if (to_ms > now.mono_ms) {
            now.wall_ms += to_ms - now.mono_ms;
            now.mono_ms = to_ms;
        }
        if (next_ms <= now.mono_ms)
            nested_tick(table, now);
    }
}

static void
setup(void)
{
    const struct nested_env env = {.ask = on_ask, .look = on_look, .changed = on_changed};
    struct nested_conf conf;

    memset(&asked, 0, sizeof(asked));
    memset(&heard, 0, sizeof(heard));
    looks = sets = changes = 0;
    now = (struct moment){.mono_ms = 1000, .wall_ms = 1800000000000};
    nested_conf_defaults(&conf);
    snprintf(conf.overlay, sizeof(conf.overlay), "pastry");
    ck_assert_int_eq(nested_new(&conf, &env, &table), ST_OK);
    nested_tick(table, now); /* the first look */
}

static void
teardown(void)
{
    nested_free(table, now);
}

START_TEST(test_what_is_ours_is_asked_once)
{
    judge("lab.pastry", 0);
    judge("Lab.Pastry", 0);
    ck_assert_uint_eq(asked.count, 1);
    ck_assert_str_eq(asked.domain[0], "lab.pastry");
    ck_assert_uint_eq(heard.count, 0);
    answer(0, NAMES_OURS);
    ck_assert_uint_eq(heard.count, 2);
    ck_assert_int_eq(heard.verdict[1], NAMES_OURS);
    judge("lab.pastry", 0);
    ck_assert_uint_eq(heard.count, 3);
    ck_assert_uint_eq(asked.count, 1);
}
END_TEST

START_TEST(test_what_cannot_be_anothers_is_not_asked)
{
    judge("pastry", 0);
    judge("xpastry", 0);
    judge("east", 0);
    ck_assert_uint_eq(asked.count, 0);
    ck_assert_uint_eq(heard.count, 3);
    nested_hear(table, now, "east", 0);
    nested_hear(table, now, "pastry", 0);
    nested_hear(table, now, "xpastry", 0);
    nested_hear(table, now, "", 0);
    ck_assert_uint_eq(changes, 0);
}
END_TEST

START_TEST(test_the_longest_name_counts)
{
    nested_hear(table, now, "b.pastry", 0);
    nested_hear(table, now, "A.B.pastry", 0);
    judge("x.a.b.pastry", 0);
    ck_assert_int_eq(heard.verdict[0], NAMES_FOREIGN);
    ck_assert_str_eq(heard.name[0], "a.b.pastry");
    judge("c.b.pastry", 0);
    ck_assert_str_eq(heard.name[1], "b.pastry");
    ck_assert_ptr_null(nested_foreign(table, "bb.pastry"));
    ck_assert_ptr_null(nested_foreign(table, "pastry"));
    ck_assert_uint_eq(asked.count, 0);
}
END_TEST

START_TEST(test_who_waits_hears_of_the_name)
{
    judge("s.bupt.pastry", 0);
    nested_hear(table, now, "bupt.pastry", 0);
    ck_assert_uint_eq(heard.count, 1);
    ck_assert_int_eq(heard.verdict[0], NAMES_FOREIGN);
    answer(0, NAMES_FOREIGN);
    ck_assert_uint_eq(heard.count, 1);
    ck_assert_uint_eq(nested_domain_count(table), 0);
}
END_TEST

/* A domain that is used is looked after; nobody waits for that. */
START_TEST(test_ours_is_asked_again_in_the_background)
{
    judge("lab.pastry", 0);
    answer(0, NAMES_OURS);
    pass(5000);
    ck_assert_uint_eq(asked.count, 2);
    judge("lab.pastry", 0);
    ck_assert_uint_eq(heard.count, 2);
    answer(1, NAMES_UNSURE); /* the ring has changed: no reason for a doubt */
    judge("lab.pastry", 0);
    ck_assert_int_eq(heard.verdict[2], NAMES_OURS);
    pass(5000);
    ck_assert_uint_eq(asked.count, 3);
    nested_hear(table, now, "lab.pastry", 0);
    answer(2, NAMES_FOREIGN);
    judge("lab.pastry", 0);
    ck_assert_int_eq(heard.verdict[3], NAMES_FOREIGN);
}
END_TEST

START_TEST(test_what_is_used_once_is_forgotten_soon)
{
    judge("lab.pastry", 0);
    answer(0, NAMES_OURS);
    for (size_t i = 1; nested_domain_count(table) > 0 && i < 20; i++) {
        pass(5000);
        if (asked.count > i)
            answer(i, NAMES_OURS);
    }
    ck_assert_uint_eq(nested_domain_count(table), 0);
    ck_assert_uint_lt(asked.count, 8);
}
END_TEST

/* No question keeps a caller for long; who asks with patience waits for the ring. */
START_TEST(test_waits_are_bounded)
{
    judge("lab.pastry", 0);
    judge("lab.pastry", 3000);
    pass(249);
    ck_assert_uint_eq(heard.count, 0);
    pass(1);
    ck_assert_uint_eq(heard.count, 1);
    ck_assert_int_eq(heard.verdict[0], NAMES_UNSURE);
    answer(0, NAMES_UNSURE);
    pass(100);
    ck_assert_uint_eq(asked.count, 2);
    answer(1, NAMES_UNSURE);
    pass(100);
    ck_assert_uint_eq(asked.count, 3);
    answer(2, NAMES_OURS);
    ck_assert_uint_eq(heard.count, 2);
    ck_assert_int_eq(heard.verdict[1], NAMES_OURS);
    judge("new.pastry", 3000);
    pass(3250);
    ck_assert_uint_eq(heard.count, 3);
    ck_assert_int_eq(heard.verdict[2], NAMES_UNSURE);
}
END_TEST

START_TEST(test_a_question_without_response_ends)
{
    judge("lab.pastry", 0);
    pass(4000);
    ck_assert_uint_eq(asked.count, 1);
    pass(500);
    ck_assert_uint_eq(asked.count, 2);
    answer(0, NAMES_OURS); /* too late: it is the second that counts */
    judge("lab.pastry", 0);
    ck_assert_uint_eq(heard.count, 1);
    answer(1, NAMES_OURS);
    ck_assert_uint_eq(heard.count, 2);
}
END_TEST

START_TEST(test_blind_is_no_wait)
{
    judge("lab.pastry", 3000);
    answer(0, NAMES_BLIND);
    ck_assert_uint_eq(heard.count, 1);
    ck_assert_int_eq(heard.verdict[0], NAMES_BLIND);
}
END_TEST

START_TEST(test_a_name_is_kept_for_seven_days)
{
    nested_hear(table, now, "bupt.pastry", 0);
    ck_assert_uint_eq(sets, 1);
    pass(1000);
    nested_hear(table, now, "bupt.pastry", 0);
    ck_assert_uint_eq(sets, 1);
    ck_assert_uint_eq(changes, 2);
    nested_hear(table, now, "bupt.pastry", DAY_S); /* older news */
    ck_assert_uint_eq(changes, 2);
    now.wall_ms += 7ULL * DAY_S * 1000 - 1;
    nested_tick(table, now);
    ck_assert_ptr_nonnull(nested_foreign(table, "bupt.pastry"));
    now.wall_ms++;
    nested_tick(table, now);
    ck_assert_ptr_null(nested_foreign(table, "bupt.pastry"));
    ck_assert_uint_eq(sets, 2);
    nested_hear(table, now, "bupt.pastry", 7 * DAY_S);
    ck_assert_ptr_null(nested_foreign(table, "bupt.pastry"));
}
END_TEST

START_TEST(test_a_configured_name_stays)
{
    nested_configure(table, "bupt.pastry");
    now.wall_ms += 30ULL * DAY_S * 1000;
    nested_tick(table, now);
    judge("s.bupt.pastry", 0);
    ck_assert_int_eq(heard.verdict[0], NAMES_FOREIGN);
    ck_assert_uint_eq(asked.count, 0);
}
END_TEST

/* Whoever calls a thousand names that nobody has costs 32 questions, and drives nothing out. */
START_TEST(test_a_flood_of_domains)
{
    char name[OVERLAY_NAME_BYTES];

    judge("lab.pastry", 0);
    answer(0, NAMES_OURS);
    now.mono_ms++;
    judge("lab.pastry", 0);
    heard.count = 0;
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(name, sizeof(name), "n%u.pastry", i);
        judge(name, 0);
        if (heard.count == HEARD_MAX)
            heard.count = 0;
    }
    ck_assert_uint_eq(asked.count, 1 + 32);
    for (size_t i = 1; i < asked.count; i++) {
        answer(i, NAMES_OURS);
        if (heard.count > HEARD_MAX / 2)
            heard.count = 0;
    }
    for (unsigned i = 0; i < 400; i++) {
        now.mono_ms++;
        snprintf(name, sizeof(name), "m%u.pastry", i);
        judge(name, 0);
        answer(asked.count - 1, NAMES_OURS);
        heard.count = 0;
    }
    ck_assert_uint_le(nested_domain_count(table), NESTED_DOMAINS_MAX);
    ck_assert_uint_eq(asked.count, 1 + 32 + 400); /* there is room for each: an older one goes */
    judge("lab.pastry", 0);
    ck_assert_uint_eq(heard.count, 1);
}
END_TEST

/* Names that live are driven out by none; the one that was not seen for longest makes room. */
START_TEST(test_a_flood_of_names)
{
    char name[OVERLAY_NAME_BYTES];
    size_t count;

    nested_configure(table, "always.pastry");
    nested_hear(table, now, "old.pastry", DAY_S);
    for (unsigned i = 0; i < 2 * NESTED_FOREIGN_MAX; i++) {
        snprintf(name, sizeof(name), "n%u.pastry", i);
        nested_hear(table, now, name, 0);
    }
    (void)nested_names(table, &count);
    ck_assert_uint_eq(count, NESTED_FOREIGN_MAX);
    ck_assert_ptr_null(nested_foreign(table, "old.pastry"));
    ck_assert_ptr_nonnull(nested_foreign(table, "always.pastry"));
    for (unsigned i = 0; i < 2 * NESTED_FOREIGN_MAX; i++) { /* two places, one is the old name's */
        snprintf(name, sizeof(name), "n%u.pastry", i);
        ck_assert((nested_foreign(table, name) != NULL) == (i < NESTED_FOREIGN_MAX - 1));
    }
}
END_TEST

START_TEST(test_names_are_looked_after)
{
    ck_assert_uint_eq(looks, 1);
    pass(60000);
    ck_assert_uint_eq(looks, 2);
    nested_look(table, now);
    ck_assert_uint_eq(looks, 3);
    pass(59999);
    ck_assert_uint_eq(looks, 3);
}
END_TEST

START_TEST(test_the_end_tells_who_waits)
{
    judge("lab.pastry", 1000);
    nested_free(table, now);
    table = NULL;
    ck_assert_uint_eq(heard.count, 1);
    ck_assert_int_eq(heard.verdict[0], NAMES_UNSURE);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("nested");
    TCase *tcase = tcase_create("nested");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_what_is_ours_is_asked_once);
    tcase_add_test(tcase, test_what_cannot_be_anothers_is_not_asked);
    tcase_add_test(tcase, test_the_longest_name_counts);
    tcase_add_test(tcase, test_who_waits_hears_of_the_name);
    tcase_add_test(tcase, test_ours_is_asked_again_in_the_background);
    tcase_add_test(tcase, test_what_is_used_once_is_forgotten_soon);
    tcase_add_test(tcase, test_waits_are_bounded);
    tcase_add_test(tcase, test_a_question_without_response_ends);
    tcase_add_test(tcase, test_blind_is_no_wait);
    tcase_add_test(tcase, test_a_name_is_kept_for_seven_days);
    tcase_add_test(tcase, test_a_configured_name_stays);
    tcase_add_test(tcase, test_a_flood_of_domains);
    tcase_add_test(tcase, test_a_flood_of_names);
    tcase_add_test(tcase, test_names_are_looked_after);
    tcase_add_test(tcase, test_the_end_tells_who_waits);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
