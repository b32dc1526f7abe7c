#include "local-overlays/peer.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "local-overlays/peer_promise.h"

const char *
peer_state_name(enum peer_state state)
{
    switch (state) {
    case PEER_DOWN:
        return "down";
    case PEER_JOINING:
        return "joining";
    case PEER_JOINED:
        return "joined";
    case PEER_ALONE:
        return "alone";
    case PEER_LEAVING:
        return "leaving";
    }
    return "unknown";
}

void
peer_conf_defaults(struct peer_conf *conf)
{
    *conf = (struct peer_conf){.bootstrap_wait_ms = 2000,
                               .reliability_ms = 500,
                               .request_deadline_ms = 3000,
                               .replica_count = 2,
                               .partition_ping_ms = 30000,
                               .partition_ping_alone_ms = 5000,
                               .max_message_bytes = MESSAGE_MAX_BYTES,
                               .kinds = KIND_IN_ANY,
                               .max_records = 200000,
                               .max_record_bytes = (size_t)256 << 20,
                               .max_transactions = 4096};
    conf->max_bad_signatures = 3;
}

const struct topology_ops *
peer_ops(const struct peer *p)
{
    return p->conf.topology;
}

void
peer_copy_text(char *out, size_t out_bytes, const char *text)
{
    size_t len = strnlen(text, out_bytes - 1);

    memcpy(out, text, len);
    out[len] = '\0';
}

struct id
peer_hash(const struct peer *p, const char *name)
{
    struct id resource;

    p->env.keys.ops->resource_id(p->env.keys.ctx, slice_text(name), &resource);
    return resource;
}

/* ---- a step ---- */

void
peer_later(struct peer *p, struct later *l)
{
    list_append(&p->later, &l->at);
}

static void
run_later(struct peer *p)
{
    while (!list_is_empty(&p->later)) {
        struct later *l = list_entry(p->later.next, struct later, at);
        list_remove(&l->at);
        l->run(p, l);
    }
}

static void
check_invariants(const struct peer *p)
{
    assert(!p->is_in || p->is_engaged);
    assert(!p->is_in || p->state != PEER_DOWN);
    assert(p->depth == 1 && list_is_empty(&p->later));
}

void
peer_enter(struct peer *p, struct moment now)
{
    p->now = now;
    p->depth++;
}

/* The outermost step settles: what was put off runs, then what follows from the new state, until
 * nothing is left to do. */
void
peer_leave(struct peer *p)
{
    if (p->depth == 1) {
        do {
            peer_promise_settle(p);
            run_later(p);
            peer_bootstrap_decide(p);
            peer_replica_pump(p);
        } while (peer_promise_settle(p) || !list_is_empty(&p->later));
        check_invariants(p);
    }
    p->depth--;
}

void
peer_leave_asked(struct peer *p)
{
    p->depth--;
}

/* ---- life cycle ---- */

static enum status
check_conf(const struct peer_conf *conf, const struct peer_env *env, struct why *why)
{
    if (!conf->topology || !env->keys.ops || !env->keys.ops->resource_id)
        return why_set(why, ST_RANGE, "no topology plug-in or no hash");
    if (conf->topology->abi != TOPOLOGY_ABI)
        return why_set(why, ST_RANGE, "plug-in %s: ABI %u, this program has %u",
                       conf->topology->name, conf->topology->abi, TOPOLOGY_ABI);
    if (conf->bootstrap_count > PEER_BOOTSTRAP_MAX || conf->overlay[0] == '\0')
        return why_set(why, ST_RANGE, "an overlay needs a name and at most %d bootstrap entries",
                       PEER_BOOTSTRAP_MAX);
    if (conf->max_message_bytes < 1024 || conf->reliability_ms == 0 ||
        conf->request_deadline_ms == 0 || conf->max_transactions == 0)
        return why_set(why, ST_RANGE, "a limit or timer is too small");
    return ST_OK;
}

static enum status
make_tables(struct peer *p)
{
    char own[OVERLAY_NAME_BYTES + 8];
    struct storage_limits limits = {.max_values = p->conf.max_records,
                                    .max_bytes = p->conf.max_record_bytes,
                                    .overlays = p->conf.kinds};
    enum status st;

    snprintf(own, sizeof(own), "overlay@%s", p->conf.overlay);
    limits.overlay_resource = peer_hash(p, own);
    st = storage_new(&limits, NULL, &p->storage);
    if (st == ST_OK)
        st = transactions_new(p->conf.max_transactions, p->conf.reliability_ms, &p->transactions);
    if (st == ST_OK)
        st = duplicates_new(PEER_DUPLICATES_MAX, PEER_DUPLICATE_BYTES_MAX, &p->duplicates);
    if (st == ST_OK)
        st = peer_signers_new(p);
    p->link_by_id = map_new(0, 0);
    return st == ST_OK && !p->link_by_id ? ST_NOMEM : st;
}

static enum status
make_topology(struct peer *p, struct why *why)
{
    const struct topology_ops *ops = peer_ops(p);
    struct topology_env env = peer_topology_env(p);
    struct topology_conf conf = {.self = p->conf.self.node,
                                 .update_ms = p->conf.update_ms,
                                 .replica_count = p->conf.replica_count};
    enum status st;

    memcpy(conf.parameters, p->conf.parameters, sizeof(conf.parameters));
    p->topology = calloc(1, ops->state_bytes > 0 ? ops->state_bytes : 1);
    p->promise = calloc(1, sizeof(*p->promise));
    if (!p->topology || !p->promise) {
        free(p->topology);
        p->topology = NULL;
        return ST_NOMEM;
    }
    st = ops->create(p->topology, &conf, &env, why);
    if (st != ST_OK) {
        free(p->topology);
        p->topology = NULL;
    }
    return st;
}

static void
destroy(struct peer *p)
{
    if (p->topology)
        peer_ops(p)->destroy(p->topology);
    free(p->topology);
    free(p->promise);
    peer_bootstrap_free(p);
    peer_attach_free(p);
    peer_watch_free(p);
    peer_replica_free(p);
    peer_forwarded_free(p);
    peer_store_free(p);
    list_each(at, &p->answers) peer_answer_free(list_entry(at, struct answer_to, at));
    list_each(at, &p->links) free(list_entry(at, struct link, at));
    map_free(p->link_by_id);
    transactions_free(p->transactions);
    duplicates_free(p->duplicates);
    replays_free(p->replays);
    reassembly_free(p->reassembly);
    peer_signers_free(p);
    storage_free(p->storage);
    free(p);
}

enum status
peer_new(const struct peer_conf *conf, const struct peer_env *env, struct moment now,
         struct peer **ret_peer, struct why *why)
{
    enum status st = check_conf(conf, env, why);
    struct peer *p;

    if (st != ST_OK)
        return st;
    p = calloc(1, sizeof(*p));
    if (!p)
        return ST_NOMEM;
    p->conf = *conf;
    p->env = *env;
    p->now = now;
    p->born_ms = now.mono_ms;
    p->remark_ms = MOMENT_NEVER;
    p->envelope = (struct envelope){.keys = env->keys,
                                    .overlay = envelope_overlay(&env->keys, conf->overlay),
                                    .configuration_sequence = PEER_CONFIGURATION_SEQUENCE,
                                    .initial_ttl = MESSAGE_INITIAL_TTL,
                                    .max_bytes = (size_t)16 << 20};
    list_init(&p->later);
    list_init(&p->links);
    list_init(&p->entries);
    list_init(&p->watches);
    list_init(&p->attaches);
    list_init(&p->answers);
    list_init(&p->waiting_stores);
    list_init(&p->fetches);
    list_init(&p->offers);
    list_init(&p->forwarded);
    st = make_tables(p);
    if (st == ST_OK)
        st = make_topology(p, why);
    if (st != ST_OK) {
        destroy(p);
        return st;
    }
    *ret_peer = p;
    return ST_OK;
}

void
peer_free(struct peer *p)
{
    struct transaction *tr;

    if (!p)
        return;
    p->is_ending = true;
    p->depth++;
    while ((tr = transactions_take_any(p->transactions)))
        peer_finish(p, tr, ST_STATE);
    run_later(p);
    destroy(p);
}

/* ---- state ---- */

struct told {
    struct later later;
    enum peer_state state;
    char reason[96];
};

static void
tell(struct peer *p, struct later *l)
{
    struct told *t = (struct told *)l;

    if (p->env.on_state && !p->is_ending)
        p->env.on_state(p->env.ctx, t->state, t->reason);
    free(t);
}

void
peer_tell_state(struct peer *p, const char *reason)
{
    struct told *t = calloc(1, sizeof(*t));

    p->told_neighbours = peer_neighbour_count(p);
    peer_signers_on_change(p);
    if (!t)
        return;
    t->later.run = tell;
    t->state = p->state;
    peer_copy_text(t->reason, sizeof(t->reason), reason);
    peer_later(p, &t->later);
}

void
peer_become(struct peer *p, enum peer_state state, const char *reason)
{
    if (p->state == state)
        return;
    log_to(&p->env.log, LOG_LEVEL_INFO, "%s: %s -> %s, reason: %s", p->conf.overlay,
           peer_state_name(p->state), peer_state_name(state), reason);
    p->state = state;
    p->since_ms = p->now.mono_ms;
    peer_tell_state(p, reason);
}

/* ---- what it aims at ---- */

void
peer_aim(struct peer *p, struct moment now, enum peer_aim aim)
{
    enum peer_aim was = p->aim;

    peer_enter(p, now);
    p->aim = aim;
    p->is_stuck = !peer_promise_is_kept(p);
    if (p->state == PEER_DOWN && aim != PEER_AIM_NOTHING && !p->is_stuck) {
        peer_become(p, PEER_JOINING, aim == PEER_AIM_MEMBER ? "to be a member" : "to be a client");
        peer_bootstrap_start(p);
    } else if (p->state != PEER_LEAVING &&
               (aim == PEER_AIM_NOTHING || (p->is_engaged && aim != PEER_AIM_MEMBER))) {
        peer_depart(p, "leaves");
    } else if (aim == PEER_AIM_MEMBER && !p->is_engaged && p->state == PEER_JOINED) {
        peer_become(p, PEER_JOINING, "from client to member");
        peer_bootstrap_start(p);
    } else if (aim == PEER_AIM_MEMBER && was == PEER_AIM_CLIENT && p->state == PEER_JOINING) {
        p->since_ms = now.mono_ms;
        peer_bootstrap_start(p); /* what was said to a client may be old */
    }
    peer_leave_asked(p);
}

/* ---- what the shell reports ---- */

static void
update_state(struct peer *p)
{
    size_t count = peer_neighbour_count(p);

    if (p->is_in && p->state == PEER_JOINED && count == 0) {
        peer_become(p, PEER_ALONE, "no other member is left");
        peer_bootstrap_look(p);
    } else if (p->is_in && p->state == PEER_ALONE && count > 0) {
        peer_become(p, PEER_JOINED, "another member joined");
    } else if (count != p->told_neighbours) {
        peer_tell_state(p, "neighbours changed");
    }
}

void
peer_tick(struct peer *p, struct moment now)
{
    peer_enter(p, now);
    transactions_run(p->transactions, now.mono_ms, p, peer_transmit, peer_expired);
    if (p->is_engaged && peer_ops(p)->deadline_ms(p->topology) <= now.mono_ms)
        peer_ops(p)->tick(p->topology, now);
    storage_expire(p->storage, now);
    peer_links_tick(p);
    peer_bootstrap_tick(p);
    peer_attach_tick(p);
    peer_watch_tick(p);
    peer_store_tick(p);
    peer_signers_tick(p);
    peer_fetch_tick(p);
    peer_replica_tick(p);
    peer_answers_expire(p);
    if (p->reassembly)
        reassembly_expire(p->reassembly, now.mono_ms);
    peer_depart_tick(p);
    update_state(p);
    peer_leave(p);
}

uint64_t
peer_deadline_ms(const struct peer *p)
{
    uint64_t at = transactions_deadline_ms(p->transactions);

    if (!list_is_empty(&p->later) || (p->promise->is_broken && !p->promise->is_told))
        return p->now.mono_ms;
    if (p->is_engaged)
        at = moment_earlier_ms(at, peer_ops(p)->deadline_ms(p->topology));
    at = moment_earlier_ms(at, storage_deadline_ms(p->storage));
    at = moment_earlier_ms(at, peer_bootstrap_deadline_ms(p));
    at = moment_earlier_ms(at, peer_attach_deadline_ms(p));
    at = moment_earlier_ms(at, peer_watch_deadline_ms(p));
    at = moment_earlier_ms(at, peer_store_deadline_ms(p));
    at = moment_earlier_ms(at, peer_signers_deadline_ms(p));
    at = moment_earlier_ms(at, peer_fetch_deadline_ms(p));
    at = moment_earlier_ms(at, peer_replica_deadline_ms(p));
    at = moment_earlier_ms(at, peer_depart_deadline_ms(p));
    if (peer_neighbour_count(p) != p->told_neighbours)
        at = moment_earlier_ms(at, p->now.mono_ms);
    return at;
}

/* ---- what may be looked at ---- */

enum peer_state
peer_state(const struct peer *p)
{
    return p->state;
}

bool
peer_is_member(const struct peer *p)
{
    return p->is_in;
}

size_t
peer_neighbour_count(const struct peer *p)
{
    return p->is_in ? peer_plugin_neighbour_count(p) : peer_member_links(p);
}

size_t
peer_record_count(const struct peer *p)
{
    return storage_value_count(p->storage);
}

size_t
peer_record_bytes(const struct peer *p)
{
    return storage_byte_count(p->storage);
}

uint64_t
peer_values_refused(const struct peer *p, enum peer_refusal reason)
{
    const struct storage_counters *n = storage_counters_of(p->storage);
    const uint64_t count[PEER_REFUSALS] = {[PEER_REFUSED_SHARE] = n->over_share,
                                           [PEER_REFUSED_SIZE] = n->too_large,
                                           [PEER_REFUSED_PLACE] = n->misplaced,
                                           [PEER_REFUSED_TIME] = n->out_of_time,
                                           [PEER_REFUSED_STRANGERS] = p->counters.strangers_copies,
                                           [PEER_REFUSED_LIFETIME] = n->shortened};

    return count[reason];
}

const struct peer_conf *
peer_conf_of(const struct peer *p)
{
    return &p->conf;
}

const struct peer_counters *
peer_counters_of(const struct peer *p)
{
    return &p->counters;
}

bool
peer_is_responsible(const struct peer *p, const struct id *id)
{
    return p->is_in && peer_promise_is_kept(p) && peer_ops(p)->is_responsible(p->topology, id);
}

void
peer_dump(const struct peer *p, void (*visit)(void *ctx, const struct topology_dump *line),
          void *ctx)
{
    peer_plugin_dump(p, visit, ctx);
}

size_t
peer_linked_members(const struct peer *p, struct id *ret, size_t cap)
{
    size_t count = 0;

    list_each(at, &p->links)
    {
        const struct link *l = list_entry(at, struct link, at);
        if (count < cap && l->is_up && l->is_member)
            ret[count++] = l->node;
    }
    return count;
}

size_t
peer_neighbours(const struct peer *p, struct node_ref *ret_ref, size_t cap)
{
    size_t count = 0;

    list_each(at, &p->links)
    {
        const struct link *l = list_entry(at, struct link, at);
        if (!l->is_up || !l->is_member || l->address[0] == '\0')
            continue;
        if (count == cap)
            break;
        ret_ref[count] = (struct node_ref){.node = l->node};
        memcpy(ret_ref[count].address, l->address, sizeof(l->address));
        count++;
    }
    return count;
}

struct record_visit {
    const struct peer *p;
    const struct storage_record *record;
    void (*visit)(void *ctx, const struct peer_record_line *line);
    void *ctx;
};

static void
visit_value(void *ctx, const struct storage_value *v)
{
    struct record_visit *r = ctx;
    const struct id *resource = storage_record_resource(r->record);
    uint64_t left_ms = v->expires_ms > r->p->now.mono_ms ? v->expires_ms - r->p->now.mono_ms : 0;
    struct peer_record_line line = {.resource = *resource,
                                    .kind = storage_record_kind(r->record)->id,
                                    .key = v->data.key,
                                    .exists = v->data.value.exists,
                                    .is_replica = !peer_is_responsible(r->p, resource),
                                    .expires_at_wall_ms = r->p->now.wall_ms + left_ms,
                                    .value_bytes = v->data.value.value.len};

    r->visit(r->ctx, &line);
}

void
peer_records(const struct peer *p, void (*visit)(void *ctx, const struct peer_record_line *line),
             void *ctx)
{
    struct record_visit r = {.p = p, .visit = visit, .ctx = ctx};
    struct storage_cursor c = {0};

    while ((r.record = storage_next(p->storage, &c)))
        storage_record_visit(r.record, visit_value, &r);
}
