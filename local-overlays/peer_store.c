/* Store and Fetch of the upper layers. */
#include <stdlib.h>

#include "local-overlays/peer_internal.h"
#include "peer-protocol/storage/signed_data.h"

/* ---- Store, asked for ---- */

/** A Store of the upper layers, kept until it has ended. */
struct store {
    struct id resource;
    struct peer_value value; /* its bytes are owned */
    struct peer_reply done;
    bool is_again;
};

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

static void
store_free(struct store *store)
{
    slice_free(&store->value.value);
    free(store);
}

static enum status send_store(struct peer *p, struct store *store);

static void
finish_store(struct store *store, struct moment now, enum status st, const struct signer *from,
             struct slice info)
{
    store->done.done(store->done.ctx, now, st, from, info);
    store_free(store);
}

/* The storage time of what stands in our place. */
static uint64_t
time_of_own(const struct store *store, struct slice body)
{
    struct fetch_kind_response response;
    struct slice responses;
    struct stored_data d;
    struct reader r, values;
    uint64_t time_ms = 0;

    if (fetch_ans_read(body, &responses) != ST_OK)
        return 0;
    reader_init(&r, responses);
    while (fetch_kind_response_read(&r, &response)) {
        const struct kind *kind = kind_find(response.kind);
        if (!kind || kind->id != store->value.kind)
            continue;
        reader_init(&values, response.values);
        while (stored_data_read(&values, kind->model, &d))
            if (kind->model != MODEL_DICTIONARY ||
                slice_equal(d.key, slice_of(store->value.key.bytes, ID_BYTES)))
                time_ms = d.storage_time_ms > time_ms ? d.storage_time_ms : time_ms;
    }
    return time_ms;
}

/* Our clock was ahead in an earlier life: go on from the time that is stored (RFC 6940 section 7).
 * What this life has stored since is newer for good reason, and stays. */
static void
own_fetched(void *owner, void *ctx, struct moment now, const struct transaction_end *end)
{
    struct peer *p = owner;
    struct store *store = ctx;
    uint64_t time_ms = end->st == ST_OK ? time_of_own(store, end->body) : 0;

    if (p->is_ending || time_ms <= p->last_storage_time_ms) {
        finish_store(store, now, ST_TOO_OLD, end->from, slice_of(NULL, 0));
        return;
    }
    log_to(&p->env.log, LOG_LEVEL_WARN,
           "%s: what this node stored before is %llu s in the future: going on from there",
           p->conf.overlay,
           (unsigned long long)((time_ms > now.wall_ms ? time_ms - now.wall_ms : 0) / 1000));
    p->last_storage_time_ms = time_ms;
    enum status st = send_store(p, store);
    if (st != ST_OK)
        finish_store(store, now, st, NULL, slice_of(NULL, 0));
}

static void
fetch_own(struct peer *p, struct store *store)
{
    struct destination to = destination_resource(&store->resource);
    struct outgoing o = {
        .to = &to, .count = 1, .code = MESSAGE_FETCH_REQ, .done = own_fetched, .ctx = store};
    struct writer body;

    store->is_again = true;
    writer_init(&body, UINT16_MAX);
    peer_write_fetch(&store->resource, kind_find(store->value.kind), &body);
    o.body = writer_slice(&body);
    peer_request(p, &o);
    writer_done(&body);
}

static void
stored(void *owner, void *ctx, struct moment now, const struct transaction_end *end)
{
    struct peer *p = owner;
    struct store *store = ctx;

    if (end->st == ST_TOO_OLD && !store->is_again && !p->is_ending)
        fetch_own(p, store);
    else
        finish_store(store, now, end->st, end->from,
                     end->st == ST_OK ? slice_of(NULL, 0) : end->body);
}

static enum status
send_store(struct peer *p, struct store *store)
{
    struct destination to = destination_resource(&store->resource);
    struct outgoing o = {
        .to = &to, .count = 1, .code = MESSAGE_STORE_REQ, .done = stored, .ctx = store};
    struct writer body;
    enum status st;

    writer_init(&body, p->envelope.max_bytes);
    st = write_store(p, &store->resource, &store->value, &body);
    o.body = writer_slice(&body);
    if (st == ST_OK)
        peer_request(p, &o);
    writer_done(&body);
    return st;
}

void
peer_store(struct peer *p, struct moment now, const char *name, const struct peer_value *value,
           const struct peer_reply *done)
{
    struct store *store = calloc(1, sizeof(*store));
    enum status st = ST_NOMEM;

    peer_enter(p, now);
    if (store) {
        *store = (struct store){.resource = peer_hash(p, name), .value = *value, .done = *done};
        store->value.value = slice_of(NULL, 0);
        st = slice_copy(value->value, &store->value.value);
    }
    if (st == ST_OK)
        st = send_store(p, store);
    if (st != ST_OK) {
        if (store)
            store_free(store);
        fail_later(p, st, done, NULL);
    }
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
