/**
 * DOC: signed tokens: what this node says in the user part of a URI and gets back
 *
 *   token = base32(body (9 bytes), SipHash twice over it (16)): 40 characters
 *
 * Nobody makes one of his own, and none is told apart from random text by who does not know the
 * key.
 */
#ifndef GATEWAY_SIP_TOKEN_H
#define GATEWAY_SIP_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

#define TOKEN_BODY_BYTES 9
#define TOKEN_TEXT_BYTES 41

struct token_key {
    uint64_t part[4];
};

/** token_key_of - a key of one's own out of a secret; @use tells it from others of the same one. */
void token_key_of(struct slice secret, uint64_t use, struct token_key *ret);

void token_write(const struct token_key *key, const uint8_t body[TOKEN_BODY_BYTES],
                 char ret_text[TOKEN_TEXT_BYTES]);

/** token_read - false unless it was written with this key; @text may be NULL. */
bool token_read(const struct token_key *key, const char *text, uint8_t ret_body[TOKEN_BODY_BYTES]);

#endif
