/** DOC: inside the B2BUA: what the standbys have to know of a call */
#ifndef GATEWAY_SIP_B2BUA_COPY_H
#define GATEWAY_SIP_B2BUA_COPY_H

#include "gateway/call/record.h"
#include "gateway/sip/b2bua_dialog.h"

#define B2BUA_COPY_MS      6          /* changed calls are told to the overlay thread so often */
#define B2BUA_COPIES_MAX   256        /* in one message */
#define B2BUA_COPIES_BYTES (1u << 20) /* and no more after so many bytes */
#define B2BUA_TOO_LARGE_MS 1000       /* a call too large to be copied is logged so often */
#define B2BUA_CSEQ_STEP    256        /* a copy is old by fewer requests than that */

struct b2bua;
struct b2bua_call;

/** A list of our tags that grows. */
struct b2bua_tag_list {
    char (*tag)[B2BUA_TAG_CHARS + 1];
    size_t count;
    size_t cap;
};

/** What one end has said of itself, for a gateway that takes the call over. */
struct b2bua_end {
    char *sdp; /* not terminated; NULL if it sent none */
    size_t sdp_len;
    bool knows_update;
};

/** b2bua_learn - what a message of @leg's end says of its media and its abilities */
void b2bua_learn(struct b2bua_call *c, enum call_leg leg, const sip_t *sip);

/** b2bua_learn_timer - what a 2xx says of the session timer; @asked_by sent the request */
void b2bua_learn_timer(struct b2bua_call *c, enum call_leg asked_by, const sip_t *sip);

/** b2bua_changed - a call that is up differs from its copies; within B2BUA_COPY_MS they hear of it
 */
void b2bua_changed(struct b2bua_call *c);

/** b2bua_copy_soon - somebody waits until a changed call is copied: they hear of it at once, or
 * B2BUA_COPY_MS after the last time */
void b2bua_copy_soon(struct b2bua *b);

/** b2bua_over - a call is freed, or both its ends know that it is over while a request of it is
 * still without response: its copies are no longer of use */
void b2bua_over(struct b2bua_call *c);
/** b2bua_tag_over - the same for a call that could not be taken over, by our tag in it */
void b2bua_tag_over(struct b2bua *b, const char *tag);

/** b2bua_record - a call that is up, with this dialog, as its record; borrows from it, and from
 * @ways */
void b2bua_record(const struct b2bua_call *c, uint8_t dialog, char ways[2][B2BUA_WAY_BYTES],
                  struct call_record *ret);

/** b2bua_early_token - under which a call that rings is copied, by our tag in it: it is another
 * entry than the call when it is up, which another gateway may be given while this one rings here
 */
void b2bua_early_token(const char *tag, char ret[B2BUA_TAG_CHARS + 1]);
/** b2bua_is_early_token - is it such a name?  b2bua_early_tag - and the tag in it */
bool b2bua_is_early_token(const char *token);
void b2bua_early_tag(const char *token, char ret[B2BUA_TAG_CHARS + 1]);

NODISCARD enum status b2bua_copy_new(struct b2bua *b);
void b2bua_copy_free(struct b2bua *b);

#endif
