#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/sip/ask.h"
#include "gateway/sip/clock.h"
#include "gateway/sip/limits.h"

static struct sip *sip;
static struct bridge_message *posted[8]; /* what went to the overlay */
static size_t posted_count;

/* One who asks, and what he was told. */
struct asker {
    struct ask ask;
    unsigned told;
    enum status status;
    size_t count;
    char first[SIP_URI_BYTES];
    struct asker *cancels; /* another one, from within done() */
};

static void
post(void *ctx, struct bridge_message *m)
{
    (void)ctx;
    ck_assert_uint_lt(posted_count, 8);
    posted[posted_count++] = m;
}

static void
on_answer(void *ctx, const struct answer *answer)
{
    struct asker *a = ctx;

    a->told++;
    a->status = answer->status;
    a->count = answer->count;
    if (answer->count && answer->binding)
        memcpy(a->first, answer->binding[0]->contact[0].uri, sizeof("sip:x@y"));
    if (a->cancels)
        ask_cancel(&a->cancels->ask);
}

static struct asker
asker_of(void)
{
    return (struct asker){0};
}

static void
look_up(struct asker *a, const char *aor)
{
    a->ask.done = on_answer;
    a->ask.ctx = a;
    ask_lookup(sip, aor, &a->ask);
}

/* The overlay's answer to what was posted as number @i. */
static void
answer(size_t i, enum status st, size_t count, uint32_t lifetime_ms)
{
    struct binding_contact contact = {.uri = "sip:x@y", .call_id = "", .instance = "", .token = ""};
    const struct binding_record bound = {
        .aor = posted[i]->name, .path = "", .contact_count = 1, .contact = &contact};
    struct bridge_message *m =
        bridge_new(BRIDGE_BINDINGS, posted[i]->token, count, sizeof(struct binding_record *));

    memcpy(m->name, posted[i]->name, sizeof(m->name));
    m->status = st;
    m->lifetime_ms = lifetime_ms;
    for (size_t k = 0; k < count; k++)
        m->binding[k] = binding_record_copy(&bound);
    ask_on_message(sip, m);
}

static void
setup(void)
{
    sip = calloc(1, sizeof(*sip));
    sip->upward = (struct bridge_upward){NULL, post};
    sip->asks = ask_table_new(sip);
    posted_count = 0;
}

static void
teardown(void)
{
    ask_table_free(sip->asks);
    free(sip);
    for (size_t i = 0; i < posted_count; i++)
        bridge_free(posted[i]);
}

START_TEST(the_same_question_is_asked_once)
{
    struct asker one = asker_of();
    struct asker two = asker_of();
    struct asker other = asker_of();

    look_up(&one, "a@pastry");
    look_up(&two, "a@pastry");
    look_up(&other, "b@pastry");
    ck_assert_uint_eq(posted_count, 2);
    ck_assert_int_eq(posted[0]->type, BRIDGE_LOOKUP);
    answer(0, ST_OK, 1, 0);
    ck_assert_uint_eq(one.told, 1);
    ck_assert_uint_eq(two.told, 1);
    ck_assert_uint_eq(other.told, 0);
    ck_assert_str_eq(two.first, "sip:x@y");
    answer(0, ST_OK, 1, 0); /* said twice: nobody waits any more */
    ck_assert_uint_eq(one.told, 1);
    answer(1, ST_OK, 0, 0);
    ck_assert_int_eq(other.status, ST_NOT_FOUND);
}
END_TEST

START_TEST(an_answer_lives_as_long_as_it_says)
{
    struct asker a = asker_of();
    struct asker b = asker_of();
    struct asker c = asker_of();
    struct binding_record record = {.aor = "a@pastry", .path = ""};

    look_up(&a, "a@pastry");
    answer(0, ST_OK, 2, 1000);
    look_up(&b, "a@pastry");
    ck_assert_uint_eq(posted_count, 1);
    ck_assert_uint_eq(b.told, 1);
    ck_assert_uint_eq(b.count, 2);
    ask_bind(sip, &record, &b.ask); /* its own change makes the copy void */
    ck_assert_int_eq(posted[1]->type, BRIDGE_BIND);
    ck_assert_str_eq(posted[1]->binding[0]->aor, "a@pastry");
    look_up(&a, "a@pastry");
    ck_assert_uint_eq(posted_count, 3);
    answer(2, ST_OK, 1, 1000);
    sip_clock_advance(1001);
    look_up(&c, "a@pastry");
    ck_assert_uint_eq(posted_count, 4);
    answer(3, ST_OK, 1, 1000);
    ask_doubt_all(sip); /* as after a standstill */
    look_up(&c, "a@pastry");
    ck_assert_uint_eq(posted_count, 5);
    ask_cancel(&c.ask);
    ask_cancel(&b.ask);
}
END_TEST

/* Of an overlay's gateways, as many calls to nobody there do. */
static void
resolve_recent(struct asker *a)
{
    a->ask.done = on_answer;
    a->ask.ctx = a;
    ask_resolve_recent(sip, "pastry", &a->ask);
}

static void
answer_routes(size_t i)
{
    struct bridge_message *m =
        bridge_new(BRIDGE_ROUTES, posted[i]->token, 1, sizeof(struct bridge_gateway));

    memcpy(m->name, posted[i]->name, sizeof(m->name));
    m->status = ST_OK;
    m->lifetime_ms = 10000;
    ask_on_message(sip, m);
}

START_TEST(a_flood_of_calls_to_nobody_is_no_flood_of_questions)
{
    struct asker a = asker_of();
    struct asker many[50];

    resolve_recent(&a);
    ck_assert_uint_eq(posted_count, 1);
    ck_assert(posted[0]->is_past_cache);
    answer_routes(0);
    ck_assert_uint_eq(a.told, 1);
    for (size_t i = 0; i < 50; i++) {
        many[i] = asker_of();
        resolve_recent(&many[i]);
        ck_assert_uint_eq(many[i].told, 1);
        sip_clock_advance(ASK_RECENT_MS / 50);
    }
    ck_assert_uint_eq(posted_count, 1);
    resolve_recent(&a); /* the answer lives still, but it is a second old */
    ck_assert_uint_eq(posted_count, 2);
    ck_assert(posted[1]->is_past_cache);
    ask_cancel(&a.ask);
}
END_TEST

START_TEST(no_answer_is_an_answer_too)
{
    struct asker a = asker_of();

    look_up(&a, "a@pastry");
    ask_tick(sip);
    ck_assert_uint_eq(a.told, 0);
    sip_clock_advance(ASK_TIMEOUT_MS + 1);
    ask_tick(sip);
    ck_assert_uint_eq(a.told, 1);
    ck_assert_int_eq(a.status, ST_TIMEOUT);
    answer(0, ST_OK, 1, 0); /* too late */
    ck_assert_uint_eq(a.told, 1);
}
END_TEST

START_TEST(who_cancels_is_not_told)
{
    struct asker one = asker_of();
    struct asker two = asker_of();
    struct asker three = asker_of();

    look_up(&one, "a@pastry");
    look_up(&two, "a@pastry");
    look_up(&three, "a@pastry");
    one.cancels = &two;
    ask_cancel(&three.ask);
    ask_cancel(&three.ask);
    answer(0, ST_OK, 1, 0);
    ck_assert_uint_eq(one.told, 1);
    ck_assert_uint_eq(two.told, 0);
    ck_assert_uint_eq(three.told, 0);
}
END_TEST

START_TEST(sources_and_destinations_have_limits)
{
    su_sockaddr_t one = {0};
    su_sockaddr_t two = {0};

    one.su_sin.sin_family = two.su_sin.sin_family = AF_INET;
    one.su_sin.sin_addr.s_addr = 1;
    two.su_sin.sin_addr.s_addr = 2;
    sip->conf.limits.requests_per_source_s = 3;
    sip->conf.limits.pending_per_destination = 2;
    sip->limits = limits_new(sip);
    for (unsigned i = 0; i < 3; i++)
        ck_assert(limits_take(sip->limits, &one));
    ck_assert(!limits_take(sip->limits, &one));
    ck_assert(limits_take(sip->limits, &two));
    sip_clock_advance(1000);
    ck_assert(limits_take(sip->limits, &one));
    ck_assert(limits_begin(sip->limits, "10.0.0.1:5060"));
    ck_assert(limits_begin(sip->limits, "10.0.0.1:5060"));
    ck_assert(!limits_begin(sip->limits, "10.0.0.1:5060"));
    ck_assert(limits_begin(sip->limits, "10.0.0.1:5061"));
    limits_end(sip->limits, "10.0.0.1:5060");
    ck_assert(limits_begin(sip->limits, "10.0.0.1:5060"));
    limits_free(sip->limits);
}
END_TEST

int
main(void)
{
    TCase *tc = tcase_create("ask");
    Suite *suite = suite_create("sip questions and limits");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, the_same_question_is_asked_once);
    tcase_add_test(tc, an_answer_lives_as_long_as_it_says);
    tcase_add_test(tc, a_flood_of_calls_to_nobody_is_no_flood_of_questions);
    tcase_add_test(tc, no_answer_is_an_answer_too);
    tcase_add_test(tc, who_cancels_is_not_told);
    tcase_add_test(tc, sources_and_destinations_have_limits);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
