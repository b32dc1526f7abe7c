/* The replica's environment: its requests become those of the local peer. */
#include <stdlib.h>
#include <string.h>

#include "gateway/node/node_internal.h"

enum { BODY_BYTES_MAX = 60000 };

/** A request of the replica that is under way. */
struct dialogs_asked {
    struct node *node;
    uint32_t token;
};

/* ---- what the replica asks for ---- */

static void
on_answered(void *ctx, struct moment now, enum status st, const struct signer *from,
            struct slice body)
{
    struct dialogs_asked asked = *(struct dialogs_asked *)ctx;
    struct node *n = asked.node;
    struct dialogs_ans ans;

    (void)from; /* whom it was sent to: the peer holds the answerer against it */
    free(ctx);
    if (n->is_ending || n->is_in_replica)
        return; /* it could not even be sent: the replica's own patience ends it */
    n->now = now;
    if (st == ST_OK)
        st = dialogs_ans_read(body, &ans);
    n->is_in_replica = true;
    replica_on_answer(n->replica, now, asked.token, st, st == ST_OK ? &ans : NULL);
    n->is_in_replica = false;
    node_settle(n, now);
}

static void
on_send(void *ctx, const struct id *heir, uint32_t token, const struct dialogs_req *req,
        uint32_t deadline_ms)
{
    struct node *n = ctx;
    struct dialogs_asked *asked = malloc(sizeof(*asked));
    struct dialogs_req full = *req;
    struct writer w;

    if (!asked)
        return;
    *asked = (struct dialogs_asked){n, token};
    if (req->flags & (DIALOGS_FIRST | DIALOGS_OFFER))
        full.certificate = n->conf.certificate;
    writer_init(&w, BODY_BYTES_MAX);
    dialogs_req_write(&w, &full);
    if (w.failed == ST_OK)
        peer_ask(n->peer[NODE_LOCAL], n->now, heir, PRIVATE_DIALOGS, writer_slice(&w), deadline_ms,
                 &(struct peer_reply){on_answered, asked});
    else
        free(asked);
    writer_done(&w);
}

static void
on_adopt(void *ctx, const struct id *owner, bool is_moved, const struct replica_call *call,
         size_t count)
{
    struct node *n = ctx;

    n->env.adopt(n->env.ctx, owner, is_moved, call, count);
}

static void
on_released(void *ctx, const struct replica_call *call, size_t count)
{
    struct node *n = ctx;

    n->env.released(n->env.ctx, call, count);
}

static void
on_copied(void *ctx, const struct replica_call *call, size_t count)
{
    struct node *n = ctx;

    if (n->env.copied)
        n->env.copied(n->env.ctx, call, count);
}

static void
on_left(void *ctx)
{
    struct node *n = ctx;

    n->replica_left = true;
}

static uint64_t
on_random(void *ctx)
{
    struct node *n = ctx;

    return n->env.random(n->env.ctx);
}

enum status
node_replica_new(struct node *n, struct moment now)
{
    const struct replica_env env = {.ctx = n,
                                    .send = on_send,
                                    .adopt = on_adopt,
                                    .released = on_released,
                                    .copied = on_copied,
                                    .left = on_left,
                                    .random = on_random,
                                    .log = n->env.log};
    struct replica_conf conf = n->conf.replica;

    conf.self = n->conf.local.self.node;
    return replica_new(&conf, &env, now, &n->replica);
}

/* ---- what it is told ---- */

void
node_replica_gateways(struct node *n, const struct election_gateway *gateway, size_t count)
{
    struct id active[ELECTION_GATEWAYS_MAX];

    if (!n->replica)
        return;
    for (size_t i = 0; i < count; i++)
        active[i] = gateway[i].ref.node;
    n->is_in_replica = true;
    replica_on_gateways(n->replica, n->now, active, count);
    n->is_in_replica = false;
}

bool
node_replica_holds_calls(const struct node *n)
{
    struct replica_report report = {0};

    if (n->replica)
        replica_report(n->replica, n->now, &report);
    return report.calls > 0;
}

void
node_replica_on_handover(struct node *n, const struct id *owner)
{
    if (n->replica)
        replica_on_handover(n->replica, n->now, owner);
}

void
node_replica_hands_over(struct node *n)
{
    if (n->replica)
        replica_hands_over(n->replica, n->now);
}

/* Only a gateway has stand-bys. */
static void
tell_stand_bys(struct node *n, struct moment now)
{
    struct election_candidate candidate[REPLICA_HEIRS_MAX];
    struct id id[REPLICA_HEIRS_MAX] = {{{0}}};
    size_t count = election_candidates(n->election, now, candidate, REPLICA_HEIRS_MAX);

    for (size_t i = 0; i < count; i++) {
        id[i] = candidate[i].ref.node;
        if (!candidate[i].is_self)
            node_confirm_note(n, &id[i]);
    }
    if (count == n->stand_by_count && memcmp(id, n->stand_by, count * sizeof(id[0])) == 0)
        return;
    n->stand_by_count = count;
    memcpy(n->stand_by, id, count * sizeof(id[0]));
    replica_on_candidates(n->replica, now, id, count);
}

void
node_replica_settle(struct node *n, struct moment now)
{
    if (!n->replica || n->is_in_replica)
        return;
    n->is_in_replica = true;
    if (election_role(n->election) == ELECTION_ACTIVE)
        tell_stand_bys(n, now);
    if (replica_deadline_ms(n->replica) <= now.mono_ms)
        replica_tick(n->replica, now);
    n->is_in_replica = false;
}

void
node_replica_leave(struct node *n, struct moment now)
{
    n->replica_left = !n->replica;
    if (!n->replica)
        return;
    n->is_in_replica = true;
    replica_leave(n->replica, now);
    n->is_in_replica = false;
}

void
node_on_calls(struct node *n, struct moment now, const struct replica_call *call, size_t count)
{
    n->now = now;
    if (!n->replica)
        return;
    n->is_in_replica = true;
    replica_on_calls(n->replica, now, call, count);
    n->is_in_replica = false;
    node_settle(n, now);
}

bool
node_replica_report(const struct node *n, struct moment now, struct replica_report *ret)
{
    if (!n->replica)
        return false;
    replica_report(n->replica, now, ret);
    return true;
}

/* ---- requests of others ---- */

static bool
is_gateway(struct node *n, struct moment now, const struct id *id, struct slice certificate)
{
    return node_is_verified(n, id) ||
           (certificate.len > 0 && node_check_gateway(n, now, id, certificate));
}

enum status
node_on_dialogs(struct node *n, struct moment now, const struct peer_request *req)
{
    struct dialogs_req dialogs;
    struct dialogs_ans ans;
    struct writer w;
    enum status st;

    if (!n->replica)
        return ST_UNSUPPORTED;
    st = dialogs_req_read(req->body, &dialogs);
    if (st == ST_OK && !is_gateway(n, now, &req->signer.node, dialogs.certificate))
        st = ST_FORBIDDEN;
    if (st != ST_OK)
        return st;
    n->is_in_replica = true;
    st = replica_on_request(n->replica, now, &req->signer.node, &dialogs, &ans);
    n->is_in_replica = false;
    if (st != ST_OK)
        return st;
    writer_init(&w, BODY_BYTES_MAX);
    dialogs_ans_write(&w, &ans);
    peer_answer(n->peer[NODE_LOCAL], now, req->handle, ST_OK, writer_slice(&w));
    writer_done(&w);
    return ST_OK;
}
