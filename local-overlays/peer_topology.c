#include <stdlib.h>
#include <string.h>

#include "local-overlays/peer_promise.h"

/* ---- which plug-in ---- */

void
peer_write_algorithm(const struct peer *p, struct writer *extensions)
{
    struct algorithm_extension a = {.abi = peer_ops(p)->abi, .version = p->conf.topology_version};
    struct extension e = {.type = EXTENSION_ALGORITHM};
    struct writer contents;

    peer_copy_text(a.name, sizeof(a.name), peer_ops(p)->name);
    peer_copy_text(a.parameters, sizeof(a.parameters), p->conf.parameters);
    writer_init(&contents, UINT16_MAX);
    algorithm_extension_write(&contents, &a);
    e.contents = writer_slice(&contents);
    extension_write(extensions, &e);
    writer_done(&contents);
}

/* Without the extension the other side is CHORD-RELOAD, as any peer of RFC 6940 is. */
enum status
peer_check_algorithm(const struct peer *p, struct slice extensions, struct why *why)
{
    struct algorithm_extension a = {.name = "chord", .abi = peer_ops(p)->abi};
    struct extension e;
    struct reader r;
    bool is_told = false;

    reader_init(&r, extensions);
    while (extension_read(&r, &e))
        if (e.type == EXTENSION_ALGORITHM) {
            if (algorithm_extension_read(e.contents, &a) != ST_OK)
                return why_set(why, ST_MALFORMED, "malformed algorithm extension");
            is_told = true;
        }
    if (strcmp(a.name, peer_ops(p)->name) != 0 || a.abi != peer_ops(p)->abi ||
        (is_told && strcmp(a.parameters, p->conf.parameters) != 0))
        return why_set(
            why, ST_INCOMPATIBLE, "this overlay is %s (\"%s\", ABI %u), not %s (\"%s\", ABI %u)",
            peer_ops(p)->name, p->conf.parameters, peer_ops(p)->abi, a.name, a.parameters, a.abi);
    return ST_OK;
}

/* Nodes may run two versions while an overlay is brought from one to the other, and whoever forgets
 * one is told of it. */
void
peer_note_version(struct peer *p, const struct id *node, struct slice extensions)
{
    struct link *l = peer_link_find(p, node);
    struct algorithm_extension a = {0};
    struct extension e;
    struct reader r;
    char text[ID_TEXT_BYTES];

    reader_init(&r, extensions);
    while (extension_read(&r, &e))
        if (e.type == EXTENSION_ALGORITHM && algorithm_extension_read(e.contents, &a) != ST_OK)
            return;
    if (!l || l->is_version_told || a.name[0] == '\0' || a.version == p->conf.topology_version)
        return;
    l->is_version_told = true;
    log_to(&p->env.log, LOG_LEVEL_WARN,
           "%s: node %s (%s) runs version %016llx of plug-in %s, this node %016llx",
           p->conf.overlay, id_text(node, text), l->address, (unsigned long long)a.version,
           peer_ops(p)->name, (unsigned long long)p->conf.topology_version);
}

/* ---- callbacks of the plug-in ---- */

static void
env_attach(void *ctx, uint32_t token, const struct topology_target *to, bool send_update)
{
    if (peer_plugin_may_ask(ctx, "env.attach", to))
        peer_attach(ctx, to, true, token, send_update);
}

/* The link stays: the other side may still need it.  It goes when nobody has used it for long. */
static void
env_detach(void *ctx, const struct id *node)
{
    struct link *l = peer_link_find(ctx, node);

    if (l)
        l->is_member = false;
}

struct plugin_request {
    uint32_t token;
};

static void
answered(void *owner, void *ctx, struct moment now, const struct transaction_end *end)
{
    struct peer *p = owner;
    struct plugin_request *r = ctx;
    uint32_t token = r->token;

    free(r);
    p->plugin_requests--;
    if (p->is_ending || !p->is_engaged)
        return;
    peer_ops(p)->on_answer(p->topology, now, token, end->st, end->from ? &end->from->node : NULL,
                           end->body);
}

static void
env_request(void *ctx, uint32_t token, const struct topology_target *to, uint16_t code,
            struct slice body)
{
    struct peer *p = ctx;
    struct plugin_request *r;
    struct writer extensions;
    struct outgoing o = {.code = code, .body = body, .done = answered};

    if (!peer_plugin_may_request(p, to, code, body))
        return;
    r = calloc(1, sizeof(*r));
    if (!r)
        return; /* the plug-in's own timers stand for the answer */
    r->token = token;
    o.to = to->to;
    o.count = to->count;
    o.ctx = r;
    p->plugin_requests++;
    writer_init(&extensions, UINT16_MAX);
    if (code == MESSAGE_JOIN_REQ || !p->is_in) /* whatever a joiner asks first tells what it runs */
        peer_write_algorithm(p, &extensions);
    o.extensions = writer_slice(&extensions);
    peer_request(p, &o);
    writer_done(&extensions);
}

static bool
env_is_usable(void *ctx, const struct id *node)
{
    return peer_link_is_usable(ctx, node);
}

static void
env_offer(void *ctx, uint32_t token, const struct id *node)
{
    if (peer_plugin_may_offer(ctx, node))
        peer_offer(ctx, token, node);
}

static void
env_joined(void *ctx)
{
    struct peer *p = ctx;
    bool is_alone = id_is_zero(&p->informant);

    if (!p->is_engaged || p->is_in)
        peer_promise_broken(p, "env.joined", "while it does not join");
    if (!peer_promise_is_kept(p))
        return;
    p->is_in = true;
    p->retry_refused_ms = PEER_RETRY_COPY_MS;
    peer_become(p, is_alone ? PEER_ALONE : PEER_JOINED,
                is_alone ? "nobody else is there" : "joined");
    p->remark_ms = p->now.mono_ms; /* what was kept from before belongs somewhere */
    transactions_hop_found(p->transactions, p->now.mono_ms);
    peer_bootstrap_joined(p);
}

struct join_failed {
    struct later later;
    enum status st;
    char reason[120];
};

static void
run_join_failed(struct peer *p, struct later *l)
{
    struct join_failed *f = (struct join_failed *)l;

    if (f->st == ST_INCOMPATIBLE) {
        log_to(&p->env.log, LOG_LEVEL_ERROR, "%s: this node's algorithm is not the overlay's: %s",
               p->conf.overlay, f->reason);
        p->is_stuck = true;
        peer_disconnect_all(p);
        peer_become(p, PEER_DOWN, f->reason);
    } else if (!p->is_ending) {
        log_to(&p->env.log, LOG_LEVEL_WARN, "%s: could not join, trying again: %s", p->conf.overlay,
               f->reason);
        peer_bootstrap_join_failed(p);
    }
    free(f);
}

static void
env_join_failed(void *ctx, enum status st, const char *reason)
{
    struct peer *p = ctx;
    struct join_failed *f;

    if (!p->is_engaged || p->is_in || st == ST_OK)
        peer_promise_broken(p, "env.join_failed", "while it does not join, or without a failure");
    if (!peer_promise_is_kept(p))
        return;
    f = calloc(1, sizeof(*f));
    p->is_engaged = false;
    p->is_in = false;
    if (!f)
        return;
    f->later.run = run_join_failed;
    f->st = st;
    peer_copy_text(f->reason, sizeof(f->reason), reason ? reason : "");
    peer_later(p, &f->later);
}

static void
env_changed(void *ctx, unsigned changes)
{
    struct peer *p = ctx;

    if (!(changes & TOPOLOGY_RESPONSIBILITY))
        return;
    p->retry_refused_ms = PEER_RETRY_COPY_MS;
    p->remark_ms = moment_earlier_ms(p->remark_ms, p->now.mono_ms + PEER_REMARK_MS);
}

static uint64_t
env_random(void *ctx)
{
    struct peer *p = ctx;

    return p->env.random(p->env.ctx);
}

static void
env_log(void *ctx, enum log_level level, const char *text)
{
    struct peer *p = ctx;

    log_to(&p->env.log, level, "%s: %s: %s", p->conf.overlay, peer_ops(p)->name, text ? text : "");
}

struct topology_env
peer_topology_env(struct peer *p)
{
    return (struct topology_env){.ctx = p,
                                 .attach = env_attach,
                                 .detach = env_detach,
                                 .request = env_request,
                                 .is_usable = env_is_usable,
                                 .offer = env_offer,
                                 .joined = env_joined,
                                 .join_failed = env_join_failed,
                                 .changed = env_changed,
                                 .random = env_random,
                                 .log = {.write = env_log, .ctx = p}};
}

/* ---- requests for the plug-in ---- */

static bool
tells_algorithm(struct slice extensions)
{
    struct extension e;
    struct reader r;

    reader_init(&r, extensions);
    while (extension_read(&r, &e))
        if (e.type == EXTENSION_ALGORITHM)
            return true;
    return false;
}

/* The sender must be who it says joins or leaves (RFC 6940 sections 6.4.2.1 and 6.4.2.2). */
static enum status
check_request(struct peer *p, const struct incoming *in, struct why *why)
{
    const struct contents *c = &in->message->contents;
    struct join_req join;
    struct leave_req leave;

    if (c->code == MESSAGE_JOIN_REQ) {
        if (join_req_read(c->body, &join) != ST_OK)
            return why_set(why, ST_MALFORMED, "malformed Join");
        if (!id_equal(&join.joining_peer, &in->signer->node))
            return why_set(why, ST_FORBIDDEN, "a Join for somebody else");
        peer_note_version(p, &in->signer->node, c->extensions);
        return peer_check_algorithm(p, c->extensions, why);
    }
    if (c->code == MESSAGE_LEAVE_REQ) {
        if (leave_req_read(c->body, &leave) != ST_OK)
            return why_set(why, ST_MALFORMED, "malformed Leave");
        if (!id_equal(&leave.leaving_peer, &in->signer->node))
            return why_set(why, ST_FORBIDDEN, "a Leave for somebody else");
    }
    if (tells_algorithm(c->extensions))
        return peer_check_algorithm(p, c->extensions, why);
    return ST_OK;
}

void
peer_on_topology_request(struct peer *p, struct incoming *in)
{
    struct topology_request request = {.from = in->signer->node,
                                       .code = in->message->contents.code,
                                       .body = in->message->contents.body,
                                       .is_for_resource = in->target.type == DESTINATION_RESOURCE};
    struct writer body;
    struct why why = {""};
    enum status st = check_request(p, in, &why);

    if (!p->is_engaged) {
        writer_init(&body, UINT16_MAX);
        peer_write_in_progress(p, &body);
        peer_reply_error(p, &in->answer, ERROR_IN_PROGRESS, writer_slice(&body));
        writer_done(&body);
        return;
    }
    writer_init(&body, UINT16_MAX);
    if (st == ST_OK)
        st = peer_plugin_request(p, &request, &body, &why);
    if (st == ST_OK) {
        peer_reply_body(p, &in->answer, writer_slice(&body), slice_of(NULL, 0));
    } else {
        char text[ID_TEXT_BYTES];
        if (st == ST_FORBIDDEN || st == ST_MALFORMED || st == ST_INCOMPATIBLE)
            log_to(&p->env.log, LOG_LEVEL_REMOTE, "%s: %s from %s refused: %s", p->conf.overlay,
                   message_code_name(request.code), id_text(&request.from, text), why.text);
        peer_reply_text(p, &in->answer, st, why.text);
    }
    writer_done(&body);
}
