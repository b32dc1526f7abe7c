/* What comes in from the links: forwarded, refused, or verified and carried out. */
#include <stdlib.h>
#include <string.h>

#include "local-overlays/peer_promise.h"

/* ---- counting ---- */

void
peer_count(uint64_t *counter, uint16_t code)
{
    counter[code < 0x30 ? code : 0]++;
}

void
peer_refuse(struct peer *p, const struct id *from, const char *what)
{
    char text[ID_TEXT_BYTES];

    p->counters.refused++;
    log_to(&p->env.log, LOG_LEVEL_REMOTE, "%s: message from %s refused: %s", p->conf.overlay,
           id_text(from, text), what);
}

/* ---- what comes in: answers ---- */

/* RFC 6940 section 6.3.4: the node that was asked, or one as close to the resource as any we know.
 * Whom we think closer may be gone: it is asked, so that the next answer is judged by what is true.
 */
static bool
may_answer(struct peer *p, const struct transaction *tr, const struct id *from)
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
    if (peer_is_responsible(p, target))
        return false;
    l = peer_link_find(p, from);
    if (!l || !l->is_up || !l->is_member)
        return true; /* not one of our neighbours: it may well be closer than all of them */
    if (!peer_plugin_hint(p, target, &best) || id_equal(&best, from) ||
        !peer_link_is_usable(p, &best))
        return true;
    /* A link alone says nothing: a bootstrap entry has one too. */
    if (!peer_plugin_lists(p, from))
        return true;
    peer_link_ask(p, peer_link_find(p, &best));
    return false;
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
    enum status st;

    if (!tr)
        return; /* late, or to a request we never sent */
    st = envelope_verify(&p->envelope, m, link, p->now.wall_ms, &signer, &why);
    if (st != ST_OK) {
        peer_refuse(p, link, why.text);
        peer_bad_signature(p, link, m, st);
        return;
    }
    if (m->contents.code == MESSAGE_ERROR) {
        if (error_body_read(m->contents.body, &error) != ST_OK) {
            peer_refuse(p, &signer.node, "a malformed error");
            return;
        }
        end.error = error.code;
        end.body = error.info;
        end.st = error_code_status(error.code);
    } else if (m->contents.code != tr->code + 1) {
        peer_refuse(p, &signer.node, "an answer to another request");
        return;
    }
    if (!is_routing_error(end.error) && !may_answer(p, tr, &signer.node)) {
        if (end.error == ERROR_IN_PROGRESS)
            hop_is_no_member(p, tr, link);
        else
            peer_refuse(p, &signer.node, "an answer from a node that was not asked");
        return;
    }
    peer_link_answered(p, &signer);
    peer_count(p->counters.received, m->contents.code);
    transactions_take(p->transactions, tr);
    end.from = &signer;
    end.rtt_ms = (uint32_t)(p->now.mono_ms - tr->first_ms);
    tr->done(p, tr->ctx, p->now, &end);
    transaction_free(tr);
}

/* ---- what comes in: requests ---- */

static bool
has_critical_extension(struct slice extensions)
{
    struct extension e;
    struct reader r;

    reader_init(&r, extensions);
    while (extension_read(&r, &e))
        if (e.is_critical && e.type != EXTENSION_ALGORITHM && e.type != EXTENSION_LINK_ONLY &&
            e.type != EXTENSION_FRESH && e.type != EXTENSION_ADDRESS)
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
    if (routing_has_option(m->header.options,
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
    routing_response_destinations(m->header.via, link, destinations);
    routing_response_options(m->header.options, options);
    return (struct answer_to){.from = signer->node,
                              .transaction_id = m->header.transaction_id,
                              .max_response_length = m->header.max_response_length,
                              .code = m->contents.code,
                              .is_familiar = m->security.certificates.len == 0,
                              .destinations = writer_slice(destinations),
                              .options = writer_slice(options)};
}

static bool
is_fresh(struct peer *p, struct incoming *in)
{
    struct why why = {""};
    enum status st = peer_check_fresh(p, in, &why);

    if (st == ST_OK)
        return true;
    peer_refuse(p, &in->signer->node, why.text);
    peer_reply_text(p, &in->answer, st, why.text);
    return false;
}

static void
carry_out(struct peer *p, struct incoming *in)
{
    const struct message *m = in->message;
    struct slice sealed;
    uint16_t refusal = refusal_of(p, m);

    peer_count(p->counters.received, m->contents.code);
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
            if (sealed.len > 0)
                peer_send_answer(p, &in->answer, sealed);
            else
                peer_reply_body(p, &in->answer, slice_of(NULL, 0), slice_of(NULL, 0));
            return;
        case DUPLICATE_NEW:
            in->answer.is_remembered = true;
        }
    }
    if (m->contents.code == MESSAGE_EXP_A_REQ && !is_fresh(p, in))
        return;
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
    enum status st = envelope_verify(&p->envelope, m, link, p->now.wall_ms, &signer, &why);

    if (st != ST_OK) {
        peer_refuse(p, link, why.text);
        peer_bad_signature(p, link, m, st);
        return;
    }
    peer_link_learn_user(p, &signer);
    in.signer = &signer;
    writer_init(&destinations, UINT16_MAX);
    writer_init(&options, UINT16_MAX);
    in.answer = answer_to(m, link, &signer, &destinations, &options);
    carry_out(p, &in);
    writer_done(&destinations);
    writer_done(&options);
}

/* ---- what comes in: all ---- */

static void
deliver(struct peer *p, const struct id *link, struct slice whole, const struct destination *target)
{
    struct message m;
    struct why why = {""};

    if (message_decode(whole, &m, &why) != ST_OK) {
        peer_refuse(p, link, why.text);
        return;
    }
    if (routing_is_request(m.contents.code))
        take_request(p, link, &m, target);
    else
        take_answer(p, link, &m);
}

static void
deliver_fragment(struct peer *p, const struct id *link, struct slice fragment,
                 const struct destination *target)
{
    const struct reassembly_limits limits = {.max_messages = PEER_REASSEMBLY_MAX,
                                             .max_bytes = PEER_REASSEMBLY_BYTES_MAX,
                                             .link_messages = PEER_REASSEMBLY_LINK_MAX,
                                             .link_bytes = p->envelope.max_bytes};
    struct slice whole = {0};
    uint64_t evicted;
    enum status st;

    if (!p->reassembly)
        p->reassembly = reassembly_new(&limits);
    if (!p->reassembly)
        return;
    evicted = reassembly_evicted(p->reassembly);
    st = reassembly_add(p->reassembly, p->now.mono_ms, link, fragment, &whole);
    if (reassembly_evicted(p->reassembly) > evicted)
        peer_refuse(p, link, "fragments of more messages than a link may have under way");
    if (st != ST_OK)
        peer_refuse(p, link, status_text(st));
    else if (whole.data)
        deliver(p, link, whole, target);
    slice_free(&whole);
}

/* An error from the middle of the way.  Only a whole request can be answered, and it is not
 * verified here: intermediate nodes do not (section 6.3.4). */
static void
refuse_request(struct peer *p, const struct id *link, struct slice message,
               const struct routing *route)
{
    struct signer origin = {0};
    struct writer destinations, options, info;
    struct answer_to answer;
    struct message m;

    if (message_decode(message, &m, NULL) != ST_OK || !routing_is_request(m.contents.code))
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
hold_back(struct peer *p, struct routing *r)
{
    bool is_direct = r->verdict == ROUTING_FORWARD && r->target.type == DESTINATION_NODE &&
                     id_equal(&r->next, &r->target.id);

    if (p->is_in || r->verdict == ROUTING_DELIVER || r->verdict == ROUTING_REFUSE || is_direct)
        return;
    if (r->target.type == DESTINATION_OPAQUE)
        return;
    r->verdict = ROUTING_REFUSE;
    r->error = ERROR_IN_PROGRESS;
    r->reason = "not in the overlay";
}

static void
forward(struct peer *p, const struct id *from, struct slice message, const struct forwarding *h,
        const struct routing *route)
{
    struct writer w;

    writer_init(&w, p->envelope.max_bytes);
    if (routing_forward(message, h, route, from, &w) != ST_OK)
        peer_refuse(p, from, "it cannot be forwarded: its via list is full");
    else if (peer_give_to_link(p, &route->next, writer_slice(&w)))
        p->counters.forwarded++;
    writer_done(&w);
    peer_forwarded_keep(p, from, &route->next, h, message);
}

void
peer_take_message(struct peer *p, const struct id *from, struct slice message)
{
    struct routing_table table = {.ctx = p, .next_hop = peer_next_hop};
    struct forwarding h;
    struct routing route;
    struct why why = {""};

    if (forwarding_read(message, &h, NULL, &why) != ST_OK) {
        peer_refuse(p, from, why.text);
        return;
    }
    if (h.overlay != p->envelope.overlay) {
        peer_refuse(p, from, "of another overlay");
        return;
    }
    routing_decide(&h, routing_is_request(peer_code_of(message)), &p->conf.self.node,
                   p->envelope.initial_ttl, &table, &route);
    hold_back(p, &route);
    switch (route.verdict) {
    case ROUTING_DELIVER:
        if (h.fragment == MESSAGE_SINGLE_FRAGMENT)
            deliver(p, from, message, &route.target);
        else
            deliver_fragment(p, from, message, &route.target);
        break;
    case ROUTING_FORWARD:
        forward(p, from, message, &h, &route);
        break;
    case ROUTING_REFUSE:
        if (route.error == ERROR_IN_PROGRESS)
            peer_bootstrap_overheard(p, from, message);
        else
            peer_refuse(p, from, route.reason);
        if (route.error != 0)
            refuse_request(p, from, message, &route);
        break;
    case ROUTING_DROP:
        if (route.has_no_way)
            peer_forwarded_keep(p, from, NULL, &h, message);
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
    peer_count(p->counters.from_link, peer_code_of(message));
    l = peer_link_find(p, from);
    if (l && l->is_up) {
        l->used_ms = now.mono_ms;
        peer_take_message(p, from, message);
    } else {
        p->counters.refused++;
    }
    peer_leave(p);
}
