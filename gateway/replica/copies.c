/* Other nodes' calls: what is held of them, and when it becomes ours. */
#include <stdlib.h>
#include <string.h>

#include "gateway/replica/internal.h"

/* ---- owners ---- */

struct owner *
owner_find(const struct replica *r, const struct id *node)
{
    for (size_t i = 0; i < r->owner_count; i++)
        if (id_equal(&r->owner[i]->node, node) && !r->owner[i]->is_former)
            return r->owner[i];
    return NULL;
}

static void
owner_free(struct replica *r, size_t index)
{
    struct owner *o = r->owner[index];
    struct map_cursor at = {0};

    while (map_next(o->copies, &at)) {
        const struct kept *c = at.value;
        r->copies--;
        r->copy_bytes -= c->record.len + c->token_len;
        kept_free(at.value);
    }
    map_free(o->copies);
    parts_drop(&o->told);
    parts_drop(&o->offers);
    free(o);
    r->owner[index] = r->owner[--r->owner_count];
}

void
owners_free(struct replica *r)
{
    while (r->owner_count > 0)
        owner_free(r, r->owner_count - 1);
}

static bool
make_room(struct replica *r)
{
    size_t oldest = REPLICA_OWNERS_MAX;

    if (r->owner_count < REPLICA_OWNERS_MAX)
        return true;
    for (size_t i = 0; i < r->owner_count; i++)
        if (map_count(r->owner[i]->copies) == 0 &&
            (oldest == REPLICA_OWNERS_MAX || r->owner[i]->heard_ms < r->owner[oldest]->heard_ms))
            oldest = i;
    if (oldest == REPLICA_OWNERS_MAX)
        return false;
    owner_free(r, oldest);
    return true;
}

static void
find_successor(struct replica *r, struct owner *o, const struct id *newly)
{
    if (o->has_successor)
        o->before = o->successor;
    if (newly || r->active_count > 0) {
        o->has_successor = true;
        o->successor = newly ? *newly : r->active[0];
    } else {
        o->has_successor = false;
    }
    o->away_ms = r->now.mono_ms;
}

struct owner *
owner_make(struct replica *r, const struct id *node)
{
    struct owner *o = owner_find(r, node);

    if (o)
        return o;
    o = make_room(r) ? calloc(1, sizeof(*o)) : NULL;
    if (!o)
        return NULL;
    o->copies = map_new(r->env.random(r->env.ctx), 0);
    if (!o->copies) {
        free(o);
        return NULL;
    }
    o->node = *node;
    o->serial = replica_token(r);
    o->heard_ms = r->now.mono_ms;
    o->is_away = !replica_is_active(r, node);
    if (o->is_away)
        find_successor(r, o, NULL);
    r->owner[r->owner_count++] = o;
    return o;
}

/* ---- copies ---- */

struct kept *
copy_find(const struct owner *o, struct slice token)
{
    return map_get(o->copies, token);
}

/* Out of the table, but not freed. */
static void
copy_take(struct replica *r, struct owner *o, struct kept *c)
{
    map_remove(o->copies, kept_token(c));
    if (c->stream == o->stream)
        o->fresh--;
    r->copies--;
    r->copy_bytes -= c->record.len + c->token_len;
}

void
copy_remove(struct replica *r, struct owner *o, struct kept *c)
{
    copy_take(r, o, c);
    kept_free(c);
}

/* For a copy of so many bytes in place of @c, or besides the others. */
static bool
has_room(const struct replica *r, const struct kept *c, size_t bytes)
{
    size_t was_bytes = c ? c->record.len + c->token_len : 0;

    return (c || r->copies < r->conf.calls_max) &&
           r->copy_bytes - was_bytes + bytes <= r->conf.bytes_max;
}

static enum status
copy_put(struct replica *r, struct owner *o, const struct dialogs_entry *e, uint64_t stream)
{
    struct kept *c = copy_find(o, e->token);
    size_t was_bytes = c ? c->record.len : 0;

    if (!has_room(r, c, e->record.len + e->token.len))
        return ST_LIMIT;
    if (c) {
        if (!kept_set_record(c, e->record))
            return ST_NOMEM;
        r->copy_bytes += e->record.len - was_bytes;
        o->fresh -= c->stream == o->stream;
    } else {
        c = kept_new(e->token, e->record);
        if (!c || map_put(o->copies, e->token, c, NULL) != ST_OK) {
            kept_free(c);
            return ST_NOMEM;
        }
        r->copies++;
        r->copy_bytes += e->record.len + e->token.len;
    }
    c->stream = stream;
    c->change = o->number;
    o->fresh += stream == o->stream;
    c->is_offered = false;
    c->offered = 0;
    return ST_OK;
}

void
copies_keep(struct replica *r, const struct id *node, const struct kept *c)
{
    const struct dialogs_entry e = {kept_token(c), c->record};
    struct owner *o = owner_make(r, node);

    if (o && !copy_find(o, e.token))
        (void)copy_put(r, o, &e, REPLICA_NO_STREAM); /* full: it is only for the worst case */
}

/* What was held under earlier streams and not told again is over. */
static void
drop_stale(struct replica *r, struct owner *o)
{
    struct map_cursor at = {0};

    if (o->fresh != o->total || map_count(o->copies) == o->fresh)
        return;
    while (map_next(o->copies, &at)) {
        struct kept *c = at.value;
        if (c->stream != o->stream)
            copy_remove(r, o, c);
    }
}

/* Its new owner told of it: a copy of what its former owner had is of no use any more. */
static void
supersede(struct replica *r, const struct owner *by, struct slice token)
{
    for (size_t i = 0; i < r->owner_count; i++) {
        struct owner *o = r->owner[i];
        struct kept *c = o != by && o->is_away ? copy_find(o, token) : NULL;
        if (!c)
            continue;
        copy_remove(r, o, c);
        o->is_broken = true;
    }
}

/* ---- adoption ---- */

/* Those that came with request @sure are taken whatever is known of them here; 0: none.  Returns
 * ST_OK, or why some are left. */
static enum status
adopt_all(struct replica *r, struct owner *o, uint32_t sure)
{
    size_t before = map_count(o->copies), left;
    struct map_cursor at = {0};
    enum status failed = ST_OK;
    char text[ID_TEXT_BYTES];

    while (map_next(o->copies, &at)) {
        struct kept *c = at.value;
        size_t bytes = c->record.len + c->token_len;
        bool is_fresh = c->stream == o->stream;
        if (!id_is_zero(&o->before))
            c->from[0] = o->before;
        enum status st = own_adopt(r, c, &o->node, is_fresh && sure > 0 && c->change == sure);
        if (st != ST_OK && st != ST_EXISTS) {
            failed = st;
            continue;
        }
        map_remove(o->copies, at.key); /* c itself may be gone */
        r->copies--;
        r->copy_bytes -= bytes;
        o->fresh -= is_fresh;
    }
    own_tell_adopted(r, &o->node);
    left = map_count(o->copies);
    o->has_adopted = o->has_adopted || left < before;
    if (before > 0)
        replica_log(r, failed == ST_OK ? LOG_LEVEL_INFO : LOG_LEVEL_WARN,
                    "%zu calls of %.8s are ours now, %zu could not be taken (%s)", before - left,
                    id_text(&o->node, text), left, status_text(failed));
    return failed;
}

static bool
hands_over(const struct replica *r, const struct owner *o)
{
    return o->hands_over && r->now.mono_ms <= o->hands_over_ms + 2ULL * r->conf.handover_ms;
}

static bool
is_ours(const struct replica *r, const struct owner *o)
{
    return o->has_successor && id_equal(&o->successor, &r->conf.self) && r->mode == REPLICA_ACTIVE;
}

uint64_t
owner_due_ms(const struct replica *r, const struct owner *o)
{
    uint64_t since_ms = o->heard_ms > o->away_ms ? o->heard_ms : o->away_ms;

    if (!o->is_away || !o->has_successor || map_count(o->copies) == 0)
        return MOMENT_NEVER;
    if (hands_over(r, o) && o->hands_over_ms > since_ms)
        since_ms = o->hands_over_ms;
    since_ms += r->conf.handover_ms;
    return since_ms > o->retry_ms ? since_ms : o->retry_ms;
}

/* Whoever was to have its calls moves them to us, with its own. */
static void
follow_handover(const struct replica *r, struct owner *o)
{
    const struct owner *by = o->has_successor ? owner_find(r, &o->successor) : NULL;

    if (by && by != o && hands_over(r, by)) {
        o->hands_over = true;
        o->hands_over_ms = by->hands_over_ms;
    }
}

static void
on_away(struct replica *r, struct owner *o, const struct id *newly)
{
    bool has_left = !o->is_away;

    o->is_away = true;
    if (!has_left && o->has_successor && replica_is_active(r, &o->successor))
        return;
    follow_handover(r, o);
    find_successor(r, o, newly);
    if (is_ours(r, o) && !hands_over(r, o))
        (void)adopt_all(r, o, 0); /* those that are left are tried again when due */
}

void
copies_on_gateways(struct replica *r, const struct id *newly)
{
    for (size_t i = 0; i < r->owner_count; i++) {
        struct owner *o = r->owner[i];
        if (replica_is_active(r, &o->node) && !o->is_former) {
            o->is_away = false;
            o->has_successor = false;
        } else {
            on_away(r, o, newly);
        }
    }
}

void
copies_run(struct replica *r)
{
    for (size_t i = r->owner_count; i-- > 0;) {
        struct owner *o = r->owner[i];
        bool is_done = o->is_former && map_count(o->copies) == 0;
        if (is_done || r->now.mono_ms >= o->heard_ms + r->conf.copy_ms) {
            owner_free(r, i);
            continue;
        }
        if (is_ours(r, o) && r->now.mono_ms >= owner_due_ms(r, o)) {
            o->hands_over = false;
            (void)adopt_all(r, o, 0);
            o->retry_ms = r->now.mono_ms + r->conf.handover_ms;
        }
    }
}

uint64_t
copies_deadline_ms(const struct replica *r)
{
    uint64_t at_ms = MOMENT_NEVER;

    for (size_t i = 0; i < r->owner_count; i++) {
        const struct owner *o = r->owner[i];
        at_ms = moment_earlier_ms(at_ms, o->heard_ms + r->conf.copy_ms);
        if (is_ours(r, o))
            at_ms = moment_earlier_ms(at_ms, owner_due_ms(r, o));
    }
    return at_ms;
}

/* ---- what owners tell ---- */

static bool
was_before(const struct owner *o, uint64_t stream)
{
    for (unsigned i = 0; i < REPLICA_PAST_MAX; i++)
        if (o->past[i] == stream)
            return true;
    return false;
}

static void
begin_stream(struct owner *o, uint64_t stream)
{
    if (o->stream != 0)
        o->past[o->past_next++ % REPLICA_PAST_MAX] = o->stream;
    o->stream = stream;
    o->number = 0;
    o->fresh = 0;
    o->is_broken = false;
    o->has_adopted = false;
    parts_drop(&o->told);
}

/*
 * Its owner tells of a call that is also ours.  Of two gateways that of the higher Node-ID keeps
 * it; a node that is none has moved it, and only lost the answer.  An owner that is no gateway has
 * not yet heard that its calls are ours.
 */
static void
settle_claim(struct replica *r, const struct owner *o, struct kept *own)
{
    if (!o->is_away && (r->mode != REPLICA_ACTIVE || id_compare(&o->node, &r->conf.self) > 0))
        own_release(r, own);
}

/* May it say that this call of ours is over? */
static bool
was_with(struct replica *r, const struct kept *own, const struct id *node)
{
    return id_equal(&own->from[0], node) || id_equal(&own->from[1], node) ||
           ((own->moved_to | (r->mode != REPLICA_ACTIVE ? own->held_by : 0)) &
            heirs_bit_of(r, node));
}

static enum status
apply(struct replica *r, struct owner *o, const struct dialogs_entry *e, bool is_move)
{
    struct kept *own = own_find(r, e->token);
    struct kept *copy = copy_find(o, e->token);
    bool is_live = own && own->state == KEPT_LIVE;

    if (e->record.len == 0) {
        if (copy)
            copy_remove(r, o, copy);
        if (is_live && (is_move || was_with(r, own, &o->node)))
            own_ended_elsewhere(r, own);
        return ST_OK;
    }
    if (is_live && !is_move)
        settle_claim(r, o, own);
    supersede(r, o, e->token);
    return copy_put(r, o, e, o->stream);
}

static enum status
apply_all(struct replica *r, struct owner *o, const struct dialogs_req *req)
{
    enum status failed = ST_OK;
    struct dialogs_entry e;
    struct reader entries;

    reader_init(&entries, req->entries);
    while (dialogs_entry_read(&entries, &e)) {
        enum status st = apply(r, o, &e, (req->flags & DIALOGS_MOVE) != 0);
        if (st != ST_OK)
            failed = st; /* the others are taken all the same: one may make room */
    }
    own_tell_released(r);
    drop_stale(r, o);
    return failed;
}

/* The call is as it was until its last part is here. */
static enum status
apply_part(struct replica *r, struct owner *o, const struct dialogs_req *req)
{
    struct dialogs_entry e;
    bool is_whole = false;
    enum status st = parts_take(&o->told, req, &e, &is_whole);

    o->is_broken = st == ST_STATE;
    if (st == ST_OK && !has_room(r, copy_find(o, e.token), req->part_whole + e.token.len))
        st = ST_LIMIT;
    if (st == ST_OK && is_whole) {
        st = apply(r, o, &e, (req->flags & DIALOGS_MOVE) != 0);
        own_tell_released(r);
        drop_stale(r, o);
    }
    if (st != ST_OK || is_whole)
        parts_drop(&o->told);
    return st == ST_STATE ? ST_OK : st;
}

static enum status
take_over(struct replica *r, struct owner *o)
{
    if (r->live + map_count(o->copies) > r->conf.calls_max)
        return ST_LIMIT;
    o->hands_over = false;
    r->takes_moved = true;
    enum status st = adopt_all(r, o, o->number);
    r->takes_moved = false;
    return st;
}

/*
 * It has started anew, and may be a gateway again already: the calls of its former life are
 * nobody's, if no successor came between.  They are offered to whoever is the gateway now, even to
 * itself.
 */
static struct owner *
begin_life(struct replica *r, struct owner *o)
{
    struct id node = o->node;
    struct owner *anew;

    if (map_count(o->copies) == 0)
        return o;
    o->is_former = true;
    if (!o->is_away) {
        o->is_away = true;
        find_successor(r, o, NULL);
    }
    anew = owner_make(r, &node);
    if (!anew)
        o->is_former = false;
    return anew ? anew : o;
}

enum status
copies_on_request(struct replica *r, const struct id *owner, const struct dialogs_req *req,
                  struct dialogs_ans *ret)
{
    struct owner *o = owner_make(r, owner);
    enum status st = ST_OK;

    if (!o)
        return ST_LIMIT;
    if ((req->flags & DIALOGS_MOVE) && r->mode != REPLICA_ACTIVE)
        return ST_STATE;
    *ret = (struct dialogs_ans){.stream = req->stream};
    if ((req->flags & DIALOGS_FIRST) && o->stream != 0 &&
        REPLICA_RUN(req->stream) != REPLICA_RUN(o->stream) && !was_before(o, req->stream))
        o = begin_life(r, o);
    o->heard_ms = r->now.mono_ms;
    if ((req->flags & DIALOGS_FIRST) && req->stream != o->stream && !was_before(o, req->stream))
        begin_stream(o, req->stream);
    if (req->stream != o->stream || o->is_broken) {
        ret->wants_all = 1;
        return ST_OK;
    }
    if (req->number > o->number) {
        o->number = req->number;
        o->total = req->total;
        if (req->flags & DIALOGS_PART) {
            st = apply_part(r, o, req);
        } else {
            parts_drop(&o->told); /* it was not sent to its end */
            st = apply_all(r, o, req);
        }
        if (req->flags & DIALOGS_MOVE) {
            enum status adopted = take_over(r, o);
            st = st == ST_OK ? adopted : st; /* what could not be held is sent again */
        }
    }
    ret->wants_all = o->is_broken;
    ret->held = o->has_adopted ? req->total : (uint32_t)o->fresh;
    return st;
}
