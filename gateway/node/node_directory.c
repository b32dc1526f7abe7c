/* The directory's environment, and look-ups of AORs and domains. */
#include <stdio.h>
#include <stdlib.h>

#include "gateway/node/node_internal.h"

enum { BODY_BYTES_MAX = 60000, REMOVED_LIFETIME_S = 86400, ASKED_LIFETIME_MS = 2000 };

/** A fetch, store or trace of the directory that is under way in the ring. */
struct asked {
    struct node *node;
    uint32_t token;
};

static struct asked *
asked_new(struct node *n, uint32_t token)
{
    struct asked *a = malloc(sizeof(*a));

    if (a)
        *a = (struct asked){n, token};
    return a;
}

/* ---- the directory and the ring -----------------------------------------------------------------
 */

static void
on_fetched(void *ctx, struct moment now, enum status st, const struct peer_datum *datum,
           size_t count)
{
    struct asked a = *(struct asked *)ctx;

    free(ctx);
    if (a.node->is_ending)
        return;
    a.node->now = now;
    directory_on_fetched(a.node->directory, now, a.token, st, datum, count);
    node_settle(a.node, now);
}

static void
on_stored(void *ctx, struct moment now, enum status st, const struct signer *from,
          struct slice body)
{
    struct asked a = *(struct asked *)ctx;

    (void)from;
    (void)body;
    free(ctx);
    if (a.node->is_ending)
        return;
    a.node->now = now;
    directory_on_stored(a.node->directory, now, a.token, st);
    if (directory_is_published(a.node->directory))
        election_step(a.node->election, now,
                      &(struct election_event){.type = ELECTION_RING_STORED});
    node_settle(a.node, now);
}

static void
on_traced(void *ctx, struct moment now, enum status st, const struct peer_hop *hop, size_t count)
{
    struct asked a = *(struct asked *)ctx;

    free(ctx);
    if (a.node->is_ending)
        return;
    a.node->now = now;
    directory_on_traced(a.node->directory, now, a.token, st, hop, count);
    node_settle(a.node, now);
}

void
node_ring_fetch(struct node *n, uint32_t token, const char *name)
{
    struct asked *a = asked_new(n, token);

    if (a)
        peer_fetch(n->peer[NODE_GLOBAL], n->now, name, KIND_SIP_REGISTRATION,
                   &(struct peer_fetched){on_fetched, a});
}

static void
on_store(void *ctx, uint32_t token, const char *name, const struct peer_value *value)
{
    struct node *n = ctx;
    struct asked *a = asked_new(n, token);

    if (a)
        peer_store(n->peer[NODE_GLOBAL], n->now, name, value, &(struct peer_reply){on_stored, a});
}

static void
on_trace(void *ctx, uint32_t token, const char *name)
{
    struct node *n = ctx;
    struct asked *a = asked_new(n, token);

    if (a)
        peer_trace(n->peer[NODE_GLOBAL], n->now, name, &(struct peer_traced){on_traced, a});
}

enum status
node_directory_new(struct node *n, struct why *why)
{
    struct directory_conf conf;
    const struct directory_env env = {.ctx = n,
                                      .fetch = node_ring_await,
                                      .store = on_store,
                                      .trace = on_trace,
                                      .log = n->env.log};

    directory_conf_defaults(&conf);
    snprintf(conf.overlay, sizeof(conf.overlay), "%s", n->conf.local.overlay);
    conf.self = n->conf.global.self.node;
    conf.seed = n->env.random(n->env.ctx);
    return directory_new(&conf, &env, &n->directory, why);
}

/* ---- RESOLVE: an ordinary node asks its gateway
 * ------------------------------------------------------ */

/** A RESOLVE that we answer when the directory has. */
struct serving {
    struct node *node;
    uint64_t handle;
};

static uint16_t
resolve_error(enum status st)
{
    if (st == ST_OK)
        return 0;
    return st == ST_NOT_FOUND ? ERROR_NOT_FOUND : ERROR_REQUEST_TIMEOUT;
}

static void
fill_answer(struct resolve_ans *ans, const struct directory_answer *found)
{
    snprintf(ans->overlay, sizeof(ans->overlay), "%s", found->overlay);
    for (size_t i = 0; i < found->gateway_count && i < RESOLVE_GATEWAYS_MAX; i++) {
        struct resolve_gateway *g = &ans->gateway[ans->gateway_count++];
        g->node = found->gateway[i].node;
        snprintf(g->uri, sizeof(g->uri), "%s", found->gateway[i].uri);
    }
    for (size_t i = 0; i < found->hop_count && i < RESOLVE_HOPS_MAX; i++) {
        struct resolve_hop *h = &ans->hop[ans->hop_count++];
        h->ref = found->hop[i].ref;
        h->rtt_us = found->hop[i].rtt_us;
    }
}

static void
on_served(void *ctx, struct moment now, enum status st, const struct directory_answer *found)
{
    struct serving s = *(struct serving *)ctx;
    struct resolve_ans *ans;
    struct writer w;

    free(ctx);
    if (s.node->is_ending)
        return;
    ans = calloc(1, sizeof(*ans));
    if (!ans)
        return;
    ans->error = resolve_error(st);
    if (st == ST_OK)
        fill_answer(ans, found);
    writer_init(&w, BODY_BYTES_MAX);
    resolve_ans_write(&w, ans);
    peer_answer(s.node->peer[NODE_LOCAL], now, s.handle, w.failed, writer_slice(&w));
    writer_done(&w);
    free(ans);
    node_settle(s.node, now);
}

void
node_on_resolve(struct node *n, struct moment now, const struct peer_request *req)
{
    struct resolve_req ask;
    struct serving *s = NULL;
    enum status st = resolve_req_read(req->body, &ask);

    if (st == ST_OK && election_role(n->election) != ELECTION_ACTIVE)
        st = ST_STATE;
    if (st == ST_OK && !(s = malloc(sizeof(*s))))
        st = ST_NOMEM;
    if (st != ST_OK) {
        peer_answer(n->peer[NODE_LOCAL], now, req->handle, st, slice_text(status_text(st)));
        return;
    }
    *s = (struct serving){n, req->handle};
    node_names_resolve(n, now, ask.domain, false, true, &(struct directory_resolved){on_served, s});
    node_settle(n, now);
}

/** A RESOLVE of ours that the gateway works on. */
struct forwarded {
    struct node *node;
    struct directory_resolved done;
    uint64_t asked_at_ms;
};

static void
read_gateway(struct directory_gateway *g, const struct resolve_gateway *from)
{
    g->node = from->node;
    snprintf(g->uri, sizeof(g->uri), "%s", from->uri);
}

static void
on_forwarded(void *ctx, struct moment now, enum status st, const struct signer *from,
             struct slice body)
{
    struct forwarded f = *(struct forwarded *)ctx;
    struct resolve_ans *ans = calloc(1, sizeof(*ans));
    struct directory_answer *found = calloc(1, sizeof(*found));

    (void)from;
    free(ctx);
    if (!ans || !found)
        st = ST_NOMEM;
    if (st == ST_OK)
        st = resolve_ans_read(body, ans);
    if (st == ST_OK && ans->error)
        st = ans->error == ERROR_NOT_FOUND ? ST_NOT_FOUND : ST_TIMEOUT;
    if (st == ST_OK) {
        snprintf(found->overlay, sizeof(found->overlay), "%s", ans->overlay);
        found->elapsed_ms = (uint32_t)(now.mono_ms - f.asked_at_ms);
        found->lifetime_ms = ASKED_LIFETIME_MS;
        for (size_t i = 0; i < ans->gateway_count; i++)
            read_gateway(&found->gateway[found->gateway_count++], &ans->gateway[i]);
        for (size_t i = 0; i < ans->hop_count; i++)
            found->hop[found->hop_count++] = (struct peer_hop){ans->hop[i].ref, ans->hop[i].rtt_us};
    }
    f.done.done(f.done.ctx, now, st, st == ST_OK ? found : NULL);
    free(ans);
    free(found);
}

static void
ask_gateway(struct node *n, struct moment now, const char *domain,
            const struct directory_resolved *done)
{
    struct resolve_req req = {""};
    struct forwarded *f = malloc(sizeof(*f));
    struct writer w;
    size_t count = 0;
    const struct election_gateway *gateway = election_gateways(n->election, &count);

    if (!f || count == 0) {
        free(f);
        done->done(done->ctx, now, f ? ST_UNREACHABLE : ST_NOMEM, NULL);
        return;
    }
    *f = (struct forwarded){n, *done, now.mono_ms};
    snprintf(req.domain, sizeof(req.domain), "%s", domain);
    writer_init(&w, BODY_BYTES_MAX);
    resolve_req_write(&w, &req);
    peer_ask(n->peer[NODE_LOCAL], now, &gateway[0].ref.node, PRIVATE_RESOLVE, writer_slice(&w), 0,
             &(struct peer_reply){on_forwarded, f});
    writer_done(&w);
}

/* ---- what the daemon asks
 * ----------------------------------------------------------------------------- */

void
node_lookup(struct node *n, struct moment now, const char *aor, const struct peer_fetched *done)
{
    n->now = now;
    peer_fetch(n->peer[NODE_LOCAL], now, aor, KIND_BINDING, done);
    node_settle(n, now);
}

void
node_bind(struct node *n, struct moment now, const struct binding_record *binding,
          const struct peer_reply *done)
{
    struct peer_value value = {.kind = KIND_BINDING,
                               .key = n->conf.local.self.node,
                               .exists = binding->contact_count + binding->superseded_count > 0,
                               .lifetime_s = REMOVED_LIFETIME_S};
    struct binding_record *stored = value.exists ? binding_record_copy(binding) : NULL;
    struct writer w;

    n->now = now;
    if (value.exists && !stored) {
        done->done(done->ctx, now, ST_NOMEM, NULL, slice_of(NULL, 0));
        return;
    }
    writer_init(&w, BODY_BYTES_MAX);
    if (stored) {
        value.lifetime_s = binding_record_store(stored, now.wall_ms);
        binding_record_write(&w, stored);
        value.value = writer_slice(&w);
    }
    if (w.failed != ST_OK)
        done->done(done->ctx, now, w.failed, NULL, slice_of(NULL, 0));
    else
        peer_store(n->peer[NODE_LOCAL], now, binding->aor, &value, done);
    binding_record_free(stored);
    writer_done(&w);
    node_settle(n, now);
}

void
node_resolve(struct node *n, struct moment now, const char *domain, bool is_past_cache,
             bool wants_hops, const struct directory_resolved *done)
{
    n->now = now;
    if (n->directory && election_role(n->election) != ELECTION_OBSERVER)
        node_names_resolve(n, now, domain, is_past_cache, wants_hops, done);
    else
        ask_gateway(n, now, domain, done);
    node_settle(n, now);
}

void
node_forget(struct node *n, struct moment now, const char *overlay, const struct id *gateway)
{
    n->now = now;
    if (n->directory)
        directory_forget(n->directory, now, overlay, gateway);
    node_settle(n, now);
}

void
node_locate(struct node *n, struct moment now)
{
    const struct election_event ev = {.type = ELECTION_LOCATE};

    n->now = now;
    election_step(n->election, now, &ev);
    node_settle(n, now);
}

void
node_doubt(struct node *n, struct moment now, const struct id *id, uint32_t waiting_ms)
{
    struct election_event ev = {.type = ELECTION_DOUBT};

    n->now = now;
    ev.doubt.node = *id;
    ev.doubt.waiting_ms = waiting_ms;
    election_step(n->election, now, &ev);
    node_settle(n, now);
}
