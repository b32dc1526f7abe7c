#include "gateway/sip/limits.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "gateway/sip/accept.h"

#define SOURCES_MAX      65536
#define DESTINATIONS_MAX 65536

/* Requests of one source in the present second. */
struct source {
    uint64_t second;
    uint32_t count;
};

/* A connection somebody made to us. */
struct connection {
    int fd;
    uint64_t since_ms;
    bool has_spoken;
};

struct limits {
    struct sip *sip;
    struct map *sources;      /* struct source by IP address */
    struct map *destinations; /* a count in place of a pointer, by "host:port" */
    struct map *connections;  /* struct connection by the other's address and port */
    uint64_t swept_ms;
};

static void on_accept(void *ctx, int fd, const struct sockaddr *from);

struct limits *
limits_new(struct sip *s)
{
    struct limits *l = calloc(1, sizeof(*l));

    if (!l)
        return NULL;
    l->sip = s;
    l->sources = map_new(s->seed, SOURCES_MAX);
    l->destinations = map_new(s->seed, DESTINATIONS_MAX);
    l->connections = map_new(s->seed, 0);
    if (l->sources && l->destinations && l->connections) {
        accept_watch(on_accept, l);
        return l;
    }
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
    accept_watch(NULL, NULL);
    values_free(l->sources);
    values_free(l->connections);
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

static struct slice
address_key(const su_sockaddr_t *a, uint8_t key[18])
{
    size_t len = a->su_family == AF_INET6 ? 16 : 4;

    memcpy(key, SU_ADDR(a), len);
    memcpy(key + len, &a->su_port, 2);
    return slice_of(key, len + 2);
}

/* Is the descriptor still the connection it was?  The library closes it without a word. */
static bool
is_open(const struct connection *c, struct slice key)
{
    su_sockaddr_t peer = {0};
    socklen_t len = sizeof(peer);
    uint8_t now[18];

    if (getpeername(c->fd, &peer.su_sa, &len))
        return false;
    return slice_equal(address_key(&peer, now), key);
}

static void
sweep(struct limits *l, uint64_t now_ms)
{
    uint32_t first_byte_ms = l->sip->conf.limits.first_byte_ms;
    struct map_cursor c = {0};

    l->swept_ms = now_ms;
    while (map_next(l->connections, &c)) {
        struct connection *one = c.value;

        if (!is_open(one, c.key)) {
            map_remove(l->connections, c.key);
            free(one);
        } else if (first_byte_ms && !one->has_spoken && now_ms - one->since_ms >= first_byte_ms) {
            shutdown(one->fd, SHUT_RDWR); /* the library then closes it */
        }
    }
}

static bool
is_full(struct limits *l, uint64_t now_ms)
{
    uint32_t most = l->sip->conf.limits.connections;

    if (!most || map_count(l->connections) < most)
        return false;
    if (now_ms - l->swept_ms >= 100) /* it costs a system call for each connection */
        sweep(l, now_ms);
    return map_count(l->connections) >= most;
}

static void
on_accept(void *ctx, int fd, const struct sockaddr *from)
{
    struct limits *l = ctx;
    uint64_t now_ms = sip_moment(l->sip).mono_ms;
    struct connection *c;
    su_sockaddr_t address = {0};
    uint8_t key[18];
    void *old = NULL;

    if (is_full(l, now_ms)) {
        log_write(LOG_LEVEL_REMOTE, "sip", "more than %zu connections: a new one is closed",
                  map_count(l->connections));
        shutdown(fd, SHUT_RDWR);
        return;
    }
    memcpy(&address, from,
           from->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
    c = calloc(1, sizeof(*c));
    if (c)
        *c = (struct connection){.fd = fd, .since_ms = now_ms};
    if (!c || map_put(l->connections, address_key(&address, key), c, &old)) {
        free(c);
        shutdown(fd, SHUT_RDWR);
        return;
    }
    free(old);
}

void
limits_on_message(struct limits *l, const su_sockaddr_t *from)
{
    uint8_t key[18];
    struct connection *c = map_get(l->connections, address_key(from, key));

    if (c)
        c->has_spoken = true;
}

size_t
limits_connections(const struct limits *l)
{
    return map_count(l->connections);
}

void
limits_tick(struct limits *l)
{
    sweep(l, sip_moment(l->sip).mono_ms);
}
