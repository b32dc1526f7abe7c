/**
 * DOC: the registrations of this node's phones, kept over its end
 *
 * A SQLite database in state-dir, registrations.sqlite: one row for each AOR, with what the SIP
 * side says of it (its secret) and the time after which nothing of it holds.  And token.key, of
 * which the SIP side makes the keys of its tokens.
 *
 *     SIP thread                               worker thread
 *     registrations_put  -- by AOR, the last -->  one transaction, at most two a second
 *
 * Nothing but registrations_new() and registrations_free() waits for the disk.  What a power cut
 * leaves is the last whole transaction.  A database that cannot be opened, read or written is an
 * `error` line in the log, not more than one a minute; what could not be written is tried again,
 * and no registration is refused for it.  There are never more rows than registrations that this
 * node takes; those that are over go at the start and with the next transaction.
 */
#ifndef GATEWAY_HISTORY_REGISTRATIONS_H
#define GATEWAY_HISTORY_REGISTRATIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

#define REGISTRATIONS_FILE      "registrations.sqlite"
#define REGISTRATIONS_KEY_FILE  "token.key"
#define REGISTRATIONS_KEY_BYTES 32

struct registrations;

/**
 * registrations_new - open or make the database in @dir, read what it has, start the worker
 * @limit:   rows at most
 * @run_key: random; kept in token.key (0600) unless that is there
 * Returns: ST_OK, also where the files cannot be used (the log has the cause); ST_NOMEM.
 */
NODISCARD enum status registrations_new(const char *dir, size_t limit, uint64_t now_wall_ms,
                                        const uint8_t run_key[REGISTRATIONS_KEY_BYTES],
                                        struct registrations **ret);

/** registrations_free - write what waits (for a few seconds at most), stop the worker.  Accepts
 *  NULL. */
void registrations_free(struct registrations *r);

/** registrations_key - that of token.key; of this run alone where that cannot be used. */
const uint8_t *registrations_key(const struct registrations *r);

/** registrations_had_run - has a node run with this state-dir before? */
bool registrations_had_run(const struct registrations *r);

/** registrations_each - what was read at the start, once: it is forgotten then. */
void registrations_each(struct registrations *r,
                        void (*visit)(void *ctx, const char *aor, struct slice value), void *ctx);

/** registrations_put - what there is of an AOR now; without @value, nothing.  From any thread. */
void registrations_put(struct registrations *r, const char *aor, struct slice value,
                       uint64_t expires_at_wall_ms);

#endif
