/*
 * Copies of a gateway that is gone, and for which nobody came: its successor may never have heard
 * of those calls.  They are offered to it once the owner is silent and the successor's own calls
 * are known here; it takes those of which it knows nothing, or
 * only that they were given to somebody else.
 */
#include "gateway/replica/internal.h"

enum { PATIENCE = 10, STALE_KEEPALIVES = 30 };

static bool
is_under_way(const struct replica *r)
{
    return r->offer.token != 0;
}

/* Calls of an owner that had fallen silent before it went are likely over. */
static bool
is_stale(const struct replica *r, const struct owner *o)
{
    return o->away_ms > o->heard_ms + (uint64_t)STALE_KEEPALIVES * r->conf.keepalive_ms;
}

/* While the successor tells us of its calls, what it has falls out of the offer by itself. */
static bool
is_being_told(const struct replica *r, const struct owner *o)
{
    const struct owner *s = owner_find(r, &o->successor);

    return s && s->fresh < s->total &&
           r->now.mono_ms < o->away_ms + (uint64_t)PATIENCE * r->conf.handover_ms;
}

static uint64_t
due_ms(const struct replica *r, const struct owner *o)
{
    if (is_stale(r, o) || id_equal(&o->successor, &r->conf.self))
        return MOMENT_NEVER;
    return owner_due_ms(r, o);
}

/* Of whose record the successor has taken a part. */
static struct kept *
find_begun(const struct owner *o)
{
    struct map_cursor at = {0};

    while (map_next(o->copies, &at)) {
        struct kept *c = at.value;
        if (c->offered > 0)
            return c;
    }
    return NULL;
}

/* A record that is too long for one request comes by its parts. */
static void
write_part(struct replica *r, struct kept *c, struct dialogs_req *req)
{
    size_t until = parts_write(r, c, c->offered, req);

    c->is_offered = true;
    c->offered = 0;
    r->offer.part = until < c->record.len ? until : 0;
}

static void
write_entries(struct replica *r, struct owner *o, struct dialogs_req *req)
{
    struct kept *begun = r->offer.part > 0 ? find_begun(o) : NULL;
    struct map_cursor at = {0};

    r->offer.part = 0;
    writer_reset(&r->entries);
    if (begun) {
        write_part(r, begun, req);
        req->entries = writer_slice(&r->entries);
        return;
    }
    while (req->count < DIALOGS_ENTRIES_MAX && map_next(o->copies, &at)) {
        struct kept *c = at.value;
        if (kept_needs_parts(c) && req->count == 0) {
            write_part(r, c, req);
            break;
        }
        if (kept_needs_parts(c))
            continue;
        if (req->count > 0 &&
            r->entries.len + dialogs_entry_bytes(kept_token(c), c->record) > r->conf.batch_bytes)
            break;
        dialogs_entry_write(&r->entries, kept_token(c), c->record);
        c->is_offered = true;
        req->count++;
    }
    req->entries = writer_slice(&r->entries);
}

static void
end(struct replica *r, bool is_taken)
{
    struct owner *o = NULL;
    struct map_cursor at = {0};

    for (size_t i = 0; i < r->owner_count; i++)
        if (r->owner[i]->serial == r->offer.owner)
            o = r->owner[i];

    r->offer.token = 0;
    while (o && map_next(o->copies, &at)) {
        struct kept *c = at.value;
        if (!c->is_offered)
            continue;
        c->is_offered = false;
        c->offered = is_taken ? r->offer.part : 0;
        if (is_taken && c->offered == 0)
            copy_remove(r, o, c);
    }
    if (!is_taken)
        r->offer.part = 0;
    if (o && !is_taken)
        o->retry_ms = r->now.mono_ms + r->conf.handover_ms;
}

static void
send(struct replica *r, struct owner *o)
{
    struct dialogs_req req = {.flags = DIALOGS_OFFER, .number = 1};
    char text[ID_TEXT_BYTES];

    req.stream = replica_stream(r);
    req.total = (uint32_t)map_count(o->copies);
    write_entries(r, o, &req);
    r->offer.token = replica_token(r);
    r->offer.owner = o->serial;
    r->offer.sent_ms = r->now.mono_ms;
    if (r->entries.failed != ST_OK) {
        end(r, false);
        return;
    }
    replica_log(r, LOG_LEVEL_INFO, "%.8s is gone: %u calls of it are offered to its successor",
                id_text(&o->node, text), (unsigned)req.count);
    r->env.send(r->env.ctx, &o->successor, r->offer.token, &req, r->conf.deadline_ms);
}

void
offers_run(struct replica *r)
{
    uint64_t late_ms = r->offer.sent_ms + r->conf.deadline_ms + REPLICA_LATE_MS;

    if (is_under_way(r) && r->now.mono_ms >= late_ms)
        end(r, false);
    for (size_t i = 0; i < r->owner_count && !is_under_way(r); i++) {
        struct owner *o = r->owner[i];
        if (r->now.mono_ms < due_ms(r, o))
            continue;
        if (is_being_told(r, o))
            o->retry_ms = r->now.mono_ms + r->conf.keepalive_ms;
        else
            send(r, o);
    }
}

uint64_t
offers_deadline_ms(const struct replica *r)
{
    uint64_t at_ms = MOMENT_NEVER;

    if (is_under_way(r))
        return r->offer.sent_ms + r->conf.deadline_ms + REPLICA_LATE_MS;
    for (size_t i = 0; i < r->owner_count; i++)
        at_ms = moment_earlier_ms(at_ms, due_ms(r, r->owner[i]));
    return at_ms;
}

bool
offers_on_answer(struct replica *r, uint32_t token, enum status st)
{
    if (!is_under_way(r) || r->offer.token != token)
        return false;
    end(r, st == ST_OK);
    return true;
}

static bool
is_known(const struct replica *r, struct slice token)
{
    const struct kept *own = own_find(r, token);

    if (own && !(own->state == KEPT_GONE && own->is_released))
        return true;
    for (size_t i = 0; i < r->owner_count; i++)
        if (copy_find(r->owner[i], token))
            return true;
    return false;
}

static enum status
take(struct replica *r, const struct id *from, const struct dialogs_entry *e)
{
    struct kept *c;
    enum status st;

    if (e->record.len == 0 || is_known(r, e->token))
        return ST_OK;
    c = kept_new(e->token, e->record);
    st = c ? own_adopt(r, c, from, false) : ST_NOMEM;
    if (st != ST_OK && st != ST_EXISTS)
        kept_free(c);
    return st;
}

static enum status
take_part(struct replica *r, const struct id *from, const struct dialogs_req *req)
{
    struct owner *o = owner_make(r, from);
    struct dialogs_entry e;
    bool is_whole = false;
    enum status st = o ? parts_take(&o->offers, req, &e, &is_whole) : ST_LIMIT;

    if (st == ST_OK && is_whole)
        st = take(r, from, &e);
    if (o && is_whole)
        parts_drop(&o->offers);
    return st;
}

enum status
offers_on_request(struct replica *r, const struct id *from, const struct dialogs_req *req)
{
    struct dialogs_entry e;
    struct reader entries;
    enum status failed = ST_OK;

    if (r->mode != REPLICA_ACTIVE)
        return ST_STATE;
    if (req->flags & DIALOGS_PART)
        failed = take_part(r, from, req);
    reader_init(&entries, req->entries);
    while (!(req->flags & DIALOGS_PART) && failed == ST_OK && dialogs_entry_read(&entries, &e))
        failed = take(r, from, &e);
    own_tell_adopted(r, from);
    return failed;
}
