#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/aor.h"
#include "base/text.h"

#define AOR_BYTES 256

static enum status
aor_of(const char *uri, char aor[AOR_BYTES])
{
    return aor_of_uri(slice_text(uri), aor, AOR_BYTES);
}

START_TEST(spellings_of_one_user_are_one_aor)
{
    static const char *const same[][3] = {
        {"+49;ext=5@site.east", "sip:+49;ext=5@site.east", "<sip:%2b49%3Bext%3d5@Site.East.>"},
        {"joe b@east", "sip:joe%20b@east:5070", "sips:j%6Fe%20%62:pw@EAST;lr?a=b"},
        {"joe;x@east", "sip:joe;x@east", "<sip:joe%3Bx@east>;tag=1"},
        {"a@b@east", "sip:a%40b@east", " <sip:%61%40%62@east>"},
        {"what?/@[2001:db8::1]", "sip:what?/@[2001:DB8::1]:5060", "sip:what%3f%2F@[2001:db8::1]"},
    };
    char aor[AOR_BYTES];

    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
        for (size_t k = 1; k < 3; k++) {
            ck_assert_int_eq(aor_of(same[i][k], aor), ST_OK);
            ck_assert_str_eq(aor, same[i][0]);
        }
    ck_assert_int_eq(aor_of("sip:Alice@east", aor), ST_OK);
    ck_assert_str_eq(aor, "Alice@east"); /* a user's case counts */
}
END_TEST

START_TEST(what_is_written_reads_as_the_same)
{
    char aor[AOR_BYTES], again[AOR_BYTES], uri[AOR_URI_BYTES(AOR_BYTES)];

    for (unsigned byte = 1; byte < 256; byte++) {
        enum status st;

        snprintf(aor, sizeof(aor), "a%cb@east", (char)byte);
        st = aor_to_uri(aor, uri, sizeof(uri));
        if (byte < 0x20 || byte == 0x7f) {
            ck_assert_int_eq(st, ST_MALFORMED);
            continue;
        }
        ck_assert_int_eq(st, ST_OK);
        for (const char *c = uri; *c; c++)
            ck_assert(*c > 0x20 && *c < 0x7f && !strchr("<>\"", *c));
        ck_assert_int_eq(aor_of(uri, again), ST_OK);
        ck_assert_str_eq(again, aor);
    }
}
END_TEST

START_TEST(control_characters_are_in_no_aor)
{
    static const char *const bad[] = {
        "sip:a%0D%0AX-Evil:%20yes@east",
        "sip:a%00@east",
        "sip:%1f@east",
        "sip:a%7F@east",
        "sip:a\r\nb@east",
        "sip:a@ea\nst",
        "sip:a@e%0ast",
        "sip:a@ea st",
        "sip:a b@east",
    };
    char aor[AOR_BYTES] = "kept";

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_int_eq(aor_of(bad[i], aor), ST_MALFORMED);
    ck_assert_str_eq(aor, "kept");
    ck_assert(aor_has_control("a%0db") && aor_has_control("a\x7f") && aor_has_control("%00"));
    ck_assert(!aor_has_control("a%20b%25%zz%0") && !aor_has_control(NULL));
}
END_TEST

START_TEST(what_is_no_aor_is_refused)
{
    static const char *const none[] = {"", "tel:+1", "sip:east", "sip:@east", "sip:a@", "a@east"};
    char aor[AOR_BYTES] = "kept", uri[16], longest[400];

    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        ck_assert_int_eq(aor_of(none[i], aor), ST_RANGE);
    memset(longest, 'a', sizeof(longest));
    memcpy(longest, "sip:", 4);
    memcpy(longest + 390, "@east", 6);
    ck_assert_int_eq(aor_of(longest, aor), ST_TOO_LARGE);
    ck_assert_str_eq(aor, "kept");
    ck_assert_int_eq(aor_to_uri("alice@site.east", uri, sizeof(uri)), ST_TOO_LARGE);
    ck_assert_int_eq(aor_to_uri("alice", uri, sizeof(uri)), ST_MALFORMED);
    ck_assert_int_eq(aor_to_uri("alice@e\r\nst", uri, sizeof(uri)), ST_MALFORMED);
}
END_TEST

START_TEST(text_of_others_steers_nothing)
{
    static const char *const shown[][2] = {
        {"plain, \xc3\xbc and \xe2\x82\xac \xf0\x9f\x93\x9e", NULL},
        {"a\x1b[31mb\x7f\n", "a?[31mb??"},
        {"\xc2\x9b"
         "31m",
         "?31m"}, /* C1: CSI in one character */
        {"\xe2\x80\xae"
         "gpj.exe\xe2\x81\xa6",
         "?gpj.exe?"}, /* RIGHT-TO-LEFT OVERRIDE */
        {"\xd8\x9c\xe2\x80\x8f\xe2\x80\xa8", "???"},
        {"\xff\xc0\x80\xed\xa0\x80\xe2\x82", "????????"}, /* no UTF-8 */
    };

    for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
        const char *wanted = shown[i][1] ? shown[i][1] : shown[i][0];
        char text[64];

        snprintf(text, sizeof(text), "%s", shown[i][0]);
        ck_assert_int_eq(text_is_printable(text), shown[i][1] == NULL);
        text_make_printable(text);
        ck_assert_str_eq(text, wanted);
    }
}
END_TEST

START_TEST(control_characters_are_found)
{
    ck_assert(text_has_control("a\x01") && text_has_control("\x7f") && text_has_control("\tb"));
    ck_assert(!text_has_control(NULL) && !text_has_control("") && !text_has_control("a%01 \x80~"));
}
END_TEST

START_TEST(labels_keep_their_quotes)
{
    char out[32], few[4];

    text_label("a\"b\\c\nd\x01\xff", out, sizeof(out));
    ck_assert_str_eq(out, "a\\\"b\\\\c\\nd??");
    text_label("ab\"c", few, sizeof(few));
    ck_assert_str_eq(few, "ab"); /* no half of an escape */
}
END_TEST

int
main(void)
{
    TCase *tc = tcase_create("aor");
    Suite *suite = suite_create("aor");
    SRunner *runner;
    int failed;

    tcase_add_test(tc, spellings_of_one_user_are_one_aor);
    tcase_add_test(tc, what_is_written_reads_as_the_same);
    tcase_add_test(tc, control_characters_are_in_no_aor);
    tcase_add_test(tc, what_is_no_aor_is_refused);
    tcase_add_test(tc, text_of_others_steers_nothing);
    tcase_add_test(tc, control_characters_are_found);
    tcase_add_test(tc, labels_keep_their_quotes);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
