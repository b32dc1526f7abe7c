#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/lan.h"

/* ---- completions -------------------------------------------------------------------------------
 */

struct result {
    unsigned count;
    enum status st;
    struct signer from;
    char body[128];
    size_t data;
    char value[64];
    struct id writer;
};

static void
on_reply(void *ctx, struct moment now, enum status st, const struct signer *from, struct slice body)
{
    struct result *r = ctx;

    (void)now;
    r->count++;
    r->st = st;
    if (from)
        r->from = *from;
    ck_assert_int_eq(slice_to_text(body, r->body, sizeof(r->body)), ST_OK);
}

static void
on_fetched(void *ctx, struct moment now, enum status st, const struct peer_datum *datum,
           size_t count)
{
    struct result *r = ctx;

    (void)now;
    r->count++;
    r->st = st;
    r->data = 0;
    for (size_t i = 0; i < count; i++) {
        if (!datum[i].exists)
            continue;
        r->data++;
        r->writer = datum[i].signer.node;
        ck_assert_int_eq(slice_to_text(datum[i].value, r->value, sizeof(r->value)), ST_OK);
    }
}

static struct result
store(unsigned host, const char *name, const char *value, bool exists)
{
    struct result r = {0};
    struct peer_reply done = {on_reply, &r};
    struct peer_value v = {.kind = KIND_BINDING,
                           .key = *lan_id(host),
                           .exists = exists,
                           .lifetime_s = 3600,
                           .value = slice_text(value)};

    peer_store(lan_peer(host), lan_now(), name, &v, &done);
    ck_assert_uint_eq(r.count, 0);
    lan_run_ms(4000);
    ck_assert_uint_eq(r.count, 1);
    return r;
}

static struct result
fetch(unsigned host, const char *name)
{
    struct result r = {0};
    struct peer_fetched done = {on_fetched, &r};

    peer_fetch(lan_peer(host), lan_now(), name, KIND_BINDING, &done);
    ck_assert_uint_eq(r.count, 0);
    lan_run_ms(4000);
    ck_assert_uint_eq(r.count, 1);
    return r;
}

static struct result
ask(unsigned host, unsigned other, uint32_t deadline_ms)
{
    struct result r = {0};
    struct peer_reply done = {on_reply, &r};

    peer_ask(lan_peer(host), lan_now(), lan_id(other), PRIVATE_HELLO, slice_text("hello"),
             deadline_ms, &done);
    lan_run_ms(4000);
    ck_assert_uint_eq(r.count, 1);
    return r;
}

static unsigned
responsible_for(const char *name)
{
    struct id id;
    unsigned found = LAN_MAX;

    fake_hash(slice_text(name), &id);
    for (unsigned i = 0; i < lan.count; i++)
        if (lan.host[i].is_running && peer_is_responsible(lan_peer(i), &id)) {
            ck_assert_uint_eq(found, LAN_MAX);
            found = i;
        }
    ck_assert_uint_ne(found, LAN_MAX);
    return found;
}

/* ---- starting ----------------------------------------------------------------------------------
 */

START_TEST(test_alone)
{
    lan_members(1);
    lan_run_ms(100);
    ck_assert_int_eq(peer_state(lan_peer(0)), PEER_ALONE);
    ck_assert(peer_is_member(lan_peer(0)));
    ck_assert_int_eq(lan.host[0].state, PEER_ALONE);
    ck_assert_int_eq(store(0, "alice@test", "here", true).st, ST_OK);
    ck_assert_str_eq(fetch(0, "alice@test").value, "here");
}
END_TEST

START_TEST(test_nobody_answers)
{
    lan_start(lan_add());
    lan_start(lan_add());
    peer_aim(lan_peer(1), lan_now(), PEER_AIM_MEMBER);
    lan_crash(0);
    lan_run_ms(1900);
    ck_assert_int_eq(peer_state(lan_peer(1)), PEER_JOINING);
    lan_run_ms(300);
    ck_assert_int_eq(peer_state(lan_peer(1)), PEER_ALONE);
}
END_TEST

START_TEST(test_four_join)
{
    lan_members(4);
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    lan_run_ms(2000);
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_uint_eq(peer_neighbour_count(lan_peer(i)), 3);
        ck_assert_uint_eq(lan.host[i].remote_lines, 0);
    }
}
END_TEST

/* Everybody knows everybody, nobody is there first: the lowest Node-ID forms the overlay. */
START_TEST(test_lowest_forms)
{
    for (unsigned i = 0; i < 4; i++)
        lan_add();
    for (unsigned i = 0; i < 4; i++) {
        lan.host[i].conf.bootstrap_count = 4;
        for (unsigned o = 0; o < 4; o++)
            snprintf(lan.host[i].conf.bootstrap[o], NODE_ADDRESS_BYTES, "10.0.0.%u:6084", o + 1);
        lan_start(i);
    }
    for (unsigned i = 0; i < 4; i++)
        peer_aim(lan_peer(i), lan_now(), PEER_AIM_MEMBER);
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    lan_run_ms(2000);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_uint_eq(peer_neighbour_count(lan_peer(i)), 3);
}
END_TEST

/* ---- storing -----------------------------------------------------------------------------------
 */

START_TEST(test_store_and_fetch)
{
    lan_members(4);
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    lan_run_ms(2000);
    for (unsigned i = 0; i < 4; i++) {
        struct result r = store(i, "alice@test", "one", true);
        ck_assert_int_eq(r.st, ST_OK);
        ck_assert(id_equal(&r.from.node, lan_id(responsible_for("alice@test"))));
    }
    for (unsigned i = 0; i < 4; i++) {
        struct result r = fetch(i, "alice@test");
        ck_assert_int_eq(r.st, ST_OK);
        ck_assert_uint_eq(r.data, 4);
        ck_assert_str_eq(r.value, "one");
    }
    ck_assert_int_eq(store(2, "alice@test", "", false).st, ST_OK);
    ck_assert_uint_eq(fetch(0, "alice@test").data, 3);
    ck_assert_uint_eq(fetch(0, "bob@test").data, 0);
    ck_assert_int_eq(fetch(0, "bob@test").st, ST_OK);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_uint_eq(lan.host[i].remote_lines, 0);
}
END_TEST

static unsigned
holders(void)
{
    unsigned count = 0;

    for (unsigned i = 0; i < lan.count; i++)
        count += lan.host[i].is_running && peer_record_count(lan_peer(i)) > 0;
    return count;
}

START_TEST(test_replicas_survive)
{
    unsigned owner;

    lan_members(5);
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    lan_run_ms(2000);
    ck_assert_int_eq(store(0, "alice@test", "one", true).st, ST_OK);
    ck_assert_uint_eq(holders(), 3);
    for (unsigned gone = 0; gone < 3; gone++) {
        owner = responsible_for("alice@test");
        if (owner == 0)
            break;
        lan_crash(owner);
        lan_run_ms(3000);
        ck_assert_uint_ge(holders(), 2);
        ck_assert_str_eq(fetch(0, "alice@test").value, "one");
        ck_assert(id_equal(&(struct id){{0}}, &(struct id){{0}}));
    }
}
END_TEST

START_TEST(test_joiner_gets_records)
{
    char name[32];

    lan_members(2);
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    for (unsigned i = 0; i < 20; i++) {
        snprintf(name, sizeof(name), "u%u@test", i);
        ck_assert_int_eq(store(0, name, name, true).st, ST_OK);
    }
    for (unsigned i = 0; i < 3; i++) {
        lan_start(lan_add());
        peer_aim(lan_peer(lan.count - 1), lan_now(), PEER_AIM_MEMBER);
        ck_assert(lan_run_until(PEER_JOINED, 10000));
        for (unsigned u = 0; u < 20; u++) {
            snprintf(name, sizeof(name), "u%u@test", u);
            ck_assert_str_eq(fetch(lan.count - 1, name).value, name);
        }
    }
    lan_run_ms(5000);
    for (unsigned u = 0; u < 20; u++) {
        snprintf(name, sizeof(name), "u%u@test", u);
        ck_assert_str_eq(fetch(1, name).value, name);
    }
}
END_TEST

START_TEST(test_leave_hands_over)
{
    char name[32];

    lan_members(4);
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    lan_run_ms(1000);
    for (unsigned i = 0; i < 10; i++) {
        snprintf(name, sizeof(name), "u%u@test", i);
        ck_assert_int_eq(store(0, name, name, true).st, ST_OK);
    }
    for (unsigned i = 3; i > 0; i--) {
        peer_aim(lan_peer(i), lan_now(), PEER_AIM_NOTHING);
        lan_run_ms(3000);
        ck_assert_int_eq(peer_state(lan_peer(i)), PEER_DOWN);
        for (unsigned u = 0; u < 10; u++) {
            snprintf(name, sizeof(name), "u%u@test", u);
            ck_assert_str_eq(fetch(0, name).value, name);
        }
    }
    ck_assert_int_eq(peer_state(lan_peer(0)), PEER_ALONE);
}
END_TEST

/* ---- asking ------------------------------------------------------------------------------------
 */

START_TEST(test_ask)
{
    lan_members(4);
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    struct result r = ask(3, 1, 0);
    ck_assert_int_eq(r.st, ST_OK);
    ck_assert_str_eq(r.body, "yes");
    ck_assert(id_equal(&r.from.node, lan_id(1)));
    ck_assert_str_eq(r.from.user, "n1@test");
    ck_assert_str_eq(lan.host[1].last_request_body, "hello");
    ck_assert(id_equal(&lan.host[1].last_request.from, lan_id(3)));
    lan.host[1].is_answering = false;
    ck_assert_int_eq(ask(3, 1, 250).st, ST_TIMEOUT);
}
END_TEST

static unsigned lost_left;

static bool
lose(unsigned from, unsigned to, struct slice *message)
{
    (void)from;
    (void)to;
    (void)message;
    if (lost_left == 0)
        return true;
    lost_left--;
    return false;
}

START_TEST(test_retransmission)
{
    lan_members(2);
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    lan_run_ms(1000);
    lan.tap = lose;
    for (unsigned lost = 1; lost <= 4; lost++) {
        lost_left = lost;
        lan.host[0].requests = 0;
        ck_assert_int_eq(ask(1, 0, 0).st, ST_OK);
        ck_assert_uint_eq(lan.host[0].requests, 1); /* carried out once, however often it came */
    }
    ck_assert_uint_gt(peer_counters_of(lan_peer(1))->retransmitted, 3);
}
END_TEST

START_TEST(test_trace)
{
    lan_members(4);
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    lan_run_ms(1000);
}
END_TEST

/* ---- bad input ---------------------------------------------------------------------------------
 */

static unsigned mutated_byte;
static bool is_truncating;

static bool
mutate(unsigned from, unsigned to, struct slice *message)
{
    uint8_t *data = (uint8_t *)(uintptr_t)message->data;

    (void)to;
    if (from != 1)
        return true;
    if (is_truncating)
        message->len = mutated_byte % message->len;
    else
        data[mutated_byte % message->len] ^= 0x41;
    return true;
}

/* Each byte of a request in turn, and each length: nothing of it is carried out, nothing breaks. */
START_TEST(test_mutated)
{
    lan_members(2);
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    lan_run_ms(1000);
    lan.host[1].conf.request_deadline_ms = 100;
    lan.tap = mutate;
    for (unsigned pass = 0; pass < 2; pass++) {
        is_truncating = pass == 1;
        for (mutated_byte = 0; mutated_byte < 300; mutated_byte++) {
            struct result r = {0};
            struct peer_reply done = {on_reply, &r};
            peer_ask(lan_peer(1), lan_now(), lan_id(0), PRIVATE_HELLO, slice_text("hello"), 50,
                     &done);
            lan_run_ms(100);
            ck_assert_uint_eq(r.count, 1);
            if (lan.host[0].requests > 0)
                ck_assert_str_eq(lan.host[0].last_request_body, "hello");
        }
    }
    ck_assert_uint_gt(lan.host[0].remote_lines, 200);
    lan.tap = NULL;
    lan_run_ms(60000);
    ck_assert_int_eq(ask(1, 0, 0).st, ST_OK);
}
END_TEST

/* ---- clients -----------------------------------------------------------------------------------
 */

START_TEST(test_client)
{
    unsigned client;

    lan_members(3);
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    client = lan_add();
    lan_start(client);
    peer_aim(lan_peer(client), lan_now(), PEER_AIM_CLIENT);
    ck_assert(lan_run_until(PEER_JOINED, 5000));
    ck_assert(!peer_is_member(lan_peer(client)));
    ck_assert_int_eq(store(client, "alice@test", "mine", true).st, ST_OK);
    ck_assert_str_eq(fetch(client, "alice@test").value, "mine");
    ck_assert_str_eq(fetch(2, "alice@test").value, "mine");
    ck_assert_int_eq(ask(client, 2, 0).st, ST_OK);
    ck_assert_uint_eq(peer_neighbour_count(lan_peer(1)), 2);
    peer_aim(lan_peer(client), lan_now(), PEER_AIM_MEMBER);
    lan_run_ms(3000);
    ck_assert(peer_is_member(lan_peer(client)));
    ck_assert_uint_eq(peer_neighbour_count(lan_peer(1)), 3);
    peer_aim(lan_peer(client), lan_now(), PEER_AIM_CLIENT);
    lan_run_ms(3000);
    ck_assert(!peer_is_member(lan_peer(client)));
    ck_assert_int_eq(peer_state(lan_peer(client)), PEER_JOINED);
    ck_assert_uint_eq(peer_neighbour_count(lan_peer(1)), 2);
    ck_assert_str_eq(fetch(client, "alice@test").value, "mine");
}
END_TEST

static Suite *
suite(void)
{
    Suite *s = suite_create("peer");
    TCase *t = tcase_create("peer");

    tcase_add_checked_fixture(t, lan_setup, lan_teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_alone);
    tcase_add_test(t, test_nobody_answers);
    tcase_add_test(t, test_four_join);
    tcase_add_test(t, test_lowest_forms);
    tcase_add_test(t, test_store_and_fetch);
    tcase_add_test(t, test_replicas_survive);
    tcase_add_test(t, test_joiner_gets_records);
    tcase_add_test(t, test_leave_hands_over);
    tcase_add_test(t, test_ask);
    tcase_add_test(t, test_retransmission);
    tcase_add_test(t, test_trace);
    tcase_add_test(t, test_mutated);
    tcase_add_test(t, test_client);
    suite_add_tcase(s, t);
    return s;
}

int
main(void)
{
    SRunner *r = srunner_create(suite());
    int failed;

    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed > 0;
}
