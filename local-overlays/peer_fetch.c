/* Fetch of the upper layers.
 *
 * A record lies at its responsible peer and at replicas.  While the first is silent for a while (it
 * hangs, or a partition has cut it off), the members next to the record's place are asked too: who
 * has a copy answers, and who has none says nothing about what the others have.
 */
#include <stdlib.h>

#include "local-overlays/peer_promise.h"
#include "peer-protocol/storage/signed_data.h"

struct fetch {
    struct list_node at; /* of those whose responsible peer has not answered yet */
    struct id resource;
    uint32_t kind;
    struct peer_fetched done;
    uint64_t ask_others_ms;
    unsigned open;  /* requests under way */
    bool is_done;   /* the upper layer has its answer */
    enum status st; /* how the request to the responsible peer failed */
};

/** The verified values of one answer, as they are found. */
struct found {
    struct peer_datum *datum;
    size_t count;
    size_t cap;
};

static bool
add_datum(struct found *f, const struct stored_data *d, const struct signer *signer)
{
    if (f->count == f->cap) {
        size_t cap = f->cap > 0 ? f->cap * 2 : 4;
        struct peer_datum *datum = realloc(f->datum, cap * sizeof(*datum));
        if (!datum)
            return false;
        f->datum = datum;
        f->cap = cap;
    }
    f->datum[f->count++] = (struct peer_datum){.signer = *signer,
                                               .key = d->key,
                                               .exists = d->value.exists,
                                               .storage_time_ms = d->storage_time_ms,
                                               .lifetime_s = d->lifetime_s,
                                               .value = d->value.value};
    return true;
}

/* What is not there is said without a signature; it is no datum. */
static bool
is_synthetic(const struct stored_data *d)
{
    return !d->value.exists && d->storage_time_ms == 0 && d->signature.identity_type == SIGNER_NONE;
}

static enum status
take_values(struct peer *p, const struct fetch *fetch, const struct fetch_kind_response *response,
            const struct transaction_end *end, struct found *ret)
{
    const struct kind *kind = kind_find(response->kind);
    struct stored_data d;
    struct signer signer;
    struct reader r;
    struct why why;
    char text[ID_TEXT_BYTES];

    if (!kind || kind->id != fetch->kind)
        return ST_OK;
    reader_init(&r, response->values);
    while (stored_data_read(&r, kind->model, &d)) {
        if (is_synthetic(&d))
            continue;
        why.text[0] = '\0';
        if (signed_data_verify(&p->env.keys, &fetch->resource, kind, &d,
                               end->answer->security.certificates, p->now.wall_ms, &signer,
                               &why) != ST_OK) {
            log_to(&p->env.log, LOG_LEVEL_REMOTE, "%s: a value from %s left out: %s",
                   p->conf.overlay, id_text(&end->from->node, text), why.text);
            continue;
        }
        if (!add_datum(ret, &d, &signer))
            return ST_NOMEM;
    }
    return r.failed ? ST_MALFORMED : ST_OK;
}

/* ---- the end ---- */

static enum status
read_answer(struct peer *p, const struct fetch *fetch, const struct transaction_end *end,
            struct found *found)
{
    struct fetch_kind_response response;
    struct slice responses;
    struct reader r;
    enum status st = end->st;

    if (st == ST_OK)
        st = fetch_ans_read(end->body, &responses);
    if (st != ST_OK)
        return st;
    reader_init(&r, responses);
    while (st == ST_OK && fetch_kind_response_read(&r, &response))
        st = take_values(p, fetch, &response, end, found);
    return st == ST_OK && r.failed ? ST_MALFORMED : st;
}

static void
finish(struct fetch *fetch, struct moment now, enum status st, const struct found *found)
{
    fetch->is_done = true;
    list_remove(&fetch->at);
    fetch->done.done(fetch->done.ctx, now, st, st == ST_OK ? found->datum : NULL,
                     st == ST_OK ? found->count : 0);
}

/* One request less is under way. */
static void
let_go(struct fetch *fetch, struct moment now)
{
    const struct found none = {0};

    if (--fetch->open > 0)
        return;
    if (!fetch->is_done)
        finish(fetch, now, fetch->st, &none);
    free(fetch);
}

static void ask_others(struct peer *p, struct fetch *fetch);

static void
fetched(void *owner, void *ctx, struct moment now, const struct transaction_end *end)
{
    struct peer *p = owner;
    struct fetch *fetch = ctx;
    struct found found = {0};
    enum status st = fetch->is_done ? ST_OK : read_answer(p, fetch, end, &found);

    if (!fetch->is_done && st == ST_OK)
        finish(fetch, now, st, &found);
    fetch->st = st;
    if (!fetch->is_done && !p->is_ending && !list_is_empty(&fetch->at))
        ask_others(p, fetch);
    let_go(fetch, now);
    free(found.datum);
}

static void
copy_fetched(void *owner, void *ctx, struct moment now, const struct transaction_end *end)
{
    struct peer *p = owner;
    struct fetch *fetch = ctx;
    struct found found = {0};

    if (!fetch->is_done && read_answer(p, fetch, end, &found) == ST_OK && found.count > 0)
        finish(fetch, now, ST_OK, &found);
    let_go(fetch, now);
    free(found.datum);
}

/* ---- the others ---- */

#define OTHERS_MAX 4

struct others {
    struct id node[OTHERS_MAX];
    size_t count;
};

/* What each plug-in calls near: Chord upwards, Pastry either way, CAN by common bits. */
enum near { NEAR_ABOVE, NEAR_EITHER, NEAR_BITS, NEAR_WAYS };

static struct id
distance(enum near way, const struct id *place, const struct id *node)
{
    struct id up = id_subtract(node, place);
    struct id down = id_subtract(place, node);
    struct id apart;

    if (way == NEAR_ABOVE)
        return up;
    if (way == NEAR_EITHER)
        return id_compare(&up, &down) < 0 ? up : down;
    for (size_t i = 0; i < ID_BYTES; i++)
        apart.bytes[i] = node->bytes[i] ^ place->bytes[i];
    return apart;
}

static bool
is_among(const struct others *o, const struct id *node)
{
    for (size_t i = 0; i < o->count; i++)
        if (id_equal(&o->node[i], node))
            return true;
    return false;
}

static void
add_nearest(const struct peer *p, const struct id *place, enum near way, const struct id *skip,
            struct others *o)
{
    const struct id *nearest = NULL;
    struct id nearest_by = {{0}};

    list_each(at, &p->links)
    {
        const struct link *l = list_entry(at, struct link, at);
        struct id by = distance(way, place, &l->node);

        if (!l->is_up || l->is_suspect || !l->is_member || id_equal(&l->node, skip) ||
            is_among(o, &l->node) || (nearest && id_compare(&by, &nearest_by) >= 0))
            continue;
        nearest = &l->node;
        nearest_by = by;
    }
    if (nearest && o->count < OTHERS_MAX)
        o->node[o->count++] = *nearest;
}

static void
ask_others(struct peer *p, struct fetch *fetch)
{
    struct others o = {.count = 0};
    struct id responsible = {{0}};
    struct writer body;

    list_remove(&fetch->at);
    if (!p->is_in || !peer_plugin_hint(p, &fetch->resource, &responsible) ||
        id_equal(&responsible, &p->conf.self.node))
        return;
    for (enum near way = NEAR_ABOVE; way < NEAR_WAYS; way++)
        add_nearest(p, &fetch->resource, way, &responsible, &o);
    add_nearest(p, &fetch->resource, NEAR_ABOVE, &responsible, &o);
    writer_init(&body, UINT16_MAX);
    peer_write_fetch(&fetch->resource, kind_find(fetch->kind), &body);
    for (size_t i = 0; i < o.count; i++) {
        struct outgoing request = {.code = MESSAGE_FETCH_REQ,
                                   .body = writer_slice(&body),
                                   .done = copy_fetched,
                                   .ctx = fetch};
        fetch->open++;
        peer_request_node(p, &o.node[i], &request);
    }
    writer_done(&body);
}

void
peer_fetch_tick(struct peer *p)
{
    list_each(at, &p->fetches)
    {
        struct fetch *fetch = list_entry(at, struct fetch, at);

        if (fetch->ask_others_ms <= p->now.mono_ms)
            ask_others(p, fetch);
    }
}

uint64_t
peer_fetch_deadline_ms(const struct peer *p)
{
    if (list_is_empty(&p->fetches)) /* all wait equally long: the first is the oldest */
        return MOMENT_NEVER;
    return list_entry(p->fetches.next, struct fetch, at)->ask_others_ms;
}

/* ---- the beginning ---- */

void
peer_write_fetch(const struct id *resource, const struct kind *kind, struct writer *body)
{
    struct data_specifier spec = {.kind = kind->id};
    struct fetch_req request = {.resource = *resource};
    struct writer model, specifiers;

    writer_init(&model, UINT16_MAX);
    writer_init(&specifiers, UINT16_MAX);
    if (kind->model == MODEL_DICTIONARY)
        specifier_write_keys(&model, NULL, 0);
    else if (kind->model == MODEL_ARRAY)
        specifier_write_range(&model, 0, -1);
    spec.model = writer_slice(&model);
    data_specifier_write(&specifiers, &spec);
    request.specifiers = writer_slice(&specifiers);
    fetch_req_write(body, &request);
    writer_done(&model);
    writer_done(&specifiers);
}

void
peer_fetch(struct peer *p, struct moment now, const char *name, uint32_t kind_id,
           const struct peer_fetched *done)
{
    const struct kind *kind = kind_find(kind_id);
    struct id resource = peer_hash(p, name);
    struct destination to = destination_resource(&resource);
    struct outgoing o = {.to = &to, .count = 1, .code = MESSAGE_FETCH_REQ, .done = fetched};
    struct fetch *fetch = kind ? calloc(1, sizeof(*fetch)) : NULL;
    struct writer body;

    peer_enter(p, now);
    if (fetch) {
        *fetch = (struct fetch){.resource = resource,
                                .kind = kind_id,
                                .done = *done,
                                .ask_others_ms = p->now.mono_ms + PEER_ASK_OTHERS_MS,
                                .open = 1};
        list_append(&p->fetches, &fetch->at);
        writer_init(&body, UINT16_MAX);
        peer_write_fetch(&resource, kind, &body);
        o.body = writer_slice(&body);
        o.ctx = fetch;
        peer_request(p, &o);
        writer_done(&body);
    } else {
        peer_fail_later(p, kind ? ST_NOMEM : ST_UNKNOWN_KIND, NULL, done);
    }
    peer_leave_asked(p);
}
