#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/directory_ring.h"

/* ---- resolving ---------------------------------------------------------------------------------
 */

START_TEST(the_longest_live_name_wins)
{
    struct told t;

    add_entry("chord", 7, "sip:127.0.0.7:5061;transport=tls;term=3;priority=1;weight=20");
    add_entry("edu.chord", 8, "sip:127.0.0.8:5061;transport=tls;term=1");
    t = resolve("voip.EDU.chord.");
    ck_assert_uint_eq(fetches, 3); /* at the same time */
    ck_assert_int_eq(t.st, ST_OK);
    ck_assert_str_eq(t.answer.overlay, "edu.chord");
    ck_assert_uint_eq(t.answer.gateway_count, 1);
    ck_assert_uint_eq(t.answer.gateway[0].node.bytes[0], 8);
    t = resolve("site.chord");
    ck_assert_str_eq(t.answer.overlay, "chord");
    ck_assert_uint_eq(t.answer.gateway[0].term, 3);
    ck_assert_uint_eq(t.answer.gateway[0].priority, 1);
    ck_assert_uint_eq(t.answer.gateway[0].weight, 20);
    ck_assert_str_eq(t.answer.gateway[0].uri,
                     "sip:127.0.0.7:5061;transport=tls;term=3;priority=1;weight=20");
}
END_TEST

START_TEST(a_longer_name_is_waited_for_a_shorter_is_not)
{
    struct told t = {0};

    add_entry("chord", 7, "sip:127.0.0.7:5061;term=3");
    add_entry("a.chord", 8, "sip:127.0.0.8:5061;term=1");
    ask("a.chord", &t);
    ck_assert_uint_eq(asked_count, 2);
    answer_fetch(&asked[1]); /* chord */
    ck_assert_uint_eq(t.count, 0);
    answer_fetch(&asked[0]);
    ck_assert_uint_eq(t.count, 1);
    ck_assert_str_eq(t.answer.overlay, "a.chord");

    struct told u = {0};
    pass(20000);
    asked_count = 0;
    ask("a.chord", &u);
    answer_fetch(&asked[0]);
    ck_assert_uint_eq(u.count, 1); /* chord has not answered yet */
    ck_assert_str_eq(u.answer.overlay, "a.chord");
}
END_TEST

/* Had the longer name failed, the shorter one's gateway might not be who owns the user. */
START_TEST(a_failed_longer_name_is_no_answer)
{
    struct told t = {0};

    add_entry("chord", 7, "sip:127.0.0.7:5061;term=3");
    ask("a.chord", &t);
    ck_assert_str_eq(asked[0].name, "overlay@a.chord");
    answer_fetch(&asked[1]);
    ring_status = ST_TIMEOUT;
    answer_fetch(&asked[0]);
    ck_assert_uint_eq(t.count, 1);
    ck_assert_int_eq(t.st, ST_TIMEOUT);
}
END_TEST

START_TEST(nothing_is_found_and_remembered_for_a_while)
{
    struct told t;

    settle();
    t = resolve("nowhere.example");
    ck_assert_int_eq(t.st, ST_NOT_FOUND);
    ck_assert_uint_eq(fetches, 2);
    resolve("nowhere.example");
    ck_assert_uint_eq(fetches, 2);
    pass(999);
    resolve("nowhere.example");
    ck_assert_uint_eq(fetches, 2);
    pass(1);
    add_entry("example", 9, "sip:127.0.0.9:5061;term=1");
    t = resolve("nowhere.example");
    ck_assert_int_eq(t.st, ST_OK);
    ck_assert_uint_eq(fetches, 4);
    ck_assert_uint_eq(directory_counters_of(d)->from_cache, 2);
    ck_assert_uint_eq(directory_counters_of(d)->not_found, 3);
}
END_TEST

START_TEST(only_the_owner_speaks_for_an_overlay)
{
    struct entry *e;
    struct told t;

    e = add_entry("chord", 7, "sip:127.0.0.7:5061;term=9");
    snprintf(e->datum.signer.user, sizeof(e->datum.signer.user), "overlay@pastry");
    e = add_entry("chord", 8, "sip:127.0.0.8:5061;term=8");
    snprintf(e->datum.signer.user, sizeof(e->datum.signer.user), "gw1@chord");
    e = add_entry("chord", 6, "sip:127.0.0.6:5061;term=7"); /* under another's key */
    e->key = node(5);
    e = add_entry("chord", 4, "sip:127.0.0.4:5061"); /* no term */
    e = add_entry("chord", 4, "sip:127.0.0.4:5061;term=4294967296");
    e = add_entry("chord", 4, "http://127.0.0.4/;term=1");
    e = add_entry("chord", 4, "sip:127.0.0.4\r\nVia: x;term=1");
    e = add_entry("chord", 4, "sip:127.0.0.4;term=1");
    e->datum.value.len -= 3;
    add_entry("chord", 2, "sip:127.0.0.2:5061;term=2");
    t = resolve("chord");
    ck_assert_int_eq(t.st, ST_OK);
    ck_assert_uint_eq(t.answer.gateway_count, 1);
    ck_assert_uint_eq(t.answer.gateway[0].node.bytes[0], 2);
    ck_assert_uint_eq(directory_counters_of(d)->refused_records, 8);
}
END_TEST

START_TEST(entries_of_the_highest_term_by_priority)
{
    struct told t;

    add_entry("can", 9, "sip:127.0.0.9:5061;term=4;priority=0");
    add_entry("can", 2, "sip:127.0.0.2:5061;term=5;priority=20;weight=1");
    add_entry("can", 3, "sip:127.0.0.3:5061;term=5;priority=10;weight=1");
    add_entry("can", 4, "sip:127.0.0.4:5061;term=5;priority=10;weight=7");
    t = resolve("can");
    ck_assert_uint_eq(t.answer.gateway_count, 3);
    ck_assert_uint_eq(t.answer.gateway[0].node.bytes[0], 4);
    ck_assert_uint_eq(t.answer.gateway[1].node.bytes[0], 3);
    ck_assert_uint_eq(t.answer.gateway[2].node.bytes[0], 2);
    /* The one of a lower term may be of another half of the overlay, unless it was not there. */
    ck_assert_uint_eq(t.answer.other_count, 1);
    ck_assert_uint_eq(t.answer.other[0].node.bytes[0], 9);
    /* Whoever failed is tried last, and the next ask fetches. */
    struct id failed = node(4);
    directory_forget(d, now, "can", &failed);
    t = resolve("can");
    ck_assert_uint_eq(fetches, 2);
    ck_assert_uint_eq(t.answer.gateway[0].node.bytes[0], 3);
    ck_assert_uint_eq(t.answer.gateway[2].node.bytes[0], 4);
    failed = node(9);
    directory_forget(d, now, "can", &failed);
    ck_assert_uint_eq(resolve("can").answer.other_count, 0);
    pass(30000);
    t = resolve("can");
    ck_assert_uint_eq(t.answer.gateway[0].node.bytes[0], 4);
}
END_TEST

START_TEST(an_overlay_whose_gateways_left_is_known_and_unreachable)
{
    struct entry *e = add_entry("can", 9, "sip:127.0.0.9:5061;term=4");
    struct told t;

    settle();
    size_t len = e->datum.value.len;
    e->datum.exists = false;
    e->datum.value.len = 0;
    t = resolve("x.can");
    ck_assert_int_eq(t.st, ST_UNREACHABLE);
    e->datum.exists = true;
    e->datum.value.len = len;
    pass(61000);
    e->datum.lifetime_s = 0; /* expired: what is left of it is told */
    t = resolve("x.can");
    ck_assert_int_eq(t.st, ST_UNREACHABLE);
    entry_count = 0;
    pass(5000);
    ck_assert_int_eq(resolve("x.can").st, ST_NOT_FOUND);
}
END_TEST

START_TEST(our_own_overlay_is_local_even_without_a_ring)
{
    struct told t = {0};

    settle();
    ask("pastry", &t);
    ck_assert_uint_eq(fetches, 0);
    ck_assert_uint_le(directory_deadline_ms(d), now.mono_ms);
    directory_tick(d, now);
    ck_assert_int_eq(t.st, ST_OK);
    ck_assert(t.answer.is_local);
    ck_assert_str_eq(t.answer.overlay, "pastry");

    ring_status = ST_STATE;
    t = resolve("site.Pastry");
    ck_assert_int_eq(t.st, ST_OK);
    ck_assert(t.answer.is_local);
    ck_assert_uint_eq(fetches, 1); /* site.pastry might be an overlay of its own */

    ring_status = ST_OK;
    add_entry("bupt.pastry", 5, "sip:127.0.0.5:5061;term=1");
    t = resolve("x.bupt.pastry");
    ck_assert(!t.answer.is_local);
    ck_assert_str_eq(t.answer.overlay, "bupt.pastry");
    ck_assert(!directory_owner_matches(&t.answer, "pastry")); /* pastry may not send for it */
    ck_assert(directory_owner_matches(&t.answer, "Bupt.Pastry"));
    t = resolve("xpastry");
    ck_assert_int_eq(t.st, ST_NOT_FOUND); /* whole labels only */
}
END_TEST

START_TEST(what_is_no_domain_is_not_fetched)
{
    static const char *const bad[] = {"", ".", "a..b", ".a", "a b", "a@b", "a/b", "\xc3\xa4"};
    static const char *const address[] = {"127.0.0.1", "[::1]", "10.0.0.1."};
    char labels[300] = "";

    settle();
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_int_eq(resolve(bad[i]).st, ST_MALFORMED);
    for (size_t i = 0; i < sizeof(address) / sizeof(address[0]); i++)
        ck_assert_int_eq(resolve(address[i]).st, ST_NOT_FOUND);
    ck_assert_uint_eq(fetches, 0);
    for (int i = 0; i < 100; i++)
        strncat(labels, i ? ".a" : "a", 3);
    ck_assert_int_eq(resolve(labels).st, ST_NOT_FOUND);
    ck_assert_uint_eq(fetches, DIRECTORY_LABELS_MAX);
    memset(labels, 'a', 299);
    ck_assert_int_eq(resolve(labels).st, ST_MALFORMED);
}
END_TEST

START_TEST(asks_for_one_name_share_a_fetch)
{
    struct told t[50] = {{0}};

    add_entry("chord", 7, "sip:127.0.0.7:5061;term=3");
    for (int i = 0; i < 50; i++)
        ask("site.chord", &t[i]);
    ck_assert_uint_eq(fetches, 2);
    pass(30);
    answer_all();
    for (int i = 0; i < 50; i++) {
        ck_assert_uint_eq(t[i].count, 1);
        ck_assert_str_eq(t[i].answer.overlay, "chord");
        ck_assert_uint_eq(t[i].answer.elapsed_ms, 30);
    }
}
END_TEST

START_TEST(an_answer_is_kept_until_it_expires)
{
    struct entry *e = add_entry("chord", 7, "sip:127.0.0.7:5061;term=3");
    struct told t;

    t = resolve("chord");
    ck_assert_uint_eq(t.answer.lifetime_ms, 10000);
    pass(9999);
    t = resolve("chord");
    ck_assert_uint_eq(fetches, 1);
    ck_assert_uint_eq(t.answer.lifetime_ms, 1);
    e->datum.lifetime_s = 2; /* of it are left when it is read again */
    pass(1);
    t = resolve("chord");
    ck_assert_uint_eq(fetches, 2);
    ck_assert_uint_eq(t.answer.lifetime_ms, 2000);
    pass(2000);
    e->datum.lifetime_s = 0;
    ck_assert_int_eq(resolve("chord").st, ST_UNREACHABLE);
}
END_TEST

START_TEST(past_the_cache_is_fetched_anew)
{
    struct told t = {0};

    add_entry("chord", 7, "sip:127.0.0.7:5061;term=3");
    resolve("chord");
    pass(1);
    directory_resolve(d, now, "chord", true, false, &(struct directory_resolved){on_done, &t});
    ck_assert_uint_eq(fetches, 2);
    answer_all();
    ck_assert_int_eq(t.st, ST_OK);
}
END_TEST

START_TEST(hops_are_traced_when_asked_for)
{
    struct told t = {0};

    settle();
    add_entry("chord", 7, "sip:127.0.0.7:5061;term=3");
    directory_resolve(d, now, "x.chord", false, true, &(struct directory_resolved){on_done, &t});
    answer_all();
    ck_assert_uint_eq(t.count, 1);
    ck_assert_uint_eq(t.answer.hop_count, 2);
    ck_assert_uint_eq(t.answer.hop[1].rtt_us, 200);
    memset(&t, 0, sizeof(t));
    directory_resolve(d, now, "x.chord", false, true, &(struct directory_resolved){on_done, &t});
    ring_status = ST_TIMEOUT; /* an answer without hops is one */
    answer_all();
    ck_assert_int_eq(t.st, ST_OK);
    ck_assert_uint_eq(t.answer.hop_count, 0);
}
END_TEST

START_TEST(a_completion_may_ask)
{
    struct told t = {.ask_again = d};

    add_entry("chord", 7, "sip:127.0.0.7:5061;term=3");
    ask("chord", &t);
    answer_all();
    ck_assert_uint_eq(t.count, 2);
}
END_TEST

START_TEST(what_is_never_answered_ends)
{
    struct told t = {0};

    ask("x.chord", &t);
    asked_count = 0;
    ck_assert_uint_eq(directory_deadline_ms(d), now.mono_ms + 10000);
    pass(10000);
    ck_assert_uint_eq(t.count, 1);
    ck_assert_int_eq(t.st, ST_TIMEOUT);
    ck_assert_uint_eq(directory_deadline_ms(d), MOMENT_NEVER);
}
END_TEST

START_TEST(who_waits_is_told_of_the_end)
{
    struct told t = {0};

    ask("x.chord", &t);
    directory_free(d, now);
    ck_assert_uint_eq(t.count, 1);
    ck_assert_int_eq(t.st, ST_STATE);
    setup();
}
END_TEST

START_TEST(the_cache_and_the_queue_are_bounded)
{
    struct told t[5] = {{0}};
    char name[16];

    directory_free(d, now);
    setup_with(8, 4);
    settle();
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "o%d", i);
        ck_assert_int_eq(resolve(name).st, ST_NOT_FOUND);
        ck_assert_uint_le(directory_name_count(d), 8);
    }
    for (int i = 0; i < 5; i++) {
        snprintf(name, sizeof(name), "p%d", i);
        ask(name, &t[i]);
    }
    answer_all();
    ck_assert_int_eq(t[3].st, ST_NOT_FOUND);
    ck_assert_int_eq(t[4].st, ST_LIMIT);
    struct told u = {0};
    ask("a.b.c.d.e.f.g.h.i", &u); /* eight names: the whole cache */
    struct told v = {0};
    ask("z", &v); /* all of them are waited for */
    directory_tick(d, now);
    ck_assert_int_eq(v.st, ST_LIMIT);
    answer_all();
    ck_assert_int_eq(u.st, ST_NOT_FOUND);
}
END_TEST

/* ---- our own entry -----------------------------------------------------------------------------
 */

START_TEST(our_entry_is_kept_in_the_ring)
{
    static const char uri[] = "sip:127.0.0.1:5061;transport=tls";

    ck_assert_int_eq(directory_publish(d, now, uri, 3, 0, 480), ST_OK);
    ck_assert_uint_eq(asked_count, 0); /* the ring is not there yet */
    ck_assert_uint_eq(directory_deadline_ms(d), MOMENT_NEVER);
    directory_on_ring(d, now, DIRECTORY_RING_UP);
    ck_assert_uint_eq(asked_count, 1);
    ck_assert_str_eq(asked[0].name, "overlay@pastry");
    ck_assert_str_eq(asked[0].uri, "sip:127.0.0.1:5061;transport=tls;term=3;priority=0;weight=480");
    ck_assert(!directory_is_published(d));
    ring_status = ST_TIMEOUT;
    answer_all();
    ck_assert(!directory_is_published(d));
    ck_assert_uint_eq(directory_deadline_ms(d), now.mono_ms + 200);
    pass(200);
    answer_all();
    ck_assert_uint_eq(directory_deadline_ms(d), now.mono_ms + 400);
    ring_status = ST_OK;
    pass(400);
    answer_all();
    ck_assert(directory_is_published(d));
    pass(29999);
    ck_assert_uint_eq(asked_count, 0);
    pass(1); /* renewed at half */
    ck_assert_uint_eq(asked_count, 1);
    ck_assert_int_eq(directory_publish(d, now, uri, 4, 0, 480),
                     ST_OK); /* while that is under way */
    ck_assert_uint_eq(asked_count, 2);
    answer_all();
    ck_assert(directory_is_published(d));
    directory_withdraw(d, now);
    ck_assert_uint_eq(asked_count, 1);
    ck_assert(!asked[0].exists);
    answer_all();
    ck_assert(!directory_is_published(d));
    ck_assert_uint_eq(directory_deadline_ms(d), MOMENT_NEVER);
    directory_withdraw(d, now);
    ck_assert_uint_eq(asked_count, 0);
}
END_TEST

/* Those that hold it may die together. */
START_TEST(our_entry_is_stored_again_when_the_ring_has_lost_it)
{
    struct entry *own;

    teardown();
    setup_looking();
    settle();
    ck_assert_int_eq(directory_publish(d, now, "sip:127.0.0.1:5061", 3, 0, 1), ST_OK);
    answer_all();
    pass(LOOK_MS - 1);
    ck_assert_uint_eq(asked_count, 0);
    own = add_entry("pastry", 1, "sip:127.0.0.1:5061;term=3");
    pass(1);
    ck_assert_int_eq(asked[0].what, 'f');
    ck_assert_str_eq(asked[0].name, "overlay@pastry");
    answer_all(); /* it is there */
    ck_assert_uint_eq(asked_count, 0);
    directory_on_ring(d, now, DIRECTORY_RING_UP); /* its members are others: is it, still? */
    pass(200);
    ck_assert_uint_eq(asked_count, 1);
    ring_status = ST_TIMEOUT;
    answer_all(); /* no answer is none */
    ring_status = ST_OK;
    pass(LOOK_MS);
    own->datum.lifetime_s = 0; /* somebody takes this node for dead */
    ck_assert_uint_eq(asked_count, 1);
    answer_fetch(&asked[0]);
    ck_assert_uint_eq(asked_count, 2);
    ck_assert_int_eq(asked[1].what, 's');
    ck_assert(asked[1].exists);
    answer_all();
    entry_count = 0;
    pass(LOOK_MS);
    answer_fetch(&asked[0]);
    ck_assert_uint_eq(asked_count, 2);
    ck_assert_int_eq(asked[1].what, 's');
    answer_all();
    directory_withdraw(d, now);
    answer_all();
    pass(LOOK_MS);
    ck_assert_uint_eq(asked_count, 0);
}
END_TEST

START_TEST(a_removal_is_tried_until_the_entry_has_expired)
{
    unsigned tries = 0;

    directory_on_ring(d, now, DIRECTORY_RING_UP);
    ck_assert_int_eq(directory_publish(d, now, "sip:127.0.0.1:5061", 3, 0, 1), ST_OK);
    answer_all();
    ring_status = ST_UNREACHABLE;
    directory_withdraw(d, now);
    while (directory_deadline_ms(d) != MOMENT_NEVER || asked_count > 0) {
        tries += asked_count > 0;
        answer_all();
        if (directory_deadline_ms(d) != MOMENT_NEVER)
            pass(directory_deadline_ms(d) - now.mono_ms);
        ck_assert_uint_lt(tries, 40);
    }
    ck_assert_uint_gt(tries, 5);
    ck_assert_uint_le(now.mono_ms, 1000 + 70000);
}
END_TEST

START_TEST(a_uri_without_room_is_refused)
{
    char uri[SIP_URI_BYTES];

    memset(uri, 'a', sizeof(uri) - 1);
    uri[sizeof(uri) - 1] = '\0';
    ck_assert_int_eq(directory_publish(d, now, uri, 1, 1, 1), ST_TOO_LARGE);
    directory_on_ring(d, now, DIRECTORY_RING_UP);
    ck_assert_uint_eq(asked_count, 0);
}
END_TEST

struct term {
    unsigned count;
    enum status st;
    uint32_t term;
};

static void
on_term(void *ctx, struct moment at, enum status st, const struct directory_gateway *gateway,
        size_t count)
{
    struct term *t = ctx;

    (void)at;
    t->count++;
    t->st = st;
    t->term = count > 0 ? gateway[0].term : 0;
}

START_TEST(our_own_term_is_what_others_have)
{
    struct term t = {0};
    struct directory_term done = {on_term, &t};

    add_entry("pastry", 1, "sip:127.0.0.1:5061;term=9");
    add_entry("pastry", 2, "sip:127.0.0.2:5061;term=5");
    directory_read_own(d, now, &done);
    answer_all();
    ck_assert_int_eq(t.st, ST_OK);
    ck_assert_uint_eq(t.term, 9); /* of an earlier life of ours */
    ck_assert_int_eq(directory_publish(d, now, "sip:127.0.0.1:5061", 10, 0, 1), ST_OK);
    entry[1].datum.lifetime_s = 0; /* who had it may come back, and would be believed */
    directory_read_own(d, now, &done);
    answer_all();
    ck_assert_uint_eq(t.term, 5); /* what we publish ourselves is no news */
    entry_count = 0;
    directory_read_own(d, now, &done);
    answer_all();
    ck_assert_uint_eq(t.term, 0);
    ring_status = ST_STATE;
    directory_read_own(d, now, &done);
    answer_all();
    ck_assert_int_eq(t.st, ST_STATE);
    directory_read_own(d, now, &done);
    asked_count = 0;
    pass(10000);
    ck_assert_int_eq(t.st, ST_TIMEOUT);
    ck_assert_uint_eq(t.count, 5);
}
END_TEST

int
main(void)
{
    const TTest *const tests[] = {
        the_longest_live_name_wins,
        a_longer_name_is_waited_for_a_shorter_is_not,
        a_failed_longer_name_is_no_answer,
        nothing_is_found_and_remembered_for_a_while,
        only_the_owner_speaks_for_an_overlay,
        entries_of_the_highest_term_by_priority,
        an_overlay_whose_gateways_left_is_known_and_unreachable,
        our_own_overlay_is_local_even_without_a_ring,
        what_is_no_domain_is_not_fetched,
        asks_for_one_name_share_a_fetch,
        an_answer_is_kept_until_it_expires,
        past_the_cache_is_fetched_anew,
        hops_are_traced_when_asked_for,
        a_completion_may_ask,
        what_is_never_answered_ends,
        who_waits_is_told_of_the_end,
        the_cache_and_the_queue_are_bounded,
        our_entry_is_kept_in_the_ring,
        our_entry_is_stored_again_when_the_ring_has_lost_it,
        a_removal_is_tried_until_the_entry_has_expired,
        a_uri_without_room_is_refused,
        our_own_term_is_what_others_have,
    };
    Suite *suite = suite_create("directory");
    TCase *tc = tcase_create("directory");

    tcase_add_checked_fixture(tc, setup, teardown);
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
        tcase_add_test(tc, tests[i]);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
