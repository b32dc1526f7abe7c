#include "gateway/sip/resend.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <sofia-sip/tport.h>

#include "gateway/sip/large.h"
#include "gateway/sip/unsent.h"

typedef int pend_function(tport_t *, msg_t *, tport_pending_error_f *, tp_client_t *);

static atomic_uint_least64_t count;
static _Atomic(tport_pending_error_f *)
    transaction_error; /* the library has one, and it is static */

uint64_t
resend_count(void)
{
    return count;
}

/* 0: closed by its other end, in order.  EIO: what TLS makes of an end without its own farewell. */
static bool
is_end_of_connection(const tport_t *transport, int error)
{
    return transport && tport_is_stream(transport) && tport_is_secondary(transport) &&
           (error == 0 || error == EPIPE || error == ECONNRESET || error == ECONNABORTED ||
            (error == EIO && tport_has_tls(transport)));
}

static void
on_error(tp_stack_t *stack, tp_client_t *client, tport_t *transport, msg_t *msg, int error)
{
    tport_pending_error_f *library = transaction_error;
    bool is_given_up = unsent_has(msg, UNSENT_GIVEN_UP);

    error = is_given_up ? error : large_error(msg, error);
    if (is_end_of_connection(transport, error)) {
        if (is_given_up)
            return; /* it may have arrived: its transaction waits for a response */
        count++;
        error = EPIPE;
    }
    library(stack, client, transport, msg, error);
}

int
tport_pend(tport_t *self, msg_t *msg, tport_pending_error_f *callback, tp_client_t *client)
{
    static _Atomic(void *) found;
    pend_function *library;
    void *at = found;

    if (!at) {
        at = dlsym(RTLD_NEXT, "tport_pend");
        found = at;
    }
    *(void **)&library = at; /* POSIX's way from an object pointer to a function */
    if (!transaction_error)
        transaction_error = callback;
    return library(self, msg, callback == transaction_error ? on_error : callback, client);
}
