/* Many clients of one member: they leave each other alone, and find who comes after it; and of
 * none. */
#include <check.h>

#include "tests/unit/lan_ask.h"

static unsigned
links_between(unsigned first, unsigned last)
{
    unsigned links = 0;

    for (unsigned i = first; i <= last; i++)
        for (unsigned j = first; j < i; j++)
            links += lan.host[i].is_linked[j];
    return links;
}

static void
learn_each_other(unsigned first, unsigned last)
{
    for (unsigned i = first; i <= last; i++)
        for (unsigned j = first; j <= last; j++)
            peer_learn(lan_peer(i), lan_now(), &lan.host[j].conf.self);
}

static void
begin_clients(void)
{
    for (unsigned i = 0; i < LAN_MAX; i++) {
        lan_add();
        lan_start(i);
        peer_aim(lan_peer(i), lan_now(), i == 0 ? PEER_AIM_MEMBER : PEER_AIM_CLIENT);
    }
    lan_run_ms(5000);
    for (unsigned i = 1; i < LAN_MAX; i++)
        ck_assert_int_eq(lan.host[i].state, PEER_JOINED);
}

START_TEST(test_clients_keep_no_links_with_each_other)
{
    begin_clients();
    learn_each_other(1, LAN_MAX - 1);
    lan_run_ms(10000);
    ck_assert_uint_eq(links_between(1, LAN_MAX - 1), 0);
    for (unsigned i = 1; i < LAN_MAX; i++)
        ck_assert(lan.host[i].is_linked[0]);
}
END_TEST

START_TEST(test_clients_find_who_becomes_a_member)
{
    begin_clients();
    learn_each_other(1, LAN_MAX - 1);
    lan_run_ms(10000);
    peer_aim(lan_peer(1), lan_now(), PEER_AIM_MEMBER);
    lan_run_ms(3000);
    ck_assert(peer_is_member(lan_peer(1)));
    lan_crash(0);
    lan_run_ms(100);
    for (unsigned i = 2; i < LAN_MAX; i++) /* as the next HELLO answer tells them */
        peer_learn(lan_peer(i), lan_now(), &lan.host[1].conf.self);
    lan_run_ms(1000);
    for (unsigned i = 2; i < LAN_MAX; i++) {
        ck_assert_int_eq(lan.host[i].state, PEER_JOINED);
        ck_assert(lan.host[i].is_linked[1]);
    }
    lan_run_ms(5000);
    ck_assert_uint_eq(links_between(2, LAN_MAX - 1), 0);
}
END_TEST

/* One whose link went is asked again late, unless somebody needs it. */
START_TEST(test_a_client_seeks_a_second_member)
{
    struct id member[4];

    begin_clients();
    learn_each_other(1, LAN_MAX - 1);
    lan_run_ms(10000);
    peer_aim(lan_peer(1), lan_now(), PEER_AIM_MEMBER);
    lan_run_ms(1000);
    ck_assert_uint_eq(peer_linked_members(lan_peer(2), member, 4), 2);
    lan_cut(1, 2);
    lan_run_ms(1000);
    ck_assert_uint_eq(peer_linked_members(lan_peer(2), member, 4), 1);
    peer_seek_members(lan_peer(2), lan_now(), 60000); /* it has asked all of them in this minute */
    lan_run_ms(200);
    ck_assert_uint_eq(peer_linked_members(lan_peer(2), member, 4), 1);
    for (int i = 0; i < 8 && peer_linked_members(lan_peer(2), member, 4) < 2;
         i++) { /* a few at a time */
        peer_seek_members(lan_peer(2), lan_now(), 500);
        lan_run_ms(100);
    }
    ck_assert_uint_eq(peer_linked_members(lan_peer(2), member, 4), 2);
    lan_run_ms(5000);
    ck_assert_uint_eq(links_between(2, LAN_MAX - 1), 0);
}
END_TEST

START_TEST(test_clients_know_that_there_is_no_member)
{
    for (unsigned i = 0; i < LAN_MAX; i++) {
        lan_add();
        lan_start(i);
        peer_aim(lan_peer(i), lan_now(), PEER_AIM_CLIENT);
    }
    ck_assert(!peer_finds_no_member(lan_peer(1))); /* nobody has said anything yet */
    lan_run_ms(1500);
    for (unsigned i = 1; i < LAN_MAX; i++)
        ck_assert(peer_finds_no_member(lan_peer(i)));
    peer_aim(lan_peer(0), lan_now(), PEER_AIM_MEMBER);
    ck_assert(!peer_finds_no_member(lan_peer(0))); /* it forms one */
    lan_run_ms(5000);
    for (unsigned i = 1; i < LAN_MAX; i++)
        ck_assert(!peer_finds_no_member(lan_peer(i)));
    for (unsigned i = 0; i + 1 < LAN_MAX; i++)
        lan_crash(i);
    lan_run_ms(5000);
    /* all the others refuse connections: the network may be cut as well */
    ck_assert(!peer_finds_no_member(lan_peer(LAN_MAX - 1)));
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("peer_client");
    TCase *tc = tcase_create("clients");
    SRunner *sr;
    int failed;

    tcase_add_checked_fixture(tc, lan_setup, lan_teardown);
    tcase_add_test(tc, test_clients_keep_no_links_with_each_other);
    tcase_add_test(tc, test_clients_find_who_becomes_a_member);
    tcase_add_test(tc, test_a_client_seeks_a_second_member);
    tcase_add_test(tc, test_clients_know_that_there_is_no_member);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
