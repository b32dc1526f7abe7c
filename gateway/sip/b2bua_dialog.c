#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/sip/b2bua_call.h"
#include "gateway/sip/flow.h"

uint8_t
b2bua_dialog_find(const struct b2bua_call *c, const char *far_tag)
{
    const char *tag = far_tag ? far_tag : "";

    for (uint8_t i = 0; i < c->dialog_count; i++)
        if (c->dialog[i] && strcasecmp(c->dialog[i]->far_tag, tag) == 0)
            return i;
    return CALL_NO_DIALOG;
}

/** Our tag: whoever takes the call over gives it the same one. */
static bool
name_dialog(struct b2bua_call *c, struct b2bua_dialog *d)
{
    if (!c->first_tag) {
        c->first_tag = strdup(d->far_tag);
        b2bua_changed(c);
    }
    if (c->first_tag && strcasecmp(c->first_tag, d->far_tag) == 0)
        memcpy(d->our_tag, c->answer_tag, sizeof(d->our_tag));
    else
        b2bua_await_tag(c, d->far_tag, d->our_tag);
    return c->first_tag != NULL;
}

/** Most calls have one. */
static bool
grow(struct b2bua_call *c)
{
    size_t count = c->dialog_count ? c->dialog_count * 2U : 1;
    struct b2bua_dialog **grown;

    if (count > B2BUA_DIALOGS_MAX)
        count = B2BUA_DIALOGS_MAX;
    grown = realloc(c->dialog, count * sizeof(struct b2bua_dialog *));
    if (!grown)
        return false;
    c->dialog = grown;
    while (c->dialog_count < count)
        c->dialog[c->dialog_count++] = NULL;
    return true;
}

bool
b2bua_dialog_put(struct b2bua_call *c, struct b2bua_dialog *d, bool is_final)
{
    uint8_t i = 0;

    while (i < c->dialog_count && c->dialog[i])
        i++;
    if (i == (is_final ? B2BUA_DIALOGS_MAX : B2BUA_EARLY_MAX) || (i == c->dialog_count && !grow(c)))
        return false;
    d->key = (struct b2bua_key){.call = c, .leg = CALL_CALLER, .dialog = i};
    if (map_put(c->b2bua->tags, slice_text(d->our_tag), &d->key, NULL) != ST_OK)
        return false;
    c->dialog[i] = d;
    return true;
}

uint8_t
b2bua_dialog_of(struct b2bua_call *c, const char *far_tag, bool is_final)
{
    struct b2bua_dialog *d;
    uint8_t i = b2bua_dialog_find(c, far_tag);

    if (i != CALL_NO_DIALOG)
        return i;
    d = calloc(1, sizeof(*d));
    if (!d)
        return CALL_NO_DIALOG;
    d->far_tag = strdup(far_tag ? far_tag : "");
    if (!d->far_tag || !name_dialog(c, d) || !b2bua_dialog_put(c, d, is_final)) {
        free(d->far_tag);
        free(d);
        return CALL_NO_DIALOG;
    }
    return d->key.dialog;
}

void
b2bua_dialog_drop(struct b2bua_call *c, uint8_t dialog)
{
    struct b2bua_dialog *d = b2bua_dialog_at(c, dialog);

    if (!d)
        return;
    c->dialog[dialog] = NULL;
    if (d->is_copied && !c->is_released)
        b2bua_tag_over(c->b2bua, d->our_tag);
    if (map_get(c->b2bua->tags, slice_text(d->our_tag)) == &d->key)
        map_remove(c->b2bua->tags, slice_text(d->our_tag));
    b2bua_peer_done(&d->peer);
    free(d->far_tag);
    free(d);
}

struct b2bua_peer *
b2bua_peer_of(struct b2bua_call *c, enum call_leg leg, uint8_t dialog)
{
    struct b2bua_dialog *d = b2bua_dialog_at(c, dialog);

    if (leg == CALL_CALLER)
        return &c->caller;
    return d ? &d->peer : NULL;
}

static void
replace_text(char **slot, char *text)
{
    if (!text)
        return;
    free(*slot);
    *slot = text;
}

char *
b2bua_text_of_url(const url_t *url)
{
    char text[SIP_URI_BYTES];
    issize_t len = url_e(text, sizeof(text), url);
    char *whole;

    if (len <= 0 || (size_t)len < sizeof(text))
        return len > 0 ? strdup(text) : NULL;
    whole = malloc((size_t)len + 1);
    if (whole)
        url_e(whole, len + 1, url);
    return whole;
}

/** The value of a Route header field; @is_reversed for one that a response brought.  What names
 * this node was put there by us (b2bua_initial_request) and is no hop. */
static char *
text_of_routes(const struct sip *s, const sip_record_route_t *first, bool is_reversed)
{
    char *all = NULL;
    size_t len = 0;

    for (const sip_record_route_t *r = first; r; r = r->r_next) {
        char *one = sip_is_own_url(s, r->r_url) ? NULL : b2bua_text_of_url(r->r_url);
        size_t one_len = one ? strlen(one) + 2 : 0;
        char *grown = one ? realloc(all, len + one_len + 2) : NULL;
        char *at = grown;

        if (!grown) {
            free(one);
            continue;
        }
        all = grown;
        if (len > 0 && is_reversed) {
            memmove(all + one_len + 1, all, len);
            all[one_len] = ',';
        } else if (len > 0) {
            all[len] = ',';
            at = all + len + 1;
        }
        *at = '<';
        memcpy(at + 1, one, one_len - 2);
        at[one_len - 1] = '>';
        len += one_len + (len > 0);
        all[len] = '\0';
        free(one);
    }
    return all;
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
        strncasecmp(url->url_host, sender->address, host_len) == 0 && !flow_leads_nowhere(url))
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
        replace_text(&p->target, b2bua_text_of_url(sip->sip_contact->m_url));
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
        replace_text(&p->target, b2bua_text_of_url(sip->sip_contact->m_url));
    if (route_too && sip->sip_record_route)
        replace_text(&p->route, text_of_routes(s, sip->sip_record_route, true));
}

void
b2bua_peer_from_target(struct b2bua_peer *p, const struct sip_target *target)
{
    char hop[SIP_URI_BYTES];

    if (p->target)
        return;
    p->side = target->agent->side;
    p->target = target->request_uri ? strdup(target->request_uri) : NULL;
    p->is_stream = p->side != SIP_PHONES;
    if (target->route[0])
        p->route = strdup(target->route); /* unless a Record-Route says better */
    if (target->tport) {
        p->tport = tport_ref(target->tport);
        p->is_stream = tport_is_stream(target->tport) != 0;
    } else if (p->side == SIP_PHONES) {
        p->is_stream = strcasestr(target->next_hop, "transport=tcp") != NULL;
        /* where its Contact is no address of its own, it is reached where it registered from */
        if (target->next_hop[0] && target->request_uri &&
            (!sip_next_hop(target->request_uri, hop) || strcmp(target->next_hop, hop) != 0))
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

/** The next hop of a URI of @len bytes. */
static void
write_hop(const char *uri, size_t len, char out[SIP_URI_BYTES])
{
    char text[PHONE_URI_BYTES];

    if (len >= sizeof(text))
        return;
    memcpy(text, uri, len);
    text[len] = '\0';
    sip_next_hop(text, out);
}

void
b2bua_peer_target(struct b2bua *b, const struct b2bua_peer *p, struct sip_target *ret)
{
    ret->agent = &b->sip->agent[p->side];
    ret->tport = NULL;
    ret->route[0] = '\0';
    ret->path = NULL;
    ret->next_hop[0] = '\0';
    ret->request_uri = NULL; /* the message has it */
    if (p->tport)
        ret->tport = tport_is_shutdown(p->tport) ? flow_later(tport_name(p->tport)) : p->tport;
    if (ret->tport)
        return;
    if (p->route)
        write_hop(p->route + 1, strcspn(p->route + 1, ">"), ret->next_hop);
    else if (p->next_hop)
        write_hop(p->next_hop, strlen(p->next_hop), ret->next_hop);
    else if (p->target)
        write_hop(p->target, strlen(p->target), ret->next_hop);
    if (!ret->tport && !p->route && !p->next_hop && p->known && !ret->next_hop[0])
        snprintf(ret->next_hop, sizeof(ret->next_hop), "%s", p->known);
}
