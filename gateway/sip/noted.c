#include "gateway/sip/noted.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/map.h"

#define KEY_BYTES     96 /* "host:port" */
#define THROUGH_BYTES 96

struct note {
    struct list_node link; /* the least recent first */
    uint64_t used_ms;
    uint8_t key_len;
    char key[KEY_BYTES];
    char through[THROUGH_BYTES];
};

struct noted {
    struct map *map;
    struct list_node order;
};

struct noted *
noted_new(uint64_t seed)
{
    struct noted *n = calloc(1, sizeof(*n));

    if (!n)
        return NULL;
    list_init(&n->order);
    n->map = map_new(seed, NOTED_MAX);
    if (n->map)
        return n;
    free(n);
    return NULL;
}

static void
note_drop(struct noted *n, struct note *note)
{
    map_remove(n->map, slice_of(note->key, note->key_len));
    list_remove(&note->link);
    free(note);
}

void
noted_free(struct noted *n)
{
    if (!n)
        return;
    while (!list_is_empty(&n->order))
        note_drop(n, list_entry(n->order.next, struct note, link));
    map_free(n->map);
    free(n);
}

static size_t
key_of(const url_t *url, char key[KEY_BYTES])
{
    const char *port = url->url_port && url->url_port[0] ? url->url_port : "5060";
    size_t host_len = strlen(url->url_host);
    size_t port_len = strlen(port);

    if (host_len + 1 + port_len > KEY_BYTES)
        return 0;
    for (size_t i = 0; i < host_len; i++)
        key[i] = (char)tolower((unsigned char)url->url_host[i]);
    key[host_len] = ':';
    memcpy(key + host_len + 1, port, port_len);
    return host_len + 1 + port_len;
}

static void
touch(struct noted *n, struct note *note, uint64_t now_ms)
{
    note->used_ms = now_ms;
    list_remove(&note->link);
    list_append(&n->order, &note->link);
}

void
noted_put(struct noted *n, const url_t *url, const char *through, uint64_t now_ms)
{
    char key[KEY_BYTES];
    size_t len = key_of(url, key);
    struct note *note = len ? map_get(n->map, slice_of(key, len)) : NULL;

    if (len == 0 || strlen(through) >= THROUGH_BYTES)
        return;
    if (note) {
        touch(n, note, now_ms);
        memcpy(note->through, through, strlen(through) + 1);
        return;
    }
    if (map_count(n->map) >= NOTED_MAX)
        note_drop(n, list_entry(n->order.next, struct note, link));
    note = calloc(1, sizeof(*note));
    if (!note)
        return;
    memcpy(note->through, through, strlen(through) + 1);
    note->used_ms = now_ms;
    note->key_len = (uint8_t)len;
    memcpy(note->key, key, len);
    list_append(&n->order, &note->link);
    if (map_put(n->map, slice_of(key, len), note, NULL)) {
        list_remove(&note->link);
        free(note);
    }
}

const char *
noted_get(struct noted *n, const url_t *url, uint64_t now_ms)
{
    char key[KEY_BYTES];
    size_t len = key_of(url, key);
    struct note *note = len ? map_get(n->map, slice_of(key, len)) : NULL;

    if (!note)
        return NULL;
    if (now_ms - note->used_ms > NOTED_AGE_MS) {
        note_drop(n, note);
        return NULL;
    }
    touch(n, note, now_ms);
    return note->through;
}
