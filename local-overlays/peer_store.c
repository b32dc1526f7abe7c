#include <stdlib.h>
#include <string.h>

#include "local-overlays/peer_internal.h"
#include "peer-protocol/storage/signed_data.h"

/* ---- Store, answered ---------------------------------------------------------------------------
 */

static void
finish_store(struct peer *p, struct waiting_store *w)
{
    struct answer_to *a = peer_answer_find(p, w->handle);

    if (a) {
        peer_reply_body(p, a, w->body, slice_of(NULL, 0));
        peer_answer_free(a);
    }
    list_remove(&w->at);
    slice_free(&w->body);
    free(w);
}

/* Every record of the resource has its copies? */
static bool
is_held(const struct peer *p, const struct waiting_store *w)
{
    struct id node[PEER_REPLICAS_MAX];
    size_t count = peer_replica_set(p, &w->resource, node);
    size_t needed = w->needed < count ? w->needed : count;

    for (size_t k = 0; k < w->kind_count; k++) {
        struct storage_record *r = storage_find_record(p->storage, &w->resource, w->kind[k]);
        size_t held = 0;
        for (size_t i = 0; r && i < count; i++)
            held += storage_holder_has(r, &node[i]);
        if (r && held < needed)
            return false;
    }
    return true;
}

void
peer_store_acknowledged(struct peer *p, const struct id *resource)
{
    list_each(at, &p->waiting_stores)
    {
        struct waiting_store *w = list_entry(at, struct waiting_store, at);
        if (id_equal(&w->resource, resource) && is_held(p, w))
            finish_store(p, w);
    }
}

/* The answer goes out once the replicas have acknowledged, or the timer has run out. */
static void
wait_for_replicas(struct peer *p, struct incoming *in, const struct store_req *request,
                  struct slice body, size_t needed)
{
    struct store_kind_data d;
    struct reader r;
    struct waiting_store *w = calloc(1, sizeof(*w));
    uint64_t handle = w ? peer_put_off(p, &in->answer) : 0;

    if (handle == 0 || slice_copy(body, &w->body) != ST_OK) {
        if (handle != 0)
            peer_answer_free(peer_answer_find(p, handle));
        free(w);
        peer_reply_body(p, &in->answer, body, slice_of(NULL, 0));
        return;
    }
    w->handle = handle;
    w->resource = request->resource;
    reader_init(&r, request->kind_data);
    while (w->kind_count < PEER_WAITING_KINDS_MAX && store_kind_data_read(&r, &d))
        w->kind[w->kind_count++] = d.kind;
    w->needed = needed;
    w->deadline_ms = p->now.mono_ms + p->conf.reliability_ms;
    list_append(&p->waiting_stores, &w->at);
    peer_replica_pump(p);
    if (is_held(p, w))
        finish_store(p, w);
}

static void
refuse_store(struct peer *p, struct incoming *in, enum status st, struct slice answer,
             const struct why *why)
{
    struct writer info;

    writer_init(&info, UINT16_MAX);
    if (st == ST_GENERATION)
        store_ans_write(&info, answer);
    else if (st == ST_UNKNOWN_KIND)
        writer_opaque(&info, answer, 1); /* KindId unknown_kinds<0..2^8-1> */
    else
        writer_bytes(&info, slice_text(why->text));
    if (st == ST_FORBIDDEN || st == ST_SIGNATURE || st == ST_NOT_FOUND) {
        char text[ID_TEXT_BYTES];
        log_to(&p->env.log, LOG_LEVEL_REMOTE, "%s: Store from %s refused: %s", p->conf.overlay,
               id_text(&in->signer->node, text), why->text);
        st = ST_FORBIDDEN; /* section 7.4.1.1 for a value that does not verify */
    }
    peer_reply_error(p, &in->answer, error_code_of(st), writer_slice(&info));
    writer_done(&info);
}

/* A copy is taken by who is responsible, or from a neighbour, of which one admits us while we join:
 * values are signed one by one, so the worst a stranger could do is to fill the store. */
static bool
may_store(const struct peer *p, const struct incoming *in, const struct store_req *request)
{
    if (peer_is_responsible(p, &request->resource))
        return true;
    return p->is_engaged && request->replica_number > 0 && peer_link_is_up(p, &in->signer->node);
}

static void
carry_out_store(struct peer *p, struct incoming *in, struct storage_store *store)
{
    struct id node[PEER_REPLICAS_MAX];
    bool is_ours = peer_is_responsible(p, &store->request.resource);
    size_t count = is_ours ? peer_replica_set(p, &store->request.resource, node) : 0;
    struct writer answer, body;
    struct why why = {""};
    enum status st;

    store->replicas = slice_of(node, count * sizeof(node[0]));
    writer_init(&answer, UINT16_MAX);
    writer_init(&body, UINT16_MAX);
    st = storage_put(p->storage, p->now, &p->env.keys, store, &answer, &why);
    if (st == ST_OK) {
        store_ans_write(&body, writer_slice(&answer));
        if (store->request.replica_number == 0 && count > 0)
            wait_for_replicas(p, in, &store->request, writer_slice(&body), count);
        else
            peer_reply_body(p, &in->answer, writer_slice(&body), slice_of(NULL, 0));
    } else {
        refuse_store(p, in, st, writer_slice(&answer), &why);
    }
    writer_done(&answer);
    writer_done(&body);
}

void
peer_on_store_request(struct peer *p, struct incoming *in)
{
    struct storage_store store = {.requester = *in->signer,
                                  .certificates = in->message->security.certificates};

    if (store_req_read(in->message->contents.body, &store.request) != ST_OK)
        peer_reply_text(p, &in->answer, ST_MALFORMED, "malformed Store");
    else if (!may_store(p, in, &store.request))
        peer_reply_text(p, &in->answer, ST_NOT_FOUND, "not responsible for this resource");
    else
        carry_out_store(p, in, &store);
}

/* ---- Fetch, Stat, Find, answered ---------------------------------------------------------------
 */

void
peer_on_fetch_request(struct peer *p, struct incoming *in)
{
    bool is_stat = in->message->contents.code == MESSAGE_STAT_REQ;
    struct fetch_req request;
    struct writer body, certificates, info;
    enum status st = fetch_req_read(in->message->contents.body, &request);

    writer_init(&body, p->envelope.max_bytes / 2);
    writer_init(&certificates, UINT16_MAX);
    writer_init(&info, UINT16_MAX);
    if (st == ST_OK && is_stat)
        st = storage_stat(p->storage, p->now, &request, &body);
    else if (st == ST_OK)
        st = storage_fetch(p->storage, p->now, &request, &body, &certificates);
    if (st == ST_OK) {
        peer_reply_body(p, &in->answer, writer_slice(&body), writer_slice(&certificates));
    } else {
        if (st == ST_UNKNOWN_KIND)
            writer_opaque(&info, writer_slice(&body), 1);
        peer_reply_error(p, &in->answer, error_code_of(st), writer_slice(&info));
    }
    writer_done(&body);
    writer_done(&certificates);
    writer_done(&info);
}

void
peer_on_find_request(struct peer *p, struct incoming *in)
{
    struct find_req request;
    struct writer body;
    enum status st = find_req_read(in->message->contents.body, &request);

    writer_init(&body, UINT16_MAX);
    if (st == ST_OK && !peer_is_responsible(p, &request.resource))
        st = ST_NOT_FOUND; /* section 7.4.4.2 */
    if (st == ST_OK)
        st = storage_find(p->storage, &request, &body);
    if (st == ST_OK)
        peer_reply_body(p, &in->answer, writer_slice(&body), slice_of(NULL, 0));
    else
        peer_reply_text(p, &in->answer, st, status_text(st));
    writer_done(&body);
}

void
peer_store_tick(struct peer *p)
{
    list_each(at, &p->waiting_stores)
    {
        struct waiting_store *w = list_entry(at, struct waiting_store, at);
        if (w->deadline_ms <= p->now.mono_ms)
            finish_store(p, w);
    }
}

uint64_t
peer_store_deadline_ms(const struct peer *p)
{
    if (list_is_empty(&p->waiting_stores)) /* all wait equally long: the first is the oldest */
        return MOMENT_NEVER;
    return list_entry(p->waiting_stores.next, struct waiting_store, at)->deadline_ms;
}

void
peer_store_free(struct peer *p)
{
    list_each(at, &p->waiting_stores)
    {
        struct waiting_store *w = list_entry(at, struct waiting_store, at);
        slice_free(&w->body);
        free(w);
    }
}

/* ---- Store, asked for --------------------------------------------------------------------------
 */

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

/* ---- Fetch, asked for --------------------------------------------------------------------------
 */

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
