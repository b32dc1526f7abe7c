#include "config/mistakes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
mistake_add(struct mistakes *m, int line, enum section section, const char *option, const char *fmt,
            ...)
{
    struct mistake *mistake = &m->kept[m->count];
    char label[128];
    size_t used;
    va_list ap;

    if (m->count++ >= MISTAKE_MAX)
        return;
    schema_label(section, option, label, sizeof(label));
    mistake->line = line;
    mistake->order = m->count;
    snprintf(mistake->text, sizeof(mistake->text), "%s%s", label, label[0] ? ": " : "");
    used = strlen(mistake->text);
    va_start(ap, fmt);
    vsnprintf(mistake->text + used, sizeof(mistake->text) - used, fmt, ap);
    va_end(ap);
}

static int
compare(const void *left, const void *right)
{
    const struct mistake *a = left, *b = right;

    if (a->line != b->line)
        return a->line < b->line ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

void
mistakes_tell(struct mistakes *m, void (*on_mistake)(void *ctx, const char *line), void *ctx)
{
    size_t kept = m->count < MISTAKE_MAX ? m->count : MISTAKE_MAX;
    char line[CONFIG_TEXT_BYTES + MISTAKE_TEXT_BYTES + 16];

    qsort(m->kept, kept, sizeof(m->kept[0]), compare);
    for (size_t i = 0; i < kept; i++) {
        snprintf(line, sizeof(line), "%s:%d: %s", m->file, m->kept[i].line, m->kept[i].text);
        on_mistake(ctx, line);
    }
    if (m->count > kept) {
        snprintf(line, sizeof(line), "%s: %zu more mistakes", m->file, m->count - kept);
        on_mistake(ctx, line);
    }
}
