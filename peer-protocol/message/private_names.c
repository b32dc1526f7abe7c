/* NAMES: docs/protocol.md. */
#include <assert.h>

#include "peer-protocol/message/private.h"
#include "peer-protocol/message/wire.h"

enum status
names_req_read(struct slice in, struct names_req *ret)
{
    struct names_req b = {0};
    struct reader r;

    reader_init(&r, in);
    b.count = reader_u8(&r);
    if (b.count > NAMES_ASKED_MAX)
        reader_fail(&r);
    for (uint8_t i = 0; i < b.count && !r.failed; i++)
        wire_text_read(&r, b.domain[i], sizeof(b.domain[i]));
    if (reader_is_done(&r))
        *ret = b;
    return wire_end(&r);
}

void
names_req_write(struct writer *w, const struct names_req *b)
{
    assert(b->count <= NAMES_ASKED_MAX);
    writer_u8(w, b->count);
    for (uint8_t i = 0; i < b->count; i++)
        wire_text_write(w, b->domain[i], sizeof(b->domain[i]));
}

/* Into @ret at once, for it is large: half of it is there after a failure. */
enum status
names_ans_read(struct slice in, struct names_ans *ret)
{
    struct reader r;

    reader_init(&r, in);
    ret->count = reader_u8(&r);
    if (ret->count > NAMES_ASKED_MAX)
        reader_fail(&r);
    for (uint8_t i = 0; i < ret->count && !r.failed; i++) {
        ret->verdict[i] = reader_u8(&r);
        if (ret->verdict[i] > NAMES_FOREIGN)
            reader_fail(&r);
    }
    ret->foreign_count = wire_number_read(&r, NAMES_FOREIGN_MAX);
    for (uint16_t i = 0; i < ret->foreign_count && !r.failed; i++) {
        wire_text_read(&r, ret->foreign[i].name, sizeof(ret->foreign[i].name));
        ret->foreign[i].age_s = reader_u32(&r);
    }
    return wire_end(&r);
}

void
names_ans_write(struct writer *w, const struct names_ans *b)
{
    assert(b->count <= NAMES_ASKED_MAX && b->foreign_count <= NAMES_FOREIGN_MAX);
    writer_u8(w, b->count);
    for (uint8_t i = 0; i < b->count; i++)
        writer_u8(w, b->verdict[i]);
    writer_u16(w, b->foreign_count);
    for (uint16_t i = 0; i < b->foreign_count; i++) {
        wire_text_write(w, b->foreign[i].name, sizeof(b->foreign[i].name));
        writer_u32(w, b->foreign[i].age_s);
    }
}
