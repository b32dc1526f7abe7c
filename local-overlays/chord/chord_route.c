#include <assert.h>

#include "local-overlays/chord/state.h"

static bool
is_usable(const struct chord *c, unsigned at)
{
    return c->env.is_usable(c->env.ctx, &c->contact[at].node);
}

/* Is @at the owner of what lies before it?  Between two of our neighbours there is nobody else. */
static bool
is_owner(const struct chord *c, unsigned at)
{
    unsigned span = chord_successor_count(c);

    return at < span || (at < c->contact_count && at + span > c->contact_count);
}

/* RFC 6940 section 10.3: the largest in (self, id), else the smallest beyond it.  The owner itself
 * comes before both where we know it, as Chord's successor lists have it (section IV-E.3 of the
 * paper): one hop less, for the largest before it would only send it there. */
static enum status
route(const struct chord *c, const struct id *id, struct id *ret_next)
{
    struct id distance = id_subtract(id, &c->conf.self);
    unsigned at = chord_at(c, &distance);
    unsigned last = c->contact_count - 1;

    /* What the immediate predecessor owns would come back from whoever is asked while its link is
     * in doubt; the request is sent again when that is known. */
    if (c->contact_count > 1 && at == last && !is_usable(c, last))
        return ST_UNREACHABLE;
    if (is_owner(c, at) && is_usable(c, at)) {
        *ret_next = c->contact[at].node;
        return ST_OK;
    }
    for (unsigned i = at; i-- > 0;) {
        if (is_usable(c, i)) {
            *ret_next = c->contact[i].node;
            return ST_OK;
        }
    }
    for (unsigned i = at; i < c->contact_count; i++) {
        if (is_usable(c, i)) {
            *ret_next = c->contact[i].node;
            return ST_OK;
        }
    }
    return ST_UNREACHABLE;
}

enum status
chord_next_hop(const void *state, const struct id *id, bool is_node, struct id *ret_next)
{
    const struct chord *c = state;
    bool is_self = id_equal(id, &c->conf.self);

    if (is_self && (is_node || c->state == CHORD_IN))
        return ST_EXISTS;
    if (!is_self && (is_node || chord_find(c, id)) && c->env.is_usable(c->env.ctx, id)) {
        *ret_next = *id;
        return ST_OK;
    }
    if (c->state != CHORD_IN) {
        if (!chord_is_joining(c) || !c->env.is_usable(c->env.ctx, &c->informant))
            return ST_UNREACHABLE;
        *ret_next = c->informant;
        return ST_OK;
    }
    if (chord_is_owned(c, id))
        return is_node ? ST_UNREACHABLE : ST_EXISTS; /* no such node, or it is not linked */
    return route(c, id, ret_next);
}

bool
chord_is_responsible(const void *state, const struct id *id)
{
    const struct chord *c = state;

    return c->state == CHORD_IN && chord_is_owned(c, id);
}

/* RFC 6940 section 10.4: the successors, of which the nearest would be responsible next. */
size_t
chord_replica_set(const void *state, const struct id *id, struct id *ret_node, size_t cap)
{
    const struct chord *c = state;
    size_t count = 0;

    if (!chord_is_responsible(state, id))
        return 0;
    if (cap > c->conf.replica_count)
        cap = c->conf.replica_count;
    for (unsigned i = 0; i < chord_successor_count(c) && count < cap; i++)
        if (is_usable(c, i))
            ret_node[count++] = c->contact[i].node;
    return count;
}

bool
chord_responsible_hint(const void *state, const struct id *id, struct id *ret_node)
{
    const struct chord *c = state;
    struct id distance = id_subtract(id, &c->conf.self);
    unsigned at;

    if (c->state != CHORD_IN)
        return false;
    if (!chord_is_owned(c, id)) {
        at = chord_at(c, &distance);
        assert(at < c->contact_count);
        *ret_node = c->contact[at].node;
        return true;
    }
    *ret_node = c->conf.self;
    if (c->is_admitting && c->is_offered && !id_equal(id, &c->conf.self) &&
        !id_is_in(id, &c->joiner, &c->conf.self))
        *ret_node = c->joiner;
    return true;
}

enum status
chord_on_route_query(struct chord *c, struct moment now, const struct topology_request *req,
                     struct writer *ret_body, struct why *why)
{
    struct route_query_req q;
    struct id next = c->conf.self;
    enum status st;

    if (route_query_req_read(req->body, &q) != ST_OK || q.destination.type == DESTINATION_OPAQUE)
        return why_set(why, ST_MALFORMED, "not a RouteQuery");
    if (c->state != CHORD_IN)
        return why_set(why, ST_IN_PROGRESS, "no member yet");
    st = chord_next_hop(c, &q.destination.id, q.destination.type == DESTINATION_NODE, &next);
    if (st != ST_OK && st != ST_EXISTS)
        return why_set(why, ST_NOT_FOUND, "no way to there");
    chord_route_query_ans_write(ret_body, &next);
    if (q.send_update)
        chord_welcome(c, now, &req->from, true);
    return ST_OK;
}
