#include "gateway/sip/token.h"

#include <string.h>

#include "base/map.h"

#define RAW_BYTES (TOKEN_BODY_BYTES + 16)

static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";

void
token_key_of(struct slice secret, uint64_t use, struct token_key *ret)
{
    for (unsigned i = 0; i < 4; i++)
        ret->part[i] = map_hash(use + i, secret);
}

static void
sign(const struct token_key *key, const uint8_t *body, uint8_t out[16])
{
    uint8_t inner[TOKEN_BODY_BYTES + 8];

    for (unsigned half = 0; half < 2; half++) {
        uint64_t h = map_hash(key->part[half * 2], slice_of(body, TOKEN_BODY_BYTES));

        memcpy(inner, body, TOKEN_BODY_BYTES);
        memcpy(inner + TOKEN_BODY_BYTES, &h, 8);
        h = map_hash(key->part[half * 2 + 1], slice_of(inner, sizeof(inner)));
        memcpy(out + half * 8, &h, 8);
    }
}

void
token_write(const struct token_key *key, const uint8_t body[TOKEN_BODY_BYTES],
            char ret_text[TOKEN_TEXT_BYTES])
{
    uint8_t raw[RAW_BYTES];

    memcpy(raw, body, TOKEN_BODY_BYTES);
    sign(key, raw, raw + TOKEN_BODY_BYTES);
    for (unsigned i = 0; i < RAW_BYTES; i += 5) {
        uint64_t bits = 0;

        for (unsigned k = 0; k < 5; k++)
            bits = bits << 8 | raw[i + k];
        for (unsigned k = 0; k < 8; k++)
            ret_text[i / 5 * 8 + k] = digits[bits >> (35 - 5 * k) & 31];
    }
    ret_text[TOKEN_TEXT_BYTES - 1] = '\0';
}

bool
token_read(const struct token_key *key, const char *text, uint8_t ret_body[TOKEN_BODY_BYTES])
{
    uint8_t raw[RAW_BYTES];
    uint8_t good[16];
    uint8_t differs = 0;

    if (!text || strlen(text) != TOKEN_TEXT_BYTES - 1)
        return false;
    for (unsigned i = 0; i < RAW_BYTES; i += 5) {
        uint64_t bits = 0;

        for (unsigned k = 0; k < 8; k++) {
            const char *digit = strchr(digits, text[i / 5 * 8 + k]);

            if (!digit || !*digit)
                return false;
            bits = bits << 5 | (uint64_t)(digit - digits);
        }
        for (unsigned k = 0; k < 5; k++)
            raw[i + k] = (uint8_t)(bits >> (32 - 8 * k));
    }
    sign(key, raw, good);
    for (unsigned i = 0; i < sizeof(good); i++)
        differs |= (uint8_t)(good[i] ^ raw[TOKEN_BODY_BYTES + i]);
    if (differs)
        return false;
    memcpy(ret_body, raw, TOKEN_BODY_BYTES);
    return true;
}
