/*
 * A topology plug-in from outside the library: every member knows every other (one hop to
 * anywhere), and the successor of an ID on the ring of Node-IDs is responsible for it.  Meant for
 * overlays of up to ONEHOP_MEMBERS_MAX nodes.
 *
 *    OUT --join--> ASKING --list of a member--> LINKING --links up--> ENTERING --admitted--> IN
 *                     ^                                                   |
 *                     +-------------- refused, or no answer --------------+
 *
 * Who is responsible for the joiner's Node-ID lets it in: it offers the records first, then counts
 * it as a member and says so (ADMITTED).  All news travel in one exchange: an Update says who the
 * sender is and sums up whom it knows; an answer has the whole list if the sums differ.  Members
 * compare sums with one another from time to time, so that nobody stays unknown.
 *
 * Left out on purpose: growth beyond the table, and joiners that come faster than one at a time at
 * the same successor.
 */
#include <assert.h>
#include <string.h>

#include "tests/contract/foreign/onehop.h"

#define JOIN_MS         60000u
#define LINKING_MS      2000u
#define ENTERING_MS     5000u
#define ADMIT_MS        10000u
#define RETRY_MS        300u
#define COMPARE_MS      2000u
#define COMPARE_SOON_MS 200u
#define COMPARE_ROUNDS  8

extern const struct topology_ops ringway_topology;

/* ---- joining -------------------------------------------------------------------------------- */

static void
fail_join(struct onehop *o, enum status st, const char *reason)
{
    for (unsigned i = 0; i < o->contact_count; i++)
        o->env.detach(o->env.ctx, &o->contact[i].node);
    o->contact_count = o->task_count = o->wanted_count = 0;
    o->state = OUT;
    o->env.join_failed(o->env.ctx, st, reason);
}

/* Ask a member whom there is; what we know of already is asked first, for it is nearer the door. */
static void
ask(struct onehop *o, struct moment now)
{
    const struct id *node = o->contact_count ? &o->contact[0].node : &o->informant;

    o->state = ASKING;
    o->step_due_ms = now.mono_ms + ENTERING_MS;
    if (!onehop_is_usable(o, node))
        fail_join(o, ST_UNREACHABLE, "no link to a member is left");
    else if (o->contact_count)
        onehop_introduce(o, now, node);
    else
        onehop_want(o, now, node);
}

static void
ask_later(struct onehop *o, struct moment now)
{
    o->state = ASKING;
    o->step_due_ms = now.mono_ms + RETRY_MS + o->env.random(o->env.ctx) % RETRY_MS;
}

static void
become_in(struct onehop *o, struct moment now)
{
    o->state = IN;
    o->is_changed = true;
    o->compare_due_ms = now.mono_ms + COMPARE_SOON_MS;
    o->env.joined(o->env.ctx);
    for (unsigned i = 0; i < o->contact_count; i++)
        onehop_introduce(o, now, &o->contact[i].node);
}

static void
enter(struct onehop *o, struct moment now)
{
    if (o->contact_count == 0) {
        ask_later(o, now);
        return;
    }
    o->state = ENTERING;
    o->door = o->contact[0].node;
    o->step_due_ms = now.mono_ms + ENTERING_MS;
    onehop_send_join(o, now);
}

/* All who were named have answered, or had their time. */
static void
join_progress(struct onehop *o, struct moment now)
{
    bool is_linked = !onehop_has_task(o, TASK_LINK, NULL) && !onehop_has_task(o, TASK_UPDATE, NULL);

    if (o->state == LINKING && o->wanted_count == 0 && is_linked)
        enter(o, now);
}

static void
join_tick(struct onehop *o, struct moment now)
{
    if (now.mono_ms >= o->join_end_ms)
        fail_join(o, ST_TIMEOUT, "not admitted in time");
    else if (now.mono_ms >= o->step_due_ms && o->state == LINKING)
        enter(o, now);
    else if (now.mono_ms >= o->step_due_ms)
        ask(o, now);
}

static void
join_refused(struct onehop *o, struct moment now, enum status st)
{
    if (st == ST_INCOMPATIBLE)
        fail_join(o, st, "the overlay runs another algorithm");
    else
        ask_later(o, now);
}

/* ---- letting others in ---------------------------------------------------------------------- */

static enum status
admit(struct onehop *o, struct moment now, const struct topology_request *req,
      struct writer *ret_body, struct why *why)
{
    struct join_req j;
    uint32_t token;

    if (join_req_read(req->body, &j) != ST_OK)
        return why_set(why, ST_MALFORMED, "not a Join");
    if (!id_equal(&j.joining_peer, &req->from) || id_equal(&req->from, &o->conf.self))
        return why_set(why, ST_FORBIDDEN, "a Join in the name of another node");
    if (o->state != IN)
        return why_set(why, ST_IN_PROGRESS, "no member yet");
    if (o->is_admitting && !id_equal(&o->joiner, &req->from))
        return why_set(why, ST_IN_PROGRESS, "another node is being let in");
    onehop_remove_contact(o, &req->from); /* if it was a member, it has restarted */
    if (!onehop_is_usable(o, &req->from) || !onehop_is_owned(o, &req->from))
        return why_set(why, ST_NOT_FOUND, "not the successor of this node");
    if (o->contact_count == ONEHOP_MEMBERS_MAX)
        return why_set(why, ST_LIMIT, "the overlay is full");
    join_ans_write(ret_body, slice_of(NULL, 0));
    o->is_admitting = o->is_offered = true;
    o->joiner = req->from;
    o->admit_end_ms = now.mono_ms + ADMIT_MS;
    if (onehop_has_task(o, TASK_OFFER, &req->from))
        return ST_OK; /* said again */
    token = onehop_add_task(o, now, TASK_OFFER, &req->from);
    if (!token) {
        o->is_admitting = false;
        return why_set(why, ST_IN_PROGRESS, "too much is under way");
    }
    o->env.offer(o->env.ctx, token, &req->from);
    return ST_OK;
}

/* If an offer failed, the host offers again once the range has changed. */
static void
offered(struct onehop *o, struct moment now, const struct id *node)
{
    if (!o->is_admitting || !id_equal(&o->joiner, node))
        return;
    o->is_admitting = false;
    if (onehop_add_contact(o, node))
        onehop_send_update(o, now, node, SAID_ADMITTED);
}

/* ---- requests ------------------------------------------------------------------------------- */

static void
write_list(const struct onehop *o, struct writer *ret_body)
{
    size_t mark = writer_open(ret_body, 2);

    writer_id(ret_body, &o->conf.self);
    for (unsigned i = 0; i < o->contact_count; i++)
        writer_id(ret_body, &o->contact[i].node);
    writer_close(ret_body, mark, 2);
}

static enum status
on_update(struct onehop *o, struct moment now, const struct topology_request *req,
          struct writer *ret_body, struct why *why)
{
    struct reader r;
    uint8_t said;
    struct id sum, mine;

    reader_init(&r, req->body);
    said = reader_u8(&r);
    sum = reader_id(&r);
    if (!reader_is_done(&r) || said < SAID_MEMBER || said > SAID_ADMITTED)
        return why_set(why, ST_MALFORMED, "not an Update of this plug-in");
    if (said == SAID_ADMITTED && o->state == ENTERING && id_equal(&req->from, &o->door))
        become_in(o, now);
    if (o->state != IN)
        return why_set(why, ST_IN_PROGRESS, "no member yet");
    if (said != SAID_JOINER)
        onehop_add_contact(o, &req->from);
    else
        onehop_remove_contact(o, &req->from); /* it has restarted */
    mine = onehop_sum_of(o);
    if (id_equal(&sum, &mine))
        writer_u16(ret_body, 0);
    else
        write_list(o, ret_body);
    return ST_OK;
}

static enum status
on_leave(struct onehop *o, struct moment now, const struct topology_request *req, struct why *why)
{
    struct leave_req l;

    if (leave_req_read(req->body, &l) != ST_OK)
        return why_set(why, ST_MALFORMED, "not a Leave");
    if (!id_equal(&l.leaving_peer, &req->from))
        return why_set(why, ST_FORBIDDEN, "a Leave in the name of another node");
    onehop_lose(o, now, &req->from);
    return ST_OK;
}

/* ---- where to, and whose -------------------------------------------------------------------- */

/* Clockwise from @id to the first link in order.  Past this node nobody is asked: two that both
 * wait for the news of a death would ask one another. */
static enum status
next_hop(const void *state, const struct id *id, bool is_node, struct id *ret_next)
{
    const struct onehop *o = state;
    bool is_self = id_equal(id, &o->conf.self);

    if (is_self && (is_node || o->state == IN))
        return ST_EXISTS;
    if (!is_self && is_node && onehop_is_usable(o, id)) {
        *ret_next = *id;
        return ST_OK;
    }
    if (onehop_is_joining(o) && onehop_is_usable(o, &o->informant)) {
        *ret_next = o->informant;
        return ST_OK;
    }
    if (o->state != IN)
        return ST_UNREACHABLE;
    if (onehop_is_owned(o, id))
        return is_node ? ST_UNREACHABLE : ST_EXISTS;
    for (unsigned i = onehop_at_or_after(o, id); i < o->contact_count; i++) {
        if (onehop_is_usable(o, &o->contact[i].node)) {
            *ret_next = o->contact[i].node;
            return ST_OK;
        }
    }
    return ST_UNREACHABLE;
}

static bool
is_responsible(const void *state, const struct id *id)
{
    const struct onehop *o = state;

    return o->state == IN && onehop_is_owned(o, id);
}

static size_t
replica_set(const void *state, const struct id *id, struct id *ret_node, size_t cap)
{
    const struct onehop *o = state;
    size_t count = 0;

    if (!is_responsible(state, id))
        return 0;
    if (cap > o->conf.replica_count)
        cap = o->conf.replica_count;
    for (unsigned i = 0; i < o->contact_count && count < cap; i++)
        if (onehop_is_usable(o, &o->contact[i].node))
            ret_node[count++] = o->contact[i].node;
    return count;
}

static bool
responsible_hint(const void *state, const struct id *id, struct id *ret_node)
{
    const struct onehop *o = state;

    if (o->state != IN)
        return false;
    *ret_node = o->conf.self;
    if (!onehop_is_owned(o, id))
        *ret_node = o->contact[onehop_at_or_after(o, id)].node;
    else if (o->is_admitting && o->is_offered && !id_equal(id, &o->conf.self) &&
             !id_is_in(id, &o->joiner, &o->conf.self))
        *ret_node = o->joiner;
    return true;
}

static enum status
on_route_query(const struct onehop *o, const struct topology_request *req, struct writer *ret_body,
               struct why *why)
{
    struct route_query_req q;
    struct id next = o->conf.self;
    enum status st;

    if (route_query_req_read(req->body, &q) != ST_OK || q.destination.type == DESTINATION_OPAQUE)
        return why_set(why, ST_MALFORMED, "not a RouteQuery");
    if (o->state != IN)
        return why_set(why, ST_IN_PROGRESS, "no member yet");
    st = next_hop(o, &q.destination.id, q.destination.type == DESTINATION_NODE, &next);
    if (st != ST_OK && st != ST_EXISTS)
        return why_set(why, ST_NOT_FOUND, "no way to there");
    chord_route_query_ans_write(ret_body, &next);
    return ST_OK;
}

/* ---- the end of each step ------------------------------------------------------------------- */

static struct shown
look(const struct onehop *o)
{
    struct shown now = {0};

    if (o->contact_count > 0)
        now.predecessor = o->contact[o->contact_count - 1].node;
    while (now.count < o->contact_count && now.count < o->conf.replica_count) {
        now.successor[now.count] = o->contact[now.count].node;
        now.count++;
    }
    return now;
}

static void
check(const struct onehop *o)
{
    assert(o->state != OUT || (o->contact_count == 0 && o->task_count == 0));
    for (unsigned i = 1; i < o->contact_count; i++)
        assert(id_compare(&o->contact[i - 1].distance, &o->contact[i].distance) < 0);
}

static void
settle(struct onehop *o, struct moment now)
{
    struct shown seen;
    unsigned changes = TOPOLOGY_NEIGHBOURS;

    onehop_link_wanted(o, now);
    join_progress(o, now);
    check(o);
    if (o->state != IN || !o->is_changed)
        return;
    o->is_changed = false;
    o->compare_due_ms = moment_earlier_ms(o->compare_due_ms, now.mono_ms + COMPARE_SOON_MS);
    seen = look(o);
    if (memcmp(&seen, &o->shown, sizeof(seen)) != 0)
        changes |= TOPOLOGY_RESPONSIBILITY;
    o->shown = seen;
    o->env.changed(o->env.ctx, changes);
}

/* ---- life ----------------------------------------------------------------------------------- */

static enum status
create(void *state, const struct topology_conf *conf, const struct topology_env *env,
       struct why *why)
{
    struct onehop *o = state;

    if (conf->parameters[0] != '\0')
        return why_set(why, ST_RANGE, "onehop has no parameters, found \"%s\"", conf->parameters);
    if (conf->replica_count > ONEHOP_REPLICAS_MAX)
        return why_set(why, ST_RANGE, "onehop keeps at most %d replicas", ONEHOP_REPLICAS_MAX);
    o->conf = *conf;
    o->env = *env;
    if (o->conf.update_ms == 0)
        o->conf.update_ms = COMPARE_MS;
    return ST_OK;
}

static void
destroy(void *state)
{
    (void)state; /* it owns nothing outside its state */
}

static void
form(void *state, struct moment now)
{
    struct onehop *o = state;

    assert(o->state == OUT);
    become_in(o, now);
    o->env.changed(o->env.ctx, TOPOLOGY_RESPONSIBILITY);
    settle(o, now);
}

static void
join(void *state, struct moment now, const struct id *informant)
{
    struct onehop *o = state;

    assert(o->state == OUT);
    o->informant = *informant;
    o->join_end_ms = now.mono_ms + JOIN_MS;
    ask(o, now);
    settle(o, now);
}

static void
leave(void *state, struct moment now)
{
    struct onehop *o = state;

    if (o->state == IN)
        onehop_send_leaves(o);
    for (unsigned i = 0; i < o->contact_count; i++)
        o->env.detach(o->env.ctx, &o->contact[i].node);
    o->contact_count = o->task_count = o->wanted_count = 0;
    o->is_admitting = false;
    o->state = OUT;
    memset(o->lost, 0, sizeof(o->lost));
    memset(&o->shown, 0, sizeof(o->shown));
    settle(o, now);
}

/* ---- events --------------------------------------------------------------------------------- */

static enum status
on_request(void *state, struct moment now, const struct topology_request *req,
           struct writer *ret_body, struct why *why)
{
    struct onehop *o = state;
    enum status st;

    switch (req->code) {
    case MESSAGE_JOIN_REQ:
        st = admit(o, now, req, ret_body, why);
        break;
    case MESSAGE_LEAVE_REQ:
        st = on_leave(o, now, req, why);
        break;
    case MESSAGE_UPDATE_REQ:
        st = on_update(o, now, req, ret_body, why);
        break;
    case MESSAGE_ROUTE_QUERY_REQ:
        st = on_route_query(o, req, ret_body, why);
        break;
    default:
        return why_set(why, ST_UNSUPPORTED, "no request of this plug-in");
    }
    settle(o, now);
    return st;
}

static void
updated(struct onehop *o, struct moment now, const struct id *node, enum status st,
        struct slice body)
{
    if (st != ST_OK) { /* no member, or not there */
        if (st == ST_INCOMPATIBLE && onehop_is_joining(o)) {
            join_refused(o, now, st);
            return;
        }
        onehop_lose(o, now, node);
        o->env.detach(o->env.ctx, node);
        if (o->state == ASKING)
            ask_later(o, now);
        return;
    }
    onehop_add_contact(o, node);
    onehop_want_all(o, now, body);
    if (o->state == ASKING) {
        o->state = LINKING;
        o->step_due_ms = now.mono_ms + LINKING_MS;
    }
    if (o->state == IN && o->wanted_count > 0)
        o->compare_due_ms = moment_earlier_ms(o->compare_due_ms, now.mono_ms + COMPARE_SOON_MS);
}

static void
end_task(struct onehop *o, struct moment now, const struct task *task, enum status st,
         struct slice body)
{
    switch (task->kind) {
    case TASK_LINK:
        if (st == ST_OK)
            onehop_introduce(o, now, &task->node);
        else
            updated(o, now, &task->node, st, body);
        break;
    case TASK_UPDATE:
        updated(o, now, &task->node, st, body);
        break;
    case TASK_JOIN:
        if (o->state == ENTERING && st != ST_OK)
            join_refused(o, now, st);
        break;
    case TASK_OFFER:
        offered(o, now, &task->node);
        break;
    }
}

static void
on_answer(void *state, struct moment now, uint32_t token, enum status st, const struct id *from,
          struct slice body)
{
    struct onehop *o = state;
    struct task task;

    (void)from;
    if (token && onehop_take_task(o, token, &task))
        end_task(o, now, &task, st, body);
    settle(o, now);
}

static void
on_attach(void *state, struct moment now, uint32_t token, enum status st, const struct id *node)
{
    struct onehop *o = state;
    struct task task;

    (void)node; /* a Node-ID was asked for: it is this one */
    if (onehop_take_task(o, token, &task))
        end_task(o, now, &task, st, slice_of(NULL, 0));
    settle(o, now);
}

static void
on_offered(void *state, struct moment now, uint32_t token, enum status st)
{
    struct onehop *o = state;
    struct task task;

    if (st != ST_OK)
        log_to(&o->env.log, LOG_LEVEL_WARN, "records were not all offered: %s", status_text(st));
    if (onehop_take_task(o, token, &task))
        end_task(o, now, &task, st, slice_of(NULL, 0));
    settle(o, now);
}

static void
on_linked(void *state, struct moment now, const struct id *node, bool wants_update)
{
    (void)state; /* whoever links says what it is */
    (void)now;
    (void)node;
    (void)wants_update;
}

static void
on_suspect(void *state, struct moment now, const struct id *node, bool is_suspect)
{
    (void)state; /* the host is asked each time; a suspicion alone moves nobody's range */
    (void)now;
    (void)node;
    (void)is_suspect;
}

static void
neighbour_lost(void *state, struct moment now, const struct id *node)
{
    struct onehop *o = state;

    if (o->is_admitting && id_equal(&o->joiner, node))
        o->is_admitting = false;
    if (onehop_is_contact(o, node))
        onehop_lose(o, now, node);
    if (o->state == ENTERING && id_equal(&o->door, node))
        ask_later(o, now);
    settle(o, now);
}

/* ---- time ----------------------------------------------------------------------------------- */

static uint64_t
deadline_ms(const void *state)
{
    const struct onehop *o = state;
    uint64_t due_ms = MOMENT_NEVER;

    for (unsigned i = 0; i < o->task_count; i++)
        due_ms = moment_earlier_ms(due_ms, o->task[i].expire_ms);
    if (onehop_is_joining(o))
        return moment_earlier_ms(due_ms, moment_earlier_ms(o->step_due_ms, o->join_end_ms));
    if (o->state != IN)
        return due_ms;
    if (o->is_admitting)
        due_ms = moment_earlier_ms(due_ms, o->admit_end_ms);
    return moment_earlier_ms(due_ms, o->compare_due_ms);
}

/* A host that forgets must not keep us waiting for ever. */
static void
expire_tasks(struct onehop *o, struct moment now)
{
    for (unsigned i = 0; i < o->task_count;) {
        struct task task = o->task[i];
        if (now.mono_ms < task.expire_ms) {
            i++;
            continue;
        }
        o->task[i] = o->task[--o->task_count];
        end_task(o, now, &task, ST_TIMEOUT, slice_of(NULL, 0));
    }
}

/* A silent death shows when something is sent: those next to us are asked each time, for they bound
 * our range and hold our copies; the others in turn, each within COMPARE_ROUNDS. */
static void
compare(struct onehop *o, struct moment now)
{
    unsigned near = o->conf.replica_count;
    unsigned others = o->contact_count / COMPARE_ROUNDS + 1;
    uint32_t period_ms = o->conf.update_ms;

    o->compare_due_ms = now.mono_ms + period_ms / 2 + o->env.random(o->env.ctx) % period_ms;
    for (unsigned i = 0; i < o->contact_count; i++)
        if (i < near || i + 1 == o->contact_count)
            onehop_introduce(o, now, &o->contact[i].node);
    for (unsigned i = 0; i < others && o->contact_count > 0; i++)
        onehop_introduce(o, now, &o->contact[o->compare_next++ % o->contact_count].node);
}

static void
tick(void *state, struct moment now)
{
    struct onehop *o = state;

    expire_tasks(o, now);
    if (onehop_is_joining(o))
        join_tick(o, now);
    if (o->is_admitting && now.mono_ms >= o->admit_end_ms)
        o->is_admitting = false;
    if (o->state == IN && now.mono_ms >= o->compare_due_ms)
        compare(o, now);
    settle(o, now);
}

/* ---- what an operator sees ------------------------------------------------------------------ */

static void
dump(const void *state, void (*visit)(void *ctx, const struct topology_dump *line), void *ctx)
{
    const struct onehop *o = state;

    for (unsigned i = 0; o->state == IN && i < o->contact_count; i++) {
        struct topology_dump line = {.table = "member", .index = i, .node = o->contact[i].node};

        visit(ctx, &line);
    }
}

static size_t
neighbour_count(const void *state)
{
    const struct onehop *o = state;

    return o->state == IN ? o->contact_count : 0;
}

const struct topology_ops ringway_topology = {
    .name = "onehop",
    .abi = TOPOLOGY_ABI,
    .state_bytes = sizeof(struct onehop),
    .create = create,
    .destroy = destroy,
    .form = form,
    .join = join,
    .leave = leave,
    .next_hop = next_hop,
    .is_responsible = is_responsible,
    .replica_set = replica_set,
    .responsible_hint = responsible_hint,
    .on_request = on_request,
    .on_answer = on_answer,
    .on_attach = on_attach,
    .on_offered = on_offered,
    .on_linked = on_linked,
    .on_suspect = on_suspect,
    .neighbour_lost = neighbour_lost,
    .deadline_ms = deadline_ms,
    .tick = tick,
    .dump = dump,
    .neighbour_count = neighbour_count,
};
