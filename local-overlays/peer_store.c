/* Store and Fetch of the upper layers. */
#include <stdlib.h>

#include "local-overlays/peer_internal.h"
#include "peer-protocol/storage/signed_data.h"

/* ---- Store, asked for ---- */

static void
stored(void *owner, void *ctx, struct moment now, const struct transaction_end *end)
{
    struct peer_reply *reply = ctx;

    (void)owner;
    reply->done(reply->ctx, now, end->st, end->from,
                end->st == ST_OK ? slice_of(NULL, 0) : end->body);
    free(reply);
}

/* Storage times of one node never stand still: a second store in a millisecond is newer too. */
static uint64_t
storage_time(struct peer *p)
{
    uint64_t time_ms = p->now.wall_ms;

    if (time_ms <= p->last_storage_time_ms)
        time_ms = p->last_storage_time_ms + 1;
    p->last_storage_time_ms = time_ms;
    return time_ms;
}

static enum status
write_store(struct peer *p, const struct id *resource, const struct peer_value *value,
            struct writer *body)
{
    const struct kind *kind = kind_find(value->kind);
    struct stored_data d = {.storage_time_ms = storage_time(p),
                            .lifetime_s = value->lifetime_s,
                            .key = slice_of(value->key.bytes, ID_BYTES),
                            .value = {.exists = value->exists, .value = value->value}};
    struct store_kind_data kind_data = {.kind = value->kind};
    struct store_req request = {.resource = *resource};
    struct writer values, kinds;
    enum status st = kind ? ST_OK : ST_UNKNOWN_KIND;

    if (st == ST_OK)
        st = signed_data_sign(&p->env.keys, resource, kind, &d);
    if (st != ST_OK)
        return st;
    writer_init(&values, p->envelope.max_bytes);
    writer_init(&kinds, p->envelope.max_bytes);
    stored_data_write(&values, kind->model, &d);
    kind_data.values = writer_slice(&values);
    store_kind_data_write(&kinds, &kind_data);
    request.kind_data = writer_slice(&kinds);
    store_req_write(body, &request);
    st = values.failed != ST_OK ? values.failed : kinds.failed;
    writer_done(&values);
    writer_done(&kinds);
    return st != ST_OK ? st : body->failed;
}

/** A completion that is already known; runs at the end of the step. */
struct failure {
    struct later later;
    enum status st;
    struct peer_reply reply;
    struct peer_fetched fetched;
};

static void
run_failure(struct peer *p, struct later *l)
{
    struct failure *f = (struct failure *)l;

    if (f->reply.done)
        f->reply.done(f->reply.ctx, p->now, f->st, NULL, slice_of(NULL, 0));
    else
        f->fetched.done(f->fetched.ctx, p->now, f->st, NULL, 0);
    free(f);
}

static void
fail_later(struct peer *p, enum status st, const struct peer_reply *reply,
           const struct peer_fetched *fetched)
{
    struct failure *f = calloc(1, sizeof(*f));
    struct failure now;

    if (!f) { /* no memory to put it off: the one case where it comes at once */
        now = (struct failure){.st = st};
        if (reply)
            reply->done(reply->ctx, p->now, now.st, NULL, slice_of(NULL, 0));
        else
            fetched->done(fetched->ctx, p->now, now.st, NULL, 0);
        return;
    }
    f->later.run = run_failure;
    f->st = st;
    if (reply)
        f->reply = *reply;
    if (fetched)
        f->fetched = *fetched;
    peer_later(p, &f->later);
}

void
peer_store(struct peer *p, struct moment now, const char *name, const struct peer_value *value,
           const struct peer_reply *done)
{
    struct id resource = peer_hash(p, name);
    struct destination to = destination_resource(&resource);
    struct outgoing o = {.to = &to, .count = 1, .code = MESSAGE_STORE_REQ, .done = stored};
    struct writer body;
    enum status st;

    peer_enter(p, now);
    writer_init(&body, p->envelope.max_bytes);
    st = write_store(p, &resource, value, &body);
    o.ctx = st == ST_OK ? calloc(1, sizeof(*done)) : NULL;
    if (o.ctx) {
        *(struct peer_reply *)o.ctx = *done;
        o.body = writer_slice(&body);
        peer_request(p, &o);
    } else {
        fail_later(p, st == ST_OK ? ST_NOMEM : st, done, NULL);
    }
    writer_done(&body);
    peer_leave_asked(p);
}

/* ---- Fetch, asked for ---- */

struct fetch {
    struct id resource;
    uint32_t kind;
    struct peer_fetched done;
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

static void
fetched(void *owner, void *ctx, struct moment now, const struct transaction_end *end)
{
    struct peer *p = owner;
    struct fetch *fetch = ctx;
    struct fetch_kind_response response;
    struct found found = {0};
    struct slice responses;
    struct reader r;
    enum status st = end->st;

    if (st == ST_OK)
        st = fetch_ans_read(end->body, &responses);
    if (st == ST_OK) {
        reader_init(&r, responses);
        while (st == ST_OK && fetch_kind_response_read(&r, &response))
            st = take_values(p, fetch, &response, end, &found);
        if (st == ST_OK && r.failed)
            st = ST_MALFORMED;
    }
    fetch->done.done(fetch->done.ctx, now, st, st == ST_OK ? found.datum : NULL,
                     st == ST_OK ? found.count : 0);
    free(found.datum);
    free(fetch);
}

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
        *fetch = (struct fetch){.resource = resource, .kind = kind_id, .done = *done};
        writer_init(&body, UINT16_MAX);
        peer_write_fetch(&resource, kind, &body);
        o.body = writer_slice(&body);
        o.ctx = fetch;
        peer_request(p, &o);
        writer_done(&body);
    } else {
        fail_later(p, kind ? ST_NOMEM : ST_UNKNOWN_KIND, NULL, done);
    }
    peer_leave_asked(p);
}
