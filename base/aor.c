#include "base/aor.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static int
hex_of(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool
is_control(uint8_t c)
{
    return c < 0x20 || c == 0x7f;
}

/* The octet at @at, and how many characters stand for it; "%" without two digits is itself. */
static uint8_t
unescaped(struct slice text, size_t at, size_t *ret_len)
{
    int high = text.data[at] == '%' && at + 2 < text.len ? hex_of(text.data[at + 1]) : -1;
    int low = high >= 0 ? hex_of(text.data[at + 2]) : -1;

    *ret_len = low < 0 ? 1 : 3;
    return low < 0 ? text.data[at] : (uint8_t)(high * 16 + low);
}

/* Letters, digits, hyphens and dots; an underscore, which names have in practice; an IPv6 address
 * in its brackets (RFC 3261 section 25.1, host). */
static bool
is_of_host(uint8_t c)
{
    return isalnum(c) || (c && strchr("-._[]:", c));
}

enum status
aor_of_parts(struct slice user, struct slice host, char *ret_aor, size_t aor_bytes)
{
    size_t len = 0;
    size_t step;

    if (host.len > 0 && host.data[host.len - 1] == '.') /* the same name with its root dot */
        host.len--;
    if (user.len == 0 || host.len == 0)
        return ST_RANGE;
    for (size_t i = 0; i < user.len; i += step, len++)
        if (is_control(unescaped(user, i, &step)) || user.data[i] == ' ')
            return ST_MALFORMED;
    for (size_t i = 0; i < host.len; i++)
        if (!is_of_host(host.data[i]))
            return ST_MALFORMED;
    if (len + 1 + host.len + 1 > aor_bytes)
        return ST_TOO_LARGE;
    len = 0;
    for (size_t i = 0; i < user.len; i += step)
        ret_aor[len++] = (char)unescaped(user, i, &step);
    ret_aor[len++] = '@';
    for (size_t i = 0; i < host.len; i++)
        ret_aor[len++] = (char)tolower(host.data[i]);
    ret_aor[len] = '\0';
    return ST_OK;
}

static struct slice
part(struct slice of, size_t from, size_t to)
{
    return slice_of(of.data + from, to - from);
}

/* Where the first of @stops stands, or the end. */
static size_t
span_until(struct slice text, size_t from, const char *stops)
{
    while (from < text.len && !(text.data[from] && strchr(stops, text.data[from])))
        from++;
    return from;
}

/* Past "<sip:" and before ">"; false for another scheme. */
static bool
strip_scheme(struct slice *uri)
{
    while (uri->len > 0 && strchr(" \t<", uri->data[0]) && uri->data[0])
        *uri = part(*uri, 1, uri->len);
    uri->len = span_until(*uri, 0, ">");
    if (uri->len >= 4 && strncasecmp((const char *)uri->data, "sip:", 4) == 0)
        *uri = part(*uri, 4, uri->len);
    else if (uri->len >= 5 && strncasecmp((const char *)uri->data, "sips:", 5) == 0)
        *uri = part(*uri, 5, uri->len);
    else
        return false;
    return true;
}

enum status
aor_of_uri(struct slice uri, char *ret_aor, size_t aor_bytes)
{
    size_t at, user_end, host_end;

    if (!strip_scheme(&uri))
        return ST_RANGE;
    /* ';' and '?' may stand in a user, '@' only escaped: the first one ends it */
    at = span_until(uri, 0, "@");
    if (at == uri.len)
        return ST_RANGE;
    user_end = span_until(part(uri, 0, at), 0, ":");
    host_end = at + 1;
    if (host_end < uri.len && uri.data[host_end] == '[')
        host_end = span_until(uri, host_end, "]") + 1;
    host_end = span_until(uri, host_end, ":;?");
    if (host_end > uri.len)
        return ST_MALFORMED;
    return aor_of_parts(part(uri, 0, user_end), part(uri, at + 1, host_end), ret_aor, aor_bytes);
}

/* RFC 3261 section 25.1: unreserved and user-unreserved. */
static bool
is_plain(uint8_t c)
{
    return isalnum(c) || (c && strchr("-_.!~*'()&=+$,;?/", c));
}

enum status
aor_to_uri(const char *aor, char *ret_uri, size_t uri_bytes)
{
    static const char digits[] = "0123456789ABCDEF";
    const char *at = strrchr(aor, '@');
    size_t len = 4;

    if (!at || at == aor || !at[1])
        return ST_MALFORMED;
    for (const char *c = aor; c < at; c++) {
        if (is_control((uint8_t)*c))
            return ST_MALFORMED;
        len += is_plain((uint8_t)*c) ? 1 : 3;
    }
    for (const char *c = at + 1; *c; c++)
        if (!is_of_host((uint8_t)*c))
            return ST_MALFORMED;
    if (len + strlen(at) + 1 > uri_bytes)
        return ST_TOO_LARGE;
    memcpy(ret_uri, "sip:", 4);
    len = 4;
    for (const char *c = aor; c < at; c++) {
        uint8_t byte = (uint8_t)*c;

        if (is_plain(byte)) {
            ret_uri[len++] = *c;
            continue;
        }
        ret_uri[len++] = '%';
        ret_uri[len++] = digits[byte >> 4];
        ret_uri[len++] = digits[byte & 15];
    }
    memcpy(ret_uri + len, at, strlen(at) + 1);
    return ST_OK;
}

bool
aor_has_control(const char *text)
{
    struct slice all = text ? slice_text(text) : slice_of("", 0);
    size_t step;

    for (size_t i = 0; i < all.len; i += step)
        if (is_control(unescaped(all, i, &step)))
            return true;
    return false;
}
