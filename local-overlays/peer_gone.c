/*
 * A member that is dead, told before each link finds out by itself.
 *
 * Who knows for certain (the election of an island that has just replaced its gateway) drops its
 * own link and tells the members it can name; each answers with those next to the dead one in its
 * own tables, who are told in turn.  Only nodes of one user vouch for each other: the islands'
 * gateways share "overlay@NAME", and nobody can speak for another island's.
 */
#include <stdlib.h>
#include <string.h>

#include "local-overlays/peer_promise.h"

/** Who has been told of one death. */
struct gone {
    struct id node;
    struct id told[PEER_GONE_TOLD_MAX];
    size_t count;
    size_t open; /* answers still to come */
};

/* ---- who is next to it? ---- */

/** The nearest on either side, as numbers: those who owned what lies beside it, or now own it. */
struct nearest {
    const struct peer *p;
    const struct id *gone;
    struct id node[GONE_NEIGHBOURS_MAX]; /* even places: below; odd ones: above; nearest first */
    bool has[GONE_NEIGHBOURS_MAX];
};

static struct id
distance(const struct nearest *n, const struct id *node, size_t side)
{
    return side == 0 ? id_subtract(n->gone, node) : id_subtract(node, n->gone);
}

static void
put_nearest(struct nearest *n, const struct id *node, size_t side)
{
    struct id kept = *node;

    for (size_t i = side; i < GONE_NEIGHBOURS_MAX; i += 2) {
        struct id far, near;

        if (!n->has[i]) {
            n->node[i] = kept;
            n->has[i] = true;
            return;
        }
        if (id_equal(&n->node[i], &kept))
            return;
        far = distance(n, &n->node[i], side);
        near = distance(n, &kept, side);
        if (id_compare(&near, &far) < 0) {
            struct id pushed = n->node[i];
            n->node[i] = kept;
            kept = pushed;
        }
    }
}

static void
visit(void *ctx, const struct topology_dump *line)
{
    struct nearest *n = ctx;

    if (id_equal(&line->node, n->gone) || id_equal(&line->node, &n->p->conf.self.node))
        return;
    put_nearest(n, &line->node, 0);
    put_nearest(n, &line->node, 1);
}

static struct gone_ans
nearest_of(const struct peer *p, const struct id *gone)
{
    struct nearest n = {.p = p, .gone = gone};
    struct gone_ans ans = {0};

    if (p->is_engaged)
        peer_plugin_dump(p, visit, &n);
    for (size_t i = 0; i < GONE_NEIGHBOURS_MAX; i++)
        if (n.has[i])
            ans.neighbour[ans.count++] = n.node[i];
    return ans;
}

/* ---- heard of ---- */

void
peer_on_gone(struct peer *p, struct incoming *in, struct slice body)
{
    struct writer ans_body, w;
    struct gone_ans ans;
    struct gone_req req;
    struct link *l;

    if (gone_req_read(body, &req) != ST_OK) {
        peer_reply_text(p, &in->answer, ST_MALFORMED, "malformed GONE");
        return;
    }
    l = peer_link_find(p, &req.node);
    if (id_equal(&req.node, &p->conf.self.node) ||
        (l && l->is_user_known && !peer_link_has_user(p, l, in->signer->user))) {
        peer_refuse(p, &in->signer->node, "it says a node is gone that is not of its user");
        peer_reply_text(p, &in->answer, ST_FORBIDDEN, "not a node of yours, or not gone");
        return;
    }
    ans = nearest_of(p, &req.node);
    writer_init(&ans_body, UINT16_MAX);
    writer_init(&w, UINT16_MAX);
    gone_ans_write(&ans_body, &ans);
    private_write(&w, PRIVATE_GONE, writer_slice(&ans_body));
    peer_reply_body(p, &in->answer, writer_slice(&w), slice_of(NULL, 0));
    writer_done(&ans_body);
    writer_done(&w);
    if (l && l->is_up && l->is_user_known)
        peer_link_end(p, l, "its island says it is dead");
    else if (l && l->is_up)
        peer_link_ask(p, l); /* nothing signed by it was ever seen: see for ourselves */
}

/* ---- told ---- */

static void tell(struct peer *p, struct gone *g, const struct id *node);

struct telling {
    struct gone *gone;
};

static void
told(void *owner, void *ctx, struct moment now, const struct transaction_end *end)
{
    struct peer *p = owner;
    struct gone *g = ((struct telling *)ctx)->gone;
    struct gone_ans ans = {0};
    struct slice body;
    uint16_t subtype;

    (void)now;
    free(ctx);
    if (end->st == ST_OK && !p->is_ending &&
        (private_read(end->body, &subtype, &body) != ST_OK || gone_ans_read(body, &ans) != ST_OK))
        peer_refuse(p, &end->from->node, "a malformed answer to GONE");
    for (size_t i = 0; i < ans.count; i++)
        tell(p, g, &ans.neighbour[i]);
    if (--g->open == 0)
        free(g);
}

static void
tell(struct peer *p, struct gone *g, const struct id *node)
{
    struct outgoing o = {.code = MESSAGE_EXP_A_REQ, .deadline_ms = PEER_GONE_TELL_MS, .done = told};
    struct gone_req req = {.node = g->node};
    struct telling *t;
    struct writer body, w;

    if (id_equal(node, &p->conf.self.node) || id_equal(node, &g->node) ||
        g->count == PEER_GONE_TOLD_MAX)
        return;
    for (size_t i = 0; i < g->count; i++)
        if (id_equal(&g->told[i], node))
            return;
    t = malloc(sizeof(*t));
    if (!t)
        return;
    t->gone = g;
    g->told[g->count++] = *node;
    g->open++;
    writer_init(&body, UINT16_MAX);
    writer_init(&w, p->envelope.max_bytes);
    gone_req_write(&body, &req);
    private_write(&w, PRIVATE_GONE, writer_slice(&body));
    o.body = writer_slice(&w);
    o.ctx = t;
    peer_request_node(p, node, &o);
    writer_done(&body);
    writer_done(&w);
}

/* Who has just started again is not dead. */
void
peer_gone_lives(struct peer *p, const struct id *node)
{
    for (size_t i = 0; i < PEER_GONE_LATELY; i++)
        if (id_equal(&p->gone[i].node, node))
            p->gone[i].until_ms = 0;
}

void
peer_gone_met(struct peer *p, const struct id *member)
{
    for (size_t i = 0; i < PEER_GONE_LATELY; i++) {
        struct gone *g = p->now.mono_ms < p->gone[i].until_ms ? calloc(1, sizeof(*g)) : NULL;

        if (!g)
            continue;
        g->node = p->gone[i].node;
        g->open = 1;
        tell(p, g, member);
        if (--g->open == 0)
            free(g);
    }
}

void
peer_declare_gone(struct peer *p, struct moment now, const struct id *node)
{
    struct gone *g = calloc(1, sizeof(*g));
    struct gone_ans near;
    struct link *l;

    if (!g)
        return; /* the links find out by themselves */
    peer_enter(p, now);
    g->node = *node;
    g->open = 1; /* until all are told */
    peer_gone_lives(p, node);
    p->gone[p->gone_next].node = *node;
    p->gone[p->gone_next].until_ms = now.mono_ms + PEER_GONE_MET_MS;
    p->gone_next = (p->gone_next + 1) % PEER_GONE_LATELY;
    near = nearest_of(p, node);
    l = peer_link_find(p, node);
    if (l && l->is_up)
        peer_link_end(p, l, "declared gone");
    list_each(at, &p->links)
    {
        const struct link *other = list_entry(at, struct link, at);
        if (other->is_up && other->is_member)
            tell(p, g, &other->node);
    }
    for (size_t i = 0; i < near.count; i++)
        tell(p, g, &near.neighbour[i]);
    if (--g->open == 0)
        free(g);
    peer_leave_asked(p);
}
