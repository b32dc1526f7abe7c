#include <errno.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/map.h"
#include "peer-protocol/identity/identity.h"
#include "peer-protocol/link/connection.h"

#define BACKLOG         128
#define ACCEPT_PAUSE_MS 100 /* after descriptors ran out */
#define CROSSING_US     500000u
#define HALF_OPEN_MIN   16
#define FRAMING_BYTES   16 /* more than a data header or an acknowledgement */
#define OVERLAY_BYTES   128

struct links {
    struct event_base *base;
    struct identity *identity;
    struct links_conf conf;
    char overlay[OVERLAY_BYTES];
    struct socket_address listen;
    struct links_handler handler;
    struct connection_env env;
    struct evconnlistener *listener;
    bool is_shut;           /* nobody is let in */
    struct event *resume;   /* listen again */
    struct list_node all;   /* every connection until its end is told */
    struct list_node dead;  /* then until on_deliver() frees it */
    struct map *up;         /* Node-ID to the connection that is its link */
    size_t count;           /* connections that have not ended */
    size_t half_open;       /* of those, accepted ones without a link yet */
    struct list_node queue; /* notices for the handler, in order */
    struct event *deliver;
};

void
links_conf_defaults(struct links_conf *conf)
{
    *conf = (struct links_conf){.max_links = 512,
                                .handshake_ms = 5000,
                                .suspect_min_ms = 100,
                                .max_queue_bytes = 4u << 20,
                                .max_message_bytes = 65000};
}

static struct slice
key_of(const struct id *node)
{
    return slice_of(node->bytes, ID_BYTES);
}

/* ---- notices -----------------------------------------------------------------------------------
 */

/* The handler is called from the loop only, never from inside a links_ function: what there is to
 * tell waits in a queue.  Each notice is part of its connection, so that telling cannot fail. */
static void
tell(struct links *l, struct connection_notice *notice)
{
    list_remove(&notice->queue);
    list_append(&l->queue, &notice->queue);
    event_active(l->deliver, EV_TIMEOUT, 0);
}

static void
tell_up(struct links *l, struct connection *c)
{
    char node[ID_TEXT_BYTES];

    if (c->is_up_told)
        log_write(LOG_LEVEL_INFO, "link", "%s: up: %s at %s", l->conf.overlay,
                  id_text(&c->node, node), c->remote);
    l->handler.on_up(l->handler.ctx, &c->node, c->address);
}

static void
tell_suspect(struct links *l, struct connection *c)
{
    if (c->state != CONNECTION_UP || c->is_suspect == c->is_suspect_told)
        return;
    c->is_suspect_told = c->is_suspect;
    l->handler.on_suspect(l->handler.ctx, &c->node, c->is_suspect);
}

static void
tell_rival(struct links *l, struct connection *c)
{
    if (c->state == CONNECTION_UP && l->handler.on_rival)
        l->handler.on_rival(l->handler.ctx, &c->node);
}

static void
tell_end(struct links *l, struct connection *c)
{
    char node[ID_TEXT_BYTES];

    if (c->is_up_told) {
        log_write(LOG_LEVEL_INFO, "link", "%s: down: %s at %s, reason: %s", l->conf.overlay,
                  id_text(&c->node, node), c->remote, c->reason);
        l->handler.on_down(l->handler.ctx, &c->node, c->is_broken, c->reason);
    } else if (c->is_ours && !c->is_answered) {
        log_write(LOG_LEVEL_DEBUG, "link", "%s: no link to %s: %s", l->conf.overlay, c->address,
                  c->reason);
        l->handler.on_connect_failed(l->handler.ctx, c->address,
                                     c->has_expected ? &c->expected : NULL, c->reason);
    }
    list_remove(&c->all);
    list_append(&l->dead, &c->all);
}

static void
free_list(struct list_node *list)
{
    list_each(at, list) connection_free(list_entry(at, struct connection, all));
}

static void
deliver_all(struct links *l)
{
    while (!list_is_empty(&l->queue)) {
        struct connection_notice *notice =
            list_entry(l->queue.next, struct connection_notice, queue);
        struct connection *c = notice->of;
        list_remove(&notice->queue);
        if (notice == &c->up)
            tell_up(l, c);
        else if (notice == &c->rival)
            tell_rival(l, c);
        else if (notice == &c->suspect)
            tell_suspect(l, c);
        else
            tell_end(l, c);
    }
}

static void
on_deliver(evutil_socket_t fd, short what, void *ctx)
{
    struct links *l = ctx;

    (void)fd;
    (void)what;
    deliver_all(l);
    free_list(&l->dead); /* here and not earlier: no connection is at work now */
}

/* ---- what connections report -------------------------------------------------------------------
 */

static bool
is_half_open(const struct connection *c, enum connection_state was)
{
    return !c->is_ours && was < CONNECTION_UP;
}

static void
forget_up(struct links *l, struct connection *c)
{
    if (map_get(l->up, key_of(&c->node)) == c)
        map_remove(l->up, key_of(&c->node));
}

static void
on_ended(void *ctx, struct connection *c, enum connection_state was)
{
    struct links *l = ctx;

    l->count--;
    if (is_half_open(c, was)) {
        l->half_open--;
        log_write(LOG_LEVEL_REMOTE, "link", "%s: refused %s: %s", l->conf.overlay, c->remote,
                  c->reason);
    }
    forget_up(l, c);
    tell(l, &c->end);
}

static void
on_suspect(void *ctx, struct connection *c)
{
    tell(ctx, &c->suspect);
}

static void
on_message(void *ctx, struct connection *c, struct slice message)
{
    struct links *l = ctx;

    deliver_all(l); /* first that the link is up, then what came over it */
    if (c->state == CONNECTION_UP || c->state == CONNECTION_DRAINING)
        l->handler.on_message(l->handler.ctx, &c->node, message);
}

static const struct id *
opener_of(const struct links *l, const struct connection *c)
{
    return c->is_ours ? identity_node(l->identity) : &c->node;
}

/*
 * Of two connections with one node, does the new one take the place of the old one?  Both ends must
 * come to the same answer, and they may see the two come up in different order.  Two that cross are
 * told apart by what both ends know: who opened them and from which port.  One that was begun when
 * the old one had been up for a while is newer at both ends: the other side started again, or asked
 * for a second link.
 */
static bool
is_better(const struct links *l, const struct connection *new, const struct connection *old)
{
    if (new->begun_us > old->up_us + CROSSING_US)
        return true;
    int order = id_compare(opener_of(l, new), opener_of(l, old));
    return order != 0 ? order > 0 : new->opener_port < old->opener_port;
}

/* The link is another connection from now on; the handler keeps its node all the while, unless the
 * old one was silent already: then what was sent over it may be lost, and it is told so. */
static void
give_way(struct links *l, struct connection *old)
{
    forget_up(l, old);
    if (old->is_suspect) {
        connection_end(old, "replaced by a new link");
        return;
    }
    old->is_up_told = false;
    connection_drain(old);
}

/* There is a link already: that is what links_connect() asked for. */
static void
answer(struct links *l, struct connection *c)
{
    c->is_answered = true;
    if (c->is_ours)
        tell(l, &c->up);
}

/* An address has one node at a time.  Whoever holds a second certificate for it does not get the
 * first one's link, unless that is dead. */
static bool
is_rival(const struct connection *c, const struct connection *old)
{
    return memcmp(c->key_hash, old->key_hash, sizeof(c->key_hash)) != 0;
}

static void
refuse_rival(struct links *l, struct connection *c, struct connection *old)
{
    char node[ID_TEXT_BYTES];

    log_write(LOG_LEVEL_ERROR, "link",
              "%s: two certificates for %s: %s at %s has the link, %s at %s is refused",
              l->conf.overlay, id_text(&c->node, node), old->user, old->remote, c->user, c->remote);
    connection_end(c, "another certificate of this node has the link");
    tell(l, &old->rival);
}

/* Others that were opened to the same address, and of which nothing has come back yet: a first
 * packet that TCP sends once more would bring a second connection, long after this one. */
static void
end_doubles(struct links *l, const struct connection *c)
{
    list_each(at, &l->all)
    {
        struct connection *other = list_entry(at, struct connection, all);
        if (other != c && other->is_ours && other->state == CONNECTION_CONNECTING &&
            strcmp(other->address, c->address) == 0) {
            other->node = c->node;
            answer(l, other);
            connection_end(other, "there is a link");
        }
    }
}

static void
on_secured(void *ctx, struct connection *c)
{
    struct links *l = ctx;
    struct connection *old = map_get(l->up, key_of(&c->node));

    if (!c->is_ours)
        l->half_open--;
    if (old && is_rival(c, old)) {
        refuse_rival(l, c, old);
        return;
    }
    if (old && !is_better(l, c, old)) {
        connection_drain(c);
        answer(l, c);
        return;
    }
    if (old)
        give_way(l, old);
    connection_admit(c);
    if (map_put(l->up, key_of(&c->node), c, NULL) != ST_OK) {
        connection_end(c, "%s", status_text(ST_NOMEM));
        return;
    }
    c->is_up_told = true;
    c->is_answered = true;
    tell(l, &c->up);
    if (c->is_ours)
        end_doubles(l, c);
}

/* ---- accepting ---------------------------------------------------------------------------------
 */

static size_t
half_open_max(const struct links *l)
{
    size_t share = l->conf.max_links / 4;

    return share > HALF_OPEN_MIN ? share : HALF_OPEN_MIN;
}

/* Strangers share what they can occupy, and the oldest makes way: a node with a certificate needs a
 * few round trips, so that it gets in unless all of them knock again in that time. */
static void
make_way(struct links *l)
{
    if (l->half_open < half_open_max(l))
        return;
    list_each(at, &l->all)
    {
        struct connection *c = list_entry(at, struct connection, all);
        if (!c->is_ours && c->state < CONNECTION_UP) {
            connection_end(c, "%zu strangers came after it", l->half_open - 1);
            return;
        }
    }
}

static struct connection *
add(struct links *l)
{
    struct connection *c = connection_new(&l->env);

    if (!c)
        return NULL;
    list_append(&l->all, &c->all);
    l->count++;
    return c;
}

static void
on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *far, int far_len,
          void *ctx)
{
    struct links *l = ctx;
    struct socket_address address = {.len = 0};
    char text[SOCKET_ADDRESS_TEXT_BYTES];

    (void)listener;
    if (l->is_shut) {
        evutil_closesocket(fd);
        return;
    }
    if (far_len > 0 && (size_t)far_len <= sizeof(address.v6)) {
        memcpy(&address.any, far, (size_t)far_len);
        address.len = (socklen_t)far_len;
    }
    make_way(l);
    bool is_full = l->count >= l->conf.max_links;
    struct connection *c = is_full ? NULL : add(l);
    if (!c) {
        socket_address_text(&address, text);
        log_write(LOG_LEVEL_REMOTE, "link", "%s: refused %s: %s", l->conf.overlay, text,
                  status_text(is_full ? ST_LIMIT : ST_NOMEM));
        evutil_closesocket(fd);
        return;
    }
    l->half_open++;
    connection_take(c, (int)fd, &address);
}

void
links_admit(struct links *l, bool is_open)
{
    l->is_shut = !is_open;
}

/* Out of descriptors: libevent would try again at once, for ever. */
static void
on_accept_error(struct evconnlistener *listener, void *ctx)
{
    struct links *l = ctx;
    struct timeval pause = {0, ACCEPT_PAUSE_MS * 1000};

    log_write(LOG_LEVEL_WARN, "link", "%s: cannot accept: %s; again in %d ms", l->conf.overlay,
              strerror(EVUTIL_SOCKET_ERROR()), ACCEPT_PAUSE_MS);
    if (event_add(l->resume, &pause) == 0)
        evconnlistener_disable(listener);
}

static void
on_resume(evutil_socket_t fd, short what, void *ctx)
{
    struct links *l = ctx;

    (void)fd;
    (void)what;
    evconnlistener_enable(l->listener);
}

/* ---- life --------------------------------------------------------------------------------------
 */

/* OpenSSL writes by write(2): a link that was reset must not end the process. */
static void
ignore_sigpipe(void)
{
    struct sigaction action;

    if (sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL) {
        action.sa_handler = SIG_IGN;
        sigaction(SIGPIPE, &action, NULL);
    }
}

static enum status
listen_on(struct links *l, const char *address, struct why *why)
{
    l->listener = evconnlistener_new_bind(
        l->base, on_accept, l, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE,
        BACKLOG, &l->listen.any, (int)l->listen.len);
    if (!l->listener)
        return why_set(why, ST_IO, "link: %s: %s", address, strerror(errno));
    evconnlistener_set_error_cb(l->listener, on_accept_error);
    return ST_OK;
}

static enum status
prepare(struct links *l, struct why *why)
{
    SSL_CTX *tls = identity_tls(l->identity);

    l->up = map_new(identity_random(), 0);
    l->resume = event_new(l->base, -1, 0, on_resume, l);
    l->deliver = event_new(l->base, -1, 0, on_deliver, l);
    if (!l->up || !l->resume || !l->deliver)
        return why_set(why, ST_NOMEM, "link: %s", status_text(ST_NOMEM));
    l->env = (struct connection_env){.base = l->base,
                                     .identity = l->identity,
                                     .conf = &l->conf,
                                     .ctx = l,
                                     .on_secured = on_secured,
                                     .on_message = on_message,
                                     .on_suspect = on_suspect,
                                     .on_ended = on_ended};
    writer_init(&l->env.scratch, l->conf.max_message_bytes + FRAMING_BYTES);
    writer_init(&l->env.inbox, l->conf.max_message_bytes);
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(tls, connection_on_ticket);
    ignore_sigpipe();
    return ST_OK;
}

enum status
links_new(struct event_base *base, const struct links_conf *conf, struct identity *identity,
          const struct links_handler *handler, struct links **ret_links, struct why *why)
{
    struct socket_address listen;

    if (socket_address_parse(conf->listen, &listen) != ST_OK)
        return why_set(why, ST_RANGE, "link: %.64s: not an address (IP:PORT)", conf->listen);
    struct links *l = calloc(1, sizeof(*l));
    if (!l)
        return ST_NOMEM;
    l->base = base;
    l->identity = identity;
    l->handler = *handler;
    l->listen = listen;
    l->conf = *conf;
    l->conf.listen = NULL;
    snprintf(l->overlay, sizeof(l->overlay), "%s", conf->overlay);
    l->conf.overlay = l->overlay;
    list_init(&l->all);
    list_init(&l->dead);
    list_init(&l->queue);
    enum status st = prepare(l, why);
    if (st == ST_OK)
        st = listen_on(l, conf->listen, why);
    if (st == ST_OK)
        *ret_links = l;
    else
        links_free(l);
    return st;
}

void
links_free(struct links *l)
{
    if (!l)
        return;
    if (l->listener)
        evconnlistener_free(l->listener);
    list_each(at, &l->all) connection_end(list_entry(at, struct connection, all), "closed");
    free_list(&l->all);
    free_list(&l->dead);
    if (l->resume)
        event_free(l->resume);
    if (l->deliver)
        event_free(l->deliver);
    map_free(l->up);
    writer_done(&l->env.scratch);
    writer_done(&l->env.inbox);
    free(l);
}

/* ---- requests ----------------------------------------------------------------------------------
 */

/* TCP retransmits a first packet that was lost after a second: who asks for the link meanwhile
 * may have another one. */
static bool
is_fresh(const struct connection *c)
{
    return c->state != CONNECTION_CONNECTING ||
           connection_now_us() - c->begun_us < CONNECTION_AGAIN_MS * UINT64_C(1000);
}

static bool
is_under_way(const struct links *l, const char *address, const struct id *expected)
{
    list_each(at, &l->all)
    {
        const struct connection *c = list_entry(at, struct connection, all);
        bool is_same = (!expected && !c->has_expected) ||
                       (expected && c->has_expected && id_equal(expected, &c->expected));
        if (c->is_ours && c->state < CONNECTION_UP && is_same && is_fresh(c) &&
            strcmp(c->address, address) == 0)
            return true;
    }
    return false;
}

/* What keeps a new connection from being opened: said by on_connect_failed, as later failures are.
 */
static bool
is_refused(struct links *l, struct connection *c, struct socket_address *to)
{
    if (l->count > l->conf.max_links)
        connection_end(c, "%s: %u links", status_text(ST_LIMIT), l->conf.max_links);
    else if (socket_address_parse(c->address, to) != ST_OK)
        connection_end(c, "not an address (IP:PORT)");
    else
        return false;
    return true;
}

void
links_connect(struct links *l, const char *address, const struct id *expected)
{
    struct socket_address to;

    if (is_under_way(l, address, expected))
        return;
    struct connection *c = add(l);
    if (!c) {
        log_write(LOG_LEVEL_ERROR, "link", "%s: no link to %s: %s", l->conf.overlay, address,
                  status_text(ST_NOMEM));
        return;
    }
    c->is_ours = true;
    snprintf(c->address, sizeof(c->address), "%s", address);
    if (expected) {
        c->has_expected = true;
        c->expected = *expected;
        if (map_get(l->up, key_of(expected))) {
            c->node = *expected;
            answer(l, c);
            connection_end(c, "there is a link");
            return;
        }
    }
    if (!is_refused(l, c, &to))
        connection_open(c, &l->listen, &to);
}

enum status
links_send(struct links *l, const struct id *to, struct slice message)
{
    struct connection *c = map_get(l->up, key_of(to));

    return c ? connection_send(c, message) : ST_UNREACHABLE;
}

void
links_close(struct links *l, const struct id *node)
{
    list_each(at, &l->all)
    {
        struct connection *c = list_entry(at, struct connection, all);
        if ((c->state == CONNECTION_UP || c->state == CONNECTION_DRAINING) &&
            id_equal(&c->node, node))
            connection_end(c, "closed by this node");
    }
}

bool
links_is_flushed(const struct links *l)
{
    list_each(at, &l->all)
    {
        const struct connection *c = list_entry(at, struct connection, all);
        if (c->state != CONNECTION_ENDED && connection_queued(c) > 0)
            return false;
    }
    return true;
}

bool
links_signs(const struct links *l, const struct id *node, struct link_signs *ret)
{
    const struct connection *c = map_get(l->up, key_of(node));
    uint64_t now_us = connection_now_us();

    if (!c || c->state != CONNECTION_UP)
        return false;
    uint64_t heard_ms = (now_us - c->heard_us) / 1000;
    *ret = (struct link_signs){.heard_ms = heard_ms < UINT32_MAX ? (uint32_t)heard_ms : UINT32_MAX,
                               .is_lossy = path_is_lossy(&c->path, now_us),
                               .rto_ms = c->path.rto_us / 1000};
    return true;
}

const char *
links_user(const struct links *l, const struct id *node)
{
    const struct connection *c = map_get(l->up, key_of(node));

    return c ? c->user : "";
}

size_t
links_count(const struct links *l)
{
    return map_count(l->up);
}

void
links_each(const struct links *l, void (*visit)(void *ctx, const struct link_line *line), void *ctx)
{
    struct map_cursor cursor = {.started = false};

    while (map_next(l->up, &cursor)) {
        const struct connection *c = cursor.value;
        struct link_line line = {.node = c->node,
                                 .is_suspect = c->is_suspect,
                                 .rtt_us = c->acks.rtt_us,
                                 .sent_messages = c->sent_messages,
                                 .received_messages = c->received_messages,
                                 .sent_bytes = c->sent_bytes,
                                 .received_bytes = c->received_bytes};
        memcpy(line.address, c->remote, sizeof(line.address));
        visit(ctx, &line);
    }
}
