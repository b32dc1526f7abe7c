/**
 * DOC: questions to a peer on the lan, and what came of them
 */
#ifndef TESTS_UNIT_LAN_ASK_H
#define TESTS_UNIT_LAN_ASK_H

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

static inline void
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

static inline void
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

static inline struct result
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

static inline struct result
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

static inline struct result
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

static inline unsigned
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

static inline unsigned
holders(void)
{
    unsigned count = 0;

    for (unsigned i = 0; i < lan.count; i++)
        count += lan.host[i].is_running && peer_record_count(lan_peer(i)) > 0;
    return count;
}

static unsigned lost_left;

static inline bool
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

#endif
