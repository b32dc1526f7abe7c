/* SIP-REGISTRATION values: RFC 7904 section 3.3. */
#include "peer-protocol/message/body.h"
#include "peer-protocol/message/wire.h"

enum status
sip_registration_read(struct slice in, struct sip_registration *ret)
{
    struct sip_registration b = {0};
    struct reader r, data;

    reader_init(&r, in);
    b.type = reader_u8(&r);
    reader_init(&data, reader_opaque(&r, 2));
    if (b.type == SIP_REGISTRATION_URI) {
        b.uri = reader_opaque(&data, 2);
    } else if (b.type == SIP_REGISTRATION_ROUTE) {
        b.contact_prefs = reader_opaque(&data, 2);
        b.destinations = reader_opaque(&data, 2);
        if (destination_list_check(b.destinations, false, NULL) != ST_OK)
            reader_fail(&r);
    } else {
        reader_fail(&r);
    }
    if (!reader_is_done(&data))
        reader_fail(&r);
    if (reader_is_done(&r))
        *ret = b;
    return wire_end(&r);
}

void
sip_registration_write(struct writer *w, const struct sip_registration *b)
{
    writer_u8(w, b->type);
    size_t mark = writer_open(w, 2);
    if (b->type == SIP_REGISTRATION_URI) {
        writer_opaque(w, b->uri, 2);
    } else {
        writer_opaque(w, b->contact_prefs, 2);
        writer_opaque(w, b->destinations, 2);
    }
    writer_close(w, mark, 2);
}
