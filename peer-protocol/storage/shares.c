#include "peer-protocol/storage/shares.h"

#include <stdlib.h>

#include "base/map.h"

#define KEPT_PART   16   /* of the whole */
#define SMALL_BYTES 1024 /* a value may always be renewed by one as small as this */

struct share {
    struct extent used;
};

struct shares {
    struct extent limit;
    struct extent used;
    struct map *by_signer;
};

enum status
shares_new(const struct extent *limit, struct shares **ret)
{
    struct shares *s = calloc(1, sizeof(*s));

    if (!s)
        return ST_NOMEM;
    s->limit = *limit;
    s->by_signer = map_new(0, 0);
    if (!s->by_signer) {
        free(s);
        return ST_NOMEM;
    }
    *ret = s;
    return ST_OK;
}

void
shares_free(struct shares *s)
{
    struct map_cursor c = {0};

    if (!s)
        return;
    while (map_next(s->by_signer, &c))
        free(c.value);
    map_free(s->by_signer);
    free(s);
}

static struct share *
find(const struct shares *s, const struct id *signer)
{
    return map_get(s->by_signer, slice_of(signer->bytes, ID_BYTES));
}

static struct share *
make(struct shares *s, const struct id *signer)
{
    struct share *h = find(s, signer);

    if (h)
        return h;
    h = calloc(1, sizeof(*h));
    if (h && map_put(s->by_signer, slice_of(signer->bytes, ID_BYTES), h, NULL) != ST_OK) {
        free(h);
        return NULL;
    }
    return h;
}

enum status
shares_add(struct shares *s, const struct id *signer, size_t bytes)
{
    struct share *h = make(s, signer);

    if (!h)
        return ST_NOMEM;
    h->used.values++;
    h->used.bytes += bytes;
    s->used.values++;
    s->used.bytes += bytes;
    return ST_OK;
}

void
shares_remove(struct shares *s, const struct id *signer, size_t bytes)
{
    struct share *h = find(s, signer);

    s->used.values--;
    s->used.bytes -= bytes;
    h->used.values--;
    h->used.bytes -= bytes;
    if (h->used.values > 0)
        return;
    map_remove(s->by_signer, slice_of(signer->bytes, ID_BYTES));
    free(h);
}

struct extent
shares_used(const struct shares *s)
{
    return s->used;
}

struct extent
shares_of(const struct shares *s, const struct id *signer)
{
    const struct share *h = find(s, signer);

    return h ? h->used : (struct extent){0};
}

/* One measure, values or bytes: what is there, what comes. */
struct measure {
    size_t limit, used, own, more;
};

static bool
is_in_whole(const struct measure *m)
{
    return m->used + m->more <= m->limit;
}

static bool
is_in_share(const struct measure *m)
{
    size_t ordinary = m->limit - m->limit / KEPT_PART;

    return m->used + m->more <= ordinary && m->own + m->more <= ordinary - m->used;
}

enum status
shares_check(const struct shares *s, const struct addition *a, struct why *why)
{
    struct extent own = shares_of(s, a->signer);
    bool is_new = a->replaced_bytes == 0;
    size_t growth = a->bytes > a->replaced_bytes ? a->bytes - a->replaced_bytes : 0;
    struct measure values = {s->limit.values, s->used.values, own.values, is_new};
    struct measure bytes = {s->limit.bytes, s->used.bytes, own.bytes, growth};
    bool is_renewal = !is_new && (growth == 0 || a->bytes <= SMALL_BYTES);
    char text[ID_TEXT_BYTES];

    if ((is_new && !is_in_whole(&values)) || (growth > 0 && !is_in_whole(&bytes)))
        return why_set(why, ST_LIMIT, "no room for more values");
    if (a->may_use_kept || is_renewal)
        return ST_OK;
    if ((is_new && !is_in_share(&values)) || !is_in_share(&bytes))
        return why_set(why, ST_LIMIT, "%zu values, %zu bytes of %s: no share is larger", own.values,
                       own.bytes, id_text(a->signer, text));
    return ST_OK;
}
