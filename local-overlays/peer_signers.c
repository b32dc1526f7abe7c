/*
 * Whoever has stored something here, and is no longer there.
 *
 * The gateways of the ring are its members: what one has stored is of no use when it is dead, and
 * would be found until it expires.  Whoever holds such a value (KIND_SIP_REGISTRATION), as the
 * responsible peer or as a replica, pings its signer.  One that has answered none of SIGNER_MISSES
 * Pings, those that ended just after a change of the members not counted, is gone: its values of
 * until then are given to readers with no lifetime left, which says that they existed.  They are
 * kept: an answer, or a newer value, and the signer is back.  It looks after its values itself: one
 * whose failure was not real stores them anew.
 */
#include <stdlib.h>
#include <string.h>

#include "local-overlays/peer_internal.h"

enum { SIGNERS_MAX = 1024, SIGNER_MISSES = 3, SIGNER_WAIT_MS = 1200, SIGNER_AGAIN_MS = 400 };
enum { SETTLED_MS = 1500 }; /* after a change of the members a miss says nothing for so long */

struct signer_seen {
    struct id node;
    uint64_t time_ms; /* storage time of the newest value of it */
    uint64_t next_ms; /* of its Ping */
    unsigned misses;
    bool is_silent; /* the last Ping */
    bool is_asked, is_gone, is_held;
};

struct signers {
    struct map *by_node;
    uint64_t sweep_ms;
    uint64_t changed_ms; /* when the members were others */
    uint64_t due_ms;     /* nobody is to be pinged before */
};

static struct slice
key_of(const struct id *node)
{
    return slice_of(node->bytes, ID_BYTES);
}

static bool
is_doubted(void *ctx, const struct storage_value *value)
{
    const struct peer *p = ctx;
    const struct signer_seen *s = map_get(p->signers->by_node, key_of(&value->signer));

    return s && s->is_gone && value->data.value.exists && value->data.storage_time_ms <= s->time_ms;
}

enum status
peer_signers_new(struct peer *p)
{
    if (p->conf.signer_ping_ms == 0)
        return ST_OK;
    p->signers = calloc(1, sizeof(*p->signers));
    if (p->signers)
        p->signers->by_node = map_new(0, SIGNERS_MAX);
    if (!p->signers || !p->signers->by_node)
        return ST_NOMEM;
    storage_set_doubt(p->storage, KIND_SIP_REGISTRATION, is_doubted, p);
    return ST_OK;
}

void
peer_signers_free(struct peer *p)
{
    struct map_cursor c = {0};

    if (!p->signers)
        return;
    while (p->signers->by_node && map_next(p->signers->by_node, &c))
        free(c.value);
    map_free(p->signers->by_node);
    free(p->signers);
    p->signers = NULL;
}

/* ---- who is it? ---- */

static struct signer_seen *
signer_make(struct peer *p, const struct id *node)
{
    struct signer_seen *s = map_get(p->signers->by_node, key_of(node));

    if (s)
        return s;
    s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->node = *node;
    s->next_ms = p->now.mono_ms + p->conf.signer_ping_ms;
    p->signers->due_ms = moment_earlier_ms(p->signers->due_ms, s->next_ms);
    if (map_put(p->signers->by_node, key_of(&s->node), s, NULL) == ST_OK)
        return s;
    free(s);
    return NULL;
}

static void
come_back(struct peer *p, struct signer_seen *s)
{
    char text[ID_TEXT_BYTES];

    if (s->is_gone)
        log_to(&p->env.log, LOG_LEVEL_INFO, "%s: %s, which has stored here, is back",
               p->conf.overlay, id_text(&s->node, text));
    s->is_gone = false;
    s->misses = 0;
    s->is_silent = false;
}

static void
see(void *ctx, const struct storage_value *value)
{
    struct peer *p = ctx;
    struct signer_seen *s;

    if (!value->data.value.exists || id_equal(&value->signer, &p->conf.self.node))
        return;
    s = signer_make(p, &value->signer);
    if (!s)
        return; /* it is believed until it expires */
    s->is_held = true;
    if (value->data.storage_time_ms <= s->time_ms)
        return;
    s->time_ms = value->data.storage_time_ms;
    come_back(p, s);
}

static void
sweep(struct peer *p)
{
    struct storage_cursor held = {0};
    struct map_cursor c = {0};
    struct storage_record *r;

    while (map_next(p->signers->by_node, &c))
        ((struct signer_seen *)c.value)->is_held = false;
    while ((r = storage_next(p->storage, &held)))
        if (storage_record_kind(r)->id == KIND_SIP_REGISTRATION)
            storage_record_visit(r, see, p);
    c = (struct map_cursor){0};
    while (map_next(p->signers->by_node, &c)) {
        struct signer_seen *s = c.value;
        if (s->is_held || s->is_asked)
            continue;
        map_remove(p->signers->by_node, key_of(&s->node));
        free(s);
    }
}

/* ---- is it there? ---- */

struct signer_ping {
    struct id node;
};

static void
miss(struct peer *p, struct signer_seen *s)
{
    char text[ID_TEXT_BYTES];

    s->is_silent = true;
    if (s->is_gone || p->now.mono_ms < p->signers->changed_ms + SETTLED_MS)
        return;
    if (++s->misses < SIGNER_MISSES)
        return;
    s->is_gone = true;
    log_to(&p->env.log, LOG_LEVEL_INFO, "%s: %s, which has stored here, is gone: no Ping answered",
           p->conf.overlay, id_text(&s->node, text));
}

static void
ping_ended(void *owner, void *ctx, struct moment now, const struct transaction_end *end)
{
    struct peer *p = owner;
    struct signer_ping *ping = ctx;
    struct signer_seen *s = p->is_ending ? NULL : map_get(p->signers->by_node, key_of(&ping->node));

    (void)now;
    if (s) {
        s->is_asked = false;
        if (end->st == ST_OK || (end->from && id_equal(&end->from->node, &s->node)))
            come_back(p, s);
        else
            miss(p, s);
        s->next_ms = p->now.mono_ms +
                     (s->is_silent && !s->is_gone ? SIGNER_AGAIN_MS : p->conf.signer_ping_ms);
        p->signers->due_ms = moment_earlier_ms(p->signers->due_ms, s->next_ms);
    }
    free(ping);
}

static void
send_ping(struct peer *p, struct signer_seen *s)
{
    struct outgoing o = {
        .code = MESSAGE_PING_REQ, .deadline_ms = SIGNER_WAIT_MS, .done = ping_ended};
    struct signer_ping *ping = malloc(sizeof(*ping));
    struct ping_req req = {0};
    struct writer body;

    s->next_ms = p->now.mono_ms + p->conf.signer_ping_ms;
    if (!ping)
        return;
    ping->node = s->node;
    s->is_asked = true;
    writer_init(&body, UINT16_MAX);
    ping_req_write(&body, &req);
    o.body = writer_slice(&body);
    o.ctx = ping;
    peer_request_node(p, &ping->node, &o);
    writer_done(&body);
}

void
peer_signers_on_change(struct peer *p)
{
    if (p->signers)
        p->signers->changed_ms = p->now.mono_ms;
}

void
peer_signers_tick(struct peer *p)
{
    struct map_cursor c = {0};

    if (!p->signers || !p->is_in)
        return;
    if (p->signers->sweep_ms <= p->now.mono_ms) {
        p->signers->sweep_ms = p->now.mono_ms + p->conf.signer_ping_ms;
        sweep(p);
    }
    if (p->signers->due_ms > p->now.mono_ms)
        return;
    p->signers->due_ms = MOMENT_NEVER;
    while (map_next(p->signers->by_node, &c)) {
        struct signer_seen *s = c.value;
        if (!s->is_asked && s->next_ms <= p->now.mono_ms)
            send_ping(p, s);
        if (!s->is_asked)
            p->signers->due_ms = moment_earlier_ms(p->signers->due_ms, s->next_ms);
    }
}

uint64_t
peer_signers_deadline_ms(const struct peer *p)
{
    if (!p->signers || !p->is_in)
        return MOMENT_NEVER;
    return moment_earlier_ms(p->signers->sweep_ms, p->signers->due_ms);
}
