/** DOC: inside the B2BUA: our Contact outside its dialog */
#ifndef GATEWAY_SIP_B2BUA_PLACE_H
#define GATEWAY_SIP_B2BUA_PLACE_H

#include "gateway/sip/b2bua_dialog.h"

struct b2bua;
struct b2bua_call;

/** b2bua_place_new - from now on it stands for the ends of the call; false without memory or room
 */
bool b2bua_place_new(struct b2bua_call *c);
/** b2bua_place_outlive - the call is freed; a Contact of one that was up stands for its ends yet */
void b2bua_place_outlive(struct b2bua_call *c);
void b2bua_place_tick(struct b2bua *b, uint64_t now_ms);
void b2bua_place_end(struct b2bua *b);

/**
 * b2bua_place_find - how the end is reached that a Contact's user stands for
 * @ret_far_overlay: whom that end belongs to, if it is not of ours; else NULL
 * Returns: borrowed; NULL if it stands for nobody.
 */
const struct b2bua_peer *b2bua_place_find(struct b2bua *b, const char *user,
                                          const char **ret_far_overlay);
/** b2bua_place_is - is a URI such a Contact? */
bool b2bua_place_is(struct b2bua *b, const url_t *url);
/** b2bua_place_aor - the URI of the user at that end; or NULL */
const char *b2bua_place_aor(struct b2bua *b, const char *user);

#endif
