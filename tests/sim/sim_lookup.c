#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim_internal.h"

#define LIMIT_MS 60000u

/* ---- the way of a request ------------------------------------------------------------------- */

static unsigned
destination_count(struct slice list, struct destination *ret_last)
{
    unsigned count = 0;
    struct reader r;

    reader_init(&r, list);
    while (destination_read(&r, ret_last))
        count++;
    return count;
}

static struct slice
transaction_key(const uint64_t *transaction_id)
{
    return slice_of(transaction_id, sizeof(*transaction_id));
}

static void
on_request_frame(struct sim *s, const struct forwarding *h)
{
    struct destination target = {0};
    struct sim_lookup *lookup;

    if (destination_count(h->destinations, &target) == 0)
        return;
    lookup = map_get(s->watched, slice_of(target.id.bytes, ID_BYTES));
    if (!lookup || lookup->transaction_id)
        return;
    lookup->transaction_id = h->transaction_id;
    assert(map_put(s->transactions, transaction_key(&h->transaction_id), lookup, NULL) == ST_OK);
}

/* The frame that has passed nobody comes from the node that answers; it goes back the way the
 * request came (RFC 6940 section 6.1.2: symmetric recursive routing). */
static void
on_answer_frame(struct sim *s, unsigned from, const struct forwarding *h)
{
    struct sim_lookup *lookup = map_get(s->transactions, transaction_key(&h->transaction_id));
    struct destination d;

    if (!lookup || lookup->hops > 0 || destination_count(h->via, &d) > 0)
        return;
    lookup->ended = (int)from;
    lookup->hops = destination_count(h->destinations, &d);
}

void
sim_watch_frame(struct sim *s, unsigned from, struct slice message)
{
    struct forwarding h;
    struct slice rest;
    struct reader r;
    uint16_t code;

    if (forwarding_read(message, &h, &rest, NULL) != ST_OK)
        return;
    reader_init(&r, rest);
    code = reader_u16(&r);
    s->counters.by_code[code < 0x30 ? code : 0]++;
    if (code == MESSAGE_FETCH_REQ)
        on_request_frame(s, &h);
    else if (code == MESSAGE_FETCH_ANS)
        on_answer_frame(s, from, &h);
}

void
sim_watch_lost(struct sim *s, struct slice message)
{
    struct forwarding h;
    struct slice rest;
    struct reader r;
    struct destination target = {0};
    struct sim_lookup *lookup;

    if (forwarding_read(message, &h, &rest, NULL) != ST_OK)
        return;
    reader_init(&r, rest);
    if (reader_u16(&r) != MESSAGE_FETCH_REQ || destination_count(h.destinations, &target) == 0)
        return;
    lookup = map_get(s->watched, slice_of(target.id.bytes, ID_BYTES));
    if (lookup)
        lookup->timeouts++;
}

static void
on_fetched(void *ctx, struct moment now, enum status st, const struct peer_datum *datum,
           size_t count)
{
    struct sim_lookup *lookup = ctx;

    lookup->took_ms = now.mono_ms - lookup->begin_ms;
    lookup->st = st;
    lookup->count = 0;
    for (size_t i = 0; i < count; i++)
        lookup->count += datum[i].exists;
    lookup->is_done = true;
}

static void
begin(struct sim *s, struct sim_lookup *l, unsigned from, const char *name)
{
    struct peer_fetched done = {on_fetched, l};

    *l = (struct sim_lookup){.from = from,
                             .resource = sim_hash(name),
                             .ended = (int)from,
                             .begin_ms = sim_now(s).mono_ms};
    snprintf(l->name, sizeof(l->name), "%s", name);
    assert(map_put(s->watched, slice_of(l->resource.bytes, ID_BYTES), l, NULL) == ST_OK);
    peer_fetch(sim_peer(s, from), sim_now(s), name, KIND_BINDING, &done);
    sim_touch(s, from);
}

static void
finish(struct sim *s, struct sim_lookup *lookup, size_t count)
{
    uint64_t limit_ms = sim_now(s).mono_ms + LIMIT_MS;

    for (size_t i = 0; i < count; i++) {
        while (!lookup[i].is_done && sim_now(s).mono_ms < limit_ms)
            sim_run_ms(s, 5);
        assert(lookup[i].is_done);
        map_remove(s->watched, slice_of(lookup[i].resource.bytes, ID_BYTES));
        map_remove(s->transactions, transaction_key(&lookup[i].transaction_id));
    }
}

void
sim_lookup(struct sim *s, unsigned from, const char *name, struct sim_lookup *ret)
{
    begin(s, ret, from, name);
    finish(s, ret, 1);
}

void
sim_lookups(struct sim *s, struct sim_lookup *ret, size_t count, size_t at_once)
{
    char name[64];

    for (size_t done = 0; done < count;) {
        size_t batch = count - done < at_once ? count - done : at_once;

        for (size_t i = 0; i < batch; i++) {
            snprintf(name, sizeof(name), "%016llx@" SIM_OVERLAY, (unsigned long long)sim_random(s));
            begin(s, &ret[done + i], sim_random_member(s), name);
        }
        finish(s, &ret[done], batch);
        done += batch;
    }
}

void
sim_lookups_of(struct sim *s, struct sim_lookup *ret, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char name[sizeof(ret[i].name)];

        memcpy(name, ret[i].name, sizeof(name));
        begin(s, &ret[i], sim_random_member(s), name);
    }
    finish(s, ret, count);
}

/* ---- records -------------------------------------------------------------------------------- */

struct stored {
    bool is_done;
    enum status st;
};

static void
on_stored(void *ctx, struct moment now, enum status st, const struct signer *from,
          struct slice body)
{
    struct stored *stored = ctx;

    (void)now;
    (void)from;
    (void)body;
    stored->st = st;
    stored->is_done = true;
}

static void
begin_store(struct sim *s, struct stored *ret, unsigned from, const char *name, const char *value)
{
    struct peer_reply done = {on_stored, ret};
    struct peer_value v = {.kind = KIND_BINDING,
                           .key = *sim_id(s, from),
                           .exists = true,
                           .lifetime_s = 3600,
                           .value = slice_text(value)};

    *ret = (struct stored){0};
    peer_store(sim_peer(s, from), sim_now(s), name, &v, &done);
    sim_touch(s, from);
}

static enum status
finish_store(struct sim *s, const struct stored *stored)
{
    uint64_t limit_ms = sim_now(s).mono_ms + LIMIT_MS;

    while (!stored->is_done && sim_now(s).mono_ms < limit_ms)
        sim_run_ms(s, 5);
    assert(stored->is_done);
    return stored->st;
}

enum status
sim_store(struct sim *s, unsigned from, const char *name, const char *value)
{
    struct stored stored;

    begin_store(s, &stored, from, name, value);
    return finish_store(s, &stored);
}

size_t
sim_stores(struct sim *s, const struct sim_lookup *name, size_t count, const char *value)
{
    struct stored *stored = calloc(count, sizeof(*stored));
    size_t done = 0;

    assert(stored || count == 0);
    for (size_t i = 0; i < count; i++)
        begin_store(s, &stored[i], sim_random_member(s), name[i].name, value);
    for (size_t i = 0; i < count; i++)
        done += finish_store(s, &stored[i]) == ST_OK;
    free(stored);
    return done;
}

struct holder {
    struct id resource;
    bool is_held;
};

static void
on_record(void *ctx, const struct peer_record_line *line)
{
    struct holder *h = ctx;

    h->is_held |= line->exists && id_equal(&line->resource, &h->resource);
}

unsigned
sim_holders(const struct sim *s, const char *name, unsigned *ret, unsigned cap)
{
    unsigned count = 0;

    for (unsigned i = 0; i < s->count; i++) {
        struct holder h = {.resource = sim_hash(name)};
        if (!s->node[i]->peer)
            continue;
        peer_records(s->node[i]->peer, on_record, &h);
        if (h.is_held && count < cap)
            ret[count] = i;
        count += h.is_held;
    }
    return count;
}
