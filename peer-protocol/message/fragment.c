#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "peer-protocol/message/message.h"

#define FRAGMENT_MIN_BYTES  256   /* of body in each fragment, section 6.7 */
#define REASSEMBLY_MS       15000 /* maximum request lifetime, section 6.7 */
#define PIECES_MAX          512   /* fragments of one message */
#define FRAGMENT_OFFSET_MAX 0x00ffffffu

static enum status
cut(const struct forwarding *h, struct slice rest, size_t piece_bytes, struct writer *w,
    void (*emit)(void *ctx, struct slice fragment), void *ctx)
{
    size_t header_bytes = MESSAGE_HEADER_BYTES + h->via.len + h->destinations.len + h->options.len;
    uint32_t base = FRAGMENT_OFFSET(h->fragment); /* it may be a fragment that is cut again */

    for (size_t at = 0; at < rest.len;) {
        size_t len = rest.len - at < piece_bytes ? rest.len - at : piece_bytes;
        struct forwarding part = *h;
        part.fragment = FRAGMENT_ALWAYS | (base + (uint32_t)at);
        if (at + len == rest.len)
            part.fragment |= h->fragment & FRAGMENT_LAST;
        part.length = (uint32_t)(header_bytes + len);
        writer_reset(w);
        forwarding_write(w, &part);
        writer_bytes(w, slice_of(rest.data + at, len));
        if (w->failed != ST_OK)
            return w->failed;
        emit(ctx, writer_slice(w));
        at += len;
    }
    return ST_OK;
}

enum status
fragment_split(struct slice message, size_t max_bytes,
               void (*emit)(void *ctx, struct slice fragment), void *ctx)
{
    struct forwarding h;
    struct slice rest;
    struct writer w;

    enum status st = forwarding_read(message, &h, &rest, NULL);
    if (st != ST_OK)
        return st;
    if (message.len <= max_bytes) {
        emit(ctx, message);
        return ST_OK;
    }
    size_t header_bytes = message.len - rest.len;
    if (max_bytes < header_bytes + FRAGMENT_MIN_BYTES)
        return ST_RANGE;
    if (rest.len > FRAGMENT_OFFSET_MAX - FRAGMENT_OFFSET(h.fragment))
        return ST_RANGE;
    /* Section 6.7: equal-sized fragments. */
    size_t room = max_bytes - header_bytes;
    size_t count = (rest.len + room - 1) / room;
    size_t piece_bytes = (rest.len + count - 1) / count;
    if (piece_bytes < FRAGMENT_MIN_BYTES)
        piece_bytes = FRAGMENT_MIN_BYTES;
    writer_init(&w, max_bytes);
    st = cut(&h, rest, piece_bytes, &w, emit, ctx);
    writer_done(&w);
    return st;
}

/* ---- reassembly ------------------------------------------------------------------------------ */

struct piece {
    struct list_node order; /* by offset */
    size_t offset;
    size_t len;
    uint8_t data[];
};

struct partial {
    struct list_node order; /* by age */
    struct list_node pieces;
    struct id from;
    uint64_t transaction_id;
    uint64_t until_ms;
    size_t piece_count;
    size_t have;              /* body bytes in the pieces */
    size_t want;              /* body bytes of the whole; 0 until the last fragment came */
    struct forwarding header; /* of the first piece that came; its lists are below */
    struct slice lists;
};

struct reassembly {
    struct list_node partials;
    struct reassembly_limits limits;
    size_t messages, bytes;
    uint64_t evicted;
};

struct reassembly *
reassembly_new(const struct reassembly_limits *limits)
{
    struct reassembly *a = calloc(1, sizeof(*a));

    if (!a)
        return NULL;
    list_init(&a->partials);
    a->limits = *limits;
    return a;
}

uint64_t
reassembly_evicted(const struct reassembly *a)
{
    return a->evicted;
}

static size_t
piece_cost(size_t len)
{
    return sizeof(struct piece) + len;
}

static void
forget(struct reassembly *a, struct partial *p)
{
    list_each(at, &p->pieces)
    {
        struct piece *piece = list_entry(at, struct piece, order);
        a->bytes -= piece_cost(piece->len);
        free(piece);
    }
    a->bytes -= p->lists.len;
    a->messages--;
    list_remove(&p->order);
    slice_free(&p->lists);
    free(p);
}

void
reassembly_free(struct reassembly *a)
{
    if (!a)
        return;
    list_each(at, &a->partials) forget(a, list_entry(at, struct partial, order));
    free(a);
}

void
reassembly_expire(struct reassembly *a, uint64_t now_ms)
{
    list_each(at, &a->partials)
    {
        struct partial *p = list_entry(at, struct partial, order);
        if (p->until_ms > now_ms)
            break; /* oldest first */
        forget(a, p);
    }
}

void
reassembly_forget(struct reassembly *a, const struct id *from)
{
    list_each(at, &a->partials)
    {
        struct partial *p = list_entry(at, struct partial, order);
        if (id_equal(&p->from, from))
            forget(a, p);
    }
}

/* ---- shares ---- */

/** What one link holds. */
struct share {
    size_t messages, bytes;
    struct partial *oldest;
};

static size_t
partial_bytes(const struct partial *p)
{
    return p->lists.len + p->have + p->piece_count * sizeof(struct piece);
}

static struct share
share_of(const struct reassembly *a, const struct id *from, const struct partial *spared)
{
    struct share s = {0};

    list_each(at, (struct list_node *)&a->partials)
    {
        struct partial *p = list_entry(at, struct partial, order);
        if (!id_equal(&p->from, from))
            continue;
        s.messages++;
        s.bytes += partial_bytes(p);
        if (!s.oldest && p != spared)
            s.oldest = p;
    }
    return s;
}

/* The link that holds most in bytes, or else in messages; never one that holds less than @from. */
static struct partial *
oldest_of_largest(const struct reassembly *a, const struct id *from, const struct partial *spared,
                  bool by_bytes)
{
    struct share most = share_of(a, from, spared);
    struct partial *oldest = most.oldest;

    list_each(at, (struct list_node *)&a->partials)
    {
        const struct partial *p = list_entry(at, struct partial, order);
        struct share s = share_of(a, &p->from, spared);
        if (s.oldest && (by_bytes ? s.bytes > most.bytes : s.messages > most.messages)) {
            most = s;
            oldest = s.oldest;
        }
    }
    return oldest;
}

static void
evict(struct reassembly *a, struct partial *p)
{
    a->evicted++;
    forget(a, p);
}

/* Room for @bytes more of a link, and @messages more: its own oldest go while it is over its share,
 * then the oldest of whoever holds most.  A message that never becomes whole holds up no other. */
static enum status
make_room(struct reassembly *a, const struct id *from, const struct partial *spared,
          size_t messages, size_t bytes)
{
    const struct reassembly_limits *l = &a->limits;

    for (;;) {
        struct share own = share_of(a, from, spared);
        bool is_full_of_bytes = a->bytes + bytes > l->max_bytes;
        struct partial *victim;

        if (own.messages + messages > l->link_messages || own.bytes + bytes > l->link_bytes)
            victim = own.oldest;
        else if (is_full_of_bytes || a->messages + messages > l->max_messages)
            victim = oldest_of_largest(a, from, spared, is_full_of_bytes);
        else
            return ST_OK;
        if (!victim)
            return ST_LIMIT;
        evict(a, victim);
    }
}

static struct partial *
find(const struct reassembly *a, const struct id *from, uint64_t transaction_id)
{
    list_each(at, &a->partials)
    {
        struct partial *p = list_entry(at, struct partial, order);
        if (p->transaction_id == transaction_id && id_equal(&p->from, from))
            return p;
    }
    return NULL;
}

/* Keep copies of the lists, in one block, and let the header point into it. */
static enum status
keep_header(struct partial *p, const struct forwarding *h)
{
    struct writer w;

    writer_init(&w, 3 * (size_t)UINT16_MAX);
    writer_bytes(&w, h->via);
    writer_bytes(&w, h->destinations);
    writer_bytes(&w, h->options);
    enum status st = w.failed != ST_OK ? w.failed : slice_copy(writer_slice(&w), &p->lists);
    writer_done(&w);
    if (st != ST_OK)
        return st;
    p->header = *h;
    p->header.via.data = p->lists.data;
    p->header.destinations.data = p->header.via.data + h->via.len;
    p->header.options.data = p->header.destinations.data + h->destinations.len;
    return ST_OK;
}

static enum status
start(struct reassembly *a, uint64_t now_ms, const struct id *from, const struct forwarding *h,
      struct partial **ret_partial)
{
    size_t lists_len = h->via.len + h->destinations.len + h->options.len;

    enum status st = make_room(a, from, NULL, 1, lists_len);
    if (st != ST_OK)
        return st;
    struct partial *p = calloc(1, sizeof(*p));
    if (!p)
        return ST_NOMEM;
    st = keep_header(p, h);
    if (st != ST_OK) {
        free(p);
        return st;
    }
    p->from = *from;
    p->transaction_id = h->transaction_id;
    p->until_ms = now_ms + REASSEMBLY_MS;
    list_init(&p->pieces);
    list_append(&a->partials, &p->order);
    a->messages++;
    a->bytes += p->lists.len;
    *ret_partial = p;
    return ST_OK;
}

/* The via list may differ: fragments of one message may have gone different ways. */
static bool
is_same_message(const struct forwarding *a, const struct forwarding *b)
{
    return a->overlay == b->overlay && a->configuration_sequence == b->configuration_sequence &&
           a->max_response_length == b->max_response_length &&
           slice_equal(a->destinations, b->destinations) && slice_equal(a->options, b->options);
}

/* Where a piece goes: after the last one that begins before it.  ST_EXISTS for the same again,
 * which an end-to-end retransmission brings. */
static enum status
place(struct partial *p, size_t offset, struct slice data, struct list_node **ret_before)
{
    struct list_node *before = &p->pieces;

    list_each(at, &p->pieces)
    {
        const struct piece *piece = list_entry(at, struct piece, order);
        if (piece->offset + piece->len <= offset)
            continue;
        if (piece->offset >= offset + data.len) {
            before = at;
            break;
        }
        if (piece->offset == offset && slice_equal(slice_of(piece->data, piece->len), data))
            return ST_EXISTS;
        return ST_MALFORMED;
    }
    *ret_before = before;
    return ST_OK;
}

static enum status
insert(struct reassembly *a, struct partial *p, const struct forwarding *h, struct slice data)
{
    size_t offset = FRAGMENT_OFFSET(h->fragment);
    size_t end = offset + data.len;
    bool is_last = h->fragment & FRAGMENT_LAST;
    struct list_node *before;

    if (!is_same_message(&p->header, h))
        return ST_MALFORMED;
    enum status st = place(p, offset, data, &before);
    if (st != ST_OK)
        return st == ST_EXISTS ? ST_OK : st;
    if (p->want > 0 && (is_last || end > p->want))
        return ST_MALFORMED; /* two ends, or something after the end */
    if (is_last && before != &p->pieces)
        return ST_MALFORMED;
    st = p->piece_count >= PIECES_MAX ? ST_LIMIT
                                      : make_room(a, &p->from, p, 0, piece_cost(data.len));
    if (st != ST_OK)
        return st;
    struct piece *piece = malloc(sizeof(*piece) + data.len);
    if (!piece)
        return ST_NOMEM;
    piece->offset = offset;
    piece->len = data.len;
    memcpy(piece->data, data.data, data.len);
    list_insert_before(before, &piece->order);
    a->bytes += piece_cost(data.len);
    p->piece_count++;
    p->have += data.len;
    if (is_last)
        p->want = end;
    return ST_OK;
}

/* Pieces never overlap, so as many bytes as the last one's end leave no hole. */
static bool
is_complete(const struct partial *p)
{
    return p->want > 0 && p->have == p->want;
}

static enum status
join(const struct partial *p, struct slice *ret_whole)
{
    struct forwarding h = p->header;
    struct writer w;

    h.fragment = MESSAGE_SINGLE_FRAGMENT;
    h.length = (uint32_t)(MESSAGE_HEADER_BYTES + p->lists.len + p->want);
    writer_init(&w, h.length);
    forwarding_write(&w, &h);
    list_each(at, (struct list_node *)&p->pieces)
    {
        const struct piece *piece = list_entry(at, struct piece, order);
        writer_bytes(&w, slice_of(piece->data, piece->len));
    }
    enum status st = w.failed != ST_OK ? w.failed : slice_copy(writer_slice(&w), ret_whole);
    writer_done(&w);
    return st;
}

enum status
reassembly_add(struct reassembly *a, uint64_t now_ms, const struct id *from, struct slice fragment,
               struct slice *ret_whole)
{
    struct forwarding h;
    struct slice data;
    struct partial *p;

    *ret_whole = slice_of(NULL, 0);
    reassembly_expire(a, now_ms);
    enum status st = forwarding_read(fragment, &h, &data, NULL);
    if (st != ST_OK)
        return st;
    if (data.len == 0)
        return ST_MALFORMED;
    if (h.fragment & FRAGMENT_LAST && FRAGMENT_OFFSET(h.fragment) == 0)
        return slice_copy(fragment, ret_whole); /* not fragmented at all */
    if (FRAGMENT_OFFSET(h.fragment) + data.len > a->limits.link_bytes)
        return ST_LIMIT;
    p = find(a, from, h.transaction_id);
    if (!p) {
        st = start(a, now_ms, from, &h, &p);
        if (st != ST_OK)
            return st;
    }
    st = insert(a, p, &h, data);
    if (st == ST_OK && is_complete(p))
        st = join(p, ret_whole);
    if (st != ST_OK || ret_whole->data)
        forget(a, p);
    return st;
}
