/* The proxy as a whole: its clocks, loops, and what passes without a transaction. */
#include "gateway/sip/proxy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sofia-sip/sip_util.h>

#include "gateway/sip/forward.h"
#include "gateway/sip/header_policy.h"
#include "gateway/sip/location.h"
#include "gateway/sip/strict.h"
#include "gateway/sip/twin.h"

#define TICK_MS 50

static void on_timer(su_root_magic_t *magic, su_timer_t *timer, su_timer_arg_t *arg);

static void
on_located(void *ctx, const struct answer *answer)
{
    (void)ctx; /* the news have come as BRIDGE_GATEWAY */
    (void)answer;
}

struct proxy *
proxy_new(struct sip *s)
{
    struct proxy *p = calloc(1, sizeof(*p));

    if (!p)
        return NULL;
    p->sip = s;
    list_init(&p->forwards);
    list_init(&p->gateway_watch);
    list_init(&p->former_watch);
    list_init(&p->peer_watch);
    list_init(&p->cancel_watch);
    list_init(&p->trying_watch);
    list_init(&p->again_watch);
    for (unsigned i = 0; i <= SIP_RING_GATEWAY; i++)
        list_init(&p->ring_watch[i]);
    p->locate.done = on_located;
    p->timer = su_timer_create(su_root_task(s->root), TICK_MS);
    p->overdue_timer = su_timer_create(su_root_task(s->root), TICK_MS);
    p->twins = twins_new(s);
    if (p->timer && p->overdue_timer && p->twins)
        return p;
    su_timer_destroy(p->timer);
    su_timer_destroy(p->overdue_timer);
    twins_free(p->twins);
    free(p);
    return NULL;
}

void
proxy_free(struct proxy *p)
{
    if (!p)
        return;
    list_each(at, &p->forwards)
    {
        struct forward *f = list_entry(at, struct forward, link);

        if (!f->is_answered)
            sip_reply(f->irq, 503, NULL, SIP_RETRY_AFTER_S);
        forward_free(f);
    }
    ask_cancel(&p->locate);
    twins_free(p->twins);
    su_timer_destroy(p->timer);
    su_timer_destroy(p->overdue_timer);
    free(p);
}

/* ---- clocks
 * ---------------------------------------------------------------------------------------- */

void
proxy_arm(struct proxy *p)
{
    if (p->is_armed)
        return;
    p->is_armed = true;
    su_timer_set(p->timer, on_timer, (su_timer_arg_t *)p);
}

void
proxy_watch_gateway(struct proxy *p, struct branch *b, bool is_former)
{
    uint64_t most_ms = is_former ? PROXY_FORMER_MS : p->sip->conf.peer_retry_ms;

    b->due_ms = sip_moment(p->sip).mono_ms + most_ms;
    list_append(is_former ? &p->former_watch : &p->gateway_watch, &b->watch);
    proxy_arm(p);
    p->requests++;
    if (!is_former)
        overdue_arm(p);
}

void
proxy_locate(struct proxy *p)
{
    if (!p->locate.link.next || list_is_empty(&p->locate.link))
        ask_locate(p->sip, &p->locate);
}

/* To another gateway, with a new branch. */
static void
move_on(struct branch *b)
{
    struct forward *f = b->forward;

    branch_give_up(b, 0);
    forward_to_gateway(f);
}

/* The gateway has said nothing: ask again who it is; if it is another one, send there. */
static void
on_gateway_silent(struct branch *b)
{
    struct forward *f = b->forward;
    struct proxy *p = f->proxy;
    bool may_move = !f->is_dialog || !sip_gateway_of(p->sip, &b->gateway); /* who has the call */

    if (b->is_overdue && may_move && forward_has_other_gateway(f)) {
        move_on(b);
        return;
    }
    if (b->is_overdue && !forward_may_wait(f)) {
        branch_give_up(b, 500);
        return;
    }
    b->is_overdue = true;
    b->due_ms = sip_moment(p->sip).mono_ms + p->sip->conf.branch_timeout_ms;
    list_append(&p->peer_watch, &b->watch);
    proxy_locate(p);
}

static void
on_former_silent(struct branch *b)
{
    struct proxy *p = b->forward->proxy;

    if (forward_may_wait(b->forward) && !sip_gateway_of(p->sip, &b->gateway))
        move_on(b);
    else
        proxy_watch_gateway(p, b, false);
}

static void
on_peer_silent(struct branch *b)
{
    if (b->to == BRANCH_TO_GATEWAY)
        on_gateway_silent(b);
    else {
        branch_peer_lost(b, PATH_SILENT);
        branch_give_up(b, branch_lost_status(b));
    }
}

/* Neither CANCEL nor the request itself has brought anything. */
static void
on_cancel_silent(struct branch *b)
{
    struct forward *f = b->forward;

    if (!f->is_answered && !b->is_given_up)
        forward_note(f, 487, NULL);
    branch_drop(b);
    if (f->is_answered)
        forward_end(f);
    else
        forward_finish(f);
}

static void
send_trying(struct proxy *p, uint64_t now_ms)
{
    while (!list_is_empty(&p->trying_watch)) {
        struct forward *f = list_entry(p->trying_watch.next, struct forward, trying);

        if (f->trying_ms > now_ms)
            return;
        list_remove(&f->trying);
        if (nta_incoming_status(f->irq) == 0)
            forward_trying(f);
    }
}

/* The first entry of a list if its time has come, taken out of it. */
static struct branch *
due(struct list_node *head, uint64_t now_ms)
{
    struct branch *first = list_entry(head->next, struct branch, watch);

    if (list_is_empty(head) || first->due_ms > now_ms)
        return NULL;
    list_remove(&first->watch);
    return first;
}

/* Those that wait for a gateway: the same once more, if there is no other. */
static void
try_again(struct proxy *p, uint64_t now_ms)
{
    while (!list_is_empty(&p->again_watch)) {
        struct forward *f = list_entry(p->again_watch.next, struct forward, again);

        if (f->again_ms > now_ms)
            return;
        forward_to_gateway_again(f);
    }
}

/* Timer C (section 16.8). */
static void
end_ringing(struct proxy *p, uint64_t now_ms)
{
    for (unsigned i = 0; i <= SIP_RING_GATEWAY; i++) {
        struct list_node *head = &p->ring_watch[i];

        while (!list_is_empty(head) &&
               list_entry(head->next, struct branch, ring)->ring_due_ms <= now_ms)
            branch_give_up(list_entry(head->next, struct branch, ring), 408);
    }
}

/* Who sent an INVITE may be lost while it rings. */
static void
look_at_upstreams(struct proxy *p, uint64_t now_ms)
{
    if (now_ms < p->upstreams_ms)
        return;
    p->upstreams_ms = now_ms + FORWARD_UPSTREAM_MS;
    list_each(at, &p->forwards) forward_look_at(list_entry(at, struct forward, link), now_ms);
    list_each(at, &p->forwards) branch_look(list_entry(at, struct forward, link));
}

static bool
is_watching(const struct proxy *p)
{
    for (unsigned i = 0; i <= SIP_RING_GATEWAY; i++)
        if (!list_is_empty(&p->ring_watch[i]))
            return true;
    return !list_is_empty(&p->trying_watch) || !list_is_empty(&p->again_watch) ||
           !list_is_empty(&p->gateway_watch) || !list_is_empty(&p->former_watch) ||
           !list_is_empty(&p->peer_watch) || !list_is_empty(&p->cancel_watch);
}

static void
on_timer(su_root_magic_t *magic, su_timer_t *timer, su_timer_arg_t *arg)
{
    struct proxy *p = (struct proxy *)arg;
    uint64_t now_ms = sip_moment(p->sip).mono_ms;
    struct branch *b;

    (void)magic;
    (void)timer;
    p->is_armed = false;
    send_trying(p, now_ms);
    while ((b = due(&p->gateway_watch, now_ms)))
        on_gateway_silent(b);
    while ((b = due(&p->former_watch, now_ms)))
        on_former_silent(b);
    while ((b = due(&p->peer_watch, now_ms)))
        on_peer_silent(b);
    while ((b = due(&p->cancel_watch, now_ms)))
        on_cancel_silent(b);
    try_again(p, now_ms);
    end_ringing(p, now_ms);
    look_at_upstreams(p, now_ms);
    if (is_watching(p))
        proxy_arm(p);
}

/* Sent to a gateway that is one no more and has not answered. */
static void
wait_for_former(struct branch *b, uint64_t now_ms)
{
    struct forward *f = b->forward;
    struct proxy *p = f->proxy;

    if (b->to != BRANCH_TO_GATEWAY || b->has_answer || b->is_given_up || f->is_cancelled ||
        !forward_may_wait(f) || sip_gateway_of(p->sip, &b->gateway))
        return;
    if (now_ms - b->sent_ms >= PROXY_FORMER_MS) {
        move_on(b);
        return;
    }
    list_remove(&b->watch);
    proxy_watch_gateway(p, b, true);
}

void
proxy_on_gateways(struct sip *s)
{
    struct proxy *p = s->proxy;
    uint64_t now_ms = sip_moment(s).mono_ms;

    s->gateways_ms = now_ms;
    list_each(at, &p->forwards)
    {
        struct forward *f = list_entry(at, struct forward, link);

        branch_look_at_gateway(f);
        if (!list_is_empty(&f->again) && forward_has_other_gateway(f))
            forward_to_gateway(f);
        else if (!f->is_answered && !list_is_empty(&f->branches))
            wait_for_former(list_entry(f->branches.prev, struct branch, link), now_ms);
    }
}

uint32_t
proxy_take_requests(struct sip *s)
{
    uint32_t requests = s->proxy->requests;

    s->proxy->requests = 0;
    return requests;
}

bool
proxy_is_busy(const struct sip *s)
{
    list_each(at, &s->proxy->forwards)
    {
        if (!list_entry(at, struct forward, link)->is_answered)
            return true;
    }
    return false;
}

/* ---- loops
 * ----------------------------------------------------------------------------------------- */

void
proxy_loop_key(struct sip *s, const sip_t *sip, char out[PROXY_LOOP_BYTES])
{
    const url_t *url = sip->sip_request->rq_url;
    char text[1024];
    int len = snprintf(
        text, sizeof(text), "%s@%s:%s;%s|%s|%s|%s|%u|%s|%s", url->url_user ? url->url_user : "",
        url->url_host ? url->url_host : "", url->url_port ? url->url_port : "",
        url->url_params ? url->url_params : "", sip->sip_to->a_tag ? sip->sip_to->a_tag : "",
        sip->sip_from->a_tag ? sip->sip_from->a_tag : "", sip->sip_call_id->i_id,
        sip->sip_cseq->cs_seq,
        sip->sip_route && sip->sip_route->r_url->url_host ? sip->sip_route->r_url->url_host : "",
        sip->sip_route && sip->sip_route->r_url->url_user ? sip->sip_route->r_url->url_user : "");
    size_t used = len < 0 ? 0 : (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1;

    snprintf(out, PROXY_LOOP_BYTES, ".%012llx",
             (unsigned long long)(map_hash(s->seed, slice_of(text, used)) & 0xffffffffffffull));
}

bool
proxy_is_loop(struct sip *s, const sip_t *sip)
{
    char key[PROXY_LOOP_BYTES] = "";

    for (const sip_via_t *v = sip->sip_via; v; v = v->v_next) {
        const char *mine;

        if (!v->v_branch || !sip_is_own_address(s, v->v_host, v->v_port))
            continue;
        mine = strrchr(v->v_branch, '.');
        if (!mine)
            continue;
        if (!key[0])
            proxy_loop_key(s, sip, key);
        if (strcmp(mine, key) == 0)
            return true;
    }
    return false;
}

/* ---- without a transaction
 * ------------------------------------------------------------------------- */

static bool
count_down(msg_t *msg, sip_t *sip)
{
    if (!sip->sip_max_forwards)
        return true;
    if (sip->sip_max_forwards->mf_count == 0)
        return false;
    sip->sip_max_forwards->mf_count--;
    msg_fragment_clear(sip->sip_max_forwards->mf_common);
    (void)msg;
    return true;
}

/* To the gateway its INVITE went to, which is the active one unless it has changed. */
static enum status
target_of_ack(struct sip *s, const sip_t *sip, const struct route *route, struct sip_target *ret)
{
    const struct bridge_gateway *g = forward_gateway_of(s, sip);

    *ret = route->target;
    if (route->kind == ROUTE_DIRECT)
        return ST_OK;
    if (route->kind != ROUTE_GATEWAY || !g)
        return ST_UNREACHABLE;
    return sip_target_of_uri(s, g->uri, ret);
}

/* The callee's Contact is his name: to his phones here, of which one knows the dialog. */
static void
ack_to_user(struct sip *s, msg_t *msg, sip_t *sip, const struct route *route)
{
    size_t count = 0;
    struct location_contact *const *own = location_find(s, route->aor, &count);

    if (!count_down(msg, sip))
        count = 0;
    request_pop_routes(msg, sip, route->popped);
    headers_release(msg, sip, SIP_PHONES);
    for (size_t i = 0; i < count; i++) {
        struct sip_target target;
        msg_t *copy = sip_target_of_local(s, own[i], &target) ? NULL : msg_dup(msg);

        target.request_uri = NULL;
        if (copy)
            sip_send_stateless(s, &target, copy);
    }
    msg_destroy(msg);
}

void
proxy_on_ack(struct sip *s, msg_t *msg, sip_t *sip, const struct sip_sender *sender,
             const struct route *route)
{
    struct sip_target target;

    if (route->kind == ROUTE_LOOKUP && route->is_dialog) {
        ack_to_user(s, msg, sip, route);
        return;
    }

    /* Nobody answers an ACK: what cannot be sent is dropped. */
    if (target_of_ack(s, sip, route, &target) || !count_down(msg, sip)) {
        msg_destroy(msg);
        return;
    }
    target.request_uri = NULL;
    (void)sender;
    request_pop_routes(msg, sip, route->popped);
    headers_release(msg, sip, target.agent->side);
    if (!target.route[0] && !strict_apply(msg, sip)) {
        msg_destroy(msg);
        return;
    }
    sip_send_stateless(s, &target, msg);
}

void
proxy_on_response(struct sip *s, msg_t *msg, sip_t *sip, const struct sip_sender *sender)
{
    const sip_via_t *next = sip->sip_via ? sip->sip_via->v_next : NULL;
    enum sip_side side = SIP_PHONES;

    /* Only what we forwarded: the first Via is ours, and another follows (section 16.7 item 3). */
    if (!next || !sip_is_own_address(s, sip->sip_via->v_host, sip->sip_via->v_port) ||
        sip->sip_status->st_status < 200 || sip->sip_status->st_status >= 300) {
        msg_destroy(msg);
        return;
    }
    (void)sender;
    if (next->v_protocol == sip_transport_tls && s->agent[SIP_PEERS].nta)
        side = SIP_PEERS;
    headers_release(msg, sip, side);
    /* By UDP it may come without its Content-Length, which nobody goes without on a connection
     * (section 18.3). */
    if (sip_complete_message(msg) < 0)
        msg_destroy(msg);
    else
        nta_msg_tsend(s->agent[side].nta, msg, NULL, TAG_END());
}
