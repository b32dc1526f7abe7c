/**
 * DOC: hash map from byte strings to pointers
 *
 * Keys are copied; values are borrowed.  The hash is keyed with a seed (SipHash-2-4), since keys
 * come from strangers.  The order of a walk is the order of insertion, so that a simulation
 * repeats.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/bytes.h"

struct map;

/**
 * map_new - an empty map
 * @seed:  keys the hash; any value in a simulation, random in a daemon
 * @limit: most entries it will hold; 0 for no limit of its own
 * Returns: the map, NULL without memory.
 */
struct map *map_new(uint64_t seed, size_t limit);

/** map_free - free the map; the values are the caller's. Accepts NULL. */
void map_free(struct map *m);

size_t map_count(const struct map *m);

/** map_get - the value of a key, NULL if there is none. */
void *map_get(const struct map *m, struct slice key);

/**
 * map_put - set a key's value (never NULL)
 * @ret_old: the value it replaces, or NULL; may be NULL
 * Returns: ST_OK; ST_NOMEM; ST_LIMIT when full, with the map unchanged.
 */
NODISCARD enum status map_put(struct map *m, struct slice key, void *value, void **ret_old);

/** map_remove - take a key out; returns its value, NULL if there was none. */
void *map_remove(struct map *m, struct slice key);

/**
 * map_next - walk: struct map_cursor c = {0}; while (map_next(m, &c)) use(c.key, c.value);
 *
 * The entry just returned may be removed during the walk, others may not; entries put during a walk
 * may or may not be seen.
 */
struct map_cursor {
    struct slice key;
    void *value;
    void *at; /* private */
    bool started;
};
bool map_next(const struct map *m, struct map_cursor *c);

/** map_hash - SipHash-2-4 of @key, for tables of one's own. */
uint64_t map_hash(uint64_t seed, struct slice key);

#endif
