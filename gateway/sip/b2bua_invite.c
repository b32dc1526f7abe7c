/* The INVITEs of a call: whose ACK is whose, and what becomes of a 2xx that is repeated. */
#include <stdlib.h>
#include <string.h>

#include "gateway/sip/b2bua_call.h"
#include "gateway/sip/fence.h"

struct b2bua_invite *
b2bua_invite_new(struct b2bua_call *c, unsigned number, enum call_leg from)
{
    b2bua_invite_drop(c, number);
    c->invite[number] = calloc(1, sizeof(*c->invite[number]));
    if (c->invite[number])
        c->invite[number]->from = (uint8_t)from;
    return c->invite[number];
}

void
b2bua_invite_drop(struct b2bua_call *c, unsigned number)
{
    struct b2bua_invite *i = c->invite[number];

    if (!i)
        return;
    c->invite[number] = NULL;
    if (i->irq)
        nta_incoming_destroy(i->irq);
    msg_destroy(i->ack);
    free(i);
}

void
b2bua_invite_answered(struct b2bua_call *c, unsigned number, nta_incoming_t *irq)
{
    struct b2bua_invite *i = c->invite[number];

    if (!i || i->irq)
        nta_incoming_destroy(irq);
    else
        i->irq = irq;
}

unsigned
b2bua_invite_sent_by(const struct b2bua_call *c, enum call_leg leg, uint32_t cseq)
{
    for (unsigned n = 0; n < CALL_INVITES_MAX; n++) {
        const struct b2bua_invite *i = c->invite[n];

        if (i && i->from == leg && !i->is_own && i->in_cseq == cseq)
            return n;
    }
    return CALL_INVITES_MAX;
}

unsigned
b2bua_invite_sent_to(const struct b2bua_call *c, enum call_leg leg, uint32_t cseq)
{
    for (unsigned n = 0; n < CALL_INVITES_MAX; n++) {
        const struct b2bua_invite *i = c->invite[n];

        if (i && i->from != leg && i->out_cseq == cseq)
            return n;
    }
    return CALL_INVITES_MAX;
}

/* ---- ACK ---- */

static void
send_ack(struct b2bua_call *c, enum call_leg leg, uint8_t dialog, msg_t *msg)
{
    struct sip_target target;

    if (!msg)
        return;
    b2bua_peer_target(c->b2bua, b2bua_peer_of(c, leg, dialog), &target);
    sip_send_stateless(c->b2bua->sip, &target, msg);
}

void
b2bua_acknowledge(struct b2bua_call *c, unsigned number)
{
    const sip_t *sip = c->in_hand ? sip_object(c->in_hand) : NULL;
    bool is_ack = sip && sip->sip_request && sip->sip_request->rq_method == sip_method_ack;
    struct b2bua_invite *i = c->invite[number];
    uint8_t dialog = call_winner(c->core);
    enum call_leg leg;

    if (!i)
        return;
    leg = b2bua_other((enum call_leg)i->from);
    if (!b2bua_peer_of(c, leg, dialog))
        return;
    if (is_ack)
        send_ack(c, leg, dialog, b2bua_dialog_request(c, leg, dialog, c->in_hand, i->out_cseq));
    else if (i->ack)
        send_ack(c, leg, dialog, b2bua_dialog_request(c, leg, dialog, i->ack, i->out_cseq));
    else
        send_ack(c, leg, dialog, b2bua_own_request(c, leg, dialog, sip_method_ack, i->out_cseq));
    if (is_ack && sip->sip_payload && !i->ack)
        i->ack = msg_ref_create(c->in_hand); /* the answer to a late offer */
}

void
b2bua_acknowledge_dialog(struct b2bua_call *c, uint8_t dialog)
{
    send_ack(c, CALL_CALLEE, dialog,
             b2bua_own_request(c, CALL_CALLEE, dialog, sip_method_ack, c->initial_cseq));
}

bool
b2bua_on_ack(struct sip *s, msg_t *msg, const sip_t *sip, const struct sip_sender *sender)
{
    struct b2bua_key *key = b2bua_find(s->b2bua, sip->sip_to->a_tag);
    struct b2bua_call *c = key ? key->call : NULL;
    unsigned number;

    (void)sender;
    if (!c)
        return false;
    number = b2bua_invite_sent_by(c, key->leg, sip->sip_cseq->cs_seq);
    if (number < CALL_INVITES_MAX &&
        (key->leg == CALL_CALLEE || key->dialog == call_winner(c->core))) {
        b2bua_call_hold(c);
        c->in_hand = msg;
        b2bua_learn(c, key->leg, sip); /* the answer to a late offer */
        call_on_ack(c->core, sip_moment(s), number);
        c->in_hand = NULL;
        if (c->invite[number]->irq && call_invite_state(c->core, number) != CALL_INVITE_ANSWERED) {
            nta_incoming_destroy(c->invite[number]->irq);
            c->invite[number]->irq = NULL;
        }
        b2bua_call_release(c);
    }
    msg_destroy(msg);
    return true;
}

/* ---- repeated 2xx ---- */

void
b2bua_invite_again(struct b2bua_call *c, enum call_leg leg, uint32_t cseq)
{
    unsigned number = b2bua_invite_sent_to(c, leg, cseq);
    uint8_t dialog = call_winner(c->core);

    if (number == CALL_INVITES_MAX)
        return;
    if (call_on_answered_again(c->core, sip_moment(c->b2bua->sip), number) == CALL_PASS &&
        c->invite[number]->irq)
        b2bua_pass_response(c, b2bua_other(leg), dialog, c->invite[number]->irq, c->in_hand,
                            b2bua_dialog_at(c, dialog)->our_tag);
}

/** A 2xx of a phone that rang behind the same target, after its transaction had gone. */
static void
refuse_late(struct b2bua_call *c, const sip_t *sip, const struct sip_sender *sender)
{
    struct call_response r = {.status = 200,
                              .dialog = b2bua_dialog_of(c, sip->sip_to->a_tag, true)};
    struct b2bua_peer *p = b2bua_peer_of(c, CALL_CALLEE, r.dialog);

    if (!p)
        return;
    p->side = sender->side;
    b2bua_peer_from_response(c->b2bua->sip, p, sip, true);
    call_on_response(c->core, sip_moment(c->b2bua->sip), CALL_BRANCHES_MAX, &r);
}

bool
b2bua_on_response(struct sip *s, msg_t *msg, const sip_t *sip, const struct sip_sender *sender)
{
    struct b2bua_key *key = b2bua_find(s->b2bua, sip->sip_from->a_tag);
    struct b2bua_call *c = key ? key->call : NULL;
    uint32_t cseq = sip->sip_cseq->cs_seq;
    uint8_t dialog;

    if (!c)
        return false;
    if (fence_stands(s) || /* it will be repeated */
        sip->sip_status->st_status / 100 != 2 || sip->sip_cseq->cs_method != sip_method_invite ||
        (sender->side == SIP_GATEWAYS &&
         (!c->far_overlay || strcasecmp(sender->overlay, c->far_overlay) != 0))) {
        msg_destroy(msg);
        return true;
    }
    dialog = key->leg == CALL_CALLER ? key->dialog : b2bua_dialog_find(c, sip->sip_to->a_tag);
    b2bua_call_hold(c);
    c->in_hand = msg;
    if (dialog != CALL_NO_DIALOG && dialog == call_winner(c->core))
        b2bua_invite_again(c, key->leg, cseq);
    else if (key->leg == CALL_CALLEE && cseq == c->initial_cseq)
        refuse_late(c, sip, sender);
    c->in_hand = NULL;
    b2bua_call_release(c);
    msg_destroy(msg);
    return true;
}
