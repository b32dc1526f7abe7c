#include "global-overlay/directory.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "global-overlay/internal.h"

enum name_state { NAME_UNKNOWN, NAME_KNOWN, NAME_ABSENT };

/** One overlay name in the cache. */
struct name {
    struct list_node recent;
    struct list_node fetching;
    char overlay[OVERLAY_NAME_BYTES];
    enum name_state state;
    bool is_fetching;
    uint32_t token;
    uint64_t sent_ms;  /* when the fetch under way was sent */
    uint64_t read_ms;  /* when the one that the state stems from was */
    uint64_t until_ms; /* of the state */
    unsigned users;    /* lookups that point here */
    unsigned again;    /* lookups that ask again for it */
    struct directory_entries entries;
};

enum finding { FINDING_PENDING, FINDING_KNOWN, FINDING_NONE, FINDING_REMOVED, FINDING_FAILED };

/** One ask: the suffixes of a domain, the longest first. */
struct lookup {
    struct list_node link;
    struct directory_resolved done;
    uint64_t started_ms;
    bool wants_hops;
    bool is_local;     /* the suffix behind the last name is our own overlay */
    bool is_again;     /* it has been put again */
    uint64_t again_ms; /* when it is put again; while in the list of those */
    size_t count;
    struct name *name[DIRECTORY_LABELS_MAX];
    enum finding finding[DIRECTORY_LABELS_MAX];
    enum status failure;
    uint32_t trace_token; /* 0: no trace under way */
    uint64_t trace_ms;
    enum status st;
    struct directory_answer *answer;
};

void
directory_conf_defaults(struct directory_conf *conf)
{
    memset(conf, 0, sizeof(*conf));
    conf->lifetime_s = 60;
    conf->look_ms = 1500;
    conf->positive_ms = 10000;
    conf->negative_ms = 1000;
    conf->young_ms = 3000;
    conf->again_ms = 50;
    conf->patience_ms = 2000;
    conf->max_again = 32;
    conf->max_names = 1024;
    conf->max_waiting = 4096;
}

uint32_t
directory_token(struct directory *d)
{
    if (++d->next_token == 0)
        d->next_token = 1;
    return d->next_token;
}

enum status
directory_new(const struct directory_conf *conf, const struct directory_env *env,
              struct directory **ret, struct why *why)
{
    struct directory *d;

    if (!conf->overlay[0])
        return why_set(why, ST_RANGE, "directory: the overlay has no name");
    if (conf->lifetime_s == 0 || conf->max_names == 0 || conf->max_waiting == 0)
        return why_set(why, ST_RANGE, "directory: a lifetime or limit of 0");
    d = calloc(1, sizeof(*d));
    if (!d)
        return why_set(why, ST_NOMEM, "directory: out of memory");
    d->conf = *conf;
    d->env = *env;
    d->own.at_ms = MOMENT_NEVER;
    list_init(&d->recent);
    list_init(&d->fetching);
    list_init(&d->waiting);
    list_init(&d->again);
    list_init(&d->tracing);
    list_init(&d->ready);
    snprintf(d->own_aor, sizeof(d->own_aor), "overlay@%s", conf->overlay);
    d->names = map_new(conf->seed, conf->max_names);
    if (!d->names) {
        free(d);
        return why_set(why, ST_NOMEM, "directory: out of memory");
    }
    *ret = d;
    return ST_OK;
}

/* ---- names ---- */

static void
name_drop(struct directory *d, struct name *n)
{
    assert(n->users == 0);
    list_remove(&n->recent);
    list_remove(&n->fetching);
    map_remove(d->names, slice_text(n->overlay));
    free(n);
}

/* Make room: what was asked for longest ago and nobody waits for. */
static bool
name_evict(struct directory *d)
{
    for (struct list_node *at = d->recent.prev; at != &d->recent; at = at->prev) {
        struct name *n = list_entry(at, struct name, recent);
        if (n->users == 0 && !n->is_fetching) {
            name_drop(d, n);
            return true;
        }
    }
    return false;
}

static enum status
name_get(struct directory *d, const char *overlay, struct name **ret)
{
    struct name *n = map_get(d->names, slice_text(overlay));
    size_t len = strlen(overlay);
    enum status st;

    assert(len < sizeof(n->overlay));
    if (!n) {
        if (map_count(d->names) >= d->conf.max_names && !name_evict(d))
            return ST_LIMIT;
        n = calloc(1, sizeof(*n));
        if (!n)
            return ST_NOMEM;
        memcpy(n->overlay, overlay, len + 1);
        list_init(&n->recent);
        list_init(&n->fetching);
        st = map_put(d->names, slice_text(overlay), n, NULL);
        if (st != ST_OK) {
            free(n);
            return st;
        }
    }
    list_remove(&n->recent);
    list_prepend(&d->recent, &n->recent);
    *ret = n;
    return ST_OK;
}

static void
name_fetch(struct directory *d, struct moment now, struct name *n)
{
    char aor[DIRECTORY_AOR_BYTES];

    if (n->is_fetching)
        return;
    snprintf(aor, sizeof(aor), "overlay@%s", n->overlay);
    n->is_fetching = true;
    n->token = directory_token(d);
    n->sent_ms = now.mono_ms;
    list_append(&d->fetching, &n->fetching);
    d->counters.fetched++;
    d->env.fetch(d->env.ctx, n->token, aor);
}

static enum finding
name_finding(const struct name *n)
{
    if (n->state == NAME_KNOWN)
        return FINDING_KNOWN;
    return n->entries.is_removed ? FINDING_REMOVED : FINDING_NONE;
}

/* Was the ring such that what was fetched at @at_ms and not found does not exist? */
static bool
ring_is_settled(const struct directory *d, uint64_t at_ms)
{
    return d->is_ring_up && !d->is_ring_alone && at_ms >= d->ring_changed_ms + d->conf.young_ms;
}

/* The same of one name: whose nodes are here already, its entry may be on the way. */
static bool
name_is_settled(const struct directory *d, struct moment now, const struct name *n, uint64_t at_ms)
{
    return ring_is_settled(d, at_ms) && !near_has(&d->near, now, n->overlay);
}

/* What the fetch of a name told; ST_OK even when there is nothing. */
static void
name_learn(struct directory *d, struct moment now, struct name *n, const struct peer_datum *datum,
           size_t count)
{
    entry_pick(d, now, n->overlay, datum, count, NULL, false, &n->entries);
    d->counters.refused_records += n->entries.refused;
    if (n->entries.refused > 0)
        log_to(&d->env.log, LOG_LEVEL_REMOTE,
               "directory: %s: %u entries of a foreign signer or without a term", n->overlay,
               n->entries.refused);
    n->read_ms = n->sent_ms;
    n->state = n->entries.count > 0 ? NAME_KNOWN : NAME_ABSENT;
    n->until_ms = now.mono_ms + (name_is_settled(d, now, n, n->sent_ms) ? d->conf.negative_ms : 0);
    if (n->state == NAME_KNOWN) {
        uint64_t left_ms = n->entries.expires_wall_ms - now.wall_ms;
        n->until_ms = now.mono_ms + (left_ms < d->conf.positive_ms ? left_ms : d->conf.positive_ms);
    }
}

void
directory_doubt_absent(struct directory *d, struct moment now)
{
    struct map_cursor c = {0};

    d->ring_changed_ms = now.mono_ms;
    while (map_next(d->names, &c)) {
        struct name *n = c.value;
        if (n->state == NAME_ABSENT)
            n->until_ms = now.mono_ms;
    }
}

void
directory_on_linked(struct directory *d, struct moment now, const struct id *node, const char *user)
{
    struct map_cursor c = {0};

    near_linked(&d->near, now, node, user);
    while (map_next(d->names, &c)) {
        struct name *n = c.value;
        if (n->state == NAME_ABSENT && near_has(&d->near, now, n->overlay))
            n->until_ms = now.mono_ms;
    }
}

void
directory_on_left(struct directory *d, struct moment now, const struct id *node)
{
    near_left(&d->near, now, node);
}

/* ---- asks ---- */

static void
lookup_free(struct directory *d, struct lookup *l)
{
    for (size_t i = 0; i < l->count; i++) {
        l->name[i]->users--;
        if (l->is_again && --l->name[i]->again == 0)
            d->again_count--;
    }
    list_remove(&l->link);
    d->lookup_count--;
    free(l->answer);
    free(l);
}

/* From here on the ask only waits for its turn to be told. */
static void
lookup_end(struct directory *d, struct lookup *l, enum status st)
{
    l->st = st;
    l->trace_token = 0;
    list_remove(&l->link);
    list_append(&d->ready, &l->link);
    if (st == ST_NOT_FOUND)
        d->counters.not_found++;
    else if (st != ST_OK)
        d->counters.failed++;
}

static void
lookup_trace(struct directory *d, struct moment now, struct lookup *l)
{
    char aor[DIRECTORY_AOR_BYTES];

    snprintf(aor, sizeof(aor), "overlay@%s", l->answer->overlay);
    l->trace_token = directory_token(d);
    l->trace_ms = now.mono_ms;
    list_remove(&l->link);
    list_append(&d->tracing, &l->link);
    d->env.trace(d->env.ctx, l->trace_token, aor);
}

static void
tell_doubt(const struct directory *d, struct moment now, const struct lookup *l,
           struct directory_answer *a)
{
    for (size_t i = 0; i < l->count; i++) {
        if (l->finding[i] == FINDING_REMOVED && !a->removed[0])
            memcpy(a->removed, l->name[i]->overlay, sizeof(a->removed));
        if (l->finding[i] == FINDING_FAILED ? l->failure == ST_STATE
                                            : !d->is_ring_up || d->is_ring_alone)
            a->doubt = DIRECTORY_BLIND;
        else if (a->doubt == DIRECTORY_SURE &&
                 (l->finding[i] == FINDING_FAILED ||
                  !name_is_settled(d, now, l->name[i], l->name[i]->read_ms)))
            a->doubt = DIRECTORY_YOUNG;
    }
}

static void
lookup_answer(struct directory *d, struct moment now, struct lookup *l, const struct name *n)
{
    struct directory_answer *a = calloc(1, sizeof(*a));

    l->answer = a;
    if (!a) {
        lookup_end(d, l, ST_NOMEM);
        return;
    }
    if (!n) {
        snprintf(a->overlay, sizeof(a->overlay), "%s", d->conf.overlay);
        a->is_local = true;
        tell_doubt(d, now, l, a);
        a->lifetime_ms = d->conf.positive_ms;
        lookup_end(d, l, ST_OK);
        return;
    }
    snprintf(a->overlay, sizeof(a->overlay), "%s", n->overlay);
    a->gateway_count = n->entries.count;
    memcpy(a->gateway, n->entries.gateway, sizeof(a->gateway));
    a->other_count = n->entries.other_count;
    memcpy(a->other, n->entries.other, sizeof(a->other));
    a->lifetime_ms = n->until_ms > now.mono_ms ? (uint32_t)(n->until_ms - now.mono_ms) : 0;
    if (l->wants_hops)
        lookup_trace(d, now, l);
    else
        lookup_end(d, l, ST_OK);
}

/* ---- a young ring ---- */

static bool
may_ask_again(const struct directory *d, struct moment now, const struct lookup *l)
{
    bool is_young = now.mono_ms < d->ring_changed_ms + d->conf.young_ms;
    size_t more = 0;

    for (size_t i = 0; i < l->count; i++) {
        more += l->name[i]->again == 0;
        is_young = is_young || near_has(&d->near, now, l->name[i]->overlay);
    }
    if (!d->is_ring_up || !is_young || now.mono_ms >= l->started_ms + d->conf.patience_ms)
        return false;
    return l->is_again || d->again_count + more <= d->conf.max_again;
}

/* With all that ask for the same names: again_ms after they were asked for last. */
static void
lookup_again(struct directory *d, struct lookup *l)
{
    struct list_node *at;

    l->again_ms = 0;
    for (size_t i = 0; i < l->count; i++) {
        if (!l->is_again && l->name[i]->again++ == 0)
            d->again_count++;
        if (l->again_ms < l->name[i]->sent_ms + d->conf.again_ms)
            l->again_ms = l->name[i]->sent_ms + d->conf.again_ms;
    }
    l->is_again = true;
    list_remove(&l->link);
    at = d->again.prev;
    while (at != &d->again && list_entry(at, struct lookup, link)->again_ms > l->again_ms)
        at = at->prev;
    list_insert_before(at->next, &l->link);
}

/* Nothing was found: is that so? */
static void
lookup_found_nothing(struct directory *d, struct moment now, struct lookup *l)
{
    bool is_settled = true;

    for (size_t i = 0; i < l->count; i++)
        is_settled = is_settled && name_is_settled(d, now, l->name[i], l->name[i]->read_ms);
    if (is_settled || l->count == 0)
        lookup_end(d, l, ST_NOT_FOUND);
    else if (may_ask_again(d, now, l))
        lookup_again(d, l);
    else
        lookup_end(d, l, ST_UNREACHABLE);
}

/* The longest name that is live wins; shorter ones need not be waited for. */
static void
lookup_decide(struct directory *d, struct moment now, struct lookup *l)
{
    bool is_removed = false;
    bool has_failed = false;

    for (size_t i = 0; i < l->count; i++) {
        switch (l->finding[i]) {
        case FINDING_PENDING:
            return;
        case FINDING_KNOWN:
            /* Had a longer name failed, this one might not be whose users they are; one that has
             * just left has users of its own. */
            if (has_failed || is_removed)
                break;
            lookup_answer(d, now, l, l->name[i]);
            return;
        case FINDING_FAILED:
            has_failed = true;
            break;
        case FINDING_REMOVED:
            is_removed = true;
            break;
        case FINDING_NONE:
            break;
        }
    }
    if (l->is_local)
        lookup_answer(d, now, l, NULL); /* our own, even when the ring is out of reach */
    else if (has_failed && l->failure != ST_STATE && may_ask_again(d, now, l))
        lookup_again(d, l); /* in a young ring the one who was asked may be gone */
    else if (has_failed)
        lookup_end(d, l, l->failure);
    else if (is_removed)
        lookup_end(d, l, ST_UNREACHABLE);
    else
        lookup_found_nothing(d, now, l);
}

/* All asks that wait for @n learn what became of it; who came while the ring was being looked for
 * in vain has it looked for once more. */
static void
tell_waiting(struct directory *d, struct moment now, struct name *n, enum finding finding,
             enum status st)
{
    bool is_once_more = false;

    list_each(at, &d->waiting)
    {
        struct lookup *l = list_entry(at, struct lookup, link);
        bool is_late = st == ST_STATE && l->started_ms > n->sent_ms + DIRECTORY_SHARED_MS;
        bool concerns = false;

        for (size_t i = 0; i < l->count; i++)
            if (l->name[i] == n && l->finding[i] == FINDING_PENDING) {
                is_once_more = is_once_more || is_late;
                l->finding[i] = is_late ? FINDING_PENDING : finding;
                concerns = !is_late;
            }
        if (!concerns)
            continue;
        if (finding == FINDING_FAILED)
            l->failure = st;
        lookup_decide(d, now, l);
    }
    if (is_once_more)
        name_fetch(d, now, n);
}

static void
deliver(struct directory *d, struct moment now)
{
    if (d->is_delivering)
        return; /* a completion called us */
    d->is_delivering = true;
    while (!list_is_empty(&d->ready)) {
        struct lookup *l = list_entry(d->ready.next, struct lookup, link);
        struct directory_resolved done = l->done;
        struct directory_answer *answer = l->answer;
        enum status st = l->st;

        if (answer && now.mono_ms > l->started_ms)
            answer->elapsed_ms = (uint32_t)(now.mono_ms - l->started_ms);
        l->answer = NULL;
        lookup_free(d, l);
        done.done(done.ctx, now, st, st == ST_OK ? answer : NULL);
        free(answer);
    }
    d->is_delivering = false;
}

/* ---- domains ---- */

static enum status
lookup_name(struct directory *d, struct lookup *l, const char *suffix)
{
    struct name *n;
    enum status st = name_get(d, suffix, &n);

    if (st != ST_OK)
        return st;
    n->users++;
    l->name[l->count] = n;
    l->finding[l->count++] = FINDING_PENDING;
    return ST_OK;
}

/* The names to look up: suffixes of whole labels, down to our own overlay if it is one of them. */
static enum status
lookup_names(struct directory *d, struct lookup *l, const char *domain)
{
    char text[DOMAIN_BYTES];
    enum status st = domain_read(domain, text);

    if (st != ST_OK)
        return st;
    for (const char *at = text; at; at = domain_parent(at)) {
        if (strcasecmp(at, d->conf.overlay) == 0) {
            l->is_local = true;
            break;
        }
        if (strlen(at) >= OVERLAY_NAME_BYTES || domain_labels(at) > DIRECTORY_LABELS_MAX)
            continue;
        st = lookup_name(d, l, at);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

/* From the cache what may be; the rest is fetched, all at the same time. */
static void
lookup_begin(struct directory *d, struct moment now, struct lookup *l, bool is_past_cache)
{
    bool is_fetched = false;

    for (size_t i = 0; i < l->count; i++) {
        struct name *n = l->name[i];
        bool is_valid = n->state != NAME_UNKNOWN && now.mono_ms < n->until_ms &&
                        (!is_past_cache || n->read_ms >= now.mono_ms);
        if (is_valid) {
            l->finding[i] = name_finding(n);
        } else {
            name_fetch(d, now, n);
            is_fetched = true;
        }
    }
    if (!is_fetched)
        d->counters.from_cache++;
    lookup_decide(d, now, l);
}

void
directory_resolve(struct directory *d, struct moment now, const char *domain, bool is_past_cache,
                  bool wants_hops, const struct directory_resolved *done)
{
    struct lookup *l = calloc(1, sizeof(*l));
    enum status st;

    d->counters.asked++;
    if (!l) { /* the one case in which the promise of "later" cannot be kept */
        d->counters.failed++;
        done->done(done->ctx, now, ST_NOMEM, NULL);
        return;
    }
    l->done = *done;
    l->started_ms = now.mono_ms;
    l->wants_hops = wants_hops;
    list_init(&l->link);
    list_append(&d->waiting, &l->link);
    d->lookup_count++;
    st = d->lookup_count > d->conf.max_waiting ? ST_LIMIT : lookup_names(d, l, domain);
    if (st == ST_OK)
        lookup_begin(d, now, l, is_past_cache);
    else
        lookup_end(d, l, st);
}

static void
ask_again(struct directory *d, struct moment now)
{
    while (!list_is_empty(&d->again)) {
        struct lookup *l = list_entry(d->again.next, struct lookup, link);

        if (l->again_ms > now.mono_ms)
            return;
        list_remove(&l->link);
        list_append(&d->waiting, &l->link);
        for (size_t i = 0; i < l->count; i++)
            l->finding[i] = FINDING_PENDING;
        lookup_begin(d, now, l, false);
    }
}

/* ---- forgetting ---- */

bool
directory_is_forgotten(const struct directory *d, uint64_t now_ms, const struct id *gateway)
{
    for (unsigned i = 0; i < DIRECTORY_FORGOTTEN_MAX; i++)
        if (now_ms < d->forgotten[i].until_ms && id_equal(&d->forgotten[i].node, gateway))
            return true;
    return false;
}

void
directory_forget(struct directory *d, struct moment now, const char *overlay,
                 const struct id *gateway)
{
    char text[DOMAIN_BYTES];
    struct name *n;

    if (!directory_is_forgotten(d, now.mono_ms, gateway)) {
        unsigned slot = d->forgotten_next++ % DIRECTORY_FORGOTTEN_MAX;
        d->forgotten[slot].node = *gateway;
        d->forgotten[slot].until_ms = now.mono_ms + DIRECTORY_FORGOTTEN_MS;
    }
    if (domain_read(overlay, text) != ST_OK)
        return;
    n = map_get(d->names, slice_text(text));
    if (n)
        n->state = NAME_UNKNOWN;
}

bool
directory_owner_matches(const struct directory_answer *answer, const char *overlay)
{
    return strcasecmp(answer->overlay, overlay) == 0;
}

/* ---- our own term in the ring ---- */

void
directory_read_own(struct directory *d, struct moment now, const struct directory_term *done)
{
    struct directory_own_read *r = d->own_read;

    while (r < d->own_read + DIRECTORY_OWN_READS_MAX && r->is_used)
        r++;
    if (r == d->own_read + DIRECTORY_OWN_READS_MAX) {
        done->done(done->ctx, now, ST_LIMIT, NULL, 0);
        return;
    }
    *r = (struct directory_own_read){
        .done = *done, .token = directory_token(d), .sent_ms = now.mono_ms, .is_used = true};
    d->counters.fetched++;
    d->env.fetch(d->env.ctx, r->token, d->own_aor);
}

static void
own_read_end(struct directory *d, struct moment now, struct directory_own_read *r, enum status st,
             const struct peer_datum *datum, size_t count)
{
    struct directory_term done = r->done;
    struct directory_entries entries = {0};

    r->is_used = false;
    /* What we publish ourselves is no news: the question is who else claims to be active. */
    if (st == ST_OK)
        entry_pick(d, now, d->conf.overlay, datum, count, d->own.is_wanted ? &d->conf.self : NULL,
                   true, &entries);
    done.done(done.ctx, now, st, entries.gateway, entries.count);
}

/* ---- what comes in ---- */

static void
fetch_ended(struct directory *d, struct moment now, struct name *n, enum status st,
            const struct peer_datum *datum, size_t count)
{
    n->is_fetching = false;
    list_remove(&n->fetching);
    if (st == ST_OK) {
        name_learn(d, now, n, datum, count);
        tell_waiting(d, now, n, name_finding(n), ST_OK);
    } else {
        n->state = NAME_UNKNOWN;
        tell_waiting(d, now, n, FINDING_FAILED, st);
    }
}

void
directory_on_fetched(struct directory *d, struct moment now, uint32_t token, enum status st,
                     const struct peer_datum *datum, size_t count)
{
    if (publish_on_fetched(d, now, token, st, datum, count))
        return;
    for (size_t i = 0; i < DIRECTORY_OWN_READS_MAX; i++)
        if (d->own_read[i].is_used && d->own_read[i].token == token) {
            own_read_end(d, now, &d->own_read[i], st, datum, count);
            return;
        }
    list_each(at, &d->fetching)
    {
        struct name *n = list_entry(at, struct name, fetching);
        if (n->token == token) {
            fetch_ended(d, now, n, st, datum, count);
            break;
        }
    }
    deliver(d, now);
}

void
directory_on_traced(struct directory *d, struct moment now, uint32_t token, enum status st,
                    const struct peer_hop *hop, size_t count)
{
    list_each(at, &d->tracing)
    {
        struct lookup *l = list_entry(at, struct lookup, link);
        if (l->trace_token != token)
            continue;
        if (st == ST_OK) { /* without hops the answer is still one */
            l->answer->hop_count = count < DIRECTORY_HOPS_MAX ? count : DIRECTORY_HOPS_MAX;
            memcpy(l->answer->hop, hop, l->answer->hop_count * sizeof(hop[0]));
        }
        lookup_end(d, l, ST_OK);
        break;
    }
    deliver(d, now);
}

static void
end_lost(struct directory *d, struct moment now)
{
    list_each(at, &d->fetching)
    {
        struct name *n = list_entry(at, struct name, fetching);
        if (now.mono_ms >= n->sent_ms + DIRECTORY_LOST_MS)
            fetch_ended(d, now, n, ST_TIMEOUT, NULL, 0);
    }
    list_each(at, &d->tracing)
    {
        struct lookup *l = list_entry(at, struct lookup, link);
        if (now.mono_ms >= l->trace_ms + DIRECTORY_LOST_MS)
            lookup_end(d, l, ST_OK);
    }
    for (size_t i = 0; i < DIRECTORY_OWN_READS_MAX; i++)
        if (d->own_read[i].is_used && now.mono_ms >= d->own_read[i].sent_ms + DIRECTORY_LOST_MS)
            own_read_end(d, now, &d->own_read[i], ST_TIMEOUT, NULL, 0);
}

void
directory_tick(struct directory *d, struct moment now)
{
    end_lost(d, now);
    ask_again(d, now);
    publish_run(d, now);
    deliver(d, now);
}

uint64_t
directory_deadline_ms(const struct directory *d)
{
    uint64_t at_ms = publish_deadline_ms(d);

    if (!list_is_empty(&d->ready))
        return 0;
    if (!list_is_empty(&d->fetching)) /* in the order they were sent */
        at_ms =
            moment_earlier_ms(at_ms, list_entry(d->fetching.next, struct name, fetching)->sent_ms +
                                         DIRECTORY_LOST_MS);
    if (!list_is_empty(&d->again))
        at_ms = moment_earlier_ms(at_ms, list_entry(d->again.next, struct lookup, link)->again_ms);
    if (!list_is_empty(&d->tracing))
        at_ms = moment_earlier_ms(
            at_ms, list_entry(d->tracing.next, struct lookup, link)->trace_ms + DIRECTORY_LOST_MS);
    for (size_t i = 0; i < DIRECTORY_OWN_READS_MAX; i++)
        if (d->own_read[i].is_used)
            at_ms = moment_earlier_ms(at_ms, d->own_read[i].sent_ms + DIRECTORY_LOST_MS);
    return at_ms;
}

void
directory_free(struct directory *d, struct moment now)
{
    struct map_cursor c = {0};

    if (!d)
        return;
    list_each(at, &d->waiting) lookup_end(d, list_entry(at, struct lookup, link), ST_STATE);
    list_each(at, &d->again) lookup_end(d, list_entry(at, struct lookup, link), ST_STATE);
    deliver(d, now);
    for (size_t i = 0; i < DIRECTORY_OWN_READS_MAX; i++)
        if (d->own_read[i].is_used)
            own_read_end(d, now, &d->own_read[i], ST_STATE, NULL, 0);
    while (d->names && map_next(d->names, &c))
        free(c.value);
    map_free(d->names);
    free(d);
}

/* ---- what may be looked at ---- */

const struct directory_counters *
directory_counters_of(const struct directory *d)
{
    return &d->counters;
}

size_t
directory_name_count(const struct directory *d)
{
    return map_count(d->names);
}
