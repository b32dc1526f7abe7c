#include "local-overlays/can/can.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "local-overlays/can/state.h"

/* ---- tasks ---------------------------------------------------------------------------------- */

uint32_t
can_token(struct can *c)
{
    if (++c->next_token == 0)
        c->next_token = 1;
    return c->next_token;
}

uint32_t
can_task_add(struct can *c, struct moment now, enum can_task_kind kind,
             const struct can_peer *about, const struct id *via)
{
    if (c->task_count == CAN_TASKS_MAX)
        return 0;
    c->task[c->task_count++] = (struct can_task){.token = can_token(c),
                                                 .kind = kind,
                                                 .about = *about,
                                                 .via = *via,
                                                 .expire_ms = now.mono_ms + CAN_TASK_MS};
    return c->next_token;
}

unsigned
can_task_count(const struct can *c, enum can_task_kind kind)
{
    unsigned count = 0;

    for (unsigned i = 0; i < c->task_count; i++)
        count += c->task[i].kind == kind;
    return count;
}

static bool
take_task(struct can *c, uint32_t token, struct can_task *ret_task)
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

static uint64_t
digest_of(const struct id *node)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (unsigned i = 0; i < ID_BYTES; i++)
        hash = (hash ^ node->bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

/* Copies are held on the other side of our deepest planes: one plane for each copy at most, and one
 * more for a contact in doubt. */
static unsigned
holders_level(const struct can *c)
{
    unsigned left = c->conf.replica_count + 1;

    for (unsigned level = CAN_LEVELS; level-- > 0;)
        if (can_levels_has(&c->levels, level) && --left == 0)
            return level;
    return 0;
}

static struct can_shown
look(const struct can *c)
{
    struct can_shown seen = {.zone = c->zone};
    unsigned deep = holders_level(c);

    for (unsigned i = 0; i < c->contact_count; i++) {
        uint64_t digest = digest_of(&c->contact[i].node);
        seen.contacts += digest;
        seen.named += c->contact[i].is_named ? digest : 0;
        seen.holders += c->contact[i].has_told && c->contact[i].level >= deep ? digest : 0;
    }
    return seen;
}

static void
tell_host(struct can *c, struct moment now)
{
    struct can_shown seen = look(c);
    bool is_zone_changed = !can_zone_equal(c->dimensions, &seen.zone, &c->shown.zone);
    uint64_t wait_ms = is_zone_changed ? CAN_SETTLE_MS : CAN_GATHER_MS;
    unsigned changes = TOPOLOGY_NEIGHBOURS;

    if (!is_zone_changed && seen.contacts == c->shown.contacts && seen.named == c->shown.named)
        return;
    if (is_zone_changed || seen.holders != c->shown.holders)
        changes |= TOPOLOGY_RESPONSIBILITY;
    c->shown = seen;
    c->trim_due_ms = moment_earlier_ms(c->trim_due_ms, now.mono_ms + 2 * CAN_FRESH_MS);
    c->update_due_ms = moment_earlier_ms(c->update_due_ms, now.mono_ms + wait_ms +
                                                               c->env.random(c->env.ctx) % wait_ms);
    c->env.changed(c->env.ctx, changes);
}

static void
settle(struct can *c, struct moment now)
{
    can_refresh(c, now);
    if (c->is_scan_due && c->state != CAN_OUT)
        can_scan(c, now);
    can_join_progress(c, now);
    if (c->state == CAN_IN)
        tell_host(c, now);
    can_check(c);
}

/* ---- life ----------------------------------------------------------------------------------- */

static bool
read_dimensions(const char **text, unsigned *ret_dimensions)
{
    static const char key[] = "dimensions=";
    const char *value = *text + sizeof(key) - 1;

    if (strncmp(*text, key, sizeof(key) - 1) != 0 || value[0] < '0' + CAN_DIMENSIONS_MIN ||
        value[0] > '0' + CAN_DIMENSIONS_MAX)
        return false;
    *ret_dimensions = (unsigned)(value[0] - '0');
    *text = value + 1;
    return true;
}

/* "", "dimensions=N", "next-hop=rtt" or "dimensions=N,next-hop=rtt": one way to say it each, for
 * the text is compared with that of others. */
static bool
read_parameters(struct can *c, const char *text)
{
    c->dimensions = CAN_DIMENSIONS;
    if (read_dimensions(&text, &c->dimensions)) {
        if (*text == '\0')
            return true;
        if (*text++ != ',')
            return false;
    } else if (*text == '\0') {
        return true;
    }
    c->is_by_rtt = strcmp(text, "next-hop=rtt") == 0;
    return c->is_by_rtt;
}

static enum status
create(void *state, const struct topology_conf *conf, const struct topology_env *env,
       struct why *why)
{
    struct can *c = state;

    if (!read_parameters(c, conf->parameters))
        return why_set(why, ST_RANGE,
                       "can takes dimensions=N with N of %d to %d, and next-hop=rtt, with a comma "
                       "between them, found \"%s\"",
                       CAN_DIMENSIONS_MIN, CAN_DIMENSIONS_MAX, conf->parameters);
    if (conf->replica_count > CAN_REPLICAS_MAX)
        return why_set(why, ST_RANGE, "can keeps at most %d replicas", CAN_REPLICAS_MAX);
    c->conf = *conf;
    c->env = *env;
    c->zone = can_zone_of(c->dimensions, &c->conf.self, &c->levels);
    c->update_due_ms = c->stabilise_due_ms = c->trim_due_ms = MOMENT_NEVER;
    if (c->conf.update_ms == 0)
        c->conf.update_ms = CAN_UPDATE_MS;
    return ST_OK;
}

static void
destroy(void *state)
{
    struct can *c = state;

    can_remove_all(c);
    free(c->contact);
    c->contact = NULL;
    c->contact_cap = 0;
}

static void
form(void *state, struct moment now)
{
    struct can *c = state;

    assert(c->state == CAN_OUT);
    can_become_in(c, now);
    c->env.changed(c->env.ctx, TOPOLOGY_RESPONSIBILITY);
    settle(c, now);
}

static void
join(void *state, struct moment now, const struct id *informant)
{
    struct can *c = state;

    assert(c->state == CAN_OUT);
    can_join_begin(c, now, informant);
    settle(c, now);
}

static void
leave(void *state, struct moment now)
{
    struct can *c = state;

    if (c->state == CAN_IN)
        can_send_leave(c, now);
    for (unsigned i = 0; i < c->contact_count; i++)
        c->env.detach(c->env.ctx, &c->contact[i].node);
    can_remove_all(c);
    c->task_count = 0;
    c->joiner_count = 0;
    memset(c->lost, 0, sizeof(c->lost));
    c->state = CAN_OUT;
    memset(&c->shown, 0, sizeof(c->shown));
    settle(c, now);
}

/* ---- events --------------------------------------------------------------------------------- */

static enum status
on_request(void *state, struct moment now, const struct topology_request *req,
           struct writer *ret_body, struct why *why)
{
    struct can *c = state;
    enum status st;

    switch (req->code) {
    case MESSAGE_JOIN_REQ:
        st = can_admit(c, now, req, ret_body, why);
        break;
    case MESSAGE_LEAVE_REQ:
        st = can_on_leave(c, now, req, why);
        break;
    case MESSAGE_UPDATE_REQ:
        st = can_on_update(c, now, req, why);
        break;
    case MESSAGE_ROUTE_QUERY_REQ:
        st = can_on_route_query(c, now, req, ret_body, why);
        break;
    default:
        return why_set(why, ST_UNSUPPORTED, "no request of this plug-in");
    }
    settle(c, now);
    return st;
}

static void
end_task(struct can *c, struct moment now, const struct can_task *task, enum status st,
         const struct id *node)
{
    switch (task->kind) {
    case CAN_TASK_OWNER:
        can_join_on_owner(c, now, st, node);
        break;
    case CAN_TASK_NEIGHBOUR:
    case CAN_TASK_AUDIT:
        can_neighbour_on_attach(c, now, task, st, node);
        break;
    case CAN_TASK_JOIN:
        can_join_on_answer(c, now, st);
        break;
    case CAN_TASK_OFFER:
        can_admit_on_offered(c, now, &task->about.node);
        break;
    }
}

static void
on_answer(void *state, struct moment now, uint32_t token, enum status st, const struct id *from,
          struct slice body)
{
    struct can *c = state;
    struct can_task task;

    (void)body;
    if (token && take_task(c, token, &task))
        end_task(c, now, &task, st, from);
    else
        can_on_told(c, now, token, st, from);
    settle(c, now);
}

static void
on_attach(void *state, struct moment now, uint32_t token, enum status st, const struct id *node)
{
    struct can *c = state;
    struct can_task task;

    if (take_task(c, token, &task))
        end_task(c, now, &task, st, node);
    settle(c, now);
}

static void
on_offered(void *state, struct moment now, uint32_t token, enum status st)
{
    struct can *c = state;
    struct can_task task;

    if (st != ST_OK)
        log_to(&c->env.log, LOG_LEVEL_WARN, "records were not all offered: %s", status_text(st));
    if (take_task(c, token, &task))
        end_task(c, now, &task, st, NULL);
    settle(c, now);
}

static void
on_linked(void *state, struct moment now, const struct id *node, bool wants_update)
{
    struct can *c = state;

    if (wants_update && c->state == CAN_IN && c->env.is_usable(c->env.ctx, node))
        can_send_update(c, now, node, CAN_MEMBER);
    settle(c, now);
}

/* next_hop and replica_set ask the host each time; a suspicion alone moves nobody's zone.  Copies
 * that could not be made in the meantime are made when it is over. */
static void
on_suspect(void *state, struct moment now, const struct id *node, bool is_suspect)
{
    struct can *c = state;
    const struct can_contact *contact = can_find(c, node);

    if (c->state == CAN_IN && !is_suspect && contact && contact->level >= holders_level(c))
        c->env.changed(c->env.ctx, TOPOLOGY_RESPONSIBILITY);
    settle(c, now);
}

static void
neighbour_lost(void *state, struct moment now, const struct id *node)
{
    struct can *c = state;

    can_admit_end(c, node);
    if (can_find(c, node))
        can_drop(c, now, node, true);
    can_join_on_lost(c, now, node);
    settle(c, now);
}

static uint64_t
deadline_ms(const void *state)
{
    const struct can *c = state;
    uint64_t due_ms = MOMENT_NEVER;

    for (unsigned i = 0; i < c->task_count; i++)
        due_ms = moment_earlier_ms(due_ms, c->task[i].expire_ms);
    if (can_is_joining(c))
        return moment_earlier_ms(due_ms, moment_earlier_ms(c->step_due_ms, c->join_end_ms));
    if (c->state != CAN_IN)
        return due_ms;
    for (unsigned i = 0; i < c->joiner_count; i++)
        due_ms = moment_earlier_ms(due_ms, c->joiner[i].end_ms);
    return moment_earlier_ms(due_ms, can_update_deadline_ms(c));
}

static void
expire_tasks(struct can *c, struct moment now)
{
    for (unsigned i = 0; i < c->task_count;) {
        struct can_task task = c->task[i];
        if (now.mono_ms < task.expire_ms) {
            i++;
            continue;
        }
        c->task[i] = c->task[--c->task_count];
        end_task(c, now, &task, ST_TIMEOUT, NULL);
    }
}

static void
tick(void *state, struct moment now)
{
    struct can *c = state;

    expire_tasks(c, now);
    if (can_is_joining(c))
        can_join_tick(c, now);
    if (c->state == CAN_IN) {
        can_admit_tick(c, now);
        can_update_tick(c, now);
    }
    settle(c, now);
}

/* ---- what an operator sees ------------------------------------------------------------------ */

static void
show_zone(const struct can *c, void (*visit)(void *ctx, const struct topology_dump *line),
          void *ctx)
{
    for (unsigned k = 0; k < c->dimensions; k++) {
        struct topology_dump line = {.table = "zone", .index = k, .node = c->conf.self};

        snprintf(line.note, sizeof(line.note), "%016llx to %016llx",
                 (unsigned long long)c->zone.low[k], (unsigned long long)c->zone.high[k]);
        visit(ctx, &line);
    }
}

static void
show_contacts(const struct can *c, bool are_neighbours,
              void (*visit)(void *ctx, const struct topology_dump *line), void *ctx)
{
    struct topology_dump line = {.table = are_neighbours ? "neighbour" : "witness"};

    for (unsigned i = 0; i < c->contact_count; i++) {
        const struct can_contact *at = &c->contact[i];

        if (!at->has_told || at->is_neighbour != are_neighbours)
            continue;
        line.node = at->node;
        snprintf(line.note, sizeof(line.note), "level %u, 2^-%.1f of the torus", at->level,
                 can_zone_bits(c->dimensions, &at->zone));
        visit(ctx, &line);
        line.index++;
    }
}

static void
dump(const void *state, void (*visit)(void *ctx, const struct topology_dump *line), void *ctx)
{
    const struct can *c = state;

    if (c->state != CAN_IN)
        return;
    show_zone(c, visit, ctx);
    show_contacts(c, true, visit, ctx);
    show_contacts(c, false, visit, ctx);
}

static size_t
neighbour_count(const void *state)
{
    const struct can *c = state;
    size_t count = 0;

    for (unsigned i = 0; c->state == CAN_IN && i < c->contact_count; i++)
        count += c->contact[i].has_told;
    return count;
}

const struct topology_ops can_topology = {
    .name = "can",
    .abi = TOPOLOGY_ABI,
    .state_bytes = sizeof(struct can),
    .create = create,
    .destroy = destroy,
    .form = form,
    .join = join,
    .leave = leave,
    .next_hop = can_next_hop,
    .is_responsible = can_is_responsible,
    .replica_set = can_replica_set,
    .responsible_hint = can_responsible_hint,
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
