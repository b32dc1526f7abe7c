/**
 * DOC: a ring that is played, for the tests of the directory
 *
 * What the directory asks for waits in asked[] until the test has it answered, from the entries
 * that the test has put there.  Time passes when the test says so.
 */
#ifndef TESTS_UNIT_DIRECTORY_RING_H
#define TESTS_UNIT_DIRECTORY_RING_H

#include "global-overlay/directory.h"

#define WALL_MS 1700000000000ULL

enum { ASKED_MAX = 64, DATA_MAX = 16, LOOK_MS = 1500 };

/** What the directory asked of the ring, and has not been told yet. */
struct asked {
    char what; /* 'f'etch, 's'tore, 't'race */
    uint32_t token;
    char name[160];
    bool exists;
    char uri[SIP_URI_BYTES];
};

struct entry {
    char name[160];
    struct peer_datum datum;
    uint8_t value[512];
    struct id key;
};

struct told {
    unsigned count;
    enum status st;
    struct directory_answer answer;
    struct directory *ask_again; /* the completion asks once more */
};

extern struct directory *d;
extern struct moment now;
extern struct asked asked[ASKED_MAX];
extern size_t asked_count;
extern unsigned fetches;
extern struct entry entry[DATA_MAX];
extern size_t entry_count;
extern enum status ring_status;

struct id node(uint8_t n);
struct entry *add_entry(const char *overlay, uint8_t who, const char *uri);
void answer_fetch(const struct asked *a);
void answer_all(void);
void pass(uint64_t ms);
/** settle - the ring's members have been the same for long enough. */
void settle(void);
/** on_done - notes how an ask ended in the struct told that is its context. */
void on_done(void *ctx, struct moment at, enum status st, const struct directory_answer *answer);
void ask(const char *domain, struct told *t);
struct told resolve(const char *domain);
void setup_with(size_t max_names, size_t max_waiting);
/** setup_looking - one that looks after its own entry every LOOK_MS; the others do not. */
void setup_looking(void);
void setup(void);
void teardown(void);

#endif
