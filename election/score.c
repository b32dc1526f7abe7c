#include "election/score.h"

#include <assert.h>

#define SMOOTHING 8 /* a new measurement counts for one eighth */

static const uint32_t default_half[SCORE_PARTS] = {
    [SCORE_ONLINE] = 3600, [SCORE_BANDWIDTH] = 100, [SCORE_CPU] = 1,
    [SCORE_CALLS] = 100,   [SCORE_MEMORY] = 512,
};

static uint64_t
half_of(const struct score_conf *conf, enum score_part part)
{
    return conf->half[part] ? conf->half[part] : default_half[part];
}

/* 0 at 0, half of the most at @half, never quite the most. */
static uint32_t
saturate(uint64_t x, uint64_t half)
{
    const uint64_t huge = UINT64_MAX / 1000000U - half;

    if (x > huge)
        x = huge;
    return (uint32_t)(x * 1000000U / (x + half));
}

static uint32_t
bandwidth_now(const struct score_conf *conf, const struct election_load *load)
{
    uint32_t link_mbit = conf->bandwidth_mbit ? conf->bandwidth_mbit : load->link_mbit;

    if (link_mbit == 0)
        return 500000; /* loopback and tunnels tell no speed: neither praise nor blame */
    if (load->used_mbit >= link_mbit)
        return 0;
    return saturate(link_mbit - load->used_mbit, half_of(conf, SCORE_BANDWIDTH));
}

static uint32_t
part_now(enum score_part part, const struct score_conf *conf, const struct election_load *load)
{
    uint32_t idle = load->idle_thousandths > 1000 ? 1000 : load->idle_thousandths;
    uint64_t busy = (uint64_t)load->calls + load->registrations / 10;
    uint64_t half = half_of(conf, part);

    switch (part) {
    case SCORE_ONLINE:
        return saturate(load->online_s, half);
    case SCORE_BANDWIDTH:
        return bandwidth_now(conf, load);
    case SCORE_CPU:
        return saturate((uint64_t)load->cpu_count * idle, 1000 * half);
    case SCORE_CALLS:
        return 1000000U - saturate(busy, half);
    case SCORE_MEMORY:
        return saturate(load->memory_available_kib, 1024 * half);
    case SCORE_PREFERENCE:
        return (conf->preference > 1000 ? 1000 : conf->preference) * 1000U;
    }
    return 0;
}

static bool
is_smoothed(enum score_part part)
{
    return part != SCORE_ONLINE && part != SCORE_PREFERENCE;
}

void
score_measure(struct score *s, const struct score_conf *conf, const struct election_load *load)
{
    for (unsigned i = 0; i < SCORE_PARTS; i++) {
        int64_t was = s->part_millionths[i];
        int64_t is = part_now((enum score_part)i, conf, load);

        if (s->is_measured && is_smoothed((enum score_part)i))
            is = was + (is - was) / SMOOTHING;
        s->part_millionths[i] = (uint32_t)is;
    }
    s->is_measured = true;
}

uint16_t
score_part(const struct score *s, enum score_part part)
{
    return (uint16_t)((s->part_millionths[part] + 500U) / 1000U);
}

uint16_t
score_total(const struct score *s, const struct score_conf *conf)
{
    uint64_t sum = 0;
    uint64_t weights = 0;

    if (!s->is_measured)
        return 0;
    for (unsigned i = 0; i < SCORE_PARTS; i++) {
        sum += (uint64_t)conf->weight[i] * s->part_millionths[i];
        weights += conf->weight[i];
    }
    if (weights == 0) { /* nothing is preferred: all count the same */
        for (unsigned i = 0; i < SCORE_PARTS; i++)
            sum += s->part_millionths[i];
        weights = SCORE_PARTS;
    }
    uint64_t total = (sum / weights + 500U) / 1000U;
    assert(total <= SCORE_MAX);
    return (uint16_t)total;
}

uint16_t
score_bare(uint16_t score)
{
    return score & (uint16_t)~SCORE_PINNED;
}

bool
score_is_good(uint16_t score)
{
    return score_bare(score) <= SCORE_MAX;
}

const char *
score_part_name(enum score_part part)
{
    static const char *const name[SCORE_PARTS] = {"online", "bandwidth", "cpu",
                                                  "calls",  "memory",    "preference"};

    return name[part];
}
