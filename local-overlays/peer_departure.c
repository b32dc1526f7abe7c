/*
 * Leaving: records first, then Leave, then the links (RFC 6940 section 10.7.3 in this order).
 *
 * What others hold need not be sent again, if they are alive.  One that was switched off a moment
 * ago looks as alive as ever while nothing is sent to it, so each is asked first.
 */
#include "local-overlays/peer_internal.h"

static void
go_down(struct peer *p, const char *reason)
{
    if (p->aim == PEER_AIM_NOTHING)
        peer_disconnect_all(p);
    if (p->aim == PEER_AIM_NOTHING) {
        peer_become(p, PEER_DOWN, reason);
        return;
    }
    peer_become(p, PEER_JOINING, reason);
    peer_bootstrap_start(p);
}

/* ---- are they alive? ---- */

static bool
is_holder(const struct peer *p, const struct id *node)
{
    struct storage_cursor c = {0};
    struct storage_record *r;

    while ((r = storage_next(p->storage, &c)))
        if (storage_holder_has(r, node))
            return true;
    return false;
}

static bool
is_asking(const struct peer *p)
{
    list_each(at, &p->links)
    {
        const struct link *l = list_entry(at, struct link, at);
        if (l->is_up && l->is_asked)
            return true;
    }
    return false;
}

/* ---- in turn ---- */

static bool
has_handed_over(const struct peer *p)
{
    return peer_replica_is_idle(p) && p->remark_ms == MOMENT_NEVER && !is_asking(p);
}

static void
say_goodbye(struct peer *p)
{
    p->is_goodbye = true;
    p->leave_ms = p->now.mono_ms + PEER_GOODBYE_MS;
    if (p->is_engaged)
        peer_ops(p)->leave(p->topology, p->now);
    p->is_engaged = false;
    p->is_in = false;
    storage_forget_holders(p->storage); /* what they do with it from now on we shall not hear */
}

void
peer_depart(struct peer *p, const char *reason)
{
    if (!p->is_engaged) {
        go_down(p, reason);
        return;
    }
    p->is_rejoining = false;
    peer_become(p, PEER_LEAVING, reason);
    p->is_goodbye = false;
    p->leave_ms = p->now.mono_ms + PEER_HAND_OVER_MS;
    if (!p->is_in) {
        say_goodbye(p);
        return;
    }
    storage_mark_all(p->storage);
    list_each(at, &p->links)
    {
        struct link *l = list_entry(at, struct link, at);
        if (l->is_up && is_holder(p, &l->node))
            peer_link_ask(p, l);
    }
}

void
peer_depart_to(struct peer *p, const struct id *through, const char *reason)
{
    p->is_rejoining = true;
    p->rejoin_through = *through;
    peer_become(p, PEER_LEAVING, reason);
    say_goodbye(p);
}

void
peer_depart_tick(struct peer *p)
{
    bool is_late = p->now.mono_ms >= p->leave_ms;

    if (p->state != PEER_LEAVING)
        return;
    if (!p->is_goodbye && (is_late || has_handed_over(p)))
        say_goodbye(p);
    else if (p->is_goodbye && (is_late || p->plugin_requests == 0)) {
        p->is_goodbye = false;
        go_down(p, p->is_rejoining ? "joins the other overlay" : "left");
    }
}

uint64_t
peer_depart_deadline_ms(const struct peer *p)
{
    if (p->state != PEER_LEAVING)
        return MOMENT_NEVER;
    if (p->is_goodbye ? p->plugin_requests == 0 : has_handed_over(p))
        return p->now.mono_ms;
    return p->leave_ms;
}
