#include "gateway/history/registrations.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/map.h"
#include "gateway/history/database.h"

enum { SCHEMA_VERSION = 1, PATH_MAX_BYTES = 512, COMPLAIN_S = 60, PAUSE_MS = 500, LAST_WAIT_S = 3 };

static const char schema_text[] =
    "CREATE TABLE IF NOT EXISTS registrations ("
    " aor TEXT PRIMARY KEY, value BLOB NOT NULL, expires_at_wall_ms INTEGER NOT NULL"
    ") WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS by_expiry ON registrations (expires_at_wall_ms);"
    "PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 1048576;";

/** A row, to be written or read; one block of memory. */
struct row {
    uint64_t expires_at_wall_ms;
    size_t value_len; /* 0: none */
    const uint8_t *value;
    char aor[];
};

struct registrations {
    char path[PATH_MAX_BYTES];
    char key_path[PATH_MAX_BYTES];
    uint8_t key[REGISTRATIONS_KEY_BYTES];
    bool had_run;
    size_t limit;

    /* What was read. */
    struct row **read;
    size_t read_count;

    /* The worker's. */
    sqlite3 *db;
    sqlite3_stmt *put;
    sqlite3_stmt *remove;
    sqlite3_stmt *prune;
    time_t complained_s;
    bool has_complained;

    /* Both threads', under the lock. */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct map *waiting; /* struct row, by AOR */
    uint64_t dropped;
    bool is_ending;

    pthread_t worker;
    bool has_worker;
};

static void
complain(struct registrations *r, const char *path, const char *what)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    if (r->has_complained && now.tv_sec < r->complained_s + COMPLAIN_S)
        return;
    r->has_complained = true;
    r->complained_s = now.tv_sec;
    log_write(LOG_LEVEL_ERROR, "history",
              "%s: %s; the node goes on, its registrations are not kept over its end", path, what);
}

static struct row *
row_new(const char *aor, struct slice value, uint64_t expires_at_wall_ms)
{
    size_t aor_bytes = strlen(aor) + 1;
    struct row *row = malloc(sizeof(*row) + aor_bytes + value.len);

    if (!row)
        return NULL;
    *row = (struct row){.expires_at_wall_ms = expires_at_wall_ms, .value_len = value.len};
    memcpy(row->aor, aor, aor_bytes);
    row->value = (uint8_t *)row->aor + aor_bytes;
    if (value.len > 0)
        memcpy(row->aor + aor_bytes, value.data, value.len);
    return row;
}

/* ---- the worker --------------------------------------------------------------------------------
 */

static bool
write_row(struct registrations *r, const struct row *row)
{
    sqlite3_stmt *s = row->value_len > 0 ? r->put : r->remove;

    sqlite3_bind_text(s, 1, row->aor, -1, SQLITE_STATIC);
    if (row->value_len > 0) {
        sqlite3_bind_blob(s, 2, row->value, (int)row->value_len, SQLITE_STATIC);
        sqlite3_bind_int64(s, 3, (sqlite3_int64)row->expires_at_wall_ms);
    }
    return database_run(s);
}

/* All rows in one transaction, or none; and what is over goes. */
static enum status
write_rows(struct registrations *r, const struct map *rows, struct why *why)
{
    struct map_cursor c = {0};
    struct timespec now;
    bool is_good = sqlite3_exec(r->db, "BEGIN", NULL, NULL, NULL) == SQLITE_OK;

    clock_gettime(CLOCK_REALTIME, &now);
    while (is_good && map_next(rows, &c))
        is_good = write_row(r, c.value);
    sqlite3_bind_int64(r->prune, 1, (sqlite3_int64)now.tv_sec * 1000);
    return database_commit(r->db, is_good, r->prune, why);
}

static void
rows_free(struct map *rows)
{
    struct map_cursor c = {0};

    while (rows && map_next(rows, &c))
        free(c.value);
    map_free(rows);
}

/* What could not be written waits again, unless there is later news of it. */
static void
put_back(struct registrations *r, struct map *rows)
{
    struct map_cursor c = {0};

    pthread_mutex_lock(&r->lock);
    while (map_next(rows, &c)) {
        if (map_get(r->waiting, c.key) || map_put(r->waiting, c.key, c.value, NULL))
            free(c.value);
    }
    pthread_mutex_unlock(&r->lock);
    map_free(rows);
}

/* What waits, all of it; what comes while the disk is given a rest goes together.  NULL at the end.
 */
static struct map *
take_rows(struct registrations *r, uint64_t *ret_dropped)
{
    struct map *empty = map_new((uint64_t)(uintptr_t)r, r->limit);
    struct map *rows = NULL;
    struct timespec until;

    pthread_mutex_lock(&r->lock);
    while (map_count(r->waiting) == 0 && !r->is_ending)
        pthread_cond_wait(&r->wake, &r->lock);
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += PAUSE_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    while (!r->is_ending && pthread_cond_timedwait(&r->wake, &r->lock, &until) != ETIMEDOUT)
        ;
    if (empty && map_count(r->waiting) > 0) {
        rows = r->waiting;
        r->waiting = empty;
        empty = NULL;
    }
    *ret_dropped = r->dropped;
    r->dropped = 0;
    pthread_mutex_unlock(&r->lock);
    map_free(empty);
    return rows;
}

static bool
is_ending(struct registrations *r)
{
    bool is_over;

    pthread_mutex_lock(&r->lock);
    is_over = r->is_ending;
    pthread_mutex_unlock(&r->lock);
    return is_over;
}

static void *
work(void *ctx)
{
    struct registrations *r = ctx;
    uint64_t dropped = 0;
    struct map *rows;

    while ((rows = take_rows(r, &dropped)) || !is_ending(r)) {
        struct why why = {""};

        if (dropped > 0)
            complain(r, r->path, "more changes than there may be registrations wait for the disk");
        if (!rows)
            continue;
        if (write_rows(r, rows, &why) == ST_OK) {
            rows_free(rows);
            continue;
        }
        complain(r, r->path, why.text);
        if (is_ending(r))
            rows_free(rows);
        else
            put_back(r, rows);
    }
    return NULL;
}

/* ---- birth and death ---------------------------------------------------------------------------
 */

static enum status
read_rows(struct registrations *r, uint64_t now_wall_ms, struct why *why)
{
    static const char query[] = "SELECT aor, value, expires_at_wall_ms FROM registrations"
                                " WHERE expires_at_wall_ms > ?1 ORDER BY expires_at_wall_ms DESC"
                                " LIMIT ?2";
    int64_t count = database_number(r->db, "SELECT count(*) FROM registrations", 0);
    sqlite3_stmt *s = NULL;
    int result;

    if ((uint64_t)count > r->limit)
        count = (int64_t)r->limit;
    r->read = calloc((size_t)count + 1, sizeof(struct row *));
    if (!r->read || sqlite3_prepare_v2(r->db, query, -1, &s, NULL) != SQLITE_OK)
        return database_failed(r->read ? r->db : NULL, why);
    sqlite3_bind_int64(s, 1, (sqlite3_int64)now_wall_ms);
    sqlite3_bind_int64(s, 2, count);
    while ((result = sqlite3_step(s)) == SQLITE_ROW) {
        const char *aor = (const char *)sqlite3_column_text(s, 0);
        struct slice value =
            slice_of(sqlite3_column_blob(s, 1), (size_t)sqlite3_column_bytes(s, 1));
        struct row *row = aor ? row_new(aor, value, (uint64_t)sqlite3_column_int64(s, 2)) : NULL;

        if (row)
            r->read[r->read_count++] = row;
    }
    sqlite3_finalize(s);
    return result == SQLITE_DONE ? ST_OK : database_failed(r->db, why);
}

static enum status
open_database(struct registrations *r, uint64_t now_wall_ms, struct why *why)
{
    enum status st = database_open(r->path, SCHEMA_VERSION, schema_text, &r->db, why);

    if (st == ST_OK &&
        (sqlite3_prepare_v2(r->db, "INSERT OR REPLACE INTO registrations VALUES (?1,?2,?3)", -1,
                            &r->put, NULL) != SQLITE_OK ||
         sqlite3_prepare_v2(r->db, "DELETE FROM registrations WHERE aor = ?1", -1, &r->remove,
                            NULL) != SQLITE_OK ||
         sqlite3_prepare_v2(r->db, "DELETE FROM registrations WHERE expires_at_wall_ms <= ?1", -1,
                            &r->prune, NULL) != SQLITE_OK))
        st = database_failed(r->db, why);
    return st == ST_OK ? read_rows(r, now_wall_ms, why) : st;
}

static void
close_database(struct registrations *r)
{
    sqlite3_finalize(r->put);
    sqlite3_finalize(r->remove);
    sqlite3_finalize(r->prune);
    sqlite3_close(r->db);
    r->put = r->remove = r->prune = NULL;
    r->db = NULL;
}

/* The key of an earlier run; a file that is too short was half written. */
static void
read_key(struct registrations *r)
{
    uint8_t key[REGISTRATIONS_KEY_BYTES];
    int fd = open(r->key_path, O_RDONLY | O_CLOEXEC);
    bool is_whole = fd >= 0 && read(fd, key, sizeof(key)) == (ssize_t)sizeof(key);

    if (fd >= 0)
        close(fd);
    r->had_run = is_whole;
    if (is_whole) {
        memcpy(r->key, key, sizeof(key));
        if (chmod(r->key_path, 0600) == 0)
            return;
        complain(r, r->key_path, strerror(errno));
        return;
    }
    unlink(r->key_path);
    fd = open(r->key_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, r->key, sizeof(r->key)) != (ssize_t)sizeof(r->key) || fsync(fd) != 0)
        complain(r, r->key_path, strerror(errno));
    if (fd >= 0)
        close(fd);
}

enum status
registrations_new(const char *dir, size_t limit, uint64_t now_wall_ms,
                  const uint8_t run_key[REGISTRATIONS_KEY_BYTES], struct registrations **ret)
{
    struct registrations *r = calloc(1, sizeof(*r));
    struct why why = {""};
    pthread_condattr_t monotonic;

    if (!r)
        return ST_NOMEM;
    r->limit = limit > 0 ? limit : SIZE_MAX / 2;
    r->waiting = map_new((uint64_t)(uintptr_t)r, limit);
    if (!r->waiting) {
        free(r);
        return ST_NOMEM;
    }
    pthread_mutex_init(&r->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&r->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    memcpy(r->key, run_key, sizeof(r->key));
    snprintf(r->path, sizeof(r->path), "%s/%s", dir, REGISTRATIONS_FILE);
    snprintf(r->key_path, sizeof(r->key_path), "%s/%s", dir, REGISTRATIONS_KEY_FILE);
    if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
        complain(r, r->path, strerror(errno));
    } else {
        read_key(r);
        if (open_database(r, now_wall_ms, &why) != ST_OK) {
            complain(r, r->path, why.text);
            close_database(r);
        }
    }
    r->has_worker = r->db && pthread_create(&r->worker, NULL, work, r) == 0;
    *ret = r;
    return ST_OK;
}

void
registrations_free(struct registrations *r)
{
    struct timespec until;

    if (!r)
        return;
    if (r->has_worker) {
        pthread_mutex_lock(&r->lock);
        r->is_ending = true;
        pthread_cond_signal(&r->wake);
        pthread_mutex_unlock(&r->lock);
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += LAST_WAIT_S;
        if (pthread_clockjoin_np(r->worker, NULL, CLOCK_MONOTONIC, &until) != 0) {
            complain(r, r->path, "the disk does not answer");
            return; /* the worker has it all */
        }
    }
    close_database(r);
    rows_free(r->waiting);
    while (r->read_count > 0)
        free(r->read[--r->read_count]);
    free(r->read);
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->wake);
    explicit_bzero(r->key, sizeof(r->key));
    free(r);
}

/* ---- what is put and asked ---------------------------------------------------------------------
 */

const uint8_t *
registrations_key(const struct registrations *r)
{
    return r->key;
}

bool
registrations_had_run(const struct registrations *r)
{
    return r->had_run;
}

void
registrations_each(struct registrations *r,
                   void (*visit)(void *ctx, const char *aor, struct slice value), void *ctx)
{
    for (size_t i = 0; i < r->read_count; i++) {
        struct row *row = r->read[i];

        visit(ctx, row->aor, slice_of(row->value, row->value_len));
        free(row);
    }
    r->read_count = 0;
}

void
registrations_put(struct registrations *r, const char *aor, struct slice value,
                  uint64_t expires_at_wall_ms)
{
    struct row *row = r->has_worker ? row_new(aor, value, expires_at_wall_ms) : NULL;
    void *old = NULL;

    if (!row)
        return;
    pthread_mutex_lock(&r->lock);
    if (map_put(r->waiting, slice_text(aor), row, &old) == ST_OK) {
        free(old);
    } else {
        free(row);
        r->dropped++;
    }
    pthread_cond_signal(&r->wake);
    pthread_mutex_unlock(&r->lock);
}
