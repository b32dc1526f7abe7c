#include <stdlib.h>
#include <string.h>

#include "local-overlays/peer_internal.h"

#define CANDIDATE_PRIORITY 0x7effffffu /* of a host candidate, RFC 8445 section 5.1.2 */

/* ---- one Attach of ours ---- */

static void
end(struct peer *p, struct attach *a, enum status st)
{
    struct attach copy = *a;
    struct link *l = peer_link_find(p, &copy.node);

    list_remove(&a->at);
    free(a);
    if (p->is_ending)
        return;
    if (!copy.is_for_plugin) {
        peer_watch_ended(p, &copy.node);
        return;
    }
    if (st == ST_OK && l)
        l->is_member = l->has_attached = true;
    if (p->is_engaged)
        peer_ops(p)->on_attach(p->topology, p->now, copy.token, st, &copy.node);
}

static void
write_candidate(const struct peer *p, struct writer *w)
{
    struct ice_candidate c = {.overlay_link = LINK_TLS_TCP_FH_NO_ICE,
                              .foundation = slice_text("1"),
                              .priority = CANDIDATE_PRIORITY,
                              .type = CANDIDATE_HOST};

    if (ip_address_port_parse(p->conf.self.address, &c.address) == ST_OK)
        ice_candidate_write(w, &c);
}

/* The first address of the other side that we can reach: No-ICE, TLS over TCP (section 6.5.1.11).
 */
static bool
read_candidate(struct slice candidates, char address[IP_ADDRESS_PORT_TEXT_BYTES])
{
    struct ice_candidate c;
    struct reader r;

    reader_init(&r, candidates);
    while (ice_candidate_read(&r, &c))
        if (c.overlay_link == LINK_TLS_TCP_FH_NO_ICE && c.type == CANDIDATE_HOST) {
            ip_address_port_text(&c.address, address);
            return true;
        }
    return false;
}

static void
note_address(struct link *l, const char *address)
{
    peer_copy_text(l->address, sizeof(l->address), address);
}

/* The other side has agreed and opens the link, unless it is there already. */
static void
answered(void *owner, void *ctx, struct moment now, const struct transaction_end *e)
{
    struct peer *p = owner;
    struct attach *a = ctx;
    char address[IP_ADDRESS_PORT_TEXT_BYTES];
    struct attach_body body;
    struct link *l;

    if (e->st != ST_OK) {
        end(p, a, e->st);
        return;
    }
    a->node = e->from->node;
    if (id_equal(&a->node, &p->conf.self.node) || attach_read(e->body, &body) != ST_OK) {
        end(p, a, ST_EXISTS);
        return;
    }
    l = peer_link_make(p, &a->node);
    if (l && read_candidate(body.candidates, address) &&
        peer_is_address_of(p, &a->node, address, e->answer->contents.extensions))
        note_address(l, address);
    if (l)
        peer_note_version(p, &l->node, e->answer->contents.extensions);
    if (l && l->is_up) {
        end(p, a, ST_OK);
        return;
    }
    a->is_answered = true;
    a->deadline_ms = now.mono_ms + p->conf.request_deadline_ms;
}

static void
send_attach(struct peer *p, const struct topology_target *to, struct attach *a, bool send_update)
{
    struct attach_body body = {.role = slice_text("passive"), .send_update = send_update};
    struct writer candidates, extensions, w;
    struct outgoing o = {
        .to = to->to, .count = to->count, .code = MESSAGE_ATTACH_REQ, .done = answered, .ctx = a};

    writer_init(&candidates, UINT16_MAX);
    writer_init(&extensions, UINT16_MAX);
    writer_init(&w, UINT16_MAX);
    write_candidate(p, &candidates);
    body.candidates = writer_slice(&candidates);
    attach_write(&w, &body);
    peer_write_algorithm(p, &extensions);
    peer_write_address(p, &extensions);
    if (!a->is_for_plugin) {
        struct extension link_only = {.type = EXTENSION_LINK_ONLY};
        extension_write(&extensions, &link_only);
    }
    o.body = writer_slice(&w);
    o.extensions = writer_slice(&extensions);
    peer_request(p, &o);
    writer_done(&candidates);
    writer_done(&extensions);
    writer_done(&w);
}

struct attached {
    struct later later;
    struct attach *attach;
    enum status st;
};

static void
run_attached(struct peer *p, struct later *l)
{
    struct attached *d = (struct attached *)l;
    bool is_up = peer_link_is_up(p, &d->attach->node);

    end(p, d->attach, d->st == ST_OK && !is_up ? ST_UNREACHABLE : d->st);
    free(d);
}

static void
end_later(struct peer *p, struct attach *a, enum status st)
{
    struct attached *d = calloc(1, sizeof(*d));

    if (!d) {
        list_remove(&a->at);
        free(a);
        return;
    }
    *d = (struct attached){.later.run = run_attached, .attach = a, .st = st};
    peer_later(p, &d->later);
}

void
peer_attach(struct peer *p, const struct topology_target *to, bool is_for_plugin, uint32_t token,
            bool send_update)
{
    const struct destination *last = &to->to[to->count - 1];
    struct attach *a = calloc(1, sizeof(*a));

    if (!a)
        return;
    *a = (struct attach){
        .is_for_plugin = is_for_plugin, .token = token, .deadline_ms = MOMENT_NEVER};
    list_append(&p->attaches, &a->at);
    if (last->type == DESTINATION_NODE) {
        a->node = last->id;
        if (id_equal(&a->node, &p->conf.self.node)) {
            end_later(p, a, ST_EXISTS);
            return;
        }
        /* A link that is there needs no Attach, unless the other side is to send an Update. */
        if (peer_link_is_up(p, &a->node) && !send_update && !is_for_plugin) {
            end_later(p, a, ST_OK);
            return;
        }
    }
    send_attach(p, to, a, send_update);
}

void
peer_attach_link_up(struct peer *p, struct link *l)
{
    struct id node = l->node;
    bool is_announced = l->is_announced;
    bool wants_update = l->wants_update;

    l->is_announced = false;
    l->wants_update = false;
    if (is_announced && p->is_engaged)
        peer_ops(p)->on_linked(p->topology, p->now, &node, wants_update);
    list_each(at, &p->attaches)
    {
        struct attach *a = list_entry(at, struct attach, at);
        if (a->is_answered && id_equal(&a->node, &node))
            end(p, a, ST_OK);
    }
}

/* ---- an Attach of another node ---- */

static bool
is_link_only(struct slice extensions)
{
    struct extension e;
    struct reader r;

    reader_init(&r, extensions);
    while (extension_read(&r, &e))
        if (e.type == EXTENSION_LINK_ONLY)
            return true;
    return false;
}

static void
answer_attach(struct peer *p, struct incoming *in)
{
    struct attach_body body = {.role = slice_text("active")};
    struct writer candidates, extensions, w;

    writer_init(&candidates, UINT16_MAX);
    writer_init(&extensions, UINT16_MAX);
    writer_init(&w, UINT16_MAX);
    write_candidate(p, &candidates);
    body.candidates = writer_slice(&candidates);
    attach_write(&w, &body);
    if (p->conf.topology_version != 0)
        peer_write_algorithm(p, &extensions);
    peer_reply_extended(p, &in->answer, writer_slice(&w), writer_slice(&extensions));
    writer_done(&candidates);
    writer_done(&extensions);
    writer_done(&w);
}

static void
accept_attach(struct peer *p, struct incoming *in, const char *address, bool is_for_plugin,
              bool wants_update)
{
    const struct id *node = &in->signer->node;
    struct link *l = peer_link_make(p, node);

    if (!l)
        return;
    note_address(l, address);
    if (is_for_plugin) {
        l->is_member = l->has_attached = true;
        l->wants_update = l->wants_update || wants_update;
        l->is_announced = true;
    }
    peer_link_connect(p, node, address);
    peer_note_version(p, node, in->message->contents.extensions);
    answer_attach(p, in);
    l = peer_link_find(p, node);
    if (l && l->is_up)
        peer_attach_link_up(p, l);
}

static enum status
check_attach(struct peer *p, struct incoming *in, bool is_for_plugin, struct attach_body *ret,
             char address[IP_ADDRESS_PORT_TEXT_BYTES], struct why *why)
{
    enum status st;

    if (attach_read(in->message->contents.body, ret) != ST_OK)
        return why_set(why, ST_MALFORMED, "malformed Attach");
    st = peer_check_algorithm(p, in->message->contents.extensions, why);
    if (st != ST_OK)
        return st;
    if (is_for_plugin && !p->is_engaged)
        return why_set(why, ST_IN_PROGRESS, "not in the overlay");
    if (!read_candidate(ret->candidates, address))
        return why_set(why, ST_UNSUPPORTED, "no TLS-TCP-FH-NO-ICE host candidate");
    if (!peer_is_address_of(p, &in->signer->node, address, in->message->contents.extensions))
        return why_set(why, ST_FORBIDDEN, "%s is not the address of the certificate", address);
    if (p->links_connecting >= PEER_CONNECTING_MAX)
        return why_set(why, ST_LIMIT, "too many links being built");
    return ST_OK;
}

void
peer_on_attach_request(struct peer *p, struct incoming *in)
{
    bool is_for_plugin = !is_link_only(in->message->contents.extensions);
    char address[IP_ADDRESS_PORT_TEXT_BYTES];
    struct attach_body body;
    struct why why = {""};
    struct writer info;
    enum status st = check_attach(p, in, is_for_plugin, &body, address, &why);

    if (st == ST_OK && id_equal(&in->signer->node, &p->conf.self.node)) {
        answer_attach(p, in); /* nobody is closer to it than we are ourselves */
    } else if (st == ST_OK) {
        accept_attach(p, in, address, is_for_plugin, body.send_update);
    } else if (st == ST_IN_PROGRESS) {
        writer_init(&info, UINT16_MAX);
        peer_write_in_progress(p, &info);
        peer_reply_error(p, &in->answer, ERROR_IN_PROGRESS, writer_slice(&info));
        writer_done(&info);
    } else {
        if (st == ST_INCOMPATIBLE || st == ST_FORBIDDEN)
            peer_refuse(p, &in->signer->node, why.text);
        peer_reply_text(p, &in->answer, st, why.text);
    }
}

/* ---- time ---- */

void
peer_attach_tick(struct peer *p)
{
    list_each(at, &p->attaches)
    {
        struct attach *a = list_entry(at, struct attach, at);
        if (a->deadline_ms > p->now.mono_ms)
            continue;
        a->deadline_ms = MOMENT_NEVER;
        a->is_answered = false;
        end_later(p, a, ST_UNREACHABLE);
    }
}

uint64_t
peer_attach_deadline_ms(const struct peer *p)
{
    uint64_t at_ms = MOMENT_NEVER;

    list_each(at, &p->attaches) at_ms =
        moment_earlier_ms(at_ms, list_entry(at, struct attach, at)->deadline_ms);
    return at_ms;
}

void
peer_attach_free(struct peer *p)
{
    list_each(at, &p->attaches) free(list_entry(at, struct attach, at));
}
