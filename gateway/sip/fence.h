/**
 * DOC: a gateway that was stopped asks whether it still is one
 *
 *           no turn for conf.fence_gap_ms, while a gateway       BRIDGE_CONFIRMED, or too long
 *     DOWN --------------------------------------------> UP ---------------------------------->
 * DOWN
 *
 * A process that was stopped, or a machine that slept, goes on where it was: with requests that
 * waited, and deadlines that passed.  Meanwhile another node may have taken its place and its
 * calls. So the SIP side asks the overlay side, which asks the standbys; until the answer is
 * there, requests and 2xx to INVITEs are held back and no deadline of a call is acted on.  What has
 * been held is then handled as by the role this node has now; the calls that are another gateway's
 * have been released before.  Any node that has stood still doubts what it had cached: others may
 * have told it of changes meanwhile.
 *
 * Source: the design's "Terms"; fencing as in a hand-run pair.
 */
#ifndef GATEWAY_SIP_FENCE_H
#define GATEWAY_SIP_FENCE_H

#include "gateway/sip/service.h"

#define FENCE_WAIT_MS  10000 /* the overlay side gives its answer sooner */
#define FENCE_HELD_MAX 4096  /* more are handled at once, as busy machines do */

struct fence;

struct fence *fence_new(void);
void fence_free(struct fence *f);

/** fence_is_up - notes that the thread has a turn, and says whether it has to wait for an answer.
 */
bool fence_is_up(struct sip *s);
/** fence_stands - the same, but never ends the wait: nothing that was held is handled meanwhile */
bool fence_stands(struct sip *s);

/** fence_hold - keep a message back; @msg is taken then.  False: the fence is down, or no room. */
bool fence_hold(struct sip *s, struct sip_agent *agent, msg_t *msg, const struct sip_sender *sender,
                enum status st);

/** fence_on_confirmed - BRIDGE_CONFIRMED: what was held is handled now. */
void fence_on_confirmed(struct sip *s, uint64_t token);

#endif
