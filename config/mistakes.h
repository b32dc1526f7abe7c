/**
 * DOC: the mistakes of one configuration file, told in the order of its lines
 *
 * The scanner, the values and the cross checks find mistakes at different times; the reader of the
 * message goes through the file from the top.
 */
#ifndef CONFIG_MISTAKES_H
#define CONFIG_MISTAKES_H

#include <stddef.h>

#include "base/status.h"
#include "config/schema.h"

#define MISTAKE_MAX        100 /* further ones are counted only */
#define MISTAKE_TEXT_BYTES 640

struct mistake {
    int line;
    size_t order;
    char text[MISTAKE_TEXT_BYTES];
};

struct mistakes {
    const char *file;
    size_t count; /* all that were found; the first MISTAKE_MAX are kept */
    struct mistake kept[MISTAKE_MAX];
};

/** mistake_add - note "LABEL: @fmt..." for a line; @option may be "" for a section itself. */
void mistake_add(struct mistakes *m, int line, enum section section, const char *option,
                 const char *fmt, ...) PRINTF_LIKE(5, 6);

/** mistakes_tell - hand every line, "file:line: option: ...", to @on_mistake. */
void mistakes_tell(struct mistakes *m, void (*on_mistake)(void *ctx, const char *line), void *ctx);

#endif
