#include <string.h>

#include "local-overlays/pastry/state.h"

#define BODY_BYTES 256

/* ---- asking --------------------------------------------------------------------------------- */

void
pastry_send_query(struct pastry *p, uint32_t token, const struct topology_target *to,
                  const struct id *resource, const struct pastry_query *q)
{
    struct route_query_req request = {.destination = destination_resource(resource)};
    struct writer plugin;
    struct writer body;

    writer_init(&plugin, BODY_BYTES);
    writer_init(&body, BODY_BYTES);
    pastry_query_write(&plugin, q);
    request.plugin = writer_slice(&plugin);
    route_query_req_write(&body, &request);
    if (!body.failed)
        p->env.request(p->env.ctx, token, to, MESSAGE_ROUTE_QUERY_REQ, writer_slice(&body));
    writer_done(&plugin);
    writer_done(&body);
}

static void
ask(struct pastry *p, struct moment now, const struct id *node, const struct pastry_query *q)
{
    struct topology_target to = pastry_to_node(node);
    uint32_t token = pastry_task_add(p, now, PASTRY_TASK_ASK, node, 0);

    if (token)
        pastry_send_query(p, token, &to, &p->conf.self, q);
}

/* An answer of a contact: is it still a member, and how far away? */
static bool
is_heard(struct pastry *p, struct moment now, const struct pastry_task *task, enum status st)
{
    if (p->state != PASTRY_IN || (st == ST_OK && !pastry_find(p, &task->node)))
        return false;
    if (st == ST_OK) {
        (void)pastry_put(p, &task->node, pastry_since_ms(now, task->sent_ms));
    } else if (st == ST_IN_PROGRESS && pastry_find(p, &task->node)) {
        pastry_drop(p, now, &task->node); /* it has restarted, and is no member */
        p->env.detach(p->env.ctx, &task->node);
    }
    return st == ST_OK;
}

void
pastry_on_tell_answer(struct pastry *p, struct moment now, const struct pastry_task *task,
                      enum status st)
{
    (void)is_heard(p, now, task, st);
}

void
pastry_on_ask_answer(struct pastry *p, struct moment now, const struct pastry_task *task,
                     enum status st, struct slice body)
{
    struct pastry_query_ans a;
    struct why why;

    if (!is_heard(p, now, task, st))
        return;
    if (pastry_query_ans_read(body, &task->node, &a, &why) != ST_OK) {
        log_to(&p->env.log, LOG_LEVEL_REMOTE, "answer refused: %s", why.text);
        return;
    }
    pastry_learn_leaves(p, now, &a.leaves, &task->node);
    pastry_learn_rows(p, now, a.near);
    pastry_learn_rows(p, now, a.rows);
}

/* ---- repair --------------------------------------------------------------------------------- */

/* The farthest live leaf of a side has the replacement on its own (section 2.5 of the paper). */
static void
repair_leaves(struct pastry *p, struct moment now)
{
    struct pastry_query q = {.wants = PASTRY_WANT_LEAVES};
    unsigned side = pastry_side(p);

    for (unsigned is_larger = 0; is_larger < 2; is_larger++)
        for (unsigned i = side; i-- > 0;) {
            const struct id *node =
                is_larger ? &pastry_larger(p, i)->node : &pastry_smaller(p, i)->node;
            if (!pastry_is_usable(p, node))
                continue;
            if (!pastry_task_find(p, PASTRY_TASK_ASK, node))
                ask(p, now, node, &q);
            break;
        }
}

/* Someone who shares @row digits with us: its row is as good as ours. */
static const struct id *
companion(struct pastry *p, unsigned row)
{
    const struct id *chosen = NULL;
    uint64_t seen = 0;

    for (unsigned i = 0; i < p->contact_count; i++) {
        const struct id *node = &p->contact[i].node;
        if (pastry_row(&p->conf.self, node) >= row && pastry_is_usable(p, node) &&
            p->env.random(p->env.ctx) % ++seen == 0)
            chosen = node;
    }
    return chosen;
}

static void
repair_rows(struct pastry *p, struct moment now)
{
    for (unsigned row = 0; row < PASTRY_ROWS; row++) {
        struct pastry_query q = {.first_row = (uint8_t)row, .row_count = 1};
        const struct id *node = (p->rows_to_repair >> row) & 1u ? companion(p, row) : NULL;

        if (node)
            ask(p, now, node, &q);
    }
    p->rows_to_repair = 0;
}

/* ---- vacant slots --------------------------------------------------------------------------- */

static struct id
random_id(struct pastry *p)
{
    struct id id;

    for (unsigned half = 0; half < 2; half++) {
        uint64_t bits = p->env.random(p->env.ctx);
        memcpy(id.bytes + 8 * half, &bits, 8);
    }
    return id;
}

/** A random ID that belongs into a slot. */
static struct id
slot_target(struct pastry *p, unsigned row, unsigned column)
{
    struct id target = random_id(p);
    uint8_t *byte = &target.bytes[row / 2];

    memcpy(target.bytes, p->conf.self.bytes, row / 2);
    if (row % 2)
        *byte = (uint8_t)((p->conf.self.bytes[row / 2] & 0xf0u) | column);
    else
        *byte = (uint8_t)((column << 4) | (*byte & 0x0fu));
    return target;
}

/* Whoever is responsible for a random ID of the slot is in the slot itself if anybody is; asked
 * only where at least two nodes are to be expected. */
static void
search(struct pastry *p, struct moment now)
{
    unsigned bits = pastry_size_bits(p);
    unsigned slots = bits > 1 ? (bits - 1) / PASTRY_DIGIT_BITS * PASTRY_COLUMNS : 0;
    unsigned first = slots ? (unsigned)(p->env.random(p->env.ctx) % slots) : 0;

    for (unsigned i = 0; i < slots; i++) {
        unsigned row = (first + i) % slots / PASTRY_COLUMNS;
        unsigned column = (first + i) % PASTRY_COLUMNS;
        struct id target = slot_target(p, row, column);
        struct topology_target to = {.count = 1, .to = {destination_resource(&target)}};
        struct pastry_query q = {0};
        uint32_t token;

        if (column == id_digit(&p->conf.self, row, PASTRY_DIGIT_BITS) ||
            !pastry_is_vacant(p, &target))
            continue;
        token = pastry_task_add(p, now, PASTRY_TASK_SEARCH, &target, 0);
        if (token)
            pastry_send_query(p, token, &to, &target, &q);
        return;
    }
}

void
pastry_on_search_answer(struct pastry *p, enum status st, const struct id *from)
{
    if (st == ST_OK && from && p->state == PASTRY_IN && pastry_is_vacant(p, from))
        pastry_remember(p, slice_of(from->bytes, ID_BYTES));
}

/* ---- rounds --------------------------------------------------------------------------------- */

static void
tell_leaves(struct pastry *p, struct moment now)
{
    for (unsigned i = 0; i < p->contact_count; i++) {
        struct pastry_contact *at = &p->contact[i];

        if (!pastry_is_leaf(p, &at->node))
            continue;
        at->owed_ms = now.mono_ms;
        p->owed_due_ms = now.mono_ms;
    }
    pastry_pay(p, now);
}

/* A third of the others are asked each time, which shows who is gone and how far they are; two of
 * them are asked for what they know: rows stay near by exchange, not by the join alone. */
static void
ask_others(struct pastry *p, struct moment now)
{
    unsigned count = p->contact_count;
    unsigned at = pastry_at(p, &p->asked);
    unsigned most = 1 + count / 3;
    unsigned asked = 0;

    for (unsigned i = 0; i < count && asked < most; i++) {
        const struct pastry_contact *contact = &p->contact[(at + 1 + i) % count];
        struct pastry_query q = {0};

        if (pastry_is_leaf(p, &contact->node))
            continue; /* it got our leaf set */
        if (asked++ < 2) {
            q.wants = contact->is_near ? PASTRY_WANT_NEAR : 0;
            q.first_row = (uint8_t)pastry_row(&p->conf.self, &contact->node);
            q.row_count = 1;
        }
        p->asked = contact->node;
        ask(p, now, &contact->node, &q);
    }
}

static void
begin_round(struct pastry *p, struct moment now)
{
    p->round_due_ms =
        now.mono_ms + p->round_ms * 3 / 4 + p->env.random(p->env.ctx) % (p->round_ms / 2 + 1);
    p->round_ms = p->round_ms * 2 < p->conf.update_ms ? p->round_ms * 2 : p->conf.update_ms;
    tell_leaves(p, now);
    ask_others(p, now);
    search(p, now);
}

void
pastry_maintain_begin(struct pastry *p, struct moment now)
{
    p->round_ms = p->conf.update_ms < PASTRY_FIRST_MS ? p->conf.update_ms : PASTRY_FIRST_MS;
    p->round_due_ms = now.mono_ms + p->round_ms / 2 + p->env.random(p->env.ctx) % p->round_ms;
    p->measure_ms = PASTRY_FIRST_MS;
    p->measure_due_ms = now.mono_ms;
    p->row_repair_due_ms = MOMENT_NEVER;
    p->leaf_repair_due_ms = MOMENT_NEVER;
    p->leaf_recheck_due_ms = MOMENT_NEVER;
    p->rows_to_repair = 0;
}

static bool
is_due(uint64_t *due_ms, struct moment now)
{
    if (now.mono_ms < *due_ms)
        return false;
    *due_ms = MOMENT_NEVER;
    return true;
}

void
pastry_maintain_tick(struct pastry *p, struct moment now)
{
    bool is_repair_due = is_due(&p->leaf_repair_due_ms, now);

    if (is_due(&p->leaf_recheck_due_ms, now) || is_repair_due)
        repair_leaves(p, now);
    if (is_due(&p->row_repair_due_ms, now))
        repair_rows(p, now);
    if (is_due(&p->owed_due_ms, now))
        pastry_pay(p, now);
    if (is_due(&p->round_due_ms, now))
        begin_round(p, now);
}

uint64_t
pastry_maintain_due_ms(const struct pastry *p)
{
    uint64_t due_ms = moment_earlier_ms(p->round_due_ms, p->owed_due_ms);

    due_ms = moment_earlier_ms(due_ms, p->row_repair_due_ms);
    due_ms = moment_earlier_ms(due_ms, p->leaf_repair_due_ms);
    return moment_earlier_ms(due_ms, p->leaf_recheck_due_ms);
}
