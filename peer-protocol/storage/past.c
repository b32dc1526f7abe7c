#include "peer-protocol/storage/past.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"

enum { CAP_MIN = 64 };
#define NONE UINT32_MAX

struct memory {
    uint64_t key; /* of its place; two that share one are taken for one */
    uint64_t storage_time_ms;
    uint64_t until_ms;
    uint32_t chain;         /* the next of its bucket, or the next free one */
    uint32_t before, after; /* in the order in which they came */
};

/** All in two blocks: what is remembered for long among what comes and goes would keep a page of
 * memory each. */
struct past {
    size_t max_entries;
    size_t count;
    size_t cap; /* a power of two, of both */
    struct memory *slot;
    uint32_t *bucket;
    uint32_t first, last, free;
};

enum status
past_new(size_t max_entries, struct past **ret)
{
    struct past *p = calloc(1, sizeof(*p));

    if (!p)
        return ST_NOMEM;
    p->max_entries = max_entries < NONE ? max_entries : NONE - 1;
    p->first = p->last = p->free = NONE;
    *ret = p;
    return ST_OK;
}

void
past_free(struct past *p)
{
    if (!p)
        return;
    free(p->slot);
    free(p->bucket);
    free(p);
}

/** Where the number of what has this key stands: of its bucket, or of the one before it there. */
static uint32_t *
find(const struct past *p, uint64_t key)
{
    uint32_t *at = &p->bucket[key & (p->cap - 1)];

    while (*at != NONE && p->slot[*at].key != key)
        at = &p->slot[*at].chain;
    return at;
}

static uint64_t
key_of(struct slice place)
{
    return map_hash(0, place);
}

static void
drop(struct past *p, uint32_t *at)
{
    uint32_t i = *at;
    struct memory *m = &p->slot[i];

    *at = m->chain;
    *(m->before == NONE ? &p->first : &p->slot[m->before].after) = m->after;
    *(m->after == NONE ? &p->last : &p->slot[m->after].before) = m->before;
    m->chain = p->free;
    p->free = i;
    p->count--;
}

static void
drop_oldest(struct past *p)
{
    drop(p, find(p, p->slot[p->first].key));
}

static bool
grow(struct past *p)
{
    size_t cap = p->cap ? 2 * p->cap : CAP_MIN;
    struct memory *slot = realloc(p->slot, cap * sizeof(*slot));
    uint32_t *bucket;

    if (!slot)
        return false;
    p->slot = slot;
    bucket = malloc(cap * sizeof(*bucket));
    if (!bucket)
        return false;
    free(p->bucket);
    p->bucket = bucket;
    memset(bucket, 0xff, cap * sizeof(*bucket)); /* NONE */
    for (size_t i = cap; i-- > p->cap;) {
        slot[i].chain = p->free;
        p->free = (uint32_t)i;
    }
    p->cap = cap;
    for (uint32_t i = p->first; i != NONE; i = slot[i].after) {
        slot[i].chain = bucket[slot[i].key & (cap - 1)];
        bucket[slot[i].key & (cap - 1)] = i;
    }
    return true;
}

void
past_note(struct past *p, struct slice place, uint64_t storage_time_ms, uint64_t now_ms,
          uint64_t until_ms)
{
    uint64_t key = key_of(place);
    uint32_t *at, i;

    past_forget(p, place);
    while (p->count > 0 && (p->count >= p->max_entries || p->slot[p->first].until_ms <= now_ms))
        drop_oldest(p);
    if (until_ms <= now_ms || p->max_entries == 0 || (p->free == NONE && !grow(p)))
        return; /* one that comes back lives no longer than its kind allows */
    i = p->free;
    p->free = p->slot[i].chain;
    at = &p->bucket[key & (p->cap - 1)];
    p->slot[i] = (struct memory){.key = key,
                                 .storage_time_ms = storage_time_ms,
                                 .until_ms = until_ms,
                                 .chain = *at,
                                 .before = p->last,
                                 .after = NONE};
    *at = i;
    *(p->last == NONE ? &p->first : &p->slot[p->last].after) = i;
    p->last = i;
    p->count++;
}

uint64_t
past_time(const struct past *p, struct slice place, uint64_t now_ms)
{
    uint32_t i = p->cap ? *find(p, key_of(place)) : NONE;

    return i != NONE && p->slot[i].until_ms > now_ms ? p->slot[i].storage_time_ms : 0;
}

void
past_forget(struct past *p, struct slice place)
{
    uint32_t *at = p->cap ? find(p, key_of(place)) : NULL;

    if (at && *at != NONE)
        drop(p, at);
}

size_t
past_count(const struct past *p)
{
    return p->count;
}
