/* The host part of a URI as a name of overlays. */
#include <ctype.h>
#include <string.h>

#include "global-overlay/internal.h"

enum status
domain_read(const char *domain, char ret[DOMAIN_BYTES])
{
    size_t len = strlen(domain);
    const char *last;

    if (domain[0] == '[')
        return ST_NOT_FOUND; /* IPv6 reference */
    if (len > 0 && domain[len - 1] == '.')
        len--;
    if (len == 0 || len >= DOMAIN_BYTES)
        return ST_MALFORMED;
    for (size_t i = 0; i < len; i++) {
        bool is_label = isalnum((unsigned char)domain[i]) || domain[i] == '-' || domain[i] == '_';
        if (!is_label && (domain[i] != '.' || i == 0 || domain[i - 1] == '.'))
            return ST_MALFORMED;
        ret[i] = (char)tolower((unsigned char)domain[i]);
    }
    ret[len] = '\0';
    if (ret[len - 1] == '.')
        return ST_MALFORMED;
    last = strrchr(ret, '.');
    last = last ? last + 1 : ret;
    return last[strspn(last, "0123456789")] == '\0' ? ST_NOT_FOUND : ST_OK;
}

const char *
domain_parent(const char *domain)
{
    const char *dot = strchr(domain, '.');

    return dot ? dot + 1 : NULL;
}

size_t
domain_labels(const char *domain)
{
    size_t count = 1;

    for (const char *at = domain; *at; at++)
        count += *at == '.';
    return count;
}
