#include "gateway/sip/family.h"

#include <stdbool.h>
#include <strings.h>
#include <sys/socket.h>

#include <sofia-sip/tport.h>

static bool
may_reach(const tport_t *transport, int family)
{
    const su_addrinfo_t *own = transport ? tport_get_address(transport) : NULL;

    if (!own)
        return false;
    if (own->ai_family == AF_UNSPEC || own->ai_family == family)
        return true;
    return strcasecmp(tport_name(transport)->tpn_proto, "tls") == 0;
}

int
tport_has_ip4(const tport_t *transport)
{
    return may_reach(transport, AF_INET);
}

int
tport_has_ip6(const tport_t *transport)
{
    return may_reach(transport, AF_INET6);
}

void
family_init(void)
{
}
