#include "gateway/sip/connections.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <sofia-sip/msg_addr.h>

#include "gateway/sip/accept.h"
#include "gateway/sip/flow.h"
#include "gateway/sip/inlet.h"
#include "gateway/sip/location.h"

#define SWEEP_GAP_MS      100   /* a sweep costs a system call for each connection */
#define ROOM_SILENT_MS    1000  /* a full side closes those that said nothing for so long ... */
#define TRANSACTION_MS    32000 /* 64*T1: ... and those idle for longer than this */
#define KEPT_FROM_PHONES  256   /* descriptors, at most a quarter of all */
#define KEPT_FROM_OTHERS  64    /* at most a sixteenth */
#define BROKEN_MS         1000  /* for what was said last to arrive */
#define SOURCE_KEY_BYTES  17
#define ADDRESS_KEY_BYTES 18

struct connection {
    int fd;
    enum sip_side side;
    uint64_t heard_ms; /* when it was made or last spoke */
    bool has_spoken;
    bool has_session; /* it carried more than OPTIONS */
    bool has_invite;  /* or responses to one */
    bool is_broken;   /* it is not read again */
};

struct connections {
    struct sip *sip;
    struct map *open;    /* struct connection by the other's address and port */
    struct map *sources; /* a count in place of a pointer, by side and IP address */
    struct map *made;    /* ours to others: the descriptor plus one, by the other's address, the
                            last of each */
    size_t count[SIP_SIDES];
    uint64_t refused[SIP_SIDES];
    uint64_t swept_ms;
    int descriptors; /* the limit of this process */
};

static void on_accept(void *ctx, int fd, const struct sockaddr *from);
static void on_connect(void *ctx, int fd, const struct sockaddr *to);
static void on_broken(void *ctx, const su_sockaddr_t *from);

struct connections *
connections_new(struct sip *s)
{
    struct connections *c = calloc(1, sizeof(*c));
    struct rlimit most;

    if (!c)
        return NULL;
    c->sip = s;
    c->open = map_new(s->seed, 0);
    c->sources = map_new(s->seed, 0);
    c->made = map_new(s->seed, 0);
    c->descriptors = 1024;
    if (getrlimit(RLIMIT_NOFILE, &most) == 0)
        c->descriptors = most.rlim_cur < 1 << 30 ? (int)most.rlim_cur : 1 << 30;
    if (!c->open || !c->sources || !c->made) {
        connections_free(c);
        return NULL;
    }
    accept_watch(on_accept, on_connect, c);
    inlet_watch(on_broken, c);
    return c;
}

void
connections_free(struct connections *c)
{
    struct map_cursor at = {0};

    if (!c)
        return;
    accept_watch(NULL, NULL, NULL);
    inlet_watch(NULL, NULL);
    while (c->open && map_next(c->open, &at))
        free(at.value);
    map_free(c->open);
    map_free(c->sources);
    map_free(c->made);
    free(c);
}

static struct slice
address_key(const su_sockaddr_t *a, uint8_t key[ADDRESS_KEY_BYTES])
{
    size_t len = a->su_family == AF_INET6 ? 16 : 4;

    memcpy(key, SU_ADDR(a), len);
    memcpy(key + len, &a->su_port, 2);
    return slice_of(key, len + 2);
}

/* @address: a key of the open ones. */
static struct slice
source_key(struct slice address, enum sip_side side, uint8_t key[SOURCE_KEY_BYTES])
{
    key[0] = (uint8_t)side;
    memcpy(key + 1, address.data, address.len - 2);
    return slice_of(key, address.len - 1);
}

static void
forget(struct connections *c, struct slice address, struct connection *one)
{
    uint8_t key[SOURCE_KEY_BYTES];
    struct slice source = source_key(address, one->side, key);
    uintptr_t count = (uintptr_t)map_get(c->sources, source);

    if (count <= 1 || map_put(c->sources, source, (void *)(count - 1), NULL))
        map_remove(c->sources, source);
    c->count[one->side]--;
    map_remove(c->open, address);
    free(one);
}

/* Is the descriptor still the connection it was?  The library closes it without a word. */
static bool
is_open(int fd, struct slice address)
{
    su_sockaddr_t peer = {0};
    socklen_t len = sizeof(peer);
    uint8_t now[ADDRESS_KEY_BYTES];

    if (getpeername(fd, &peer.su_sa, &len))
        return false;
    return slice_equal(address_key(&peer, now), address);
}

/* "127.1.0.9:40000", as a sender's address is written. */
static void
address_text(struct slice address, char ret[64])
{
    char host[INET6_ADDRSTRLEN] = "";
    uint16_t port;

    memcpy(&port, address.data + address.len - 2, 2);
    inet_ntop(address.len > 16 ? AF_INET6 : AF_INET, address.data, host, sizeof(host));
    snprintf(ret, 64, address.len > 16 ? "[%s]:%u" : "%s:%u", host, ntohs(port));
}

/* Does it serve somebody, though it has been silent for long?  A phone's binding or dialog needs
 * it, or its INVITE may still be ringing somewhere.  Peers and gateways show a certificate: theirs
 * stay once they have carried a request of somebody. */
static bool
is_needed(const struct connections *c, const struct connection *one, struct slice address)
{
    uint64_t now_ms = sip_moment(c->sip).mono_ms;
    uint64_t last_ms = one->heard_ms, dialog_ms, flow;
    char text[64];

    if (one->side != SIP_PHONES)
        return one->has_session;
    if (one->has_invite &&
        now_ms - one->heard_ms < (uint64_t)c->sip->conf.ring_timeout_s * 1000 + TRANSACTION_MS)
        return true;
    address_text(address, text);
    flow = flow_on(c->sip, text);
    if (location_is_bound(c->sip, flow))
        return true;
    dialog_ms = flow_dialog_ms(c->sip, flow);
    if (dialog_ms > last_ms)
        last_ms = dialog_ms;
    return dialog_ms && now_ms - last_ms < FLOW_IDLE_MS;
}

static bool
is_over(const struct connections *c, const struct connection *one, struct slice address,
        uint64_t most_ms)
{
    uint64_t age_ms = sip_moment(c->sip).mono_ms - one->heard_ms;

    if (one->is_broken)
        return age_ms >= BROKEN_MS;
    return most_ms && age_ms >= most_ms && !is_needed(c, one, address);
}

static void
sweep(struct connections *c, uint64_t silent_ms, uint64_t idle_ms, unsigned sides)
{
    struct map_cursor at = {0};

    while (map_next(c->open, &at)) {
        struct connection *one = at.value;
        bool ends = (sides & 1U << one->side) &&
                    is_over(c, one, at.key, one->has_spoken ? idle_ms : silent_ms);
        bool is_here = is_open(one->fd, at.key);

        if (is_here && ends)
            shutdown(one->fd, SHUT_RDWR); /* the library then closes it */
        if (!is_here || ends)
            forget(c, at.key, one);
    }
}

static const char *const who[SIP_SIDES] = {"phone", "peer", "gateway"};

/* What has been said to it has time to arrive; to one of ours nothing is said. */
static void
on_broken(void *ctx, const su_sockaddr_t *from)
{
    struct connections *c = ctx;
    uint8_t key[ADDRESS_KEY_BYTES];
    struct slice at = address_key(from, key);
    struct connection *one = map_get(c->open, at);
    uintptr_t made = one ? 0 : (uintptr_t)map_get(c->made, at);
    char text[64];

    address_text(at, text);
    log_write(LOG_LEVEL_REMOTE, "sip",
              "connection of %s %s is closed: its messages cannot be told apart",
              one ? who[one->side] : "node", text);
    if (one) {
        one->is_broken = true;
        one->heard_ms = sip_moment(c->sip).mono_ms;
    } else if (made && is_open((int)made - 1, at)) {
        shutdown((int)made - 1, SHUT_RDWR); /* the library then closes it */
    }
}

static size_t
most_of(const struct connections *c, enum sip_side side)
{
    const struct sip_limits *l = &c->sip->conf.limits;
    const uint32_t most[SIP_SIDES] = {[SIP_PHONES] = l->connections,
                                      [SIP_PEERS] = l->peer_connections,
                                      [SIP_GATEWAYS] = l->gateway_connections};

    return most[side] ? most[side] : SIZE_MAX;
}

static bool
is_full(struct connections *c, enum sip_side side)
{
    uint64_t now_ms = sip_moment(c->sip).mono_ms;

    if (c->count[side] < most_of(c, side))
        return false;
    if (now_ms - c->swept_ms >= SWEEP_GAP_MS) {
        c->swept_ms = now_ms;
        sweep(c, ROOM_SILENT_MS, TRANSACTION_MS, 1U << side);
    }
    return c->count[side] >= most_of(c, side);
}

/* The kernel gives the lowest free descriptor: a high one means that few are left. */
static bool
is_kept_back(const struct connections *c, int fd, enum sip_side side)
{
    bool is_phone = side == SIP_PHONES;
    int kept = is_phone ? KEPT_FROM_PHONES : KEPT_FROM_OTHERS;
    int share = c->descriptors / (is_phone ? 4 : 16);

    return fd >= c->descriptors - (kept < share ? kept : share);
}

/* Whose port is it?  Unknown ones are phones: they have no rights. */
static enum sip_side
side_of(const struct connections *c, int fd)
{
    su_sockaddr_t local = {0};
    socklen_t len = sizeof(local);
    char host[INET6_ADDRSTRLEN + 2] = "", port[8];

    if (getsockname(fd, &local.su_sa, &len))
        return SIP_PHONES;
    if (local.su_family == AF_INET6) {
        host[0] = '[';
        inet_ntop(AF_INET6, SU_ADDR(&local), host + 1, INET6_ADDRSTRLEN);
        snprintf(host + strlen(host), 2, "]");
    } else {
        inet_ntop(AF_INET, SU_ADDR(&local), host, INET_ADDRSTRLEN);
    }
    snprintf(port, sizeof(port), "%u", ntohs(local.su_port));
    for (size_t i = 0; i < c->sip->own_count; i++) {
        const struct sip_address *a = &c->sip->own[i];

        if (strcmp(a->port, port) == 0 && strcasecmp(a->host, host) == 0 &&
            strcasecmp(a->protocol, "udp") != 0)
            return a->side;
    }
    return SIP_PHONES;
}

/* NULL when there is room for one more from this source, else why there is none. */
static const char *
refusal(struct connections *c, int fd, enum sip_side side, uintptr_t of_source)
{
    uint32_t most = c->sip->conf.limits.connections_per_source;

    if (is_kept_back(c, fd, side))
        return "few descriptors are left";
    if (most && of_source >= most)
        return "its address has too many";
    return is_full(c, side) ? "there are too many" : NULL;
}

static void
on_accept(void *ctx, int fd, const struct sockaddr *from)
{
    struct connections *c = ctx;
    enum sip_side side = side_of(c, fd);
    su_sockaddr_t address = {0};
    uint8_t key[ADDRESS_KEY_BYTES], source[SOURCE_KEY_BYTES];
    struct slice at;
    struct connection *one;
    const char *why;
    char text[64];

    memcpy(&address, from,
           from->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
    at = address_key(&address, key);
    one = map_get(c->open, at);
    if (one) /* the other's port is used again: the old connection is gone */
        forget(c, at, one);
    source_key(at, side, source);
    why = refusal(c, fd, side, (uintptr_t)map_get(c->sources, slice_of(source, at.len - 1)));
    one = why ? NULL : calloc(1, sizeof(*one));
    if (one) {
        struct slice from_key = slice_of(source, at.len - 1);
        uintptr_t count = (uintptr_t)map_get(c->sources, from_key) + 1; /* after the sweep */

        *one = (struct connection){.fd = fd, .side = side, .heard_ms = sip_moment(c->sip).mono_ms};
        if (map_put(c->open, at, one, NULL) == ST_OK) {
            c->count[side]++;
            if (map_put(c->sources, from_key, (void *)count, NULL) == ST_OK)
                return;
            forget(c, at, one);
        } else {
            free(one);
        }
    }
    c->refused[side]++;
    address_text(at, text);
    log_write(LOG_LEVEL_REMOTE, "sip", "connection of %s %s refused: %s", who[side], text,
              why ? why : "no memory");
    shutdown(fd, SHUT_RDWR); /* the library then closes it */
}

/* Datagram sockets are not connected by the library. */
static void
on_connect(void *ctx, int fd, const struct sockaddr *to)
{
    struct connections *c = ctx;
    su_sockaddr_t address = {0};
    uint8_t key[ADDRESS_KEY_BYTES];

    if (to->sa_family != AF_INET && to->sa_family != AF_INET6)
        return;
    memcpy(&address, to,
           to->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
    if (map_put(c->made, address_key(&address, key), (void *)((uintptr_t)fd + 1), NULL))
        log_write(LOG_LEVEL_WARN, "sip", "no memory to remember a connection by");
}

int
connections_fd(const struct connections *c, const tport_t *transport)
{
    const su_addrinfo_t *to = tport_get_address(transport);
    uint8_t key[ADDRESS_KEY_BYTES];
    const struct connection *one;
    struct slice at;
    uintptr_t made;

    if (!tport_is_secondary(transport) || !tport_is_stream(transport) || !to || !to->ai_addr)
        return -1;
    at = address_key((const su_sockaddr_t *)(const void *)to->ai_addr, key);
    one = map_get(c->open, at);
    if (one && is_open(one->fd, at))
        return one->fd;
    made = (uintptr_t)map_get(c->made, at);
    return made && is_open((int)made - 1, at) ? (int)made - 1 : -1;
}

/* Of connections that are gone; those that are being made have no peer yet. */
static void
forget_made(struct connections *c)
{
    struct map_cursor at = {0};

    while (map_next(c->made, &at)) {
        errno = 0;
        if (!is_open((int)(uintptr_t)at.value - 1, at.key) && errno != ENOTCONN)
            map_remove(c->made, at.key);
    }
}

static struct connection *
connection_from(const struct connections *c, const su_sockaddr_t *from)
{
    uint8_t key[ADDRESS_KEY_BYTES];

    return map_get(c->open, address_key(from, key));
}

void
connections_on_message(struct connections *c, const su_sockaddr_t *from, const sip_t *sip)
{
    struct connection *one = connection_from(c, from);
    const sip_request_t *request = sip->sip_request;

    if (!one)
        return;
    one->has_spoken = true;
    one->heard_ms = sip_moment(c->sip).mono_ms;
    if (!request || request->rq_method != sip_method_options)
        one->has_session = true;
    if (sip->sip_cseq && sip->sip_cseq->cs_method == sip_method_invite)
        one->has_invite = true;
}

void
connections_on_response(struct sip_agent *agent, msg_t *msg)
{
    const sip_t *sip = msg ? sip_object(msg) : NULL;
    struct connections *c = agent->sip->connections;
    struct sip_sender sender;

    if (!sip || agent->side != SIP_PHONES || !connection_from(c, msg_addr(msg)) ||
        sip_sender_of(agent, msg, &sender) || !sender.tport || !tport_is_reliable(sender.tport))
        return;
    connections_on_message(c, msg_addr(msg), sip);
    if (sip->sip_cseq->cs_method == sip_method_invite && sip->sip_status->st_status / 100 == 2)
        flow_on_dialog(agent->sip, &sender);
}

size_t
connections_count(const struct connections *c, enum sip_side side)
{
    return c->count[side];
}

uint64_t
connections_refused(const struct connections *c, enum sip_side side)
{
    return c->refused[side];
}

void
connections_tick(struct connections *c)
{
    const struct sip_limits *l = &c->sip->conf.limits;

    sweep(c, l->first_byte_ms, (uint64_t)l->connection_idle_s * 1000, 1U << SIP_PHONES);
    sweep(c, l->first_byte_ms, 0, 1U << SIP_PEERS | 1U << SIP_GATEWAYS);
    forget_made(c);
}
