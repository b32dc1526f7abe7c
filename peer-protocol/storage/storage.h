/**
 * DOC: the values a peer holds
 *
 * An in-memory index by Resource-ID and Kind, behind which a disk may stand: each change is told to
 * a journal, and storage_restore() takes back what a journal kept.  A record is all values of one
 * Kind under one Resource-ID, with its generation counter; which records are replicas follows from
 * who is responsible now and is not noted here.
 *
 * Nobody fills it: each signer has a share (shares.h), each kind its place, sizes and longest
 * lifetime (kind.h).  A value lives from its receipt for the lifetime that came with it, and never
 * longer than its kind allows from its storage time; what has expired does not come back (past.h).
 *
 * Sans-I/O.  Lifetimes run on the monotonic clock.
 *
 * Source: RFC 6940 sections 7.1 to 7.4.
 * Left out on purpose: digests in Stat answers (hash algorithm none).
 */
#ifndef PEER_PROTOCOL_STORAGE_STORAGE_H
#define PEER_PROTOCOL_STORAGE_STORAGE_H

#include "base/moment.h"
#include "peer-protocol/message/kind.h"
#include "peer-protocol/message/security.h"

struct storage;
struct storage_record;

#define STORAGE_HOLDERS_MAX 4

#define STORAGE_AHEAD_MS 1800000 /* a storage time may be so far in the future: clocks differ */

struct storage_limits {
    size_t max_values;           /* of all kinds */
    size_t max_bytes;            /* of all values, signatures and certificates */
    enum kind_overlays overlays; /* the kinds of which are known here; 0: all */
    struct id overlay_resource;  /* H("overlay@NAME"); zero: kinds have no place of their own */
};

/** Values that were not taken, so far. */
struct storage_counters {
    uint64_t over_share;  /* no room for more of this signer, or of anybody */
    uint64_t too_large;   /* value or count over the kind's limit */
    uint64_t misplaced;   /* unknown kinds, and Resource-IDs that are not the kind's */
    uint64_t out_of_time; /* expired, or from the future */
    uint64_t shortened;   /* taken, with a shorter lifetime than asked for */
};

/** One value as it is held. */
struct storage_value {
    struct stored_data data;  /* lifetime_s as it was when it came */
    struct slice certificate; /* raw GenericCertificate entry of its signer; may be empty */
    struct id signer;
    uint64_t expires_ms; /* monotonic */
};

/** Told of each change, after it; may be all NULL. */
struct storage_journal {
    void *ctx;
    void (*put)(void *ctx, const struct id *resource, uint32_t kind, uint64_t generation,
                const struct storage_value *value);
    void (*removed)(void *ctx, const struct id *resource, uint32_t kind,
                    const struct storage_value *value);
};

NODISCARD enum status storage_new(const struct storage_limits *limits,
                                  const struct storage_journal *journal, struct storage **ret);
void storage_free(struct storage *s);
size_t storage_value_count(const struct storage *s);
size_t storage_byte_count(const struct storage *s);
const struct storage_counters *storage_counters_of(const struct storage *s);

/** A Store request, verified as a message. */
struct storage_store {
    struct store_req request;
    struct signer requester;   /* who signed the request */
    struct slice certificates; /* that came with it */
    struct slice replicas;     /* raw Node-IDs that will hold it too, for the answer */
};

/**
 * storage_put - check a Store request and carry it out, all or nothing
 * @keys:       to verify each value
 * @ret_answer: written with ST_OK: the StoreKindResponses (store_ans_write() makes a body of them);
 *              with ST_GENERATION the same, for the error's info; with ST_UNKNOWN_KIND the unknown
 *              kinds as raw u32s
 * Returns: ST_OK; ST_MALFORMED; ST_UNKNOWN_KIND; ST_FORBIDDEN, ST_SIGNATURE or ST_NOT_FOUND (no
 * certificate) for a value; ST_FORBIDDEN where the kind does not belong, and for a storage time in
 * the future; ST_TOO_LARGE value or count over the kind's limit; ST_TOO_OLD; ST_GENERATION;
 * ST_LIMIT over the signer's share; ST_NOMEM.
 *
 * A replica Store (replica_number > 0) sets the generation counter and merges: values newer than
 * ours are taken, and if one of ours is newer ST_TOO_OLD is returned after that, so that its sender
 * fetches it (section 7.4.1.1, healing of partitions).  A value of it that is refused does not keep
 * the others out; if none is left, the Store is refused.
 */
NODISCARD enum status storage_put(struct storage *s, struct moment now, const struct keys *keys,
                                  const struct storage_store *store, struct writer *ret_answer,
                                  struct why *why);

/**
 * storage_merge - take the values of a Fetch answer's element that are newer than ours
 * Values that do not verify are left out.
 */
NODISCARD enum status storage_merge(struct storage *s, struct moment now, const struct keys *keys,
                                    const struct id *resource,
                                    const struct fetch_kind_response *response,
                                    struct slice certificates);

/** storage_restore - put one value back that a journal kept; it was verified then. */
NODISCARD enum status storage_restore(struct storage *s, struct moment now,
                                      const struct id *resource, uint32_t kind, uint64_t generation,
                                      const struct storage_value *value);

/**
 * storage_fetch, storage_stat - carry out a Fetch or Stat request
 * @ret_body:         the answer's body
 * @ret_certificates: the signers' certificates, each once, as many as its limit allows (Fetch)
 * Returns: ST_OK; ST_UNKNOWN_KIND with the kinds as raw u32s in @ret_body; ST_MALFORMED;
 * ST_TOO_LARGE.
 */
NODISCARD enum status storage_fetch(struct storage *s, struct moment now,
                                    const struct fetch_req *request, struct writer *ret_body,
                                    struct writer *ret_certificates);
NODISCARD enum status storage_stat(struct storage *s, struct moment now, const struct keys *keys,
                                   const struct fetch_req *request, struct writer *ret_body);

/** storage_set_doubt - values of @kind that @is_doubted says so of are fetched with no lifetime
 * left: they existed. */
void storage_set_doubt(struct storage *s, uint32_t kind,
                       bool (*is_doubted)(void *ctx, const struct storage_value *value), void *ctx);

/** storage_find - for each kind the closest Resource-ID from @request->resource upwards. */
NODISCARD enum status storage_find(struct storage *s, const struct find_req *request,
                                   struct writer *ret_body);

/** storage_expire - drop what has outlived its lifetime. */
void storage_expire(struct storage *s, struct moment now);
/** storage_deadline_ms - when storage_expire() has something to do, or earlier. */
uint64_t storage_deadline_ms(const struct storage *s);

/* ---- records, for whoever copies them -------------------------------------------------------- */

struct storage_cursor {
    void *at; /* private */
    bool started;
};
/** storage_next - walk the records, oldest first; the one just returned may be dropped. */
struct storage_record *storage_next(struct storage *s, struct storage_cursor *c);
struct storage_record *storage_find_record(struct storage *s, const struct id *resource,
                                           uint32_t kind);
void storage_drop(struct storage *s, struct storage_record *r);

const struct id *storage_record_resource(const struct storage_record *r);
const struct kind *storage_record_kind(const struct storage_record *r);
uint64_t storage_record_generation(const struct storage_record *r);
/** storage_record_version - changes with each change of the record, and never repeats. */
uint64_t storage_record_version(const struct storage_record *r);

/** Copies of one record that came and went, counted by whom that concerns. */
struct storage_traffic {
    uint32_t taken;   /* brought by other nodes, changed or not; storage_put() counts */
    uint32_t refused; /* of these, by nodes that we did not name among the replicas: they drop it */
    uint32_t handed_over; /* sent to whom the record belongs; the sender counts */
};
struct storage_traffic *storage_record_traffic(struct storage_record *r);

/** storage_record_write - the record as StoreKindData, lifetimes reduced to what is left. */
void storage_record_write(const struct storage_record *r, struct moment now,
                          struct writer *kind_data, struct writer *certificates);
void storage_record_visit(const struct storage_record *r,
                          void (*visit)(void *ctx, const struct storage_value *value), void *ctx);

/** Holders: nodes that have acknowledged a copy of the record as it is; forgotten when it changes.
 */
void storage_holder_add(struct storage_record *r, const struct id *node);
bool storage_holder_has(const struct storage_record *r, const struct id *node);
/** storage_holder_remove - @node drops its copy, or nobody knows: if it was a holder, @r is marked.
 */
void storage_holder_remove(struct storage *s, struct storage_record *r, const struct id *node);
/** storage_holder_forget_others - all but @node. */
void storage_holder_forget_others(struct storage_record *r, const struct id *node);
void storage_forget_holders(struct storage *s);
void storage_holder_remove_everywhere(struct storage *s, const struct id *node);

/** Records that are to be looked at again (their copies), in order. */
void storage_mark(struct storage *s, struct storage_record *r);
void storage_mark_all(struct storage *s);
/** storage_marked - take the first of them; NULL if there is none. */
struct storage_record *storage_marked(struct storage *s);
bool storage_has_marked(const struct storage *s);

#endif
