#include <check.h>
#include <stdlib.h>

#include "gateway/sip/registration.h"

/* How many of @count REGISTERs that come one after the other, and wait, have room. */
static size_t
waiting(size_t count, size_t bindings)
{
    size_t under_way = 0;

    while (count-- > 0)
        under_way += registration_has_room(under_way + 1, bindings);
    return under_way;
}

START_TEST(those_that_wait_are_bounded)
{
    ck_assert_uint_eq(waiting(5000, 0), 512);
    ck_assert_uint_eq(waiting(5000, 1), 1024);
    ck_assert_uint_eq(waiting(5000, BINDING_CONTACTS_MAX), 1024);
    ck_assert_uint_eq(waiting(500, 0), 500);
}
END_TEST

START_TEST(who_has_a_binding_comes_in_where_new_ones_wait)
{
    ck_assert(!registration_has_room(513, 0));
    ck_assert(registration_has_room(513, 1));
    ck_assert(registration_has_room(1024, 1));
    ck_assert(!registration_has_room(1025, 1));
}
END_TEST

int
main(void)
{
    TCase *tc = tcase_create("registration");
    Suite *suite = suite_create("one REGISTER on its way");
    SRunner *runner;
    int failed;

    tcase_add_test(tc, those_that_wait_are_bounded);
    tcase_add_test(tc, who_has_a_binding_comes_in_where_new_ones_wait);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
