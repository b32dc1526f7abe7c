/**
 * DOC: a store, and Stores and Fetches of one place in it
 */
#ifndef TESTS_UNIT_STORE_PLAYED_H
#define TESTS_UNIT_STORE_PLAYED_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer-protocol/storage/signed_data.h"
#include "peer-protocol/storage/storage.h"
#include "tests/unit/fake_keys.h"

static struct storage *storage;
static struct fake_keys alice, bob;
static struct id home; /* H("alice@test") */
static struct moment now;
static struct writer answer;
static struct why why;

static inline void
setup(void)
{
    struct storage_limits limits = {.max_values = 40, .max_bytes = 1u << 20};
    struct id a = {{0xa}}, b = {{0xb}};

    ck_assert_int_eq(storage_new(&limits, NULL, &storage), ST_OK);
    fake_keys_init(&alice, &a, "alice@test");
    fake_keys_init(&bob, &b, "bob@test");
    fake_hash(slice_text("alice@test"), &home);
    now = (struct moment){.mono_ms = 5000, .wall_ms = 1700000000000};
    writer_init(&answer, 1u << 20);
}

static inline void
teardown(void)
{
    storage_free(storage);
    writer_done(&answer);
}

/** What one test Store is made of. */
struct put {
    struct fake_keys *by;        /* signs the values */
    struct fake_keys *requester; /* signs the request; NULL: the same */
    uint32_t kind;
    uint64_t generation;
    uint64_t time_ms; /* storage time less now */
    uint32_t lifetime_s;
    uint32_t index;
    const struct id *key; /* NULL: the signer's */
    const char *value;    /* NULL: exists = false */
    bool is_copy;
    struct slice replicas; /* whom the answer names */
    bool is_spoiled;
    bool is_unsigned;
};

static inline void
write_value(const struct put *p, struct writer *w)
{
    const struct kind *kind = kind_find(p->kind);
    struct keys keys = fake_keys(p->by);
    struct stored_data d = {
        .storage_time_ms = now.wall_ms + p->time_ms,
        .lifetime_s = p->lifetime_s ? p->lifetime_s : 3600,
        .index = p->index,
        .key = slice_of(p->key ? p->key->bytes : p->by->self.node.bytes, 16),
        .value = {.exists = p->value != NULL, .value = slice_text(p->value ? p->value : "")}};

    ck_assert_int_eq(signed_data_sign(&keys, &home, kind, &d), ST_OK);
    if (p->is_unsigned)
        d.signature = signature_none();
    stored_data_write(w, kind->model, &d);
}

static inline enum status
put_all(const struct put *p, size_t count)
{
    struct fake_keys *requester = p->requester ? p->requester : p->by;
    struct keys keys = fake_keys(p->by);
    struct writer values, kinds, certificates;
    struct store_kind_data d = {.kind = p->kind, .generation = p->generation};
    struct storage_store s = {.request = {.resource = home, .replica_number = p->is_copy ? 1 : 0},
                              .requester = requester->self,
                              .replicas = p->replicas};
    enum status st;

    writer_init(&values, 1u << 20);
    writer_init(&kinds, 1u << 20);
    writer_init(&certificates, 1u << 16);
    for (size_t i = 0; i < count; i++)
        write_value(&p[i], &values);
    if (p->is_spoiled)
        values.data[values.len - 1] ^= 1;
    d.values = writer_slice(&values);
    store_kind_data_write(&kinds, &d);
    s.request.kind_data = writer_slice(&kinds);
    writer_reset(&answer);
    why.text[0] = '\0';
    st = storage_put(storage, now, &keys, &s, &answer, &why);
    writer_done(&values);
    writer_done(&kinds);
    writer_done(&certificates);
    return st;
}

static inline enum status
put(const struct put *p)
{
    return put_all(p, 1);
}

/** What a Fetch of one kind found. */
struct got {
    enum status st;
    uint64_t generation;
    unsigned exist, gone, synthetic;
    uint32_t last_index;
    uint32_t lifetime_s;
    char value[64];
    size_t certificate_bytes;
};

static inline struct got
get(uint32_t kind_id, uint64_t generation, struct slice model)
{
    const struct kind *kind = kind_find(kind_id);
    struct data_specifier spec = {.kind = kind_id, .generation = generation, .model = model};
    struct fetch_req request = {.resource = home};
    struct fetch_kind_response response;
    struct writer specs, body, certificates;
    struct got g = {0};
    struct slice responses;
    struct reader r;
    struct stored_data d;

    writer_init(&specs, 4096);
    writer_init(&body, 1u << 20);
    writer_init(&certificates, 1u << 16);
    data_specifier_write(&specs, &spec);
    request.specifiers = writer_slice(&specs);
    g.st = storage_fetch(storage, now, &request, &body, &certificates);
    if (g.st == ST_OK) {
        ck_assert_int_eq(fetch_ans_read(writer_slice(&body), &responses), ST_OK);
        reader_init(&r, responses);
        ck_assert(fetch_kind_response_read(&r, &response));
        ck_assert_uint_eq(reader_left(&r), 0);
        g.generation = response.generation;
        reader_init(&r, response.values);
        while (stored_data_read(&r, kind->model, &d)) {
            g.exist += d.value.exists;
            g.synthetic += d.signature.identity_type == SIGNER_NONE;
            g.gone += !d.value.exists && d.signature.identity_type != SIGNER_NONE;
            g.last_index = d.index;
            if (d.value.exists)
                g.lifetime_s = d.lifetime_s;
            if (d.value.exists)
                ck_assert_int_eq(slice_to_text(d.value.value, g.value, sizeof(g.value)), ST_OK);
        }
        ck_assert(!r.failed);
    }
    g.certificate_bytes = certificates.len;
    writer_done(&specs);
    writer_done(&body);
    writer_done(&certificates);
    return g;
}

static inline struct got
get_all(uint32_t kind)
{
    return get(kind, 0, slice_of(NULL, 0));
}

#endif
