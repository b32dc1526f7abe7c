#include "gateway/sip/stun.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include <netinet/in.h>
#include <sofia-sip/msg.h>
#include <sofia-sip/su.h>
#include <sofia-sip/tport.h>

enum {
    HEAD_BYTES = 20,
    BINDING_REQUEST = 0x0001,
    BINDING_RESPONSE = 0x0101,
    MAPPED_ADDRESS = 0x0001,
    XOR_MAPPED_ADDRESS = 0x0020,
    OPTIONAL = 0x8000, /* attributes from here on need not be understood */
    STUN_IGNORE = 3    /* the library's word for a datagram that was dealt with */
};

static const uint8_t cookie[4] = {0x21, 0x12, 0xa4, 0x42};

typedef int receive_function(tport_t const *, msg_t **, su_sockaddr_t *, socklen_t);

static unsigned
number(const uint8_t *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

static void
put(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

/* A whole Binding request with nothing in it that has to be understood. */
static bool
is_binding_request(const uint8_t *in, size_t len)
{
    if (len < HEAD_BYTES || len % 4 || number(in) != BINDING_REQUEST ||
        number(in + 2) != len - HEAD_BYTES)
        return false;
    for (size_t at = HEAD_BYTES; at < len; at += 4 + (number(in + at + 2) + 3u) / 4 * 4)
        if (number(in + at) < OPTIONAL || number(in + at + 2) > len - at - 4)
            return false;
    return true;
}

/* The bytes of the address, and its port in network order; 0: of another family. */
static size_t
address_of(const struct sockaddr *from, const uint8_t **ret_at, uint16_t *ret_port)
{
    const struct sockaddr_in *in4 = (const struct sockaddr_in *)(const void *)from;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)from;

    if (from->sa_family == AF_INET) {
        *ret_at = (const uint8_t *)&in4->sin_addr;
        *ret_port = in4->sin_port;
        return 4;
    }
    if (from->sa_family != AF_INET6)
        return 0;
    *ret_at = in6->sin6_addr.s6_addr;
    *ret_port = in6->sin6_port;
    if (!IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
        return 16;
    *ret_at += 12;
    return 4;
}

size_t
stun_answer(const uint8_t *in, size_t len, const struct sockaddr *from,
            uint8_t ret_out[STUN_RESPONSE_BYTES_MAX])
{
    uint8_t *attribute = ret_out + HEAD_BYTES;
    const uint8_t *at;
    uint16_t port;
    size_t bytes;

    if (!is_binding_request(in, len))
        return 0;
    bytes = address_of(from, &at, &port);
    if (bytes == 0)
        return 0;
    put(ret_out, BINDING_RESPONSE);
    put(ret_out + 2, (unsigned)(8 + bytes));
    memcpy(ret_out + 4, in + 4, HEAD_BYTES - 4); /* the cookie and the transaction */
    put(attribute, MAPPED_ADDRESS);
    put(attribute + 2, (unsigned)(4 + bytes));
    put(attribute + 4, bytes == 4 ? 1 : 2);
    memcpy(attribute + 6, &port, 2);
    memcpy(attribute + 8, at, bytes);
    if (memcmp(in + 4, cookie, sizeof(cookie)) == 0) { /* RFC 3489 has none */
        put(attribute, XOR_MAPPED_ADDRESS);
        for (size_t i = 0; i < 2; i++)
            attribute[6 + i] ^= cookie[i];
        for (size_t i = 0; i < bytes; i++)
            attribute[8 + i] ^= in[4 + i];
    }
    return HEAD_BYTES + 8 + bytes;
}

void stun_mini_request(void *server, su_socket_t socket, void *in, ssize_t len, void *from,
                       socklen_t from_len);
int tport_recv_stun_dgram(tport_t const *self, msg_t **in_out_msg, su_sockaddr_t *from,
                          socklen_t from_len);

/* The library's server of requests. */
void
stun_mini_request(void *server, su_socket_t socket, void *in, ssize_t len, void *from,
                  socklen_t from_len)
{
    uint8_t out[STUN_RESPONSE_BYTES_MAX];
    size_t bytes = len > 0 ? stun_answer(in, (size_t)len, from, out) : 0;

    (void)server;
    if (bytes > 0) /* what cannot be sent is lost, as any datagram may be */
        (void)sendto(socket, out, bytes, MSG_DONTWAIT | MSG_NOSIGNAL, from, from_len);
}

/* The library's place for a datagram that may be STUN; its own word is -1 for all of them. */
int
tport_recv_stun_dgram(tport_t const *self, msg_t **in_out_msg, su_sockaddr_t *from,
                      socklen_t from_len)
{
    static _Atomic(void *) found;
    receive_function *library;
    void *at = found;

    if (!at) {
        at = dlsym(RTLD_NEXT, "tport_recv_stun_dgram");
        found = at;
    }
    *(void **)&library = at; /* POSIX's way from an object pointer to a function */
    (void)library(self, in_out_msg, from, from_len);
    return STUN_IGNORE;
}

void
stun_init(void)
{
}
