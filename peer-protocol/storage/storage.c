#include "peer-protocol/storage/storage.h"

#include <stdlib.h>
#include <string.h>

#include "peer-protocol/storage/storage_internal.h"

struct key {
    uint8_t bytes[ID_BYTES + 4];
};

static struct key
key_of(const struct id *resource, uint32_t kind)
{
    struct key k;

    memcpy(k.bytes, resource->bytes, ID_BYTES);
    for (unsigned i = 0; i < 4; i++)
        k.bytes[ID_BYTES + i] = (uint8_t)(kind >> (24 - 8 * i));
    return k;
}

enum status
storage_new(const struct storage_limits *limits, const struct storage_journal *journal,
            struct storage **ret)
{
    struct extent extent = {.values = limits->max_values, .bytes = limits->max_bytes};
    struct storage *s = calloc(1, sizeof(*s));
    enum status st;

    if (!s)
        return ST_NOMEM;
    s->limits = *limits;
    if (limits->overlays == 0)
        s->limits.overlays = KIND_IN_ANY;
    if (journal)
        s->journal = *journal;
    s->earliest_ms = MOMENT_NEVER;
    list_init(&s->marked);
    s->records = map_new(0, 0);
    s->certificates = shared_bytes_new();
    st = shares_new(&extent, &s->shares);
    if (st == ST_OK)
        st = past_new(limits->max_values / 4, &s->past);
    if (st != ST_OK || !s->records || !s->certificates) {
        storage_free(s);
        return ST_NOMEM;
    }
    *ret = s;
    return ST_OK;
}

static void
record_free(struct storage *s, struct storage_record *r)
{
    struct key k = key_of(&r->resource, r->kind->id);

    map_remove(s->records, slice_of(k.bytes, sizeof(k.bytes)));
    list_remove(&r->mark);
    list_each(at, &r->values)
    {
        struct held *h = list_entry(at, struct held, at);
        shares_remove(s->shares, &h->v.signer, h->total_bytes);
        held_free(s, h);
    }
    free(r);
}

void
storage_free(struct storage *s)
{
    struct storage_cursor c = {0};
    struct storage_record *r;

    if (!s)
        return;
    while (s->records && (r = storage_next(s, &c)))
        record_free(s, r);
    map_free(s->records);
    shares_free(s->shares);
    past_free(s->past);
    shared_bytes_free(s->certificates);
    free(s);
}

size_t
storage_value_count(const struct storage *s)
{
    return shares_used(s->shares).values;
}

size_t
storage_byte_count(const struct storage *s)
{
    return shares_used(s->shares).bytes;
}

const struct storage_counters *
storage_counters_of(const struct storage *s)
{
    return &s->counters;
}

const struct kind *
storage_kind(const struct storage *s, uint32_t id)
{
    const struct kind *kind = kind_find(id);

    return kind && (kind->overlays & s->limits.overlays) ? kind : NULL;
}

struct slice
storage_place(const struct storage_record *r, const struct stored_data *d,
              uint8_t out[STORAGE_PLACE_BYTES])
{
    struct key k = key_of(&r->resource, r->kind->id);
    size_t len = sizeof(k.bytes);

    memcpy(out, k.bytes, len);
    if (r->kind->model == MODEL_ARRAY) {
        memcpy(out + len, &d->index, sizeof(d->index));
        len += sizeof(d->index);
    } else if (r->kind->model == MODEL_DICTIONARY && d->key.len <= UINT8_MAX) {
        memcpy(out + len, d->key.data, d->key.len);
        len += d->key.len;
    }
    return slice_of(out, len);
}

uint64_t
storage_lasts_until_ms(const struct kind *kind, uint64_t storage_time_ms, struct moment now)
{
    uint64_t longest_ms = (uint64_t)kind->max_lifetime_s * 1000;
    uint64_t age_ms = now.wall_ms > storage_time_ms ? now.wall_ms - storage_time_ms : 0;

    return age_ms >= longest_ms ? now.mono_ms : now.mono_ms + longest_ms - age_ms;
}

static struct slice
put_bytes(uint8_t **at, struct slice from)
{
    struct slice copy = slice_of(*at, from.len);

    if (from.len > 0)
        memcpy(*at, from.data, from.len);
    *at += from.len;
    return copy;
}

struct held *
held_new(struct storage *s, const struct storage_value *v)
{
    const struct stored_data *d = &v->data;
    size_t len = d->key.len + d->value.value.len + d->signature.identity.len +
                 d->signature.identity_whole.len + d->signature.value.len;
    struct held *h = malloc(sizeof(*h) + len);

    if (!h)
        return NULL;
    uint8_t *at = h->bytes;
    h->total_bytes = sizeof(*h) + len + v->certificate.len;
    h->v = *v;
    if (shared_bytes_take(s->certificates, v->certificate, &h->v.certificate) != ST_OK) {
        free(h);
        return NULL;
    }
    h->v.data.key = put_bytes(&at, d->key);
    h->v.data.value.value = put_bytes(&at, d->value.value);
    h->v.data.signature.identity = put_bytes(&at, d->signature.identity);
    h->v.data.signature.identity_whole = put_bytes(&at, d->signature.identity_whole);
    h->v.data.signature.value = put_bytes(&at, d->signature.value);
    list_init(&h->at);
    return h;
}

void
held_free(struct storage *s, struct held *h)
{
    if (h)
        shared_bytes_leave(s->certificates, h->v.certificate);
    free(h);
}

struct storage_record *
storage_find_record(struct storage *s, const struct id *resource, uint32_t kind)
{
    struct key k = key_of(resource, kind);

    return map_get(s->records, slice_of(k.bytes, sizeof(k.bytes)));
}

struct storage_record *
storage_record_make(struct storage *s, const struct id *resource, const struct kind *kind)
{
    struct storage_record *r = storage_find_record(s, resource, kind->id);
    struct key k = key_of(resource, kind->id);

    if (r)
        return r;
    r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    r->resource = *resource;
    r->kind = kind;
    list_init(&r->mark);
    list_init(&r->values);
    if (map_put(s->records, slice_of(k.bytes, sizeof(k.bytes)), r, NULL) != ST_OK) {
        free(r);
        return NULL;
    }
    return r;
}

void
storage_record_tidy(struct storage *s, struct storage_record *r)
{
    if (r->count == 0)
        record_free(s, r);
}

void
storage_drop(struct storage *s, struct storage_record *r)
{
    if (s->journal.removed)
        list_each(at, &r->values) s->journal.removed(s->journal.ctx, &r->resource, r->kind->id,
                                                     &list_entry(at, struct held, at)->v);
    record_free(s, r);
}

static bool
is_same_slot(enum data_model model, const struct stored_data *a, const struct stored_data *b)
{
    if (model == MODEL_ARRAY)
        return a->index == b->index;
    return model == MODEL_SINGLE || slice_equal(a->key, b->key);
}

struct held *
storage_slot(const struct storage_record *r, const struct stored_data *d)
{
    list_each(at, &r->values)
    {
        struct held *h = list_entry(at, struct held, at);
        if (is_same_slot(r->kind->model, &h->v.data, d))
            return h;
    }
    return NULL;
}

static void
take_out(struct storage *s, struct storage_record *r, struct held *h)
{
    list_remove(&h->at);
    r->count--;
    shares_remove(s->shares, &h->v.signer, h->total_bytes);
    held_free(s, h);
}

void
storage_set(struct storage *s, struct storage_record *r, struct held *h)
{
    struct held *old = storage_slot(r, &h->v.data);
    struct list_node *before = &r->values;
    uint8_t place[STORAGE_PLACE_BYTES];

    past_forget(s->past, storage_place(r, &h->v.data, place));

    if (old) {
        before = old->at.next;
        take_out(s, r, old);
    } else if (r->kind->model == MODEL_ARRAY) {
        list_each(at, &r->values)
        {
            if (list_entry(at, struct held, at)->v.data.index > h->v.data.index) {
                before = at;
                break;
            }
        }
    }
    list_insert_before(before, &h->at);
    r->count++;
    s->earliest_ms = moment_earlier_ms(s->earliest_ms, h->v.expires_ms);
    if (s->journal.put)
        s->journal.put(s->journal.ctx, &r->resource, r->kind->id, r->generation, &h->v);
}

void
storage_changed(struct storage *s, struct storage_record *r)
{
    r->version = ++s->version;
    r->holder_count = 0;
    storage_mark(s, r);
}

enum status
storage_restore(struct storage *s, struct moment now, const struct id *resource, uint32_t kind_id,
                uint64_t generation, const struct storage_value *value)
{
    const struct kind *kind = storage_kind(s, kind_id);
    struct storage_value v = *value;
    struct storage_record *r;
    struct held *h;

    if (!kind)
        return ST_UNKNOWN_KIND;
    if (storage_value_count(s) >= s->limits.max_values)
        return ST_LIMIT;
    v.expires_ms = now.mono_ms + (uint64_t)v.data.lifetime_s * 1000;
    h = held_new(s, &v);
    r = h ? storage_record_make(s, resource, kind) : NULL;
    if (!r || shares_add(s->shares, &v.signer, h->total_bytes) != ST_OK) {
        if (r)
            storage_record_tidy(s, r);
        held_free(s, h);
        return ST_NOMEM;
    }
    r->generation = generation;
    storage_set(s, r, h);
    storage_changed(s, r);
    return ST_OK;
}

static void
expire_values(struct storage *s, struct storage_record *r, struct moment now)
{
    uint8_t place[STORAGE_PLACE_BYTES];

    list_each(at, &r->values)
    {
        struct held *h = list_entry(at, struct held, at);
        if (h->v.expires_ms > now.mono_ms) {
            s->earliest_ms = moment_earlier_ms(s->earliest_ms, h->v.expires_ms);
            continue;
        }
        if (s->journal.removed)
            s->journal.removed(s->journal.ctx, &r->resource, r->kind->id, &h->v);
        past_note(s->past, storage_place(r, &h->v.data, place), h->v.data.storage_time_ms,
                  now.mono_ms, storage_lasts_until_ms(r->kind, h->v.data.storage_time_ms, now));
        take_out(s, r, h);
    }
}

void
storage_expire(struct storage *s, struct moment now)
{
    struct storage_cursor c = {0};
    struct storage_record *r;

    if (now.mono_ms < s->earliest_ms)
        return;
    s->earliest_ms = MOMENT_NEVER;
    while ((r = storage_next(s, &c))) {
        expire_values(s, r, now);
        storage_record_tidy(s, r);
    }
}

uint64_t
storage_deadline_ms(const struct storage *s)
{
    return s->earliest_ms;
}

struct storage_record *
storage_next(struct storage *s, struct storage_cursor *c)
{
    struct map_cursor m = {.at = c->at, .started = c->started};
    struct storage_record *r = map_next(s->records, &m) ? m.value : NULL;

    c->at = m.at;
    c->started = m.started;
    return r;
}

const struct id *
storage_record_resource(const struct storage_record *r)
{
    return &r->resource;
}

const struct kind *
storage_record_kind(const struct storage_record *r)
{
    return r->kind;
}

uint64_t
storage_record_generation(const struct storage_record *r)
{
    return r->generation;
}

uint64_t
storage_record_version(const struct storage_record *r)
{
    return r->version;
}

struct storage_traffic *
storage_record_traffic(struct storage_record *r)
{
    return &r->traffic;
}

uint32_t
storage_lifetime_left(const struct storage_value *v, uint64_t now_ms)
{
    return v->expires_ms <= now_ms ? 0 : (uint32_t)((v->expires_ms - now_ms + 999) / 1000);
}

void
storage_record_visit(const struct storage_record *r,
                     void (*visit)(void *ctx, const struct storage_value *value), void *ctx)
{
    list_each(at, &r->values) visit(ctx, &list_entry(at, struct held, at)->v);
}

void
storage_holder_add(struct storage_record *r, const struct id *node)
{
    if (storage_holder_has(r, node))
        return;
    if (r->holder_count == STORAGE_HOLDERS_MAX) { /* the oldest goes: it is asked again, no harm */
        memmove(&r->holder[0], &r->holder[1], sizeof(r->holder[0]) * (STORAGE_HOLDERS_MAX - 1));
        r->holder_count--;
    }
    r->holder[r->holder_count++] = *node;
}

bool
storage_holder_has(const struct storage_record *r, const struct id *node)
{
    for (unsigned i = 0; i < r->holder_count; i++)
        if (id_equal(&r->holder[i], node))
            return true;
    return false;
}

void
storage_holder_remove(struct storage *s, struct storage_record *r, const struct id *node)
{
    for (uint8_t i = 0; i < r->holder_count; i++)
        if (id_equal(&r->holder[i], node)) {
            r->holder[i] = r->holder[--r->holder_count];
            storage_mark(s, r);
            return;
        }
}

void
storage_holder_forget_others(struct storage_record *r, const struct id *node)
{
    bool is_known = storage_holder_has(r, node);

    r->holder[0] = *node;
    r->holder_count = is_known;
}

void
storage_forget_holders(struct storage *s)
{
    struct storage_cursor c = {0};
    struct storage_record *r;

    while ((r = storage_next(s, &c)))
        r->holder_count = 0;
}

void
storage_holder_remove_everywhere(struct storage *s, const struct id *node)
{
    struct storage_cursor c = {0};
    struct storage_record *r;

    while ((r = storage_next(s, &c)))
        storage_holder_remove(s, r, node);
}

void
storage_mark(struct storage *s, struct storage_record *r)
{
    if (list_is_empty(&r->mark))
        list_append(&s->marked, &r->mark);
}

void
storage_mark_all(struct storage *s)
{
    struct storage_cursor c = {0};
    struct storage_record *r;

    while ((r = storage_next(s, &c)))
        storage_mark(s, r);
}

struct storage_record *
storage_marked(struct storage *s)
{
    struct storage_record *r;

    if (list_is_empty(&s->marked))
        return NULL;
    r = list_entry(s->marked.next, struct storage_record, mark);
    list_remove(&r->mark);
    return r;
}

bool
storage_has_marked(const struct storage *s)
{
    return !list_is_empty(&s->marked);
}
