/* Whole messages: header, lists, contents, security block. */
#include "peer-protocol/message/message.h"
#include "tests/fuzz/fuzz.h"

static void
walk_header(struct writer *w, const struct forwarding *h)
{
    struct forwarding_option o;
    struct destination d;
    struct reader r;

    reader_init(&r, h->via);
    while (destination_read(&r, &d)) {
        fuzz_must(d.type != DESTINATION_RESOURCE);
        destination_write(w, &d);
    }
    fuzz_must(!r.failed && slice_equal(writer_slice(w), h->via));
    writer_reset(w);
    reader_init(&r, h->destinations);
    while (destination_read(&r, &d))
        destination_write(w, &d);
    fuzz_must(!r.failed && slice_equal(writer_slice(w), h->destinations));
    writer_reset(w);
    reader_init(&r, h->options);
    while (forwarding_option_read(&r, &o))
        forwarding_option_write(w, &o);
    fuzz_must(!r.failed && slice_equal(writer_slice(w), h->options));
    writer_reset(w);
}

static void
walk_rest(struct writer *w, const struct message *m)
{
    struct extension e;
    struct slice der;
    struct reader r;

    reader_init(&r, m->contents.extensions);
    while (extension_read(&r, &e))
        extension_write(w, &e);
    fuzz_must(!r.failed && slice_equal(writer_slice(w), m->contents.extensions));
    writer_reset(w);
    reader_init(&r, m->security.certificates);
    while (certificate_read(&r, &der))
        certificate_write(w, der);
    fuzz_must(!r.failed && slice_equal(writer_slice(w), m->security.certificates));
    writer_reset(w);
}

/* The same bytes again from the parts, and again as a forwarder writes them. */
static void
write_again(struct writer *w, const struct message *m)
{
    struct writer contents, security;

    writer_init(&contents, FUZZ_WRITER_BYTES);
    writer_init(&security, FUZZ_WRITER_BYTES);
    contents_write(&contents, m->contents.code, m->contents.body, m->contents.extensions);
    fuzz_must(slice_equal(writer_slice(&contents), m->contents.whole));
    security_write(&security, m->security.certificates, &m->security.signature);
    message_write(w, &m->header, writer_slice(&contents), writer_slice(&security));
    writer_done(&contents);
    writer_done(&security);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct slice in = slice_of(data, len);
    struct message m;
    struct why why;
    struct writer w;

    if (message_decode(in, &m, &why) != ST_OK)
        return 0;
    writer_init(&w, FUZZ_WRITER_BYTES);
    walk_header(&w, &m.header);
    walk_rest(&w, &m);
    write_again(&w, &m);
    fuzz_must(w.failed == ST_OK && slice_equal(writer_slice(&w), in));
    writer_reset(&w);
    forwarding_rewrite(&w, in, &m.header);
    fuzz_must(w.failed == ST_OK && slice_equal(writer_slice(&w), in));
    writer_done(&w);
    return 0;
}
