/**
 * DOC: the scanner: what stands where in a configuration file
 *
 * libconfuse stops at the first thing it does not understand and does not keep the lines of values.
 * The scanner walks the same syntax before it: it reports every unknown name, every statement that
 * is not well formed and everything given twice, notes the line of the others, and writes a clean
 * text of them that libconfuse then reads to its end.  It does not look at values.
 */
#ifndef CONFIG_SCAN_H
#define CONFIG_SCAN_H

#include "base/bytes.h"
#include "config/mistakes.h"

struct scan {
    struct mistakes *mistakes;
    struct writer clean;         /* zero-terminated; each statement on its line in the file */
    int section_line[SECTIONS];  /* 0: not given */
    int option_line[OPTION_MAX]; /* by index in schema[] */
};

/**
 * scan_text - walk a file
 * @text: zero-terminated
 * Returns: ST_OK, also with mistakes; ST_NOMEM. scan_done() in both cases.
 */
NODISCARD enum status scan_text(struct scan *s, const char *text, struct mistakes *mistakes);
void scan_done(struct scan *s);

#endif
