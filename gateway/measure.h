/**
 * DOC: what this machine has and how busy it is, for the election's score
 *
 * Read once a second from /proc and /sys; each share is over the time since the last reading.
 */
#ifndef GATEWAY_MEASURE_H
#define GATEWAY_MEASURE_H

#include "config/config.h"
#include "election/election.h"

struct measure;

/** measure_new - ST_OK or ST_NOMEM. */
NODISCARD enum status measure_new(const struct config *c, struct measure **ret_measure);
void measure_free(struct measure *m);

/**
 * measure_take - read it all now
 * @ret: calls and registrations are 0: the SIP thread knows them.  What cannot be read is told as
 * an idle machine of one core, so that a missing /proc does not bar a node.
 */
void measure_take(struct measure *m, struct election_load *ret);

#endif
