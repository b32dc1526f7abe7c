#include "base/id.h"

#include <assert.h>
#include <string.h>

int
id_compare(const struct id *a, const struct id *b)
{
    int order = memcmp(a->bytes, b->bytes, ID_BYTES);

    return order < 0 ? -1 : order > 0;
}

static bool
is_all(const struct id *a, uint8_t byte)
{
    for (size_t i = 0; i < ID_BYTES; i++)
        if (a->bytes[i] != byte)
            return false;
    return true;
}

bool
id_is_zero(const struct id *a)
{
    return is_all(a, 0);
}

bool
id_is_wildcard(const struct id *a)
{
    return is_all(a, 0xff);
}

struct id
id_add(const struct id *a, const struct id *b)
{
    struct id sum;
    unsigned carry = 0;

    for (size_t i = ID_BYTES; i-- > 0;) {
        carry += (unsigned)a->bytes[i] + b->bytes[i];
        sum.bytes[i] = (uint8_t)carry;
        carry >>= 8;
    }
    return sum;
}

struct id
id_subtract(const struct id *a, const struct id *b)
{
    struct id difference;
    int borrow = 0;

    for (size_t i = ID_BYTES; i-- > 0;) {
        int d = (int)a->bytes[i] - b->bytes[i] - borrow;
        borrow = d < 0;
        difference.bytes[i] = (uint8_t)(d + (borrow ? 256 : 0));
    }
    return difference;
}

struct id
id_power_of_two(unsigned exponent)
{
    struct id power = {{0}};

    assert(exponent < 8 * ID_BYTES);
    power.bytes[ID_BYTES - 1 - exponent / 8] = (uint8_t)(1u << (exponent % 8));
    return power;
}

bool
id_is_in(const struct id *x, const struct id *from, const struct id *to)
{
    struct id far = id_subtract(to, from);
    struct id near = id_subtract(x, from);

    if (id_is_zero(&far))
        return true;
    return !id_is_zero(&near) && id_compare(&near, &far) <= 0;
}

unsigned
id_digit(const struct id *x, unsigned row, unsigned bits)
{
    unsigned per_byte = 8 / bits;
    unsigned shift = 8 - bits * (row % per_byte + 1);

    assert(row / per_byte < ID_BYTES);
    return (unsigned)(x->bytes[row / per_byte] >> shift) & ((1u << bits) - 1);
}

unsigned
id_common_bits(const struct id *a, const struct id *b)
{
    for (unsigned i = 0; i < ID_BYTES; i++) {
        unsigned differ = (unsigned)a->bytes[i] ^ b->bytes[i];
        if (differ)
            return i * 8 + (unsigned)__builtin_clz(differ) - 24;
    }
    return 8 * ID_BYTES;
}

char *
id_text(const struct id *a, char out[ID_TEXT_BYTES])
{
    static const char digit[] = "0123456789abcdef";

    for (size_t i = 0; i < ID_BYTES; i++) {
        out[2 * i] = digit[a->bytes[i] >> 4];
        out[2 * i + 1] = digit[a->bytes[i] & 15];
    }
    out[ID_TEXT_BYTES - 1] = '\0';
    return out;
}

static int
nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

enum status
id_parse(const char *text, struct id *ret_id)
{
    struct id id;

    if (strlen(text) != ID_TEXT_BYTES - 1)
        return ST_MALFORMED;
    for (size_t i = 0; i < ID_BYTES; i++) {
        int high = nibble(text[2 * i]);
        int low = nibble(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return ST_MALFORMED;
        id.bytes[i] = (uint8_t)(high << 4 | low);
    }
    *ret_id = id;
    return ST_OK;
}
