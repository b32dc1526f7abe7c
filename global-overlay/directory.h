/**
 * DOC: the directory of overlays in the global ring, sans-I/O
 *
 * Publishes our own entry `sip:overlay@NAME` while we are an active gateway, and finds the gateways
 * of foreign domains.  Entries are SIP-REGISTRATION records (RFC 7904) keyed by the gateway's
 * Node-ID; the URI carries what a reader needs to choose:
 *
 *     sip:ADDRESS:5061;transport=tls;term=T;priority=P;weight=W
 *
 * A name `a.b.c` is looked up as overlay@a.b.c, overlay@b.c and overlay@c at the same time; the
 * longest with a live entry wins, unless a longer one had entries that were taken out a moment ago:
 * that overlay exists.  A live entry exists, has not expired, is signed by user
 * overlay@NAME, and its key is the signer's Node-ID; of these only those of the highest term count,
 * the others being for whom these do not know. Our own overlay needs no entry: it, and sub-domains
 * of it that have none of their own, resolve as local, and do so even while the ring is out of
 * reach.
 *
 *     name:  UNKNOWN --ask--> FETCHING --entries--> KNOWN --positive_ms or forget--> UNKNOWN
 *                                 |   \--none-----> ABSENT --negative_ms-----------> UNKNOWN
 *                                 \------failed---> UNKNOWN
 *
 * Asks for a name that is being fetched wait for the same fetch.  The cache is bounded; what has
 * not been asked for longest goes first.
 *
 * Only a settled ring can say that there is no such overlay.  A ring is young until young_ms after
 * the last change of its members, for the entry may be with one that is yet to come: an ask that
 * ends with nothing is put again every again_ms, once for all that wait for the same names, up to
 * its patience_ms or until the ring is settled; absence is then not cached.  The same holds,
 * however settled the ring is, for a name whose nodes have come to this one (near.h).  Who is alone
 * longer than that though others are configured has no ring, and knows of no absence either.
 *
 * Source: the design's "Ring records" and "Resolving"; RFC 2782 for priority and weight.
 * Left out on purpose: membership of the ring (that is a peer, local-overlays/peer.h); choosing
 * among gateways of one priority by weight (the caller has the random numbers).
 */
#ifndef GLOBAL_OVERLAY_DIRECTORY_H
#define GLOBAL_OVERLAY_DIRECTORY_H

#include "base/log.h"
#include "base/moment.h"
#include "local-overlays/peer.h"

#define DIRECTORY_GATEWAYS_MAX RESOLVE_GATEWAYS_MAX
#define DIRECTORY_OTHERS_MAX   2
#define DIRECTORY_HOPS_MAX     RESOLVE_HOPS_MAX
#define DIRECTORY_LABELS_MAX   8 /* of a domain only the last so many labels are looked at */

struct directory;

struct directory_conf {
    char overlay[OVERLAY_NAME_BYTES]; /* our own */
    struct id self;                   /* our Node-ID, the key of our entry */
    uint32_t lifetime_s;              /* 60: of our entry, renewed at half */
    uint32_t look_ms;                 /* 1500: then it is looked for, and stored anew if it has gone
                                         with those that held it; 0: never */
    uint32_t positive_ms;             /* 10000, never beyond a record's own lifetime */
    uint32_t negative_ms;             /* 1000: a settled ring's absence */
    uint32_t young_ms;                /* 3000: after a change of its members a ring is young */
    uint32_t again_ms;                /* 50: pause before what a young ring lacks is asked again */
    uint32_t patience_ms;             /* 2000: of an ask, in a young ring */
    size_t max_again;                 /* 32 names are asked for again at one time */
    size_t max_names;                 /* 1024, in the cache */
    size_t max_waiting;               /* 4096 asks at one time; more are ST_LIMIT */
    uint64_t seed;                    /* keys the cache's hash */
};
/** directory_conf_defaults - fill in every default; the caller sets overlay, self, seed. */
void directory_conf_defaults(struct directory_conf *conf);

/** What a directory asks of the ring's peer.  No callback calls back into the directory: each is
 *  followed by exactly one directory_on_* with its token, later. */
struct directory_env {
    void *ctx;
    /** fetch - all values of KIND_SIP_REGISTRATION under @name ("overlay@NAME"). */
    void (*fetch)(void *ctx, uint32_t token, const char *name);
    /** store - one value under @name; borrowed for the call. */
    void (*store)(void *ctx, uint32_t token, const char *name, const struct peer_value *value);
    /** trace - the hops towards @name. */
    void (*trace)(void *ctx, uint32_t token, const char *name);
    struct log_to log;
};

struct directory_gateway {
    struct id node;
    char uri[SIP_URI_BYTES]; /* as stored, parameters and all */
    uint32_t term;
    uint16_t priority; /* lower is tried first */
    uint16_t weight;
};

/** What "our own" rests on, where the domain is inside our name and could be another overlay's. */
enum directory_doubt {
    DIRECTORY_SURE,  /* a settled ring has no longer name */
    DIRECTORY_YOUNG, /* the ring may not have all its entries yet, or did not respond */
    DIRECTORY_BLIND  /* the ring is out of reach */
};

struct directory_answer {
    char overlay[OVERLAY_NAME_BYTES];
    bool is_local;                    /* our own overlay; no gateways are listed */
    enum directory_doubt doubt;       /* of is_local */
    char removed[OVERLAY_NAME_BYTES]; /* of is_local: a longer name whose gateways have all left */
    size_t gateway_count;
    struct directory_gateway
        gateway[DIRECTORY_GATEWAYS_MAX]; /* by priority; those just forgotten last */
    size_t
        other_count; /* of a lower term, and not just forgotten: the other part of an overlay that
                        is cut in two, or dead; to be asked for whom the first do not know */
    struct directory_gateway other[DIRECTORY_OTHERS_MAX];
    uint32_t lifetime_ms; /* how long the answer may be kept */
    size_t hop_count;     /* 0 unless hops were asked for */
    struct peer_hop hop[DIRECTORY_HOPS_MAX];
    uint32_t elapsed_ms;
};

/**
 * directory_resolved - how an ask ended
 * @st: ST_OK with an answer; without one: ST_NOT_FOUND, there is no such overlay (404);
 * ST_UNREACHABLE, the overlay has no gateway just now, or the ring cannot know yet whether it
 * exists; ST_TIMEOUT, ST_STATE and others of the ring (500 with Retry-After); ST_MALFORMED, not a
 * domain; ST_LIMIT; ST_NOMEM
 */
struct directory_resolved {
    void (*done)(void *ctx, struct moment now, enum status st,
                 const struct directory_answer *answer);
    void *ctx;
};

/** directory_term - how directory_read_own() ended: the entries of the highest term under our name;
 *  borrowed. */
struct directory_term {
    void (*done)(void *ctx, struct moment now, enum status st,
                 const struct directory_gateway *gateway, size_t count);
    void *ctx;
};

NODISCARD enum status directory_new(const struct directory_conf *conf,
                                    const struct directory_env *env, struct directory **ret,
                                    struct why *why);
/** directory_free - waiting asks end with ST_STATE at moment @now. */
void directory_free(struct directory *d, struct moment now);

/**
 * directory_resolve - find the gateways of a domain
 * @domain:        host part of a SIP URI, any case
 * @is_past_cache: ignore what was read before this call
 * @wants_hops:    trace the way to the entry too (slower)
 * @done:          called exactly once, never before the return: from directory_tick or
 * directory_on_*. It may call the directory.
 *
 * An answer from the cache is due at once: directory_deadline_ms() has then passed.
 */
void directory_resolve(struct directory *d, struct moment now, const char *domain,
                       bool is_past_cache, bool wants_hops, const struct directory_resolved *done);

/** directory_forget - a gateway of @overlay could not be reached, or said 503: the next ask
 * fetches. */
void directory_forget(struct directory *d, struct moment now, const char *overlay,
                      const struct id *gateway);

/** directory_owner_matches - may a gateway of @overlay send for the domain this answer is about? */
bool directory_owner_matches(const struct directory_answer *answer, const char *overlay);

/** directory_read_own - the term of our own overlay in the ring, past the cache (the election
 * asks). */
void directory_read_own(struct directory *d, struct moment now, const struct directory_term *done);

/**
 * directory_publish - keep our entry in the ring from now on; again to change it
 * @uri: our gateway-listen without term and weights: "sip:127.1.0.1:5061;transport=tls"
 * Returns: ST_OK; ST_TOO_LARGE if the URI leaves no room for the parameters.
 */
NODISCARD enum status directory_publish(struct directory *d, struct moment now, const char *uri,
                                        uint32_t term, uint16_t priority, uint16_t weight);
/** directory_withdraw - take our entry out, and see to it that it is known as removed. */
void directory_withdraw(struct directory *d, struct moment now);

/** What a directory is told of the ring. */
enum directory_ring {
    DIRECTORY_RING_DOWN,  /* the peer cannot be asked */
    DIRECTORY_RING_ALONE, /* it can, and is alone though others are configured */
    DIRECTORY_RING_UP     /* it can, and has whom it can have */
};
/** directory_on_ring - the ring's peer can be asked from now on, or no longer; also when its
 * neighbours changed, since what was absent may have come with them. */
void directory_on_ring(struct directory *d, struct moment now, enum directory_ring ring);
/** directory_on_linked, directory_on_left - a node with this certificate's user has a link with
 * this one in the ring, or has no longer (near.h) */
void directory_on_linked(struct directory *d, struct moment now, const struct id *node,
                         const char *user);
void directory_on_left(struct directory *d, struct moment now, const struct id *node);

void directory_on_fetched(struct directory *d, struct moment now, uint32_t token, enum status st,
                          const struct peer_datum *datum, size_t count);
void directory_on_stored(struct directory *d, struct moment now, uint32_t token, enum status st);
void directory_on_traced(struct directory *d, struct moment now, uint32_t token, enum status st,
                         const struct peer_hop *hop, size_t count);

void directory_tick(struct directory *d, struct moment now);
uint64_t directory_deadline_ms(const struct directory *d);

/* ---- what may be looked at ------------------------------------------------------------------- */
struct directory_counters {
    uint64_t asked;
    uint64_t from_cache;
    uint64_t fetched;
    uint64_t not_found;
    uint64_t failed;
    uint64_t refused_records; /* wrong signer, key or URI */
};
const struct directory_counters *directory_counters_of(const struct directory *d);
size_t directory_name_count(const struct directory *d);
/** directory_is_published - is our entry held by the ring, as far as we know? */
bool directory_is_published(const struct directory *d);

#endif
