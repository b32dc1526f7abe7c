#include <string.h>

#include "local-overlays/pastry/state.h"

#define BODY_BYTES  256
#define BACKOFF_MS  200u
#define BACKOFF_MAX 600u
#define HOPS_MAX    32

/* ---- the joining side ----------------------------------------------------------------------- */

static uint64_t
backoff_ms(struct pastry *p)
{
    uint64_t most = (uint64_t)BACKOFF_MS << (p->retry_count < 4 ? p->retry_count : 4);

    if (most > BACKOFF_MAX)
        most = BACKOFF_MAX;
    p->retry_count++;
    return most / 2 + p->env.random(p->env.ctx) % (most / 2 + 1);
}

static void
fail_join(struct pastry *p, enum status st, const char *reason)
{
    for (unsigned i = 0; i < p->contact_count; i++)
        p->env.detach(p->env.ctx, &p->contact[i].node);
    p->contact_count = 0;
    p->task_count = 0;
    p->candidate_count = 0;
    p->state = PASTRY_OUT;
    p->env.join_failed(p->env.ctx, st, reason);
}

/* What was asked of the one before does not count any more; links that are being built do. */
static void
forget_steps(struct pastry *p)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < p->task_count; i++)
        if (p->task[i].kind == PASTRY_TASK_LINK || p->task[i].kind == PASTRY_TASK_HELLO)
            p->task[kept++] = p->task[i];
    p->task_count = (uint16_t)kept;
}

static void
walk_later(struct pastry *p, struct moment now, const struct id *at)
{
    forget_steps(p);
    p->state = PASTRY_WALKING;
    p->at = *at;
    p->step_due_ms = now.mono_ms + backoff_ms(p);
}

/* One step of the join path (section 2.4 of the paper): the i-th node on it has row i, and those
 * in between if the path skips some. */
static void
walk(struct pastry *p, struct moment now, const struct id *at)
{
    unsigned row = pastry_row(&p->conf.self, at);
    struct pastry_query q = {.wants = PASTRY_WANT_PLACE | PASTRY_WANT_LEAVES};
    struct topology_target to = pastry_to_node(at);
    uint32_t token;

    forget_steps(p);
    p->state = PASTRY_WALKING;
    p->at = *at;
    p->step_due_ms = now.mono_ms + PASTRY_WALK_MS;
    if (!pastry_is_usable(p, at)) {
        if (!pastry_is_usable(p, &p->informant)) {
            fail_join(p, ST_UNREACHABLE, "no link to a member is left");
            return;
        }
        to.count = 2;
        to.to[0] = destination_node(&p->informant);
        to.to[1] = destination_node(at);
    }
    if (id_equal(at, &p->informant))
        q.wants |= PASTRY_WANT_NEAR;
    if (row >= p->walk_row && row < PASTRY_ROWS) {
        q.first_row = p->walk_row;
        q.row_count = (uint8_t)(row - p->walk_row + 1);
    }
    token = pastry_task_add(p, now, PASTRY_TASK_WALK, at, 0);
    if (token)
        pastry_send_query(p, token, &to, &p->conf.self, &q);
}

void
pastry_join_begin(struct pastry *p, struct moment now, const struct id *informant)
{
    p->informant = *informant;
    p->join_end_ms = now.mono_ms + PASTRY_JOIN_MS;
    p->retry_count = 0;
    p->walk_row = 0;
    p->hop_count = 0;
    walk(p, now, informant);
}

static void
begin_linking(struct pastry *p, struct moment now, const struct id *door,
              const struct pastry_leaves *leaves)
{
    p->door = *door;
    p->named = (unsigned)pastry_count(leaves->smaller);
    while (p->named > 0) {
        p->reach[0] = pastry_nth(leaves->smaller, p->named - 1);
        p->reach[1] = pastry_nth(leaves->larger, p->named - 1);
        if (!id_equal(&p->reach[0], &p->conf.self) && !id_equal(&p->reach[1], &p->conf.self))
            break; /* it may still know us from before a restart */
        p->named--;
    }
    p->state = PASTRY_LINKING;
    p->step_due_ms = now.mono_ms + PASTRY_LINKING_MS;
    pastry_learn_leaf(p, now, door, NULL);
    pastry_learn_leaves(p, now, leaves, door);
}

static void
go_on(struct pastry *p, struct moment now, const struct id *from, const struct pastry_query_ans *a)
{
    unsigned row = pastry_row(&p->conf.self, from);

    if (row >= p->walk_row)
        p->walk_row = (uint8_t)(row + 1);
    pastry_remember(p, a->rows);
    pastry_remember(p, a->near);
    switch (a->verdict) {
    case PASTRY_RESERVED:
        begin_linking(p, now, from, &a->leaves);
        break;
    case PASTRY_GO_ON:
        if (id_equal(&a->next, &p->conf.self)) { /* it takes us for what we were before a restart */
            walk_later(p, now, from);
        } else if (++p->hop_count > HOPS_MAX) {
            p->hop_count = 0;
            walk_later(p, now, &p->informant);
        } else {
            p->retry_count = 0; /* a new queue to stand in */
            walk(p, now, &a->next);
        }
        break;
    default:
        walk_later(p, now, from);
    }
}

void
pastry_join_on_walk(struct pastry *p, struct moment now, enum status st, const struct id *from,
                    struct slice body)
{
    struct pastry_query_ans a;
    struct why why;

    if (p->state != PASTRY_WALKING)
        return;
    if (st == ST_INCOMPATIBLE) {
        fail_join(p, st, "the overlay runs another algorithm");
        return;
    }
    if (st != ST_OK || !from || !id_equal(from, &p->at)) {
        walk_later(p, now, &p->informant);
    } else if (pastry_query_ans_read(body, from, &a, &why) != ST_OK) {
        log_to(&p->env.log, LOG_LEVEL_REMOTE, "answer refused: %s", why.text);
        walk_later(p, now, &p->informant);
    } else {
        go_on(p, now, from, &a);
    }
}

static void
send_join(struct pastry *p, struct moment now, const struct id *node, enum pastry_join_role role)
{
    struct topology_target to = pastry_to_node(node);
    struct join_req j = {.joining_peer = p->conf.self};
    uint32_t token = pastry_task_add(p, now, PASTRY_TASK_JOIN, node, 0);
    struct writer plugin;
    struct writer body;

    writer_init(&plugin, BODY_BYTES);
    writer_init(&body, BODY_BYTES);
    pastry_join_write(&plugin, role);
    j.plugin = writer_slice(&plugin);
    join_req_write(&body, &j);
    if (token && !body.failed)
        p->env.request(p->env.ctx, token, &to, MESSAGE_JOIN_REQ, writer_slice(&body));
    writer_done(&plugin);
    writer_done(&body);
}

/* Who is next to us must be one that the door named, on either side: with none of a side linked,
 * half of the ring would seem to be ours.  They may have gone meanwhile, and then the door names
 * others. */
static bool
has_leaves(const struct pastry *p)
{
    struct id smaller = id_subtract(&p->conf.self, &pastry_smaller(p, 0)->node);
    struct id larger = id_subtract(&pastry_larger(p, 0)->node, &p->conf.self);
    struct id reach[2] = {id_subtract(&p->conf.self, &p->reach[0]),
                          id_subtract(&p->reach[1], &p->conf.self)};

    return p->named == 0 ||
           (id_compare(&smaller, &reach[0]) <= 0 && id_compare(&larger, &reach[1]) <= 0);
}

/* Both neighbours have records that will be ours; the nearer one lets us in. */
static void
enter(struct pastry *p, struct moment now)
{
    struct id smaller;
    struct id larger;

    if (p->contact_count == 0) {
        walk_later(p, now, &p->informant);
        return;
    }
    smaller = pastry_smaller(p, 0)->node;
    larger = pastry_larger(p, 0)->node;
    if (!pastry_find(p, &p->door) ||
        (!id_equal(&p->door, &smaller) && !id_equal(&p->door, &larger))) {
        walk_later(p, now, &smaller); /* someone has come in between */
        return;
    }
    if (!has_leaves(p)) {
        walk_later(p, now, &p->door);
        return;
    }
    p->other = id_equal(&p->door, &smaller) ? larger : smaller;
    p->is_other_done = id_equal(&p->other, &p->door);
    p->is_door_open = false;
    p->state = PASTRY_ENTERING;
    p->step_due_ms = now.mono_ms + PASTRY_ENTERING_MS;
    send_join(p, now, &p->door, PASTRY_ADMIT);
    if (!p->is_other_done)
        send_join(p, now, &p->other, PASTRY_HAND_OVER);
}

void
pastry_join_on_answer(struct pastry *p, struct moment now, const struct id *node, enum status st)
{
    if (p->state != PASTRY_ENTERING || st == ST_OK)
        return;
    if (st == ST_INCOMPATIBLE)
        fail_join(p, st, "the overlay runs another algorithm");
    else if (id_equal(node, &p->door))
        walk_later(p, now, node);
    else if (id_equal(node, &p->other))
        p->is_other_done = true; /* it will hand over when it hears of us */
}

void
pastry_join_on_admitted(struct pastry *p, const struct id *from)
{
    if (p->state != PASTRY_ENTERING)
        return;
    p->is_door_open |= id_equal(from, &p->door);
    p->is_other_done |= id_equal(from, &p->other);
}

void
pastry_join_on_lost(struct pastry *p, struct moment now, const struct id *node)
{
    if (p->state == PASTRY_WALKING && (id_equal(node, &p->informant) || id_equal(node, &p->at)))
        p->step_due_ms = moment_earlier_ms(p->step_due_ms, now.mono_ms + BACKOFF_MS);
    else if (p->state >= PASTRY_LINKING && id_equal(node, &p->door))
        walk_later(p, now, &p->informant);
    else if (p->state == PASTRY_ENTERING && id_equal(node, &p->other))
        p->is_other_done = true;
}

/* The leaves next to us bound what will be ours; the others may come later. */
static bool
is_next_under_way(const struct pastry *p)
{
    for (unsigned i = 0; i < p->task_count; i++)
        if ((p->task[i].kind == PASTRY_TASK_LINK || p->task[i].kind == PASTRY_TASK_HELLO) &&
            pastry_is_next_wanted(p, &p->task[i].node))
            return true;
    return false;
}

void
pastry_join_progress(struct pastry *p, struct moment now)
{
    if (p->state == PASTRY_LINKING && !is_next_under_way(p))
        enter(p, now);
    if (p->state != PASTRY_ENTERING || !p->is_door_open)
        return;
    if (p->is_other_done)
        pastry_become_in(p, now);
    else if (p->step_due_ms > now.mono_ms + PASTRY_OTHER_MS)
        p->step_due_ms = now.mono_ms + PASTRY_OTHER_MS;
}

void
pastry_join_tick(struct pastry *p, struct moment now)
{
    if (now.mono_ms >= p->join_end_ms) {
        fail_join(p, ST_TIMEOUT, "not admitted in time");
        return;
    }
    if (now.mono_ms < p->step_due_ms)
        return;
    if (p->state == PASTRY_WALKING)
        walk(p, now, pastry_task_count(p, PASTRY_TASK_WALK) ? &p->informant : &p->at);
    else if (p->state == PASTRY_LINKING)
        enter(p, now); /* whoever has not answered by now is not there */
    else if (p->is_door_open)
        pastry_become_in(p, now);
    else
        walk(p, now, &p->door);
}

void
pastry_become_in(struct pastry *p, struct moment now)
{
    forget_steps(p);
    p->state = PASTRY_IN;
    p->is_changed = true;
    p->owed_due_ms = MOMENT_NEVER;
    p->env.joined(p->env.ctx);
    pastry_replan(p);
    pastry_maintain_begin(p, now);
    for (unsigned i = 0; i < p->contact_count; i++) {
        p->contact[i].owed_ms = now.mono_ms;
        p->contact[i].is_state_owed = true;
    }
    pastry_pay(p, now);
    pastry_fill(p, now);
}

/* ---- the admitting side --------------------------------------------------------------------- */

static struct pastry_joiner *
find_joiner(struct pastry *p, const struct id *node)
{
    for (unsigned i = 0; i < PASTRY_JOINERS_MAX; i++)
        if (p->joiner[i].end_ms && id_equal(&p->joiner[i].node, node))
            return &p->joiner[i];
    return NULL;
}

static bool
is_on_larger_side(const struct pastry *p, const struct id *node)
{
    struct id ahead = id_subtract(node, &p->conf.self);
    struct id behind = id_subtract(&p->conf.self, node);

    return id_compare(&ahead, &behind) <= 0;
}

/** Who has the place on the side of @node. */
static struct pastry_joiner *
find_reserved(struct pastry *p, const struct id *node)
{
    bool is_larger = is_on_larger_side(p, node);

    for (unsigned i = 0; i < PASTRY_JOINERS_MAX; i++)
        if (p->joiner[i].end_ms && p->joiner[i].is_reserved &&
            is_on_larger_side(p, &p->joiner[i].node) == is_larger)
            return &p->joiner[i];
    return NULL;
}

static struct pastry_joiner *
add_joiner(struct pastry *p, struct moment now, const struct id *node, uint64_t wait_ms)
{
    struct pastry_joiner *joiner = find_joiner(p, node);

    for (unsigned i = 0; i < PASTRY_JOINERS_MAX && !joiner; i++)
        if (!p->joiner[i].end_ms) {
            joiner = &p->joiner[i];
            *joiner = (struct pastry_joiner){.node = *node};
        }
    if (joiner)
        joiner->end_ms = now.mono_ms + wait_ms;
    return joiner;
}

/* One joiner at a time on each side: the next one's neighbours are known only when this one is in.
 * Of many that come at one instant each admitted one soon has a door of its own. */
bool
pastry_reserve(struct pastry *p, struct moment now, const struct id *node)
{
    struct pastry_joiner *first = find_reserved(p, node);
    struct pastry_joiner *joiner;

    if (first && !id_equal(&first->node, node))
        return false;
    joiner = add_joiner(p, now, node, PASTRY_RESERVE_MS);
    if (joiner)
        joiner->is_reserved = true;
    return joiner != NULL;
}

static bool
is_next_to_us(const struct pastry *p, const struct id *node)
{
    struct id ahead = id_subtract(node, &p->conf.self);
    struct id behind = id_subtract(&p->conf.self, node);
    struct id larger;
    struct id smaller;

    if (p->contact_count == 0)
        return true;
    larger = id_subtract(&pastry_larger(p, 0)->node, &p->conf.self);
    smaller = id_subtract(&p->conf.self, &pastry_smaller(p, 0)->node);
    return id_compare(&ahead, &larger) <= 0 || id_compare(&behind, &smaller) <= 0;
}

static enum status
check_join(struct pastry *p, struct moment now, const struct topology_request *req,
           enum pastry_join_role role, struct why *why)
{
    const struct id *node = &req->from;

    if (p->state != PASTRY_IN)
        return why_set(why, ST_IN_PROGRESS, "no member yet");
    (void)pastry_remove(p, node); /* if it was a member, it has restarted */
    if (!pastry_is_usable(p, node) || !is_next_to_us(p, node) ||
        (role == PASTRY_ADMIT && pastry_closest(p, node)))
        return why_set(why, ST_NOT_FOUND, "not the node to let it in");
    if (role == PASTRY_ADMIT && !pastry_reserve(p, now, node))
        return why_set(why, ST_IN_PROGRESS, "another node is being let in");
    if (!add_joiner(p, now, node, PASTRY_ADMIT_MS))
        return why_set(why, ST_IN_PROGRESS, "too many are being let in");
    return ST_OK;
}

enum status
pastry_admit(struct pastry *p, struct moment now, const struct topology_request *req,
             struct writer *ret_body, struct why *why)
{
    enum pastry_join_role role;
    struct join_req j;
    uint32_t token;
    enum status st;

    if (join_req_read(req->body, &j) != ST_OK)
        return why_set(why, ST_MALFORMED, "not a Join");
    if (!id_equal(&j.joining_peer, &req->from) || id_equal(&req->from, &p->conf.self))
        return why_set(why, ST_FORBIDDEN, "a Join in the name of another node");
    st = pastry_join_read(j.plugin, &role, why);
    if (st == ST_OK)
        st = check_join(p, now, req, role, why);
    if (st != ST_OK)
        return st;
    join_ans_write(ret_body, slice_of(NULL, 0));
    find_joiner(p, &req->from)->is_offered = true;
    if (pastry_task_find(p, PASTRY_TASK_OFFER, &req->from))
        return ST_OK; /* said again */
    token = pastry_task_add(p, now, PASTRY_TASK_OFFER, &req->from, 0);
    if (token)
        p->env.offer(p->env.ctx, token, &req->from);
    else
        pastry_admit_on_offered(p, now, &req->from);
    return ST_OK;
}

/* If an offer failed, the host hands over once the joiner is a contact. */
void
pastry_admit_on_offered(struct pastry *p, struct moment now, const struct id *node)
{
    (void)now;
    if (find_joiner(p, node) && pastry_is_usable(p, node))
        pastry_send_update(p, node, PASTRY_ADMITTED, 0);
}

void
pastry_admit_end(struct pastry *p, const struct id *node)
{
    struct pastry_joiner *joiner = find_joiner(p, node);

    if (joiner)
        joiner->end_ms = 0;
}

void
pastry_admit_tick(struct pastry *p, struct moment now)
{
    for (unsigned i = 0; i < PASTRY_JOINERS_MAX; i++)
        if (now.mono_ms >= p->joiner[i].end_ms)
            p->joiner[i].end_ms = 0;
}

uint64_t
pastry_admit_due_ms(const struct pastry *p)
{
    uint64_t due_ms = MOMENT_NEVER;

    for (unsigned i = 0; i < PASTRY_JOINERS_MAX; i++)
        if (p->joiner[i].end_ms)
            due_ms = moment_earlier_ms(due_ms, p->joiner[i].end_ms);
    return due_ms;
}
