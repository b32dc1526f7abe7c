#include "gateway/history/database.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

enum { BUSY_MS = 2000, NAME_BYTES = 600, STATEMENT_BYTES = 48 };

static const char *const suffix[] = {"", "-wal", "-shm"};
#define SUFFIXES (sizeof(suffix) / sizeof(suffix[0]))

enum status
database_failed(sqlite3 *db, struct why *why)
{
    return why_set(why, ST_IO, "%s", db ? sqlite3_errmsg(db) : "out of memory");
}

bool
database_run(sqlite3_stmt *s)
{
    bool is_done = sqlite3_step(s) == SQLITE_DONE;

    return sqlite3_reset(s) == SQLITE_OK && is_done;
}

enum status
database_commit(sqlite3 *db, bool is_good, sqlite3_stmt *prune, struct why *why)
{
    if (is_good && database_run(prune) && sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK)
        return ST_OK;
    database_failed(db, why); /* before the rollback, which has its own words */
    sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return ST_IO;
}

int64_t
database_number(sqlite3 *db, const char *query, int64_t otherwise)
{
    sqlite3_stmt *s = NULL;
    int64_t value = otherwise;

    if (sqlite3_prepare_v2(db, query, -1, &s, NULL) == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW)
        value = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return value;
}

/* What this node knows of calls and of others is nobody else's: an earlier version was open. */
static int
keep_private(const char *path)
{
    char name[NAME_BYTES];

    for (size_t i = 0; i < SUFFIXES; i++) {
        snprintf(name, sizeof(name), "%s%s", path, suffix[i]);
        if (chmod(name, 0600) != 0 && errno != ENOENT)
            return -1;
    }
    return 0;
}

static void
move_aside(const char *path, const char *cause)
{
    char from[NAME_BYTES];
    char to[NAME_BYTES];

    log_write(LOG_LEVEL_ERROR, "history", "%s: %s: moved aside to %s.broken, begun anew", path,
              cause, path);
    for (size_t i = 0; i < SUFFIXES; i++) {
        snprintf(from, sizeof(from), "%s%s", path, suffix[i]);
        snprintf(to, sizeof(to), "%s.broken%s", path, suffix[i]);
        unlink(to);
        if (rename(from, to) != 0 && errno != ENOENT)
            unlink(from);
    }
}

/* Is it the file, and not the disk or its owner? */
static bool
is_broken(sqlite3 *db)
{
    int code = sqlite3_errcode(db);

    return code == SQLITE_CORRUPT || code == SQLITE_NOTADB || code == SQLITE_ERROR ||
           code == SQLITE_MISMATCH;
}

/* quick_check returns rows that name what is wrong, or one "ok".  A file that cannot be read now is
 * not damaged for that. */
static bool
is_damaged(sqlite3 *db)
{
    sqlite3_stmt *s = NULL;
    bool is_bad = false;
    const char *text;

    if (sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &s, NULL) == SQLITE_OK &&
        sqlite3_step(s) == SQLITE_ROW) {
        text = (const char *)sqlite3_column_text(s, 0);
        is_bad = !text || strcmp(text, "ok") != 0;
    } else {
        is_bad = is_broken(db);
    }
    sqlite3_finalize(s);
    return is_bad;
}

/* @ret_broken: another file in its place would do. */
static enum status
open_file(const char *path, int version, const char *schema, sqlite3 **ret_db, bool *ret_broken,
          struct why *why)
{
    char statement[STATEMENT_BYTES];
    sqlite3 *db = NULL;
    int64_t found;
    enum status st;

    *ret_broken = false;
    snprintf(statement, sizeof(statement), "PRAGMA user_version = %d", version);
    if (keep_private(path) != 0)
        return why_set(why, ST_IO, "%s", strerror(errno));
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK)
        goto fail;
    sqlite3_busy_timeout(db, BUSY_MS);
    found = database_number(db, "PRAGMA user_version", -1);
    if (found > version) {
        sqlite3_close(db);
        return why_set(why, ST_IO, "it was written by a later version of Ringway");
    }
    if (found < 0)
        goto fail;
    if (is_damaged(db)) {
        *ret_broken = true;
        sqlite3_close(db);
        return why_set(why, ST_IO, "the file is damaged");
    }
    if (sqlite3_exec(db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_exec(db, schema, NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_exec(db, statement, NULL, NULL, NULL) != SQLITE_OK || keep_private(path) != 0)
        goto fail;
    *ret_db = db;
    return ST_OK;

fail:
    *ret_broken = db && is_broken(db);
    st = database_failed(db, why);
    sqlite3_close(db);
    return st;
}

enum status
database_open(const char *path, int version, const char *schema, sqlite3 **ret_db, struct why *why)
{
    bool is_broken_file;
    enum status st = open_file(path, version, schema, ret_db, &is_broken_file, why);

    if (st == ST_OK || !is_broken_file)
        return st;
    move_aside(path, why->text);
    return open_file(path, version, schema, ret_db, &is_broken_file, why);
}
