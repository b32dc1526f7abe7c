#include <string.h>

#include "local-overlays/chord/state.h"

#define BODY_BYTES 4096

static void
write_nodes(struct writer *w, const struct chord *c,
            const struct id *(*nth)(const struct chord *, unsigned), unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        writer_id(w, nth(c, i));
}

/* "in numerically ascending order" (RFC 6940 section 10.7): clockwise from zero, not from self. */
static void
write_fingers(struct writer *w, const struct chord *c)
{
    struct id self_to_zero = id_subtract(&(struct id){{0}}, &c->conf.self);
    unsigned first = chord_at(c, &self_to_zero);

    for (unsigned i = 0; i < c->contact_count; i++) {
        const struct chord_contact *at = &c->contact[(first + i) % c->contact_count];
        if (at->is_finger)
            writer_id(w, &at->node);
    }
}

static void
write_update(struct writer *w, const struct chord *c, struct moment now,
             enum chord_update_type type)
{
    struct chord_update u = {.uptime_s = (uint32_t)((now.mono_ms - c->in_since_ms) / 1000),
                             .type = (uint8_t)type};
    struct writer lists;
    size_t end[3] = {0};

    writer_init(&lists, 2 * CHORD_SPAN_MAX * ID_BYTES + CHORD_CONTACTS_MAX * ID_BYTES);
    if (type != CHORD_PEER_READY) {
        write_nodes(&lists, c, chord_predecessor, chord_predecessor_count(c));
        end[0] = lists.len;
        write_nodes(&lists, c, chord_successor, chord_successor_count(c));
        end[1] = lists.len;
        if (type == CHORD_FULL)
            write_fingers(&lists, c);
        end[2] = lists.len;
    }
    if (!lists.failed) {
        u.predecessors = slice_of(lists.data, end[0]);
        u.successors = slice_of(lists.data + end[0], end[1] - end[0]);
        u.fingers = slice_of(lists.data + end[1], end[2] - end[1]);
    }
    chord_update_write(w, &u);
    writer_done(&lists);
}

void
chord_send_update(struct chord *c, struct moment now, const struct id *node,
                  enum chord_update_type type)
{
    struct topology_target to = chord_to_node(node);
    struct writer body;

    writer_init(&body, BODY_BYTES);
    write_update(&body, c, now, type);
    if (!body.failed)
        c->env.request(c->env.ctx, 0, &to, MESSAGE_UPDATE_REQ, writer_slice(&body));
    writer_done(&body);
}

/* ---- what is heard -------------------------------------------------------------------------- */

static struct chord_lost *
find_lost(struct chord *c, struct moment now, const struct id *node)
{
    for (unsigned i = 0; i < CHORD_LOST_MAX; i++)
        if (c->lost[i].until_ms > now.mono_ms && id_equal(&c->lost[i].node, node))
            return &c->lost[i];
    return NULL;
}

static void
remember_lost(struct chord *c, struct moment now, const struct id *node, bool is_missed)
{
    c->lost[c->lost_next++ % CHORD_LOST_MAX] = (struct chord_lost){
        .node = *node, .until_ms = now.mono_ms + CHORD_LOST_MS, .is_missed = is_missed};
}

static bool
is_attaching(const struct chord *c, const struct id *node)
{
    for (unsigned i = 0; i < c->task_count; i++)
        if (c->task[i].kind == CHORD_TASK_NEIGHBOUR && id_equal(&c->task[i].node, node))
            return true;
    return false;
}

/* RFC 6940 section 10.6: an Attach to a new neighbour is routed through whoever named it.  A link
 * alone does not stand for it: a client has one, and two members that name each other a node that
 * has become a client would never be rid of it. */
void
chord_learn(struct chord *c, struct moment now, const struct id *node, const struct id *via)
{
    struct topology_target to = chord_to_node(node);
    struct chord_lost *lost;
    uint32_t token;

    if (id_is_zero(node) || id_is_wildcard(node) || !chord_is_wanted(c, node) ||
        chord_find(c, node) || is_attaching(c, node))
        return;
    lost = find_lost(c, now, node);
    if (lost) {
        lost->is_missed = true;
        return;
    }
    if (via && !id_equal(via, node) && c->env.is_usable(c->env.ctx, via)) {
        to.count = 2;
        to.to[0] = destination_node(via);
        to.to[1] = destination_node(node);
    }
    token = chord_task_add(c, now, CHORD_TASK_NEIGHBOUR, node, 0);
    if (token)
        c->env.attach(c->env.ctx, token, &to, false);
}

void
chord_drop(struct chord *c, struct moment now, const struct id *node, bool is_missed)
{
    struct id distance = id_subtract(node, &c->conf.self);
    unsigned slot = chord_slot_of(&distance);

    remember_lost(c, now, node, is_missed);
    if (!chord_remove(c, node) || slot >= CHORD_SLOTS)
        return;
    c->slot_tried[slot / 8] &= (uint8_t) ~(1u << (slot % 8));
    if (c->state == CHORD_IN && c->finger_due_ms == MOMENT_NEVER)
        c->finger_due_ms = now.mono_ms + CHORD_FINGER_MS;
}

static void
learn_all(struct chord *c, struct moment now, struct slice nodes, const struct id *via)
{
    struct reader r;

    reader_init(&r, nodes);
    while (reader_left(&r) >= ID_BYTES) {
        struct id node = reader_id(&r);
        chord_learn(c, now, &node, via);
    }
}

static bool
is_listed(struct slice nodes, const struct id *node)
{
    for (size_t at = 0; at + ID_BYTES <= nodes.len; at += ID_BYTES)
        if (memcmp(nodes.data + at, node->bytes, ID_BYTES) == 0)
            return true;
    return false;
}

/* Ought @node to be in this list of @whose neighbours, and is it not? */
static bool
is_missing(struct slice nodes, bool is_clockwise, const struct id *whose, const struct id *node)
{
    struct id last;

    if (is_listed(nodes, node))
        return false;
    if (nodes.len < CHORD_SPAN_MIN * ID_BYTES)
        return true;
    memcpy(last.bytes, nodes.data + nodes.len - ID_BYTES, ID_BYTES);
    return is_clockwise ? id_is_in(node, whose, &last) : id_is_in(node, &last, whose);
}

static bool
lacks(const struct chord_update *u, const struct id *whose, const struct id *node)
{
    return !id_equal(whose, node) && (is_missing(u->successors, true, whose, node) ||
                                      is_missing(u->predecessors, false, whose, node));
}

static void
remind(struct chord *c, struct moment now, const struct id *node)
{
    struct chord_contact *contact = chord_find(c, node);

    if (!contact || now.mono_ms - contact->reminded_ms < CHORD_REMIND_MS)
        return;
    contact->reminded_ms = now.mono_ms;
    chord_send_update(c, now, node, CHORD_NEIGHBORS);
}

/*
 * What RFC 6940 leaves to the next period is done at once: whoever lacks a neighbour that we know
 * is told, and so is the neighbour, which either answers, being alive, or is found dead by its
 * link.
 */
static void
compare_views(struct chord *c, struct moment now, const struct id *whose,
              const struct chord_update *u)
{
    struct id known[2 * CHORD_SPAN_MAX];
    unsigned span = chord_successor_count(c);
    unsigned count = 0;
    bool is_behind = lacks(u, whose, &c->conf.self);

    for (unsigned i = 0; i < span; i++) {
        known[count++] = *chord_predecessor(c, i);
        known[count++] = *chord_successor(c, i);
    }
    for (unsigned i = 0; i < count; i++) {
        if (!lacks(u, whose, &known[i]))
            continue;
        is_behind = true;
        remind(c, now, &known[i]);
    }
    if (is_behind)
        remind(c, now, whose);
}

enum status
chord_on_update(struct chord *c, struct moment now, const struct topology_request *req,
                struct why *why)
{
    bool was_joining = chord_is_joining(c);
    struct chord_update u;

    if (chord_update_read(req->body, &u) != ST_OK)
        return why_set(why, ST_MALFORMED, "not a ChordUpdate");
    if (c->state == CHORD_OUT)
        return why_set(why, ST_IN_PROGRESS, "no member");
    if (id_equal(&req->from, &c->conf.self))
        return why_set(why, ST_FORBIDDEN, "an Update of this node itself");
    if (c->env.is_usable(c->env.ctx, &req->from))
        chord_add(c, now, &req->from);
    else
        chord_learn(c, now, &req->from, NULL);
    learn_all(c, now, u.predecessors, &req->from);
    learn_all(c, now, u.successors, &req->from);
    if (was_joining) {
        chord_join_on_update(c, now, &req->from, &u);
        if (c->state == CHORD_IN ||
            (u.type != CHORD_PEER_READY && !is_listed(u.predecessors, &c->conf.self) &&
             !is_listed(u.successors, &c->conf.self)))
            return ST_OK;
        /* It takes us for the member we were before a restart. */
        return why_set(why, ST_IN_PROGRESS, "joining");
    }
    if (u.type != CHORD_PEER_READY)
        compare_views(c, now, &req->from, &u);
    return ST_OK;
}

/* RFC 6940 section 10.9: as if it had failed, but with the lists that mend the gap. */
enum status
chord_on_leave(struct chord *c, struct moment now, const struct topology_request *req,
               struct why *why)
{
    struct leave_req l;
    struct chord_leave data;

    if (leave_req_read(req->body, &l) != ST_OK || chord_leave_read(l.plugin, &data) != ST_OK)
        return why_set(why, ST_MALFORMED, "not a Leave with ChordLeaveData");
    if (!id_equal(&l.leaving_peer, &req->from))
        return why_set(why, ST_FORBIDDEN, "a Leave in the name of another node");
    if (c->state == CHORD_OUT)
        return ST_OK;
    chord_drop(c, now, &req->from, false);
    c->env.detach(c->env.ctx, &req->from);
    if (c->state == CHORD_IN)
        learn_all(c, now, data.nodes, NULL);
    else
        chord_join_on_lost(c, now, &req->from);
    return ST_OK;
}

static void
send_leave(struct chord *c, const struct id *node, enum chord_leave_type type)
{
    bool is_successor = type == CHORD_LEAVE_FROM_SUCCESSOR;
    struct topology_target to = chord_to_node(node);
    struct chord_leave data = {.type = (uint8_t)type};
    struct leave_req l = {.leaving_peer = c->conf.self};
    struct writer nodes;
    struct writer plugin;
    struct writer body;

    writer_init(&nodes, BODY_BYTES);
    writer_init(&plugin, BODY_BYTES);
    writer_init(&body, BODY_BYTES);
    write_nodes(&nodes, c, is_successor ? chord_successor : chord_predecessor,
                chord_successor_count(c));
    data.nodes = writer_slice(&nodes);
    chord_leave_write(&plugin, &data);
    l.plugin = writer_slice(&plugin);
    leave_req_write(&body, &l);
    if (!nodes.failed && !plugin.failed && !body.failed)
        c->env.request(c->env.ctx, 0, &to, MESSAGE_LEAVE_REQ, writer_slice(&body));
    writer_done(&nodes);
    writer_done(&plugin);
    writer_done(&body);
}

/* Others than neighbours are told too: they would send us messages until the link breaks. */
void
chord_send_leave(struct chord *c)
{
    unsigned span = chord_successor_count(c);

    for (unsigned i = 0; i < c->contact_count; i++) {
        bool is_successor = i < span;
        bool is_predecessor = i + span >= c->contact_count;

        if (is_successor || !is_predecessor)
            send_leave(c, &c->contact[i].node, CHORD_LEAVE_FROM_PREDECESSOR);
        if (is_predecessor)
            send_leave(c, &c->contact[i].node, CHORD_LEAVE_FROM_SUCCESSOR);
    }
}

/* ---- fingers -------------------------------------------------------------------------------- */

static bool
is_slot_open(const struct chord *c, unsigned slot)
{
    const struct chord_contact *finger = chord_finger(c, slot);

    return !(finger && finger->is_finger) && !chord_slot_is_covered(c, slot);
}

static void
search_finger(struct chord *c, struct moment now, unsigned slot)
{
    struct id target = chord_slot_target(c, slot);
    struct topology_target to = {.count = 1, .to = {destination_resource(&target)}};
    uint32_t token = chord_task_add(c, now, CHORD_TASK_FINGER, &target, slot);

    c->slot_tried[slot / 8] |= (uint8_t)(1u << (slot % 8));
    if (token)
        c->env.attach(c->env.ctx, token, &to, false);
}

static void
fill_fingers(struct chord *c, struct moment now)
{
    unsigned count = chord_slot_count(c);

    c->finger_due_ms = MOMENT_NEVER;
    for (unsigned slot = 0; slot < count; slot++) {
        if ((c->slot_tried[slot / 8] >> (slot % 8)) & 1u || !is_slot_open(c, slot))
            continue;
        search_finger(c, now, slot);
        c->finger_due_ms = now.mono_ms + CHORD_FINGER_MS;
        return;
    }
}

void
chord_finger_on_attach(struct chord *c, struct moment now, unsigned slot, enum status st,
                       const struct id *node)
{
    struct chord_contact *contact;

    if (st != ST_OK || c->state != CHORD_IN || id_equal(node, &c->conf.self) ||
        !chord_add(c, now, node))
        return;
    contact = chord_find(c, node);
    if (chord_is_neighbour(c, node))
        return;
    if (chord_slot_of(&contact->distance) == slot && is_slot_open(c, slot))
        contact->is_finger = true;
    /* "a node which has Attached is a peer and can be routed through" (section 10.7) */
    chord_send_update(c, now, node, CHORD_PEER_READY);
}

/* RFC 6940 section 10.7.4.2, alternative 1: earlier entries first, each with probability 1/2. */
static void
retry_slots(struct chord *c)
{
    unsigned bits = chord_size_bits(c);
    unsigned count = chord_slot_count(c);

    if (bits != c->tried_bits) {
        memset(c->slot_tried, 0, sizeof(c->slot_tried));
        c->tried_bits = bits;
        return;
    }
    for (unsigned slot = 0; slot < count; slot++) {
        if (!is_slot_open(c, slot) || (c->env.random(c->env.ctx) & 1u))
            continue;
        c->slot_tried[slot / 8] &= (uint8_t) ~(1u << (slot % 8));
        return;
    }
}

/* ---- time ----------------------------------------------------------------------------------- */

static void
send_updates(struct chord *c, struct moment now)
{
    bool is_to_all = c->is_range_changed;

    c->update_due_ms = MOMENT_NEVER;
    c->is_range_changed = false;
    for (unsigned i = 0; i < c->contact_count; i++) {
        struct chord_contact *at = &c->contact[i];
        bool is_neighbour = chord_is_neighbour(c, &at->node);

        if (!is_neighbour && !is_to_all)
            continue;
        at->reminded_ms = now.mono_ms;
        chord_send_update(c, now, &at->node, is_neighbour ? CHORD_NEIGHBORS : CHORD_PEER_READY);
    }
}

static void
stabilise(struct chord *c, struct moment now)
{
    uint64_t period_ms = c->conf.update_ms;

    c->stabilise_due_ms =
        now.mono_ms + period_ms * 3 / 4 + c->env.random(c->env.ctx) % (period_ms / 2 + 1);
    chord_trim(c, now);
    for (unsigned i = 0; i < c->contact_count; i++) {
        struct chord_contact *at = &c->contact[i];

        if (chord_is_neighbour(c, &at->node))
            chord_send_update(c, now, &at->node, CHORD_NEIGHBORS);
        else if (at->is_finger)
            chord_send_update(c, now, &at->node, CHORD_PEER_READY);
    }
    retry_slots(c);
    c->finger_due_ms = now.mono_ms;
}

static void
retry_lost(struct chord *c, struct moment now)
{
    for (unsigned i = 0; i < CHORD_LOST_MAX; i++) {
        struct chord_lost *lost = &c->lost[i];
        if (!lost->is_missed || lost->until_ms > now.mono_ms)
            continue;
        lost->is_missed = false;
        chord_learn(c, now, &lost->node, NULL);
    }
}

uint64_t
chord_update_deadline_ms(const struct chord *c)
{
    uint64_t due_ms = moment_earlier_ms(c->update_due_ms, c->stabilise_due_ms);

    for (unsigned i = 0; i < CHORD_LOST_MAX; i++)
        if (c->lost[i].is_missed)
            due_ms = moment_earlier_ms(due_ms, c->lost[i].until_ms);
    return moment_earlier_ms(due_ms, c->finger_due_ms);
}

void
chord_update_tick(struct chord *c, struct moment now)
{
    retry_lost(c, now);
    if (now.mono_ms >= c->update_due_ms)
        send_updates(c, now);
    if (now.mono_ms >= c->stabilise_due_ms)
        stabilise(c, now);
    if (now.mono_ms >= c->finger_due_ms)
        fill_fingers(c, now);
}
