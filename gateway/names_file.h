/**
 * DOC: the file of foreign names in state-dir
 *
 * Names of other overlays inside our own (global-overlay/nested.h), one a line with the time of its
 * last entry in the ring in seconds since 1970: "bupt.pastry 1798000000".  A name stays foreign
 * over a restart; a line that holds no name is left out.  Written beside and renamed, so that it is
 * whole.
 */
#ifndef GATEWAY_NAMES_FILE_H
#define GATEWAY_NAMES_FILE_H

#include "global-overlay/nested.h"

/** names_file_read - tell the table each name of the file; without a file, none. */
void names_file_read(const char *folder, struct nested *names, struct moment now);

/** names_file_write - what the table has; a failure is logged. */
void names_file_write(const char *folder, const struct nested *names);

#endif
