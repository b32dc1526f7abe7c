/**
 * DOC: whose a domain is
 *
 * `pastry` and `bupt.pastry` may stand side by side, so a domain inside our overlay's name is ours
 * only as far as no other overlay has it, or a part of it, for its name.  The overlay thread knows
 * (global-overlay/nested.h) and tells each change of the foreign names; sip_domain_is_local() asks
 * that list and waits for nobody.
 *
 *     request names a domain inside ours:
 *       judged within DOMAIN_USED_MS -----------------------------------> handled; where the last
 *                                                  verdict is old, asked for the next one
 *       never --> HELD: the overlay is asked ---verdict, or ASK_TIMEOUT-> handled
 *
 * Only requests that begin something are held; so is the CANCEL that follows.  A domain whose
 * verdict was "unsure" is ours as long as a user of it is found here; before one is said not to be
 * (404) it is asked for with patience.  Bounded in what is held and remembered; beyond that a
 * domain is taken as ours.
 *
 * Source: the design's "Names and identifiers".
 */
#ifndef GATEWAY_SIP_DOMAIN_H
#define GATEWAY_SIP_DOMAIN_H

#include "gateway/sip/ask.h"
#include "gateway/sip/service.h"

#define DOMAIN_HELD_MAX    256
#define DOMAIN_KNOWN_MAX   1024
#define DOMAIN_FRESH_MS    5000
#define DOMAIN_UNSURE_MS   500
#define DOMAIN_USED_MS     600000
#define DOMAIN_PATIENCE_MS 3500 /* a ring is settled after 3000 */

struct domains;

struct domains *domains_new(const struct sip *s);
/** domains_free - what is held is dropped; before the table of questions is freed. */
void domains_free(struct domains *t);

/** domain_foreign - the name of the other overlay that @host is in though it is inside ours; NULL
 * for none. */
const char *domain_foreign(const struct sip *s, const char *host);

/** domain_warning - for who names a user of @host as one of ours: `399 HOST "NAME is another
 * overlay"`. False, where that is no mistake. */
#define DOMAIN_WARNING_BYTES (OVERLAY_NAME_BYTES + 128)
bool domain_warning(const struct sip *s, const char *host, char ret[DOMAIN_WARNING_BYTES]);

/**
 * domain_hold - keep a request back until it is known whose the domains are that it names
 * Returns: true, @msg is taken and comes to dispatch_judged(); false: it can be handled.
 */
bool domain_hold(struct sip *s, struct sip_agent *agent, msg_t *msg,
                 const struct sip_sender *sender);

/** domain_is_sure - may it be said of a user of @host that there is none?  Unless it is, ask with
 * domain_ask(). */
bool domain_is_sure(const struct sip *s, const char *host);

/** domain_ask - whose is @host?  With patience; @ask->done gets status ST_OK and a verdict. */
void domain_ask(struct sip *s, const char *host, struct ask *ask);

/** domain_on_names - the foreign names are these from now on (BRIDGE_NAMES). */
void domain_on_names(struct sip *s, const struct bridge_message *m);

/** domain_tick - once a second: what nobody has used is forgotten. */
void domain_tick(struct sip *s);

#endif
