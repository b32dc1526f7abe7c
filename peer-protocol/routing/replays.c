#include "peer-protocol/routing/replays.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/list.h"
#include "base/map.h"

/** What one signer has used. */
struct window {
    struct list_node at; /* the last heard stands last */
    struct id signer;
    uint64_t highest;
    uint64_t taken; /* bit n: highest - n */
};

struct replays {
    struct map *by_signer;
    struct list_node all;
    size_t max;
};

enum status
replays_new(size_t max_signers, struct replays **ret)
{
    struct replays *r = calloc(1, sizeof(*r));

    if (!r)
        return ST_NOMEM;
    list_init(&r->all);
    r->max = max_signers;
    r->by_signer = map_new(0, 0);
    if (!r->by_signer) {
        free(r);
        return ST_NOMEM;
    }
    *ret = r;
    return ST_OK;
}

void
replays_free(struct replays *r)
{
    if (!r)
        return;
    list_each(at, &r->all) free(list_entry(at, struct window, at));
    map_free(r->by_signer);
    free(r);
}

static struct slice
key_of(const struct id *signer)
{
    return slice_of(signer->bytes, ID_BYTES);
}

static void
forget(struct replays *r, struct window *w)
{
    map_remove(r->by_signer, key_of(&w->signer));
    list_remove(&w->at);
    free(w);
}

static void
begin(struct replays *r, const struct id *signer, uint64_t sequence)
{
    struct window *w;

    if (map_count(r->by_signer) >= r->max)
        forget(r, list_entry(r->all.next, struct window, at));
    w = calloc(1, sizeof(*w));
    if (!w)
        return;
    *w = (struct window){.signer = *signer, .highest = sequence, .taken = 1};
    if (map_put(r->by_signer, key_of(signer), w, NULL) != ST_OK) {
        free(w);
        return;
    }
    list_append(&r->all, &w->at);
}

static bool
take(struct window *w, uint64_t sequence)
{
    uint64_t back, bit;

    if (sequence > w->highest) {
        uint64_t ahead = sequence - w->highest;
        w->taken = ahead < REPLAYS_WINDOW ? w->taken << ahead | 1 : 1;
        w->highest = sequence;
        return true;
    }
    back = w->highest - sequence;
    if (back >= REPLAYS_WINDOW)
        return false;
    bit = (uint64_t)1 << back;
    if (w->taken & bit)
        return false;
    w->taken |= bit;
    return true;
}

bool
replays_take(struct replays *r, const struct id *signer, uint64_t sequence)
{
    struct window *w = map_get(r->by_signer, key_of(signer));

    if (!w) {
        begin(r, signer, sequence);
        return true;
    }
    list_remove(&w->at);
    list_append(&r->all, &w->at);
    return take(w, sequence);
}

void
replays_restart(struct replays *r, const struct id *signer, uint64_t sequence)
{
    struct window *w = map_get(r->by_signer, key_of(signer));

    if (!w || sequence > w->highest || w->highest - sequence < REPLAYS_WINDOW) {
        replays_take(r, signer, sequence);
        return;
    }
    w->highest = sequence;
    w->taken = 1;
}
