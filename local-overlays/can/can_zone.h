/**
 * DOC: points, levels and zones
 *
 * Bit i of an ID belongs to dimension i mod d; the bits of a dimension, most significant first and
 * aligned to the left, are its coordinate of 64 bits.  So the first bits of an ID cut the torus in
 * halves, one dimension after the other.
 *
 * Two nodes whose IDs have L bits in common are separated at level L: by the plane across dimension
 * L mod d that halves the cell which those L bits name.  The plane follows from the two IDs alone,
 * whoever came first.  A node's zone is what the planes at all its levels leave of the torus, a
 * level being one at which it is separated from some member.  It follows that
 *  - every zone is a rectangle and contains its owner's own point;
 *  - the zones of all members tile the torus: each is a leaf of the binary tree of splits, and a
 *    leaf that goes is shared out among the leaves of its sibling;
 *  - the zones depend on who is there, and not on the order in which they came.
 */
#ifndef LOCAL_OVERLAYS_CAN_CAN_ZONE_H
#define LOCAL_OVERLAYS_CAN_CAN_ZONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/id.h"

#define CAN_DIMENSIONS_MIN 2
#define CAN_DIMENSIONS_MAX 8
#define CAN_LEVELS         128

/** A set of levels; level 0 is the most significant bit of the first byte. */
struct can_levels {
    uint8_t bytes[CAN_LEVELS / 8];
};

struct can_point {
    uint64_t at[CAN_DIMENSIONS_MAX];
};

struct can_zone {
    uint64_t low[CAN_DIMENSIONS_MAX];  /* the first coordinate inside */
    uint64_t high[CAN_DIMENSIONS_MAX]; /* the last one */
};

__extension__ typedef unsigned __int128 can_distance;

bool can_levels_has(const struct can_levels *levels, unsigned level);
void can_levels_set(struct can_levels *levels, unsigned level);
bool can_levels_equal(const struct can_levels *a, const struct can_levels *b);
/** can_levels_has_above - is there a level deeper than @level? */
bool can_levels_has_above(const struct can_levels *levels, unsigned level);
/** can_levels_add_below - have those of @other, too, that are less deep than @level. */
void can_levels_add_below(struct can_levels *levels, const struct can_levels *other,
                          unsigned level);

struct can_point can_point_of(unsigned dimensions, const struct id *id);
struct can_zone can_zone_of(unsigned dimensions, const struct id *node,
                            const struct can_levels *levels);
bool can_zone_equal(unsigned dimensions, const struct can_zone *a, const struct can_zone *b);
bool can_zone_overlaps(unsigned dimensions, const struct can_zone *a, const struct can_zone *b);

/** can_zone_touches - do they share part of a face, on the torus, or overlap? */
bool can_zone_touches(unsigned dimensions, const struct can_zone *a, const struct can_zone *b);

/** can_zone_distance - from @p to the nearest point of @z, the sum over all dimensions; 0 inside.
 */
can_distance can_zone_distance(unsigned dimensions, const struct can_zone *z,
                               const struct can_point *p);

/** can_zone_bits - how often the torus would have to be halved for a zone of this size. */
double can_zone_bits(unsigned dimensions, const struct can_zone *z);

/**
 * can_owner_among - who is responsible for @id, if these were all members?
 * @node: reordered; at least one
 */
const struct id *can_owner_among(unsigned dimensions, const struct id *id, const struct id **node,
                                 size_t count);

#endif
