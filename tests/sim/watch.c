#include "tests/sim/watch.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TICKS_MAX 1000u /* of one node in one millisecond */

enum phase { PHASE_OUT, PHASE_JOINING, PHASE_IN };

struct watched {
    struct topology_env env; /* the host's */
    struct id self;
    enum phase phase;
    unsigned depth; /* calls into the plug-in under way */
    uint64_t ticked_ms;
    unsigned ticks;
    alignas(max_align_t) char inner[];
};

static const struct topology_ops *watched_ops;
static struct topology_ops watching_ops;
static struct watch *report_to;

static void breach(const struct watched *w, const char *invariant, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void
breach(const struct watched *w, const char *invariant, const char *format, ...)
{
    int len;
    va_list args;

    if (report_to->breaches++)
        return;
    snprintf(report_to->invariant, sizeof(report_to->invariant), "%s", invariant);
    len = snprintf(report_to->detail, sizeof(report_to->detail),
                   "node %02x%02x%02x%02x: ", w->self.bytes[0], w->self.bytes[1], w->self.bytes[2],
                   w->self.bytes[3]);
    va_start(args, format);
    vsnprintf(report_to->detail + len, sizeof(report_to->detail) - (size_t)len, format, args);
    va_end(args);
}

static struct watched *
enter(void *state)
{
    struct watched *w = state;

    report_to->calls++;
    if (w->depth++)
        breach(w, "no call back", "a callback called into the plug-in");
    return w;
}

static void
leave(struct watched *w)
{
    w->depth--;
}

/* ---- what the plug-in says to its host ------------------------------------------------------ */

static void
env_attach(void *ctx, uint32_t token, const struct topology_target *to, bool send_update)
{
    struct watched *w = ctx;

    if (to->count == 0 || to->count > TOPOLOGY_TARGET_MAX)
        breach(w, "target", "Attach to %zu destinations", to->count);
    w->env.attach(w->env.ctx, token, to, send_update);
}

static void
env_detach(void *ctx, const struct id *node)
{
    struct watched *w = ctx;

    w->env.detach(w->env.ctx, node);
}

static void
env_request(void *ctx, uint32_t token, const struct topology_target *to, uint16_t code,
            struct slice body)
{
    struct watched *w = ctx;

    if (to->count == 0 || to->count > TOPOLOGY_TARGET_MAX)
        breach(w, "target", "request %u to %zu destinations", code, to->count);
    w->env.request(w->env.ctx, token, to, code, body);
}

static bool
env_is_usable(void *ctx, const struct id *node)
{
    struct watched *w = ctx;

    return w->env.is_usable(w->env.ctx, node);
}

static void
env_offer(void *ctx, uint32_t token, const struct id *node)
{
    struct watched *w = ctx;

    if (id_equal(node, &w->self))
        breach(w, "offer", "offers its records to itself");
    w->env.offer(w->env.ctx, token, node);
}

static void
env_joined(void *ctx)
{
    struct watched *w = ctx;

    if (w->phase != PHASE_JOINING)
        breach(w, "life", "joined, but it was not joining");
    w->phase = PHASE_IN;
    w->env.joined(w->env.ctx);
}

static void
env_join_failed(void *ctx, enum status st, const char *reason)
{
    struct watched *w = ctx;

    if (w->phase != PHASE_JOINING)
        breach(w, "life", "join failed, but it was not joining");
    w->phase = PHASE_OUT;
    w->env.join_failed(w->env.ctx, st, reason);
}

static void
env_changed(void *ctx, unsigned changes)
{
    struct watched *w = ctx;

    w->env.changed(w->env.ctx, changes);
}

static uint64_t
env_random(void *ctx)
{
    struct watched *w = ctx;

    return w->env.random(w->env.ctx);
}

/* ---- life ----------------------------------------------------------------------------------- */

static enum status
watch_create(void *state, const struct topology_conf *conf, const struct topology_env *env,
             struct why *why)
{
    struct watched *w = state;
    struct topology_env own = {.ctx = w,
                               .attach = env_attach,
                               .detach = env_detach,
                               .request = env_request,
                               .is_usable = env_is_usable,
                               .offer = env_offer,
                               .joined = env_joined,
                               .join_failed = env_join_failed,
                               .changed = env_changed,
                               .random = env_random,
                               .log = env->log};

    w->env = *env;
    w->self = conf->self;
    return watched_ops->create(w->inner, conf, &own, why);
}

static void
watch_destroy(void *state)
{
    watched_ops->destroy(((struct watched *)state)->inner);
}

static void
watch_form(void *state, struct moment now)
{
    struct watched *w = enter(state);

    w->phase = PHASE_JOINING;
    watched_ops->form(w->inner, now);
    if (w->phase != PHASE_IN)
        breach(w, "life", "formed an overlay and is not in it");
    leave(w);
}

static void
watch_join(void *state, struct moment now, const struct id *informant)
{
    struct watched *w = enter(state);

    w->phase = PHASE_JOINING;
    watched_ops->join(w->inner, now, informant);
    leave(w);
}

static void
watch_leave(void *state, struct moment now)
{
    struct watched *w = enter(state);

    watched_ops->leave(w->inner, now);
    w->phase = PHASE_OUT;
    if (watched_ops->is_responsible(w->inner, &w->self))
        breach(w, "responsible while out", "left, and still responsible for its own ID");
    leave(w);
}

/* ---- routing -------------------------------------------------------------------------------- */

static enum status
watch_next_hop(const void *state, const struct id *id, bool is_node, struct id *ret_next)
{
    const struct watched *w = state;
    enum status st = watched_ops->next_hop(w->inner, id, is_node, ret_next);

    report_to->next_hops++;
    if (st == ST_OK && id_equal(ret_next, &w->self))
        breach(w, "next hop", "names itself");
    else if (st == ST_OK && !w->env.is_usable(w->env.ctx, ret_next))
        breach(w, "next hop", "names a node that is not usable");
    else if (st == ST_EXISTS && is_node && !id_equal(id, &w->self))
        breach(w, "next hop", "takes a message for another Node-ID");
    else if (st != ST_EXISTS && is_node && id_equal(id, &w->self))
        breach(w, "next hop", "does not take a message for itself");
    else if (!is_node && w->phase == PHASE_IN &&
             (st == ST_EXISTS) != watched_ops->is_responsible(w->inner, id))
        breach(w, "next hop", "and is_responsible say different things");
    else if (st == ST_OK && is_node && w->env.is_usable(w->env.ctx, id) && !id_equal(ret_next, id))
        breach(w, "next hop", "goes round a Node-ID that is directly connected");
    return st;
}

static bool
watch_is_responsible(const void *state, const struct id *id)
{
    const struct watched *w = state;
    bool is_ours = watched_ops->is_responsible(w->inner, id);

    if (is_ours && w->phase == PHASE_OUT)
        breach(w, "responsible while out", "responsible, and no member");
    return is_ours;
}

static size_t
watch_replica_set(const void *state, const struct id *id, struct id *ret_node, size_t cap)
{
    const struct watched *w = state;
    size_t count = watched_ops->replica_set(w->inner, id, ret_node, cap);

    if (count > cap)
        breach(w, "replica set", "has %zu nodes where there is room for %zu", count, cap);
    for (size_t i = 0; i < count && i < cap; i++) {
        if (id_equal(&ret_node[i], &w->self))
            breach(w, "replica set", "names itself");
        for (size_t j = 0; j < i; j++)
            if (id_equal(&ret_node[i], &ret_node[j]))
                breach(w, "replica set", "names a node twice");
    }
    return count;
}

static bool
watch_responsible_hint(const void *state, const struct id *id, struct id *ret_node)
{
    return watched_ops->responsible_hint(((const struct watched *)state)->inner, id, ret_node);
}

/* ---- events --------------------------------------------------------------------------------- */

static enum status
watch_on_request(void *state, struct moment now, const struct topology_request *req,
                 struct writer *ret_body, struct why *why)
{
    struct watched *w = enter(state);
    enum status st = watched_ops->on_request(w->inner, now, req, ret_body, why);

    leave(w);
    return st;
}

static void
watch_on_answer(void *state, struct moment now, uint32_t token, enum status st,
                const struct id *from, struct slice body)
{
    struct watched *w = enter(state);

    watched_ops->on_answer(w->inner, now, token, st, from, body);
    leave(w);
}

static void
watch_on_attach(void *state, struct moment now, uint32_t token, enum status st,
                const struct id *node)
{
    struct watched *w = enter(state);

    watched_ops->on_attach(w->inner, now, token, st, node);
    leave(w);
}

static void
watch_on_offered(void *state, struct moment now, uint32_t token, enum status st)
{
    struct watched *w = enter(state);

    watched_ops->on_offered(w->inner, now, token, st);
    leave(w);
}

static void
watch_on_linked(void *state, struct moment now, const struct id *node, bool wants_update)
{
    struct watched *w = enter(state);

    watched_ops->on_linked(w->inner, now, node, wants_update);
    leave(w);
}

static void
watch_on_suspect(void *state, struct moment now, const struct id *node, bool is_suspect)
{
    struct watched *w = enter(state);

    watched_ops->on_suspect(w->inner, now, node, is_suspect);
    leave(w);
}

static void
watch_neighbour_lost(void *state, struct moment now, const struct id *node)
{
    struct watched *w = enter(state);

    watched_ops->neighbour_lost(w->inner, now, node);
    leave(w);
}

static uint64_t
watch_deadline_ms(const void *state)
{
    return watched_ops->deadline_ms(((const struct watched *)state)->inner);
}

static void
watch_tick(void *state, struct moment now)
{
    struct watched *w = enter(state);

    w->ticks = w->ticked_ms == now.mono_ms ? w->ticks + 1 : 0;
    w->ticked_ms = now.mono_ms;
    if (w->ticks == TICKS_MAX)
        breach(w, "tick", "%u ticks in one millisecond", TICKS_MAX);
    watched_ops->tick(w->inner, now);
    leave(w);
}

static void
watch_dump(const void *state, void (*visit)(void *ctx, const struct topology_dump *line), void *ctx)
{
    watched_ops->dump(((const struct watched *)state)->inner, visit, ctx);
}

static size_t
watch_neighbour_count(const void *state)
{
    return watched_ops->neighbour_count(((const struct watched *)state)->inner);
}

const struct topology_ops *
watch_topology(const struct topology_ops *inner, struct watch *report)
{
    *report = (struct watch){0};
    report_to = report;
    watched_ops = inner;
    watching_ops = (struct topology_ops){
        .name = inner->name,
        .abi = inner->abi,
        .state_bytes = sizeof(struct watched) + inner->state_bytes,
        .create = watch_create,
        .destroy = watch_destroy,
        .form = watch_form,
        .join = watch_join,
        .leave = watch_leave,
        .next_hop = watch_next_hop,
        .is_responsible = watch_is_responsible,
        .replica_set = watch_replica_set,
        .responsible_hint = watch_responsible_hint,
        .on_request = watch_on_request,
        .on_answer = watch_on_answer,
        .on_attach = watch_on_attach,
        .on_offered = watch_on_offered,
        .on_linked = watch_on_linked,
        .on_suspect = watch_on_suspect,
        .neighbour_lost = watch_neighbour_lost,
        .deadline_ms = watch_deadline_ms,
        .tick = watch_tick,
        .dump = watch_dump,
        .neighbour_count = watch_neighbour_count,
    };
    return &watching_ops;
}
