#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "local-overlays/can/state.h"

/* ---- contacts ------------------------------------------------------------------------------- */

struct can_contact *
can_find(const struct can *c, const struct id *node)
{
    for (unsigned i = 0; i < c->contact_count; i++)
        if (id_equal(&c->contact[i].node, node))
            return &c->contact[i];
    return NULL;
}

struct can_zone
can_zone_with_us(const struct can *c, const struct can_peer *peer)
{
    struct can_levels levels = peer->levels;

    can_levels_set(&levels, id_common_bits(&peer->node, &c->conf.self));
    return can_zone_of(c->dimensions, &peer->node, &levels);
}

void
can_set_levels(struct can *c, struct can_contact *contact, const struct can_levels *levels)
{
    struct can_peer peer = {.node = contact->node, .levels = *levels};

    contact->levels = *levels;
    contact->zone = can_zone_with_us(c, &peer);
    c->is_changed = true;
}

static bool
make_room(struct can *c, struct moment now)
{
    unsigned cap = c->contact_cap + CAN_CONTACTS_STEP;
    struct can_contact *grown;

    if (c->contact_count == CAN_CONTACTS_MAX)
        can_trim(c, now);
    if (c->contact_count < c->contact_cap)
        return true;
    if (c->contact_count == CAN_CONTACTS_MAX)
        return false;
    cap = cap < CAN_CONTACTS_MAX ? cap : CAN_CONTACTS_MAX;
    grown = realloc(c->contact, cap * sizeof(*grown));
    if (!grown)
        return false;
    c->contact = grown;
    c->contact_cap = cap;
    return true;
}

struct can_contact *
can_add(struct can *c, struct moment now, const struct can_peer *peer)
{
    struct can_contact *contact = can_find(c, &peer->node);

    assert(!id_equal(&peer->node, &c->conf.self));
    if (contact) {
        contact->heard_ms = now.mono_ms;
        return contact;
    }
    if (!make_room(c, now))
        return NULL;
    contact = &c->contact[c->contact_count++];
    *contact = (struct can_contact){.node = peer->node,
                                    .level = id_common_bits(&peer->node, &c->conf.self),
                                    .born_ms = now.mono_ms,
                                    .heard_ms = now.mono_ms};
    for (unsigned i = 0; i < ID_BYTES; i++)
        contact->apart.bytes[i] = peer->node.bytes[i] ^ c->conf.self.bytes[i];
    can_set_levels(c, contact, &peer->levels);
    can_refresh(c, now);
    return contact;
}

void
can_remove(struct can *c, struct can_contact *contact, struct can_list *ret_list)
{
    if (ret_list)
        *ret_list = contact->list;
    else
        can_list_free(&contact->list);
    *contact = c->contact[--c->contact_count];
    c->is_changed = true;
}

void
can_remove_all(struct can *c)
{
    for (unsigned i = 0; i < c->contact_count; i++)
        can_list_free(&c->contact[i].list);
    for (unsigned i = 0; i < CAN_ORPHANS_MAX; i++)
        can_list_free(&c->orphan[i].list);
    c->contact_count = 0;
    c->is_changed = true;
    memset(c->ghost_until_ms, 0, sizeof(c->ghost_until_ms));
}

/* ---- what follows --------------------------------------------------------------------------- */

/* Those that share the most bits with us come first; all agree on who is nearer. */
static bool
is_nearer(const struct can_contact *at, const struct id *apart)
{
    return memcmp(at->apart.bytes, apart->bytes, ID_BYTES) < 0;
}

static bool
is_among_nearest(const struct can *c, const struct id *apart)
{
    unsigned nearer = 0;

    for (unsigned i = 0; i < c->contact_count && nearer < CAN_NEAREST; i++)
        nearer += is_nearer(&c->contact[i], apart);
    return nearer < CAN_NEAREST;
}

static bool
is_witness(const struct can *c, const struct can_contact *contact)
{
    unsigned nearer = 0;

    for (unsigned i = 0; i < c->contact_count && nearer < CAN_WITNESSES; i++)
        nearer +=
            c->contact[i].level == contact->level && is_nearer(&c->contact[i], &contact->apart);
    return nearer < CAN_WITNESSES;
}

/* Whoever is separated from a contact before we are, is separated from us at the same plane.  A
 * joiner takes a contact's word for it, so that it asks for those alone that will be of use; when
 * it enters, it knows somebody at each level.  A member goes by what members have said: a plane
 * with nobody behind it would leave a part of the torus to nobody. */
static struct can_levels
levels_of(const struct can *c)
{
    struct can_levels levels = {{0}};

    for (unsigned level = 0; level < CAN_LEVELS; level++)
        if (c->ghost_until_ms[level])
            can_levels_set(&levels, level);
    for (unsigned i = 0; i < c->contact_count; i++) {
        const struct can_contact *at = &c->contact[i];

        if (c->state == CAN_IN && !at->has_told)
            continue;
        can_levels_set(&levels, at->level);
        if (c->state == CAN_LEARNING || c->state == CAN_LINKING)
            can_levels_add_below(&levels, &at->levels, at->level);
    }
    return levels;
}

/* Who is needed from now on is a part of what we tell. */
static void
look_anew(struct can *c, struct can_contact *at, uint32_t edition)
{
    bool was_named = at->is_named;

    at->is_neighbour = can_zone_touches(c->dimensions, &c->zone, &at->zone);
    at->is_needed = at->is_neighbour || is_among_nearest(c, &at->apart) || is_witness(c, at);
    at->is_named = at->is_needed && at->has_told;
    if (at->is_named && !was_named)
        c->edition = at->named_in = edition;
}

/* Whoever is there hears from his own side that its contact has gone, and tells us: a few round
 * trips, and what is gathered on the way.  Until then that part of the torus is nobody's. */
static uint32_t
ghost_ms(const struct can *c)
{
    uint32_t rtt_ms = 0;

    for (unsigned i = 0; i < c->contact_count; i++) {
        uint32_t of_it_ms = c->contact[i].rtt_ms ? c->contact[i].rtt_ms : CAN_RTT_MS;
        if (of_it_ms > rtt_ms)
            rtt_ms = of_it_ms;
    }
    if (rtt_ms >= CAN_GHOST_MS / CAN_GHOST_RTTS)
        return CAN_GHOST_MS;
    return rtt_ms * CAN_GHOST_RTTS > CAN_GHOST_MIN_MS ? rtt_ms * CAN_GHOST_RTTS : CAN_GHOST_MIN_MS;
}

void
can_keep_plane(struct can *c, struct moment now, unsigned level)
{
    c->ghost_until_ms[level] = now.mono_ms + ghost_ms(c);
    c->ghost_most_ms[level] = now.mono_ms + 3ull * ghost_ms(c);
}

/* Is an Attach under way to somebody who is named behind that plane? */
static bool
is_looked_for(const struct can *c, unsigned level)
{
    for (unsigned i = 0; i < c->task_count; i++)
        if (c->task[i].kind == CAN_TASK_NEIGHBOUR &&
            id_common_bits(&c->task[i].about.node, &c->conf.self) == level)
            return true;
    return false;
}

/* Is the time over for whom is awaited behind that plane? */
static bool
is_given_up(struct can *c, struct moment now, unsigned level)
{
    if (c->ghost_until_ms[level] == 0 || now.mono_ms < c->ghost_until_ms[level])
        return false;
    if (now.mono_ms >= c->ghost_most_ms[level] || !is_looked_for(c, level))
        return true;
    c->ghost_until_ms[level] =
        moment_earlier_ms(now.mono_ms + CAN_REMIND_MS, c->ghost_most_ms[level]);
    return false;
}

bool
can_refresh(struct can *c, struct moment now)
{
    uint32_t edition = c->edition + 1;
    struct can_levels levels;

    for (unsigned level = 0; level < CAN_LEVELS; level++) {
        if (!is_given_up(c, now, level))
            continue;
        c->ghost_until_ms[level] = 0;
        c->is_changed = true;
    }
    if (!c->is_changed)
        return false;
    c->is_changed = false;
    for (unsigned i = 0; i < c->contact_count; i++)
        if (c->contact[i].has_told)
            c->ghost_until_ms[c->contact[i].level] = 0;
    levels = levels_of(c);
    if (!can_levels_equal(&levels, &c->levels)) {
        c->levels = levels;
        c->zone = can_zone_of(c->dimensions, &c->conf.self, &levels);
        c->is_scan_due = true;
        c->edition = c->levels_in = edition;
    }
    for (unsigned i = 0; i < c->contact_count; i++)
        look_anew(c, &c->contact[i], edition);
    return true;
}

unsigned
can_level_count(const struct can *c, unsigned level)
{
    unsigned count = 0;

    for (unsigned i = 0; i < c->contact_count; i++)
        count += c->contact[i].level == level;
    for (unsigned i = 0; i < c->task_count; i++)
        count += c->task[i].kind == CAN_TASK_NEIGHBOUR &&
                 id_common_bits(&c->task[i].about.node, &c->conf.self) == level;
    return count;
}

bool
can_is_wanted(const struct can *c, const struct can_peer *peer)
{
    unsigned level = id_common_bits(&peer->node, &c->conf.self);
    struct can_zone zone;
    struct id apart;

    if (level >= CAN_LEVELS)
        return false;
    for (unsigned i = 0; i < ID_BYTES; i++)
        apart.bytes[i] = peer->node.bytes[i] ^ c->conf.self.bytes[i];
    if (can_level_count(c, level) < CAN_WITNESSES || is_among_nearest(c, &apart))
        return true;
    zone = can_zone_with_us(c, peer);
    return can_zone_touches(c->dimensions, &c->zone, &zone);
}

static struct can_zone
zone_beside(const struct can *c, const struct can_contact *at, unsigned level)
{
    struct can_levels levels = at->levels;

    can_levels_set(&levels, level);
    return can_zone_of(c->dimensions, &at->node, &levels);
}

bool
can_is_news(const struct can *c, const struct can_contact *contact, const struct can_contact *about)
{
    unsigned level = id_common_bits(&contact->node, &about->node);
    struct can_zone zone = zone_beside(c, contact, level);
    struct can_zone other = zone_beside(c, about, level);
    unsigned beside = level == contact->level; /* we are one of those it has there */
    unsigned nearer = 0;

    for (size_t i = 0; i < contact->list.count; i++) {
        struct id listed = can_list_node(&contact->list, i);
        unsigned common = id_common_bits(&contact->node, &listed);

        if (id_equal(&listed, &about->node))
            return false;
        beside += common == level;
        nearer += common > level;
    }
    return beside < CAN_WITNESSES || nearer < CAN_NEAREST ||
           can_zone_touches(c->dimensions, &zone, &other);
}

void
can_trim(struct can *c, struct moment now)
{
    uint64_t patience_ms = 3ull * c->conf.update_ms;

    for (unsigned i = 0; i < c->contact_count;) {
        struct can_contact *at = &c->contact[i];
        bool is_new = now.mono_ms - at->born_ms < CAN_FRESH_MS;
        bool is_silent = now.mono_ms - at->heard_ms > patience_ms;

        if (at->is_needed || is_new || (at->needs_us && !is_silent)) {
            i++;
            continue;
        }
        c->env.detach(c->env.ctx, &at->node);
        can_remove(c, at, NULL);
    }
    can_refresh(c, now);
}

void
can_check(const struct can *c)
{
    struct can_point p = can_point_of(c->dimensions, &c->conf.self);

    assert(c->contact_count <= c->contact_cap && c->contact_count <= CAN_CONTACTS_MAX);
    assert(c->state != CAN_OUT || (c->contact_count == 0 && c->task_count == 0));
    assert(c->joiner_count == 0 || c->state == CAN_IN);
    assert(can_zone_distance(c->dimensions, &c->zone, &p) == 0);
    for (unsigned i = 0; i < c->contact_count; i++)
        assert(can_levels_has(&c->levels, c->contact[i].level) || !c->contact[i].has_told);
}
