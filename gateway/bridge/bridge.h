/**
 * DOC: the bridge between the two threads
 *
 *    SIP thread  -- bridge_post_overlay: locked queue + eventfd -->  overlay thread
 *    (su_root)   <-- bridge_post_sip: su_msg_send -----------------  (libevent)
 *
 * Only messages cross; nothing is shared.  A message is one struct on the heap, owned by whoever
 * holds it: posting gives it away, the receiver frees it with bridge_free().  Questions carry a
 * token that comes back with the answer.  The SIP thread asks the overlay at most once a call; warm
 * answers come from its own cache (bridge answers carry a lifetime).
 */
#ifndef GATEWAY_BRIDGE_BRIDGE_H
#define GATEWAY_BRIDGE_BRIDGE_H

#include "base/list.h"
#include "base/status.h"
#include "peer-protocol/message/binding.h"
#include "peer-protocol/message/private.h"

#define BRIDGE_GATEWAYS_MAX 8
#define BRIDGE_BINDINGS_MAX 8

enum bridge_type {
    /* SIP -> overlay */
    BRIDGE_LOOKUP,  /* who serves this AOR? -> BRIDGE_BINDINGS */
    BRIDGE_BIND,    /* store (or, without contacts, remove) our binding -> BRIDGE_BOUND */
    BRIDGE_RESOLVE, /* gateways of a foreign domain (only a gateway asks) -> BRIDGE_ROUTES */
    BRIDGE_JUDGE,   /* whose is this domain inside our name? -> BRIDGE_JUDGED */
    BRIDGE_FORGET,  /* this far gateway did not answer: forget it, next time fetch past the cache */
    BRIDGE_LOCATE,  /* our gateway did not answer: read its record again and again until it changes
                       -> BRIDGE_GATEWAY unasked; in the end, with the token, ST_TIMEOUT */
    BRIDGE_OVERDUE, /* a request has waited for our gateway @node for @waiting_ms without a word */
    BRIDGE_REPORT,  /* answer to BRIDGE_QUERY */
    BRIDGE_LOAD,    /* calls up and registrations, once a second: for the score, and slow HELLOs */
    BRIDGE_CONFIRM, /* the thread had been stopped: is this node still the gateway?
                       -> BRIDGE_CONFIRMED, behind whatever has changed */
    BRIDGE_CALLS,   /* these calls of a gateway changed; without record, they are over */
    /* overlay -> SIP */
    BRIDGE_BINDINGS,
    BRIDGE_BOUND,
    BRIDGE_ROUTES,
    BRIDGE_JUDGED,
    BRIDGE_NAMES,   /* all names of other overlays inside ours, at each change */
    BRIDGE_GATEWAY, /* also unasked, at each change of the active set */
    BRIDGE_NOBODY,  /* token 1: no node of the overlay can be gateway; 0: that is over */
    BRIDGE_QUERY,   /* the control socket wants registrations or calls */
    BRIDGE_REREAD,  /* the lists of revoked certificates were read again */
    BRIDGE_STOP,    /* drain or leave: refuse new calls and registrations with 503 */
    BRIDGE_CONFIRMED,
    BRIDGE_JOINED,  /* the node became a member of its overlay: it can store */
    BRIDGE_LOST,    /* the local overlay lost this member, @node, as seen from here */
    BRIDGE_ADOPT,   /* these calls of another gateway, @node, are ours from now on */
    BRIDGE_COPIED,  /* the first standby has these calls of ours, if there is one */
    BRIDGE_RELEASE, /* these calls of ours are another gateway's: forget them without a word */
};

struct bridge_gateway {
    struct id node;
    char uri[SIP_URI_BYTES]; /* local: peer-listen; foreign: gateway-listen */
    uint32_t term;
    uint16_t priority;
    uint16_t weight;
    bool is_self;
};

/** Its texts lie in the message's bytes. */
struct bridge_registration {
    const char *aor;
    const char *contact;
    const char *path;
    uint32_t expires_s;
};

struct bridge_call {
    char id[64];
    char from[AOR_BYTES];
    char to[AOR_BYTES];
    char state[16]; /* "trying", "early", "confirmed", "ending" */
    uint64_t since_wall_ms;
    bool is_adopted;    /* another gateway set it up */
    bool is_told;       /* both ends know where this gateway is */
    bool is_replicated; /* the standbys have, or get, its record */
};

/** One call for the standbys (gateway/replica/): what the record says is the SIP side's secret. */
struct bridge_record {
    char token[64];
    size_t record_len; /* 0: the call is over (CALLS); always in RELEASE */
    size_t record_at;  /* in the message's @bytes */
    bool is_awaited;   /* CALLS: COPIED is to follow */
};

/** What the SIP side has counted since the daemon's start. */
#define BRIDGE_SIDES 3 /* phones, peers, gateways: in the order of enum sip_side */

struct bridge_counters {
    uint64_t connections[BRIDGE_SIDES]; /* that others made and that are up */
    uint64_t connections_refused[BRIDGE_SIDES];
    uint64_t responses_lost;      /* that could not be sent */
    uint64_t phones_cancelled;    /* in place of their serving peer, which was lost */
    uint64_t phones_left_ringing; /* as that was */
    uint64_t finished;            /* now: transactions remembered for retransmissions */
    uint64_t unacknowledged;      /* now: finals of INVITEs that wait for their ACK */
    uint64_t unanswerable;        /* requests discarded, as no response could reach their sender */
    uint64_t not_replicated;      /* now: calls whose record is too large for the standbys */
};

enum bridge_query { BRIDGE_QUERY_REGISTRATIONS, BRIDGE_QUERY_CALLS };

struct bridge_message {
    struct list_node link; /* for queues */
    enum bridge_type type;
    uint64_t token;
    enum status status;
    char name[AOR_BYTES]; /* LOOKUP, BINDINGS: AOR; RESOLVE, ROUTES, JUDGE, JUDGED: domain asked;
                             FORGET: overlay */
    char overlay[OVERLAY_NAME_BYTES]; /* ROUTES, JUDGED: the overlay that was found */
    enum names_verdict verdict;       /* JUDGED */
    struct id node; /* FORGET: the gateway that failed; ADOPT: former owner; BOUND: who stored it;
                       LOST; OVERDUE */
    uint32_t lifetime_ms; /* BINDINGS, ROUTES: how long it may be cached; JUDGE: patience */
    uint32_t waiting_ms;  /* OVERDUE */
    bool is_past_cache;   /* LOOKUP, RESOLVE: do not answer from a cache */
    bool is_young;      /* BINDINGS: the overlay came up moments ago, and may not have all again */
    bool is_moved;      /* ADOPT: the owner lives and gave them away */
    size_t count;       /* of what @data holds */
    size_t other_count; /* ROUTES: the last so many are of lower terms (struct directory_answer) */
    union {
        struct binding_record **binding;          /* BIND: 1; BINDINGS: count; the message's own */
        struct bridge_gateway *gateway;           /* ROUTES, GATEWAY: count */
        struct bridge_registration *registration; /* REPORT */
        struct bridge_call *call;                 /* REPORT */
        char (*foreign)[OVERLAY_NAME_BYTES];      /* NAMES: count */
        struct bridge_record *record;             /* CALLS, ADOPT, COPIED, RELEASE: count */
        void *data;                               /* freed with the message */
    };
    bool has_naming_key; /* GATEWAY: this node is one, and names calls with @naming_key */
    uint8_t naming_key[NAMING_KEY_BYTES];
    enum bridge_query query;         /* QUERY, REPORT */
    uint32_t calls;                  /* LOAD */
    uint32_t registrations;          /* LOAD */
    uint32_t requests;               /* LOAD: sent to our gateway since the last one */
    struct bridge_counters counters; /* LOAD */
    unsigned char *bytes; /* CALLS, ADOPT: all records' bytes, REPORT: texts; malloc'ed, freed with
                             the message */
    size_t bytes_len;
};

/** bridge_new - an empty message; @count elements of @element_bytes are zeroed behind data. */
struct bridge_message *bridge_new(enum bridge_type type, uint64_t token, size_t count,
                                  size_t element_bytes);
void bridge_free(struct bridge_message *m);

/** bridge_record_bytes - the record of entry @i; borrowed.  Empty: none, or one that would reach
 *  beyond the message's bytes. */
struct slice bridge_record_bytes(const struct bridge_message *m, size_t i);

/** What a SIP thread is given to talk upwards; thread-safe, takes the message. */
struct bridge_upward {
    void *ctx;
    void (*post)(void *ctx, struct bridge_message *m);
};

#endif
