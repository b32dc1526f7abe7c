#include "tests/sim/events.h"

#include <assert.h>
#include <stdlib.h>

void
events_done(struct events *e)
{
    free(e->heap);
    *e = (struct events){0};
}

static bool
is_before(const struct event *a, const struct event *b)
{
    return a->due_us != b->due_us ? a->due_us < b->due_us : a->order < b->order;
}

void
events_put(struct events *e, uint64_t due_us, unsigned kind, unsigned node, void *what)
{
    struct event put = {due_us, e->next_order++, kind, node, what};
    size_t at = e->count;

    if (e->count == e->cap) {
        e->cap = e->cap ? 2 * e->cap : 1024;
        e->heap = realloc(e->heap, e->cap * sizeof(*e->heap));
        assert(e->heap);
    }
    e->count++;
    for (; at && is_before(&put, &e->heap[(at - 1) / 2]); at = (at - 1) / 2)
        e->heap[at] = e->heap[(at - 1) / 2];
    e->heap[at] = put;
}

static void
sink(struct events *e, struct event moved)
{
    size_t at = 0;

    for (;;) {
        size_t child = 2 * at + 1;

        if (child + 1 < e->count && is_before(&e->heap[child + 1], &e->heap[child]))
            child++;
        if (child >= e->count || !is_before(&e->heap[child], &moved))
            break;
        e->heap[at] = e->heap[child];
        at = child;
    }
    e->heap[at] = moved;
}

bool
events_take(struct events *e, uint64_t until_us, struct event *ret)
{
    if (!e->count || e->heap[0].due_us > until_us) {
        if (e->now_us < until_us)
            e->now_us = until_us;
        return false;
    }
    *ret = e->heap[0];
    if (e->now_us < ret->due_us)
        e->now_us = ret->due_us;
    if (--e->count)
        sink(e, e->heap[e->count]);
    return true;
}

uint64_t
chance_next(uint64_t *seed)
{
    uint64_t z = (*seed += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t
chance_below(uint64_t *seed, uint64_t limit)
{
    assert(limit);
    return chance_next(seed) % limit;
}
