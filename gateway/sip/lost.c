#include "gateway/sip/lost.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <string.h>
#include <strings.h>

#include <sofia-sip/msg_addr.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/su_tagarg.h>
#include <sofia-sip/tport.h>
#include <sofia-sip/tport_tag.h>

#include "base/log.h"
#include "gateway/sip/client.h"
#include "gateway/sip/finished.h"
#include "gateway/sip/flow.h"
#include "gateway/sip/inlet.h"
#include "gateway/sip/large.h"
#include "gateway/sip/size.h"

#define DATAGRAM_MAX 65535

typedef tport_t *send_function(tport_t *, msg_t *, tp_name_t const *, tag_type_t, tag_value_t, ...);

static atomic_uint_least64_t count;

uint64_t
lost_count(void)
{
    return count;
}

static send_function *
library_send(void)
{
    static _Atomic(void *) found;
    send_function *function;
    void *at = found;

    if (!at) {
        at = dlsym(RTLD_NEXT, "tport_tsend");
        found = at;
    }
    *(void **)&function = at; /* POSIX's way from an object pointer to a function */
    return function;
}

static bool
is_response(msg_t *msg)
{
    const sip_t *sip = sip_object(msg);

    return sip && sip->sip_status;
}

/* Was it a connection, and is no more? */
static bool
is_gone(const tport_t *transport)
{
    return tport_is_secondary(transport) && tport_is_stream(transport) &&
           !tport_is_clear_to_send(transport);
}

/* The connection that a phone has made in place of one that is gone; or NULL. */
static tport_t *
later_of(tport_t *transport, const tp_name_t *name)
{
    if (is_gone(transport))
        return flow_later(tport_name(transport));
    return tport_is_stream(transport) && tport_is_primary(transport) ? flow_later(name) : NULL;
}

/* Given a connection that is gone the library would make one for each message: given the listening
 * transport, one for all that go to the same place. */
static tport_t *
open_of(tport_t *transport, const tp_name_t *name)
{
    tport_t *later = transport ? later_of(transport, name) : NULL;

    if (later)
        return later;
    return transport && is_gone(transport) ? tport_parent(transport) : transport;
}

/* Where to connect to whoever sent the request: "received", and the port of sent-by.  The port it
 * was seen to come from, which the library has, was that of the connection that is gone. */
static bool
place_to_connect(const sip_via_t *via, const tp_name_t *name, tp_name_t *ret_place)
{
    const char *host = via ? (via->v_received ? via->v_received : via->v_host) : NULL;

    if (!host || !name)
        return false;
    *ret_place = *name;
    ret_place->tpn_host = host;
    ret_place->tpn_canon = host;
    ret_place->tpn_port = via->v_port;
    if (!via->v_port || !via->v_port[0])
        ret_place->tpn_port = strcasecmp(name->tpn_proto, "tls") == 0 ? "5061" : "5060";
    return true;
}

/* After a bad request the library wants to end the connection: not one that can go on. */
static tport_t *
send_once(tport_t *self, msg_t *msg, const tp_name_t *name, const tagi_t *tags)
{
    if (inlet_keeps_connection())
        return library_send()(self, msg, name, TPTAG_MTU(INT_MAX), TAG_END());
    return library_send()(self, msg, name, TAG_NEXT(tags));
}

/* By the connection that the request came by; where that is gone, by a new one. */
static tport_t *
send_either_way(tport_t *self, msg_t *msg, const sip_t *sip, const tp_name_t *name,
                const tagi_t *tags)
{
    tport_t *later = later_of(self, name);
    bool was_gone = is_gone(self) && !later;
    tport_t *sent = was_gone ? NULL : send_once(later ? later : self, msg, name, tags);
    tp_name_t place;

    if (sent || !tport_is_stream(self) || (!was_gone && msg_errno(msg) != EPIPE) ||
        !place_to_connect(sip->sip_via, name, &place))
        return sent;
    return send_once(tport_parent(self), msg, &place, tags);
}

static void
note_lost(msg_t *msg, const tp_name_t *name)
{
    const sip_t *sip = sip_object(msg);
    int error = msg_errno(msg);

    count++;
    log_write(LOG_LEVEL_REMOTE, "sip", "response %d to %s:%s cannot be sent, discarded: %s",
              sip->sip_status->st_status, name && name->tpn_host ? name->tpn_host : "-",
              name && name->tpn_port ? name->tpn_port : "-",
              error ? strerror(error) : "no transport");
}

static tport_t *
send_response(tport_t *self, msg_t *msg, const tp_name_t *name, const tagi_t *tags)
{
    const sip_t *sip = sip_object(msg);
    enum finished_send how = finished_before(sip);

    tport_t *last = finished_transport(sip);

    if (how == FINISHED_SUPPRESS)
        return NULL;
    if (!send_either_way(last && !is_gone(last) ? last : self, msg, sip, name, tags))
        note_lost(msg, name);
    return how == FINISHED_TAKE && !finished_after(msg, sip) ? NULL : self;
}

tport_t *
tport_tsend(tport_t *self, msg_t *msg, tp_name_t const *name, tag_type_t tag, tag_value_t value,
            ...)
{
    tport_t *sent;
    ta_list ta;

    if (msg)
        size_lift(msg);
    ta_start(ta, tag, value);
    if (self && is_response(msg)) {
        sent = send_response(self, msg, name, ta_args(ta));
    } else {
        bool is_any_size = self && msg && large_before(self, msg);

        client_before(self, msg);
        if (is_any_size)
            sent = library_send()(self, msg, name, TPTAG_MTU(DATAGRAM_MAX), TAG_NEXT(ta_args(ta)));
        else
            sent = library_send()(open_of(self, name), msg, name, ta_tags(ta));
        client_after(sent);
        if (self && msg)
            large_after(self, msg, sent);
    }
    ta_end(ta);
    return sent;
}
