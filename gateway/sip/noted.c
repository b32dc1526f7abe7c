#include "gateway/sip/noted.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/map.h"

#define ADDRESS_BYTES 96 /* "host:port" */
#define KEY_PARTS     2  /* 128 bits */

struct note {
    struct list_node link; /* in one of the lists of struct noted */
    uint64_t key[KEY_PARTS];
    uint64_t used_ms;
    uint64_t over_ms; /* when it is forgotten; 0: its BYE has not been seen */
    bool has_subscription;
    size_t text_len;
    char *text; /* "host:port", a zero, through, a zero; the last named last */
};

struct noted {
    uint64_t seed;
    struct map *map;
    struct list_node order;   /* the least recent first */
    struct list_node over[2]; /* with has_subscription; the first to go first */
};

struct noted *
noted_new(uint64_t seed)
{
    struct noted *n = calloc(1, sizeof(*n));

    if (!n)
        return NULL;
    n->seed = seed;
    list_init(&n->order);
    list_init(&n->over[false]);
    list_init(&n->over[true]);
    n->map = map_new(seed, NOTED_MAX);
    if (n->map)
        return n;
    free(n);
    return NULL;
}

static struct slice
key_slice(const uint64_t key[KEY_PARTS])
{
    return slice_of(key, KEY_PARTS * sizeof(key[0]));
}

static void
note_drop(struct noted *n, struct note *note)
{
    map_remove(n->map, key_slice(note->key));
    list_remove(&note->link);
    free(note->text);
    free(note);
}

static bool
drop_oldest(struct noted *n)
{
    struct list_node *const lists[] = {&n->over[false], &n->order, &n->over[true]};

    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        if (list_is_empty(lists[i]))
            continue;
        note_drop(n, list_entry(lists[i]->next, struct note, link));
        return true;
    }
    return false;
}

void
noted_free(struct noted *n)
{
    if (!n)
        return;
    while (drop_oldest(n))
        ;
    map_free(n->map);
    free(n);
}

size_t
noted_count(const struct noted *n)
{
    return map_count(n->map);
}

static const char *
text_of(const char *tag)
{
    return tag ? tag : "";
}

/* Of both directions alike: the tags in order of their text. */
static void
key_of_names(const struct noted *n, const char *call_id, const char *tag, const char *other_tag,
             uint64_t ret_key[KEY_PARTS])
{
    const char *first = strcmp(tag, other_tag) < 0 ? tag : other_tag;
    const char *second = first == tag ? other_tag : tag;

    for (unsigned i = 0; i < KEY_PARTS; i++) {
        uint64_t hash = map_hash(n->seed + i, slice_text(call_id));

        ret_key[i] = map_hash(map_hash(hash, slice_text(first)), slice_text(second));
    }
}

static void
key_of(const struct noted *n, const sip_t *sip, uint64_t ret_key[KEY_PARTS])
{
    key_of_names(n, sip->sip_call_id->i_id, text_of(sip->sip_from->a_tag),
                 text_of(sip->sip_to->a_tag), ret_key);
}

/* Where a request to @url goes: its maddr where it has one (RFC 3261 section 19.1.1). */
static size_t
address_of(const url_t *url, char address[ADDRESS_BYTES])
{
    const char *port = url->url_port && url->url_port[0] ? url->url_port : "5060";
    const char *host = url->url_host;
    size_t port_len = strlen(port);
    char maddr[ADDRESS_BYTES];
    size_t host_len;

    if (url_has_param(url, "maddr")) {
        if (url_param(url->url_params, "maddr", maddr, sizeof(maddr)) > (isize_t)sizeof(maddr))
            return 0;
        host = maddr;
    }
    host_len = strlen(host);
    if (host_len + 1 + port_len >= ADDRESS_BYTES)
        return 0;
    for (size_t i = 0; i < host_len; i++)
        address[i] = (char)tolower((unsigned char)host[i]);
    address[host_len] = ':';
    memcpy(address + host_len + 1, port, port_len + 1);
    return host_len + 1 + port_len;
}

static void
touch(struct noted *n, struct note *note, uint64_t now_ms)
{
    if (note->over_ms)
        return;
    note->used_ms = now_ms;
    list_remove(&note->link);
    list_append(&n->order, &note->link);
}

static bool
is_too_old(const struct note *note, uint64_t now_ms)
{
    return note->over_ms ? now_ms >= note->over_ms : now_ms - note->used_ms > NOTED_AGE_MS;
}

static struct note *
find_key(struct noted *n, const uint64_t key[KEY_PARTS], uint64_t now_ms)
{
    struct note *note = map_get(n->map, key_slice(key));

    if (!note || !is_too_old(note, now_ms))
        return note;
    note_drop(n, note);
    return NULL;
}

static struct note *
find(struct noted *n, const sip_t *sip, uint64_t now_ms)
{
    uint64_t key[KEY_PARTS];

    key_of(n, sip, key);
    return find_key(n, key, now_ms);
}

static struct note *
note_new(struct noted *n, const sip_t *sip)
{
    struct note *note = calloc(1, sizeof(*note));

    if (!note)
        return NULL;
    if (map_count(n->map) >= NOTED_MAX)
        drop_oldest(n);
    key_of(n, sip, note->key);
    list_append(&n->order, &note->link);
    if (map_put(n->map, key_slice(note->key), note, NULL) == ST_OK)
        return note;
    list_remove(&note->link);
    free(note);
    return NULL;
}

/* The pair of an address; its bytes in @ret_bytes. */
static char *
pair_of(const struct note *note, const char *address, size_t *ret_bytes)
{
    size_t at = 0;

    while (at < note->text_len) {
        size_t first = strlen(note->text + at) + 1;

        *ret_bytes = first + strlen(note->text + at + first) + 1;
        if (strcmp(note->text + at, address) == 0)
            return note->text + at;
        at += *ret_bytes;
    }
    return NULL;
}

static void
cut(struct note *note, char *pair, size_t bytes)
{
    size_t behind = note->text_len - (size_t)(pair - note->text) - bytes;

    memmove(pair, pair + bytes, behind);
    note->text_len -= bytes;
}

void
noted_put(struct noted *n, const sip_t *sip, const url_t *url, const char *through, uint64_t now_ms)
{
    char address[ADDRESS_BYTES];
    size_t len = address_of(url, address);
    size_t through_len = strlen(through);
    size_t bytes = len + 1 + through_len + 1;
    struct note *note;
    size_t old_bytes;
    char *text;

    if (len == 0 || bytes > NOTED_TEXT_BYTES)
        return;
    note = find(n, sip, now_ms);
    if (!note)
        note = note_new(n, sip);
    if (!note)
        return;
    touch(n, note, now_ms);
    if (note->over_ms == 0 && (sip->sip_cseq->cs_method == sip_method_refer ||
                               sip->sip_cseq->cs_method == sip_method_subscribe))
        note->has_subscription = true;
    text = pair_of(note, address, &old_bytes);
    if (text)
        cut(note, text, old_bytes);
    while (note->text_len + bytes > NOTED_TEXT_BYTES) {
        pair_of(note, note->text, &old_bytes);
        cut(note, note->text, old_bytes);
    }
    text = realloc(note->text, note->text_len + bytes);
    if (!text)
        return;
    memcpy(text + note->text_len, address, len + 1);
    memcpy(text + note->text_len + len + 1, through, through_len + 1);
    note->text = text;
    note->text_len += bytes;
}

static const char *
way_to(struct noted *n, struct note *note, const url_t *url, uint64_t now_ms)
{
    char address[ADDRESS_BYTES];
    size_t len = note ? address_of(url, address) : 0;
    const char *pair;
    size_t bytes;

    if (len == 0)
        return NULL;
    touch(n, note, now_ms);
    pair = pair_of(note, address, &bytes);
    return pair ? pair + len + 1 : NULL;
}

const char *
noted_get_subscriber(struct noted *n, const sip_t *sip, const url_t *url, uint64_t now_ms)
{
    char address[ADDRESS_BYTES];
    uint64_t key[KEY_PARTS];
    size_t len = address_of(url, address);
    const struct note *note;
    const char *pair;
    size_t bytes;

    if (len == 0 || !sip->sip_to->a_tag)
        return NULL;
    key_of_names(n, sip->sip_call_id->i_id, "", sip->sip_to->a_tag, key);
    note = find_key(n, key, now_ms);
    pair = note ? pair_of(note, address, &bytes) : NULL;
    return pair ? pair + len + 1 : NULL;
}

const char *
noted_get(struct noted *n, const sip_t *sip, const url_t *url, uint64_t now_ms)
{
    return way_to(n, find(n, sip, now_ms), url, now_ms);
}

const char *
noted_get_named(struct noted *n, const char *call_id, const char *tag, const char *other_tag,
                const url_t *url, uint64_t now_ms)
{
    uint64_t key[KEY_PARTS];

    if (!tag[0] || !other_tag[0])
        return NULL; /* half a name is easily known */
    key_of_names(n, call_id, tag, other_tag, key);
    return way_to(n, find_key(n, key, now_ms), url, now_ms);
}

void
noted_end(struct noted *n, const sip_t *sip, uint64_t now_ms)
{
    struct note *note = find(n, sip, now_ms);

    if (!note || note->over_ms)
        return;
    note->over_ms = now_ms + (note->has_subscription ? NOTED_SUBSCRIBED_MS : NOTED_OVER_MS);
    list_remove(&note->link);
    list_append(&n->over[note->has_subscription], &note->link);
}

static void
drop_old(struct noted *n, const struct list_node *list, uint64_t now_ms)
{
    while (!list_is_empty(list)) {
        struct note *oldest = list_entry(list->next, struct note, link);

        if (!is_too_old(oldest, now_ms))
            return;
        note_drop(n, oldest);
    }
}

void
noted_tick(struct noted *n, uint64_t now_ms)
{
    drop_old(n, &n->order, now_ms);
    drop_old(n, &n->over[false], now_ms);
    drop_old(n, &n->over[true], now_ms);
}
