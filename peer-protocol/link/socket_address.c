#include "peer-protocol/link/socket_address.h"

#include <arpa/inet.h>
#include <event2/util.h>
#include <stdio.h>

in_port_t
socket_address_port(const struct socket_address *a)
{
    if (a->any.sa_family == AF_INET)
        return ntohs(a->v4.sin_port);
    return a->any.sa_family == AF_INET6 ? ntohs(a->v6.sin6_port) : 0;
}

enum status
socket_address_parse(const char *text, struct socket_address *ret)
{
    struct socket_address a = {.len = sizeof(a.v6)};
    int len = (int)a.len;

    if (evutil_parse_sockaddr_port(text, &a.any, &len) != 0 || socket_address_port(&a) == 0)
        return ST_RANGE;
    a.len = (socklen_t)len;
    *ret = a;
    return ST_OK;
}

void
socket_address_text(const struct socket_address *a, char out[SOCKET_ADDRESS_TEXT_BYTES])
{
    char host[INET6_ADDRSTRLEN];

    if (a->any.sa_family == AF_INET && inet_ntop(AF_INET, &a->v4.sin_addr, host, sizeof(host)))
        snprintf(out, SOCKET_ADDRESS_TEXT_BYTES, "%s:%u", host, (unsigned)socket_address_port(a));
    else if (a->any.sa_family == AF_INET6 &&
             inet_ntop(AF_INET6, &a->v6.sin6_addr, host, sizeof(host)))
        snprintf(out, SOCKET_ADDRESS_TEXT_BYTES, "[%s]:%u", host, (unsigned)socket_address_port(a));
    else
        snprintf(out, SOCKET_ADDRESS_TEXT_BYTES, "?");
}

struct socket_address
socket_address_near(int fd)
{
    struct socket_address a = {.len = sizeof(a.v6)};

    if (getsockname(fd, &a.any, &a.len) != 0)
        a = (struct socket_address){.len = 0};
    return a;
}

struct socket_address
socket_address_far(int fd)
{
    struct socket_address a = {.len = sizeof(a.v6)};

    if (getpeername(fd, &a.any, &a.len) != 0)
        a = (struct socket_address){.len = 0};
    return a;
}
