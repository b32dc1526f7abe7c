#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/aor.h"
#include "gateway/sip/b2bua_call.h"
#include "gateway/sip/domain.h"
#include "gateway/sip/header_policy.h"
#include "gateway/sip/location.h"
#include "gateway/sip/send.h"
#include "gateway/sip/twin.h"

/* ---- who is it for ---- */

static struct b2bua_branch *
add_branch(struct b2bua_call *c)
{
    struct b2bua_initial *in = c->initial;
    struct b2bua_branch *b;

    if (in->count == CALL_BRANCHES_MAX)
        return NULL;
    b = calloc(1, sizeof(*b));
    if (!b)
        return NULL;
    b->call = c;
    b->index = in->count;
    in->branch[in->count++] = b;
    return b;
}

/** A call's lot for a gateway: the lowest wins, as often as the weight says. */
static double
draw_lot(const struct b2bua_call *c, const struct bridge_gateway *gateway)
{
    uint64_t hash = map_hash(map_hash(0, slice_text(c->callee_call_id)),
                             slice_of(gateway->node.bytes, sizeof(gateway->node.bytes)));

    return -log(((double)(hash >> 12) + 1) / 0x1p53) / (gateway->weight + 1.0);
}

/** RFC 2782: lowest priority first, among equals according to weight.  The lots are the call's:
 * should it come once more, from another of our gateways, it goes to the far gateway that has it.
 */
static size_t
pick_gateway(const struct b2bua_call *c, const struct bridge_gateway *gateway, size_t count,
             const bool *is_used)
{
    size_t best = count;
    double best_lot = 0;

    for (size_t i = 0; i < count; i++) {
        double lot = draw_lot(c, &gateway[i]);

        if (is_used[i] || (best < count && gateway[i].priority > gateway[best].priority))
            continue;
        if (best < count && gateway[i].priority == gateway[best].priority && lot >= best_lot)
            continue;
        best = i;
        best_lot = lot;
    }
    return best;
}

static void
set_gateway_target(struct b2bua_call *c, struct b2bua_branch *b,
                   const struct bridge_gateway *gateway)
{
    const sip_t *sip = sip_object(c->initial->request);
    const url_t *url = sip->sip_request->rq_url;
    size_t len = strcspn(gateway->uri, ";");
    const char *far_overlay;
    const struct b2bua_peer *p = b2bua_place_find(c->b2bua, url->url_user, &far_overlay);

    b->node = gateway->node;
    b->target.agent = &c->b2bua->sip->agent[SIP_GATEWAYS];
    snprintf(b->target.next_hop, sizeof(b->target.next_hop), "%.*s;transport=tls",
             (int)(len < 200 ? len : 200), gateway->uri);
    b->request_uri = c->initial->is_to_place && p && far_overlay
                         ? strdup(p->target)
                         : url_as_string(NULL, sip->sip_request->rq_url);
    b->target.request_uri = b->request_uri;
}

/** Its request to this gateway that was silent, and is still under way: another one would ring
 * twice. */
static const struct b2bua_branch *
silent_branch(const struct b2bua_call *c, const struct id *gateway)
{
    for (unsigned i = 0; i < c->initial->count; i++) {
        const struct b2bua_branch *b = c->initial->branch[i];

        if (b->orq && !b->is_heard && !b->is_dropped && id_equal(&b->node, gateway) &&
            call_kind(c->core) == CALL_SESSION)
            return b;
    }
    return NULL;
}

/** A branch for each gateway that is not used, in the order of the ring.  Returns how many. */
static size_t
add_gateways(struct b2bua_call *c, const struct answer *answer, bool *is_used,
             struct call_target target[CALL_BRANCHES_MAX])
{
    size_t count = answer->count < BRIDGE_GATEWAYS_MAX ? answer->count : BRIDGE_GATEWAYS_MAX;
    size_t made = 0;

    for (size_t i = 0; i < count; i++) {
        size_t pick = pick_gateway(c, answer->gateway, count, is_used);
        const struct b2bua_branch *silent =
            pick < count ? silent_branch(c, &answer->gateway[pick].node) : NULL;
        struct b2bua_branch *b = pick < count && !silent ? add_branch(c) : NULL;

        if (!b && !silent)
            break;
        is_used[pick] = true;
        target[made] = (struct call_target){.group = c->initial->groups++, .is_hop = true};
        if (silent)
            target[made].again = (uint8_t)(silent->index + 1);
        else
            set_gateway_target(c, b, &answer->gateway[pick]);
        made++;
    }
    return made;
}

/** The far gateway that has the call which this one is to replace or join: it alone knows what its
 * names are there. */
static size_t
add_named(struct b2bua_call *c, const struct answer *answer, bool *is_used,
          struct call_target target[CALL_BRANCHES_MAX])
{
    const struct b2bua_peer *p = b2bua_named_peer(c->b2bua, sip_object(c->initial->request));
    char hop[SIP_URI_BYTES], wanted[SIP_URI_BYTES];
    bool is_other[BRIDGE_GATEWAYS_MAX];
    size_t made = 0;

    if (!p || p->side != SIP_GATEWAYS || !p->target || !sip_next_hop(p->target, wanted))
        return 0;
    for (size_t i = 0; i < answer->count && i < BRIDGE_GATEWAYS_MAX; i++) {
        if (!sip_next_hop(answer->gateway[i].uri, hop) || strcasecmp(hop, wanted) != 0)
            continue;
        memset(is_other, true, sizeof(is_other));
        is_other[i] = false;
        made = add_gateways(c, answer, is_other, target);
        is_used[i] = true;
        break;
    }
    return made;
}

static bool
has_branch(const struct b2bua_initial *in, const struct id *gateway)
{
    for (unsigned i = 0; i < in->count; i++)
        if (id_equal(&in->branch[i]->node, gateway))
            return true;
    return false;
}

static bool
is_elsewhere(const struct b2bua_initial *in, const struct id *gateway)
{
    for (unsigned i = 0; i < in->count; i++)
        if (in->branch[i]->is_elsewhere && id_equal(&in->branch[i]->node, gateway))
            return true;
    return false;
}

/** Behind them those of lower terms: they are asked for whom the others do not know. */
static size_t
add_others(struct b2bua_call *c, const struct answer *answer, size_t made,
           struct call_target target[CALL_BRANCHES_MAX])
{
    for (size_t i = 0; i < answer->other_count && made < CALL_BRANCHES_MAX; i++) {
        struct b2bua_branch *b =
            has_branch(c->initial, &answer->other[i].node) ? NULL : add_branch(c);

        if (!b)
            continue;
        target[made++] =
            (struct call_target){.group = c->initial->groups++, .is_hop = true, .is_other = true};
        set_gateway_target(c, b, &answer->other[i]);
    }
    return made;
}

static void
on_routes(void *ctx, const struct answer *answer)
{
    struct b2bua_call *c = ctx;
    struct call_target target[CALL_BRANCHES_MAX];
    bool is_used[BRIDGE_GATEWAYS_MAX] = {false};
    size_t made = 0;
    struct moment now = sip_moment(c->b2bua->sip);

    b2bua_call_hold(c);
    if (answer->status == ST_OK && answer->overlay)
        snprintf(c->initial->overlay, sizeof(c->initial->overlay), "%s", answer->overlay);
    for (size_t i = 0; i < answer->count && i < BRIDGE_GATEWAYS_MAX; i++)
        is_used[i] = is_elsewhere(c->initial, &answer->gateway[i].node);
    if (answer->status == ST_OK) {
        made = add_named(c, answer, is_used, target);
        made += add_gateways(c, answer, is_used, &target[made]);
    }
    if (made > 0)
        made = add_others(c, answer, made, target);
    if (made > 0 && !c->far_overlay)
        c->far_overlay = strdup(c->initial->overlay);
    if (answer->status == ST_NOT_FOUND)
        call_on_no_target(c->core, now, 404, "no such overlay");
    else if (made == 0 || !c->far_overlay)
        call_on_no_target(c->core, now, 500, "no gateway can be found");
    else
        call_on_targets(c->core, now, target, made);
    b2bua_call_release(c);
}

/** Another has taken over from a silent gateway if the ring does not name that any more. */
static void
on_routes_in_doubt(void *ctx, const struct answer *answer)
{
    struct b2bua_call *c = ctx;
    struct b2bua_initial *in = c->initial;
    struct call_target target[CALL_BRANCHES_MAX];
    bool is_used[BRIDGE_GATEWAYS_MAX] = {false};
    size_t made;

    if (answer->status != ST_OK || answer->count == 0 || !call_is_silent(c->core))
        return;
    for (unsigned i = 0; i < in->count; i++)
        if (in->branch[i]->orq && answer_names(answer, &in->branch[i]->node))
            return;
    for (size_t i = 0; i < answer->count && i < BRIDGE_GATEWAYS_MAX; i++)
        is_used[i] = has_branch(in, &answer->gateway[i].node);
    b2bua_call_hold(c);
    made = add_gateways(c, answer, is_used, target);
    call_on_successors(c->core, sip_moment(c->b2bua->sip), target, made);
    b2bua_call_release(c);
}

void
b2bua_initial_doubt(struct b2bua_call *c)
{
    struct b2bua_initial *in = c->initial;

    if (!list_is_empty(&in->ask.link))
        return; /* asked already */
    in->ask.done = on_routes_in_doubt;
    ask_resolve(c->b2bua->sip, in->overlay, true, &in->ask);
}

/** Is a contact a user of this domain again?  Says which. */
static bool
is_forwarded(const struct b2bua_call *c, const char *uri, char aor[AOR_BYTES])
{
    char text[PHONE_URI_BYTES];
    url_t url[1];

    snprintf(text, sizeof(text), "%s", uri);
    return url_d(url, text) == 0 && url->url_host &&
           sip_domain_is_local(c->b2bua->sip, url->url_host) && sip_aor_of(url, aor) == ST_OK;
}

static bool
was_tried(const struct b2bua_initial *in, const struct sip_target *to)
{
    for (unsigned i = 0; i < in->count; i++)
        if (in->branch[i]->request_uri &&
            strcmp(in->branch[i]->request_uri, to->request_uri) == 0 &&
            strcmp(in->branch[i]->target.next_hop, to->next_hop) == 0 &&
            strcmp(in->branch[i]->target.route, to->route) == 0 &&
            strcmp(in->branch[i]->path ? in->branch[i]->path : "", to->path ? to->path : "") == 0 &&
            in->branch[i]->target.tport == to->tport)
            return true;
    return false;
}

/** The number that flows of one phone have in common: of the first branch to it. */
static uint8_t
phone_number(const struct b2bua_initial *in, const struct b2bua_branch *b)
{
    for (unsigned i = 0; b->phone && i < in->count; i++)
        if (in->branch[i]->phone == b->phone)
            return (uint8_t)(i + 1);
    return 0;
}

/**
 * How one contact is reached.  In a call that rang before it was ours a phone of this node may be
 * rung by the proxy here, which has the INVITE of the gateway before us, or of another of several:
 * it gets ours in its place.
 */
static bool
find_target(const struct b2bua_call *c, const struct binding_record *binding, size_t contact,
            struct sip_target *to)
{
    struct sip *s = c->b2bua->sip;
    enum status st = sip_target_of_contact(s, binding, contact, to);

    if (st == ST_TIMEOUT)
        c->initial->is_peer_lost = true;
    if (st != ST_OK)
        return false;
    if (to->agent->side == SIP_PHONES && call_kind(c->core) == CALL_SESSION &&
        (c->is_adopted || twin_rings(s, c->callee_call_id)) &&
        sip_target_of_remote(s, binding, &binding->contact[contact], to) != ST_OK)
        return false;
    return to->tport || sip_is_address(to->next_hop);
}

/** A contact is a user again.  Each is looked up once: who is met a second time has led back to
 *  himself. */
static void
add_alias(struct b2bua_search *search, const char *aor)
{
    bool is_new = true;

    for (unsigned i = 0; i < search->count; i++)
        is_new = is_new && strcmp(search->aor[i], aor) != 0;
    if (is_new && search->count < B2BUA_LOOKUPS_MAX && (search->aor[search->count] = strdup(aor)))
        search->count++;
    else
        search->is_looped = true;
}

static void
add_contact(struct b2bua_call *c, const struct binding_record *binding, size_t contact)
{
    const url_t *asked = sip_object(c->initial->request)->sip_request->rq_url;
    struct b2bua_search *search = &c->initial->search;
    struct b2bua_branch *b;
    struct sip_target to;
    char aor[AOR_BYTES];

    if (is_forwarded(c, binding->contact[contact].uri, aor)) {
        if (sip_is_sips(binding->contact[contact].uri) != (asked->url_type == url_sips))
            c->initial->is_sips_lost = true;
        else
            add_alias(search, aor);
        return;
    }
    if (!find_target(c, binding, contact, &to) || was_tried(c->initial, &to))
        return;
    if (!sip_keeps_sips(&to, asked)) {
        c->initial->is_sips_lost = true;
        return;
    }
    b = search->made < CALL_BRANCHES_MAX ? add_branch(c) : NULL;
    if (!b)
        return;
    b->target = to;
    b->target.request_uri = b->request_uri = strdup(to.request_uri);
    b->target.path = b->path = to.path ? strdup(to.path) : NULL;
    if (to.tport)
        b->target.tport = tport_ref(to.tport);
    b->phone = binding_phone(&binding->contact[contact]);
    b->is_by_uri = binding->contact[contact].is_by_uri;
    search->target[search->made++] = (struct call_target){.is_hop = to.agent->side == SIP_PEERS,
                                                          .phone = phone_number(c->initial, b)};
}

/** The contacts in force, of a phone's flows the newest first.  What is registered at this very
 * node counts, whether the overlay has it or not. */
static void
add_contacts(struct b2bua_call *c, const struct answer *answer)
{
    struct sip *s = c->b2bua->sip;
    struct binding_record *own =
        location_record(s, c->initial->search.aor[c->initial->search.done - 1]);
    struct binding_record *record[BRIDGE_BINDINGS_MAX + 1];
    struct binding_place place[(BRIDGE_BINDINGS_MAX + 1) * BINDING_CONTACTS_MAX];
    size_t records = 0;
    size_t count;

    if (own)
        record[records++] = own;
    for (size_t i = 0; answer->status == ST_OK && i < answer->count && i < BRIDGE_BINDINGS_MAX; i++)
        if (!own || !sip_is_own_path(s, answer->binding[i]->path))
            record[records++] = answer->binding[i];
    if (records > 0)
        c->initial->search.is_known = true;
    count = binding_places(record, records, sip_moment(s).wall_ms, place);
    for (size_t i = 0; i < count; i++)
        add_contact(c, record[place[i].record], place[i].contact);
    binding_record_free(own);
}

void
b2bua_search_again(struct b2bua_call *c)
{
    struct b2bua_search *search = &c->initial->search;

    for (unsigned i = 0; i < search->done; i++)
        ask_doubt(c->b2bua->sip, search->aor[i]);
    while (search->count > 1)
        free(search->aor[--search->count]);
    search->done = 0;
    search->made = 0;
    search->is_known = search->is_looped = search->is_cached = false;
    search->lost = ST_OK;
    c->initial->wants_search = true;
}

static const char *
domain_of(const char *aor)
{
    return strrchr(aor, '@') + 1;
}

/** Nobody was found: unless the ring was too young to say whose that domain is. */
static void
on_judged(void *ctx, const struct answer *answer)
{
    struct b2bua_call *c = ctx;
    struct moment now = sip_moment(c->b2bua->sip);

    b2bua_call_hold(c);
    if (answer->status != ST_OK || answer->verdict == NAMES_UNSURE)
        call_on_no_target(c->core, now, 500, "the ring is young");
    else if (answer->verdict == NAMES_FOREIGN)
        call_on_no_target(c->core, now, 500, "another overlay's user");
    else
        call_on_no_target(c->core, now, 404, "no such user");
    b2bua_call_release(c);
}

static void
judge_domain(struct b2bua_call *c)
{
    c->initial->ask.done = on_judged;
    domain_ask(c->b2bua->sip, domain_of(c->initial->search.aor[0]), &c->initial->ask);
}

/** All have been looked up. */
static void
end_search(struct b2bua_call *c)
{
    struct b2bua_search *search = &c->initial->search;
    struct moment now = sip_moment(c->b2bua->sip);

    if (search->made > 0)
        call_on_targets(c->core, now, search->target, search->made);
    else if (search->is_cached && !search->is_looped)
        b2bua_search_again(c); /* old news: the phone may have moved */
    else if (search->is_looped)
        call_on_no_target(c->core, now, 482, "a contact leads back to its user");
    else if (search->lost)
        call_on_no_target(c->core, now, 500, status_text(search->lost));
    else if (search->is_known)
        call_on_no_target(c->core, now, 480, "no live contact");
    else if (!domain_is_sure(c->b2bua->sip, domain_of(search->aor[0])))
        judge_domain(c);
    else
        call_on_no_target(c->core, now, 404, "no such user");
}

static void
on_bindings(void *ctx, const struct answer *answer)
{
    struct b2bua_call *c = ctx;
    struct b2bua_search *search = &c->initial->search;

    b2bua_call_hold(c);
    search->is_cached = search->is_cached || answer->is_cached;
    add_contacts(c, answer);
    if (answer->status != ST_OK && answer->status != ST_NOT_FOUND)
        search->lost = answer->status;
    else if (answer->status == ST_NOT_FOUND && answer->is_young && !search->is_known)
        search->lost = ST_IN_PROGRESS;
    if (search->done < search->count)
        c->initial->wants_search = true;
    else
        end_search(c);
    b2bua_call_release(c);
}

/** The request is for our Contact in another call: to the end that it stands for, the way that call
 * goes.  False if it is for a user. */
static bool
to_place(struct b2bua_call *c)
{
    const url_t *url = sip_object(c->initial->request)->sip_request->rq_url;
    struct call_target target = {0};
    const char *far_overlay;
    const struct b2bua_peer *p = b2bua_place_find(c->b2bua, url->url_user, &far_overlay);
    struct b2bua_branch *b;

    if (!c->initial->is_to_place || !p)
        return false;
    if (far_overlay && !c->is_inward) { /* whoever is its gateway now */
        c->initial->ask.done = on_routes;
        ask_resolve(c->b2bua->sip, far_overlay, false, &c->initial->ask);
        return true;
    }
    b = far_overlay ? NULL : add_branch(c);
    if (b) {
        b2bua_peer_target(c->b2bua, p, &b->target);
        if (b->target.tport)
            tport_ref(b->target.tport);
        target.is_hop = p->side == SIP_PEERS;
    }
    if (!b || (p->route && strlen(p->route) >= sizeof(b->target.route))) {
        call_on_no_target(c->core, sip_moment(c->b2bua->sip), 404, "no way to that Contact");
        return true;
    }
    b->target.request_uri = b->request_uri = strdup(p->target);
    if (b->request_uri && sip_is_sips(b->request_uri) && !sip_keeps_sips(&b->target, url)) {
        c->initial->is_sips_lost = true;
        call_on_no_target(c->core, sip_moment(c->b2bua->sip), 480, "sips without TLS");
        return true;
    }
    if (p->route)
        memcpy(b->target.route, p->route, strlen(p->route) + 1);
    call_on_targets(c->core, sip_moment(c->b2bua->sip), &target, 1);
    return true;
}

static void
look_up(struct b2bua_call *c)
{
    struct b2bua_search *search = &c->initial->search;

    if (to_place(c))
        return;
    if (domain_foreign(c->b2bua->sip, domain_of(search->aor[0]))) {
        /* The sender did not find the overlay that has the name, and took us for it. */
        call_on_no_target(c->core, sip_moment(c->b2bua->sip), 500, "another overlay's user");
        return;
    }
    c->initial->ask.done = on_bindings;
    ask_lookup(c->b2bua->sip, search->aor[search->done++], &c->initial->ask);
}

/* ---- who is it from ---- */

/** The draft's header fields must agree with From and with the certificate (004 section 4.3). */
static bool
is_header_true(const char *value, const char *aor)
{
    char said[AOR_BYTES];

    return value && aor_of_uri(slice_text(value), said, sizeof(said)) == ST_OK &&
           strcmp(said, aor) == 0;
}

/** Whose call the sender says it is: an anonymous caller's is in Node-ID alone. */
static enum status
caller_of(const sip_t *sip, char ret_aor[AOR_BYTES])
{
    const char *node_id = header_find(sip, HEADER_NODE_ID);

    if (!header_is_anonymous(sip))
        return sip_aor_of(sip->sip_from->a_url, ret_aor);
    return node_id ? aor_of_uri(slice_text(node_id), ret_aor, AOR_BYTES) : ST_NOT_FOUND;
}

static bool
is_sender_true(const sip_t *sip, const char *overlay, const char *aor)
{
    char overlay_aor[AOR_BYTES];

    snprintf(overlay_aor, sizeof(overlay_aor), "overlay@%s", overlay);
    return is_header_true(header_find(sip, HEADER_OVERLAY_ID), overlay_aor) &&
           is_header_true(header_find(sip, HEADER_NODE_ID), aor) && strcmp(aor, overlay_aor) != 0;
}

static void
refuse_sender(struct b2bua_call *c, const char *phrase)
{
    const sip_t *sip = sip_object(c->initial->request);

    log_write(LOG_LEVEL_REMOTE, "sip", "gateway of %s: %s from %s@%s refused: %s",
              c->initial->from_overlay, sip->sip_request->rq_method_name,
              sip_text(sip->sip_from->a_url->url_user), sip_text(sip->sip_from->a_url->url_host),
              phrase);
    call_on_no_target(c->core, sip_moment(c->b2bua->sip), 403, phrase);
}

/** Whose users does From's domain hold?  The longest name that lives, as for a call to them. */
static void
on_from_resolved(void *ctx, const struct answer *answer)
{
    struct b2bua_call *c = ctx;
    struct moment now = sip_moment(c->b2bua->sip);

    b2bua_call_hold(c);
    if (answer->status == ST_OK && answer->overlay &&
        strcasecmp(answer->overlay, c->initial->from_overlay) == 0)
        c->initial->wants_search = true;
    else if (answer->status == ST_OK || answer->status == ST_NOT_FOUND)
        refuse_sender(c, "From is not of the sender's overlay");
    else
        call_on_no_target(c->core, now, 500, "From cannot be checked");
    b2bua_call_release(c);
}

/** A name inside ours that a certificate of the ring has is another overlay, entry or not. */
static bool
is_own_domain(const struct b2bua_call *c, const char *host)
{
    const char *own = c->b2bua->sip->conf.overlay;
    const char *far_overlay = c->initial->from_overlay;

    return sip_domain_is_local(c->b2bua->sip, host) &&
           (strlen(far_overlay) <= strlen(own) || !sip_domain_is_of(own, far_overlay) ||
            !sip_domain_is_of(far_overlay, host));
}

static void
check_sender(struct b2bua_call *c)
{
    const sip_t *sip = sip_object(c->initial->request);
    char aor[AOR_BYTES];
    const char *host = caller_of(sip, aor) == ST_OK ? strrchr(aor, '@') + 1 : NULL;

    if (!host || is_own_domain(c, host) || !is_sender_true(sip, c->initial->from_overlay, aor)) {
        refuse_sender(c, "From, Overlay-ID and certificate do not agree");
    } else if (strcasecmp(host, c->initial->from_overlay) == 0) {
        look_up(c); /* no longer name can fit */
    } else {
        c->initial->ask.done = on_from_resolved;
        ask_resolve(c->b2bua->sip, host, false, &c->initial->ask);
    }
}

/* ---- life ---- */

/** To is the user whom that Contact stands for: his requests in the dialog are From him. */
static bool
name_user(struct b2bua_call *c, const url_t *url)
{
    const char *aor = b2bua_place_aor(c->b2bua, url->url_user);
    char *to_uri = aor ? strdup(aor) : NULL;

    if (!to_uri)
        return false;
    c->initial->is_to_place = true;
    free(c->to_uri);
    c->to_uri = to_uri;
    return true;
}

static bool
seek_user(struct b2bua_search *search, const url_t *url)
{
    char aor[AOR_BYTES];

    if (sip_aor_of(url, aor) != ST_OK)
        return false;
    search->aor[0] = strdup(aor);
    search->count = search->aor[0] ? 1 : 0;
    return search->count > 0;
}

bool
b2bua_initial_new(struct b2bua_call *c, const sip_t *sip, const struct sip_sender *sender)
{
    struct b2bua_initial *in = calloc(1, sizeof(*in));

    if (!in)
        return false;
    c->initial = in;
    in->request = nta_incoming_getrequest(c->irq);
    if (b2bua_place_is(c->b2bua, sip->sip_request->rq_url) &&
        !name_user(c, sip->sip_request->rq_url))
        return false;
    list_init(&in->ask.link);
    in->ask.ctx = c;
    if (c->is_inward)
        memcpy(in->from_overlay, sender->overlay, sizeof(in->from_overlay));
    return in->request && (!c->is_inward || seek_user(&in->search, sip->sip_request->rq_url));
}

static void
free_branch(struct b2bua_branch *b)
{
    if (b->orq)
        sip_send_end(b->orq);
    b2bua_branch_uncount(b);
    phone_via_done(&b->phone_via);
    free(b->request_uri);
    free(b->path);
    free(b->reason);
    msg_destroy(b->held);
    if (b->target.tport)
        tport_unref(b->target.tport);
    free(b);
}

void
b2bua_initial_free(struct b2bua_call *c)
{
    struct b2bua_initial *in = c->initial;

    if (!in)
        return;
    c->initial = NULL;
    ask_cancel(&in->ask);
    for (unsigned i = 0; i < in->count; i++)
        free_branch(in->branch[i]);
    while (in->search.count > 0)
        free(in->search.aor[--in->search.count]);
    msg_destroy(in->kept);
    msg_destroy(in->request);
    free(in);
}

bool
b2bua_initial_is_idle(const struct b2bua_call *c)
{
    for (unsigned i = 0; i < c->initial->count; i++)
        if (c->initial->branch[i]->orq)
            return false;
    return true;
}

/** Some gateway does not know the callee: a flood of calls to nobody is no flood of questions. */
static bool
is_unknown(const struct b2bua_initial *in)
{
    for (unsigned i = 0; i < in->count; i++)
        if (in->branch[i]->is_elsewhere)
            return true;
    return false;
}

/** The first time, or where the machine or a forwarded user wants another search. */
void
b2bua_initial_start(struct b2bua_call *c)
{
    struct b2bua_initial *in = c->initial;
    const char *host = sip_object(in->request)->sip_request->rq_url->url_host;
    bool is_again = in->wants_search;

    in->wants_search = false;
    ask_cancel(&in->ask); /* a doubt of those who are given up */
    if (c->is_inward && !is_again) {
        check_sender(c);
    } else if (c->is_inward) {
        look_up(c);
    } else if (is_again || !to_place(c)) {
        in->ask.done = on_routes;
        if (is_again && is_unknown(in))
            ask_resolve_recent(c->b2bua->sip, host, &in->ask);
        else
            ask_resolve(c->b2bua->sip, host, is_again, &in->ask);
    }
}
