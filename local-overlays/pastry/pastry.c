#include "local-overlays/pastry/pastry.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "local-overlays/pastry/state.h"

/* ---- tasks ---------------------------------------------------------------------------------- */

static bool
make_room(struct pastry *p)
{
    unsigned cap = p->task_cap ? 2u * p->task_cap : 8;
    struct pastry_task *grown;

    if (p->task_count < p->task_cap)
        return true;
    if (p->task_count >= PASTRY_TASKS_MAX)
        return false;
    if (cap > PASTRY_TASKS_MAX)
        cap = PASTRY_TASKS_MAX;
    grown = realloc(p->task, cap * sizeof(*grown));
    if (!grown)
        return false;
    p->task = grown;
    p->task_cap = (uint16_t)cap;
    return true;
}

uint32_t
pastry_task_add(struct pastry *p, struct moment now, enum pastry_task_kind kind,
                const struct id *node, enum pastry_purpose purpose)
{
    if (!make_room(p))
        return 0;
    if (++p->next_token == 0)
        p->next_token = 1;
    p->task[p->task_count++] = (struct pastry_task){.node = *node,
                                                    .token = p->next_token,
                                                    .kind = (uint8_t)kind,
                                                    .purpose = (uint8_t)purpose,
                                                    .sent_ms = now.mono_ms};
    return p->next_token;
}

bool
pastry_task_find(const struct pastry *p, enum pastry_task_kind kind, const struct id *node)
{
    for (unsigned i = 0; i < p->task_count; i++)
        if (p->task[i].kind == kind && id_equal(&p->task[i].node, node))
            return true;
    return false;
}

unsigned
pastry_task_count(const struct pastry *p, enum pastry_task_kind kind)
{
    unsigned count = 0;

    for (unsigned i = 0; i < p->task_count; i++)
        count += p->task[i].kind == kind;
    return count;
}

static bool
take_task(struct pastry *p, uint32_t token, struct pastry_task *ret_task)
{
    for (unsigned i = 0; i < p->task_count; i++) {
        if (p->task[i].token != token)
            continue;
        *ret_task = p->task[i];
        p->task[i] = p->task[--p->task_count];
        return true;
    }
    return false;
}

/* ---- the end of each step ------------------------------------------------------------------- */

/* The leaves next to us bound what is ours; as many as there are replicas hold copies of it. */
static unsigned
look(const struct pastry *p, struct id ret_node[2 * PASTRY_REPLICAS_MAX])
{
    unsigned depth = p->conf.replica_count ? p->conf.replica_count : 1;
    unsigned side = pastry_side(p);
    unsigned count = 0;

    for (unsigned i = 0; i < depth && i < side; i++) {
        ret_node[count++] = pastry_smaller(p, i)->node;
        ret_node[count++] = pastry_larger(p, i)->node;
    }
    return count;
}

static void
tell_host(struct pastry *p)
{
    struct id seen[2 * PASTRY_REPLICAS_MAX];
    unsigned count = look(p, seen);
    unsigned changes = TOPOLOGY_NEIGHBOURS;

    if (count != p->shown_count || memcmp(seen, p->shown, count * sizeof(seen[0])) != 0)
        changes |= TOPOLOGY_RESPONSIBILITY;
    p->shown_count = (uint8_t)count;
    memcpy(p->shown, seen, count * sizeof(seen[0]));
    p->env.changed(p->env.ctx, changes);
}

static void
settle(struct pastry *p, struct moment now)
{
    pastry_join_progress(p, now);
    if (p->state == PASTRY_IN) {
        if (p->is_changed)
            pastry_replan(p);
        if (p->candidate_count)
            pastry_fill(p, now);
        if (p->is_changed)
            tell_host(p);
    }
    p->is_changed = false;
    if (p->task_count == 0) {
        free(p->task);
        p->task = NULL;
        p->task_cap = 0;
    }
    pastry_check(p);
}

/* ---- life ----------------------------------------------------------------------------------- */

static enum status
create(void *state, const struct topology_conf *conf, const struct topology_env *env,
       struct why *why)
{
    struct pastry *p = state;

    if (conf->parameters[0] != '\0')
        return why_set(why, ST_RANGE, "pastry has no parameters, found \"%s\"", conf->parameters);
    if (conf->replica_count > PASTRY_REPLICAS_MAX)
        return why_set(why, ST_RANGE, "pastry keeps at most %d replicas", PASTRY_REPLICAS_MAX);
    p->conf = *conf;
    p->env = *env;
    if (p->conf.update_ms == 0)
        p->conf.update_ms = PASTRY_UPDATE_MS;
    return ST_OK;
}

static void
forget(struct pastry *p)
{
    free(p->contact);
    free(p->task);
    free(p->candidate);
    p->contact = NULL;
    p->task = NULL;
    p->candidate = NULL;
    p->contact_count = p->contact_cap = 0;
    p->task_count = p->task_cap = 0;
    p->candidate_count = p->candidate_cap = 0;
    memset(p->joiner, 0, sizeof(p->joiner));
    p->shown_count = 0;
}

static void
destroy(void *state)
{
    forget(state);
}

static void
form(void *state, struct moment now)
{
    struct pastry *p = state;

    assert(p->state == PASTRY_OUT);
    pastry_become_in(p, now);
    p->env.changed(p->env.ctx, TOPOLOGY_RESPONSIBILITY);
    settle(p, now);
}

static void
join(void *state, struct moment now, const struct id *informant)
{
    struct pastry *p = state;

    assert(p->state == PASTRY_OUT);
    pastry_join_begin(p, now, informant);
    settle(p, now);
}

static void
leave(void *state, struct moment now)
{
    struct pastry *p = state;

    if (p->state == PASTRY_IN)
        pastry_send_leaves(p);
    for (unsigned i = 0; i < p->contact_count; i++)
        p->env.detach(p->env.ctx, &p->contact[i].node);
    p->state = PASTRY_OUT;
    forget(p);
    settle(p, now);
}

/* ---- events --------------------------------------------------------------------------------- */

static enum status
on_request(void *state, struct moment now, const struct topology_request *req,
           struct writer *ret_body, struct why *why)
{
    struct pastry *p = state;
    enum status st;

    switch (req->code) {
    case MESSAGE_JOIN_REQ:
        st = pastry_admit(p, now, req, ret_body, why);
        break;
    case MESSAGE_LEAVE_REQ:
        st = pastry_on_leave(p, now, req, why);
        break;
    case MESSAGE_UPDATE_REQ:
        st = pastry_on_update(p, now, req, why);
        break;
    case MESSAGE_ROUTE_QUERY_REQ:
        st = pastry_on_route_query(p, now, req, ret_body, why);
        break;
    default:
        return why_set(why, ST_UNSUPPORTED, "no request of this plug-in");
    }
    settle(p, now);
    return st;
}

/* The end of a task by an answer, or by none in time: @from is NULL then. */
static void
end_task(struct pastry *p, struct moment now, const struct pastry_task *task, enum status st,
         const struct id *from, struct slice body)
{
    switch ((enum pastry_task_kind)task->kind) {
    case PASTRY_TASK_WALK:
        pastry_join_on_walk(p, now, st, from, body);
        break;
    case PASTRY_TASK_LINK:
        pastry_learn_on_attach(p, now, task, st);
        break;
    case PASTRY_TASK_HELLO:
        pastry_learn_on_hello(p, now, task, st, body);
        break;
    case PASTRY_TASK_TELL:
        pastry_on_tell_answer(p, now, task, st);
        break;
    case PASTRY_TASK_ASK:
        pastry_on_ask_answer(p, now, task, st, body);
        break;
    case PASTRY_TASK_SEARCH:
        pastry_on_search_answer(p, st, from);
        break;
    case PASTRY_TASK_JOIN:
        pastry_join_on_answer(p, now, &task->node, st);
        break;
    case PASTRY_TASK_OFFER:
        pastry_admit_on_offered(p, now, &task->node);
        break;
    }
}

static void
on_answer(void *state, struct moment now, uint32_t token, enum status st, const struct id *from,
          struct slice body)
{
    struct pastry *p = state;
    struct pastry_task task = {0};
    bool is_no_member = st == ST_IN_PROGRESS && from;

    if (token && take_task(p, token, &task)) {
        end_task(p, now, &task, st, from, body);
        is_no_member &= task.kind != PASTRY_TASK_JOIN; /* a member that lets others in first */
    }
    if (is_no_member && pastry_find(p, from)) {
        pastry_drop(p, now, from); /* it was one, as we are told */
        p->env.detach(p->env.ctx, from);
    }
    settle(p, now);
}

static void
on_attach(void *state, struct moment now, uint32_t token, enum status st, const struct id *node)
{
    struct pastry *p = state;
    struct pastry_task task;

    if (st == ST_OK && id_equal(node, &p->conf.self))
        st = ST_EXISTS;
    if (take_task(p, token, &task))
        end_task(p, now, &task, st, node, slice_of(NULL, 0));
    settle(p, now);
}

static void
on_offered(void *state, struct moment now, uint32_t token, enum status st)
{
    struct pastry *p = state;
    struct pastry_task task;

    if (st != ST_OK)
        log_to(&p->env.log, LOG_LEVEL_WARN, "records were not all offered: %s", status_text(st));
    if (take_task(p, token, &task))
        end_task(p, now, &task, st, &task.node, slice_of(NULL, 0));
    settle(p, now);
}

static void
on_linked(void *state, struct moment now, const struct id *node, bool wants_update)
{
    struct pastry *p = state;

    if (wants_update && p->state == PASTRY_IN && pastry_is_usable(p, node))
        pastry_send_update(p, node, PASTRY_STATE, 0);
    settle(p, now);
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
    struct pastry *p = state;

    pastry_admit_end(p, node);
    if (pastry_find(p, node))
        pastry_drop(p, now, node);
    if (pastry_is_joining(p))
        pastry_join_on_lost(p, now, node);
    settle(p, now);
}

static uint64_t
deadline_ms(const void *state)
{
    const struct pastry *p = state;
    uint64_t due_ms = MOMENT_NEVER;

    for (unsigned i = 0; i < p->task_count; i++)
        due_ms = moment_earlier_ms(due_ms, p->task[i].sent_ms + PASTRY_TASK_MS);
    if (pastry_is_joining(p))
        return moment_earlier_ms(due_ms, moment_earlier_ms(p->step_due_ms, p->join_end_ms));
    if (p->state != PASTRY_IN)
        return due_ms;
    due_ms = moment_earlier_ms(due_ms, pastry_admit_due_ms(p));
    return moment_earlier_ms(due_ms, pastry_maintain_due_ms(p));
}

/* A host that forgets must not keep us waiting for ever. */
static void
expire_tasks(struct pastry *p, struct moment now)
{
    for (unsigned i = 0; i < p->task_count;) {
        struct pastry_task task = p->task[i];
        if (now.mono_ms < task.sent_ms + PASTRY_TASK_MS) {
            i++;
            continue;
        }
        p->task[i] = p->task[--p->task_count];
        end_task(p, now, &task, ST_TIMEOUT, NULL, slice_of(NULL, 0));
    }
}

static void
tick(void *state, struct moment now)
{
    struct pastry *p = state;

    expire_tasks(p, now);
    if (pastry_is_joining(p))
        pastry_join_tick(p, now);
    if (p->state == PASTRY_IN) {
        pastry_admit_tick(p, now);
        pastry_maintain_tick(p, now);
    }
    settle(p, now);
}

/* ---- what an operator sees ------------------------------------------------------------------ */

struct showing {
    void (*visit)(void *ctx, const struct topology_dump *line);
    void *ctx;
};

static void
show(const struct showing *s, const char *table, unsigned index,
     const struct pastry_contact *contact, const char *what)
{
    struct topology_dump line = {.table = table, .index = index, .node = contact->node};

    if (contact->rtt_ms == PASTRY_RTT_UNKNOWN)
        snprintf(line.note, sizeof(line.note), "%s", what);
    else
        snprintf(line.note, sizeof(line.note), "%s%s%u ms", what, what[0] ? ", " : "",
                 contact->rtt_ms);
    s->visit(s->ctx, &line);
}

static void
dump(const void *state, void (*visit)(void *ctx, const struct topology_dump *line), void *ctx)
{
    const struct pastry *p = state;
    struct showing s = {visit, ctx};
    unsigned side = pastry_side(p);
    const struct pastry_contact *near[PASTRY_NEAR_MAX];
    unsigned near_count = pastry_near(p, near);
    char column[32];

    if (p->state != PASTRY_IN)
        return;
    for (unsigned i = 0; i < side; i++)
        show(&s, "leaf", i, pastry_smaller(p, i), "smaller");
    for (unsigned i = 0; i < side; i++)
        show(&s, "leaf", i, pastry_larger(p, i), "larger");
    for (unsigned row = 0; row < pastry_row_count(p); row++)
        for (unsigned i = 0; i < p->contact_count; i++)
            if (p->contact[i].is_row && pastry_row(&p->conf.self, &p->contact[i].node) == row) {
                snprintf(column, sizeof(column), "column %x",
                         id_digit(&p->contact[i].node, row, PASTRY_DIGIT_BITS));
                show(&s, "row", row, &p->contact[i], column);
            }
    for (unsigned i = 0; i < near_count; i++)
        show(&s, "near", i, near[i], "");
}

static size_t
neighbour_count(const void *state)
{
    const struct pastry *p = state;

    return p->state == PASTRY_IN ? p->contact_count : 0;
}

const struct topology_ops pastry_topology = {
    .name = "pastry",
    .abi = TOPOLOGY_ABI,
    .state_bytes = sizeof(struct pastry),
    .create = create,
    .destroy = destroy,
    .form = form,
    .join = join,
    .leave = leave,
    .next_hop = pastry_next_hop,
    .is_responsible = pastry_is_responsible,
    .replica_set = pastry_replica_set,
    .responsible_hint = pastry_responsible_hint,
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
