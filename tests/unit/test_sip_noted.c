#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sofia-sip/msg_mclass.h>
#include <sofia-sip/sip_parser.h>
#include <sofia-sip/sip_protos.h>

#include "gateway/sip/noted.h"

static struct noted *n;

static void
setup(void)
{
    n = noted_new(1);
    ck_assert_ptr_nonnull(n);
}

static void
teardown(void)
{
    noted_free(n);
}

/* A message of a dialog, made of "Call-ID From-tag To-tag METHOD"; "-" is no tag. */
static msg_t *
message(const char *names, const char *uri)
{
    char call_id[64], from[64], to[64], method[16], text[1024];
    char from_tag[80] = "", to_tag[80] = "";
    msg_t *msg;

    ck_assert_int_eq(sscanf(names, "%63s %63s %63s %15s", call_id, from, to, method), 4);
    if (strcmp(from, "-") != 0)
        snprintf(from_tag, sizeof(from_tag), ";tag=%s", from);
    if (strcmp(to, "-") != 0)
        snprintf(to_tag, sizeof(to_tag), ";tag=%s", to);
    snprintf(text, sizeof(text),
             "%s %s SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKa\r\nFrom: <sip:a@x>%s\r\n"
             "To: <sip:b@x>%s\r\nCall-ID: %s\r\nCSeq: 1 %s\r\nContent-Length: 0\r\n\r\n",
             method, uri, from_tag, to_tag, call_id, method);
    msg = msg_make(sip_default_mclass(), 0, text, (ssize_t)strlen(text));
    ck_assert_ptr_nonnull(sip_object(msg)->sip_request);
    return msg;
}

static void
put(const char *names, const char *uri, const char *through, uint64_t now_ms)
{
    msg_t *msg = message(names, uri);
    const sip_t *sip = sip_object(msg);

    noted_put(n, sip, sip->sip_request->rq_url, through, now_ms);
    msg_destroy(msg);
}

static const char *
get(const char *names, const char *uri, uint64_t now_ms)
{
    msg_t *msg = message(names, uri);
    const sip_t *sip = sip_object(msg);
    const char *found = noted_get(n, sip, sip->sip_request->rq_url, now_ms);

    msg_destroy(msg);
    return found;
}

static void
end(const char *names, uint64_t now_ms)
{
    msg_t *msg = message(names, "sip:b@10.0.0.1");

    noted_end(n, sip_object(msg), now_ms);
    msg_destroy(msg);
}

START_TEST(addresses_are_of_a_dialog)
{
    put("c1 f t INVITE", "sip:a@Host.example:5070", "sip:127.0.0.2:5062;transport=tls", 1000);
    put("c1 f t INVITE", "sip:b@10.0.0.1", "", 1000);
    ck_assert_str_eq(get("c1 f t BYE", "sip:x@host.example:5070", 2000),
                     "sip:127.0.0.2:5062;transport=tls");
    ck_assert_str_eq(get("c1 t f BYE", "sip:10.0.0.1:5060", 2000), ""); /* from the other end */
    ck_assert_ptr_null(get("c1 f t BYE", "sip:10.0.0.1:5061", 2000));
    ck_assert_ptr_null(get("c1 f t BYE", "sip:10.0.0.2", 2000));
    ck_assert_ptr_null(get("c1 f t BYE", "sip:10.0.0.1;maddr=10.0.0.9", 2000));
    ck_assert_ptr_nonnull(get("c1 f t BYE", "sip:x.example;maddr=10.0.0.1", 2000));
    ck_assert_uint_eq(noted_count(n), 1);
}
END_TEST

START_TEST(no_other_dialog_goes_there)
{
    const char *others[] = {"c2 f t MESSAGE",  "c1 f x MESSAGE",  "c1 x t MESSAGE",
                            "c1 f - MESSAGE",  "c1 - t MESSAGE",  "c1 - - MESSAGE",
                            "c1 ft - MESSAGE", "c1f t - MESSAGE", "c1 f f MESSAGE",
                            "c1 t t MESSAGE",  "c1 F T MESSAGE"};

    put("c1 f t INVITE", "sip:b@10.0.0.1", "", 1000);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        ck_assert_msg(!get(others[i], "sip:10.0.0.1", 1000), "%s", others[i]);
    ck_assert_ptr_nonnull(get("c1 f t MESSAGE", "sip:10.0.0.1", 1000));
}
END_TEST

/* A request outside of a dialog that names it, in either order of its tags. */
START_TEST(a_dialog_may_be_named)
{
    static const char *const wrong[][3] = {{"c2", "f", "t"}, {"c1", "f", "x"}, {"c1", "x", "t"},
                                           {"c1", "f", ""},  {"c1", "", ""},   {"c1", "f", "f"}};
    msg_t *msg = message("c9 z - REFER", "sip:b@10.0.0.1");
    msg_t *other = message("c9 z - REFER", "sip:b@10.0.0.2");
    const url_t *url = sip_object(msg)->sip_request->rq_url;

    put("c1 f t INVITE", "sip:b@10.0.0.1", "", 1000);
    put("c1 f - INVITE", "sip:b@10.0.0.1", "", 1000);
    put("c1 - - INVITE", "sip:b@10.0.0.1", "", 1000);
    ck_assert_ptr_nonnull(noted_get_named(n, "c1", "f", "t", url, 1000));
    ck_assert_ptr_nonnull(noted_get_named(n, "c1", "t", "f", url, 1000));
    ck_assert_ptr_null(
        noted_get_named(n, "c1", "t", "f", sip_object(other)->sip_request->rq_url, 1000));
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        ck_assert_ptr_null(noted_get_named(n, wrong[i][0], wrong[i][1], wrong[i][2], url, 1000));
    msg_destroy(msg);
    msg_destroy(other);
}
END_TEST

START_TEST(a_dialog_without_tags_is_one)
{
    put("c1 f - INVITE", "sip:b@10.0.0.1", "", 1000);
    ck_assert_ptr_nonnull(get("c1 - f BYE", "sip:10.0.0.1", 1000));
}
END_TEST

START_TEST(a_bye_ends_it)
{
    put("c1 f t INVITE", "sip:b@10.0.0.1", "", 1000);
    put("c2 f t INVITE", "sip:b@10.0.0.1", "", 1000);
    end("c1 t f BYE", 5000);
    put("c1 f t INVITE", "sip:c@10.0.0.2", "", 6000); /* a late response opens it no more */
    end("c1 f t BYE", 20000);
    ck_assert_ptr_nonnull(get("c1 f t INFO", "sip:10.0.0.1", 5000 + NOTED_OVER_MS - 1));
    ck_assert_ptr_null(get("c1 f t INFO", "sip:10.0.0.1", 5000 + NOTED_OVER_MS));
    ck_assert_uint_eq(noted_count(n), 1);
    ck_assert_ptr_nonnull(get("c2 f t INFO", "sip:10.0.0.1", 5000 + NOTED_OVER_MS));
}
END_TEST

START_TEST(a_transfer_outlives_its_call)
{
    put("c1 f t INVITE", "sip:b@10.0.0.1", "", 1000);
    put("c1 t f REFER", "sip:b@10.0.0.1", "", 1000);
    end("c1 f t BYE", 5000);
    ck_assert_ptr_nonnull(get("c1 f t NOTIFY", "sip:10.0.0.1", 5000 + NOTED_OVER_MS));
    noted_tick(n, 5000 + NOTED_SUBSCRIBED_MS - 1);
    ck_assert_uint_eq(noted_count(n), 1);
    noted_tick(n, 5000 + NOTED_SUBSCRIBED_MS);
    ck_assert_uint_eq(noted_count(n), 0);
}
END_TEST

START_TEST(what_is_not_used_goes)
{
    put("c1 f t INVITE", "sip:b@10.0.0.1", "", 1000);
    put("c2 f t INVITE", "sip:b@10.0.0.1", "", 1000);
    ck_assert_ptr_nonnull(get("c1 f t INFO", "sip:10.0.0.1", 1000 + NOTED_AGE_MS));
    noted_tick(n, 1001 + NOTED_AGE_MS);
    ck_assert_uint_eq(noted_count(n), 1);
    ck_assert_ptr_null(get("c1 f t INFO", "sip:10.0.0.1", 1001 + 2 * (uint64_t)NOTED_AGE_MS));
    ck_assert_uint_eq(noted_count(n), 0);
}
END_TEST

START_TEST(a_dialog_keeps_its_last_addresses)
{
    char uri[64];

    for (unsigned i = 0; i < 200; i++) {
        snprintf(uri, sizeof(uri), "sip:b@10.0.0.%u", i);
        put("c1 f t INVITE", uri, i % 2 ? "" : "sip:127.0.0.2:5062;transport=tls", 1000);
        put("c1 f t INVITE", uri, "sip:127.0.0.3:5062;transport=tls", 1000);
        ck_assert_str_eq(get("c1 f t BYE", uri, 1000), "sip:127.0.0.3:5062;transport=tls");
    }
    ck_assert_ptr_null(get("c1 f t BYE", "sip:10.0.0.0", 1000));
    ck_assert_ptr_nonnull(get("c1 f t BYE", "sip:10.0.0.198", 1000));
}
END_TEST

START_TEST(the_oldest_makes_room)
{
    char names[64];

    put("first f t INVITE", "sip:b@10.0.0.1", "", 1000);
    put("over f t INVITE", "sip:b@10.0.0.1", "", 1000);
    end("over f t BYE", 1000);
    for (unsigned i = 0; i < NOTED_MAX - 1; i++) {
        snprintf(names, sizeof(names), "c%u f t INVITE", i);
        put(names, "sip:b@10.0.0.1", "", 1000);
    }
    ck_assert_ptr_null(get("over f t BYE", "sip:10.0.0.1", 1000));
    ck_assert_ptr_nonnull(get("first f t BYE", "sip:10.0.0.1", 1000));
    put("last f t INVITE", "sip:b@10.0.0.1", "", 1000);
    ck_assert_ptr_null(get("c0 f t BYE", "sip:10.0.0.1", 1000));
    ck_assert_uint_eq(noted_count(n), NOTED_MAX);
}
END_TEST

int
main(void)
{
    TCase *tc = tcase_create("noted");
    Suite *suite = suite_create("dialogs of the proxy");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, addresses_are_of_a_dialog);
    tcase_add_test(tc, no_other_dialog_goes_there);
    tcase_add_test(tc, a_dialog_may_be_named);
    tcase_add_test(tc, a_dialog_without_tags_is_one);
    tcase_add_test(tc, a_bye_ends_it);
    tcase_add_test(tc, a_transfer_outlives_its_call);
    tcase_add_test(tc, what_is_not_used_goes);
    tcase_add_test(tc, a_dialog_keeps_its_last_addresses);
    tcase_add_test(tc, the_oldest_makes_room);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
