#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "base/text.h"

#define STAMP_BYTES 40
#define LINE_BYTES  1024 /* holds a struct why with what stands before it */

/* The one process-wide object of the tree: style.md's log front. */
static struct {
    pthread_mutex_t lock;
    struct log_sink sink;
    enum log_level most;
    bool is_stamped;
    time_t second;
    unsigned written;
    unsigned left_out;
} front = {.lock = PTHREAD_MUTEX_INITIALIZER, .most = LOG_LEVEL_INFO};

const char *
log_level_name(enum log_level level)
{
    static const char *const name[] = {"error", "warn", "remote", "info", "debug"};

    return name[level];
}

void
log_to(const struct log_to *to, enum log_level level, const char *fmt, ...)
{
    char text[LINE_BYTES];
    va_list ap;

    if (!to || !to->write)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    to->write(to->ctx, level, text);
}

void
log_open(const struct log_sink *sink, enum log_level most)
{
    pthread_mutex_lock(&front.lock);
    front.sink = *sink;
    front.most = most;
    pthread_mutex_unlock(&front.lock);
}

void
log_stamp(void)
{
    pthread_mutex_lock(&front.lock);
    front.is_stamped = true;
    pthread_mutex_unlock(&front.lock);
}

bool
log_is_written(enum log_level level)
{
    return level <= front.most;
}

/* "" or the time and a space. */
static void
write_stamp(char out[STAMP_BYTES])
{
    struct timespec now;
    struct tm tm;
    size_t len;

    out[0] = '\0';
    if (!front.is_stamped)
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    len = strftime(out, STAMP_BYTES, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + len, STAMP_BYTES - len, ".%03uZ ", (unsigned)(now.tv_nsec / 1000000));
}

static void
put(enum log_level level, const char *area, const char *text)
{
    char stamp[STAMP_BYTES];

    if (front.sink.write) {
        front.sink.write(front.sink.ctx, level, area, text);
        return;
    }
    write_stamp(stamp);
    fprintf(stderr, "%s%s: %s: %s\n", stamp, log_level_name(level), area, text);
}

/* Count a line against its second; true if it may be written.  Called with the lock held. */
static bool
admit_remote(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    if (now.tv_sec != front.second) {
        if (front.left_out > 0) {
            char text[64];
            snprintf(text, sizeof(text), "%u lines of level remote left out", front.left_out);
            put(LOG_LEVEL_WARN, "log", text);
        }
        front.second = now.tv_sec;
        front.written = 0;
        front.left_out = 0;
    }
    if (front.written >= LOG_REMOTE_PER_S) {
        front.left_out++;
        return false;
    }
    front.written++;
    return true;
}

void
log_write(enum log_level level, const char *area, const char *fmt, ...)
{
    char text[LINE_BYTES];
    va_list ap;

    if (!log_is_written(level))
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    text_make_printable(text); /* what a stranger sent must not forge a line */
    pthread_mutex_lock(&front.lock);
    if (level != LOG_LEVEL_REMOTE || admit_remote())
        put(level, area, text);
    pthread_mutex_unlock(&front.lock);
}
