/* What part of the overlay this node is responsible for. */
#include <string.h>

#include "local-overlays/peer_internal.h"

#define SAMPLES      8192
#define KEPT_MS      10000 /* strangers may ask as often as they like */
#define BILLION      1000000000u
#define ID_BITS      128
#define ID_TOP_BYTES 4

static bool
is_own(const struct peer *p, const struct id *id)
{
    return peer_ops(p)->is_responsible(p->topology, id);
}

/* How far from our own ID the IDs are ours without a gap, up or down. */
static struct id
reach(const struct peer *p, bool is_down)
{
    const struct id *self = &p->conf.self.node;
    struct id far = {{0}};

    for (unsigned bit = ID_BITS; bit-- > 0;) {
        struct id step = id_power_of_two(bit);
        struct id further = id_add(&far, &step);
        struct id at = is_down ? id_subtract(self, &further) : id_add(self, &further);
        if (is_own(p, &at))
            far = further;
    }
    return far;
}

static uint32_t
part_of(const struct id *width)
{
    uint64_t top = 0;

    for (unsigned i = 0; i < ID_TOP_BYTES; i++)
        top = top << 8 | width->bytes[i];
    return (uint32_t)(top * BILLION >> 32);
}

static uint32_t
sample(struct peer *p)
{
    uint64_t hits = 0;

    for (unsigned i = 0; i < SAMPLES; i++) {
        uint64_t word[2] = {p->env.random(p->env.ctx), p->env.random(p->env.ctx)};
        struct id at;
        memcpy(at.bytes, word, sizeof(at.bytes));
        hits += is_own(p, &at);
    }
    return (uint32_t)(hits * BILLION / SAMPLES);
}

/*
 * On a ring what is ours lies round our own ID in one piece, whose ends are found exactly.
 * Elsewhere (CAN) that piece is smaller than the whole, or none of that: chance shows it, and is
 * the answer then.
 */
static uint32_t
measure(struct peer *p)
{
    struct id up = reach(p, false), down = reach(p, true);
    struct id width = id_add(&up, &down);
    uint32_t exact = part_of(&width), found = sample(p);

    return exact < found / 2 || exact / 2 > found ? found : exact;
}

uint32_t
peer_share_ppb(struct peer *p)
{
    if (!p->is_in)
        return 0;
    if (p->share_until_ms <= p->now.mono_ms) {
        p->share_ppb = measure(p);
        p->share_until_ms = p->now.mono_ms + KEPT_MS;
    }
    return p->share_ppb;
}
