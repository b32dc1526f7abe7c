#include <string.h>

#include "local-overlays/chord/state.h"

#define BODY_BYTES  256
#define BACKOFF_MS  200u
#define BACKOFF_MAX 1000u
#define QUERY_MS    3000u

static uint64_t
backoff_ms(struct chord *c)
{
    uint64_t most = (uint64_t)BACKOFF_MS << (c->retry_count < 4 ? c->retry_count : 4);

    if (most > BACKOFF_MAX)
        most = BACKOFF_MAX;
    c->retry_count++;
    return most / 2 + c->env.random(c->env.ctx) % (most / 2 + 1);
}

static struct id
resource_after_self(const struct chord *c)
{
    struct id one = id_power_of_two(0);

    return id_add(&c->conf.self, &one);
}

static void
forget_join_tasks(struct chord *c)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < c->task_count; i++)
        if (c->task[i].kind == CHORD_TASK_NEIGHBOUR || c->task[i].kind == CHORD_TASK_FINGER)
            c->task[kept++] = c->task[i];
    c->task_count = kept;
}

static void
fail_join(struct chord *c, enum status st, const char *reason)
{
    for (unsigned i = 0; i < c->contact_count; i++)
        c->env.detach(c->env.ctx, &c->contact[i].node);
    c->contact_count = 0;
    c->task_count = 0;
    c->state = CHORD_OUT;
    c->env.join_failed(c->env.ctx, st, reason);
}

/* RFC 6940 section 10.5, step 2: Attach to whoever is responsible for n + 1. */
static void
contact_admitting_peer(struct chord *c, struct moment now)
{
    struct id after = resource_after_self(c);
    struct topology_target to = {.count = 2};
    const struct id *via = &c->informant;
    uint32_t token;

    forget_join_tasks(c);
    c->state = CHORD_CONTACTING;
    c->step_due_ms = MOMENT_NEVER;
    c->updated_by = c->conf.self; /* nobody yet */
    if (!c->env.is_usable(c->env.ctx, via))
        via = &c->admitting_peer;
    if (!c->env.is_usable(c->env.ctx, via)) {
        fail_join(c, ST_UNREACHABLE, "no link to a member is left");
        return;
    }
    to.to[0] = destination_node(via);
    to.to[1] = destination_resource(&after);
    token = chord_task_add(c, now, CHORD_TASK_ADMITTING_PEER, via, 0);
    if (token)
        c->env.attach(c->env.ctx, token, &to, true);
    else
        c->step_due_ms = now.mono_ms + backoff_ms(c);
}

static void
contact_later(struct chord *c, struct moment now)
{
    forget_join_tasks(c);
    c->state = CHORD_CONTACTING;
    c->step_due_ms = now.mono_ms + backoff_ms(c);
}

void
chord_join_begin(struct chord *c, struct moment now, const struct id *informant)
{
    c->informant = *informant;
    c->admitting_peer = *informant;
    c->join_end_ms = now.mono_ms + CHORD_JOIN_MS;
    c->retry_count = 0;
    contact_admitting_peer(c, now);
}

static void
become_linking(struct chord *c, struct moment now)
{
    c->state = CHORD_LINKING;
    c->step_due_ms = now.mono_ms + CHORD_LINKING_MS;
}

void
chord_join_on_attach(struct chord *c, struct moment now, enum status st, const struct id *node)
{
    if (c->state != CHORD_CONTACTING)
        return;
    if (st == ST_INCOMPATIBLE) {
        fail_join(c, st, "the overlay runs another algorithm");
        return;
    }
    if (st == ST_IN_PROGRESS) { /* whom we asked is no member any more: others may know one */
        fail_join(c, st, "the member that was asked has left");
        return;
    }
    if (st != ST_OK || id_equal(node, &c->conf.self)) {
        contact_later(c, now);
        return;
    }
    if (!id_equal(node, &c->admitting_peer))
        c->retry_count = 0; /* a new queue to stand in */
    c->admitting_peer = *node;
    chord_add(c, now, node);
    /* Its Update may have overtaken the answer to the Attach. */
    if (id_equal(node, &c->updated_by)) {
        become_linking(c, now);
        return;
    }
    c->state = CHORD_LEARNING;
    c->step_due_ms = now.mono_ms + backoff_ms(c);
}

/* Is this node still between the admitting peer and its predecessor? */
static bool
is_its_joiner(const struct chord *c, const struct id *from, const struct chord_update *u)
{
    struct id before;

    if (u->predecessors.len < ID_BYTES)
        return true;
    memcpy(before.bytes, u->predecessors.data, ID_BYTES);
    return id_equal(&before, &c->conf.self) || id_is_in(&c->conf.self, &before, from);
}

static bool
is_named(const struct chord *c, struct slice nodes)
{
    for (size_t at = 0; at + ID_BYTES <= nodes.len; at += ID_BYTES)
        if (memcmp(nodes.data + at, c->conf.self.bytes, ID_BYTES) == 0)
            return true;
    return false;
}

void
chord_join_on_update(struct chord *c, struct moment now, const struct id *from,
                     const struct chord_update *u)
{
    if (u->type == CHORD_PEER_READY)
        return;
    if (c->state == CHORD_CONTACTING)
        c->updated_by = *from;
    if (!id_equal(from, &c->admitting_peer))
        return;
    /* Step 7: "At this point, JN is part of the ring". */
    if (c->state == CHORD_ENTERING && is_named(c, u->predecessors)) {
        chord_become_in(c, now);
        return;
    }
    if (c->state != CHORD_LEARNING && c->state != CHORD_LINKING)
        return;
    if (!is_its_joiner(c, from, u))
        contact_admitting_peer(c, now);
    else if (c->state == CHORD_LEARNING)
        become_linking(c, now);
}

/* A busy peer sends no Update; the next request shows whether we are still its to admit. */
static void
query_admitting_peer(struct chord *c, struct moment now)
{
    struct id after = resource_after_self(c);
    struct topology_target to = chord_to_node(&c->admitting_peer);
    struct route_query_req q = {.send_update = true, .destination = destination_resource(&after)};
    uint32_t token = chord_task_add(c, now, CHORD_TASK_QUERY, &c->admitting_peer, 0);
    struct writer body;

    c->step_due_ms = now.mono_ms + QUERY_MS;
    writer_init(&body, BODY_BYTES);
    route_query_req_write(&body, &q);
    if (token && !body.failed)
        c->env.request(c->env.ctx, token, &to, MESSAGE_ROUTE_QUERY_REQ, writer_slice(&body));
    writer_done(&body);
}

static void
send_join(struct chord *c, struct moment now)
{
    struct topology_target to = chord_to_node(&c->admitting_peer);
    struct join_req j = {.joining_peer = c->conf.self};
    uint32_t token = chord_task_add(c, now, CHORD_TASK_JOIN, &c->admitting_peer, 0);
    struct writer body;

    c->state = CHORD_ENTERING;
    c->step_due_ms = now.mono_ms + CHORD_ENTERING_MS;
    writer_init(&body, BODY_BYTES);
    join_req_write(&body, &j);
    if (token && !body.failed)
        c->env.request(c->env.ctx, token, &to, MESSAGE_JOIN_REQ, writer_slice(&body));
    writer_done(&body);
}

static void
on_query_answer(struct chord *c, struct moment now, enum status st, struct slice body)
{
    struct id next;

    if (c->state != CHORD_LEARNING)
        return;
    if (st != ST_OK || chord_route_query_ans_read(body, &next) != ST_OK)
        contact_later(c, now);
    else if (!id_equal(&next, &c->admitting_peer))
        contact_admitting_peer(c, now);
    else
        c->step_due_ms = now.mono_ms + backoff_ms(c);
}

static void
on_join_answer(struct chord *c, struct moment now, enum status st)
{
    if (c->state != CHORD_ENTERING || st == ST_OK)
        return;
    if (st == ST_INCOMPATIBLE) {
        fail_join(c, st, "the overlay runs another algorithm");
    } else if (st == ST_IN_PROGRESS) {
        c->state = CHORD_LEARNING; /* another one goes first */
        c->step_due_ms = now.mono_ms + backoff_ms(c);
    } else {
        contact_later(c, now);
    }
}

void
chord_join_on_answer(struct chord *c, struct moment now, enum chord_task_kind kind, enum status st,
                     struct slice body)
{
    if (kind == CHORD_TASK_QUERY)
        on_query_answer(c, now, st, body);
    else
        on_join_answer(c, now, st);
}

void
chord_join_on_lost(struct chord *c, struct moment now, const struct id *node)
{
    if (id_equal(node, &c->informant) && c->state == CHORD_CONTACTING)
        contact_admitting_peer(c, now); /* what was asked through it has no answer to wait for */
    else if (id_equal(node, &c->admitting_peer) && c->state != CHORD_CONTACTING)
        contact_later(c, now);
}

void
chord_join_progress(struct chord *c, struct moment now)
{
    if (c->state == CHORD_LINKING && chord_task_count(c, CHORD_TASK_NEIGHBOUR) == 0)
        send_join(c, now);
}

void
chord_join_tick(struct chord *c, struct moment now)
{
    if (now.mono_ms >= c->join_end_ms) {
        fail_join(c, ST_TIMEOUT, "not admitted in time");
        return;
    }
    if (now.mono_ms < c->step_due_ms)
        return;
    if (c->state == CHORD_LEARNING)
        query_admitting_peer(c, now);
    else if (c->state == CHORD_LINKING)
        send_join(c, now); /* whoever has not answered by now is not there */
    else
        contact_admitting_peer(c, now);
}

void
chord_become_in(struct chord *c, struct moment now)
{
    forget_join_tasks(c);
    c->state = CHORD_IN;
    c->in_since_ms = now.mono_ms;
    c->update_due_ms = c->contact_count ? now.mono_ms : MOMENT_NEVER;
    c->is_range_changed = true;
    c->stabilise_due_ms = now.mono_ms + c->env.random(c->env.ctx) % c->conf.update_ms;
    c->finger_due_ms = now.mono_ms + CHORD_FINGER_MS;
    memset(c->slot_tried, 0, sizeof(c->slot_tried));
    c->tried_bits = chord_size_bits(c);
    c->env.joined(c->env.ctx);
}

/* ---- the admitting side --------------------------------------------------------------------- */

/* Is @node, member or not, between this node and the nearest other predecessor? */
static bool
is_mine_to_admit(const struct chord *c, const struct id *node)
{
    for (unsigned i = 0; i < c->contact_count; i++) {
        const struct id *before = chord_predecessor(c, i);
        if (!id_equal(before, node))
            return id_is_in(node, before, &c->conf.self);
    }
    return true;
}

/*
 * One joiner at a time: the next one's neighbours are known only when this one is in.  Of many that
 * come at one instant each admitted one becomes an admitting peer itself.
 */
static bool
reserve(struct chord *c, struct moment now, const struct id *node, uint64_t wait_ms)
{
    if (c->is_admitting && !id_equal(&c->joiner, node))
        return false;
    if (!c->is_admitting)
        c->is_offered = false;
    c->is_admitting = true;
    c->joiner = *node;
    c->admit_end_ms = now.mono_ms + wait_ms;
    return true;
}

void
chord_welcome(struct chord *c, struct moment now, const struct id *node, bool wants_full)
{
    enum chord_update_type type = wants_full ? CHORD_FULL : CHORD_NEIGHBORS;

    if (c->state != CHORD_IN || !c->env.is_usable(c->env.ctx, node))
        return;
    if (!chord_find(c, node) && is_mine_to_admit(c, node) &&
        !reserve(c, now, node, CHORD_RESERVE_MS))
        return;
    chord_send_update(c, now, node, type);
}

static bool
is_offering(const struct chord *c)
{
    return chord_task_count(c, CHORD_TASK_OFFER) > 0;
}

enum status
chord_admit(struct chord *c, struct moment now, const struct topology_request *req,
            struct writer *ret_body, struct why *why)
{
    struct join_req j;
    uint32_t token;

    if (join_req_read(req->body, &j) != ST_OK)
        return why_set(why, ST_MALFORMED, "not a Join");
    if (!id_equal(&j.joining_peer, &req->from) || id_equal(&req->from, &c->conf.self))
        return why_set(why, ST_FORBIDDEN, "a Join in the name of another node");
    if (c->state != CHORD_IN)
        return why_set(why, ST_IN_PROGRESS, "no member yet");
    if (!c->env.is_usable(c->env.ctx, &req->from) || !is_mine_to_admit(c, &req->from))
        return why_set(why, ST_NOT_FOUND, "not the admitting peer of this node");
    if (!reserve(c, now, &req->from, CHORD_ADMIT_MS))
        return why_set(why, ST_IN_PROGRESS, "another node is being admitted");
    join_ans_write(ret_body, slice_of(NULL, 0));
    c->is_offered = true;
    if (is_offering(c))
        return ST_OK; /* said again */
    token = chord_task_add(c, now, CHORD_TASK_OFFER, &req->from, 0);
    if (token)
        c->env.offer(c->env.ctx, token, &req->from);
    else
        chord_admit_on_offered(c, now, &req->from);
    return ST_OK;
}

/* Steps 7 and 8.  If an offer failed, the host offers again once the range has changed. */
void
chord_admit_on_offered(struct chord *c, struct moment now, const struct id *node)
{
    if (!c->is_admitting || !id_equal(&c->joiner, node))
        return;
    c->is_admitting = false;
    if (c->env.is_usable(c->env.ctx, node) && chord_add(c, now, node))
        chord_send_update(c, now, node, CHORD_NEIGHBORS);
}

void
chord_admit_tick(struct chord *c, struct moment now)
{
    if (c->is_admitting && now.mono_ms >= c->admit_end_ms)
        c->is_admitting = false;
}
