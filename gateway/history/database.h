/**
 * DOC: a SQLite file in state-dir, whatever state it is in
 *
 * One that is broken is moved aside, to NAME.broken (an older one of that name goes), and begun
 * anew: what it held is lost, the node is not.
 */
#ifndef GATEWAY_HISTORY_DATABASE_H
#define GATEWAY_HISTORY_DATABASE_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

/**
 * database_open - open or make the file, private to its owner, in WAL mode
 * @version: of the schema; one that a later version wrote is left alone
 * @schema:  SQL that makes what is not there yet
 * Returns: ST_OK; ST_IO with the cause: not there, not writable, of a later version.
 */
NODISCARD enum status database_open(const char *path, int version, const char *schema,
                                    sqlite3 **ret_db, struct why *why);

/** database_failed - ST_IO, and what SQLite says of it. */
enum status database_failed(sqlite3 *db, struct why *why);

/** database_run - a statement that returns no rows; it is ready for the next time. */
bool database_run(sqlite3_stmt *s);

/** database_commit - end a transaction: if @is_good, run @prune and commit, else roll back
 *  Returns: ST_OK; ST_IO with the cause, and nothing of it is kept. */
enum status database_commit(sqlite3 *db, bool is_good, sqlite3_stmt *prune, struct why *why);

/** database_number - the number that a query returns, else @otherwise. */
int64_t database_number(sqlite3 *db, const char *query, int64_t otherwise);

#endif
