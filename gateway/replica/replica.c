#include "gateway/replica/replica.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/replica/internal.h"

/* One record of the largest kind has to fit. */
#define BATCH_MIN (DIALOGS_RECORD_MAX + DIALOGS_TOKEN_MAX + 3)

void
replica_conf_defaults(struct replica_conf *conf)
{
    *conf = (struct replica_conf){
        .heirs_max = 2,
        .flush_ms = 20,
        .awaited_ms = 2,
        .keepalive_ms = 1000,
        .deadline_ms = 2000,
        .handover_ms = 3000,
        .copy_ms = 600000,
        .leave_ms = 3000,
        .calls_max = 10000,
        .bytes_max = 256u << 20,
        .batch_bytes = 48000,
    };
}

enum status
replica_new(const struct replica_conf *conf, const struct replica_env *env, struct moment now,
            struct replica **ret_replica)
{
    struct replica *r = calloc(1, sizeof(*r));

    if (!r)
        return ST_NOMEM;
    r->conf = *conf;
    r->env = *env;
    r->now = now;
    if (r->conf.batch_bytes < BATCH_MIN)
        r->conf.batch_bytes = BATCH_MIN;
    while (r->run == 0)
        r->run = (uint32_t)env->random(env->ctx);
    r->mode = REPLICA_OUTRANKED;
    r->part_ms = MOMENT_NEVER;
    list_init(&r->log);
    list_init(&r->graves);
    list_init(&r->ghosts);
    list_init(&r->redone);
    list_init(&r->awaited);
    writer_init(&r->entries, r->conf.batch_bytes);
    r->calls = map_new(env->random(env->ctx), 0);
    if (!r->calls) {
        replica_free(r);
        return ST_NOMEM;
    }
    *ret_replica = r;
    return ST_OK;
}

void
replica_free(struct replica *r)
{
    struct map_cursor at = {0};

    if (!r)
        return;
    owners_free(r);
    while (r->calls && map_next(r->calls, &at))
        kept_free(at.value);
    map_free(r->calls);
    writer_done(&r->entries);
    free(r);
}

uint32_t
replica_token(struct replica *r)
{
    if (++r->next_token == 0)
        r->next_token = 1; /* 0: no request is under way */
    return r->next_token;
}

uint64_t
replica_stream(struct replica *r)
{
    return (uint64_t)r->run << 32 | (uint32_t)r->env.random(r->env.ctx);
}

bool
replica_is_active(const struct replica *r, const struct id *node)
{
    for (size_t i = 0; i < r->active_count; i++)
        if (id_equal(&r->active[i], node))
            return true;
    return false;
}

/* ---- steps ---- */

static void
run_leave(struct replica *r)
{
    if (!r->is_leaving)
        return;
    if (r->live > 0 && r->has_target && r->now.mono_ms < r->leave_until_ms)
        return;
    if (r->live > 0)
        replica_log(r, LOG_LEVEL_WARN, "%zu calls are left behind: %s", r->live,
                    r->has_target ? "they could not be moved in time" : "there is no successor");
    r->is_leaving = false;
    r->env.left(r->env.ctx);
}

static void
check_invariants(const struct replica *r)
{
    assert(r->live + r->grave_count + r->ghost_count == map_count(r->calls));
    assert(r->present_count <= REPLICA_HEIRS_MAX && r->heir_count <= REPLICA_KNOWN_MAX);
    assert(r->tell_count == 0);
    assert((r->mode == REPLICA_ACTIVE) == replica_is_active(r, &r->conf.self));
}

static void
settle(struct replica *r)
{
    copies_run(r);
    offers_run(r);
    heirs_part(r);
    heirs_run(r);
    own_tell_copied(r);
    own_purge(r);
    run_leave(r);
    check_invariants(r);
}

void
replica_on_calls(struct replica *r, struct moment now, const struct replica_call *call,
                 size_t count)
{
    r->now = now;
    for (size_t i = 0; i < count; i++)
        own_told(r, &call[i]);
    settle(r);
}

/* Where own calls go that are to be another's: as the holders of copies see it, too. */
static void
aim(struct replica *r, const struct id *newly)
{
    bool is_asked = r->now.mono_ms < r->hands_over_until_ms;

    if (replica_is_active(r, &r->conf.self)) {
        if (r->mode != REPLICA_ACTIVE && r->has_target)
            own_reclaim(r, &r->target);
        r->mode = REPLICA_ACTIVE;
        r->has_target = false;
        r->part_ms = MOMENT_NEVER;
        return;
    }
    if (r->mode != REPLICA_ACTIVE && r->has_target && replica_is_active(r, &r->target))
        return;
    r->mode = is_asked ? REPLICA_MOVES : REPLICA_OUTRANKED;
    r->has_target = r->active_count > 0;
    if (r->has_target)
        r->target = newly ? *newly : r->active[0];
    for (size_t i = 0; i < r->heir_count; i++)
        r->heir[i].has_moved = false;
}

void
replica_on_gateways(struct replica *r, struct moment now, const struct id *active, size_t count)
{
    const struct id *newly = NULL;
    struct id best;

    r->now = now;
    if (count > REPLICA_ACTIVE_MAX)
        count = REPLICA_ACTIVE_MAX;
    for (size_t i = 0; i < count && !newly; i++)
        if (!replica_is_active(r, &active[i])) {
            best = active[i];
            newly = &best;
        }
    if (count > 0)
        memcpy(r->active, active, count * sizeof(active[0]));
    r->active_count = count;
    aim(r, newly);
    copies_on_gateways(r, newly);
    heirs_choose(r);
    settle(r);
}

void
replica_on_candidates(struct replica *r, struct moment now, const struct id *candidate,
                      size_t count)
{
    r->now = now;
    r->candidate_count = count < REPLICA_HEIRS_MAX ? count : REPLICA_HEIRS_MAX;
    if (r->candidate_count > 0)
        memcpy(r->candidate, candidate, r->candidate_count * sizeof(candidate[0]));
    heirs_choose(r);
    settle(r);
}

void
replica_on_handover(struct replica *r, struct moment now, const struct id *owner)
{
    struct owner *o;

    r->now = now;
    o = owner_make(r, owner);
    if (!o)
        return; /* it moves them all the same */
    o->hands_over = true;
    o->hands_over_ms = now.mono_ms;
}

void
replica_hands_over(struct replica *r, struct moment now)
{
    r->now = now;
    r->hands_over_until_ms = now.mono_ms + r->conf.handover_ms;
}

static bool
is_well_formed(const struct dialogs_req *req)
{
    struct dialogs_entry e;
    struct reader entries;
    size_t count = 0;

    reader_init(&entries, req->entries);
    while (dialogs_entry_read(&entries, &e))
        count++;
    return !entries.failed && count == req->count && req->stream != 0;
}

enum status
replica_on_request(struct replica *r, struct moment now, const struct id *owner,
                   const struct dialogs_req *req, struct dialogs_ans *ret)
{
    struct dialogs_ans ans = {.stream = req->stream};
    enum status st;

    r->now = now;
    if (!is_well_formed(req) || id_equal(owner, &r->conf.self))
        return ST_MALFORMED;
    st = req->flags & DIALOGS_OFFER ? offers_on_request(r, owner, req)
                                    : copies_on_request(r, owner, req, &ans);
    if (st == ST_OK)
        *ret = ans;
    settle(r);
    return st;
}

void
replica_on_answer(struct replica *r, struct moment now, uint32_t token, enum status st,
                  const struct dialogs_ans *ans)
{
    r->now = now;
    if (!heirs_on_answer(r, token, st, ans))
        (void)offers_on_answer(r, token, st); /* or it is too late for either */
    settle(r);
}

void
replica_leave(struct replica *r, struct moment now)
{
    r->now = now;
    r->is_leaving = true;
    r->leave_until_ms = now.mono_ms + r->conf.leave_ms;
    settle(r);
}

void
replica_tick(struct replica *r, struct moment now)
{
    r->now = now;
    settle(r);
}

uint64_t
replica_deadline_ms(const struct replica *r)
{
    uint64_t at_ms = moment_earlier_ms(heirs_deadline_ms(r), copies_deadline_ms(r));

    at_ms = moment_earlier_ms(at_ms, offers_deadline_ms(r));
    at_ms = moment_earlier_ms(at_ms, own_deadline_ms(r));
    return r->is_leaving ? moment_earlier_ms(at_ms, r->leave_until_ms) : at_ms;
}

/* ---- what may be looked at ---- */

static size_t
pending(const struct replica *r, const struct heir *h)
{
    size_t count = 0;

    for (const struct list_node *at = h->held; at != &r->log; at = at->next)
        count++;
    return count;
}

void
replica_report(const struct replica *r, struct moment now, struct replica_report *ret)
{
    *ret = (struct replica_report){
        .calls = r->live,
        .copies = r->copies,
        .copy_bytes = r->copy_bytes,
        .adopted = r->adopted,
        .released = r->released,
    };
    for (size_t i = 0; i < r->present_count; i++) {
        const struct heir *h = &r->heir[r->present[i]];
        uint64_t last_ms = now.mono_ms > h->heard_ms ? now.mono_ms - h->heard_ms : 0;

        if (r->mode != REPLICA_ACTIVE && pending(r, h) == 0)
            continue; /* nothing to move: it is no heir of ours */
        ret->heir[ret->heir_count++] = (struct replica_heir){
            .node = h->node,
            .is_moving = r->mode != REPLICA_ACTIVE,
            .pending = pending(r, h),
            .last_ms = h->is_heard && last_ms < UINT32_MAX ? (uint32_t)last_ms : UINT32_MAX,
            .round_ms = h->round_ms,
        };
    }
}
