#include "tests/unit/directory_ring.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct directory *d;
struct moment now;
struct asked asked[ASKED_MAX];
size_t asked_count;
unsigned fetches;
struct entry entry[DATA_MAX];
size_t entry_count;
enum status ring_status;

struct id
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

struct entry *
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

void
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
void
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

void
pass(uint64_t ms)
{
    now.mono_ms += ms;
    now.wall_ms += ms;
    if (directory_deadline_ms(d) <= now.mono_ms)
        directory_tick(d, now);
}

/* A ring whose members have been the same for long enough. */
void
settle(void)
{
    directory_on_ring(d, now, DIRECTORY_RING_UP);
    pass(3000);
}

void
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

void
ask(const char *domain, struct told *t)
{
    directory_resolve(d, now, domain, false, false, &(struct directory_resolved){on_done, t});
    ck_assert_uint_eq(t->count, 0); /* never before the return */
}

/* Ask and have the ring answer. */
struct told
resolve(const char *domain)
{
    struct told t = {0};

    ask(domain, &t);
    answer_all();
    ck_assert_uint_eq(t.count, 1);
    return t;
}

static void
setup_as(size_t max_names, size_t max_waiting, uint32_t look_ms)
{
    struct directory_conf conf;
    struct directory_env env = {.fetch = on_fetch, .store = on_store, .trace = on_trace};

    directory_conf_defaults(&conf);
    snprintf(conf.overlay, sizeof(conf.overlay), "pastry");
    conf.self = node(1);
    conf.max_names = max_names;
    conf.max_waiting = max_waiting;
    conf.look_ms = look_ms;
    now = (struct moment){1000, WALL_MS};
    asked_count = entry_count = fetches = 0;
    ring_status = ST_OK;
    ck_assert_int_eq(directory_new(&conf, &env, &d, NULL), ST_OK);
}

void
setup_with(size_t max_names, size_t max_waiting)
{
    setup_as(max_names, max_waiting, 0);
}

void
setup_looking(void)
{
    setup_as(1024, 4096, LOOK_MS);
}

void
setup(void)
{
    setup_with(1024, 4096);
}

void
teardown(void)
{
    directory_free(d, now);
}
