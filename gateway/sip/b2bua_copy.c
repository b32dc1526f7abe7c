/* What the stand-bys have to know of a call: gathered here, told to the overlay thread in batches.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/sip/b2bua_call.h"

/* ---- what the ends say of themselves ---- */

static bool
is_sdp(const sip_t *sip)
{
    const sip_content_type_t *type = sip->sip_content_type;

    return type && type->c_type && strcasecmp(type->c_type, "application/sdp") == 0;
}

static void
learn_sdp(struct b2bua_end *end, const sip_payload_t *body)
{
    char *copy;

    if (end->sdp && end->sdp_len == body->pl_len &&
        memcmp(end->sdp, body->pl_data, body->pl_len) == 0)
        return;
    copy = malloc(body->pl_len);
    if (copy)
        memcpy(copy, body->pl_data, body->pl_len);
    free(end->sdp); /* an old one would be worse than none */
    end->sdp = copy;
    end->sdp_len = copy ? body->pl_len : 0;
}

void
b2bua_learn(struct b2bua_call *c, enum call_leg leg, const sip_t *sip)
{
    struct b2bua_end *end = &c->end[leg];

    if (call_kind(c->core) != CALL_SESSION)
        return;
    if (sip->sip_allow)
        end->knows_update = sip_is_allowed(sip->sip_allow, SIP_METHOD_UPDATE);
    if (sip->sip_payload && sip->sip_payload->pl_len > 0 && is_sdp(sip))
        learn_sdp(end, sip->sip_payload);
}

void
b2bua_learn_timer(struct b2bua_call *c, enum call_leg asked_by, const sip_t *sip)
{
    const sip_session_expires_t *x = sip->sip_session_expires;
    bool is_uas = x && x->x_refresher && strcasecmp(x->x_refresher, "uas") == 0;

    c->session_s = x ? (uint32_t)x->x_delta : 0;
    c->refresher = (uint8_t)(is_uas ? b2bua_other(asked_by) : asked_by);
}

/* ---- the record ---- */

static struct slice
text_of(const char *text)
{
    return slice_text(text ? text : "");
}

static void
leg_of_peer(struct sip *s, const struct b2bua_peer *p, char way[B2BUA_WAY_BYTES],
            struct call_record_leg *leg)
{
    leg->side = (uint8_t)(p->side == SIP_PHONES  ? CALL_SIDE_PHONES
                          : p->side == SIP_PEERS ? CALL_SIDE_PEERS
                                                 : CALL_SIDE_GATEWAYS);
    leg->is_stream = p->is_stream;
    leg->target = text_of(p->target);
    leg->route = text_of(p->route);
    leg->next_hop = text_of(p->next_hop);
    leg->known = text_of(p->known);
    b2bua_way_write(s, p, way);
    if (way[0])
        leg->route = text_of(way);
    if (p->is_phone) {
        leg->side = CALL_SIDE_PHONES;
        if (!p->is_by_flow) /* through the gateway it had before us: no way for a third */
            leg->route = text_of(way);
    }
}

static void
add_invites(const struct b2bua_call *c, struct call_record *record)
{
    for (unsigned n = 0; n < CALL_INVITES_MAX; n++) {
        const struct b2bua_invite *i = c->invite[n];
        enum call_invite state = call_invite_state(c->core, n);

        if (!i || i->is_own || state < CALL_INVITE_ANSWERED)
            continue;
        record->invite[record->invites++] =
            (struct call_record_invite){.awaits_ack = state == CALL_INVITE_ANSWERED,
                                        .from = i->from,
                                        .in_cseq = i->in_cseq,
                                        .out_cseq = i->out_cseq};
    }
}

void
b2bua_record(const struct b2bua_call *c, uint8_t dialog, char ways[2][B2BUA_WAY_BYTES],
             struct call_record *ret)
{
    struct sip *s = c->b2bua->sip;
    const struct b2bua_dialog *d = b2bua_dialog_at(c, dialog);
    struct call_record r = {.is_inward = c->is_inward,
                            .is_subscription = call_kind(c->core) == CALL_SUBSCRIPTION,
                            .refresher = c->refresher,
                            .session_s = c->session_s,
                            .lifetime_s = call_lifetime_s(c->core),
                            .since_wall_ms = c->since_wall_ms,
                            .token = text_of(c->token),
                            .from_uri = text_of(c->from_uri),
                            .to_uri = text_of(c->to_uri),
                            .far_overlay = text_of(c->far_overlay)};

    for (unsigned i = 0; i < 2; i++) {
        r.leg[i].cseq = c->cseq[i];
        r.leg[i].peer_cseq = c->peer_cseq[i];
        r.leg[i].knows_update = c->end[i].knows_update;
        r.leg[i].sdp = slice_of(c->end[i].sdp, c->end[i].sdp_len);
    }
    add_invites(c, &r);
    leg_of_peer(s, &c->caller, ways[CALL_CALLER], &r.leg[CALL_CALLER]);
    r.leg[CALL_CALLER].call_id = text_of(c->caller_call_id);
    r.leg[CALL_CALLER].local_tag = text_of(d->our_tag);
    r.leg[CALL_CALLER].remote_tag = text_of(c->caller_tag);
    leg_of_peer(s, &d->peer, ways[CALL_CALLEE], &r.leg[CALL_CALLEE]);
    r.leg[CALL_CALLEE].call_id = text_of(c->callee_call_id);
    r.leg[CALL_CALLEE].local_tag = text_of(c->our_tag);
    r.leg[CALL_CALLEE].remote_tag = text_of(d->far_tag);
    *ret = r;
}

/** Of a call that rings: what its INVITE is known by, and the names that it went on under. */
static void
record_early(const struct b2bua_call *c, struct call_record *ret)
{
    const struct b2bua_invite *i = c->invite[CALL_INITIAL];
    struct call_record r = {.is_early = true,
                            .is_inward = c->is_inward,
                            .since_wall_ms = c->since_wall_ms,
                            .token = text_of(c->token),
                            .from_uri = text_of(c->from_uri),
                            .to_uri = text_of(c->to_uri),
                            .far_overlay = text_of(c->far_overlay),
                            .invites = 1};

    r.invite[0] = (struct call_record_invite){
        .awaits_ack = true, .from = CALL_CALLER, .in_cseq = i->in_cseq, .out_cseq = i->out_cseq};
    for (unsigned n = 0; n < 2; n++) {
        r.leg[n].cseq = c->cseq[n];
        r.leg[n].peer_cseq = c->peer_cseq[n];
    }
    r.leg[CALL_CALLER].call_id = text_of(c->caller_call_id);
    r.leg[CALL_CALLER].local_tag = text_of(c->answer_tag);
    r.leg[CALL_CALLER].remote_tag = text_of(c->caller_tag);
    r.leg[CALL_CALLER].target = text_of(c->caller.target);
    r.leg[CALL_CALLEE].call_id = text_of(c->callee_call_id);
    r.leg[CALL_CALLEE].local_tag = text_of(c->our_tag);
    r.leg[CALL_CALLEE].target = text_of(c->request_uri);
    r.leg[CALL_CALLEE].remote_tag = text_of(c->first_tag);
    *ret = r;
}

/* ---- batches for the overlay thread ---- */

void
b2bua_early_token(const char *tag, char ret[B2BUA_TAG_CHARS + 1])
{
    size_t len = strnlen(tag, B2BUA_TAG_CHARS);

    for (size_t i = 0; i < len; i++)
        ret[i] = (char)(tag[i] <= '9' ? tag[i] - '0' + '!' : tag[i] - 'a' + 'A');
    ret[len] = '\0';
}

bool
b2bua_is_early_token(const char *token)
{
    return token[0] < '0' || (token[0] >= 'A' && token[0] <= 'Z');
}

void
b2bua_early_tag(const char *token, char ret[B2BUA_TAG_CHARS + 1])
{
    size_t len = strnlen(token, B2BUA_TAG_CHARS);

    for (size_t i = 0; i < len; i++)
        ret[i] = (char)(token[i] < '0' ? token[i] - '!' + '0' : token[i] - 'A' + 'a');
    ret[len] = '\0';
}

/** Does it ring, or may it, and can it go on elsewhere? */
static bool
is_early(const struct b2bua_call *c)
{
    return call_state(c->core) < CALL_CONFIRMED && c->is_sent && c->request_uri && c->far_overlay &&
           c->initial && !c->initial->is_to_place;
}

static void
early_over(struct b2bua_call *c)
{
    char token[B2BUA_TAG_CHARS + 1];

    if (!c->is_early_copied)
        return;
    c->is_early_copied = false;
    b2bua_early_token(c->our_tag, token);
    b2bua_tag_over(c->b2bua, token);
}

static void on_copy_timer(su_root_magic_t *magic, su_timer_t *timer, su_timer_arg_t *arg);

static void
arm_in(struct b2bua *b, uint32_t wait_ms)
{
    b->is_copy_armed = su_timer_set_interval(b->copy_timer, on_copy_timer,
                                             (su_timer_arg_t *)(void *)b, wait_ms) == 0;
}

static void
arm(struct b2bua *b)
{
    if (!b->is_copy_armed)
        arm_in(b, B2BUA_COPY_MS);
}

void
b2bua_changed(struct b2bua_call *c)
{
    struct b2bua *b = c->b2bua;

    if (call_state(c->core) == CALL_CONFIRMED)
        early_over(c);
    /* without a ring there is no gateway that could take it */
    if (c->is_released || call_kind(c->core) == CALL_SINGLE || !b->sip->agent[SIP_GATEWAYS].nta ||
        !list_is_empty(&c->changed_link))
        return;
    list_append(&b->changed, &c->changed_link);
    arm(b);
}

/** The record of a dialog beside the first is of no use any longer. */
static void
fork_over(struct b2bua_call *c, struct b2bua_dialog *d)
{
    if (!d || !d->is_copied)
        return;
    d->is_copied = false;
    if (!c->is_released)
        b2bua_tag_over(c->b2bua, d->our_tag);
}

void
b2bua_over(struct b2bua_call *c)
{
    list_remove(&c->changed_link);
    if (c->is_too_large)
        c->b2bua->too_large--;
    c->is_too_large = false;
    early_over(c);
    if (c->is_copied && !c->is_released)
        b2bua_tag_over(c->b2bua, c->our_tag);
    c->is_copied = false;
    for (uint8_t i = 0; i < c->dialog_count; i++)
        fork_over(c, b2bua_dialog_at(c, i));
}

size_t
b2bua_not_replicated(const struct sip *s)
{
    return s->b2bua->too_large;
}

void
b2bua_tag_over(struct b2bua *b, const char *tag)
{
    struct b2bua_tag_list *over = &b->over;

    if (over->count == over->cap) {
        size_t cap = over->cap ? over->cap * 2 : 64;
        void *grown = realloc(over->tag, cap * sizeof(*over->tag));

        if (!grown)
            return; /* the stand-bys forget it when this node's stream ends */
        over->tag = grown;
        over->cap = cap;
    }
    snprintf(over->tag[over->count++], sizeof(over->tag[0]), "%s", tag);
    arm(b);
}

static void
tell_size(struct b2bua_call *c)
{
    struct b2bua *b = c->b2bua;
    uint64_t now_ms = sip_moment(b->sip).mono_ms;

    if (b->too_large_ms > 0 && now_ms - b->too_large_ms < B2BUA_TOO_LARGE_MS)
        return; /* many such calls do not fill the log: the metric counts them */
    b->too_large_ms = now_ms;
    log_write(LOG_LEVEL_WARN, "sip", "%s: call too large to be replicated: not within %d bytes",
              c->token, CALL_RECORD_BYTES_MAX);
}

/** Does its record fit?  What the stand-bys had of a call that outgrew the limit would be wrong. */
static void
note_size(struct b2bua_call *c, bool is_too_large)
{
    struct b2bua *b = c->b2bua;

    if (c->is_too_large == is_too_large)
        return;
    c->is_too_large = is_too_large;
    if (!is_too_large) {
        b->too_large--;
        return;
    }
    b->too_large++;
    if (c->is_copied)
        b2bua_tag_over(b, c->our_tag);
    c->is_copied = false;
    tell_size(c);
}

/** A record behind those of the others.  Returns: ST_NOMEM; another failure where it is too long.
 */
static enum status
add_record(struct bridge_message *m, struct writer *all, struct writer *one,
           const struct call_record *record, const char *token)
{
    struct bridge_record *r = &m->record[m->count];
    size_t at = all->len;

    writer_reset(one);
    call_record_write(one, record);
    if (one->failed)
        return one->failed;
    writer_bytes(all, writer_slice(one));
    if (all->failed)
        return ST_NOMEM;
    snprintf(r->token, sizeof(r->token), "%s", token);
    r->record_at = at;
    r->record_len = all->len - at;
    r->is_awaited = false;
    m->count++;
    return ST_OK;
}

/** A call's record; one that is too long stays uncopied.  Returns: false without memory. */
static bool
add_call(struct bridge_message *m, struct writer *all, struct writer *one, struct b2bua_call *c)
{
    char ways[2][B2BUA_WAY_BYTES];
    char token[B2BUA_TAG_CHARS + 1];
    struct call_record record;
    bool rings = call_state(c->core) < CALL_CONFIRMED;
    enum status st;

    memcpy(token, c->our_tag, sizeof(token));
    if (rings) {
        record_early(c, &record);
        b2bua_early_token(c->our_tag, token);
    } else {
        b2bua_record(c, call_winner(c->core), ways, &record);
    }
    st = add_record(m, all, one, &record, token);
    if (st == ST_NOMEM)
        return false;
    if (!rings)
        note_size(c, st != ST_OK);
    if (st)
        return true;
    m->record[m->count - 1].is_awaited = !list_is_empty(&c->held_link);
    c->is_copied = c->is_copied || !rings;
    c->is_early_copied = c->is_early_copied || rings;
    return true;
}

/** Of a subscription that was forked, the other dialogs: under our tag in each.  Returns: false
 * without memory, or room. */
static bool
add_forks(struct bridge_message *m, struct writer *all, struct writer *one, struct b2bua_call *c)
{
    char ways[2][B2BUA_WAY_BYTES];
    struct call_record record;

    for (uint8_t i = 0; c->is_copied && i < c->dialog_count; i++) {
        struct b2bua_dialog *d = c->dialog[i];
        enum status st;

        if (!d || i == call_winner(c->core) || !d->is_subscribed)
            continue;
        if (d->is_over) {
            fork_over(c, d);
            continue;
        }
        if (m->count >= B2BUA_COPIES_MAX || all->len >= B2BUA_COPIES_BYTES)
            return false;
        b2bua_record(c, i, ways, &record);
        st = add_record(m, all, one, &record, d->our_tag);
        if (st == ST_NOMEM)
            return false;
        d->is_copied = d->is_copied || st == ST_OK;
    }
    return true;
}

static void
add_over(struct b2bua *b, struct bridge_message *m)
{
    while (b->over.count > 0 && m->count < B2BUA_COPIES_MAX) {
        b->over.count--;
        memcpy(m->record[m->count++].token, b->over.tag[b->over.count], sizeof(b->over.tag[0]));
    }
}

static void
add_changed(struct b2bua *b, struct bridge_message *m, struct writer *all)
{
    bool has_memory = true;
    struct writer one;

    writer_init(&one, CALL_RECORD_BYTES_MAX);
    while (has_memory && !list_is_empty(&b->changed) && m->count < B2BUA_COPIES_MAX &&
           all->len < B2BUA_COPIES_BYTES) {
        struct b2bua_call *c = list_entry(b->changed.next, struct b2bua_call, changed_link);

        list_remove(&c->changed_link);
        if (!is_early(c) &&
            (call_state(c->core) != CALL_CONFIRMED || !b2bua_dialog_at(c, call_winner(c->core))))
            continue;
        has_memory = add_call(m, all, &one, c) && add_forks(m, all, &one, c);
        if (!has_memory)
            list_append(&b->changed, &c->changed_link); /* the next time, then */
    }
    writer_done(&one);
}

static void
copy_now(struct b2bua *b)
{
    struct bridge_message *m =
        bridge_new(BRIDGE_CALLS, 0, B2BUA_COPIES_MAX, sizeof(struct bridge_record));
    struct writer all;

    su_timer_reset(b->copy_timer);
    b->is_copy_armed = false;
    b->copied_ms = sip_moment(b->sip).mono_ms;
    if (m) {
        m->count = 0;
        writer_init(&all, B2BUA_COPIES_BYTES + CALL_RECORD_BYTES_MAX);
        add_over(b, m);
        add_changed(b, m, &all);
        m->bytes = all.data; /* the message's from now on */
        m->bytes_len = all.len;
        if (m->count > 0)
            b->sip->upward.post(b->sip->upward.ctx, m);
        else
            bridge_free(m);
    }
    if (!list_is_empty(&b->changed) || b->over.count > 0)
        arm(b);
}

static void
on_copy_timer(su_root_magic_t *magic, su_timer_t *timer, su_timer_arg_t *arg)
{
    struct b2bua *b = (struct b2bua *)(void *)arg;

    (void)magic;
    (void)timer;
    copy_now(b);
}

void
b2bua_copy_soon(struct b2bua *b)
{
    uint64_t since_ms = sip_moment(b->sip).mono_ms - b->copied_ms;

    if (since_ms >= B2BUA_COPY_MS)
        copy_now(b);
    else
        arm_in(b, (uint32_t)(B2BUA_COPY_MS - since_ms));
}

enum status
b2bua_copy_new(struct b2bua *b)
{
    list_init(&b->changed);
    b->copy_timer = su_timer_create(su_root_task(b->sip->root), B2BUA_COPY_MS);
    return b->copy_timer ? ST_OK : ST_NOMEM;
}

void
b2bua_copy_free(struct b2bua *b)
{
    if (b->copy_timer)
        su_timer_destroy(b->copy_timer);
    free(b->over.tag);
}
