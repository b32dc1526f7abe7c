/* The change that a REGISTER makes to this node's bindings of an AOR. */
#include "gateway/sip/registration.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/sip/flow.h"
#include "gateway/sip/send.h"

/* What a record has besides its contacts' texts, with notes for all it may hold of other peers. */
#define RECORD_REST_BYTES (BINDING_SUPERSEDED_MAX * 224 + AOR_BYTES + SIP_URI_BYTES)

/* So many are under way that none would be stored in time: who has a binding here keeps it. */
bool
registration_has_room(size_t under_way, size_t bindings)
{
    return under_way <= (bindings > 0 ? REGISTRATIONS_MAX : REGISTRATIONS_NEW_MAX);
}

void
registration_end(struct registration *r)
{
    list_remove(&r->link);
    r->sip->registration_count--;
    list_remove(&r->change.link);
    ask_cancel(&r->ask);
    su_timer_destroy(r->timer);
    for (size_t k = 0; k < r->record_count; k++) {
        if (r->told[k].orq)
            sip_send_end(r->told[k].orq);
        binding_record_free(r->record[k]);
    }
    for (size_t i = 0; i < BINDING_CONTACTS_MAX; i++)
        free(r->wanted[i].uri);
    free(r->path);
    nta_incoming_destroy(r->irq);
    free(r);
}

bool
registration_is_same(const struct binding_contact *c, const struct wanted *w)
{
    /* RFC 5626 section 6: instance and reg-id are the binding then, not the URI */
    if (c->reg_id || w->reg_id)
        return c->reg_id == w->reg_id && strcmp(c->instance, w->instance) == 0;
    return location_uri_equal(c->uri, w->uri);
}

bool
registration_is_late(const struct registration *r, const struct binding_contact *c)
{
    return strcmp(c->call_id, r->call_id) == 0 && r->cseq <= c->cseq;
}

static bool
refuse_late(struct registration *r)
{
    registration_refuse(r, 500, "CSeq is not higher than the last one", 0);
    return false;
}

/* The binding as it will be; @was: as it is, or NULL. */
static struct location_contact *
contact_of(const struct registration *r, const struct wanted *w, const struct location_contact *was)
{
    uint64_t wall_ms = sip_moment(r->sip).wall_ms;
    char token[BINDING_TOKEN_BYTES];
    struct location_contact *made;
    const struct binding_contact c = {.uri = w->uri,
                                      .q_thousandths = w->q_thousandths,
                                      .expires_at_wall_ms = wall_ms + w->expires_s * 1000ull,
                                      .registered_at_wall_ms = peer_bindings_time(r, wall_ms),
                                      .call_id = r->call_id,
                                      .cseq = r->cseq,
                                      .instance = w->instance,
                                      .reg_id = w->reg_id,
                                      .token = token,
                                      .is_on_connection = w->is_on_connection,
                                      .is_by_uri = !w->is_on_connection && !r->path};

    if (was && !was->binding.is_on_connection == !w->is_on_connection && !was->path == !r->path)
        memcpy(token, was->binding.token, strlen(was->binding.token) + 1);
    else
        location_token_new(r->sip, !w->is_on_connection && !r->path, token);
    made = location_contact_new(&c, w->flow, r->path);
    if (made)
        made->origin = r->origin;
    return made;
}

/* Where a new contact goes when there are as many as there may be: the phone's own oldest. */
static size_t
oldest_of_instance(const struct location_contacts *l, const char *instance)
{
    size_t oldest = l->count;

    for (size_t i = 0; instance[0] && i < l->count; i++)
        if (strcmp(l->item[i]->binding.instance, instance) == 0 &&
            (oldest == l->count || l->item[i]->binding.registered_at_wall_ms <
                                       l->item[oldest]->binding.registered_at_wall_ms))
            oldest = i;
    return oldest;
}

static bool
has_room(const struct location_contacts *l)
{
    size_t bytes = RECORD_REST_BYTES;

    for (size_t i = 0; i < l->count; i++)
        bytes += strlen(l->item[i]->binding.uri) + CALL_ID_BYTES + INSTANCE_BYTES +
                 BINDING_TOKEN_BYTES + sizeof(struct binding_contact);
    return bytes <= BINDING_RECORD_BYTES_MAX;
}

/* False: there is no room for it. */
static bool
put(struct registration *r, struct location_contacts *l, const struct wanted *w, size_t at)
{
    bool is_full = at == BINDING_CONTACTS_MAX;
    size_t place = is_full ? oldest_of_instance(l, w->instance) : at;
    struct location_contact *made;

    if (place >= BINDING_CONTACTS_MAX)
        return false;
    made = contact_of(r, w, place < l->count && !is_full ? l->item[place] : NULL);
    if (!made)
        return false;
    if (place < l->count)
        location_contact_release(l->item[place]);
    else
        l->count++;
    l->item[place] = made;
    return has_room(l);
}

/* What other peers have taken over in the meantime is theirs. */
static void
drop_superseded(const struct registration *r, struct location_contacts *l)
{
    for (size_t i = l->count; i-- > 0;)
        for (size_t k = 0; k < r->record_count; k++)
            if (binding_is_superseded(r->record[k], &l->item[i]->binding)) {
                location_contacts_drop(l, i);
                break;
            }
}

static bool
apply_star(struct registration *r, struct location_contacts *l)
{
    for (size_t i = 0; i < l->count; i++)
        if (registration_is_late(r, &l->item[i]->binding))
            return refuse_late(r);
    while (l->count > 0)
        location_contacts_drop(l, l->count - 1);
    return true;
}

/* A phone's flows of other numbers are others (RFC 5626 section 6). */
static void
bind_flow(struct registration *r, const struct wanted *w)
{
    char device[PHONE_URI_BYTES + 16];

    if (!w->flow)
        return;
    snprintf(device, sizeof(device), "%s;%u", w->instance[0] ? w->instance : w->uri, w->reg_id);
    flow_bind(r->sip, w->flow, r->change.aor, device);
}

static bool
apply_contacts(struct registration *r, struct location_contacts *l)
{
    for (size_t i = 0; i < r->count; i++) {
        const struct wanted *w = &r->wanted[i];
        size_t k = 0;

        while (k < l->count && !registration_is_same(&l->item[k]->binding, w))
            k++;
        if (k < l->count && registration_is_late(r, &l->item[k]->binding))
            return refuse_late(r);
        bind_flow(r, w);
        if (w->expires_s == 0 && k < l->count)
            location_contacts_drop(l, k);
        if (w->expires_s > 0 && !put(r, l, w, k)) {
            registration_refuse(r, 500, "Too many contacts", SIP_RETRY_AFTER_S);
            return false;
        }
    }
    return true;
}

static bool
has_token(const struct location_contacts *l, const char *token)
{
    for (size_t i = 0; i < l->count; i++)
        if (strcmp(l->item[i]->binding.token, token) == 0)
            return true;
    return false;
}

static void
take_up_notes(const struct binding_record *own, struct location_contacts *l)
{
    for (size_t i = 0; i < own->superseded_count; i++) {
        const struct binding_superseded *s = &own->superseded[i];
        bool is_there = l->note_count == BINDING_SUPERSEDED_MAX;
        struct location_note *n;

        for (size_t k = 0; k < l->note_count; k++)
            is_there = is_there || (strcmp(l->note[k].token, s->token) == 0 &&
                                    l->note[k].at_wall_ms >= s->at_wall_ms);
        if (is_there)
            continue;
        n = &l->note[l->note_count++];
        *n = (struct location_note){.cseq = s->cseq,
                                    .at_wall_ms = s->at_wall_ms,
                                    .expires_at_wall_ms = s->expires_at_wall_ms};
        snprintf(n->token, sizeof(n->token), "%s", s->token);
        snprintf(n->call_id, sizeof(n->call_id), "%s", s->call_id);
    }
}

/* This node's record may be of an earlier run of it: what it can still reach is in force, though
 * the phones have not registered again yet (RFC 3261 section 10.3 item 8). */
static void
take_up(const struct registration *r, size_t k, struct location_contacts *l)
{
    const struct binding_record *own = r->record[k];
    uint64_t wall_ms = sip_moment(r->sip).wall_ms;
    const struct location_contact *live;

    for (size_t i = 0; i < own->contact_count && l->count < BINDING_CONTACTS_MAX; i++) {
        const struct binding_contact *c = &own->contact[i];
        struct location_contact *made;

        if (has_token(l, c->token) || !binding_is_live(r->record, r->record_count, k, i, wall_ms) ||
            location_token_read(r->sip, c->token, &live) != LOCATION_TOKEN_BY_URI)
            continue;
        made = location_contact_new(c, 0, NULL);
        if (made)
            l->item[l->count++] = made;
    }
    take_up_notes(own, l);
}

static bool
apply(void *ctx, struct location_contacts *l)
{
    struct registration *r = ctx;
    size_t before;

    for (size_t k = 0; k < r->record_count; k++)
        if (sip_is_own_path(r->sip, r->record[k]->path))
            take_up(r, k, l);
    before = l->count + l->note_count;
    drop_superseded(r, l);
    if (r->is_star ? !apply_star(r, l) : !apply_contacts(r, l))
        return false;
    peer_bindings_note(r, l);
    if (before + l->count + l->note_count > 0)
        return true;
    registration_done(r, ST_OK, NULL, 0); /* nothing was bound here, and nothing is */
    return false;
}

/* The 200 has waited long enough; what is stored later holds all the same. */
static void
on_late_store(su_root_magic_t *magic, su_timer_t *timer, su_timer_arg_t *arg)
{
    struct registration *r = (struct registration *)arg;

    (void)magic;
    (void)timer;
    sip_reply(r->irq, 500, "Location service is slow", SIP_RETRY_AFTER_S);
    nta_incoming_destroy(r->irq);
    r->irq = NULL;
}

void
registration_change(struct registration *r)
{
    r->change.apply = apply;
    r->change.done = registration_done;
    r->change.ctx = r;
    if (r->timer)
        su_timer_set_interval(r->timer, on_late_store, (su_timer_arg_t *)r, REGISTRATION_STORE_MS);
    location_change(r->sip, &r->change);
}
