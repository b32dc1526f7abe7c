#include "gateway/sip/large.h"

#include <errno.h>
#include <stdlib.h>

#include <sofia-sip/msg_addr.h>
#include <sofia-sip/sip_header.h>

#include "base/list.h"
#include "gateway/sip/unsent.h"

/* A request that waits for a connection, because it is too large for UDP. */
struct attempt {
    struct list_node link;
    msg_t *msg;     /* a reference */
    tport_t *tport; /* kept */
};

static _Thread_local struct list_node attempts; /* all zero until there is one */
static _Thread_local const msg_t *too_large;    /* by TCP next */

static void
drop(struct attempt *a)
{
    list_remove(&a->link);
    msg_destroy(a->msg);
    tport_unref(a->tport);
    free(a);
}

static struct attempt *
find(const msg_t *msg)
{
    struct attempt *found = NULL;

    if (!attempts.next)
        return NULL;
    list_each(at, &attempts)
    {
        struct attempt *a = list_entry(at, struct attempt, link);

        if (a->msg == msg)
            found = a;
        else if (tport_is_connected(a->tport) || tport_is_closed(a->tport))
            drop(a);
    }
    return found;
}

void
large_free(void)
{
    while (attempts.next && !list_is_empty(&attempts))
        drop(list_entry(attempts.next, struct attempt, link));
    too_large = NULL;
}

static void
begin(msg_t *msg, tport_t *transport)
{
    struct attempt *a = find(msg) ? NULL : calloc(1, sizeof(*a));

    if (!a)
        return; /* without memory it is the library's alone */
    if (!attempts.next)
        list_init(&attempts);
    a->msg = msg_ref_create(msg);
    a->tport = tport_ref(transport);
    list_append(&attempts, &a->link);
}

/* By UDP now: what nobody else waits for is closed. */
static void
end(struct attempt *a)
{
    if (!tport_is_connected(a->tport) && !tport_is_closed(a->tport) &&
        tport_queuelen(a->tport) == 1)
        tport_shutdown(a->tport, 2);
    drop(a);
}

bool
large_before(const tport_t *transport, msg_t *msg)
{
    const sip_t *sip = sip_object(msg);
    struct attempt *a;
    sip_method_t method;

    if (!sip || !sip->sip_request || tport_is_stream(transport))
        return false;
    a = find(msg);
    if (a) {
        unsent_mark(msg, UNSENT_BY_STREAM);
        end(a);
    }
    unsent_datagram(msg);
    method = sip->sip_request->rq_method;
    return method == sip_method_ack || method == sip_method_cancel;
}

void
large_after(const tport_t *transport, msg_t *msg, tport_t *sent)
{
    bool is_stream = tport_is_stream(transport);

    unsent_datagram(NULL);
    if (is_stream && too_large == msg) {
        too_large = NULL;
        if (sent && tport_is_secondary(sent) && !tport_is_connected(sent))
            begin(msg, sent);
        else if (!sent)
            msg_set_errno(msg, ECONNREFUSED); /* the library then takes UDP */
    } else if (!is_stream && !sent && msg_errno(msg) == EMSGSIZE) {
        too_large = msg;
    }
}

int
large_error(msg_t *msg, int error)
{
    struct attempt *a = find(msg);

    if (!a || tport_is_connected(a->tport))
        return error;
    drop(a); /* its connection goes, and its queue with it */
    return ECONNREFUSED;
}
