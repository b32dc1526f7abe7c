#include <stdlib.h>
#include <string.h>

#include "peer-protocol/storage/access.h"
#include "peer-protocol/storage/signed_data.h"
#include "peer-protocol/storage/storage_internal.h"

#define ARRAY_APPEND 0xffffffffu /* section 7.4.1.1 */

/** What is to happen to one value, decided before anything is changed. */
struct staged {
    struct list_node at;
    struct storage_record *record;
    struct held *held;
};

/** One StoreKindData: everything but its values. */
struct context {
    struct storage *s;
    struct moment now;
    const struct keys *keys;
    const struct id *resource;
    const struct kind *kind;
    struct slice certificates;
    const struct signer *requester; /* NULL for copies: only the value's signer counts */
    struct storage_record *record;
    struct list_node staged;
    uint32_t staged_new; /* of this record: slots that were empty */
    size_t staged_bytes; /* of all */
    size_t staged_values;
    bool has_newer;   /* ours is newer than what came */
    bool has_refused; /* a copy that did not verify */
    bool has_taken;
};

static bool
has_staged(const struct context *c, const struct storage_record *r)
{
    list_each(at, &c->staged) if (list_entry(at, struct staged, at)->record == r) return true;
    return false;
}

static void
staged_drop(struct context *c)
{
    list_each(at, &c->staged)
    {
        struct staged *g = list_entry(at, struct staged, at);
        struct storage_record *r = g->record;
        list_remove(at);
        free(g->held);
        free(g);
        if (!has_staged(c, r))
            storage_record_tidy(c->s, r);
    }
}

static bool
is_staged(const struct context *c, const struct stored_data *d)
{
    list_each(at, &c->staged)
    {
        const struct staged *g = list_entry(at, struct staged, at);
        const struct stored_data *other = &g->held->v.data;
        if (g->record != c->record)
            continue;
        if (c->kind->model == MODEL_SINGLE ||
            (c->kind->model == MODEL_ARRAY ? other->index == d->index
                                           : slice_equal(other->key, d->key)))
            return true;
    }
    return false;
}

static uint32_t
array_end(const struct context *c)
{
    uint32_t end = 0;

    if (!list_is_empty(&c->record->values))
        end = list_entry(c->record->values.prev, struct held, at)->v.data.index + 1;
    list_each(at, &c->staged)
    {
        const struct staged *g = list_entry(at, struct staged, at);
        if (g->record == c->record && g->held->v.data.index >= end)
            end = g->held->v.data.index + 1;
    }
    return end;
}

static bool
is_same_value(const struct stored_data *a, const struct stored_data *b)
{
    return a->storage_time_ms == b->storage_time_ms && a->value.exists == b->value.exists &&
           slice_equal(a->value.value, b->value.value);
}

/* Limits of the kind and of the whole (section 7.4.1.1: "size and number"). */
static enum status
check_limits(const struct context *c, const struct stored_data *d, const struct held *old,
             struct why *why)
{
    const struct storage *s = c->s;

    if (d->value.value.len > c->kind->max_bytes || d->key.len > UINT8_MAX)
        return why_set(why, ST_TOO_LARGE, "%s: %zu bytes, at most %u", c->kind->name,
                       d->value.value.len, c->kind->max_bytes);
    if (c->kind->model == MODEL_ARRAY && d->index >= c->kind->max_count)
        return why_set(why, ST_TOO_LARGE, "%s: index %u, at most %u", c->kind->name, d->index,
                       c->kind->max_count - 1);
    if (!old && c->record->count + c->staged_new >= c->kind->max_count)
        return why_set(why, ST_TOO_LARGE, "%s: more than %u values", c->kind->name,
                       c->kind->max_count);
    if (s->value_count + c->staged_values >= s->limits.max_values ||
        s->bytes + c->staged_bytes + d->value.value.len > s->limits.max_bytes)
        return why_set(why, ST_LIMIT, "no room for more values");
    return ST_OK;
}

static enum status
stage(struct context *c, const struct stored_data *d, bool is_new)
{
    struct writer certificate;
    struct staged *g = calloc(1, sizeof(*g));

    if (!g)
        return ST_NOMEM;
    writer_init(&certificate, UINT16_MAX);
    if (c->keys->ops->verify)
        c->keys->ops->certificate_for(c->keys->ctx, &d->signature, &certificate);
    g->held = held_new(d, writer_slice(&certificate), c->now.mono_ms);
    writer_done(&certificate);
    if (!g->held) {
        free(g);
        return ST_NOMEM;
    }
    g->record = c->record;
    list_append(&c->staged, &g->at);
    c->staged_new += is_new;
    c->staged_values++;
    c->staged_bytes += g->held->total_bytes;
    return ST_OK;
}

static enum status
check_value(struct context *c, struct stored_data *d, struct why *why)
{
    struct signer signer;
    struct held *old;
    enum status st = signed_data_verify(c->keys, c->resource, c->kind, d, c->certificates,
                                        c->now.wall_ms, &signer, why);

    if (st == ST_OK && c->requester)
        st = access_check(c->keys, c->kind, c->resource, c->requester, d->key, why);
    if (st != ST_OK && !c->requester) {
        c->has_refused = true; /* one bad value does not keep a record's others from its copies */
        return ST_OK;
    }
    if (st != ST_OK)
        return st;
    if (c->kind->model == MODEL_ARRAY && d->index == ARRAY_APPEND)
        d->index = array_end(c);
    if (is_staged(c, d))
        return why_set(why, ST_MALFORMED, "%s: the same value twice", c->kind->name);
    old = storage_slot(c->record, d);
    if (old && is_same_value(&old->v.data, d)) {
        c->has_taken = true;
        return ST_OK;
    }
    if (old && d->storage_time_ms <= old->v.data.storage_time_ms) {
        c->has_newer = true;
        return c->requester ? why_set(why, ST_TOO_OLD, "%s: a newer value is stored", c->kind->name)
                            : ST_OK;
    }
    st = check_limits(c, d, old, why);
    if (st == ST_OK && d->lifetime_s > 0)
        st = stage(c, d, !old);
    c->has_taken = st == ST_OK;
    return st;
}

static enum status
check_values(struct context *c, struct slice values, struct why *why)
{
    struct reader r;
    struct stored_data d;

    reader_init(&r, values);
    while (stored_data_read(&r, c->kind->model, &d)) {
        enum status st = check_value(c, &d, why);
        if (st != ST_OK)
            return st;
    }
    return r.failed ? why_set(why, ST_MALFORMED, "%s: bad value", c->kind->name) : ST_OK;
}

static void
commit(struct context *c, struct storage_record *r)
{
    list_each(at, &c->staged)
    {
        struct staged *g = list_entry(at, struct staged, at);
        if (g->record != r)
            continue;
        list_remove(at);
        storage_set(c->s, r, g->held);
        free(g);
    }
    storage_changed(c->s, r);
}

static enum status
find_unknown_kinds(struct slice kind_data, struct writer *ret_unknown)
{
    struct store_kind_data d;
    struct reader r;

    reader_init(&r, kind_data);
    while (store_kind_data_read(&r, &d))
        if (!kind_find(d.kind))
            writer_u32(ret_unknown, d.kind);
    if (r.failed)
        return ST_MALFORMED;
    return ret_unknown->len > 0 ? ST_UNKNOWN_KIND : ST_OK;
}

static void
answer(struct context *c, const struct storage_store *store, struct slice replicas,
       struct writer *ret)
{
    struct store_kind_data d;
    struct reader r;

    writer_reset(ret);
    reader_init(&r, store->request.kind_data);
    while (store_kind_data_read(&r, &d)) {
        struct storage_record *record = storage_find_record(c->s, c->resource, d.kind);
        struct store_kind_response response = {
            .kind = d.kind, .generation = record ? record->generation : 0, .replicas = replicas};
        store_kind_response_write(ret, &response);
    }
}

/* First pass: everything is checked and staged, nothing is changed but empty records made. */
static enum status
check_all(struct context *c, const struct storage_store *store, bool *ret_is_low, struct why *why)
{
    struct store_kind_data d;
    struct reader r;
    enum status st = ST_OK;

    reader_init(&r, store->request.kind_data);
    while (st == ST_OK && store_kind_data_read(&r, &d)) {
        c->kind = kind_find(d.kind);
        c->staged_new = 0;
        c->record = storage_record_make(c->s, c->resource, c->kind);
        if (!c->record)
            return ST_NOMEM;
        if (has_staged(c, c->record))
            st = why_set(why, ST_MALFORMED, "%s: the same kind twice", c->kind->name);
        else if (!c->requester && d.generation == 0)
            st = why_set(why, ST_MALFORMED, "a replica store without generation counter");
        else if (c->requester && d.generation > 0 && d.generation != c->record->generation)
            *ret_is_low = true;
        if (st == ST_OK)
            st = check_values(c, d.values, why);
        if (!has_staged(c, c->record))
            storage_record_tidy(c->s, c->record);
    }
    return st;
}

/* A copy from one that we do not name among the replicas is one that its sender now drops. */
static bool
keeps_copy(const struct storage_store *store)
{
    const struct slice *replicas = &store->replicas;

    for (size_t at = 0; at + ID_BYTES <= replicas->len; at += ID_BYTES)
        if (memcmp(replicas->data + at, store->requester.node.bytes, ID_BYTES) == 0)
            return true;
    return replicas->len == 0;
}

/* A replica store sets the counter (section 7.4.1.1); where ours is ahead because it holds
 * something newer, it stays ahead, or the newer value could not be told from the older by its
 * generation. */
static void
commit_all(struct context *c, const struct storage_store *store)
{
    struct store_kind_data d;
    struct reader r;

    reader_init(&r, store->request.kind_data);
    while (store_kind_data_read(&r, &d)) {
        struct storage_record *record = storage_find_record(c->s, c->resource, d.kind);
        if (!record)
            continue;
        bool is_changed = has_staged(c, record);
        if (c->requester)
            record->generation += is_changed;
        else if (!c->has_newer || d.generation > record->generation)
            record->generation = d.generation;
        if (is_changed)
            commit(c, record);
        if (c->requester)
            continue;
        record->traffic.taken++;
        if (keeps_copy(store)) {
            if (!c->has_newer)
                storage_holder_add(record, &store->requester.node);
            continue;
        }
        record->traffic.refused++;
        storage_holder_remove(c->s, record, &store->requester.node);
    }
}

enum status
storage_put(struct storage *s, struct moment now, const struct keys *keys,
            const struct storage_store *store, struct writer *ret_answer, struct why *why)
{
    bool is_copy = store->request.replica_number > 0;
    bool is_low = false;
    struct context c = {.s = s,
                        .now = now,
                        .keys = keys,
                        .resource = &store->request.resource,
                        .certificates = store->certificates,
                        .requester = is_copy ? NULL : &store->requester};
    enum status st;

    list_init(&c.staged);
    writer_reset(ret_answer);
    st = find_unknown_kinds(store->request.kind_data, ret_answer);
    if (st != ST_OK)
        return why_set(why, st, "%s", status_text(st));
    storage_expire(s, now);
    st = check_all(&c, store, &is_low, why);
    if (st == ST_OK && is_low)
        st = why_set(why, ST_GENERATION, "generation counter differs");
    if (st == ST_OK && c.has_refused && !c.has_taken)
        st = ST_FORBIDDEN;
    if (st != ST_OK) {
        staged_drop(&c);
        if (st == ST_GENERATION)
            answer(&c, store, slice_of(NULL, 0), ret_answer);
        return st;
    }
    commit_all(&c, store);
    answer(&c, store, store->replicas, ret_answer);
    return c.has_newer ? why_set(why, ST_TOO_OLD, "a newer value is stored") : ret_answer->failed;
}

enum status
storage_merge(struct storage *s, struct moment now, const struct keys *keys,
              const struct id *resource, const struct fetch_kind_response *response,
              struct slice certificates)
{
    struct context c = {.s = s,
                        .now = now,
                        .keys = keys,
                        .resource = resource,
                        .kind = kind_find(response->kind),
                        .certificates = certificates};
    enum status st;

    list_init(&c.staged);
    if (!c.kind)
        return ST_UNKNOWN_KIND;
    c.record = storage_record_make(s, resource, c.kind);
    if (!c.record)
        return ST_NOMEM;
    st = check_values(&c, response->values, NULL);
    if (st != ST_OK && !list_is_empty(&c.staged)) {
        staged_drop(&c);
        return st;
    }
    if (st == ST_OK && response->generation > c.record->generation)
        c.record->generation = response->generation;
    if (c.record->generation == 0)
        c.record->generation = 1;
    if (st == ST_OK && !list_is_empty(&c.staged))
        commit(&c, c.record);
    storage_record_tidy(s, c.record);
    return st;
}
