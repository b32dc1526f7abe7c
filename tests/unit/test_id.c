#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/id.h"

static struct id
id(const char *text)
{
    struct id a;

    ck_assert_int_eq(id_parse(text, &a), ST_OK);
    return a;
}

#define ZERO "00000000000000000000000000000000"
#define ONE  "00000000000000000000000000000001"
#define TEN  "0000000000000000000000000000000a"
#define MOST "ffffffffffffffffffffffffffffffff"

START_TEST(arithmetic_wraps)
{
    struct id one = id(ONE), most = id(MOST), zero = id(ZERO);
    struct id sum = id_add(&most, &one);
    struct id difference = id_subtract(&zero, &one);

    ck_assert(id_is_zero(&sum));
    ck_assert(id_is_wildcard(&difference));
    for (unsigned i = 0; i < 127; i++) {
        struct id power = id_power_of_two(i), next = id_power_of_two(i + 1);
        struct id twice = id_add(&power, &power);
        ck_assert(id_equal(&twice, &next));
        ck_assert_uint_eq(id_common_bits(&power, &zero), 127 - i);
    }
    ck_assert_uint_eq(id_common_bits(&one, &one), 128);
}
END_TEST

START_TEST(interval_is_open_left_closed_right)
{
    struct id one = id(ONE), ten = id(TEN), zero = id(ZERO), most = id(MOST);

    ck_assert(!id_is_in(&one, &one, &ten));
    ck_assert(id_is_in(&ten, &one, &ten));
    ck_assert(!id_is_in(&zero, &one, &ten));
    ck_assert(id_is_in(&zero, &ten, &one)); /* across zero */
    ck_assert(id_is_in(&most, &ten, &one));
    ck_assert(!id_is_in(&ten, &ten, &one));
    ck_assert(id_is_in(&most, &ten, &ten)); /* the whole ring */
    ck_assert(id_is_in(&ten, &ten, &ten));
}
END_TEST

START_TEST(digits_from_the_left)
{
    struct id a = id("1f2e3d4c5b6a79880011223344556677");

    ck_assert_uint_eq(id_digit(&a, 0, 4), 0x1);
    ck_assert_uint_eq(id_digit(&a, 1, 4), 0xf);
    ck_assert_uint_eq(id_digit(&a, 31, 4), 0x7);
    ck_assert_uint_eq(id_digit(&a, 3, 1), 1);
    ck_assert_uint_eq(id_digit(&a, 15, 8), 0x77);
}
END_TEST

START_TEST(text_goes_both_ways)
{
    char text[ID_TEXT_BYTES];
    struct id a = id("1F2e3d4c5b6a79880011223344556677");

    ck_assert_str_eq(id_text(&a, text), "1f2e3d4c5b6a79880011223344556677");
    ck_assert_int_eq(id_parse("1f", &a), ST_MALFORMED);
    ck_assert_int_eq(id_parse("1f2e3d4c5b6a7988001122334455667g", &a), ST_MALFORMED);
    ck_assert_int_eq(id_parse("1f2e3d4c5b6a798800112233445566778", &a), ST_MALFORMED);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("id");
    TCase *tc = tcase_create("all");

    tcase_add_test(tc, arithmetic_wraps);
    tcase_add_test(tc, interval_is_open_left_closed_right);
    tcase_add_test(tc, digits_from_the_left);
    tcase_add_test(tc, text_goes_both_ways);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
