#include "local-overlays/peer_promise.h"

#include <stdio.h>
#include <string.h>

#define SCRATCH_NODES     64 /* of a replica set: what is written beyond its limit shows */
#define TABLE_TEXT_MAX    32
#define DUMP_LINES_MAX    65536
#define NEIGHBOURS_MAX    65536
#define REQUEST_BYTES_MAX 65535
#define SCRATCH_FILL      0xa5

/* ---- what is broken ---- */

void
peer_promise_broken(const struct peer *p, const char *function, const char *what)
{
    struct promise *kept = p->promise;

    if (kept->is_broken)
        return;
    kept->is_broken = true;
    snprintf(kept->text, sizeof(kept->text), "%s: %s", function, what);
}

bool
peer_promise_is_kept(const struct peer *p)
{
    return !p->promise->is_broken;
}

bool
peer_promise_settle(struct peer *p)
{
    char reason[sizeof(p->promise->text) + 64];

    if (!p->promise->is_broken || p->promise->is_told)
        return false;
    p->promise->is_told = true;
    log_to(&p->env.log, LOG_LEVEL_ERROR, "%s: plug-in %s broke its contract: %s", p->conf.overlay,
           peer_ops(p)->name, p->promise->text);
    p->is_engaged = p->is_in = false;
    p->is_stuck = true;
    peer_disconnect_all(p);
    snprintf(reason, sizeof(reason), "plug-in %s: %s", peer_ops(p)->name, p->promise->text);
    peer_become(p, PEER_DOWN, reason);
    return true;
}

static bool
is_node_id(const struct id *id)
{
    return !id_is_zero(id) && !id_is_wildcard(id);
}

static bool
is_another_node(const struct peer *p, const struct id *id)
{
    return is_node_id(id) && !id_equal(id, &p->conf.self.node);
}

/* ---- what it is asked ---- */

enum status
peer_plugin_next_hop(const struct peer *p, const struct id *id, bool is_node, struct id *ret_next)
{
    struct id next = {{0}};
    enum status st = peer_promise_is_kept(p)
                         ? peer_ops(p)->next_hop(p->topology, id, is_node, &next)
                         : ST_UNREACHABLE;

    if (st == ST_EXISTS || st == ST_UNREACHABLE)
        return st;
    if (st != ST_OK)
        peer_promise_broken(p, "next_hop", "a status that the contract does not name");
    else if (!is_another_node(p, &next))
        peer_promise_broken(p, "next_hop", "no other node");
    else
        *ret_next = next;
    return peer_promise_is_kept(p) ? ST_OK : ST_UNREACHABLE;
}

static bool
is_untouched(const struct id *node, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < ID_BYTES; k++)
            if (node[i].bytes[k] != SCRATCH_FILL)
                return false;
    return true;
}

static const char *
fault_of_replicas(const struct peer *p, const struct id *node, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!is_another_node(p, &node[i]))
            return "a replica that is no other node";
        for (size_t k = 0; k < i; k++)
            if (id_equal(&node[i], &node[k]))
                return "one replica twice";
    }
    return NULL;
}

size_t
peer_plugin_replica_set(const struct peer *p, const struct id *id, struct id *ret_node, size_t cap)
{
    struct id node[SCRATCH_NODES];
    const char *fault;
    size_t count;

    if (!peer_promise_is_kept(p) || cap > SCRATCH_NODES)
        return 0;
    memset(node, SCRATCH_FILL, sizeof(node));
    count = peer_ops(p)->replica_set(p->topology, id, node, cap);
    if (count > cap || !is_untouched(node + cap, SCRATCH_NODES - cap))
        fault = "more replicas than were asked for";
    else
        fault = fault_of_replicas(p, node, count);
    if (fault) {
        peer_promise_broken(p, "replica_set", fault);
        return 0;
    }
    memcpy(ret_node, node, count * sizeof(node[0]));
    return count;
}

bool
peer_plugin_hint(const struct peer *p, const struct id *id, struct id *ret_node)
{
    struct id node = {{0}};

    if (!peer_promise_is_kept(p) || !peer_ops(p)->responsible_hint(p->topology, id, &node))
        return false;
    if (!is_node_id(&node)) {
        peer_promise_broken(p, "responsible_hint", "no node");
        return false;
    }
    *ret_node = node;
    return true;
}

struct checked_dump {
    const struct peer *p;
    void (*visit)(void *ctx, const struct topology_dump *line);
    void *ctx;
    size_t lines;
};

static void
visit_checked(void *ctx, const struct topology_dump *line)
{
    struct checked_dump *d = ctx;

    if (!peer_promise_is_kept(d->p))
        return;
    if (++d->lines > DUMP_LINES_MAX)
        peer_promise_broken(d->p, "dump", "too many lines");
    else if (!line || !line->table || strnlen(line->table, TABLE_TEXT_MAX + 1) > TABLE_TEXT_MAX)
        peer_promise_broken(d->p, "dump", "a line without a table");
    else if (!memchr(line->note, '\0', sizeof(line->note)))
        peer_promise_broken(d->p, "dump", "a note without an end");
    else
        d->visit(d->ctx, line);
}

void
peer_plugin_dump(const struct peer *p, void (*visit)(void *ctx, const struct topology_dump *line),
                 void *ctx)
{
    struct checked_dump d = {.p = p, .visit = visit, .ctx = ctx};

    if (peer_promise_is_kept(p))
        peer_ops(p)->dump(p->topology, visit_checked, &d);
}

struct listed {
    const struct id *node;
    bool is_found;
};

static void
look_for(void *ctx, const struct topology_dump *line)
{
    struct listed *l = ctx;

    l->is_found = l->is_found || id_equal(&line->node, l->node);
}

bool
peer_plugin_lists(const struct peer *p, const struct id *node)
{
    struct listed l = {.node = node};

    peer_plugin_dump(p, look_for, &l);
    return l.is_found;
}

size_t
peer_plugin_neighbour_count(const struct peer *p)
{
    size_t count = peer_promise_is_kept(p) ? peer_ops(p)->neighbour_count(p->topology) : 0;

    if (count <= NEIGHBOURS_MAX)
        return count;
    peer_promise_broken(p, "neighbour_count", "more than there may be");
    return 0;
}

enum status
peer_plugin_request(struct peer *p, const struct topology_request *request, struct writer *ret_body,
                    struct why *why)
{
    enum status st = ST_STATE;

    if (peer_promise_is_kept(p))
        st = peer_ops(p)->on_request(p->topology, p->now, request, ret_body, why);
    why->text[sizeof(why->text) - 1] = '\0';
    if (status_number(st) >= 0 && st >= ST_OK && st <= ST_CONFIG)
        return st;
    peer_promise_broken(p, "on_request", "a status that there is not");
    return ST_STATE;
}

/* ---- what it asks ---- */

static const char *
fault_of_target(const struct topology_target *to)
{
    if (!to || to->count == 0 || to->count > TOPOLOGY_TARGET_MAX)
        return "a target of no entries, or of too many";
    for (size_t i = 0; i < to->count; i++) {
        const struct destination *d = &to->to[i];
        bool is_resource = d->type == DESTINATION_RESOURCE;
        if (!is_resource && d->type != DESTINATION_NODE)
            return "a target that is neither node nor resource";
        if (is_resource && i + 1 < to->count)
            return "a resource that is not the last target";
        if (!is_resource && id_is_zero(&d->id))
            return "a target that is no node";
    }
    return NULL;
}

bool
peer_plugin_may_ask(const struct peer *p, const char *function, const struct topology_target *to)
{
    const char *fault = fault_of_target(to);

    if (fault)
        peer_promise_broken(p, function, fault);
    return peer_promise_is_kept(p);
}

bool
peer_plugin_may_request(const struct peer *p, const struct topology_target *to, uint16_t code,
                        struct slice body)
{
    switch (code) {
    case MESSAGE_JOIN_REQ:
    case MESSAGE_LEAVE_REQ:
    case MESSAGE_UPDATE_REQ:
    case MESSAGE_ROUTE_QUERY_REQ:
    case MESSAGE_PING_REQ:
    case MESSAGE_PROBE_REQ:
        break;
    default:
        peer_promise_broken(p, "env.request", "a request that is none of a plug-in's");
        return false;
    }
    if (body.len > REQUEST_BYTES_MAX || (body.len > 0 && !body.data))
        peer_promise_broken(p, "env.request", "a body that cannot be sent");
    return peer_plugin_may_ask(p, "env.request", to);
}

bool
peer_plugin_may_offer(const struct peer *p, const struct id *node)
{
    if (!node || !is_another_node(p, node))
        peer_promise_broken(p, "env.offer", "no other node");
    return peer_promise_is_kept(p);
}
