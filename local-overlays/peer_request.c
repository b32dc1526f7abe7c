/* Requests that ended here, by code; and those of the upper layers. */
#include <stdlib.h>

#include "local-overlays/peer_internal.h"

static void
invalid(struct peer *p, struct incoming *in, const char *what)
{
    char text[ID_TEXT_BYTES];

    log_to(&p->env.log, LOG_LEVEL_REMOTE, "%s: %s from %s: %s", p->conf.overlay,
           message_code_name(in->message->contents.code), id_text(&in->signer->node, text), what);
    peer_reply_error(p, &in->answer, ERROR_INVALID_MESSAGE, slice_text(what));
}

static void
on_ping(struct peer *p, struct incoming *in)
{
    struct ping_ans answer = {.response_id = p->env.random(p->env.ctx), .time_ms = p->now.wall_ms};
    struct ping_req request;
    struct writer body;

    if (ping_req_read(in->message->contents.body, &request) != ST_OK) {
        invalid(p, in, "malformed Ping");
        return;
    }
    writer_init(&body, UINT16_MAX);
    ping_ans_write(&body, &answer);
    peer_reply_body(p, &in->answer, writer_slice(&body), slice_of(NULL, 0));
    writer_done(&body);
    peer_bootstrap_pinged(p, in, request.padding);
}

static void
on_probe(struct peer *p, struct incoming *in)
{
    struct probe_info info[UINT8_MAX];
    struct probe_req request;
    struct writer body;
    size_t count = 0;

    if (probe_req_read(in->message->contents.body, &request) != ST_OK) {
        invalid(p, in, "malformed Probe");
        return;
    }
    for (size_t i = 0; i < request.types.len && count < UINT8_MAX; i++) {
        uint8_t type = request.types.data[i];
        if (type == PROBE_RESPONSIBLE_SET)
            info[count++] = (struct probe_info){type, peer_share_ppb(p)};
        else if (type == PROBE_NUM_RESOURCES)
            info[count++] = (struct probe_info){type, (uint32_t)storage_value_count(p->storage)};
        else if (type == PROBE_UPTIME)
            info[count++] =
                (struct probe_info){type, (uint32_t)((p->now.mono_ms - p->born_ms) / 1000)};
    }
    writer_init(&body, UINT16_MAX);
    probe_ans_write(&body, info, count);
    peer_reply_body(p, &in->answer, writer_slice(&body), slice_of(NULL, 0));
    writer_done(&body);
}

static void
on_private(struct peer *p, struct incoming *in)
{
    struct peer_request request = {.from = in->signer->node, .signer = *in->signer};

    if (private_read(in->message->contents.body, &request.subtype, &request.body) != ST_OK) {
        invalid(p, in, "malformed private request");
        return;
    }
    in->answer.subtype = request.subtype;
    if (request.subtype == PRIVATE_NODE_INFO) {
        peer_on_node_info(p, in);
        return;
    }
    if (request.subtype == PRIVATE_GONE) {
        peer_on_gone(p, in, request.body);
        return;
    }
    request.handle = p->env.on_request ? peer_put_off(p, &in->answer) : 0;
    if (request.handle == 0)
        peer_reply_text(p, &in->answer, ST_UNSUPPORTED, "nobody here to answer");
    else
        p->env.on_request(p->env.ctx, p->now, &request);
}

void
peer_on_request(struct peer *p, struct incoming *in)
{
    switch (in->message->contents.code) {
    case MESSAGE_PING_REQ:
        on_ping(p, in);
        break;
    case MESSAGE_PROBE_REQ:
        on_probe(p, in);
        break;
    case MESSAGE_ATTACH_REQ:
        peer_on_attach_request(p, in);
        break;
    case MESSAGE_STORE_REQ:
        peer_on_store_request(p, in);
        break;
    case MESSAGE_FETCH_REQ:
    case MESSAGE_STAT_REQ:
        peer_on_fetch_request(p, in);
        break;
    case MESSAGE_FIND_REQ:
        peer_on_find_request(p, in);
        break;
    case MESSAGE_JOIN_REQ:
    case MESSAGE_LEAVE_REQ:
    case MESSAGE_UPDATE_REQ:
    case MESSAGE_ROUTE_QUERY_REQ:
        peer_on_topology_request(p, in);
        break;
    case MESSAGE_EXP_A_REQ:
        on_private(p, in);
        break;
    case MESSAGE_CONFIG_UPDATE_REQ:
        peer_reply_text(p, &in->answer, ST_FORBIDDEN, "no configuration documents here");
        break;
    default:
        invalid(p, in, "a request this node does not know");
    }
}

/* ---- requests of the upper layers ---- */

static void
asked(void *owner, void *ctx, struct moment now, const struct transaction_end *end)
{
    struct peer_reply *reply = ctx;
    struct slice body = end->body;
    uint16_t subtype;
    enum status st = end->st;

    (void)owner;
    if (st == ST_OK && private_read(end->body, &subtype, &body) != ST_OK) {
        st = ST_MALFORMED;
        body = slice_of(NULL, 0);
    }
    reply->done(reply->ctx, now, st, end->from, body);
    free(reply);
}

void
peer_ask(struct peer *p, struct moment now, const struct id *node, uint16_t subtype,
         struct slice body, uint32_t deadline_ms, const struct peer_reply *reply)
{
    struct outgoing o = {.code = MESSAGE_EXP_A_REQ, .deadline_ms = deadline_ms, .done = asked};
    struct peer_reply *kept = calloc(1, sizeof(*kept));
    struct writer w;

    if (!kept) {
        reply->done(reply->ctx, now, ST_NOMEM, NULL, slice_of(NULL, 0));
        return;
    }
    peer_enter(p, now);
    *kept = *reply;
    writer_init(&w, p->envelope.max_bytes);
    private_write(&w, subtype, body);
    o.body = writer_slice(&w);
    o.ctx = kept;
    peer_request_node(p, node, &o);
    writer_done(&w);
    peer_leave_asked(p);
}
