/**
 * DOC: a few peers on a network in memory, with a clock of their own
 *
 * Messages and link events take one millisecond.  What is sent can be looked at, mutated or lost on
 * the way by lan.tap.
 */
#ifndef TESTS_UNIT_LAN_H
#define TESTS_UNIT_LAN_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "local-overlays/chord/chord.h"
#include "local-overlays/peer.h"
#include "tests/sim/events.h"
#include "tests/unit/fake_keys.h"

#define LAN_MAX   10
#define LAN_WALL  1700000000000ull
#define LAN_DELAY 1000 /* us */

enum lan_event { LAN_MESSAGE, LAN_UP, LAN_DOWN, LAN_REFUSED };

struct lan_what {
    struct id other;
    char address[NODE_ADDRESS_BYTES];
    struct slice message;
};

struct lan_host {
    unsigned self;
    bool is_running;
    bool is_cut_off; /* nobody reaches it, and it nobody */
    struct peer *peer;
    struct peer_conf conf;
    struct fake_keys keys;
    enum peer_state state;
    bool is_linked[LAN_MAX]; /* and by which others */
    unsigned links_up, links_down;
    unsigned remote_lines; /* of level REMOTE */
    char last_remote[256];
    unsigned error_lines, warn_lines;
    char last_error[512], last_warn[512];
    unsigned requests;
    struct peer_request last_request;
    char last_request_body[64];
    bool is_answering;
};

struct lan {
    struct events events;
    uint64_t seed;
    uint64_t wall_ahead_ms; /* of all wall clocks */
    unsigned count;
    struct lan_host host[LAN_MAX];
    bool is_secure;
    bool shows_certificates; /* links do, as with TLS */
    bool is_talking;         /* print the log */
    /** tap - false loses the message; it may be replaced (the old one is freed by the tap). */
    bool (*tap)(unsigned from, unsigned to, struct slice *message);
};

static struct lan lan;

static inline struct moment
lan_now(void)
{
    uint64_t ms = lan.events.now_us / 1000;

    return (struct moment){.mono_ms = ms, .wall_ms = LAN_WALL + ms + lan.wall_ahead_ms};
}

static inline unsigned
lan_find(const struct id *node)
{
    for (unsigned i = 0; i < lan.count; i++)
        if (id_equal(&lan.host[i].conf.self.node, node))
            return i;
    return LAN_MAX;
}

static inline void
lan_put(enum lan_event kind, unsigned to, const struct id *other, const char *address,
        struct slice message)
{
    struct lan_what *w = calloc(1, sizeof(*w));

    w->other = *other;
    snprintf(w->address, sizeof(w->address), "%s", address);
    if (message.data)
        ck_assert_int_eq(slice_copy(message, &w->message), ST_OK);
    events_put(&lan.events, lan.events.now_us + LAN_DELAY, kind, to, w);
}

static inline bool
lan_send(void *ctx, const struct id *to, struct slice message)
{
    struct lan_host *h = ctx;
    unsigned other = lan_find(to);
    struct slice copy;

    if (other == LAN_MAX || !h->is_linked[other])
        return false;
    ck_assert_int_eq(slice_copy(message, &copy), ST_OK);
    if (!lan.tap || lan.tap(h->self, other, &copy))
        lan_put(LAN_MESSAGE, other, &h->conf.self.node, "", copy);
    slice_free(&copy);
    return true;
}

static inline void
lan_connect(void *ctx, const char *address, const struct id *expected)
{
    struct lan_host *h = ctx;
    struct id zero = {{0}};

    for (unsigned i = 0; i < lan.count; i++) {
        struct lan_host *o = &lan.host[i];
        if (strcmp(o->conf.self.address, address) != 0 || !o->is_running || h->is_cut_off ||
            o->is_cut_off || (expected && !id_equal(expected, &o->conf.self.node)))
            continue;
        if (h->is_linked[i])
            return;
        h->is_linked[i] = o->is_linked[h->self] = true;
        lan_put(LAN_UP, h->self, &o->conf.self.node, address, slice_of(NULL, 0));
        lan_put(LAN_UP, i, &h->conf.self.node, "", slice_of(NULL, 0));
        return;
    }
    lan_put(LAN_REFUSED, h->self, expected ? expected : &zero, address, slice_of(NULL, 0));
}

static inline void
lan_cut(unsigned a, unsigned b)
{
    if (!lan.host[a].is_linked[b])
        return;
    lan.host[a].is_linked[b] = lan.host[b].is_linked[a] = false;
    lan_put(LAN_DOWN, a, &lan.host[b].conf.self.node, "", slice_of(NULL, 0));
    lan_put(LAN_DOWN, b, &lan.host[a].conf.self.node, "", slice_of(NULL, 0));
}

static inline void
lan_disconnect(void *ctx, const struct id *node)
{
    struct lan_host *h = ctx;
    unsigned other = lan_find(node);

    if (other < LAN_MAX)
        lan_cut(h->self, other);
}

static inline uint64_t
lan_random(void *ctx)
{
    (void)ctx;
    return chance_next(&lan.seed);
}

static inline void
lan_on_state(void *ctx, enum peer_state state, const char *reason)
{
    (void)reason;
    ((struct lan_host *)ctx)->state = state;
}

static inline void
lan_on_request(void *ctx, struct moment now, const struct peer_request *req)
{
    struct lan_host *h = ctx;

    h->requests++;
    h->last_request = *req;
    h->last_request.body = slice_of(NULL, 0);
    if (req->body.len < sizeof(h->last_request_body)) {
        memcpy(h->last_request_body, req->body.data, req->body.len);
        h->last_request_body[req->body.len] = '\0';
    }
    if (h->is_answering)
        peer_answer(h->peer, now, req->handle, ST_OK, slice_text("yes"));
}

static inline void
lan_on_link(void *ctx, struct moment now, const struct id *node, bool is_up, bool is_given_up)
{
    (void)is_given_up;
    struct lan_host *h = ctx;

    (void)now;
    (void)node;
    h->links_up += is_up;
    h->links_down += !is_up;
}

static inline void
lan_log(void *ctx, enum log_level level, const char *text)
{
    struct lan_host *h = ctx;

    if (lan.is_talking)
        fprintf(stderr, "%7llu %u %s %s\n", (unsigned long long)lan_now().mono_ms, h->self,
                log_level_name(level), text);
    if (level == LOG_LEVEL_REMOTE) {
        h->remote_lines++;
        snprintf(h->last_remote, sizeof(h->last_remote), "%s", text);
    }
    if (level == LOG_LEVEL_ERROR) {
        h->error_lines++;
        snprintf(h->last_error, sizeof(h->last_error), "%s", text);
    }
    if (level == LOG_LEVEL_WARN) {
        h->warn_lines++;
        snprintf(h->last_warn, sizeof(h->last_warn), "%s", text);
    }
}

static inline const struct id *
lan_id(unsigned i)
{
    return &lan.host[i].conf.self.node;
}

static inline struct peer *
lan_peer(unsigned i)
{
    return lan.host[i].peer;
}

/** lan_start - (again) a peer without memory of what was before. */
static inline void
lan_start(unsigned i)
{
    struct lan_host *h = &lan.host[i];
    struct why why = {""};
    struct peer_env env = {
        .ctx = h,
        .send = lan_send,
        .connect = lan_connect,
        .disconnect = lan_disconnect,
        .random = lan_random,
        .keys = {.ops = lan.is_secure ? &fake_ops : &fake_none_ops, .ctx = &h->keys},
        .links_show_certificates = lan.shows_certificates,
        .on_state = lan_on_state,
        .on_request = lan_on_request,
        .on_link = lan_on_link,
        .log = {.write = lan_log, .ctx = h}};

    ck_assert_msg(peer_new(&h->conf, &env, lan_now(), &h->peer, &why) == ST_OK, "%s", why.text);
    h->is_running = true;
}

/** lan_crash - gone without a word; the others' links break. */
static inline void
lan_crash(unsigned i)
{
    struct lan_host *h = &lan.host[i];

    for (unsigned o = 0; o < lan.count; o++)
        lan_cut(i, o);
    peer_free(h->peer);
    h->peer = NULL;
    h->is_running = false;
}

/** lan_add - a host with address 10.0.0.(i + 1):6084 that bootstraps from host 0; not started. */
static inline unsigned
lan_add(void)
{
    unsigned i = lan.count++;
    struct lan_host *h = &lan.host[i];
    char user[64];

    *h = (struct lan_host){.self = i, .is_answering = true};
    peer_conf_defaults(&h->conf);
    snprintf(h->conf.overlay, sizeof(h->conf.overlay), "test");
    snprintf(h->conf.self.name, sizeof(h->conf.self.name), "n%u", i);
    snprintf(h->conf.self.address, sizeof(h->conf.self.address), "10.0.0.%u:6084", i + 1);
    fake_hash(slice_text(h->conf.self.address), &h->conf.self.node);
    h->conf.topology = &chord_topology;
    snprintf(h->conf.bootstrap[0], sizeof(h->conf.bootstrap[0]), "10.0.0.1:6084");
    h->conf.bootstrap_count = 1;
    snprintf(user, sizeof(user), "n%u@test", i);
    fake_keys_init(&h->keys, &h->conf.self.node, user);
    return i;
}

static inline void
lan_setup(void)
{
    memset(&lan, 0, sizeof(lan));
    lan.seed = 1;
    lan.is_secure = true;
    lan.is_talking = getenv("LAN_TALK") != NULL;
    lan.events.now_us = 1000000;
}

static inline void
lan_what_free(struct lan_what *w)
{
    slice_free(&w->message);
    free(w);
}

static inline void
lan_teardown(void)
{
    for (unsigned i = 0; i < lan.count; i++)
        peer_free(lan.host[i].peer);
    for (size_t i = 0; i < lan.events.count; i++)
        lan_what_free(lan.events.heap[i].what);
    events_done(&lan.events);
    memset(&lan, 0, sizeof(lan));
}

static inline void
lan_deliver(const struct event *e)
{
    struct lan_host *h = &lan.host[e->node];
    struct lan_what *w = e->what;

    if (h->is_running) {
        switch ((enum lan_event)e->kind) {
        case LAN_MESSAGE:
            peer_on_message(h->peer, lan_now(), &w->other, w->message);
            break;
        case LAN_UP:
            if (lan.shows_certificates)
                fake_meet(&h->keys, &lan.host[lan_find(&w->other)].keys);
            peer_on_link_up(h->peer, lan_now(), &w->other, w->address);
            break;
        case LAN_DOWN:
            peer_on_link_down(h->peer, lan_now(), &w->other, true, "reset");
            break;
        case LAN_REFUSED:
            peer_on_connect_failed(h->peer, lan_now(), w->address,
                                   id_is_zero(&w->other) ? NULL : &w->other, "refused");
            break;
        }
    }
    lan_what_free(w);
}

static inline void
lan_run_ms(uint64_t duration_ms)
{
    uint64_t end_us = lan.events.now_us + duration_ms * 1000;
    struct event e;

    while (lan.events.now_us < end_us) {
        uint64_t next_us = end_us;
        for (unsigned i = 0; i < lan.count; i++)
            if (lan.host[i].is_running) {
                uint64_t at_ms = peer_deadline_ms(lan.host[i].peer);
                if (at_ms < next_us / 1000)
                    next_us = at_ms * 1000 > lan.events.now_us ? at_ms * 1000 : lan.events.now_us;
            }
        if (events_take(&lan.events, next_us, &e)) {
            lan_deliver(&e);
            continue;
        }
        for (unsigned i = 0; i < lan.count; i++)
            if (lan.host[i].is_running && peer_deadline_ms(lan.host[i].peer) <= lan_now().mono_ms)
                peer_tick(lan.host[i].peer, lan_now());
        if (next_us == lan.events.now_us)
            lan.events.now_us += 10; /* a step takes time, or a peer that is always due stops all */
    }
}

static inline bool
lan_all(enum peer_state state)
{
    for (unsigned i = 0; i < lan.count; i++)
        if (lan.host[i].is_running && peer_state(lan.host[i].peer) != state)
            return false;
    return true;
}

static inline bool
lan_run_until(enum peer_state state, uint64_t limit_ms)
{
    for (uint64_t ms = 0; ms < limit_ms && !lan_all(state); ms += 10)
        lan_run_ms(10);
    return lan_all(state);
}

/** lan_begin - start all hosts as members. */
static inline void
lan_begin(void)
{
    for (unsigned i = 0; i < lan.count; i++)
        lan_start(i);
    for (unsigned i = 0; i < lan.count; i++)
        peer_aim(lan_peer(i), lan_now(), PEER_AIM_MEMBER);
}

/** lan_members - start @count hosts as members. */
static inline void
lan_members(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        lan_add();
    lan_begin();
}

#endif
