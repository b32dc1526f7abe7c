/**
 * DOC: sofia's clock, and ours
 *
 * Without a hook su_root_run() spins while the next timer is under a millisecond away, and its
 * timers follow the wall clock: a step back stops them, a step forward aborts.  The hook gives it
 * monotonic time in whole milliseconds.  Nobody may therefore take wall time from sofia (sip_now()
 * of its own, Date headers): sip_moment() has it.
 */
#ifndef GATEWAY_SIP_CLOCK_H
#define GATEWAY_SIP_CLOCK_H

#include "base/moment.h"

/** sip_clock_install - hook the clock; once for the process, before the first su_root. */
void sip_clock_install(void);

/** sip_clock_read - now, with what sip_clock_advance() has added. */
struct moment sip_clock_read(void);

/** sip_clock_advance - for tests: both clocks run ahead by @ms more; timers notice at their next
 * turn. */
void sip_clock_advance(uint64_t ms);

#endif
