/**
 * DOC: what a node remembers of its elections from one run to the next
 *
 * A SQLite database in state-dir, history.sqlite (SQLite's home): each change of this node's role
 * with its reason and the time each step took, the last HISTORY_ROWS_MAX of them; and for how long
 * the node has been online, the time it was away taken off.
 *
 *     overlay thread                        worker thread
 *     history_put, history_online  -- queue -->  write, one transaction for what waits
 *     history_last                 <-- what was read at the start, and all that was put since
 *
 * Nothing but history_new() and history_free() waits for the disk.  A database that cannot be
 * opened, read or written is an `error` line in the log, not more than one a minute; what is put is
 * then remembered in memory alone.  A full queue (a disk that hangs) drops what is put, and says
 * so.
 *
 * Left out on purpose: a copy for other nodes; who asks for more than the last HISTORY_LAST_MAX
 * rows reads the file (sqlite3 history.sqlite 'select * from transitions').
 */
#ifndef GATEWAY_HISTORY_HISTORY_H
#define GATEWAY_HISTORY_HISTORY_H

#include "election/election.h"

#define HISTORY_FILE      "history.sqlite"
#define HISTORY_ROWS_MAX  10000
#define HISTORY_LAST_MAX  1000
#define HISTORY_QUEUE_MAX 1024

struct history;

/**
 * history_new - open or make the database in @dir, read what it has, start the worker
 * @dir: made if its parent is there
 * Returns: ST_OK, also where the database cannot be used (the log has the cause); ST_NOMEM.
 */
NODISCARD enum status history_new(const char *dir, uint64_t now_wall_ms,
                                  struct history **ret_history);
/** history_free - write what waits (for a few seconds at most), stop the worker.  Accepts NULL. */
void history_free(struct history *h);

/** history_put - a transition, or an earlier one of this run (by its serial) with more steps. */
void history_put(struct history *h, const struct election_transition *t);

/** history_last - up to @cap of the last transitions, this run's and earlier ones', oldest first.
 */
size_t history_last(const struct history *h, struct election_transition *ret, size_t cap);

/** history_online_before_s - how long the node was online before this run, less the time it was
 * away since, never under 0.  A wall clock that ran back takes nothing off. */
uint64_t history_online_before_s(const struct history *h);
/** history_online - it has been online for @online_s in all; about once a minute. */
void history_online(struct history *h, uint64_t online_s, uint64_t now_wall_ms);

#endif
