#include "gateway/sip/ask.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/sip/clock.h"
#include "gateway/sip/service.h"

/* A question on its way; all who ask the same wait at one. */
struct question {
    struct list_node link;    /* in table->pending, the oldest first */
    struct list_node waiters; /* struct ask */
    uint64_t token;
    uint64_t deadline_ms;
    enum bridge_type type;
    char name[AOR_BYTES];
};

/* An answer kept: the overlay's message itself. */
struct cached {
    struct bridge_message *message;
    uint64_t since_ms;
    uint64_t until_ms;
};

struct ask_table {
    struct list_node pending;
    size_t pending_count;
    struct map *by_token;
    struct map *by_name;  /* LOOKUP and RESOLVE questions, key type and name */
    struct map *bindings; /* struct cached by AOR */
    struct map *routes;   /* struct cached by domain */
    uint64_t last_token;
    unsigned ticks;
};

struct ask_table *
ask_table_new(struct sip *s)
{
    struct ask_table *t = calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    list_init(&t->pending);
    t->by_token = map_new(s->seed, ASK_PENDING_MAX);
    t->by_name = map_new(s->seed, ASK_PENDING_MAX);
    t->bindings = map_new(s->seed, ASK_CACHE_MAX);
    t->routes = map_new(s->seed, ASK_CACHE_MAX);
    if (t->by_token && t->by_name && t->bindings && t->routes)
        return t;
    ask_table_free(t);
    return NULL;
}

static void
cache_free(struct map *cache)
{
    struct map_cursor c = {0};

    while (cache && map_next(cache, &c)) {
        struct cached *kept = c.value;

        bridge_free(kept->message);
        free(kept);
    }
    map_free(cache);
}

void
ask_table_free(struct ask_table *t)
{
    if (!t)
        return;
    list_each(at, &t->pending)
    {
        struct question *q = list_entry(at, struct question, link);

        list_each(waiter, &q->waiters) list_remove(waiter);
        free(q);
    }
    map_free(t->by_token);
    map_free(t->by_name);
    cache_free(t->bindings);
    cache_free(t->routes);
    free(t);
}

static void
finish(struct ask *ask, const struct answer *answer)
{
    list_remove(&ask->link);
    ask->done(ask->ctx, answer);
}

static void
fail(struct ask *ask, enum status st)
{
    struct answer answer = {.status = st};

    list_init(&ask->link);
    finish(ask, &answer);
}

static struct slice
token_key(const uint64_t *token)
{
    return slice_of(token, sizeof(*token));
}

/* "L" or "R" and the name. */
static struct slice
name_key(char *buffer, enum bridge_type type, const char *name)
{
    size_t len = strlen(name);

    buffer[0] = (char)('A' + type);
    memcpy(buffer + 1, name, len);
    return slice_of(buffer, len + 1);
}

static bool
is_shared(enum bridge_type type)
{
    return type == BRIDGE_LOOKUP || type == BRIDGE_RESOLVE || type == BRIDGE_LOCATE ||
           type == BRIDGE_JUDGE;
}

static void
question_drop(struct ask_table *t, struct question *q)
{
    char key[AOR_BYTES + 1];

    list_remove(&q->link);
    t->pending_count--;
    map_remove(t->by_token, token_key(&q->token));
    if (is_shared(q->type) && map_get(t->by_name, name_key(key, q->type, q->name)) == q)
        map_remove(t->by_name, name_key(key, q->type, q->name));
}

static void
question_answer(struct ask_table *t, struct question *q, const struct answer *answer)
{
    question_drop(t, q);
    /* A waiter may ask again or cancel another one from within done(). */
    while (!list_is_empty(&q->waiters))
        finish(list_entry(q->waiters.next, struct ask, link), answer);
    free(q);
}

static struct question *
question_new(struct sip *s, enum bridge_type type, const char *name)
{
    struct ask_table *t = s->asks;
    struct question *q = t->pending_count < ASK_PENDING_MAX ? calloc(1, sizeof(*q)) : NULL;
    char key[AOR_BYTES + 1];

    if (!q)
        return NULL;
    list_init(&q->waiters);
    q->type = type;
    q->token = ++t->last_token;
    q->deadline_ms = sip_moment(s).mono_ms + ASK_TIMEOUT_MS;
    memcpy(q->name, name, strlen(name) + 1);
    list_append(&t->pending, &q->link);
    t->pending_count++;
    if (map_put(t->by_token, token_key(&q->token), q, NULL) ||
        (is_shared(type) && map_put(t->by_name, name_key(key, type, name), q, NULL))) {
        question_drop(t, q);
        free(q);
        return NULL;
    }
    return q;
}

static struct bridge_message *
message_of(enum bridge_type type, uint64_t token, const struct binding_record *binding)
{
    struct bridge_message *m =
        bridge_new(type, token, binding ? 1 : 0, sizeof(struct binding_record *));

    if (m && binding && !(m->binding[0] = binding_record_copy(binding))) {
        bridge_free(m);
        return NULL;
    }
    return m;
}

/* Ask the overlay, or wait with those who have asked already. */
static void
ask_patiently(struct sip *s, enum bridge_type type, const char *name,
              const struct binding_record *binding, bool is_past_cache, uint32_t patience_ms,
              struct ask *ask)
{
    struct ask_table *t = s->asks;
    struct bridge_message *m = NULL;
    struct question *q = NULL;
    char key[AOR_BYTES + 1];

    if (strlen(name) >= AOR_BYTES) {
        fail(ask, ST_TOO_LARGE);
        return;
    }
    if (is_shared(type) && !is_past_cache)
        q = map_get(t->by_name, name_key(key, type, name));
    if (q) {
        list_append(&q->waiters, &ask->link);
        return;
    }
    q = question_new(s, type, name);
    m = q ? message_of(type, q->token, binding) : NULL;
    if (!m) {
        if (q)
            question_drop(t, q);
        free(q);
        fail(ask, ST_LIMIT);
        return;
    }
    memcpy(m->name, name, strlen(name) + 1);
    m->is_past_cache = is_past_cache;
    m->lifetime_ms = patience_ms;
    list_append(&q->waiters, &ask->link);
    s->upward.post(s->upward.ctx, m);
}

static void
ask_overlay(struct sip *s, enum bridge_type type, const char *name,
            const struct binding_record *binding, bool is_past_cache, struct ask *ask)
{
    ask_patiently(s, type, name, binding, is_past_cache, 0, ask);
}

static struct answer
answer_of(const struct bridge_message *m)
{
    struct answer a = {.status = m->status,
                       .count = m->count,
                       .node = m->node,
                       .verdict = m->verdict,
                       .is_young = m->is_young};

    if (m->type == BRIDGE_BINDINGS)
        a.binding = m->binding;
    else if (m->type == BRIDGE_ROUTES || m->type == BRIDGE_GATEWAY)
        a.gateway = m->gateway;
    if (m->type == BRIDGE_ROUTES) {
        a.overlay = m->overlay;
        a.other_count = m->other_count;
        a.count -= m->other_count;
        a.other = m->gateway + a.count;
    }
    if (a.status == ST_OK && a.count == 0 && m->type != BRIDGE_BOUND && m->type != BRIDGE_JUDGED)
        a.status = ST_NOT_FOUND;
    return a;
}

static bool
cache_answer(struct sip *s, struct map *cache, const char *name, struct ask *ask)
{
    struct cached *kept = map_get(cache, slice_text(name));
    struct answer answer;

    if (!kept || kept->until_ms <= sip_moment(s).mono_ms)
        return false;
    answer = answer_of(kept->message);
    answer.is_cached = true;
    list_init(&ask->link);
    finish(ask, &answer);
    return true;
}

static void
cache_drop(struct map *cache, const char *name)
{
    struct cached *kept = map_remove(cache, slice_text(name));

    if (kept)
        bridge_free(kept->message);
    free(kept);
}

/* Takes the message; without room the oldest entry makes place. */
static void
cache_keep(struct sip *s, struct map *cache, struct bridge_message *m)
{
    struct cached *kept = m->lifetime_ms ? calloc(1, sizeof(*kept)) : NULL;
    struct map_cursor oldest = {0};

    cache_drop(cache, m->name);
    if (!kept) {
        bridge_free(m);
        return;
    }
    if (map_count(cache) >= ASK_CACHE_MAX && map_next(cache, &oldest)) {
        struct cached *victim = oldest.value;

        cache_drop(cache, victim->message->name);
    }
    *kept = (struct cached){.message = m,
                            .since_ms = sip_moment(s).mono_ms,
                            .until_ms = sip_moment(s).mono_ms + m->lifetime_ms};
    if (map_put(cache, slice_text(m->name), kept, NULL)) {
        bridge_free(m);
        free(kept);
    }
}

void
ask_lookup(struct sip *s, const char *aor, struct ask *ask)
{
    if (!cache_answer(s, s->asks->bindings, aor, ask))
        ask_overlay(s, BRIDGE_LOOKUP, aor, NULL, false, ask);
}

void
ask_lookup_fresh(struct sip *s, const char *aor, struct ask *ask)
{
    ask_overlay(s, BRIDGE_LOOKUP, aor, NULL, true, ask);
}

void
ask_doubt(struct sip *s, const char *aor)
{
    cache_drop(s->asks->bindings, aor);
}

static void
cache_doubt(struct map *cache)
{
    struct map_cursor c = {0};

    while (map_next(cache, &c))
        ((struct cached *)c.value)->until_ms = 0;
}

void
ask_doubt_all(struct sip *s)
{
    cache_doubt(s->asks->bindings);
    cache_doubt(s->asks->routes);
}

void
ask_resolve(struct sip *s, const char *domain, bool is_past_cache, struct ask *ask)
{
    if (is_past_cache || !cache_answer(s, s->asks->routes, domain, ask))
        ask_overlay(s, BRIDGE_RESOLVE, domain, NULL, is_past_cache, ask);
}

void
ask_resolve_recent(struct sip *s, const char *domain, struct ask *ask)
{
    const struct cached *kept = map_get(s->asks->routes, slice_text(domain));
    bool is_recent =
        kept && kept->until_ms > 0 && sip_moment(s).mono_ms < kept->since_ms + ASK_RECENT_MS;

    ask_resolve(s, domain, !is_recent, ask);
}

/* Who has patience does not wait with those who have none. */
void
ask_judge(struct sip *s, const char *domain, uint32_t patience_ms, struct ask *ask)
{
    ask_patiently(s, BRIDGE_JUDGE, domain, NULL, patience_ms > 0, patience_ms, ask);
}

void
ask_locate(struct sip *s, struct ask *ask)
{
    ask_overlay(s, BRIDGE_LOCATE, "", NULL, false, ask);
}

void
ask_bind(struct sip *s, const struct binding_record *binding, struct ask *ask)
{
    /* What was cached of this AOR is no longer true: the next caller asks. */
    cache_drop(s->asks->bindings, binding->aor);
    ask_overlay(s, BRIDGE_BIND, binding->aor, binding, false, ask);
}

void
ask_forget(struct sip *s, const char *overlay, const struct id *gateway)
{
    struct bridge_message *m = bridge_new(BRIDGE_FORGET, 0, 0, 0);
    struct map_cursor c = {0};

    while (map_next(s->asks->routes, &c)) {
        struct cached *kept = c.value;

        if (strcmp(kept->message->overlay, overlay) == 0)
            kept->until_ms = 0;
    }
    if (!m)
        return;
    strncpy(m->name, overlay, sizeof(m->name) - 1);
    m->node = *gateway;
    s->upward.post(s->upward.ctx, m);
}

void
ask_overdue(struct sip *s, const struct id *gateway, uint32_t waiting_ms)
{
    struct bridge_message *m = bridge_new(BRIDGE_OVERDUE, 0, 0, 0);

    if (!m)
        return;
    m->node = *gateway;
    m->waiting_ms = waiting_ms;
    s->upward.post(s->upward.ctx, m);
}

void
ask_cancel(struct ask *ask)
{
    if (ask->link.next)
        list_remove(&ask->link);
}

void
ask_on_message(struct sip *s, struct bridge_message *m)
{
    struct question *q = map_get(s->asks->by_token, token_key(&m->token));
    struct answer answer = answer_of(m);
    char key[AOR_BYTES + 1];

    /* Gateways that come unasked are what those who ask for ours wait for. */
    if (!q && m->type == BRIDGE_GATEWAY && m->count > 0)
        q = map_get(s->asks->by_name, name_key(key, BRIDGE_LOCATE, ""));
    /* A look-up that was answered meanwhile may have brought what was bound before. */
    if (q && m->type == BRIDGE_BOUND)
        cache_drop(s->asks->bindings, q->name);
    if (q)
        question_answer(s->asks, q, &answer);
    if (m->type == BRIDGE_BINDINGS)
        cache_keep(s, s->asks->bindings, m);
    else if (m->type == BRIDGE_ROUTES)
        cache_keep(s, s->asks->routes, m);
    else
        bridge_free(m);
}

static void
cache_sweep(struct map *cache, uint64_t now_ms)
{
    struct map_cursor c = {0};

    while (map_next(cache, &c)) {
        struct cached *kept = c.value;

        if (kept->until_ms <= now_ms)
            cache_drop(cache, kept->message->name);
    }
}

void
ask_tick(struct sip *s)
{
    struct ask_table *t = s->asks;
    uint64_t now_ms = sip_moment(s).mono_ms;
    struct answer late = {.status = ST_TIMEOUT};

    while (!list_is_empty(&t->pending)) {
        struct question *q = list_entry(t->pending.next, struct question, link);

        if (q->deadline_ms > now_ms)
            break;
        question_answer(t, q, &late);
    }
    if (++t->ticks % 10 == 0) {
        cache_sweep(t->bindings, now_ms);
        cache_sweep(t->routes, now_ms);
    }
}
