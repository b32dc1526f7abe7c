#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>

const char *
status_text(enum status st)
{
    switch (st) {
#define STATUS_CASE(code, ctl, sentence)                                                           \
    case code:                                                                                     \
        return sentence;
        STATUS_TABLE(STATUS_CASE)
#undef STATUS_CASE
    }
    return "unknown status";
}

int
status_number(enum status st)
{
    switch (st) {
#define STATUS_CASE(code, ctl, sentence)                                                           \
    case code:                                                                                     \
        return ctl;
        STATUS_TABLE(STATUS_CASE)
#undef STATUS_CASE
    }
    return -1;
}

enum status
why_set(struct why *why, enum status st, const char *fmt, ...)
{
    va_list ap;

    if (why) {
        va_start(ap, fmt);
        vsnprintf(why->text, sizeof(why->text), fmt, ap);
        va_end(ap);
    }
    return st;
}
