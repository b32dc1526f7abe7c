/* Examples of the bodies that keep the overlay together, and of errors. */
#include "tests/conformance/samples.h"

static void
write_nodes(struct writer *w, uint8_t first, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct id node = sample_id((uint8_t)(first + i));
        writer_id(w, &node);
    }
}

void
sample_ping_req(struct writer *w)
{
    ping_req_write(w, &(struct ping_req){slice_text("padding")});
}

void
sample_ping_ans(struct writer *w)
{
    ping_ans_write(w, &(struct ping_ans){0x0102030405060708, 1700000000000});
}

void
sample_probe_req(struct writer *w)
{
    static const uint8_t types[] = {PROBE_RESPONSIBLE_SET, PROBE_NUM_RESOURCES, PROBE_UPTIME};

    probe_req_write(w, &(struct probe_req){slice_of(types, sizeof(types))});
}

void
sample_probe_ans(struct writer *w)
{
    static const struct probe_info info[] = {
        {PROBE_RESPONSIBLE_SET, 125000000}, {PROBE_NUM_RESOURCES, 42}, {PROBE_UPTIME, 3600}};

    probe_ans_write(w, info, 3);
}

static void
write_candidates(struct writer *w)
{
    struct ice_candidate c = {.overlay_link = LINK_TLS_TCP_FH_NO_ICE,
                              .foundation = slice_text("1"),
                              .priority = 2130706431,
                              .type = CANDIDATE_HOST};
    struct writer extensions;

    if (ip_address_port_parse("127.1.0.1:6084", &c.address) == ST_OK)
        ice_candidate_write(w, &c);
    c.type = CANDIDATE_SRFLX;
    c.related = c.address;
    writer_init(&extensions, 256);
    writer_opaque(&extensions, slice_text("name"), 2);
    writer_opaque(&extensions, slice_text("value"), 2);
    c.extensions = writer_slice(&extensions);
    if (ip_address_port_parse("[2001:db8::1]:6084", &c.address) == ST_OK)
        ice_candidate_write(w, &c);
    writer_done(&extensions);
}

static void
write_attach(struct writer *w, bool is_app, const char *role)
{
    struct attach_body b = {.ufrag = slice_text(""),
                            .password = slice_text(""),
                            .application = 5060,
                            .role = slice_text(role),
                            .send_update = true};
    struct writer candidates;

    writer_init(&candidates, 1024);
    write_candidates(&candidates);
    b.candidates = writer_slice(&candidates);
    if (is_app)
        app_attach_write(w, &b);
    else
        attach_write(w, &b);
    writer_done(&candidates);
}

void
sample_attach_req(struct writer *w)
{
    write_attach(w, false, "passive");
}

void
sample_attach_ans(struct writer *w)
{
    write_attach(w, false, "active");
}

void
sample_app_attach_req(struct writer *w)
{
    write_attach(w, true, "passive");
}

void
sample_app_attach_ans(struct writer *w)
{
    write_attach(w, true, "active");
}

void
sample_join_req(struct writer *w)
{
    join_req_write(w, &(struct join_req){sample_id(0x40), slice_text("")});
}

void
sample_join_ans(struct writer *w)
{
    join_ans_write(w, slice_text(""));
}

void
sample_leave_req(struct writer *w)
{
    struct writer nodes, plugin;

    writer_init(&nodes, 1024);
    writer_init(&plugin, 1024);
    write_nodes(&nodes, 0x50, 3);
    chord_leave_write(&plugin,
                      &(struct chord_leave){CHORD_LEAVE_FROM_SUCCESSOR, writer_slice(&nodes)});
    leave_req_write(w, &(struct leave_req){sample_id(0x40), writer_slice(&plugin)});
    writer_done(&nodes);
    writer_done(&plugin);
}

static void
write_update(struct writer *w, enum chord_update_type type)
{
    struct writer nodes;

    writer_init(&nodes, 1024);
    write_nodes(&nodes, 0x60, 3);
    chord_update_write(w, &(struct chord_update){.uptime_s = 77,
                                                 .type = (uint8_t)type,
                                                 .predecessors = writer_slice(&nodes),
                                                 .successors = writer_slice(&nodes),
                                                 .fingers = writer_slice(&nodes)});
    writer_done(&nodes);
}

void
sample_update_ready(struct writer *w)
{
    write_update(w, CHORD_PEER_READY);
}

void
sample_update_neighbors(struct writer *w)
{
    write_update(w, CHORD_NEIGHBORS);
}

void
sample_update_full(struct writer *w)
{
    write_update(w, CHORD_FULL);
}

void
sample_route_query_node(struct writer *w)
{
    struct id node = sample_id(0x70);

    route_query_req_write(w,
                          &(struct route_query_req){true, destination_node(&node), slice_text("")});
}

void
sample_route_query_resource(struct writer *w)
{
    struct id resource = sample_id(0x71);

    route_query_req_write(
        w, &(struct route_query_req){false, destination_resource(&resource), slice_text("")});
}

void
sample_route_query_ans(struct writer *w)
{
    struct id next = sample_id(0x72);

    chord_route_query_ans_write(w, &next);
}

void
sample_config_update_config(struct writer *w)
{
    config_update_req_write(w,
                            &(struct config_update_req){.type = CONFIG_UPDATE_CONFIG,
                                                        .config_data = slice_text("<overlay/>")});
}

void
sample_config_update_kind(struct writer *w)
{
    struct writer kinds;

    writer_init(&kinds, 256);
    writer_opaque(&kinds, slice_text("<kind-block/>"), 2);
    config_update_req_write(
        w, &(struct config_update_req){.type = CONFIG_UPDATE_KIND, .kinds = writer_slice(&kinds)});
    writer_done(&kinds);
}

void
sample_error_forbidden(struct writer *w)
{
    error_body_write(w, &(struct error_body){ERROR_FORBIDDEN, slice_text("not yours")});
}

static void
write_error(struct writer *w, uint16_t code, void (*info)(struct writer *w))
{
    struct writer inner;

    writer_init(&inner, 4096);
    info(&inner);
    error_body_write(w, &(struct error_body){code, writer_slice(&inner)});
    writer_done(&inner);
}

void
sample_error_in_progress(struct writer *w)
{
    write_error(w, ERROR_IN_PROGRESS, sample_in_progress);
}

void
sample_error_generation(struct writer *w)
{
    write_error(w, ERROR_GENERATION_COUNTER_TOO_LOW, sample_store_ans);
}

static void
write_kind_list(struct writer *w)
{
    size_t mark = writer_open(w, 1);

    writer_u32(w, KIND_BINDING);
    writer_u32(w, 0x12345678);
    writer_close(w, mark, 1);
}

void
sample_error_unknown_kind(struct writer *w)
{
    write_error(w, ERROR_UNKNOWN_KIND, write_kind_list);
}
