/**
 * DOC: a peer: one node's membership in one overlay, sans-I/O
 *
 *             aim(CLIENT|MEMBER)                       nobody answers: form
 *    DOWN ----------------------> JOINING ------------------------------> ALONE
 *     ^                              | joined                               | another member
 *     |                              v                                      v
 *     +--------- LEAVING <--------- JOINED <-------------------------------+
 *                   aim(NOTHING|CLIENT)
 *
 * A peer ties together the routing core and transactions (peer-protocol/routing/), storage
 * (peer-protocol/storage/) and a topology plug-in.  The local overlay and the global ring are both
 * peers.  A peer that aims at CLIENT does not join: it keeps links with up to two members and sends
 * its requests through them (RFC 6940 section 3.2.1); its state is then JOINED as soon as one of
 * them is up, with peer_is_member() false.
 *
 * It owns deadlines, not timers: the shell arms one timer for peer_deadline_ms().  It owns no link:
 * env.connect, env.send and env.disconnect ask for what they say, and the shell reports through
 * peer_on_*.  An effect never calls back into the peer that asked for it.  Completions (peer_reply,
 * peer_fetched, ...) and on_request run when the peer has settled: they may call the peer.  They
 * run in peer_on_* and peer_tick() alone: who aims, watches, stores, fetches, asks or answers hears
 * nothing before the return, so that a machine above may do so in the middle of a step.
 *
 * Starting, partitions and bootstrap follow the design's rules: all bootstrap entries in parallel
 * with back-off from 200 ms to 30 s; In_Progress names the answerer, and the lowest Node-ID among
 * those that want membership forms the overlay; nobody for bootstrap_wait_ms (fifteen times that
 * while a link is up with one that does not answer): form it, ALONE; every 30 s (5 s while ALONE) a
 * Ping for the own ID through each bootstrap entry, and if it ends elsewhere the overlay whose
 * lowest Node-ID is higher joins the other, node by node, and re-offers its records.
 *
 * Source: RFC 6940 sections 3, 6, 7, 10; docs/protocol.md for the deviations.
 */
#ifndef LOCAL_OVERLAYS_PEER_H
#define LOCAL_OVERLAYS_PEER_H

#include "base/log.h"
#include "base/moment.h"
#include "local-overlays/topology.h"
#include "peer-protocol/message/kind.h"
#include "peer-protocol/message/private.h"
#include "peer-protocol/message/security.h"

struct peer;

enum peer_state { PEER_DOWN, PEER_JOINING, PEER_JOINED, PEER_ALONE, PEER_LEAVING };
/** peer_state_name - "down", "joining", "joined", "alone", "leaving". */
const char *peer_state_name(enum peer_state state);

enum peer_aim { PEER_AIM_NOTHING, PEER_AIM_CLIENT, PEER_AIM_MEMBER };

#define PEER_BOOTSTRAP_MAX 64

struct peer_conf {
    char overlay[OVERLAY_NAME_BYTES]; /* "pastry", "p2psip.global" */
    struct node_ref self;             /* Node-ID, name, "IP:PORT" of its listening port */
    char address[NODE_ADDRESS_BYTES]; /* our Node-ID is its hash, as everybody's is of his; "": not
                                       */
    const struct topology_ops *topology;
    uint64_t topology_version; /* tells two objects of one name and ABI apart; 0: built in */
    char parameters[TOPOLOGY_PARAMETER_BYTES];
    char bootstrap[PEER_BOOTSTRAP_MAX][NODE_ADDRESS_BYTES]; /* "IP:PORT"; own address is skipped */
    size_t bootstrap_count;
    uint32_t bootstrap_wait_ms;       /* default 2000 */
    uint32_t reliability_ms;          /* overlay-reliability-timer, default 500 */
    uint32_t request_deadline_ms;     /* overall deadline of a request, default 3000 */
    uint32_t update_ms;               /* stabilisation period, 0: the plug-in's default */
    uint32_t replica_count;           /* default 2 */
    uint32_t partition_ping_ms;       /* default 30000 */
    uint32_t partition_ping_alone_ms; /* default 5000 */
    uint32_t signer_ping_ms;          /* who has stored a SIP-REGISTRATION here is pinged so often,
                                         and what it stored has no lifetime left for readers while
                                         it does not answer; default 0: not */
    size_t max_message_bytes;         /* default 65000 */
    enum kind_overlays kinds;         /* which kinds are stored here; default: all */
    size_t max_records;               /* values held, all kinds; default 200000 */
    size_t max_record_bytes;          /* of all values held; default 256 MiB */
    size_t max_transactions;          /* requests under way; default 4096 */
    uint32_t max_bad_signatures; /* over one link, then it is closed; default 3; 0: any number */
};
/** peer_conf_defaults - fill in every default; the caller sets overlay, self, topology, bootstrap.
 */
void peer_conf_defaults(struct peer_conf *conf);

/** A request for the upper layers (exp_a), verified, and its answer. */
struct peer_request {
    struct id from;
    struct signer signer;
    uint16_t subtype; /* enum private_subtype */
    struct slice body;
    uint64_t handle; /* for peer_answer() */
};

struct peer_env {
    void *ctx;
    /** send - give a whole message to the link with @to; false if there is none. */
    bool (*send)(void *ctx, const struct id *to, struct slice message);
    /** connect - open a link to "IP:PORT"; @expected may be NULL (bootstrap). */
    void (*connect)(void *ctx, const char *address, const struct id *expected);
    void (*disconnect)(void *ctx, const struct id *node);
    uint64_t (*random)(void *ctx);
    struct keys keys;
    /** A link comes up only after both ends have verified each other's certificate, and @keys
     *  remembers it: what goes straight to the other end need not bring ours once more. */
    bool links_show_certificates;
    /** link_user - the user name of the certificate of a link that is up, "" if none.  May be NULL.
     */
    const char *(*link_user)(void *ctx, const struct id *node);
    /** on_state - the state, or the number of neighbours, changed. */
    void (*on_state)(void *ctx, enum peer_state state, const char *reason);
    /** on_request - one of our private requests came for this node; answer by peer_answer(), at
     *  once or later.  NODE_INFO and GONE are answered by the peer itself. */
    void (*on_request)(void *ctx, struct moment now, const struct peer_request *req);
    /** on_link - a direct link with @node came up or went (for those who watch a neighbour).
     *  @is_given_up: it was closed by this node or the other, be it for silence: not reset, not
     *  refused */
    void (*on_link)(void *ctx, struct moment now, const struct id *node, bool is_up,
                    bool is_given_up);
    struct log_to log;
};

/**
 * peer_new - a peer, DOWN
 * @conf, @env: copied
 * Returns: ST_OK; ST_NOMEM; ST_RANGE with the cause.
 */
NODISCARD enum status peer_new(const struct peer_conf *conf, const struct peer_env *env,
                               struct moment now, struct peer **ret_peer, struct why *why);
/** peer_free - drop everything at once, as a crash would; completions run with ST_STATE. */
void peer_free(struct peer *p);

/** peer_aim - say what the peer is to be; it works towards it from then on, for ever. */
void peer_aim(struct peer *p, struct moment now, enum peer_aim aim);

/** peer_learn - more addresses to bootstrap from (ring neighbours a gateway told us of). */
void peer_learn(struct peer *p, struct moment now, const struct node_ref *ref);

/* ---- what the shell reports
 * ---------------------------------------------------------------------- */
/** peer_on_link_up - a link, authenticated as @node; @address is where it is reached if we opened
 *  it, else "". */
void peer_on_link_up(struct peer *p, struct moment now, const struct id *node, const char *address);
void peer_on_link_suspect(struct peer *p, struct moment now, const struct id *node,
                          bool is_suspect);
/** peer_on_link_rival - another with the same Node-ID was refused: is the one that has the link
 * there? */
void peer_on_link_rival(struct peer *p, struct moment now, const struct id *node);
/** peer_on_link_down - @is_broken: reset, or at its end without a word; false: one of its ends has
 *  closed it, be it for silence */
void peer_on_link_down(struct peer *p, struct moment now, const struct id *node, bool is_broken,
                       const char *reason);
void peer_on_connect_failed(struct peer *p, struct moment now, const char *address,
                            const struct id *expected, const char *reason);
/** peer_on_message - one RELOAD message (or fragment) from the link with @from. */
void peer_on_message(struct peer *p, struct moment now, const struct id *from,
                     struct slice message);
void peer_tick(struct peer *p, struct moment now);
uint64_t peer_deadline_ms(const struct peer *p);

/* ---- what the upper layers ask
 * ---------------------------------------------------------------------- */
/**
 * peer_reply - how a request ended
 * @st:   ST_OK; otherwise why not (error_code_status() of an error answer, ST_TIMEOUT, ...)
 * @from: who answered; valid with ST_OK and with an error answer
 * @body: the answer's private body, or an error's info; borrowed for the call
 */
struct peer_reply {
    void (*done)(void *ctx, struct moment now, enum status st, const struct signer *from,
                 struct slice body);
    void *ctx;
};

/**
 * peer_ask - send one of our private requests to a node
 * @deadline_ms: how long it may take in all (0: conf.request_deadline_ms)
 * Returns: nothing; @reply is called exactly once, never before the return.
 */
void peer_ask(struct peer *p, struct moment now, const struct id *node, uint16_t subtype,
              struct slice body, uint32_t deadline_ms, const struct peer_reply *reply);

/** peer_answer - answer a peer_request; @st other than ST_OK sends an error with @body as info. */
void peer_answer(struct peer *p, struct moment now, uint64_t handle, enum status st,
                 struct slice body);

/** peer_renewed - our certificate is another: it comes with all that goes over links that have
 * shown the former one. */
void peer_renewed(struct peer *p);

/** peer_watch - keep a direct link with @node (HELLO, failure detection); peer_unwatch lets it go.
 *  on_link reports it, a connection that fails as a link that went.
 *  @address: where it is tried first; "": only by way of the overlay */
void peer_watch(struct peer *p, struct moment now, const struct id *node, const char *address);
void peer_unwatch(struct peer *p, struct moment now, const struct id *node);

/** peer_declare_gone - the election knows that @node, of our own user, is dead: the link with it
 * ends, and the members around it hear of it now, not when their own links find out. */
void peer_declare_gone(struct peer *p, struct moment now, const struct id *node);

/** One value to be stored under H(@name): signed here, storage time now. */
struct peer_value {
    uint32_t kind;
    struct id key; /* dictionary key; our kinds are keyed by Node-ID */
    bool exists;   /* false removes it, and is kept for lifetime_s so that it is known as removed */
    uint32_t lifetime_s;
    struct slice value;
};
/** peer_store - @done's body is empty. Stored means: held by the responsible peer and its replicas.
 */
void peer_store(struct peer *p, struct moment now, const char *name, const struct peer_value *value,
                const struct peer_reply *done);

/** peer_seek - somebody needs the overlay that this node has lost: try now those whom it knows and
 * has no link with, where nothing has come back for some time; false: it knows nobody. */
bool peer_seek(struct peer *p, struct moment now);

/** One verified value of a fetch. */
struct peer_datum {
    struct signer signer;
    struct slice key;
    bool exists;
    uint64_t storage_time_ms;
    uint32_t lifetime_s;
    struct slice value;
};
/**
 * peer_fetched - how a fetch ended
 * @st: ST_OK with 0 or more data (values whose signature or writer does not fit are left out and
 *      logged); ST_TIMEOUT, ST_UNREACHABLE, ST_STATE otherwise
 */
struct peer_fetched {
    void (*done)(void *ctx, struct moment now, enum status st, const struct peer_datum *datum,
                 size_t count);
    void *ctx;
};
/** peer_fetch - all values of @kind under H(@name). */
void peer_fetch(struct peer *p, struct moment now, const char *name, uint32_t kind,
                const struct peer_fetched *done);

/** One hop of an iterative route: RouteQuery to each node in turn, NODE_INFO for address and RTT.
 */
struct peer_hop {
    struct node_ref ref;
    uint32_t rtt_us;
};
struct peer_traced {
    void (*done)(void *ctx, struct moment now, enum status st, const struct peer_hop *hop,
                 size_t count);
    void *ctx;
};
void peer_trace(struct peer *p, struct moment now, const char *name,
                const struct peer_traced *done);

/* ---- what may be looked at
 * -------------------------------------------------------------------------- */
struct peer_counters {
    uint64_t sent[0x30];      /* messages by code, errors at index 0 */
    uint64_t received[0x30];  /* those that ended here */
    uint64_t to_link[0x30];   /* given to a link: own ones, those sent again, those passed on */
    uint64_t from_link[0x30]; /* came from a link, whatever became of them */
    uint64_t forwarded;
    uint64_t refused; /* malformed, wrong overlay, bad signature, unknown link */
    uint64_t retransmitted;
    uint64_t timeouts;
    uint64_t strangers_copies; /* replica Stores by nodes that keep none of the resource */
};
enum peer_state peer_state(const struct peer *p);
bool peer_is_member(const struct peer *p);
size_t peer_neighbour_count(const struct peer *p);
/** peer_has_others - are there bootstrap entries besides our own address? */
bool peer_has_others(const struct peer *p);
/** peer_finds_no_member - a client, and nobody has a member to show: some bootstrap entries say
 * that they look for one, too, and the others refuse connections */
bool peer_finds_no_member(const struct peer *p);
/** peer_seek_members - this node needs a link with one more member: those whom it knows, and has
 * not asked for @pause_ms, are asked now whether they are one meanwhile. */
void peer_seek_members(struct peer *p, struct moment now, uint32_t pause_ms);

/** peer_meets_others - is there a link with a member of another part of this overlay, or is it
 * being joined?  A cut is over, and one of the two parts joins the other. */
bool peer_meets_others(const struct peer *p);
size_t peer_record_count(const struct peer *p);
size_t peer_record_bytes(const struct peer *p);

/** Why a value that others wanted stored here was not taken, or not as they wanted. */
enum peer_refusal {
    PEER_REFUSED_SHARE,     /* its signer has its share, or all is full */
    PEER_REFUSED_SIZE,      /* larger, or more, than its kind allows */
    PEER_REFUSED_PLACE,     /* a kind that does not belong there */
    PEER_REFUSED_TIME,      /* expired, or from the future */
    PEER_REFUSED_STRANGERS, /* a copy from a node that is no replica */
    PEER_REFUSED_LIFETIME,  /* taken, for a shorter time */
    PEER_REFUSALS,
};
uint64_t peer_values_refused(const struct peer *p, enum peer_refusal reason);
const struct peer_conf *peer_conf_of(const struct peer *p);
const struct peer_counters *peer_counters_of(const struct peer *p);
bool peer_is_responsible(const struct peer *p, const struct id *id);
void peer_dump(const struct peer *p, void (*visit)(void *ctx, const struct topology_dump *line),
               void *ctx);
/** peer_neighbours - up to @cap directly connected members with their addresses. */
size_t peer_neighbours(const struct peer *p, struct node_ref *ret_ref, size_t cap);
/** peer_linked_members - up to @cap of them, those too that opened their links and whose addresses
 * are not known. */
size_t peer_linked_members(const struct peer *p, struct id *ret, size_t cap);
/** peer_records - visit what this node holds (its own responsibility and replicas). */
struct peer_record_line {
    struct id resource;
    uint32_t kind;
    struct slice key;
    bool exists;
    bool is_replica;
    uint64_t expires_at_wall_ms;
    size_t value_bytes;
};
void peer_records(const struct peer *p,
                  void (*visit)(void *ctx, const struct peer_record_line *line), void *ctx);

#endif
