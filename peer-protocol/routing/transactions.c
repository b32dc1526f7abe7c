#include "peer-protocol/routing/transactions.h"

#include <stdlib.h>

#include "base/map.h"

struct transactions {
    struct list_node list;
    struct map *by_id;
    uint32_t reliability_ms;
    uint64_t earliest_ms; /* nothing is due before */
};

static struct slice
key_of(const uint64_t *id)
{
    return slice_of(id, sizeof(*id));
}

enum status
transactions_new(size_t limit, uint32_t reliability_ms, struct transactions **ret)
{
    struct transactions *t = calloc(1, sizeof(*t));

    if (!t)
        return ST_NOMEM;
    list_init(&t->list);
    t->reliability_ms = reliability_ms;
    t->earliest_ms = MOMENT_NEVER;
    t->by_id = map_new(0, limit);
    if (!t->by_id) {
        free(t);
        return ST_NOMEM;
    }
    *ret = t;
    return ST_OK;
}

void
transaction_free(struct transaction *tr)
{
    if (!tr)
        return;
    slice_free(&tr->message);
    free(tr);
}

void
transactions_free(struct transactions *t)
{
    if (!t)
        return;
    list_each(at, &t->list) transaction_free(list_entry(at, struct transaction, at));
    map_free(t->by_id);
    free(t);
}

size_t
transactions_count(const struct transactions *t)
{
    return map_count(t->by_id);
}

enum status
transactions_add(struct transactions *t, struct transaction *tr)
{
    enum status st = ST_EXISTS;

    if (!map_get(t->by_id, key_of(&tr->id)))
        st = map_put(t->by_id, key_of(&tr->id), tr, NULL);
    if (st != ST_OK)
        return st;
    list_append(&t->list, &tr->at);
    t->earliest_ms = moment_earlier_ms(t->earliest_ms, tr->next_ms);
    t->earliest_ms = moment_earlier_ms(t->earliest_ms, tr->deadline_ms);
    return ST_OK;
}

struct transaction *
transactions_find(const struct transactions *t, uint64_t id)
{
    return map_get(t->by_id, key_of(&id));
}

void
transactions_take(struct transactions *t, struct transaction *tr)
{
    map_remove(t->by_id, key_of(&tr->id));
    list_remove(&tr->at);
}

struct transaction *
transactions_take_any(struct transactions *t)
{
    struct transaction *tr;

    if (list_is_empty(&t->list))
        return NULL;
    tr = list_entry(t->list.next, struct transaction, at);
    transactions_take(t, tr);
    return tr;
}

void
transactions_sent(struct transactions *t, struct transaction *tr, uint64_t now_ms,
                  const struct id *hop)
{
    tr->has_hop = hop != NULL;
    if (hop) {
        tr->hop = *hop;
        tr->sent_count++;
    }
    if (tr->sent_count == 1)
        tr->first_ms = now_ms;
    tr->next_ms =
        tr->sent_count >= TRANSACTION_SENT_MAX ? MOMENT_NEVER : now_ms + t->reliability_ms;
    t->earliest_ms = moment_earlier_ms(t->earliest_ms, tr->next_ms);
}

void
transactions_hop_lost(struct transactions *t, const struct id *hop, uint64_t now_ms)
{
    list_each(at, &t->list)
    {
        struct transaction *tr = list_entry(at, struct transaction, at);
        if (!tr->has_hop || !id_equal(&tr->hop, hop) || tr->sent_count >= TRANSACTION_RESENT_MAX)
            continue;
        tr->next_ms = now_ms;
        t->earliest_ms = now_ms;
    }
}

void
transactions_hop_found(struct transactions *t, uint64_t now_ms)
{
    list_each(at, &t->list)
    {
        struct transaction *tr = list_entry(at, struct transaction, at);
        if (tr->has_hop)
            continue;
        tr->next_ms = now_ms;
        t->earliest_ms = now_ms;
    }
}

void
transactions_run(struct transactions *t, uint64_t now_ms, void *owner,
                 void (*send)(void *owner, struct transaction *tr),
                 void (*expired)(void *owner, struct transaction *tr))
{
    struct list_node over;
    uint64_t earliest_ms = MOMENT_NEVER;

    if (now_ms < t->earliest_ms)
        return;
    list_init(&over);
    list_each(at, &t->list)
    {
        struct transaction *tr = list_entry(at, struct transaction, at);
        if (tr->deadline_ms <= now_ms) {
            transactions_take(t, tr);
            list_append(&over, &tr->at);
            continue;
        }
        if (tr->next_ms <= now_ms)
            send(owner, tr);
        earliest_ms = moment_earlier_ms(earliest_ms, tr->next_ms);
        earliest_ms = moment_earlier_ms(earliest_ms, tr->deadline_ms);
    }
    t->earliest_ms = earliest_ms;
    list_each(at, &over)
    {
        list_remove(at);
        expired(owner, list_entry(at, struct transaction, at));
    }
}

uint64_t
transactions_deadline_ms(const struct transactions *t)
{
    return t->earliest_ms;
}
