/* A request being forwarded: its contacts, its gateway, its answer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <sofia-sip/sip_util.h>

#include "base/map.h"
#include "gateway/sip/b2bua.h"
#include "gateway/sip/cancel.h"
#include "gateway/sip/domain.h"
#include "gateway/sip/finished.h"
#include "gateway/sip/flow.h"
#include "gateway/sip/forward.h"
#include "gateway/sip/header_policy.h"
#include "gateway/sip/location.h"
#include "gateway/sip/twin.h"

#define CANDIDATES_MAX ((BRIDGE_BINDINGS_MAX + 1) * BINDING_CONTACTS_MAX)

/* ---- the answer (RFC 3261 section 16.7)
 * ------------------------------------------------------------ */

/* Lower is better: any 6xx, then the lowest class, then those that tell the caller how to go on. */
static int
rank(int status)
{
    if (status >= 600)
        return 0;
    switch (status) {
    case 401:
    case 407:
    case 415:
    case 420:
    case 484:
        return 4000;
    case 482: /* of one contact, where another has an answer of a phone */
        return 4550;
    case 404:
    case 410:
        return 4600;
    case 408: /* says less than what another branch has heard */
        return 4900;
    case 480:
        return 4800;
    case 503:
        return 5900;
    default:
        return status / 100 * 1000 + 500;
    }
}

void
forward_note(struct forward *f, int status, msg_t *msg)
{
    if (f->best_status && rank(f->best_status) <= rank(status)) {
        header_add_challenges(f->best, msg ? sip_object(msg) : NULL);
        msg_destroy(msg);
        return;
    }
    msg_destroy(f->best);
    f->best = msg;
    f->best_status = status;
}

static void
send_best(struct forward *f)
{
    int status = f->best_status ? f->best_status : 480;
    msg_t *msg = f->best;

    f->is_failed = true;
    f->best = NULL;
    if (nta_incoming_status(f->irq) >= 200) {
        msg_destroy(msg);
        return;
    }
    if (msg && status != 503) {
        sip_via_remove(msg, sip_object(msg));
        twin_readdress(f, msg, sip_object(msg));
        headers_release(msg, sip_object(msg), f->side);
        sip_pack(msg, f->side);
        nta_incoming_mreply(f->irq, msg);
        return;
    }
    /* Somebody's 503 is about himself, not about us (section 16.7 item 6); our own tells the caller
     * to come back. */
    if (msg)
        sip_reply(f->irq, 500, NULL, 0);
    else if (status == 480 && f->is_sips_lost)
        sip_reply_sips(f->proxy->sip, f->irq);
    else
        sip_reply(f->irq, status, NULL, status == 500 || status == 503 ? SIP_RETRY_AFTER_S : 0);
    msg_destroy(msg);
}

void
forward_free(struct forward *f)
{
    list_each(at, &f->branches) branch_drop(list_entry(at, struct branch, link));
    ask_cancel(&f->ask);
    twin_forget(f);
    if (f->upstream)
        tport_unref(f->upstream);
    list_remove(&f->link);
    list_remove(&f->trying);
    list_remove(&f->again);
    nta_incoming_destroy(f->irq);
    msg_destroy(f->best);
    msg_destroy(f->msg);
    free(f->reason);
    free(f);
}

void
forward_reason(struct forward *f, const sip_t *cause)
{
    if (!f->reason)
        f->reason = cancel_reason(cause);
}

void
forward_end(struct forward *f)
{
    if (f->is_invite)
        list_each(at, &f->branches) branch_cancel(list_entry(at, struct branch, link));
    if (!f->is_invite || list_is_empty(&f->branches)) {
        forward_free(f);
        return;
    }
    if (f->is_answered)
        return;
    f->is_answered = true;
    ask_cancel(&f->ask);
    f->is_asking = false;
    list_remove(&f->trying);
    list_remove(&f->again);
    if (f->irq) {
        nta_incoming_bind(f->irq, NULL, NULL);
        nta_incoming_destroy(f->irq);
    }
    f->irq = NULL;
}

static void look_up_next(struct forward *f);

/* Nobody was there, by bindings that may have been old. */
static bool
is_perhaps_stale(const struct forward *f)
{
    return f->is_from_cache &&
           (f->best_status == 404 || f->best_status == 408 || f->best_status == 410 ||
            f->best_status == 480 || (f->best_status == 500 && !f->best));
}

/* Ask the overlay once, and try whoever is new.  True if that is under way. */
static bool
try_fresh(struct forward *f)
{
    if (!is_perhaps_stale(f) || f->is_cancelled || f->is_answered)
        return false;
    f->is_from_cache = false;
    f->is_next_flow = false;
    for (unsigned i = 0; i < f->aor_done; i++)
        ask_doubt(f->proxy->sip, f->aor[i]);
    f->aor_count = 1; /* from the start: aliases are met again */
    f->aor_done = 0;
    look_up_next(f);
    return true;
}

bool
forward_is_waiting(const struct forward *f)
{
    list_each(at, &f->branches)
    {
        if (!list_entry(at, struct branch, link)->is_given_up)
            return true;
    }
    return false;
}

void
forward_finish(struct forward *f)
{
    if (f->is_answered || f->is_asking || forward_is_waiting(f) || try_fresh(f))
        return;
    if (f->is_cancelled && (!f->best || is_perhaps_stale(f))) {
        /* that nobody was there, or that we have failed, says less than that he gave up */
        msg_destroy(f->best);
        f->best = NULL;
        f->best_status = 487;
    }
    send_best(f);
    forward_end(f);
}

/* ---- contacts
 * -------------------------------------------------------------------------------------- */

/* A contact may be an AOR of the overlay again. True: it was, and will be looked up or is a loop.
 */
static bool
is_alias(struct forward *f, const char *uri)
{
    char text[PHONE_URI_BYTES];
    char aor[AOR_BYTES];
    url_t url[1];

    snprintf(text, sizeof(text), "%s", uri);
    if (url_d(url, text) < 0 || !sip_domain_is_local(f->proxy->sip, url->url_host) ||
        sip_aor_of(url, aor))
        return false;
    if (url->url_type != f->request->sip_request->rq_url->url_type) { /* RFC 5630 section 5.3 */
        f->is_sips_lost = true;
        forward_note(f, 480, NULL);
        return true;
    }
    for (unsigned i = 0; i < f->aor_count; i++)
        if (strcmp(f->aor[i], aor) == 0) {
            forward_note(f, 482, NULL);
            return true;
        }
    if (f->aor_count == FORWARD_ALIASES_MAX)
        forward_note(f, 483, NULL);
    else
        memcpy(f->aor[f->aor_count++], aor, strlen(aor) + 1);
    return true;
}

/* Has this binding been tried by way of this peer ("" for our own phones)?  It is noted as tried.
 */
static bool
was_tried(struct forward *f, const char *path, const char *token)
{
    uint64_t hash = map_hash(map_hash(0, slice_text(path)), slice_text(token));

    for (unsigned i = 0; i < f->contact_count; i++)
        if (f->contact[i] == hash)
            return true;
    if (f->contact_count < FORWARD_BRANCHES_MAX)
        f->contact[f->contact_count++] = hash;
    return false;
}

/* Is another flow of this phone tried, or has it answered by one?  It is noted. */
static bool
is_phone_tried(struct forward *f, uint64_t phone)
{
    for (unsigned i = 0; phone && i < f->phone_count; i++)
        if (f->phone[i] == phone)
            return true;
    if (phone && f->phone_count < FORWARD_BRANCHES_MAX)
        f->phone[f->phone_count++] = phone;
    return false;
}

static void
release_phone(struct forward *f, uint64_t phone)
{
    for (unsigned i = 0; i < f->phone_count; i++)
        if (f->phone[i] == phone)
            f->phone[i--] = f->phone[--f->phone_count];
}

/* One contact that may be tried: of this node, as it knows it, or of a record. */
struct candidate {
    const struct location_contact *own;
    const struct binding_record *record;
    struct binding_place place;
};

static const struct binding_contact *
contact_of(const struct candidate *c)
{
    return c->own ? &c->own->binding : &c->record->contact[c->place.contact];
}

static bool
is_named(const struct forward *f, const char *uri)
{
    char text[PHONE_URI_BYTES];
    url_t url[1];

    snprintf(text, sizeof(text), "%s", uri);
    return url_d(url, text) == 0 && location_url_equal(url, f->request->sip_request->rq_url);
}

static void
try_contact(struct forward *f, const struct candidate *c)
{
    struct sip *s = f->proxy->sip;
    const struct binding_contact *contact = contact_of(c);
    const char *path = c->own ? "" : c->record->path;
    bool is_phone = c->own || sip_is_own_path(s, path);
    uint64_t phone = binding_phone(contact);
    struct sip_target target;
    struct branch *b = NULL;
    enum status st;

    if (is_alias(f, contact->uri) || is_phone_tried(f, phone))
        return;
    if (was_tried(f, path, contact->token)) {
        release_phone(f, phone);
        return;
    }
    f->is_callee_on_connection = contact->is_on_connection;
    st = c->own ? sip_target_of_local(s, c->own, &target)
                : sip_target_of_contact(s, c->record, c->place.contact, &target);
    if (st)
        forward_note(f, st == ST_TIMEOUT ? 500 : 480, NULL);
    else
        b = branch_start(f, &target,
                         is_phone || !target.route[0] ? BRANCH_TO_PHONE : BRANCH_TO_PEER,
                         c->own && contact->is_on_connection ? c->own->flow : 0, NULL);
    if (b) {
        b->phone = phone;
        b->uri = b->to == BRANCH_TO_PEER && contact->is_by_uri ? strdup(contact->uri) : NULL;
    } else
        release_phone(f, phone);
}

/* Has another peer taken this one over in the meantime? */
static bool
is_superseded(const struct answer *answer, const struct location_contact *own)
{
    for (size_t i = 0; answer->binding && i < answer->count; i++)
        if (binding_is_superseded(answer->binding[i], &own->binding))
            return true;
    return false;
}

static int
compare_candidates(const void *a, const void *b)
{
    uint64_t one_ms = contact_of(a)->registered_at_wall_ms;
    uint64_t two_ms = contact_of(b)->registered_at_wall_ms;

    return one_ms < two_ms ? 1 : one_ms > two_ms ? -1 : 0;
}

/* Own phones as this node knows them, the others as the overlay does; the newest first, as of a
 * phone's flows one is tried at a time (RFC 5626 section 7). */
static size_t
find_candidates(struct sip *s, const char *aor, const struct answer *answer,
                struct candidate ret[CANDIDATES_MAX], size_t *ret_own)
{
    uint64_t wall_ms = sip_moment(s).wall_ms;
    struct location_contact *const *own = location_find(s, aor, ret_own);
    struct binding_place place[BRIDGE_BINDINGS_MAX * BINDING_CONTACTS_MAX];
    size_t records = answer->binding ? answer->count : 0;
    size_t places;
    size_t count = 0;

    if (records > BRIDGE_BINDINGS_MAX)
        records = BRIDGE_BINDINGS_MAX;
    places = binding_places(answer->binding, records, wall_ms, place);
    for (size_t i = 0; i < *ret_own; i++)
        if (own[i]->binding.expires_at_wall_ms > wall_ms && !is_superseded(answer, own[i]))
            ret[count++] = (struct candidate){.own = own[i]};
    for (size_t i = 0; i < places; i++) {
        const struct binding_record *record = answer->binding[place[i].record];

        if (*ret_own == 0 || !sip_is_own_path(s, record->path))
            ret[count++] = (struct candidate){.record = record, .place = place[i]};
    }
    qsort(ret, count, sizeof(*ret), compare_candidates);
    return count;
}

static void
try_contacts(struct forward *f, const char *aor, const struct answer *answer)
{
    struct candidate candidate[CANDIDATES_MAX];
    bool is_known = false;
    size_t own_count;
    size_t count = find_candidates(f->proxy->sip, aor, answer, candidate, &own_count);

    for (size_t i = 0; i < count; i++) {
        if (f->is_contact && !is_named(f, contact_of(&candidate[i])->uri))
            continue;
        is_known = true;
        try_contact(f, &candidate[i]);
    }
    if (is_known || f->is_next_flow)
        return;
    /* Design, Bindings: known but gone 480, never heard of 404, could not ask 500. */
    if (answer->status == ST_OK || own_count > 0)
        forward_note(f, f->is_contact ? 404 : 480, NULL);
    else if (answer->status == ST_NOT_FOUND && !answer->is_young && f->aor_count == 1 &&
             !domain_is_sure(f->proxy->sip, strrchr(aor, '@') + 1))
        f->is_doubtful = true;
    else
        forward_note(f, answer->status == ST_NOT_FOUND && !answer->is_young ? 404 : 500, NULL);
}

/* Another overlay with that name, where there is one, has come to the ring a moment ago. */
static void
on_judged(void *ctx, const struct answer *answer)
{
    struct forward *f = ctx;
    bool is_sure = answer->status == ST_OK && answer->verdict != NAMES_UNSURE;

    f->is_asking = false;
    if (answer->status == ST_OK && answer->verdict == NAMES_FOREIGN && !f->is_cancelled) {
        forward_to_gateway(f);
        return;
    }
    forward_note(f, is_sure && answer->verdict != NAMES_FOREIGN ? 404 : 500, NULL);
    forward_finish(f);
}

static void
judge(struct forward *f)
{
    f->is_doubtful = false;
    f->is_asking = true;
    f->ask.done = on_judged;
    f->ask.ctx = f;
    domain_ask(f->proxy->sip, strrchr(f->aor[0], '@') + 1, &f->ask);
}

/* From the start: what was tried is not tried again. */
static void
look_up_flow(struct forward *f)
{
    f->wants_flow = false;
    f->is_next_flow = true;
    f->aor_count = 1;
    f->aor_done = 0;
    look_up_next(f);
}

void
forward_next_flow(struct forward *f, uint64_t phone)
{
    release_phone(f, phone);
    if (f->is_answered || f->is_cancelled || f->aor_count == 0)
        forward_finish(f);
    else if (f->is_asking)
        f->wants_flow = true;
    else
        look_up_flow(f);
}

static void
on_bindings(void *ctx, const struct answer *answer)
{
    struct forward *f = ctx;

    f->is_asking = false;
    f->is_from_cache = f->is_from_cache || answer->is_cached;
    try_contacts(f, f->aor[f->aor_done - 1], answer);
    if (f->aor_done < f->aor_count)
        look_up_next(f);
    else if (f->is_doubtful)
        judge(f);
    else if (f->wants_flow)
        look_up_flow(f);
    else
        forward_finish(f);
}

static void
look_up_next(struct forward *f)
{
    f->is_asking = true;
    f->ask.done = on_bindings;
    f->ask.ctx = f;
    ask_lookup(f->proxy->sip, f->aor[f->aor_done++], &f->ask);
}

/* ---- beginning
 * ------------------------------------------------------------------------------------- */

/* The caller has given up, or is lost. */
static void
give_up(struct forward *f)
{
    f->is_cancelled = true;
    list_each(at, &f->branches) branch_cancel(list_entry(at, struct branch, link));
    if (!forward_is_waiting(f)) { /* still asking: nobody else will answer */
        f->is_asking = false;
        list_remove(&f->again);
        forward_note(f, 487, NULL);
        forward_finish(f);
    }
}

static int
on_cancel(nta_incoming_magic_t *magic, nta_incoming_t *irq, const sip_t *sip)
{
    struct forward *f = (struct forward *)magic;

    (void)irq;
    if (!sip || sip->sip_request->rq_method != sip_method_cancel)
        return 0;
    forward_reason(f, sip);
    give_up(f);
    return 0;
}

static void
set_upstream(struct forward *f, const struct sip_sender *sender)
{
    if (f->upstream)
        tport_unref(f->upstream);
    f->upstream = NULL;
    f->lost_ms = 0;
    if (!f->is_invite || sender->side == SIP_PHONES || !tport_is_stream(sender->tport))
        return;
    f->upstream = tport_ref(sender->tport);
    f->sent_by = sender->node;
}

/* What the phones said last, to whoever has not heard it. */
static void
send_last(struct forward *f)
{
    list_each(at, &f->branches)
    {
        struct branch *b = list_entry(at, struct branch, link);
        msg_t *msg = b->is_given_up || !b->has_answer ? NULL : nta_outgoing_getresponse(b->orq);
        msg_t *copy = msg && sip_object(msg)->sip_status->st_status > 100 ? msg_copy(msg) : NULL;

        if (copy)
            branch_send_up(b, copy);
        msg_destroy(msg);
        if (copy)
            return;
    }
    forward_trying(f);
}

void
forward_move(struct forward *f, nta_incoming_t *irq, const struct sip_sender *sender)
{
    list_remove(&f->trying);
    nta_incoming_bind(f->irq, NULL, NULL);
    sip_reply(f->irq, 487, NULL, 0); /* should its sender hear it after all: he has lost the call */
    nta_incoming_destroy(f->irq);
    f->irq = irq;
    f->is_moved = true;
    nta_incoming_bind(irq, on_cancel, (nta_incoming_magic_t *)f);
    set_upstream(f, sender);
    send_last(f);
}

/* May there be another in its place soon, or has there been one just now? */
static bool
is_awaited(const struct forward *f, uint64_t lost_ms)
{
    const struct sip *s = f->proxy->sip;

    if (lost_ms < FORWARD_LOST_MS)
        return true;
    if (!f->is_from_gateway || lost_ms >= FORWARD_CLAIM_MS)
        return false;
    return sip_gateway_of(s, &f->sent_by) ||
           sip_moment(s).mono_ms - s->gateways_ms < FORWARD_LOST_MS;
}

void
forward_look_at(struct forward *f, uint64_t now_ms)
{
    msg_t *request;
    tport_t *later;

    if (!f->upstream || f->is_answered || f->is_cancelled || tport_is_clear_to_send(f->upstream))
        return;
    request = nta_incoming_getrequest(f->irq);
    later = request ? finished_transport(sip_object(request)) : NULL;
    msg_destroy(request);
    if (later && tport_is_clear_to_send(later)) {
        f->lost_ms = 0;
        return;
    }
    if (f->lost_ms == 0 && f->is_from_gateway)
        proxy_locate(f->proxy);
    if (f->lost_ms == 0)
        f->lost_ms = now_ms;
    if (is_awaited(f, now_ms - f->lost_ms))
        return;
    log_write(LOG_LEVEL_INFO, "sip", "%s: who called cannot be reached any longer: cancelled",
              f->request->sip_call_id->i_id);
    give_up(f);
}

static void
direct(struct forward *f, const struct route *route)
{
    bool is_peer = route->target.agent && route->target.agent->side != SIP_PHONES;

    f->is_callee_on_connection = route->flow != 0;
    branch_start(f, &route->target, is_peer ? BRANCH_TO_PEER : BRANCH_TO_PHONE, route->flow, NULL);
    forward_finish(f);
}

static struct forward *
forward_new(struct proxy *p, nta_incoming_t *irq, msg_t *msg, const struct sip_sender *sender,
            const struct route *route)
{
    struct forward *f = calloc(1, sizeof(*f));
    const sip_t *sip = sip_object(msg);

    if (!f)
        return NULL;
    f->proxy = p;
    f->irq = irq;
    f->msg = msg_ref_create(msg);
    f->request = sip;
    f->side = sender->side;
    /* The B2BUA's own requests begin there; what its node passes on as a proxy comes from further.
     */
    f->is_from_gateway = sender->is_active_gateway && !sip->sip_via->v_next;
    f->is_invite = sip->sip_request->rq_method == sip_method_invite;
    f->popped = route->popped;
    f->is_dialog = route->is_dialog;
    f->is_contact = route->is_contact;
    f->is_elsewhere = route->is_elsewhere;
    list_init(&f->branches);
    list_init(&f->trying);
    list_init(&f->again);
    list_append(&p->forwards, &f->link);
    snprintf(f->caller_protocol, sizeof(f->caller_protocol), "%s",
             tport_name(sender->tport)->tpn_proto);
    if ((!f->is_dialog || sip->sip_request->rq_method == sip_method_notify) && sip->sip_contact &&
        flow_needed(sender, sip->sip_via, sip->sip_contact->m_url))
        f->caller_flow = flow_of(p->sip, sender);
    proxy_loop_key(p->sip, sip, f->loop_key);
    set_upstream(f, sender);
    twin_note(f);
    nta_incoming_bind(irq, on_cancel, (nta_incoming_magic_t *)f);
    return f;
}

/* A phone that sends by UDP repeats itself until it hears 100; a peer's connection loses nothing,
 * so it hears one only where the answer takes long (RFC 4320 section 4.1 allows it for every method
 * there). */
static void
begin_trying(struct forward *f)
{
    struct proxy *p = f->proxy;

    if (f->side != SIP_PEERS) {
        if (f->is_invite)
            sip_reply(f->irq, 100, NULL, 0);
        return;
    }
    f->trying_ms = sip_moment(p->sip).mono_ms + TRYING_MS;
    list_append(&p->trying_watch, &f->trying);
    proxy_arm(p);
}

void
proxy_on_request(struct sip *s, nta_incoming_t *irq, msg_t *msg, const struct sip_sender *sender,
                 const struct route *route)
{
    struct forward *f;

    if (twin_take(s, irq, msg, sender))
        return;
    f = forward_new(s->proxy, irq, msg, sender, route);
    if (!f) {
        sip_reply(irq, 503, NULL, SIP_RETRY_AFTER_S);
        nta_incoming_destroy(irq);
        return;
    }
    begin_trying(f);
    if (route->kind == ROUTE_LOOKUP) {
        memcpy(f->aor[f->aor_count++], route->aor, sizeof(route->aor));
        look_up_next(f);
    } else if (route->kind == ROUTE_GATEWAY) {
        forward_to_gateway(f);
    } else {
        direct(f, route);
    }
}
