#include "peer-protocol/identity/remembered.h"

#include <assert.h>

enum status
remembered_init(struct remembered *r, uint64_t seed, size_t limit)
{
    list_init(&r->used);
    r->limit = limit;
    r->map = map_new(seed, 0);
    return r->map ? ST_OK : ST_NOMEM;
}

static struct slice
hash_of(const struct certificate *c)
{
    return slice_of(c->hash, sizeof(c->hash));
}

static void
shrink(struct remembered *r, size_t limit)
{
    while (map_count(r->map) > limit) {
        struct certificate *oldest = list_entry(r->used.prev, struct certificate, used);
        map_remove(r->map, hash_of(oldest));
        certificate_free(oldest);
    }
}

void
remembered_done(struct remembered *r)
{
    if (!r->map)
        return;
    shrink(r, 0);
    map_free(r->map);
    r->map = NULL;
}

struct certificate *
remembered_get(struct remembered *r, struct slice hash)
{
    struct certificate *c = map_get(r->map, hash);

    if (c) {
        list_remove(&c->used);
        list_prepend(&r->used, &c->used);
    }
    return c;
}

enum status
remembered_add(struct remembered *r, struct certificate *c)
{
    assert(!map_get(r->map, hash_of(c)));
    shrink(r, r->limit - 1);
    enum status st = map_put(r->map, hash_of(c), c, NULL);
    if (st != ST_OK) {
        certificate_free(c);
        return st;
    }
    list_prepend(&r->used, &c->used);
    return ST_OK;
}

void
remembered_set_limit(struct remembered *r, size_t limit)
{
    assert(limit > 0);
    r->limit = limit;
    shrink(r, limit);
}
