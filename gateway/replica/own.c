/* This node's own calls: the log of their changes, tombstones, and tokens that are ours no more. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/replica/internal.h"

struct kept *
kept_new(struct slice token, struct slice record)
{
    struct kept *c = calloc(1, sizeof(*c));

    assert(token.len > 0 && token.len <= DIALOGS_TOKEN_MAX);
    if (!c)
        return NULL;
    list_init(&c->at);
    list_init(&c->rest);
    list_init(&c->redone);
    list_init(&c->awaited);
    memcpy(c->token, token.data, token.len);
    c->token_len = (uint8_t)token.len;
    if (!kept_set_record(c, record)) {
        free(c);
        return NULL;
    }
    return c;
}

void
kept_free(struct kept *c)
{
    if (!c)
        return;
    list_remove(&c->at);
    list_remove(&c->rest);
    list_remove(&c->redone);
    list_remove(&c->awaited);
    slice_free(&c->record);
    free(c);
}

bool
kept_set_record(struct kept *c, struct slice record)
{
    struct slice copy;

    if (slice_copy(record, &copy) != ST_OK)
        return false;
    slice_free(&c->record);
    c->record = copy;
    return true;
}

struct kept *
own_find(const struct replica *r, struct slice token)
{
    return map_get(r->calls, token);
}

/* ---- the log ---- */

static void
cut(struct replica *r, struct kept *c)
{
    for (size_t i = 0; i < r->heir_count; i++) {
        struct heir *h = &r->heir[i];
        if (h->held == &c->at) {
            h->held = c->at.next;
            h->held_part = 0;
        }
        if (h->sent == &c->at) {
            h->sent = c->at.next;
            h->sent_part = 0;
        }
    }
    list_remove(&c->at);
}

static void
append(struct replica *r, struct kept *c)
{
    c->change = ++r->change;
    list_append(&r->log, &c->at);
    for (size_t i = 0; i < r->heir_count; i++) {
        struct heir *h = &r->heir[i];
        if (h->held == &r->log)
            h->held = &c->at;
        if (h->sent == &r->log)
            h->sent = &c->at;
    }
}

static void
changed(struct replica *r, struct kept *c)
{
    if (c->under_way && list_is_empty(&c->redone))
        list_append(&r->redone, &c->redone);
    cut(r, c);
    append(r, c);
}

static void
forget(struct replica *r, struct kept *c)
{
    map_remove(r->calls, kept_token(c));
    kept_free(c);
}

/* Out of the log; the token stays for a while, so that what was on its way finds it gone. */
static void
bury(struct replica *r, struct kept *c, bool is_released)
{
    if (c->state == KEPT_LIVE)
        r->live--;
    else
        r->grave_count--;
    cut(r, c);
    list_remove(&c->rest);
    list_remove(&c->redone);
    slice_free(&c->record);
    c->record = slice_of(NULL, 0);
    c->state = KEPT_GONE;
    c->is_released = is_released;
    c->held_by = c->under_way = c->moved_to = 0;
    c->until_ms = r->now.mono_ms + REPLICA_GHOST_MS;
    list_append(&r->ghosts, &c->rest);
    r->ghost_count++;
}

static void
revive(struct replica *r, struct kept *c)
{
    bool was_logged = c->state == KEPT_OVER;

    if (was_logged)
        r->grave_count--;
    else
        r->ghost_count--;
    list_remove(&c->rest);
    c->state = KEPT_LIVE;
    r->live++;
    if (was_logged)
        changed(r, c);
    else
        append(r, c);
}

void
own_over(struct replica *r, struct kept *c)
{
    assert(c->state == KEPT_LIVE);
    c->state = KEPT_OVER;
    r->live--;
    slice_free(&c->record);
    c->record = slice_of(NULL, 0);
    list_append(&r->graves, &c->rest);
    r->grave_count++;
    changed(r, c);
}

/* ---- what the SIP side tells ---- */

static void
put_new(struct replica *r, const struct replica_call *call)
{
    struct kept *c;

    if (r->live >= r->conf.calls_max) {
        if (!r->is_full)
            replica_log(r, LOG_LEVEL_WARN, "more than %zu calls: those above have no copies",
                        r->conf.calls_max);
        r->is_full = true;
        return;
    }
    r->is_full = false;
    c = kept_new(call->token, call->record);
    if (!c || map_put(r->calls, call->token, c, NULL) != ST_OK) {
        replica_log(r, LOG_LEVEL_WARN, "no memory for the copies of a call");
        kept_free(c);
        return;
    }
    r->live++;
    append(r, c);
}

static void
put(struct replica *r, struct kept *c, struct slice record)
{
    if (c->state == KEPT_GONE)
        return; /* told before the SIP side heard that it is another node's */
    if (c->state == KEPT_LIVE && slice_equal(c->record, record))
        return;
    if (!kept_set_record(c, record)) {
        replica_log(r, LOG_LEVEL_WARN, "no memory for the copies of a call");
        return;
    }
    if (c->state == KEPT_OVER)
        revive(r, c);
    else
        changed(r, c);
}

static void
await(struct replica *r, struct slice token)
{
    struct kept *c = own_find(r, token);

    if (c && list_is_empty(&c->awaited))
        list_append(&r->awaited, &c->awaited);
}

void
own_told(struct replica *r, const struct replica_call *call)
{
    struct kept *c;

    if (call->token.len == 0 || call->token.len > DIALOGS_TOKEN_MAX ||
        call->record.len > DIALOGS_WHOLE_MAX) {
        replica_log(r, LOG_LEVEL_WARN, "a call is too large to have copies: %zu bytes",
                    call->record.len);
        return;
    }
    c = own_find(r, call->token);
    if (call->record.len > 0) {
        if (c)
            put(r, c, call->record);
        else
            put_new(r, call);
    } else if (c && c->state == KEPT_LIVE) {
        own_over(r, c);
    }
    if (call->is_awaited && call->record.len > 0)
        await(r, call->token);
}

/* ---- calls that come and go between nodes ---- */

void
own_tell_adopted(struct replica *r, const struct id *owner)
{
    if (r->tell_count > 0)
        r->env.adopt(r->env.ctx, owner, r->takes_moved, r->tell, r->tell_count);
    r->tell_count = 0;
}

void
own_tell_released(struct replica *r)
{
    if (r->tell_count > 0)
        r->env.released(r->env.ctx, r->tell, r->tell_count);
    r->tell_count = 0;
}

static void
tell_adopted(struct replica *r, const struct kept *c, const struct id *owner)
{
    r->tell[r->tell_count++] = (struct replica_call){.token = kept_token(c), .record = c->record};
    if (r->tell_count == REPLICA_TELL_MAX)
        own_tell_adopted(r, owner);
}

static void
tell_released(struct replica *r, const struct kept *c)
{
    r->released++;
    r->tell[r->tell_count++] = (struct replica_call){.token = kept_token(c)};
    if (r->tell_count == REPLICA_TELL_MAX)
        own_tell_released(r);
}

void
own_release(struct replica *r, struct kept *c)
{
    assert(c->state == KEPT_LIVE);
    for (size_t i = 0; i < r->heir_count; i++)
        if (r->heir[i].is_begun)
            r->heir[i].is_gapped = true; /* nobody tells it that this one is not ours any more */
    bury(r, c, true);
    tell_released(r, c);
}

void
own_ended_elsewhere(struct replica *r, struct kept *c)
{
    own_over(r, c);
    tell_released(r, c);
}

static void
tell_copied(struct replica *r)
{
    if (r->tell_count > 0 && r->env.copied)
        r->env.copied(r->env.ctx, r->tell, r->tell_count);
    r->tell_count = 0;
}

void
own_tell_copied(struct replica *r)
{
    bool has_standby = r->mode == REPLICA_ACTIVE && r->present_count > 0;
    uint32_t first = has_standby ? heir_bit(r, &r->heir[r->present[0]]) : 0;

    list_each(at, &r->awaited)
    {
        struct kept *c = list_entry(at, struct kept, awaited);

        if (has_standby && c->state == KEPT_LIVE && !(c->held_by & first))
            continue;
        list_remove(at);
        r->tell[r->tell_count++] = (struct replica_call){.token = kept_token(c)};
        if (r->tell_count == REPLICA_TELL_MAX)
            tell_copied(r);
    }
    tell_copied(r);
}

static void
take_record(struct kept *own, struct kept *c)
{
    slice_free(&own->record);
    own->record = c->record;
    c->record = slice_of(NULL, 0);
    kept_free(c);
}

static enum status
adopt_new(struct replica *r, struct kept *c)
{
    enum status st;

    if (r->live >= r->conf.calls_max)
        return ST_LIMIT;
    st = map_put(r->calls, kept_token(c), c, NULL);
    if (st != ST_OK)
        return st;
    c->state = KEPT_LIVE;
    c->is_offered = false;
    r->live++;
    append(r, c);
    return ST_OK;
}

enum status
own_adopt(struct replica *r, struct kept *c, const struct id *owner, bool is_sure)
{
    struct kept *own = own_find(r, kept_token(c));
    enum status st;

    if (!own) {
        st = adopt_new(r, c);
        if (st != ST_OK)
            return st;
        own = c;
    } else if (!is_sure && !(own->state == KEPT_GONE && own->is_released)) {
        own->from[1] = *owner;
        kept_free(c);
        return ST_EXISTS;
    } else if (own->state == KEPT_LIVE) {
        take_record(own, c);
        changed(r, own);
    } else {
        if (r->live >= r->conf.calls_max)
            return ST_LIMIT;
        take_record(own, c);
        revive(r, own);
    }
    if (!id_equal(&own->from[0], owner))
        own->from[1] = own->from[0];
    own->from[0] = *owner;
    r->adopted++;
    tell_adopted(r, own, owner);
    return ST_OK;
}

void
own_reclaim(struct replica *r, const struct id *from)
{
    list_each(at, &r->log)
    {
        struct kept *c = list_entry(at, struct kept, at);
        if (c->state == KEPT_LIVE)
            tell_adopted(r, c, from);
    }
    own_tell_adopted(r, from);
}

/* ---- what has had its time ---- */

/* All before it is held by every heir that counts. */
static uint64_t
held_change(const struct replica *r)
{
    uint64_t change = UINT64_MAX;

    for (size_t i = 0; i < r->heir_count; i++) {
        const struct heir *h = &r->heir[i];
        if (h->held == &r->log || !heir_needs_graves(r, h))
            continue;
        const struct kept *c = list_entry(h->held, struct kept, at);
        if (c->change < change)
            change = c->change;
    }
    return change;
}

static void
mark_gaps(struct replica *r, const struct kept *grave)
{
    for (size_t i = 0; i < r->heir_count; i++) {
        struct heir *h = &r->heir[i];
        if (h->held != &r->log && list_entry(h->held, struct kept, at)->change <= grave->change)
            h->is_gapped = true;
    }
}

void
own_purge(struct replica *r)
{
    uint64_t change = held_change(r);

    while (!list_is_empty(&r->graves)) {
        struct kept *c = list_entry(r->graves.next, struct kept, rest);
        bool is_held = c->change < change;
        if (!is_held && r->grave_count <= r->conf.calls_max)
            break;
        mark_gaps(r, c);
        bury(r, c, false);
    }
    while (!list_is_empty(&r->ghosts)) {
        struct kept *c = list_entry(r->ghosts.next, struct kept, rest);
        if (c->until_ms > r->now.mono_ms && r->ghost_count <= r->conf.calls_max)
            break;
        r->ghost_count--;
        forget(r, c);
    }
}

uint64_t
own_deadline_ms(const struct replica *r)
{
    if (list_is_empty(&r->ghosts))
        return MOMENT_NEVER;
    return list_entry(r->ghosts.next, struct kept, rest)->until_ms;
}
