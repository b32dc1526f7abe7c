/* Our Contact outside its dialog: which end of which call it stands for, while that lives and
 * after. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/sip/b2bua_call.h"

#define OVER_MS 32000 /* 64*T1: who was told of the Contact may have been so a moment ago */

/** What one call's Contacts stand for; the map's key is its token. */
struct b2bua_place {
    struct list_node link;   /* in b2bua.places_over, by age; of a call that has ended */
    struct b2bua_call *call; /* NULL once it has ended */
    char token[B2BUA_TOKEN_CHARS + 1];
    uint64_t until_ms;
    struct b2bua_peer end[2]; /* by enum call_leg, once the call has ended */
    char *uri[2];             /* of the users there */
    char *far_overlay;
};

bool
b2bua_place_new(struct b2bua_call *c)
{
    struct b2bua_place *place = calloc(1, sizeof(*place));

    if (!place)
        return false;
    list_init(&place->link);
    place->call = c;
    memcpy(place->token, c->token, sizeof(place->token));
    if (map_put(c->b2bua->places, slice_text(place->token), place, NULL) != ST_OK) {
        free(place);
        return false;
    }
    c->place = place;
    return true;
}

static void
drop(struct b2bua *b, struct b2bua_place *place)
{
    list_remove(&place->link);
    map_remove(b->places, slice_text(place->token));
    b2bua_peer_done(&place->end[CALL_CALLER]);
    b2bua_peer_done(&place->end[CALL_CALLEE]);
    free(place->uri[CALL_CALLER]);
    free(place->uri[CALL_CALLEE]);
    free(place->far_overlay);
    free(place);
}

/** Takes what it needs from the call, which is being freed. */
void
b2bua_place_outlive(struct b2bua_call *c)
{
    struct b2bua *b = c->b2bua;
    struct b2bua_place *place = c->place;
    struct b2bua_dialog *d = c->core ? b2bua_dialog_at(c, call_winner(c->core)) : NULL;

    c->place = NULL;
    if (!place)
        return;
    if (!d || c->is_released) {
        drop(b, place);
        return;
    }
    place->call = NULL;
    place->until_ms = sip_moment(b->sip).mono_ms + OVER_MS;
    place->end[CALL_CALLER] = c->caller;
    place->end[CALL_CALLEE] = d->peer;
    c->caller = d->peer = (struct b2bua_peer){0};
    place->uri[CALL_CALLER] = c->from_uri;
    place->uri[CALL_CALLEE] = c->to_uri;
    place->far_overlay = c->far_overlay;
    c->far_overlay = c->from_uri = c->to_uri = NULL;
    list_append(&b->places_over, &place->link);
}

void
b2bua_place_tick(struct b2bua *b, uint64_t now_ms)
{
    while (!list_is_empty(&b->places_over)) {
        struct b2bua_place *place = list_entry(b->places_over.next, struct b2bua_place, link);

        if (place->until_ms > now_ms)
            return;
        drop(b, place);
    }
}

void
b2bua_place_end(struct b2bua *b)
{
    b2bua_place_tick(b, UINT64_MAX);
}

/** The token and which end of a Contact's user: "TOKENa" stands for the caller's. */
static bool
read_user(const char *user, struct slice *ret_token, enum call_leg *ret_leg)
{
    if (!user || strlen(user) != B2BUA_TOKEN_CHARS + 1 ||
        strspn(user, "abcdefghijkmnpqrstuvwxyz23456789") != B2BUA_TOKEN_CHARS + 1)
        return false;
    *ret_token = slice_of(user, B2BUA_TOKEN_CHARS);
    *ret_leg = user[B2BUA_TOKEN_CHARS] == 'a' ? CALL_CALLER : CALL_CALLEE;
    return user[B2BUA_TOKEN_CHARS] == 'a' || user[B2BUA_TOKEN_CHARS] == 'b';
}

bool
b2bua_is_token(const char *user)
{
    struct slice token;
    enum call_leg leg;

    return read_user(user, &token, &leg);
}

const struct b2bua_peer *
b2bua_place_find(struct b2bua *b, const char *user, const char **ret_far_overlay)
{
    struct slice token;
    enum call_leg leg;
    struct b2bua_place *place = read_user(user, &token, &leg) ? map_get(b->places, token) : NULL;
    struct b2bua_call *c = place ? place->call : NULL;
    struct b2bua_peer *p = place ? &place->end[leg] : NULL;

    if (c) {
        uint8_t winner = call_winner(c->core);

        p = b2bua_peer_of(c, leg, winner == CALL_NO_DIALOG ? 0 : winner);
    }
    if (!p || !p->target)
        return NULL;
    *ret_far_overlay = NULL;
    if (p->side == SIP_GATEWAYS)
        *ret_far_overlay = c ? c->far_overlay : place->far_overlay;
    return p;
}

const char *
b2bua_place_aor(struct b2bua *b, const char *user)
{
    struct slice token;
    enum call_leg leg;
    struct b2bua_place *place = read_user(user, &token, &leg) ? map_get(b->places, token) : NULL;

    if (!place)
        return NULL;
    if (!place->call)
        return place->uri[leg];
    return leg == CALL_CALLER ? place->call->from_uri : place->call->to_uri;
}

/* The address is ours, or that of the gateway whose call this was: the token says it all. */
bool
b2bua_place_is(struct b2bua *b, const url_t *url)
{
    const char *far_overlay;

    return url->url_host && !sip_domain_is_local(b->sip, url->url_host) &&
           b2bua_place_find(b, url->url_user, &far_overlay) != NULL;
}

bool
b2bua_owns_contact(struct sip *s, const sip_t *sip)
{
    return b2bua_place_is(s->b2bua, sip->sip_request->rq_url);
}
