#include "peer-protocol/link/connection.h"

#include <assert.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "peer-protocol/identity/identity.h"

#define LATE_PERIODS_MAX  3
#define LOSSY_PATIENCE_MS 2000

static void on_timer(evutil_socket_t fd, short what, void *ctx);
static void on_writable(evutil_socket_t fd, short what, void *ctx);
static void on_read(struct bufferevent *bev, void *ctx);
static void on_event(struct bufferevent *bev, short what, void *ctx);

uint64_t
connection_now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* ---- life --------------------------------------------------------------------------------------
 */

struct connection *
connection_new(struct connection_env *env)
{
    struct connection *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->env = env;
    c->fd = -1;
    c->begun_us = connection_now_us();
    list_init(&c->all);
    struct connection_notice *notices[] = {&c->up, &c->suspect, &c->rival, &c->end};
    for (size_t i = 0; i < sizeof(notices) / sizeof(notices[0]); i++) {
        list_init(&notices[i]->queue);
        notices[i]->of = c;
    }
    c->timer = event_new(env->base, -1, 0, on_timer, c);
    if (c->timer)
        return c;
    free(c);
    return NULL;
}

static void
close_socket(struct connection *c)
{
    if (c->writable)
        event_free(c->writable);
    c->writable = NULL;
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

void
connection_free(struct connection *c)
{
    if (!c)
        return;
    list_remove(&c->all);
    list_remove(&c->up.queue);
    list_remove(&c->suspect.queue);
    list_remove(&c->rival.queue);
    list_remove(&c->end.queue);
    close_socket(c);
    if (c->bev) {
        SSL_set_app_data(bufferevent_openssl_get_ssl(c->bev), NULL);
        bufferevent_free(c->bev); /* SSL and socket go with it, a loop turn later */
    }
    event_free(c->timer);
    acks_done(&c->acks);
    free(c);
}

static void
arm_ms(struct connection *c, uint32_t ms)
{
    struct timeval in = {ms / 1000, (suseconds_t)(ms % 1000) * 1000};

    c->timer_us = connection_now_us() + (uint64_t)ms * 1000;
    if (event_add(c->timer, &in) != 0)
        connection_end(c, "no timer");
}

/* Many frames, few changes of the timer: it may fire too early, and then looks again. */
static void
arm_for_acks(struct connection *c)
{
    uint64_t now_us = connection_now_us();
    uint64_t left_us = c->acks.deadline_us > now_us ? c->acks.deadline_us - now_us : 0;

    if (!acks_is_waiting(&c->acks) ||
        (c->timer_us <= c->acks.deadline_us && event_pending(c->timer, EV_TIMEOUT, NULL)))
        return;
    arm_ms(c, (uint32_t)(left_us / 1000) + 1);
}

/* Tell the other side, and the kernel, that this is the end, without waiting for anybody. */
static void
hang_up(struct connection *c)
{
    SSL *ssl = bufferevent_openssl_get_ssl(c->bev);
    int fd = bufferevent_getfd(c->bev);

    bufferevent_disable(c->bev, EV_READ | EV_WRITE);
    if (SSL_is_init_finished(ssl) && fd >= 0)
        SSL_shutdown(ssl); /* close_notify */
    ERR_clear_error();
    if (fd >= 0)
        shutdown(fd, SHUT_RDWR);
}

void
connection_end(struct connection *c, const char *fmt, ...)
{
    enum connection_state was = c->state;
    va_list ap;

    if (was == CONNECTION_ENDED)
        return;
    va_start(ap, fmt);
    vsnprintf(c->reason, sizeof(c->reason), fmt, ap);
    va_end(ap);
    c->state = CONNECTION_ENDED;
    event_del(c->timer);
    close_socket(c);
    if (c->bev)
        hang_up(c);
    c->env->on_ended(c->env->ctx, c, was);
}

/* ---- TCP and TLS -------------------------------------------------------------------------------
 */

/* The bufferevent takes socket and SSL: with BEV_OPT_CLOSE_ON_FREE it frees both, on failure the
 * SSL. */
static void
start_tls(struct connection *c, int fd, enum bufferevent_ssl_state role)
{
    int yes = 1;
    SSL *ssl = SSL_new(identity_tls(c->env->identity));

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    if (ssl && identity_tls_mark(ssl)) {
        SSL_set_app_data(ssl, c);
        c->bev = bufferevent_openssl_socket_new(c->env->base, fd, ssl, role, BEV_OPT_CLOSE_ON_FREE);
    } else {
        SSL_free(ssl);
    }
    if (!c->bev) {
        close(fd);
        connection_end(c, "%s", status_text(ST_NOMEM));
        return;
    }
    c->state = CONNECTION_HANDSHAKE;
    /* A node that dies sends no close_notify; what counts is whole frames. */
    bufferevent_openssl_set_allow_dirty_shutdown(c->bev, 1);
    bufferevent_setcb(c->bev, on_read, NULL, on_event, c);
    bufferevent_enable(c->bev, EV_READ | EV_WRITE);
    arm_ms(c, c->env->conf->handshake_ms);
}

void
connection_take(struct connection *c, int fd, const struct socket_address *far)
{
    c->opener_port = socket_address_port(far);
    socket_address_text(far, c->remote);
    start_tls(c, fd, BUFFEREVENT_SSL_ACCEPTING);
}

static int
open_socket(const struct socket_address *from, const struct socket_address *to)
{
    int fd = socket(to->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int yes = 1;

    if (fd < 0)
        return -1;
    if (from->any.sa_family == to->any.sa_family) {
        struct socket_address any_port = *from;
        if (any_port.any.sa_family == AF_INET)
            any_port.v4.sin_port = 0;
        else
            any_port.v6.sin6_port = 0;
        /* The port is chosen at connect(): the pair of addresses must be unique, not the port. */
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof(yes));
        if (bind(fd, &any_port.any, any_port.len) != 0)
            goto fail;
    }
    if (connect(fd, &to->any, to->len) == 0 || errno == EINPROGRESS)
        return fd;

fail:;
    int cause = errno;
    close(fd);
    errno = cause;
    return -1;
}

void
connection_open(struct connection *c, const struct socket_address *from,
                const struct socket_address *to)
{
    c->is_ours = true;
    socket_address_text(to, c->remote);
    c->fd = open_socket(from, to);
    if (c->fd < 0) {
        connection_end(c, "%s", strerror(errno));
        return;
    }
    c->writable = event_new(c->env->base, c->fd, EV_WRITE, on_writable, c);
    if (!c->writable || event_add(c->writable, NULL) != 0) {
        connection_end(c, "%s", status_text(ST_NOMEM));
        return;
    }
    arm_ms(c, CONNECTION_CONNECT_MS);
}

static void
on_writable(evutil_socket_t fd, short what, void *ctx)
{
    struct connection *c = ctx;
    int error = 0;
    socklen_t len = sizeof(error);

    (void)what;
    if (getsockopt((int)fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    if (error != 0) {
        connection_end(c, "%s", strerror(error));
        return;
    }
    struct socket_address near = socket_address_near((int)fd);
    c->opener_port = socket_address_port(&near);
    event_free(c->writable);
    c->writable = NULL;
    c->fd = -1;
    c->begun_us =
        connection_now_us(); /* as the other end has it, though the first packet was lost */
    start_tls(c, (int)fd, BUFFEREVENT_SSL_CONNECTING);
}

static void
confirm(struct connection *c)
{
    assert(c->state == CONNECTION_CONFIRMING);
    event_del(c->timer);
    c->env->on_secured(c->env->ctx, c);
}

/* TLS is done on this side: who is there? */
static void
on_handshake(struct connection *c)
{
    SSL *ssl = bufferevent_openssl_get_ssl(c->bev);
    struct signer signer;
    struct why why = {""};

    enum status st = identity_of_tls(c->env->identity, ssl, &signer, &why);
    if (st == ST_OK)
        st = identity_key_of_tls(ssl, c->key_hash);
    if (st != ST_OK) {
        connection_end(c, "certificate: %s", why.text[0] ? why.text : status_text(st));
        return;
    }
    c->node = signer.node;
    memcpy(c->user, signer.user, sizeof(c->user));
    if (id_equal(&c->node, identity_node(c->env->identity))) {
        connection_end(c, "that is this node itself");
        return;
    }
    if (c->has_expected && !id_equal(&c->node, &c->expected)) {
        char found[ID_TEXT_BYTES];
        connection_end(c, "another node is there: %s", id_text(&c->node, found));
        return;
    }
    c->state = CONNECTION_CONFIRMING;
    if (!c->is_ours || c->is_accepted || SSL_version(ssl) < TLS1_3_VERSION)
        confirm(c);
    else
        arm_ms(c, CONNECTION_CONFIRM_MS);
}

int
connection_on_ticket(SSL *ssl, SSL_SESSION *session)
{
    struct connection *c = SSL_get_app_data(ssl);

    (void)session;
    if (c) {
        c->is_accepted = true;
        /* OpenSSL is at work on this object: go on from the loop. */
        if (c->state == CONNECTION_CONFIRMING)
            event_active(c->timer, EV_TIMEOUT, 0);
    }
    return 0; /* the session is not kept */
}

void
connection_admit(struct connection *c)
{
    uint64_t now_us = connection_now_us();
    uint64_t handshake_us = now_us - c->begun_us;

    if (c->state == CONNECTION_ENDED)
        return;
    c->state = CONNECTION_UP;
    c->up_us = now_us;
    if (handshake_us > ACKS_PERIOD_MAX_US)
        handshake_us = ACKS_PERIOD_MAX_US;
    /* A handshake is two round trips and some arithmetic: an upper bound until there are samples.
     */
    acks_init(&c->acks, c->env->conf->suspect_min_ms, (uint32_t)(handshake_us / 2));
    c->heard_us = now_us;
    path_heard(&c->path, bufferevent_getfd(c->bev), now_us);
}

void
connection_drain(struct connection *c)
{
    if (c->state == CONNECTION_ENDED)
        return;
    c->state = CONNECTION_DRAINING;
    arm_ms(c, CONNECTION_DRAIN_MS);
}

/* ---- failures ----------------------------------------------------------------------------------
 */

static void
on_event(struct bufferevent *bev, short what, void *ctx)
{
    int cause = EVUTIL_SOCKET_ERROR();
    struct connection *c = ctx;

    if (what & BEV_EVENT_CONNECTED) {
        if (c->state == CONNECTION_HANDSHAKE)
            on_handshake(c);
        return;
    }
    unsigned long error = bufferevent_get_openssl_error(bev);
    const char *refusal = identity_tls_refusal(bufferevent_openssl_get_ssl(bev));
    const char *text = error ? ERR_reason_error_string(error) : NULL;
    ERR_clear_error();
    /* Who closes says so; a process that is killed does not. */
    c->is_broken = !(SSL_get_shutdown(bufferevent_openssl_get_ssl(bev)) & SSL_RECEIVED_SHUTDOWN);
    if (refusal[0])
        connection_end(c, "certificate: %s", refusal);
    else if (what & BEV_EVENT_EOF)
        connection_end(c, "closed by the other side");
    else if (text)
        connection_end(c, "TLS: %s", text);
    else
        connection_end(c, "%s", cause ? strerror(cause) : "closed by the other side");
}

/* What is lost on a path that loses packets comes, if TCP is given the time. */
static bool
is_to_be_borne(const struct connection *c)
{
    uint64_t now_us = connection_now_us();

    return path_is_lossy(&c->path, now_us) &&
           acks_waiting_us(&c->acks, now_us) < LOSSY_PATIENCE_MS * UINT64_C(1000);
}

/* RFC 6940 section 6.6.5 takes a silent link out of use; after three periods it is given up. */
static void
on_late(struct connection *c)
{
    unsigned late = acks_check(&c->acks, connection_now_us());

    if (late >= LATE_PERIODS_MAX && !is_to_be_borne(c)) {
        connection_end(c, "no acknowledgement in %d periods", LATE_PERIODS_MAX);
        return;
    }
    if (late > 0 && !c->is_suspect) {
        c->is_suspect = true;
        c->env->on_suspect(c->env->ctx, c);
    }
    arm_for_acks(c);
}

static void
on_timer(evutil_socket_t fd, short what, void *ctx)
{
    struct connection *c = ctx;

    (void)fd;
    (void)what;
    switch (c->state) {
    case CONNECTION_CONNECTING:
        connection_end(c, "no connection in %d ms", CONNECTION_CONNECT_MS);
        break;
    case CONNECTION_HANDSHAKE:
        connection_end(c, "no handshake in %u ms", c->env->conf->handshake_ms);
        break;
    case CONNECTION_CONFIRMING:
        confirm(c);
        break;
    case CONNECTION_UP:
        on_late(c);
        break;
    case CONNECTION_DRAINING:
        connection_end(c, "drained");
        break;
    case CONNECTION_ENDED:
        break;
    }
}

/* ---- frames ------------------------------------------------------------------------------------
 */

size_t
connection_queued(const struct connection *c)
{
    return c->bev ? evbuffer_get_length(bufferevent_get_output(c->bev)) : 0;
}

static enum status
write_scratch(struct connection *c)
{
    struct slice frame = writer_slice(&c->env->scratch);

    if (c->env->scratch.failed != ST_OK)
        return c->env->scratch.failed;
    if (connection_queued(c) + frame.len > c->env->conf->max_queue_bytes) {
        connection_end(c, "its queue of %zu bytes is full", c->env->conf->max_queue_bytes);
        return ST_LIMIT;
    }
    c->is_writing = true;
    int failed = bufferevent_write(c->bev, frame.data, frame.len);
    c->is_writing = false;
    c->sent_bytes += frame.len;
    if (failed)
        return ST_NOMEM;
    return c->state == CONNECTION_ENDED ? ST_UNREACHABLE : ST_OK;
}

enum status
connection_send(struct connection *c, struct slice message)
{
    uint32_t sequence;

    if (c->state != CONNECTION_UP)
        return ST_UNREACHABLE;
    if (message.len > c->env->conf->max_message_bytes)
        return ST_TOO_LARGE;
    enum status st = acks_sent(&c->acks, connection_now_us(), &sequence);
    if (st != ST_OK) {
        connection_end(c, "%s", "too many frames without acknowledgement");
        return st;
    }
    writer_reset(&c->env->scratch);
    frame_write_data(&c->env->scratch, sequence, message);
    st = write_scratch(c);
    if (st == ST_NOMEM)
        connection_end(c, "%s", status_text(st)); /* the sequence has a hole now */
    if (st != ST_OK)
        return st;
    c->sent_messages++;
    arm_for_acks(c);
    return c->state == CONNECTION_ENDED ? ST_UNREACHABLE : ST_OK;
}

static void
on_ack(struct connection *c, const struct frame *f)
{
    if (c->state != CONNECTION_UP)
        return;
    if (acks_received(&c->acks, connection_now_us(), f->sequence) != ST_OK) {
        log_write(LOG_LEVEL_REMOTE, "link", "%s: %s acknowledges a frame that was not sent",
                  c->env->conf->overlay, c->remote);
        connection_end(c, "acknowledges a frame that was not sent");
        return;
    }
    if (c->is_suspect && c->acks.late_periods == 0) {
        c->is_suspect = false;
        c->env->on_suspect(c->env->ctx, c);
    }
}

/* The message is copied out first: what its handler sends may make OpenSSL read, and move the
 * input. */
static void
on_data(struct connection *c, uint32_t sequence)
{
    /* RFC 6940 section 6.6.2: at once, before anybody works on the message. */
    writer_reset(&c->env->scratch);
    frame_write_ack(&c->env->scratch, sequence, frame_received_add(&c->received, sequence));
    enum status st = write_scratch(c);
    if (st != ST_OK) {
        connection_end(c, "%s", status_text(st));
        return;
    }
    c->received_messages++;
    c->env->on_message(c->env->ctx, c, writer_slice(&c->env->inbox));
}

/* Take one frame out of the input; false if there is none that is whole. */
static bool
take_frame(struct connection *c)
{
    struct evbuffer *input = bufferevent_get_input(c->bev);
    size_t len = evbuffer_get_length(input);
    struct frame f;
    size_t used = 0;

    if (len == 0)
        return false;
    enum status st = frame_read(slice_of(evbuffer_pullup(input, -1), len),
                                c->env->conf->max_message_bytes, &f, &used);
    if (st != ST_OK) {
        log_write(LOG_LEVEL_REMOTE, "link", "%s: %s broke the framing: %s", c->env->conf->overlay,
                  c->remote, status_text(st));
        connection_end(c, "broke the framing: %s", status_text(st));
        return false;
    }
    if (used == 0)
        return false;
    if (f.type == FRAME_DATA) {
        writer_reset(&c->env->inbox);
        writer_bytes(&c->env->inbox, f.message);
        if (c->env->inbox.failed != ST_OK) {
            connection_end(c, "%s", status_text(c->env->inbox.failed));
            return false;
        }
    }
    evbuffer_drain(input, used);
    c->received_bytes += used;
    c->heard_us = connection_now_us();
    path_heard(&c->path, bufferevent_getfd(c->bev), c->heard_us);
    if (f.type == FRAME_DATA)
        on_data(c, f.sequence);
    else
        on_ack(c, &f);
    return true;
}

static void
on_read(struct bufferevent *bev, void *ctx)
{
    struct connection *c = ctx;

    if (c->is_writing) {
        bufferevent_trigger(bev, EV_READ, BEV_TRIG_DEFER_CALLBACKS);
        return;
    }
    if (c->state == CONNECTION_CONFIRMING)
        confirm(c);
    while ((c->state == CONNECTION_UP || c->state == CONNECTION_DRAINING) && take_frame(c))
        ;
}
