/* Identifiers from the CSPRNG; AORs and domains as the overlay keys them. */
#include <ctype.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "gateway/sip/service.h"

/* A pool, so that a call costs a fraction of a system call. One for each thread: a process may run
 * several services (tests do). */
static _Thread_local struct {
    uint8_t bytes[512];
    size_t left;
} pool;

static uint8_t
random_byte(void)
{
    if (pool.left == 0) {
        while (getrandom(pool.bytes, sizeof(pool.bytes), 0) != sizeof(pool.bytes))
            ;
        pool.left = sizeof(pool.bytes);
    }
    pool.left--;
    return pool.bytes[pool.left];
}

uint64_t
sip_random(void)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < 8; i++)
        v = v << 8 | random_byte();
    return v;
}

void
sip_random_text(char *out, size_t len)
{
    static const char digits[] = "abcdefghijkmnpqrstuvwxyz23456789";

    for (size_t i = 0; i < len; i++)
        out[i] = digits[random_byte() & 31];
    out[len] = '\0';
}

void
sip_branch(char out[SIP_BRANCH_BYTES])
{
    memcpy(out, "z9hG4bK", 7); /* RFC 3261 section 8.1.1.7 */
    sip_random_text(out + 7, 20);
}

static int
hex_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The octet at @at, and how many characters stand for it. "%00" is left as it is written: it must
 * neither end the name nor vanish from it (RFC 4475 section 3.1.1.4). */
static char
unescaped(const char *at, size_t *ret_len)
{
    int high = at[0] == '%' ? hex_of(at[1]) : -1;
    int low = high >= 0 ? hex_of(at[2]) : -1;

    *ret_len = 1;
    if (low < 0 || (high == 0 && low == 0))
        return at[0];
    *ret_len = 3;
    return (char)(high * 16 + low);
}

enum status
sip_aor_of(const url_t *url, char ret_aor[AOR_BYTES])
{
    char aor[AOR_BYTES];
    size_t len = 0;
    size_t step;

    if ((url->url_type != url_sip && url->url_type != url_sips) || !url->url_host)
        return ST_RANGE;
    if (!url->url_user || !url->url_user[0])
        return ST_RANGE;
    for (const char *at = url->url_user; *at; at += step) {
        if (len + 1 >= sizeof(aor))
            return ST_TOO_LARGE;
        aor[len++] = unescaped(at, &step);
    }
    if (len + 1 + strlen(url->url_host) >= sizeof(aor))
        return ST_TOO_LARGE;
    aor[len++] = '@';
    for (const char *at = url->url_host; *at; at++)
        aor[len++] = (char)tolower((unsigned char)*at);
    if (aor[len - 1] == '.') /* the same name with its root dot */
        len--;
    aor[len] = '\0';
    memcpy(ret_aor, aor, len + 1);
    return ST_OK;
}

bool
sip_domain_is_local(const struct sip *s, const char *host)
{
    size_t own = strlen(s->conf.overlay);
    size_t len = host ? strlen(host) : 0;

    if (len > 0 && host[len - 1] == '.')
        len--;
    if (len < own || strncasecmp(host + len - own, s->conf.overlay, own) != 0)
        return false;
    return len == own || host[len - own - 1] == '.';
}
