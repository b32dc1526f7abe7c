/* The election's environment: its requests and records become those of the local peer. */
#include <stdlib.h>
#include <string.h>

#include "gateway/node/node_internal.h"

enum { BODY_BYTES_MAX = 60000, REMOVED_LIFETIME_S = 86400, RECORDS_MAX = 256, LINGER_MS = 2000 };

/** A request or store of the election that is under way. */
struct asked {
    struct node *node;
    enum election_event_type type; /* of the event that ends it */
    uint32_t token;
    enum election_record record; /* ELECTION_STORED */
};

static struct asked *
asked_new(struct node *n, enum election_event_type type, uint32_t token)
{
    struct asked *a = calloc(1, sizeof(*a));

    if (a)
        *a = (struct asked){.node = n, .type = type, .token = token};
    return a;
}

/* ---- certificates
 * --------------------------------------------------------------------------------- */

bool
node_is_verified(const struct node *n, const struct id *id)
{
    for (size_t i = 0; i < n->verified_count; i++)
        if (id_equal(&n->verified[i], id))
            return true;
    return false;
}

static void
remember_verified(struct node *n, const struct id *id)
{
    if (node_is_verified(n, id))
        return;
    n->verified[n->verified_next] = *id; /* the oldest goes */
    n->verified_next = (n->verified_next + 1) % NODE_VERIFIED_MAX;
    if (n->verified_count < NODE_VERIFIED_MAX)
        n->verified_count++;
}

/*
 * A node without a global overlay has no
 * authority to ask: it trusts the record's key, which only that node can write.
 */
bool
node_check_gateway(struct node *n, struct moment now, const struct id *id, struct slice certificate)
{
    struct signer owner;
    struct why why = {""};
    char text[ID_TEXT_BYTES];

    if (!n->conf.has_global)
        return true;
    if (n->env.check_gateway(n->env.ctx, certificate, now.wall_ms, &owner, &why) != ST_OK) {
        node_log(n, LOG_LEVEL_REMOTE,
                 "%s says it is a gateway, but its global certificate is not good: %s",
                 id_text(id, text), why.text);
        return false;
    }
    if (!id_equal(&owner.node, id) || strcmp(owner.user, n->overlay_aor) != 0) {
        node_log(n, LOG_LEVEL_REMOTE,
                 "%s says it is a gateway of %s, but its global certificate is of user %s",
                 id_text(id, text), n->conf.local.overlay, owner.user);
        return false;
    }
    remember_verified(n, id);
    return true;
}

/* ---- requests that the election sends
 * ------------------------------------------------------------------ */

static void
learn_ring(struct node *n, struct moment now, const struct hello_ans *ans)
{
    if (!n->peer[NODE_GLOBAL])
        return;
    for (size_t i = 0; i < ans->ring_count; i++)
        peer_learn(n->peer[NODE_GLOBAL], now, &ans->ring[i]);
}

/* Of several gateways all go by the first one's key. */
static void
learn_key(struct node *n, const struct id *from, const struct hello_ans *ans)
{
    size_t count;
    const struct election_gateway *gateway = election_gateways(n->election, &count);

    if (!ans->is_active || !ans->has_key || count == 0 || gateway[0].is_self ||
        !id_equal(&gateway[0].ref.node, from) ||
        memcmp(n->naming_key, ans->key, sizeof(ans->key)) == 0)
        return;
    memcpy(n->naming_key, ans->key, sizeof(ans->key));
    if (election_role(n->election) == ELECTION_ACTIVE)
        n->env.on_gateways(n->env.ctx, gateway, count);
}

static void
on_answered(void *ctx, struct moment now, enum status st, const struct signer *from,
            struct slice body)
{
    struct asked *a = ctx;
    struct node *n = a->node;
    struct election_event ev = {.type = a->type};
    union {
        struct hello_ans hello;
        struct probe_gateway_ans probe;
    } ans;

    ev.answer.token = a->token;
    free(a);
    if (n->is_ending)
        return;
    n->now = now;
    if (st == ST_OK)
        ev.answer.from = from->node;
    if (st == ST_OK && (ev.type == ELECTION_HELLO_ANSWER || ev.type == ELECTION_CLAIM_ANSWER)) {
        st = hello_ans_read(body, &ans.hello);
        if (st == ST_OK && ans.hello.is_active && n->conf.has_global &&
            !node_is_verified(n, &from->node))
            st = ST_FORBIDDEN;
        if (st == ST_OK)
            st = node_lists_complete(&n->lists, &from->node, &ans.hello);
        if (st == ST_OK)
            learn_ring(n, now, &ans.hello);
        ev.answer.hello = &ans.hello;
    } else if (st == ST_OK && ev.type == ELECTION_PROBE_ANSWER) {
        st = probe_gateway_ans_read(body, &ans.probe);
        ev.answer.probe = &ans.probe;
    }
    ev.answer.st = st;
    election_step(n->election, now, &ev);
    if (st == ST_OK && ev.type == ELECTION_HELLO_ANSWER)
        learn_key(n, &ev.answer.from, &ans.hello);
    node_settle(n, now);
}

static void
ask(struct node *n, const struct id *to, uint16_t subtype, const struct writer *body,
    uint32_t deadline_ms, enum election_event_type type, uint32_t token)
{
    const struct peer_reply reply = {on_answered, asked_new(n, type, token)};

    if (reply.ctx) /* without memory the election's own deadline ends the ask */
        peer_ask(n->peer[NODE_LOCAL], n->now, to, subtype, writer_slice(body), deadline_ms, &reply);
}

static void
on_send_hello(void *ctx, const struct id *to, uint32_t token, const struct hello_req *req,
              uint32_t deadline_ms)
{
    struct node *n = ctx;
    struct hello_req hello = *req;
    struct writer w;

    hello.list = node_lists_held(&n->lists, to);
    writer_init(&w, BODY_BYTES_MAX);
    hello_req_write(&w, &hello);
    ask(n, to, PRIVATE_HELLO, &w, deadline_ms, ELECTION_HELLO_ANSWER, token);
    writer_done(&w);
}

static void
on_send_claim(void *ctx, const struct id *to, uint32_t token, const struct claim_req *req)
{
    struct node *n = ctx;
    struct claim_req claim = *req;
    struct writer w;

    claim.certificate = n->conf.certificate;
    writer_init(&w, BODY_BYTES_MAX);
    claim_req_write(&w, &claim);
    ask(n, to, PRIVATE_CLAIM, &w, 0, ELECTION_CLAIM_ANSWER, token);
    writer_done(&w);
}

static void
on_send_probe(void *ctx, const struct id *to, uint32_t token, const struct probe_gateway_req *req,
              uint32_t deadline_ms)
{
    struct writer w;

    writer_init(&w, BODY_BYTES_MAX);
    probe_gateway_req_write(&w, req);
    ask(ctx, to, PRIVATE_PROBE, &w, deadline_ms, ELECTION_PROBE_ANSWER, token);
    writer_done(&w);
}

static void
on_send_handover(void *ctx, const struct id *to, uint32_t token, const struct handover_req *req)
{
    struct writer w;

    node_replica_hands_over(ctx);
    writer_init(&w, BODY_BYTES_MAX);
    handover_req_write(&w, req);
    ask(ctx, to, PRIVATE_HANDOVER, &w, 0, ELECTION_HANDOVER_ANSWER, token);
    writer_done(&w);
}

/* ---- requests of others, and their answers
 * ---------------------------------------------------------------- */

static void
on_answer_hello(void *ctx, uint64_t handle, const struct hello_ans *ans)
{
    struct node *n = ctx;
    struct hello_ans full = *ans;
    struct writer w;

    if (n->peer[NODE_GLOBAL] && peer_is_member(n->peer[NODE_GLOBAL])) {
        full.ring[0] = n->conf.global.self;
        full.ring_count = (uint8_t)(1 + peer_neighbours(n->peer[NODE_GLOBAL], &full.ring[1],
                                                        RING_NEIGHBOURS_MAX - 1));
    }
    full.has_key = full.is_active && n->is_candidate_asking;
    if (full.has_key)
        memcpy(full.key, n->naming_key, sizeof(full.key));
    node_lists_number(n->list_seed, n->asked_list, &full);
    writer_init(&w, BODY_BYTES_MAX);
    hello_ans_write(&w, &full);
    peer_answer(n->peer[NODE_LOCAL], n->now, handle, ST_OK, writer_slice(&w));
    writer_done(&w);
}

static void
on_answer_probe(void *ctx, uint64_t handle, const struct probe_gateway_ans *ans)
{
    struct node *n = ctx;
    struct writer w;

    writer_init(&w, BODY_BYTES_MAX);
    probe_gateway_ans_write(&w, ans);
    peer_answer(n->peer[NODE_LOCAL], n->now, handle, ST_OK, writer_slice(&w));
    writer_done(&w);
}

static void
on_answer_handover(void *ctx, uint64_t handle, enum status st)
{
    struct node *n = ctx;

    if (st == ST_OK)
        node_replica_on_handover(n, &n->handover_from);
    peer_answer(n->peer[NODE_LOCAL], n->now, handle, st, slice_of(NULL, 0));
}

static enum status
on_claim(struct node *n, struct moment now, const struct peer_request *req,
         struct election_event *ev)
{
    struct claim_req claim;
    enum status st = claim_req_read(req->body, &claim);

    if (st != ST_OK)
        return st;
    if (!id_equal(&claim.ref.node, &req->signer.node) ||
        !node_check_gateway(n, now, &req->signer.node, claim.certificate))
        return ST_FORBIDDEN;
    ev->type = ELECTION_CLAIM;
    ev->request.claim = &claim;
    election_step(n->election, now, ev);
    return ST_OK;
}

static enum status
on_election_request(struct node *n, struct moment now, const struct peer_request *req)
{
    struct election_event ev = {.type = ELECTION_HELLO};
    struct hello_req hello;
    struct probe_gateway_req probe;
    struct handover_req handover;
    enum status st;

    ev.request.from = req->signer.node;
    ev.request.handle = req->handle;
    n->asked_list = 0;
    n->is_candidate_asking = false;
    switch (req->subtype) {
    case PRIVATE_HELLO:
        st = hello_req_read(req->body, &hello);
        ev.request.hello = &hello;
        if (st == ST_OK) {
            n->asked_list = hello.list;
            n->is_candidate_asking = hello.score > 0;
        }
        break;
    case PRIVATE_CLAIM:
        return on_claim(n, now, req, &ev);
    case PRIVATE_PROBE:
        st = probe_gateway_req_read(req->body, &probe);
        ev.type = ELECTION_PROBE;
        ev.request.probe = &probe;
        break;
    case PRIVATE_HANDOVER:
        st = handover_req_read(req->body, &handover);
        ev.type = ELECTION_HANDOVER;
        n->handover_from = req->signer.node;
        ev.request.handover = &handover;
        break;
    default:
        return ST_UNSUPPORTED;
    }
    if (st == ST_OK)
        election_step(n->election, now, &ev);
    return st;
}

void
node_on_private(struct node *n, struct moment now, enum node_overlay which,
                const struct peer_request *req)
{
    enum status st = ST_UNSUPPORTED;

    n->now = now;
    if (which == NODE_LOCAL && req->subtype == PRIVATE_RESOLVE) {
        node_on_resolve(n, now, req);
        return;
    }
    if (which == NODE_GLOBAL && req->subtype == PRIVATE_LOCAL) {
        node_on_local(n, now, req);
        node_settle(n, now);
        return;
    }
    if (which == NODE_LOCAL && req->subtype == PRIVATE_NAMES) {
        node_on_names(n, now, req);
        node_settle(n, now);
        return;
    }
    if (which == NODE_LOCAL && req->subtype == PRIVATE_DIALOGS)
        st = node_on_dialogs(n, now, req);
    else if (which == NODE_LOCAL)
        st = on_election_request(n, now, req);
    if (st != ST_OK) {
        node_log(n, LOG_LEVEL_REMOTE, "%s: request of subtype %u refused: %s", req->signer.user,
                 (unsigned)req->subtype, status_text(st));
        peer_answer(n->peer[which], now, req->handle, st, slice_text(status_text(st)));
    }
    node_settle(n, now);
}

/* ---- records
 * ------------------------------------------------------------------------------------------------
 */

static void
on_stored(void *ctx, struct moment now, enum status st, const struct signer *from,
          struct slice body)
{
    struct asked *a = ctx;
    struct node *n = a->node;
    struct election_event ev = {.type = ELECTION_STORED};

    (void)from;
    (void)body;
    ev.stored.which = a->record;
    ev.stored.st = st;
    free(a);
    if (n->is_ending)
        return;
    n->now = now;
    election_step(n->election, now, &ev);
    node_settle(n, now);
}

static void
on_withdrawn(void *ctx, struct moment now, enum status st, const struct signer *from,
             struct slice body)
{
    (void)ctx; /* nothing to do: unrenewed, it expires too */
    (void)now;
    (void)st;
    (void)from;
    (void)body;
}

static void
store(struct node *n, enum election_record which, struct slice value, uint32_t lifetime_s)
{
    struct peer_value v = {.kind = which == ELECTION_RECORD_GATEWAY ? KIND_ACTIVE_GATEWAY
                                                                    : KIND_CANDIDATE,
                           .key = n->conf.local.self.node,
                           .exists = value.len > 0,
                           .lifetime_s = lifetime_s,
                           .value = value};
    struct peer_reply done = {on_withdrawn, NULL};

    if (v.exists) {
        struct asked *a = asked_new(n, ELECTION_STORED, 0);
        if (!a)
            return;
        a->record = which;
        done = (struct peer_reply){on_stored, a};
    }
    peer_store(n->peer[NODE_LOCAL], n->now, n->overlay_aor, &v, &done);
}

static void
on_publish_candidate(void *ctx, const struct candidate_record *rec, uint32_t lifetime_s)
{
    struct writer w;

    writer_init(&w, BODY_BYTES_MAX);
    candidate_record_write(&w, rec);
    store(ctx, ELECTION_RECORD_CANDIDATE, writer_slice(&w), lifetime_s);
    writer_done(&w);
}

static void
on_publish_gateway(void *ctx, const struct gateway_record *rec, uint32_t lifetime_s)
{
    struct node *n = ctx;
    struct gateway_record full = *rec;
    struct writer w;

    n->is_lingering[NODE_LOCAL] = false;
    full.certificate = n->conf.certificate;
    writer_init(&w, BODY_BYTES_MAX);
    gateway_record_write(&w, &full);
    store(n, ELECTION_RECORD_GATEWAY, writer_slice(&w), lifetime_s);
    writer_done(&w);
}

/* A reader that comes between the old gateway's record and the new one's must not find none: the
 * old one, whose term is lower, stays a little longer. */
static void
linger(struct node *n, enum node_overlay which)
{
    n->is_lingering[which] = true;
    n->linger_until_ms = n->now.mono_ms + LINGER_MS;
}

void
node_linger_end(struct node *n, struct moment now)
{
    n->linger_until_ms = MOMENT_NEVER;
    if (n->is_lingering[NODE_LOCAL])
        store(n, ELECTION_RECORD_GATEWAY, slice_of(NULL, 0), REMOVED_LIFETIME_S);
    if (n->is_lingering[NODE_GLOBAL])
        directory_withdraw(n->directory, now);
    n->is_lingering[NODE_LOCAL] = n->is_lingering[NODE_GLOBAL] = false;
}

static void
on_withdraw(void *ctx, enum election_record which)
{
    if (which == ELECTION_RECORD_GATEWAY)
        linger(ctx, NODE_LOCAL);
    else
        store(ctx, which, slice_of(NULL, 0), REMOVED_LIFETIME_S);
}

/* The key, the signer and what the record says of itself must be one node. */
static bool
is_own_record(const struct peer_datum *datum, const struct node_ref *ref)
{
    return slice_equal(datum->key, slice_of(datum->signer.node.bytes, ID_BYTES)) &&
           id_equal(&ref->node, &datum->signer.node);
}

static void
on_candidates(void *ctx, struct moment now, enum status st, const struct peer_datum *datum,
              size_t count)
{
    struct node *n = ctx;
    struct election_event ev = {.type = ELECTION_CANDIDATES};
    size_t most = count < RECORDS_MAX ? count : RECORDS_MAX;
    struct candidate_record *rec;

    if (n->is_ending)
        return;
    n->now = now;
    rec = calloc(most > 0 ? most : 1, sizeof(*rec));
    for (size_t i = 0; rec && i < most; i++) {
        struct candidate_record *r = &rec[ev.candidates.count];
        if (!datum[i].exists)
            continue;
        if (candidate_record_read(datum[i].value, r) == ST_OK && is_own_record(&datum[i], &r->ref))
            ev.candidates.count++;
        else
            node_log(n, LOG_LEVEL_REMOTE, "candidate record of %s is not good",
                     datum[i].signer.user);
    }
    ev.candidates.st = rec ? st : ST_NOMEM;
    ev.candidates.record = rec;
    election_step(n->election, now, &ev);
    free(rec);
    node_settle(n, now);
}

static void
on_gateways(void *ctx, struct moment now, enum status st, const struct peer_datum *datum,
            size_t count)
{
    struct node *n = ctx;
    struct election_event ev = {.type = ELECTION_GATEWAYS};
    size_t most = count < RECORDS_MAX ? count : RECORDS_MAX;
    struct gateway_record *rec;

    if (n->is_ending)
        return;
    n->now = now;
    rec = calloc(most > 0 ? most : 1, sizeof(*rec));
    for (size_t i = 0; rec && i < most; i++) {
        struct gateway_record *r = &rec[ev.gateways.count];
        if (!datum[i].exists)
            continue;
        if (gateway_record_read(datum[i].value, r) != ST_OK || !is_own_record(&datum[i], &r->ref))
            node_log(n, LOG_LEVEL_REMOTE, "gateway record of %s is not good", datum[i].signer.user);
        else if (node_check_gateway(n, now, &r->ref.node, r->certificate))
            ev.gateways.count++;
    }
    ev.gateways.st = rec ? st : ST_NOMEM;
    ev.gateways.record = rec;
    election_step(n->election, now, &ev);
    free(rec);
    node_settle(n, now);
}

static void
on_fetch_candidates(void *ctx)
{
    struct node *n = ctx;

    peer_fetch(n->peer[NODE_LOCAL], n->now, n->overlay_aor, KIND_CANDIDATE,
               &(struct peer_fetched){on_candidates, n});
}

static void
on_fetch_gateways(void *ctx)
{
    struct node *n = ctx;

    peer_fetch(n->peer[NODE_LOCAL], n->now, n->overlay_aor, KIND_ACTIVE_GATEWAY,
               &(struct peer_fetched){on_gateways, n});
}

/* ---- the ring
 * --------------------------------------------------------------------------------------------------
 */

static void
on_fetch_ring(void *ctx)
{
    node_ring_read(ctx);
}

static void
on_aim_ring(void *ctx, enum peer_aim aim)
{
    struct node *n = ctx;

    peer_aim(n->peer[NODE_GLOBAL], n->now, aim);
}

/* Only the candidates of one overlay share a user name in the ring: what the local overlay's nodes
 * are to each other, each finds out by itself. */
static void
on_gone(void *ctx, const struct id *node)
{
    struct node *n = ctx;

    peer_declare_gone(n->peer[NODE_GLOBAL], n->now, node);
}

static void
on_publish_ring(void *ctx, uint32_t term, uint16_t priority, uint16_t weight)
{
    struct node *n = ctx;

    n->is_lingering[NODE_GLOBAL] = false;
    if (directory_publish(n->directory, n->now, n->conf.gateway_sip_uri, term, priority, weight) !=
        ST_OK)
        node_log(n, LOG_LEVEL_ERROR, "gateway-listen is too long for the ring: %s",
                 n->conf.gateway_sip_uri);
}

static void
on_withdraw_ring(void *ctx)
{
    linger(ctx, NODE_GLOBAL);
}

static void
on_watch(void *ctx, const struct id *node, const char *address)
{
    struct node *n = ctx;

    peer_watch(n->peer[NODE_LOCAL], n->now, node, address);
}

static void
on_unwatch(void *ctx, const struct id *node)
{
    struct node *n = ctx;

    peer_unwatch(n->peer[NODE_LOCAL], n->now, node);
}

/* ---- what changed
 * ---------------------------------------------------------------------------------------------------
 */

static void
on_gateways_changed(void *ctx, const struct election_gateway *gateway, size_t count)
{
    struct node *n = ctx;

    /* Who becomes gateway has the calls first: a request that waits for the news of it is for one.
     */
    node_replica_gateways(n, gateway, count);
    node_names_gateways(n, gateway, count);
    n->env.on_gateways(n->env.ctx, gateway, count);
}

static void
on_role_changed(void *ctx, enum election_role was, enum election_role is, uint32_t term,
                const char *reason)
{
    struct node *n = ctx;

    node_log(n, LOG_LEVEL_INFO, "election: %s: %s -> %s, term %u, reason: %s",
             n->conf.local.overlay, election_role_name(was), election_role_name(is), (unsigned)term,
             reason);
    if (n->env.on_state)
        n->env.on_state(n->env.ctx);
}

static struct ring_health
on_ring_health(void *ctx)
{
    struct node *n = ctx;

    return node_ring_health(n, n->now);
}

static void
on_trouble(void *ctx, enum election_trouble trouble, const char *text)
{
    struct node *n = ctx;

    if (trouble == ELECTION_FINE)
        node_log(n, LOG_LEVEL_INFO, "election: %s: all is well again", n->conf.local.overlay);
    else
        node_log(n, trouble == ELECTION_NOBODY ? LOG_LEVEL_WARN : LOG_LEVEL_ERROR, "election: %s",
                 text);
    if (n->env.on_trouble)
        n->env.on_trouble(n->env.ctx, trouble);
}

static void
on_history(void *ctx, const struct election_transition *t)
{
    struct node *n = ctx;

    if (n->env.on_history)
        n->env.on_history(n->env.ctx, t);
}

static void
on_left(void *ctx)
{
    struct node *n = ctx;

    n->election_left = true;
}

static bool
on_signs(void *ctx, const struct id *id, struct election_signs *ret)
{
    struct node *n = ctx;

    return n->env.signs(n->env.ctx, id, ret);
}

static uint64_t
on_random(void *ctx)
{
    struct node *n = ctx;

    return n->env.random(n->env.ctx);
}

enum status
node_election_new(struct node *n, struct moment now, struct why *why)
{
    const struct election_env env = {
        .ctx = n,
        .send_hello = on_send_hello,
        .send_claim = on_send_claim,
        .send_probe = on_send_probe,
        .send_handover = on_send_handover,
        .answer_hello = on_answer_hello,
        .answer_probe = on_answer_probe,
        .answer_handover = on_answer_handover,
        .publish_candidate = on_publish_candidate,
        .publish_gateway = on_publish_gateway,
        .withdraw = on_withdraw,
        .fetch_candidates = on_fetch_candidates,
        .fetch_gateways = on_fetch_gateways,
        .fetch_ring = on_fetch_ring,
        .aim_ring = on_aim_ring,
        .gone = on_gone,
        .ring_health = n->conf.has_global ? on_ring_health : NULL,
        .publish_ring = on_publish_ring,
        .withdraw_ring = on_withdraw_ring,
        .watch = on_watch,
        .unwatch = on_unwatch,
        .signs = n->env.signs ? on_signs : NULL,
        .gateways_changed = on_gateways_changed,
        .role_changed = on_role_changed,
        .history = on_history,
        .trouble = on_trouble,
        .left = on_left,
        .random = on_random,
        .log = n->env.log,
    };

    n->conf.election.expects_others = peer_has_others(n->peer[NODE_LOCAL]);
    return election_new(&n->conf.election, &env, now, &n->election, why);
}
