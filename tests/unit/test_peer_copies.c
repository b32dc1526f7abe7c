/* Whose replica Stores a peer takes, and for how long. */
#include "peer-protocol/routing/envelope.h"
#include "peer-protocol/routing/routing.h"
#include "peer-protocol/storage/signed_data.h"
#include "tests/unit/lan_ask.h"

#define NAME "alice@test"

static uint64_t transaction;
static uint16_t seen_error;
static unsigned seen_answers;

/* What anybody answers to a Store. */
static bool
look(unsigned from, unsigned to, struct slice *message)
{
    struct message m;
    struct error_body error;

    (void)from;
    (void)to;
    if (message_decode(*message, &m, NULL) != ST_OK || m.header.transaction_id != transaction)
        return true;
    seen_answers++;
    if (m.contents.code == MESSAGE_ERROR && error_body_read(m.contents.body, &error) == ST_OK)
        seen_error = error.code;
    return true;
}

/** A replica Store as a test wants it. */
struct copy {
    unsigned writer, sender, receiver;
    uint64_t age_ms;
    uint32_t lifetime_s;
};

static void
write_copy(const struct copy *c, struct writer *body)
{
    struct keys keys = fake_keys(&lan.host[c->writer].keys);
    struct store_req request = {.replica_number = 1};
    struct store_kind_data kind_data = {.kind = KIND_BINDING, .generation = 9};
    struct stored_data d = {.storage_time_ms = lan_now().wall_ms - c->age_ms,
                            .lifetime_s = c->lifetime_s,
                            .key = slice_of(lan_id(c->writer)->bytes, ID_BYTES),
                            .value = {.exists = true, .value = slice_text("copied")}};
    struct writer values, kinds;

    fake_hash(slice_text(NAME), &request.resource);
    ck_assert_int_eq(signed_data_sign(&keys, &request.resource, kind_find(KIND_BINDING), &d),
                     ST_OK);
    writer_init(&values, 4096);
    writer_init(&kinds, 4096);
    stored_data_write(&values, MODEL_DICTIONARY, &d);
    kind_data.values = writer_slice(&values);
    store_kind_data_write(&kinds, &kind_data);
    request.kind_data = writer_slice(&kinds);
    store_req_write(body, &request);
    writer_done(&values);
    writer_done(&kinds);
}

/* Give it to the receiver by the sender's link; returns the error, 0 if it was taken. */
static uint16_t
give(const struct copy *c)
{
    struct fake_keys *keys = &lan.host[c->sender].keys;
    struct keys table = fake_keys(keys);
    struct envelope e = {.keys = table,
                         .overlay = envelope_overlay(&table, "test"),
                         .configuration_sequence = 1,
                         .initial_ttl = 100,
                         .max_bytes = 1u << 16};
    struct envelope_letter letter = {.transaction_id = ++transaction, .code = MESSAGE_STORE_REQ};
    struct forwarding h = envelope_header(&e, transaction);
    struct destination to = destination_node(lan_id(c->receiver));
    struct writer body, destinations, w;
    struct slice sealed;

    fake_meet(&lan.host[c->receiver].keys, &lan.host[c->writer].keys);
    writer_init(&body, 4096);
    writer_init(&destinations, 1024);
    writer_init(&w, 1u << 16);
    write_copy(c, &body);
    letter.body = writer_slice(&body);
    ck_assert_int_eq(envelope_seal(&e, &letter, &sealed), ST_OK);
    destination_write(&destinations, &to);
    h.destinations = writer_slice(&destinations);
    message_write(&w, &h, sealed, slice_of(NULL, 0));
    seen_error = 0;
    seen_answers = 0;
    lan.tap = look;
    peer_on_message(lan_peer(c->receiver), lan_now(), lan_id(c->sender), writer_slice(&w));
    lan.tap = NULL;
    ck_assert_uint_eq(seen_answers, 1);
    writer_done(&body);
    writer_done(&destinations);
    writer_done(&w);
    slice_free(&sealed);
    return seen_error;
}

/* Four members, and a fifth node that has credentials, and links with all, and did not join. */
#define STRANGER 4

static void
members_and_a_stranger(void)
{
    lan_members(4);
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    lan_run_ms(1000);
    lan_add();
    for (unsigned i = 0; i < STRANGER; i++) {
        lan.host[i].is_linked[STRANGER] = true;
        peer_on_link_up(lan_peer(i), lan_now(), lan_id(STRANGER), "");
    }
}

static unsigned
taken(void)
{
    unsigned count = 0;

    for (unsigned i = 0; i < STRANGER; i++)
        count += peer_record_count(lan_peer(i)) > 0;
    return count;
}

/* At the responsible peer, at its replicas and elsewhere; while the overlay is young, and later;
 * values of members, and its own. */
START_TEST(test_strangers_copies_are_refused)
{
    members_and_a_stranger();
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < STRANGER; i++) {
            struct copy c = {.writer = 0, .sender = STRANGER, .receiver = i, .lifetime_s = 2592000};
            unsigned lines = lan.host[i].remote_lines;
            ck_assert_uint_eq(give(&c), ERROR_FORBIDDEN);
            ck_assert_uint_gt(lan.host[i].remote_lines, lines);
            c.writer = STRANGER;
            ck_assert_uint_eq(give(&c), ERROR_FORBIDDEN);
            ck_assert_uint_eq(peer_values_refused(lan_peer(i), PEER_REFUSED_STRANGERS),
                              2 * round + 2);
        }
        lan_run_ms(60000);
    }
    ck_assert_uint_eq(taken(), 0);
}
END_TEST

/* Members know each other: a record may come from one that knew its owner no better. */
START_TEST(test_members_copies_are_taken)
{
    struct copy c = {.writer = 0, .lifetime_s = 60};

    members_and_a_stranger();
    lan_run_ms(60000);
    for (c.sender = 0; c.sender < STRANGER; c.sender++)
        for (c.receiver = 0; c.receiver < STRANGER; c.receiver++)
            ck_assert_uint_eq(c.sender == c.receiver ? 0 : give(&c), 0);
    c.sender = STRANGER;
    for (c.receiver = 0; c.receiver < STRANGER; c.receiver++)
        ck_assert_uint_eq(give(&c), ERROR_FORBIDDEN);
}
END_TEST

static uint64_t expires_at_wall_ms;

static void
note_expiry(void *ctx, const struct peer_record_line *line)
{
    (void)ctx;
    expires_at_wall_ms = line->expires_at_wall_ms;
}

/* A replica says how long it lives, and is not believed. */
START_TEST(test_no_copy_outlives_its_kind)
{
    const uint64_t longest_ms = 1000ull * kind_find(KIND_BINDING)->max_lifetime_s;
    struct copy c = {.writer = 3, .age_ms = longest_ms - 60000, .lifetime_s = 30 * 86400};

    members_and_a_stranger();
    c.sender = responsible_for(NAME);
    c.receiver = (c.sender + 1) % STRANGER;
    ck_assert_uint_eq(give(&c), 0);
    peer_records(lan_peer(c.receiver), note_expiry, NULL);
    ck_assert_uint_le(expires_at_wall_ms, lan_now().wall_ms + 60000);
    lan_run_ms(61000);
    ck_assert_uint_eq(taken(), 0);
    c.age_ms = longest_ms;
    ck_assert_uint_eq(give(&c), ERROR_DATA_TOO_OLD);
    ck_assert_uint_eq(taken(), 0);
}
END_TEST

static void
on_stored(void *ctx, struct moment now, enum status st, const struct signer *from,
          struct slice body)
{
    (void)now;
    (void)from;
    (void)body;
    *(enum status *)ctx = st;
}

START_TEST(test_kinds_of_another_overlay)
{
    enum status st = ST_OK;
    struct peer_reply done = {on_stored, &st};
    struct peer_value v = {
        .kind = KIND_BINDING, .exists = true, .lifetime_s = 60, .value = slice_text("x")};

    for (unsigned i = 0; i < 2; i++) {
        lan_add();
        lan.host[i].conf.kinds = KIND_IN_GLOBAL;
        lan_start(i);
        peer_aim(lan_peer(i), lan_now(), PEER_AIM_MEMBER);
    }
    ck_assert(lan_run_until(PEER_JOINED, 10000));
    lan_run_ms(1000);
    v.key = *lan_id(0);
    peer_store(lan_peer(0), lan_now(), NAME, &v, &done);
    lan_run_ms(1000);
    ck_assert_int_eq(st, ST_UNKNOWN_KIND);
    ck_assert_uint_eq(peer_record_count(lan_peer(0)) + peer_record_count(lan_peer(1)), 0);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("peer copies");
    TCase *t = tcase_create("copies");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(t, lan_setup, lan_teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_strangers_copies_are_refused);
    tcase_add_test(t, test_members_copies_are_taken);
    tcase_add_test(t, test_no_copy_outlives_its_kind);
    tcase_add_test(t, test_kinds_of_another_overlay);
    suite_add_tcase(suite, t);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
