#include <string.h>

#include "peer-protocol/storage/storage_internal.h"

#define VALUES_BYTES_MAX (1u << 24)
#define RANGE_LAST       0xffffffffu

/** How the values of one specifier are written: whole for Fetch, as metadata for Stat. */
struct output {
    const struct storage *storage;
    struct moment now;
    const struct kind *kind;
    struct writer values;
    struct writer *certificates; /* NULL for Stat */
    const struct keys *keys;     /* Stat: for the digests */
};

/* A message has room for so many (its list is at most 2^16 - 1 bytes): the reader may know the
 * rest. */
static void
add_certificate(struct writer *w, struct slice entry)
{
    struct reader r;
    struct slice der, other;

    reader_init(&r, entry);
    if (!certificate_read(&r, &der) || w->len + entry.len > w->limit)
        return;
    reader_init(&r, writer_slice(w));
    while (certificate_read(&r, &other))
        if (slice_equal(der, other))
            return;
    writer_bytes(w, entry);
}

static void
write_meta(struct output *o, const struct stored_data *d)
{
    struct stored_metadata m = {.storage_time_ms = d->storage_time_ms,
                                .lifetime_s = d->lifetime_s,
                                .index = d->index,
                                .key = d->key,
                                .exists = d->value.exists,
                                .value_len = (uint32_t)d->value.value.len,
                                .hash_algorithm = HASH_NONE};
    uint8_t hash[DIGEST_BYTES];
    uint8_t head[4];

    /* Section 7.4.3: over the value with its length. */
    for (unsigned i = 0; i < sizeof(head); i++)
        head[i] = (uint8_t)(m.value_len >> (24 - 8 * i));
    if (o->keys && o->keys->ops->digest &&
        o->keys->ops->digest(o->keys->ctx, slice_of(head, sizeof(head)), d->value.value, hash)) {
        m.hash_algorithm = HASH_SHA256;
        m.hash_value = slice_of(hash, sizeof(hash));
    }

    stored_metadata_write(&o->values, o->kind->model, &m);
}

static bool
is_in_doubt(const struct storage *s, const struct kind *kind, const struct storage_value *v)
{
    return s && s->doubt.is && s->doubt.kind == kind->id && s->doubt.is(s->doubt.ctx, v);
}

static void
write_value(struct output *o, const struct storage_value *v)
{
    struct stored_data d = v->data;

    d.lifetime_s = storage_lifetime_left(v, o->now.mono_ms);
    if (!o->certificates) {
        write_meta(o, &d);
        return;
    }
    if (is_in_doubt(o->storage, o->kind, v))
        d.lifetime_s = 0;
    stored_data_write(&o->values, o->kind->model, &d);
    add_certificate(o->certificates, v->certificate);
}

/* What is not there is said so by a value without signature (section 7.4.2.2). */
static void
write_missing(struct output *o, uint32_t index, struct slice key)
{
    struct stored_data d = {.index = index, .key = key, .signature = signature_none()};

    if (o->certificates)
        stored_data_write(&o->values, o->kind->model, &d);
    else
        write_meta(o, &d);
}

static void
write_slot(struct output *o, const struct storage_record *r, uint32_t index, struct slice key)
{
    struct stored_data wanted = {.index = index, .key = key};
    const struct held *h = r ? storage_slot(r, &wanted) : NULL;

    if (h && h->v.expires_ms > o->now.mono_ms)
        write_value(o, &h->v);
    else
        write_missing(o, index, key);
}

static void
write_all(struct output *o, const struct storage_record *r)
{
    if (!r)
        return;
    list_each(at, &r->values)
    {
        const struct held *h = list_entry(at, struct held, at);
        if (h->v.expires_ms > o->now.mono_ms)
            write_value(o, &h->v);
    }
}

static enum status
write_keys(struct output *o, const struct storage_record *r, struct slice model)
{
    struct slice keys, key;
    struct reader in;

    if (model.len == 0) {
        write_all(o, r);
        return ST_OK;
    }
    if (specifier_keys(model, &keys) != ST_OK)
        return ST_MALFORMED;
    if (keys.len == 0) {
        write_all(o, r); /* no keys: a wildcard fetch */
        return ST_OK;
    }
    reader_init(&in, keys);
    while (specifier_key_read(&in, &key))
        write_slot(o, r, 0, key);
    return in.failed ? ST_MALFORMED : ST_OK;
}

static enum status
write_ranges(struct output *o, const struct storage_record *r, struct slice model)
{
    struct slice ranges;
    struct reader in;
    int32_t first, last;
    uint32_t end = 0; /* ranges must not overlap, so that an answer has each index once at most */

    if (model.len == 0) {
        write_all(o, r);
        return ST_OK;
    }
    if (specifier_ranges(model, &ranges) != ST_OK)
        return ST_MALFORMED;
    if (r && !list_is_empty(&r->values))
        end = list_entry(r->values.prev, struct held, at)->v.data.index + 1;
    reader_init(&in, ranges);
    for (uint32_t from = 0; specifier_range_read(&in, &first, &last);) {
        uint32_t a = (uint32_t)first, b = (uint32_t)last;
        if (a > b || a < from)
            return ST_MALFORMED;
        for (uint32_t i = a; i < end && i <= b; i++)
            write_slot(o, r, i, slice_of(NULL, 0));
        from = b == RANGE_LAST ? RANGE_LAST : b + 1;
    }
    return in.failed ? ST_MALFORMED : ST_OK;
}

static enum status
write_response(struct output *o, struct storage_record *r, const struct data_specifier *spec,
               struct writer *ret)
{
    struct fetch_kind_response response = {.kind = spec->kind, .generation = r ? r->generation : 0};
    enum status st = ST_OK;

    if (spec->generation != 0 && spec->generation == response.generation)
        ; /* the requester has it all */
    else if (o->kind->model == MODEL_SINGLE)
        write_slot(o, r, 0, slice_of(NULL, 0));
    else if (o->kind->model == MODEL_ARRAY)
        st = write_ranges(o, r, spec->model);
    else
        st = write_keys(o, r, spec->model);
    if (st == ST_OK)
        st = o->values.failed;
    response.values = writer_slice(&o->values);
    if (st == ST_OK)
        fetch_kind_response_write(ret, &response);
    return st;
}

static enum status
unknown_kinds(const struct storage *s, const struct fetch_req *request, struct writer *ret)
{
    struct data_specifier spec;
    struct reader r;

    reader_init(&r, request->specifiers);
    while (data_specifier_read(&r, &spec))
        if (!storage_kind(s, spec.kind))
            writer_u32(ret, spec.kind);
    if (r.failed)
        return ST_MALFORMED;
    return ret->len > 0 ? ST_UNKNOWN_KIND : ST_OK;
}

static enum status
write_responses(struct storage *s, struct moment now, const struct fetch_req *request,
                struct writer *ret, struct writer *certificates, const struct keys *keys)
{
    struct data_specifier spec;
    struct reader r;
    enum status st = ST_OK;

    reader_init(&r, request->specifiers);
    while (st == ST_OK && data_specifier_read(&r, &spec)) {
        struct output o = {.storage = s,
                           .now = now,
                           .kind = kind_find(spec.kind),
                           .certificates = certificates,
                           .keys = keys};
        writer_init(&o.values, VALUES_BYTES_MAX);
        st = write_response(&o, storage_find_record(s, &request->resource, spec.kind), &spec, ret);
        writer_done(&o.values);
        if (st == ST_OK)
            st = ret->failed;
    }
    return st;
}

static enum status
answer_fetch(struct storage *s, struct moment now, const struct fetch_req *request,
             struct writer *ret_body, struct writer *certificates, const struct keys *keys)
{
    struct writer responses;
    enum status st = unknown_kinds(s, request, ret_body);

    if (st != ST_OK)
        return st;
    writer_init(&responses, ret_body->limit);
    st = write_responses(s, now, request, &responses, certificates, keys);
    if (st == ST_OK)
        fetch_ans_write(ret_body, writer_slice(&responses));
    writer_done(&responses);
    return st == ST_OK ? ret_body->failed : st;
}

enum status
storage_fetch(struct storage *s, struct moment now, const struct fetch_req *request,
              struct writer *ret_body, struct writer *ret_certificates)
{
    enum status st = answer_fetch(s, now, request, ret_body, ret_certificates, NULL);

    return st == ST_OK ? ret_certificates->failed : st;
}

enum status
storage_stat(struct storage *s, struct moment now, const struct keys *keys,
             const struct fetch_req *request, struct writer *ret_body)
{
    return answer_fetch(s, now, request, ret_body, NULL, keys);
}

void
storage_set_doubt(struct storage *s, uint32_t kind,
                  bool (*is_doubted)(void *ctx, const struct storage_value *value), void *ctx)
{
    s->doubt.kind = kind;
    s->doubt.is = is_doubted;
    s->doubt.ctx = ctx;
}

static struct id
closest(struct storage *s, uint32_t kind, const struct id *from)
{
    struct storage_cursor c = {0};
    struct storage_record *r;
    struct id best = {{0}}, best_far = {{0}};
    bool has_best = false;

    while ((r = storage_next(s, &c))) {
        struct id far = id_subtract(&r->resource, from);
        if (r->kind->id != kind || (has_best && id_compare(&far, &best_far) >= 0))
            continue;
        best = r->resource;
        best_far = far;
        has_best = true;
    }
    return best;
}

enum status
storage_find(struct storage *s, const struct find_req *request, struct writer *ret_body)
{
    struct writer results;
    struct reader r;
    enum status st;

    writer_init(&results, ret_body->limit);
    reader_init(&r, request->kinds);
    while (reader_left(&r) > 0 && !r.failed) {
        struct find_kind_data d = {.kind = reader_u32(&r)};
        d.closest = closest(s, d.kind, &request->resource);
        find_kind_data_write(&results, &d);
    }
    st = r.failed ? ST_MALFORMED : results.failed;
    if (st == ST_OK)
        find_ans_write(ret_body, writer_slice(&results));
    writer_done(&results);
    return st == ST_OK ? ret_body->failed : st;
}

void
storage_record_write(const struct storage_record *r, struct moment now, struct writer *kind_data,
                     struct writer *certificates)
{
    struct output o = {.now = now, .kind = r->kind, .certificates = certificates};
    struct store_kind_data d = {.kind = r->kind->id,
                                .generation = r->generation > 0 ? r->generation : 1};

    writer_init(&o.values, VALUES_BYTES_MAX);
    write_all(&o, r);
    d.values = writer_slice(&o.values);
    store_kind_data_write(kind_data, &d);
    if (o.values.failed != ST_OK)
        kind_data->failed = o.values.failed;
    writer_done(&o.values);
}
