/**
 * DOC: what the files of storage/ share
 */
#ifndef PEER_PROTOCOL_STORAGE_STORAGE_INTERNAL_H
#define PEER_PROTOCOL_STORAGE_STORAGE_INTERNAL_H

#include "base/list.h"
#include "base/map.h"
#include "peer-protocol/storage/past.h"
#include "peer-protocol/storage/shared_bytes.h"
#include "peer-protocol/storage/shares.h"
#include "peer-protocol/storage/storage.h"

#define STORAGE_PLACE_BYTES (ID_BYTES + 4 + UINT8_MAX)

/** A value and all its bytes in one piece, but its certificate, which others have, too. */
struct held {
    struct list_node at;
    struct storage_value v; /* its slices point into bytes[] */
    size_t total_bytes;     /* this struct, its bytes and the certificate, as the limit counts */
    uint8_t bytes[];
};

struct storage_record {
    struct list_node mark; /* in storage.marked, or by itself */
    struct id resource;
    const struct kind *kind;
    uint64_t generation;
    uint64_t version;
    struct storage_traffic traffic;
    struct list_node values; /* arrays by index, others as they came */
    uint32_t count;
    uint8_t holder_count;
    struct id holder[STORAGE_HOLDERS_MAX];
};

struct storage {
    struct storage_limits limits;
    struct storage_journal journal;
    struct {
        uint32_t kind;
        bool (*is)(void *ctx, const struct storage_value *value);
        void *ctx;
    } doubt;             /* storage_set_doubt() */
    struct map *records; /* by Resource-ID || Kind */
    struct list_node marked;
    struct shares *shares; /* of what is held, and of what is staged */
    struct past *past;
    struct shared_bytes *certificates;
    struct storage_counters counters;
    uint64_t version;
    uint64_t earliest_ms; /* no value expires before */
};

/** held_new - a copy of a value; NULL without memory. */
struct held *held_new(struct storage *s, const struct storage_value *v);
/** held_free - Accepts NULL. */
void held_free(struct storage *s, struct held *h);

/** storage_kind - the kind, if it is one that this overlay knows. */
const struct kind *storage_kind(const struct storage *s, uint32_t kind);

/** storage_place - what past.h knows the place of @d by. */
struct slice storage_place(const struct storage_record *r, const struct stored_data *d,
                           uint8_t out[STORAGE_PLACE_BYTES]);

/** storage_lasts_until_ms - monotonic: no value of that storage time is taken from then on. */
uint64_t storage_lasts_until_ms(const struct kind *kind, uint64_t storage_time_ms,
                                struct moment now);

/** storage_record_make - find the record or make an empty one; NULL without memory. */
struct storage_record *storage_record_make(struct storage *s, const struct id *resource,
                                           const struct kind *kind);
/** storage_record_tidy - drop a record that is empty. */
void storage_record_tidy(struct storage *s, struct storage_record *r);

/** storage_slot - the value that @d would replace; NULL if there is none. */
struct held *storage_slot(const struct storage_record *r, const struct stored_data *d);

/** storage_set - put a value (taken) into its slot; the caller has counted it among the shares. */
void storage_set(struct storage *s, struct storage_record *r, struct held *h);

/** storage_changed - after a change: new version, nobody holds it, to be copied. */
void storage_changed(struct storage *s, struct storage_record *r);

/** storage_lifetime_left - in seconds, rounded up; 0 when it is over. */
uint32_t storage_lifetime_left(const struct storage_value *v, uint64_t now_ms);

#endif
