#include <string.h>

#include "local-overlays/can/state.h"

#define BODY_BYTES  256
#define BACKOFF_MS  200u
#define BACKOFF_MAX 1000u

static uint64_t
backoff_ms(struct can *c)
{
    uint64_t most = (uint64_t)BACKOFF_MS << (c->retry_count < 4 ? c->retry_count : 4);

    if (most > BACKOFF_MAX)
        most = BACKOFF_MAX;
    c->retry_count++;
    return most / 2 + c->env.random(c->env.ctx) % (most / 2 + 1);
}

static void
fail_join(struct can *c, enum status st, const char *reason)
{
    for (unsigned i = 0; i < c->contact_count; i++)
        c->env.detach(c->env.ctx, &c->contact[i].node);
    can_remove_all(c);
    c->task_count = 0;
    c->state = CAN_OUT;
    c->env.join_failed(c->env.ctx, st, reason);
}

/* What was learnt is out of date by the next try: nobody keeps those who are no members up to date.
 */
static void
contact_later(struct can *c, struct moment now)
{
    c->task_count = 0;
    can_remove_all(c);
    can_refresh(c, now);
    c->state = CAN_CONTACTING;
    c->step_due_ms = now.mono_ms + backoff_ms(c);
}

/* The owner of the point that is our Node-ID splits its zone (section 2.1 of the paper). */
static void
contact_owner(struct can *c, struct moment now)
{
    struct topology_target to = {.count = 2};
    struct can_peer about = {.node = c->informant};
    const struct id *via = &c->informant;
    uint32_t token;

    c->step_due_ms = MOMENT_NEVER;
    if (!c->env.is_usable(c->env.ctx, via))
        via = &c->owner;
    if (!c->env.is_usable(c->env.ctx, via)) {
        fail_join(c, ST_UNREACHABLE, "no link to a member is left");
        return;
    }
    to.to[0] = destination_node(via);
    to.to[1] = destination_resource(&c->conf.self);
    token = can_task_add(c, now, CAN_TASK_OWNER, &about, via);
    if (token)
        c->env.attach(c->env.ctx, token, &to, true);
    else
        c->step_due_ms = now.mono_ms + backoff_ms(c);
}

void
can_join_begin(struct can *c, struct moment now, const struct id *informant)
{
    c->informant = *informant;
    c->owner = *informant;
    c->join_end_ms = now.mono_ms + CAN_JOIN_MS;
    c->retry_count = 0;
    c->state = CAN_CONTACTING;
    contact_owner(c, now);
}

static void
become_linking(struct can *c, struct moment now)
{
    c->state = CAN_LINKING;
    c->step_due_ms = now.mono_ms + CAN_LINKING_MS;
    c->is_scan_due = true;
}

void
can_join_on_owner(struct can *c, struct moment now, enum status st, const struct id *node)
{
    const struct can_contact *contact;

    if (c->state != CAN_CONTACTING)
        return;
    if (st == ST_INCOMPATIBLE) {
        fail_join(c, st, "the overlay runs another algorithm");
        return;
    }
    if (st != ST_OK || id_equal(node, &c->conf.self)) {
        contact_later(c, now);
        return;
    }
    c->owner = *node;
    c->state = CAN_LEARNING;
    c->step_due_ms = now.mono_ms + CAN_LEARNING_MS;
    contact = can_find(c, node); /* its Update may have overtaken the answer to the Attach */
    if (contact && contact->has_told)
        become_linking(c, now);
}

static void
send_join(struct can *c, struct moment now, struct can_contact *contact)
{
    struct topology_target to = can_to_node(&contact->node);
    struct can_peer about = {.node = contact->node};
    struct join_req j = {.joining_peer = c->conf.self};
    uint32_t token = can_task_add(c, now, CAN_TASK_JOIN, &about, &contact->node);
    struct writer body;

    contact->is_asked = true;
    writer_init(&body, BODY_BYTES);
    join_req_write(&body, &j);
    if (token && !body.failed)
        c->env.request(c->env.ctx, token, &to, MESSAGE_JOIN_REQ, writer_slice(&body));
    writer_done(&body);
}

/* Does it own a part of what will be our zone? Then it has to admit us. */
static bool
is_loser(const struct can *c, const struct can_contact *contact)
{
    struct can_zone zone = can_zone_of(c->dimensions, &contact->node, &contact->levels);

    return can_zone_overlaps(c->dimensions, &c->zone, &zone);
}

static void
enter(struct can *c, struct moment now)
{
    unsigned asked = 0;
    unsigned waiting = 0;

    for (unsigned i = 0; i < c->contact_count; i++) {
        struct can_contact *at = &c->contact[i];

        if (!is_loser(c, at))
            continue;
        asked++;
        if (!at->is_asked)
            send_join(c, now, at);
        waiting += !at->has_admitted;
    }
    if (asked == 0)
        contact_later(c, now); /* somebody else has come in between */
    else if (waiting == 0)
        can_become_in(c, now);
}

static void
become_entering(struct can *c, struct moment now)
{
    c->state = CAN_ENTERING;
    c->step_due_ms = now.mono_ms + CAN_ENTERING_MS;
    c->is_changed = true; /* hearsay counts no longer */
    can_refresh(c, now);
    enter(c, now);
}

static bool
is_linked(const struct can *c)
{
    for (unsigned i = 0; i < c->contact_count; i++)
        if (!c->contact[i].has_told)
            return false;
    return can_task_count(c, CAN_TASK_NEIGHBOUR) == 0;
}

void
can_join_progress(struct can *c, struct moment now)
{
    const struct can_contact *owner;

    if (c->state == CAN_LEARNING) {
        owner = can_find(c, &c->owner);
        if (owner && owner->has_told)
            become_linking(c, now);
    } else if (c->state == CAN_LINKING && !c->is_scan_due && is_linked(c)) {
        become_entering(c, now);
    } else if (c->state == CAN_ENTERING) {
        enter(c, now);
    }
}

void
can_join_on_answer(struct can *c, struct moment now, enum status st)
{
    if (c->state != CAN_ENTERING || st == ST_OK)
        return;
    if (st == ST_INCOMPATIBLE)
        fail_join(c, st, "the overlay runs another algorithm");
    else
        contact_later(c, now);
}

void
can_join_on_lost(struct can *c, struct moment now, const struct id *node)
{
    if (c->state == CAN_CONTACTING && id_equal(node, &c->informant))
        contact_owner(c, now); /* what was asked through it has no answer to wait for */
    else if (can_is_joining(c) && c->state != CAN_CONTACTING && id_equal(node, &c->owner))
        contact_later(c, now);
}

void
can_join_tick(struct can *c, struct moment now)
{
    if (now.mono_ms >= c->join_end_ms) {
        fail_join(c, ST_TIMEOUT, "not admitted in time");
        return;
    }
    if (now.mono_ms < c->step_due_ms)
        return;
    if (c->state == CAN_LINKING)
        become_entering(c, now); /* whoever has not answered by now is not there */
    else if (c->state == CAN_CONTACTING)
        contact_owner(c, now);
    else
        contact_later(c, now);
}

void
can_become_in(struct can *c, struct moment now)
{
    c->state = CAN_IN;
    c->is_changed = true;
    for (unsigned i = 0; i < c->contact_count; i++)
        if (!c->contact[i].has_told) /* the zone we were admitted to is the one we begin with */
            can_keep_plane(c, now, c->contact[i].level);
    c->in_since_ms = now.mono_ms;
    c->update_due_ms = c->contact_count ? now.mono_ms : MOMENT_NEVER;
    c->stabilise_due_ms = now.mono_ms + c->env.random(c->env.ctx) % c->conf.update_ms;
    c->is_scan_due = true;
    c->env.joined(c->env.ctx);
}

/* ---- the admitting side --------------------------------------------------------------------- */

static struct can_joiner *
find_joiner(struct can *c, const struct id *node)
{
    for (unsigned i = 0; i < c->joiner_count; i++)
        if (id_equal(&c->joiner[i].node, node))
            return &c->joiner[i];
    return NULL;
}

/* Who waits at one member for what it has at another must not keep out those who wait for it. */
static struct can_joiner *
find_place(struct can *c, struct moment now)
{
    if (c->joiner_count < CAN_JOINERS_MAX)
        return &c->joiner[c->joiner_count++];
    for (unsigned i = 0; i < c->joiner_count; i++)
        if (now.mono_ms >= c->joiner[i].yield_ms)
            return &c->joiner[i];
    return NULL;
}

/* A joiner is known from its Join; its part of our zone is its own from its first Update. */
static bool
reserve(struct can *c, struct moment now, const struct id *node)
{
    struct can_joiner *joiner = find_joiner(c, node);

    if (!joiner)
        joiner = find_place(c, now);
    if (!joiner)
        return false;
    *joiner = (struct can_joiner){
        .node = *node, .end_ms = now.mono_ms + CAN_ADMIT_MS, .yield_ms = MOMENT_NEVER};
    return true;
}

static bool
is_offering(const struct can *c, const struct id *node)
{
    for (unsigned i = 0; i < c->task_count; i++)
        if (c->task[i].kind == CAN_TASK_OFFER && id_equal(&c->task[i].about.node, node))
            return true;
    return false;
}

enum status
can_admit(struct can *c, struct moment now, const struct topology_request *req,
          struct writer *ret_body, struct why *why)
{
    struct can_peer about = {.node = req->from};
    struct join_req j;
    uint32_t token;

    if (join_req_read(req->body, &j) != ST_OK)
        return why_set(why, ST_MALFORMED, "not a Join");
    if (!id_equal(&j.joining_peer, &req->from) || id_equal(&req->from, &c->conf.self))
        return why_set(why, ST_FORBIDDEN, "a Join in the name of another node");
    if (c->state != CAN_IN)
        return why_set(why, ST_IN_PROGRESS, "no member yet");
    if (can_find(c, &req->from))
        can_drop(c, now, &req->from, false); /* what we know of it is from before a restart */
    if (!c->env.is_usable(c->env.ctx, &req->from) ||
        can_levels_has(&c->levels, id_common_bits(&req->from, &c->conf.self)))
        return why_set(why, ST_NOT_FOUND, "nothing of this zone would be the joiner's");
    if (!reserve(c, now, &req->from))
        return why_set(why, ST_IN_PROGRESS, "other nodes are being admitted");
    join_ans_write(ret_body, slice_of(NULL, 0));
    if (is_offering(c, &req->from))
        return ST_OK; /* said again */
    token = can_task_add(c, now, CAN_TASK_OFFER, &about, &req->from);
    if (token)
        c->env.offer(c->env.ctx, token, &req->from);
    else
        can_admit_on_offered(c, now, &req->from);
    return ST_OK;
}

/* If an offer failed, the host offers again once the zone has changed. */
void
can_admit_on_offered(struct can *c, struct moment now, const struct id *node)
{
    struct can_joiner *joiner = find_joiner(c, node);

    if (!joiner)
        return;
    joiner->yield_ms = now.mono_ms + CAN_YIELD_MS;
    if (c->env.is_usable(c->env.ctx, node))
        can_send_update(c, now, node, CAN_ADMITTED);
}

void
can_admit_end(struct can *c, const struct id *node)
{
    struct can_joiner *joiner = find_joiner(c, node);

    if (joiner)
        *joiner = c->joiner[--c->joiner_count];
}

void
can_admit_tick(struct can *c, struct moment now)
{
    for (unsigned i = 0; i < c->joiner_count;) {
        if (now.mono_ms < c->joiner[i].end_ms)
            i++;
        else
            c->joiner[i] = c->joiner[--c->joiner_count];
    }
}
