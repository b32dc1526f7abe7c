#include "peer-protocol/routing/envelope.h"

#include <string.h>

uint32_t
envelope_overlay(const struct keys *keys, const char *overlay)
{
    struct id hash;
    const uint8_t *low = &hash.bytes[ID_BYTES - 4];

    if (keys->ops->overlay_hash)
        return keys->ops->overlay_hash(keys->ctx, slice_text(overlay));
    keys->ops->resource_id(keys->ctx, slice_text(overlay), &hash);
    return (uint32_t)low[0] << 24 | (uint32_t)low[1] << 16 | (uint32_t)low[2] << 8 | low[3];
}

/* Our own certificate always comes along: nobody has to ask for it. */
static enum status
write_security(const struct envelope *e, const struct envelope_letter *letter,
               struct slice contents, struct writer *ret)
{
    struct writer input, certificates;
    struct signature signature = signature_none();
    enum status st = ST_OK;

    writer_init(&input, e->max_bytes + 64);
    writer_init(&certificates, e->max_bytes);
    if (e->keys.ops->sign) {
        message_signature_input(&input, e->overlay, letter->transaction_id, contents,
                                slice_of(NULL, 0));
        st = input.failed;
        if (st == ST_OK)
            st = e->keys.ops->sign(e->keys.ctx, writer_slice(&input), &signature);
        if (st == ST_OK)
            e->keys.ops->certificate_for(e->keys.ctx, &signature, &certificates);
    }
    writer_bytes(&certificates, letter->certificates);
    if (st == ST_OK)
        st = certificates.failed;
    if (st == ST_OK)
        security_write(ret, writer_slice(&certificates), &signature);
    writer_done(&input);
    writer_done(&certificates);
    return st;
}

enum status
envelope_seal(const struct envelope *e, const struct envelope_letter *letter,
              struct slice *ret_sealed)
{
    struct writer contents, sealed;
    enum status st;

    writer_init(&contents, e->max_bytes);
    writer_init(&sealed, e->max_bytes);
    contents_write(&contents, letter->code, letter->body, letter->extensions);
    st = contents.failed;
    writer_bytes(&sealed, writer_slice(&contents));
    if (st == ST_OK)
        st = write_security(e, letter, writer_slice(&contents), &sealed);
    if (st == ST_OK)
        st = sealed.failed;
    if (st == ST_OK)
        st = slice_copy(writer_slice(&sealed), ret_sealed);
    writer_done(&contents);
    writer_done(&sealed);
    return st;
}

struct forwarding
envelope_header(const struct envelope *e, uint64_t transaction_id)
{
    return (struct forwarding){.overlay = e->overlay,
                               .configuration_sequence = e->configuration_sequence,
                               .version = MESSAGE_VERSION,
                               .ttl = e->initial_ttl,
                               .fragment = MESSAGE_SINGLE_FRAGMENT,
                               .transaction_id = transaction_id};
}

struct id
envelope_origin(const struct forwarding *h, const struct id *link)
{
    struct reader r;
    struct destination first;

    reader_init(&r, h->via);
    if (destination_read(&r, &first) && first.type == DESTINATION_NODE)
        return first.id;
    return *link;
}

enum status
envelope_verify(const struct envelope *e, const struct message *m, const struct id *link,
                uint64_t at_wall_ms, struct signer *ret, struct why *why)
{
    const struct signature *signature = &m->security.signature;
    struct writer input;
    enum status st;

    if (!e->keys.ops->verify) {
        *ret = (struct signer){.node = envelope_origin(&m->header, link)};
        return ST_OK;
    }
    if (signature->identity_type == SIGNER_NONE || signature->algorithm == SIGNATURE_ANONYMOUS)
        return why_set(why, ST_SIGNATURE, "not signed");
    writer_init(&input, e->max_bytes + 64);
    message_signature_input(&input, m->header.overlay, m->header.transaction_id, m->contents.whole,
                            slice_of(NULL, 0));
    st = input.failed;
    if (st == ST_OK)
        st = e->keys.ops->verify(e->keys.ctx, signature, writer_slice(&input),
                                 m->security.certificates, at_wall_ms, ret, why);
    writer_done(&input);
    return st;
}
