#include "gateway/sip/flow.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct flow {
    uint64_t number;
    bool is_connection;
    tport_t *tport;               /* a reference; NULL for UDP, and where it is gone */
    char source[96];              /* "tcp:127.1.0.9:40000", the key */
    char next_hop[SIP_URI_BYTES]; /* UDP: "sip:127.1.0.9:40000;transport=udp" */
    uint64_t used_ms;
    uint64_t dialog_ms; /* when it last served a dialog; 0: never */
    uint64_t dead_ms;   /* when its connection was found to be gone; 0: it is not */
    uint64_t next;      /* the same phone's later flow; 0: none */
    uint64_t key[2];    /* in by_phone: user and host, user and device; 0: none */
};

struct flow_table {
    struct map *by_number;
    struct map *by_source;
    struct map *by_phone; /* the last flow's number in place of a pointer */
    uint64_t last_number;
    struct token_key key;
};

static _Thread_local struct flow_table *ours; /* of this thread's service */

struct flow_table *
flow_table_new(struct sip *s)
{
    struct flow_table *t = calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    t->by_number = map_new(s->seed, FLOWS_MAX);
    t->by_source = map_new(s->seed, FLOWS_MAX);
    t->by_phone = map_new(s->seed, 2 * FLOWS_MAX);
    t->last_number = sip_random() >> 8; /* numbers of an earlier run mean nothing now */
    if (s->conf.kept.key)
        token_key_of(slice_of(s->conf.kept.key, SIP_KEY_BYTES), 0x666c6f77u, &t->key);
    for (unsigned i = 0; i < 4 && !s->conf.kept.key; i++)
        t->key.part[i] = sip_random();
    if (t->by_number && t->by_source && t->by_phone) {
        ours = t;
        return t;
    }
    flow_table_free(t);
    return NULL;
}

static struct slice
number_key(const uint64_t *number)
{
    return slice_of(number, sizeof(*number));
}

static void
unbind(struct flow_table *t, struct flow *f, unsigned i)
{
    if ((uintptr_t)map_get(t->by_phone, number_key(&f->key[i])) == (uintptr_t)f->number)
        map_remove(t->by_phone, number_key(&f->key[i]));
    f->key[i] = 0;
}

static void
flow_drop(struct flow_table *t, struct flow *f)
{
    for (unsigned i = 0; i < 2; i++)
        unbind(t, f, i);
    map_remove(t->by_number, number_key(&f->number));
    map_remove(t->by_source, slice_text(f->source));
    if (f->tport)
        tport_unref(f->tport);
    free(f);
}

void
flow_table_free(struct flow_table *t)
{
    struct map_cursor c = {0};

    if (!t)
        return;
    if (ours == t)
        ours = NULL;
    while (t->by_number && map_next(t->by_number, &c))
        flow_drop(t, c.value);
    map_free(t->by_number);
    map_free(t->by_source);
    map_free(t->by_phone);
    free(t);
}

/* Host and port of "1.2.3.4:5060" or "[::1]:5060" against a URI's. */
static bool
is_address_of(const char *address, const url_t *url, bool *ret_same_host)
{
    const char *port = strrchr(address, ':');
    const char *wanted = url->url_port && url->url_port[0] ? url->url_port : "5060";
    size_t len = port ? (size_t)(port - address) : strlen(address);

    *ret_same_host = url->url_host && strlen(url->url_host) == len &&
                     strncasecmp(url->url_host, address, len) == 0;
    return *ret_same_host && port && strcmp(port + 1, wanted) == 0;
}

static bool
is_port(const char *text)
{
    char *end = NULL;
    unsigned long port = strtoul(text, &end, 10);

    return isdigit((unsigned char)text[0]) && *end == '\0' && port > 0 && port <= 65535;
}

bool
flow_leads_nowhere(const url_t *contact)
{
    char transport[8] = "";
    char maddr[INET6_ADDRSTRLEN] = "";
    struct in_addr address;

    if (contact->url_port && contact->url_port[0] && !is_port(contact->url_port))
        return true;
    if (url_param(contact->url_params, "transport", transport, sizeof(transport)) > 1 &&
        strcasecmp(transport, "udp") != 0 && strcasecmp(transport, "tcp") != 0)
        return true;
    return url_param(contact->url_params, "maddr", maddr, sizeof(maddr)) > 1 &&
           inet_pton(AF_INET, maddr, &address) == 1 && (ntohl(address.s_addr) >> 24) >= 224;
}

bool
flow_needed(const struct sip_sender *sender, const sip_via_t *via, const url_t *contact)
{
    bool is_behind_nat = via && via->v_received;
    bool is_same_host = false;
    bool is_sender;
    bool is_same;

    if (sender->side != SIP_PHONES || !sender->tport)
        return false;
    if (!contact || !contact->url_host)
        return true;
    is_same = is_address_of(sender->address, contact, &is_same_host);
    if (tport_has_tls(sender->tport))
        return true;
    /* whoever sends for somebody else has a Via of that one, too, and his Contact is to be believed
     */
    is_sender = via && !via->v_next;
    if (tport_is_reliable(sender->tport))
        return is_same || (is_sender && flow_leads_nowhere(contact)) ||
               (!is_same_host && (is_sender || is_behind_nat));
    if (is_sender)
        return !is_same_host || flow_leads_nowhere(contact);
    return is_behind_nat && !is_same_host && via->v_host &&
           strcasecmp(via->v_host, contact->url_host) == 0;
}

static bool
is_loopback(const char *host, size_t len)
{
    return (len > 4 && strncmp(host, "127.", 4) == 0) ||
           (len == 5 && strncmp(host, "[::1]", 5) == 0);
}

/* An address of this node that is none of loopback is the sender's where both are on one machine.
 */
static bool
is_own_address(const struct sip_sender *sender, size_t len)
{
    const char *own = tport_name(tport_parent(sender->tport))->tpn_host;

    return own && strlen(own) == len && strncasecmp(own, sender->address, len) == 0;
}

bool
flow_binds(const struct sip_sender *sender, const sip_via_t *via, const url_t *contact)
{
    const char *port = strrchr(sender->address, ':');
    size_t len = port ? (size_t)(port - sender->address) : strlen(sender->address);
    bool is_same_host = false;
    bool is_same;

    if (sender->side != SIP_PHONES || !sender->tport)
        return false;
    is_same = is_address_of(sender->address, contact, &is_same_host);
    if (!is_same_host && contact->url_host &&
        is_loopback(contact->url_host, strlen(contact->url_host)) &&
        (is_loopback(sender->address, len) || is_own_address(sender, len)))
        is_same_host = true; /* of one machine: a program registers for another */
    if (!is_same_host || tport_has_tls(sender->tport) || flow_leads_nowhere(contact))
        return true;
    if (!via || !via->v_host || strlen(via->v_host) != len ||
        strncasecmp(via->v_host, sender->address, len) != 0)
        return true;
    return tport_is_reliable(sender->tport) && is_same;
}

/* @connection: NULL for UDP */
static uint64_t
flow_from(struct sip *s, tport_t *connection, const char *address)
{
    struct flow_table *t = s->flows;
    const char *protocol = connection ? tport_name(connection)->tpn_proto : "udp";
    char source[sizeof(((struct flow *)NULL)->source)];
    struct flow *f;

    snprintf(source, sizeof(source), "%s:%s", protocol, address);
    f = map_get(t->by_source, slice_text(source));
    if (f && connection && f->tport != connection) { /* the same port, a new connection */
        flow_drop(t, f);
        f = NULL;
    }
    if (!f) {
        f = calloc(1, sizeof(*f));
        if (!f)
            return 0;
        f->number = ++t->last_number;
        f->is_connection = connection != NULL;
        f->tport = connection ? tport_ref(connection) : NULL;
        memcpy(f->source, source, sizeof(f->source));
        if (!connection)
            snprintf(f->next_hop, sizeof(f->next_hop), "sip:%s;transport=udp", address);
        if (map_put(t->by_number, number_key(&f->number), f, NULL) ||
            map_put(t->by_source, slice_text(f->source), f, NULL)) {
            flow_drop(t, f);
            return 0;
        }
    }
    f->used_ms = sip_moment(s).mono_ms;
    return f->number;
}

uint64_t
flow_of(struct sip *s, const struct sip_sender *sender)
{
    return flow_from(s, tport_is_reliable(sender->tport) ? sender->tport : NULL, sender->address);
}

uint64_t
flow_of_connection(struct sip *s, tport_t *connection)
{
    const tp_name_t *name = tport_name(connection);
    char address[sizeof(((struct sip_sender *)NULL)->address)];

    snprintf(address, sizeof(address), "%s:%s", name->tpn_host, name->tpn_port);
    return flow_from(s, connection, address);
}

uint64_t
flow_of_hop(struct sip *s, const char *hop)
{
    char address[SIP_HOP_ADDRESS_BYTES];

    sip_hop_address(hop, address);
    if (!address[0] || strlen(address) >= sizeof(((struct sip_sender *)NULL)->address) ||
        !strcasestr(hop, ";transport=udp"))
        return 0;
    return flow_from(s, NULL, address);
}

static bool
is_usable(const struct flow *f)
{
    if (f->is_connection && !f->tport)
        return false;
    return !f->tport || (!tport_is_closed(f->tport) && tport_is_clear_to_send(f->tport));
}

/* "tcp:127.1.0.9:40000": from the first colon to the last */
static struct slice
host_of(const struct flow *f)
{
    const char *host = strchr(f->source, ':');
    const char *port = strrchr(f->source, ':');

    return slice_of(host, (size_t)(port - host));
}

static struct flow *
flow_numbered(const struct flow_table *t, uintptr_t number)
{
    uint64_t key = number;

    return number ? map_get(t->by_number, number_key(&key)) : NULL;
}

/* The same phone: by what it calls itself, or by where it is, if the connection it had is gone. */
static void
succeed(struct flow_table *t, struct flow *f, const uint64_t key[2])
{
    for (unsigned i = 0; i < 2; i++) {
        struct flow *was = flow_numbered(t, (uintptr_t)map_get(t->by_phone, number_key(&key[i])));

        if (was && was->number < f->number && (i == 1 || (was->is_connection && !is_usable(was))))
            was->next = f->number;
    }
}

void
flow_bind(struct sip *s, uint64_t flow, const char *aor, const char *device)
{
    struct flow_table *t = s->flows;
    struct flow *f = flow_numbered(t, (uintptr_t)flow);
    uint64_t user = map_hash(s->seed, slice_text(aor));
    uint64_t key[2];

    if (!f)
        return;
    key[0] = map_hash(user, host_of(f));
    key[1] = map_hash(user ^ 1, slice_text(device));
    succeed(t, f, key);
    if (f->key[0] && f->key[0] != key[0])
        return; /* another user of the same phone: what is sent to it follows the first */
    for (unsigned i = 0; i < 2; i++) {
        if (f->key[i] != key[i])
            unbind(t, f, i);
        f->key[i] = key[i];
        if (map_put(t->by_phone, number_key(&f->key[i]), (void *)(uintptr_t)f->number, NULL))
            f->key[i] = 0;
    }
}

/* Where the phone is now that was on it: a connection as long as it lives, then what came after. */
static struct flow *
last_of(const struct flow_table *t, struct flow *f)
{
    while (f && f->next && (!f->is_connection || !is_usable(f))) {
        struct flow *next = map_get(t->by_number, number_key(&f->next));

        if (!next)
            break;
        f = next; /* numbers grow: there is no circle */
    }
    return f;
}

enum status
flow_target(struct sip *s, uint64_t flow, struct sip_target *ret)
{
    struct flow *f = last_of(s->flows, map_get(s->flows->by_number, number_key(&flow)));

    if (!f || !is_usable(f))
        return ST_UNREACHABLE;
    f->used_ms = sip_moment(s).mono_ms;
    f->dialog_ms = f->used_ms;
    ret->agent = &s->agent[SIP_PHONES];
    ret->tport = f->tport;
    memcpy(ret->next_hop, f->next_hop, sizeof(ret->next_hop));
    return ST_OK;
}

bool
flow_is_alive(struct sip *s, uint64_t flow)
{
    struct flow *f = map_get(s->flows->by_number, number_key(&flow));

    return f && is_usable(f);
}

uint64_t
flow_on(const struct sip *s, const char *address)
{
    static const char *const protocol[] = {"tcp", "tls"};
    char source[sizeof(((struct flow *)NULL)->source)];
    const struct flow *f = NULL;

    for (size_t i = 0; !f && i < 2; i++) {
        snprintf(source, sizeof(source), "%s:%s", protocol[i], address);
        f = map_get(s->flows->by_source, slice_text(source));
    }
    return f && is_usable(f) ? f->number : 0;
}

void
flow_on_dialog(struct sip *s, const struct sip_sender *sender)
{
    uint64_t number = 0;
    struct flow *f;

    if (sender->side == SIP_PHONES && tport_is_reliable(sender->tport))
        number = flow_of(s, sender);
    f = map_get(s->flows->by_number, number_key(&number));
    if (f)
        f->dialog_ms = f->used_ms;
}

uint64_t
flow_dialog_ms(const struct sip *s, uint64_t flow)
{
    const struct flow *f = map_get(s->flows->by_number, number_key(&flow));

    return f ? f->dialog_ms : 0;
}

void
flow_token(struct sip *s, uint64_t flow, unsigned flags, char out[FLOW_TOKEN_BYTES])
{
    uint8_t body[TOKEN_BODY_BYTES];

    memcpy(body, &flow, 8);
    body[8] = (uint8_t)flags;
    token_write(&s->flows->key, body, out);
}

bool
flow_read(struct sip *s, const char *token, uint64_t *ret_flow, unsigned *ret_flags)
{
    uint8_t body[TOKEN_BODY_BYTES];

    if (!token_read(&s->flows->key, token, body))
        return false;
    memcpy(ret_flow, body, 8);
    *ret_flags = body[8];
    return true;
}

/* The library can forget it; where its phone is may still be asked. */
static void
bury(struct flow *f, uint64_t now_ms)
{
    if (f->dead_ms)
        return;
    f->dead_ms = now_ms;
    if (f->tport)
        tport_unref(f->tport);
    f->tport = NULL;
}

static bool
is_over(const struct flow_table *t, const struct flow *f, uint64_t now_ms)
{
    if (!f->is_connection)
        return now_ms - f->used_ms > FLOW_IDLE_MS;
    if (!f->dead_ms)
        return false;
    return f->next ? !map_get(t->by_number, number_key(&f->next))
                   : now_ms - f->dead_ms > FLOW_DEAD_MS;
}

tport_t *
flow_later(const tp_name_t *name)
{
    char source[sizeof(((struct flow *)NULL)->source)];
    struct flow *f;

    if (!ours || !name || !name->tpn_host || !name->tpn_port)
        return NULL;
    snprintf(source, sizeof(source), "%s:%s:%s",
             strcasecmp(name->tpn_proto, "tls") == 0 ? "tls" : "tcp", name->tpn_host,
             name->tpn_port);
    f = map_get(ours->by_source, slice_text(source));
    f = f && f->next ? last_of(ours, f) : NULL;
    return f && f->tport && is_usable(f) ? f->tport : NULL;
}

void
flow_tick(struct sip *s)
{
    uint64_t now_ms = sip_moment(s).mono_ms;
    struct map_cursor c = {0};

    while (map_next(s->flows->by_number, &c)) {
        struct flow *f = c.value;

        if (f->is_connection && !is_usable(f))
            bury(f, now_ms);
        if (is_over(s->flows, f, now_ms))
            flow_drop(s->flows, f);
    }
}
