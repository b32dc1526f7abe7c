/* Requests that our own gateway leaves without a word for longer than a hop takes: a doubt, which
 * the overlay looks into at once (election.h, ELECTION_DOUBT). */
#include "gateway/sip/forward.h"

#define OVERDUE_MS 20

static void
on_timer(su_root_magic_t *magic, su_timer_t *timer, su_timer_arg_t *arg)
{
    struct proxy *p = (struct proxy *)arg;
    uint64_t now_ms = sip_moment(p->sip).mono_ms;

    (void)magic;
    (void)timer;
    p->is_overdue_armed = false;
    if (list_is_empty(&p->gateway_watch))
        return;
    struct branch *oldest = list_entry(p->gateway_watch.next, struct branch, watch);
    uint64_t waiting_ms = now_ms - oldest->sent_ms;
    if (waiting_ms >= OVERDUE_MS &&
        !(id_equal(&p->heard, &oldest->gateway) && p->heard_ms >= oldest->sent_ms))
        ask_overdue(p->sip, &oldest->gateway, (uint32_t)waiting_ms);
    overdue_arm(p);
}

void
overdue_arm(struct proxy *p)
{
    if (p->is_overdue_armed)
        return;
    p->is_overdue_armed = true;
    su_timer_set_interval(p->overdue_timer, on_timer, (su_timer_arg_t *)p, OVERDUE_MS);
}

void
overdue_heard(const struct branch *b)
{
    struct proxy *p = b->forward->proxy;

    if (b->to != BRANCH_TO_GATEWAY)
        return;
    p->heard = b->gateway;
    p->heard_ms = sip_moment(p->sip).mono_ms;
}
