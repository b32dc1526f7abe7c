#include "gateway/sip/inlet.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <sofia-sip/msg_addr.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/sip_util.h>
#include <sofia-sip/tport.h>

#include "gateway/sip/finished.h"

#define BRANCH_CHARS_MIN 7

struct tport_compressor;
typedef void deliver_function(tport_t *, msg_t *, msg_t *, struct tport_compressor *, su_time_t);

static _Thread_local struct {
    bool is_open;
    const sip_via_t *via;     /* of the request in hand, if something in it was replaced */
    const char *was_protocol; /* what it said */
    const char *was_branch;
} inlet;

static atomic_uint_least64_t discarded;

void
inlet_open(void)
{
    inlet.is_open = true;
}

void
inlet_close(void)
{
    inlet.is_open = false;
}

uint64_t
inlet_discarded(void)
{
    return discarded;
}

/* ---- can it be answered? ---- */

static bool
is_port(const char *text)
{
    char *end = NULL;
    unsigned long port;

    if (!text || !text[0])
        return true; /* the default one */
    port = strtoul(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && port > 0 && port <= 65535;
}

static bool
is_unicast4(const char *text)
{
    struct in_addr address;
    uint32_t first;

    if (inet_pton(AF_INET, text, &address) != 1)
        return false;
    first = ntohl(address.s_addr) >> 24;
    return first > 0 && first < 224; /* neither this network, multicast, reserved nor broadcast */
}

static bool
is_unicast6(const char *text)
{
    char plain[INET6_ADDRSTRLEN];
    struct in6_addr address;
    size_t len = strlen(text);

    if (len < 2 || text[0] != '[' || text[len - 1] != ']' || len - 2 >= sizeof(plain))
        return false;
    memcpy(plain, text + 1, len - 2);
    plain[len - 2] = '\0';
    if (inet_pton(AF_INET6, plain, &address) != 1)
        return false;
    return !IN6_IS_ADDR_UNSPECIFIED(&address) && !IN6_IS_ADDR_MULTICAST(&address) &&
           !IN6_IS_ADDR_V4MAPPED(&address);
}

static bool
is_sendable(const char *host, int family)
{
    return family == AF_INET6 ? is_unicast6(host) : is_unicast4(host);
}

bool
inlet_is_answerable(const sip_via_t *via, int family)
{
    if (via->v_rport)
        return true;
    return is_port(via->v_port) && (!via->v_maddr || is_sendable(via->v_maddr, family));
}

/* ---- the message ---- */

/* A maddr that leads nowhere would be the response's destination. */
static void
drop_maddr(sip_via_t *via, int family)
{
    if (via->v_maddr && !is_sendable(via->v_maddr, family))
        msg_header_remove_param(via->v_common, "maddr");
}

static const char *
protocol_of(const tport_t *transport)
{
    const char *name = tport_name(transport)->tpn_proto;

    if (strcasecmp(name, "tls") == 0)
        return sip_transport_tls;
    return strcasecmp(name, "tcp") == 0 ? sip_transport_tcp : sip_transport_udp;
}

/* The library compares what follows the first seven characters of a branch without looking whether
 * there are seven. */
static bool
is_comparable(const char *branch)
{
    return !branch || strlen(branch) >= BRANCH_CHARS_MIN;
}

static void
take_at_its_place(const tport_t *transport, sip_via_t *via)
{
    const char *protocol = protocol_of(transport);

    if (is_comparable(via->v_branch) && via->v_protocol &&
        strcasecmp(via->v_protocol, protocol) == 0)
        return;
    inlet.via = via;
    inlet.was_protocol = via->v_protocol;
    inlet.was_branch = via->v_branch;
    via->v_protocol = protocol;
    if (!is_comparable(via->v_branch))
        via->v_branch = NULL;
}

void
inlet_restore(sip_t *sip)
{
    if (inlet.via && sip->sip_via == inlet.via) {
        sip->sip_via->v_protocol = inlet.was_protocol;
        sip->sip_via->v_branch = inlet.was_branch;
    }
    inlet.via = NULL;
}

/* False: it is not to be delivered. */
static bool
look_at(const tport_t *transport, msg_t *msg)
{
    sip_t *sip = sip_object(msg);
    sip_via_t *via = sip && sip->sip_request ? sip->sip_via : NULL;
    const su_sockaddr_t *from = msg_addr(msg);

    if (!via)
        return true;
    if (!tport_is_stream(transport) && !inlet_is_answerable(via, from->su_family)) {
        discarded++;
        return false;
    }
    if (finished_on_request(sip))
        return false;
    drop_maddr(via, from->su_family);
    take_at_its_place(transport, via);
    return true;
}

void tport_deliver(tport_t *self, msg_t *msg, msg_t *next, struct tport_compressor *compressor,
                   su_time_t now);

void
tport_deliver(tport_t *self, msg_t *msg, msg_t *next, struct tport_compressor *compressor,
              su_time_t now)
{
    static _Atomic(void *) found;
    deliver_function *library;
    void *at = found;

    if (!at) {
        at = dlsym(RTLD_NEXT, "tport_deliver");
        found = at;
    }
    *(void **)&library = at; /* POSIX's way from an object pointer to a function */
    inlet.via = NULL;
    if (inlet.is_open && !look_at(self, msg)) {
        msg_destroy(msg);
        return;
    }
    library(self, msg, next, compressor, now);
    inlet.via = NULL;
}
