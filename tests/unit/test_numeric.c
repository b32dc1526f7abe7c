#include <check.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdlib.h>

#include "gateway/sip/numeric.h"

static int
look_up(const char *host)
{
    const struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_DGRAM};
    struct addrinfo *found = NULL;
    int error = getaddrinfo(host, "5060", &hints, &found);

    if (!error)
        freeaddrinfo(found);
    return error;
}

START_TEST(test_names)
{
    bool has_names = look_up("localhost") == 0; /* a bare machine has no /etc/hosts */

    numeric_only(true);
    ck_assert_int_eq(look_up("localhost"), EAI_NONAME);
    ck_assert_int_eq(look_up("127.0.0.1"), 0);
    numeric_only(false);
    if (has_names)
        ck_assert_int_eq(look_up("localhost"), 0);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("numeric");
    TCase *c = tcase_create("names");
    SRunner *runner = srunner_create(s);

    suite_add_tcase(s, c);
    tcase_add_test(c, test_names);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
