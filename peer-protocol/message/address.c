/* Transport addresses, as text and as IpAddressPort (RFC 6940 section 6.5.1.1). */
#include "peer-protocol/message/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define TYPE_IPV4 1
#define TYPE_IPV6 2

static size_t
address_bytes(uint8_t type)
{
    return type == TYPE_IPV4 ? 4 : 16;
}

struct ip_address_port
ip_address_port_read(struct reader *r)
{
    struct ip_address_port a = {.type = reader_u8(r)};
    struct reader data;

    reader_init(&data, reader_opaque(r, 1));
    if (a.type != TYPE_IPV4 && a.type != TYPE_IPV6)
        reader_fail(r);
    struct slice address = reader_bytes(&data, address_bytes(a.type));
    a.port = reader_u16(&data);
    if (!reader_is_done(&data))
        reader_fail(r);
    else
        memcpy(a.address, address.data, address.len);
    return a;
}

void
ip_address_port_write(struct writer *w, const struct ip_address_port *a)
{
    size_t len = address_bytes(a->type);

    writer_u8(w, a->type);
    writer_u8(w, (uint8_t)(len + 2));
    writer_bytes(w, slice_of(a->address, len));
    writer_u16(w, a->port);
}

static bool
parse_port(const char *text, uint16_t *ret_port)
{
    unsigned port = 0;

    if (!*text)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        port = port * 10 + (unsigned)(*text - '0');
        if (port > UINT16_MAX)
            return false;
    }
    *ret_port = (uint16_t)port;
    return true;
}

enum status
ip_address_port_parse(const char *text, struct ip_address_port *ret)
{
    struct ip_address_port a = {.type = *text == '[' ? TYPE_IPV6 : TYPE_IPV4};
    const char *host = a.type == TYPE_IPV6 ? text + 1 : text;
    const char *end = a.type == TYPE_IPV6 ? strstr(host, "]:") : strchr(host, ':');
    char copy[INET6_ADDRSTRLEN];

    if (!end || slice_to_text(slice_of(host, (size_t)(end - host)), copy, sizeof(copy)) != ST_OK)
        return ST_MALFORMED;
    if (inet_pton(a.type == TYPE_IPV6 ? AF_INET6 : AF_INET, copy, a.address) != 1)
        return ST_MALFORMED;
    if (!parse_port(end + (a.type == TYPE_IPV6 ? 2 : 1), &a.port))
        return ST_MALFORMED;
    *ret = a;
    return ST_OK;
}

char *
ip_address_port_text(const struct ip_address_port *a, char out[IP_ADDRESS_PORT_TEXT_BYTES])
{
    char host[INET6_ADDRSTRLEN] = "";
    bool is_ipv6 = a->type == TYPE_IPV6;

    (void)inet_ntop(is_ipv6 ? AF_INET6 : AF_INET, a->address, host, sizeof(host));
    (void)snprintf(out, IP_ADDRESS_PORT_TEXT_BYTES, is_ipv6 ? "[%s]:%u" : "%s:%u", host, a->port);
    return out;
}
