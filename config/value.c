#include "config/value.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool
is_canonical_ip(const char *ip, int family)
{
    unsigned char address[16];
    char printed[ENDPOINT_IP_BYTES];

    return inet_pton(family, ip, address) == 1 &&
           inet_ntop(family, address, printed, sizeof(printed)) && strcmp(ip, printed) == 0;
}

static enum status
parse_port(const char *text, uint32_t *ret_port)
{
    size_t digits = strspn(text, "0123456789");
    unsigned long port;

    if (digits == 0 || digits > 5 || text[digits] != '\0' || text[0] == '0')
        return ST_MALFORMED;
    port = strtoul(text, NULL, 10);
    if (port > 65535)
        return ST_MALFORMED;
    *ret_port = (uint32_t)port;
    return ST_OK;
}

/* Splits off the part in front of @end_at and copies it. */
static enum status
take(const char *from, const char *end, char *out, size_t out_bytes)
{
    size_t len = (size_t)(end - from);

    if (len >= out_bytes)
        return ST_MALFORMED;
    memcpy(out, from, len);
    out[len] = '\0';
    return ST_OK;
}

enum status
endpoint_parse(const char *text, bool has_transport, struct endpoint *ret)
{
    struct endpoint e = {.port = 0};
    const char *colon;
    int family = AF_INET;
    enum status st;

    if (has_transport) {
        colon = strchr(text, ':');
        if (!colon || take(text, colon, e.transport, sizeof(e.transport)) != ST_OK)
            return ST_MALFORMED;
        text = colon + 1;
    }
    if (*text == '[' && strchr(text, ']')) {
        family = AF_INET6;
        colon = strchr(text, ']') + 1;
        st = take(text + 1, colon - 1, e.ip, sizeof(e.ip));
    } else if (!has_transport && strchr(text, ':') != strrchr(text, ':')) {
        family = AF_INET6; /* bare, without a port */
        colon = text + strlen(text);
        st = take(text, colon, e.ip, sizeof(e.ip));
    } else {
        colon = text + strcspn(text, ":");
        st = take(text, colon, e.ip, sizeof(e.ip));
    }
    if (st != ST_OK || !is_canonical_ip(e.ip, family))
        return ST_MALFORMED;
    if (*colon != '\0' && (*colon != ':' || parse_port(colon + 1, &e.port) != ST_OK))
        return ST_MALFORMED;
    *ret = e;
    return ST_OK;
}

static bool
is_one_of(const char *text, const char *allowed)
{
    size_t len = strlen(text);

    for (const char *at = allowed; len > 0 && at; at = strchr(at, '|')) {
        at += *at == '|';
        if (strncmp(at, text, len) == 0 && (at[len] == '|' || at[len] == '\0'))
            return true;
    }
    return false;
}

static bool
is_plugin_name(const char *text)
{
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-");

    return len >= 1 && len <= 15 && text[len] == '\0';
}

/* What is allowed, in words. */
static void
describe(const struct option *o, char *out, size_t out_bytes)
{
    switch (o->type) {
    case OPTION_NUMBER:
        snprintf(out, out_bytes, "a number from %u to %u%s%s", o->min, o->max,
                 o->unit[0] && o->unit[0] != '/' ? " " : "", o->unit);
        break;
    case OPTION_BOOL:
        snprintf(out, out_bytes, "true or false");
        break;
    case OPTION_CHOICE:
        snprintf(out, out_bytes, "one of %s", o->allowed);
        break;
    case OPTION_PLUGIN:
        snprintf(out, out_bytes, "the name of a plug-in, 1 to 15 of a-z 0-9 -");
        break;
    case OPTION_TEXT:
        snprintf(out, out_bytes, "a text of up to %zu bytes", o->bytes - 1);
        break;
    case OPTION_PATH:
        snprintf(out, out_bytes, "a path of 1 to %zu bytes", o->bytes - 1);
        break;
    case OPTION_ADDRESS:
        snprintf(out, out_bytes, "IP or IP:PORT, such as \"192.0.2.1\" or \"[2001:db8::1]:6084\"");
        break;
    case OPTION_ENDPOINT:
        snprintf(out, out_bytes, "IP:PORT, such as \"192.0.2.1:6084\"");
        break;
    case OPTION_SIP:
        snprintf(out, out_bytes, "TRANSPORT:IP:PORT with a transport out of %s", o->allowed);
        break;
    }
}

static bool
is_endpoint(const struct option *o, const char *text)
{
    struct endpoint e;

    if (endpoint_parse(text, o->type == OPTION_SIP, &e) != ST_OK)
        return false;
    if (o->type == OPTION_SIP && !is_one_of(e.transport, o->allowed))
        return false;
    return o->type == OPTION_ADDRESS || e.port != 0;
}

static bool
parse_number(const struct option *o, const char *text, uint32_t *ret)
{
    size_t digits = strspn(text, "0123456789");
    unsigned long long value;

    if (digits == 0 || text[digits] != '\0')
        return false;
    errno = 0;
    value = strtoull(text, NULL, 10);
    if (errno != 0 || value < o->min || value > o->max)
        return false;
    *ret = (uint32_t)value;
    return true;
}

static bool
is_allowed_text(const struct option *o, const char *text, size_t out_bytes)
{
    if (strlen(text) >= out_bytes)
        return false;
    switch (o->type) {
    case OPTION_CHOICE:
        return is_one_of(text, o->allowed);
    case OPTION_PLUGIN:
        return is_plugin_name(text);
    case OPTION_PATH:
        return text[0] != '\0';
    case OPTION_ADDRESS:
    case OPTION_ENDPOINT:
    case OPTION_SIP:
        return is_endpoint(o, text);
    default:
        return true;
    }
}

/* True once the value is at its place. */
static bool
put(struct config *c, const struct option *o, const char *text)
{
    char *at = (char *)c + o->offset;
    struct config_list *list = (struct config_list *)(void *)at;
    uint32_t number;

    if (o->type == OPTION_NUMBER) {
        if (!parse_number(o, text, &number))
            return false;
        *(uint32_t *)(void *)at = number;
        return true;
    }
    if (o->type == OPTION_BOOL) {
        if (!is_one_of(text, "true|false|yes|no|on|off"))
            return false;
        *(bool *)(void *)at = is_one_of(text, "true|yes|on");
        return true;
    }
    if (!is_allowed_text(o, text, o->is_list ? CONFIG_TEXT_BYTES : o->bytes))
        return false;
    if (!o->is_list)
        snprintf(at, o->bytes, "%s", text);
    else if (list->count < CONFIG_LIST_MAX)
        snprintf(list->item[list->count++], CONFIG_TEXT_BYTES, "%s", text);
    return true;
}

void
value_set(struct config *c, const struct option *o, const char *text, int line,
          struct mistakes *mistakes)
{
    char allowed[128];

    describe(o, allowed, sizeof(allowed));
    if (o->refused && strcmp(o->refused, "*") == 0)
        mistake_add(mistakes, line, o->section, o->name, "found \"%.64s\", not yet supported",
                    text);
    else if (o->refused && strcmp(o->refused, text) == 0)
        mistake_add(mistakes, line, o->section, o->name,
                    "found \"%.64s\", not yet supported, allowed is %s", text, allowed);
    else if (!put(c, o, text))
        mistake_add(mistakes, line, o->section, o->name, "found \"%.64s\", allowed is %s", text,
                    allowed);
}
