#include "peer-protocol/message/wire.h"

#include <string.h>

enum status
wire_end(const struct reader *r)
{
    return reader_is_done(r) ? ST_OK : ST_MALFORMED;
}

struct id
wire_resource_read(struct reader *r)
{
    if (reader_u8(r) != ID_BYTES)
        reader_fail(r);
    return reader_id(r);
}

void
wire_resource_write(struct writer *w, const struct id *resource)
{
    writer_opaque(w, slice_of(resource->bytes, ID_BYTES), 1);
}

struct id
wire_node_read(struct reader *r)
{
    struct id node = reader_id(r);

    if (id_is_zero(&node))
        reader_fail(r);
    return node;
}

struct slice
wire_nodes_read(struct reader *r)
{
    struct slice list = reader_opaque(r, 2);
    struct reader nodes;

    reader_init(&nodes, list);
    while (reader_left(&nodes) > 0)
        wire_node_read(&nodes);
    if (nodes.failed || list.len > (size_t)WIRE_NODES_MAX * ID_BYTES)
        reader_fail(r);
    return list;
}

static bool
is_printable(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] < 0x20 || text.data[i] == 0x7f)
            return false;
    return true;
}

struct slice
wire_slice_read(struct reader *r, unsigned prefix)
{
    struct slice text = reader_opaque(r, prefix);

    if (!r->failed && !is_printable(text))
        reader_fail(r);
    return text;
}

void
wire_text_read(struct reader *r, char *out, size_t out_bytes)
{
    struct slice text = reader_opaque(r, 1);

    if (r->failed || !is_printable(text) || slice_to_text(text, out, out_bytes) != ST_OK) {
        reader_fail(r);
        out[0] = '\0';
    }
}

void
wire_text_write(struct writer *w, const char *text, size_t cap)
{
    writer_opaque(w, slice_of(text, strnlen(text, cap - 1)), 1);
}

uint16_t
wire_number_read(struct reader *r, uint16_t most)
{
    uint16_t v = reader_u16(r);

    if (v > most)
        reader_fail(r);
    return v;
}
