/* A request on its way to our overlay's gateway: which one, and how long it waits for another. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "gateway/sip/b2bua.h"
#include "gateway/sip/clock.h"
#include "gateway/sip/forward.h"

static bool
was_tried(const struct forward *f, const struct bridge_gateway *g)
{
    unsigned count = f->gateway_tries < FORWARD_TRIES_MAX ? f->gateway_tries : FORWARD_TRIES_MAX;

    for (unsigned i = 0; i < count; i++)
        if (f->gateway_tried[i].term == g->term && id_equal(&f->gateway_tried[i].node, &g->node))
            return true;
    return false;
}

static void
note_try(struct forward *f, const struct bridge_gateway *g)
{
    unsigned slot = f->gateway_tries++ % FORWARD_TRIES_MAX; /* the oldest goes */

    f->gateway_tried[slot].node = g->node;
    f->gateway_tried[slot].term = g->term;
}

/* RFC 2782: the lowest priority; among those by weight.  None that was tried; NULL for none. */
static const struct bridge_gateway *
choose_gateway(const struct forward *f)
{
    const struct sip *s = f->proxy->sip;
    const struct bridge_gateway *best = NULL;
    uint64_t draw = sip_random();
    uint32_t total = 0;

    for (size_t i = 0; i < s->gateway_count; i++) {
        const struct bridge_gateway *g = &s->gateway[i];

        if (was_tried(f, g) || (best && g->priority > best->priority))
            continue;
        if (best && g->priority < best->priority)
            total = 0;
        total += g->weight + 1u;
        if (!best || total == g->weight + 1u || draw % total < g->weight + 1u)
            best = g;
    }
    return best;
}

static void
take_as_gateway(struct forward *f)
{
    struct sip *s = f->proxy->sip;
    struct sip_sender sender = {.side = f->side, .nta = s->agent[f->side].nta};
    nta_incoming_t *irq = f->irq;

    sender.tport = nta_incoming_transport(sender.nta, irq, f->msg);
    f->irq = NULL;
    f->is_failed = true; /* what was given up is no longer a response for the caller */
    if (!b2bua_on_request(s, irq, f->request, &sender)) {
        sip_reply(irq, f->is_dialog ? 481 : 404, NULL, 0);
        nta_incoming_destroy(irq);
    }
    tport_unref(sender.tport);
    forward_end(f);
}

static void
write_address(const char *host, const char *port, char out[DESTINATION_BYTES])
{
    snprintf(out, DESTINATION_BYTES, ":%s:%s;", host ? host : "", port ? port : "5061");
}

/* ":HOST:PORT;" of the Request-URI: in a dialog the Contact of the gateway that has the call. */
static void
address_of(const sip_t *sip, char out[DESTINATION_BYTES])
{
    const url_t *url = sip->sip_request->rq_url;

    write_address(url->url_host, url->url_port, out);
}

static const struct bridge_gateway *
addressed_gateway(const struct sip *s, const sip_t *sip)
{
    char address[DESTINATION_BYTES];

    address_of(sip, address);
    for (size_t i = 0; i < s->gateway_count; i++)
        if (strcasestr(s->gateway[i].uri, address))
            return &s->gateway[i];
    return NULL;
}

const struct bridge_gateway *
forward_gateway_of(const struct sip *s, const sip_t *sip)
{
    const struct bridge_gateway *addressed = addressed_gateway(s, sip);
    char address[DESTINATION_BYTES];

    if (addressed)
        return addressed;
    address_of(sip, address);
    if (sip->sip_to
            ->a_tag) { /* it may be alive and have the call; if not, the active one is next */
        const struct bridge_gateway *former = sip_former_gateway(s, NULL, address);
        if (former && !former->is_self)
            return former;
    }
    return s->gateway_count > 0 ? &s->gateway[0] : NULL;
}

static bool
has_passed(const sip_t *sip, const struct bridge_gateway *g)
{
    char address[DESTINATION_BYTES];

    for (const sip_via_t *via = sip->sip_via; via; via = via->v_next) {
        write_address(via->v_host, via->v_port, address);
        if (strcasestr(g->uri, address))
            return true;
    }
    return false;
}

const struct bridge_gateway *
forward_gateway_unasked(const struct sip *s, const sip_t *sip)
{
    for (size_t i = 0; i < s->gateway_count; i++)
        if (!s->gateway[i].is_self && !has_passed(sip, &s->gateway[i]))
            return &s->gateway[i];
    return NULL;
}

static const struct bridge_gateway *
next_gateway(const struct forward *f)
{
    bool is_first = f->gateway_tries == 0;
    const struct bridge_gateway *g = NULL;

    if (f->is_dialog && is_first)
        return forward_gateway_of(f->proxy->sip, f->request);
    if (f->is_elsewhere && is_first)
        g = forward_gateway_unasked(f->proxy->sip, f->request);
    return g ? g : choose_gateway(f);
}

/* Since when is it lost; 0: it is not, as far as is known, or has been for long. */
static uint64_t
named_lost_ms(const struct forward *f)
{
    const struct sip *s = f->proxy->sip;
    uint64_t now_ms = sip_moment(s).mono_ms;
    const struct bridge_gateway *former;
    char address[DESTINATION_BYTES];

    if (addressed_gateway(s, f->request))
        return f->is_gateway_lost ? now_ms : 0;
    address_of(f->request, address);
    former = sip_former_gateway(s, NULL, address);
    if (!former || now_ms - s->former_ms[former - s->former] >= FORWARD_CLAIM_MS)
        return 0;
    return s->former_ms[former - s->former];
}

bool
forward_is_between(const struct forward *f, const struct id *responder)
{
    const struct sip *s = f->proxy->sip;
    const struct bridge_gateway *g = sip_gateway_of(s, responder);
    uint64_t lost_ms = f->is_dialog ? named_lost_ms(f) : 0;

    if (lost_ms == 0 || !forward_may_wait(f))
        return false;
    return s->gateway_count > 1 || !g || s->gateway_since_ms[g - s->gateway] < lost_ms;
}

/* This node is a gateway, and does not have the call. */
static bool
is_of_another(const struct forward *f)
{
    const struct sip *s = f->proxy->sip;

    for (size_t i = 0; i < s->gateway_count; i++)
        if (s->gateway[i].is_self)
            return forward_is_between(f, &s->gateway[i].node) &&
                   !b2bua_owns(f->proxy->sip, f->request);
    return false;
}

/* Is it @g's to handle, and @g this node? */
static bool
is_ours(const struct forward *f, const struct bridge_gateway *g)
{
    const struct sip *s = f->proxy->sip;
    bool is_first_in_dialog = f->is_dialog && f->gateway_tries == 0;

    if (!s->is_gateway || forward_is_waiting(f) ||
        (g && g == sip_former_gateway(s, &g->node, NULL)))
        return false;
    if (f->is_elsewhere && f->gateway_tries == 0 && g && !g->is_self)
        return false;
    /* Of several gateways another may have the call of a phone that this one serves. */
    return !is_first_in_dialog || !g || g->is_self || g != addressed_gateway(s, f->request);
}

/* No gateway is known that was not tried: the news of another, or the time to try the same once
 * more, are waited for. */
static void
wait_for_gateway(struct forward *f)
{
    struct proxy *p = f->proxy;

    f->is_asking = true;
    f->again_ms = sip_moment(p->sip).mono_ms + FORWARD_AGAIN_MS;
    list_remove(&f->again);
    list_append(&p->again_watch, &f->again);
    proxy_arm(p);
    proxy_locate(p);
}

static void
send_to_gateway(struct forward *f, const struct bridge_gateway *g)
{
    struct sip_target target;
    struct branch *b;

    note_try(f, g);
    if (sip_target_of_uri(f->proxy->sip, g->uri, &target)) {
        wait_for_gateway(f);
        return;
    }
    target.request_uri = NULL; /* unchanged (design, Routes) */
    b = branch_start(f, &target, BRANCH_TO_GATEWAY, 0, &g->node);
    if (b && f->is_cancelled) /* it rings behind a gateway of before: this one ends it */
        b->is_cancel_due = true;
    forward_finish(f);
}

static bool
is_hopeless(const struct sip *s)
{
    return s->is_hopeless && s->gateway_count == 0;
}

void
forward_to_gateway(struct forward *f)
{
    struct sip *s = f->proxy->sip;
    uint64_t now_ms = sip_moment(s).mono_ms;
    const struct bridge_gateway *g;
    bool is_elsewhere;

    if (f->gateway_until_ms == 0)
        f->gateway_until_ms = now_ms + FORWARD_PATIENCE_MS;
    is_elsewhere = is_of_another(f);
    g = next_gateway(f);
    if (is_elsewhere && g && g->is_self) {
        note_try(f, g);
        g = choose_gateway(f);
    }
    list_remove(&f->again);
    f->is_asking = false;
    if (!is_elsewhere && is_ours(f, g)) {
        take_as_gateway(f); /* it has become ours */
    } else if (g && !g->is_self) {
        send_to_gateway(f, g);
    } else if (now_ms < f->gateway_until_ms && !is_hopeless(s)) {
        wait_for_gateway(f);
    } else {
        forward_note(f, 500, NULL);
        forward_finish(f);
    }
}

void
forward_to_gateway_again(struct forward *f)
{
    f->gateway_tries = f->gateway_tries > 0; /* all but what a dialog names may be tried anew */
    f->gateway_tried[0] = (struct gateway_try){0};
    forward_to_gateway(f);
}

bool
forward_has_other_gateway(const struct forward *f)
{
    const struct sip *s = f->proxy->sip;

    return s->is_gateway || is_hopeless(s) || choose_gateway(f) != NULL;
}

bool
forward_may_wait(const struct forward *f)
{
    return sip_moment(f->proxy->sip).mono_ms < f->gateway_until_ms;
}
