/**
 * DOC: one Ringway node without I/O
 *
 *         local peer (local-overlays/)   ring peer (local-overlays/, chord)
 *                      \                        /
 *                       election (election/) --+-- directory (global-overlay/)
 *                                |
 *                  replica of calls (gateway/replica/)
 *
 * Ties the sans-I/O parts together: what election asks for becomes requests, records and aims of
 * the two peers; what the peers hear becomes events of the election; AORs and domains are looked up
 * through it.  The daemon drives it with libevent, a simulation with a virtual clock.
 *
 * Left out on purpose: SIP.  The SIP thread asks through the daemon (gateway/bridge/).
 */
#ifndef GATEWAY_NODE_NODE_H
#define GATEWAY_NODE_NODE_H

#include "election/election.h"
#include "gateway/replica/replica.h"
#include "global-overlay/directory.h"
#include "global-overlay/nested.h"
#include "local-overlays/peer.h"
#include "peer-protocol/message/binding.h"

struct node;

enum node_overlay { NODE_LOCAL, NODE_GLOBAL, NODE_OVERLAYS };

struct node_conf {
    struct peer_conf local;
    bool has_global;
    struct peer_conf global;
    struct election_conf election;
    struct replica_conf replica;         /* self is filled in here */
    char peer_sip_uri[SIP_URI_BYTES];    /* our peer-listen, "sip:127.1.0.1:5062;transport=tls" */
    char gateway_sip_uri[SIP_URI_BYTES]; /* our gateway-listen, without term and weights */
    struct slice certificate;            /* global, DER; borrowed for the node's life */
    const char (*foreign)[256];          /* names inside ours that are others' for ever;
                                                           borrowed for node_new() */
    size_t foreign_count;
};

struct node_env {
    void *ctx;
    bool (*send)(void *ctx, enum node_overlay which, const struct id *to, struct slice message);
    void (*connect)(void *ctx, enum node_overlay which, const char *address,
                    const struct id *expected);
    void (*disconnect)(void *ctx, enum node_overlay which, const struct id *node);
    const char *(*link_user)(void *ctx, enum node_overlay which, const struct id *node);
    /** signs - of a link in the local overlay, as election.h has it; may be NULL */
    bool (*signs)(void *ctx, const struct id *node, struct election_signs *ret);
    uint64_t (*random)(void *ctx);
    struct keys keys[NODE_OVERLAYS];
    bool links_show_certificates; /* as peer.h has it */
    /** check_gateway - is @der a certificate of the global authority? Says whose. */
    enum status (*check_gateway)(void *ctx, struct slice der, uint64_t at_wall_ms,
                                 struct signer *ret, struct why *why);
    /** on_gateways - the active set of our overlay changed, as this node knows it. */
    void (*on_gateways)(void *ctx, const struct election_gateway *gateway, size_t count);
    /** on_trouble - what keeps calls in the overlay is another thing, or over.  May be NULL. */
    void (*on_trouble)(void *ctx, enum election_trouble trouble);
    /** on_lost - a member of the local overlay that had a link with us went.  May be NULL. */
    void (*on_lost)(void *ctx, const struct id *node);
    /** adopt, released - as replica.h has it; never called without a global overlay. */
    void (*adopt)(void *ctx, const struct id *owner, bool is_moved, const struct replica_call *call,
                  size_t count);
    void (*released)(void *ctx, const struct replica_call *call, size_t count);
    /** copied - as struct replica_env; may be NULL */
    void (*copied)(void *ctx, const struct replica_call *call, size_t count);
    /** on_history - the role changed, or a step of the last change is over.  May be NULL. */
    void (*on_history)(void *ctx, const struct election_transition *t);
    /** on_names - the foreign names of node_nested() changed, or (!@is_set) only when one was seen
     * last.  May be NULL. */
    void (*on_names)(void *ctx, bool is_set);
    /** on_state - an overlay's state, the role or the term changed (status, readiness). */
    void (*on_state)(void *ctx);
    /** on_left - node_leave() has ended: all is handed over. */
    void (*on_left)(void *ctx);
    struct log_to log;
};

NODISCARD enum status node_new(const struct node_conf *conf, const struct node_env *env,
                               struct moment now, struct node **ret_node, struct why *why);
void node_free(struct node *n);

/** node_start - join the local overlay; the rest follows. */
void node_start(struct node *n, struct moment now);

/** node_leave - hand over, move the calls, leave both overlays, then env.on_left. */
void node_leave(struct node *n, struct moment now);

/** node_drain - hand the gateway over and be no candidate any more, but stay in the overlay.
 *  There is no way back but a new start. */
void node_drain(struct node *n, struct moment now);

/** How a node_confirm() ended: whatever had changed has been told before. */
struct node_confirmed {
    void (*done)(void *ctx);
    void *ctx;
};
/**
 * node_confirm - this process was stopped: ask its standbys whether the gateway it takes itself
 * for has been replaced meanwhile, and if one of them says so the one that has, and the record
 * @done: called once: within 2.5 s where nobody answers, within 8 s where another is heard of, and
 * where it has been replaced not before its calls are moved, or 1.5 s are over;
 * not for a question that a later one comes after
 */
void node_confirm(struct node *n, struct moment now, const struct node_confirmed *done);

struct peer *node_peer(struct node *n, enum node_overlay which); /* NULL without that overlay */
struct election *node_election(struct node *n);

/** Links, reported by the shell; the peer_on_* of peer.h with the overlay in front. */
void node_on_link_up(struct node *n, struct moment now, enum node_overlay which,
                     const struct id *id, const char *address);
void node_on_link_suspect(struct node *n, struct moment now, enum node_overlay which,
                          const struct id *id, bool is_suspect);
void node_on_link_rival(struct node *n, struct moment now, enum node_overlay which,
                        const struct id *id);
void node_on_link_down(struct node *n, struct moment now, enum node_overlay which,
                       const struct id *id, bool is_broken, const char *reason);
void node_on_connect_failed(struct node *n, struct moment now, enum node_overlay which,
                            const char *address, const struct id *expected, const char *reason);
void node_on_message(struct node *n, struct moment now, enum node_overlay which,
                     const struct id *from, struct slice message);

/** node_certificate - what the certificates of this node are worth now: the worst of both.  @of:
 * the overlay that it is of. */
void node_certificate(struct node *n, struct moment now, enum election_certificate state,
                      const char *of);
/** node_renewed - this node has a new certificate in an overlay; @certificate (DER, borrowed for
 * the node's life) is the global one. */
void node_renewed(struct node *n, struct moment now, enum node_overlay which,
                  struct slice certificate);

/** node_measure - what the shell measured of this machine, about once a second. */
void node_measure(struct node *n, struct moment now, const struct election_load *load);

void node_tick(struct node *n, struct moment now);
uint64_t node_deadline_ms(const struct node *n);

/** node_lookup - the bindings of a local AOR; @done gets the values of KIND_BINDING. */
void node_lookup(struct node *n, struct moment now, const char *aor,
                 const struct peer_fetched *done);

/** node_bind - store this node's binding of an AOR; without contacts, note its removal. */
void node_bind(struct node *n, struct moment now, const struct binding_record *binding,
               const struct peer_reply *done);

/** node_resolve - the gateways of a foreign domain.  On a ring member or client from the ring and
 * its cache; on another node by asking the gateway (RESOLVE).  @wants_hops: trace the way too. */
void node_resolve(struct node *n, struct moment now, const char *domain, bool is_past_cache,
                  bool wants_hops, const struct directory_resolved *done);

/** node_judge - is a domain inside our overlay's name ours, or another overlay's?  As
 * nested_judge().
 */
void node_judge(struct node *n, struct moment now, const char *domain, uint32_t patience_ms,
                const struct nested_judged *done);
/** node_nested - what this node knows of names inside ours: to be read, and to be told (with
 * nested_hear()) what it knew before its start. */
struct nested *node_nested(struct node *n);

/** node_forget - a far gateway could not be reached. */
void node_forget(struct node *n, struct moment now, const char *overlay, const struct id *gateway);

/** node_on_calls - the SIP side tells which of its calls changed; see replica_on_calls(). */
void node_on_calls(struct node *n, struct moment now, const struct replica_call *call,
                   size_t count);

/** node_replica_report - false without a global overlay: such a node copies nothing. */
bool node_replica_report(const struct node *n, struct moment now, struct replica_report *ret);

/** node_ring_health - what this node has of the ring: of the members that it asks in turn. */
struct ring_health node_ring_health(const struct node *n, struct moment now);
/** node_is_published - does the ring hold this gateway's entry, for others to read? */
bool node_is_published(const struct node *n);

/** node_naming_key - what the gateways of our overlay name their calls with; borrowed.  A secret of
 * theirs: it goes to the SIP side, and nowhere else.  on_gateways follows a change of it where this
 * node is gateway. */
const uint8_t *node_naming_key(const struct node *n);

/** node_locate - read the record of our own gateway again; on_gateways follows a change. */
void node_locate(struct node *n, struct moment now);

/** node_doubt - a request has waited for our gateway @id so long, and nothing came from it since.
 */
void node_doubt(struct node *n, struct moment now, const struct id *id, uint32_t waiting_ms);

#endif
