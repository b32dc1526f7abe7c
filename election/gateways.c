#include "election/internal.h"

#include <string.h>

bool
gateways_has(const struct election *e, const struct id *node)
{
    for (size_t i = 0; i < e->gateway_count; i++)
        if (id_equal(&e->gateway[i].ref.node, node))
            return true;
    return false;
}

struct watched *
gateways_watched(struct election *e, const struct id *node)
{
    for (size_t i = 0; i < e->gateway_count; i++)
        if (id_equal(&e->watched[i].node, node))
            return &e->watched[i];
    return NULL;
}

static const struct election_gateway *
find(const struct election_gateway *gateway, size_t count, const struct id *node)
{
    for (size_t i = 0; i < count; i++)
        if (id_equal(&gateway[i].ref.node, node))
            return &gateway[i];
    return NULL;
}

/* What one source leaves open is kept from what was known of the same claim before. */
static struct election_gateway
merged(const struct election *e, const struct election_gateway *g)
{
    const struct election_gateway *was = find(e->gateway, e->gateway_count, &g->ref.node);
    struct election_gateway is = *g;

    is.is_self = id_equal(&g->ref.node, &e->conf.self.node);
    if (!was)
        return is;
    if (!is.ref.name[0])
        is.ref = was->ref;
    if (!is.sip_uri[0])
        memcpy(is.sip_uri, was->sip_uri, sizeof(is.sip_uri));
    if (is.score == 0)
        is.score = was->score;
    if (is.since_wall_ms == 0)
        is.since_wall_ms = was->since_wall_ms;
    if (is.priority == 0 && is.weight == 0) {
        is.priority = was->priority;
        is.weight = was->weight;
    }
    return is;
}

static bool
is_before(const struct election_gateway *a, const struct election_gateway *b)
{
    if (a->priority != b->priority)
        return a->priority < b->priority;
    return ranking_beats(a->score, &a->ref.node, b->score, &b->ref.node);
}

size_t
gateways_arrange(struct election_gateway *g, size_t count, size_t wanted)
{
    while (count > wanted) {
        size_t worst = 0;
        for (size_t i = 1; i < count; i++)
            if (ranking_beats(g[worst].score, &g[worst].ref.node, g[i].score, &g[i].ref.node))
                worst = i;
        g[worst] = g[--count];
    }
    for (size_t i = 1; i < count; i++) {
        struct election_gateway x = g[i];
        size_t at = i;
        for (; at > 0 && is_before(&x, &g[at - 1]); at--)
            g[at] = g[at - 1];
        g[at] = x;
    }
    return count;
}

static struct watched
watched_for(struct election *e, const struct id *node)
{
    const struct watched *was = gateways_watched(e, node);

    if (was)
        return *was;
    return (struct watched){
        .node = *node,
        .heard_ms = e->now.mono_ms,
        .news_ms = e->now.mono_ms,
        .hello_at_ms = e->now.mono_ms,
        .judge_at_ms = MOMENT_NEVER,
        .claim_at_ms = MOMENT_NEVER,
    };
}

/* When it claimed is no news: a CLAIM does not say so, and the record that follows it does. */
static bool
is_same(const struct election_gateway *a, const struct election_gateway *b)
{
    return id_equal(&a->ref.node, &b->ref.node) && a->term == b->term && a->score == b->score &&
           a->priority == b->priority && a->weight == b->weight &&
           strcmp(a->sip_uri, b->sip_uri) == 0 && strcmp(a->ref.name, b->ref.name) == 0 &&
           strcmp(a->ref.address, b->ref.address) == 0;
}

static bool
is_changed(const struct election *e, const struct election_gateway *g, size_t count)
{
    if (count != e->gateway_count)
        return true;
    for (size_t i = 0; i < count; i++)
        if (!is_same(&e->gateway[i], &g[i]))
            return true;
    return false;
}

static void
note_vacancy(struct election *e)
{
    if (e->gateway_count > 0) {
        e->vacancy = VACANCY_NONE;
        e->vacancy_at_ms = MOMENT_NEVER;
    }
}

void
gateways_set(struct election *e, uint32_t term, const struct election_gateway *gateway,
             size_t count)
{
    struct election_gateway next[ELECTION_GATEWAYS_MAX + 1];
    struct watched watched[ELECTION_GATEWAYS_MAX];
    size_t next_count = 0;

    for (size_t i = 0; i < count && next_count <= ELECTION_GATEWAYS_MAX; i++)
        if (!find(next, next_count, &gateway[i].ref.node)) {
            next[next_count] = merged(e, &gateway[i]);
            next[next_count++].term = term;
        }
    next_count = gateways_arrange(next, next_count, e->conf.gateways);
    for (size_t i = 0; i < next_count; i++)
        watched[i] = watched_for(e, &next[i].ref.node);
    for (size_t i = 0; i < e->gateway_count; i++)
        if (e->watched[i].is_linked && !find(next, next_count, &e->watched[i].node))
            e->env.unwatch(e->env.ctx, &e->watched[i].node);

    bool changed = is_changed(e, next, next_count);
    memcpy(e->watched, watched, next_count * sizeof(watched[0]));
    memcpy(e->gateway, next, next_count * sizeof(next[0]));
    e->gateway_count = next_count;
    e->term = term;
    term_learn(e, term);
    note_vacancy(e);
    if (changed)
        e->env.gateways_changed(e->env.ctx, e->gateway, e->gateway_count);
}

bool
gateways_is_lively(const struct election *e, size_t at)
{
    const struct watched *w = &e->watched[at];
    uint64_t silence_ms = hello_silence_ms(e, w);

    if (silence_ms < RECORD_GRACE_MS)
        silence_ms = RECORD_GRACE_MS; /* its record may still be under way */
    return e->gateway[at].is_self || e->now.mono_ms <= w->news_ms + silence_ms;
}

void
gateways_drop(struct election *e, const struct id *node)
{
    struct election_gateway left[ELECTION_GATEWAYS_MAX];
    size_t count = 0;

    for (size_t i = 0; i < e->gateway_count; i++)
        if (!id_equal(&e->gateway[i].ref.node, node))
            left[count++] = e->gateway[i];
    gateways_set(e, e->term, left, count);
}

bool
gateways_was_refuted(const struct election *e, const struct id *node, uint32_t term)
{
    for (unsigned i = 0; i < ELECTION_GATEWAYS_MAX; i++)
        if (e->refuted[i].term >= term && id_equal(&e->refuted[i].node, node))
            return true;
    return false;
}

/* A record that is there for longer is kept alive: it claimed anew. */
bool
gateways_is_refuted(const struct election *e, const struct id *node, uint32_t term)
{
    for (unsigned i = 0; i < ELECTION_GATEWAYS_MAX; i++)
        if (e->refuted[i].term >= term && id_equal(&e->refuted[i].node, node) &&
            e->now.mono_ms < e->refuted[i].at_ms + 2ULL * e->conf.refresh_ms)
            return true;
    return false;
}

void
gateways_refute(struct election *e, const struct id *node, uint32_t term)
{
    unsigned slot = e->refuted_next++ % ELECTION_GATEWAYS_MAX;

    e->refuted[slot].node = *node;
    e->refuted[slot].term = term;
    e->refuted[slot].at_ms = e->now.mono_ms;
}

uint16_t
gateways_weight(uint16_t score)
{
    return score_bare(score) > 0 ? score_bare(score) : 1;
}

struct election_gateway
gateways_self(const struct election *e)
{
    struct election_gateway g = {
        .ref = e->conf.self,
        .term = e->term,
        .score = e->claim_score,
        .priority = e->conf.priority,
        .weight = gateways_weight(e->claim_score),
        .since_wall_ms = e->claimed_wall_ms,
        .is_self = true,
    };

    memcpy(g.sip_uri, e->conf.sip_uri, sizeof(g.sip_uri));
    return g;
}
