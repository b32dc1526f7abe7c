#include "gateway/daemon_internal.h"

#include <event2/thread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "base/log.h"
#include "gateway/heap.h"

enum {
    LEAVE_MS = 11000,
    FLUSH_MS = 500,
    SECOND_MS = 1000,
    FIRST_LOOK_MS = 250,
    ONLINE_KEPT_S = 60,
    YOUNG_MS = 10000
};

static uint64_t
clock_ms(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void
daemon_set_log_level(const char *name)
{
    const struct log_sink to_stderr = {NULL, NULL};

    for (int level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++)
        if (strcmp(log_level_name((enum log_level)level), name) == 0)
            log_open(&to_stderr, (enum log_level)level);
}

struct moment
daemon_now(void)
{
    return (struct moment){.mono_ms = clock_ms(CLOCK_MONOTONIC),
                           .wall_ms = clock_ms(CLOCK_REALTIME)};
}

static void
arm(struct event *timer, uint64_t in_ms)
{
    struct timeval t = {.tv_sec = (time_t)(in_ms / 1000),
                        .tv_usec = (suseconds_t)(in_ms % 1000) * 1000};

    event_add(timer, &t);
}

void
daemon_settle(struct daemon *d)
{
    uint64_t deadline_ms = node_deadline_ms(d->node);
    uint64_t now_ms = clock_ms(CLOCK_MONOTONIC);

    if (deadline_ms == MOMENT_NEVER)
        event_del(d->timer);
    else
        arm(d->timer, deadline_ms > now_ms ? deadline_ms - now_ms : 0);
}

/* ---- what the node asks for -------------------------------------------------------------------
 */

static bool
on_node_send(void *ctx, enum node_overlay which, const struct id *to, struct slice message)
{
    struct daemon *d = ctx;

    return links_send(d->links[which], to, message) == ST_OK;
}

static void
on_node_connect(void *ctx, enum node_overlay which, const char *address, const struct id *expected)
{
    struct daemon *d = ctx;

    links_connect(d->links[which], address, expected);
}

static void
on_node_disconnect(void *ctx, enum node_overlay which, const struct id *node)
{
    struct daemon *d = ctx;

    links_close(d->links[which], node);
}

static const char *
on_node_link_user(void *ctx, enum node_overlay which, const struct id *node)
{
    struct daemon *d = ctx;

    return links_user(d->links[which], node);
}

static bool
on_node_signs(void *ctx, const struct id *node, struct election_signs *ret)
{
    struct daemon *d = ctx;
    struct link_signs signs;

    if (!links_signs(d->links[NODE_LOCAL], node, &signs))
        return false;
    *ret = (struct election_signs){
        .heard_ms = signs.heard_ms, .is_lossy = signs.is_lossy, .rto_ms = signs.rto_ms};
    return true;
}

static uint64_t
on_node_random(void *ctx)
{
    (void)ctx;
    return identity_random();
}

static enum status
on_node_check_gateway(void *ctx, struct slice der, uint64_t at_wall_ms, struct signer *ret,
                      struct why *why)
{
    struct daemon *d = ctx;

    if (!d->identity[NODE_GLOBAL])
        return why_set(why, ST_SIGNATURE, "no global overlay is configured to check it against");
    return identity_check(d->identity[NODE_GLOBAL], der, at_wall_ms, ret, why);
}

void
daemon_store_again(struct daemon *d)
{
    struct bridge_message *m = d->sip ? bridge_new(BRIDGE_JOINED, 0, 0, 0) : NULL;

    if (m)
        sip_post(d->sip, m);
}

/* Where nodes come up together after a power cut, each stores what it has kept: until all have, a
 * user whom nobody has bound may be one of theirs. */
static void
on_joined(struct daemon *d)
{
    if (d->young_until_ms == 0)
        d->young_until_ms =
            daemon_now().mono_ms + (registrations_had_run(d->registrations) ? YOUNG_MS : 0);
    daemon_store_again(d);
}

/** Who is in no ring, and does not want to be, has nothing to say there: who knocks learns it at
 * the lowest price.  All nodes of many overlays knock when they start. */
static void
admit(struct daemon *d)
{
    const struct peer *ring = node_peer(d->node, NODE_GLOBAL);

    if (ring && d->links[NODE_GLOBAL])
        links_admit(d->links[NODE_GLOBAL], peer_state(ring) != PEER_DOWN);
}

static void
on_node_state(void *ctx)
{
    struct daemon *d = ctx;
    enum peer_state state = peer_state(node_peer(d->node, NODE_LOCAL));
    bool is_in = state == PEER_JOINED || state == PEER_ALONE;

    if (is_in && !d->is_in)
        on_joined(d);
    d->is_in = is_in;
    admit(d);
    if (!d->is_ready && is_in) {
        d->is_ready = true;
        sd_notify(0, "READY=1");
    }
}

static void
on_node_left(void *ctx)
{
    struct daemon *d = ctx;

    d->has_left = true;
    event_active(d->stop_timer, EV_TIMEOUT, 0);
}

static void
on_node_history(void *ctx, const struct election_transition *t)
{
    struct daemon *d = ctx;

    history_put(d->history, t);
}

static void
on_node_log(void *ctx, enum log_level level, const char *text)
{
    (void)ctx;
    log_write(level, "overlay", "%s", text);
}

/* ---- links -------------------------------------------------------------------------------------
 */

static void
on_up(void *ctx, const struct id *node, const char *address)
{
    struct daemon_side *side = ctx;

    node_on_link_up(side->daemon->node, daemon_now(), side->which, node, address);
    daemon_settle(side->daemon);
}

static void
on_suspect(void *ctx, const struct id *node, bool is_suspect)
{
    struct daemon_side *side = ctx;

    node_on_link_suspect(side->daemon->node, daemon_now(), side->which, node, is_suspect);
    daemon_settle(side->daemon);
}

static void
on_down(void *ctx, const struct id *node, bool is_broken, const char *reason)
{
    struct daemon_side *side = ctx;

    node_on_link_down(side->daemon->node, daemon_now(), side->which, node, is_broken, reason);
    daemon_settle(side->daemon);
}

static void
on_connect_failed(void *ctx, const char *address, const struct id *expected, const char *reason)
{
    struct daemon_side *side = ctx;

    node_on_connect_failed(side->daemon->node, daemon_now(), side->which, address, expected,
                           reason);
    daemon_settle(side->daemon);
}

static void
on_message(void *ctx, const struct id *from, struct slice message)
{
    struct daemon_side *side = ctx;

    node_on_message(side->daemon->node, daemon_now(), side->which, from, message);
    daemon_settle(side->daemon);
}

/* Its link is older than the one that was refused: if nobody is there, a Ping shows it. */
static void
on_rival(void *ctx, const struct id *node)
{
    struct daemon_side *side = ctx;

    node_on_link_rival(side->daemon->node, daemon_now(), side->which, node);
    daemon_settle(side->daemon);
}

static enum status
open_links(struct daemon *d, enum node_overlay which, struct why *why)
{
    struct links_conf conf;
    struct links_handler handler = {.ctx = &d->side[which],
                                    .on_up = on_up,
                                    .on_suspect = on_suspect,
                                    .on_down = on_down,
                                    .on_connect_failed = on_connect_failed,
                                    .on_message = on_message,
                                    .on_rival = on_rival};

    d->side[which] = (struct daemon_side){d, which};
    settings_links(&d->config, which, &conf);
    return links_new(d->base, &conf, d->identity[which], &handler, &d->links[which], why);
}

/* ---- timers and signals
 * -------------------------------------------------------------------------- */

static void
on_timer(evutil_socket_t fd, short what, void *ctx)
{
    struct daemon *d = ctx;

    (void)fd;
    (void)what;
    heap_follow(); /* it may grow by steps a second */
    node_tick(d->node, daemon_now());
    daemon_settle(d);
}

static void
measure(struct daemon *d)
{
    struct election_load load;

    measure_take(d->measure, &load);
    load.online_s += history_online_before_s(d->history);
    if (d->seconds % ONLINE_KEPT_S == 1)
        history_online(d->history, load.online_s, daemon_now().wall_ms);
    load.calls = d->load.calls;
    load.registrations = d->load.registrations;
    load.requests = d->load.requests;
    d->load.requests = 0;
    node_measure(d->node, daemon_now(), &load);
}

/* Soon after the start: who was restarted is to be a candidate again as soon as it may claim. */
static void
on_first_look(evutil_socket_t fd, short what, void *ctx)
{
    struct daemon *d = ctx;

    (void)fd;
    (void)what;
    if (d->seconds == 0)
        measure(d);
    daemon_settle(d);
}

static void
on_second(evutil_socket_t fd, short what, void *ctx)
{
    struct daemon *d = ctx;

    (void)fd;
    (void)what;
    d->seconds++;
    measure(d);
    daemon_names_keep(d, false);
    daemon_certificates_look(d);
    sd_notify(0, "WATCHDOG=1");
    daemon_settle(d);
}

/* The wait for the leave, or for the last frames, is over. */
static void
on_stop_timer(evutil_socket_t fd, short what, void *ctx)
{
    struct daemon *d = ctx;
    bool is_flushed = links_is_flushed(d->links[NODE_LOCAL]) &&
                      (!d->links[NODE_GLOBAL] || links_is_flushed(d->links[NODE_GLOBAL]));

    (void)fd;
    (void)what;
    if (!d->has_left)
        log_write(LOG_LEVEL_WARN, "daemon", "the leave took longer than %d ms: going anyway",
                  LEAVE_MS);
    else if (!is_flushed && !d->is_flushing) {
        d->is_flushing = true;
        arm(d->stop_timer, FLUSH_MS);
        return;
    }
    event_base_loopbreak(d->base);
}

void
daemon_leave(struct daemon *d)
{
    struct bridge_message *m;

    if (d->is_leaving)
        return;
    d->is_leaving = true;
    log_write(LOG_LEVEL_INFO, "daemon", "leaving");
    sd_notify(0, "STOPPING=1");
    m = bridge_new(BRIDGE_STOP, 0, 0, 0);
    if (m)
        sip_post(d->sip, m);
    arm(d->stop_timer, LEAVE_MS);
    node_leave(d->node, daemon_now());
    daemon_settle(d);
}

static void
on_sigterm(evutil_socket_t fd, short what, void *ctx)
{
    struct daemon *d = ctx;

    (void)fd;
    (void)what;
    if (d->is_leaving) /* a second signal: at once */
        event_base_loopbreak(d->base);
    daemon_leave(d);
}

static void
on_sighup(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    daemon_reload(ctx, NULL);
}

/* ---- birth and death
 * ------------------------------------------------------------------------------ */

static void
post_to_overlay(void *ctx, struct bridge_message *m)
{
    struct daemon *d = ctx;

    bridge_queue_post(d->queue, m);
}

static enum status
make_events(struct daemon *d)
{
    evthread_use_pthreads();
    d->base = event_base_new();
    if (!d->base)
        return ST_NOMEM;
    d->timer = evtimer_new(d->base, on_timer, d);
    d->second = event_new(d->base, -1, EV_PERSIST, on_second, d);
    d->stop_timer = evtimer_new(d->base, on_stop_timer, d);
    d->locate.timer = evtimer_new(d->base, daemon_on_locate, d);
    d->sigterm = evsignal_new(d->base, SIGTERM, on_sigterm, d);
    d->sigint = evsignal_new(d->base, SIGINT, on_sigterm, d);
    d->sighup = evsignal_new(d->base, SIGHUP, on_sighup, d);
    d->bridge =
        event_new(d->base, bridge_queue_fd(d->queue), EV_READ | EV_PERSIST, daemon_on_bridge, d);
    if (!d->timer || !d->second || !d->stop_timer || !d->sigterm || !d->sigint || !d->sighup ||
        !d->bridge || !d->locate.timer)
        return ST_NOMEM;
    return ST_OK;
}

static enum status
make_node(struct daemon *d, struct why *why)
{
    struct node_env env = {.ctx = d,
                           .send = on_node_send,
                           .connect = on_node_connect,
                           .disconnect = on_node_disconnect,
                           .link_user = on_node_link_user,
                           .signs = on_node_signs,
                           .random = on_node_random,
                           .links_show_certificates = true,
                           .check_gateway = on_node_check_gateway,
                           .on_gateways = daemon_on_gateways,
                           .on_trouble = daemon_on_trouble,
                           .on_lost = daemon_on_lost,
                           .on_names = daemon_on_names,
                           .adopt = daemon_on_adopt,
                           .released = daemon_on_released,
                           .copied = daemon_on_copied,
                           .on_state = on_node_state,
                           .on_left = on_node_left,
                           .on_history = on_node_history,
                           .log = {on_node_log, d}};

    env.keys[NODE_LOCAL] = identity_keys(d->identity[NODE_LOCAL]);
    if (d->identity[NODE_GLOBAL])
        env.keys[NODE_GLOBAL] = identity_keys(d->identity[NODE_GLOBAL]);
    return node_new(d->node_conf, &env, daemon_now(), &d->node, why);
}

/* An identity is used by one thread: SIP has its own. */
static bool
judge_sip(void *ctx, bool is_global, struct ssl_ctx_st *tls)
{
    struct daemon *d = ctx;

    return identity_tls_judge(d->sip_identity[is_global ? NODE_GLOBAL : NODE_LOCAL], tls);
}

static void
reread_sip(void *ctx)
{
    struct daemon *d = ctx;
    struct why why = {""};

    for (int which = 0; which < NODE_OVERLAYS; which++) {
        bool is_new = false;
        if (!d->sip_identity[which])
            continue;
        if (identity_reread_revoked(d->sip_identity[which], &why) != ST_OK ||
            identity_renew(d->sip_identity[which], &is_new, &why) != ST_OK)
            log_write(LOG_LEVEL_ERROR, "sip", "%s", why.text);
    }
}

static void
each_kept(void *ctx, void (*visit)(void *to, const char *aor, struct slice value), void *to)
{
    registrations_each(ctx, visit, to);
}

static void
put_kept(void *ctx, const char *aor, struct slice value, uint64_t expires_at_wall_ms)
{
    registrations_put(ctx, aor, value, expires_at_wall_ms);
}

static enum status
start_sip(struct daemon *d, struct why *why)
{
    const struct bridge_upward upward = {d, post_to_overlay};
    struct sip_conf *conf = calloc(1, sizeof(*conf));

    if (!conf)
        return ST_NOMEM;
    settings_sip(&d->config, d->identity, conf);
    conf->tls = (struct sip_tls){d, judge_sip, reread_sip};
    conf->kept = (struct sip_kept){d->registrations, registrations_key(d->registrations), each_kept,
                                   put_kept};
    enum status st = sip_start(conf, &upward, &d->sip, why);
    free(conf);
    return st;
}

/* Everything that opens a port or starts a thread; the configuration is known to be good. */
static enum status
open_all(struct daemon *d, struct why *why)
{
    enum status st = make_events(d);

    if (st == ST_OK)
        st = make_node(d, why);
    if (st == ST_OK)
        daemon_names_start(d);
    if (st == ST_OK)
        st = open_links(d, NODE_LOCAL, why);
    if (st == ST_OK && d->config.global.is_set)
        st = open_links(d, NODE_GLOBAL, why);
    if (st == ST_OK)
        admit(d);
    if (st == ST_OK)
        st = start_sip(d, why);
    if (st == ST_OK)
        daemon_names_tell(d);
    if (st == ST_OK)
        st = daemon_open_control(d, why);
    if (st == ST_OK)
        daemon_certificates_start(d);
    return st;
}

static enum status
open_registrations(struct daemon *d)
{
    uint64_t key[REGISTRATIONS_KEY_BYTES / sizeof(uint64_t)];
    uint8_t bytes[REGISTRATIONS_KEY_BYTES];

    for (size_t i = 0; i < sizeof(key) / sizeof(key[0]); i++)
        key[i] = identity_random();
    memcpy(bytes, key, sizeof(bytes));
    return registrations_new(d->config.node.state_dir, d->config.sip.max_registrations,
                             daemon_now().wall_ms, bytes, &d->registrations);
}

enum status
daemon_new(const struct config *c, struct daemon **ret_daemon, struct why *why)
{
    struct daemon *d = calloc(1, sizeof(*d));
    enum status st = ST_NOMEM;

    if (!d)
        goto fail;
    d->config = *c;
    d->node_conf = calloc(1, sizeof(*d->node_conf));
    if (!d->node_conf)
        goto fail;
    st = settings_identities(c, d->identity, why);
    if (st == ST_OK)
        st = settings_identities(c, d->sip_identity, why);
    if (st == ST_OK)
        st = settings_node(c, d->identity, d->node_conf, why);
    if (st == ST_OK)
        st = bridge_queue_new(&d->queue, why);
    if (st == ST_OK)
        st = measure_new(c, &d->measure);
    if (st == ST_OK)
        st = history_new(c->node.state_dir, daemon_now().wall_ms, &d->history);
    if (st == ST_OK)
        st = open_registrations(d);
    if (st == ST_OK)
        st = open_all(d, why);
    if (st != ST_OK)
        goto fail;
    *ret_daemon = d;
    return ST_OK;

fail:
    daemon_free(d);
    return st;
}

static void
event_end(struct event *e)
{
    if (e)
        event_free(e);
}

void
daemon_free(struct daemon *d)
{
    if (!d)
        return;
    sip_stop(d->sip, !d->has_left); /* first: it posts to the queue and holds no other part */
    control_free(d->control);
    d->sip = NULL;
    d->control = NULL;
    if (d->node)
        daemon_names_keep(d, true);
    node_free(d->node); /* ends the questions that are under way */
    for (int which = 0; which < NODE_OVERLAYS; which++)
        links_free(d->links[which]);
    event_end(d->timer);
    event_end(d->second);
    event_end(d->stop_timer);
    event_end(d->locate.timer);
    event_end(d->sigterm);
    event_end(d->sigint);
    event_end(d->sighup);
    event_end(d->bridge);
    bridge_queue_free(d->queue);
    measure_free(d->measure);
    history_free(d->history);
    registrations_free(d->registrations);
    if (d->base)
        event_base_free(d->base);
    for (int which = 0; which < NODE_OVERLAYS; which++)
        identity_free(d->identity[which]);
    for (int which = 0; which < NODE_OVERLAYS; which++)
        identity_free(d->sip_identity[which]);
    free(d->node_conf);
    free(d);
    libevent_global_shutdown();
}

/* What went over the links of one overlay in this daemon's life, by name. */
static void
tell_messages(const char *overlay, const char *what, const uint64_t *by_code)
{
    char text[640] = "";
    size_t len = 0;

    for (size_t code = 0; code < sizeof(((struct peer_counters *)0)->to_link) / sizeof(*by_code);
         code++)
        if (by_code[code] > 0 && len < sizeof(text))
            len += (size_t)snprintf(text + len, sizeof(text) - len, " %s %llu",
                                    message_code_name(code ? (uint16_t)code : MESSAGE_ERROR),
                                    (unsigned long long)by_code[code]);
    log_write(LOG_LEVEL_INFO, "daemon", "%s: messages %s links:%s", overlay, what, text);
}

void
daemon_run(struct daemon *d)
{
    const struct timeval second = {.tv_sec = SECOND_MS / 1000};
    const struct timeval first_look = {.tv_usec = FIRST_LOOK_MS * 1000};
    char node_id[ID_TEXT_BYTES];

    signal(SIGTERM,
           SIG_IGN); /* what is in force again once the events are gone: it is being done */
    signal(SIGINT, SIG_IGN);
    event_add(d->second, &second);
    event_base_once(d->base, -1, EV_TIMEOUT, on_first_look, d, &first_look);
    event_add(d->sigterm, NULL);
    event_add(d->sigint, NULL);
    event_add(d->sighup, NULL);
    event_add(d->bridge, NULL);
    log_write(LOG_LEVEL_INFO, "daemon", "node %s, Node-ID %s, overlay %s (%s)", d->config.node.name,
              id_text(&d->node_conf->local.self.node, node_id), d->config.local.name,
              d->config.local.algorithm);
    node_start(d->node, daemon_now());
    daemon_settle(d);
    event_base_dispatch(d->base);
    for (int which = 0; which < NODE_OVERLAYS; which++) {
        const struct peer *p = node_peer(d->node, (enum node_overlay)which);
        if (p) {
            tell_messages(peer_conf_of(p)->overlay, "given to", peer_counters_of(p)->to_link);
            tell_messages(peer_conf_of(p)->overlay, "taken from", peer_counters_of(p)->from_link);
        }
    }
    log_write(LOG_LEVEL_INFO, "daemon", "ended");
}
