/* Loaded before libc: the wall clock is CLOCK_SHIFT_S seconds off, as on a machine whose clock was
 * set by hand. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long
shift_s(void)
{
    const char *text = getenv("CLOCK_SHIFT_S");

    return text ? strtol(text, NULL, 10) : 0;
}

int
clock_gettime(clockid_t clock, struct timespec *ts)
{
    long failed = syscall(SYS_clock_gettime, clock, ts);

    if (failed == 0 && clock == CLOCK_REALTIME)
        ts->tv_sec += shift_s();
    return (int)failed;
}

int
gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
    struct timespec ts;

    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &ts) != 0)
        return -1;
    tv->tv_sec = ts.tv_sec;
    tv->tv_usec = ts.tv_nsec / 1000;
    return 0;
}
