#include "config/token.h"

#include <string.h>

/* Skip blanks and comments; false at a comment that does not end. */
static bool
skip_blank(struct tokens *t)
{
    for (;;) {
        const char *p = t->next;

        if (*p == '\n') {
            t->line++;
            t->next++;
        } else if (*p == ' ' || *p == '\t' || *p == '\r') {
            t->next++;
        } else if (*p == '#' || (p[0] == '/' && p[1] == '/')) {
            t->next += strcspn(p, "\n");
        } else if (p[0] == '/' && p[1] == '*') {
            const char *end = strstr(p + 2, "*/");

            if (!end)
                return false;
            for (; p < end; p++)
                t->line += *p == '\n';
            t->next = end + 2;
        } else {
            return true;
        }
    }
}

/* The end of a quoted word: behind its closing quote, or NULL if the line ends before. */
static const char *
quote_end(const char *p)
{
    char quote = *p++;

    for (; *p != quote; p++) {
        if (*p == '\\' && p[1] != '\0' && p[1] != '\n')
            p++;
        else if (*p == '\0' || *p == '\n')
            return NULL;
    }
    return p + 1;
}

static const char *
word_end(const char *p)
{
    if (p[0] == '$' && p[1] == '{') { /* ${VARIABLE} */
        const char *end = p + strcspn(p, "}\n");

        return *end == '}' ? end + 1 : end;
    }
    while (*p != '\0' && !strchr(" #\"'\t\n\r={}()+,", *p)) {
        if (p[0] == '/' && (p[1] == '/' || p[1] == '*'))
            break;
        p++;
    }
    return p;
}

static void
read_word(struct tokens *t, struct token *token)
{
    const char *end;

    token->is_quoted = *token->at == '"' || *token->at == '\'';
    end = token->is_quoted ? quote_end(token->at) : word_end(token->at);
    token->type = TOKEN_WORD;
    if (!end) {
        token->type = TOKEN_UNCLOSED;
        end = token->at + strcspn(token->at, "\n");
    }
    token->len = (size_t)(end - token->at);
    t->next = end;
}

struct token
token_next(struct tokens *t)
{
    bool is_open_comment = !skip_blank(t);
    struct token token = {.at = t->next, .len = 1, .line = t->line};

    if (is_open_comment) {
        token.type = TOKEN_UNCLOSED;
        token.len = strlen(t->next);
    } else if (*t->next == '\0') {
        token.type = TOKEN_END;
        token.len = 0;
    } else if (*t->next == '{') {
        token.type = TOKEN_OPEN;
    } else if (*t->next == '}') {
        token.type = TOKEN_CLOSE;
    } else if (*t->next == '=') {
        token.type = TOKEN_EQUAL;
    } else if (t->next[0] == '+' && t->next[1] == '=') {
        token.type = TOKEN_EQUAL;
        token.len = 2;
    } else if (*t->next == ',') {
        token.type = TOKEN_COMMA;
    } else if (strchr("()+", *t->next)) {
        token.type = TOKEN_OTHER;
    } else {
        read_word(t, &token);
        return token;
    }
    t->next += token.len;
    return token;
}

struct token
token_peek(const struct tokens *t)
{
    struct tokens copy = *t;

    return token_next(&copy);
}

void
token_text(const struct token *token, char *out, size_t out_bytes)
{
    const char *at = token->at;
    size_t len = token->len;

    if (token->is_quoted && token->type == TOKEN_WORD && len >= 2) {
        at++;
        len -= 2;
    }
    len = len < out_bytes - 1 ? len : out_bytes - 1;
    memcpy(out, at, len);
    out[len] = '\0';
}
