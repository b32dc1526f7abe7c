#include "gateway/sip/b2bua_name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/sip/b2bua_call.h"

enum { OF_TAG, OF_CALL_ID, OF_TOKEN = OF_CALL_ID + 2, OF_ANSWER = OF_TOKEN + 2 };

#define SEED_USE 0x6e616d6573u /* another use of the key has other seeds */

void
b2bua_naming_chance(struct b2bua_naming *n)
{
    for (size_t i = 0; i < sizeof(n->seed) / sizeof(n->seed[0]); i++)
        n->seed[i] = sip_random();
}

void
b2bua_naming_set(struct sip *s, const uint8_t key[NAMING_KEY_BYTES])
{
    struct b2bua_naming *n = &s->b2bua->naming;

    for (size_t i = 0; i < sizeof(n->seed) / sizeof(n->seed[0]); i++)
        n->seed[i] = map_hash(SEED_USE + i, slice_of(key, NAMING_KEY_BYTES));
}

/** 12 characters of 5 bits, from a keyed hash: who does not know the key can tell nothing of it. */
static void
write_hash(uint64_t seed, struct slice key, char *out)
{
    static const char digits[] = "abcdefghijkmnpqrstuvwxyz23456789";
    uint64_t hash = map_hash(seed, key);

    for (size_t i = 0; i < B2BUA_HASH_CHARS; i++, hash >>= 5)
        out[i] = digits[hash & 31];
}

/** A name of B2BUA_TOKEN_CHARS, from two hashes. */
static void
write_name(const uint64_t seed[2], struct slice key, char *out)
{
    write_hash(seed[0], key, out);
    write_hash(seed[1], key, out + B2BUA_TOKEN_CHARS - B2BUA_HASH_CHARS);
    out[B2BUA_TOKEN_CHARS] = '\0';
}

static bool
is_free(const struct b2bua_call *c)
{
    const struct b2bua *b = c->b2bua;

    return !map_get(b->tags, slice_text(c->our_tag)) &&
           !map_get(b->tags, slice_text(c->answer_tag)) &&
           !map_get(b->places, slice_text(c->token));
}

bool
b2bua_names_of(const struct b2bua *b, const sip_t *sip, struct b2bua_names *ret)
{
    const uint64_t *seed = b->naming.seed;
    char *uri = b2bua_text_of_url(sip->sip_request->rq_url);
    char key[CALL_ID_BYTES * 2 + PHONE_URI_BYTES];
    struct slice caller;
    int ids, len;

    ids = snprintf(key, sizeof(key), "%s\n%s", sip->sip_call_id->i_id,
                   sip->sip_from->a_tag ? sip->sip_from->a_tag : "");
    len = snprintf(key, sizeof(key), "%s\n%s\n%s\n%u\n%s", sip->sip_call_id->i_id,
                   sip->sip_from->a_tag ? sip->sip_from->a_tag : "",
                   sip_text(sip->sip_request->rq_method_name), (unsigned)sip->sip_cseq->cs_seq,
                   sip_text(uri));
    free(uri);
    if (!uri || len >= (int)sizeof(key))
        return false;
    caller = slice_of(key, (size_t)ids);
    write_hash(seed[OF_TAG], caller, ret->our_tag);
    ret->our_tag[B2BUA_HASH_CHARS] = '\0';
    write_name(&seed[OF_CALL_ID], caller, ret->callee_call_id);
    write_name(&seed[OF_TOKEN], slice_text(key), ret->token);
    write_hash(seed[OF_ANSWER], slice_text(key), ret->answer_tag);
    ret->answer_tag[B2BUA_HASH_CHARS] = '\0';
    return true;
}

static bool
name_by_key(struct b2bua_call *c, const sip_t *sip)
{
    struct b2bua_names names;

    if (!b2bua_names_of(c->b2bua, sip, &names))
        return false;
    memcpy(c->our_tag, names.our_tag, sizeof(names.our_tag));
    memcpy(c->answer_tag, names.answer_tag, sizeof(names.answer_tag));
    memcpy(c->callee_call_id, names.callee_call_id, sizeof(names.callee_call_id));
    memcpy(c->token, names.token, sizeof(names.token));
    return is_free(c);
}

void
b2bua_name_call(struct b2bua_call *c, const sip_t *sip)
{
    if (name_by_key(c, sip))
        return;
    sip_random_text(c->token, B2BUA_TOKEN_CHARS);
    sip_random_text(c->callee_call_id, B2BUA_TOKEN_CHARS);
    sip_random_text(c->our_tag, B2BUA_TAG_CHARS);
    sip_random_text(c->answer_tag, B2BUA_TAG_CHARS);
}
