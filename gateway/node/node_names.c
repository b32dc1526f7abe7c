/* Names of other overlays inside our own: whom to ask, and who asks us (global-overlay/nested.h).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/node/node_internal.h"

enum { ANSWER_MS = 1000, NAMES_BYTES_MAX = 60000, STAND_BYS_ASKED = 2 };

/** One question to the directory; token 0: only whether the name lives. */
struct sought {
    struct node *node;
    uint32_t token;
};

/** One NAMES of ours. */
struct names_asked {
    struct node *node;
    size_t count;
    uint32_t token[NAMES_ASKED_MAX];
    char domain[NAMES_ASKED_MAX][OVERLAY_NAME_BYTES];
};

/* ---- the ring ---- */

static enum names_verdict
verdict_of(struct node *n, struct moment now, enum status st, const struct directory_answer *found)
{
    if (st == ST_MALFORMED || st == ST_NOT_FOUND)
        return NAMES_OURS; /* no overlay could have such a name */
    if (st != ST_OK)
        return NAMES_UNSURE;
    nested_hear(n->nested, now, found->is_local ? found->removed : found->overlay, 0);
    if (!found->is_local || found->removed[0])
        return NAMES_FOREIGN;
    return found->doubt == DIRECTORY_SURE    ? NAMES_OURS
           : found->doubt == DIRECTORY_YOUNG ? NAMES_UNSURE
                                             : NAMES_BLIND;
}

static void
on_sought(void *ctx, struct moment now, enum status st, const struct directory_answer *found)
{
    struct sought s = *(struct sought *)ctx;
    enum names_verdict verdict;

    free(ctx);
    if (s.node->is_ending)
        return;
    s.node->now = now;
    verdict = verdict_of(s.node, now, st, found);
    if (s.token)
        nested_on_verdict(s.node->nested, now, s.token, verdict);
    node_settle(s.node, now);
}

static bool
seek(struct node *n, uint32_t token, const char *domain)
{
    struct sought *s = n->directory ? malloc(sizeof(*s)) : NULL;

    if (!s)
        return false;
    *s = (struct sought){n, token};
    directory_resolve(n->directory, n->now, domain, false, false,
                      &(struct directory_resolved){on_sought, s});
    return true;
}

/* ---- another node ---- */

/* Whom we may believe: a gateway of ours, by its certificate. */
static void
hear(struct node *n, struct moment now, const struct names_ans *ans)
{
    for (uint16_t i = 0; i < ans->foreign_count; i++)
        nested_hear(n->nested, now, ans->foreign[i].name, ans->foreign[i].age_s);
}

static void
tell_verdicts(struct names_asked *a, struct moment now, enum status st, const struct names_ans *ans)
{
    for (size_t i = 0; i < a->count; i++) {
        if (st == ST_OK && i < ans->count)
            nested_on_verdict(a->node->nested, now, a->token[i],
                              (enum names_verdict)ans->verdict[i]);
        else if (!seek(a->node, a->token[i], a->domain[i])) /* not by way of that gateway */
            nested_on_verdict(a->node->nested, now, a->token[i], NAMES_UNSURE);
    }
}

static void
on_names(void *ctx, struct moment now, enum status st, const struct signer *from, struct slice body)
{
    struct names_asked *a = ctx;
    struct node *n = a->node;
    struct names_ans *ans = n->is_ending ? NULL : calloc(1, sizeof(*ans));

    (void)from;
    if (ans) {
        n->now = now;
        if (st == ST_OK)
            st = names_ans_read(body, ans);
        if (st == ST_OK)
            hear(n, now, ans);
        tell_verdicts(a, now, st, ans);
        free(ans);
    }
    free(a);
    if (!n->is_ending)
        node_settle(n, now);
}

static void
send_names(struct node *n, const struct id *to, struct names_asked *a)
{
    struct names_req req = {.count = (uint8_t)a->count};
    struct writer w;

    memcpy(req.domain, a->domain, sizeof(req.domain));
    writer_init(&w, NAMES_BYTES_MAX);
    names_req_write(&w, &req);
    peer_ask(n->peer[NODE_LOCAL], n->now, to, PRIVATE_NAMES, writer_slice(&w), ANSWER_MS,
             &(struct peer_reply){on_names, a});
    writer_done(&w);
}

/* The gateway that is asked: another node; NULL where this one asks the ring itself. */
static const struct id *
gateway_asked(const struct node *n)
{
    size_t count;
    const struct election_gateway *g = n->election ? election_gateways(n->election, &count) : NULL;

    if (!g || election_role(n->election) == ELECTION_ACTIVE || count == 0 || g[0].is_self)
        return NULL;
    return &g[0].ref.node;
}

static void
flush(struct node *n)
{
    struct names_asked *a = n->names_asked;
    const struct id *gateway = gateway_asked(n);

    n->names_asked = NULL;
    if (gateway) {
        send_names(n, gateway, a);
        return;
    }
    tell_verdicts(a, n->now, ST_UNREACHABLE, NULL);
    free(a);
}

void
node_names_flush(struct node *n)
{
    while (n->names_asked)
        flush(n);
}

/* ---- what the table asks for ---- */

/* Those of one turn go out together. */
static void
on_ask(void *ctx, uint32_t token, const char *domain)
{
    struct node *n = ctx;
    struct names_asked *a;

    if (!gateway_asked(n)) {
        if (!seek(n, token, domain))
            nested_on_verdict(n->nested, n->now, token, NAMES_BLIND);
        return;
    }
    if (n->names_asked && n->names_asked->count == NAMES_ASKED_MAX)
        flush(n);
    if (!n->names_asked && (n->names_asked = calloc(1, sizeof(*a))))
        n->names_asked->node = n;
    a = n->names_asked;
    if (!a) {
        nested_on_verdict(n->nested, n->now, token, NAMES_UNSURE);
        return;
    }
    snprintf(a->domain[a->count], sizeof(a->domain[0]), "%s", domain);
    a->token[a->count++] = token;
}

static void
ask_all(struct node *n, const struct id *to)
{
    struct names_asked *a = calloc(1, sizeof(*a));

    if (!a)
        return;
    a->node = n;
    send_names(n, to, a);
}

/* The gateway reads the ring, and hears what those know who may come after it; all others ask the
 * gateway. */
static void
on_look(void *ctx)
{
    struct node *n = ctx;
    const struct id *gateway = gateway_asked(n);
    const struct nested_name *name;
    size_t count;
    size_t asked = 0;

    if (gateway) {
        ask_all(n, gateway);
        return;
    }
    name = nested_names(n->nested, &count);
    for (size_t i = 0; i < count; i++)
        (void)seek(n, 0, name[i].name);
    for (size_t i = 0; i < n->stand_by_count && asked < STAND_BYS_ASKED; i++) {
        if (!node_is_verified(n, &n->stand_by[i]))
            continue;
        ask_all(n, &n->stand_by[i]);
        asked++;
    }
}

static void
on_changed(void *ctx, bool is_set)
{
    struct node *n = ctx;

    if (n->env.on_names)
        n->env.on_names(n->env.ctx, is_set);
}

void
node_names_gateways(struct node *n, const struct election_gateway *gateway, size_t count)
{
    const struct id none = {{0}};
    const struct id *first = count > 0 ? &gateway[0].ref.node : &none;

    if (id_equal(first, &n->names_gateway))
        return;
    n->names_gateway = *first;
    nested_look(n->nested, n->now);
}

enum status
node_names_new(struct node *n)
{
    const struct nested_env env = {
        .ctx = n, .ask = on_ask, .look = on_look, .changed = on_changed, .log = n->env.log};
    struct nested_conf conf;
    enum status st;

    nested_conf_defaults(&conf);
    snprintf(conf.overlay, sizeof(conf.overlay), "%s", n->conf.local.overlay);
    st = nested_new(&conf, &env, &n->nested);
    for (size_t i = 0; st == ST_OK && i < n->conf.foreign_count; i++)
        nested_configure(n->nested, n->conf.foreign[i]);
    return st;
}

/* ---- who asks us ---- */

/** A NAMES that is answered when all its domains are judged. */
struct names_served {
    struct node *node;
    uint64_t handle;
    unsigned pending;
    uint8_t count;
    uint8_t verdict[NAMES_ASKED_MAX];
    struct names_place {
        struct names_served *of;
        uint8_t index;
    } place[NAMES_ASKED_MAX];
};

static void
answer_names(struct names_served *s, struct moment now)
{
    struct node *n = s->node;
    struct names_ans *ans = calloc(1, sizeof(*ans));
    const struct nested_name *name;
    size_t count;
    struct writer w;

    if (!ans)
        return;
    ans->count = s->count;
    memcpy(ans->verdict, s->verdict, sizeof(ans->verdict));
    name = nested_names(n->nested, &count);
    for (size_t i = 0; i < count && ans->foreign_count < NAMES_FOREIGN_MAX; i++) {
        struct names_foreign *f = &ans->foreign[ans->foreign_count];
        uint64_t age_s =
            now.wall_ms > name[i].seen_wall_ms ? (now.wall_ms - name[i].seen_wall_ms) / 1000 : 0;
        if (name[i].seen_wall_ms == 0)
            continue; /* it is only in the configuration of this node */
        memcpy(f->name, name[i].name, sizeof(f->name));
        f->age_s = age_s < UINT32_MAX ? (uint32_t)age_s : UINT32_MAX;
        ans->foreign_count++;
    }
    writer_init(&w, NAMES_BYTES_MAX);
    names_ans_write(&w, ans);
    peer_answer(n->peer[NODE_LOCAL], now, s->handle, w.failed, writer_slice(&w));
    writer_done(&w);
    free(ans);
}

static void
serve_end(struct names_served *s, struct moment now)
{
    if (--s->pending > 0)
        return;
    if (!s->node->is_ending)
        answer_names(s, now);
    free(s);
}

static void
on_judged(void *ctx, struct moment now, enum names_verdict verdict, const char *name)
{
    struct names_place *at = ctx;

    (void)name;
    at->of->verdict[at->index] = (uint8_t)verdict;
    serve_end(at->of, now);
}

void
node_on_names(struct node *n, struct moment now, const struct peer_request *req)
{
    struct names_req *ask = calloc(1, sizeof(*ask));
    struct names_served *s = calloc(1, sizeof(*s));
    enum status st = ask && s ? names_req_read(req->body, ask) : ST_NOMEM;

    if (st == ST_OK && ask->count > 0 && gateway_asked(n))
        st = ST_STATE; /* another is the gateway: nothing goes round */
    if (st != ST_OK) {
        peer_answer(n->peer[NODE_LOCAL], now, req->handle, st, slice_text(status_text(st)));
        free(ask);
        free(s);
        return;
    }
    *s = (struct names_served){
        .node = n, .handle = req->handle, .pending = ask->count + 1u, .count = ask->count};
    for (uint8_t i = 0; i < ask->count; i++) {
        s->place[i] = (struct names_place){s, i};
        nested_judge(n->nested, now, ask->domain[i], 0,
                     &(struct nested_judged){on_judged, &s->place[i]});
    }
    serve_end(s, now);
    free(ask);
}

/* ---- look-ups of domains that are another's ---- */

/** A look-up on its way. */
struct resolving {
    struct node *node;
    struct directory_resolved done;
    char domain[AOR_BYTES];
};

/* The longest name that is known decides, whether it has a gateway just now or not. */
static void
on_resolved(void *ctx, struct moment now, enum status st, const struct directory_answer *found)
{
    struct resolving r = *(struct resolving *)ctx;
    const char *name;

    free(ctx);
    if (!r.node->is_ending && st == ST_OK)
        nested_hear(r.node->nested, now, found->is_local ? found->removed : found->overlay, 0);
    name = r.node->is_ending ? NULL : nested_foreign(r.node->nested, r.domain);
    if (name && (st == ST_NOT_FOUND || (st == ST_OK && strlen(found->overlay) < strlen(name)))) {
        st = ST_UNREACHABLE;
        found = NULL;
    }
    r.done.done(r.done.ctx, now, st, found);
}

void
node_names_resolve(struct node *n, struct moment now, const char *domain, bool is_past_cache,
                   bool wants_hops, const struct directory_resolved *done)
{
    struct resolving *r = malloc(sizeof(*r));

    if (!r) {
        done->done(done->ctx, now, ST_NOMEM, NULL);
        return;
    }
    *r = (struct resolving){.node = n, .done = *done};
    snprintf(r->domain, sizeof(r->domain), "%s", domain);
    directory_resolve(n->directory, now, domain, is_past_cache, wants_hops,
                      &(struct directory_resolved){on_resolved, r});
}

void
node_judge(struct node *n, struct moment now, const char *domain, uint32_t patience_ms,
           const struct nested_judged *done)
{
    n->now = now;
    nested_judge(n->nested, now, domain, patience_ms, done);
    node_settle(n, now);
}

struct nested *
node_nested(struct node *n)
{
    return n->nested;
}
