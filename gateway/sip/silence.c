#include "gateway/sip/silence.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include <sofia-sip/tport.h>

#include "gateway/sip/connections.h"
#include "gateway/sip/unsent.h"

#define ROUNDING_MS 50  /* between our clock and the kernel's */
#define OVERDUE_MS  950 /* the shortest time that a hop is given, a second, and our rounding */

/* Is something under way that was not acknowledged, and nothing at all for so long? */
static bool
is_dead(int fd, uint32_t silent_ms)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);

    memset(&info, 0, sizeof(info));
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len))
        return false;
    return info.tcpi_unacked > 0 && info.tcpi_last_ack_recv + ROUNDING_MS >= silent_ms &&
           info.tcpi_last_data_recv + ROUNDING_MS >= silent_ms;
}

void
silence_doubt(struct sip *s, nta_outgoing_t *orq, uint32_t silent_ms)
{
    static const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    /* Who calls and thinks better of it says nothing of the connection: no answer is overdue. */
    tport_t *transport = silent_ms < OVERDUE_MS ? NULL : nta_outgoing_transport(orq);
    int fd = transport ? connections_fd(s->connections, transport) : -1;

    if (fd >= 0 && is_dead(fd, silent_ms) &&
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)) == 0) {
        const tp_name_t *name = tport_name(transport);

        log_write(LOG_LEVEL_REMOTE, "sip", "connection to %s:%s reset: nothing comes back in %u ms",
                  name->tpn_host, name->tpn_port, (unsigned)silent_ms);
        shutdown(fd, SHUT_RDWR); /* the library then closes it, and the kernel discards its queue */
    }
    if (transport)
        tport_unref(transport);
}

void
silence_give_up(struct sip *s, nta_outgoing_t *orq, uint32_t silent_ms)
{
    msg_t *msg = nta_outgoing_getrequest(orq);

    unsent_mark(msg, UNSENT_GIVEN_UP);
    msg_destroy(msg);
    silence_doubt(s, orq, silent_ms);
}
