/**
 * DOC: virtual time and repeatable chance
 *
 * A queue of events in order of their time, and of their arrival where times are equal, so that the
 * same seed gives the same run to the last byte.
 */
#ifndef TESTS_SIM_EVENTS_H
#define TESTS_SIM_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event {
    uint64_t due_us;
    uint64_t order; /* private */
    unsigned kind;
    unsigned node;
    void *what; /* the owner's, by kind */
};

struct events {
    struct event *heap;
    size_t count;
    size_t cap;
    uint64_t next_order;
    uint64_t now_us;
};

void events_done(struct events *e);
void events_put(struct events *e, uint64_t due_us, unsigned kind, unsigned node, void *what);

/** events_take - the earliest event not after @until_us; moves the clock. False: none, and the
 *  clock stands at @until_us. */
bool events_take(struct events *e, uint64_t until_us, struct event *ret);

/** chance_next - 64 random bits from a seed (splitmix64). */
uint64_t chance_next(uint64_t *seed);

/** chance_below - 0 .. limit - 1. */
uint64_t chance_below(uint64_t *seed, uint64_t limit);

#endif
