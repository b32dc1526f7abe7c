#include <string.h>

#include "local-overlays/can/state.h"

/* ---- what is told --------------------------------------------------------------------------- */

static void
write_news(struct writer *w, const struct can *c, struct moment now, enum can_news_type type,
           bool needs_you)
{
    struct can_news n = {.type = (uint8_t)type,
                         .needs_you = needs_you,
                         .uptime_s = (uint32_t)((now.mono_ms - c->in_since_ms) / 1000),
                         .levels = c->levels};
    struct writer peers;

    writer_init(&peers, CAN_NEWS_BYTES_MAX);
    for (unsigned i = 0; i < c->contact_count; i++)
        if (c->contact[i].is_named)
            can_peer_write(&peers, &c->contact[i].node, &c->contact[i].levels);
    if (!peers.failed)
        n.peers = writer_slice(&peers);
    can_news_write(w, &n);
    writer_done(&peers);
}

void
can_send_update(struct can *c, struct moment now, const struct id *node, enum can_news_type type)
{
    struct topology_target to = can_to_node(node);
    struct can_contact *contact = can_find(c, node);
    uint32_t token = contact ? can_token(c) : 0;
    struct writer body;

    if (contact) {
        contact->reminded_ms = now.mono_ms;
        contact->told_token = token;
        contact->told_of = c->edition;
        contact->told_needed = contact->is_needed;
    }
    writer_init(&body, CAN_NEWS_BYTES_MAX);
    write_news(&body, c, now, type, contact && contact->is_needed);
    if (!body.failed)
        c->env.request(c->env.ctx, token, &to, MESSAGE_UPDATE_REQ, writer_slice(&body));
    writer_done(&body);
}

void
can_on_told(struct can *c, struct moment now, uint32_t token, enum status st, const struct id *from)
{
    struct can_contact *contact = from ? can_find(c, from) : NULL;

    if (!contact || (token && token != contact->told_token))
        return;
    if (st == ST_IN_PROGRESS) { /* it has restarted, and is no member */
        can_drop(c, now, from, false);
        c->env.detach(c->env.ctx, from);
    } else if (st == ST_OK && token) {
        uint32_t rtt_ms = (uint32_t)(now.mono_ms - contact->reminded_ms) + 1; /* begun ones count */

        contact->told_token = 0;
        contact->rtt_ms = contact->rtt_ms ? (3 * contact->rtt_ms + rtt_ms + 2) / 4 : rtt_ms;
    }
}

void
can_send_leave(struct can *c, struct moment now)
{
    struct leave_req l = {.leaving_peer = c->conf.self};
    struct writer plugin;
    struct writer body;

    writer_init(&plugin, CAN_NEWS_BYTES_MAX);
    writer_init(&body, CAN_NEWS_BYTES_MAX + 64);
    write_news(&plugin, c, now, CAN_MEMBER, false);
    l.plugin = writer_slice(&plugin);
    leave_req_write(&body, &l);
    for (unsigned i = 0; i < c->contact_count && !plugin.failed && !body.failed; i++) {
        struct topology_target to = can_to_node(&c->contact[i].node);
        c->env.request(c->env.ctx, 0, &to, MESSAGE_LEAVE_REQ, writer_slice(&body));
    }
    writer_done(&plugin);
    writer_done(&body);
}

/* ---- who is gone ---------------------------------------------------------------------------- */

static struct can_lost *
find_lost(struct can *c, struct moment now, const struct id *node)
{
    for (unsigned i = 0; i < CAN_LOST_MAX; i++)
        if (c->lost[i].until_ms > now.mono_ms && id_equal(&c->lost[i].peer.node, node))
            return &c->lost[i];
    return NULL;
}

static void
remember_lost(struct can *c, struct moment now, const struct can_peer *peer, bool is_missed)
{
    c->lost[c->lost_next++ % CAN_LOST_MAX] = (struct can_lost){
        .peer = *peer, .until_ms = now.mono_ms + CAN_LOST_MS, .is_missed = is_missed};
}

static void
keep_list(struct can *c, struct moment now, struct can_list list)
{
    struct can_orphan *orphan = &c->orphan[c->orphan_next++ % CAN_ORPHANS_MAX];

    can_list_free(&orphan->list);
    *orphan = (struct can_orphan){.list = list, .until_ms = now.mono_ms + CAN_ORPHAN_MS};
}

/*
 * A contact that was alone on the other side of its plane leaves its part of the torus to us and
 * our side.  One that was not is followed by others there, whom we may not know yet: the plane
 * stands until they are found, or for a while.  What was never more than a link has no followers.
 */
void
can_drop(struct can *c, struct moment now, const struct id *node, bool is_missed)
{
    struct can_contact *contact = can_find(c, node);
    struct can_peer peer = {.node = *node};
    struct can_list list;
    bool is_followed;
    unsigned level;

    if (contact)
        peer.levels = contact->levels;
    remember_lost(c, now, &peer, is_missed);
    if (!contact)
        return;
    level = contact->level;
    is_followed = contact->has_told && can_levels_has_above(&contact->levels, level);
    can_remove(c, contact, &list);
    keep_list(c, now, list);
    if (is_followed && c->state == CAN_IN)
        can_keep_plane(c, now, level);
    c->is_scan_due = true;
    can_refresh(c, now);
}

/* ---- who is looked for ---------------------------------------------------------------------- */

static bool
is_attaching(const struct can *c, const struct id *node)
{
    for (unsigned i = 0; i < c->task_count; i++)
        if (c->task[i].kind == CAN_TASK_NEIGHBOUR && id_equal(&c->task[i].about.node, node))
            return true;
    return false;
}

static unsigned
tasks_via(const struct can *c, const struct id *via)
{
    unsigned count = 0;

    for (unsigned i = 0; i < c->task_count; i++)
        count += c->task[i].kind == CAN_TASK_NEIGHBOUR && id_equal(&c->task[i].via, via);
    return count;
}

void
can_attach_to(struct can *c, struct moment now, const struct can_peer *peer, const struct id *via)
{
    struct topology_target to = can_to_node(&peer->node);
    uint32_t token;

    if (c->task_count + 4 >= CAN_TASKS_MAX || (via && tasks_via(c, via) >= CAN_VIA_MAX)) {
        c->is_scan_cut = true; /* once others are done */
        return;
    }
    if (via && !id_equal(via, &peer->node) && c->env.is_usable(c->env.ctx, via)) {
        to.count = 2;
        to.to[0] = destination_node(via);
        to.to[1] = destination_node(&peer->node);
    }
    token = can_task_add(c, now, CAN_TASK_NEIGHBOUR, peer, via ? via : &peer->node);
    if (token)
        c->env.attach(c->env.ctx, token, &to, true);
}

static void
consider(struct can *c, struct moment now, const struct can_peer *peer, const struct id *via)
{
    struct can_lost *lost;

    if (id_is_zero(&peer->node) || id_is_wildcard(&peer->node) ||
        id_equal(&peer->node, &c->conf.self) || can_find(c, &peer->node) ||
        !can_is_wanted(c, peer) || is_attaching(c, &peer->node))
        return;
    lost = find_lost(c, now, &peer->node);
    if (lost)
        *lost = (struct can_lost){.peer = *peer, .until_ms = lost->until_ms, .is_missed = true};
    else
        can_attach_to(c, now, peer, via);
}

static void
scan_list(struct can *c, struct moment now, const struct can_list *list, const struct id *via)
{
    for (size_t i = 0; i < list->count; i++) {
        struct can_peer peer = can_list_peer(list, i);
        consider(c, now, &peer, via);
    }
}

void
can_scan(struct can *c, struct moment now)
{
    c->is_scan_due = false;
    for (unsigned i = 0; i < c->contact_count; i++)
        scan_list(c, now, &c->contact[i].list, &c->contact[i].node);
    for (unsigned i = 0; i < CAN_ORPHANS_MAX; i++) {
        if (c->orphan[i].until_ms > now.mono_ms)
            scan_list(c, now, &c->orphan[i].list, NULL);
        else
            can_list_free(&c->orphan[i].list);
    }
}

void
can_neighbour_on_attach(struct can *c, struct moment now, const struct can_task *task,
                        enum status st, const struct id *node)
{
    c->is_scan_due |= st != ST_OK || c->is_scan_cut;
    c->is_scan_cut = false;
    if (st != ST_OK || id_equal(node, &c->conf.self)) {
        if (task->kind == CAN_TASK_NEIGHBOUR && !can_find(c, &task->about.node))
            remember_lost(c, now, &task->about, false);
        return;
    }
    if (task->kind == CAN_TASK_NEIGHBOUR && id_equal(node, &task->about.node) &&
        !can_add(c, now, &task->about))
        return;
    if (c->state == CAN_IN)
        can_send_update(c, now, node, CAN_MEMBER);
}

/* ---- what is heard -------------------------------------------------------------------------- */

static void
forget_lost(struct can *c, const struct id *node)
{
    for (unsigned i = 0; i < CAN_LOST_MAX; i++)
        if (id_equal(&c->lost[i].peer.node, node))
            c->lost[i] = (struct can_lost){.until_ms = 0};
}

/* The sender's own word on itself replaces what others said of it. */
static struct can_contact *
hear(struct can *c, struct moment now, const struct id *from, const struct can_news *n)
{
    struct can_peer peer = {.node = *from, .levels = n->levels};
    struct can_contact *contact = can_find(c, from);

    forget_lost(c, from);
    if (contact || n->needs_you || is_attaching(c, from) || can_is_wanted(c, &peer))
        contact = can_add(c, now, &peer);
    if (!contact)
        return NULL;
    contact->needs_us = n->needs_you;
    contact->has_told = true;
    can_set_levels(c, contact, &n->levels);
    can_list_take(&contact->list, n);
    can_refresh(c, now);
    return contact;
}

static enum status
hear_joining(struct can *c, struct moment now, struct can_contact *contact,
             const struct can_news *n, struct why *why)
{
    contact->has_admitted |= n->type == CAN_ADMITTED;
    can_join_progress(c, now);
    if (!n->needs_you && !can_list_has(&contact->list, &c->conf.self))
        return ST_OK;
    /* It takes us for a member: the one we were before a restart, or by hearsay. */
    return why_set(why, ST_IN_PROGRESS, "joining");
}

enum status
can_on_update(struct can *c, struct moment now, const struct topology_request *req, struct why *why)
{
    struct can_contact *contact;
    struct can_news n;

    if (can_news_read(req->body, &n) != ST_OK)
        return why_set(why, ST_MALFORMED, "not an Update of CAN");
    if (c->state == CAN_OUT)
        return why_set(why, ST_IN_PROGRESS, "no member");
    if (id_equal(&req->from, &c->conf.self))
        return why_set(why, ST_FORBIDDEN, "an Update of this node itself");
    if (!c->env.is_usable(c->env.ctx, &req->from)) {
        struct can_peer peer = {.node = req->from, .levels = n.levels};
        consider(c, now, &peer, NULL);
        return ST_OK;
    }
    can_admit_end(c, &req->from);
    contact = hear(c, now, &req->from, &n);
    if (!contact)
        return ST_OK;
    scan_list(c, now, &contact->list, &req->from);
    if (can_is_joining(c))
        return hear_joining(c, now, contact, &n, why);
    if (!can_list_has(&contact->list, &c->conf.self) &&
        now.mono_ms - contact->reminded_ms >= CAN_REMIND_MS && contact->is_needed)
        can_send_update(c, now, &req->from, CAN_MEMBER);
    return ST_OK;
}

enum status
can_on_leave(struct can *c, struct moment now, const struct topology_request *req, struct why *why)
{
    struct can_contact *contact = can_find(c, &req->from);
    struct leave_req l;
    struct can_news n;

    if (leave_req_read(req->body, &l) != ST_OK || can_news_read(l.plugin, &n) != ST_OK)
        return why_set(why, ST_MALFORMED, "not a Leave of CAN");
    if (!id_equal(&l.leaving_peer, &req->from))
        return why_set(why, ST_FORBIDDEN, "a Leave in the name of another node");
    if (c->state == CAN_OUT)
        return ST_OK;
    if (contact) {
        can_set_levels(c, contact, &n.levels);
        can_list_take(&contact->list, &n);
    }
    can_admit_end(c, &req->from);
    can_drop(c, now, &req->from, false);
    c->env.detach(c->env.ctx, &req->from);
    can_join_on_lost(c, now, &req->from);
    return ST_OK;
}

/* ---- time ----------------------------------------------------------------------------------- */

/* Has anything changed, since it was told last, that it would act upon? */
static bool
is_concerned(const struct can *c, const struct can_contact *contact)
{
    if (contact->told_of == 0)
        return true; /* it would keep us, perhaps */
    if (!contact->is_needed && !contact->needs_us)
        return false;
    if (!contact->has_told || c->levels_in > contact->told_of ||
        (contact->is_needed && !contact->told_needed))
        return true;
    for (unsigned i = 0; i < c->contact_count; i++) {
        const struct can_contact *at = &c->contact[i];

        if (at != contact && at->is_named && at->named_in > contact->told_of &&
            can_is_news(c, contact, at))
            return true;
    }
    return false;
}

static void
send_updates(struct can *c, struct moment now, bool is_to_all)
{
    c->update_due_ms = MOMENT_NEVER;
    for (unsigned i = 0; i < c->contact_count; i++)
        if (is_to_all || is_concerned(c, &c->contact[i]))
            can_send_update(c, now, &c->contact[i].node, CAN_MEMBER);
}

/* A point of our own cell: the bits beyond our deepest level are free. */
static struct id
point_within(const struct can *c)
{
    struct id point = c->conf.self;
    uint64_t bits = c->env.random(c->env.ctx);

    for (unsigned i = 64; i < CAN_LEVELS; i++)
        if (!can_levels_has_above(&c->levels, i - 1) && (bits >> (i - 64) & 1u))
            point.bytes[i / 8] ^= (uint8_t)(1u << (7 - i % 8));
    return point;
}

/* Does somebody else believe that he owns what is ours?  Then he does not know us, nor we him. */
static void
audit(struct can *c, struct moment now)
{
    const struct can_contact *through;
    struct topology_target to = {.count = 2};
    struct can_peer about = {.node = c->conf.self};
    struct id point = point_within(c);
    uint32_t token;

    if (c->contact_count == 0)
        return;
    through = &c->contact[c->env.random(c->env.ctx) % c->contact_count];
    if (!c->env.is_usable(c->env.ctx, &through->node))
        return;
    to.to[0] = destination_node(&through->node);
    to.to[1] = destination_resource(&point);
    token = can_task_add(c, now, CAN_TASK_AUDIT, &about, &through->node);
    if (token)
        c->env.attach(c->env.ctx, token, &to, true);
}

static void
stabilise(struct can *c, struct moment now)
{
    uint64_t period_ms = c->conf.update_ms;

    c->stabilise_due_ms =
        now.mono_ms + period_ms * 3 / 4 + c->env.random(c->env.ctx) % (period_ms / 2 + 1);
    can_trim(c, now);
    send_updates(c, now, true);
    audit(c, now);
    c->is_scan_due = true;
}

static void
retry_lost(struct can *c, struct moment now)
{
    for (unsigned i = 0; i < CAN_LOST_MAX; i++) {
        struct can_lost *lost = &c->lost[i];
        struct can_peer peer = lost->peer;

        if (!lost->is_missed || lost->until_ms > now.mono_ms)
            continue;
        lost->is_missed = false;
        can_scan(c, now); /* through whoever still names it */
        consider(c, now, &peer, NULL);
    }
}

uint64_t
can_update_deadline_ms(const struct can *c)
{
    uint64_t due_ms = moment_earlier_ms(c->update_due_ms, c->stabilise_due_ms);

    due_ms = moment_earlier_ms(due_ms, c->trim_due_ms);
    for (unsigned i = 0; i < CAN_LOST_MAX; i++)
        if (c->lost[i].is_missed)
            due_ms = moment_earlier_ms(due_ms, c->lost[i].until_ms);
    for (unsigned level = 0; level < CAN_LEVELS; level++)
        if (c->ghost_until_ms[level])
            due_ms = moment_earlier_ms(due_ms, c->ghost_until_ms[level]);
    return due_ms;
}

void
can_update_tick(struct can *c, struct moment now)
{
    can_refresh(c, now);
    retry_lost(c, now);
    if (now.mono_ms >= c->trim_due_ms) {
        c->trim_due_ms = MOMENT_NEVER;
        can_trim(c, now);
    }
    if (now.mono_ms >= c->update_due_ms)
        send_updates(c, now, false);
    if (now.mono_ms >= c->stabilise_due_ms)
        stabilise(c, now);
}
