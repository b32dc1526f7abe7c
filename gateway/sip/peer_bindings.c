/* Bindings of an AOR at other serving peers: a registrar is the overlay's, not the node's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sofia-sip/sip_tag.h>

#include "gateway/sip/registration.h"
#include "gateway/sip/send.h"

static bool
is_other(const struct registration *r, size_t k)
{
    const char *path = r->record[k]->path;

    return path[0] != '\0' && !sip_is_own_path(r->sip, path);
}

bool
peer_bindings_is_listed(const struct registration *r, size_t k, size_t i, uint64_t wall_ms)
{
    return is_other(r, k) && !(r->dropped[k] >> i & 1u) &&
           binding_is_live(r->record, r->record_count, k, i, wall_ms);
}

uint64_t
peer_bindings_time(const struct registration *r, uint64_t wall_ms)
{
    for (size_t k = 0; k < r->record_count; k++)
        for (size_t i = 0; i < r->record[k]->superseded_count; i++)
            if (r->record[k]->superseded[i].at_wall_ms >= wall_ms)
                wall_ms = r->record[k]->superseded[i].at_wall_ms + 1;
    return wall_ms;
}

/* ---- what peers could not be told
 * ------------------------------------------------------------------ */

/* @token: of a binding, or "*".  The oldest note makes room. */
static void
add_note(const struct registration *r, struct location_contacts *l, const char *token,
         uint64_t expires_at_wall_ms)
{
    struct location_note *n;

    if (l->note_count == BINDING_SUPERSEDED_MAX) {
        l->note_count--;
        memmove(&l->note[0], &l->note[1], l->note_count * sizeof(l->note[0]));
    }
    n = &l->note[l->note_count++];
    *n = (struct location_note){.cseq = r->cseq,
                                .at_wall_ms = peer_bindings_time(r, sip_moment(r->sip).wall_ms),
                                .expires_at_wall_ms = expires_at_wall_ms};
    snprintf(n->token, sizeof(n->token), "%s", token);
    snprintf(n->call_id, sizeof(n->call_id), "%s", r->call_id);
}

void
peer_bindings_note(const struct registration *r, struct location_contacts *l)
{
    uint64_t last_ms = 0;

    for (size_t k = 0; k < r->record_count; k++) {
        if (r->told[k].is_done)
            continue;
        for (size_t i = 0; i < r->record[k]->contact_count; i++) {
            const struct binding_contact *c = &r->record[k]->contact[i];

            if (!(r->dropped[k] >> i & 1u))
                continue;
            if (c->expires_at_wall_ms > last_ms)
                last_ms = c->expires_at_wall_ms;
            if (!r->is_star)
                add_note(r, l, c->token, c->expires_at_wall_ms);
        }
    }
    if (r->is_star && last_ms > 0)
        add_note(r, l, "*", last_ms);
}

/* ---- telling them
 * ------------------------------------------------------------------------------------ */

/* Peers have answered, or had their time. */
static void
finish(struct registration *r)
{
    for (size_t k = 0; k < r->record_count; k++) {
        if (r->told[k].orq)
            sip_send_end(r->told[k].orq);
        r->told[k].orq = NULL;
        if (r->told[k].is_done)
            ask_doubt(r->sip, r->change.aor); /* what it had is no longer true */
    }
    registration_change(r);
}

static int
on_response(nta_outgoing_magic_t *magic, nta_outgoing_t *orq, const sip_t *sip)
{
    struct told_peer *peer = (struct told_peer *)magic;
    struct registration *r = peer->registration;
    int status = sip && sip->sip_status ? sip->sip_status->st_status : nta_outgoing_status(orq);

    if (status < 200)
        return 0;
    sip_send_end(orq);
    peer->orq = NULL;
    peer->is_done = status < 300;
    r->told_count--;
    /* It knows of a later REGISTER of the same Call-ID than its record says. */
    if (status == 500 && sip && !nta_sip_is_internal(sip))
        registration_refuse(r, 500, "CSeq is not higher than the last one", 0);
    else if (r->told_count == 0)
        finish(r);
    return 0;
}

static void
on_late(su_root_magic_t *magic, su_timer_t *timer, su_timer_arg_t *arg)
{
    (void)magic;
    (void)timer;
    finish((struct registration *)arg);
}

/* "<sip:...>;expires=0, ...", or "*". */
static char *
dropped_text(const struct registration *r, size_t k)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out;

    if (r->is_star)
        return strdup("*");
    out = open_memstream(&text, &len);
    for (size_t i = 0; out && i < r->record[k]->contact_count; i++)
        if (r->dropped[k] >> i & 1u)
            fprintf(out, "%s<%s>;expires=0", ftell(out) > 0 ? ", " : "",
                    r->record[k]->contact[i].uri);
    if (out)
        fclose(out);
    return text;
}

/* The phone's own REGISTER, as far as it concerns that peer: Call-ID and CSeq order it there. */
static msg_t *
register_message(const struct registration *r, size_t k)
{
    msg_t *in = nta_incoming_getrequest(r->irq);
    const sip_t *from = in ? sip_object(in) : NULL;
    msg_t *msg = from ? msg_create(sip_default_mclass(), 0) : NULL;
    sip_t *sip = msg ? sip_object(msg) : NULL;
    char *contact = sip ? dropped_text(r, k) : NULL;
    su_home_t *home = msg ? msg_home(msg) : NULL;
    int added = -1;

    if (contact)
        added = sip_add_tl(msg, sip,
                           SIPTAG_REQUEST(sip_request_format(home, "REGISTER sip:%s SIP/2.0",
                                                             strrchr(r->change.aor, '@') + 1)),
                           SIPTAG_FROM(from->sip_from), SIPTAG_TO(from->sip_to),
                           SIPTAG_CALL_ID(from->sip_call_id), SIPTAG_CSEQ(from->sip_cseq),
                           SIPTAG_CONTACT_STR(contact), SIPTAG_EXPIRES_STR("0"),
                           SIPTAG_MAX_FORWARDS_STR("70"), TAG_END());
    free(contact);
    msg_destroy(in);
    if (added >= 0 && sip->sip_request && sip->sip_contact)
        return msg;
    msg_destroy(msg);
    return NULL;
}

static void
tell(struct registration *r, size_t k)
{
    struct told_peer *peer = &r->told[k];
    struct sip_target target;
    msg_t *msg;

    if (sip_target_of_uri(r->sip, r->record[k]->path, &target))
        return;
    target.request_uri = NULL;
    msg = register_message(r, k);
    peer->registration = r;
    peer->orq =
        msg ? sip_send(r->sip, &target, msg, on_response, (nta_outgoing_magic_t *)peer) : NULL;
    if (peer->orq)
        r->told_count++;
}

/* ---- what they have
 * ----------------------------------------------------------------------------------- */

/* The same phone, though at another address: it has come to us from another peer. */
static bool
is_moved(const struct binding_contact *c, const struct wanted *w)
{
    return w->expires_s > 0 && w->instance[0] && strcmp(c->instance, w->instance) == 0 &&
           c->reg_id == w->reg_id;
}

/* False: it is too late for one of them, and the whole REGISTER fails (section 10.3 item 7). */
static bool
mark_dropped(struct registration *r, size_t k, uint64_t wall_ms)
{
    for (size_t i = 0; i < r->record[k]->contact_count; i++) {
        const struct binding_contact *c = &r->record[k]->contact[i];
        bool is_dropped = r->is_star;

        if (!binding_is_live(r->record, r->record_count, k, i, wall_ms))
            continue;
        for (size_t n = 0; n < r->count && !is_dropped; n++)
            is_dropped = registration_is_same(c, &r->wanted[n]) || is_moved(c, &r->wanted[n]);
        if (is_dropped && registration_is_late(r, c))
            return false;
        r->dropped[k] |= (uint32_t)is_dropped << i;
    }
    return true;
}

static void
on_bindings(void *ctx, const struct answer *answer)
{
    struct registration *r = ctx;
    uint64_t wall_ms = sip_moment(r->sip).wall_ms;

    if (answer->status != ST_OK && answer->status != ST_NOT_FOUND) {
        registration_done(r, answer->status, NULL, 0);
        return;
    }
    for (size_t k = 0; answer->binding && k < answer->count && k < BRIDGE_BINDINGS_MAX; k++) {
        r->record[r->record_count] = binding_record_copy(answer->binding[k]);
        if (r->record[r->record_count])
            r->record_count++;
    }
    for (size_t k = 0; k < r->record_count && !r->is_of_peer; k++)
        if (is_other(r, k) && !mark_dropped(r, k, wall_ms)) {
            registration_refuse(r, 500, "CSeq is not higher than the last one", 0);
            return;
        }
    for (size_t k = 0; k < r->record_count; k++)
        if (r->dropped[k])
            tell(r, k);
    r->timer = r->told_count > 0
                   ? su_timer_create(su_root_task(r->sip->root), REGISTRATION_PEERS_MS)
                   : NULL;
    if (r->timer)
        su_timer_set(r->timer, on_late, (su_timer_arg_t *)r);
    else
        finish(r);
}

void
peer_bindings_ask(struct registration *r)
{
    r->ask.done = on_bindings;
    r->ask.ctx = r;
    ask_lookup_fresh(r->sip, r->change.aor, &r->ask);
}
