/* Requests of our own on their way out. */
#include <stdlib.h>
#include <string.h>

#include "local-overlays/peer_internal.h"

struct loopback {
    struct later later;
    struct slice message;
};

static void
loop_back(struct peer *p, struct later *l)
{
    struct loopback *b = (struct loopback *)l;

    if (!p->is_ending)
        peer_take_message(p, &p->conf.self.node, b->message);
    slice_free(&b->message);
    free(b);
}

void
peer_send_to_self(struct peer *p, struct slice message)
{
    struct loopback *b = calloc(1, sizeof(*b));

    if (!b || slice_copy(message, &b->message) != ST_OK) {
        free(b); /* lost, as on any link: it will be sent again */
        return;
    }
    b->later.run = loop_back;
    peer_later(p, &b->later);
}

/* The code of a whole message; of a fragment only the first has it. */
uint16_t
peer_code_of(struct slice message)
{
    struct forwarding h;
    struct slice rest;
    struct reader r;

    if (forwarding_read(message, &h, &rest, NULL) != ST_OK || FRAGMENT_OFFSET(h.fragment) > 0)
        return MESSAGE_ERROR;
    reader_init(&r, rest);
    return reader_u16(&r);
}

bool
peer_give_to_link(struct peer *p, const struct id *to, struct slice message)
{
    if (!p->env.send(p->env.ctx, to, message))
        return false;
    peer_count(p->counters.to_link, peer_code_of(message));
    return true;
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

    f->is_sent = peer_give_to_link(f->p, f->to, fragment) && f->is_sent;
}

bool
peer_send_to(struct peer *p, const struct id *to, struct slice message)
{
    struct fragments f = {.p = p, .to = to, .is_sent = true};
    size_t max_bytes = p->conf.max_message_bytes;

    if (message.len <= max_bytes)
        return peer_give_to_link(p, to, message);
    /* room for the via lists to grow on the way */
    if (fragment_split(message, max_bytes - max_bytes / 16, send_fragment, &f) != ST_OK)
        return false;
    return f.is_sent;
}

bool
peer_send_straight(struct peer *p, const struct id *to, struct slice message)
{
    struct writer w;
    bool is_sent;

    writer_init(&w, p->envelope.max_bytes);
    if (p->env.links_show_certificates && message_without_certificate(&w, message))
        is_sent = peer_send_to(p, to, writer_slice(&w));
    else
        is_sent = peer_send_to(p, to, message);
    writer_done(&w);
    return is_sent;
}

/* The first hop for a message of our own: where its first destination is. */
enum status
peer_first_hop(struct peer *p, struct slice message, struct id *ret_next)
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

static struct link *
link_to_target(const struct peer *p, const struct transaction *tr)
{
    return tr->target.type == DESTINATION_NODE ? peer_link_find(p, &tr->target.id) : NULL;
}

/* RFC 6940 section 8: a certificate that can be had otherwise need not come with each message.  The
 * other end of a link has seen ours; should it have forgotten it, whatever is sent again brings it.
 */
static bool
transmit_to(struct peer *p, const struct id *hop, const struct transaction *tr)
{
    const struct link *l = link_to_target(p, tr);

    if (l && id_equal(&l->node, hop) && tr->sent_count == 0 && !l->is_forgetful)
        return peer_send_straight(p, hop, tr->message);
    return peer_send_to(p, hop, tr->message);
}

void
peer_transmit(void *owner, struct transaction *tr)
{
    struct peer *p = owner;
    struct id hop;
    enum status st = peer_first_hop(p, tr->message, &hop);

    if (st == ST_EXISTS) {
        hop = p->conf.self.node;
        peer_send_to_self(p, tr->message);
    } else if (st != ST_OK || !transmit_to(p, &hop, tr)) {
        transactions_sent(p->transactions, tr, p->now.mono_ms, NULL);
        return;
    }
    if (tr->sent_count > 0)
        p->counters.retransmitted++;
    peer_count(p->counters.sent, tr->code);
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
    struct envelope_letter letter = {
        .transaction_id = id, .code = o->code, .body = o->body, .certificates = o->certificates};
    struct forwarding h = envelope_header(&p->envelope, id);
    struct writer destinations, message, extensions;
    struct slice sealed;
    enum status st;

    writer_init(&extensions, UINT16_MAX);
    writer_bytes(&extensions, o->extensions);
    if (o->code == MESSAGE_EXP_A_REQ)
        peer_write_fresh(p, &o->to[o->count - 1], &extensions);
    letter.extensions = writer_slice(&extensions);
    st = extensions.failed;
    if (st == ST_OK)
        st = envelope_seal(&p->envelope, &letter, &sealed);
    writer_done(&extensions);
    if (st != ST_OK)
        return st;
    writer_init(&destinations, UINT16_MAX);
    writer_init(&message, p->envelope.max_bytes);
    routing_destinations(o->to, o->count, &destinations);
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
    struct link *l = link_to_target(p, tr);

    if (l)
        l->is_forgetful = true;
    p->counters.timeouts++;
    peer_finish(p, tr, tr->sent_count > 0 ? ST_TIMEOUT : ST_UNREACHABLE);
}
