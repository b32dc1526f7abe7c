#include "peer-protocol/identity/revoked.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer-protocol/identity/pem.h"

#define LINE_BYTES 512

struct serial
serial_of(const X509 *x)
{
    const ASN1_INTEGER *number = X509_get0_serialNumber(x);
    const uint8_t *bytes = ASN1_STRING_get0_data(number);
    size_t len = (size_t)ASN1_STRING_length(number);
    struct serial s = {.len = 0};

    while (len > 0 && bytes[0] == 0) {
        bytes++;
        len--;
    }
    s.len = (uint8_t)(len < SERIAL_BYTES_MAX ? len : SERIAL_BYTES_MAX);
    memcpy(s.bytes, bytes, s.len);
    return s;
}

static int
compare(const void *one, const void *other)
{
    const struct serial *a = one, *b = other;

    return a->len != b->len ? a->len - b->len : memcmp(a->bytes, b->bytes, a->len);
}

static int
digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Hexadecimal digits, from the last to the first; an odd number of them is one more byte. */
static bool
parse(const char *text, size_t len, struct serial *ret)
{
    uint8_t back[SERIAL_BYTES_MAX] = {0};
    size_t digits = 0;
    struct serial s = {.len = 0};

    while (len-- > 0) {
        int digit = digit_of(text[len]);
        if (text[len] == ':' && digits > 0 && digits % 2 == 0 && len > 0)
            continue;
        if (digit < 0 || digits / 2 >= SERIAL_BYTES_MAX)
            return false;
        back[digits / 2] = (uint8_t)(back[digits / 2] | digit << (digits % 2 ? 4 : 0));
        digits++;
    }
    for (size_t i = (digits + 1) / 2; i-- > 0;)
        if (s.len > 0 || back[i] != 0)
            s.bytes[s.len++] = back[i];
    *ret = s;
    return digits > 0;
}

static enum status
take_line(struct revoked *r, const char *line, bool *ret_is_good)
{
    size_t len;
    struct serial *more;
    struct serial serial;

    line += strspn(line, " \t\r\n");
    len = strcspn(line, "# \t\r\n");
    *ret_is_good = true;
    if (len == 0)
        return ST_OK;
    const char *rest = line + len + strspn(line + len, " \t\r\n");
    *ret_is_good = (*rest == '\0' || *rest == '#') && parse(line, len, &serial);
    if (!*ret_is_good)
        return ST_MALFORMED;
    if (r->count == REVOKED_MAX)
        return ST_LIMIT;
    more = reallocarray(r->serial, r->count + 1, sizeof(*more));
    if (!more)
        return ST_NOMEM;
    r->serial = more;
    r->serial[r->count++] = serial;
    return ST_OK;
}

static enum status
read_lines(FILE *file, const char *path, struct revoked *r, struct why *why)
{
    char line[LINE_BYTES];
    unsigned number = 0;
    bool is_good;

    while (fgets(line, sizeof(line), file)) {
        enum status st = take_line(r, line, &is_good);
        number++;
        if (!is_good)
            return why_set(why, st, "%s:%u: expected a serial number in hexadecimal", path, number);
        if (st != ST_OK)
            return why_set(why, st, "%s:%u: %s", path, number, status_text(st));
    }
    return ferror(file) ? why_set(why, ST_IO, "%s: %s", path, strerror(errno)) : ST_OK;
}

enum status
revoked_read(const char *folder, struct revoked *ret, struct why *why)
{
    struct revoked r = {.serial = NULL};
    char path[PEM_PATH_BYTES];
    enum status st = pem_path(folder, "revoked", path, why);
    FILE *file;

    if (st != ST_OK)
        return st;
    file = fopen(path, "re");
    if (!file && errno != ENOENT)
        return why_set(why, ST_IO, "%s: %s", path, strerror(errno));
    if (file) {
        st = read_lines(file, path, &r, why);
        fclose(file);
    }
    if (st != ST_OK) {
        revoked_done(&r);
        return st;
    }
    if (r.count > 0)
        qsort(r.serial, r.count, sizeof(r.serial[0]), compare);
    *ret = r;
    return ST_OK;
}

void
revoked_done(struct revoked *r)
{
    free(r->serial);
    *r = (struct revoked){.serial = NULL};
}

bool
revoked_has(const struct revoked *r, const struct serial *serial)
{
    return r->count > 0 &&
           bsearch(serial, r->serial, r->count, sizeof(r->serial[0]), compare) != NULL;
}
