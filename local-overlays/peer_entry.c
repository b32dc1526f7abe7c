/* Whom to ask for the overlay. */
#include <stdlib.h>
#include <string.h>

#include "local-overlays/peer_internal.h"

struct entry *
peer_entry_find(struct peer *p, const char *address, const struct id *node)
{
    list_each(at, &p->entries)
    {
        struct entry *e = list_entry(at, struct entry, at);
        if (address && address[0] != '\0' && strcmp(e->address, address) == 0)
            return e;
        if (node && e->has_node && id_equal(&e->node, node))
            return e;
    }
    return NULL;
}

struct entry *
peer_entry_add(struct peer *p, const char *address, const struct id *node, bool is_configured)
{
    struct entry *e, *oldest = NULL;
    size_t learned = 0;

    list_each(at, &p->entries)
    {
        e = list_entry(at, struct entry, at);
        if (e->is_configured)
            continue;
        if (learned++ == 0)
            oldest = e;
    }
    if (!is_configured && learned >= PEER_LEARNED_MAX && oldest) {
        if (oldest->state == ENTRY_ASKING)
            return NULL; /* its answer is on the way */
        list_remove(&oldest->at);
        free(oldest);
    }
    e = calloc(1, sizeof(*e));
    if (!e)
        return NULL;
    peer_copy_text(e->address, sizeof(e->address), address);
    if (node) {
        e->node = *node;
        e->has_node = true;
    }
    e->is_configured = is_configured;
    e->backoff_ms = PEER_BACKOFF_MIN_MS;
    e->next_ms = p->now.mono_ms;
    list_append(&p->entries, &e->at);
    return e;
}

struct entry *
peer_entry_learn(struct peer *p, const struct node_ref *ref)
{
    struct entry *e;

    if (strcmp(ref->address, p->conf.self.address) == 0 ||
        id_equal(&ref->node, &p->conf.self.node) || ref->address[0] == '\0')
        return NULL;
    e = peer_entry_find(p, ref->address, &ref->node);
    if (!e)
        return peer_entry_add(p, ref->address, id_is_zero(&ref->node) ? NULL : &ref->node, false);
    if (e->state == ENTRY_IDLE &&
        e->heard == HEARD_IN_PROGRESS) { /* a member meanwhile, it seems */
        uint64_t after_ms =
            p->state == PEER_JOINING ? PEER_BACKOFF_MIN_MS : p->conf.partition_ping_ms;
        e->next_ms = moment_earlier_ms(e->next_ms, e->heard_ms + after_ms);
    }
    return e;
}

void
peer_learn(struct peer *p, struct moment now, const struct node_ref *ref)
{
    peer_enter(p, now);
    (void)peer_entry_learn(p, ref);
    peer_leave_asked(p);
}

void
peer_bootstrap_free(struct peer *p)
{
    list_each(at, &p->entries) free(list_entry(at, struct entry, at));
}

bool
peer_has_others(const struct peer *p)
{
    list_each(at, &p->entries) if (list_entry(at, struct entry, at)->is_configured) return true;
    return false;
}
