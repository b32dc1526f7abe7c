/* Store, Fetch, Stat and Find of others: what this node holds. */
#include <stdlib.h>
#include <string.h>

#include "local-overlays/peer_internal.h"

/* ---- Store, answered ---- */

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

/* A replica that will not have it is not waited for. */
void
peer_store_not_copied(struct peer *p, const struct id *resource)
{
    list_each(at, &p->waiting_stores)
    {
        struct waiting_store *w = list_entry(at, struct waiting_store, at);
        if (id_equal(&w->resource, resource) && w->needed > 0)
            w->needed--;
    }
    peer_store_acknowledged(p, resource);
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

/* The others happen to honest nodes, too. */
static bool
is_against_the_rules(enum status st)
{
    return st == ST_FORBIDDEN || st == ST_SIGNATURE || st == ST_NOT_FOUND || st == ST_LIMIT ||
           st == ST_TOO_LARGE || st == ST_UNKNOWN_KIND;
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
    if (is_against_the_rules(st)) {
        char text[ID_TEXT_BYTES];
        log_to(&p->env.log, LOG_LEVEL_REMOTE, "%s: Store from %s refused: %s (sent by %s)",
               p->conf.overlay, id_text(&in->signer->node, text), why->text, in->signer->user);
    }
    if (st == ST_SIGNATURE || st == ST_NOT_FOUND)
        st = ST_FORBIDDEN; /* section 7.4.1.1 for a value that does not verify */
    peer_reply_error(p, &in->answer, error_code_of(st), writer_slice(&info));
    writer_done(&info);
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

static void
refuse_copy(struct peer *p, struct incoming *in)
{
    struct why why = {"a copy from a node that is no replica of the resource"};

    p->counters.strangers_copies++;
    refuse_store(p, in, ST_FORBIDDEN, slice_of(NULL, 0), &why);
}

void
peer_on_store_request(struct peer *p, struct incoming *in)
{
    struct storage_store store = {.requester = *in->signer,
                                  .certificates = in->message->security.certificates};

    if (store_req_read(in->message->contents.body, &store.request) != ST_OK)
        peer_reply_text(p, &in->answer, ST_MALFORMED, "malformed Store");
    else if (store.request.replica_number > 0 && !peer_may_copy(p, in, &store.request))
        refuse_copy(p, in);
    else if (store.request.replica_number == 0 && !peer_is_responsible(p, &store.request.resource))
        peer_reply_text(p, &in->answer, ST_NOT_FOUND, "not responsible for this resource");
    else
        carry_out_store(p, in, &store);
}

/* ---- Fetch, Stat, Find, answered ---- */

void
peer_on_fetch_request(struct peer *p, struct incoming *in)
{
    bool is_stat = in->message->contents.code == MESSAGE_STAT_REQ;
    struct fetch_req request;
    struct writer body, certificates, info;
    enum status st = fetch_req_read(in->message->contents.body, &request);

    writer_init(&body, p->envelope.max_bytes / 2);
    writer_init(&certificates, PEER_CERTIFICATE_BYTES_MAX);
    writer_init(&info, UINT16_MAX);
    if (st == ST_OK && is_stat)
        st = storage_stat(p->storage, p->now, &p->envelope.keys, &request, &body);
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
