/**
 * DOC: serving peers that do not answer
 *
 *    heard --lost--> in doubt --lost--> down
 *      ^                |                 |
 *      +---- heard -----+---- 10 s -------+
 *
 * One that lets a request time out, or cannot be sent to, or drains (503), is in doubt: a phone
 * behind it that can be reached by its URI is sent to straight.  One that has done so twice, or
 * whose port is closed, is down: nobody waits for it, but for one request in ten seconds that
 * tries.
 *
 * A request without a response says nothing of a peer that has answered another meanwhile, or this
 * one provisionally: the phone behind it may be silent, or the peer may have discarded what
 * somebody made to be discarded.
 */
#ifndef GATEWAY_SIP_PATHS_H
#define GATEWAY_SIP_PATHS_H

#include "gateway/sip/service.h"

#define PATHS_DOUBT_MS 10000
#define PATHS_MAX      1024

struct paths *paths_new(struct sip *s);
void paths_free(struct paths *p);

/** A way to a serving peer, as sip_next_hop() writes it. */
enum path_state { PATH_HEARD, PATH_IN_DOUBT, PATH_DOWN };
enum path_state paths_state(const struct sip *s, const char *hop);

/** How a request to a serving peer was lost. */
enum path_loss {
    PATH_SILENT,  /* no response */
    PATH_REFUSED, /* it could not be sent */
    PATH_BUSY     /* 503: it serves nobody now, but it lives: in doubt, not down */
};
/** @sent_ms: when it was sent (struct moment, mono_ms) */
void paths_lost(struct sip *s, const char *hop, enum path_loss loss, uint64_t sent_ms);

/** paths_heard - a response came, not 503. */
void paths_heard(struct sip *s, const char *hop);

#endif
