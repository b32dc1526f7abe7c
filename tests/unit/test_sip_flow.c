#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/sip/clock.h"
#include "gateway/sip/flow.h"
#include "gateway/sip/location.h"

static struct sip *sip;

static void
setup(void)
{
    sip = calloc(1, sizeof(*sip));
    sip->seed = 7;
    sip->flows = flow_table_new(sip);
    ck_assert_ptr_nonnull(sip->flows);
}

static void
teardown(void)
{
    flow_table_free(sip->flows);
    free(sip);
}

START_TEST(tokens_come_back)
{
    const uint64_t numbers[] = {0, 1, 0x0123456789abcdef, UINT64_MAX};
    char token[FLOW_TOKEN_BYTES];
    uint64_t flow;
    unsigned flags;

    for (unsigned i = 0; i < 4; i++) {
        flow_token(sip, numbers[i], i, token);
        ck_assert_uint_eq(strlen(token), FLOW_TOKEN_BYTES - 1);
        ck_assert(flow_read(sip, token, &flow, &flags));
        ck_assert_uint_eq(flow, numbers[i]);
        ck_assert_uint_eq(flags, i);
    }
}
END_TEST

START_TEST(no_token_can_be_made_up)
{
    char token[FLOW_TOKEN_BYTES];
    uint64_t flow;
    unsigned flags;
    struct flow_table *ours = sip->flows;

    flow_token(sip, 42, FLOW_TO_GATEWAY, token);
    for (unsigned i = 0; i < FLOW_TOKEN_BYTES - 1; i++) {
        char good = token[i];

        token[i] = good == 'a' ? 'b' : 'a';
        ck_assert_msg(!flow_read(sip, token, &flow, &flags), "position %u", i);
        token[i] = good;
    }
    ck_assert(flow_read(sip, token, &flow, &flags));
    ck_assert(!flow_read(sip, NULL, &flow, &flags));
    ck_assert(!flow_read(sip, "", &flow, &flags));
    ck_assert(!flow_read(sip, "0189aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", &flow, &flags));
    sip->flows = flow_table_new(sip); /* another run has another key */
    ck_assert(!flow_read(sip, token, &flow, &flags));
    flow_table_free(sip->flows);
    sip->flows = ours;
}
END_TEST

static bool
is_equal(const char *a, const char *b)
{
    su_home_t home[1] = {SU_HOME_INIT(home)};
    bool result = location_url_equal(url_hdup(home, URL_STRING_MAKE(a)->us_url),
                                     url_hdup(home, URL_STRING_MAKE(b)->us_url));

    su_home_deinit(home);
    return result;
}

/* The examples of RFC 3261 section 19.1.4. */
START_TEST(uris_are_compared_as_the_standard_says)
{
    ck_assert(
        is_equal("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"));
    ck_assert(is_equal("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"));
    ck_assert(is_equal("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"));
    ck_assert(
        !is_equal("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"));
    ck_assert(!is_equal("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"));
    ck_assert(!is_equal("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=tcp"));
    ck_assert(!is_equal("sip:carol@chicago.com;newparam=6", "sip:carol@chicago.com;newparam=5"));
    ck_assert(!is_equal("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"));
}
END_TEST

/* The library must see whole milliseconds that never run back, and tests must be able to push them.
 */
START_TEST(the_clock_of_the_library_is_ours)
{
    struct moment before;
    su_time_t first, second;

    sip_clock_install();
    first = su_now();
    before = sip_clock_read();
    ck_assert_uint_eq(first.tv_usec % 1000, 0);
    sip_clock_advance(86400000);
    second = su_now();
    ck_assert_int_ge(su_duration(second, first), 86400000);
    ck_assert_int_lt(su_duration(second, first), 86405000);
    ck_assert_uint_ge(sip_clock_read().wall_ms - before.wall_ms, 86400000);
}
END_TEST

int
main(void)
{
    TCase *tc = tcase_create("flow");
    Suite *suite = suite_create("sip flows, URIs and clock");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, tokens_come_back);
    tcase_add_test(tc, no_token_can_be_made_up);
    tcase_add_test(tc, uris_are_compared_as_the_standard_says);
    tcase_add_test(tc, the_clock_of_the_library_is_ours);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
