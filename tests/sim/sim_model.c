#include "tests/sim/sim_internal.h"

#define REGIONS       8
#define ACCESS_MIN_US 500u
#define ACCESS_MAX_US 5000u
#define LAN_MIN_US    100u
#define LAN_MAX_US    300u
#define TRACE_PRIME   0x100000001b3u

/* One way in ms: Beijing, Tokyo, Singapore, Sydney, Frankfurt, London, New York, San Francisco;
 * about what light in fibre takes on today's routes. */
static const uint8_t region_ms[REGIONS][REGIONS] = {
    {2, 45, 50, 90, 100, 110, 115, 85}, {45, 2, 35, 55, 115, 110, 85, 55},
    {50, 35, 2, 47, 80, 85, 115, 88},   {90, 55, 47, 2, 140, 135, 100, 72},
    {100, 115, 80, 140, 2, 8, 43, 75},  {110, 110, 85, 135, 8, 2, 37, 70},
    {115, 85, 115, 100, 43, 37, 2, 35}, {85, 55, 88, 72, 75, 70, 35, 2},
};

static uint64_t
between(uint64_t seed, uint64_t min, uint64_t max)
{
    return min + chance_below(&seed, max - min + 1);
}

static uint64_t
wide_area_us(uint64_t seed, unsigned a, unsigned b)
{
    unsigned from = (unsigned)between(seed + 2ull * a, 0, REGIONS - 1);
    unsigned to = (unsigned)between(seed + 2ull * b, 0, REGIONS - 1);

    return 1000ull * region_ms[from][to] +
           between(seed + 2ull * a + 1, ACCESS_MIN_US, ACCESS_MAX_US) +
           between(seed + 2ull * b + 1, ACCESS_MIN_US, ACCESS_MAX_US);
}

uint64_t
sim_latency_us(const struct sim *s, unsigned a, unsigned b)
{
    unsigned pair[2] = {a, b};
    uint64_t seed = s->conf.seed ^ map_hash(3, slice_of(pair, sizeof(pair)));

    switch (s->conf.latency) {
    case SIM_LATENCY_FIXED:
        return s->conf.latency_min_us;
    case SIM_LATENCY_LAN:
        return between(seed, LAN_MIN_US, LAN_MAX_US);
    case SIM_LATENCY_WIDE_AREA:
        return wide_area_us(s->conf.seed, a, b);
    case SIM_LATENCY_SPREAD:
    case SIM_LATENCY_MODELS:
    default:
        return between(seed, s->conf.latency_min_us, s->conf.latency_max_us);
    }
}

const char *
sim_latency_name(enum sim_latency latency)
{
    static const char *const name[SIM_LATENCY_MODELS] = {"spread", "fixed", "lan", "wide-area"};

    return latency < SIM_LATENCY_MODELS ? name[latency] : "?";
}

/* ---- the trace: FNV-1a ---------------------------------------------------------------------- */

void
sim_trace_bytes(struct sim *s, const void *data, size_t len)
{
    const uint8_t *byte = data;

    for (size_t i = 0; i < len; i++)
        s->trace = (s->trace ^ byte[i]) * TRACE_PRIME;
}

uint64_t
sim_trace(const struct sim *s)
{
    return s->trace;
}
