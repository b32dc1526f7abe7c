#include "gateway/sip/flow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct flow {
    uint64_t number;
    tport_t *tport;               /* a reference; NULL for UDP */
    char source[96];              /* "tcp:127.1.0.9:40000", the key */
    char next_hop[SIP_URI_BYTES]; /* UDP: "sip:127.1.0.9:40000;transport=udp" */
    uint64_t used_ms;
    uint64_t dialog_ms; /* when it last served a dialog; 0: never */
};

struct flow_table {
    struct map *by_number;
    struct map *by_source;
    uint64_t last_number;
    struct token_key key;
};

struct flow_table *
flow_table_new(struct sip *s)
{
    struct flow_table *t = calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    t->by_number = map_new(s->seed, FLOWS_MAX);
    t->by_source = map_new(s->seed, FLOWS_MAX);
    t->last_number = sip_random() >> 8; /* numbers of an earlier run mean nothing now */
    for (unsigned i = 0; i < 4; i++)
        t->key.part[i] = sip_random();
    if (t->by_number && t->by_source)
        return t;
    flow_table_free(t);
    return NULL;
}

static struct slice
number_key(const uint64_t *number)
{
    return slice_of(number, sizeof(*number));
}

static void
flow_drop(struct flow_table *t, struct flow *f)
{
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
    while (t->by_number && map_next(t->by_number, &c))
        flow_drop(t, c.value);
    map_free(t->by_number);
    map_free(t->by_source);
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
        return is_same || (!is_same_host && (is_sender || is_behind_nat));
    if (is_sender)
        return !is_same_host;
    return is_behind_nat && !is_same_host && via->v_host &&
           strcasecmp(via->v_host, contact->url_host) == 0;
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
    if (!is_same_host || tport_has_tls(sender->tport))
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
    return !f->tport || (!tport_is_closed(f->tport) && tport_is_clear_to_send(f->tport));
}

enum status
flow_target(struct sip *s, uint64_t flow, struct sip_target *ret)
{
    struct flow *f = map_get(s->flows->by_number, number_key(&flow));

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

void
flow_tick(struct sip *s)
{
    uint64_t now_ms = sip_moment(s).mono_ms;
    struct map_cursor c = {0};

    while (map_next(s->flows->by_number, &c)) {
        struct flow *f = c.value;

        if (f->tport ? !is_usable(f) : now_ms - f->used_ms > FLOW_IDLE_MS)
            flow_drop(s->flows, f);
    }
}
