/**
 * DOC: tokens of libconfuse's syntax
 *
 * Words (bare or in quotes), braces, "=", "+=", ",", and comments of three kinds, which are
 * skipped. Unlike libconfuse, a quoted word ends on its line: what a forgotten quote swallows is
 * then one line, not half the file.
 */
#ifndef CONFIG_TOKEN_H
#define CONFIG_TOKEN_H

#include <stdbool.h>
#include <stddef.h>

enum token_type {
    TOKEN_END,
    TOKEN_WORD,
    TOKEN_OPEN,  /* { */
    TOKEN_CLOSE, /* } */
    TOKEN_EQUAL, /* = or += */
    TOKEN_COMMA,
    TOKEN_UNCLOSED, /* a quote or comment without its end */
    TOKEN_OTHER     /* what has no meaning here */
};

struct token {
    enum token_type type;
    const char *at;
    size_t len;
    int line;
    bool is_quoted;
};

struct tokens {
    const char *next;
    int line;
};

struct token token_next(struct tokens *t);

/** token_peek - the token that token_next() will return. */
struct token token_peek(const struct tokens *t);

/** token_text - copy a token for a message or a comparison, without quotes; cut off if long. */
void token_text(const struct token *token, char *out, size_t out_bytes);

#endif
