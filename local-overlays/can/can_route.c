#include <assert.h>

#include "local-overlays/can/state.h"

/** How far it is from a zone to the target: on the torus, then by Node-ID so that there is one
 *  nearest. */
struct reach {
    can_distance distance;
    struct id apart;
};

static struct reach
reach_of(const struct can *c, const struct id *node, const struct can_zone *zone,
         const struct id *id, const struct can_point *p)
{
    struct reach r = {.distance = can_zone_distance(c->dimensions, zone, p)};

    for (unsigned i = 0; i < ID_BYTES; i++)
        r.apart.bytes[i] = node->bytes[i] ^ id->bytes[i];
    return r;
}

static bool
is_shorter(const struct reach *a, const struct reach *b)
{
    if (a->distance != b->distance)
        return a->distance < b->distance;
    return id_compare(&a->apart, &b->apart) < 0;
}

/* Of two that are nearer than we are: the one with more progress in the time (section 3.3 of the
 * paper). */
static bool
is_faster(const struct reach *own, const struct can_contact *a, const struct reach *ra,
          const struct can_contact *b, const struct reach *rb)
{
    can_distance pa = (own->distance - ra->distance) * (b->rtt_ms ? b->rtt_ms : CAN_RTT_MS);
    can_distance pb = (own->distance - rb->distance) * (a->rtt_ms ? a->rtt_ms : CAN_RTT_MS);

    return pa != pb ? pa > pb : is_shorter(ra, rb);
}

/*
 * Greedy: the neighbour whose zone is nearest to the target (section 2.2 of the paper).  If none
 * that can be used is nearer than we are, any contact that is: so each hop is shorter than the one
 * before, and there is no loop.
 */
static enum status
route(const struct can *c, const struct id *id, const struct can_point *p, struct id *ret_next)
{
    const struct reach own = reach_of(c, &c->conf.self, &c->zone, id, p);
    const struct can_contact *found = NULL;
    struct reach best = own;

    for (unsigned pass = 0; pass < 2 && !found; pass++) {
        for (unsigned i = 0; i < c->contact_count; i++) {
            const struct can_contact *at = &c->contact[i];
            struct reach r;

            if (!at->has_told || (pass == 0 && !at->is_neighbour) ||
                !c->env.is_usable(c->env.ctx, &at->node))
                continue;
            r = reach_of(c, &at->node, &at->zone, id, p);
            if (!is_shorter(&r, &own))
                continue;
            if (found &&
                !(c->is_by_rtt ? is_faster(&own, at, &r, found, &best) : is_shorter(&r, &best)))
                continue;
            best = r;
            found = at;
        }
    }
    if (!found)
        return ST_UNREACHABLE;
    *ret_next = found->node;
    return ST_OK;
}

static bool
is_member(const struct can *c, const struct id *node)
{
    const struct can_contact *contact = can_find(c, node);

    return contact && contact->has_told;
}

enum status
can_next_hop(const void *state, const struct id *id, bool is_node, struct id *ret_next)
{
    const struct can *c = state;
    bool is_self = id_equal(id, &c->conf.self);
    struct can_point p;

    if (is_self && (is_node || c->state == CAN_IN))
        return ST_EXISTS;
    if (!is_self && (is_node || is_member(c, id)) && c->env.is_usable(c->env.ctx, id)) {
        *ret_next = *id;
        return ST_OK;
    }
    if (c->state != CAN_IN) {
        if (!can_is_joining(c) || !c->env.is_usable(c->env.ctx, &c->informant))
            return ST_UNREACHABLE;
        *ret_next = c->informant;
        return ST_OK;
    }
    p = can_point_of(c->dimensions, id);
    if (can_zone_distance(c->dimensions, &c->zone, &p) == 0)
        return is_node ? ST_UNREACHABLE : ST_EXISTS; /* no such node, or it is not linked */
    return route(c, id, &p, ret_next);
}

bool
can_is_responsible(const void *state, const struct id *id)
{
    const struct can *c = state;
    struct can_point p;

    if (c->state != CAN_IN)
        return false;
    p = can_point_of(c->dimensions, id);
    return can_zone_distance(c->dimensions, &c->zone, &p) == 0;
}

/* Of all we know, those that are being let in too. */
static bool
owner_known(const struct can *c, const struct id *id, struct id *ret_node)
{
    const struct id *node[CAN_CONTACTS_MAX + CAN_JOINERS_MAX + 1];
    size_t count = 0;

    if (c->state != CAN_IN)
        return false;
    node[count++] = &c->conf.self;
    for (unsigned i = 0; i < c->contact_count; i++)
        if (c->contact[i].has_told)
            node[count++] = &c->contact[i].node;
    for (unsigned i = 0; i < c->joiner_count; i++)
        node[count++] = &c->joiner[i].node;
    *ret_node = *can_owner_among(c->dimensions, id, node, count);
    return true;
}

/* Do we own @id, or shall we once it is sure that a node that is missing is gone? */
static bool
is_ours_in_the_end(const struct can *c, const struct id *id)
{
    struct id node;

    return can_is_responsible(c, id) ||
           (owner_known(c, id, &node) && id_equal(&node, &c->conf.self));
}

/* Who would own @id without us, then without that one too, and so on. */
size_t
can_replica_set(const void *state, const struct id *id, struct id *ret_node, size_t cap)
{
    const struct can *c = state;
    const struct id *node[CAN_CONTACTS_MAX];
    size_t count = 0;

    if (!is_ours_in_the_end(c, id))
        return 0;
    if (cap > c->conf.replica_count)
        cap = c->conf.replica_count;
    while (count < cap) {
        size_t left = 0;

        for (unsigned i = 0; i < c->contact_count; i++) {
            bool is_taken =
                !c->contact[i].has_told || !c->env.is_usable(c->env.ctx, &c->contact[i].node);
            for (size_t k = 0; k < count; k++)
                is_taken |= id_equal(&c->contact[i].node, &ret_node[k]);
            if (!is_taken)
                node[left++] = &c->contact[i].node;
        }
        if (left == 0)
            break;
        ret_node[count] = *can_owner_among(c->dimensions, id, node, left);
        count++;
    }
    return count;
}

bool
can_responsible_hint(const void *state, const struct id *id, struct id *ret_node)
{
    const struct can *c = state;

    return owner_known(c, id, ret_node) &&
           (!id_equal(ret_node, &c->conf.self) || can_is_responsible(state, id));
}

enum status
can_on_route_query(struct can *c, struct moment now, const struct topology_request *req,
                   struct writer *ret_body, struct why *why)
{
    struct route_query_req q;
    struct id next = c->conf.self;
    enum status st;

    if (route_query_req_read(req->body, &q) != ST_OK || q.destination.type == DESTINATION_OPAQUE)
        return why_set(why, ST_MALFORMED, "not a RouteQuery");
    if (c->state != CAN_IN)
        return why_set(why, ST_IN_PROGRESS, "no member yet");
    st = can_next_hop(c, &q.destination.id, q.destination.type == DESTINATION_NODE, &next);
    if (st != ST_OK && st != ST_EXISTS)
        return why_set(why, ST_NOT_FOUND, "no way to there");
    can_next_hop_write(ret_body, &next);
    if (q.send_update)
        can_send_update(c, now, &req->from, CAN_MEMBER);
    return ST_OK;
}
