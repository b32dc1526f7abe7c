#include "gateway/sip/b2bua_hold.h"

#include "gateway/sip/b2bua_call.h"

static void on_timer(su_root_magic_t *magic, su_timer_t *timer, su_timer_arg_t *arg);

/** All are held for as long: the first is due first. */
static void
arm(struct b2bua *b)
{
    if (b->is_hold_armed || list_is_empty(&b->held))
        return;
    b->is_hold_armed =
        su_timer_set_interval(b->hold_timer, on_timer, (su_timer_arg_t *)(void *)b, 2) == 0;
}

bool
b2bua_hold(struct b2bua_call *c)
{
    struct b2bua *b = c->b2bua;

    if (call_kind(c->core) != CALL_SESSION || c->is_released || !b->sip->is_gateway ||
        !b->sip->agent[SIP_GATEWAYS].nta || !c->last || !list_is_empty(&c->held_link))
        return false;
    c->held_until_ms = sip_moment(b->sip).mono_ms + B2BUA_HOLD_MS;
    list_append(&b->held, &c->held_link);
    arm(b);
    return true;
}

void
b2bua_hold_end(struct b2bua_call *c)
{
    const struct b2bua_invite *i = c->invite[CALL_INITIAL];
    const struct b2bua_dialog *d = b2bua_dialog_at(c, c->last_dialog);

    if (list_is_empty(&c->held_link))
        return;
    list_remove(&c->held_link);
    if (i && i->irq && c->last)
        b2bua_pass_response(c, CALL_CALLER, c->last_dialog, i->irq, c->last,
                            d ? d->our_tag : c->answer_tag);
}

void
b2bua_on_copied(struct b2bua *b, const struct bridge_message *m)
{
    for (size_t i = 0; i < m->count; i++) {
        struct b2bua_key *key = b2bua_find(b, m->record[i].token);

        if (key && key == &key->call->callee_key)
            b2bua_hold_end(key->call);
    }
}

static void
on_timer(su_root_magic_t *magic, su_timer_t *timer, su_timer_arg_t *arg)
{
    struct b2bua *b = (struct b2bua *)(void *)arg;
    uint64_t now_ms = sip_moment(b->sip).mono_ms;

    (void)magic;
    (void)timer;
    b->is_hold_armed = false;
    while (!list_is_empty(&b->held)) {
        struct b2bua_call *c = list_entry(b->held.next, struct b2bua_call, held_link);

        if (c->held_until_ms > now_ms)
            break;
        b2bua_hold_end(c);
    }
    arm(b);
}

enum status
b2bua_hold_new(struct b2bua *b)
{
    list_init(&b->held);
    b->hold_timer = su_timer_create(su_root_task(b->sip->root), 2);
    return b->hold_timer ? ST_OK : ST_NOMEM;
}

void
b2bua_hold_free(struct b2bua *b)
{
    if (b->hold_timer)
        su_timer_destroy(b->hold_timer);
}
