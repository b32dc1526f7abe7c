/* Join, Leave, RouteQuery and ConfigUpdate: RFC 6940 sections 6.4.2 and 6.5.4. */
#include "peer-protocol/message/body.h"
#include "peer-protocol/message/wire.h"

/* Join and Leave requests: who it is about, and the plug-in's own data. */
static enum status
read_node_and_data(struct slice in, struct id *ret_node, struct slice *ret_plugin)
{
    struct reader r;

    reader_init(&r, in);
    struct id node = wire_node_read(&r);
    struct slice plugin = reader_opaque(&r, 2);
    if (reader_is_done(&r)) {
        *ret_node = node;
        *ret_plugin = plugin;
    }
    return wire_end(&r);
}

enum status
join_req_read(struct slice in, struct join_req *ret)
{
    return read_node_and_data(in, &ret->joining_peer, &ret->plugin);
}

void
join_req_write(struct writer *w, const struct join_req *b)
{
    writer_id(w, &b->joining_peer);
    writer_opaque(w, b->plugin, 2);
}

enum status
join_ans_read(struct slice in, struct slice *ret_plugin)
{
    struct reader r;

    reader_init(&r, in);
    struct slice plugin = reader_opaque(&r, 2);
    if (reader_is_done(&r))
        *ret_plugin = plugin;
    return wire_end(&r);
}

void
join_ans_write(struct writer *w, struct slice plugin)
{
    writer_opaque(w, plugin, 2);
}

enum status
leave_req_read(struct slice in, struct leave_req *ret)
{
    return read_node_and_data(in, &ret->leaving_peer, &ret->plugin);
}

void
leave_req_write(struct writer *w, const struct leave_req *b)
{
    writer_id(w, &b->leaving_peer);
    writer_opaque(w, b->plugin, 2);
}

enum status
route_query_req_read(struct slice in, struct route_query_req *ret)
{
    struct route_query_req b = {0};
    struct reader r;

    reader_init(&r, in);
    b.send_update = reader_bool(&r);
    if (!destination_read(&r, &b.destination))
        reader_fail(&r);
    b.plugin = reader_opaque(&r, 2);
    if (reader_is_done(&r))
        *ret = b;
    return wire_end(&r);
}

void
route_query_req_write(struct writer *w, const struct route_query_req *b)
{
    writer_bool(w, b->send_update);
    destination_write(w, &b->destination);
    writer_opaque(w, b->plugin, 2);
}

static bool
kinds_are_good(struct slice kinds)
{
    struct reader r;

    reader_init(&r, kinds);
    while (reader_left(&r) > 0)
        reader_opaque(&r, 2);
    return !r.failed;
}

enum status
config_update_req_read(struct slice in, struct config_update_req *ret)
{
    struct config_update_req b = {0};
    struct reader r, data;

    reader_init(&r, in);
    b.type = reader_u8(&r);
    reader_init(&data, reader_opaque(&r, 4));
    if (b.type == CONFIG_UPDATE_CONFIG)
        b.config_data = reader_opaque(&data, 3);
    else if (b.type == CONFIG_UPDATE_KIND)
        b.kinds = reader_opaque(&data, 3);
    else
        reader_fail(&r);
    if (!reader_is_done(&data) || !kinds_are_good(b.kinds))
        reader_fail(&r);
    if (reader_is_done(&r))
        *ret = b;
    return wire_end(&r);
}

void
config_update_req_write(struct writer *w, const struct config_update_req *b)
{
    writer_u8(w, b->type);
    size_t mark = writer_open(w, 4);
    writer_opaque(w, b->type == CONFIG_UPDATE_KIND ? b->kinds : b->config_data, 3);
    writer_close(w, mark, 4);
}
