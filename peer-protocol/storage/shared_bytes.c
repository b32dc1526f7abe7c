#include "peer-protocol/storage/shared_bytes.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"

struct shared {
    size_t uses;
    size_t len;
    uint8_t bytes[];
};

struct shared_bytes {
    struct map *all; /* struct shared by its bytes */
};

struct shared_bytes *
shared_bytes_new(void)
{
    struct shared_bytes *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    s->all = map_new(0, 0);
    if (s->all)
        return s;
    free(s);
    return NULL;
}

void
shared_bytes_free(struct shared_bytes *s)
{
    struct map_cursor c = {0};

    if (!s)
        return;
    while (map_next(s->all, &c))
        free(c.value);
    map_free(s->all);
    free(s);
}

enum status
shared_bytes_take(struct shared_bytes *s, struct slice bytes, struct slice *ret)
{
    struct shared *one = map_get(s->all, bytes);
    enum status st;

    *ret = slice_of(NULL, 0);
    if (bytes.len == 0)
        return ST_OK;
    if (!one) {
        one = malloc(sizeof(*one) + bytes.len);
        if (!one)
            return ST_NOMEM;
        one->uses = 0;
        one->len = bytes.len;
        memcpy(one->bytes, bytes.data, bytes.len);
        st = map_put(s->all, bytes, one, NULL);
        if (st != ST_OK) {
            free(one);
            return st;
        }
    }
    one->uses++;
    *ret = slice_of(one->bytes, one->len);
    return ST_OK;
}

void
shared_bytes_leave(struct shared_bytes *s, struct slice taken)
{
    struct shared *one = taken.len > 0 ? map_get(s->all, taken) : NULL;

    if (!one || --one->uses > 0)
        return;
    map_remove(s->all, taken);
    free(one);
}

size_t
shared_bytes_count(const struct shared_bytes *s)
{
    return map_count(s->all);
}
