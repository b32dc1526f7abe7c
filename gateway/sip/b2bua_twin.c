/* The same INVITE by another way, and connections of those who sent one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "gateway/sip/b2bua_call.h"
#include "gateway/sip/finished.h"

/* ---- which one ---- */

static char *
write_origin(uint32_t cseq, const char *call_id, const char *tag, const char *request_uri)
{
    size_t bytes = strlen(call_id) + strlen(tag) + strlen(request_uri) + 16;
    char *text = malloc(bytes);

    if (text)
        snprintf(text, bytes, "%u\n%s\n%s\n%s", (unsigned)cseq, call_id, tag, request_uri);
    return text;
}

bool
b2bua_twin_note(struct b2bua_call *c, const char *request_uri)
{
    struct map *origins = c->b2bua->origins;

    c->origin =
        write_origin(c->peer_cseq[CALL_CALLER], c->caller_call_id, c->caller_tag, request_uri);
    if (!c->origin)
        return false;
    c->request_uri = c->origin + strlen(c->origin) - strlen(request_uri);
    /* where two are the same, as of a request that was forked, the first is meant */
    if (!map_get(origins, slice_text(c->origin)))
        return map_put(origins, slice_text(c->origin), c, NULL) == ST_OK;
    return true;
}

void
b2bua_twin_forget(struct b2bua_call *c)
{
    if (c->origin && map_get(c->b2bua->origins, slice_text(c->origin)) == c)
        map_remove(c->b2bua->origins, slice_text(c->origin));
    free(c->origin);
    c->origin = NULL;
    c->request_uri = NULL;
}

static struct b2bua_call *
find(struct b2bua *b, const sip_t *sip)
{
    char *uri = b2bua_text_of_url(sip->sip_request->rq_url);
    char *origin = uri ? write_origin(sip->sip_cseq->cs_seq, sip->sip_call_id->i_id,
                                      sip_text(sip->sip_from->a_tag), uri)
                       : NULL;
    struct b2bua_call *c = origin ? map_get(b->origins, slice_text(origin)) : NULL;

    free(origin);
    free(uri);
    return c;
}

/** The call token of a gateway's Contact, without the letter that says which end. */
static struct slice
token_of(const url_t *url)
{
    size_t len = url->url_user ? strlen(url->url_user) : 0;

    return slice_of(url->url_user, len > 0 ? len - 1 : 0);
}

static bool
has_same_token(const struct b2bua_call *c, const sip_t *sip)
{
    char text[SIP_URI_BYTES];
    url_t url[1];

    if (!c->caller.target || !sip->sip_contact || strlen(c->caller.target) >= sizeof(text))
        return false;
    memcpy(text, c->caller.target, strlen(c->caller.target) + 1);
    return url_d(url, text) == 0 && token_of(url).len > 0 &&
           slice_equal(token_of(url), token_of(sip->sip_contact->m_url));
}

/** May its sender have had the first one? */
static bool
is_believed(const struct b2bua_call *c, const sip_t *sip, const struct sip_sender *sender)
{
    char *from;
    bool is_same;

    if (c->is_released || (sender->side == SIP_GATEWAYS) != c->is_inward)
        return false;
    if (c->is_inward)
        return strcasecmp(sender->overlay, c->far_overlay) == 0 && has_same_token(c, sip);
    from = b2bua_text_of_url(sip->sip_from->a_url);
    is_same = from && strcmp(from, c->from_uri) == 0;
    free(from);
    return is_same;
}

bool
b2bua_twin_is_awaited(const struct b2bua_call *c)
{
    return !c->irq && !c->initial && call_state(c->core) == CALL_SEARCHING;
}

/* ---- what becomes of it ---- */

static void
learn_caller(struct b2bua_call *c, const sip_t *sip, const struct sip_sender *sender)
{
    b2bua_peer_done(&c->caller);
    b2bua_peer_from_request(c->b2bua->sip, &c->caller, sip, sender);
    b2bua_upstream_note(c, sender);
}

static void
say_last(struct b2bua_call *c, nta_incoming_t *irq)
{
    const struct b2bua_dialog *d = b2bua_dialog_at(c, c->last_dialog);

    if (c->last)
        b2bua_pass_response(c, CALL_CALLER, c->last_dialog, irq, c->last,
                            d ? d->our_tag : c->answer_tag);
    else
        sip_reply(irq, 100, NULL, 0);
}

/** What the first one's sender would do with a response he cannot hear, he does with this one. */
static void
end_first(nta_incoming_t *irq)
{
    nta_incoming_bind(irq, NULL, NULL);
    sip_reply(irq, 487, NULL, 0);
    nta_incoming_destroy(irq);
}

/** Its call is up, and acknowledged: a gateway that was cut off, and that another has replaced,
 * sends it once more when it is back (RFC 3261 section 8.2.2.2). */
static void
refuse_late(const struct b2bua_call *c, nta_incoming_t *irq, const struct sip_sender *sender)
{
    log_write(LOG_LEVEL_INFO, "sip", "%s: its INVITE came once more, from %s: it is up already",
              c->token, sender->address);
    sip_reply(irq, 482, NULL, 0);
    nta_incoming_destroy(irq);
}

static void
replace(struct b2bua_call *c, nta_incoming_t *irq)
{
    list_remove(&c->trying.link);
    if (c->irq)
        end_first(c->irq);
    c->irq = irq;
    nta_incoming_tag(irq, c->answer_tag);
    nta_incoming_bind(irq, b2bua_on_cancel, (nta_incoming_magic_t *)(void *)c);
    say_last(c, irq);
}

static void
replace_answered(struct b2bua_call *c, nta_incoming_t *irq)
{
    struct b2bua_invite *i = c->invite[CALL_INITIAL];

    list_remove(&c->held_link);
    if (i->irq)
        nta_incoming_destroy(i->irq);
    i->irq = irq;
    say_last(c, irq);
}

/** It goes on from here: as a call of ours, under the names that it had. */
static bool
go_on(struct b2bua_call *c, nta_incoming_t *irq, const sip_t *sip, const struct sip_sender *sender)
{
    struct b2bua *b = c->b2bua;
    struct call *core = call_new(CALL_SESSION, c->is_inward ? &b->inward : &b->outward,
                                 &b2bua_call_out, c, sip_moment(b->sip));

    if (!core)
        return false;
    call_free(c->core);
    c->core = core;
    c->irq = irq;
    if (!b2bua_initial_new(c, sip, sender)) {
        c->irq = NULL;
        b2bua_initial_free(c);
        return false;
    }
    b2bua_learn(c, CALL_CALLER, sip);
    nta_incoming_tag(irq, c->answer_tag);
    nta_incoming_bind(irq, b2bua_on_cancel, (nta_incoming_magic_t *)(void *)c);
    if (sender->side == SIP_PHONES)
        sip_reply(irq, 100, NULL, 0);
    else
        b2bua_trying_start(b, &c->trying, &c->irq, sender);
    b2bua_initial_start(c);
    return true;
}

/** The gateway before us had its 2xx, and may have ended before it passed that on. */
static struct b2bua_call *
find_unheard(struct b2bua *b, const sip_t *sip, const struct sip_sender *sender)
{
    struct b2bua_names names;
    struct b2bua_key *key = b2bua_names_of(b, sip, &names) ? b2bua_find(b, names.our_tag) : NULL;
    struct b2bua_call *c = key ? key->call : NULL;
    const struct b2bua_invite *i = c ? c->invite[CALL_INITIAL] : NULL;
    char *uri;

    if (!c || key != &c->callee_key || !c->is_adopted || c->holds > 0 || !i || i->irq ||
        call_state(c->core) != CALL_CONFIRMED ||
        call_invite_state(c->core, CALL_INITIAL) != CALL_INVITE_ANSWERED ||
        i->in_cseq != sip->sip_cseq->cs_seq || strcmp(c->token, names.token) != 0 ||
        !b2bua_dialog_at(c, call_winner(c->core)) || !is_believed(c, sip, sender))
        return NULL;
    uri = b2bua_text_of_url(sip->sip_request->rq_url);
    c = uri ? b2bua_take_back_to_early(c, uri) : NULL;
    free(uri);
    return c;
}

bool
b2bua_twin_take(struct b2bua *b, nta_incoming_t *irq, const sip_t *sip,
                const struct sip_sender *sender)
{
    bool is_invite = sip->sip_request->rq_method == sip_method_invite;
    struct b2bua_call *c = is_invite ? find(b, sip) : NULL;
    bool is_taken = true;

    if (!c && is_invite)
        c = find_unheard(b, sip, sender);
    if (!c || !is_believed(c, sip, sender))
        return false;
    b2bua_call_hold(c);
    if (b2bua_twin_is_awaited(c)) {
        learn_caller(c, sip, sender);
        is_taken = go_on(c, irq, sip, sender);
    } else if (c->irq && call_state(c->core) < CALL_CONFIRMED) {
        learn_caller(c, sip, sender);
        replace(c, irq);
    } else if (call_state(c->core) == CALL_CONFIRMED && c->invite[CALL_INITIAL] &&
               call_invite_state(c->core, CALL_INITIAL) == CALL_INVITE_ANSWERED) {
        learn_caller(c, sip, sender);
        replace_answered(c, irq);
    } else if (call_state(c->core) == CALL_CONFIRMED) {
        refuse_late(c, irq, sender);
        b2bua_call_release(c);
        return true;
    } else {
        is_taken = false;
    }
    if (is_taken)
        log_write(LOG_LEVEL_INFO, "sip", "%s: its INVITE came by another way, from %s", c->token,
                  sender->address);
    b2bua_call_release(c);
    return is_taken;
}

void
b2bua_twin_keep(struct b2bua_call *c, uint8_t dialog)
{
    if (call_kind(c->core) != CALL_SESSION || !c->in_hand)
        return;
    msg_destroy(c->last);
    c->last = msg_ref_create(c->in_hand);
    c->last_dialog = dialog;
}

void
b2bua_twin_drop(struct b2bua_call *c)
{
    msg_destroy(c->last);
    c->last = NULL;
}

/* ---- who sent it is gone ---- */

void
b2bua_upstream_free(struct b2bua_call *c)
{
    list_remove(&c->upstream.link);
    if (c->upstream.transport)
        tport_unref(c->upstream.transport);
    ask_cancel(&c->upstream.ask);
    c->upstream.transport = NULL;
    c->upstream.lost_ms = 0;
}

void
b2bua_upstream_note(struct b2bua_call *c, const struct sip_sender *sender)
{
    b2bua_upstream_free(c);
    list_append(&c->b2bua->upstreams, &c->upstream.link);
    if (sender->side == SIP_PHONES || !tport_is_stream(sender->tport))
        return;
    c->upstream.transport = tport_ref(sender->tport);
    c->upstream.node = sender->node;
}

/** The connection of its INVITE, or the one by which that came once more, is gone.  Where it has
 * its 2xx the ACK may come by any. */
static bool
is_lost(const struct b2bua_call *c)
{
    tport_t *transport = c->upstream.transport;
    msg_t *request;
    tport_t *later;

    if (!c->irq || !transport || tport_is_clear_to_send(transport))
        return false;
    request = nta_incoming_getrequest(c->irq);
    later = request ? finished_transport(sip_object(request)) : NULL;
    msg_destroy(request);
    return !later || !tport_is_clear_to_send(later);
}

static void
end_call(struct b2bua_call *c)
{
    log_write(LOG_LEVEL_INFO, "sip", "%s: who called cannot be reached any longer: ended",
              c->token);
    call_on_cancel(c->core, sip_moment(c->b2bua->sip));
}

/** Is it a gateway still, as far as the ring knows?  Then nobody can have its place yet. */
static void
on_resolved(void *ctx, const struct answer *answer)
{
    struct b2bua_call *c = ctx;

    for (size_t i = 0; answer->status == ST_OK && i < answer->count; i++)
        if (id_equal(&answer->gateway[i].node, &c->upstream.node))
            return;
    b2bua_call_hold(c);
    end_call(c);
    b2bua_upstream_free(c);
    b2bua_call_release(c);
}

static void
look_at(struct b2bua_call *c, uint64_t now_ms)
{
    struct b2bua_upstream *u = &c->upstream;
    uint64_t silent_ms;

    if (!is_lost(c)) {
        u->lost_ms = 0;
        return;
    }
    if (u->lost_ms == 0)
        u->lost_ms = now_ms;
    silent_ms = now_ms - u->lost_ms;
    if (silent_ms < (c->is_inward ? B2BUA_LOST_GATEWAY_MS : B2BUA_LOST_PEER_MS) ||
        !list_is_empty(&u->ask.link))
        return;
    if (c->is_inward && silent_ms < B2BUA_LOST_MOST_MS) {
        u->ask = (struct ask){.done = on_resolved, .ctx = c};
        list_init(&u->ask.link);
        ask_resolve(c->b2bua->sip, c->far_overlay, true, &u->ask);
        return;
    }
    b2bua_call_hold(c);
    end_call(c);
    b2bua_upstream_free(c);
    b2bua_call_release(c);
}

void
b2bua_upstream_tick(struct b2bua *b, uint64_t now_ms)
{
    struct list_node due;

    if (now_ms < b->upstreams_ms)
        return;
    b->upstreams_ms = now_ms + B2BUA_UPSTREAM_MS;
    list_init(&due);
    while (!list_is_empty(&b->upstreams)) {
        struct list_node *at = b->upstreams.next;

        list_remove(at);
        list_append(&due, at);
    }
    while (!list_is_empty(&due)) {
        struct b2bua_call *c = list_entry(due.next, struct b2bua_call, upstream.link);

        list_remove(&c->upstream.link);
        list_append(&b->upstreams, &c->upstream.link);
        b2bua_call_hold(c);
        b2bua_branch_look(c);
        look_at(c, now_ms);
        b2bua_call_release(c);
    }
}
