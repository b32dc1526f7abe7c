/* Store and Find: RFC 6940 sections 7.4.1 and 7.4.4. */
#include "peer-protocol/message/body.h"
#include "peer-protocol/message/wire.h"

#define KINDS_MAX 64 /* kinds in one request or answer */

/* StoredData entries can be told apart by their own length, whatever the kind's model. */
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
store_kind_data_read(struct reader *r, struct store_kind_data *ret)
{
    struct store_kind_data d = {0};

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
store_kind_data_write(struct writer *w, const struct store_kind_data *d)
{
    writer_u32(w, d->kind);
    writer_u64(w, d->generation);
    writer_opaque(w, d->values, 4);
}

enum status
store_req_read(struct slice in, struct store_req *ret)
{
    struct store_kind_data d;
    struct store_req b = {0};
    struct reader r, entries;
    size_t count = 0;

    reader_init(&r, in);
    b.resource = wire_resource_read(&r);
    b.replica_number = reader_u8(&r);
    b.kind_data = reader_opaque(&r, 4);
    reader_init(&entries, b.kind_data);
    while (store_kind_data_read(&entries, &d))
        if (++count > KINDS_MAX)
            reader_fail(&entries);
    if (entries.failed)
        reader_fail(&r);
    if (reader_is_done(&r))
        *ret = b;
    return wire_end(&r);
}

void
store_req_write(struct writer *w, const struct store_req *b)
{
    wire_resource_write(w, &b->resource);
    writer_u8(w, b->replica_number);
    writer_opaque(w, b->kind_data, 4);
}

bool
store_kind_response_read(struct reader *r, struct store_kind_response *ret)
{
    struct store_kind_response d = {0};

    if (r->failed || reader_left(r) == 0)
        return false;
    d.kind = reader_u32(r);
    d.generation = reader_u64(r);
    d.replicas = wire_nodes_read(r);
    if (r->failed)
        return false;
    *ret = d;
    return true;
}

void
store_kind_response_write(struct writer *w, const struct store_kind_response *d)
{
    writer_u32(w, d->kind);
    writer_u64(w, d->generation);
    writer_opaque(w, d->replicas, 2);
}

enum status
store_ans_read(struct slice in, struct slice *ret_responses)
{
    struct store_kind_response d;
    struct reader r, entries;
    size_t count = 0;

    reader_init(&r, in);
    struct slice responses = reader_opaque(&r, 2);
    reader_init(&entries, responses);
    while (store_kind_response_read(&entries, &d))
        if (++count > KINDS_MAX)
            reader_fail(&entries);
    if (entries.failed)
        reader_fail(&r);
    if (reader_is_done(&r))
        *ret_responses = responses;
    return wire_end(&r);
}

void
store_ans_write(struct writer *w, struct slice responses)
{
    writer_opaque(w, responses, 2);
}

enum status
find_req_read(struct slice in, struct find_req *ret)
{
    struct find_req b = {0};
    struct reader r;

    reader_init(&r, in);
    b.resource = wire_resource_read(&r);
    b.kinds = reader_opaque(&r, 1);
    if (b.kinds.len % sizeof(uint32_t) != 0)
        reader_fail(&r);
    if (reader_is_done(&r))
        *ret = b;
    return wire_end(&r);
}

void
find_req_write(struct writer *w, const struct find_req *b)
{
    wire_resource_write(w, &b->resource);
    writer_opaque(w, b->kinds, 1);
}

bool
find_kind_data_read(struct reader *r, struct find_kind_data *ret)
{
    struct find_kind_data d = {0};

    if (r->failed || reader_left(r) == 0)
        return false;
    d.kind = reader_u32(r);
    d.closest = wire_resource_read(r);
    if (r->failed)
        return false;
    *ret = d;
    return true;
}

void
find_kind_data_write(struct writer *w, const struct find_kind_data *d)
{
    writer_u32(w, d->kind);
    wire_resource_write(w, &d->closest);
}

enum status
find_ans_read(struct slice in, struct slice *ret_results)
{
    struct find_kind_data d;
    struct reader r, entries;
    size_t count = 0;

    reader_init(&r, in);
    struct slice results = reader_opaque(&r, 2);
    reader_init(&entries, results);
    while (find_kind_data_read(&entries, &d))
        if (++count > KINDS_MAX)
            reader_fail(&entries);
    if (entries.failed)
        reader_fail(&r);
    if (reader_is_done(&r))
        *ret_results = results;
    return wire_end(&r);
}

void
find_ans_write(struct writer *w, struct slice results)
{
    writer_opaque(w, results, 2);
}
