#include "gateway/sip/clock.h"

#include <stdatomic.h>
#include <time.h>

#include <sofia-sip/su_time.h>

/* Exported by the library and declared in none of its public headers. */
extern void (*_su_time)(su_time_t *tv);

/* Sofia counts from 1900; deadlines near zero would look as if they had passed. */
#define EPOCH_S 2208988800UL

static atomic_uint_least64_t ahead_ms;

static uint64_t
read_ms(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000 + ahead_ms;
}

static void
whole_milliseconds(su_time_t *tv)
{
    uint64_t ms;

    if (!tv)
        return;
    ms = read_ms(CLOCK_MONOTONIC);
    tv->tv_sec = EPOCH_S + (unsigned long)(ms / 1000);
    tv->tv_usec = (unsigned long)(ms % 1000 * 1000);
}

void
sip_clock_install(void)
{
    _su_time = whole_milliseconds;
}

struct moment
sip_clock_read(void)
{
    return (struct moment){read_ms(CLOCK_MONOTONIC), read_ms(CLOCK_REALTIME)};
}

void
sip_clock_advance(uint64_t ms)
{
    ahead_ms += ms;
}
