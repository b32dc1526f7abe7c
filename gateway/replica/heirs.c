/* Who gets our calls, and what was sent to whom. */
#include <string.h>

#include "gateway/replica/internal.h"

enum { BACKOFF_MAX = 10, PARTING_TRIES = 4 };

static struct heir *
find(struct replica *r, const struct id *node)
{
    for (size_t i = 0; i < r->heir_count; i++)
        if (id_equal(&r->heir[i].node, node))
            return &r->heir[i];
    return NULL;
}

uint32_t
heirs_bit_of(struct replica *r, const struct id *node)
{
    const struct heir *h = find(r, node);

    return h ? heir_bit(r, h) : 0;
}

bool
heir_needs_graves(const struct replica *r, const struct heir *h)
{
    if (h->is_gapped) /* it gets a new stream when we are a gateway again; what is moved, goes on */
        return h->is_present && r->mode != REPLICA_ACTIVE;
    return h->is_present ||
           (h->is_begun && h->is_heard && r->now.mono_ms < h->heard_ms + r->conf.copy_ms);
}

/* ---- a request's end ---- */

static void
ended(struct kept *c, uint32_t bit, bool is_acknowledged)
{
    if (!(c->under_way & bit))
        return;
    c->under_way &= ~bit;
    if (is_acknowledged)
        c->held_by |= bit;
}

/* What was in the request under way, also what has changed since and stands elsewhere. */
static void
end_request(struct replica *r, struct heir *h, bool is_acknowledged)
{
    uint32_t bit = heir_bit(r, h);

    for (struct list_node *at = h->held; at != h->sent; at = at->next)
        ended(list_entry(at, struct kept, at), bit, is_acknowledged);
    list_each(at, &r->redone)
    {
        struct kept *c = list_entry(at, struct kept, redone);
        ended(c, bit, is_acknowledged);
        if (!c->under_way)
            list_remove(at);
    }
    h->token = 0;
    if (is_acknowledged)
        h->held = h->sent;
    else
        h->sent = h->held;
    h->held_part = is_acknowledged ? h->sent_part : 0; /* in order, or from the start */
    h->sent_part = 0;
}

/* It holds nothing of ours, as far as we know. */
static void
begin_anew(struct replica *r, struct heir *h)
{
    uint32_t bit = heir_bit(r, h);

    if (h->token)
        end_request(r, h, false);
    list_each(at, &r->log)
    {
        list_entry(at, struct kept, at)->held_by &= ~bit;
        list_entry(at, struct kept, at)->moved_to &= ~bit;
    }
    h->held = h->sent = r->log.next;
    h->held_part = h->sent_part = 0;
    h->stream = 0;
    h->number = 0;
    h->is_begun = false;
    h->is_gapped = false;
    h->has_moved = false;
    h->has_to_know = true;
}

/* ---- who ---- */

static struct heir *
longest_unheard(struct replica *r)
{
    struct heir *oldest = NULL;

    for (size_t i = 0; i < r->heir_count; i++) {
        struct heir *h = &r->heir[i];
        if (!h->is_present && !h->token && (!oldest || h->heard_ms < oldest->heard_ms))
            oldest = h;
    }
    return oldest;
}

static struct heir *
slot_for(struct replica *r, const struct id *node)
{
    struct heir *h = find(r, node);

    if (h)
        return h;
    h = r->heir_count < REPLICA_KNOWN_MAX ? &r->heir[r->heir_count] : longest_unheard(r);
    if (!h)
        return NULL; /* each has a request under way: with the next change, then */
    if (h == &r->heir[r->heir_count]) {
        memset(h, 0, sizeof(*h));
        h->held = h->sent = r->log.next;
        r->heir_count++;
    } else {
        begin_anew(r, h);
    }
    *h = (struct heir){.node = *node, .held = h->held, .sent = h->sent};
    return h;
}

static void
choose(struct replica *r, const struct id *node)
{
    struct heir *h;

    if (id_equal(node, &r->conf.self))
        return;
    h = slot_for(r, node);
    if (!h)
        return;
    for (size_t i = 0; i < r->present_count; i++)
        if (&r->heir[r->present[i]] == h)
            return;
    h->is_present = true;
    r->present[r->present_count++] = (size_t)(h - r->heir);
}

static void
return_of(struct replica *r, struct heir *h)
{
    h->failures = 0;
    h->next_ms = r->now.mono_ms;
    h->has_moved = false;
    h->is_parting = false;
}

void
heirs_choose(struct replica *r)
{
    size_t most = r->conf.heirs_max < REPLICA_HEIRS_MAX ? r->conf.heirs_max : REPLICA_HEIRS_MAX;
    uint32_t before = 0;

    for (size_t i = 0; i < r->heir_count; i++) {
        before |= r->heir[i].is_present ? UINT32_C(1) << i : 0;
        r->heir[i].is_present = false;
        r->heir[i].is_parting = r->heir[i].is_parting && r->mode != REPLICA_ACTIVE;
    }
    r->present_count = 0;
    if (r->mode != REPLICA_ACTIVE) {
        if (r->has_target)
            choose(r, &r->target);
    } else {
        for (size_t i = 0; i < r->candidate_count && r->present_count < most; i++)
            choose(r, &r->candidate[i]);
        for (size_t i = 0; i < r->active_count && r->present_count < most; i++)
            choose(r, &r->active[i]);
    }
    for (size_t i = 0; i < r->present_count; i++) {
        struct heir *h = &r->heir[r->present[i]];
        if (!(before & UINT32_C(1) << r->present[i]))
            return_of(r, h);
        if (h->is_gapped && r->mode == REPLICA_ACTIVE)
            begin_anew(r, h);
        /* It may hold calls of a former life of ours, and has to learn that this is another. */
        h->has_to_know = h->has_to_know || (r->mode == REPLICA_ACTIVE && !h->is_begun);
    }
}

/* ---- sending ---- */

static bool
is_skipped(const struct replica *r, const struct heir *h, const struct kept *c)
{
    return r->mode == REPLICA_OUTRANKED && c->state == KEPT_LIVE && (c->held_by & heir_bit(r, h));
}

static bool
fits(const struct replica *r, const struct kept *c, size_t count)
{
    return count < DIALOGS_ENTRIES_MAX &&
           (count == 0 ||
            r->entries.len + dialogs_entry_bytes(kept_token(c), c->record) <= r->conf.batch_bytes);
}

/* All of it is in the request. */
static void
note_sent(const struct replica *r, struct heir *h, struct kept *c)
{
    c->under_way |= heir_bit(r, h);
    c->moved_to |= r->mode != REPLICA_ACTIVE ? heir_bit(r, h) : 0;
    h->sent = c->at.next;
}

/* The next part of a long record has a request of its own. */
static void
write_part(struct replica *r, struct heir *h, struct kept *c, struct dialogs_req *req)
{
    size_t until = parts_write(r, c, &c->at == h->held ? h->held_part : 0, req);

    if (until == c->record.len)
        note_sent(r, h, c);
    else
        h->sent_part = until;
}

/* The oldest changes that it does not hold. */
static void
write_changes(struct replica *r, struct heir *h, struct dialogs_req *req)
{
    h->sent = h->held;
    while (h->sent != &r->log) {
        struct kept *c = list_entry(h->sent, struct kept, at);
        if (is_skipped(r, h, c)) {
            h->sent = h->sent->next;
            continue;
        }
        if (kept_needs_parts(c) && req->count == 0) {
            write_part(r, h, c, req);
            break;
        }
        if (kept_needs_parts(c) || !fits(r, c, req->count))
            break;
        dialogs_entry_write(&r->entries, kept_token(c), c->record);
        note_sent(r, h, c);
        req->count++;
    }
}

/* It is full: only what is over makes room there, so that comes first, whatever its turn. */
static uint16_t
write_graves(struct replica *r, const struct heir *h)
{
    uint64_t held = h->held == &r->log ? 0 : list_entry(h->held, struct kept, at)->change;
    size_t count = 0;

    list_each(at, &r->graves)
    {
        const struct kept *c = list_entry(at, struct kept, rest);
        if (c->change < held)
            continue;
        if (!fits(r, c, count))
            break;
        dialogs_entry_write(&r->entries, kept_token(c), slice_of(NULL, 0));
        count++;
    }
    return (uint16_t)count;
}

static void
send(struct replica *r, struct heir *h)
{
    bool takes_graves = h->is_full && h->is_begun && h->failures % 2 == 1;
    struct dialogs_req req = {.total = (uint32_t)r->live};

    if (h->stream == 0)
        h->stream = replica_stream(r);
    writer_reset(&r->entries);
    h->sent_part = 0;
    if (takes_graves)
        req.count = write_graves(r, h);
    else
        write_changes(r, h, &req);
    req.stream = h->stream;
    req.number = ++h->number;
    req.entries = writer_slice(&r->entries);
    req.flags |= (uint8_t)((h->is_begun ? 0 : DIALOGS_FIRST) |
                           (r->mode == REPLICA_ACTIVE || h->is_parting ? 0 : DIALOGS_MOVE));
    h->sent_ms = r->now.mono_ms;
    h->next_ms = r->now.mono_ms + r->conf.flush_ms;
    h->sent_flags = req.flags;
    h->sent_all = h->sent == &r->log;
    h->sent_total = req.total;
    h->token = replica_token(r);
    if (r->entries.failed != ST_OK) {
        end_request(r, h, false);
        h->next_ms = r->now.mono_ms + r->conf.keepalive_ms;
        return;
    }
    r->env.send(r->env.ctx, &h->node, h->token, &req, r->conf.deadline_ms);
}

/* When it may be sent what has changed: sooner where somebody waits until the first standby has it.
 */
static uint64_t
flush_at_ms(const struct replica *r, const struct heir *h)
{
    uint64_t soon_ms = h->sent_ms + r->conf.awaited_ms;
    bool is_first = r->present_count > 0 && h == &r->heir[r->present[0]];
    bool is_soon = is_first && !list_is_empty(&r->awaited) && h->failures == 0;

    return is_soon && soon_ms < h->next_ms ? soon_ms : h->next_ms;
}

static uint64_t
due_ms(const struct replica *r, const struct heir *h)
{
    bool is_behind = h->held != &r->log || h->has_to_know;

    if (h->token)
        return h->sent_ms + r->conf.deadline_ms + REPLICA_LATE_MS;
    if (is_behind || (r->mode != REPLICA_ACTIVE && r->live > 0))
        return flush_at_ms(r, h);
    if (r->live == 0)
        return MOMENT_NEVER;
    return h->next_ms > h->sent_ms + r->conf.keepalive_ms ? h->next_ms
                                                          : h->sent_ms + r->conf.keepalive_ms;
}

void
heirs_part(struct replica *r)
{
    bool is_done = r->mode != REPLICA_ACTIVE && r->live == 0;

    if (!is_done || r->part_ms == MOMENT_NEVER || r->now.mono_ms < r->part_ms)
        return;
    r->part_ms = MOMENT_NEVER;
    for (size_t i = 0; i < r->heir_count; i++) {
        struct heir *h = &r->heir[i];
        if (h->is_present || !h->is_begun)
            continue;
        begin_anew(r, h);
        h->held = h->sent = &r->log;
        h->next_ms = r->now.mono_ms;
        h->failures = 0;
        h->is_parting = true;
    }
}

static void
failed(struct replica *r, struct heir *h)
{
    unsigned shift = h->failures < BACKOFF_MAX ? h->failures : BACKOFF_MAX;
    uint64_t wait_ms = (uint64_t)r->conf.flush_ms << shift;

    if (h->is_full)
        wait_ms = r->conf.keepalive_ms;
    h->failures++;
    end_request(r, h, false);
    h->next_ms = r->now.mono_ms + (wait_ms < r->conf.keepalive_ms ? wait_ms : r->conf.keepalive_ms);
}

static void
send_due(struct replica *r, struct heir *h)
{
    if (h->token || r->now.mono_ms < due_ms(r, h))
        return;
    if (h->is_parting && h->failures >= PARTING_TRIES)
        h->is_parting = false;
    else
        send(r, h);
}

void
heirs_run(struct replica *r)
{
    for (size_t i = 0; i < r->heir_count; i++) {
        struct heir *h = &r->heir[i];
        if (h->token && r->now.mono_ms >= due_ms(r, h))
            failed(r, h);
    }
    for (size_t i = 0; i < r->present_count; i++)
        send_due(r, &r->heir[r->present[i]]);
    for (size_t i = 0; i < r->heir_count; i++)
        if (r->heir[i].is_parting && !r->heir[i].is_present)
            send_due(r, &r->heir[i]);
}

uint64_t
heirs_deadline_ms(const struct replica *r)
{
    bool is_done = r->mode != REPLICA_ACTIVE && r->live == 0;
    uint64_t at_ms = is_done ? r->part_ms : MOMENT_NEVER;

    for (size_t i = 0; i < r->heir_count; i++)
        if (r->heir[i].is_present || r->heir[i].is_parting || r->heir[i].token)
            at_ms = moment_earlier_ms(at_ms, due_ms(r, &r->heir[i]));
    return at_ms;
}

/* ---- answers ---- */

/* A MOVE was acknowledged: it has adopted all it held of ours, and what was in the request. */
static void
release_moved(struct replica *r, struct heir *h, const struct list_node *until)
{
    bool looks_behind = r->mode == REPLICA_OUTRANKED && !h->has_moved;
    bool is_behind = false;

    h->has_moved = true;
    r->part_ms = r->now.mono_ms + r->conf.handover_ms / 2;
    for (struct list_node *at = r->log.next, *next = at->next; at != &r->log;
         at = next, next = at->next) {
        struct kept *c = list_entry(at, struct kept, at);
        is_behind = is_behind || at == until;
        if (is_behind && !looks_behind)
            break;
        if (c->state != KEPT_LIVE || (is_behind && !is_skipped(r, h, c)))
            continue;
        copies_keep(r, &h->node, c);
        own_release(r, c);
    }
    own_tell_released(r);
}

static void
check_count(struct replica *r, struct heir *h, const struct dialogs_ans *ans)
{
    char text[ID_TEXT_BYTES];

    if (r->mode != REPLICA_ACTIVE || !h->sent_all || (h->sent_flags & DIALOGS_MOVE) ||
        ans->held == h->sent_total || r->now.mono_ms < h->anew_ms)
        return;
    replica_log(r, LOG_LEVEL_WARN, "%s holds %u calls of ours where it should hold %u: once more",
                id_text(&h->node, text), (unsigned)ans->held, (unsigned)h->sent_total);
    begin_anew(r, h);
    h->anew_ms = r->now.mono_ms + 10ULL * r->conf.keepalive_ms;
}

static void
acknowledged(struct replica *r, struct heir *h, const struct dialogs_ans *ans)
{
    struct list_node *until = h->sent;

    h->failures = 0;
    h->is_begun = true;
    h->has_to_know = false;
    h->is_parting = false;
    if (h->is_full && h->held != h->sent)
        h->is_full = false;
    end_request(r, h, true);
    if (!h->sent_all && !h->is_full)
        h->next_ms = r->now.mono_ms; /* there was more than fitted */
    if (h->sent_flags & DIALOGS_MOVE)
        release_moved(r, h, until);
    check_count(r, h, ans);
}

bool
heirs_on_answer(struct replica *r, uint32_t token, enum status st, const struct dialogs_ans *ans)
{
    bool is_limit = st == ST_LIMIT || st == ST_TOO_LARGE; /* the wire has one error for both */
    struct heir *h = NULL;
    char text[ID_TEXT_BYTES];

    for (size_t i = 0; i < r->heir_count && !h; i++)
        if (token && r->heir[i].token == token)
            h = &r->heir[i];
    if (!h)
        return false;
    if (st == ST_OK) {
        h->is_heard = true;
        h->heard_ms = r->now.mono_ms;
        h->round_ms = (uint32_t)(r->now.mono_ms - h->sent_ms);
    }
    if (st == ST_OK && ans->stream == h->stream && !ans->wants_all) {
        acknowledged(r, h, ans);
        return true;
    }
    if (is_limit && !h->is_full)
        replica_log(r, LOG_LEVEL_WARN, "%s can hold no more copies", id_text(&h->node, text));
    h->is_full = h->is_full || is_limit;
    failed(r, h);
    if (st == ST_OK || st == ST_FORBIDDEN)
        begin_anew(r, h);
    return true;
}
