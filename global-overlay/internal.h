/**
 * DOC: what the files of global-overlay/ share
 *
 *     directory.c  asks, cache, fetches
 *     domain.c     the host part of a URI
 *     entry.c      ring entries: reading, choosing, writing
 *     publish.c    our own entry
 *     near.c       nodes of overlays without an entry
 */
#ifndef GLOBAL_OVERLAY_INTERNAL_H
#define GLOBAL_OVERLAY_INTERNAL_H

#include "base/list.h"
#include "base/map.h"
#include "global-overlay/directory.h"
#include "global-overlay/near.h"

#define DIRECTORY_LOST_MS       10000 /* an effect that was never answered */
#define DIRECTORY_SHARED_MS     100   /* who asks so much later does not share a failure */
#define DIRECTORY_FORGOTTEN_MAX 16
#define DIRECTORY_FORGOTTEN_MS  30000 /* so long a gateway that failed is tried last */
#define DIRECTORY_OWN_READS_MAX 16
#define DIRECTORY_URI_TAIL      48 /* ";term=4294967295;priority=65535;weight=65535" */
#define DIRECTORY_AOR_BYTES     (OVERLAY_NAME_BYTES + 8) /* "overlay@NAME" */

/** What a fetch of one name told. */
struct directory_entries {
    size_t count;
    struct directory_gateway gateway[DIRECTORY_GATEWAYS_MAX];
    size_t other_count; /* of lower terms */
    struct directory_gateway other[DIRECTORY_OTHERS_MAX];
    uint64_t expires_wall_ms; /* the earliest of the first */
    bool is_removed;          /* none is live, but some were taken out: the overlay exists */
    uint32_t refused;
};

/** Our own entry: what it is to be, and what the ring has of it. */
struct directory_own {
    bool is_wanted;
    char uri[SIP_URI_BYTES];
    bool is_stored;
    bool is_ever_stored;
    bool is_storing;
    uint32_t token;
    uint64_t sent_ms;
    uint64_t at_ms;   /* next store; MOMENT_NEVER */
    uint64_t gone_ms; /* when the last stored value has expired by itself */
    uint32_t backoff_ms;
    bool is_looking; /* is it still there? */
    uint32_t look_token;
    uint64_t look_sent_ms;
    uint64_t look_at_ms;
};

struct directory_own_read {
    struct directory_term done;
    uint32_t token;
    uint64_t sent_ms;
    bool is_used;
};

struct directory {
    struct directory_conf conf;
    struct directory_env env;
    struct directory_counters counters;
    char own_aor[DIRECTORY_AOR_BYTES];
    bool is_ring_up;
    bool is_ring_alone;       /* though others are configured */
    uint64_t ring_changed_ms; /* what was not there before may be there now */
    struct near near;
    uint32_t next_token;

    struct map *names;
    struct list_node recent;   /* names, the last asked for first */
    struct list_node fetching; /* names */
    struct list_node waiting;  /* lookups, for fetches */
    struct list_node again;    /* lookups that a young ring had nothing for, the next first */
    size_t again_count;        /* names that they look for */
    struct list_node tracing;  /* lookups, for their hops; in the order they began */
    struct list_node ready;    /* lookups with their answer */
    size_t lookup_count;
    bool is_delivering;

    struct directory_own own;
    struct directory_own_read own_read[DIRECTORY_OWN_READS_MAX];
    struct {
        struct id node;
        uint64_t until_ms;
    } forgotten[DIRECTORY_FORGOTTEN_MAX];
    unsigned forgotten_next;
};

uint32_t directory_token(struct directory *d);
bool directory_is_forgotten(const struct directory *d, uint64_t now_ms, const struct id *gateway);

/* ---- domain.c -------------------------------------------------------------------------------- */
#define DOMAIN_BYTES 256
/** domain_read - lower case, without a final dot; ST_NOT_FOUND for an address, which is in no
 * overlay; ST_MALFORMED. */
NODISCARD enum status domain_read(const char *domain, char ret[DOMAIN_BYTES]);
/** domain_parent - without its first label; NULL if it has no other. */
const char *domain_parent(const char *domain);
size_t domain_labels(const char *domain);

/* ---- entry.c --------------------------------------------------------------------------------- */
/** entry_pick - the live entries of the highest term under @overlay, by priority. @skip may be
 * NULL: entries of that node are left out. @wants_gone: those count, too, that have no lifetime
 * left because their signer is gone. */
void entry_pick(const struct directory *d, struct moment now, const char *overlay,
                const struct peer_datum *datum, size_t count, const struct id *skip,
                bool wants_gone, struct directory_entries *ret);
/** entry_uri - the URI as it is stored; ST_TOO_LARGE. */
NODISCARD enum status entry_uri(const char *base, uint32_t term, uint16_t priority, uint16_t weight,
                                char ret_uri[SIP_URI_BYTES]);

/* ---- publish.c ------------------------------------------------------------------------------- */
void publish_run(struct directory *d, struct moment now);
bool publish_on_fetched(struct directory *d, struct moment now, uint32_t token, enum status st,
                        const struct peer_datum *value, size_t count);
uint64_t publish_deadline_ms(const struct directory *d);

/** directory_doubt_absent - what the ring did not have is to be asked for again. */
void directory_doubt_absent(struct directory *d, struct moment now);

#endif
