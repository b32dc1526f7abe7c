#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "local-overlays/peer_internal.h"
#include "tests/unit/lan_ask.h"

enum { DEAD = 1, FELLOW = 2, STRANGER = 3, HOSTS = 5 };

/** Two of them are of one user, as the candidates of an island are in the ring. */
static void
begin_pinging(uint32_t signer_ping_ms)
{
    for (unsigned i = 0; i < HOSTS; i++) {
        lan_add();
        lan.host[i].conf.signer_ping_ms = signer_ping_ms;
    }
    for (unsigned i = DEAD; i <= FELLOW; i++)
        fake_keys_init(&lan.host[i].keys, &lan.host[i].conf.self.node, "overlay@island");
    for (unsigned i = 0; i < HOSTS; i++)
        lan_start(i);
    for (unsigned i = 0; i < HOSTS; i++)
        peer_aim(lan_peer(i), lan_now(), PEER_AIM_MEMBER);
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    lan_run_ms(2000);
    for (unsigned i = 0; i < HOSTS; i++)
        ck_assert(i == DEAD || peer_link_is_up(lan_peer(i), lan_id(DEAD)));
}

static void
begin(void)
{
    begin_pinging(0);
}

static bool
is_not_of_the_dead(unsigned from, unsigned to, struct slice *message)
{
    (void)message;
    return from != DEAD && to != DEAD;
}

/** It hears and says nothing any more, and none of its links breaks. */
static void
stop(void)
{
    lan.tap = is_not_of_the_dead;
    lan.host[DEAD].is_cut_off = true;
}

static unsigned
links_with_the_dead(void)
{
    unsigned count = 0;

    for (unsigned i = 0; i < HOSTS; i++)
        count += i != DEAD && peer_link_is_up(lan_peer(i), lan_id(DEAD));
    return count;
}

START_TEST(test_all_hear_of_it_at_once)
{
    begin();
    stop();
    peer_declare_gone(lan_peer(FELLOW), lan_now(), lan_id(DEAD));
    ck_assert(!peer_link_is_up(lan_peer(FELLOW), lan_id(DEAD)));
    lan_run_ms(10);
    ck_assert_uint_eq(links_with_the_dead(), 0);
    for (unsigned i = 0; i < 20; i++) { /* whatever was the dead one's has another owner */
        char name[16];

        snprintf(name, sizeof(name), "u%u@test", i);
        ck_assert_int_eq(store(FELLOW, name, "here", true).st, ST_OK);
        ck_assert_str_eq(fetch(0, name).value, "here");
    }
    for (unsigned i = 0; i < HOSTS; i++)
        ck_assert_uint_eq(lan.host[i].remote_lines, 0);
}
END_TEST

/* What had been sent to the dead one is sent to its successor, and waits for no timer. */
START_TEST(test_what_waited_for_it_goes_on)
{
    char name[16] = "";
    struct result r = {0};

    begin();
    for (unsigned i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "u%u@test", i);
        if (responsible_for(name) == DEAD)
            break;
    }
    ck_assert_uint_eq(responsible_for(name), DEAD);
    ck_assert_int_eq(store(0, name, "here", true).st, ST_OK);
    stop();
    peer_fetch(lan_peer(0), lan_now(), name, KIND_BINDING, &(struct peer_fetched){on_fetched, &r});
    lan_run_ms(50);
    ck_assert_uint_eq(r.count, 0);
    peer_declare_gone(lan_peer(FELLOW), lan_now(), lan_id(DEAD));
    lan_run_ms(50);
    ck_assert_uint_eq(r.count, 1);
    ck_assert_int_eq(r.st, ST_OK);
    ck_assert_str_eq(r.value, "here");
}
END_TEST

/* Nobody says that it is dead, and no link breaks: those next to the place have copies. */
START_TEST(test_what_a_hung_one_keeps_is_found)
{
    unsigned tried = 0;

    begin();
    for (unsigned i = 0; i < 100 && tried < 5; i++) {
        struct result r = {0};
        char name[16];

        snprintf(name, sizeof(name), "u%u@test", i);
        if (responsible_for(name) != DEAD)
            continue;
        tried++;
        ck_assert_int_eq(store(0, name, "here", true).st, ST_OK);
        stop();
        peer_fetch(lan_peer(0), lan_now(), name, KIND_BINDING,
                   &(struct peer_fetched){on_fetched, &r});
        lan_run_ms(PEER_ASK_OTHERS_MS - 1);
        ck_assert_uint_eq(r.count, 0);
        lan_run_ms(50);
        ck_assert_uint_eq(r.count, 1);
        ck_assert_int_eq(r.st, ST_OK);
        ck_assert_str_eq(r.value, "here");
        lan.tap = NULL;
        lan.host[DEAD].is_cut_off = false;
        lan_run_ms(2000);
    }
    ck_assert_uint_eq(tried, 5);
}
END_TEST

/* A client's request, passed on by its member to one that has stopped: it waits there for what
 * becomes of that, and the client's timer has nothing to do. */
START_TEST(test_what_was_passed_on_to_it_goes_on)
{
    char name[16] = "";
    struct result r = {0};
    unsigned client;

    begin();
    for (unsigned i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "u%u@test", i);
        if (responsible_for(name) == DEAD)
            break;
    }
    ck_assert_uint_eq(responsible_for(name), DEAD);
    ck_assert_int_eq(store(0, name, "here", true).st, ST_OK);
    client = lan_add();
    lan_start(client);
    peer_aim(lan_peer(client), lan_now(), PEER_AIM_CLIENT);
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    lan_run_ms(2000);
    ck_assert(!peer_link_is_up(lan_peer(client), lan_id(DEAD)));
    stop();
    peer_fetch(lan_peer(client), lan_now(), name, KIND_BINDING,
               &(struct peer_fetched){on_fetched, &r});
    lan_run_ms(50);
    ck_assert_uint_eq(r.count, 0);
    for (unsigned i = 0; i < HOSTS; i++)
        if (i != DEAD)
            lan_put(LAN_DOWN, i, lan_id(DEAD), "", slice_of(NULL, 0));
    lan_run_ms(50);
    ck_assert_uint_eq(r.count, 1);
    ck_assert_int_eq(r.st, ST_OK);
    ck_assert_str_eq(r.value, "here");
    ck_assert_uint_eq(peer_counters_of(lan_peer(client))->retransmitted, 0);
}
END_TEST

/* A client that has no link with another member when it knows: whom it joins through hears of it
 * first, and its Join does not go to the dead one. */
START_TEST(test_a_client_tells_whom_it_joins_through)
{
    unsigned client;

    begin();
    client = lan_add();
    fake_keys_init(&lan.host[client].keys, &lan.host[client].conf.self.node, "overlay@island");
    lan_start(client);
    peer_aim(lan_peer(client), lan_now(), PEER_AIM_CLIENT);
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    lan_run_ms(2000);
    stop();
    for (unsigned i = 0; i < HOSTS; i++)
        if (peer_link_is_up(lan_peer(client), lan_id(i)))
            lan_cut(client, i);
    lan_run_ms(1);
    peer_declare_gone(lan_peer(client), lan_now(), lan_id(DEAD));
    peer_aim(lan_peer(client), lan_now(), PEER_AIM_MEMBER);
    lan_run_ms(600);
    ck_assert_int_eq(peer_state(lan_peer(client)), PEER_JOINED);
    ck_assert_uint_eq(links_with_the_dead(), 0);
}
END_TEST

/* A link with it shows that it has started again: nobody is told then. */
START_TEST(test_who_lives_again_is_not_told_of)
{
    begin();
    for (unsigned i = 0; i < HOSTS; i++)
        if (i != FELLOW)
            lan_cut(FELLOW, i);
    lan_run_ms(1);
    peer_declare_gone(lan_peer(FELLOW), lan_now(), lan_id(DEAD));
    lan_put(LAN_UP, FELLOW, lan_id(DEAD), "", slice_of(NULL, 0));
    lan_put(LAN_UP, DEAD, lan_id(FELLOW), "", slice_of(NULL, 0));
    lan_run_ms(1000);
    for (unsigned i = 0; i < HOSTS; i++)
        ck_assert(i == DEAD || i == FELLOW || peer_link_is_up(lan_peer(i), lan_id(DEAD)));
}
END_TEST

START_TEST(test_nobody_speaks_for_anothers_node)
{
    begin();
    peer_declare_gone(lan_peer(STRANGER), lan_now(), lan_id(DEAD));
    lan_run_ms(10);
    ck_assert_uint_eq(links_with_the_dead(), HOSTS - 2); /* all but the liar's own */
    for (unsigned i = 0; i < HOSTS; i++) {
        if (i == STRANGER)
            continue;
        ck_assert_uint_eq(lan.host[i].remote_lines, i == DEAD ? 0 : 1);
        ck_assert(i == DEAD || strstr(lan.host[i].last_remote, "not of its user"));
    }
}
END_TEST

/* Of one whose user is not known nothing is believed: it is asked itself. */
START_TEST(test_who_is_not_known_is_asked)
{
    begin();
    peer_link_find(lan_peer(0), lan_id(DEAD))->is_user_known = false;
    peer_declare_gone(lan_peer(FELLOW), lan_now(), lan_id(DEAD));
    lan_run_ms(10);
    ck_assert(peer_link_is_up(lan_peer(0), lan_id(DEAD)));
    ck_assert_uint_eq(links_with_the_dead(), 1);
    ck_assert(peer_link_find(lan_peer(0), lan_id(DEAD))->is_user_known); /* it has answered */
}
END_TEST

START_TEST(test_who_hears_of_its_own_death_refuses)
{
    struct gone_req req;
    struct writer w;
    struct result r = {0};

    begin();
    req.node = *lan_id(DEAD);
    writer_init(&w, UINT16_MAX);
    gone_req_write(&w, &req);
    peer_ask(lan_peer(FELLOW), lan_now(), lan_id(DEAD), PRIVATE_GONE, writer_slice(&w), 0,
             &(struct peer_reply){on_reply, &r});
    lan_run_ms(10);
    ck_assert_int_eq(r.st, ST_FORBIDDEN);
    ck_assert_uint_eq(lan.host[DEAD].remote_lines, 1);
    r = (struct result){0};
    peer_ask(lan_peer(FELLOW), lan_now(), lan_id(DEAD), PRIVATE_GONE, slice_text("short"), 0,
             &(struct peer_reply){on_reply, &r});
    lan_run_ms(10);
    ck_assert_uint_eq(r.count, 1);
    ck_assert_int_eq(r.st, ST_MALFORMED);
    ck_assert_uint_eq(links_with_the_dead(), HOSTS - 1);
    writer_done(&w);
}
END_TEST

/* An island that was wrong: its node joins again. */
START_TEST(test_one_that_lives_comes_back)
{
    begin();
    peer_declare_gone(lan_peer(FELLOW), lan_now(), lan_id(DEAD));
    lan_run_ms(20);
    ck_assert(lan_run_until(PEER_JOINED, 60000));
    lan_run_ms(60000);
    ck_assert(lan_all(PEER_JOINED));
    for (unsigned i = 0; i < 20; i++) {
        char name[16];

        snprintf(name, sizeof(name), "u%u@test", i);
        (void)responsible_for(name); /* of one node each */
    }
}
END_TEST

/* ---- what it has stored ---- */

struct entries {
    unsigned live, ended;
};

static void
on_entries(void *ctx, struct moment now, enum status st, const struct peer_datum *datum,
           size_t count)
{
    struct entries *e = ctx;

    (void)now;
    ck_assert_int_eq(st, ST_OK);
    for (size_t i = 0; i < count; i++) {
        e->live += datum[i].exists && datum[i].lifetime_s > 0;
        e->ended += datum[i].exists && datum[i].lifetime_s == 0;
    }
}

static struct entries
entries(unsigned host)
{
    struct entries e = {0};

    peer_fetch(lan_peer(host), lan_now(), "overlay@island", KIND_SIP_REGISTRATION,
               &(struct peer_fetched){on_entries, &e});
    lan_run_ms(3000);
    return e;
}

static void
publish(unsigned host)
{
    struct result r = {0};
    struct peer_value v = {.kind = KIND_SIP_REGISTRATION,
                           .key = *lan_id(host),
                           .exists = true,
                           .lifetime_s = 600,
                           .value = slice_text("here")};

    peer_store(lan_peer(host), lan_now(), "overlay@island", &v, &(struct peer_reply){on_reply, &r});
    lan_run_ms(1000);
    ck_assert_uint_eq(r.count, 1);
    ck_assert_int_eq(r.st, ST_OK);
}

/* All who hold it say so within ten seconds, and the one that lives is found all the time. */
START_TEST(test_what_a_dead_node_has_stored_has_ended)
{
    begin_pinging(2000);
    publish(DEAD);
    publish(FELLOW);
    lan_run_ms(20000);
    for (unsigned i = 0; i < HOSTS; i++)
        ck_assert_uint_eq(entries(i).live, 2);
    stop();
    lan_run_ms(10000);
    for (unsigned i = 0; i < HOSTS; i++) {
        struct entries e = i == DEAD ? (struct entries){1, 1} : entries(i);
        ck_assert_uint_eq(e.live, 1);
        ck_assert_uint_eq(e.ended, 1);
    }
}
END_TEST

/* A member that comes and goes meanwhile does not make them begin anew. */
START_TEST(test_a_dead_node_is_noticed_while_others_come_and_go)
{
    const unsigned restless = STRANGER;

    begin_pinging(2000);
    publish(DEAD);
    lan_run_ms(20000);
    stop();
    for (unsigned round = 0; round < 4; round++) {
        peer_aim(lan_peer(restless), lan_now(), round % 2 ? PEER_AIM_MEMBER : PEER_AIM_NOTHING);
        lan_run_ms(2500);
    }
    struct entries e = entries(0);
    ck_assert_uint_eq(e.live, 0);
    ck_assert_uint_eq(e.ended, 1);
}
END_TEST

/* One that was only out of the way for some time, or starts anew: what it stores is found at once.
 */
START_TEST(test_who_comes_back_is_found_at_once)
{
    begin_pinging(2000);
    publish(DEAD);
    stop();
    lan_run_ms(15000);
    ck_assert_uint_eq(entries(0).live, 0);
    lan.tap = NULL;
    lan.host[DEAD].is_cut_off = false;
    if (_i == 0) {
        lan_run_ms(40000);
        ck_assert_uint_eq(entries(0).live, 1);
        return;
    }
    ck_assert(lan_run_until(PEER_JOINED, 60000));
    lan_run_ms(1000);
    publish(DEAD);
    for (unsigned i = 0; i < HOSTS; i++)
        ck_assert_uint_eq(entries(i).live, 1);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("peer, gone");
    TCase *t = tcase_create("gone");
    SRunner *r;
    int failed;

    tcase_add_checked_fixture(t, lan_setup, lan_teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_what_a_dead_node_has_stored_has_ended);
    tcase_add_test(t, test_a_dead_node_is_noticed_while_others_come_and_go);
    tcase_add_loop_test(t, test_who_comes_back_is_found_at_once, 0, 2);
    tcase_add_test(t, test_all_hear_of_it_at_once);
    tcase_add_test(t, test_what_waited_for_it_goes_on);
    tcase_add_test(t, test_what_was_passed_on_to_it_goes_on);
    tcase_add_test(t, test_what_a_hung_one_keeps_is_found);
    tcase_add_test(t, test_a_client_tells_whom_it_joins_through);
    tcase_add_test(t, test_who_lives_again_is_not_told_of);
    tcase_add_test(t, test_nobody_speaks_for_anothers_node);
    tcase_add_test(t, test_who_is_not_known_is_asked);
    tcase_add_test(t, test_who_hears_of_its_own_death_refuses);
    tcase_add_test(t, test_one_that_lives_comes_back);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed > 0;
}
