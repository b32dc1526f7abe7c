#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "gateway/sip/stun.h"

#define COOKIE "\x21\x12\xa4\x42"
#define ID     "0123456789ab"

static const struct sockaddr *
from4(void)
{
    static struct sockaddr_in in;

    in.sin_family = AF_INET;
    in.sin_port = htons(0x1234);
    inet_pton(AF_INET, "192.0.2.1", &in.sin_addr);
    return (const struct sockaddr *)(const void *)&in;
}

static const struct sockaddr *
from6(const char *text)
{
    static struct sockaddr_in6 in;

    in.sin6_family = AF_INET6;
    in.sin6_port = htons(0x1234);
    inet_pton(AF_INET6, text, &in.sin6_addr);
    return (const struct sockaddr *)(const void *)&in;
}

static void
expect(const char *in, size_t in_len, const struct sockaddr *from, const char *out, size_t out_len)
{
    uint8_t got[STUN_RESPONSE_BYTES_MAX];

    ck_assert_uint_eq(stun_answer((const uint8_t *)in, in_len, from, got), out_len);
    ck_assert_mem_eq(got, out, out_len);
}

START_TEST(a_keep_alive_gets_its_address)
{
    static const char in[] = "\0\x01\0\0" COOKIE ID;
    static const char out4[] =
        "\x01\x01\0\x0c" COOKIE ID "\0\x20\0\x08\0\x01\x33\x26\xe1\x12\xa6\x43";
    static const char out6[] =
        "\x01\x01\0\x18" COOKIE ID "\0\x20\0\x14\0\x02\x33\x26\x01\x13\xa9\xfa"
        "0123456789a\x63";

    expect(in, sizeof(in) - 1, from4(), out4, sizeof(out4) - 1);
    expect(in, sizeof(in) - 1, from6("::ffff:192.0.2.1"), out4, sizeof(out4) - 1);
    expect(in, sizeof(in) - 1, from6("2001:db8::1"), out6, sizeof(out6) - 1);
}
END_TEST

START_TEST(so_does_one_of_the_older_form)
{
    static const char in[] = "\0\x01\0\0" ID "cdef";
    static const char out[] = "\x01\x01\0\x0c" ID "cdef\0\x01\0\x08\0\x01\x12\x34\xc0\0\x02\x01";

    expect(in, sizeof(in) - 1, from4(), out, sizeof(out) - 1);
}
END_TEST

START_TEST(a_name_of_the_software_is_read_over)
{
    static const char in[] = "\0\x01\0\x08" COOKIE ID "\x80\x22\0\x03"
                             "abc\0";
    uint8_t got[STUN_RESPONSE_BYTES_MAX];

    ck_assert_uint_eq(stun_answer((const uint8_t *)in, sizeof(in) - 1, from4(), got), 32);
}
END_TEST

struct none_case {
    const char *what;
    const char *in;
    size_t len;
};

#define NONE(what, bytes)                                                                          \
    {                                                                                              \
        what, bytes, sizeof(bytes) - 1                                                             \
    }

static const struct none_case nones[] = {
    NONE("nothing", ""),
    NONE("a runt", "\0\x01\0\0" COOKIE),
    NONE("a response", "\x01\x01\0\0" COOKIE ID),
    NONE("another method", "\0\x02\0\0" COOKIE ID),
    NONE("an indication", "\0\x11\0\0" COOKIE ID),
    NONE("too short for its length", "\0\x01\0\x04" COOKIE ID),
    NONE("too long for its length", "\0\x01\0\0" COOKIE ID "\x80\x22\0\0"),
    NONE("an attribute that is cut", "\0\x01\0\x04" COOKIE ID "\x80\x22\0\x01"),
    NONE("a huge attribute", "\0\x01\0\x08" COOKIE ID "\x80\x22\xff\xff"
                             "abcd"),
    NONE("another address to answer to",
         "\0\x01\0\x0c" COOKIE ID "\0\x02\0\x08\0\x01\x12\x34\xc0\0\x02\x02"),
    NONE("a changed address", "\0\x01\0\x08" COOKIE ID "\0\x03\0\x04\0\0\0\x06"),
};

START_TEST(everything_else_is_discarded)
{
    const struct none_case *c = &nones[_i];
    uint8_t *in = malloc(c->len ? c->len : 1); /* reading over its end shows */
    uint8_t got[STUN_RESPONSE_BYTES_MAX];

    ck_assert_ptr_nonnull(in);
    memcpy(in, c->in, c->len);
    ck_assert_msg(stun_answer(in, c->len, from4(), got) == 0, "%s", c->what);
    free(in);
}
END_TEST

START_TEST(a_keep_alive_of_no_address_is_discarded)
{
    static const char in[] = "\0\x01\0\0" COOKIE ID;
    struct sockaddr none = {.sa_family = AF_UNIX};
    uint8_t got[STUN_RESPONSE_BYTES_MAX];

    ck_assert_uint_eq(stun_answer((const uint8_t *)in, sizeof(in) - 1, &none, got), 0);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("sip_stun");
    TCase *tcase = tcase_create("stun");
    SRunner *runner;
    int failed;

    tcase_add_test(tcase, a_keep_alive_gets_its_address);
    tcase_add_test(tcase, so_does_one_of_the_older_form);
    tcase_add_test(tcase, a_name_of_the_software_is_read_over);
    tcase_add_loop_test(tcase, everything_else_is_discarded, 0, sizeof(nones) / sizeof(nones[0]));
    tcase_add_test(tcase, a_keep_alive_of_no_address_is_discarded);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
