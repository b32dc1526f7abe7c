#include <check.h>
#include <stdlib.h>

#include "gateway/sip/clock.h"
#include "gateway/sip/paths.h"

#define HOP   "sip:127.0.0.2:5062;transport=tls"
#define OTHER "sip:127.0.0.3:5062;transport=tls"

static struct sip *sip;

static void
setup(void)
{
    sip = calloc(1, sizeof(*sip));
    ck_assert_ptr_nonnull(sip);
    sip->paths = paths_new(sip);
    ck_assert_ptr_nonnull(sip->paths);
}

static void
teardown(void)
{
    paths_free(sip->paths);
    free(sip);
}

static uint64_t
now_ms(void)
{
    return sip_moment(sip).mono_ms;
}

static void
lose(enum path_loss loss, uint64_t silent_ms)
{
    uint64_t sent_ms = now_ms();

    sip_clock_advance(silent_ms);
    paths_lost(sip, HOP, loss, sent_ms);
}

START_TEST(twice_silent_is_down_for_ten_seconds)
{
    ck_assert_int_eq(paths_state(sip, HOP), PATH_HEARD);
    lose(PATH_SILENT, 2000);
    ck_assert_int_eq(paths_state(sip, HOP), PATH_IN_DOUBT);
    lose(PATH_SILENT, 2000);
    ck_assert_int_eq(paths_state(sip, HOP), PATH_DOWN);
    ck_assert_int_eq(paths_state(sip, OTHER), PATH_HEARD);
    sip_clock_advance(PATHS_DOUBT_MS + 1);
    ck_assert_int_eq(paths_state(sip, HOP), PATH_HEARD);
    lose(PATH_SILENT, 2000); /* the one that tried */
    ck_assert_int_eq(paths_state(sip, HOP), PATH_DOWN);
    paths_heard(sip, HOP);
    ck_assert_int_eq(paths_state(sip, HOP), PATH_HEARD);
    sip_clock_advance(1);
    lose(PATH_SILENT, 2000);
    ck_assert_int_eq(paths_state(sip, HOP), PATH_IN_DOUBT);
}
END_TEST

START_TEST(a_closed_port_is_down_and_one_that_drains_in_doubt)
{
    lose(PATH_REFUSED, 0);
    ck_assert_int_eq(paths_state(sip, HOP), PATH_DOWN);
    lose(PATH_BUSY, 0);
    ck_assert_int_eq(paths_state(sip, HOP), PATH_IN_DOUBT);
}
END_TEST

/* What a phone made to be discarded says nothing of the peer that discards it. */
START_TEST(who_was_heard_since_is_not_silent)
{
    uint64_t sent_ms = now_ms();

    for (int i = 0; i < 3; i++) {
        sip_clock_advance(1000);
        paths_heard(sip, HOP); /* to another request */
        sip_clock_advance(1000);
        paths_lost(sip, HOP, PATH_SILENT, sent_ms);
        ck_assert_int_eq(paths_state(sip, HOP), PATH_HEARD);
        sent_ms = now_ms() - 1500;
    }
    paths_lost(sip, HOP, PATH_REFUSED, sent_ms);
    ck_assert_int_eq(paths_state(sip, HOP), PATH_DOWN);
}
END_TEST

START_TEST(many_peers_are_known_and_no_more)
{
    char hop[64];

    for (int i = 0; i < 2 * PATHS_MAX; i++) {
        snprintf(hop, sizeof(hop), "sip:127.0.%d.%d:5062;transport=tls", i / 250, i % 250);
        paths_lost(sip, hop, PATH_REFUSED, now_ms());
        ck_assert_int_eq(paths_state(sip, hop), PATH_DOWN);
    }
    ck_assert_int_eq(paths_state(sip, "sip:127.0.0.0:5062;transport=tls"), PATH_HEARD);
}
END_TEST

int
main(void)
{
    TCase *tc = tcase_create("paths");
    Suite *suite = suite_create("serving peers that do not answer");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, twice_silent_is_down_for_ten_seconds);
    tcase_add_test(tc, a_closed_port_is_down_and_one_that_drains_in_doubt);
    tcase_add_test(tc, who_was_heard_since_is_not_silent);
    tcase_add_test(tc, many_peers_are_known_and_no_more);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
