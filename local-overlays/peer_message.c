#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "local-overlays/peer_internal.h"

/* ---- counting ----------------------------------------------------------------------------------
 */

static void
count(uint64_t *counter, uint16_t code)
{
    counter[code < 0x30 ? code : 0]++;
}

static void
refuse(struct peer *p, const struct id *from, const char *what)
{
    char text[ID_TEXT_BYTES];

    p->counters.refused++;
    log_to(&p->env.log, LOG_LEVEL_REMOTE, "%s: message from %s refused: %s", p->conf.overlay,
           id_text(from, text), what);
}

/* ---- sending -----------------------------------------------------------------------------------
 */

struct loopback {
    struct later later;
    struct slice message;
};

static void take_message(struct peer *p, const struct id *from, struct slice message);

static void
loop_back(struct peer *p, struct later *l)
{
    struct loopback *b = (struct loopback *)l;

    if (!p->is_ending)
        take_message(p, &p->conf.self.node, b->message);
    slice_free(&b->message);
    free(b);
}

static void
send_to_self(struct peer *p, struct slice message)
{
    struct loopback *b = calloc(1, sizeof(*b));

    if (!b || slice_copy(message, &b->message) != ST_OK) {
        free(b); /* lost, as on any link: it will be sent again */
        return;
    }
    b->later.run = loop_back;
    peer_later(p, &b->later);
}

struct fragments {
    struct peer *p;
    const struct id *to;
    bool is_sent;
};

static void
send_fragment(void *ctx, struct slice fragment)
{
    struct fragments *f = ctx;

    f->is_sent = f->p->env.send(f->p->env.ctx, f->to, fragment) && f->is_sent;
}

static bool
send_to(struct peer *p, const struct id *to, struct slice message)
{
    struct fragments f = {.p = p, .to = to, .is_sent = true};
    size_t max_bytes = p->conf.max_message_bytes;

    if (message.len <= max_bytes)
        return p->env.send(p->env.ctx, to, message);
    /* room for the via lists to grow on the way */
    if (fragment_split(message, max_bytes - max_bytes / 16, send_fragment, &f) != ST_OK)
        return false;
    return f.is_sent;
}

/* The first hop for a message of our own: where its first destination is. */
static enum status
first_hop(struct peer *p, struct slice message, struct id *ret_next)
{
    struct forwarding h;
    struct destination first;
    struct reader r;

    if (forwarding_read(message, &h, NULL, NULL) != ST_OK)
        return ST_MALFORMED;
    reader_init(&r, h.destinations);
    if (!destination_read(&r, &first) || first.type == DESTINATION_OPAQUE)
        return ST_UNREACHABLE;
    return peer_next_hop(p, &first.id, first.type == DESTINATION_NODE, ret_next);
}

void
peer_transmit(void *owner, struct transaction *tr)
{
    struct peer *p = owner;
    struct id hop;
    enum status st = first_hop(p, tr->message, &hop);

    if (st == ST_EXISTS) {
        hop = p->conf.self.node;
        send_to_self(p, tr->message);
    } else if (st != ST_OK || !send_to(p, &hop, tr->message)) {
        transactions_sent(p->transactions, tr, p->now.mono_ms, NULL);
        return;
    }
    if (tr->sent_count > 0)
        p->counters.retransmitted++;
    count(p->counters.sent, tr->code);
    transactions_sent(p->transactions, tr, p->now.mono_ms, &hop);
}

struct failed {
    struct later later;
    enum status st;
    void (*done)(void *owner, void *ctx, struct moment now, const struct transaction_end *end);
    void *ctx;
};

static void
run_failed(struct peer *p, struct later *l)
{
    struct failed *f = (struct failed *)l;
    struct transaction_end end = {.st = f->st};

    f->done(p, f->ctx, p->now, &end);
    free(f);
}

static void
fail_later(struct peer *p, const struct outgoing *o, enum status st)
{
    struct failed *f = calloc(1, sizeof(*f));
    struct transaction_end end = {.st = st};

    if (!f) {
        o->done(p, o->ctx, p->now, &end); /* no memory to put it off */
        return;
    }
    *f = (struct failed){.later.run = run_failed, .st = st, .done = o->done, .ctx = o->ctx};
    peer_later(p, &f->later);
}

static enum status
write_request(struct peer *p, const struct outgoing *o, uint64_t id, struct slice *ret)
{
    struct envelope_letter letter = {.transaction_id = id,
                                     .code = o->code,
                                     .body = o->body,
                                     .extensions = o->extensions,
                                     .certificates = o->certificates};
    struct forwarding h = envelope_header(&p->envelope, id);
    struct writer destinations, message;
    struct slice sealed;
    enum status st = envelope_seal(&p->envelope, &letter, &sealed);

    if (st != ST_OK)
        return st;
    writer_init(&destinations, UINT16_MAX);
    writer_init(&message, p->envelope.max_bytes);
    route_destinations(o->to, o->count, &destinations);
    h.destinations = writer_slice(&destinations);
    message_write(&message, &h, sealed, slice_of(NULL, 0));
    st = destinations.failed != ST_OK ? destinations.failed : message.failed;
    if (st == ST_OK)
        st = slice_copy(writer_slice(&message), ret);
    writer_done(&destinations);
    writer_done(&message);
    slice_free(&sealed);
    return st;
}

static enum status
start(struct peer *p, const struct outgoing *o)
{
    uint32_t deadline_ms = o->deadline_ms > 0 ? o->deadline_ms : p->conf.request_deadline_ms;
    struct transaction *tr;
    enum status st;

    if (p->state == PEER_DOWN || p->is_ending)
        return ST_STATE;
    tr = calloc(1, sizeof(*tr));
    if (!tr)
        return ST_NOMEM;
    *tr = (struct transaction){.id = p->env.random(p->env.ctx),
                               .code = o->code,
                               .target = o->to[o->count - 1],
                               .is_any_responder = o->is_any_responder,
                               .first_ms = p->now.mono_ms,
                               .next_ms = p->now.mono_ms,
                               .deadline_ms = p->now.mono_ms + deadline_ms,
                               .done = o->done,
                               .ctx = o->ctx};
    st = write_request(p, o, tr->id, &tr->message);
    if (st == ST_OK)
        st = transactions_add(p->transactions, tr);
    if (st != ST_OK) {
        transaction_free(tr);
        return st;
    }
    peer_transmit(p, tr);
    return ST_OK;
}

void
peer_request(struct peer *p, const struct outgoing *o)
{
    enum status st = start(p, o);

    if (st != ST_OK)
        fail_later(p, o, st);
}

void
peer_request_node(struct peer *p, const struct id *node, struct outgoing *o)
{
    struct destination to = destination_node(node);

    o->to = &to;
    o->count = 1;
    peer_request(p, o);
    o->to = NULL; /* it was read */
    o->count = 0;
}

void
peer_finish(struct peer *p, struct transaction *tr, enum status st)
{
    struct transaction_end end = {.st = st};

    tr->done(p, tr->ctx, p->now, &end);
    transaction_free(tr);
}

void
peer_expired(void *owner, struct transaction *tr)
{
    struct peer *p = owner;

    p->counters.timeouts++;
    peer_finish(p, tr, tr->sent_count > 0 ? ST_TIMEOUT : ST_UNREACHABLE);
}

/* ---- answers -----------------------------------------------------------------------------------
 */

static void
send_answer(struct peer *p, const struct answer_to *a, struct slice sealed)
{
    struct forwarding h = envelope_header(&p->envelope, a->transaction_id);
    struct writer message;
    struct id hop;
    enum status st;

    h.destinations = a->destinations;
    h.options = a->options;
    writer_init(&message, p->envelope.max_bytes);
    message_write(&message, &h, sealed, slice_of(NULL, 0));
    if (message.failed == ST_OK) {
        st = first_hop(p, writer_slice(&message), &hop);
        if (st == ST_EXISTS)
            send_to_self(p, writer_slice(&message));
        else if (st == ST_OK)
            (void)send_to(p, &hop, writer_slice(&message)); /* lost: the requester asks again */
    }
    writer_done(&message);
}

static void
reply(struct peer *p, const struct answer_to *a, uint16_t code, struct slice body,
      struct slice certificates)
{
    struct envelope_letter letter = {.transaction_id = a->transaction_id,
                                     .code = code,
                                     .body = body,
                                     .certificates = certificates};
    struct slice sealed;

    if (envelope_seal(&p->envelope, &letter, &sealed) != ST_OK)
        return;
    if (code != MESSAGE_ERROR && a->max_response_length > 0 &&
        sealed.len + MESSAGE_HEADER_BYTES + a->destinations.len > a->max_response_length) {
        slice_free(&sealed);
        peer_reply_error(p, a, ERROR_RESPONSE_TOO_LARGE, slice_of(NULL, 0));
        return;
    }
    if (a->is_remembered)
        duplicates_answer(p->duplicates, &a->from, a->transaction_id, sealed);
    count(p->counters.sent, code);
    send_answer(p, a, sealed);
    slice_free(&sealed);
}

void
peer_reply_body(struct peer *p, const struct answer_to *a, struct slice body,
                struct slice certificates)
{
    reply(p, a, (uint16_t)(a->code + 1), body, certificates);
}

void
peer_reply_error(struct peer *p, const struct answer_to *a, uint16_t code, struct slice info)
{
    struct error_body error = {.code = code, .info = info};
    struct writer body;

    writer_init(&body, p->envelope.max_bytes);
    error_body_write(&body, &error);
    reply(p, a, MESSAGE_ERROR, writer_slice(&body), slice_of(NULL, 0));
    writer_done(&body);
}

void
peer_reply_text(struct peer *p, const struct answer_to *a, enum status st, const char *text)
{
    peer_reply_error(p, a, error_code_of(st), slice_text(text));
}

void
peer_answer_free(struct answer_to *a)
{
    list_remove(&a->at);
    slice_free(&a->destinations);
    slice_free(&a->options);
    free(a);
}

uint64_t
peer_put_off(struct peer *p, const struct answer_to *a)
{
    struct answer_to *kept;
    size_t many = 0;

    list_each(at, &p->answers) many++;
    kept = many < PEER_ANSWERS_MAX ? calloc(1, sizeof(*kept)) : NULL;
    if (!kept)
        return 0;
    *kept = *a;
    kept->destinations = slice_of(NULL, 0);
    kept->options = slice_of(NULL, 0);
    kept->handle = ++p->last_handle;
    kept->deadline_ms = p->now.mono_ms + DUPLICATES_LIFETIME_MS;
    list_init(&kept->at);
    if (slice_copy(a->destinations, &kept->destinations) != ST_OK ||
        slice_copy(a->options, &kept->options) != ST_OK) {
        peer_answer_free(kept);
        return 0;
    }
    list_append(&p->answers, &kept->at);
    return kept->handle;
}

struct answer_to *
peer_answer_find(struct peer *p, uint64_t handle)
{
    list_each(at, &p->answers)
    {
        struct answer_to *a = list_entry(at, struct answer_to, at);
        if (a->handle == handle)
            return a;
    }
    return NULL;
}

void
peer_answers_expire(struct peer *p)
{
    list_each(at, &p->answers)
    {
        struct answer_to *a = list_entry(at, struct answer_to, at);
        if (a->deadline_ms > p->now.mono_ms)
            return;
        peer_answer_free(a);
    }
}

void
peer_answer(struct peer *p, struct moment now, uint64_t handle, enum status st, struct slice body)
{
    struct answer_to *a;
    struct writer w;

    peer_enter(p, now);
    a = peer_answer_find(p, handle);
    if (a && st != ST_OK) {
        peer_reply_error(p, a, error_code_of(st), body);
    } else if (a) {
        writer_init(&w, p->envelope.max_bytes);
        private_write(&w, a->subtype, body);
        peer_reply_body(p, a, writer_slice(&w), slice_of(NULL, 0));
        writer_done(&w);
    }
    if (a)
        peer_answer_free(a);
    peer_leave(p);
}

/* ---- what comes in: answers --------------------------------------------------------------------
 */

struct known {
    const struct id *node;
    bool is_known;
};

static void
look_for(void *ctx, const struct topology_dump *line)
{
    struct known *k = ctx;

    k->is_known = k->is_known || id_equal(&line->node, k->node);
}

/* Is @node in the plug-in's tables?  A link alone says nothing: a bootstrap entry has one too. */
static bool
is_in_tables(const struct peer *p, const struct id *node)
{
    struct known k = {.node = node};

    peer_ops(p)->dump(p->topology, look_for, &k);
    return k.is_known;
}

/* RFC 6940 section 6.3.4: the node that was asked, or one as close to the resource as any we know.
 */
static bool
may_answer(const struct peer *p, const struct transaction *tr, const struct id *from)
{
    const struct id *target = &tr->target.id;
    const struct link *l;
    struct id best;

    if (tr->is_any_responder)
        return true;
    if (tr->target.type == DESTINATION_NODE)
        return id_equal(from, target) || id_is_wildcard(target);
    if (!p->is_in || id_equal(from, &p->conf.self.node))
        return true;
    if (peer_ops(p)->is_responsible(p->topology, target))
        return false;
    l = peer_link_find(p, from);
    if (!l || !l->is_up || !l->is_member)
        return true; /* not one of our neighbours: it may well be closer than all of them */
    return !peer_ops(p)->responsible_hint(p->topology, target, &best) || id_equal(&best, from) ||
           !peer_link_is_usable(p, &best) || !is_in_tables(p, from);
}

/* Any node on the way may say that it could not forward; what it says about membership does not end
 * the request, for another way may be found. */
static bool
is_routing_error(uint16_t code)
{
    return code == ERROR_TTL_EXCEEDED || code == ERROR_UNSUPPORTED_FORWARDING_OPTION;
}

static void
hop_is_no_member(struct peer *p, struct transaction *tr, const struct id *link)
{
    struct link *l = peer_link_find(p, link);

    if (l && !p->is_in)
        l->is_member = false;
    transactions_hop_lost(p->transactions, &tr->hop, p->now.mono_ms);
}

static void
take_answer(struct peer *p, const struct id *link, const struct message *m)
{
    struct transaction *tr = transactions_find(p->transactions, m->header.transaction_id);
    struct transaction_end end = {.answer = m, .body = m->contents.body};
    struct error_body error = {0};
    struct signer signer;
    struct why why = {""};

    if (!tr)
        return; /* late, or to a request we never sent */
    if (envelope_verify(&p->envelope, m, link, p->now.wall_ms, &signer, &why) != ST_OK) {
        refuse(p, link, why.text);
        return;
    }
    if (m->contents.code == MESSAGE_ERROR) {
        if (error_body_read(m->contents.body, &error) != ST_OK) {
            refuse(p, &signer.node, "a malformed error");
            return;
        }
        end.error = error.code;
        end.body = error.info;
        end.st = error_code_status(error.code);
    } else if (m->contents.code != tr->code + 1) {
        refuse(p, &signer.node, "an answer to another request");
        return;
    }
    if (!is_routing_error(end.error) && !may_answer(p, tr, &signer.node)) {
        if (end.error == ERROR_IN_PROGRESS)
            hop_is_no_member(p, tr, link);
        else
            refuse(p, &signer.node, "an answer from a node that was not asked");
        return;
    }
    count(p->counters.received, m->contents.code);
    transactions_take(p->transactions, tr);
    end.from = &signer;
    end.rtt_ms = (uint32_t)(p->now.mono_ms - tr->first_ms);
    tr->done(p, tr->ctx, p->now, &end);
    transaction_free(tr);
}

/* ---- what comes in: requests -------------------------------------------------------------------
 */

static bool
has_critical_extension(struct slice extensions)
{
    struct extension e;
    struct reader r;

    reader_init(&r, extensions);
    while (extension_read(&r, &e))
        if (e.is_critical && e.type != EXTENSION_ALGORITHM && e.type != EXTENSION_LINK_ONLY)
            return true;
    return false;
}

static bool
is_config_update(const struct message *m)
{
    return m->contents.code == MESSAGE_CONFIG_UPDATE_REQ &&
           m->header.configuration_sequence == UINT16_MAX;
}

/* Sequence numbers wrap: older and newer are told apart as in TCP (section 6.3.2.1). */
static uint16_t
refusal_of(const struct peer *p, const struct message *m)
{
    int16_t ahead =
        (int16_t)(m->header.configuration_sequence - p->envelope.configuration_sequence);

    if (ahead != 0 && !is_config_update(m))
        return ahead < 0 ? ERROR_CONFIG_TOO_OLD : ERROR_CONFIG_TOO_NEW;
    if (route_has_option(m->header.options,
                         FORWARDING_DESTINATION_CRITICAL | FORWARDING_FORWARD_CRITICAL))
        return ERROR_UNSUPPORTED_FORWARDING_OPTION;
    if (has_critical_extension(m->contents.extensions))
        return ERROR_UNKNOWN_EXTENSION;
    return 0;
}

/* What can be carried out twice without harm is not remembered. */
static bool
is_to_be_remembered(uint16_t code)
{
    switch (code) {
    case MESSAGE_PING_REQ:
    case MESSAGE_PROBE_REQ:
    case MESSAGE_FETCH_REQ:
    case MESSAGE_STAT_REQ:
    case MESSAGE_FIND_REQ:
    case MESSAGE_ROUTE_QUERY_REQ:
        return false;
    default:
        return true;
    }
}

/** How to answer a request, before anything of it is carried out. */
static struct answer_to
answer_to(const struct message *m, const struct id *link, const struct signer *signer,
          struct writer *destinations, struct writer *options)
{
    route_response_destinations(m->header.via, link, destinations);
    route_response_options(m->header.options, options);
    return (struct answer_to){.from = signer->node,
                              .transaction_id = m->header.transaction_id,
                              .max_response_length = m->header.max_response_length,
                              .code = m->contents.code,
                              .destinations = writer_slice(destinations),
                              .options = writer_slice(options)};
}

static void
carry_out(struct peer *p, struct incoming *in)
{
    const struct message *m = in->message;
    struct slice sealed;
    uint16_t refusal = refusal_of(p, m);

    count(p->counters.received, m->contents.code);
    if (refusal != 0) {
        peer_reply_error(p, &in->answer, refusal, slice_of(NULL, 0));
        return;
    }
    if (is_to_be_remembered(m->contents.code)) {
        switch (duplicates_check(p->duplicates, p->now.mono_ms, &in->signer->node,
                                 m->header.transaction_id, &sealed)) {
        case DUPLICATE_PENDING:
            return;
        case DUPLICATE_ANSWERED:
            send_answer(p, &in->answer, sealed);
            return;
        case DUPLICATE_NEW:
            in->answer.is_remembered = true;
        }
    }
    peer_on_request(p, in);
}

static void
take_request(struct peer *p, const struct id *link, const struct message *m,
             const struct destination *target)
{
    struct incoming in = {.message = m, .link = link, .target = *target};
    struct writer destinations, options;
    struct signer signer;
    struct why why = {""};

    if (envelope_verify(&p->envelope, m, link, p->now.wall_ms, &signer, &why) != ST_OK) {
        refuse(p, link, why.text);
        return;
    }
    in.signer = &signer;
    writer_init(&destinations, UINT16_MAX);
    writer_init(&options, UINT16_MAX);
    in.answer = answer_to(m, link, &signer, &destinations, &options);
    carry_out(p, &in);
    writer_done(&destinations);
    writer_done(&options);
}

/* ---- what comes in: all ------------------------------------------------------------------------
 */

static void
deliver(struct peer *p, const struct id *link, struct slice whole, const struct destination *target)
{
    struct message m;
    struct why why = {""};

    if (message_decode(whole, &m, &why) != ST_OK) {
        refuse(p, link, why.text);
        return;
    }
    if (route_is_request(m.contents.code))
        take_request(p, link, &m, target);
    else
        take_answer(p, link, &m);
}

static void
deliver_fragment(struct peer *p, const struct id *link, struct slice fragment,
                 const struct destination *target)
{
    struct slice whole = {0};
    enum status st;

    if (!p->reassembly)
        p->reassembly = reassembly_new(PEER_REASSEMBLY_MAX, p->envelope.max_bytes);
    if (!p->reassembly)
        return;
    st = reassembly_add(p->reassembly, p->now.mono_ms, link, fragment, &whole);
    if (st != ST_OK)
        refuse(p, link, status_text(st));
    else if (whole.data)
        deliver(p, link, whole, target);
    slice_free(&whole);
}

/* An error from the middle of the way.  Only a whole request can be answered, and it is not
 * verified here: intermediate nodes do not (section 6.3.4). */
static void
refuse_request(struct peer *p, const struct id *link, struct slice message,
               const struct route *route)
{
    struct signer origin = {0};
    struct writer destinations, options, info;
    struct answer_to answer;
    struct message m;

    if (message_decode(message, &m, NULL) != ST_OK || !route_is_request(m.contents.code))
        return;
    writer_init(&destinations, UINT16_MAX);
    writer_init(&options, UINT16_MAX);
    writer_init(&info, UINT16_MAX);
    answer = answer_to(&m, link, &origin, &destinations, &options);
    if (route->error == ERROR_IN_PROGRESS)
        peer_write_in_progress(p, &info);
    else
        writer_bytes(&info, slice_text(route->reason));
    peer_reply_error(p, &answer, route->error, writer_slice(&info));
    writer_done(&destinations);
    writer_done(&options);
    writer_done(&info);
}

/* Who is not in the overlay forwards nothing (but to itself). */
static void
hold_back(struct peer *p, struct route *r)
{
    bool is_direct = r->verdict == ROUTE_FORWARD && r->target.type == DESTINATION_NODE &&
                     id_equal(&r->next, &r->target.id);

    if (p->is_in || r->verdict == ROUTE_DELIVER || r->verdict == ROUTE_REFUSE || is_direct)
        return;
    if (r->target.type == DESTINATION_OPAQUE)
        return;
    r->verdict = ROUTE_REFUSE;
    r->error = ERROR_IN_PROGRESS;
    r->reason = "not in the overlay";
}

static void
forward(struct peer *p, const struct id *from, struct slice message, const struct forwarding *h,
        const struct route *route)
{
    struct writer w;

    writer_init(&w, p->envelope.max_bytes);
    if (route_forward(message, h, route, from, &w) != ST_OK)
        refuse(p, from, "it cannot be forwarded: its via list is full");
    else if (p->env.send(p->env.ctx, &route->next, writer_slice(&w)))
        p->counters.forwarded++;
    writer_done(&w);
}

static void
take_message(struct peer *p, const struct id *from, struct slice message)
{
    struct route_table table = {.ctx = p, .next_hop = peer_next_hop};
    struct forwarding h;
    struct route route;
    struct why why = {""};

    if (forwarding_read(message, &h, NULL, &why) != ST_OK) {
        refuse(p, from, why.text);
        return;
    }
    if (h.overlay != p->envelope.overlay) {
        refuse(p, from, "of another overlay");
        return;
    }
    route_decide(&h, &p->conf.self.node, p->envelope.initial_ttl, &table, &route);
    hold_back(p, &route);
    switch (route.verdict) {
    case ROUTE_DELIVER:
        if (h.fragment == MESSAGE_SINGLE_FRAGMENT)
            deliver(p, from, message, &route.target);
        else
            deliver_fragment(p, from, message, &route.target);
        break;
    case ROUTE_FORWARD:
        forward(p, from, message, &h, &route);
        break;
    case ROUTE_REFUSE:
        if (route.error == ERROR_IN_PROGRESS)
            peer_bootstrap_overheard(p, from, message);
        else
            refuse(p, from, route.reason);
        refuse_request(p, from, message, &route);
        break;
    case ROUTE_DROP:
        log_to(&p->env.log, LOG_LEVEL_DEBUG, "%s: dropped a message: %s", p->conf.overlay,
               route.reason);
        break;
    }
}

void
peer_on_message(struct peer *p, struct moment now, const struct id *from, struct slice message)
{
    struct link *l;

    peer_enter(p, now);
    l = peer_link_find(p, from);
    if (l && l->is_up) {
        l->used_ms = now.mono_ms;
        take_message(p, from, message);
    } else {
        p->counters.refused++;
    }
    peer_leave(p);
}
