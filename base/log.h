/**
 * DOC: the log front
 *
 * A level names whose move it is: ERROR the operator's; WARN nobody's, we carried on and say how;
 * REMOTE a peer or phone broke the rules; INFO a state changed; DEBUG ours.
 *
 * Pure modules do not log: they are given a struct log_to and pass their lines to it, so that a
 * simulator with ten thousand nodes knows who spoke.  Shells use log_write(), which goes to the
 * one sink of the process (stderr until log_open() says otherwise).
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>

#include "base/status.h"

enum log_level {
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARN,
    LOG_LEVEL_REMOTE,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG
};

/** Where a pure module's lines go.  A NULL write drops them. */
struct log_to {
    void (*write)(void *ctx, enum log_level level, const char *text);
    void *ctx;
};

/** log_to - hand one line to a module's log; no trailing newline. */
void log_to(const struct log_to *to, enum log_level level, const char *fmt, ...) PRINTF_LIKE(3, 4);

/** A process-wide sink.  Called from any thread; @area is a folder-like word ("sip", "link"). */
struct log_sink {
    void (*write)(void *ctx, enum log_level level, const char *area, const char *text);
    void *ctx;
};

/**
 * log_open - set the sink and the most talkative level that is written
 * @sink: copied; a NULL write means stderr
 *
 * To be called before the second thread starts.
 */
void log_open(const struct log_sink *sink, enum log_level most);

/**
 * log_stamp - begin each line on stderr with the time, as 2026-01-31T12:00:00.000Z
 *
 * For those whose stderr is a terminal or a file; the journal has a clock of its own.
 */
void log_stamp(void);

/** log_is_written - would a line of this level be written? For lines that are dear to build. */
bool log_is_written(enum log_level level);

/**
 * log_write - write one line
 *
 * Lines of level REMOTE are what a stranger can trigger: at most LOG_REMOTE_PER_S of them are
 * written each second, then one line says how many were left out.
 */
void log_write(enum log_level level, const char *area, const char *fmt, ...) PRINTF_LIKE(3, 4);

#define LOG_REMOTE_PER_S 20

/** log_level_name - "error", "warn", "remote", "info", "debug". */
const char *log_level_name(enum log_level level);

#endif
