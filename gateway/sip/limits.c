#include "gateway/sip/limits.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define SOURCES_MAX      65536
#define DESTINATIONS_MAX 65536

/* Requests of one source in the present second. */
struct source {
    uint64_t second;
    uint32_t count;
};

struct limits {
    struct sip *sip;
    struct map *sources;      /* struct source by IP address */
    struct map *destinations; /* a count in place of a pointer, by "host:port" */
};

struct limits *
limits_new(struct sip *s)
{
    struct limits *l = calloc(1, sizeof(*l));

    if (!l)
        return NULL;
    l->sip = s;
    l->sources = map_new(s->seed, SOURCES_MAX);
    l->destinations = map_new(s->seed, DESTINATIONS_MAX);
    if (l->sources && l->destinations)
        return l;
    limits_free(l);
    return NULL;
}

static void
values_free(struct map *m)
{
    struct map_cursor c = {0};

    while (m && map_next(m, &c))
        free(c.value);
    map_free(m);
}

void
limits_free(struct limits *l)
{
    if (!l)
        return;
    values_free(l->sources);
    map_free(l->destinations);
    free(l);
}

static void
sources_forget(struct limits *l, uint64_t second)
{
    struct map_cursor c = {0};

    while (map_next(l->sources, &c)) {
        struct source *old = c.value;

        if (old->second == second)
            continue;
        map_remove(l->sources, c.key);
        free(old);
    }
}

bool
limits_take(struct limits *l, const su_sockaddr_t *source)
{
    uint32_t most = l->sip->conf.limits.requests_per_source_s;
    uint64_t second = sip_moment(l->sip).mono_ms / 1000;
    struct slice key = slice_of(SU_ADDR(source), source->su_family == AF_INET6 ? 16 : 4);
    struct source *from;

    if (most == 0)
        return true;
    from = map_get(l->sources, key);
    if (!from) {
        if (map_count(l->sources) >= SOURCES_MAX)
            sources_forget(l, second);
        from = calloc(1, sizeof(*from));
        if (!from || map_put(l->sources, key, from, NULL)) {
            free(from);
            return false;
        }
    }
    if (from->second != second)
        *from = (struct source){second, 0};
    return ++from->count <= most;
}

bool
limits_begin(struct limits *l, const char *destination)
{
    uintptr_t count = (uintptr_t)map_get(l->destinations, slice_text(destination)) + 1;
    uint32_t most = l->sip->conf.limits.pending_per_destination;

    if (most && count > most)
        return false;
    return map_put(l->destinations, slice_text(destination), (void *)count, NULL) == ST_OK;
}

void
limits_end(struct limits *l, const char *destination)
{
    uintptr_t count = (uintptr_t)map_get(l->destinations, slice_text(destination));

    if (count <= 1)
        map_remove(l->destinations, slice_text(destination));
    else if (map_put(l->destinations, slice_text(destination), (void *)(count - 1), NULL))
        map_remove(l->destinations, slice_text(destination));
}
