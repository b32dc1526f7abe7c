#include "local-overlays/can/can_zone.h"

#include <assert.h>
#include <math.h>
#include <string.h>

bool
can_levels_has(const struct can_levels *levels, unsigned level)
{
    return level < CAN_LEVELS && (levels->bytes[level / 8] >> (7 - level % 8) & 1u);
}

void
can_levels_set(struct can_levels *levels, unsigned level)
{
    if (level < CAN_LEVELS)
        levels->bytes[level / 8] |= (uint8_t)(1u << (7 - level % 8));
}

bool
can_levels_equal(const struct can_levels *a, const struct can_levels *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

bool
can_levels_has_above(const struct can_levels *levels, unsigned level)
{
    for (unsigned i = level + 1; i < CAN_LEVELS; i++)
        if (can_levels_has(levels, i))
            return true;
    return false;
}

void
can_levels_add_below(struct can_levels *levels, const struct can_levels *other, unsigned level)
{
    for (unsigned i = 0; i < level; i++)
        if (can_levels_has(other, i))
            can_levels_set(levels, i);
}

static bool
bit_of(const struct id *id, unsigned bit)
{
    return id->bytes[bit / 8] >> (7 - bit % 8) & 1u;
}

struct can_point
can_point_of(unsigned dimensions, const struct id *id)
{
    struct can_point p = {{0}};

    for (unsigned i = 0; i < CAN_LEVELS; i++)
        if (bit_of(id, i))
            p.at[i % dimensions] |= UINT64_C(1) << (63 - i / dimensions);
    return p;
}

/* The first coordinate on the upper side of the plane at @level of a node with this coordinate. */
static uint64_t
plane_of(unsigned dimensions, uint64_t coordinate, unsigned level)
{
    uint64_t bit = UINT64_C(1) << (63 - level / dimensions);

    return (coordinate & ~(bit - 1)) | bit;
}

static unsigned
deepest_of(const struct can_levels *levels)
{
    for (unsigned i = sizeof(levels->bytes); i-- > 0;)
        if (levels->bytes[i])
            return 8 * i + 7 - (unsigned)__builtin_ctz(levels->bytes[i]);
    return 0;
}

/* Down from the first bit: what has been seen of a coordinate names the cell to be halved. */
struct can_zone
can_zone_of(unsigned dimensions, const struct id *node, const struct can_levels *levels)
{
    uint64_t seen[CAN_DIMENSIONS_MAX] = {0};
    struct can_zone z = {{0}, {0}};
    unsigned deepest = deepest_of(levels);

    for (unsigned k = 0; k < dimensions; k++)
        z.high[k] = UINT64_MAX;
    for (unsigned level = 0; level <= deepest; level++) {
        unsigned k = level % dimensions;
        uint64_t bit = UINT64_C(1) << (63 - level / dimensions);
        bool is_upper = bit_of(node, level);

        /* A deeper plane on the same side is the nearer one: it lies within the halved cell. */
        if (can_levels_has(levels, level)) {
            if (is_upper)
                z.low[k] = seen[k] | bit;
            else
                z.high[k] = (seen[k] | bit) - 1;
        }
        if (is_upper)
            seen[k] |= bit;
    }
    return z;
}

bool
can_zone_equal(unsigned dimensions, const struct can_zone *a, const struct can_zone *b)
{
    for (unsigned k = 0; k < dimensions; k++)
        if (a->low[k] != b->low[k] || a->high[k] != b->high[k])
            return false;
    return true;
}

static bool
is_apart(const struct can_zone *a, const struct can_zone *b, unsigned k)
{
    return a->high[k] < b->low[k] || b->high[k] < a->low[k];
}

bool
can_zone_overlaps(unsigned dimensions, const struct can_zone *a, const struct can_zone *b)
{
    for (unsigned k = 0; k < dimensions; k++)
        if (is_apart(a, b, k))
            return false;
    return true;
}

bool
can_zone_touches(unsigned dimensions, const struct can_zone *a, const struct can_zone *b)
{
    bool is_face_found = false;

    for (unsigned k = 0; k < dimensions; k++) {
        if (!is_apart(a, b, k))
            continue;
        if (is_face_found || (a->high[k] + 1 != b->low[k] && b->high[k] + 1 != a->low[k]))
            return false;
        is_face_found = true;
    }
    return true;
}

can_distance
can_zone_distance(unsigned dimensions, const struct can_zone *z, const struct can_point *p)
{
    can_distance sum = 0;

    for (unsigned k = 0; k < dimensions; k++) {
        uint64_t below = z->low[k] - p->at[k];
        uint64_t above = p->at[k] - z->high[k];

        if (p->at[k] < z->low[k] || p->at[k] > z->high[k])
            sum += below < above ? below : above;
    }
    return sum;
}

double
can_zone_bits(unsigned dimensions, const struct can_zone *z)
{
    double bits = 0;

    for (unsigned k = 0; k < dimensions; k++)
        bits += 64 - log2((double)(z->high[k] - z->low[k]) + 1);
    return bits;
}

/* Down the tree of splits: where these nodes first differ, @id lies on one side of the plane. */
const struct id *
can_owner_among(unsigned dimensions, const struct id *id, const struct id **node, size_t count)
{
    struct can_point p = can_point_of(dimensions, id);

    assert(count > 0);
    while (count > 1) {
        unsigned level = CAN_LEVELS;
        struct can_point first = can_point_of(dimensions, node[0]);
        size_t kept = 0;
        bool is_upper;

        for (size_t i = 1; i < count; i++) {
            unsigned common = id_common_bits(node[0], node[i]);
            level = common < level ? common : level;
        }
        if (level == CAN_LEVELS)
            break; /* all the same one */
        is_upper =
            p.at[level % dimensions] >= plane_of(dimensions, first.at[level % dimensions], level);
        for (size_t i = 0; i < count; i++)
            if (bit_of(node[i], level) == is_upper)
                node[kept++] = node[i];
        count = kept;
    }
    return node[0];
}
