#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/sip/phone_via.h"

#define VIA "SIP/2.0/UDP 127.0.0.2:5060;branch=z9hG4bKabc"

static struct sip *sip;
static struct phone_via v;

static void
setup(void)
{
    ck_assert_int_eq(su_init(), 0);
    sip = calloc(1, sizeof(*sip));
    ck_assert_ptr_nonnull(sip);
    sip->root = su_root_create(NULL);
    ck_assert_ptr_nonnull(sip->root);
    sip->phone_cancels = phone_cancels_new(sip);
    ck_assert_ptr_nonnull(sip->phone_cancels);
    v = (struct phone_via){0};
}

static void
teardown(void)
{
    phone_via_done(&v);
    phone_cancels_free(sip->phone_cancels);
    su_root_destroy(sip->root);
    free(sip);
    su_deinit();
}

/* What is known when a response has said @value. */
static void
hear(const char *value)
{
    char text[2048];
    msg_t *msg;

    snprintf(text, sizeof(text),
             "SIP/2.0 180 Ringing\r\nVia: SIP/2.0/TLS 127.0.0.1\r\nFrom: <sip:a@e>;tag=1\r\n"
             "To: <sip:b@w>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nPhone-Via: %s\r\n\r\n",
             value);
    msg = msg_make(sip_default_mclass(), 0, text, (ssize_t)strlen(text));
    ck_assert_ptr_nonnull(msg);
    phone_via_learn(&v, sip_object(msg));
    msg_destroy(msg);
}

START_TEST(a_via_by_udp_is_believed_and_no_more_of_it)
{
    hear(VIA ";rport;received=192.0.2.1;x=\"y\"");
    ck_assert_str_eq(v.text, VIA);
    hear("SIP/2.0/UDP 127.0.0.3:5060;branch=z9hG4bKdef"); /* what was said first stays */
    ck_assert_str_eq(v.text, VIA);
}
END_TEST

START_TEST(anything_else_is_not)
{
    static const char *const wrong[] = {
        "",
        "hello",
        "SIP/2.0/UDP",
        "SIP/2.0/UDP 127.0.0.2:5060",
        "SIP/2.0/UDP 127.0.0.2:5060;branch=1",
        "SIP/2.0/TCP 127.0.0.2:5060;branch=z9hG4bKabc",
        "SIP/2.0/TLS 127.0.0.2:5061;branch=z9hG4bKabc",
        VIA ", " VIA,
    };
    char large[600];

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        hear(wrong[i]);
        ck_assert_ptr_null(v.text);
    }
    memset(large, 'a', sizeof(large));
    memcpy(large, VIA, strlen(VIA));
    large[sizeof(large) - 1] = '\0';
    hear(large);
    ck_assert_ptr_null(v.text);
}
END_TEST

static msg_t *
invite_new(void)
{
    static const char text[] =
        "INVITE sip:b@w SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1\r\nFrom: <sip:a@e>;tag=1\r\n"
        "To: <sip:b@w>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n\r\n";
    msg_t *msg = msg_make(sip_default_mclass(), 0, text, (ssize_t)strlen(text));

    ck_assert_ptr_nonnull(msg);
    return msg;
}

START_TEST(a_final_response_ends_what_waits)
{
    msg_t *msg = invite_new();
    struct phone_invite invite = {.uri = "sip:b@127.0.0.9", .sip = sip_object(msg)};
    uint64_t left;

    hear(VIA);
    phone_via_cancelled(sip, &v, &invite);
    ck_assert_ptr_nonnull(v.cancel);
    phone_via_done(&v);
    ck_assert_ptr_null(v.cancel);
    ck_assert_uint_eq(phone_cancels_count(sip, &left), 0);
    ck_assert_uint_eq(left, 0);
    msg_destroy(msg);
}
END_TEST

START_TEST(who_cannot_be_reached_straight_is_counted_once)
{
    static const char *const uri[] = {NULL, "sips:b@127.0.0.9", "sip:b@127.0.0.9;transport=tcp",
                                      "sip:b@name.invalid"};
    msg_t *msg = invite_new();
    struct phone_invite invite = {.sip = sip_object(msg)};
    uint64_t left;

    for (size_t i = 0; i < sizeof(uri) / sizeof(uri[0]); i++) {
        v = (struct phone_via){0};
        hear(VIA);
        invite.uri = uri[i];
        phone_via_cancelled(sip, &v, &invite);
        ck_assert_ptr_null(v.cancel);
        phone_via_lost(sip, &v, &invite);
        phone_via_lost(sip, &v, &invite);
        ck_assert_uint_eq(phone_cancels_count(sip, &left), 0);
        ck_assert_uint_eq(left, i + 1);
        phone_via_done(&v);
    }
    msg_destroy(msg);
}
END_TEST

START_TEST(so_many_wait_and_no_more)
{
    static struct phone_via many[PHONE_VIA_MAX + 1];
    msg_t *msg = invite_new();
    struct phone_invite invite = {.uri = "sip:b@127.0.0.9", .sip = sip_object(msg)};

    for (size_t i = 0; i <= PHONE_VIA_MAX; i++) {
        many[i].text = strdup(VIA);
        phone_via_cancelled(sip, &many[i], &invite);
    }
    ck_assert_ptr_nonnull(many[PHONE_VIA_MAX - 1].cancel);
    ck_assert_ptr_null(many[PHONE_VIA_MAX].cancel);
    for (size_t i = 0; i <= PHONE_VIA_MAX; i++)
        phone_via_done(&many[i]);
    msg_destroy(msg);
}
END_TEST

int
main(void)
{
    TCase *tc = tcase_create("phone_via");
    Suite *suite = suite_create("phones that ring when their serving peer is lost");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_via_by_udp_is_believed_and_no_more_of_it);
    tcase_add_test(tc, anything_else_is_not);
    tcase_add_test(tc, a_final_response_ends_what_waits);
    tcase_add_test(tc, who_cannot_be_reached_straight_is_counted_once);
    tcase_add_test(tc, so_many_wait_and_no_more);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
