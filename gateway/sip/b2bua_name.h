/**
 * DOC: inside the B2BUA: the names of the callee's leg
 *
 * Call-ID and From tag are keyed hashes of the caller's Call-ID and From tag: a request that is
 * tried again (with credentials, with a longer session) is of the same ones as before (RFC 3261
 * section 8.1.3.5), on the far leg as on this one.  The call's token, which stands in our Contacts,
 * is a keyed hash of these, of method, CSeq and Request-URI: of this very request; so is the tag
 * that we answer it with.
 *
 * All gateways of an overlay have one key.  So an INVITE that comes once more, to the gateway in
 * place of a dead one, has the same names from there on, and is known for a twin (b2bua_twin.h,
 * twin.h) though nobody has a copy of the call.
 *
 * Where a name is taken by a call that is here already, the second has all its names by chance.
 */
#ifndef GATEWAY_SIP_B2BUA_NAME_H
#define GATEWAY_SIP_B2BUA_NAME_H

#include "gateway/sip/b2bua_dialog.h"

#define B2BUA_TOKEN_CHARS 20
#define B2BUA_HASH_CHARS  12 /* of a tag that is a hash of the caller's names */

struct b2bua;
struct b2bua_call;

/** Made of the overlay's key, or of chance: of tag, Call-ID (two), token (two) and answer tag. */
struct b2bua_naming {
    uint64_t seed[6];
};

/** b2bua_naming_chance - a key of this process alone, until one is given */
void b2bua_naming_chance(struct b2bua_naming *n);
/** b2bua_naming_set - calls that come from now on are named with this key */
void b2bua_naming_set(struct sip *s, const uint8_t key[NAMING_KEY_BYTES]);

struct b2bua_names {
    char token[B2BUA_TOKEN_CHARS + 1];
    char callee_call_id[B2BUA_TOKEN_CHARS + 1];
    char our_tag[B2BUA_TAG_CHARS + 1];
    char answer_tag[B2BUA_TAG_CHARS + 1];
};

/** b2bua_names_of - those that the key gives to the call of a request, whether they are free or
 * not; false where its texts are too long */
bool b2bua_names_of(const struct b2bua *b, const sip_t *sip, struct b2bua_names *ret);

/** b2bua_name_call - token, answer tag, and Call-ID and From tag of the callee's leg, for a call
 * whose caller's names are filled in */
void b2bua_name_call(struct b2bua_call *c, const sip_t *sip);

#endif
