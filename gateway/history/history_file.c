#include "gateway/history/history_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/history/database.h"

enum { SCHEMA_VERSION = 1 };

struct history_file {
    sqlite3 *db;
    sqlite3_stmt *put;
    sqlite3_stmt *prune;
    sqlite3_stmt *online;
    int64_t run;
};

static const char schema_text[] =
    "CREATE TABLE IF NOT EXISTS transitions ("
    " id INTEGER PRIMARY KEY AUTOINCREMENT, run INTEGER NOT NULL, serial INTEGER NOT NULL,"
    " at_wall_ms INTEGER NOT NULL, term INTEGER NOT NULL, role_from TEXT NOT NULL,"
    " role_to TEXT NOT NULL, reason TEXT NOT NULL, gateway TEXT NOT NULL, is_reset INTEGER NOT "
    "NULL,"
    " probes_asked INTEGER NOT NULL, probes_answered INTEGER NOT NULL, silent_ms INTEGER,"
    " probe_ms INTEGER, turn_ms INTEGER, answered_ms INTEGER, stored_ms INTEGER, ring_ms INTEGER,"
    " UNIQUE (run, serial));"
    "CREATE TABLE IF NOT EXISTS online ("
    " one INTEGER PRIMARY KEY CHECK (one = 1), online_s INTEGER NOT NULL,"
    " at_wall_ms INTEGER NOT NULL);"
    "PRAGMA synchronous = NORMAL;";

static const char put_text[] =
    "INSERT INTO transitions (run, serial, at_wall_ms, term, role_from, role_to, reason, gateway,"
    " is_reset, probes_asked, probes_answered, silent_ms, probe_ms, turn_ms, answered_ms, "
    "stored_ms,"
    " ring_ms) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17)"
    " ON CONFLICT (run, serial) DO UPDATE SET answered_ms = ?15, stored_ms = ?16, ring_ms = ?17";
static const char prune_text[] =
    "DELETE FROM transitions WHERE id <= (SELECT max(id) FROM transitions) - ?1";
static const char online_text[] = "INSERT OR REPLACE INTO online VALUES (1, ?1, ?2)";
static const char read_text[] =
    "SELECT at_wall_ms, term, role_from, role_to, reason, gateway, is_reset, probes_asked,"
    " probes_answered, silent_ms, probe_ms, turn_ms, answered_ms, stored_ms, ring_ms FROM"
    " (SELECT * FROM transitions ORDER BY id DESC LIMIT ?1) ORDER BY id";

static enum status
prepare(struct history_file *f, struct why *why)
{
    if (sqlite3_prepare_v2(f->db, put_text, -1, &f->put, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(f->db, prune_text, -1, &f->prune, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(f->db, online_text, -1, &f->online, NULL) != SQLITE_OK)
        return database_failed(f->db, why);
    f->run = database_number(f->db, "SELECT coalesce(max(run), 0) + 1 FROM transitions", 1);
    return ST_OK;
}

enum status
history_file_open(const char *path, struct history_file **ret_file, struct why *why)
{
    struct history_file *f = calloc(1, sizeof(*f));
    enum status st;

    if (!f)
        return why_set(why, ST_NOMEM, "out of memory");
    st = database_open(path, SCHEMA_VERSION, schema_text, &f->db, why);
    if (st == ST_OK)
        st = prepare(f, why);
    if (st == ST_OK)
        *ret_file = f;
    else
        history_file_close(f);
    return st;
}

void
history_file_close(struct history_file *f)
{
    if (!f)
        return;
    sqlite3_finalize(f->put);
    sqlite3_finalize(f->prune);
    sqlite3_finalize(f->online);
    sqlite3_close(f->db);
    free(f);
}

/* ---- reading -----------------------------------------------------------------------------------
 */

static enum election_role
role_of(sqlite3_stmt *s, int column)
{
    const char *text = (const char *)sqlite3_column_text(s, column);

    for (enum election_role r = ELECTION_OBSERVER; text && r <= ELECTION_ACTIVE; r++)
        if (strcmp(election_role_name(r), text) == 0)
            return r;
    return ELECTION_OBSERVER;
}

static void
text_of(sqlite3_stmt *s, int column, char *out, size_t out_bytes)
{
    const char *text = (const char *)sqlite3_column_text(s, column);

    snprintf(out, out_bytes, "%s", text ? text : "");
}

static uint32_t
step_of(sqlite3_stmt *s, int column)
{
    int64_t value = sqlite3_column_int64(s, column);

    if (sqlite3_column_type(s, column) == SQLITE_NULL || value < 0 || value >= UINT32_MAX)
        return ELECTION_UNKNOWN_MS;
    return (uint32_t)value;
}

static void
read_row(sqlite3_stmt *s, struct election_transition *t)
{
    *t =
        (struct election_transition){.at_wall_ms = (uint64_t)sqlite3_column_int64(s, 0),
                                     .term = (uint32_t)sqlite3_column_int64(s, 1),
                                     .from = role_of(s, 2),
                                     .to = role_of(s, 3),
                                     .steps = {.is_reset = sqlite3_column_int(s, 6) != 0,
                                               .probes_asked = (uint8_t)sqlite3_column_int(s, 7),
                                               .probes_answered = (uint8_t)sqlite3_column_int(s, 8),
                                               .silent_ms = step_of(s, 9),
                                               .probe_ms = step_of(s, 10),
                                               .turn_ms = step_of(s, 11),
                                               .answered_ms = step_of(s, 12),
                                               .stored_ms = step_of(s, 13),
                                               .ring_ms = step_of(s, 14)}};
    text_of(s, 4, t->reason, sizeof(t->reason));
    text_of(s, 5, t->steps.gateway, sizeof(t->steps.gateway));
}

enum status
history_file_read(struct history_file *f, struct election_transition *ret, size_t cap,
                  size_t *ret_count, uint64_t *ret_online_s, uint64_t *ret_online_wall_ms,
                  struct why *why)
{
    sqlite3_stmt *s = NULL;
    size_t count = 0;
    int result;

    if (sqlite3_prepare_v2(f->db, read_text, -1, &s, NULL) != SQLITE_OK)
        return database_failed(f->db, why);
    sqlite3_bind_int64(s, 1, (sqlite3_int64)cap);
    while ((result = sqlite3_step(s)) == SQLITE_ROW && count < cap)
        read_row(s, &ret[count++]);
    sqlite3_finalize(s);
    if (result != SQLITE_DONE)
        return database_failed(f->db, why);
    *ret_count = count;
    *ret_online_s = (uint64_t)database_number(f->db, "SELECT max(online_s, 0) FROM online", 0);
    *ret_online_wall_ms =
        (uint64_t)database_number(f->db, "SELECT max(at_wall_ms, 0) FROM online", 0);
    return ST_OK;
}

/* ---- writing -----------------------------------------------------------------------------------
 */

static void
bind_step(sqlite3_stmt *s, int index, uint32_t ms)
{
    if (ms == ELECTION_UNKNOWN_MS)
        sqlite3_bind_null(s, index);
    else
        sqlite3_bind_int64(s, index, ms);
}

static bool
write_transition(struct history_file *f, const struct election_transition *t)
{
    const struct election_steps *steps = &t->steps;

    sqlite3_bind_int64(f->put, 1, f->run);
    sqlite3_bind_int64(f->put, 2, t->serial);
    sqlite3_bind_int64(f->put, 3, (sqlite3_int64)t->at_wall_ms);
    sqlite3_bind_int64(f->put, 4, t->term);
    sqlite3_bind_text(f->put, 5, election_role_name(t->from), -1, SQLITE_STATIC);
    sqlite3_bind_text(f->put, 6, election_role_name(t->to), -1, SQLITE_STATIC);
    sqlite3_bind_text(f->put, 7, t->reason, -1, SQLITE_TRANSIENT);
    sqlite3_bind_text(f->put, 8, steps->gateway, -1, SQLITE_TRANSIENT);
    sqlite3_bind_int(f->put, 9, steps->is_reset);
    sqlite3_bind_int(f->put, 10, steps->probes_asked);
    sqlite3_bind_int(f->put, 11, steps->probes_answered);
    bind_step(f->put, 12, steps->silent_ms);
    bind_step(f->put, 13, steps->probe_ms);
    bind_step(f->put, 14, steps->turn_ms);
    bind_step(f->put, 15, steps->answered_ms);
    bind_step(f->put, 16, steps->stored_ms);
    bind_step(f->put, 17, steps->ring_ms);
    return database_run(f->put);
}

static bool
write_job(struct history_file *f, const struct history_job *job)
{
    if (!job->is_online)
        return write_transition(f, &job->transition);
    sqlite3_bind_int64(f->online, 1, (sqlite3_int64)job->online_s);
    sqlite3_bind_int64(f->online, 2, (sqlite3_int64)job->wall_ms);
    return database_run(f->online);
}

enum status
history_file_write(struct history_file *f, const struct history_job *job, size_t count,
                   struct why *why)
{
    bool is_good = sqlite3_exec(f->db, "BEGIN", NULL, NULL, NULL) == SQLITE_OK;

    for (size_t i = 0; i < count && is_good; i++)
        is_good = write_job(f, &job[i]);
    sqlite3_bind_int64(f->prune, 1, HISTORY_ROWS_MAX);
    return database_commit(f->db, is_good, f->prune, why);
}
