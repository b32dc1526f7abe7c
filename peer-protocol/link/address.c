#include "peer-protocol/link/address.h"

#include <arpa/inet.h>
#include <event2/util.h>
#include <stdio.h>

in_port_t
address_port(const struct address *a)
{
    if (a->any.sa_family == AF_INET)
        return ntohs(a->v4.sin_port);
    return a->any.sa_family == AF_INET6 ? ntohs(a->v6.sin6_port) : 0;
}

enum status
address_parse(const char *text, struct address *ret)
{
    struct address a = {.len = sizeof(a.v6)};
    int len = (int)a.len;

    if (evutil_parse_sockaddr_port(text, &a.any, &len) != 0 || address_port(&a) == 0)
        return ST_RANGE;
    a.len = (socklen_t)len;
    *ret = a;
    return ST_OK;
}

void
address_text(const struct address *a, char out[ADDRESS_TEXT_BYTES])
{
    char host[INET6_ADDRSTRLEN];

    if (a->any.sa_family == AF_INET && inet_ntop(AF_INET, &a->v4.sin_addr, host, sizeof(host)))
        snprintf(out, ADDRESS_TEXT_BYTES, "%s:%u", host, (unsigned)address_port(a));
    else if (a->any.sa_family == AF_INET6 &&
             inet_ntop(AF_INET6, &a->v6.sin6_addr, host, sizeof(host)))
        snprintf(out, ADDRESS_TEXT_BYTES, "[%s]:%u", host, (unsigned)address_port(a));
    else
        snprintf(out, ADDRESS_TEXT_BYTES, "?");
}

struct address
address_near(int fd)
{
    struct address a = {.len = sizeof(a.v6)};

    if (getsockname(fd, &a.any, &a.len) != 0)
        a = (struct address){.len = 0};
    return a;
}

struct address
address_far(int fd)
{
    struct address a = {.len = sizeof(a.v6)};

    if (getpeername(fd, &a.any, &a.len) != 0)
        a = (struct address){.len = 0};
    return a;
}
