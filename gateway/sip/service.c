/* The SIP thread: its start, its mailbox, its end. */
#include "gateway/sip/service.h"

#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <sofia-sip/su_log.h>

#include "gateway/sip/ask.h"
#include "gateway/sip/b2bua.h"
#include "gateway/sip/b2bua_name.h"
#include "gateway/sip/client.h"
#include "gateway/sip/clock.h"
#include "gateway/sip/connections.h"
#include "gateway/sip/domain.h"
#include "gateway/sip/family.h"
#include "gateway/sip/fence.h"
#include "gateway/sip/finished.h"
#include "gateway/sip/flow.h"
#include "gateway/sip/inlet.h"
#include "gateway/sip/limits.h"
#include "gateway/sip/location.h"
#include "gateway/sip/lost.h"
#include "gateway/sip/method.h"
#include "gateway/sip/noted.h"
#include "gateway/sip/numeric.h"
#include "gateway/sip/paths.h"
#include "gateway/sip/phone_via.h"
#include "gateway/sip/proxy.h"
#include "gateway/sip/registrar.h"
#include "gateway/sip/stranger.h"
#include "gateway/sip/stun.h"
#include "gateway/sip/tls_leak.h"
#include "gateway/sip/twin.h"

#define LINGER_TICK_MS 10

extern su_log_t nta_log[];
extern su_log_t tport_log[];

/* What the new thread tells the one that started it. */
struct start {
    struct sip *sip;
    struct why *why;
    enum status status;
    sem_t told;
};

void
sip_conf_defaults(struct sip_conf *conf)
{
    memset(conf, 0, sizeof(*conf));
    conf->min_expires_s = 60;
    conf->default_expires_s = 3600;
    conf->max_expires_s = 7200;
    conf->peer_retry_ms = 250;
    conf->fence_gap_ms = 200;
    conf->branch_timeout_ms = 2000;
    conf->ring_timeout_s = 185;
    conf->limits = (struct sip_limits){.connections = 10000,
                                       .peer_connections = 10000,
                                       .gateway_connections = 10000,
                                       .connections_per_source = 10000,
                                       .connection_idle_s = 600,
                                       .first_byte_ms = 10000,
                                       .requests_per_source_s = 20000,
                                       .pending_per_destination = 1000,
                                       .unacknowledged = 10000,
                                       .calls = 50000,
                                       .registrations = 50000};
}

/* ---- the library's log
 * ----------------------------------------------------------------------------- */

static void
on_library_log(void *stream, const char *fmt, va_list ap)
{
    char text[256];
    size_t len;

    (void)stream;
    vsnprintf(text, sizeof(text), fmt, ap);
    len = strcspn(text, "\n");
    text[len] = '\0';
    if (len > 0) /* strangers can make it talk: the rate is limited */
        log_write(log_is_written(LOG_LEVEL_DEBUG) ? LOG_LEVEL_DEBUG : LOG_LEVEL_REMOTE, "sip",
                  "library: %s", text);
}

static void
quiet_library(void)
{
    su_log_t *const logs[] = {su_log_default, nta_log, tport_log};

    for (size_t i = 0; i < sizeof(logs) / sizeof(logs[0]); i++) {
        su_log_redirect(logs[i], on_library_log, NULL);
        su_log_set_level(logs[i], log_is_written(LOG_LEVEL_DEBUG) ? 5 : 1);
    }
}

/* ---- the mailbox
 * ----------------------------------------------------------------------------------- */

const struct bridge_gateway *
sip_gateway_of(const struct sip *s, const struct id *node)
{
    for (size_t i = 0; i < s->gateway_count; i++)
        if (id_equal(&s->gateway[i].node, node))
            return &s->gateway[i];
    return NULL;
}

const struct bridge_gateway *
sip_former_gateway(const struct sip *s, const struct id *node, const char *in_uri)
{
    uint64_t now_ms = sip_moment(s).mono_ms;

    for (size_t i = 0; i < SIP_FORMER_MAX; i++)
        if (s->former_ms[i] > 0 && now_ms - s->former_ms[i] < SIP_FORMER_AGE_MS &&
            (node ? id_equal(&s->former[i].node, node)
                  : strcasestr(s->former[i].uri, in_uri) != NULL))
            return &s->former[i];
    return NULL;
}

bool
sip_is_gateway(const struct sip *s, const struct id *node)
{
    uint64_t now_ms = sip_moment(s).mono_ms;

    for (size_t i = 0; i < SIP_FORMER_MAX; i++)
        if (s->former_ms[i] > 0 && now_ms - s->former_ms[i] < SIP_BELIEVED_MS &&
            id_equal(&s->former[i].node, node))
            return true;
    return sip_gateway_of(s, node) != NULL;
}

/* Those of the old set that are not in the new one. */
static void
note_former(struct sip *s, const struct bridge_message *m)
{
    for (size_t i = 0; i < s->gateway_count; i++) {
        bool is_in = false;
        for (size_t k = 0; k < m->count; k++)
            is_in = is_in || id_equal(&m->gateway[k].node, &s->gateway[i].node);
        if (is_in)
            continue;
        s->former[s->former_next] = s->gateway[i];
        s->former_ms[s->former_next] = sip_moment(s).mono_ms;
        s->former_next = (s->former_next + 1) % SIP_FORMER_MAX;
    }
}

static void
set_gateways(struct sip *s, const struct bridge_message *m)
{
    uint64_t since_ms[BRIDGE_GATEWAYS_MAX] = {0};

    note_former(s, m);
    for (size_t i = 0; i < m->count && i < BRIDGE_GATEWAYS_MAX; i++) {
        const struct bridge_gateway *g = sip_gateway_of(s, &m->gateway[i].node);

        since_ms[i] = g ? s->gateway_since_ms[g - s->gateway] : sip_moment(s).mono_ms;
    }
    s->is_gateway = false;
    s->gateway_count = 0;
    for (size_t i = 0; i < m->count && i < BRIDGE_GATEWAYS_MAX; i++) {
        s->gateway_since_ms[i] = since_ms[i];
        s->gateway[s->gateway_count++] = m->gateway[i];
        s->is_gateway |= m->gateway[i].is_self;
    }
}

static void
report(struct sip *s, const struct bridge_message *m)
{
    struct bridge_message *r =
        m->query == BRIDGE_QUERY_CALLS ? b2bua_report(s, m->token) : location_report(s, m->token);

    if (!r)
        r = bridge_new(BRIDGE_REPORT, m->token, 0, 0);
    if (!r)
        return;
    r->query = m->query;
    s->upward.post(s->upward.ctx, r);
}

static void
on_mail(struct sip *s, struct bridge_message *m)
{
    switch (m->type) {
    case BRIDGE_GATEWAY:
        if (m->status == ST_OK) {
            if (m->has_naming_key)
                b2bua_naming_set(s, m->naming_key);
            set_gateways(s, m);
            proxy_on_gateways(s);
        }
        ask_on_message(s, m);
        return;
    case BRIDGE_NOBODY:
        s->is_hopeless = m->token;
        proxy_on_gateways(s);
        break;
    case BRIDGE_BINDINGS:
    case BRIDGE_BOUND:
    case BRIDGE_ROUTES:
    case BRIDGE_JUDGED:
        ask_on_message(s, m);
        return;
    case BRIDGE_NAMES:
        domain_on_names(s, m);
        break;
    case BRIDGE_QUERY:
        report(s, m);
        break;
    case BRIDGE_ADOPT:
    case BRIDGE_COPIED:
    case BRIDGE_RELEASE:
        b2bua_on_bridge(s, m);
        break;
    case BRIDGE_JOINED:
        location_on_joined(s);
        break;
    case BRIDGE_LOST:
        location_on_lost(s, &m->node);
        break;
    case BRIDGE_CONFIRMED:
        fence_on_confirmed(s, m->token);
        break;
    case BRIDGE_REREAD:
        if (s->conf.tls.reread)
            s->conf.tls.reread(s->conf.tls.ctx);
        break;
    case BRIDGE_STOP:
        s->is_stopping = true;
        break;
    default:
        break;
    }
    bridge_free(m);
}

static void quit_when_quiet(struct sip *s);

static void
on_linger(su_root_magic_t *magic, su_timer_t *timer, su_timer_arg_t *arg)
{
    (void)magic;
    (void)timer;
    quit_when_quiet((struct sip *)arg);
}

/* Answers that are on their way still come through, and calls whose answer is about to come. */
static void
quit_when_quiet(struct sip *s)
{
    uint64_t now_ms = sip_moment(s).mono_ms;

    if (s->quit_by_ms == 0)
        s->quit_by_ms = now_ms + (s->is_quitting_at_once ? 0 : SIP_LINGER_MS);
    if (now_ms >= s->quit_by_ms || (!b2bua_is_busy(s) && !proxy_is_busy(s)))
        su_root_break(s->root);
    else
        su_timer_set_interval(s->linger, on_linger, (su_timer_arg_t *)s, LINGER_TICK_MS);
}

static int
on_wake(su_root_magic_t *magic, su_wait_t *wait, su_wakeup_arg_t *arg)
{
    struct sip *s = (struct sip *)arg;
    struct list_node mail;
    uint64_t count;

    (void)magic;
    (void)wait;
    if (read(s->mail_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
        return 0;
    list_init(&mail);
    pthread_mutex_lock(&s->mail_lock);
    while (!list_is_empty(&s->mail)) {
        struct list_node *first = s->mail.next;

        list_remove(first);
        list_append(&mail, first);
    }
    s->is_mail_told = false;
    pthread_mutex_unlock(&s->mail_lock);
    while (!list_is_empty(&mail)) {
        struct bridge_message *m = list_entry(mail.next, struct bridge_message, link);

        list_remove(&m->link);
        on_mail(s, m);
    }
    if (s->is_quitting)
        quit_when_quiet(s);
    return 0;
}

static void
wake(struct sip *s)
{
    uint64_t one = 1;

    while (write(s->mail_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

void
sip_post(struct sip *s, struct bridge_message *m)
{
    bool is_told;

    pthread_mutex_lock(&s->mail_lock);
    list_append(&s->mail, &m->link);
    is_told = s->is_mail_told;
    s->is_mail_told = true;
    pthread_mutex_unlock(&s->mail_lock);
    if (!is_told)
        wake(s);
}

/* ---- the thread
 * ------------------------------------------------------------------------------------ */

static void
on_second(su_root_magic_t *magic, su_timer_t *timer, su_timer_arg_t *arg)
{
    struct sip *s = (struct sip *)arg;
    struct bridge_message *load = bridge_new(BRIDGE_LOAD, 0, 0, 0);
    size_t unacknowledged;

    (void)magic;
    (void)timer;
    connections_tick(s->connections);
    flow_tick(s);
    finished_tick(s->finished);
    twin_tick(s);
    client_tick(s->client);
    location_tick(s);
    noted_tick(s->noted, sip_moment(s).mono_ms);
    ask_tick(s);
    domain_tick(s);
    b2bua_tick(s);
    if (!load)
        return;
    load->calls = (uint32_t)b2bua_count(s);
    load->registrations = (uint32_t)location_count(s);
    load->requests = proxy_take_requests(s);
    for (enum sip_side side = 0; side < SIP_SIDES; side++) {
        load->counters.connections[side] = connections_count(s->connections, side);
        load->counters.connections_refused[side] = connections_refused(s->connections, side);
    }
    load->counters.responses_lost = lost_count();
    load->counters.unanswerable = inlet_discarded();
    load->counters.finished = finished_count(s->finished, &unacknowledged);
    load->counters.unacknowledged = unacknowledged;
    load->counters.phones_cancelled = phone_cancels_count(s, &load->counters.phones_left_ringing);
    load->counters.not_replicated = b2bua_not_replicated(s);
    s->upward.post(s->upward.ctx, load);
}

static enum status
open_parts(struct sip *s)
{
    s->asks = ask_table_new(s);
    s->flows = flow_table_new(s);
    s->finished = finished_new(s);
    s->client = client_new(s);
    s->limits = limits_new(s);
    s->connections = connections_new(s);
    s->location = location_new(s);
    s->noted = noted_new(s->seed);
    s->proxy = proxy_new(s);
    s->fence = fence_new();
    s->strangers = strangers_new();
    s->domains = domains_new(s);
    s->paths = paths_new(s);
    s->phone_cancels = phone_cancels_new(s);
    s->second = su_timer_create(su_root_task(s->root), 1000);
    s->linger = su_timer_create(su_root_task(s->root), LINGER_TICK_MS);
    if (!s->asks || !s->flows || !s->finished || !s->client || !s->limits || !s->connections ||
        !s->location || !s->noted || !s->proxy || !s->fence || !s->strangers || !s->domains ||
        !s->paths || !s->phone_cancels || !s->second || !s->linger)
        return ST_NOMEM;
    location_restore(s);
    return b2bua_new(s, &s->b2bua);
}

static void
close_parts(struct sip *s)
{
    su_timer_destroy(s->second);
    su_timer_destroy(s->linger);
    fence_free(s->fence);
    strangers_free(s->strangers);
    domains_free(s->domains);
    paths_free(s->paths);
    b2bua_free(s->b2bua);
    proxy_free(s->proxy);
    registrar_end_all(s);
    location_free(s->location);
    phone_cancels_free(s->phone_cancels);
    ask_table_free(s->asks);
    flow_table_free(s->flows);
    connections_free(s->connections);
    limits_free(s->limits);
    noted_free(s->noted);
    finished_free(s->finished);
    client_free(s->client);
}

static enum status
open_mailbox(struct sip *s)
{
    su_wait_t wait[1];

    if (su_wait_create(wait, s->mail_fd, SU_WAIT_IN) < 0)
        return ST_IO;
    s->mail_wait = su_root_register(s->root, wait, on_wake, (su_wakeup_arg_t *)s, 0);
    return s->mail_wait < 0 ? ST_IO : ST_OK;
}

static enum status
open_all(struct sip *s, struct why *why)
{
    enum status st;

    numeric_only(true);
    inlet_open();
    s->root = su_root_create(s);
    if (!s->root)
        return why_set(why, ST_NOMEM, "sip: cannot make the loop");
    st = open_mailbox(s);
    if (!st)
        st = open_parts(s);
    if (st)
        return why_set(why, st, "sip: cannot start");
    return sip_agents_open(s, why);
}

static void
close_all(struct sip *s)
{
    if (!s->root)
        return;
    close_parts(s);
    sip_agents_close(s);
    if (s->mail_wait > 0)
        su_root_deregister(s->root, s->mail_wait);
    su_root_destroy(s->root);
}

static void *
run(void *arg)
{
    struct start *start = arg;
    struct sip *s = start->sip;

    start->status = open_all(s, start->why);
    if (start->status) {
        close_all(s);
        sem_post(&start->told);
        return NULL;
    }
    sem_post(&start->told);
    su_timer_set_for_ever(s->second, on_second, (su_timer_arg_t *)s);
    su_root_run(s->root);
    close_all(s);
    tls_leak_end();
    return NULL;
}

static void
sip_free(struct sip *s)
{
    while (!list_is_empty(&s->mail))
        bridge_free(list_entry(s->mail.next, struct bridge_message, link));
    if (s->mail_fd >= 0)
        close(s->mail_fd);
    pthread_mutex_destroy(&s->mail_lock);
    free(s);
}

enum status
sip_start(const struct sip_conf *conf, const struct bridge_upward *upward, struct sip **ret_sip,
          struct why *why)
{
    struct sip *s = calloc(1, sizeof(*s));
    struct start start = {.sip = s, .why = why};

    if (!s)
        return why_set(why, ST_NOMEM, "sip: no memory");
    s->conf = *conf;
    s->upward = *upward;
    s->seed = sip_random();
    s->mail_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    list_init(&s->mail);
    list_init(&s->registrations);
    pthread_mutex_init(&s->mail_lock, NULL);
    (void)tls_leak_count();
    family_init();
    method_init();
    stun_init();
    sip_clock_install();
    su_init();
    quiet_library();
    sem_init(&start.told, 0, 0);
    start.status = ST_IO;
    if (s->mail_fd >= 0 && pthread_create(&s->thread, NULL, run, &start) == 0) {
        s->has_thread = true;
        while (sem_wait(&start.told) && errno == EINTR)
            ;
    }
    sem_destroy(&start.told);
    if (start.status) {
        if (s->has_thread)
            pthread_join(s->thread, NULL);
        sip_free(s);
        return start.status;
    }
    *ret_sip = s;
    return ST_OK;
}

void
sip_stop(struct sip *s, bool is_at_once)
{
    if (!s)
        return;
    s->is_quitting_at_once = is_at_once;
    s->is_quitting = true;
    wake(s);
    pthread_join(s->thread, NULL);
    sip_free(s);
}
