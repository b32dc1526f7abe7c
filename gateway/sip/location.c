#include "gateway/sip/location_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "gateway/sip/flow.h"

#define CREDENTIALS_BYTES_MAX 65536
#define TOKEN_USE             0x70617468u
#define FORGOTTEN_MS          2000 /* a lifetime is in seconds, and begins where it arrives */

enum token_flag { TOKEN_BY_URI = 1 };

/* Tokens of this node's earlier runs must be known again, and nobody else may make one: the key
 * comes from the secret that is kept, else from the private key of this node's certificate. */
static void
key_init(const struct sip *s, struct token_key *key)
{
    char path[sizeof(s->conf.local_credentials) + 16];
    char *text = s->conf.kept.key ? NULL : malloc(CREDENTIALS_BYTES_MAX);
    size_t len = 0;
    FILE *f;

    snprintf(path, sizeof(path), "%s/agent.pem", s->conf.local_credentials);
    f = text && s->conf.local_credentials[0] ? fopen(path, "re") : NULL;
    if (f) {
        len = fread(text, 1, CREDENTIALS_BYTES_MAX, f);
        fclose(f);
    }
    if (s->conf.kept.key)
        token_key_of(slice_of(s->conf.kept.key, SIP_KEY_BYTES), TOKEN_USE, key);
    else if (len > 0)
        token_key_of(slice_of(text, len), TOKEN_USE, key);
    for (unsigned i = 0; i < 4 && !s->conf.kept.key && len == 0; i++)
        key->part[i] = sip_random();
    if (text)
        explicit_bzero(text, CREDENTIALS_BYTES_MAX);
    free(text);
}

struct location *
location_new(struct sip *s)
{
    struct location *l = calloc(1, sizeof(*l));
    size_t limit = s->conf.limits.registrations;

    if (!l)
        return NULL;
    list_init(&l->upkeep.urgent);
    list_init(&l->upkeep.due);
    l->entries = map_new(s->seed, limit);
    l->by_token = map_new(s->seed, limit ? limit * BINDING_CONTACTS_MAX : 0);
    l->run = (uint32_t)sip_random();
    key_init(s, &l->key);
    l->origins = origins_new(s->seed, limit ? limit * BINDING_CONTACTS_MAX : 0);
    if (l->entries && l->by_token && l->origins)
        return l;
    location_free(l);
    return NULL;
}

/* ---- contacts
 * -------------------------------------------------------------------------------------- */

static const char *
keep_text(char **at, const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *kept = *at;

    memcpy(kept, text, bytes);
    *at += bytes;
    return kept;
}

struct location_contact *
location_contact_new(const struct binding_contact *binding, uint64_t flow, const char *path)
{
    size_t text_bytes = strlen(binding->uri) + strlen(binding->call_id) +
                        strlen(binding->instance) + strlen(binding->token) + 4 +
                        (path ? strlen(path) + 1 : 0);
    struct location_contact *c = malloc(sizeof(*c) + text_bytes);
    char *at;

    if (!c)
        return NULL;
    at = (char *)(c + 1);
    *c = (struct location_contact){.holders = 1, .binding = *binding, .flow = flow};
    c->binding.uri = keep_text(&at, binding->uri);
    c->binding.call_id = keep_text(&at, binding->call_id);
    c->binding.instance = keep_text(&at, binding->instance);
    c->binding.token = keep_text(&at, binding->token);
    c->path = path ? keep_text(&at, path) : NULL;
    return c;
}

struct location_contact *
location_contact_hold(struct location_contact *c)
{
    c->holders++;
    return c;
}

void
location_contact_release(struct location_contact *c)
{
    if (c && --c->holders == 0)
        free(c);
}

void
location_contacts_drop(struct location_contacts *l, size_t i)
{
    location_contact_release(l->item[i]);
    l->count--;
    memmove(&l->item[i], &l->item[i + 1], (l->count - i) * sizeof(struct location_contact *));
}

static void
contacts_free(struct location_contacts *l)
{
    while (l && l->count > 0)
        location_contacts_drop(l, l->count - 1);
    free(l);
}

/* ---- tokens
 * ---------------------------------------------------------------------------------------- */

void
location_token_new(struct sip *s, bool is_by_uri, char ret_token[BINDING_TOKEN_BYTES])
{
    struct location *l = s->location;
    uint8_t body[TOKEN_BODY_BYTES];

    l->last_number++;
    memcpy(body, &l->run, 4);
    memcpy(body + 4, &l->last_number, 4);
    body[8] = is_by_uri ? TOKEN_BY_URI : 0;
    token_write(&l->key, body, ret_token);
}

enum location_token
location_token_read(struct sip *s, const char *token, const struct location_contact **ret)
{
    struct location *l = s->location;
    struct location_contact *live = map_get(l->by_token, slice_text(token));
    uint8_t body[TOKEN_BODY_BYTES];

    *ret = live;
    if (live)
        return LOCATION_TOKEN_LIVE;
    if (!token_read(&l->key, token, body))
        return LOCATION_TOKEN_NONE;
    return memcmp(body, &l->run, 4) != 0 && (body[8] & TOKEN_BY_URI) ? LOCATION_TOKEN_BY_URI
                                                                     : LOCATION_TOKEN_GONE;
}

static void
index_change(struct location_entry *e, bool is_in)
{
    struct map *index = e->sip->location->by_token;

    for (size_t i = 0; i < e->count; i++) {
        struct slice key = slice_text(e->contact[i]->binding.token);

        if (is_in)
            origins_add(e->sip->location->origins, e->contact[i]->origin, e->aor);
        else
            origins_remove(e->sip->location->origins, e->contact[i]->origin, e->aor);
        if (!is_in)
            map_remove(index, key);
        else if (map_put(index, key, e->contact[i], NULL))
            log_write(LOG_LEVEL_WARN, "sip", "%s: no memory for a contact's index", e->aor);
    }
}

/* ---- URIs
 * ------------------------------------------------------------------------------------------ */

/* These count even when only one of the two URIs has them. */
static const char *const weighty[] = {"user", "ttl", "method", "maddr", "transport"};

static bool
is_weighty(const char *name, size_t len)
{
    for (size_t i = 0; i < sizeof(weighty) / sizeof(weighty[0]); i++)
        if (strlen(weighty[i]) == len && strncasecmp(weighty[i], name, len) == 0)
            return true;
    return false;
}

/* Does every parameter of @a that has a say agree with @b? */
static bool
params_agree(const char *a, const char *b)
{
    while (a && *a) {
        size_t len = strcspn(a, ";");
        size_t name_len = strcspn(a, "=;");
        char name[32];
        char mine[PHONE_URI_BYTES] = "";
        char other[PHONE_URI_BYTES] = "";
        bool is_there;

        if (name_len > 0 && name_len < sizeof(name)) {
            memcpy(name, a, name_len);
            name[name_len] = '\0';
            is_there = b && url_param(b, name, other, sizeof(other)) > 0;
            url_param(a, name, mine, sizeof(mine));
            if (is_there ? strcasecmp(mine, other) != 0 : is_weighty(name, name_len))
                return false;
        }
        a += len + (a[len] == ';');
    }
    return true;
}

bool
location_url_equal(const url_t *a, const url_t *b)
{
    /* url_cmp: scheme, user, password, host and port; a default port is not the same as none */
    if (a->url_type != b->url_type || url_cmp(a, b) != 0)
        return false;
    if (!a->url_user != !b->url_user || (a->url_user && strcmp(a->url_user, b->url_user) != 0))
        return false;
    return params_agree(a->url_params, b->url_params) && params_agree(b->url_params, a->url_params);
}

bool
location_uri_equal(const char *a, const char *b)
{
    char text[2][PHONE_URI_BYTES];
    url_t url[2];

    return snprintf(text[0], sizeof(text[0]), "%s", a) < (int)sizeof(text[0]) &&
           snprintf(text[1], sizeof(text[1]), "%s", b) < (int)sizeof(text[1]) &&
           url_d(&url[0], text[0]) == 0 && url_d(&url[1], text[1]) == 0 &&
           location_url_equal(&url[0], &url[1]);
}

/* ---- entries
 * --------------------------------------------------------------------------------------- */

struct location_entry *
location_entry_get(struct sip *s, const char *aor)
{
    struct location_entry *e = map_get(s->location->entries, slice_text(aor));

    if (e)
        return e;
    e = calloc(1, sizeof(*e) + strlen(aor) + 1);
    if (!e)
        return NULL;
    e->sip = s;
    list_init(&e->waiting);
    list_init(&e->due);
    memcpy(e->aor, aor, strlen(aor) + 1);
    if (map_put(s->location->entries, slice_text(aor), e, NULL)) {
        free(e);
        return NULL;
    }
    return e;
}

static void
entry_free(struct location_entry *e)
{
    ask_cancel(&e->ask);
    list_remove(&e->due);
    contacts_free(e->next);
    for (size_t i = 0; i < e->count; i++)
        location_contact_release(e->contact[i]);
    free(e->contact);
    free(e->note);
    free(e);
}

void
location_free(struct location *l)
{
    struct map_cursor c = {0};

    if (!l)
        return;
    while (l->entries && map_next(l->entries, &c))
        entry_free(c.value);
    map_free(l->entries);
    map_free(l->by_token);
    origins_free(l->origins);
    free(l);
}

static void
entry_drop_if_idle(struct location_entry *e)
{
    if (e->count > 0 || e->note_count > 0 || e->is_busy || e->is_unstored ||
        !list_is_empty(&e->waiting))
        return;
    map_remove(e->sip->location->entries, slice_text(e->aor));
    entry_free(e);
}

/* What there is now is this. */
enum status
location_entry_set(struct location_entry *e, const struct location_contacts *l)
{
    struct location_contact **contact = NULL;
    struct location_note *note = NULL;

    if (l->count > 0 && !(contact = calloc(l->count, sizeof(struct location_contact *))))
        return ST_NOMEM;
    if (l->note_count > 0 && !(note = calloc(l->note_count, sizeof(*note)))) {
        free(contact);
        return ST_NOMEM;
    }
    for (size_t i = 0; i < l->count; i++)
        contact[i] = location_contact_hold(l->item[i]);
    if (note)
        memcpy(note, l->note, l->note_count * sizeof(*note));
    index_change(e, false);
    for (size_t i = 0; i < e->count; i++)
        location_contact_release(e->contact[i]);
    free(e->contact);
    free(e->note);
    e->contact = contact;
    e->count = l->count;
    e->note = note;
    e->note_count = l->note_count;
    index_change(e, true);
    return ST_OK;
}

static bool
is_live(struct sip *s, const struct location_contact *c, uint64_t wall_ms)
{
    if (c->binding.expires_at_wall_ms <= wall_ms)
        return false;
    return !c->binding.is_on_connection || flow_is_alive(s, c->flow);
}

const char *
location_peer_uri(const struct sip *s)
{
    return s->agent[s->agent[SIP_PEERS].nta ? SIP_PEERS : SIP_PHONES].uri;
}

/* ---- changes
 * --------------------------------------------------------------------------------------- */

static void
on_change_stored(void *ctx, const struct answer *answer)
{
    struct location_entry *e = ctx;
    struct location_change *change = list_entry(e->waiting.next, struct location_change, link);
    enum status st = answer->status;

    if (!st)
        st = location_entry_set(e, e->next);
    if (!st) {
        e->is_unstored = false;
        location_keep(e);
    }
    upkeep_stored(e, answer);
    list_remove(&change->link);
    change->done(change->ctx, st, e->contact, e->count);
    e->is_busy = false;
    location_entry_next(e);
}

static void
note_stored(struct location_entry *e)
{
    const struct location_contacts *l = e->next;

    for (size_t i = 0; i < l->count; i++)
        if (l->item[i]->binding.expires_at_wall_ms > e->known_until_wall_ms)
            e->known_until_wall_ms = l->item[i]->binding.expires_at_wall_ms;
    for (size_t i = 0; i < l->note_count; i++)
        if (l->note[i].expires_at_wall_ms > e->known_until_wall_ms)
            e->known_until_wall_ms = l->note[i].expires_at_wall_ms;
}

void
location_show(const struct location_entry *e, const struct location_contacts *l,
              struct location_shown *ret)
{
    ret->record = (struct binding_record){.aor = e->aor,
                                          .path = location_peer_uri(e->sip),
                                          .contact_count = (uint8_t)l->count,
                                          .superseded_count = (uint8_t)l->note_count,
                                          .contact = ret->contact,
                                          .superseded = ret->superseded};
    for (size_t i = 0; i < l->count; i++)
        ret->contact[i] = l->item[i]->binding;
    for (size_t i = 0; i < l->note_count; i++)
        ret->superseded[i] =
            (struct binding_superseded){l->note[i].token, l->note[i].call_id, l->note[i].cseq,
                                        l->note[i].at_wall_ms, l->note[i].expires_at_wall_ms};
}

/* What there is once it is stored. */
void
location_entry_store(struct location_entry *e, void (*done)(void *ctx, const struct answer *answer))
{
    struct location_shown shown;

    location_show(e, e->next, &shown);
    note_stored(e);
    e->is_busy = true;
    e->ask.done = done;
    e->ask.ctx = e;
    ask_bind(e->sip, &shown.record, &e->ask);
}

bool
location_entry_copy(struct location_entry *e)
{
    uint64_t wall_ms = sip_moment(e->sip).wall_ms;

    contacts_free(e->next);
    e->next = calloc(1, sizeof(*e->next));
    if (!e->next)
        return false;
    for (size_t i = 0; i < e->count; i++)
        if (is_live(e->sip, e->contact[i], wall_ms))
            e->next->item[e->next->count++] = location_contact_hold(e->contact[i]);
    for (size_t i = 0; i < e->note_count; i++)
        if (e->note[i].expires_at_wall_ms > wall_ms)
            e->next->note[e->next->note_count++] = e->note[i];
    return true;
}

void
location_entry_next(struct location_entry *e)
{
    while (!e->is_busy && !list_is_empty(&e->waiting)) {
        struct location_change *change = list_entry(e->waiting.next, struct location_change, link);

        list_remove(&change->link);
        if (!location_entry_copy(e)) {
            change->done(change->ctx, ST_NOMEM, e->contact, e->count);
        } else if (change->apply(change->ctx, e->next)) { /* else it is gone */
            list_prepend(&e->waiting, &change->link);
            location_entry_store(e, on_change_stored); /* may be answered, and e freed, by now */
            return;
        }
    }
    if (e->is_busy)
        return;
    contacts_free(e->next);
    e->next = NULL;
    entry_drop_if_idle(e);
}

void
location_change(struct sip *s, struct location_change *change)
{
    struct location_entry *e = location_entry_get(s, change->aor);

    list_init(&change->link);
    if (!e) {
        change->done(change->ctx, ST_LIMIT, NULL, 0);
        return;
    }
    list_append(&e->waiting, &change->link);
    if (!e->is_busy)
        location_entry_next(e);
}

struct location_contact *const *
location_find(struct sip *s, const char *aor, size_t *ret_count)
{
    struct location_entry *e = map_get(s->location->entries, slice_text(aor));

    *ret_count = e ? e->count : 0;
    return e ? e->contact : NULL;
}

struct binding_record *
location_record(struct sip *s, const char *aor)
{
    const struct location_entry *e = map_get(s->location->entries, slice_text(aor));
    struct location_contacts l = {.count = 0};
    uint64_t wall_ms = sip_moment(s).wall_ms;
    struct location_shown shown;

    for (size_t i = 0; e && i < e->count; i++)
        if (is_live(s, e->contact[i], wall_ms))
            l.item[l.count++] = e->contact[i]; /* borrowed: it is not kept */
    if (l.count == 0)
        return NULL;
    location_show(e, &l, &shown);
    return binding_record_copy(&shown.record);
}

const char *
location_user_at(struct sip *s, const struct sip_sender *sender)
{
    uint64_t origin = origin_of(s, sender);
    uint64_t wall_ms = sip_moment(s).wall_ms;
    const char *aor;
    const struct location_entry *e;

    if (!origin || origins_find(s->location->origins, origin, &aor))
        return NULL;
    e = map_get(s->location->entries, slice_text(aor));
    for (size_t i = 0; e && i < e->count; i++)
        if (e->contact[i]->origin == origin && is_live(s, e->contact[i], wall_ms))
            return e->aor;
    return NULL;
}

bool
location_is_bound(const struct sip *s, uint64_t flow)
{
    const char *aor;

    return flow && origins_find(s->location->origins, flow, &aor) != ST_NOT_FOUND;
}

size_t
location_count(const struct sip *s)
{
    return map_count(s->location->entries);
}

/* ---- the report
 * ------------------------------------------------------------------------------------- */

static size_t
report_bytes(const struct location_entry *e)
{
    size_t bytes = strlen(e->aor) + 1;

    for (size_t i = 0; i < e->count; i++)
        bytes += strlen(e->contact[i]->binding.uri) + 1 + SIP_URI_BYTES;
    return bytes;
}

/* The texts of an entry go behind @at; returns where they end. */
static char *
report_entry(const struct location_entry *e, uint64_t wall_ms, struct bridge_registration *r,
             char *at)
{
    const char *aor = keep_text(&at, e->aor);

    for (size_t i = 0; i < e->count; i++, r++) {
        const struct binding_contact *c = &e->contact[i]->binding;

        r->aor = aor;
        r->contact = keep_text(&at, c->uri);
        r->path = at;
        if (!binding_path(location_peer_uri(e->sip), c->token, at))
            *at = '\0';
        at += strlen(at) + 1;
        r->expires_s = c->expires_at_wall_ms > wall_ms
                           ? (uint32_t)((c->expires_at_wall_ms - wall_ms) / 1000)
                           : 0;
    }
    return at;
}

struct bridge_message *
location_report(struct sip *s, uint64_t token)
{
    struct map_cursor c = {0};
    struct bridge_message *m;
    uint64_t wall_ms = sip_moment(s).wall_ms;
    size_t count = 0;
    size_t bytes = 1;
    char *at;

    while (map_next(s->location->entries, &c)) {
        count += ((struct location_entry *)c.value)->count;
        bytes += report_bytes(c.value);
    }
    m = bridge_new(BRIDGE_REPORT, token, count, sizeof(struct bridge_registration));
    if (!m || !(m->bytes = malloc(bytes))) {
        bridge_free(m);
        return NULL;
    }
    m->bytes_len = bytes;
    m->query = BRIDGE_QUERY_REGISTRATIONS;
    at = (char *)m->bytes;
    c = (struct map_cursor){0};
    count = 0;
    while (map_next(s->location->entries, &c)) {
        struct location_entry *e = c.value;

        at = report_entry(e, wall_ms, &m->registration[count], at);
        count += e->count;
    }
    return m;
}

/* ---- what goes by itself
 * --------------------------------------------------------------------------- */

static void
on_removal_stored(void *ctx, const struct answer *answer)
{
    struct location_entry *e = ctx;

    e->sip->location->removals--;
    e->is_busy = false;
    e->is_unstored = answer->status != ST_OK;
    upkeep_stored(e, answer);
    e->retry_ms = sip_moment(e->sip).mono_ms + LOCATION_RETRY_MS;
    location_entry_next(e);
}

/* Whatever the overlay holds of it ends by itself, now or within a moment: it need not be told. */
static bool
is_forgotten(const struct location_entry *e, struct moment now)
{
    for (size_t i = 0; i < e->count; i++)
        if (is_live(e->sip, e->contact[i], now.wall_ms))
            return false;
    for (size_t i = 0; i < e->note_count; i++)
        if (e->note[i].expires_at_wall_ms > now.wall_ms)
            return false;
    return !e->is_unstored && e->known_until_wall_ms <= now.wall_ms + FORGOTTEN_MS;
}

static void
entry_tick(struct location_entry *e, struct moment now)
{
    bool is_all_live = true;
    bool is_over = is_forgotten(e, now);
    for (size_t i = 0; i < e->count; i++)
        is_all_live &= is_live(e->sip, e->contact[i], now.wall_ms);
    for (size_t i = 0; i < e->note_count; i++)
        is_all_live &= e->note[i].expires_at_wall_ms > now.wall_ms;
    if (is_all_live && !(e->is_unstored && e->retry_ms <= now.mono_ms)) {
        entry_drop_if_idle(e);
        return;
    }
    if (is_over && e->known_until_wall_ms + FORGOTTEN_MS > now.wall_ms)
        return;
    if (!location_entry_copy(e) || location_entry_set(e, e->next))
        return; /* without memory: the next tick */
    if (!is_all_live)
        location_keep(e);
    if (is_over) {
        entry_drop_if_idle(e);
        return;
    }
    e->is_unstored = true;
    if (!e->sip->location->is_joined || e->sip->location->removals >= LOCATION_REMOVALS_MAX)
        return; /* at a later tick */
    e->sip->location->removals++;
    location_entry_store(e, on_removal_stored);
}

void
location_tick(struct sip *s)
{
    struct moment now = sip_moment(s);
    struct map_cursor c = {0};

    while (map_next(s->location->entries, &c)) {
        struct location_entry *e = c.value;

        upkeep_tick(e, now);
        if (!e->is_busy)
            entry_tick(e, now);
    }
    upkeep_begin_second(s->location);
}
