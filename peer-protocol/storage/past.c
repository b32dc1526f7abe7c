#include "peer-protocol/storage/past.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/map.h"

struct memory {
    struct list_node order; /* as they came */
    uint64_t storage_time_ms;
    uint64_t until_ms;
    size_t len;
    uint8_t place[];
};

struct past {
    size_t max_entries;
    struct list_node order;
    struct map *by_place;
    size_t count;
};

enum status
past_new(size_t max_entries, struct past **ret)
{
    struct past *p = calloc(1, sizeof(*p));

    if (!p)
        return ST_NOMEM;
    p->max_entries = max_entries;
    list_init(&p->order);
    p->by_place = map_new(0, 0);
    if (!p->by_place) {
        free(p);
        return ST_NOMEM;
    }
    *ret = p;
    return ST_OK;
}

static void
drop(struct past *p, struct memory *m)
{
    map_remove(p->by_place, slice_of(m->place, m->len));
    list_remove(&m->order);
    p->count--;
    free(m);
}

static struct memory *
oldest(const struct past *p)
{
    return list_entry(p->order.next, struct memory, order);
}

void
past_free(struct past *p)
{
    if (!p)
        return;
    while (p->count > 0)
        drop(p, oldest(p));
    map_free(p->by_place);
    free(p);
}

static struct memory *
find(const struct past *p, struct slice place)
{
    return map_get(p->by_place, place);
}

void
past_note(struct past *p, struct slice place, uint64_t storage_time_ms, uint64_t now_ms,
          uint64_t until_ms)
{
    struct memory *m;

    past_forget(p, place);
    while (p->count > 0 && (p->count >= p->max_entries || oldest(p)->until_ms <= now_ms))
        drop(p, oldest(p));
    if (until_ms <= now_ms || p->max_entries == 0)
        return;
    m = malloc(sizeof(*m) + place.len);
    if (!m)
        return; /* one that comes back lives no longer than its kind allows */
    m->storage_time_ms = storage_time_ms;
    m->until_ms = until_ms;
    m->len = place.len;
    memcpy(m->place, place.data, place.len);
    if (map_put(p->by_place, slice_of(m->place, m->len), m, NULL) != ST_OK) {
        free(m);
        return;
    }
    list_append(&p->order, &m->order);
    p->count++;
}

uint64_t
past_time(const struct past *p, struct slice place, uint64_t now_ms)
{
    const struct memory *m = find(p, place);

    return m && m->until_ms > now_ms ? m->storage_time_ms : 0;
}

void
past_forget(struct past *p, struct slice place)
{
    struct memory *m = find(p, place);

    if (m)
        drop(p, m);
}

size_t
past_count(const struct past *p)
{
    return p->count;
}
