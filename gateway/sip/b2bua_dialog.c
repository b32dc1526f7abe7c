#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/sip/b2bua_call.h"

uint8_t
b2bua_dialog_find(const struct b2bua_call *c, const char *far_tag)
{
    if (!far_tag)
        return CALL_NO_DIALOG;
    for (uint8_t i = 0; i < B2BUA_DIALOGS_MAX; i++)
        if (c->dialog[i] && strcasecmp(c->dialog[i]->far_tag, far_tag) == 0)
            return i;
    return CALL_NO_DIALOG;
}

static bool
has_dialog(const struct b2bua_call *c)
{
    for (size_t i = 0; i < B2BUA_DIALOGS_MAX; i++)
        if (c->dialog[i])
            return true;
    return false;
}

uint8_t
b2bua_dialog_of(struct b2bua_call *c, const char *far_tag)
{
    struct b2bua_dialog *d;
    uint8_t i = b2bua_dialog_find(c, far_tag);

    if (!far_tag || i != CALL_NO_DIALOG)
        return i;
    for (i = 0; i < B2BUA_DIALOGS_MAX && c->dialog[i]; i++)
        ;
    if (i == B2BUA_DIALOGS_MAX)
        return CALL_NO_DIALOG;
    d = calloc(1, sizeof(*d));
    if (!d)
        return CALL_NO_DIALOG;
    d->key = (struct b2bua_key){.call = c, .leg = CALL_CALLER, .dialog = i};
    d->far_tag = strdup(far_tag);
    if (has_dialog(c) || call_winner(c->core) != CALL_NO_DIALOG)
        sip_random_text(d->our_tag, B2BUA_TAG_CHARS);
    else
        memcpy(d->our_tag, c->answer_tag, sizeof(d->our_tag));
    if (!d->far_tag || map_put(c->b2bua->tags, slice_text(d->our_tag), &d->key, NULL) != ST_OK) {
        free(d->far_tag);
        free(d);
        return CALL_NO_DIALOG;
    }
    c->dialog[i] = d;
    return i;
}

void
b2bua_dialog_drop(struct b2bua_call *c, uint8_t dialog)
{
    struct b2bua_dialog *d = dialog < B2BUA_DIALOGS_MAX ? c->dialog[dialog] : NULL;

    if (!d)
        return;
    c->dialog[dialog] = NULL;
    if (map_get(c->b2bua->tags, slice_text(d->our_tag)) == &d->key)
        map_remove(c->b2bua->tags, slice_text(d->our_tag));
    b2bua_peer_done(&d->peer);
    free(d->far_tag);
    free(d);
}

struct b2bua_peer *
b2bua_peer_of(struct b2bua_call *c, enum call_leg leg, uint8_t dialog)
{
    if (leg == CALL_CALLER)
        return &c->caller;
    if (dialog >= B2BUA_DIALOGS_MAX || !c->dialog[dialog])
        return NULL;
    return &c->dialog[dialog]->peer;
}

static void
replace_text(char **slot, char *text)
{
    if (!text)
        return;
    free(*slot);
    *slot = text;
}

static char *
text_of_url(const url_t *url)
{
    char text[SIP_URI_BYTES];
    issize_t len = url_e(text, sizeof(text), url);

    return len > 0 && (size_t)len < sizeof(text) ? strdup(text) : NULL;
}

/** The value of a Route header field; @is_reversed for one that a response brought.  What names
 * this node was put there by us (b2bua_initial_request) and is no hop. */
static char *
text_of_routes(const struct sip *s, const sip_record_route_t *first, bool is_reversed)
{
    char text[1024] = "";
    size_t used = 0;

    for (const sip_record_route_t *r = first; r; r = r->r_next) {
        char one[SIP_URI_BYTES + 4];
        issize_t len = url_e(one + 1, SIP_URI_BYTES, r->r_url);
        size_t one_len = (size_t)len + 2;

        if (sip_is_own_url(s, r->r_url))
            continue;
        if (len <= 0 || (size_t)len >= SIP_URI_BYTES || used + one_len + 2 > sizeof(text))
            return NULL;
        one[0] = '<';
        one[len + 1] = '>';
        if (used > 0) {
            if (is_reversed)
                memmove(text + 1, text, used);
            text[is_reversed ? 0 : used] = ',';
            used++;
        }
        if (is_reversed)
            memmove(text + one_len, text, used);
        memcpy(text + (is_reversed ? 0 : used), one, one_len);
        used += one_len;
    }
    text[used] = '\0';
    return used > 0 ? strdup(text) : NULL;
}

/**
 * A phone that sends by UDP from behind a NAT is reached where it sends from; one that is not may
 * listen elsewhere (RFC 3261 section 18.1.1; RFC 3581).
 */
static void
learn_source(struct b2bua_peer *p, const sip_t *sip, const struct sip_sender *sender)
{
    const url_t *url = sip->sip_contact ? sip->sip_contact->m_url : NULL;
    size_t host_len = strcspn(sender->address, ":");
    char text[SIP_URI_BYTES];

    if (sender->address[0] == '[')
        host_len = strcspn(sender->address, "]") + 1;
    if (url && url->url_host && strlen(url->url_host) == host_len &&
        strncasecmp(url->url_host, sender->address, host_len) == 0)
        return;
    snprintf(text, sizeof(text), "sip:%s;transport=udp", sender->address);
    replace_text(&p->next_hop, strdup(text));
}

static bool
is_direct(const struct b2bua_peer *p, const struct sip_sender *sender)
{
    return sender->side == SIP_PHONES && p->side == SIP_PHONES && !p->route;
}

void
b2bua_peer_learn_target(struct b2bua_peer *p, const sip_t *sip)
{
    if (sip->sip_contact)
        replace_text(&p->target, text_of_url(sip->sip_contact->m_url));
}

void
b2bua_peer_learn_flow(struct b2bua_peer *p, const struct sip_sender *sender)
{
    if (!is_direct(p, sender) || !tport_is_stream(sender->tport) || p->tport == sender->tport)
        return;
    if (p->tport)
        tport_unref(p->tport);
    p->tport = tport_ref(sender->tport);
}

void
b2bua_peer_from_request(const struct sip *s, struct b2bua_peer *p, const sip_t *sip,
                        const struct sip_sender *sender)
{
    p->side = sender->side;
    p->route = text_of_routes(s, sip->sip_record_route, false);
    p->is_stream = tport_is_stream(sender->tport) != 0;
    b2bua_peer_learn_target(p, sip);
    b2bua_peer_learn_flow(p, sender);
    if (is_direct(p, sender) && !p->is_stream)
        learn_source(p, sip, sender);
}

void
b2bua_peer_from_response(const struct sip *s, struct b2bua_peer *p, const sip_t *sip,
                         bool route_too)
{
    if (sip->sip_contact)
        replace_text(&p->target, text_of_url(sip->sip_contact->m_url));
    if (route_too && sip->sip_record_route)
        replace_text(&p->route, text_of_routes(s, sip->sip_record_route, true));
}

void
b2bua_peer_from_target(struct b2bua_peer *p, const struct sip_target *target)
{
    if (p->target)
        return;
    p->side = target->agent->side;
    p->target = strdup(target->request_uri);
    p->is_stream = p->side != SIP_PHONES;
    if (target->route[0])
        p->route = strdup(target->route); /* unless a Record-Route says better */
    if (target->tport) {
        p->tport = tport_ref(target->tport);
        p->is_stream = tport_is_stream(target->tport) != 0;
    } else if (p->side == SIP_PHONES) {
        p->is_stream = strcasestr(target->next_hop, "transport=tcp") != NULL;
        /* where its Contact is no address of its own, it is reached where it registered from */
        if (target->next_hop[0] && strcmp(target->next_hop, target->request_uri) != 0)
            p->next_hop = strdup(target->next_hop);
        p->known = strdup(target->next_hop);
    }
}

void
b2bua_peer_done(struct b2bua_peer *p)
{
    if (p->tport)
        tport_unref(p->tport);
    free(p->target);
    free(p->known);
    free(p->next_hop);
    free(p->route);
    *p = (struct b2bua_peer){0};
}

/** The first URI of "<sip:...>,<sip:...>". */
static void
first_route(const char *route, char out[SIP_URI_BYTES])
{
    size_t len = strcspn(route, ">");

    if (len > 1 && len - 1 < SIP_URI_BYTES) {
        memcpy(out, route + 1, len - 1);
        out[len - 1] = '\0';
    }
}

void
b2bua_peer_target(struct b2bua *b, const struct b2bua_peer *p, struct sip_target *ret)
{
    ret->agent = &b->sip->agent[p->side];
    ret->tport = NULL;
    ret->route[0] = '\0';
    ret->next_hop[0] = '\0';
    snprintf(ret->request_uri, sizeof(ret->request_uri), "%s", p->target ? p->target : "");
    if (p->tport && !tport_is_shutdown(p->tport))
        ret->tport = p->tport;
    else if (p->route)
        first_route(p->route, ret->next_hop);
    else
        snprintf(ret->next_hop, sizeof(ret->next_hop), "%s",
                 p->next_hop                                     ? p->next_hop
                 : p->known && !sip_is_address(ret->request_uri) ? p->known
                                                                 : ret->request_uri);
}
