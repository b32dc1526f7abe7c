/* A record that is too long for one request: its parts, in order, one in each request. */
#include <stdlib.h>
#include <string.h>

#include "gateway/replica/internal.h"

void
parts_drop(struct parts *p)
{
    free(p->bytes);
    *p = (struct parts){.bytes = NULL};
}

static enum status
begin(struct parts *p, struct slice token, size_t whole)
{
    parts_drop(p);
    p->bytes = malloc(whole);
    if (!p->bytes)
        return ST_NOMEM;
    memcpy(p->token, token.data, token.len);
    p->token_len = (uint8_t)token.len;
    p->whole = whole;
    return ST_OK;
}

static bool
is_next(const struct parts *p, const struct dialogs_req *req, struct slice token)
{
    return p->bytes && req->part_at == p->len && req->part_whole == p->whole &&
           slice_equal(token, slice_of(p->token, p->token_len));
}

enum status
parts_take(struct parts *p, const struct dialogs_req *req, struct dialogs_entry *ret_entry,
           bool *ret_is_whole)
{
    struct dialogs_entry e;
    struct reader entries;
    enum status st = ST_OK;

    reader_init(&entries, req->entries);
    if (!dialogs_entry_read(&entries, &e) || req->part_whole > DIALOGS_WHOLE_MAX ||
        req->part_at > req->part_whole || e.record.len > req->part_whole - req->part_at)
        return ST_MALFORMED;
    if (req->part_at == 0)
        st = begin(p, e.token, req->part_whole);
    else if (!is_next(p, req, e.token))
        st = ST_STATE;
    if (st != ST_OK) {
        parts_drop(p);
        return st;
    }
    memcpy(p->bytes + p->len, e.record.data, e.record.len);
    p->len += e.record.len;
    *ret_is_whole = p->len == p->whole;
    *ret_entry =
        (struct dialogs_entry){slice_of(p->token, p->token_len), slice_of(p->bytes, p->len)};
    return ST_OK;
}

size_t
parts_write(struct replica *r, const struct kept *c, size_t at, struct dialogs_req *req)
{
    size_t len = c->record.len - at;

    if (len > DIALOGS_RECORD_MAX)
        len = DIALOGS_RECORD_MAX;
    dialogs_entry_write(&r->entries, kept_token(c), slice_of(c->record.data + at, len));
    req->flags |= DIALOGS_PART;
    req->part_at = (uint32_t)at;
    req->part_whole = (uint32_t)c->record.len;
    req->count = 1;
    return at + len;
}
