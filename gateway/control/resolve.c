/* GET /v1/resolve: who serves a URI, and by which way it is found. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/aor.h"
#include "gateway/control/control_internal.h"

/** A question under way; lives in its struct waiting. */
struct resolve {
    struct control *control; /* valid while the waiting has not been answered */
    struct waiting *waiting;
    char uri[AOR_BYTES + 8];
    char aor[AOR_BYTES]; /* user@host as it is hashed; "" for a URI without user */
    char host[OVERLAY_NAME_BYTES];
    char overlay[OVERLAY_NAME_BYTES];
    json_t *contacts;
    json_t *bindings;
    json_t *hops;
    bool is_found;
    enum status st; /* why nothing was found */
    bool is_past_cache;
    bool wants_hops;
    unsigned steps; /* still to come before the answer */
};

static bool
is_waited_for(const struct resolve *r)
{
    return r->waiting->control != NULL;
}

static void
drop_json(struct resolve *r)
{
    json_decref(r->contacts);
    json_decref(r->bindings);
    json_decref(r->hops);
    r->contacts = r->bindings = r->hops = NULL;
}

static void
refuse(struct resolve *r)
{
    char text[sizeof(r->uri) + 64];

    snprintf(text, sizeof(text), "%s: %s", r->uri, status_text(r->st));
    waiting_refuse(r->waiting, r->st, text);
}

/* One step has ended; with the last one the answer goes out.  @r may be gone afterwards. */
static void
step_done(struct resolve *r, struct moment now)
{
    struct waiting *w = r->waiting;

    if (--r->steps == 0) {
        if (is_waited_for(r) && r->is_found)
            waiting_answer(w, json_pack("{s:s, s:s, s:O, s:O, s:O, s:I}", "uri", r->uri, "overlay",
                                        r->overlay, "contacts", r->contacts, "bindings",
                                        r->bindings, "hops", r->hops, "elapsed_ms",
                                        (json_int_t)(now.mono_ms - w->begun.mono_ms)));
        else if (is_waited_for(r))
            refuse(r);
        drop_json(r);
    }
    waiting_paid(w);
}

static void
step_begin(struct resolve *r)
{
    r->steps++;
    waiting_owe(r->waiting);
}

/* ---- hops -------------------------------------------------------------------------------------
 */

static void
add_hops(struct resolve *r, const struct peer_hop *hop, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char id[ID_TEXT_BYTES];

        json_array_append_new(r->hops, json_pack("{s:s, s:s, s:s, s:f}", "node_id",
                                                 id_text(&hop[i].ref.node, id), "name",
                                                 hop[i].ref.name, "address", hop[i].ref.address,
                                                 "rtt_ms", (double)hop[i].rtt_us / 1000.0));
    }
}

static void
on_traced(void *ctx, struct moment now, enum status st, const struct peer_hop *hop, size_t count)
{
    struct resolve *r = ctx;

    if (st == ST_OK)
        add_hops(r, hop, count);
    step_done(r, now); /* an answer without hops is still one */
}

static void
begin_trace(struct resolve *r, struct moment now, const char *name)
{
    const struct peer_traced done = {.done = on_traced, .ctx = r};

    if (!r->wants_hops)
        return;
    step_begin(r);
    peer_trace(node_peer(r->control->source.node, NODE_LOCAL), now, name, &done);
}

/* ---- a foreign domain -------------------------------------------------------------------------
 */

static void
on_resolved(void *ctx, struct moment now, enum status st, const struct directory_answer *answer)
{
    struct resolve *r = ctx;

    r->st = st;
    /* our own overlay after all, and it was asked for the user before */
    if (st == ST_OK && answer->is_local)
        r->st = ST_NOT_FOUND;
    if (r->st == ST_OK && is_waited_for(r)) {
        r->is_found = true;
        snprintf(r->overlay, sizeof(r->overlay), "%s", answer->overlay);
        for (size_t i = 0; i < answer->gateway_count; i++)
            json_array_append_new(r->contacts, text_json(answer->gateway[i].uri));
        add_hops(r, answer->hop, answer->hop_count);
    }
    step_done(r, now);
}

static void
begin_foreign(struct resolve *r, struct moment now)
{
    const struct directory_resolved done = {.done = on_resolved, .ctx = r};

    step_begin(r);
    node_resolve(r->control->source.node, now, r->host, r->is_past_cache, r->wants_hops, &done);
}

/* ---- our own overlay --------------------------------------------------------------------------
 */

static void
add_binding(struct resolve *r, struct binding_record *const *all, size_t count, size_t at,
            struct moment now)
{
    for (size_t i = 0; i < all[at]->contact_count; i++) {
        const struct binding_contact *contact = &all[at]->contact[i];
        char path[SIP_URI_BYTES] = "";

        if (!binding_is_live(all, count, at, i, now.wall_ms) ||
            !binding_path(all[at]->path, contact->token, path))
            continue;
        r->is_found = true;
        json_array_append_new(r->contacts, text_json(contact->uri));
        json_array_append_new(
            r->bindings,
            json_pack("{s:o, s:o, s:I}", "contact", text_json(contact->uri), "path",
                      text_json(path), "expires_s",
                      (json_int_t)((contact->expires_at_wall_ms - now.wall_ms) / 1000)));
    }
}

static bool
is_whole_overlay(const struct resolve *r)
{
    return strcmp(r->host, r->overlay) == 0;
}

static void
on_looked_up(void *ctx, struct moment now, enum status st, const struct peer_datum *datum,
             size_t count)
{
    struct resolve *r = ctx;
    struct binding_record **binding =
        calloc(count > 0 ? count : 1, sizeof(struct binding_record *));
    size_t read = 0;

    r->st = st == ST_OK ? ST_NOT_FOUND : st;
    for (size_t i = 0; binding && st == ST_OK && i < count; i++)
        if (datum[i].exists && binding_record_read(datum[i].value, &binding[read]) == ST_OK)
            binding_record_fetched(binding[read++], datum[i].storage_time_ms, datum[i].lifetime_s,
                                   now.wall_ms);
    for (size_t i = 0; i < read; i++)
        add_binding(r, binding, read, i, now);
    for (size_t i = 0; i < read; i++)
        binding_record_free(binding[i]);
    free(binding);
    /* a.overlay may be an overlay of its own, with a longer name than ours */
    if (!r->is_found && is_waited_for(r) && !is_whole_overlay(r)) {
        begin_foreign(r, now);
        r->control->source.touched(r->control->source.ctx);
    }
    step_done(r, now);
}

static void
add_own_gateways(struct resolve *r)
{
    size_t count = 0;
    const struct election_gateway *gateway =
        election_gateways(node_election(r->control->source.node), &count);

    r->is_found = count > 0;
    r->st = ST_NOT_FOUND;
    for (size_t i = 0; i < count; i++)
        json_array_append_new(r->contacts, text_json(gateway[i].sip_uri));
}

static void
begin_local(struct resolve *r, struct moment now)
{
    const struct peer_fetched done = {.done = on_looked_up, .ctx = r};
    char name[AOR_BYTES];

    if (r->aor[0] == '\0')
        add_own_gateways(r);
    snprintf(name, sizeof(name), "overlay@%s", r->overlay);
    begin_trace(r, now, r->aor[0] ? r->aor : name);
    if (r->aor[0]) {
        step_begin(r);
        node_lookup(r->control->source.node, now, r->aor, &done);
    }
}

/* ---- the URI ----------------------------------------------------------------------------------
 */

static bool
is_utf8(const char *text)
{
    json_t *json = json_string(text);
    bool is_good = json != NULL;

    json_decref(json);
    return is_good;
}

/* "sip:user@host:port;parameters", without scheme, port or parameters too. */
static bool
parse_uri(struct resolve *r, const char *uri)
{
    const char *at, *host;
    size_t host_len;

    if (strlen(uri) >= sizeof(r->uri) || !is_utf8(uri))
        return false;
    snprintf(r->uri, sizeof(r->uri), "%s", uri);
    if (strncasecmp(uri, "sip:", 4) == 0)
        uri += 4;
    else if (strncasecmp(uri, "sips:", 5) == 0)
        uri += 5;
    at = strrchr(uri, '@');
    host = at ? at + 1 : uri;
    host_len = strcspn(host, ":;?>");
    if (host_len == 0 || host_len >= sizeof(r->host))
        return false;
    for (size_t i = 0; i < host_len; i++) {
        if (!isalnum((unsigned char)host[i]) && !strchr("-._", host[i]))
            return false;
        r->host[i] = (char)tolower((unsigned char)host[i]);
    }
    if (!at)
        return true;
    return aor_of_parts(slice_of(uri, (size_t)(at - uri)), slice_text(r->host), r->aor,
                        sizeof(r->aor)) == ST_OK;
}

static bool
is_local(const struct resolve *r, const char *overlay)
{
    size_t host = strlen(r->host), name = strlen(overlay);

    if (host < name || strcmp(r->host + host - name, overlay) != 0)
        return false;
    return host == name || r->host[host - name - 1] == '.';
}

void
resolve_begin(struct control *c, struct evhttp_request *request, const char *uri,
              bool is_past_cache, bool wants_hops)
{
    const char *overlay = peer_conf_of(node_peer(c->source.node, NODE_LOCAL))->overlay;
    struct moment now = c->source.now(c->source.ctx);
    struct resolve *r = calloc(1, sizeof(*r));

    if (!r || !parse_uri(r, uri)) {
        free(r);
        answer_status(request, r ? ST_MALFORMED : ST_NOMEM, "uri: found no SIP URI");
        return;
    }
    r->waiting = waiting_new(c, request);
    if (!r->waiting) {
        free(r);
        return;
    }
    r->waiting->memory = r;
    r->control = c;
    r->is_past_cache = is_past_cache;
    r->wants_hops = wants_hops;
    r->contacts = json_array();
    r->bindings = json_array();
    r->hops = json_array();
    step_begin(r); /* so that the answer waits for all that is begun here */
    if (is_local(r, overlay)) {
        snprintf(r->overlay, sizeof(r->overlay), "%s", overlay);
        begin_local(r, now);
    } else {
        begin_foreign(r, now);
    }
    step_done(r, now);
    c->source.touched(c->source.ctx);
}
