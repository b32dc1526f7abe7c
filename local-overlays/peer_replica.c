/* Copies of records: replicas of what this node is responsible for, records for a node that joins,
 * and what belongs to somebody else now.
 *
 * Storage marks a record when it changes, and all of them when responsibility does; the pump looks
 * at marked records in turn, with a few copies under way at a time.  All copies are replica Stores
 * (replica_number > 0): the values are signed by their writers, not by the node that copies them.
 */
#include <stdlib.h>
#include <string.h>

#include "local-overlays/peer_promise.h"

/** One copy under way. */
struct copy {
    struct id resource;
    uint32_t kind;
    uint64_t version;
    struct storage_traffic traffic; /* when it was sent */
    struct id to;                   /* zero: whoever is responsible */
    bool is_handover;               /* it belongs there, not here */
    struct offer *offer;
};

size_t
peer_replica_set(const struct peer *p, const struct id *resource, struct id node[PEER_REPLICAS_MAX])
{
    size_t cap =
        p->conf.replica_count < PEER_REPLICAS_MAX ? p->conf.replica_count : PEER_REPLICAS_MAX;

    return p->is_in && cap > 0 ? peer_plugin_replica_set(p, resource, node, cap) : 0;
}

static bool
belongs_to_another(const struct peer *p, const struct id *resource, struct id *ret_node)
{
    return p->is_in && !peer_is_responsible(p, resource) &&
           peer_plugin_hint(p, resource, ret_node) && !id_equal(ret_node, &p->conf.self.node);
}

/* ---- the end of a copy ---- */

static void offer_pump(struct peer *p, struct offer *o);

/* The other side had something newer: fetch it (RFC 6940 section 7.4.1.1). */
static void
newer_fetched(void *owner, void *ctx, struct moment now, const struct transaction_end *end)
{
    struct peer *p = owner;
    struct copy *c = ctx;
    struct fetch_kind_response response;
    struct slice responses;
    struct reader r;

    if (!p->is_ending && end->st == ST_OK && fetch_ans_read(end->body, &responses) == ST_OK) {
        reader_init(&r, responses);
        while (fetch_kind_response_read(&r, &response))
            if (response.kind == c->kind &&
                storage_merge(p->storage, now, &p->env.keys, &c->resource, &response,
                              end->answer->security.certificates) != ST_OK)
                break; /* ours stays */
    }
    free(c);
}

static void
fetch_newer(struct peer *p, const struct copy *c, const struct id *from)
{
    struct outgoing o = {.code = MESSAGE_FETCH_REQ, .done = newer_fetched};
    struct copy *kept = malloc(sizeof(*kept));
    struct writer body;

    if (!kept)
        return;
    *kept = *c;
    writer_init(&body, UINT16_MAX);
    peer_write_fetch(&c->resource, kind_find(c->kind), &body);
    o.body = writer_slice(&body);
    o.ctx = kept;
    peer_request_node(p, from, &o);
    writer_done(&body);
}

/* Does the answer name us among the replicas?  One that names nobody comes from a node that does
 * not (yet) see itself as responsible: nothing may be dropped on its word. */
static bool
keeps_us(const struct peer *p, struct slice body, uint32_t kind)
{
    struct store_kind_response response;
    struct slice responses;
    struct reader r, nodes;

    if (store_ans_read(body, &responses) != ST_OK)
        return true;
    reader_init(&r, responses);
    while (store_kind_response_read(&r, &response)) {
        if (response.kind != kind)
            continue;
        if (response.replicas.len == 0)
            return true;
        reader_init(&nodes, response.replicas);
        while (reader_left(&nodes) >= ID_BYTES) {
            struct id node = reader_id(&nodes);
            if (id_equal(&node, &p->conf.self.node))
                return true;
        }
        return false;
    }
    return true;
}

/* Its owner does not count on us, as it said.  Whatever copy came since we asked may be one that
 * somebody counts on: ask again.  If we have asked again already, that answer decides. */
static void
part_with(struct peer *p, const struct copy *c, struct storage_record *r, const struct id *owner)
{
    const struct storage_traffic *t = storage_record_traffic(r);

    if (t->handed_over != c->traffic.handed_over)
        return;
    if (t->taken != c->traffic.taken)
        storage_holder_remove(p->storage, r, owner);
    else
        storage_drop(p->storage, r);
}

static void
acknowledged(struct peer *p, const struct copy *c, const struct transaction_end *end)
{
    struct storage_record *r = storage_find_record(p->storage, &c->resource, c->kind);
    struct id owner;

    if (!r || storage_record_version(r) != c->version)
        return; /* it has changed since, and is marked for that */
    if (!c->is_handover && belongs_to_another(p, &c->resource, &owner))
        return; /* whoever took it asks that one now whether to keep it */
    if (storage_record_traffic(r)->refused != c->traffic.refused) {
        storage_mark(p->storage, r); /* a copy, and the word to drop it, may have crossed */
        return;
    }
    storage_holder_add(r, &end->from->node);
    if (c->is_handover && !c->offer && p->is_in && !peer_is_responsible(p, &c->resource) &&
        !keeps_us(p, end->body, c->kind))
        part_with(p, c, r, &end->from->node);
    peer_store_acknowledged(p, &c->resource);
}

/* Who has no room has none in a second either; who does not take us for a replica may be told of it
 * soon, or never. */
static void
not_taken(struct peer *p, const struct copy *c, enum status st)
{
    uint64_t after_ms = PEER_RETRY_COPY_MS;

    if (st == ST_FORBIDDEN)
        after_ms = p->retry_refused_ms;
    else if (st == ST_TOO_LARGE || st == ST_UNKNOWN_KIND)
        after_ms = PEER_RETRY_REFUSED_MS;
    p->remark_ms = moment_earlier_ms(p->remark_ms, p->now.mono_ms + after_ms);
    if (st == ST_TOO_LARGE)
        peer_store_not_copied(p, &c->resource);
}

static void
copied(void *owner, void *ctx, struct moment now, const struct transaction_end *end)
{
    struct peer *p = owner;
    struct copy *c = ctx;
    struct offer *o = c->offer;

    (void)now;
    p->copies--;
    if (!p->is_ending) {
        if (end->st == ST_OK)
            acknowledged(p, c, end);
        else if (end->st == ST_TOO_OLD && end->from)
            fetch_newer(p, c, &end->from->node);
        else if (!o)
            not_taken(p, c, end->st);
        if (o) {
            o->under_way--;
            if (end->st != ST_OK && end->st != ST_TOO_OLD)
                o->st = end->st;
            offer_pump(p, o);
        }
    }
    free(c);
}

/* ---- sending a copy ---- */

static void
send_copy(struct peer *p, struct storage_record *r, const struct id *to, uint8_t number,
          bool is_handover, struct offer *offer)
{
    struct copy *c = calloc(1, sizeof(*c));
    struct destination target =
        to ? destination_node(to) : destination_resource(storage_record_resource(r));
    struct outgoing o = {
        .to = &target, .count = 1, .code = MESSAGE_STORE_REQ, .done = copied, .ctx = c};
    struct store_req request = {.resource = *storage_record_resource(r), .replica_number = number};
    struct writer kinds, certificates, body;

    if (!c)
        return;
    storage_record_traffic(r)->handed_over += is_handover;
    *c = (struct copy){.resource = request.resource,
                       .kind = storage_record_kind(r)->id,
                       .version = storage_record_version(r),
                       .traffic = *storage_record_traffic(r),
                       .is_handover = is_handover,
                       .offer = offer};
    writer_init(&kinds, p->envelope.max_bytes / 2);
    writer_init(&certificates, PEER_CERTIFICATE_BYTES_MAX);
    writer_init(&body, p->envelope.max_bytes);
    storage_record_write(r, p->now, &kinds, &certificates);
    request.kind_data = writer_slice(&kinds);
    store_req_write(&body, &request);
    o.body = writer_slice(&body);
    o.certificates = writer_slice(&certificates);
    p->copies++;
    if (offer)
        offer->under_way++;
    peer_request(p, &o);
    writer_done(&kinds);
    writer_done(&certificates);
    writer_done(&body);
}

static void
copy_to_replicas(struct peer *p, struct storage_record *r)
{
    struct id node[PEER_REPLICAS_MAX];
    size_t count = peer_replica_set(p, storage_record_resource(r), node);

    for (size_t i = 0; i < count; i++)
        if (!storage_holder_has(r, &node[i]))
            send_copy(p, r, &node[i], (uint8_t)(i + 1), false, NULL);
}

/* Nobody is known to whom it belongs rather than to us, and yet it is not ours: perhaps one is
 * missing whose place is kept.  Then it is copied as if it were ours, or goes to where it leads. */
static void
look_after(struct peer *p, struct storage_record *r)
{
    struct id node[PEER_REPLICAS_MAX];

    if (peer_replica_set(p, storage_record_resource(r), node) > 0)
        copy_to_replicas(p, r);
    else
        send_copy(p, r, NULL, 1, true, NULL);
}

/* Whoever has a copy answers to its owner now, and may drop it without our knowledge: should the
 * record come back to us, we ask again. */
static void
hand_over(struct peer *p, struct storage_record *r)
{
    struct id to;

    if (!belongs_to_another(p, storage_record_resource(r), &to)) {
        look_after(p, r);
        return;
    }
    storage_holder_forget_others(r, &to);
    if (!storage_holder_has(r, &to))
        send_copy(p, r, &to, 1, true, NULL);
}

void
peer_replica_pump(struct peer *p)
{
    struct storage_record *r;

    while (p->is_in && p->copies < PEER_COPIES_MAX && (r = storage_marked(p->storage))) {
        if (peer_is_responsible(p, storage_record_resource(r)))
            copy_to_replicas(p, r);
        else
            hand_over(p, r);
    }
}

bool
peer_replica_is_idle(const struct peer *p)
{
    return p->copies == 0 && !storage_has_marked(p->storage);
}

/* ---- offers ---- */

struct offered {
    struct later later;
    uint32_t token;
    enum status st;
};

static void
run_offered(struct peer *p, struct later *l)
{
    struct offered *d = (struct offered *)l;

    if (p->is_engaged && !p->is_ending)
        peer_ops(p)->on_offered(p->topology, p->now, d->token, d->st);
    free(d);
}

static void
offer_free(struct offer *o)
{
    list_remove(&o->at);
    free(o->key);
    free(o);
}

static void
offer_pump(struct peer *p, struct offer *o)
{
    struct offered *d;

    while (o->next < o->count && o->under_way < PEER_COPIES_MAX) {
        const struct offer_key *k = &o->key[o->next++];
        struct storage_record *r = storage_find_record(p->storage, &k->resource, k->kind);
        if (r && !storage_holder_has(r, &o->node))
            send_copy(p, r, &o->node, 1, true, o);
    }
    if (o->under_way > 0)
        return;
    d = calloc(1, sizeof(*d));
    if (d) {
        *d = (struct offered){.later.run = run_offered, .token = o->token, .st = o->st};
        peer_later(p, &d->later);
    }
    offer_free(o);
}

static enum status
add_key(struct offer *o, const struct storage_record *r, size_t *cap)
{
    if (o->count == *cap) {
        size_t bigger = *cap > 0 ? *cap * 2 : 16;
        struct offer_key *key = realloc(o->key, bigger * sizeof(*key));
        if (!key)
            return ST_NOMEM;
        o->key = key;
        *cap = bigger;
    }
    o->key[o->count++] = (struct offer_key){.resource = *storage_record_resource(r),
                                            .kind = storage_record_kind(r)->id};
    return ST_OK;
}

void
peer_offer(struct peer *p, uint32_t token, const struct id *node)
{
    struct offer *o = calloc(1, sizeof(*o));
    struct storage_cursor c = {0};
    struct storage_record *r;
    struct id responsible;
    size_t cap = 0;

    if (!o)
        return;
    o->token = token;
    o->node = *node;
    list_append(&p->offers, &o->at);
    while (o->st == ST_OK && (r = storage_next(p->storage, &c)))
        if (peer_plugin_hint(p, storage_record_resource(r), &responsible) &&
            id_equal(&responsible, node))
            o->st = add_key(o, r, &cap);
    offer_pump(p, o);
}

/* ---- time ---- */

void
peer_replica_tick(struct peer *p)
{
    if (p->remark_ms > p->now.mono_ms)
        return;
    p->remark_ms = MOMENT_NEVER;
    if (p->retry_refused_ms < PEER_RETRY_REFUSED_MS)
        p->retry_refused_ms *= 2;
    if (p->is_in)
        storage_mark_all(p->storage);
}

uint64_t
peer_replica_deadline_ms(const struct peer *p)
{
    return p->remark_ms;
}

void
peer_replica_free(struct peer *p)
{
    list_each(at, &p->offers) offer_free(list_entry(at, struct offer, at));
}
