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
    bool has_newer;      /* ours is newer than what came */
    bool has_taken;
    enum status refused; /* a value of a copy that did not verify, or for which there is no room */
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
        shares_remove(c->s->shares, &g->held->v.signer, g->held->total_bytes);
        held_free(c->s, g->held);
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

/* Limits of the kind (section 7.4.1.1: "size and number"). */
static enum status
check_size(const struct context *c, const struct stored_data *d, const struct held *old,
           struct why *why)
{
    if (d->value.value.len > c->kind->max_bytes || d->key.len > UINT8_MAX)
        return why_set(why, ST_TOO_LARGE, "%s: %zu bytes, at most %u", c->kind->name,
                       d->value.value.len, c->kind->max_bytes);
    if (c->kind->model == MODEL_ARRAY && d->index >= c->kind->max_count)
        return why_set(why, ST_TOO_LARGE, "%s: index %u, at most %u", c->kind->name, d->index,
                       c->kind->max_count - 1);
    if (!old && c->record->count + c->staged_new >= c->kind->max_count)
        return why_set(why, ST_TOO_LARGE, "%s: more than %u values", c->kind->name,
                       c->kind->max_count);
    return ST_OK;
}

static enum status
check_place(const struct context *c, struct why *why)
{
    const struct id *own = &c->s->limits.overlay_resource;

    if (c->kind->place == KIND_ANYWHERE || id_is_zero(own) ||
        id_equal(c->resource, own) == (c->kind->place == KIND_OF_OVERLAY))
        return ST_OK;
    return why_set(why, ST_FORBIDDEN, "%s: %s the overlay's own name", c->kind->name,
                   c->kind->place == KIND_OF_OVERLAY ? "not under" : "under");
}

/* A storage time is signed, a lifetime is not: a value that is older than its kind may get has
 * expired, whatever else is said of it.  One that is held already may be ahead of our clock. */
static enum status
check_time(const struct context *c, const struct stored_data *d, const struct held *old,
           struct why *why)
{
    uint64_t latest_ms = c->now.wall_ms;

    if (old && old->v.data.storage_time_ms > latest_ms)
        latest_ms = old->v.data.storage_time_ms;
    if (d->storage_time_ms > latest_ms + STORAGE_AHEAD_MS)
        return why_set(why, ST_FORBIDDEN, "%s: the storage time is %llu s in the future",
                       c->kind->name,
                       (unsigned long long)(d->storage_time_ms - c->now.wall_ms) / 1000);
    if (storage_lasts_until_ms(c->kind, d->storage_time_ms, c->now) <= c->now.mono_ms)
        return why_set(why, ST_TOO_OLD, "%s: expired, none lives longer than %u s", c->kind->name,
                       c->kind->max_lifetime_s);
    return ST_OK;
}

/* The storage time of what is here, or was. */
static uint64_t
time_here(const struct context *c, const struct stored_data *d, const struct held *old)
{
    uint8_t place[STORAGE_PLACE_BYTES];

    return old ? old->v.data.storage_time_ms
               : past_time(c->s->past, storage_place(c->record, d, place), c->now.mono_ms);
}

static void
count_refused(struct storage *s, enum status st)
{
    if (st == ST_LIMIT)
        s->counters.over_share++;
    else if (st == ST_TOO_LARGE)
        s->counters.too_large++;
}

/* A lifetime over the kind's longest is shortened: RFC 6940 knows no such limit, and no error. */
static struct storage_value
value_of(struct context *c, const struct stored_data *d, const struct signer *signer)
{
    struct storage_value v = {.data = *d, .signer = signer->node};
    uint64_t until_ms = storage_lasts_until_ms(c->kind, d->storage_time_ms, c->now);

    if (v.data.lifetime_s > c->kind->max_lifetime_s)
        v.data.lifetime_s = c->kind->max_lifetime_s;
    v.expires_ms = c->now.mono_ms + (uint64_t)v.data.lifetime_s * 1000;
    if (v.expires_ms > until_ms)
        v.expires_ms = until_ms;
    if (v.expires_ms < c->now.mono_ms + (uint64_t)d->lifetime_s * 1000)
        c->s->counters.shortened++;
    return v;
}

static enum status
stage_held(struct context *c, struct held *h, const struct held *old, struct why *why)
{
    struct addition a = {.signer = &h->v.signer,
                         .bytes = h->total_bytes,
                         .replaced_bytes = old ? old->total_bytes : 0,
                         .may_use_kept = c->kind->has_kept_room};
    struct staged *g;
    enum status st = shares_check(c->s->shares, &a, why);

    if (st != ST_OK)
        return st;
    g = calloc(1, sizeof(*g));
    st = g ? shares_add(c->s->shares, &h->v.signer, h->total_bytes) : ST_NOMEM;
    if (st != ST_OK) {
        free(g);
        return st;
    }
    *g = (struct staged){.record = c->record, .held = h};
    list_append(&c->staged, &g->at);
    c->staged_new += !old;
    return ST_OK;
}

static enum status
stage(struct context *c, const struct stored_data *d, const struct signer *signer,
      const struct held *old, struct why *why)
{
    struct storage_value v = value_of(c, d, signer);
    struct writer certificate;
    struct held *h;
    enum status st;

    writer_init(&certificate, UINT16_MAX);
    if (c->keys->ops->verify)
        c->keys->ops->certificate_for(c->keys->ctx, &d->signature, &certificate);
    v.certificate = writer_slice(&certificate);
    h = held_new(c->s, &v);
    writer_done(&certificate);
    st = h ? stage_held(c, h, old, why) : ST_NOMEM;
    if (st != ST_OK)
        held_free(c->s, h);
    return st;
}

static enum status
verify_value(struct context *c, const struct stored_data *d, struct signer *ret_signer,
             struct why *why)
{
    enum status st = signed_data_verify(c->keys, c->resource, c->kind, d, c->certificates,
                                        c->now.wall_ms, ret_signer, why);

    if (st == ST_OK && c->requester)
        st = access_check(c->keys, c->kind, c->resource, c->requester, d->key, why);
    if (st != ST_OK)
        return st;
    st = check_place(c, why);
    c->s->counters.misplaced += st != ST_OK;
    return st;
}

static enum status
take_value(struct context *c, struct stored_data *d, struct why *why)
{
    struct signer signer;
    struct held *old;
    enum status st = verify_value(c, d, &signer, why);

    if (st != ST_OK)
        return st;
    if (c->kind->model == MODEL_ARRAY && d->index == ARRAY_APPEND)
        d->index = array_end(c);
    st = check_size(c, d, storage_slot(c->record, d), why);
    if (st != ST_OK)
        return st;
    if (is_staged(c, d))
        return why_set(why, ST_MALFORMED, "%s: the same value twice", c->kind->name);
    old = storage_slot(c->record, d);
    if (old && is_same_value(&old->v.data, d)) {
        c->has_taken = true;
        return ST_OK;
    }
    if (d->storage_time_ms <= time_here(c, d, old)) {
        c->has_newer = true;
        return c->requester ? why_set(why, ST_TOO_OLD, "%s: a newer value is stored", c->kind->name)
                            : ST_OK;
    }
    st = check_time(c, d, old, why);
    c->s->counters.out_of_time += st != ST_OK;
    if (st == ST_OK && d->lifetime_s > 0)
        st = stage(c, d, &signer, old, why);
    if (st == ST_OK)
        c->has_taken = true;
    return st;
}

/* One bad value does not keep a record's others from its copies. */
static enum status
check_value(struct context *c, struct stored_data *d, struct why *why)
{
    enum status st = take_value(c, d, why);

    count_refused(c->s, st);
    if (st == ST_OK || st == ST_NOMEM || st == ST_MALFORMED || c->requester)
        return st;
    if (c->refused == ST_OK)
        c->refused = st == ST_NOT_FOUND || st == ST_SIGNATURE ? ST_FORBIDDEN : st;
    return ST_OK;
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
find_unknown_kinds(struct storage *s, struct slice kind_data, struct writer *ret_unknown)
{
    struct store_kind_data d;
    struct reader r;

    reader_init(&r, kind_data);
    while (store_kind_data_read(&r, &d))
        if (!storage_kind(s, d.kind)) {
            writer_u32(ret_unknown, d.kind);
            s->counters.misplaced++;
        }
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
    st = find_unknown_kinds(s, store->request.kind_data, ret_answer);
    if (st != ST_OK)
        return why_set(why, st, "%s", status_text(st));
    storage_expire(s, now);
    st = check_all(&c, store, &is_low, why);
    if (st == ST_OK && is_low)
        st = why_set(why, ST_GENERATION, "generation counter differs");
    if (st == ST_OK && !c.has_taken && !c.has_newer)
        st = c.refused;
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
                        .kind = storage_kind(s, response->kind),
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
