/* Errors, Ping and Probe: RFC 6940 sections 6.3.3.1, 6.5.3 and 6.4.2.5. */
#include "peer-protocol/message/body.h"
#include "peer-protocol/message/wire.h"

#define PROBE_VALUE_BYTES 4

enum status
error_body_read(struct slice in, struct error_body *ret)
{
    struct error_body b = {0};
    struct reader r;

    reader_init(&r, in);
    b.code = reader_u16(&r);
    b.info = reader_opaque(&r, 2);
    if (reader_is_done(&r))
        *ret = b;
    return wire_end(&r);
}

void
error_body_write(struct writer *w, const struct error_body *b)
{
    writer_u16(w, b->code);
    writer_opaque(w, b->info, 2);
}

enum status
ping_req_read(struct slice in, struct ping_req *ret)
{
    struct ping_req b = {0};
    struct reader r;

    reader_init(&r, in);
    b.padding = reader_opaque(&r, 2);
    if (reader_is_done(&r))
        *ret = b;
    return wire_end(&r);
}

void
ping_req_write(struct writer *w, const struct ping_req *b)
{
    writer_opaque(w, b->padding, 2);
}

enum status
ping_ans_read(struct slice in, struct ping_ans *ret)
{
    struct ping_ans b = {0};
    struct reader r;

    reader_init(&r, in);
    b.response_id = reader_u64(&r);
    b.time_ms = reader_u64(&r);
    if (reader_is_done(&r))
        *ret = b;
    return wire_end(&r);
}

void
ping_ans_write(struct writer *w, const struct ping_ans *b)
{
    writer_u64(w, b->response_id);
    writer_u64(w, b->time_ms);
}

enum status
probe_req_read(struct slice in, struct probe_req *ret)
{
    struct probe_req b = {0};
    struct reader r;

    reader_init(&r, in);
    b.types = reader_opaque(&r, 1);
    if (reader_is_done(&r))
        *ret = b;
    return wire_end(&r);
}

void
probe_req_write(struct writer *w, const struct probe_req *b)
{
    writer_opaque(w, b->types, 1);
}

bool
probe_info_read(struct reader *r, struct probe_info *ret)
{
    struct probe_info info = {0};
    struct reader value;

    if (r->failed || reader_left(r) == 0)
        return false;
    info.type = reader_u8(r);
    reader_init(&value, reader_opaque(r, 1));
    info.value = reader_u32(&value); /* all three types the RFC defines are uint32 */
    if (!reader_is_done(&value))
        reader_fail(r);
    if (r->failed)
        return false;
    *ret = info;
    return true;
}

enum status
probe_ans_read(struct slice in, struct slice *ret_infos)
{
    struct probe_info info;
    struct reader r, entries;

    reader_init(&r, in);
    struct slice infos = reader_opaque(&r, 2);
    reader_init(&entries, infos);
    while (probe_info_read(&entries, &info))
        continue;
    if (entries.failed)
        reader_fail(&r);
    if (reader_is_done(&r))
        *ret_infos = infos;
    return wire_end(&r);
}

void
probe_ans_write(struct writer *w, const struct probe_info *info, size_t count)
{
    size_t mark = writer_open(w, 2);

    for (size_t i = 0; i < count; i++) {
        writer_u8(w, info[i].type);
        writer_u8(w, PROBE_VALUE_BYTES);
        writer_u32(w, info[i].value);
    }
    writer_close(w, mark, 2);
}
