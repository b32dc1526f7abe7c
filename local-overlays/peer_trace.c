#include <stdlib.h>
#include <string.h>

#include "local-overlays/peer_internal.h"

/* ---- NODE_INFO, answered ---- */

static struct node_info
own_info(const struct peer *p)
{
    return (struct node_info){.ref = p->conf.self,
                              .uptime_s = (uint32_t)((p->now.mono_ms - p->born_ms) / 1000),
                              .records = (uint32_t)storage_value_count(p->storage)};
}

void
peer_on_node_info(struct peer *p, struct incoming *in)
{
    struct node_info info = own_info(p);
    struct writer body, w;

    writer_init(&body, UINT16_MAX);
    writer_init(&w, UINT16_MAX);
    node_info_write(&body, &info);
    private_write(&w, PRIVATE_NODE_INFO, writer_slice(&body));
    peer_reply_body(p, &in->answer, writer_slice(&w), slice_of(NULL, 0));
    writer_done(&body);
    writer_done(&w);
}

/* ---- an iterative route ---- */

/** RouteQuery and NODE_INFO to each node in turn until one names itself. */
struct trace {
    struct later later;
    struct id resource;
    struct id at; /* the node that is asked */
    enum status st;
    struct peer_traced done;
    struct peer_hop hop[RESOLVE_HOPS_MAX];
    size_t count;
};

static void
finish(struct peer *p, struct trace *t, enum status st)
{
    t->done.done(t->done.ctx, p->now, st, t->hop, t->count);
    free(t);
}

static void
run_finish(struct peer *p, struct later *l)
{
    struct trace *t = (struct trace *)l;

    finish(p, t, t->st);
}

static void ask_info(struct peer *p, struct trace *t);

static bool
was_visited(const struct trace *t, const struct id *node)
{
    for (size_t i = 0; i < t->count; i++)
        if (id_equal(&t->hop[i].ref.node, node))
            return true;
    return false;
}

static void
route_answered(void *owner, void *ctx, struct moment now, const struct transaction_end *end)
{
    struct peer *p = owner;
    struct trace *t = ctx;
    struct id next;

    (void)now;
    if (end->st != ST_OK || p->is_ending) {
        finish(p, t, end->st);
    } else if (chord_route_query_ans_read(end->body, &next) != ST_OK) {
        finish(p, t, ST_MALFORMED);
    } else if (id_equal(&next, &t->at)) {
        finish(p, t, ST_OK);
    } else if (was_visited(t, &next) || t->count == RESOLVE_HOPS_MAX) {
        finish(p, t, ST_UNREACHABLE); /* a loop: the overlay is still settling */
    } else {
        t->at = next;
        ask_info(p, t);
    }
}

static void
ask_route(struct peer *p, struct trace *t)
{
    struct route_query_req request = {.destination = destination_resource(&t->resource)};
    struct outgoing o = {.code = MESSAGE_ROUTE_QUERY_REQ, .done = route_answered, .ctx = t};
    struct writer body;

    writer_init(&body, UINT16_MAX);
    route_query_req_write(&body, &request);
    o.body = writer_slice(&body);
    peer_request_node(p, &t->at, &o);
    writer_done(&body);
}

static void
info_answered(void *owner, void *ctx, struct moment now, const struct transaction_end *end)
{
    struct peer *p = owner;
    struct trace *t = ctx;
    struct peer_hop *hop = &t->hop[t->count];
    struct node_info info;
    struct slice body;
    uint16_t subtype;

    (void)now;
    if (end->st != ST_OK || p->is_ending) {
        finish(p, t, end->st);
        return;
    }
    if (private_read(end->body, &subtype, &body) != ST_OK || subtype != PRIVATE_NODE_INFO ||
        node_info_read(body, &info) != ST_OK) {
        finish(p, t, ST_MALFORMED);
        return;
    }
    *hop = (struct peer_hop){.ref = info.ref, .rtt_us = end->rtt_ms * 1000};
    hop->ref.node = t->at; /* the signer's, not what it calls itself */
    t->count++;
    ask_route(p, t);
}

static void
ask_info(struct peer *p, struct trace *t)
{
    struct outgoing o = {.code = MESSAGE_EXP_A_REQ, .done = info_answered, .ctx = t};
    struct writer body;

    writer_init(&body, UINT16_MAX);
    private_write(&body, PRIVATE_NODE_INFO, slice_of(NULL, 0));
    o.body = writer_slice(&body);
    peer_request_node(p, &t->at, &o);
    writer_done(&body);
}

void
peer_trace(struct peer *p, struct moment now, const char *name, const struct peer_traced *done)
{
    struct trace *t = calloc(1, sizeof(*t));
    enum status st;

    if (!t) {
        done->done(done->ctx, now, ST_NOMEM, NULL, 0);
        return;
    }
    peer_enter(p, now);
    t->done = *done;
    t->resource = peer_hash(p, name);
    st = p->state == PEER_DOWN ? ST_STATE : peer_next_hop(p, &t->resource, false, &t->at);
    if (st == ST_OK) {
        ask_info(p, t);
    } else {
        if (st == ST_EXISTS)
            t->hop[t->count++] = (struct peer_hop){.ref = p->conf.self};
        t->st = st == ST_EXISTS ? ST_OK : st;
        t->later.run = run_finish;
        peer_later(p, &t->later);
    }
    peer_leave_asked(p);
}
