#include <string.h>

#include "local-overlays/pastry/state.h"

/* ---- what we say ---------------------------------------------------------------------------- */

struct pastry_leaves
pastry_leaves_of(const struct pastry *p, struct writer *w)
{
    unsigned side = pastry_side(p);
    size_t half;

    for (unsigned i = 0; i < side; i++)
        writer_id(w, &pastry_smaller(p, i)->node);
    half = w->len;
    for (unsigned i = 0; i < side; i++)
        writer_id(w, &pastry_larger(p, i)->node);
    if (w->failed)
        return (struct pastry_leaves){0};
    return (struct pastry_leaves){.smaller = slice_of(w->data, half),
                                  .larger = slice_of(w->data + half, w->len - half)};
}

void
pastry_write_rows(const struct pastry *p, struct writer *w, unsigned first, unsigned count)
{
    for (unsigned row = first; row < first + count && row < PASTRY_ROWS; row++)
        for (unsigned column = 0; column < PASTRY_COLUMNS; column++) {
            const struct pastry_contact *entry = pastry_entry(p, row, column);
            if (entry)
                writer_id(w, &entry->node);
        }
}

/* Rows beyond those that this node shares with us are of no use to it. */
static void
write_update(const struct pastry *p, struct writer *w, const struct id *to,
             enum pastry_update_type type)
{
    unsigned shared = pastry_row(&p->conf.self, to) + 1;
    struct pastry_update u = {.type = (uint8_t)type};
    struct writer leaves;
    struct writer rows;

    writer_init(&leaves, PASTRY_BODY_BYTES);
    writer_init(&rows, PASTRY_BODY_BYTES);
    if (type != PASTRY_READY)
        u.leaves = pastry_leaves_of(p, &leaves);
    if (type == PASTRY_STATE)
        pastry_write_rows(p, &rows, 0, shared < pastry_row_count(p) ? shared : pastry_row_count(p));
    u.rows = writer_slice(&rows);
    pastry_update_write(w, &u);
    writer_done(&leaves);
    writer_done(&rows);
}

void
pastry_send_update(struct pastry *p, const struct id *node, enum pastry_update_type type,
                   uint32_t token)
{
    struct topology_target to = pastry_to_node(node);
    struct writer body;

    writer_init(&body, PASTRY_BODY_BYTES);
    write_update(p, &body, node, type);
    if (!body.failed)
        p->env.request(p->env.ctx, token, &to, MESSAGE_UPDATE_REQ, writer_slice(&body));
    writer_done(&body);
}

void
pastry_owe(struct pastry *p, struct moment now, struct pastry_contact *contact, bool is_state)
{
    uint64_t due_ms = now.mono_ms + PASTRY_SETTLE_MS + p->env.random(p->env.ctx) % PASTRY_SETTLE_MS;

    contact->is_state_owed |= is_state;
    if (contact->told_ms && due_ms < contact->told_ms + PASTRY_REMIND_MS)
        due_ms = contact->told_ms + PASTRY_REMIND_MS;
    contact->owed_ms = moment_earlier_ms(contact->owed_ms, due_ms);
    p->owed_due_ms = moment_earlier_ms(p->owed_due_ms, contact->owed_ms);
}

void
pastry_pay(struct pastry *p, struct moment now)
{
    p->owed_due_ms = MOMENT_NEVER;
    for (unsigned i = 0; i < p->contact_count; i++) {
        struct pastry_contact *at = &p->contact[i];

        if (at->owed_ms > now.mono_ms) {
            p->owed_due_ms = moment_earlier_ms(p->owed_due_ms, at->owed_ms);
            continue;
        }
        pastry_send_update(p, &at->node, at->is_state_owed ? PASTRY_STATE : PASTRY_LEAVES,
                           pastry_task_add(p, now, PASTRY_TASK_TELL, &at->node, 0));
        at->owed_ms = MOMENT_NEVER;
        at->told_ms = now.mono_ms;
        at->is_state_owed = false;
    }
}

/* ---- what is heard -------------------------------------------------------------------------- */

/* Ought @node to be on this side of @whose leaf set, and is it not? */
static bool
is_missing(struct slice side, bool is_larger, const struct id *whose, const struct id *node)
{
    struct id last;

    if (pastry_is_listed(side, node))
        return false;
    if (pastry_count(side) < PASTRY_SIDE_MAX)
        return true;
    last = pastry_nth(side, PASTRY_SIDE_MAX - 1);
    return is_larger ? id_is_in(node, whose, &last) : id_is_in(node, &last, whose);
}

static bool
lacks(const struct pastry_leaves *leaves, const struct id *whose, const struct id *node)
{
    return !id_equal(whose, node) && (is_missing(leaves->larger, true, whose, node) ||
                                      is_missing(leaves->smaller, false, whose, node));
}

/* Whoever lacks a leaf that we know is told.  It compares in turn, so that the two agree. */
static void
compare(struct pastry *p, struct moment now, const struct id *whose,
        const struct pastry_leaves *leaves)
{
    struct pastry_contact *contact = pastry_find(p, whose);
    unsigned side = pastry_side(p);
    bool is_behind = lacks(leaves, whose, &p->conf.self);

    for (unsigned i = 0; i < side && !is_behind; i++)
        is_behind = lacks(leaves, whose, &pastry_smaller(p, i)->node) ||
                    lacks(leaves, whose, &pastry_larger(p, i)->node);
    if (!is_behind)
        return;
    if (contact)
        pastry_owe(p, now, contact, false);
    else if (pastry_is_usable(p, whose))
        pastry_send_update(p, whose, PASTRY_LEAVES, 0);
}

static void
take_update(struct pastry *p, struct moment now, const struct id *from,
            const struct pastry_update *u)
{
    pastry_admit_end(p, from); /* it is in */
    if (pastry_is_usable(p, from))
        pastry_meet(p, now, from);
    else
        pastry_learn_leaf(p, now, from, NULL);
    pastry_learn_leaves(p, now, &u->leaves, from);
    pastry_learn_rows(p, now, u->rows);
    if (u->type != PASTRY_READY)
        compare(p, now, from, &u->leaves);
}

enum status
pastry_on_update(struct pastry *p, struct moment now, const struct topology_request *req,
                 struct why *why)
{
    struct pastry_update u;
    enum status st;

    if (id_equal(&req->from, &p->conf.self))
        return why_set(why, ST_FORBIDDEN, "an Update of this node itself");
    st = pastry_update_read(req->body, &req->from, &u, why);
    if (st != ST_OK)
        return st;
    if (p->state == PASTRY_IN) {
        take_update(p, now, &req->from, &u);
        return ST_OK;
    }
    if (!pastry_is_joining(p) || u.type != PASTRY_ADMITTED) /* it takes us for a member */
        return why_set(why, ST_IN_PROGRESS, "not in the overlay");
    pastry_learn_leaves(p, now, &u.leaves, &req->from);
    pastry_join_on_admitted(p, &req->from);
    return ST_OK;
}

/* ---- leaving -------------------------------------------------------------------------------- */

enum status
pastry_on_leave(struct pastry *p, struct moment now, const struct topology_request *req,
                struct why *why)
{
    struct pastry_leaves leaves;
    struct leave_req l;
    enum status st;

    if (leave_req_read(req->body, &l) != ST_OK)
        return why_set(why, ST_MALFORMED, "not a Leave");
    if (!id_equal(&l.leaving_peer, &req->from))
        return why_set(why, ST_FORBIDDEN, "a Leave in the name of another node");
    st = pastry_leave_read(l.plugin, &req->from, &leaves, why);
    if (st != ST_OK || p->state == PASTRY_OUT)
        return st;
    pastry_drop(p, now, &req->from);
    p->env.detach(p->env.ctx, &req->from);
    if (p->state == PASTRY_IN)
        pastry_learn_leaves(p, now, &leaves, NULL);
    else
        pastry_join_on_lost(p, now, &req->from);
    return ST_OK;
}

/* To all contacts: others than leaves would send us messages until the link breaks. */
void
pastry_send_leaves(struct pastry *p)
{
    struct leave_req l = {.leaving_peer = p->conf.self};
    struct pastry_leaves leaves;
    struct writer nodes;
    struct writer plugin;
    struct writer body;

    writer_init(&nodes, PASTRY_BODY_BYTES);
    writer_init(&plugin, PASTRY_BODY_BYTES);
    writer_init(&body, PASTRY_BODY_BYTES);
    leaves = pastry_leaves_of(p, &nodes);
    pastry_leave_write(&plugin, &leaves);
    l.plugin = writer_slice(&plugin);
    leave_req_write(&body, &l);
    for (unsigned i = 0; i < p->contact_count && !body.failed; i++) {
        struct topology_target to = pastry_to_node(&p->contact[i].node);
        p->env.request(p->env.ctx, 0, &to, MESSAGE_LEAVE_REQ, writer_slice(&body));
    }
    writer_done(&nodes);
    writer_done(&plugin);
    writer_done(&body);
}
