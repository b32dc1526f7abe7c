/* Identifiers from the CSPRNG; AORs and domains as the overlay keys them. */
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "base/aor.h"
#include "base/text.h"
#include "gateway/sip/domain.h"
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

enum status
sip_aor_of(const url_t *url, char ret_aor[AOR_BYTES])
{
    if (url->url_type != url_sip && url->url_type != url_sips)
        return ST_RANGE;
    return aor_of_parts(slice_text(url->url_user ? url->url_user : ""),
                        slice_text(url->url_host ? url->url_host : ""), ret_aor, AOR_BYTES);
}

bool
sip_domain_is_of(const char *overlay, const char *host)
{
    size_t own = strlen(overlay);
    size_t len = host ? strlen(host) : 0;

    if (len > 0 && host[len - 1] == '.')
        len--;
    if (len < own || strncasecmp(host + len - own, overlay, own) != 0)
        return false;
    return len == own || host[len - own - 1] == '.';
}

bool
sip_domain_is_local(const struct sip *s, const char *host)
{
    return sip_domain_is_of(s->conf.overlay, host) && !domain_foreign(s, host);
}

bool
sip_is_reserved(const struct sip *s, const url_t *url)
{
    char aor[AOR_BYTES];

    return sip_aor_of(url, aor) == ST_OK && strncmp(aor, "overlay@", 8) == 0 &&
           strcmp(aor + 8, s->conf.overlay) == 0;
}

bool
sip_has_control(const url_t *url)
{
    const char *const texts[] = {url->url_user,    url->url_password, url->url_host,
                                 url->url_port,    url->url_path,     url->url_params,
                                 url->url_headers, url->url_fragment};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (text_has_control(texts[i]))
            return true;
    return false;
}
