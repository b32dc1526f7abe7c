#include "global-overlay/internal.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool
read_number(const char *text, size_t len, uint32_t most, uint32_t *ret)
{
    uint64_t value = 0;

    if (len == 0 || len > 10)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    if (value > most)
        return false;
    *ret = (uint32_t)value;
    return true;
}

/* The value of a URI parameter; false if it is there and no number up to @most. */
static bool
read_parameter(const char *uri, const char *name, uint32_t most, bool *ret_is_there, uint32_t *ret)
{
    size_t name_len = strlen(name);

    *ret_is_there = false;
    for (const char *at = strchr(uri, ';'); at; at = strchr(at + 1, ';')) {
        const char *value = at + 1 + name_len + 1;
        if (strncasecmp(at + 1, name, name_len) != 0 || at[1 + name_len] != '=')
            continue;
        *ret_is_there = true;
        return read_number(value, strcspn(value, ";?"), most, ret);
    }
    return true;
}

/* What goes into a request line must not be able to end it. */
static bool
is_uri(const char *uri)
{
    if (strncasecmp(uri, "sip:", 4) != 0 && strncasecmp(uri, "sips:", 5) != 0)
        return false;
    for (const char *at = uri; *at; at++)
        if (*at <= ' ' || *at > '~' || strchr("<>\"\\^`{|}", *at))
            return false;
    return true;
}

static bool
read_gateway(struct slice value, struct directory_gateway *ret)
{
    struct sip_registration r;
    uint32_t number = 0;
    bool is_there;

    if (sip_registration_read(value, &r) != ST_OK || r.type != SIP_REGISTRATION_URI ||
        slice_to_text(r.uri, ret->uri, sizeof(ret->uri)) != ST_OK || !is_uri(ret->uri))
        return false;
    if (!read_parameter(ret->uri, "term", TERM_MAX, &is_there, &ret->term) || !is_there)
        return false;
    if (!read_parameter(ret->uri, "priority", UINT16_MAX, &is_there, &number))
        return false;
    ret->priority = is_there ? (uint16_t)number : 0;
    if (!read_parameter(ret->uri, "weight", UINT16_MAX, &is_there, &number))
        return false;
    ret->weight = is_there ? (uint16_t)number : 0;
    return true;
}

/* Only a certificate of the overlay itself speaks for it, and each gateway only for itself. */
static bool
is_by_owner(const char *overlay, const struct peer_datum *datum)
{
    const char *user = datum->signer.user;

    return strncmp(user, "overlay@", 8) == 0 && strcasecmp(user + 8, overlay) == 0 &&
           slice_equal(datum->key, slice_of(datum->signer.node.bytes, ID_BYTES));
}

static bool
goes_before(const struct directory *d, uint64_t now_ms, const struct directory_gateway *a,
            const struct directory_gateway *b)
{
    bool a_failed = directory_is_forgotten(d, now_ms, &a->node);
    bool b_failed = directory_is_forgotten(d, now_ms, &b->node);

    if (a_failed != b_failed)
        return b_failed;
    if (a->priority != b->priority)
        return a->priority < b->priority;
    if (a->weight != b->weight)
        return a->weight > b->weight;
    return id_compare(&a->node, &b->node) < 0;
}

static void
insert(const struct directory *d, uint64_t now_ms, struct directory_entries *e,
       const struct directory_gateway *g)
{
    size_t at = e->count;

    while (at > 0 && goes_before(d, now_ms, g, &e->gateway[at - 1]))
        at--;
    if (at == DIRECTORY_GATEWAYS_MAX)
        return;
    if (e->count == DIRECTORY_GATEWAYS_MAX)
        e->count--;
    memmove(&e->gateway[at + 1], &e->gateway[at], (e->count - at) * sizeof(e->gateway[0]));
    e->gateway[at] = *g;
    e->count++;
}

/* Those of lower terms, the highest first; who could not be reached lately is none. */
static void
pick_others(const struct directory *d, struct moment now, const char *overlay,
            const struct peer_datum *datum, size_t count, struct directory_entries *ret)
{
    for (size_t i = 0; i < count; i++) {
        struct directory_gateway g = {.node = datum[i].signer.node};
        size_t at = ret->other_count;

        if (!datum[i].exists || datum[i].lifetime_s == 0 || !is_by_owner(overlay, &datum[i]) ||
            !read_gateway(datum[i].value, &g) || g.term >= ret->gateway[0].term ||
            directory_is_forgotten(d, now.mono_ms, &g.node))
            continue;
        while (at > 0 && g.term > ret->other[at - 1].term)
            at--;
        if (at == DIRECTORY_OTHERS_MAX)
            continue;
        if (ret->other_count == DIRECTORY_OTHERS_MAX)
            ret->other_count--;
        memmove(&ret->other[at + 1], &ret->other[at],
                (ret->other_count - at) * sizeof(ret->other[0]));
        ret->other[at] = g;
        ret->other_count++;
    }
}

void
entry_pick(const struct directory *d, struct moment now, const char *overlay,
           const struct peer_datum *datum, size_t count, const struct id *skip, bool wants_gone,
           struct directory_entries *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->expires_wall_ms = UINT64_MAX;
    for (size_t i = 0; i < count; i++) {
        uint64_t expires_ms = now.wall_ms + datum[i].lifetime_s * 1000ULL; /* what is left */
        struct directory_gateway g = {.node = datum[i].signer.node};

        if (skip && id_equal(&g.node, skip))
            continue;
        if (!is_by_owner(overlay, &datum[i]) ||
            (datum[i].exists && !read_gateway(datum[i].value, &g))) {
            ret->refused++;
            continue;
        }
        if (!datum[i].exists || (expires_ms <= now.wall_ms && !wants_gone)) {
            ret->is_removed = true;
            continue;
        }
        if (ret->count > 0 && g.term < ret->gateway[0].term)
            continue;
        if (ret->count > 0 && g.term > ret->gateway[0].term) {
            ret->count = 0;
            ret->expires_wall_ms = UINT64_MAX;
        }
        if (expires_ms < ret->expires_wall_ms)
            ret->expires_wall_ms = expires_ms;
        insert(d, now.mono_ms, ret, &g);
    }
    if (ret->count > 0 && !skip)
        pick_others(d, now, overlay, datum, count, ret);
}

enum status
entry_uri(const char *base, uint32_t term, uint16_t priority, uint16_t weight,
          char ret_uri[SIP_URI_BYTES])
{
    int len = snprintf(ret_uri, SIP_URI_BYTES, "%s;term=%u;priority=%u;weight=%u", base, term,
                       priority, weight);

    return len < 0 || len >= SIP_URI_BYTES ? ST_TOO_LARGE : ST_OK;
}
