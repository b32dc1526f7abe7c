#include "gateway/control/host.h"

#include <arpa/inet.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#define NAME_BYTES 256

/* The address that the client connected to; "" if nobody knows. */
static void
own_address(struct evhttp_request *request, char ret[INET6_ADDRSTRLEN])
{
    struct bufferevent *b =
        evhttp_connection_get_bufferevent(evhttp_request_get_connection(request));
    struct sockaddr_storage own = {0};
    socklen_t len = sizeof(own);

    ret[0] = '\0';
    if (getsockname(bufferevent_getfd(b), (struct sockaddr *)&own, &len))
        return;
    if (own.ss_family == AF_INET6)
        inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&own)->sin6_addr, ret, INET6_ADDRSTRLEN);
    else
        inet_ntop(AF_INET, &((struct sockaddr_in *)&own)->sin_addr, ret, INET6_ADDRSTRLEN);
}

static bool
is_same_ipv6(const char *a, const char *b)
{
    struct in6_addr one, other;

    return inet_pton(AF_INET6, a, &one) == 1 && inet_pton(AF_INET6, b, &other) == 1 &&
           memcmp(&one, &other, sizeof(one)) == 0;
}

/* "name", "name:port", "[::1]" or "[::1]:port"; false if it is neither. */
static bool
read_host(const char *value, char ret[NAME_BYTES])
{
    bool is_bracketed = value[0] == '[';
    const char *begin = value + (is_bracketed ? 1 : 0);
    size_t len = strcspn(begin, is_bracketed ? "]" : ":");
    const char *rest = begin + len + (is_bracketed && begin[len] ? 1 : 0);

    if (len == 0 || len >= NAME_BYTES || (is_bracketed && begin[len] != ']'))
        return false;
    if (rest[0] && (rest[0] != ':' || rest[1 + strspn(rest + 1, "0123456789")]))
        return false;
    memcpy(ret, begin, len);
    ret[len] = '\0';
    return true;
}

static bool
is_ours(struct evhttp_request *request, const char *value, const char *node_name)
{
    char own[INET6_ADDRSTRLEN];
    char host[NAME_BYTES];

    if (!read_host(value, host))
        return false;
    own_address(request, own);
    return strcasecmp(host, "localhost") == 0 || strcasecmp(host, node_name) == 0 ||
           strcmp(host, own) == 0 || is_same_ipv6(host, own);
}

int
host_check(struct evhttp_request *request, const char *node_name)
{
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
    const char *in_target = uri ? evhttp_uri_get_host(uri) : NULL;
    const struct evkeyval *field;
    const char *value = NULL;
    unsigned count = 0;

    for (field = evhttp_request_get_input_headers(request)->tqh_first; field;
         field = field->next.tqe_next) {
        if (strcasecmp(field->key, "Host") != 0)
            continue;
        value = field->value;
        count++;
    }
    if (count != 1)
        return 400;
    if (in_target && in_target[0] && !is_ours(request, in_target, node_name))
        return 421;
    return is_ours(request, value, node_name) ? 0 : 421;
}
