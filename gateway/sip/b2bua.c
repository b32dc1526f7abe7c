#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/sip/b2bua_call.h"
#include "gateway/sip/fence.h"
#include "gateway/sip/refused.h"
#include "gateway/sip/resend.h"

#define TAGS_OF_A_CALL   4 /* on average at most: ours, and the early dialogs' */
#define PLACES_OF_A_CALL 4 /* its own, and those of calls that ended 32 s ago */
#define ACK_MS           32000
#define ENDING_MS        40000
#define SEARCH_PAUSE_MS  400
#define RESCUE_MS        4000 /* a gateway that is lost has a successor by then */
#define RESCUE_PAUSE_MS  100
#define SEARCH_SLACK_MS  1000 /* ask.h gives up by itself */

/* ---- calls by their deadline ---- */

static void
arm(struct b2bua_call *c)
{
    struct b2bua *b = c->b2bua;
    uint64_t deadline_ms = call_deadline_ms(c->core);
    uint64_t at;

    list_remove(&c->slot_link);
    if (deadline_ms == MOMENT_NEVER)
        return;
    at = deadline_ms / B2BUA_SLOT_MS + 1;
    if (at <= b->slot_at)
        at = b->slot_at + 1;
    if (at - b->slot_at >= B2BUA_SLOTS)
        at = b->slot_at + B2BUA_SLOTS - 1; /* looked at again when the slot is served */
    list_append(&b->slot[at % B2BUA_SLOTS], &c->slot_link);
}

static void
serve_slot(struct b2bua *b, struct list_node *slot, struct moment now)
{
    struct list_node due;

    list_init(&due);
    list_each(at, slot)
    {
        list_remove(at);
        list_append(&due, at);
    }
    while (!list_is_empty(&due)) {
        struct b2bua_call *c = list_entry(due.next, struct b2bua_call, slot_link);

        list_remove(&c->slot_link);
        b2bua_call_hold(c);
        if (call_deadline_ms(c->core) <= now.mono_ms)
            call_tick(c->core, now);
        b2bua_call_release(c);
    }
    (void)b;
}

void
b2bua_trying_start(struct b2bua *b, struct b2bua_trying *t, nta_incoming_t **irq,
                   const struct sip_sender *sender)
{
    t->irq = irq;
    if (sender->side != SIP_PHONES)
        list_append(&b->untold, &t->link);
}

static void
tell_trying(struct b2bua *b)
{
    while (!list_is_empty(&b->untold)) {
        struct b2bua_trying *t = list_entry(b->untold.next, struct b2bua_trying, link);

        list_remove(&t->link);
        if (*t->irq)
            sip_reply(*t->irq, 100, NULL, 0);
    }
}

static void
on_timer(su_root_magic_t *magic, su_timer_t *timer, su_timer_arg_t *arg)
{
    struct b2bua *b = (struct b2bua *)(void *)arg;
    struct moment now = sip_moment(b->sip);
    uint64_t until = now.mono_ms / B2BUA_SLOT_MS;

    (void)magic;
    (void)timer;
    if (fence_is_up(b->sip))
        return; /* deadlines passed while the thread stood still */
    tell_trying(b);
    b2bua_upstream_tick(b, now.mono_ms);
    b2bua_looks_tick(b, now.mono_ms);
    b2bua_chases_tick(b, now.mono_ms);
    b2bua_await_tick(b, now.mono_ms);
    b2bua_exchange_tick(b, now.mono_ms);
    b2bua_bye_tick(b, now.mono_ms);
    b2bua_place_tick(b, now.mono_ms);
    if (until > b->slot_at + B2BUA_SLOTS)
        b->slot_at = until - B2BUA_SLOTS;
    while (b->slot_at < until) {
        b->slot_at++;
        serve_slot(b, &b->slot[b->slot_at % B2BUA_SLOTS], now);
    }
}

/* ---- one call ---- */

void
b2bua_call_free(struct b2bua_call *c)
{
    struct b2bua *b = c->b2bua;

    b2bua_over(c);
    b2bua_place_outlive(c);
    b2bua_refresh_free(c);
    b2bua_await_forget(c);
    b2bua_twin_forget(c);
    b2bua_twin_drop(c);
    b2bua_upstream_free(c);
    list_remove(&c->held_link);
    list_remove(&c->link);
    list_remove(&c->slot_link);
    list_remove(&c->trying.link);
    if (c->core && call_kind(c->core) == CALL_SESSION)
        b->count--;
    if (c->is_unacknowledged)
        b->unacknowledged--;
    for (size_t i = 0; i < CALL_EXCHANGES_MAX; i++)
        b2bua_exchange_free(c->exchange[i]);
    b2bua_initial_free(c);
    for (uint8_t i = 0; i < c->dialog_count; i++)
        b2bua_dialog_drop(c, i);
    free(c->dialog);
    if (c->our_tag[0] && map_get(b->tags, slice_text(c->our_tag)) == &c->callee_key)
        map_remove(b->tags, slice_text(c->our_tag));
    b2bua_peer_done(&c->caller);
    if (c->irq)
        nta_incoming_destroy(c->irq);
    msg_destroy(c->off);
    for (unsigned i = 0; i < CALL_INVITES_MAX; i++)
        b2bua_invite_drop(c, i);
    free(c->end[CALL_CALLER].sdp);
    free(c->end[CALL_CALLEE].sdp);
    call_free(c->core);
    free(c->from_uri);
    free(c->to_uri);
    free(c->far_overlay);
    free(c->caller_call_id);
    free(c->caller_tag);
    free(c->first_tag);
    free(c->refers);
    free(c);
}

void
b2bua_call_hold(struct b2bua_call *c)
{
    c->holds++;
}

/** Early dialogs that lost, and the initial request, are of no use to a call that is up. */
static void
trim(struct b2bua_call *c)
{
    uint8_t winner = call_winner(c->core);
    /* what other phones respond to a SUBSCRIBE says how they are reached */
    bool is_forked = call_kind(c->core) == CALL_SUBSCRIPTION;

    if (c->initial && call_state(c->core) >= CALL_CONFIRMED &&
        (b2bua_initial_is_idle(c) || (call_is_initial_over(c->core) && !is_forked)))
        b2bua_initial_free(c);
    if (call_state(c->core) != CALL_CONFIRMED || c->initial)
        return;
    for (uint8_t i = 0; i < c->dialog_count; i++)
        if (i != winner && c->dialog[i] && !c->dialog[i]->is_subscribed)
            b2bua_dialog_drop(c, i);
}

void
b2bua_call_release(struct b2bua_call *c)
{
    struct b2bua *b = c->b2bua;

    if (c->holds > 1) {
        c->holds--;
        return;
    }
    while (c->initial && c->initial->wants_search && call_state(c->core) == CALL_SEARCHING)
        b2bua_initial_start(c);
    c->holds--;
    if (call_state(c->core) == CALL_ENDED) {
        b2bua_call_free(c);
        return;
    }
    if (c->is_unacknowledged != call_awaits_ack(c->core)) {
        c->is_unacknowledged = !c->is_unacknowledged;
        b->unacknowledged += c->is_unacknowledged ? 1 : (size_t)-1;
    }
    trim(c);
    arm(c);
}

/** It rings, by way of a gateway before us, and nobody there has heard of this one yet: whom the
 * INVITE reaches first gets the CANCEL after it (RFC 3261 section 9.1). */
static bool
is_ringing_elsewhere(const struct b2bua_call *c)
{
    if (!c->is_adopted || !c->initial || call_state(c->core) >= CALL_EARLY)
        return false;
    for (unsigned i = 0; i < c->initial->count; i++)
        if (c->initial->branch[i]->is_heard)
            return false;
    return true;
}

void
b2bua_call_off(struct b2bua_call *c)
{
    msg_t *cause = c->off;

    if (!c->is_off)
        return;
    c->is_off = false;
    c->off = NULL;
    c->in_hand = cause;
    call_on_cancel(c->core, sip_moment(c->b2bua->sip));
    c->in_hand = NULL;
    msg_destroy(cause);
}

int
b2bua_on_cancel(nta_incoming_magic_t *magic, nta_incoming_t *irq, const sip_t *sip)
{
    struct b2bua_call *c = (struct b2bua_call *)(void *)magic;

    if (!sip || sip->sip_request->rq_method != sip_method_cancel)
        return 0;
    b2bua_call_hold(c);
    msg_destroy(c->off);
    c->off = nta_incoming_getrequest_ackcancel(irq);
    c->is_off = true;
    if (!is_ringing_elsewhere(c))
        b2bua_call_off(c);
    b2bua_call_release(c);
    return 0;
}

static enum call_kind
kind_of(sip_method_t method)
{
    if (method == sip_method_invite)
        return CALL_SESSION;
    if (method == sip_method_subscribe || method == sip_method_refer)
        return CALL_SUBSCRIPTION;
    return CALL_SINGLE;
}

/** It may come once more, by another way; and who sent it may be lost. */
static bool
note_invite(struct b2bua_call *c, const sip_t *sip, const struct sip_sender *sender)
{
    struct b2bua_invite *invite = b2bua_invite_new(c, CALL_INITIAL, CALL_CALLER);
    char *uri = b2bua_text_of_url(sip->sip_request->rq_url);
    bool is_noted = invite && uri && b2bua_twin_note(c, uri);

    free(uri);
    if (!is_noted)
        return false;
    invite->in_cseq = invite->out_cseq = c->initial_cseq;
    b2bua_upstream_note(c, sender);
    return true;
}

static bool
fill_call(struct b2bua_call *c, const sip_t *sip, const struct sip_sender *sender)
{
    struct b2bua *b = c->b2bua;

    c->from_uri = b2bua_text_of_url(sip->sip_from->a_url);
    c->to_uri = b2bua_text_of_url(sip->sip_to->a_url);
    c->caller_call_id = strdup(sip->sip_call_id->i_id);
    c->caller_tag = strdup(sip->sip_from->a_tag ? sip->sip_from->a_tag : "");
    if (sender->side == SIP_GATEWAYS)
        c->far_overlay = strdup(sender->overlay);
    if (!c->from_uri || !c->to_uri || !c->caller_call_id || !c->caller_tag ||
        (sender->side == SIP_GATEWAYS && !c->far_overlay))
        return false;
    b2bua_name_call(c, sip);
    if (call_kind(c->core) == CALL_SESSION && (!b2bua_place_new(c) || !b2bua_await_call(c)))
        return false;
    b2bua_peer_from_request(c->b2bua->sip, &c->caller, sip, sender);
    c->peer_cseq[CALL_CALLER] = sip->sip_cseq->cs_seq;
    c->cseq[CALL_CALLEE] = sip->sip_cseq->cs_seq;
    c->initial_cseq = sip->sip_cseq->cs_seq;
    if (call_kind(c->core) == CALL_SESSION && !note_invite(c, sip, sender))
        return false;
    return map_put(b->tags, slice_text(c->our_tag), &c->callee_key, NULL) == ST_OK;
}

struct b2bua_call *
b2bua_call_alloc(struct b2bua *b)
{
    struct b2bua_call *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->b2bua = b;
    c->callee_key = (struct b2bua_key){.call = c, .leg = CALL_CALLEE, .dialog = CALL_NO_DIALOG};
    list_init(&c->slot_link);
    list_init(&c->link);
    list_init(&c->trying.link);
    list_init(&c->changed_link);
    list_init(&c->held_link);
    list_init(&c->upstream.link);
    list_init(&c->upstream.ask.link);
    return c;
}

static struct b2bua_call *
new_call(struct b2bua *b, nta_incoming_t *irq, const sip_t *sip, const struct sip_sender *sender)
{
    struct moment now = sip_moment(b->sip);
    enum call_kind kind = kind_of(sip->sip_request->rq_method);
    struct b2bua_call *c = b2bua_call_alloc(b);

    if (!c)
        return NULL;
    c->irq = irq;
    c->is_inward = sender->side == SIP_GATEWAYS;
    c->since_wall_ms = now.wall_ms;
    c->core = call_new(kind, c->is_inward ? &b->inward : &b->outward, &b2bua_call_out, c, now);
    if (c->core && kind == CALL_SESSION)
        b->count++;
    if (!c->core || !fill_call(c, sip, sender) || !b2bua_initial_new(c, sip, sender)) {
        c->irq = NULL; /* answered by whoever asked for the call */
        b2bua_call_free(c);
        return NULL;
    }
    b2bua_learn(c, CALL_CALLER, sip);
    nta_incoming_tag(irq, c->answer_tag);
    if (kind == CALL_SESSION)
        nta_incoming_bind(irq, b2bua_on_cancel, (nta_incoming_magic_t *)(void *)c);
    list_append(&b->calls, &c->link);
    return c;
}

/* ---- what comes in ---- */

void
b2bua_learn_ports(struct b2bua *b)
{
    if (b->has_ports)
        return;
    for (unsigned side = 0; side < SIP_SIDES; side++) {
        const struct sip_agent *agent = &b->sip->agent[side];
        const char *port = agent->host[0] ? strstr(agent->uri, agent->host) : NULL;

        if (!port)
            continue;
        port += strlen(agent->host);
        if (port[0] == ':')
            snprintf(b->port[side], sizeof(b->port[side]), "%.*s",
                     (int)strspn(port + 1, "0123456789"), port + 1);
    }
    b->has_ports = true;
}

static int
admit(const struct b2bua *b, const sip_t *sip, const char **ret_phrase)
{
    const struct sip_limits *limits = &b->sip->conf.limits;
    int status = b2bua_check_initial(sip, ret_phrase);

    if (status)
        return status;
    switch (sip->sip_request->rq_method) {
    case sip_method_bye:
    case sip_method_prack:
    case sip_method_update:
        return 481; /* means nothing outside a dialog */
    case sip_method_invite:
        return b->sip->is_stopping || b->count >= limits->calls ||
                       b->unacknowledged >= limits->unacknowledged
                   ? 503
                   : 0;
    default:
        return map_count(b->tags) >= limits->calls * (size_t)TAGS_OF_A_CALL ? 503 : 0;
    }
}

static void
start_call(struct b2bua *b, nta_incoming_t *irq, const sip_t *sip, const struct sip_sender *sender)
{
    struct b2bua_call *c = NULL;
    const char *phrase = NULL;
    int status = admit(b, sip, &phrase);

    b2bua_learn_ports(b);
    if (status == 0)
        c = new_call(b, irq, sip, sender);
    if (!c) {
        if (status == 0)
            status = 503;
        sip_reply(irq, status, phrase, status == 503 ? SIP_RETRY_AFTER_S : 0);
        nta_incoming_destroy(irq);
        return;
    }
    if (call_kind(c->core) == CALL_SESSION && sender->side == SIP_PHONES)
        sip_reply(irq, 100, NULL, 0);
    else
        b2bua_trying_start(b, &c->trying, &c->irq, sender);
    b2bua_call_hold(c);
    b2bua_initial_start(c);
    b2bua_call_release(c);
}

struct b2bua_key *
b2bua_find(struct b2bua *b, const char *tag)
{
    return tag ? map_get(b->tags, slice_text(tag)) : NULL;
}

bool
b2bua_owns(struct sip *s, const sip_t *sip)
{
    const struct b2bua_key *key = b2bua_find(s->b2bua, sip->sip_to->a_tag);

    if (key && s->gateway_count > 1 && b2bua_twin_is_awaited(key->call))
        return false; /* another gateway may have its INVITE */
    return key != NULL || b2bua_is_awaited(s->b2bua, sip);
}

bool
b2bua_on_request(struct sip *s, nta_incoming_t *irq, const sip_t *sip,
                 const struct sip_sender *sender)
{
    struct b2bua_key *key;

    if (!sip->sip_to->a_tag) {
        if (sender->side == SIP_GATEWAYS &&
            (!sip->sip_request->rq_url->url_host ||
             !sip_domain_is_of(s->conf.overlay, sip->sip_request->rq_url->url_host)) &&
            !b2bua_owns_contact(s, sip))
            return false; /* we carry nothing from one overlay to a third */
        if (!b2bua_twin_take(s->b2bua, irq, sip, sender))
            start_call(s->b2bua, irq, sip, sender);
        return true;
    }
    if (b2bua_await(s->b2bua, irq, sip, sender))
        return true;
    key = b2bua_find(s->b2bua, sip->sip_to->a_tag);
    if (!key)
        return false;
    b2bua_exchange_start(key, irq, sip, sender);
    return true;
}

/* ---- the whole ---- */

static void
set_conf(struct b2bua *b, const struct sip_conf *conf)
{
    b->outward = (struct call_conf){.search_ms = ASK_TIMEOUT_MS + SEARCH_SLACK_MS,
                                    .hop_ms = conf->branch_timeout_ms,
                                    .answer_ms = sip_ring_ms(conf, SIP_RING_FAR),
                                    .ack_ms = ACK_MS,
                                    .ending_ms = ENDING_MS,
                                    .unreachable_status = 500,
                                    .searches = 2,
                                    .search_pause_ms = SEARCH_PAUSE_MS,
                                    .seeks_others = true,
                                    .rescue_ms = RESCUE_MS,
                                    .rescue_pause_ms = RESCUE_PAUSE_MS};
    b->inward = b->outward;
    if (b->outward.hop_ms > B2BUA_SILENCE_MS)
        b->outward.hop_ms = B2BUA_SILENCE_MS;
    b->outward.doubt_ms = B2BUA_DOUBT_MS;
    b->outward.doubt_again_ms = B2BUA_DOUBTS_MS;
    b->inward.answer_ms = sip_ring_ms(conf, SIP_RING_PEER);
    b->inward.rescue_ms = 0; /* its own phones' peers have nobody in their place */
    b->inward.seeks_others = false;
    b->inward.searches = 1;                                     /* bindings that were old */
    b->inward.search_ms = 2 * ASK_TIMEOUT_MS + SEARCH_SLACK_MS; /* From, then the bindings */
    b->inward.unreachable_status = 480;
}

enum status
b2bua_new(struct sip *s, struct b2bua **ret_b2bua)
{
    struct b2bua *b = calloc(1, sizeof(*b));

    if (!b)
        return ST_NOMEM;
    b->sip = s;
    (void)refused_count();
    (void)resend_count();
    list_init(&b->calls);
    list_init(&b->waiting);
    list_init(&b->untold);
    list_init(&b->silent);
    list_init(&b->byes);
    list_init(&b->places_over);
    list_init(&b->upstreams);
    list_init(&b->chases);
    for (size_t i = 0; i < B2BUA_SLOTS; i++)
        list_init(&b->slot[i]);
    b2bua_naming_chance(&b->naming);
    set_conf(b, &s->conf);
    b->slot_at = sip_moment(s).mono_ms / B2BUA_SLOT_MS;
    b->tags = map_new(s->seed, s->conf.limits.calls * (size_t)(TAGS_OF_A_CALL + 1));
    b->timer = su_timer_create(su_root_task(s->root), B2BUA_SLOT_MS);
    b->places = map_new(s->seed, s->conf.limits.calls * (size_t)PLACES_OF_A_CALL);
    b->origins = map_new(s->seed, s->conf.limits.calls * (size_t)2);
    if (!b->tags || !b->places || !b->origins || !b->timer || b2bua_copy_new(b) ||
        b2bua_hold_new(b) || b2bua_refresh_new(b) || b2bua_looks_new(b) || b2bua_await_new(b) ||
        su_timer_run(b->timer, on_timer, (su_timer_arg_t *)(void *)b) < 0) {
        b2bua_free(b);
        return ST_NOMEM;
    }
    *ret_b2bua = b;
    return ST_OK;
}

void
b2bua_free(struct b2bua *b)
{
    if (!b)
        return;
    while (!list_is_empty(&b->calls))
        b2bua_call_free(list_entry(b->calls.next, struct b2bua_call, link));
    b2bua_bye_free(b);
    b2bua_copy_free(b);
    b2bua_hold_free(b);
    b2bua_looks_free(b);
    b2bua_await_end(b);
    b2bua_chases_tick(b, MOMENT_NEVER);
    b2bua_refresh_end(b);
    if (b->timer)
        su_timer_destroy(b->timer);
    if (b->places)
        b2bua_place_end(b);
    map_free(b->places);
    map_free(b->origins);
    map_free(b->tags);
    free(b);
}

void
b2bua_tick(struct sip *s)
{
    (void)s; /* the wheel has its own, finer timer */
}

size_t
b2bua_count(const struct sip *s)
{
    return s->b2bua->count;
}

/* user@host; where it is no SIP URI, as it was written. */
static void
write_aor(const char *uri, char out[AOR_BYTES])
{
    char text[SIP_URI_BYTES];
    url_t url[1];

    snprintf(text, sizeof(text), "%s", uri);
    if (url_d(url, text) < 0 || sip_aor_of(url, out))
        snprintf(out, AOR_BYTES, "%s", uri);
}

static bool
is_busy(const struct b2bua_call *c)
{
    for (size_t i = 0; i < CALL_EXCHANGES_MAX; i++)
        if (c->exchange[i])
            return true;
    return c->is_unacknowledged || call_state(c->core) != CALL_CONFIRMED;
}

bool
b2bua_is_busy(const struct sip *s)
{
    list_each(at, &s->b2bua->calls)
    {
        if (is_busy(list_entry(at, struct b2bua_call, link)))
            return true;
    }
    return false;
}

struct bridge_message *
b2bua_report(const struct sip *s, uint64_t token)
{
    struct bridge_message *m =
        bridge_new(BRIDGE_REPORT, token, s->b2bua->count, sizeof(struct bridge_call));
    size_t i = 0;

    if (!m)
        return NULL;
    m->query = BRIDGE_QUERY_CALLS;
    list_each(at, &s->b2bua->calls)
    {
        const struct b2bua_call *c = list_entry(at, struct b2bua_call, link);
        enum call_state state = call_state(c->core);

        if (call_kind(c->core) != CALL_SESSION || i == m->count)
            continue;
        snprintf(m->call[i].id, sizeof(m->call[i].id), "%s", c->token);
        write_aor(c->from_uri, m->call[i].from);
        write_aor(c->to_uri, m->call[i].to);
        snprintf(m->call[i].state, sizeof(m->call[i].state), "%s",
                 call_state_name(state == CALL_SEARCHING ? CALL_TRYING : state));
        m->call[i].is_adopted = c->is_adopted;
        m->call[i].is_told = !c->refresh;
        m->call[i].is_replicated = c->is_copied;
        m->call[i++].since_wall_ms = c->since_wall_ms;
    }
    m->count = i;
    return m;
}
