#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "local-overlays/chord/state.h"

static const struct id zero;

unsigned
chord_at(const struct chord *c, const struct id *distance)
{
    unsigned low = 0;
    unsigned high = c->contact_count;

    while (low < high) {
        unsigned middle = (low + high) / 2;

        if (id_compare(&c->contact[middle].distance, distance) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct chord_contact *
chord_find(const struct chord *c, const struct id *node)
{
    struct id distance = id_subtract(node, &c->conf.self);
    unsigned at = chord_at(c, &distance);

    if (at == c->contact_count || !id_equal(&c->contact[at].node, node))
        return NULL;
    return &c->contact[at];
}

/* A neighbour finds room whatever else has to go: a ring with a gap routes in circles. */
static bool
evict(struct chord *c)
{
    unsigned span = chord_span(c);
    unsigned oldest = c->contact_count;

    for (unsigned i = span; i + span < c->contact_count; i++)
        if (!c->contact[i].is_finger &&
            (oldest == c->contact_count || c->contact[i].heard_ms < c->contact[oldest].heard_ms))
            oldest = i;
    if (oldest == c->contact_count)
        return false;
    c->env.detach(c->env.ctx, &c->contact[oldest].node);
    return chord_remove(c, &c->contact[oldest].node);
}

static bool
make_room(struct chord *c, struct moment now, const struct id *node)
{
    unsigned cap = c->contact_cap ? 2 * c->contact_cap : 16;
    struct chord_contact *grown;

    if (c->contact_count < c->contact_cap)
        return true;
    if (c->contact_count >= CHORD_CONTACTS_MAX) {
        chord_trim(c, now);
        return c->contact_count < CHORD_CONTACTS_MAX || (chord_is_wanted(c, node) && evict(c));
    }
    grown = realloc(c->contact, cap * sizeof(*grown));
    if (!grown)
        return false;
    c->contact = grown;
    c->contact_cap = cap;
    return true;
}

/* A new contact takes a vacant slot unless it is a neighbour: a far predecessor is in the range of
 * slot 0, and would send everything the long way round. */
static bool
is_slot_vacant(const struct chord *c, unsigned slot)
{
    for (unsigned i = 0; i < c->contact_count; i++)
        if (c->contact[i].is_finger && chord_slot_of(&c->contact[i].distance) == slot)
            return false;
    return true;
}

bool
chord_add(struct chord *c, struct moment now, const struct id *node)
{
    struct id distance = id_subtract(node, &c->conf.self);
    struct chord_contact *known = chord_find(c, node);
    bool is_finger;
    unsigned at;

    assert(!id_is_zero(&distance));
    if (known) {
        known->heard_ms = now.mono_ms;
        return true;
    }
    if (!make_room(c, now, node))
        return false;
    is_finger = !chord_is_wanted(c, node) && is_slot_vacant(c, chord_slot_of(&distance));
    at = chord_at(c, &distance);
    memmove(&c->contact[at + 1], &c->contact[at], (c->contact_count - at) * sizeof(c->contact[0]));
    c->contact[at] = (struct chord_contact){
        .node = *node, .distance = distance, .heard_ms = now.mono_ms, .is_finger = is_finger};
    c->contact_count++;
    return true;
}

bool
chord_remove(struct chord *c, const struct id *node)
{
    struct chord_contact *gone = chord_find(c, node);
    unsigned at;

    if (!gone)
        return false;
    at = (unsigned)(gone - c->contact);
    memmove(gone, gone + 1, (c->contact_count - at - 1) * sizeof(*gone));
    c->contact_count--;
    return true;
}

static double
as_fraction(const struct id *distance)
{
    double fraction = 0;

    for (unsigned i = 8; i-- > 0;)
        fraction = (fraction + distance->bytes[i]) / 256;
    return fraction;
}

unsigned
chord_size_bits(const struct chord *c)
{
    unsigned count = c->contact_count;
    unsigned bits = 0;
    double arc;
    double size;

    if (count < 2 * CHORD_SPAN_MIN) {
        size = count + 1;
    } else {
        struct id behind = id_subtract(&zero, &c->contact[count - CHORD_SPAN_MIN].distance);

        arc = as_fraction(&c->contact[CHORD_SPAN_MIN - 1].distance) + as_fraction(&behind);
        size = arc > 0 ? 2 * CHORD_SPAN_MIN / arc : 1e9;
    }
    for (; size >= 2 && bits < 30; size /= 2)
        bits++;
    return bits;
}

/* RFC 6940 section 10.7 asks for three and recommends O(log N). */
unsigned
chord_span(const struct chord *c)
{
    unsigned span = 2 + chord_size_bits(c) / 2;

    if (c->span_set)
        return c->span_set;
    if (span < CHORD_SPAN_MIN)
        return CHORD_SPAN_MIN;
    return span > CHORD_SPAN_GROWN ? CHORD_SPAN_GROWN : span;
}

unsigned
chord_successor_count(const struct chord *c)
{
    unsigned span = chord_span(c);

    return span < c->contact_count ? span : c->contact_count;
}

unsigned
chord_predecessor_count(const struct chord *c)
{
    return chord_successor_count(c);
}

const struct id *
chord_successor(const struct chord *c, unsigned index)
{
    assert(index < c->contact_count);
    return &c->contact[index].node;
}

const struct id *
chord_predecessor(const struct chord *c, unsigned index)
{
    assert(index < c->contact_count);
    return &c->contact[c->contact_count - 1 - index].node;
}

static bool
is_near(unsigned at, unsigned count, unsigned span)
{
    return at < span || at + span >= count;
}

bool
chord_is_neighbour(const struct chord *c, const struct id *node)
{
    const struct chord_contact *found = chord_find(c, node);

    return found && is_near((unsigned)(found - c->contact), c->contact_count, chord_span(c));
}

bool
chord_is_wanted(const struct chord *c, const struct id *node)
{
    struct id distance = id_subtract(node, &c->conf.self);

    if (id_is_zero(&distance))
        return false;
    return is_near(chord_at(c, &distance), c->contact_count + 1, chord_span(c));
}

bool
chord_is_owned(const struct chord *c, const struct id *id)
{
    return c->contact_count == 0 || id_is_in(id, chord_predecessor(c, 0), &c->conf.self);
}

unsigned
chord_slot_of(const struct id *distance)
{
    return id_common_bits(distance, &zero);
}

const struct chord_contact *
chord_finger(const struct chord *c, unsigned slot)
{
    struct id low = id_power_of_two(CHORD_SLOTS - 1 - slot);
    const struct chord_contact *found = NULL;

    for (unsigned i = chord_at(c, &low); i < c->contact_count; i++) {
        if (chord_slot_of(&c->contact[i].distance) != slot)
            break;
        if (!found || c->contact[i].is_finger)
            found = &c->contact[i];
    }
    return found;
}

unsigned
chord_slot_count(const struct chord *c)
{
    unsigned reach = CHORD_SLOTS_MIN;

    for (unsigned i = 0; i < chord_successor_count(c); i++) {
        unsigned slot = chord_slot_of(&c->contact[i].distance);
        if (slot + 1 > reach)
            reach = slot + 1;
    }
    return reach;
}

bool
chord_slot_is_covered(const struct chord *c, unsigned slot)
{
    unsigned span = chord_successor_count(c);
    struct id low = id_power_of_two(CHORD_SLOTS - 1 - slot);
    struct id one = id_power_of_two(0);
    struct id last = id_add(&low, &low);
    const struct id *ahead;
    const struct id *behind;

    if (c->contact_count <= 2 * span)
        return true; /* the lists meet on the other side of the ring */
    last = id_subtract(&last, &one);
    ahead = &c->contact[span - 1].distance;
    behind = &c->contact[c->contact_count - span].distance;
    return id_compare(&last, ahead) <= 0 || id_compare(&low, behind) >= 0;
}

struct id
chord_slot_target(const struct chord *c, unsigned slot)
{
    unsigned keep = CHORD_SLOTS - 1 - slot; /* low bits that are free */
    struct id random;
    struct id target;

    for (unsigned half = 0; half < 2; half++) {
        uint64_t bits = c->env.random(c->env.ctx);
        memcpy(random.bytes + 8 * half, &bits, 8);
    }
    for (unsigned i = 0; i < ID_BYTES; i++) {
        unsigned low_bit = 8 * (ID_BYTES - 1 - i); /* of this byte, counted from the end */
        if (low_bit >= keep)
            random.bytes[i] = 0;
        else if (low_bit + 8 > keep)
            random.bytes[i] &= (uint8_t)((1u << (keep - low_bit)) - 1);
    }
    target = id_power_of_two(keep);
    target = id_add(&target, &random);
    return id_add(&target, &c->conf.self);
}

void
chord_trim(struct chord *c, struct moment now)
{
    uint64_t patience_ms = 3ull * c->conf.update_ms;
    unsigned span = chord_span(c);
    unsigned kept = 0;
    unsigned count = c->contact_count;

    for (unsigned i = 0; i < count; i++) {
        struct chord_contact *at = &c->contact[i];
        bool is_silent = now.mono_ms - at->heard_ms > patience_ms;

        if (is_near(i, count, span) || at->is_finger || !is_silent)
            c->contact[kept++] = *at;
        else
            c->env.detach(c->env.ctx, &at->node);
    }
    c->contact_count = kept;
}

void
chord_check(const struct chord *c)
{
    assert(c->contact_count <= c->contact_cap && c->contact_count <= CHORD_CONTACTS_MAX);
    assert(c->state != CHORD_OUT || (c->contact_count == 0 && c->task_count == 0));
    assert(!c->is_admitting || c->state == CHORD_IN);
    for (unsigned i = 0; i < c->contact_count; i++) {
        assert(!id_is_zero(&c->contact[i].distance));
        assert(i == 0 || id_compare(&c->contact[i - 1].distance, &c->contact[i].distance) < 0);
    }
}
