/* Store of the upper layers. */
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

void
peer_fail_later(struct peer *p, enum status st, const struct peer_reply *reply,
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
        peer_fail_later(p, st, done, NULL);
    }
    peer_leave_asked(p);
}
