#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "local-overlays/pastry/state.h"

unsigned
pastry_at(const struct pastry *p, const struct id *id)
{
    unsigned low = 0;
    unsigned high = p->contact_count;

    while (low < high) {
        unsigned middle = (low + high) / 2;

        if (id_compare(&p->contact[middle].node, id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct pastry_contact *
pastry_find(const struct pastry *p, const struct id *node)
{
    unsigned at = pastry_at(p, node);

    if (at == p->contact_count || !id_equal(&p->contact[at].node, node))
        return NULL;
    return &p->contact[at];
}

/* ---- leaf set ------------------------------------------------------------------------------- */

/** How many contacts are between this node and the place of @id, going clockwise. */
static unsigned
ahead_of(const struct pastry *p, const struct id *id)
{
    unsigned self = pastry_at(p, &p->conf.self);
    unsigned at = pastry_at(p, id);

    if (id_compare(id, &p->conf.self) > 0)
        return at - self;
    return p->contact_count - self + at;
}

static bool
is_in_sides(unsigned ahead, unsigned count, unsigned side)
{
    return ahead < side || count - 1 - ahead < side;
}

unsigned
pastry_side(const struct pastry *p)
{
    return p->contact_count < PASTRY_SIDE_MAX ? p->contact_count : PASTRY_SIDE_MAX;
}

struct pastry_contact *
pastry_larger(const struct pastry *p, unsigned index)
{
    assert(index < p->contact_count);
    return &p->contact[(pastry_at(p, &p->conf.self) + index) % p->contact_count];
}

struct pastry_contact *
pastry_smaller(const struct pastry *p, unsigned index)
{
    unsigned count = p->contact_count;

    assert(index < count);
    return &p->contact[(pastry_at(p, &p->conf.self) + count - 1 - index) % count];
}

bool
pastry_is_leaf(const struct pastry *p, const struct id *node)
{
    return pastry_find(p, node) &&
           is_in_sides(ahead_of(p, node), p->contact_count, PASTRY_SIDE_MAX);
}

bool
pastry_is_leaf_wanted(const struct pastry *p, const struct id *node)
{
    return !id_equal(node, &p->conf.self) &&
           is_in_sides(ahead_of(p, node), p->contact_count + 1u, PASTRY_SIDE_MAX);
}

bool
pastry_is_next_wanted(const struct pastry *p, const struct id *node)
{
    return is_in_sides(ahead_of(p, node), p->contact_count + 1u, PASTRY_JOIN_SIDE);
}

/* ---- who is closest ------------------------------------------------------------------------- */

bool
pastry_is_closer(const struct id *a, const struct id *b, const struct id *id)
{
    struct id a_ahead = id_subtract(a, id);
    struct id b_ahead = id_subtract(b, id);
    struct id a_behind = id_subtract(id, a);
    struct id b_behind = id_subtract(id, b);
    bool is_a_ahead = id_compare(&a_ahead, &a_behind) <= 0;
    bool is_b_ahead = id_compare(&b_ahead, &b_behind) <= 0;
    int order = id_compare(is_a_ahead ? &a_ahead : &a_behind, is_b_ahead ? &b_ahead : &b_behind);

    return order < 0 || (order == 0 && is_a_ahead && !is_b_ahead);
}

struct pastry_contact *
pastry_closest(const struct pastry *p, const struct id *id)
{
    unsigned count = p->contact_count;
    unsigned at = pastry_at(p, id);
    struct pastry_contact *after;
    struct pastry_contact *before;

    if (count == 0)
        return NULL;
    after = &p->contact[at % count];
    before = &p->contact[(at + count - 1) % count];
    if (pastry_is_closer(&before->node, &after->node, id))
        after = before;
    return pastry_is_closer(&after->node, &p->conf.self, id) ? after : NULL;
}

bool
pastry_is_covered(const struct pastry *p, const struct id *id)
{
    if (p->contact_count <= 2 * PASTRY_SIDE_MAX)
        return true; /* the sides meet on the other side of the ring */
    return id_is_in(id, &pastry_smaller(p, PASTRY_SIDE_MAX - 1)->node,
                    &pastry_larger(p, PASTRY_SIDE_MAX - 1)->node);
}

/* ---- routing table -------------------------------------------------------------------------- */

/** The smallest ID of a slot: @digits of @prefix, then @column, then zeros. */
static struct id
lowest_of(const struct id *prefix, unsigned digits, unsigned column)
{
    struct id low = {{0}};

    memcpy(low.bytes, prefix->bytes, digits / 2);
    if (digits % 2)
        low.bytes[digits / 2] = (uint8_t)((prefix->bytes[digits / 2] & 0xf0u) | column);
    else
        low.bytes[digits / 2] = (uint8_t)(column << 4);
    return low;
}

unsigned
pastry_slot(const struct pastry *p, unsigned row, unsigned column, unsigned *ret_count)
{
    struct id low = lowest_of(&p->conf.self, row, column);
    unsigned first = pastry_at(p, &low);
    unsigned count = 0;

    while (first + count < p->contact_count &&
           id_common_bits(&low, &p->contact[first + count].node) >= PASTRY_DIGIT_BITS * (row + 1))
        count++;
    *ret_count = count;
    return first;
}

struct pastry_contact *
pastry_entry(const struct pastry *p, unsigned row, unsigned column)
{
    unsigned count;
    unsigned first = pastry_slot(p, row, column, &count);

    if (column == id_digit(&p->conf.self, row, PASTRY_DIGIT_BITS))
        return NULL; /* our own: those are the rows below */
    for (unsigned i = first; i < first + count; i++)
        if (p->contact[i].is_row)
            return &p->contact[i];
    return NULL;
}

bool
pastry_is_vacant(const struct pastry *p, const struct id *node)
{
    unsigned row = pastry_row(&p->conf.self, node);
    unsigned count;

    if (row == PASTRY_ROWS)
        return false;
    (void)pastry_slot(p, row, id_digit(node, row, PASTRY_DIGIT_BITS), &count);
    return count == 0;
}

unsigned
pastry_row_count(const struct pastry *p)
{
    unsigned count = 0;

    for (unsigned i = 0; i < p->contact_count; i++) {
        unsigned row = pastry_row(&p->conf.self, &p->contact[i].node);
        if (row + 1 > count)
            count = row + 1;
    }
    return count;
}

/* ---- in and out ----------------------------------------------------------------------------- */

/* A leaf finds room whatever else has to go: a leaf set with a gap takes what is not its own. */
static bool
evict(struct pastry *p)
{
    struct pastry_contact *worst = NULL;
    struct id node;

    for (unsigned i = 0; i < p->contact_count; i++)
        if (!pastry_is_leaf(p, &p->contact[i].node) &&
            (!worst || p->contact[i].rtt_ms > worst->rtt_ms))
            worst = &p->contact[i];
    if (!worst)
        return false;
    node = worst->node;
    p->env.detach(p->env.ctx, &node);
    return pastry_remove(p, &node);
}

static bool
make_room(struct pastry *p, const struct id *node)
{
    unsigned cap = p->contact_cap ? 2u * p->contact_cap : 8;
    struct pastry_contact *grown;

    if (p->contact_count >= PASTRY_CONTACTS_MAX)
        return pastry_is_leaf_wanted(p, node) && evict(p);
    if (p->contact_count < p->contact_cap)
        return true;
    if (cap > PASTRY_CONTACTS_MAX)
        cap = PASTRY_CONTACTS_MAX;
    grown = realloc(p->contact, cap * sizeof(*grown));
    if (!grown)
        return false;
    p->contact = grown;
    p->contact_cap = (uint16_t)cap;
    return true;
}

struct pastry_contact *
pastry_put(struct pastry *p, const struct id *node, uint16_t rtt_ms)
{
    struct pastry_contact *known = pastry_find(p, node);
    unsigned at;

    assert(!id_equal(node, &p->conf.self));
    if (known && rtt_ms == PASTRY_RTT_UNKNOWN)
        return known;
    p->is_changed = true;
    if (known) { /* an old figure counts for three quarters */
        known->rtt_ms = known->rtt_ms == PASTRY_RTT_UNKNOWN
                            ? rtt_ms
                            : (uint16_t)((3u * known->rtt_ms + rtt_ms + 2) / 4);
        return known;
    }
    if (!make_room(p, node))
        return NULL;
    at = pastry_at(p, node);
    memmove(&p->contact[at + 1], &p->contact[at], (p->contact_count - at) * sizeof(p->contact[0]));
    p->contact[at] =
        (struct pastry_contact){.node = *node, .rtt_ms = rtt_ms, .owed_ms = MOMENT_NEVER};
    p->contact_count++;
    return &p->contact[at];
}

bool
pastry_remove(struct pastry *p, const struct id *node)
{
    struct pastry_contact *gone = pastry_find(p, node);
    unsigned at;

    if (!gone)
        return false;
    at = (unsigned)(gone - p->contact);
    memmove(gone, gone + 1, (p->contact_count - at - 1u) * sizeof(*gone));
    p->contact_count--;
    p->is_changed = true;
    return true;
}

/* ---- who serves where ----------------------------------------------------------------------- */

/* Whoever serves stays unless another is nearer by a fifth: figures waver. */
static unsigned
cost(const struct pastry_contact *contact, bool serves)
{
    if (contact->rtt_ms == PASTRY_RTT_UNKNOWN)
        return serves ? 0 : PASTRY_RTT_UNKNOWN;
    return serves ? 4u * contact->rtt_ms : 5u * contact->rtt_ms + 4;
}

/* Contacts of one slot lie side by side: the best of them serves it. */
static void
plan_rows(struct pastry *p)
{
    struct pastry_contact *best = NULL;
    unsigned best_cost = 0;
    unsigned best_slot = 0;

    for (unsigned i = 0; i < p->contact_count; i++) {
        struct pastry_contact *at = &p->contact[i];
        unsigned row = pastry_row(&p->conf.self, &at->node);
        unsigned slot = row * PASTRY_COLUMNS + id_digit(&at->node, row, PASTRY_DIGIT_BITS);
        unsigned at_cost = cost(at, at->is_row);

        at->is_row = false;
        if (best && slot == best_slot && at_cost >= best_cost)
            continue;
        if (best && slot == best_slot)
            best->is_row = false;
        best = at;
        best_cost = at_cost;
        best_slot = slot;
        at->is_row = true;
    }
}

static void
plan_near(struct pastry *p)
{
    bool was_near[PASTRY_CONTACTS_MAX];

    for (unsigned i = 0; i < p->contact_count; i++) {
        was_near[i] = p->contact[i].is_near;
        p->contact[i].is_near = false;
    }
    for (unsigned taken = 0; taken < PASTRY_NEAR_MAX; taken++) {
        struct pastry_contact *best = NULL;
        unsigned best_cost = PASTRY_RTT_UNKNOWN * 5u + 4;

        for (unsigned i = 0; i < p->contact_count; i++) {
            struct pastry_contact *at = &p->contact[i];
            if (at->is_near || at->rtt_ms == PASTRY_RTT_UNKNOWN ||
                cost(at, was_near[i]) >= best_cost)
                continue;
            best = at;
            best_cost = cost(at, was_near[i]);
        }
        if (!best)
            return;
        best->is_near = true;
    }
}

void
pastry_replan(struct pastry *p)
{
    struct pastry_contact *at;

    plan_rows(p);
    plan_near(p);
    for (unsigned i = p->contact_count; i-- > 0;) {
        at = &p->contact[i];
        if (at->is_row || at->is_near || pastry_is_leaf(p, &at->node))
            continue;
        p->env.detach(p->env.ctx, &at->node);
        memmove(at, at + 1, (p->contact_count - i - 1u) * sizeof(*at));
        p->contact_count--;
    }
}

unsigned
pastry_near(const struct pastry *p, const struct pastry_contact *ret_near[PASTRY_NEAR_MAX])
{
    unsigned count = 0;

    for (unsigned i = 0; i < p->contact_count; i++) {
        const struct pastry_contact *contact = &p->contact[i];
        unsigned at = count;

        if (!contact->is_near || count == PASTRY_NEAR_MAX)
            continue;
        for (; at > 0 && ret_near[at - 1]->rtt_ms > contact->rtt_ms; at--)
            ret_near[at] = ret_near[at - 1];
        ret_near[at] = contact;
        count++;
    }
    return count;
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
pastry_size_bits(const struct pastry *p)
{
    double size = p->contact_count + 1.0;
    struct id arc;
    unsigned bits = 0;

    if (p->contact_count > 2 * PASTRY_SIDE_MAX) {
        arc = id_subtract(&pastry_larger(p, PASTRY_SIDE_MAX - 1)->node,
                          &pastry_smaller(p, PASTRY_SIDE_MAX - 1)->node);
        size = as_fraction(&arc) > 0 ? 2 * PASTRY_SIDE_MAX / as_fraction(&arc) : 1e9;
    }
    for (; size >= 2 && bits < 30; size /= 2)
        bits++;
    return bits;
}

void
pastry_check(const struct pastry *p)
{
    assert(p->contact_count <= p->contact_cap && p->contact_count <= PASTRY_CONTACTS_MAX);
    assert(p->task_count <= p->task_cap && p->task_count <= PASTRY_TASKS_MAX);
    assert(p->state != PASTRY_OUT || (p->contact_count == 0 && p->task_count == 0));
    for (unsigned i = 0; i < p->contact_count; i++) {
        assert(!id_equal(&p->contact[i].node, &p->conf.self));
        assert(i == 0 || id_compare(&p->contact[i - 1].node, &p->contact[i].node) < 0);
    }
}
