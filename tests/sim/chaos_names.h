/**
 * DOC: names of overlays in the ring under random misfortune
 *
 * A run draws from its seed two to ten overlays of one to three nodes each, whose gateways are the
 * members of a ring and whose other nodes are its clients: the peers (sim.h) and the directories
 * that the daemon runs.  Who is gateway is decided without an election: an overlay that has none,
 * or has it in another part of a network that is cut, has one a moment later.  In each of three
 * phases some misfortunes follow one another: crash, power cut, start, a start of all, a hand-over,
 * a start with bootstrap entries that lead nowhere, a node that stands still, a network cut in two
 * or round one node, frames that get lost.  Then all is mended.  All the way nodes ask their
 * directories for each other's names:
 *
 *     - a name is never absent (404) when a gateway of it lives that was published when the
 *       question was asked.  A gateway is published when the ring has acknowledged its entry, and
 *       until it withdraws it or dies; who is alone though it has bootstrap entries is not.
 *       A question that the cache may answer is judged by what was published a second earlier:
 *       for so long a settled ring's absence is kept.  A gateway is excused for an asker that it is
 *       cut off from, and for CHAOS_NAMES_HEAL_MS after that: two rings find each other by Pings
 *       every 30 s.
 *     - when all has been well for CHAOS_NAMES_CALM_MS, a name with a gateway is found, and past
 *       the cache it is that gateway
 *     - when all has been well for CHAOS_NAMES_DEAD_MS, a dead overlay's name is not found past
 *       the cache
 *
 * The same configuration is the same run.
 */
#ifndef TESTS_SIM_CHAOS_NAMES_H
#define TESTS_SIM_CHAOS_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#define CHAOS_NAMES_HEAL_MS 35000
#define CHAOS_NAMES_CALM_MS 4000
#define CHAOS_NAMES_DEAD_MS 10000

/** Directories with a fault, to see whether the judge finds it. */
enum chaos_names_broken {
    CHAOS_NAMES_SOUND,
    CHAOS_NAMES_NEVER_YOUNG, /* believes a ring that has just changed */
    CHAOS_NAMES_ALONE_KNOWS, /* and one that it is alone in */
    CHAOS_NAMES_BROKEN_KINDS
};

struct chaos_names_conf {
    uint64_t seed;
    enum chaos_names_broken broken;
    bool is_loud; /* what happens goes to stdout at once */
};

struct chaos_names_verdict {
    bool is_broken;
    char what[160];
    char drawn[160];
    char *story; /* of the run, if it broke; the caller's */
    uint64_t now_ms;
    unsigned misfortunes;
    unsigned asked;
    unsigned found;
    unsigned absent; /* names of overlays that have no gateway, and excused ones */
    unsigned excused;
    unsigned unknown; /* 500: the ring cannot know */
    uint64_t trace;
};

/** chaos_names_run - one run */
void chaos_names_run(const struct chaos_names_conf *conf, struct chaos_names_verdict *ret);

const char *chaos_names_broken_name(enum chaos_names_broken broken);

#endif
