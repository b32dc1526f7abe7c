/* Fetch and Stat: RFC 6940 sections 7.4.2 and 7.4.3. */
#include "peer-protocol/message/body.h"
#include "peer-protocol/message/wire.h"

#define KINDS_MAX 64 /* kinds in one request or answer */

bool
data_specifier_read(struct reader *r, struct data_specifier *ret)
{
    struct data_specifier s = {0};

    if (r->failed || reader_left(r) == 0)
        return false;
    s.kind = reader_u32(r);
    s.generation = reader_u64(r);
    s.model = reader_opaque(r, 2);
    if (r->failed)
        return false;
    *ret = s;
    return true;
}

void
data_specifier_write(struct writer *w, const struct data_specifier *s)
{
    writer_u32(w, s->kind);
    writer_u64(w, s->generation);
    writer_opaque(w, s->model, 2);
}

enum status
fetch_req_read(struct slice in, struct fetch_req *ret)
{
    struct data_specifier s;
    struct fetch_req b = {0};
    struct reader r, entries;
    size_t count = 0;

    reader_init(&r, in);
    b.resource = wire_resource_read(&r);
    b.specifiers = reader_opaque(&r, 2);
    reader_init(&entries, b.specifiers);
    while (data_specifier_read(&entries, &s))
        if (++count > KINDS_MAX)
            reader_fail(&entries);
    if (entries.failed)
        reader_fail(&r);
    if (reader_is_done(&r))
        *ret = b;
    return wire_end(&r);
}

void
fetch_req_write(struct writer *w, const struct fetch_req *b)
{
    wire_resource_write(w, &b->resource);
    writer_opaque(w, b->specifiers, 2);
}

bool
specifier_key_read(struct reader *r, struct slice *ret_key)
{
    if (r->failed || reader_left(r) == 0)
        return false;
    struct slice key = reader_opaque(r, 2);
    if (r->failed)
        return false;
    *ret_key = key;
    return true;
}

enum status
specifier_keys(struct slice model, struct slice *ret_keys)
{
    struct reader r, entries;
    struct slice key;

    reader_init(&r, model);
    struct slice keys = reader_opaque(&r, 2);
    reader_init(&entries, keys);
    while (specifier_key_read(&entries, &key))
        continue;
    if (entries.failed)
        reader_fail(&r);
    if (reader_is_done(&r))
        *ret_keys = keys;
    return wire_end(&r);
}

bool
specifier_range_read(struct reader *r, int32_t *ret_first, int32_t *ret_last)
{
    if (r->failed || reader_left(r) == 0)
        return false;
    uint32_t first = reader_u32(r);
    uint32_t last = reader_u32(r);
    if (r->failed)
        return false;
    *ret_first = (int32_t)first;
    *ret_last = (int32_t)last;
    return true;
}

enum status
specifier_ranges(struct slice model, struct slice *ret_ranges)
{
    struct reader r, entries;
    int32_t first, last;

    reader_init(&r, model);
    struct slice ranges = reader_opaque(&r, 2);
    reader_init(&entries, ranges);
    while (specifier_range_read(&entries, &first, &last))
        continue;
    if (entries.failed)
        reader_fail(&r);
    if (reader_is_done(&r))
        *ret_ranges = ranges;
    return wire_end(&r);
}

void
specifier_write_keys(struct writer *w, const struct slice *key, size_t count)
{
    size_t mark = writer_open(w, 2);

    for (size_t i = 0; i < count; i++)
        writer_opaque(w, key[i], 2);
    writer_close(w, mark, 2);
}

void
specifier_write_range(struct writer *w, int32_t first, int32_t last)
{
    size_t mark = writer_open(w, 2);

    writer_u32(w, (uint32_t)first);
    writer_u32(w, (uint32_t)last);
    writer_close(w, mark, 2);
}

/* StoredData and StoredMetaData both begin with their own length. */
static bool
entries_are_good(struct slice values)
{
    struct reader r;

    reader_init(&r, values);
    while (reader_left(&r) > 0)
        reader_opaque(&r, 4);
    return !r.failed;
}

bool
fetch_kind_response_read(struct reader *r, struct fetch_kind_response *ret)
{
    struct fetch_kind_response d = {0};

    if (r->failed || reader_left(r) == 0)
        return false;
    d.kind = reader_u32(r);
    d.generation = reader_u64(r);
    d.values = reader_opaque(r, 4);
    if (!entries_are_good(d.values))
        reader_fail(r);
    if (r->failed)
        return false;
    *ret = d;
    return true;
}

void
fetch_kind_response_write(struct writer *w, const struct fetch_kind_response *d)
{
    writer_u32(w, d->kind);
    writer_u64(w, d->generation);
    writer_opaque(w, d->values, 4);
}

enum status
fetch_ans_read(struct slice in, struct slice *ret_responses)
{
    struct fetch_kind_response d;
    struct reader r, entries;
    size_t count = 0;

    reader_init(&r, in);
    struct slice responses = reader_opaque(&r, 4);
    reader_init(&entries, responses);
    while (fetch_kind_response_read(&entries, &d))
        if (++count > KINDS_MAX)
            reader_fail(&entries);
    if (entries.failed)
        reader_fail(&r);
    if (reader_is_done(&r))
        *ret_responses = responses;
    return wire_end(&r);
}

void
fetch_ans_write(struct writer *w, struct slice responses)
{
    writer_opaque(w, responses, 4);
}
