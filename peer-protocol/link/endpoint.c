#include "peer-protocol/link/endpoint.h"

#include <arpa/inet.h>
#include <event2/util.h>
#include <stdio.h>

in_port_t
endpoint_port(const struct endpoint *a)
{
    if (a->any.sa_family == AF_INET)
        return ntohs(a->v4.sin_port);
    return a->any.sa_family == AF_INET6 ? ntohs(a->v6.sin6_port) : 0;
}

enum status
endpoint_parse(const char *text, struct endpoint *ret)
{
    struct endpoint a = {.len = sizeof(a.v6)};
    int len = (int)a.len;

    if (evutil_parse_sockaddr_port(text, &a.any, &len) != 0 || endpoint_port(&a) == 0)
        return ST_RANGE;
    a.len = (socklen_t)len;
    *ret = a;
    return ST_OK;
}

void
endpoint_text(const struct endpoint *a, char out[ENDPOINT_TEXT_BYTES])
{
    char host[INET6_ADDRSTRLEN];

    if (a->any.sa_family == AF_INET && inet_ntop(AF_INET, &a->v4.sin_addr, host, sizeof(host)))
        snprintf(out, ENDPOINT_TEXT_BYTES, "%s:%u", host, (unsigned)endpoint_port(a));
    else if (a->any.sa_family == AF_INET6 &&
             inet_ntop(AF_INET6, &a->v6.sin6_addr, host, sizeof(host)))
        snprintf(out, ENDPOINT_TEXT_BYTES, "[%s]:%u", host, (unsigned)endpoint_port(a));
    else
        snprintf(out, ENDPOINT_TEXT_BYTES, "?");
}

struct endpoint
endpoint_near(int fd)
{
    struct endpoint a = {.len = sizeof(a.v6)};

    if (getsockname(fd, &a.any, &a.len) != 0)
        a = (struct endpoint){.len = 0};
    return a;
}

struct endpoint
endpoint_far(int fd)
{
    struct endpoint a = {.len = sizeof(a.v6)};

    if (getpeername(fd, &a.any, &a.len) != 0)
        a = (struct endpoint){.len = 0};
    return a;
}
