#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "local-overlays/peer_promise.h"

static struct slice
key_of(const struct id *node)
{
    return slice_of(node->bytes, ID_BYTES);
}

struct link *
peer_link_find(const struct peer *p, const struct id *node)
{
    return map_get(p->link_by_id, key_of(node));
}

struct link *
peer_link_make(struct peer *p, const struct id *node)
{
    struct link *l = peer_link_find(p, node);

    if (l)
        return l;
    l = calloc(1, sizeof(*l));
    if (!l)
        return NULL;
    l->node = *node;
    l->used_ms = p->now.mono_ms;
    if (map_put(p->link_by_id, key_of(node), l, NULL) != ST_OK) {
        free(l);
        return NULL;
    }
    list_append(&p->links, &l->at);
    return l;
}

void
peer_link_connect(struct peer *p, const struct id *node, const char *address)
{
    struct link *l = peer_link_make(p, node);

    if (!l || l->is_up || l->is_connecting)
        return;
    l->is_connecting = true;
    p->links_connecting++;
    l->used_ms = p->now.mono_ms;
    p->env.connect(p->env.ctx, address, node);
}

void
peer_link_drop(struct peer *p, struct link *l)
{
    if (l->is_up) /* what it holds may change now without our knowledge */
        storage_holder_remove_everywhere(p->storage, &l->node);
    p->links_connecting -= l->is_connecting;
    map_remove(p->link_by_id, key_of(&l->node));
    list_remove(&l->at);
    free(l);
}

bool
peer_link_is_up(const struct peer *p, const struct id *node)
{
    const struct link *l = peer_link_find(p, node);

    return l && l->is_up;
}

bool
peer_link_is_usable(const struct peer *p, const struct id *node)
{
    const struct link *l = peer_link_find(p, node);

    return l && l->is_up && !l->is_suspect;
}

size_t
peer_member_links(const struct peer *p)
{
    size_t count = 0;

    list_each(at, &p->links)
    {
        const struct link *l = list_entry(at, struct link, at);
        count += l->is_up && l->is_member;
    }
    return count;
}

/* A node that is not in the overlay reaches it through any member it has a link with; a joining one
 * through the member it joins by, whose view is the overlay's. */
static enum status
by_any_member(const struct peer *p, struct id *ret_next)
{
    const struct link *best = NULL;

    list_each(at, &p->links)
    {
        const struct link *l = list_entry(at, struct link, at);
        if (!l->is_up || !l->is_member)
            continue;
        if (!best || (best->is_suspect && !l->is_suspect) ||
            (!l->is_suspect && p->is_engaged && id_equal(&l->node, &p->informant)))
            best = l;
    }
    if (!best)
        return ST_UNREACHABLE;
    *ret_next = best->node;
    return ST_OK;
}

/* RFC 6940 section 6.1.2: a node in the connection table is its own next hop; else the plug-in. */
enum status
peer_next_hop(void *peer, const struct id *id, bool is_node, struct id *ret_next)
{
    const struct peer *p = peer;
    enum status st;

    if (is_node && id_equal(id, &p->conf.self.node))
        return ST_EXISTS;
    if (is_node && peer_link_is_usable(p, id)) {
        *ret_next = *id;
        return ST_OK;
    }
    if (p->is_in)
        st = peer_plugin_next_hop(p, id, is_node, ret_next);
    else
        st = by_any_member(p, ret_next);
    if (st == ST_OK && !peer_link_is_up(p, ret_next))
        st = ST_UNREACHABLE;
    if (is_node && st != ST_OK && peer_link_is_up(p, id)) { /* suspect, but the only way */
        *ret_next = *id;
        return ST_OK;
    }
    return is_node && st == ST_EXISTS ? ST_UNREACHABLE : st;
}

void
peer_disconnect(struct peer *p, const struct id *node)
{
    struct link *l = peer_link_find(p, node);

    if (!l)
        return;
    if (l->is_up)
        p->env.disconnect(p->env.ctx, node);
    peer_link_drop(p, l);
}

void
peer_disconnect_all(struct peer *p)
{
    list_each(at, &p->links)
    {
        struct link *l = list_entry(at, struct link, at);
        struct id node = l->node;
        peer_disconnect(p, &node);
    }
}

/* ---- are you alive? ---- */

struct asked {
    struct id node;
};

static void
asked_answered(void *owner, void *ctx, struct moment now, const struct transaction_end *end)
{
    struct peer *p = owner;
    struct asked *a = ctx;
    struct link *l = p->is_ending ? NULL : peer_link_find(p, &a->node);

    (void)now;
    if (l && l->is_asked) {
        l->is_asked = false;
        if (end->st != ST_OK)
            storage_holder_remove_everywhere(p->storage, &a->node);
    }
    free(a);
}

void
peer_link_ask(struct peer *p, struct link *l)
{
    struct outgoing o = {.code = MESSAGE_PING_REQ, .done = asked_answered};
    struct asked *a = l->is_up && !l->is_asked ? malloc(sizeof(*a)) : NULL;
    struct ping_req ping = {0};
    struct writer body;

    if (!a)
        return;
    a->node = l->node;
    l->is_asked = true;
    writer_init(&body, UINT16_MAX);
    ping_req_write(&body, &ping);
    o.body = writer_slice(&body);
    o.ctx = a;
    peer_request_node(p, &a->node, &o);
    writer_done(&body);
}

/* ---- whose is it? ---- */

void
peer_link_learn_user(struct peer *p, const struct signer *signer)
{
    struct link *l = peer_link_find(p, &signer->node);

    if (!l || l->is_user_known)
        return;
    l->user = peer_hash(p, signer->user);
    l->is_user_known = true;
}

void
peer_renewed(struct peer *p)
{
    list_each(at, &p->links) list_entry(at, struct link, at)->is_forgetful = true;
}

void
peer_link_answered(struct peer *p, const struct signer *signer)
{
    struct link *l = peer_link_find(p, &signer->node);

    if (l)
        l->is_forgetful = false;
    peer_link_learn_user(p, signer);
}

bool
peer_link_has_user(const struct peer *p, const struct link *l, const char *user)
{
    struct id hash = peer_hash(p, user);

    return l->is_user_known && id_equal(&l->user, &hash);
}

/* ---- reports of the shell ---- */

struct told_link {
    struct later later;
    struct id node;
    bool is_up;
    bool is_given_up;
};

static void
tell(struct peer *p, struct later *l)
{
    struct told_link *t = (struct told_link *)l;

    if (p->env.on_link && !p->is_ending)
        p->env.on_link(p->env.ctx, p->now, &t->node, t->is_up, t->is_given_up);
    free(t);
}

static void
tell_link(struct peer *p, const struct id *node, bool is_up, bool is_given_up)
{
    struct told_link *t = calloc(1, sizeof(*t));

    if (!t)
        return;
    *t = (struct told_link){
        .later.run = tell, .node = *node, .is_up = is_up, .is_given_up = is_given_up};
    peer_later(p, &t->later);
}

void
peer_on_link_up(struct peer *p, struct moment now, const struct id *node, const char *address)
{
    struct link *l;

    peer_enter(p, now);
    l = p->state == PEER_DOWN || id_equal(node, &p->conf.self.node) || peer_is_shut_out(p, node)
            ? NULL
            : peer_link_make(p, node);
    if (!l) {
        p->env.disconnect(p->env.ctx, node);
        peer_leave(p);
        return;
    }
    l->is_up = true;
    l->is_suspect = false;
    p->links_connecting -= l->is_connecting;
    l->is_connecting = false;
    l->used_ms = now.mono_ms;
    if (address[0] != '\0')
        peer_copy_text(l->address, sizeof(l->address), address);
    tell_link(p, node, true, false);
    peer_gone_lives(p, node);
    peer_bootstrap_link_up(p, l, address);
    peer_watch_link_up(p, node);
    peer_attach_link_up(p, l);
    transactions_hop_found(p->transactions, now.mono_ms);
    transactions_run(p->transactions, now.mono_ms, p, peer_transmit, peer_expired);
    peer_leave(p);
}

void
peer_on_link_suspect(struct peer *p, struct moment now, const struct id *node, bool is_suspect)
{
    struct link *l;

    peer_enter(p, now);
    l = peer_link_find(p, node);
    if (l && l->is_up && l->is_suspect != is_suspect) {
        l->is_suspect = is_suspect;
        if (p->is_engaged)
            peer_ops(p)->on_suspect(p->topology, now, node, is_suspect);
        if (is_suspect) {
            peer_forwarded_hop_lost(p, node);
            transactions_hop_lost(p->transactions, node, now.mono_ms);
        } else {
            transactions_hop_found(p->transactions, now.mono_ms);
        }
        transactions_run(p->transactions, now.mono_ms, p, peer_transmit, peer_expired);
    }
    peer_leave(p);
}

void
peer_on_link_rival(struct peer *p, struct moment now, const struct id *node)
{
    struct link *l;

    peer_enter(p, now);
    l = peer_link_find(p, node);
    if (l)
        peer_link_ask(p, l);
    peer_leave(p);
}

static void
lose_link(struct peer *p, struct link *l, bool is_given_up, const char *reason)
{
    struct id node = l->node;
    char text[ID_TEXT_BYTES];

    log_to(&p->env.log, LOG_LEVEL_DEBUG, "%s: link with %s is gone: %s", p->conf.overlay,
           id_text(&node, text), reason);
    peer_link_drop(p, l);
    if (p->copies > 0) /* one may have been for it; there is no time to wait for its end */
        p->remark_ms = moment_earlier_ms(p->remark_ms, p->now.mono_ms + PEER_REMARK_MS);
    if (p->is_engaged)
        peer_ops(p)->neighbour_lost(p->topology, p->now, &node);
    peer_bootstrap_link_down(p, &node);
    peer_watch_link_down(p, &node);
    tell_link(p, &node, false, is_given_up);
    peer_forwarded_hop_lost(p, &node);
    transactions_hop_lost(p->transactions, &node, p->now.mono_ms);
    transactions_hop_found(p->transactions, p->now.mono_ms); /* who has its place can be asked */
}

void
peer_link_end(struct peer *p, struct link *l, const char *reason)
{
    p->env.disconnect(p->env.ctx, &l->node);
    lose_link(p, l, l->is_suspect, reason);
}

void
peer_on_link_down(struct peer *p, struct moment now, const struct id *node, bool is_broken,
                  const char *reason)
{
    struct link *l;

    peer_enter(p, now);
    l = peer_link_find(p, node);
    if (l && l->is_up)
        lose_link(p, l, !is_broken, reason);
    if (p->reassembly)
        reassembly_forget(p->reassembly, node);
    transactions_run(p->transactions, p->now.mono_ms, p, peer_transmit, peer_expired);
    peer_leave(p);
}

void
peer_on_connect_failed(struct peer *p, struct moment now, const char *address,
                       const struct id *expected, const char *reason)
{
    struct link *l;

    peer_enter(p, now);
    log_to(&p->env.log, LOG_LEVEL_DEBUG, "%s: no link with %s: %s", p->conf.overlay, address,
           reason);
    l = expected ? peer_link_find(p, expected) : NULL;
    if (expected && peer_is_watched(p, expected) && !(l && l->is_up))
        tell_link(p, expected, false, l && p->now.mono_ms >= l->used_ms + PEER_REFUSED_MS);
    if (l && !l->is_up)
        peer_link_drop(p, l);
    peer_bootstrap_connect_failed(p, address);
    peer_leave(p);
}

/* ---- time ---- */

/* No deadline of its own: what is forgotten late does no harm.  A link that nobody here needs and
 * nobody there uses; one that never came up. */
void
peer_links_tick(struct peer *p)
{
    if (p->now.mono_ms < p->links_looked_ms + PEER_LINKS_LOOK_MS)
        return;
    p->links_looked_ms = p->now.mono_ms;
    peer_forwarded_expire(p);
    list_each(at, &p->links)
    {
        struct link *l = list_entry(at, struct link, at);
        uint64_t idle_ms = p->now.mono_ms - l->used_ms;
        if (!l->is_up && idle_ms >= PEER_CONNECT_MS)
            peer_link_drop(p, l);
        else if (l->is_up && idle_ms >= PEER_LINK_IDLE_MS && !l->is_member &&
                 !peer_is_watched(p, &l->node)) {
            struct id node = l->node;
            peer_disconnect(p, &node);
            if (p->is_engaged)
                peer_ops(p)->neighbour_lost(p->topology, p->now, &node);
            tell_link(p, &node, false, false);
        }
    }
}
