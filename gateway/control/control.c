#include "gateway/control/control.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "gateway/control/control_internal.h"

#define HEADER_BYTES_MAX 8192
#define BODY_BYTES_MAX   16384
#define IDLE_S           30    /* a connection that says nothing is closed */
#define REQUEST_MS       30000 /* so is one whose request is not whole by then */
#define BACKLOG          16
#define SWEEP_MS         250

void
control_conf_defaults(struct control_conf *conf)
{
    memset(conf, 0, sizeof(*conf));
    conf->socket = "";
    conf->http = "";
    conf->max_connections = 32;
    conf->max_waiting = 64;
    conf->answer_ms = 5000;
}

/* ---- the number of connections ----------------------------------------------------------------
 *
 * evhttp of libevent 2.1 neither bounds its connections nor tells when an idle one ends.  The door
 * therefore makes their bufferevents itself and keeps one reference to each: a bufferevent that
 * evhttp has let go of has lost its callbacks.  A full door does not accept; what waits does so in
 * the kernel's backlog.
 *
 * Its time-out starts anew with each byte: who sends his head a byte at a time would keep his place
 * for hours.  A whole request has a deadline of its own. */

static bool
is_let_go(struct bufferevent *b)
{
    bufferevent_data_cb on_read = NULL, on_write = NULL;
    bufferevent_event_cb on_event = NULL;

    bufferevent_getcb(b, &on_read, &on_write, &on_event, NULL);
    return !on_read && !on_write && !on_event;
}

static void
door_sweep(struct door *d)
{
    uint64_t now_ms = d->control->source.now(d->control->source.ctx).mono_ms;
    size_t kept = 0;

    for (size_t i = 0; i < d->count; i++) {
        struct held *h = &d->held[i];

        if (is_let_go(h->b)) {
            bufferevent_decref(h->b);
            continue;
        }
        if (!h->is_served && now_ms - h->since_ms >= REQUEST_MS)
            shutdown(bufferevent_getfd(h->b), SHUT_RDWR); /* evhttp then closes it */
        d->held[kept++] = *h;
    }
    d->count = kept;
    if (d->is_full && d->count < d->control->conf.max_connections) {
        d->is_full = false;
        evconnlistener_enable(d->listener);
    }
}

static struct held *
held_of(struct door *d, struct evhttp_request *request)
{
    const struct bufferevent *b =
        evhttp_connection_get_bufferevent(evhttp_request_get_connection(request));

    for (size_t i = 0; i < d->count; i++)
        if (d->held[i].b == b)
            return &d->held[i];
    return NULL;
}

static void
on_answered(struct evhttp_request *request, void *ctx)
{
    struct door *d = ctx;
    struct held *h = held_of(d, request);

    if (!h)
        return;
    h->is_served = false;
    h->since_ms = d->control->source.now(d->control->source.ctx).mono_ms;
}

void
door_on_request(struct door *d, struct evhttp_request *request)
{
    struct held *h = held_of(d, request);

    if (h)
        h->is_served = true;
    evhttp_request_set_on_complete_cb(request, on_answered, d);
}

static void
arm_sweep(struct control *c)
{
    const struct timeval sweep = {.tv_usec = SWEEP_MS * 1000};

    if (c->unix_door.count + c->tcp_door.count > 0 && !event_pending(c->sweep, EV_TIMEOUT, NULL))
        event_add(c->sweep, &sweep);
}

static void
on_sweep(int fd, short what, void *ctx)
{
    struct control *c = ctx;

    (void)fd;
    (void)what;
    door_sweep(&c->unix_door);
    door_sweep(&c->tcp_door);
    arm_sweep(c);
}

static struct bufferevent *
on_connection(struct event_base *base, void *ctx)
{
    struct door *d = ctx;
    struct bufferevent *b;

    door_sweep(d);
    b = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    if (!b)
        return NULL;
    if (d->count < DOOR_CONNECTIONS_MAX) {
        bufferevent_incref(b);
        d->held[d->count++] = (struct held){
            .b = b, .since_ms = d->control->source.now(d->control->source.ctx).mono_ms};
        arm_sweep(d->control);
    }
    if (d->count >= d->control->conf.max_connections) {
        d->is_full = true;
        evconnlistener_disable(d->listener);
    }
    return b;
}

/* ---- doors ------------------------------------------------------------------------------------
 */

/* Takes @listener, also on failure. */
static enum status
door_open(struct door *d, struct control *c, struct evconnlistener *listener, bool is_read_only)
{
    if (!listener)
        return ST_IO;
    d->control = c;
    d->is_read_only = is_read_only;
    d->http = evhttp_new(c->base);
    if (!d->http || !evhttp_bind_listener(d->http, listener)) {
        evconnlistener_free(listener);
        return ST_NOMEM;
    }
    d->listener = listener;
    evhttp_set_max_headers_size(d->http, HEADER_BYTES_MAX);
    evhttp_set_max_body_size(d->http, BODY_BYTES_MAX);
    evhttp_set_timeout(d->http, IDLE_S);
    evhttp_set_allowed_methods(d->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST);
    evhttp_set_default_content_type(d->http, "application/json");
    evhttp_set_bevcb(d->http, on_connection, d);
    evhttp_set_gencb(d->http, routes_on_request, d);
    return ST_OK;
}

static void
door_close(struct door *d)
{
    if (d->http)
        evhttp_free(d->http);
    d->http = NULL;
    for (size_t i = 0; i < d->count; i++)
        bufferevent_decref(d->held[i].b);
    d->count = 0;
}

/* Is a daemon behind this socket?  A path that nobody answers on is left over from a crash. */
static bool
is_answered(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool answered = false;

    if (fd >= 0) {
        answered = connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0;
        close(fd);
    }
    return answered;
}

static enum status
bind_unix(const struct sockaddr_un *address, int *ret_fd, struct why *why)
{
    struct stat left;
    int fd;
    mode_t old;
    int bound;

    if (lstat(address->sun_path, &left) == 0) {
        if (!S_ISSOCK(left.st_mode))
            return why_set(why, ST_IO, "control: %.120s: there is a file that is no socket",
                           address->sun_path);
        if (is_answered(address))
            return why_set(why, ST_IO, "control: %.120s: another daemon answers on it",
                           address->sun_path);
        unlink(address->sun_path);
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return why_set(why, ST_IO, "control: %s", strerror(errno));
    old = umask(0117); /* mode 0660 from the first moment on */
    bound = bind(fd, (const struct sockaddr *)address, sizeof(*address));
    umask(old);
    if (bound != 0) {
        why_set(why, ST_IO, "control: %.120s: %s", address->sun_path, strerror(errno));
        close(fd);
        return ST_IO;
    }
    *ret_fd = fd;
    return ST_OK;
}

static enum status
open_unix(struct control *c, struct why *why)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct evconnlistener *listener;
    struct stat made;
    enum status st;
    int fd = -1;

    if (strlen(c->conf.socket) >= sizeof(address.sun_path))
        return why_set(why, ST_RANGE, "control: %.120s: the path is too long", c->conf.socket);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", c->conf.socket);
    st = bind_unix(&address, &fd, why);
    if (st != ST_OK)
        return st;
    snprintf(c->socket, sizeof(c->socket), "%s", c->conf.socket);
    if (lstat(c->socket, &made) == 0) {
        c->socket_device = made.st_dev;
        c->socket_inode = made.st_ino;
    }
    listener = evconnlistener_new(c->base, NULL, NULL,
                                  LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, BACKLOG, fd);
    if (!listener) {
        why_set(why, ST_IO, "control: %.120s: %s", c->conf.socket, strerror(errno));
        close(fd);
        return ST_IO;
    }
    return door_open(&c->unix_door, c, listener, false);
}

static enum status
open_tcp(struct control *c, struct why *why)
{
    struct sockaddr_storage address;
    int len = sizeof(address);
    struct evconnlistener *listener;

    if (c->conf.http[0] == '\0')
        return ST_OK;
    if (evutil_parse_sockaddr_port(c->conf.http, (struct sockaddr *)&address, &len) != 0)
        return why_set(why, ST_RANGE, "control: \"%.64s\" is no IP:PORT", c->conf.http);
    listener = evconnlistener_new_bind(
        c->base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE,
        BACKLOG, (struct sockaddr *)&address, len);
    if (!listener)
        return why_set(why, ST_IO, "control: %.64s: %s", c->conf.http, strerror(errno));
    return door_open(&c->tcp_door, c, listener, true);
}

/* ---- life -------------------------------------------------------------------------------------
 */

enum status
control_new(struct event_base *base, const struct control_conf *conf,
            const struct control_source *source, struct control **ret_control, struct why *why)
{
    struct control *c = calloc(1, sizeof(*c));
    enum status st = ST_NOMEM;

    if (!c)
        return ST_NOMEM;
    c->base = base;
    c->conf = *conf;
    c->source = *source;
    c->next_token = 1;
    list_init(&c->waiting);
    if (c->conf.max_connections == 0 || c->conf.max_connections > DOOR_CONNECTIONS_MAX)
        c->conf.max_connections = DOOR_CONNECTIONS_MAX;
    c->unix_door.control = c;
    c->tcp_door.control = c;
    c->sweep = event_new(base, -1, 0, on_sweep, c);
    if (!c->sweep)
        goto fail;
    st = open_unix(c, why);
    if (st == ST_OK)
        st = open_tcp(c, why);
    if (st != ST_OK)
        goto fail;
    *ret_control = c;
    return ST_OK;

fail:
    control_free(c);
    return st;
}

/* Only our own socket is removed, not that of a daemon that was started in our place. */
static void
remove_socket(struct control *c)
{
    struct stat now;

    if (c->socket[0] && lstat(c->socket, &now) == 0 && now.st_dev == c->socket_device &&
        now.st_ino == c->socket_inode)
        unlink(c->socket);
}

void
control_free(struct control *c)
{
    if (!c)
        return;
    list_each(at, &c->waiting)
        waiting_refuse(list_entry(at, struct waiting, link), ST_STATE, "the daemon ends");
    door_close(&c->unix_door);
    door_close(&c->tcp_door);
    remove_socket(c);
    if (c->sweep)
        event_free(c->sweep);
    free(c);
}

void
control_set_certificate(struct control *c, enum node_overlay which, uint64_t until_wall_ms)
{
    c->certificate_until_ms[which] = until_wall_ms;
}

void
control_set_load(struct control *c, uint32_t calls, uint32_t registrations)
{
    if (!c)
        return;
    c->calls = calls;
    c->registrations = registrations;
}

void
control_set_counters(struct control *c, const struct bridge_counters *counters)
{
    if (c)
        c->counters = *counters;
}

void
control_on_report(struct control *c, const struct bridge_message *report)
{
    struct waiting *w = c ? waiting_find(c, report->token) : NULL;

    if (!w)
        return;
    if (report->status != ST_OK)
        waiting_refuse(w, report->status, status_text(report->status));
    else if (report->query == BRIDGE_QUERY_REGISTRATIONS)
        waiting_answer(w, report_registrations(report));
    else
        waiting_answer(w, report_calls(report));
}
