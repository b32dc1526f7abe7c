/**
 * DOC: sequences of requests that were taken, by signer
 *
 * A signature stays good for ever; a request must not.  Each signer numbers its requests upwards;
 * of each signer the highest number taken is remembered, and which of those just below it (a
 * request may overtake another), as RFC 4303 section 3.4.3 has it for packets.  Bounded: the signer
 * not heard of for longest is forgotten first.
 */
#ifndef PEER_PROTOCOL_ROUTING_REPLAYS_H
#define PEER_PROTOCOL_ROUTING_REPLAYS_H

#include <stdbool.h>

#include "base/id.h"
#include "base/status.h"

#define REPLAYS_WINDOW 64 /* numbers; one further back than that is refused */

struct replays;

NODISCARD enum status replays_new(size_t max_signers, struct replays **ret);
void replays_free(struct replays *r);

/** replays_take - is @sequence new of @signer?  It is noted, unless it was taken before or is lower
 *  than what can be told apart.  Without memory for a new signer: new. */
bool replays_take(struct replays *r, const struct id *signer, uint64_t sequence);

/** replays_restart - @sequence came from the signer itself: it may count from there, if that is
 *  lower (its clock was set back, and it started again). */
void replays_restart(struct replays *r, const struct id *signer, uint64_t sequence);

#endif
