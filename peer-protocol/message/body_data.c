/* Stored values and what is told of them: RFC 6940 sections 7.1, 7.2 and 7.4.3. */
#include "peer-protocol/message/body.h"
#include "peer-protocol/message/wire.h"

/* The part of an entry before its value: an array's index, a dictionary's key. */
static void
read_place(struct reader *r, enum data_model model, uint32_t *index, struct slice *key)
{
    if (model == MODEL_ARRAY)
        *index = reader_u32(r);
    else if (model == MODEL_DICTIONARY)
        *key = reader_opaque(r, 2);
}

static void
write_place(struct writer *w, enum data_model model, uint32_t index, struct slice key)
{
    if (model == MODEL_ARRAY)
        writer_u32(w, index);
    else if (model == MODEL_DICTIONARY)
        writer_opaque(w, key, 2);
}

static void
write_value(struct writer *w, const struct data_value *v)
{
    writer_bool(w, v->exists);
    writer_opaque(w, v->value, 4);
}

bool
stored_data_read(struct reader *r, enum data_model model, struct stored_data *ret)
{
    struct stored_data d = {0};
    struct reader in;

    if (r->failed || reader_left(r) == 0)
        return false;
    reader_init(&in, reader_opaque(r, 4));
    d.storage_time_ms = reader_u64(&in);
    d.lifetime_s = reader_u32(&in);
    read_place(&in, model, &d.index, &d.key);
    d.value.exists = reader_bool(&in);
    d.value.value = reader_opaque(&in, 4);
    d.signature = signature_read(&in);
    /* Section 7.2: what does not exist has no value. */
    if (!d.value.exists && d.value.value.len > 0)
        reader_fail(&in);
    if (!reader_is_done(&in))
        reader_fail(r);
    if (r->failed)
        return false;
    *ret = d;
    return true;
}

void
stored_data_write(struct writer *w, enum data_model model, const struct stored_data *d)
{
    size_t mark = writer_open(w, 4);

    writer_u64(w, d->storage_time_ms);
    writer_u32(w, d->lifetime_s);
    write_place(w, model, d->index, d->key);
    write_value(w, &d->value);
    signature_write(w, &d->signature);
    writer_close(w, mark, 4);
}

void
stored_data_signature_input(struct writer *w, const struct id *resource, uint32_t kind,
                            enum data_model model, const struct stored_data *d)
{
    writer_id(w, resource);
    writer_u32(w, kind);
    writer_u64(w, d->storage_time_ms);
    write_place(w, model, 0, d->key); /* section 7.1: an index may change, so it counts as 0 */
    write_value(w, &d->value);
}

bool
stored_metadata_read(struct reader *r, enum data_model model, struct stored_metadata *ret)
{
    struct stored_metadata d = {0};
    struct reader in;

    if (r->failed || reader_left(r) == 0)
        return false;
    reader_init(&in, reader_opaque(r, 4));
    d.storage_time_ms = reader_u64(&in);
    d.lifetime_s = reader_u32(&in);
    read_place(&in, model, &d.index, &d.key);
    d.exists = reader_bool(&in);
    d.value_len = reader_u32(&in);
    d.hash_algorithm = reader_u8(&in);
    d.hash_value = reader_opaque(&in, 1);
    if (!reader_is_done(&in))
        reader_fail(r);
    if (r->failed)
        return false;
    *ret = d;
    return true;
}

void
stored_metadata_write(struct writer *w, enum data_model model, const struct stored_metadata *d)
{
    size_t mark = writer_open(w, 4);

    writer_u64(w, d->storage_time_ms);
    writer_u32(w, d->lifetime_s);
    write_place(w, model, d->index, d->key);
    writer_bool(w, d->exists);
    writer_u32(w, d->value_len);
    writer_u8(w, d->hash_algorithm);
    writer_opaque(w, d->hash_value, 1);
    writer_close(w, mark, 4);
}
