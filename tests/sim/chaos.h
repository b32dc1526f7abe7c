/**
 * DOC: elections under random misfortune
 *
 * A run draws from its seed a little world (3 to 10 nodes, one or two gateways, preemption or not,
 * scores, pins, pace, latency) and three phases.  In each phase some misfortunes follow one
 * another: crash, power cut, pause and resume, one-way loss, lossy or slow network, partition,
 * silent or not, with or without the ring, the ring gone for all or for one, a start with a
 * bootstrap list that leads nowhere, jumps of the wall clock, late ticks, broken links, changed
 * scores, ordered hand-over, a leave, a restart of all.  Then all is mended, most of the
 * dead start again, and the design's promises are held against what follows:
 *
 *     - at most the configured number of gateways, WORLD_HEAL_MS after the network is whole
 *     - never without a gateway for CHAOS_VACANT_MS, and all that are wanted within
 * CHAOS_SETTLED_MS, as far as there are candidates
 *     - then all candidates and gateways have the same active set under the same term, and it is
 *       those that are active; ordinary peers, that read it rarely, within CHAOS_ALL_MS
 *     - from then on nothing changes, but where preemption is on: there not any more after its hold
 *       time
 *     - and always: terms only grow, on each node and of its claims, and who never met its
 *       overlay does not take its name while the ring has a gateway of it that lives
 *
 * In the end links lose segments, as TCP does, and nodes stand still for less than their HELLOs
 * allow, for a minute: where a candidate has another to ask, no more than CHAOS_FALSE_MAX gateways
 * that live are replaced, for each that is configured.
 *
 * The same configuration is the same run.
 */
#ifndef TESTS_SIM_CHAOS_H
#define TESTS_SIM_CHAOS_H

#include <stdbool.h>
#include <stdint.h>

#define CHAOS_VACANT_MS  5000
#define CHAOS_SETTLED_MS 12000
#define CHAOS_ALL_MS     45000
#define CHAOS_FALSE_MAX  2

struct chaos_verdict {
    bool is_broken;
    char what[128];
    char drawn[256];
    char *story; /* of the phase that broke; the caller's; NULL if none did */
    uint64_t now_ms;
    unsigned misfortunes;
    unsigned claims;
    uint64_t digest; /* of all that happened */
};

struct chaos_conf {
    uint64_t seed;
    bool is_plain; /* without what happens to one node's ring and bootstrap list: other runs */
    bool is_loud;  /* each change, misfortune and log line goes to stdout at once */
};

/** chaos_run - one run */
void chaos_run(const struct chaos_conf *conf, struct chaos_verdict *ret);

#endif
