/**
 * DOC: serving peers that do not answer
 *
 *    heard --lost--> in doubt --lost--> down
 *      ^                |                 |
 *      +---- heard -----+---- 10 s -------+
 *
 * One that lets a request time out, or cannot be sent to, is in doubt: a phone behind it that can
 * be reached by its URI is sent to straight.  One that has done so twice, or whose port is closed,
 * is down: nobody waits for it, but for one request in ten seconds that tries.
 */
#ifndef GATEWAY_SIP_PATHS_H
#define GATEWAY_SIP_PATHS_H

#include "gateway/sip/service.h"

#define PATHS_DOUBT_MS 10000
#define PATHS_MAX      256

struct paths *paths_new(struct sip *s);
void paths_free(struct paths *p);

/** A way to a serving peer, as sip_next_hop() writes it. */
enum path_state { PATH_HEARD, PATH_IN_DOUBT, PATH_DOWN };
enum path_state paths_state(const struct sip *s, const char *hop);

/** paths_lost - a request to @hop had no response. @is_refused: it could not be sent at all */
void paths_lost(struct sip *s, const char *hop, bool is_refused);

/** paths_heard - a response came. */
void paths_heard(struct sip *s, const char *hop);

#endif
