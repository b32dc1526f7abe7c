#include <arpa/inet.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/sip/unheard.h"

static struct unheard *u;

static void
setup(void)
{
    u = unheard_new(1);
    ck_assert_ptr_nonnull(u);
}

static void
teardown(void)
{
    unheard_free(u);
}

/* Of an address as text, with some port. */
static const struct sockaddr *
named(const char *text)
{
    static union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } name;
    static in_port_t ports;

    memset(&name, 0, sizeof(name));
    name.v4.sin_port = ports++; /* an address is heard whatever its port */
    name.any.sa_family = AF_INET;
    if (inet_pton(AF_INET, text, &name.v4.sin_addr) == 1)
        return &name.any;
    name.any.sa_family = AF_INET6;
    ck_assert_int_eq(inet_pton(AF_INET6, text, &name.v6.sin6_addr), 1);
    return &name.any;
}

static unsigned
passed(const char *text, bool is_first, unsigned tries, uint64_t now_ms)
{
    unsigned count = 0;

    for (unsigned i = 0; i < tries; i++)
        count += is_first ? unheard_may_begin(u, named(text), now_ms)
                          : unheard_may_repeat(u, named(text), now_ms);
    return count;
}

START_TEST(an_address_that_says_nothing_gets_little)
{
    ck_assert_uint_eq(passed("192.0.2.1", true, 1000, 5000), UNHEARD_FIRST_MAX);
    ck_assert_uint_eq(passed("192.0.2.1", false, 1000, 5000), UNHEARD_AGAIN_MAX);
    ck_assert_uint_eq(passed("192.0.2.2", false, 1000, 5000), UNHEARD_AGAIN_MAX);
    ck_assert_uint_eq(passed("192.0.2.1", false, 1000, 5000 + UNHEARD_WINDOW_MS - 1), 0);
    ck_assert_uint_eq(passed("192.0.2.1", false, 1000, 5000 + UNHEARD_WINDOW_MS),
                      UNHEARD_AGAIN_MAX);
}
END_TEST

START_TEST(one_that_answers_gets_all)
{
    ck_assert_uint_eq(passed("192.0.2.1", false, 1000, 5000), UNHEARD_AGAIN_MAX);
    unheard_answered(u, named("192.0.2.1"), 6000);
    ck_assert_uint_eq(passed("192.0.2.1", false, 1000, 6000), 1000);
    ck_assert_uint_eq(passed("192.0.2.1", true, 1000, 6000 + UNHEARD_AGE_MS), 1000);
    ck_assert_uint_eq(passed("192.0.2.1", true, 1000, 6001 + UNHEARD_AGE_MS), UNHEARD_FIRST_MAX);
    ck_assert_uint_eq(passed("192.0.2.2", false, 1000, 6000), UNHEARD_AGAIN_MAX);
}
END_TEST

START_TEST(both_ways_of_writing_an_address_are_one)
{
    ck_assert_uint_eq(passed("::ffff:192.0.2.1", false, 1000, 5000), UNHEARD_AGAIN_MAX);
    ck_assert_uint_eq(passed("192.0.2.1", false, 1000, 5000), 0);
    ck_assert_uint_eq(passed("2001:db8::1", false, 1000, 5000), UNHEARD_AGAIN_MAX);
    ck_assert_uint_eq(unheard_count(u), 2);
}
END_TEST

START_TEST(the_table_is_bounded)
{
    char text[32];

    unheard_answered(u, named("192.0.2.1"), 1000);
    unheard_answered(u, named("192.0.2.2"), 1000);
    for (unsigned i = 0; i < UNHEARD_MAX - 1; i++) {
        snprintf(text, sizeof(text), "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
        ck_assert_uint_eq(passed(text, true, 1, 1000), 1);
    }
    ck_assert_uint_eq(unheard_count(u), UNHEARD_MAX);
    ck_assert_uint_eq(passed("192.0.2.2", false, 100, 1000), 100);
    ck_assert_uint_eq(passed("192.0.2.1", false, 100, 1000), UNHEARD_AGAIN_MAX);
}
END_TEST

int
main(void)
{
    TCase *tc = tcase_create("unheard");
    Suite *suite = suite_create("addresses that have never answered");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, an_address_that_says_nothing_gets_little);
    tcase_add_test(tc, one_that_answers_gets_all);
    tcase_add_test(tc, both_ways_of_writing_an_address_are_one);
    tcase_add_test(tc, the_table_is_bounded);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
