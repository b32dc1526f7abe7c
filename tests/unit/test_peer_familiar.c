/* Certificates are left out where a link has shown them, and come where they are missed. */
#include <check.h>

#include "tests/unit/lan_ask.h"

enum { HOSTS = 3 };

/** What was seen on the way since the last begin_to_look(). */
static struct {
    unsigned bare, with_certificate; /* HELLOs and their answers */
    size_t bytes;
    unsigned other_bare;
} seen;

static bool
look(unsigned from, unsigned to, struct slice *message)
{
    struct message m;

    (void)from;
    (void)to;
    if (message_decode(*message, &m, NULL) != ST_OK)
        return true;
    if (m.contents.code == MESSAGE_EXP_A_REQ || m.contents.code == MESSAGE_EXP_A_ANS) {
        seen.bare += m.security.certificates.len == 0;
        seen.with_certificate += m.security.certificates.len > 0;
        seen.bytes += message->len;
    } else {
        seen.other_bare += m.security.certificates.len == 0;
    }
    return true;
}

static void
begin_to_look(void)
{
    memset(&seen, 0, sizeof(seen));
    lan.tap = look;
}

static void
begin(bool shows_certificates)
{
    lan.shows_certificates = shows_certificates;
    for (unsigned i = 0; i < HOSTS; i++) {
        lan_add();
        lan_start(i);
        peer_aim(lan_peer(i), lan_now(), PEER_AIM_MEMBER);
    }
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    lan_run_ms(2000);
    ck_assert(lan.host[0].is_linked[1]);
    begin_to_look();
}

static void
forget_all(unsigned host)
{
    lan.host[host].keys.known_count = 0;
}

START_TEST(test_it_is_left_out_on_a_link_that_showed_it)
{
    struct result r;

    begin(true);
    r = ask(1, 0, 0);
    ck_assert_int_eq(r.st, ST_OK);
    ck_assert(id_equal(&r.from.node, lan_id(0)));
    ck_assert_str_eq(r.from.user, "n0@test");
    ck_assert_uint_eq(seen.bare, 2);
    ck_assert_uint_eq(seen.with_certificate, 0);
}
END_TEST

START_TEST(test_it_comes_along_on_links_that_do_not_show_it)
{
    begin(false);
    ck_assert_int_eq(ask(1, 0, 0).st, ST_OK);
    ck_assert_uint_eq(seen.bare, 0);
    ck_assert_uint_eq(seen.with_certificate, 2);
    ck_assert_uint_eq(seen.other_bare, 0);
}
END_TEST

START_TEST(test_who_forgot_the_asker_is_told_again)
{
    begin(true);
    forget_all(0);
    ck_assert_int_eq(ask(1, 0, 0).st, ST_OK);
    ck_assert_uint_eq(seen.bare, 1); /* refused; then both with certificates */
    ck_assert_uint_eq(seen.with_certificate, 2);
    ck_assert_uint_eq(lan.host[0].requests, 1);
    begin_to_look();
    ck_assert_int_eq(ask(1, 0, 0).st, ST_OK);
    ck_assert_uint_eq(seen.bare, 2);
}
END_TEST

START_TEST(test_who_forgot_the_answerer_is_told_again)
{
    begin(true);
    forget_all(1);
    ck_assert_int_eq(ask(1, 0, 0).st, ST_OK);
    ck_assert_uint_eq(seen.bare, 2); /* the answer is refused; then both with certificates */
    ck_assert_uint_eq(seen.with_certificate, 2);
    ck_assert_uint_eq(lan.host[0].requests, 1); /* carried out once, answered twice */
}
END_TEST

START_TEST(test_who_has_no_time_for_a_repetition_is_told_with_the_next)
{
    begin(true);
    forget_all(0);
    ck_assert_int_eq(ask(1, 0, 300).st, ST_TIMEOUT); /* over before it would be sent again */
    begin_to_look();
    ck_assert_int_eq(ask(1, 0, 300).st, ST_OK);
    ck_assert_uint_eq(seen.with_certificate, 2);
    begin_to_look();
    ck_assert_int_eq(ask(1, 0, 300).st, ST_OK);
    ck_assert_uint_eq(seen.bare, 2);
}
END_TEST

static struct slice
forged(struct slice message)
{
    struct slice copy;

    ck_assert_int_eq(slice_copy(message, &copy), ST_OK);
    ((uint8_t *)copy.data)[copy.len - 1] ^= 1; /* of the signature */
    return copy;
}

static bool
forge_answers(unsigned from, unsigned to, struct slice *message)
{
    struct message m;
    struct slice copy;

    (void)to;
    if (from != 0 || message_decode(*message, &m, NULL) != ST_OK ||
        m.contents.code != MESSAGE_EXP_A_ANS)
        return true;
    copy = forged(*message);
    slice_free(message);
    *message = copy;
    return true;
}

START_TEST(test_nothing_is_believed_for_coming_straight)
{
    begin(true);
    lan.tap = forge_answers;
    lan.host[1].remote_lines = 0;
    ck_assert_int_eq(ask(1, 0, 0).st, ST_TIMEOUT);
    ck_assert_uint_gt(lan.host[1].remote_lines, 0);
}
END_TEST

START_TEST(test_records_keep_their_writers_certificates)
{
    begin(true);
    ck_assert_int_eq(store(1, "alice@test", "here", true).st, ST_OK);
    for (unsigned i = 0; i < HOSTS; i++) {
        forget_all(i);
        ck_assert_int_eq(fetch(i, "alice@test").st, ST_OK);
    }
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("peer_familiar");
    TCase *tc = tcase_create("certificates");
    SRunner *sr;
    int failed;

    tcase_add_checked_fixture(tc, lan_setup, lan_teardown);
    tcase_add_test(tc, test_it_is_left_out_on_a_link_that_showed_it);
    tcase_add_test(tc, test_it_comes_along_on_links_that_do_not_show_it);
    tcase_add_test(tc, test_who_forgot_the_asker_is_told_again);
    tcase_add_test(tc, test_who_forgot_the_answerer_is_told_again);
    tcase_add_test(tc, test_who_has_no_time_for_a_repetition_is_told_with_the_next);
    tcase_add_test(tc, test_nothing_is_believed_for_coming_straight);
    tcase_add_test(tc, test_records_keep_their_writers_certificates);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
