/*
 * Requests of others that we passed on a moment ago.  If the link they went to proves dead they may
 * never have arrived, and who sent them would find out by its timer alone: they are passed on once
 * more, by the way there is then.  One that arrives twice is answered twice and carried out once
 * (duplicates.h), as with any that is sent again.  There is one copy of each, the first that came:
 * a request that goes round between nodes that are not of one mind comes by often, and copies of
 * it that each go again would multiply.
 */
#include <stdlib.h>

#include "local-overlays/peer_internal.h"

struct forwarded {
    struct later later; /* once it is to go again; before that, its place in the list */
    uint64_t transaction_id;
    struct id from;
    struct id hop; /* zero: there was no way */
    uint64_t since_ms;
    struct slice message;
};

static void
drop(struct peer *p, struct forwarded *f)
{
    list_remove(&f->later.at);
    p->forwarded_count--;
    p->forwarded_bytes -= f->message.len;
}

static void
destroy(struct forwarded *f)
{
    slice_free(&f->message);
    free(f);
}

static struct forwarded *
oldest(const struct peer *p)
{
    return list_entry(p->forwarded.next, struct forwarded, later.at);
}

void
peer_forwarded_expire(struct peer *p)
{
    while (!list_is_empty(&p->forwarded) &&
           oldest(p)->since_ms + p->conf.reliability_ms <= p->now.mono_ms) {
        struct forwarded *f = oldest(p);
        drop(p, f);
        destroy(f);
    }
}

void
peer_forwarded_free(struct peer *p)
{
    while (!list_is_empty(&p->forwarded)) {
        struct forwarded *f = oldest(p);
        drop(p, f);
        destroy(f);
    }
}

static struct forwarded *
find(const struct peer *p, uint64_t transaction_id)
{
    list_each(at, &p->forwarded)
    {
        struct forwarded *f = list_entry(at, struct forwarded, later.at);
        if (f->transaction_id == transaction_id)
            return f;
    }
    return NULL;
}

static struct forwarded *
make(struct peer *p, struct slice message)
{
    struct forwarded *f;

    if (message.len > PEER_FORWARDED_BYTES_MAX / 2)
        return NULL;
    while (p->forwarded_count == PEER_FORWARDED_MAX ||
           p->forwarded_bytes + message.len > PEER_FORWARDED_BYTES_MAX) {
        f = oldest(p);
        drop(p, f);
        destroy(f);
    }
    f = calloc(1, sizeof(*f));
    if (!f || slice_copy(message, &f->message) != ST_OK) {
        free(f); /* lost, should the link be: its sender's timer is there */
        return NULL;
    }
    list_append(&p->forwarded, &f->later.at);
    p->forwarded_count++;
    p->forwarded_bytes += message.len;
    return f;
}

void
peer_forwarded_keep(struct peer *p, const struct id *from, const struct id *hop,
                    const struct forwarding *h, struct slice message)
{
    struct forwarded *f;

    if (h->fragment != MESSAGE_SINGLE_FRAGMENT || !routing_is_request(peer_code_of(message)) ||
        id_equal(from, &p->conf.self.node))
        return;
    peer_forwarded_expire(p);
    f = find(p, h->transaction_id);
    if (!f) {
        f = make(p, message);
        if (!f)
            return;
        f->transaction_id = h->transaction_id;
        f->from = *from;
        f->since_ms = p->forwarded_since_ms > 0 ? p->forwarded_since_ms : p->now.mono_ms;
    }
    f->hop = hop ? *hop : (struct id){0};
}

static void
take_again(struct peer *p, struct later *l)
{
    struct forwarded *f = (struct forwarded *)l;

    if (!p->is_ending) {
        p->forwarded_since_ms = f->since_ms;
        peer_take_message(p, &f->from, f->message);
        p->forwarded_since_ms = 0;
    }
    destroy(f);
}

void
peer_forwarded_hop_lost(struct peer *p, const struct id *hop)
{
    peer_forwarded_expire(p);
    list_each(at, &p->forwarded)
    {
        struct forwarded *f = list_entry(at, struct forwarded, later.at);
        if (!id_equal(&f->hop, hop) && !id_is_zero(&f->hop))
            continue;
        drop(p, f);
        f->later.run = take_again;
        peer_later(p, &f->later);
    }
}
