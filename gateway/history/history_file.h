/**
 * DOC: the database itself; used by one thread at a time
 */
#ifndef GATEWAY_HISTORY_HISTORY_FILE_H
#define GATEWAY_HISTORY_HISTORY_FILE_H

#include "gateway/history/history.h"

struct history_file;

/** One thing to write. */
struct history_job {
    bool is_online; /* else a transition */
    struct election_transition transition;
    uint64_t online_s;
    uint64_t wall_ms;
};

/** history_file_open - ST_OK; ST_IO with the cause: not there, no database, of a later version. */
NODISCARD enum status history_file_open(const char *path, struct history_file **ret_file,
                                        struct why *why);
void history_file_close(struct history_file *f);

/** history_file_read - the last transitions, oldest first, and what is known of online time. */
NODISCARD enum status history_file_read(struct history_file *f, struct election_transition *ret,
                                        size_t cap, size_t *ret_count, uint64_t *ret_online_s,
                                        uint64_t *ret_online_wall_ms, struct why *why);

/** history_file_write - all of @job in one transaction, or none of it. */
NODISCARD enum status history_file_write(struct history_file *f, const struct history_job *job,
                                         size_t count, struct why *why);

#endif
