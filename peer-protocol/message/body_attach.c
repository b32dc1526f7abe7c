/* Attach and AppAttach: RFC 6940 sections 6.5.1 and 6.5.2. */
#include "peer-protocol/message/address.h"
#include "peer-protocol/message/body.h"
#include "peer-protocol/message/wire.h"

#define CANDIDATES_MAX 64

/* IceExtension: a name and a value, both opaque<0..2^16-1>. */
static bool
extensions_are_good(struct slice extensions)
{
    struct reader r;

    reader_init(&r, extensions);
    while (reader_left(&r) > 0) {
        reader_opaque(&r, 2);
        reader_opaque(&r, 2);
    }
    return !r.failed;
}

bool
ice_candidate_read(struct reader *r, struct ice_candidate *ret)
{
    struct ice_candidate c = {0};

    if (r->failed || reader_left(r) == 0)
        return false;
    c.address = ip_address_port_read(r);
    c.overlay_link = reader_u8(r);
    c.foundation = reader_opaque(r, 1);
    c.priority = reader_u32(r);
    c.type = reader_u8(r);
    if (c.type == CANDIDATE_SRFLX || c.type == CANDIDATE_RELAY)
        c.related = ip_address_port_read(r);
    else if (c.type != CANDIDATE_HOST)
        reader_fail(r);
    c.extensions = reader_opaque(r, 2);
    if (!extensions_are_good(c.extensions))
        reader_fail(r);
    if (r->failed)
        return false;
    *ret = c;
    return true;
}

void
ice_candidate_write(struct writer *w, const struct ice_candidate *c)
{
    ip_address_port_write(w, &c->address);
    writer_u8(w, c->overlay_link);
    writer_opaque(w, c->foundation, 1);
    writer_u32(w, c->priority);
    writer_u8(w, c->type);
    if (c->type != CANDIDATE_HOST)
        ip_address_port_write(w, &c->related);
    writer_opaque(w, c->extensions, 2);
}

static struct slice
read_candidates(struct reader *r)
{
    struct slice candidates = reader_opaque(r, 2);
    struct ice_candidate c;
    struct reader entries;
    size_t count = 0;

    reader_init(&entries, candidates);
    while (ice_candidate_read(&entries, &c))
        if (++count > CANDIDATES_MAX)
            reader_fail(&entries);
    if (entries.failed)
        reader_fail(r);
    return candidates;
}

static enum status
read_either(struct slice in, bool is_app, struct attach_body *ret)
{
    struct attach_body b = {0};
    struct reader r;

    reader_init(&r, in);
    b.ufrag = reader_opaque(&r, 1);
    b.password = reader_opaque(&r, 1);
    if (is_app)
        b.application = reader_u16(&r);
    b.role = reader_opaque(&r, 1);
    b.candidates = read_candidates(&r);
    if (!is_app)
        b.send_update = reader_bool(&r);
    if (reader_is_done(&r))
        *ret = b;
    return wire_end(&r);
}

static void
write_either(struct writer *w, bool is_app, const struct attach_body *b)
{
    writer_opaque(w, b->ufrag, 1);
    writer_opaque(w, b->password, 1);
    if (is_app)
        writer_u16(w, b->application);
    writer_opaque(w, b->role, 1);
    writer_opaque(w, b->candidates, 2);
    if (!is_app)
        writer_bool(w, b->send_update);
}

enum status
attach_read(struct slice in, struct attach_body *ret)
{
    return read_either(in, false, ret);
}

void
attach_write(struct writer *w, const struct attach_body *b)
{
    write_either(w, false, b);
}

enum status
app_attach_read(struct slice in, struct attach_body *ret)
{
    return read_either(in, true, ret);
}

void
app_attach_write(struct writer *w, const struct attach_body *b)
{
    write_either(w, true, b);
}
