/**
 * DOC: the topology plug-in contract
 *
 *    OUT --join()--> JOINING --env.joined()--> IN --leave()--> OUT
 *
 * A plug-in is one folder under local-overlays/ that defines one const struct topology_ops and
 * nothing else with external linkage; one line in local-overlays/plugins.c builds it in.  It is
 * sans-I/O: it owns no socket, thread, clock or random source.  It decides who is responsible for
 * an ID, where a message for an ID goes next, and who the neighbours are; the peer (peer.h) that
 * hosts it sends, routes, signs, stores and copies records.
 *
 * Rules that the contract suite (tests/contract/) holds every plug-in to:
 *  - exactly one member is responsible for each ID once the overlay is quiet;
 *  - next_hop never names this node, never a node that is not usable, and never loops when quiet;
 *  - a Node-ID that is directly connected is its own next hop;
 *  - replica_set names live neighbours that would become responsible next, nearest first;
 *  - env.changed(TOPOLOGY_RESPONSIBILITY) follows each change of what this node or its replicas
 * hold.
 *
 * Source: RFC 6940 section 6.4.1 says what a plug-in has to define.
 */
#ifndef LOCAL_OVERLAYS_TOPOLOGY_H
#define LOCAL_OVERLAYS_TOPOLOGY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/id.h"
#include "base/log.h"
#include "base/moment.h"
#include "base/status.h"
#include "peer-protocol/message/message.h"

#define TOPOLOGY_ABI             1
#define TOPOLOGY_TARGET_MAX      4
#define TOPOLOGY_PARAMETER_BYTES 64

/** Where a plug-in's request goes: a source route; the last entry is the target. */
struct topology_target {
    size_t count;
    struct destination to[TOPOLOGY_TARGET_MAX];
};

enum topology_change {
    TOPOLOGY_NEIGHBOURS = 1,     /* the dump would read differently */
    TOPOLOGY_RESPONSIBILITY = 2, /* records may belong elsewhere now, or have other replicas */
};

/** What a plug-in asks of its host.  No callback calls back into the plug-in. */
struct topology_env {
    void *ctx;

    /**
     * attach - have a direct link with whoever is @to (RFC 6940 section 6.5.1)
     * The host sends an Attach along the source route, builds the link and calls on_attach with
     * @token, in a later step.  If the link is there already, on_attach follows all the same.
     * @send_update: ask the other side to send an Update once the link is up
     */
    void (*attach)(void *ctx, uint32_t token, const struct topology_target *to, bool send_update);

    /** detach - this plug-in no longer needs the link with @node. */
    void (*detach)(void *ctx, const struct id *node);

    /** request - send one of Join, Leave, Update, RouteQuery, Ping, Probe; on_answer follows. */
    void (*request)(void *ctx, uint32_t token, const struct topology_target *to, uint16_t code,
                    struct slice body);

    /** is_usable - is there a link with @node that is up and not suspect? */
    bool (*is_usable)(void *ctx, const struct id *node);

    /** offer - store at @node, a joining or reappearing neighbour, the records that have become its
     *  own; on_offered follows with @token when all was acknowledged or has failed. */
    void (*offer)(void *ctx, uint32_t token, const struct id *node);

    void (*joined)(void *ctx);                                          /* JOINING -> IN */
    void (*join_failed)(void *ctx, enum status st, const char *reason); /* JOINING -> OUT */
    void (*changed)(void *ctx, unsigned changes); /* or of enum topology_change */
    uint64_t (*random)(void *ctx);
    struct log_to log;
};

struct topology_conf {
    struct id self;
    char parameters[TOPOLOGY_PARAMETER_BYTES]; /* plug-in options, as in its configuration; "" for
                                                  defaults */
    uint32_t update_ms;     /* period of stabilisation; 0: the plug-in's default */
    uint32_t replica_count; /* how many replicas the overlay keeps, default 2 */
};

/** A request for the plug-in that arrived for this node, verified. */
struct topology_request {
    struct id from; /* the signer's Node-ID */
    uint16_t code;  /* Join, Leave, Update, RouteQuery */
    struct slice body;
    bool is_for_resource; /* RouteQuery and Join are routed to an ID: we answered for it */
};

/** One line of a dump. */
struct topology_dump {
    const char *table; /* "predecessor", "successor", "finger", "leaf", "row", "zone", ... */
    unsigned index;
    struct id node;
    char note[64]; /* "" or what the table adds: a zone's bounds, a row and column */
};

struct topology_ops {
    const char *name; /* configuration keyword: [a-z0-9-], at most 15 bytes */
    uint32_t abi;     /* TOPOLOGY_ABI it was built against */
    size_t state_bytes;

    /**
     * create - make ready in @state (zeroed memory of state_bytes), OUT of the overlay
     * @env: copied; valid until destroy
     * Returns: ST_OK; ST_NOMEM; ST_RANGE with the cause for parameters it does not understand.
     */
    enum status (*create)(void *state, const struct topology_conf *conf,
                          const struct topology_env *env, struct why *why);
    void (*destroy)(void *state);

    /** form - become the overlay's first and only member; env.joined() before the return. */
    void (*form)(void *state, struct moment now);

    /** join - join through @informant, a member with which a link is up. */
    void (*join)(void *state, struct moment now, const struct id *informant);

    /** leave - tell the neighbours (Leave), forget everything; OUT on return.  The host has offered
     *  the records to the replica set before. */
    void (*leave)(void *state, struct moment now);

    /**
     * next_hop - where does a message for @id go next?
     * @is_node:  @id is a Node-ID: only that node itself may take it
     * Returns: ST_OK with @ret_next, a directly connected usable node; ST_EXISTS when it ends here
     * (responsible, or @id is this node); ST_UNREACHABLE when nobody can be asked.
     */
    enum status (*next_hop)(const void *state, const struct id *id, bool is_node,
                            struct id *ret_next);

    /** is_responsible - is this node responsible for @id now? False while OUT. */
    bool (*is_responsible)(const void *state, const struct id *id);

    /** replica_set - up to @cap live nodes that hold copies of what this node has under @id. */
    size_t (*replica_set)(const void *state, const struct id *id, struct id *ret_node, size_t cap);

    /** responsible_hint - among the nodes this one knows (itself included), who is responsible for
     *  @id?  A joiner counts from the moment it is offered its records (env.offer), before it is a
     *  member.  Used to re-offer a record after a change; false if it cannot be told. */
    bool (*responsible_hint)(const void *state, const struct id *id, struct id *ret_node);

    /**
     * on_request - a topology request of another node
     * @ret_body: the answer's body, written for ST_OK
     * Returns: ST_OK; any other is answered as error_code_of() says, with @why's text as info.
     */
    enum status (*on_request)(void *state, struct moment now, const struct topology_request *req,
                              struct writer *ret_body, struct why *why);

    /** on_answer - the answer to env.request; @st is not ST_OK for an error, a time-out, a failure.
     */
    void (*on_answer)(void *state, struct moment now, uint32_t token, enum status st,
                      const struct id *from, struct slice body);

    /** on_attach - the end of env.attach; @node is set with ST_OK only. */
    void (*on_attach)(void *state, struct moment now, uint32_t token, enum status st,
                      const struct id *node);
    void (*on_offered)(void *state, struct moment now, uint32_t token, enum status st);

    /** on_linked - another member attached to us and asks for an Update if @wants_update. */
    void (*on_linked)(void *state, struct moment now, const struct id *node, bool wants_update);

    /** on_suspect - the link with @node became suspect, or is well again. */
    void (*on_suspect)(void *state, struct moment now, const struct id *node, bool is_suspect);

    /** neighbour_lost - the link with @node is gone. */
    void (*neighbour_lost)(void *state, struct moment now, const struct id *node);

    uint64_t (*deadline_ms)(const void *state);
    void (*tick)(void *state, struct moment now);

    /** dump - @visit each entry of each table, in order. */
    void (*dump)(const void *state, void (*visit)(void *ctx, const struct topology_dump *line),
                 void *ctx);

    /** neighbour_count - distinct nodes in its tables. */
    size_t (*neighbour_count)(const void *state);
};

/** topology_find - a built-in plug-in by name; NULL if there is none. */
const struct topology_ops *topology_find(const char *name);

/** topology_lists - is @node in one of the tables that the plug-in's dump shows? */
bool topology_lists(const struct topology_ops *ops, const void *state, const struct id *node);

/** topology_each - the built-in plug-ins in order; NULL after the last. */
const struct topology_ops *topology_each(size_t index);

#endif
