#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <check.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/sip_parser.h>

#include "gateway/sip/inlet.h"
#include "gateway/sip/method.h"

struct via_case {
    const char *via;
    bool is_answerable4;
    bool is_answerable6;
};

static const struct via_case vias[] = {
    {"SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKx", true, true},
    {"SIP/2.0/UDP phone.example;branch=z9hG4bKx", true, true},
    {"SIP/2.0/UDP 192.0.2.1:0;branch=z9hG4bKx", false, false},
    {"SIP/2.0/UDP 192.0.2.1:00;branch=z9hG4bKx", false, false},
    {"SIP/2.0/UDP 192.0.2.1:65535", true, true},
    {"SIP/2.0/UDP 192.0.2.1:0;rport", true, true},
    {"SIP/2.0/UDP 192.0.2.1;maddr=198.51.100.7", true, false},
    {"SIP/2.0/UDP 192.0.2.1;maddr=255.255.255.255", false, false},
    {"SIP/2.0/UDP 192.0.2.1;maddr=240.0.0.1", false, false},
    {"SIP/2.0/UDP 192.0.2.1;maddr=224.0.1.75;ttl=1", false, false},
    {"SIP/2.0/UDP 192.0.2.1;maddr=0.0.0.0", false, false},
    {"SIP/2.0/UDP 192.0.2.1;maddr=[2001:db8::1]", false, true},
    {"SIP/2.0/UDP 192.0.2.1;maddr=[ff02::1]", false, false},
    {"SIP/2.0/UDP 192.0.2.1;maddr=[::]", false, false},
    {"SIP/2.0/UDP 192.0.2.1;maddr=[::ffff:192.0.2.1]", false, false},
    {"SIP/2.0/UDP 192.0.2.1;maddr=phone.example", false, false},
    {"SIP/2.0/UDP 192.0.2.1;maddr=255.255.255.255;rport", true, true},
};

START_TEST(who_can_be_answered)
{
    su_home_t home[1] = {SU_HOME_INIT(home)};
    const struct via_case *c = &vias[_i];
    sip_via_t *via = sip_via_make(home, c->via);

    ck_assert_msg(via != NULL, "%s", c->via);
    ck_assert_msg(inlet_is_answerable(via, AF_INET) == c->is_answerable4, "%s by IPv4", c->via);
    ck_assert_msg(inlet_is_answerable(via, AF_INET6) == c->is_answerable6, "%s by IPv6", c->via);
    su_home_deinit(home);
}
END_TEST

struct method_case {
    const char *text;
    sip_method_t method;
    const char *name;
    const char *rest;
};

static const struct method_case methods[] = {
    {"INVITE sip:x", sip_method_invite, "INVITE", "sip:x"},
    {"ACK", sip_method_ack, "ACK", ""},
    {"INVITED sip:x", sip_method_unknown, "INVITED", "sip:x"},
    {"INVIT sip:x", sip_method_unknown, "INVIT", "sip:x"},
    {"invite sip:x", sip_method_unknown, "invite", "sip:x"},
    {"!interesting-Method0123456789_*+`.%indeed'~ sip:x", sip_method_unknown,
     "!interesting-Method0123456789_*+`.%indeed'~", "sip:x"},
    {"B{AD sip:x", sip_method_invalid, NULL, NULL},
    {"", sip_method_invalid, NULL, NULL},
    {" INVITE", sip_method_invalid, NULL, NULL},
    {"IN\xc3\xa4 sip:x", sip_method_invalid, NULL, NULL},
};

START_TEST(a_method_is_any_token)
{
    const struct method_case *c = &methods[_i];
    char text[80];
    char *at = text;
    const char *name = NULL;
    sip_method_t found;

    method_init();
    snprintf(text, sizeof(text), "%s", c->text);
    found = sip_method_d(&at, &name);
    ck_assert_msg(found == c->method, "%s: %d", c->text, found);
    if (found == sip_method_invalid)
        return;
    ck_assert_str_eq(name, c->name);
    ck_assert_str_eq(at, c->rest);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("what comes before the library");
    TCase *all = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(all, who_can_be_answered, 0, sizeof(vias) / sizeof(vias[0]));
    tcase_add_loop_test(all, a_method_is_any_token, 0, sizeof(methods) / sizeof(methods[0]));
    suite_add_tcase(suite, all);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
