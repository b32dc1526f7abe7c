#include "base/text.h"

#include <stdint.h>
#include <string.h>

#define NO_CHARACTER UINT32_MAX

/* The UTF-8 character at @at, and its length; NO_CHARACTER and 1 if there is none (RFC 3629
 * section 4: shortest form, no surrogates, nothing over U+10FFFF). */
static uint32_t
character(const unsigned char *at, size_t *ret_len)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t len = at[0] < 0x80 ? 1 : at[0] < 0xc2 ? 0 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
    uint32_t c = len == 1 ? at[0] : at[0] & (0x7fu >> len);

    *ret_len = 1;
    if (len == 0 || at[0] > 0xf4)
        return NO_CHARACTER;
    for (size_t i = 1; i < len; i++) {
        if ((at[i] & 0xc0) != 0x80) /* the end of the text, too */
            return NO_CHARACTER;
        c = c << 6 | (at[i] & 0x3fu);
    }
    if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return NO_CHARACTER;
    *ret_len = len;
    return c;
}

static bool
is_shown(uint32_t c)
{
    if (c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == NO_CHARACTER)
        return false;
    if (c == 0x061c || c == 0x200e || c == 0x200f)
        return false;
    return !(c >= 0x2028 && c <= 0x202e) && !(c >= 0x2066 && c <= 0x2069) && c != 0xfeff;
}

bool
text_has_control(const char *text)
{
    for (; text && *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return true;
    return false;
}

void
text_make_printable(char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    char *out = text;
    size_t len;

    for (; *at; at += len) {
        if (!is_shown(character(at, &len))) {
            *out++ = '?';
            continue;
        }
        memmove(out, at, len);
        out += len;
    }
    *out = '\0';
}

bool
text_is_printable(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    size_t len;

    for (; *at; at += len)
        if (!is_shown(character(at, &len)))
            return false;
    return true;
}

void
text_label(const char *text, char *out, size_t out_bytes)
{
    const unsigned char *at = (const unsigned char *)text;
    size_t used = 0;
    size_t len;

    for (; *at; at += len) {
        uint32_t c = character(at, &len);
        char escape = c == '\n' ? 'n' : c == '\\' || c == '"' ? (char)c : '\0';
        size_t wanted = escape ? 2 : is_shown(c) ? len : 1;

        if (used + wanted >= out_bytes)
            break;
        if (escape) {
            out[used] = '\\';
            out[used + 1] = escape;
        } else if (is_shown(c)) {
            memcpy(out + used, at, len);
        } else {
            out[used] = '?';
        }
        used += wanted;
    }
    if (out_bytes > 0)
        out[used] = '\0';
}
