#include "gateway/cli/table.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"

struct cell {
    enum colour colour;
    char text[TABLE_CELL_BYTES];
};

struct table {
    size_t columns;
    bool is_right[TABLE_COLUMNS_MAX];
    size_t count; /* of cells, headings included */
    size_t cap;
    struct cell *cell;
};

static bool is_coloured;

void
colour_choose(void)
{
    const char *no = getenv("NO_COLOR");
    const char *terminal = getenv("TERM");

    is_coloured = isatty(STDOUT_FILENO) && !(no && no[0]) && terminal && strcmp(terminal, "dumb");
}

const char *
colour_on(enum colour c)
{
    static const char *const sequence[] = {"",         "\033[32m", "\033[33m",
                                           "\033[31m", "\033[2m",  "\033[1m"};

    return is_coloured ? sequence[c] : "";
}

const char *
colour_off(void)
{
    return is_coloured ? "\033[0m" : "";
}

static struct cell *
add(struct table *t, enum colour colour)
{
    if (t->count == t->cap) {
        size_t cap = t->cap > 0 ? 2 * t->cap : 64;
        struct cell *more = realloc(t->cell, cap * sizeof(*more));

        if (!more) {
            fputs("ringwayctl: out of memory\n", stderr);
            exit(1);
        }
        t->cell = more;
        t->cap = cap;
    }
    t->cell[t->count].colour = colour;
    return &t->cell[t->count++];
}

struct table *
table_new(const char *heads)
{
    struct table *t = calloc(1, sizeof(*t));

    if (!t) {
        fputs("ringwayctl: out of memory\n", stderr);
        exit(1);
    }
    while (t->columns < TABLE_COLUMNS_MAX) {
        size_t len = strcspn(heads, "|");
        bool is_right = heads[0] == '>';

        t->is_right[t->columns++] = is_right;
        snprintf(add(t, COLOUR_DIM)->text, TABLE_CELL_BYTES, "%.*s", (int)len - is_right,
                 heads + is_right);
        if (heads[len] == '\0')
            break;
        heads += len + 1;
    }
    return t;
}

void
table_free(struct table *t)
{
    if (!t)
        return;
    free(t->cell);
    free(t);
}

void
table_cell(struct table *t, enum colour colour, const char *fmt, ...)
{
    struct cell *cell = add(t, colour);
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(cell->text, sizeof(cell->text), fmt, ap);
    va_end(ap);
    text_make_printable(cell->text); /* what a stranger named must not steer the terminal */
}

/* Characters, not bytes: UTF-8 continuation bytes have no width. */
static size_t
width_of(const char *text)
{
    size_t width = 0;

    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static size_t
column_width(const struct table *t, size_t column)
{
    size_t width = 0;

    for (size_t i = column; i < t->count; i += t->columns) {
        size_t w = width_of(t->cell[i].text);

        width = w > width ? w : width;
    }
    return width;
}

void
table_print(const struct table *t)
{
    size_t width[TABLE_COLUMNS_MAX];

    if (t->count <= t->columns)
        return;
    for (size_t i = 0; i < t->columns; i++)
        width[i] = column_width(t, i);
    for (size_t i = 0; i < t->count; i++) {
        const struct cell *cell = &t->cell[i];
        size_t column = i % t->columns;
        bool is_last = column + 1 == t->columns;
        int fill = (int)(width[column] - width_of(cell->text));

        printf("%*s%s%s%s", t->is_right[column] ? fill : 0, "", colour_on(cell->colour), cell->text,
               cell->colour ? colour_off() : "");
        if (is_last)
            putchar('\n');
        else
            printf("%*s", (t->is_right[column] ? 0 : fill) + 2, "");
    }
}
