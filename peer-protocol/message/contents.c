#include "peer-protocol/message/message.h"

#define EXTENSIONS_MAX   64
#define CERTIFICATES_MAX 256

static const uint8_t identity_none[] = {SIGNER_NONE, 0, 0};

bool
extension_read(struct reader *r, struct extension *ret)
{
    struct extension e = {0};

    if (r->failed || reader_left(r) == 0)
        return false;
    e.type = reader_u16(r);
    e.is_critical = reader_bool(r);
    e.contents = reader_opaque(r, 4);
    if (r->failed)
        return false;
    *ret = e;
    return true;
}

void
extension_write(struct writer *w, const struct extension *e)
{
    writer_u16(w, e->type);
    writer_bool(w, e->is_critical);
    writer_opaque(w, e->contents, 4);
}

static bool
extensions_are_good(struct slice extensions)
{
    struct extension e;
    struct reader r;
    size_t count = 0;

    reader_init(&r, extensions);
    while (extension_read(&r, &e))
        if (++count > EXTENSIONS_MAX)
            return false;
    return !r.failed;
}

static struct contents
contents_read(struct reader *r)
{
    const uint8_t *start = r->at;
    struct contents c = {0};

    c.code = reader_u16(r);
    c.body = reader_opaque(r, 4);
    c.extensions = reader_opaque(r, 4);
    if (c.code == 0 || !extensions_are_good(c.extensions))
        reader_fail(r);
    if (!r->failed)
        c.whole = slice_of(start, (size_t)(r->at - start));
    return c;
}

void
contents_write(struct writer *w, uint16_t code, struct slice body, struct slice extensions)
{
    writer_u16(w, code);
    writer_opaque(w, body, 4);
    writer_opaque(w, extensions, 4);
}

struct signature
signature_none(void)
{
    return (struct signature){.hash = HASH_NONE,
                              .algorithm = SIGNATURE_ANONYMOUS,
                              .identity_type = SIGNER_NONE,
                              .identity_whole = slice_of(identity_none, sizeof(identity_none))};
}

struct signature
signature_read(struct reader *r)
{
    struct signature s = {0};
    struct reader identity;

    s.hash = reader_u8(r);
    s.algorithm = reader_u8(r);
    const uint8_t *start = r->at;
    s.identity_type = reader_u8(r);
    reader_init(&identity, reader_opaque(r, 2));
    if (!r->failed)
        s.identity_whole = slice_of(start, (size_t)(r->at - start));
    if (s.identity_type == SIGNER_CERT_HASH || s.identity_type == SIGNER_CERT_HASH_NODE_ID) {
        s.identity_hash = reader_u8(&identity);
        s.identity = reader_opaque(&identity, 1);
    } else if (s.identity_type != SIGNER_NONE) {
        reader_fail(r);
    }
    if (!reader_is_done(&identity))
        reader_fail(r);
    s.value = reader_opaque(r, 2);
    return s;
}

void
signature_write(struct writer *w, const struct signature *s)
{
    writer_u8(w, s->hash);
    writer_u8(w, s->algorithm);
    writer_u8(w, s->identity_type);
    size_t mark = writer_open(w, 2);
    if (s->identity_type != SIGNER_NONE) {
        writer_u8(w, s->identity_hash);
        writer_opaque(w, s->identity, 1);
    }
    writer_close(w, mark, 2);
    writer_opaque(w, s->value, 2);
}

bool
certificate_read(struct reader *r, struct slice *ret_der)
{
    if (r->failed || reader_left(r) == 0)
        return false;
    if (reader_u8(r) != 0) /* RFC 6091: X.509 */
        reader_fail(r);
    struct slice der = reader_opaque(r, 2);
    if (r->failed)
        return false;
    *ret_der = der;
    return true;
}

void
certificate_write(struct writer *w, struct slice der)
{
    writer_u8(w, 0);
    writer_opaque(w, der, 2);
}

static bool
certificates_are_good(struct slice certificates)
{
    struct slice der;
    struct reader r;
    size_t count = 0;

    reader_init(&r, certificates);
    while (certificate_read(&r, &der))
        if (++count > CERTIFICATES_MAX)
            return false;
    return !r.failed;
}

static struct security
security_read(struct reader *r)
{
    struct security s = {0};

    s.certificates = reader_opaque(r, 2);
    s.signature = signature_read(r);
    if (!certificates_are_good(s.certificates))
        reader_fail(r);
    return s;
}

void
security_write(struct writer *w, struct slice certificates, const struct signature *s)
{
    writer_opaque(w, certificates, 2);
    signature_write(w, s);
}

void
message_signature_input(struct writer *w, uint32_t overlay, uint64_t transaction_id,
                        struct slice contents, struct slice identity_whole)
{
    writer_u32(w, overlay);
    writer_u64(w, transaction_id);
    writer_bytes(w, contents);
    writer_bytes(w, identity_whole);
}

enum status
message_decode(struct slice in, struct message *ret, struct why *why)
{
    struct message m = {.whole = in};
    struct slice rest;
    struct reader r;

    enum status st = forwarding_read(in, &m.header, &rest, why);
    if (st != ST_OK)
        return st;
    if (!(m.header.fragment & FRAGMENT_LAST) || FRAGMENT_OFFSET(m.header.fragment) != 0)
        return why_set(why, ST_MALFORMED, "a fragment, not a whole message");
    reader_init(&r, rest);
    m.contents = contents_read(&r);
    if (r.failed)
        return why_set(why, ST_MALFORMED, "bad message contents");
    m.security = security_read(&r);
    if (r.failed)
        return why_set(why, ST_MALFORMED, "bad security block");
    if (!reader_is_done(&r))
        return why_set(why, ST_MALFORMED, "%zu bytes after the message", reader_left(&r));
    *ret = m;
    return ST_OK;
}

void
message_write(struct writer *w, const struct forwarding *h, struct slice contents,
              struct slice security)
{
    size_t start = w->len;

    forwarding_write(w, h);
    writer_bytes(w, contents);
    writer_bytes(w, security);
    writer_patch_u32(w, start + 16, (uint32_t)(w->len - start)); /* the length field */
}

bool
message_without_certificate(struct writer *w, struct slice in)
{
    size_t start = w->len;
    struct message m;
    struct reader r;
    struct slice der;

    if (message_decode(in, &m, NULL) != ST_OK)
        return false;
    reader_init(&r, m.security.certificates);
    if (!certificate_read(&r, &der) || reader_left(&r) > 0)
        return false;
    const uint8_t *head_end = m.contents.whole.data + m.contents.whole.len;
    const uint8_t *tail = m.security.certificates.data + m.security.certificates.len;
    writer_bytes(w, slice_of(in.data, (size_t)(head_end - in.data)));
    writer_u16(w, 0);
    writer_bytes(w, slice_of(tail, (size_t)(in.data + in.len - tail)));
    writer_patch_u32(w, start + 16, (uint32_t)(w->len - start)); /* the length field */
    return w->failed == ST_OK;
}
