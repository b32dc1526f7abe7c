/* Calls that change their gateway: those of another become ours, ours become another's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/sip/b2bua_call.h"

/* ---- another gateway's become ours ---- */

static char *
copy_text(struct slice text)
{
    return text.len > 0 ? strndup((const char *)text.data, text.len) : NULL;
}

/** The tag of a far end: it may have none (RFC 3261 section 12.1.2), and that is one, too. */
static char *
copy_tag(struct slice tag)
{
    return tag.len > 0 ? copy_text(tag) : strdup("");
}

/** Into one of the names of ours that have a fixed length. */
static bool
put_name(struct slice name, char *out, size_t out_bytes)
{
    return slice_to_text(name, out, out_bytes) == ST_OK;
}

/** The peer URI of a gateway that is or was one of ours; NULL where that is not known. */
static const char *
uri_of(const struct sip *s, const struct id *node)
{
    const struct bridge_gateway *g = sip_gateway_of(s, node);

    if (!g)
        g = sip_former_gateway(s, node, NULL);
    return g ? g->uri : NULL;
}

/** The gateway that had the calls. */
struct former {
    struct sip *sip;
    const char *uri; /* NULL where that is not known */
    bool is_alive;
};

/**
 * A phone that the other gateway served itself is reached through it while it lives, on the flow it
 * has there; it sends to us straight in any case, for no peer of the overlay is in its route set.
 */
static void
peer_of_leg(const struct call_record_leg *leg, const struct former *f, struct b2bua_peer *p)
{
    static const enum sip_side side[] = {SIP_PHONES, SIP_PEERS, SIP_GATEWAYS};
    char route[SIP_URI_BYTES + 8];

    p->side = side[leg->side];
    p->is_stream = leg->is_stream;
    p->is_phone = p->side == SIP_PHONES;
    p->target = copy_text(leg->target);
    p->route = copy_text(leg->route);
    p->next_hop = copy_text(leg->next_hop);
    p->known = copy_text(leg->known);
    if (p->is_phone && p->route)
        b2bua_way_take(f->sip, p, f->is_alive ? NULL : f->uri);
    if (!p->is_phone || p->route || p->tport || !f->is_alive || !f->uri)
        return;
    snprintf(route, sizeof(route), "<%s;lr>", f->uri);
    p->side = SIP_PEERS;
    p->route = strdup(route);
}

static void
end_of_leg(const struct call_record_leg *leg, struct b2bua_end *end)
{
    end->knows_update = leg->knows_update;
    end->sdp = leg->sdp.len > 0 ? malloc(leg->sdp.len) : NULL;
    if (!end->sdp)
        return;
    memcpy(end->sdp, leg->sdp.data, leg->sdp.len);
    end->sdp_len = leg->sdp.len;
}

/** The dialog towards the caller's end, under the tag that the other gateway gave it. */
static bool
make_dialog(struct b2bua_call *c, const struct call_record *record, const struct former *f)
{
    const struct call_record_leg *caller = &record->leg[CALL_CALLER];
    const struct call_record_leg *callee = &record->leg[CALL_CALLEE];
    struct b2bua_dialog *d = calloc(1, sizeof(*d));

    if (!d)
        return false;
    d->far_tag = copy_tag(callee->remote_tag);
    if (!d->far_tag || !put_name(caller->local_tag, d->our_tag, sizeof(d->our_tag)) ||
        !b2bua_dialog_put(c, d, true)) {
        free(d->far_tag);
        free(d);
        return false;
    }
    d->is_subscribed = record->is_subscription;
    peer_of_leg(callee, f, &d->peer);
    return d->peer.target != NULL;
}

static bool
fill(struct b2bua_call *c, const struct call_record *record, const struct former *f)
{
    const struct call_record_leg *caller = &record->leg[CALL_CALLER];
    const struct call_record_leg *callee = &record->leg[CALL_CALLEE];

    if (!put_name(record->token, c->token, sizeof(c->token)) ||
        !put_name(callee->call_id, c->callee_call_id, sizeof(c->callee_call_id)) ||
        !put_name(callee->local_tag, c->our_tag, sizeof(c->our_tag)) ||
        !put_name(caller->local_tag, c->answer_tag, sizeof(c->answer_tag)) ||
        map_put(c->b2bua->tags, slice_text(c->our_tag), &c->callee_key, NULL) != ST_OK ||
        (!record->is_subscription && !b2bua_place_new(c)))
        return false;
    c->first_tag = copy_tag(callee->remote_tag);
    c->from_uri = copy_text(record->from_uri);
    c->to_uri = copy_text(record->to_uri);
    c->far_overlay = copy_text(record->far_overlay);
    c->caller_call_id = copy_text(caller->call_id);
    c->caller_tag = copy_tag(caller->remote_tag);
    peer_of_leg(caller, f, &c->caller);
    if (!c->from_uri || !c->to_uri || !c->caller_call_id || !c->caller_tag || !c->caller.target)
        return false;
    for (unsigned i = 0; i < 2; i++) {
        c->cseq[i] = record->leg[i].cseq + B2BUA_CSEQ_STEP;
        c->peer_cseq[i] = record->leg[i].peer_cseq;
        end_of_leg(&record->leg[i], &c->end[i]);
    }
    c->session_s = record->session_s;
    c->refresher = record->refresher;
    for (unsigned i = 0; i < record->invites; i++) {
        const struct call_record_invite *from = &record->invite[i];
        struct b2bua_invite *invite = b2bua_invite_new(c, i, (enum call_leg)from->from);

        if (!invite)
            return false;
        invite->in_cseq = from->in_cseq;
        invite->out_cseq = from->out_cseq;
    }
    return make_dialog(c, record, f);
}

static struct b2bua_call *
make_call(struct b2bua *b, const struct call_record *record, const struct former *f)
{
    struct call_adopted how = {.is_subscription = record->is_subscription,
                               .lifetime_s = record->lifetime_s,
                               .invites = record->invites};
    struct b2bua_call *c = b2bua_call_alloc(b);

    if (!c)
        return NULL;
    for (unsigned i = 0; i < record->invites; i++) {
        how.invite[i].awaits_ack = record->invite[i].awaits_ack;
        how.invite[i].from = (enum call_leg)record->invite[i].from;
    }
    c->is_adopted = true;
    c->is_inward = record->is_inward;
    c->since_wall_ms = record->since_wall_ms;
    c->is_copied = true; /* the overlay thread has it among its own already */
    c->core = call_adopt(c->is_inward ? &b->inward : &b->outward, &b2bua_call_out, c,
                         sip_moment(b->sip), &how);
    if (c->core && !record->is_subscription)
        b->count++;
    if (!c->core || !fill(c, record, f)) {
        c->is_copied = false; /* the caller tells that it is over */
        b2bua_call_free(c);
        return NULL;
    }
    list_append(&b->calls, &c->link);
    return c;
}

/* ---- calls that ring ---- */

static bool
fill_early(struct b2bua_call *c, const struct call_record *record)
{
    const struct call_record_leg *caller = &record->leg[CALL_CALLER];
    const struct call_record_leg *callee = &record->leg[CALL_CALLEE];
    char *uri = copy_text(callee->target);
    struct b2bua_invite *invite = b2bua_invite_new(c, CALL_INITIAL, CALL_CALLER);
    bool is_noted;

    c->from_uri = copy_text(record->from_uri);
    c->to_uri = copy_text(record->to_uri);
    c->far_overlay = copy_text(record->far_overlay);
    c->caller_call_id = copy_text(caller->call_id);
    c->caller_tag = strndup((const char *)caller->remote_tag.data, caller->remote_tag.len);
    c->caller.target = copy_text(caller->target);
    c->first_tag = copy_text(callee->remote_tag);
    for (unsigned i = 0; i < 2; i++) {
        c->cseq[i] = record->leg[i].cseq + B2BUA_CSEQ_STEP;
        c->peer_cseq[i] = record->leg[i].peer_cseq;
    }
    c->initial_cseq = record->invite[0].out_cseq;
    c->is_sent = true;
    if (invite) {
        invite->in_cseq = record->invite[0].in_cseq;
        invite->out_cseq = record->invite[0].out_cseq;
    }
    is_noted = invite && uri && c->from_uri && c->to_uri && c->far_overlay && c->caller_call_id &&
               c->caller_tag && put_name(record->token, c->token, sizeof(c->token)) &&
               put_name(callee->call_id, c->callee_call_id, sizeof(c->callee_call_id)) &&
               put_name(callee->local_tag, c->our_tag, sizeof(c->our_tag)) &&
               put_name(caller->local_tag, c->answer_tag, sizeof(c->answer_tag)) &&
               map_put(c->b2bua->tags, slice_text(c->our_tag), &c->callee_key, NULL) == ST_OK &&
               b2bua_place_new(c) && b2bua_twin_note(c, uri) && b2bua_await_call(c);
    free(uri);
    return is_noted;
}

/** Its names are kept until its INVITE comes here: b2bua_twin.h. */
static struct b2bua_call *
adopt_early(struct b2bua *b, const struct call_record *record)
{
    struct b2bua_call *c = b2bua_call_alloc(b);

    if (!c)
        return NULL;
    c->is_adopted = true;
    c->is_inward = record->is_inward;
    c->since_wall_ms = record->since_wall_ms;
    c->core = call_new(CALL_SESSION, c->is_inward ? &b->inward : &b->outward, &b2bua_call_out, c,
                       sip_moment(b->sip));
    if (c->core)
        b->count++;
    if (!c->core || !fill_early(c, record)) {
        b2bua_call_free(c);
        return NULL;
    }
    c->is_early_copied = true; /* the overlay thread has it among its own already */
    list_append(&b->calls, &c->link);
    b2bua_call_hold(c);
    b2bua_call_release(c);
    return c;
}

struct b2bua_call *
b2bua_take_back_to_early(struct b2bua_call *c, const char *request_uri)
{
    struct b2bua *b = c->b2bua;
    const struct b2bua_dialog *d = b2bua_dialog_at(c, call_winner(c->core));
    const struct b2bua_invite *i = c->invite[CALL_INITIAL];
    struct call_record r = {.is_early = true,
                            .is_inward = c->is_inward,
                            .since_wall_ms = c->since_wall_ms,
                            .token = slice_text(c->token),
                            .from_uri = slice_text(c->from_uri),
                            .to_uri = slice_text(c->to_uri),
                            .far_overlay = slice_text(c->far_overlay ? c->far_overlay : ""),
                            .invites = 1};
    struct call_record read;
    struct b2bua_call *early = NULL;
    struct writer w;

    r.invite[0] = (struct call_record_invite){
        .awaits_ack = true, .from = CALL_CALLER, .in_cseq = i->in_cseq, .out_cseq = i->out_cseq};
    for (unsigned n = 0; n < 2; n++) {
        r.leg[n].cseq = c->cseq[n];
        r.leg[n].peer_cseq = c->peer_cseq[n];
    }
    r.leg[CALL_CALLER].call_id = slice_text(c->caller_call_id);
    r.leg[CALL_CALLER].local_tag = slice_text(d->our_tag);
    r.leg[CALL_CALLER].remote_tag = slice_text(c->caller_tag);
    r.leg[CALL_CALLER].target = slice_text(c->caller.target);
    r.leg[CALL_CALLEE].call_id = slice_text(c->callee_call_id);
    r.leg[CALL_CALLEE].local_tag = slice_text(c->our_tag);
    r.leg[CALL_CALLEE].target = slice_text(request_uri);
    r.leg[CALL_CALLEE].remote_tag = slice_text(d->far_tag);
    writer_init(&w, CALL_RECORD_BYTES_MAX);
    call_record_write(&w, &r);
    if (w.failed == ST_OK && call_record_read(writer_slice(&w), &read) == ST_OK) {
        c->is_released = true; /* its copies stay, and are of this one from now on */
        b2bua_call_free(c);
        early = adopt_early(b, &read);
        if (early)
            early->is_copied = true;
    }
    writer_done(&w);
    return early;
}

/** It was ours before the other gateway had it: it comes back with what it became there. */
static void
take_back(struct b2bua_call *c, const struct call_record *record)
{
    for (unsigned i = 0; i < 2; i++) {
        uint32_t cseq = record->leg[i].cseq + B2BUA_CSEQ_STEP;

        if (c->cseq[i] < cseq)
            c->cseq[i] = cseq;
    }
}

/** Of a subscription that was forked, another dialog, or one that is here already. */
static bool
take_dialog(struct b2bua_call *c, const struct call_record *record, const char *token,
            const struct former *f)
{
    char *tag = copy_tag(record->leg[CALL_CALLEE].remote_tag);
    bool is_made =
        tag && (b2bua_dialog_find(c, tag) != CALL_NO_DIALOG || make_dialog(c, record, f));
    struct b2bua_dialog *d = is_made ? b2bua_dialog_at(c, b2bua_dialog_find(c, tag)) : NULL;

    if (d && strcmp(token, c->our_tag) != 0)
        d->is_copied = true; /* the overlay thread has it among its own already */
    free(tag);
    return is_made;
}

static bool
adopt(struct b2bua *b, const char *token, struct slice bytes, const struct former *f)
{
    struct call_record record;
    struct b2bua_call *c;
    struct b2bua_key *key;
    enum status st = call_record_read(bytes, &record);

    if (st != ST_OK) {
        log_write(LOG_LEVEL_REMOTE, "sip", "a call to be taken over cannot be read: %s",
                  status_text(st));
        return false;
    }
    key = map_get(b->tags, record.leg[CALL_CALLEE].local_tag);
    c = key ? key->call : NULL;
    if (record.is_early && !c)
        return adopt_early(b, &record) != NULL;
    if (record.is_early) { /* it is here, and further */
        b2bua_tag_over(b, token);
        return true;
    }
    if (c && b2bua_twin_is_awaited(c)) { /* it is up at the other gateway */
        b2bua_call_free(c);
        c = NULL;
    }
    if (c && !slice_equal(slice_text(c->token), record.token))
        return false; /* another call of ours has its tag: 60 bits of chance */
    if (c)
        take_back(c, &record);
    else
        c = make_call(b, &record, f);
    if (!c || (record.is_subscription && !take_dialog(c, &record, token, f)))
        return false;
    b2bua_call_hold(c);
    if (!record.is_subscription) /* its refreshes and NOTIFYs say it */
        b2bua_refresh_start(c);
    b2bua_call_release(c);
    return true;
}

static void
adopt_all(struct b2bua *b, const struct bridge_message *m)
{
    const struct former former = {
        .sip = b->sip, .uri = uri_of(b->sip, &m->node), .is_alive = m->is_moved};
    char node[ID_TEXT_BYTES];
    size_t count = 0;

    for (size_t i = 0; i < m->count; i++) {
        if (adopt(b, m->record[i].token, bridge_record_bytes(m, i), &former))
            count++;
        else
            b2bua_tag_over(b, m->record[i].token);
    }
    log_write(count == m->count ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR, "sip",
              "%zu of %zu calls taken over from %s", count, m->count, id_text(&m->node, node));
}

/* ---- ours become another's ---- */

/** Does it reach a phone of this node's own without a peer between them?  Then it cannot ring
 * on by another gateway. */
static bool
is_bound_here(const struct b2bua_call *c)
{
    if (!c->irq || c->caller.is_phone)
        return true;
    for (unsigned i = 0; c->initial && i < c->initial->count; i++)
        if (c->initial->branch[i]->orq && c->initial->branch[i]->target.agent->side == SIP_PHONES)
            return true;
    return false;
}

/** It rings on by way of the gateway that has it: CANCEL would end it there, and so nobody hears
 * anything but who sent its INVITE. */
static void
forget_early(struct b2bua *b, const char *token)
{
    char tag[B2BUA_TAG_CHARS + 1];
    struct b2bua_key *key;
    struct b2bua_call *c;

    b2bua_early_tag(token, tag);
    key = b2bua_find(b, tag);
    c = key ? key->call : NULL;
    if (!c || key != &c->callee_key || c->is_released || c->holds > 0 ||
        call_state(c->core) >= CALL_CONFIRMED || is_bound_here(c))
        return;
    c->is_released = true;
    c->is_early_copied = false;
    nta_incoming_bind(c->irq, NULL, NULL);
    sip_reply(c->irq, 503, NULL, 0);
    b2bua_call_free(c);
}

static void
forget(struct b2bua *b, const char *tag)
{
    struct b2bua_key *key = b2bua_find(b, tag);
    struct b2bua_call *c = key ? key->call : NULL;

    if (!c || key != &c->callee_key || c->is_released)
        return;
    b2bua_call_hold(c);
    c->is_released = true;
    list_remove(&c->changed_link);
    b2bua_refresh_stop(c);
    map_remove(b->tags, slice_text(c->our_tag));
    for (uint8_t i = 0; i < c->dialog_count; i++)
        if (c->dialog[i] && b2bua_find(b, c->dialog[i]->our_tag) == &c->dialog[i]->key)
            map_remove(b->tags, slice_text(c->dialog[i]->our_tag));
    call_release(c->core, sip_moment(b->sip));
    b2bua_call_release(c);
}

void
b2bua_on_bridge(struct sip *s, const struct bridge_message *m)
{
    if (m->type == BRIDGE_ADOPT) {
        adopt_all(s->b2bua, m);
        return;
    }
    if (m->type == BRIDGE_COPIED) {
        b2bua_on_copied(s->b2bua, m);
        return;
    }
    for (size_t i = 0; i < m->count; i++)
        if (b2bua_is_early_token(m->record[i].token))
            forget_early(s->b2bua, m->record[i].token);
        else
            forget(s->b2bua, m->record[i].token);
    log_write(LOG_LEVEL_INFO, "sip", "%zu calls are another gateway's now", m->count);
}
