/* The table of members, what is asked of the host for it, and what others say of it. */
#include <string.h>

#include "tests/contract/foreign/onehop.h"

#define BODY_BYTES 8192
#define TASK_MS    15000u
#define LOST_MS    3000u

/* ---- the table ------------------------------------------------------------------------------ */

bool
onehop_is_joining(const struct onehop *o)
{
    return o->state > OUT && o->state < IN;
}

bool
onehop_is_usable(const struct onehop *o, const struct id *node)
{
    return o->env.is_usable(o->env.ctx, node);
}

/* Index of the first contact at @id or clockwise of it; contact_count if there is none up to us. */
unsigned
onehop_at_or_after(const struct onehop *o, const struct id *id)
{
    struct id distance = id_subtract(id, &o->conf.self);
    unsigned low = 0;
    unsigned high = o->contact_count;

    while (low < high) {
        unsigned middle = (low + high) / 2;

        if (id_compare(&o->contact[middle].distance, &distance) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool
onehop_is_contact(const struct onehop *o, const struct id *node)
{
    unsigned at = onehop_at_or_after(o, node);

    return at < o->contact_count && id_equal(&o->contact[at].node, node);
}

bool
onehop_add_contact(struct onehop *o, const struct id *node)
{
    unsigned at = onehop_at_or_after(o, node);

    if (onehop_is_contact(o, node))
        return true;
    if (o->contact_count == ONEHOP_MEMBERS_MAX || id_equal(node, &o->conf.self) ||
        !onehop_is_usable(o, node))
        return false;
    memmove(&o->contact[at + 1], &o->contact[at], (o->contact_count - at) * sizeof(o->contact[0]));
    o->contact[at] = (struct contact){*node, id_subtract(node, &o->conf.self)};
    o->contact_count++;
    o->is_changed = true;
    return true;
}

bool
onehop_remove_contact(struct onehop *o, const struct id *node)
{
    unsigned at = onehop_at_or_after(o, node);

    if (!onehop_is_contact(o, node))
        return false;
    o->contact_count--;
    memmove(&o->contact[at], &o->contact[at + 1], (o->contact_count - at) * sizeof(o->contact[0]));
    o->is_changed = true;
    return true;
}

/* Is @id in (predecessor, self]? */
bool
onehop_is_owned(const struct onehop *o, const struct id *id)
{
    if (o->contact_count == 0)
        return true;
    return id_is_in(id, &o->contact[o->contact_count - 1].node, &o->conf.self);
}

/* The members known, summed up: two with the same table have the same sum. */
struct id
onehop_sum_of(const struct onehop *o)
{
    struct id sum = {{0}};

    if (o->state == IN)
        sum = o->conf.self;
    for (unsigned i = 0; i < o->contact_count; i++)
        sum = id_add(&sum, &o->contact[i].node);
    return sum;
}

/* ---- what is asked of the host -------------------------------------------------------------- */

uint32_t
onehop_add_task(struct onehop *o, struct moment now, enum task_kind kind, const struct id *node)
{
    if (o->task_count == TASKS_MAX)
        return 0;
    if (++o->next_token == 0)
        o->next_token = 1;
    o->task[o->task_count++] = (struct task){o->next_token, kind, *node, now.mono_ms + TASK_MS};
    return o->next_token;
}

bool
onehop_take_task(struct onehop *o, uint32_t token, struct task *ret_task)
{
    for (unsigned i = 0; i < o->task_count; i++) {
        if (o->task[i].token != token)
            continue;
        *ret_task = o->task[i];
        o->task[i] = o->task[--o->task_count];
        return true;
    }
    return false;
}

bool
onehop_has_task(const struct onehop *o, enum task_kind kind, const struct id *node)
{
    for (unsigned i = 0; i < o->task_count; i++)
        if (o->task[i].kind == kind && (!node || id_equal(&o->task[i].node, node)))
            return true;
    return false;
}

void
onehop_send_update(struct onehop *o, struct moment now, const struct id *node, enum said said)
{
    struct topology_target to = {.count = 1, .to = {destination_node(node)}};
    struct id sum = onehop_sum_of(o);
    struct writer body;
    uint32_t token;

    if (onehop_has_task(o, TASK_UPDATE, node) && said != SAID_ADMITTED)
        return;
    token = onehop_add_task(o, now, TASK_UPDATE, node);
    if (!token)
        return;
    writer_init(&body, BODY_BYTES);
    writer_u8(&body, (uint8_t)said);
    writer_id(&body, &sum);
    if (!body.failed)
        o->env.request(o->env.ctx, token, &to, MESSAGE_UPDATE_REQ, writer_slice(&body));
    writer_done(&body);
}

void
onehop_introduce(struct onehop *o, struct moment now, const struct id *node)
{
    onehop_send_update(o, now, node, o->state == IN ? SAID_MEMBER : SAID_JOINER);
}

void
onehop_send_join(struct onehop *o, struct moment now)
{
    struct topology_target to = {.count = 1, .to = {destination_node(&o->door)}};
    struct join_req j = {.joining_peer = o->conf.self};
    uint32_t token = onehop_add_task(o, now, TASK_JOIN, &o->door);
    struct writer body;

    writer_init(&body, BODY_BYTES);
    join_req_write(&body, &j);
    if (token && !body.failed)
        o->env.request(o->env.ctx, token, &to, MESSAGE_JOIN_REQ, writer_slice(&body));
    writer_done(&body);
}

void
onehop_send_leaves(struct onehop *o)
{
    struct leave_req l = {.leaving_peer = o->conf.self};
    struct writer body;

    writer_init(&body, BODY_BYTES);
    leave_req_write(&body, &l);
    for (unsigned i = 0; i < o->contact_count && !body.failed; i++) {
        struct topology_target to = {.count = 1, .to = {destination_node(&o->contact[i].node)}};
        o->env.request(o->env.ctx, 0, &to, MESSAGE_LEAVE_REQ, writer_slice(&body));
    }
    writer_done(&body);
}

/* ---- hearing of others ---------------------------------------------------------------------- */

static bool
is_lost(const struct onehop *o, struct moment now, const struct id *node)
{
    for (unsigned i = 0; i < LOST_MAX; i++)
        if (o->lost[i].until_ms > now.mono_ms && id_equal(&o->lost[i].node, node))
            return true;
    return false;
}

/* Others name it until they know too: hearsay does not bring it back at once. */
void
onehop_lose(struct onehop *o, struct moment now, const struct id *node)
{
    onehop_remove_contact(o, node);
    o->lost[o->lost_next++ % LOST_MAX] = (struct lost){*node, now.mono_ms + LOST_MS};
}

void
onehop_want(struct onehop *o, struct moment now, const struct id *node)
{
    if (id_is_zero(node) || id_is_wildcard(node) || id_equal(node, &o->conf.self) ||
        onehop_is_contact(o, node) || is_lost(o, now, node) ||
        onehop_has_task(o, TASK_LINK, node) || onehop_has_task(o, TASK_UPDATE, node) ||
        o->wanted_count == WANTED_MAX)
        return;
    for (unsigned i = 0; i < o->wanted_count; i++)
        if (id_equal(&o->wanted[i], node))
            return;
    o->wanted[o->wanted_count++] = *node;
}

void
onehop_want_all(struct onehop *o, struct moment now, struct slice body)
{
    struct reader r;
    struct slice list;

    reader_init(&r, body);
    list = reader_opaque(&r, 2);
    if (!reader_is_done(&r) || list.len % ID_BYTES != 0) {
        log_to(&o->env.log, LOG_LEVEL_REMOTE, "answer refused: not a list of Node-IDs");
        return;
    }
    for (reader_init(&r, list); reader_left(&r) > 0;) {
        struct id node = reader_id(&r);
        onehop_want(o, now, &node);
    }
}

/* Room is kept for what matters more than another link. */
void
onehop_link_wanted(struct onehop *o, struct moment now)
{
    while (o->wanted_count > 0 && o->task_count < TASKS_MAX / 2) {
        struct id node = o->wanted[--o->wanted_count];
        struct topology_target to = {.count = 1, .to = {destination_node(&node)}};
        uint32_t token = onehop_add_task(o, now, TASK_LINK, &node);

        if (onehop_is_joining(o) && !id_equal(&node, &o->informant)) {
            to.to[1] = to.to[0];
            to.to[0] = destination_node(&o->informant);
            to.count = 2;
        }
        o->env.attach(o->env.ctx, token, &to, false);
    }
}
