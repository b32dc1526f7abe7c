/**
 * DOC: the utility score
 *
 * U = f(online time, bandwidth, cpu, others) of the hierarchical draft (section 6.2).  Each part is
 * a saturating function in 0..1000: twice the resource never counts twice, and no part alone can
 * outvote the rest.  The score is their weighted mean, 0..1000.  What changes from second to second
 * (bandwidth, cpu, calls, memory) is smoothed, so that a short peak changes no rank.
 *
 *     online      t / (t + 1 h)              bandwidth  free / (free + 100 Mbit/s), 500 if unknown
 *     cpu         idle cores / (idle + 1)    calls      100 / (100 + calls + registrations / 10)
 *     memory      free / (free + 512 MiB)    preference what the operator says
 *
 * A score that is compared may bear SCORE_PINNED; what is shown, and a weight, never does.
 */
#ifndef ELECTION_SCORE_H
#define ELECTION_SCORE_H

#include "peer-protocol/message/private.h"

/** What the shell measures of this machine, about once a second.  Unknown is 0. */
struct election_load {
    uint32_t cpu_count;
    uint16_t idle_thousandths; /* share of all cores that was idle, 0..1000 */
    uint64_t memory_total_kib;
    uint64_t memory_available_kib;
    uint32_t link_mbit; /* speed of the link; conf.bandwidth_mbit goes before it */
    uint32_t used_mbit;
    uint32_t calls; /* up on this node, in whatever role */
    uint32_t registrations;
    uint32_t requests; /* given to the gateway since the last measurement */
    uint64_t online_s; /* uptime, and what the node remembers of earlier runs */
};

struct score_conf {
    uint32_t weight[SCORE_PARTS]; /* all 0: every part counts the same */
    uint32_t half[SCORE_PARTS];   /* what makes a part 500: s, Mbit/s, cores, calls, MiB; 0: as
                                     above; the preference has none */
    uint32_t bandwidth_mbit;      /* 0: as measured */
    uint32_t preference;          /* 0..1000 */
};

struct score {
    bool is_measured;
    uint32_t part_millionths[SCORE_PARTS]; /* smoothed: thousandths of a part */
};

/** score_measure - take in one measurement; the first one counts in full. */
void score_measure(struct score *s, const struct score_conf *conf,
                   const struct election_load *load);

/** score_part - one part, 0..1000. */
uint16_t score_part(const struct score *s, enum score_part part);

/** score_total - the weighted mean of the parts, 0..1000; 0 before the first measurement. */
uint16_t score_total(const struct score *s, const struct score_conf *conf);

/** score_bare - without SCORE_PINNED; score_is_good - could that be a score? */
uint16_t score_bare(uint16_t score);
bool score_is_good(uint16_t score);

/** score_part_name - "online", "bandwidth", "cpu", "calls", "memory", "preference". */
const char *score_part_name(enum score_part part);

#endif
