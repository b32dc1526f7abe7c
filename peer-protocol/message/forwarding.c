#include "peer-protocol/message/message.h"
#include "peer-protocol/message/wire.h"

#define LENGTH_AT     16 /* offsets in the header, section 6.3.2 */
#define VIA_LENGTH_AT 32

struct destination
destination_node(const struct id *node)
{
    return (struct destination){.type = DESTINATION_NODE, .id = *node};
}

struct destination
destination_resource(const struct id *resource)
{
    return (struct destination){.type = DESTINATION_RESOURCE, .id = *resource};
}

bool
destination_read(struct reader *r, struct destination *ret)
{
    struct destination d = {0};
    struct reader data;

    if (r->failed || reader_left(r) == 0)
        return false;
    if (*r->at & 0x80) { /* the 16-bit form: as an opaque ID of two bytes */
        d.type = DESTINATION_OPAQUE;
        d.is_compact = true;
        d.opaque = reader_bytes(r, 2);
        if (r->failed)
            return false;
        *ret = d;
        return true;
    }
    uint8_t type = reader_u8(r);
    reader_init(&data, reader_opaque(r, 1));
    switch (type) {
    case DESTINATION_NODE:
        d.type = DESTINATION_NODE;
        d.id = wire_node_read(&data);
        break;
    case DESTINATION_RESOURCE:
        d.type = DESTINATION_RESOURCE;
        d.id = wire_resource_read(&data);
        break;
    case DESTINATION_OPAQUE:
        d.type = DESTINATION_OPAQUE;
        d.opaque = reader_opaque(&data, 1);
        break;
    default:
        reader_fail(r);
    }
    if (!reader_is_done(&data))
        reader_fail(r);
    if (r->failed)
        return false;
    *ret = d;
    return true;
}

void
destination_write(struct writer *w, const struct destination *d)
{
    if (d->type == DESTINATION_OPAQUE && d->is_compact) {
        writer_bytes(w, d->opaque);
        return;
    }
    writer_u8(w, (uint8_t)d->type);
    size_t mark = writer_open(w, 1);
    switch (d->type) {
    case DESTINATION_NODE:
        writer_id(w, &d->id);
        break;
    case DESTINATION_RESOURCE:
        wire_resource_write(w, &d->id);
        break;
    case DESTINATION_OPAQUE:
        writer_opaque(w, d->opaque, 1);
        break;
    }
    writer_close(w, mark, 1);
}

enum status
destination_list_check(struct slice list, bool is_via, size_t *ret_count)
{
    struct destination d;
    struct reader r;
    size_t count = 0;

    reader_init(&r, list);
    while (destination_read(&r, &d)) {
        /* Section 6.3.2.2: a resource is the final destination or nothing. */
        if (d.type == DESTINATION_RESOURCE && (is_via || reader_left(&r) > 0))
            return ST_MALFORMED;
        if (++count > MESSAGE_LIST_MAX)
            return ST_MALFORMED;
    }
    if (r.failed)
        return ST_MALFORMED;
    if (ret_count)
        *ret_count = count;
    return ST_OK;
}

bool
forwarding_option_read(struct reader *r, struct forwarding_option *ret)
{
    struct forwarding_option o = {0};

    if (r->failed || reader_left(r) == 0)
        return false;
    o.type = reader_u8(r);
    o.flags = reader_u8(r);
    o.data = reader_opaque(r, 2);
    if (o.type == 0)
        reader_fail(r);
    if (r->failed)
        return false;
    *ret = o;
    return true;
}

void
forwarding_option_write(struct writer *w, const struct forwarding_option *o)
{
    writer_u8(w, o->type);
    writer_u8(w, o->flags);
    writer_opaque(w, o->data, 2);
}

static bool
options_are_good(struct slice options)
{
    struct forwarding_option o;
    struct reader r;
    size_t count = 0;

    reader_init(&r, options);
    while (forwarding_option_read(&r, &o))
        if (++count > MESSAGE_LIST_MAX)
            return false;
    return !r.failed;
}

static enum status
check_lists(const struct forwarding *h, struct why *why)
{
    size_t count = 0;

    if (destination_list_check(h->via, true, NULL) != ST_OK)
        return why_set(why, ST_MALFORMED, "bad via list");
    if (destination_list_check(h->destinations, false, &count) != ST_OK)
        return why_set(why, ST_MALFORMED, "bad destination list");
    if (count == 0)
        return why_set(why, ST_MALFORMED, "empty destination list");
    if (!options_are_good(h->options))
        return why_set(why, ST_MALFORMED, "bad forwarding options");
    return ST_OK;
}

enum status
forwarding_read(struct slice in, struct forwarding *ret, struct slice *ret_rest, struct why *why)
{
    struct forwarding h = {0};
    struct reader r;

    reader_init(&r, in);
    if (reader_u32(&r) != MESSAGE_TOKEN)
        return why_set(why, ST_MALFORMED, "not a RELOAD message");
    h.overlay = reader_u32(&r);
    h.configuration_sequence = reader_u16(&r);
    h.version = reader_u8(&r);
    if (!r.failed && h.version != MESSAGE_VERSION)
        return why_set(why, ST_UNSUPPORTED, "RELOAD version %u", h.version);
    h.ttl = reader_u8(&r);
    h.fragment = reader_u32(&r);
    h.length = reader_u32(&r);
    h.transaction_id = reader_u64(&r);
    h.max_response_length = reader_u32(&r);
    uint16_t via_len = reader_u16(&r);
    uint16_t destinations_len = reader_u16(&r);
    uint16_t options_len = reader_u16(&r);
    h.via = reader_bytes(&r, via_len);
    h.destinations = reader_bytes(&r, destinations_len);
    h.options = reader_bytes(&r, options_len);
    if (r.failed)
        return why_set(why, ST_MALFORMED, "forwarding header cut short");
    if (h.length != in.len)
        return why_set(why, ST_MALFORMED, "length field says %u, message has %zu bytes", h.length,
                       in.len);
    if (!(h.fragment & FRAGMENT_ALWAYS)) /* section 6.7: SHOULD discard */
        return why_set(why, ST_MALFORMED, "fragment field without its high bit");
    enum status st = check_lists(&h, why);
    if (st != ST_OK)
        return st;
    *ret = h;
    if (ret_rest)
        *ret_rest = reader_bytes(&r, reader_left(&r));
    return ST_OK;
}

static void
write_list_length(struct writer *w, struct slice list)
{
    if (list.len > UINT16_MAX && w->failed == ST_OK)
        w->failed = ST_RANGE;
    writer_u16(w, (uint16_t)list.len);
}

void
forwarding_write(struct writer *w, const struct forwarding *h)
{
    writer_u32(w, MESSAGE_TOKEN);
    writer_u32(w, h->overlay);
    writer_u16(w, h->configuration_sequence);
    writer_u8(w, h->version);
    writer_u8(w, h->ttl);
    writer_u32(w, h->fragment);
    writer_u32(w, h->length);
    writer_u64(w, h->transaction_id);
    writer_u32(w, h->max_response_length);
    write_list_length(w, h->via);
    write_list_length(w, h->destinations);
    write_list_length(w, h->options);
    writer_bytes(w, h->via);
    writer_bytes(w, h->destinations);
    writer_bytes(w, h->options);
}

void
forwarding_rewrite(struct writer *w, struct slice in, const struct forwarding *h)
{
    size_t start = w->len;
    struct reader r;

    /* The lists of @in were checked when it arrived; only where they end matters here. */
    reader_init(&r, in);
    reader_bytes(&r, VIA_LENGTH_AT);
    size_t lists_len = reader_u16(&r);
    lists_len += reader_u16(&r);
    lists_len += reader_u16(&r);
    reader_bytes(&r, lists_len);
    if (r.failed) {
        if (w->failed == ST_OK)
            w->failed = ST_RANGE;
        return;
    }
    forwarding_write(w, h);
    writer_bytes(w, reader_bytes(&r, reader_left(&r)));
    writer_patch_u32(w, start + LENGTH_AT, (uint32_t)(w->len - start));
}
