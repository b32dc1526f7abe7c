#include "peer-protocol/storage/signed_data.h"

#include <string.h>

#include "peer-protocol/storage/access.h"

#define INPUT_BYTES_MAX (1u << 24)

enum status
signed_data_sign(const struct keys *keys, const struct id *resource, const struct kind *kind,
                 struct stored_data *d)
{
    struct writer input;
    enum status st;

    if (!keys->ops->sign) {
        d->signature = signature_none();
        return ST_OK;
    }
    writer_init(&input, INPUT_BYTES_MAX);
    stored_data_signature_input(&input, resource, kind->id, kind->model, d);
    st = input.failed;
    if (st == ST_OK)
        st = keys->ops->sign(keys->ctx, writer_slice(&input), &d->signature);
    writer_done(&input);
    return st;
}

static enum status
verify_signature(const struct keys *keys, const struct id *resource, const struct kind *kind,
                 const struct stored_data *d, struct slice certificates, uint64_t at_wall_ms,
                 struct signer *ret, struct why *why)
{
    struct writer input;
    enum status st;

    if (d->signature.identity_type == SIGNER_NONE || d->signature.algorithm == SIGNATURE_ANONYMOUS)
        return why_set(why, ST_FORBIDDEN, "a value without signature");
    writer_init(&input, INPUT_BYTES_MAX);
    stored_data_signature_input(&input, resource, kind->id, kind->model, d);
    st = input.failed;
    if (st == ST_OK)
        st = keys->ops->verify(keys->ctx, &d->signature, writer_slice(&input), certificates,
                               at_wall_ms, ret, why);
    writer_done(&input);
    return st == ST_TOO_OLD ? ST_SIGNATURE : st; /* "too old" is said of values */
}

enum status
signed_data_verify(const struct keys *keys, const struct id *resource, const struct kind *kind,
                   const struct stored_data *d, struct slice certificates, uint64_t at_wall_ms,
                   struct signer *ret, struct why *why)
{
    struct signer signer = {0};
    enum status st = ST_OK;

    if (keys->ops->verify)
        st = verify_signature(keys, resource, kind, d, certificates, at_wall_ms, &signer, why);
    else if (kind->model == MODEL_DICTIONARY && d->key.len == ID_BYTES)
        memcpy(signer.node.bytes, d->key.data, ID_BYTES);
    if (st == ST_OK)
        st = access_check(keys, kind, resource, &signer, d->key, why);
    if (st == ST_OK)
        *ret = signer;
    return st;
}
