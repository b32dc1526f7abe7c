#include <string.h>

#include "local-overlays/pastry/state.h"

/* ---- next hop ------------------------------------------------------------------------------- */

/* The closest usable contact that is closer to @id than this node and has @digits of it. */
static enum status
toward(const struct pastry *p, const struct id *id, unsigned digits, struct id *ret_next)
{
    const struct id *best = &p->conf.self;

    for (unsigned i = 0; i < p->contact_count; i++) {
        const struct id *node = &p->contact[i].node;
        if (pastry_row(id, node) >= digits && pastry_is_closer(node, best, id) &&
            pastry_is_usable(p, node))
            best = node;
    }
    if (best == &p->conf.self)
        return ST_UNREACHABLE;
    *ret_next = *best;
    return ST_OK;
}

/* Of the slot's contacts the entry, else any other that is usable. */
static bool
by_row(const struct pastry *p, const struct id *id, unsigned row, struct id *ret_next)
{
    unsigned count;
    unsigned first = pastry_slot(p, row, id_digit(id, row, PASTRY_DIGIT_BITS), &count);
    const struct pastry_contact *best = NULL;

    for (unsigned i = first; i < first + count; i++) {
        const struct pastry_contact *at = &p->contact[i];
        if (!pastry_is_usable(p, &at->node))
            continue;
        if (!best || at->is_row || (!best->is_row && at->rtt_ms < best->rtt_ms))
            best = at;
    }
    if (best)
        *ret_next = best->node;
    return best != NULL;
}

/* The paper's three cases (section 2.3): leaf set, routing table, and the rare case.  A hop through
 * the table has more digits of @id, any other as many and is closer: no circles.  Nor is there one
 * when the closest leaf is in doubt and nobody else is closer than we are: then the message waits,
 * for whoever else got it would send it back. */
static enum status
route(const struct pastry *p, const struct id *id, struct id *ret_next)
{
    unsigned row = pastry_row(&p->conf.self, id);

    if (pastry_is_covered(p, id))
        return toward(p, id, 0, ret_next);
    if (by_row(p, id, row, ret_next) || toward(p, id, row, ret_next) == ST_OK)
        return ST_OK;
    return toward(p, id, 0, ret_next);
}

enum status
pastry_next_hop(const void *state, const struct id *id, bool is_node, struct id *ret_next)
{
    const struct pastry *p = state;
    bool is_self = id_equal(id, &p->conf.self);

    if (is_self && (is_node || p->state == PASTRY_IN))
        return ST_EXISTS;
    if (!is_self && (is_node || pastry_find(p, id)) && pastry_is_usable(p, id)) {
        *ret_next = *id;
        return ST_OK;
    }
    if (p->state != PASTRY_IN) {
        if (!pastry_is_joining(p) || !pastry_is_usable(p, &p->informant))
            return ST_UNREACHABLE;
        *ret_next = p->informant;
        return ST_OK;
    }
    if (!pastry_closest(p, id))
        return is_node ? ST_UNREACHABLE : ST_EXISTS; /* no such node, or it is not linked */
    return route(p, id, ret_next);
}

/* ---- who holds what ------------------------------------------------------------------------- */

bool
pastry_is_responsible(const void *state, const struct id *id)
{
    const struct pastry *p = state;

    return p->state == PASTRY_IN && !pastry_closest(p, id);
}

/* The leaves closest to the ID: they would be responsible next. */
size_t
pastry_replica_set(const void *state, const struct id *id, struct id *ret_node, size_t cap)
{
    const struct pastry *p = state;
    unsigned side = pastry_side(p);
    size_t count = 0;

    if (!pastry_is_responsible(state, id))
        return 0;
    if (cap > p->conf.replica_count)
        cap = p->conf.replica_count;
    for (unsigned i = 0; i < 2 * side && cap > 0; i++) {
        const struct id *node = &(i % 2 ? pastry_smaller(p, i / 2) : pastry_larger(p, i / 2))->node;
        size_t at = count;

        while (at > 0 && pastry_is_closer(node, &ret_node[at - 1], id))
            at--;
        if (at == cap || (at > 0 && id_equal(node, &ret_node[at - 1])) ||
            !pastry_is_usable(p, node))
            continue;
        if (count < cap)
            count++;
        memmove(&ret_node[at + 1], &ret_node[at], (count - at - 1) * sizeof(ret_node[0]));
        ret_node[at] = *node;
    }
    return count;
}

bool
pastry_responsible_hint(const void *state, const struct id *id, struct id *ret_node)
{
    const struct pastry *p = state;
    const struct pastry_contact *closest;

    if (p->state != PASTRY_IN)
        return false;
    closest = pastry_closest(p, id);
    *ret_node = closest ? closest->node : p->conf.self;
    if (closest || id_equal(id, &p->conf.self))
        return true;
    for (unsigned i = 0; i < PASTRY_JOINERS_MAX; i++)
        if (p->joiner[i].end_ms && p->joiner[i].is_offered &&
            pastry_is_closer(&p->joiner[i].node, ret_node, id))
            *ret_node = p->joiner[i].node;
    return true;
}

/* ---- RouteQuery ----------------------------------------------------------------------------- */

static void
write_near(const struct pastry *p, struct writer *w)
{
    const struct pastry_contact *near[PASTRY_NEAR_MAX];
    unsigned count = pastry_near(p, near);

    for (unsigned i = 0; i < count; i++)
        writer_id(w, &near[i]->node);
}

static uint8_t
verdict_for(struct pastry *p, struct moment now, const struct topology_request *req,
            const struct id *next, bool wants_place)
{
    if (!id_equal(next, &p->conf.self))
        return PASTRY_GO_ON;
    if (!wants_place)
        return PASTRY_MINE;
    return pastry_reserve(p, now, &req->from) ? PASTRY_RESERVED : PASTRY_BUSY;
}

static void
write_answer(struct pastry *p, const struct pastry_query *q, const struct id *next, uint8_t verdict,
             struct writer *ret_body)
{
    struct pastry_query_ans a = {.next = *next, .verdict = verdict};
    struct writer leaves, rows, near;

    writer_init(&leaves, PASTRY_BODY_BYTES);
    writer_init(&rows, PASTRY_BODY_BYTES);
    writer_init(&near, PASTRY_BODY_BYTES);
    if (q->wants & PASTRY_WANT_LEAVES)
        a.leaves = pastry_leaves_of(p, &leaves);
    pastry_write_rows(p, &rows, q->first_row, q->row_count);
    if (q->wants & PASTRY_WANT_NEAR)
        write_near(p, &near);
    a.rows = writer_slice(&rows);
    a.near = writer_slice(&near);
    pastry_query_ans_write(ret_body, &a);
    writer_done(&leaves);
    writer_done(&rows);
    writer_done(&near);
}

/* Without a part for the plug-in it is a plain question for the next hop; the answer is too. */
enum status
pastry_on_route_query(struct pastry *p, struct moment now, const struct topology_request *req,
                      struct writer *ret_body, struct why *why)
{
    struct pastry_query query = {0};
    struct route_query_req q;
    struct id next = p->conf.self;
    enum status st;

    if (route_query_req_read(req->body, &q) != ST_OK || q.destination.type == DESTINATION_OPAQUE)
        return why_set(why, ST_MALFORMED, "not a RouteQuery");
    st = q.plugin.len ? pastry_query_read(q.plugin, &query, why) : ST_OK;
    if (st != ST_OK)
        return st;
    if (p->state != PASTRY_IN)
        return why_set(why, ST_IN_PROGRESS, "no member yet");
    if (query.wants & PASTRY_WANT_PLACE && !id_equal(&req->from, &q.destination.id))
        return why_set(why, ST_FORBIDDEN, "a place for another node");
    if (query.wants & PASTRY_WANT_PLACE)
        (void)pastry_remove(p, &req->from); /* if it was a member, it has restarted */
    st = pastry_next_hop(p, &q.destination.id, q.destination.type == DESTINATION_NODE, &next);
    if (st != ST_OK && st != ST_EXISTS)
        return why_set(why, ST_NOT_FOUND, "no way to there");
    if (q.send_update && pastry_is_usable(p, &req->from))
        pastry_send_update(p, &req->from, PASTRY_STATE, 0);
    if (!q.plugin.len)
        chord_route_query_ans_write(ret_body, &next);
    else
        write_answer(p, &query, &next,
                     verdict_for(p, now, req, &next, query.wants & PASTRY_WANT_PLACE), ret_body);
    return ST_OK;
}
