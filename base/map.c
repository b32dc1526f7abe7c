#include "base/map.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"

struct entry {
    struct list_node order;
    struct entry *chain;
    uint64_t hash;
    void *value;
    size_t key_len;
    uint8_t key[];
};

struct map {
    uint64_t seed;
    size_t limit;
    size_t count;
    size_t bucket_count; /* a power of two */
    struct entry **bucket;
    struct list_node order;
};

static uint64_t
rotate(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

static void
sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

static void
sip_word(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    sip_round(v);
    sip_round(v);
    v[0] ^= word;
}

uint64_t
map_hash(uint64_t seed, struct slice key)
{
    uint64_t v[4] = {seed ^ 0x736f6d6570736575ull, seed ^ 0x646f72616e646f6dull,
                     seed ^ 0x6c7967656e657261ull, seed ^ 0x7465646279746573ull};
    size_t whole = key.len & ~(size_t)7;
    uint64_t last = (uint64_t)key.len << 56;

    for (size_t i = 0; i < whole; i += 8) {
        uint64_t word;
        memcpy(&word, key.data + i, 8);
        sip_word(v, word);
    }
    for (size_t i = whole; i < key.len; i++)
        last |= (uint64_t)key.data[i] << (8 * (i - whole));
    sip_word(v, last);
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

struct map *
map_new(uint64_t seed, size_t limit)
{
    struct map *m = calloc(1, sizeof(*m));

    if (!m)
        return NULL;
    m->seed = seed;
    m->limit = limit;
    list_init(&m->order);
    return m;
}

void
map_free(struct map *m)
{
    if (!m)
        return;
    list_each(at, &m->order) free(list_entry(at, struct entry, order));
    free(m->bucket);
    free(m);
}

size_t
map_count(const struct map *m)
{
    return m->count;
}

static struct entry **
find(const struct map *m, struct slice key, uint64_t hash)
{
    struct entry **at = &m->bucket[hash & (m->bucket_count - 1)];

    while (*at && !((*at)->hash == hash && slice_equal(slice_of((*at)->key, (*at)->key_len), key)))
        at = &(*at)->chain;
    return at;
}

void *
map_get(const struct map *m, struct slice key)
{
    if (m->count == 0)
        return NULL;
    struct entry *e = *find(m, key, map_hash(m->seed, key));
    return e ? e->value : NULL;
}

static bool
grow(struct map *m)
{
    size_t count = m->bucket_count ? m->bucket_count * 2 : 8;
    struct entry **bucket = calloc(count, sizeof(*bucket));

    if (!bucket)
        return m->bucket_count > 0; /* longer chains, but it works */
    list_each(at, &m->order)
    {
        struct entry *e = list_entry(at, struct entry, order);
        e->chain = bucket[e->hash & (count - 1)];
        bucket[e->hash & (count - 1)] = e;
    }
    free(m->bucket);
    m->bucket = bucket;
    m->bucket_count = count;
    return true;
}

enum status
map_put(struct map *m, struct slice key, void *value, void **ret_old)
{
    uint64_t hash = map_hash(m->seed, key);

    assert(value);
    if (m->count >= m->bucket_count && !grow(m))
        return ST_NOMEM;
    struct entry **at = find(m, key, hash);
    if (*at) {
        if (ret_old)
            *ret_old = (*at)->value;
        (*at)->value = value;
        return ST_OK;
    }
    if (m->limit > 0 && m->count >= m->limit)
        return ST_LIMIT;
    struct entry *e = malloc(sizeof(*e) + key.len);
    if (!e)
        return ST_NOMEM;
    *e = (struct entry){.hash = hash, .value = value, .key_len = key.len};
    if (key.len > 0)
        memcpy(e->key, key.data, key.len);
    *at = e;
    list_append(&m->order, &e->order);
    m->count++;
    if (ret_old)
        *ret_old = NULL;
    return ST_OK;
}

void *
map_remove(struct map *m, struct slice key)
{
    if (m->count == 0)
        return NULL;
    struct entry **at = find(m, key, map_hash(m->seed, key));
    struct entry *e = *at;
    if (!e)
        return NULL;
    void *value = e->value;
    *at = e->chain;
    list_remove(&e->order);
    free(e);
    m->count--;
    return value;
}

bool
map_next(const struct map *m, struct map_cursor *c)
{
    const struct list_node *next = c->started ? c->at : m->order.next;

    c->started = true;
    if (next == &m->order)
        return false;
    struct entry *e = list_entry(next, struct entry, order);
    c->key = slice_of(e->key, e->key_len);
    c->value = e->value;
    c->at = e->order.next;
    return true;
}
