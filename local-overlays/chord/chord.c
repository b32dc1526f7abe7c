#include "local-overlays/chord/chord.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "local-overlays/chord/state.h"

/* ---- tasks ---------------------------------------------------------------------------------- */

uint32_t
chord_task_add(struct chord *c, struct moment now, enum chord_task_kind kind, const struct id *node,
               unsigned slot)
{
    if (c->task_count == CHORD_TASKS_MAX)
        return 0;
    if (++c->next_token == 0)
        c->next_token = 1;
    c->task[c->task_count++] = (struct chord_task){.token = c->next_token,
                                                   .kind = kind,
                                                   .node = *node,
                                                   .slot = slot,
                                                   .expire_ms = now.mono_ms + CHORD_TASK_MS};
    return c->next_token;
}

unsigned
chord_task_count(const struct chord *c, enum chord_task_kind kind)
{
    unsigned count = 0;

    for (unsigned i = 0; i < c->task_count; i++)
        count += c->task[i].kind == kind;
    return count;
}

static bool
take_task(struct chord *c, uint32_t token, struct chord_task *ret_task)
{
    for (unsigned i = 0; i < c->task_count; i++) {
        if (c->task[i].token != token)
            continue;
        *ret_task = c->task[i];
        c->task[i] = c->task[--c->task_count];
        return true;
    }
    return false;
}

/* ---- the end of each step ------------------------------------------------------------------- */

static struct chord_shown
look(const struct chord *c)
{
    struct chord_shown now = {0};

    if (c->state != CHORD_IN)
        return now;
    now.predecessor_count = (uint8_t)chord_predecessor_count(c);
    now.successor_count = (uint8_t)chord_successor_count(c);
    for (unsigned i = 0; i < now.predecessor_count; i++)
        now.predecessor[i] = *chord_predecessor(c, i);
    for (unsigned i = 0; i < now.successor_count; i++)
        now.successor[i] = *chord_successor(c, i);
    return now;
}

static bool
is_range_same(const struct chord_shown *a, const struct chord_shown *b)
{
    if (!a->predecessor_count != !b->predecessor_count)
        return false;
    return !a->predecessor_count || id_equal(&a->predecessor[0], &b->predecessor[0]);
}

static bool
are_replicas_same(const struct chord *c, const struct chord_shown *a, const struct chord_shown *b)
{
    for (unsigned i = 0; i < c->conf.replica_count && i < CHORD_SPAN_MAX; i++) {
        if ((i < a->successor_count) != (i < b->successor_count))
            return false;
        if (i < a->successor_count && !id_equal(&a->successor[i], &b->successor[i]))
            return false;
    }
    return true;
}

static void
tell_host(struct chord *c, struct moment now)
{
    struct chord_shown seen = look(c);
    unsigned changes = 0;

    if (memcmp(&seen, &c->shown, sizeof(seen)) == 0)
        return;
    changes = TOPOLOGY_NEIGHBOURS;
    if (!is_range_same(&seen, &c->shown)) {
        changes |= TOPOLOGY_RESPONSIBILITY;
        c->is_range_changed = true;
    } else if (!are_replicas_same(c, &seen, &c->shown)) {
        changes |= TOPOLOGY_RESPONSIBILITY;
    }
    c->shown = seen;
    if (c->update_due_ms == MOMENT_NEVER)
        c->update_due_ms =
            now.mono_ms + CHORD_SETTLE_MS + c->env.random(c->env.ctx) % CHORD_SETTLE_MS;
    c->env.changed(c->env.ctx, changes);
}

void
chord_settle(struct chord *c, struct moment now)
{
    chord_join_progress(c, now);
    if (c->state == CHORD_IN)
        tell_host(c, now);
    chord_check(c);
}

/* ---- life ----------------------------------------------------------------------------------- */

static bool
read_span(const char *text, unsigned *ret_span)
{
    static const char key[] = "neighbours=";
    const char *digits = text + sizeof(key) - 1;
    unsigned span = 0;

    if (strncmp(text, key, sizeof(key) - 1) != 0 || digits[0] < '1' || digits[0] > '9')
        return false;
    for (; *digits >= '0' && *digits <= '9' && span <= CHORD_SPAN_MAX; digits++)
        span = 10 * span + (unsigned)(*digits - '0');
    if (*digits != '\0' || span < CHORD_SPAN_MIN || span > CHORD_SPAN_MAX)
        return false;
    *ret_span = span;
    return true;
}

static enum status
create(void *state, const struct topology_conf *conf, const struct topology_env *env,
       struct why *why)
{
    struct chord *c = state;

    if (conf->parameters[0] != '\0' && !read_span(conf->parameters, &c->span_set))
        return why_set(why, ST_RANGE, "chord takes neighbours=N with N of %d to %d, found \"%s\"",
                       CHORD_SPAN_MIN, CHORD_SPAN_MAX, conf->parameters);
    c->conf = *conf;
    c->env = *env;
    if (c->conf.update_ms == 0)
        c->conf.update_ms = CHORD_UPDATE_MS;
    if (c->conf.replica_count > CHORD_SPAN_MIN)
        return why_set(why, ST_RANGE, "chord keeps at most %d replicas", CHORD_SPAN_MIN);
    return ST_OK;
}

static void
destroy(void *state)
{
    struct chord *c = state;

    free(c->contact);
    c->contact = NULL;
    c->contact_count = c->contact_cap = 0;
}

static void
form(void *state, struct moment now)
{
    struct chord *c = state;

    assert(c->state == CHORD_OUT);
    chord_become_in(c, now);
    c->env.changed(c->env.ctx, TOPOLOGY_RESPONSIBILITY);
    chord_settle(c, now);
}

static void
join(void *state, struct moment now, const struct id *informant)
{
    struct chord *c = state;

    assert(c->state == CHORD_OUT);
    chord_join_begin(c, now, informant);
    chord_settle(c, now);
}

static void
leave(void *state, struct moment now)
{
    struct chord *c = state;

    if (c->state == CHORD_IN)
        chord_send_leave(c);
    for (unsigned i = 0; i < c->contact_count; i++)
        c->env.detach(c->env.ctx, &c->contact[i].node);
    c->contact_count = 0;
    c->task_count = 0;
    c->is_admitting = false;
    memset(c->lost, 0, sizeof(c->lost));
    c->state = CHORD_OUT;
    memset(&c->shown, 0, sizeof(c->shown));
    chord_settle(c, now);
}

/* ---- events --------------------------------------------------------------------------------- */

static enum status
on_request(void *state, struct moment now, const struct topology_request *req,
           struct writer *ret_body, struct why *why)
{
    struct chord *c = state;
    enum status st;

    switch (req->code) {
    case MESSAGE_JOIN_REQ:
        st = chord_admit(c, now, req, ret_body, why);
        break;
    case MESSAGE_LEAVE_REQ:
        st = chord_on_leave(c, now, req, why);
        break;
    case MESSAGE_UPDATE_REQ:
        st = chord_on_update(c, now, req, why);
        break;
    case MESSAGE_ROUTE_QUERY_REQ:
        st = chord_on_route_query(c, now, req, ret_body, why);
        break;
    default:
        return why_set(why, ST_UNSUPPORTED, "no request of this plug-in");
    }
    chord_settle(c, now);
    return st;
}

static void
on_answer(void *state, struct moment now, uint32_t token, enum status st, const struct id *from,
          struct slice body)
{
    struct chord *c = state;
    struct chord_task task;

    if (token && take_task(c, token, &task)) {
        chord_join_on_answer(c, now, task.kind, st, body);
    } else if (!token && st == ST_IN_PROGRESS && from && chord_find(c, from)) {
        chord_drop(c, now, from, false); /* it has restarted, and is no member */
        c->env.detach(c->env.ctx, from);
    }
    chord_settle(c, now);
}

static void
end_attach(struct chord *c, struct moment now, const struct chord_task *task, enum status st,
           const struct id *node)
{
    bool is_self = st == ST_OK && id_equal(node, &c->conf.self);

    if (task->kind == CHORD_TASK_ADMITTING_PEER)
        chord_join_on_attach(c, now, st, node);
    else if (task->kind == CHORD_TASK_FINGER)
        chord_finger_on_attach(c, now, task->slot, st, node);
    else if (st == ST_OK && !is_self)
        chord_add(c, now, node);
    else
        chord_drop(c, now, &task->node, false);
}

static void
on_attach(void *state, struct moment now, uint32_t token, enum status st, const struct id *node)
{
    struct chord *c = state;
    struct chord_task task;

    if (take_task(c, token, &task))
        end_attach(c, now, &task, st, node);
    chord_settle(c, now);
}

static void
on_offered(void *state, struct moment now, uint32_t token, enum status st)
{
    struct chord *c = state;
    struct chord_task task;

    if (st != ST_OK)
        log_to(&c->env.log, LOG_LEVEL_WARN, "records were not all offered: %s", status_text(st));
    if (take_task(c, token, &task))
        chord_admit_on_offered(c, now, &task.node);
    chord_settle(c, now);
}

static void
on_linked(void *state, struct moment now, const struct id *node, bool wants_update)
{
    struct chord *c = state;

    if (wants_update)
        chord_welcome(c, now, node, false);
    chord_settle(c, now);
}

static void
on_suspect(void *state, struct moment now, const struct id *node, bool is_suspect)
{
    /* next_hop and replica_set ask the host each time; a suspicion alone moves nobody's range. */
    (void)state;
    (void)now;
    (void)node;
    (void)is_suspect;
}

static void
neighbour_lost(void *state, struct moment now, const struct id *node)
{
    struct chord *c = state;

    if (c->is_admitting && id_equal(&c->joiner, node))
        c->is_admitting = false;
    if (chord_find(c, node))
        chord_drop(c, now, node, true);
    if (chord_is_joining(c))
        chord_join_on_lost(c, now, node);
    chord_settle(c, now);
}

static uint64_t
deadline_ms(const void *state)
{
    const struct chord *c = state;
    uint64_t due_ms = MOMENT_NEVER;

    for (unsigned i = 0; i < c->task_count; i++)
        due_ms = moment_earlier_ms(due_ms, c->task[i].expire_ms);
    if (chord_is_joining(c))
        return moment_earlier_ms(due_ms, moment_earlier_ms(c->step_due_ms, c->join_end_ms));
    if (c->state != CHORD_IN)
        return due_ms;
    if (c->is_admitting)
        due_ms = moment_earlier_ms(due_ms, c->admit_end_ms);
    return moment_earlier_ms(due_ms, chord_update_deadline_ms(c));
}

static void
expire_tasks(struct chord *c, struct moment now)
{
    for (unsigned i = 0; i < c->task_count;) {
        struct chord_task task = c->task[i];
        if (now.mono_ms < task.expire_ms) {
            i++;
            continue;
        }
        c->task[i] = c->task[--c->task_count];
        if (task.kind == CHORD_TASK_OFFER)
            chord_admit_on_offered(c, now, &task.node);
        else if (task.kind == CHORD_TASK_QUERY || task.kind == CHORD_TASK_JOIN)
            chord_join_on_answer(c, now, task.kind, ST_TIMEOUT, slice_of(NULL, 0));
        else
            end_attach(c, now, &task, ST_TIMEOUT, NULL);
    }
}

static void
tick(void *state, struct moment now)
{
    struct chord *c = state;

    expire_tasks(c, now);
    if (chord_is_joining(c))
        chord_join_tick(c, now);
    if (c->state == CHORD_IN) {
        chord_admit_tick(c, now);
        chord_update_tick(c, now);
    }
    chord_settle(c, now);
}

/* ---- what an operator sees ------------------------------------------------------------------ */

static void
show(void (*visit)(void *ctx, const struct topology_dump *line), void *ctx, const char *table,
     unsigned index, const struct id *node)
{
    struct topology_dump line = {.table = table, .index = index, .node = *node};

    visit(ctx, &line);
}

static void
dump(const void *state, void (*visit)(void *ctx, const struct topology_dump *line), void *ctx)
{
    const struct chord *c = state;
    unsigned span = chord_successor_count(c);
    unsigned others = 0;

    if (c->state != CHORD_IN)
        return;
    for (unsigned i = 0; i < span; i++)
        show(visit, ctx, "predecessor", i, chord_predecessor(c, i));
    for (unsigned i = 0; i < span; i++)
        show(visit, ctx, "successor", i, chord_successor(c, i));
    for (unsigned slot = 0; slot < chord_slot_count(c); slot++) {
        const struct chord_contact *finger = chord_finger(c, slot);
        if (finger)
            show(visit, ctx, "finger", slot, &finger->node);
    }
    for (unsigned i = span; i + span < c->contact_count; i++)
        if (!c->contact[i].is_finger)
            show(visit, ctx, "connection", others++, &c->contact[i].node);
}

static size_t
neighbour_count(const void *state)
{
    const struct chord *c = state;

    return c->state == CHORD_IN ? c->contact_count : 0;
}

const struct topology_ops chord_topology = {
    .name = "chord",
    .abi = TOPOLOGY_ABI,
    .state_bytes = sizeof(struct chord),
    .create = create,
    .destroy = destroy,
    .form = form,
    .join = join,
    .leave = leave,
    .next_hop = chord_next_hop,
    .is_responsible = chord_is_responsible,
    .replica_set = chord_replica_set,
    .responsible_hint = chord_responsible_hint,
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
