/* Bindings are stored again: when their responsible peer has gone, soon after any other member of
 * the overlay has (it may have held a copy), and from time to time, as the death of all that keep a
 * record is not always seen from here. */
#include "gateway/sip/location_internal.h"

#define OPEN_MAX         32    /* under way */
#define BUDGET_S         50    /* begun in a second, without need */
#define EVERY_MS         60000 /* give or take a quarter */
#define AFTER_LOSS_MS    1000  /* a quarter of a second to a quarter more: not all nodes at once */
#define AFTER_FAILURE_MS 1000

/* @ms, give or take a quarter, so that what was stored at one moment spreads. */
static uint64_t
spread(uint64_t ms)
{
    return ms - ms / 4 + sip_random() % (ms / 2 + 1);
}

void
upkeep_stored(struct location_entry *e, const struct answer *answer)
{
    uint64_t now_ms = sip_moment(e->sip).mono_ms;

    list_remove(&e->due);
    if (!answer->status)
        e->responsible = answer->node;
    e->due_ms = now_ms + (answer->status ? AFTER_FAILURE_MS : spread(EVERY_MS));
}

static void
on_kept(void *ctx, const struct answer *answer)
{
    struct location_entry *e = ctx;
    struct location *l = e->sip->location;

    l->upkeep.open--;
    e->is_busy = false;
    upkeep_stored(e, answer);
    location_entry_next(e);
    upkeep_pump(l);
}

/* What is being changed is stored by that; what is no more needs no storing. */
static void
keep(struct location *l, struct location_entry *e)
{
    list_remove(&e->due);
    if (e->is_busy || !location_entry_copy(e))
        return;
    if (e->next->count + e->next->note_count == 0)
        return;
    l->upkeep.open++;
    location_entry_store(e, on_kept);
}

void
upkeep_pump(struct location *l)
{
    struct upkeep *u = &l->upkeep;

    if (!l->is_joined)
        return;
    while (u->open < OPEN_MAX && !list_is_empty(&u->urgent))
        keep(l, list_entry(u->urgent.next, struct location_entry, due));
    for (; u->open < OPEN_MAX && u->budget > 0 && !list_is_empty(&u->due); u->budget--)
        keep(l, list_entry(u->due.next, struct location_entry, due));
}

void
upkeep_tick(struct location_entry *e, struct moment now)
{
    if (now.mono_ms < e->due_ms)
        return;
    e->due_ms = now.mono_ms + AFTER_FAILURE_MS; /* unless it is stored */
    if (!list_is_empty(&e->due))
        return;
    list_append(&e->sip->location->upkeep.due, &e->due);
}

void
upkeep_begin_second(struct location *l)
{
    l->upkeep.budget = BUDGET_S;
    upkeep_pump(l);
}

void
location_on_joined(struct sip *s)
{
    struct location *l = s->location;
    struct map_cursor c = {0};

    l->is_joined = true;
    while (map_next(l->entries, &c)) {
        struct location_entry *e = c.value;

        list_remove(&e->due);
        list_append(&l->upkeep.urgent, &e->due);
    }
    upkeep_pump(l);
}

void
location_on_lost(struct sip *s, const struct id *node)
{
    struct location *l = s->location;
    struct map_cursor c = {0};
    uint64_t now_ms = sip_moment(s).mono_ms;

    while (map_next(l->entries, &c)) {
        struct location_entry *e = c.value;
        uint64_t soon_ms = now_ms + spread(AFTER_LOSS_MS);

        if (id_equal(&e->responsible, node)) {
            list_remove(&e->due);
            list_append(&l->upkeep.urgent, &e->due);
        } else if (e->due_ms > soon_ms) {
            e->due_ms = soon_ms;
        }
    }
    upkeep_pump(l);
}
