/**
 * DOC: what strangers may cost us
 *
 * A request holds about 10 kB for 32 s whatever becomes of it, and NTA's retransmission lists are
 * linear, so limits come before NTA: requests a second for each source, and INVITEs under way to
 * each destination.
 */
#ifndef GATEWAY_SIP_LIMITS_H
#define GATEWAY_SIP_LIMITS_H

#include "gateway/sip/service.h"

struct limits *limits_new(struct sip *s);
void limits_free(struct limits *l);

/** limits_take - one more request from this IP address; false: refuse it. */
bool limits_take(struct limits *l, const su_sockaddr_t *source);

/** limits_begin, limits_end - an INVITE to this destination ("host:port") begins, has its answer.
 *  Begin is false when too many are under way. */
bool limits_begin(struct limits *l, const char *destination);
void limits_end(struct limits *l, const char *destination);

#endif
