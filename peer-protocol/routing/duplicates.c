#include "peer-protocol/routing/duplicates.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/map.h"

#define BUCKETS_LEAST 16

struct key {
    uint8_t bytes[ID_BYTES + 8];
};

/* There may be thousands: an entry is its own place in the hash table. */
struct seen {
    struct list_node at; /* oldest first */
    struct seen *chain;
    struct key key;
    uint64_t forget_ms;
    struct slice sealed; /* owned; no data while pending, or if the answer is an empty one */
    bool is_answered;
};

struct duplicates {
    struct seen **bucket;
    size_t bucket_count; /* a power of two */
    size_t count;
    struct list_node list;
    struct list_node bare; /* those with an empty answer */
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

static size_t
place_of(const struct key *k, size_t bucket_count)
{
    return map_hash(0, slice_of(k->bytes, sizeof(k->bytes))) & (bucket_count - 1);
}

static struct seen **
find(const struct duplicates *d, const struct key *k)
{
    struct seen **at = &d->bucket[place_of(k, d->bucket_count)];

    while (*at && memcmp((*at)->key.bytes, k->bytes, sizeof(k->bytes)) != 0)
        at = &(*at)->chain;
    return at;
}

static void
put(struct seen **bucket, size_t bucket_count, const struct list_node *list)
{
    list_each(at, list)
    {
        struct seen *s = list_entry(at, struct seen, at);
        size_t place = place_of(&s->key, bucket_count);
        s->chain = bucket[place];
        bucket[place] = s;
    }
}

/* Longer chains, should there be no memory. */
static void
grow(struct duplicates *d)
{
    size_t count = 2 * d->bucket_count;
    struct seen **bucket = calloc(count, sizeof(struct seen *));

    if (!bucket)
        return;
    put(bucket, count, &d->list);
    put(bucket, count, &d->bare);
    free(d->bucket);
    d->bucket = bucket;
    d->bucket_count = count;
}

enum status
duplicates_new(size_t max_count, size_t max_bytes, struct duplicates **ret)
{
    struct duplicates *d = calloc(1, sizeof(*d));

    if (!d)
        return ST_NOMEM;
    list_init(&d->list);
    list_init(&d->bare);
    d->max_count = max_count;
    d->max_bytes = max_bytes;
    d->bucket_count = BUCKETS_LEAST;
    d->bucket = calloc(d->bucket_count, sizeof(struct seen *));
    if (!d->bucket) {
        free(d);
        return ST_NOMEM;
    }
    *ret = d;
    return ST_OK;
}

static void
forget(struct duplicates *d, struct seen *s)
{
    *find(d, &s->key) = s->chain;
    d->count--;
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
    list_each(at, &d->bare) forget(d, list_entry(at, struct seen, at));
    free(d->bucket);
    free(d);
}

static void
make_room(struct duplicates *d, size_t bytes)
{
    while (!list_is_empty(&d->bare) && d->count >= d->max_count)
        forget(d, list_entry(d->bare.next, struct seen, at));
    while (!list_is_empty(&d->list) &&
           (d->count >= d->max_count || d->bytes + bytes > d->max_bytes))
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
    if (d->count >= d->bucket_count)
        grow(d);
    *find(d, key) = s;
    d->count++;
    list_append(&d->list, &s->at);
}

enum duplicate
duplicates_check(struct duplicates *d, uint64_t now_ms, const struct id *from,
                 uint64_t transaction_id, struct slice *ret_sealed)
{
    struct key key = key_of(from, transaction_id);
    struct seen *s;

    duplicates_expire(d, now_ms);
    s = *find(d, &key);
    if (!s) {
        note(d, now_ms, &key);
        return DUPLICATE_NEW;
    }
    if (!s->is_answered)
        return DUPLICATE_PENDING;
    *ret_sealed = s->sealed;
    return DUPLICATE_ANSWERED;
}

void
duplicates_answer(struct duplicates *d, const struct id *from, uint64_t transaction_id,
                  struct slice sealed)
{
    struct key key = key_of(from, transaction_id);
    struct seen *s = *find(d, &key);

    if (!s || s->is_answered)
        return;
    if (sealed.len > d->max_bytes / 4 ||
        (sealed.len > 0 && slice_copy(sealed, &s->sealed) != ST_OK)) {
        forget(d, s); /* carrying it out twice beats never answering */
        return;
    }
    s->is_answered = true;
    d->bytes += s->sealed.len;
    list_remove(&s->at); /* the newest, so that room is not made at its cost */
    list_append(sealed.len > 0 ? &d->list : &d->bare, &s->at);
    if (sealed.len == 0)
        s->forget_ms -= DUPLICATES_LIFETIME_MS - DUPLICATES_BARE_MS;
    if (d->bytes > d->max_bytes)
        make_room(d, 0);
}

static void
expire(struct duplicates *d, const struct list_node *list, uint64_t now_ms)
{
    while (!list_is_empty(list)) {
        struct seen *s = list_entry(list->next, struct seen, at);
        if (s->forget_ms > now_ms)
            return;
        forget(d, s);
    }
}

void
duplicates_expire(struct duplicates *d, uint64_t now_ms)
{
    expire(d, &d->list, now_ms);
    expire(d, &d->bare, now_ms);
}

size_t
duplicates_count(const struct duplicates *d)
{
    return d->count;
}
