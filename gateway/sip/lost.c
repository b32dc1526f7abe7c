#include "gateway/sip/lost.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include <sofia-sip/msg_addr.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/su_tagarg.h>
#include <sofia-sip/tport.h>

#include "base/log.h"
#include "gateway/sip/finished.h"

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

/* By a new connection, where the one that the request came by is gone. */
static tport_t *
send_again(tport_t *transport, msg_t *msg, const tp_name_t *name, const tagi_t *tags)
{
    int error = msg_errno(msg);
    tport_t *another;

    if (!name || !tport_is_stream(transport) || (error != EPIPE && error != ECONNREFUSED))
        return NULL;
    another = tport_by_name(transport, name);
    if (!another || another == transport)
        return NULL;
    return library_send()(another, msg, name, TAG_NEXT(tags));
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

    if (how == FINISHED_SUPPRESS)
        return NULL;
    if (!library_send()(self, msg, name, TAG_NEXT(tags)) && !send_again(self, msg, name, tags))
        note_lost(msg, name);
    return how == FINISHED_TAKE && !finished_after(sip) ? NULL : self;
}

tport_t *
tport_tsend(tport_t *self, msg_t *msg, tp_name_t const *name, tag_type_t tag, tag_value_t value,
            ...)
{
    tport_t *sent;
    ta_list ta;

    ta_start(ta, tag, value);
    sent = self && is_response(msg) ? send_response(self, msg, name, ta_args(ta))
                                    : library_send()(self, msg, name, ta_tags(ta));
    ta_end(ta);
    return sent;
}
