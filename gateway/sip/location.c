#include "gateway/sip/location.h"

#include "gateway/sip/noted.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "gateway/sip/ask.h"
#include "gateway/sip/flow.h"

struct entry {
    struct sip *sip;
    char aor[AOR_BYTES];
    struct location_contact *contact;
    size_t count;
    struct list_node waiting; /* struct location_change; the first one is under way if is_busy */
    bool is_busy;
    bool is_unstored; /* contacts went away and the overlay does not know yet */
    uint64_t retry_ms;
    struct ask ask;
    /* what becomes of @contact once it is stored */
    struct location_contact *next; /* room for BINDING_CONTACTS_MAX, or NULL */
    size_t next_count;
};

struct location {
    struct map *entries;    /* by AOR */
    struct map *by_contact; /* struct entry by "user@host:port" */
};

static void start_next(struct entry *e);

struct location *
location_new(struct sip *s)
{
    struct location *l = calloc(1, sizeof(*l));
    size_t limit = s->conf.limits.registrations;

    if (!l)
        return NULL;
    l->entries = map_new(s->seed, limit);
    l->by_contact = map_new(s->seed, limit ? limit * BINDING_CONTACTS_MAX : 0);
    if (l->entries && l->by_contact)
        return l;
    location_free(l);
    return NULL;
}

static void
entry_free(struct entry *e)
{
    ask_cancel(&e->ask);
    free(e->next);
    free(e->contact);
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
    map_free(l->by_contact);
    free(l);
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
        char mine[SIP_URI_BYTES] = "";
        char other[SIP_URI_BYTES] = "";
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

/* "user@host:port", for the index. */
static bool
contact_key(const url_t *url, char key[SIP_URI_BYTES])
{
    const char *port = url->url_port && url->url_port[0] ? url->url_port : "5060";
    int len = snprintf(key, SIP_URI_BYTES, "%s@%s:%s", url->url_user ? url->url_user : "",
                       url->url_host ? url->url_host : "", port);

    return len > 0 && len < SIP_URI_BYTES;
}

static bool
contact_text_key(const char *uri, char key[SIP_URI_BYTES])
{
    char text[SIP_URI_BYTES];
    url_t url[1];

    memcpy(text, uri, strlen(uri) + 1);
    return url_d(url, text) == 0 && contact_key(url, key);
}

/* It may come back at once; who asks looks among the contacts in force first. */
static void
note_gone(struct sip *s, const char *uri)
{
    char text[SIP_URI_BYTES];
    url_t url[1];

    memcpy(text, uri, strlen(uri) + 1);
    if (url_d(url, text) == 0 && url->url_host)
        noted_put(s->gone, url, "", sip_moment(s).mono_ms);
}

static void
index_change(struct entry *e, const struct location_contact *contact, size_t count, bool is_in)
{
    struct map *index = e->sip->location->by_contact;
    char key[SIP_URI_BYTES];

    for (size_t i = 0; i < count; i++) {
        if (!contact_text_key(contact[i].binding.uri, key))
            continue;
        if (is_in && map_put(index, slice_text(key), e, NULL))
            log_write(LOG_LEVEL_WARN, "sip", "%s: no memory for a contact's index", e->aor);
        else if (!is_in && map_get(index, slice_text(key)) == e)
            map_remove(index, slice_text(key));
        if (!is_in)
            note_gone(e->sip, contact[i].binding.uri);
    }
}

/* ---- entries
 * --------------------------------------------------------------------------------------- */

static struct entry *
entry_get(struct sip *s, const char *aor)
{
    struct entry *e = map_get(s->location->entries, slice_text(aor));

    if (e)
        return e;
    e = calloc(1, sizeof(*e));
    if (!e)
        return NULL;
    e->sip = s;
    list_init(&e->waiting);
    memcpy(e->aor, aor, strlen(aor) + 1);
    if (map_put(s->location->entries, slice_text(aor), e, NULL)) {
        free(e);
        return NULL;
    }
    return e;
}

static void
entry_drop_if_idle(struct entry *e)
{
    if (e->count > 0 || e->is_busy || e->is_unstored || !list_is_empty(&e->waiting))
        return;
    map_remove(e->sip->location->entries, slice_text(e->aor));
    entry_free(e);
}

/* The contacts in force are now these. */
static enum status
entry_set(struct entry *e, const struct location_contact *contact, size_t count)
{
    struct location_contact *copy = NULL;

    if (count > 0) {
        copy = calloc(count, sizeof(*copy));
        if (!copy)
            return ST_NOMEM;
        memcpy(copy, contact, count * sizeof(*copy));
    }
    index_change(e, e->contact, e->count, false);
    free(e->contact);
    e->contact = copy;
    e->count = count;
    index_change(e, e->contact, e->count, true);
    return ST_OK;
}

static bool
is_live(struct sip *s, const struct location_contact *c, uint64_t wall_ms)
{
    if (c->binding.expires_at_wall_ms <= wall_ms)
        return false;
    return !c->binding.is_on_connection || flow_is_alive(s, c->flow);
}

void
location_record(const struct sip *s, const char *aor, const struct location_contact *contact,
                size_t count, struct binding_record *ret)
{
    const struct sip_agent *agent = &s->agent[s->agent[SIP_PEERS].nta ? SIP_PEERS : SIP_PHONES];

    memset(ret, 0, sizeof(*ret));
    memcpy(ret->aor, aor, strlen(aor) + 1);
    memcpy(ret->path, agent->uri, sizeof(ret->path));
    ret->contact_count = (uint8_t)count;
    for (size_t i = 0; i < count; i++)
        ret->contact[i] = contact[i].binding;
}

/* ---- changes
 * --------------------------------------------------------------------------------------- */

static void
on_change_stored(void *ctx, const struct answer *answer)
{
    struct entry *e = ctx;
    struct location_change *change = list_entry(e->waiting.next, struct location_change, link);
    enum status st = answer->status;

    if (!st)
        st = entry_set(e, e->next, e->next_count);
    if (!st)
        e->is_unstored = false;
    list_remove(&change->link);
    change->done(change->ctx, st, e->contact, e->count);
    e->is_busy = false;
    start_next(e);
}

static void
store(struct entry *e, void (*done)(void *ctx, const struct answer *answer))
{
    struct binding_record record;

    location_record(e->sip, e->aor, e->next, e->next_count, &record);
    e->is_busy = true;
    e->ask.done = done;
    e->ask.ctx = e;
    ask_bind(e->sip, &record, &e->ask);
}

static bool
copy_live(struct entry *e)
{
    uint64_t wall_ms = sip_moment(e->sip).wall_ms;

    e->next_count = 0;
    if (!e->next)
        e->next = calloc(BINDING_CONTACTS_MAX, sizeof(*e->next));
    if (!e->next)
        return false;
    for (size_t i = 0; i < e->count; i++)
        if (is_live(e->sip, &e->contact[i], wall_ms))
            e->next[e->next_count++] = e->contact[i];
    return true;
}

static void
start_next(struct entry *e)
{
    while (!e->is_busy && !list_is_empty(&e->waiting)) {
        struct location_change *change = list_entry(e->waiting.next, struct location_change, link);

        list_remove(&change->link);
        if (!copy_live(e)) {
            change->done(change->ctx, ST_NOMEM, e->contact, e->count);
        } else if (change->apply(change->ctx, e->next, &e->next_count)) { /* else it is gone */
            list_prepend(&e->waiting, &change->link);
            store(e, on_change_stored); /* may be answered, and e freed, by now */
            return;
        }
    }
    if (e->is_busy)
        return;
    free(e->next);
    e->next = NULL;
    entry_drop_if_idle(e);
}

void
location_change(struct sip *s, struct location_change *change)
{
    struct entry *e = entry_get(s, change->aor);

    list_init(&change->link);
    if (!e) {
        change->done(change->ctx, ST_LIMIT, NULL, 0);
        return;
    }
    list_append(&e->waiting, &change->link);
    if (!e->is_busy)
        start_next(e);
}

const struct location_contact *
location_find(struct sip *s, const char *aor, size_t *ret_count)
{
    struct entry *e = map_get(s->location->entries, slice_text(aor));

    *ret_count = e ? e->count : 0;
    return e ? e->contact : NULL;
}

const struct location_contact *
location_by_contact(struct sip *s, const url_t *url)
{
    char key[SIP_URI_BYTES];
    struct entry *e;

    if (!contact_key(url, key))
        return NULL;
    e = map_get(s->location->by_contact, slice_text(key));
    for (size_t i = 0; e && i < e->count; i++) {
        char text[SIP_URI_BYTES];
        url_t one[1];

        memcpy(text, e->contact[i].binding.uri, sizeof(text));
        if (url_d(one, text) == 0 && url_cmp(one, url) == 0)
            return &e->contact[i];
    }
    return NULL;
}

size_t
location_count(const struct sip *s)
{
    return map_count(s->location->entries);
}

struct bridge_message *
location_report(struct sip *s, uint64_t token)
{
    struct map_cursor c = {0};
    struct bridge_message *m;
    uint64_t wall_ms = sip_moment(s).wall_ms;
    struct binding_record path;
    size_t count = 0;

    while (map_next(s->location->entries, &c))
        count += ((struct entry *)c.value)->count;
    m = bridge_new(BRIDGE_REPORT, token, count, sizeof(struct bridge_registration));
    if (!m)
        return NULL;
    m->query = BRIDGE_QUERY_REGISTRATIONS;
    location_record(s, "", NULL, 0, &path);
    c = (struct map_cursor){0};
    count = 0;
    while (map_next(s->location->entries, &c)) {
        struct entry *e = c.value;

        for (size_t i = 0; i < e->count; i++) {
            struct bridge_registration *r = &m->registration[count++];
            uint64_t until_ms = e->contact[i].binding.expires_at_wall_ms;

            memcpy(r->aor, e->aor, sizeof(r->aor));
            memcpy(r->contact, e->contact[i].binding.uri, sizeof(r->contact));
            memcpy(r->path, path.path, sizeof(r->path));
            r->expires_s = until_ms > wall_ms ? (uint32_t)((until_ms - wall_ms) / 1000) : 0;
        }
    }
    return m;
}

/* ---- what goes by itself
 * --------------------------------------------------------------------------- */

static void
on_removal_stored(void *ctx, const struct answer *answer)
{
    struct entry *e = ctx;

    e->is_busy = false;
    e->is_unstored = answer->status != ST_OK;
    e->retry_ms = sip_moment(e->sip).mono_ms + LOCATION_RETRY_MS;
    start_next(e);
}

static void
entry_tick(struct entry *e, struct moment now)
{
    bool is_all_live = true;

    for (size_t i = 0; i < e->count; i++)
        is_all_live &= is_live(e->sip, &e->contact[i], now.wall_ms);
    if (is_all_live && !(e->is_unstored && e->retry_ms <= now.mono_ms)) {
        entry_drop_if_idle(e);
        return;
    }
    if (!copy_live(e) || entry_set(e, e->next, e->next_count))
        return; /* without memory: the next tick */
    e->is_unstored = true;
    store(e, on_removal_stored);
}

void
location_tick(struct sip *s)
{
    struct moment now = sip_moment(s);
    struct map_cursor c = {0};

    while (map_next(s->location->entries, &c)) {
        struct entry *e = c.value;

        if (!e->is_busy)
            entry_tick(e, now);
    }
}
