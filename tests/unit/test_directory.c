#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "global-overlay/directory.h"

#define WALL_MS 1700000000000ULL

enum { ASKED_MAX = 64, DATA_MAX = 16 };

/** What the directory asked of the ring, and has not been told yet. */
struct asked {
    char what; /* 'f'etch, 's'tore, 't'race */
    uint32_t token;
    char name[160];
    bool exists;
    char uri[SIP_URI_BYTES];
};

struct entry {
    char name[160];
    struct peer_datum datum;
    uint8_t value[512];
    struct id key;
};

struct told {
    unsigned count;
    enum status st;
    struct directory_answer answer;
    struct directory *ask_again; /* the completion asks once more */
};

static struct directory *d;
static struct moment now;
static struct asked asked[ASKED_MAX];
static size_t asked_count;
static unsigned fetches;
static struct entry entry[DATA_MAX];
static size_t entry_count;
static enum status ring_status;

static struct id
node(uint8_t n)
{
    return (struct id){{n}};
}

static void
note(char what, uint32_t token, const char *name)
{
    ck_assert_uint_lt(asked_count, ASKED_MAX);
    asked[asked_count] = (struct asked){.what = what, .token = token};
    snprintf(asked[asked_count++].name, sizeof(asked[0].name), "%s", name);
}

static void
on_fetch(void *ctx, uint32_t token, const char *name)
{
    (void)ctx;
    fetches++;
    note('f', token, name);
}

static void
on_store(void *ctx, uint32_t token, const char *name, const struct peer_value *value)
{
    struct sip_registration r;
    struct asked *a = &asked[asked_count];

    (void)ctx;
    note('s', token, name);
    ck_assert_uint_eq(value->kind, KIND_SIP_REGISTRATION);
    ck_assert_uint_eq(value->lifetime_s, 60);
    ck_assert_uint_eq(value->key.bytes[0], 1);
    a->exists = value->exists;
    if (!value->exists)
        return;
    ck_assert_int_eq(sip_registration_read(value->value, &r), ST_OK);
    ck_assert_int_eq(slice_to_text(r.uri, a->uri, sizeof(a->uri)), ST_OK);
}

static void
on_trace(void *ctx, uint32_t token, const char *name)
{
    (void)ctx;
    note('t', token, name);
}

/* ---- the ring ----------------------------------------------------------------------------------
 */

static struct entry *
add_entry(const char *overlay, uint8_t who, const char *uri)
{
    struct entry *e = &entry[entry_count++];
    struct sip_registration r = {.type = SIP_REGISTRATION_URI, .uri = slice_text(uri)};
    struct writer w;

    ck_assert_uint_le(entry_count, DATA_MAX);
    memset(e, 0, sizeof(*e));
    snprintf(e->name, sizeof(e->name), "overlay@%s", overlay);
    e->key = node(who);
    writer_init(&w, sizeof(e->value));
    sip_registration_write(&w, &r);
    ck_assert_int_eq(w.failed, ST_OK);
    memcpy(e->value, w.data, w.len);
    e->datum = (struct peer_datum){
        .signer.node = e->key,
        .key = slice_of(e->key.bytes, ID_BYTES),
        .exists = true,
        .storage_time_ms = now.wall_ms,
        .lifetime_s = 60,
        .value = slice_of(e->value, w.len),
    };
    snprintf(e->datum.signer.user, sizeof(e->datum.signer.user), "overlay@%s", overlay);
    writer_done(&w);
    return e;
}

static void
answer_fetch(const struct asked *a)
{
    struct peer_datum found[DATA_MAX];
    size_t count = 0;

    for (size_t i = 0; i < entry_count; i++)
        if (strcmp(entry[i].name, a->name) == 0)
            found[count++] = entry[i].datum;
    directory_on_fetched(d, now, a->token, ring_status, found, ring_status == ST_OK ? count : 0);
}

/* Tell the directory the end of all it asked for; what it asks meanwhile, too. */
static void
answer_all(void)
{
    static const struct peer_hop hop[2] = {{.rtt_us = 100}, {.rtt_us = 200}};

    while (asked_count > 0) {
        struct asked a = asked[0];
        memmove(&asked[0], &asked[1], --asked_count * sizeof(asked[0]));
        if (a.what == 'f')
            answer_fetch(&a);
        else if (a.what == 's')
            directory_on_stored(d, now, a.token, ring_status);
        else
            directory_on_traced(d, now, a.token, ring_status, hop, 2);
    }
    if (directory_deadline_ms(d) <= now.mono_ms)
        directory_tick(d, now);
}

static void
pass(uint64_t ms)
{
    now.mono_ms += ms;
    now.wall_ms += ms;
    if (directory_deadline_ms(d) <= now.mono_ms)
        directory_tick(d, now);
}

/* A ring whose members have been the same for long enough. */
static void
settle(void)
{
    directory_on_ring(d, now, DIRECTORY_RING_UP);
    pass(3000);
}

static void
on_done(void *ctx, struct moment at, enum status st, const struct directory_answer *answer)
{
    struct told *t = ctx;

    ck_assert_uint_eq(at.mono_ms, now.mono_ms);
    ck_assert_int_eq(st == ST_OK, answer != NULL);
    t->count++;
    t->st = st;
    if (answer)
        t->answer = *answer;
    if (t->ask_again) {
        struct directory_resolved done = {on_done, t};
        t->ask_again = NULL;
        directory_resolve(d, now, "chord", false, false, &done);
    }
}

static void
ask(const char *domain, struct told *t)
{
    directory_resolve(d, now, domain, false, false, &(struct directory_resolved){on_done, t});
    ck_assert_uint_eq(t->count, 0); /* never before the return */
}

/* Ask and have the ring answer. */
static struct told
resolve(const char *domain)
{
    struct told t = {0};

    ask(domain, &t);
    answer_all();
    ck_assert_uint_eq(t.count, 1);
    return t;
}

static void
setup_with(size_t max_names, size_t max_waiting)
{
    struct directory_conf conf;
    struct directory_env env = {.fetch = on_fetch, .store = on_store, .trace = on_trace};

    directory_conf_defaults(&conf);
    snprintf(conf.overlay, sizeof(conf.overlay), "pastry");
    conf.self = node(1);
    conf.max_names = max_names;
    conf.max_waiting = max_waiting;
    now = (struct moment){1000, WALL_MS};
    asked_count = entry_count = fetches = 0;
    ring_status = ST_OK;
    ck_assert_int_eq(directory_new(&conf, &env, &d, NULL), ST_OK);
}

static void
setup(void)
{
    setup_with(1024, 4096);
}

static void
teardown(void)
{
    directory_free(d, now);
}

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
    /* Whoever failed is tried last, and the next ask fetches. */
    struct id failed = node(4);
    directory_forget(d, now, "can", &failed);
    t = resolve("can");
    ck_assert_uint_eq(fetches, 2);
    ck_assert_uint_eq(t.answer.gateway[0].node.bytes[0], 3);
    ck_assert_uint_eq(t.answer.gateway[2].node.bytes[0], 4);
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
    pass(61000); /* expired */
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
    e->datum.lifetime_s = 12; /* 2001 ms are left when it is read again */
    pass(1);
    t = resolve("chord");
    ck_assert_uint_eq(fetches, 2);
    ck_assert_uint_eq(t.answer.lifetime_ms, 2000);
    pass(2000);
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

/* ---- a young ring ------------------------------------------------------------------------------
 */

/* Time passes, a step each 10 ms, and all that is asked meanwhile is answered. */
static void
live(uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i += 10) {
        pass(10);
        answer_all();
    }
}

static void
ask_young(struct told *t, const char *domain)
{
    directory_resolve(d, now, domain, false, false, &(struct directory_resolved){on_done, t});
    answer_all();
}

START_TEST(a_young_ring_is_asked_again)
{
    struct told t = {0}, u = {0};

    directory_on_ring(d, now, DIRECTORY_RING_UP);
    ask_young(&t, "b.chord");
    ask_young(&u, "chord");
    live(500);
    ck_assert_uint_eq(t.count + u.count, 0);
    ck_assert_uint_le(fetches, 2 + 2 * 11); /* once for all who wait, every 50 ms */
    add_entry("chord", 7, "sip:127.0.0.7:5061;term=3");
    live(50);
    ck_assert_uint_eq(t.count, 1);
    ck_assert_int_eq(t.st, ST_OK);
    ck_assert_uint_eq(u.count, 1);
    ck_assert_int_eq(u.st, ST_OK);
}
END_TEST

START_TEST(a_young_ring_does_not_know_of_absence)
{
    struct told t = {0}, u = {0};

    directory_on_ring(d, now, DIRECTORY_RING_UP);
    ask_young(&t, "nowhere");
    live(1990);
    ck_assert_uint_eq(t.count, 0);
    live(60);
    ck_assert_uint_eq(t.count, 1);
    ck_assert_int_eq(t.st, ST_UNREACHABLE);
    directory_on_ring(d, now, DIRECTORY_RING_UP); /* another member comes */
    live(2000);
    ask_young(&u, "nowhere");
    live(990);
    ck_assert_uint_eq(u.count, 0);
    live(70); /* it has settled meanwhile, and the last fetch is of that time */
    ck_assert_uint_eq(u.count, 1);
    ck_assert_int_eq(u.st, ST_NOT_FOUND);
}
END_TEST

START_TEST(a_young_ring_is_asked_again_for_so_many_names)
{
    struct told t[40] = {{0}};
    unsigned at_once = 0;

    directory_on_ring(d, now, DIRECTORY_RING_UP);
    for (size_t i = 0; i < 40; i++) {
        char name[32];

        snprintf(name, sizeof(name), "n%zu", i);
        ask_young(&t[i], name);
        at_once += t[i].count;
    }
    ck_assert_uint_eq(at_once, 8);
    ck_assert_int_eq(t[39].st, ST_UNREACHABLE);
    live(2100);
    for (size_t i = 0; i < 40; i++)
        ck_assert_uint_eq(t[i].count, 1);
    t[0] = (struct told){0};
    directory_on_ring(d, now, DIRECTORY_RING_UP);
    ask_young(&t[0], "n39"); /* there is room again */
    ck_assert_uint_eq(t[0].count, 0);
}
END_TEST

START_TEST(who_is_alone_though_others_are_configured_has_no_ring)
{
    struct told t = {0}, u = {0};

    directory_on_ring(d, now, DIRECTORY_RING_ALONE);
    live(3000);
    ask_young(&t, "nowhere"); /* no use in waiting */
    ck_assert_uint_eq(t.count, 1);
    ck_assert_int_eq(t.st, ST_UNREACHABLE);
    directory_on_ring(d, now, DIRECTORY_RING_UP);
    ask_young(&u, "nowhere");
    ck_assert_uint_eq(u.count, 0);
    add_entry("nowhere", 7, "sip:127.0.0.7:5061;term=3");
    live(50);
    ck_assert_int_eq(u.st, ST_OK);
}
END_TEST

START_TEST(asks_that_wait_for_a_young_ring_end_with_the_directory)
{
    static struct told t;

    t = (struct told){0};
    directory_on_ring(d, now, DIRECTORY_RING_UP);
    ask_young(&t, "nowhere");
    directory_free(d, now);
    ck_assert_uint_eq(t.count, 1);
    ck_assert_int_eq(t.st, ST_STATE);
    setup();
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
on_term(void *ctx, struct moment at, enum status st, uint32_t term)
{
    struct term *t = ctx;

    (void)at;
    t->count++;
    t->st = st;
    t->term = term;
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
        a_young_ring_is_asked_again,
        a_young_ring_does_not_know_of_absence,
        a_young_ring_is_asked_again_for_so_many_names,
        who_is_alone_though_others_are_configured_has_no_ring,
        asks_that_wait_for_a_young_ring_end_with_the_directory,
        our_entry_is_kept_in_the_ring,
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
