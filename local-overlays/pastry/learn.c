#include <stdlib.h>
#include <string.h>

#include "local-overlays/pastry/state.h"

/* ---- the lost ------------------------------------------------------------------------------- */

bool
pastry_is_lost(const struct pastry *p, struct moment now, const struct id *node)
{
    for (unsigned i = 0; i < PASTRY_LOST_MAX; i++)
        if (p->lost[i].until_ms > now.mono_ms && id_equal(&p->lost[i].node, node))
            return true;
    return false;
}

static void
remember_lost(struct pastry *p, struct moment now, const struct id *node)
{
    p->lost[p->lost_next % PASTRY_LOST_MAX] =
        (struct pastry_lost){.node = *node, .until_ms = now.mono_ms + PASTRY_LOST_MS};
    p->lost_next++;
}

void
pastry_drop(struct pastry *p, struct moment now, const struct id *node)
{
    bool was_leaf = pastry_is_leaf(p, node);

    remember_lost(p, now, node);
    if (!pastry_remove(p, node) || p->state != PASTRY_IN)
        return;
    if (was_leaf) {
        p->leaf_repair_due_ms = moment_earlier_ms(p->leaf_repair_due_ms, now.mono_ms);
        p->leaf_recheck_due_ms = now.mono_ms + PASTRY_LOST_MS + PASTRY_REPAIR_MS;
    }
    if (pastry_is_vacant(p, node)) {
        p->rows_to_repair |= 1u << pastry_row(&p->conf.self, node);
        p->row_repair_due_ms =
            moment_earlier_ms(p->row_repair_due_ms, now.mono_ms + PASTRY_REPAIR_MS);
    }
}

/* ---- building links ------------------------------------------------------------------------- */

static bool
is_name(const struct pastry *p, const struct id *node)
{
    return !id_is_zero(node) && !id_is_wildcard(node) && !id_equal(node, &p->conf.self);
}

static bool
is_under_way(const struct pastry *p, const struct id *node)
{
    return pastry_task_find(p, PASTRY_TASK_LINK, node) ||
           pastry_task_find(p, PASTRY_TASK_HELLO, node);
}

/* Through whoever named it, as RFC 6940 section 10.6 has it: that one knows the way. */
static void
attach(struct pastry *p, struct moment now, const struct id *node, const struct id *via,
       enum pastry_purpose purpose)
{
    struct topology_target to = pastry_to_node(node);
    uint32_t token = pastry_task_add(p, now, PASTRY_TASK_LINK, node, purpose);

    if (via && !id_equal(via, node) && pastry_is_usable(p, via)) {
        to.count = 2;
        to.to[0] = destination_node(via);
        to.to[1] = destination_node(node);
    }
    if (token)
        p->env.attach(p->env.ctx, token, &to, false);
}

/* An Update tells it of us and is answered by members alone; a joiner may not say that it is one,
 * and asks instead. */
static void
say_hello(struct pastry *p, struct moment now, const struct id *node, enum pastry_purpose purpose)
{
    bool is_update = p->state == PASTRY_IN && purpose != PASTRY_FOR_MEASURE;
    struct pastry_query q = {0};
    struct topology_target to = pastry_to_node(node);
    uint32_t token = pastry_task_add(p, now, PASTRY_TASK_HELLO, node, purpose);

    if (!token)
        return;
    p->task[p->task_count - 1].is_update = is_update;
    if (is_update)
        pastry_send_update(p, node, purpose == PASTRY_FOR_LEAF ? PASTRY_LEAVES : PASTRY_STATE,
                           token);
    else
        pastry_send_query(p, token, &to, &p->conf.self, &q);
}

/* What was wanted of it may be done by others in the meantime. */
static enum pastry_purpose
purpose_now(const struct pastry *p, const struct id *node, enum pastry_purpose purpose)
{
    if (p->state != PASTRY_IN || pastry_is_leaf_wanted(p, node))
        return PASTRY_FOR_LEAF;
    if (purpose != PASTRY_FOR_MEASURE && pastry_is_vacant(p, node))
        return PASTRY_FOR_ROW;
    return PASTRY_FOR_MEASURE;
}

void
pastry_learn_on_attach(struct pastry *p, struct moment now, const struct pastry_task *task,
                       enum status st)
{
    if (st != ST_OK) {
        if (!pastry_find(p, &task->node))
            remember_lost(p, now, &task->node);
    } else if (!pastry_find(p, &task->node)) {
        say_hello(p, now, &task->node, purpose_now(p, &task->node, task->purpose));
    }
}

/* It is a member, and this far away. */
static void
enter_contact(struct pastry *p, struct moment now, const struct pastry_task *task)
{
    struct pastry_contact *contact =
        pastry_put(p, &task->node, pastry_since_ms(now, task->sent_ms));

    if (!contact)
        p->env.detach(p->env.ctx, &task->node);
    else if (task->is_update)
        contact->told_ms = now.mono_ms;
    else if (p->state == PASTRY_IN)
        pastry_owe(p, now, contact, true);
}

void
pastry_learn_on_hello(struct pastry *p, struct moment now, const struct pastry_task *task,
                      enum status st, struct slice body)
{
    struct pastry_query_ans a = {0};
    struct why why = {""};

    if (st == ST_OK && !task->is_update)
        st = pastry_query_ans_read(body, &task->node, &a, &why);
    if (why.text[0])
        log_to(&p->env.log, LOG_LEVEL_REMOTE, "answer refused: %s", why.text);
    if (st != ST_OK) {
        if (!pastry_remove(p, &task->node))
            remember_lost(p, now, &task->node);
        p->env.detach(p->env.ctx, &task->node);
        return;
    }
    enter_contact(p, now, task);
}

/* ---- rumours -------------------------------------------------------------------------------- */

void
pastry_learn_leaf(struct pastry *p, struct moment now, const struct id *node, const struct id *via)
{
    if (is_name(p, node) && pastry_is_leaf_wanted(p, node) && !pastry_find(p, node) &&
        !pastry_is_lost(p, now, node) && !is_under_way(p, node))
        attach(p, now, node, via, PASTRY_FOR_LEAF);
}

void
pastry_learn_leaves(struct pastry *p, struct moment now, const struct pastry_leaves *leaves,
                    const struct id *via)
{
    for (size_t i = 0; i < pastry_count(leaves->smaller); i++) {
        struct id smaller = pastry_nth(leaves->smaller, i);
        struct id larger = pastry_nth(leaves->larger, i);
        pastry_learn_leaf(p, now, &smaller, via);
        pastry_learn_leaf(p, now, &larger, via);
    }
}

static void
remember(struct pastry *p, const struct id *node)
{
    unsigned cap = p->candidate_cap ? 2u * p->candidate_cap : 16;
    struct id *grown;

    if (!is_name(p, node) || pastry_find(p, node))
        return;
    if (p->candidate_count == p->candidate_cap) {
        if (cap > PASTRY_CANDIDATES_MAX)
            return;
        grown = realloc(p->candidate, cap * sizeof(*grown));
        if (!grown)
            return;
        p->candidate = grown;
        p->candidate_cap = (uint16_t)cap;
    }
    p->candidate[p->candidate_count++] = *node;
}

void
pastry_remember(struct pastry *p, struct slice nodes)
{
    for (size_t i = 0; i < pastry_count(nodes); i++) {
        struct id node = pastry_nth(nodes, i);
        remember(p, &node);
    }
}

/* One at a time whose slot has an entry is looked at, to see whether it is nearer. */
static void
measure(struct pastry *p, struct moment now, const struct id *node)
{
    if (p->state != PASTRY_IN || now.mono_ms < p->measure_due_ms || is_under_way(p, node))
        return;
    p->measure_due_ms = now.mono_ms + p->measure_ms;
    p->measure_ms = p->measure_ms * 2 < PASTRY_MEASURE_MS ? p->measure_ms * 2 : PASTRY_MEASURE_MS;
    attach(p, now, node, NULL, PASTRY_FOR_MEASURE);
}

void
pastry_learn_rows(struct pastry *p, struct moment now, struct slice nodes)
{
    uint64_t seen = 0;
    struct id chosen;

    for (size_t i = 0; i < pastry_count(nodes); i++) {
        struct id node = pastry_nth(nodes, i);
        if (!is_name(p, &node) || pastry_find(p, &node) || pastry_is_lost(p, now, &node))
            continue;
        if (pastry_is_vacant(p, &node))
            remember(p, &node);
        else if (p->env.random(p->env.ctx) % ++seen == 0)
            chosen = node;
    }
    if (seen)
        measure(p, now, &chosen);
}

static bool
is_slot_under_way(const struct pastry *p, const struct id *node)
{
    unsigned slot_bits = PASTRY_DIGIT_BITS * (pastry_row(&p->conf.self, node) + 1);

    for (unsigned i = 0; i < p->task_count; i++)
        if ((p->task[i].kind == PASTRY_TASK_LINK || p->task[i].kind == PASTRY_TASK_HELLO) &&
            id_common_bits(&p->task[i].node, node) >= slot_bits)
            return true;
    return false;
}

void
pastry_fill(struct pastry *p, struct moment now)
{
    while (p->candidate_count > 0 &&
           pastry_task_count(p, PASTRY_TASK_LINK) + pastry_task_count(p, PASTRY_TASK_HELLO) <
               PASTRY_FILL_MAX) {
        struct id node = p->candidate[--p->candidate_count];

        if (pastry_is_vacant(p, &node) && !pastry_is_lost(p, now, &node) &&
            !is_slot_under_way(p, &node))
            attach(p, now, &node, NULL, PASTRY_FOR_ROW);
    }
    if (p->candidate_count == 0) {
        free(p->candidate);
        p->candidate = NULL;
        p->candidate_cap = 0;
    }
}

/* What it is worth to us, its own link is up: if not at once, then once its distance is known. */
void
pastry_meet(struct pastry *p, struct moment now, const struct id *node)
{
    if (pastry_find(p, node))
        return;
    if (pastry_is_leaf_wanted(p, node) || pastry_is_vacant(p, node))
        (void)pastry_put(p, node, PASTRY_RTT_UNKNOWN);
    else if (!is_under_way(p, node))
        say_hello(p, now, node, PASTRY_FOR_MEASURE);
}
