/**
 * DOC: time as a parameter
 *
 * The shell reads the clocks once a loop turn and passes them by value.  Nothing pure reads a
 * clock.  Deadlines live on the monotonic clock; wall time is for stored values (RFC 6940
 * storage_time) and for what an operator reads.
 */
#ifndef BASE_MOMENT_H
#define BASE_MOMENT_H

#include <stdint.h>

#define MOMENT_NEVER UINT64_MAX /* a deadline that never comes */

struct moment {
    uint64_t mono_ms; /* monotonic, never runs back; its zero means nothing */
    uint64_t wall_ms; /* milliseconds since 1970, may jump */
};

/** moment_earlier_ms - the nearer of two deadlines. */
static inline uint64_t
moment_earlier_ms(uint64_t a_ms, uint64_t b_ms)
{
    return a_ms < b_ms ? a_ms : b_ms;
}

#endif
