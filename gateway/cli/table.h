/**
 * DOC: columns for people
 *
 * Cells are text; a column is as wide as its widest cell; numbers stand to the right.  Colour is
 * only used where the output is a terminal that wants it (NO_COLOR is obeyed).
 */
#ifndef GATEWAY_CLI_TABLE_H
#define GATEWAY_CLI_TABLE_H

#include <stddef.h>

#include "base/status.h"

#define TABLE_COLUMNS_MAX 16
#define TABLE_CELL_BYTES  300

enum colour { COLOUR_NONE, COLOUR_GOOD, COLOUR_WARN, COLOUR_BAD, COLOUR_DIM, COLOUR_BOLD };

/** colour_choose - once, before any output: is standard output to be coloured? */
void colour_choose(void);
/** colour_on, colour_off - escape sequences, "" without colour. */
const char *colour_on(enum colour c);
const char *colour_off(void);

struct table;

/**
 * table_new - a table with these columns
 * @heads: headings, parted by '|'; one that begins with '>' is of numbers, aligned to the right
 * Returns: the table; memory that is not there ends the program.
 */
struct table *table_new(const char *heads);
void table_free(struct table *t);

/** table_cell - the next cell, from left to right, line by line. */
void table_cell(struct table *t, enum colour colour, const char *fmt, ...) PRINTF_LIKE(3, 4);

/** table_print - to standard output; nothing at all if it has no line. */
void table_print(const struct table *t);

#endif
