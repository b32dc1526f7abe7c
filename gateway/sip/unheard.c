#include "gateway/sip/unheard.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/log.h"
#include "base/map.h"

#define ADDRESS_BYTES 16

struct target {
    struct list_node link; /* the least recent first */
    uint8_t address[ADDRESS_BYTES];
    bool is_heard;
    uint64_t heard_ms;
    uint64_t window_ms; /* its beginning */
    uint32_t firsts;    /* in it */
    uint32_t again;
};

struct unheard {
    struct map *map;
    struct list_node order;
};

struct unheard *
unheard_new(uint64_t seed)
{
    struct unheard *u = calloc(1, sizeof(*u));

    if (!u)
        return NULL;
    list_init(&u->order);
    u->map = map_new(seed, UNHEARD_MAX);
    if (!u->map) {
        free(u);
        return NULL;
    }
    return u;
}

static void
drop(struct unheard *u, struct target *t)
{
    map_remove(u->map, slice_of(t->address, ADDRESS_BYTES));
    list_remove(&t->link);
    free(t);
}

void
unheard_free(struct unheard *u)
{
    if (!u)
        return;
    while (!list_is_empty(&u->order))
        drop(u, list_entry(u->order.next, struct target, link));
    map_free(u->map);
    free(u);
}

size_t
unheard_count(const struct unheard *u)
{
    return map_count(u->map);
}

/* An IPv4 address as IPv6 has it, so that both ways of writing it are one. */
static bool
address_of(const struct sockaddr *name, uint8_t ret[ADDRESS_BYTES])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

    if (name->sa_family == AF_INET6) {
        memcpy(ret, &((const struct sockaddr_in6 *)(const void *)name)->sin6_addr, ADDRESS_BYTES);
        return true;
    }
    if (name->sa_family != AF_INET)
        return false;
    memcpy(ret, mapped, sizeof(mapped));
    memcpy(ret + sizeof(mapped), &((const struct sockaddr_in *)(const void *)name)->sin_addr, 4);
    return true;
}

static struct target *
target_of(struct unheard *u, const uint8_t address[ADDRESS_BYTES])
{
    struct slice key = slice_of(address, ADDRESS_BYTES);
    struct target *t = map_get(u->map, key);

    if (t) {
        list_remove(&t->link);
        list_append(&u->order, &t->link);
        return t;
    }
    t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    if (map_count(u->map) >= UNHEARD_MAX)
        drop(u, list_entry(u->order.next, struct target, link));
    memcpy(t->address, address, ADDRESS_BYTES);
    list_append(&u->order, &t->link);
    if (map_put(u->map, key, t, NULL) == ST_OK)
        return t;
    list_remove(&t->link);
    free(t);
    return NULL;
}

/* NULL: without a limit.  Else in its present window. */
static struct target *
limited(struct unheard *u, const struct sockaddr *to, uint64_t now_ms)
{
    uint8_t address[ADDRESS_BYTES];
    struct target *t = address_of(to, address) ? target_of(u, address) : NULL;

    if (!t || (t->is_heard && now_ms - t->heard_ms <= UNHEARD_AGE_MS))
        return NULL;
    if (t->firsts + t->again == 0 || now_ms - t->window_ms >= UNHEARD_WINDOW_MS) {
        t->window_ms = now_ms;
        t->firsts = 0;
        t->again = 0;
    }
    return t;
}

static bool
take(const struct target *t, const char *what, uint32_t *count, uint32_t most)
{
    char text[INET6_ADDRSTRLEN] = "";

    if (*count < most) {
        (*count)++;
        return true;
    }
    inet_ntop(AF_INET6, t->address, text, sizeof(text));
    log_write(LOG_LEVEL_REMOTE, "sip", "%s to %s not sent: it has answered nothing so far", what,
              text);
    return false;
}

bool
unheard_may_begin(struct unheard *u, const struct sockaddr *to, uint64_t now_ms)
{
    struct target *t = limited(u, to, now_ms);

    return !t || take(t, "request", &t->firsts, UNHEARD_FIRST_MAX);
}

bool
unheard_may_repeat(struct unheard *u, const struct sockaddr *to, uint64_t now_ms)
{
    struct target *t = limited(u, to, now_ms);

    return !t || take(t, "retransmission", &t->again, UNHEARD_AGAIN_MAX);
}

void
unheard_answered(struct unheard *u, const struct sockaddr *from, uint64_t now_ms)
{
    uint8_t address[ADDRESS_BYTES];
    struct target *t = address_of(from, address) ? target_of(u, address) : NULL;

    if (!t)
        return;
    t->is_heard = true;
    t->heard_ms = now_ms;
}
