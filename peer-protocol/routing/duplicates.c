#include "peer-protocol/routing/duplicates.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/map.h"

struct key {
    uint8_t bytes[ID_BYTES + 8];
};

struct seen {
    struct list_node at; /* oldest first */
    struct key key;
    uint64_t forget_ms;
    struct slice sealed; /* owned; no data while pending */
};

struct duplicates {
    struct map *by_key;
    struct list_node list;
    size_t max_count;
    size_t max_bytes;
    size_t bytes;
};

static struct key
key_of(const struct id *from, uint64_t transaction_id)
{
    struct key k;

    memcpy(k.bytes, from->bytes, ID_BYTES);
    memcpy(k.bytes + ID_BYTES, &transaction_id, 8);
    return k;
}

static struct slice
slice_key(const struct key *k)
{
    return slice_of(k->bytes, sizeof(k->bytes));
}

enum status
duplicates_new(size_t max_count, size_t max_bytes, struct duplicates **ret)
{
    struct duplicates *d = calloc(1, sizeof(*d));

    if (!d)
        return ST_NOMEM;
    list_init(&d->list);
    d->max_count = max_count;
    d->max_bytes = max_bytes;
    d->by_key = map_new(0, 0);
    if (!d->by_key) {
        free(d);
        return ST_NOMEM;
    }
    *ret = d;
    return ST_OK;
}

static void
forget(struct duplicates *d, struct seen *s)
{
    map_remove(d->by_key, slice_key(&s->key));
    list_remove(&s->at);
    d->bytes -= s->sealed.len;
    slice_free(&s->sealed);
    free(s);
}

void
duplicates_free(struct duplicates *d)
{
    if (!d)
        return;
    list_each(at, &d->list) forget(d, list_entry(at, struct seen, at));
    map_free(d->by_key);
    free(d);
}

static void
make_room(struct duplicates *d, size_t bytes)
{
    while (!list_is_empty(&d->list) &&
           (map_count(d->by_key) >= d->max_count || d->bytes + bytes > d->max_bytes))
        forget(d, list_entry(d->list.next, struct seen, at));
}

static void
note(struct duplicates *d, uint64_t now_ms, const struct key *key)
{
    struct seen *s;

    make_room(d, 0);
    s = calloc(1, sizeof(*s));
    if (!s)
        return;
    s->key = *key;
    s->forget_ms = now_ms + DUPLICATES_LIFETIME_MS;
    if (map_put(d->by_key, slice_key(key), s, NULL) != ST_OK) {
        free(s);
        return;
    }
    list_append(&d->list, &s->at);
}

enum duplicate
duplicates_check(struct duplicates *d, uint64_t now_ms, const struct id *from,
                 uint64_t transaction_id, struct slice *ret_sealed)
{
    struct key key = key_of(from, transaction_id);
    struct seen *s;

    duplicates_expire(d, now_ms);
    s = map_get(d->by_key, slice_key(&key));
    if (!s) {
        note(d, now_ms, &key);
        return DUPLICATE_NEW;
    }
    if (!s->sealed.data)
        return DUPLICATE_PENDING;
    *ret_sealed = s->sealed;
    return DUPLICATE_ANSWERED;
}

void
duplicates_answer(struct duplicates *d, const struct id *from, uint64_t transaction_id,
                  struct slice sealed)
{
    struct key key = key_of(from, transaction_id);
    struct seen *s = map_get(d->by_key, slice_key(&key));

    if (!s || s->sealed.data)
        return;
    if (sealed.len > d->max_bytes / 4 || slice_copy(sealed, &s->sealed) != ST_OK) {
        forget(d, s); /* carrying it out twice beats never answering */
        return;
    }
    d->bytes += s->sealed.len;
    list_remove(&s->at); /* the newest, so that room is not made at its cost */
    list_append(&d->list, &s->at);
    if (d->bytes > d->max_bytes)
        make_room(d, 0);
}

void
duplicates_expire(struct duplicates *d, uint64_t now_ms)
{
    while (!list_is_empty(&d->list)) {
        struct seen *s = list_entry(d->list.next, struct seen, at);
        if (s->forget_ms > now_ms)
            return;
        forget(d, s);
    }
}

size_t
duplicates_count(const struct duplicates *d)
{
    return map_count(d->by_key);
}
