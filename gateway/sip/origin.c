#include "gateway/sip/origin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/sip/flow.h"

#define UDP_BIT (1ull << 63) /* the numbers of flows do not reach it */

/** One user at one origin. */
struct user {
    struct list_node link; /* in the origin */
    struct origin *origin;
    unsigned contacts;
    size_t key_len;
    char key[sizeof(uint64_t) + AOR_BYTES]; /* origin and AOR */
};

struct origin {
    uint64_t number;
    struct list_node users;
};

struct origins {
    struct map *origins; /* struct origin by number */
    struct map *users;   /* struct user by origin and AOR */
};

struct origins *
origins_new(uint64_t seed, size_t limit)
{
    struct origins *o = calloc(1, sizeof(*o));

    if (!o)
        return NULL;
    o->origins = map_new(seed, limit);
    o->users = map_new(seed, limit);
    if (o->origins && o->users)
        return o;
    origins_free(o);
    return NULL;
}

void
origins_free(struct origins *o)
{
    struct map_cursor c = {0};

    if (!o)
        return;
    while (o->users && map_next(o->users, &c))
        free(c.value);
    c = (struct map_cursor){0};
    while (o->origins && map_next(o->origins, &c))
        free(c.value);
    map_free(o->users);
    map_free(o->origins);
    free(o);
}

uint64_t
origin_of(struct sip *s, const struct sip_sender *sender)
{
    if (tport_is_reliable(sender->tport))
        return flow_of(s, sender);
    return map_hash(s->seed, slice_text(sender->address)) | UDP_BIT;
}

static struct slice
number_key(const uint64_t *number)
{
    return slice_of(number, sizeof(*number));
}

static size_t
write_key(uint64_t origin, const char *aor, char key[sizeof(uint64_t) + AOR_BYTES])
{
    size_t len = strnlen(aor, AOR_BYTES);

    memcpy(key, &origin, sizeof(origin));
    memcpy(key + sizeof(origin), aor, len);
    return sizeof(origin) + len;
}

static struct origin *
origin_get(struct origins *o, uint64_t number)
{
    struct origin *at = map_get(o->origins, number_key(&number));

    if (at)
        return at;
    at = calloc(1, sizeof(*at));
    if (!at)
        return NULL;
    at->number = number;
    list_init(&at->users);
    if (!map_put(o->origins, number_key(&at->number), at, NULL))
        return at;
    free(at);
    return NULL;
}

static void
origin_drop_if_empty(struct origins *o, struct origin *at)
{
    if (!list_is_empty(&at->users))
        return;
    map_remove(o->origins, number_key(&at->number));
    free(at);
}

/* Without memory the user is not found from there: his anonymous calls are refused. */
void
origins_add(struct origins *o, uint64_t origin, const char *aor)
{
    char key[sizeof(uint64_t) + AOR_BYTES];
    size_t key_len = write_key(origin, aor, key);
    struct user *user = map_get(o->users, slice_of(key, key_len));
    struct origin *at;

    if (user || origin == 0) {
        if (user)
            user->contacts++;
        return;
    }
    at = origin_get(o, origin);
    user = at ? calloc(1, sizeof(*user)) : NULL;
    if (!user) {
        if (at)
            origin_drop_if_empty(o, at);
        return;
    }
    *user = (struct user){.origin = at, .contacts = 1, .key_len = key_len};
    memcpy(user->key, key, key_len);
    if (map_put(o->users, slice_of(user->key, key_len), user, NULL))
        free(user);
    else
        list_append(&at->users, &user->link);
    origin_drop_if_empty(o, at);
}

void
origins_remove(struct origins *o, uint64_t origin, const char *aor)
{
    char key[sizeof(uint64_t) + AOR_BYTES];
    size_t key_len = write_key(origin, aor, key);
    struct user *user = map_get(o->users, slice_of(key, key_len));

    if (!user || --user->contacts > 0)
        return;
    map_remove(o->users, slice_of(user->key, user->key_len));
    list_remove(&user->link);
    origin_drop_if_empty(o, user->origin);
    free(user);
}

enum status
origins_find(const struct origins *o, uint64_t origin, const char **ret_aor)
{
    const struct origin *at = map_get(o->origins, number_key(&origin));
    const struct user *user;

    if (!at)
        return ST_NOT_FOUND;
    if (at->users.next != at->users.prev)
        return ST_EXISTS;
    user = list_entry(at->users.next, struct user, link);
    *ret_aor = user->key + sizeof(uint64_t); /* zero-terminated: keys are shorter than their room */
    return ST_OK;
}
