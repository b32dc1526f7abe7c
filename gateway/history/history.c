#include "gateway/history/history.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "gateway/history/history_file.h"

enum { PATH_MAX_BYTES = 512, COMPLAIN_S = 60, BATCH_MAX = 64, LAST_WAIT_S = 3 };

struct history {
    char path[PATH_MAX_BYTES];
    uint64_t online_before_s;

    /* The overlay thread's: what was read, and all since; a ring. */
    struct election_transition last[HISTORY_LAST_MAX];
    size_t last_count; /* ever; the slot is the remainder */

    /* The worker's. */
    struct history_file *file;
    time_t complained_s;
    bool has_complained;

    /* Both threads', under the lock. */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct history_job queue[HISTORY_QUEUE_MAX];
    size_t head, count;
    uint64_t dropped;
    bool is_ending;

    pthread_t worker;
    bool has_worker;
};

/* ---- the worker --------------------------------------------------------------------------------
 */

static void
complain(struct history *h, const char *what)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    if (h->has_complained && now.tv_sec < h->complained_s + COMPLAIN_S)
        return;
    h->has_complained = true;
    h->complained_s = now.tv_sec;
    log_write(LOG_LEVEL_ERROR, "history", "%s: %s; the node goes on, this history is lost", h->path,
              what);
}

/* Up to BATCH_MAX jobs off the queue; 0 at the end. */
static size_t
take_jobs(struct history *h, struct history_job *ret, uint64_t *ret_dropped)
{
    size_t count = 0;

    pthread_mutex_lock(&h->lock);
    while (h->count == 0 && !h->is_ending)
        pthread_cond_wait(&h->wake, &h->lock);
    for (; count < BATCH_MAX && h->count > 0; h->count--) {
        ret[count++] = h->queue[h->head];
        h->head = (h->head + 1) % HISTORY_QUEUE_MAX;
    }
    *ret_dropped = h->dropped;
    h->dropped = 0;
    pthread_mutex_unlock(&h->lock);
    return count;
}

static void *
work(void *ctx)
{
    struct history *h = ctx;
    struct history_job *job = calloc(BATCH_MAX, sizeof(*job));
    uint64_t dropped = 0;
    size_t count;

    while (job && (count = take_jobs(h, job, &dropped)) > 0) {
        struct why why = {""};
        if (dropped > 0)
            complain(h, "the disk is too slow");
        if (h->file && history_file_write(h->file, job, count, &why) != ST_OK)
            complain(h, why.text);
    }
    free(job);
    return NULL;
}

static void
push(struct history *h, const struct history_job *job)
{
    if (!h->has_worker)
        return;
    pthread_mutex_lock(&h->lock);
    if (h->count < HISTORY_QUEUE_MAX)
        h->queue[(h->head + h->count++) % HISTORY_QUEUE_MAX] = *job;
    else
        h->dropped++;
    pthread_cond_signal(&h->wake);
    pthread_mutex_unlock(&h->lock);
}

/* ---- birth and death ---------------------------------------------------------------------------
 */

static void
read_file(struct history *h, uint64_t now_wall_ms)
{
    uint64_t online_s = 0, online_wall_ms = 0, away_s = 0;
    struct why why = {""};

    if (history_file_open(h->path, &h->file, &why) == ST_OK &&
        history_file_read(h->file, h->last, HISTORY_LAST_MAX, &h->last_count, &online_s,
                          &online_wall_ms, &why) != ST_OK) {
        history_file_close(h->file);
        h->file = NULL;
    }
    if (!h->file) {
        complain(h, why.text);
        return;
    }
    if (now_wall_ms > online_wall_ms)
        away_s = (now_wall_ms - online_wall_ms) / 1000;
    h->online_before_s = online_s > away_s ? online_s - away_s : 0;
}

enum status
history_new(const char *dir, uint64_t now_wall_ms, struct history **ret_history)
{
    struct history *h = calloc(1, sizeof(*h));

    if (!h)
        return ST_NOMEM;
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->wake, NULL);
    snprintf(h->path, sizeof(h->path), "%s/%s", dir, HISTORY_FILE);
    if ((mkdir(dir, 0700) != 0 && errno != EEXIST) || chmod(dir, 0700) != 0)
        complain(h, strerror(errno));
    else
        read_file(h, now_wall_ms);
    h->has_worker = h->file && pthread_create(&h->worker, NULL, work, h) == 0;
    *ret_history = h;
    return ST_OK;
}

void
history_free(struct history *h)
{
    struct timespec until;

    if (!h)
        return;
    if (h->has_worker) {
        pthread_mutex_lock(&h->lock);
        h->is_ending = true;
        pthread_cond_signal(&h->wake);
        pthread_mutex_unlock(&h->lock);
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += LAST_WAIT_S;
        if (pthread_clockjoin_np(h->worker, NULL, CLOCK_MONOTONIC, &until) != 0) {
            complain(h, "the disk does not answer");
            return; /* the worker has it all */
        }
    }
    history_file_close(h->file);
    pthread_mutex_destroy(&h->lock);
    pthread_cond_destroy(&h->wake);
    free(h);
}

/* ---- what is put and asked ---------------------------------------------------------------------
 */

void
history_put(struct history *h, const struct election_transition *t)
{
    size_t newest = (h->last_count + HISTORY_LAST_MAX - 1) % HISTORY_LAST_MAX;
    struct history_job job = {.transition = *t};

    /* Only the last one is ever completed; what was read has no serial. */
    if (h->last_count > 0 && h->last[newest].serial == t->serial)
        h->last[newest] = *t;
    else
        h->last[h->last_count++ % HISTORY_LAST_MAX] = *t;
    push(h, &job);
}

size_t
history_last(const struct history *h, struct election_transition *ret, size_t cap)
{
    size_t count = h->last_count < HISTORY_LAST_MAX ? h->last_count : HISTORY_LAST_MAX;

    if (count > cap)
        count = cap;
    for (size_t i = 0; i < count; i++)
        ret[i] = h->last[(h->last_count - count + i) % HISTORY_LAST_MAX];
    return count;
}

uint64_t
history_online_before_s(const struct history *h)
{
    return h->online_before_s;
}

void
history_online(struct history *h, uint64_t online_s, uint64_t now_wall_ms)
{
    const struct history_job job = {
        .is_online = true, .online_s = online_s, .wall_ms = now_wall_ms};

    push(h, &job);
}
