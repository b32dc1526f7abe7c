/**
 * DOC: what the files of a peer share
 *
 *   peer.c             life cycle, steps, state, what may be looked at
 *   peer_receive.c     messages in: forwarded, verified, carried out
 *   peer_forwarded.c   what was passed on, should the link prove dead
 *   peer_send.c        requests of our own
 *   peer_answer.c      answers of our own, at once or later
 *   peer_request.c     requests that ended here, by code; those of the upper layers
 *   peer_link.c        the connection table and next hops
 *   peer_topology.c    the plug-in's host: its callbacks, its requests
 *   peer_promise.c     what a plug-in has promised, and whether it keeps it
 *   peer_entry.c       whom to ask for the overlay
 *   peer_bootstrap.c   starting, clients
 *   peer_partition.c   two overlays of one name
 *   peer_attach.c      Attach, ours and others'
 *   peer_watch.c       watched neighbours
 *   peer_store.c       Store and Fetch of the upper layers
 *   peer_hold.c        Store, Fetch, Stat and Find of others
 *   peer_plausible.c   whose copies are taken
 *   peer_replica.c     copies of records: replicas, offers, hand-over
 *   peer_trace.c       iterative routes, NODE_INFO
 *   peer_signers.c     values whose signers are gone
 *   peer_gone.c        a member that is dead, told before the links find out
 *
 * A public function is one step: peer_enter(), work, peer_leave().  What must not run while a
 * plug-in or a table walk is on the stack is put off by peer_later() and runs before the outermost
 * step ends.
 */
#ifndef LOCAL_OVERLAYS_PEER_INTERNAL_H
#define LOCAL_OVERLAYS_PEER_INTERNAL_H

#include "base/list.h"
#include "base/map.h"
#include "local-overlays/peer.h"
#include "peer-protocol/routing/duplicates.h"
#include "peer-protocol/routing/envelope.h"
#include "peer-protocol/routing/replays.h"
#include "peer-protocol/routing/routing.h"
#include "peer-protocol/routing/transactions.h"
#include "peer-protocol/storage/storage.h"

#define PEER_CONFIGURATION_SEQUENCE 1 /* until there is a configuration document */

#define PEER_DUPLICATES_MAX        2048
#define PEER_SHUT_OUT_MAX          16 /* nodes, the last ones */
#define PEER_DUPLICATE_BYTES_MAX   (4u << 20)
#define PEER_ANSWERS_MAX           1024   /* requests that wait for our own answer */
#define PEER_CERTIFICATE_BYTES_MAX 60000u /* of others in one message, beside our own */
#define PEER_REASSEMBLY_MAX        256    /* messages of which fragments have come */
#define PEER_REASSEMBLY_LINK_MAX   16     /* of one link */
#define PEER_REASSEMBLY_BYTES_MAX  (32u << 20)
#define PEER_CONNECTING_MAX        128
#define PEER_COPIES_MAX            16 /* copies of records under way */
#define PEER_REPLICAS_MAX          4
#define PEER_WAITING_KINDS_MAX     4  /* records of one Store that are waited for */
#define PEER_LEARNED_MAX           32 /* bootstrap entries beyond the configured ones */
#define PEER_CLIENT_LINKS          2  /* members a client keeps links with */
#define PEER_CONNECT_MS            5000
#define PEER_SEEK_MS               500 /* without a response: one more connection */
#define PEER_BACKOFF_MIN_MS        200
#define PEER_BACKOFF_MAX_MS        30000
#define PEER_REMARK_MS             100 /* changes of responsibility are looked at together */
#define PEER_RETRY_COPY_MS         1000
#define PEER_ASK_OTHERS_MS         250 /* a look-up without response asks those next to the place */
#define PEER_RETRY_REFUSED_MS      60000 /* of copies for which there is no room; of others, at most */
#define PEER_HAND_OVER_MS          2500 /* leaving: until all records are elsewhere */
#define PEER_GOODBYE_MS            1000 /* and then until all know */
#define PEER_LINKS_LOOK_MS         1000
#define PEER_LINK_IDLE_MS          600000
#define PEER_FORWARDED_MAX         64
#define PEER_FORWARDED_BYTES_MAX   (256u << 10)
#define PEER_GONE_TOLD_MAX         64 /* members that are told of one death */
#define PEER_GONE_TELL_MS          1500
#define PEER_GONE_LATELY           4 /* deaths that members are told of whom this node meets... */
#define PEER_GONE_MET_MS           3000 /* ...within so long */

/** Something put off to the end of the step; the first member of what is put off. */
struct later {
    struct list_node at;
    void (*run)(struct peer *p, struct later *l); /* frees l */
};

/** One line of the connection table. */
struct link {
    struct list_node at;
    struct id node;
    char address[NODE_ADDRESS_BYTES]; /* where it listens; "" if not known */
    bool is_up;
    bool is_suspect;
    bool is_connecting;
    bool is_member;    /* of this overlay, as far as we know */
    bool has_attached; /* one end has asked for it by Attach, for its tables; stays true */
    bool is_announced; /* tell the plug-in (on_linked) once it is up */
    bool wants_update;
    bool is_asked;     /* peer_link_ask() has no answer yet */
    bool is_forgetful; /* what went straight to it found no answer: our certificate comes along */
    bool is_version_told; /* that it runs another version of the plug-in */
    bool is_user_known;
    struct id user;   /* H(user name) of what it has signed, with is_user_known */
    uint64_t used_ms; /* up: last message; connecting: since when */
    uint32_t bad_signatures;
};

enum entry_state { ENTRY_IDLE, ENTRY_CONNECTING, ENTRY_ASKING };
enum entry_heard { HEARD_NOTHING, HEARD_FAILURE, HEARD_IN_PROGRESS, HEARD_MEMBER };

/** Someone who may know the overlay: configured, learned, or met. */
struct entry {
    struct list_node at;
    char address[NODE_ADDRESS_BYTES]; /* "" for one that opened a link to us */
    struct id node;
    bool has_node;
    bool is_configured;
    bool wants_membership; /* with HEARD_IN_PROGRESS */
    bool is_elsewhere;     /* the last ping for our own ID ended at another node */
    uint64_t lone_ms;      /* since when it may be one that lost its overlay; 0: it is not */
    enum entry_state state;
    enum entry_heard heard;
    uint64_t heard_ms;
    uint64_t tried_ms; /* when it was asked last, or connected to */
    uint64_t next_ms;
    uint32_t backoff_ms;
};

#define PEER_REFUSED_MS 1000 /* a connection that fails in less was refused, or cut off */

struct watch {
    struct list_node at;
    struct id node;
    char address[NODE_ADDRESS_BYTES]; /* "": not known */
    bool is_tried;                    /* at its address, since the link was last up */
    bool is_attaching;
    uint64_t next_ms;
    uint32_t backoff_ms;
};

struct attach {
    struct list_node at;
    bool is_for_plugin;
    bool is_answered; /* the other side has agreed and will connect */
    uint32_t token;
    struct id node;
    uint64_t deadline_ms;
};

/** How to answer a request, now or later. */
struct answer_to {
    struct list_node at;
    uint64_t handle;
    struct id from; /* the signer */
    uint64_t transaction_id;
    uint32_t max_response_length;
    uint16_t code;             /* of the request */
    uint16_t subtype;          /* of a private one */
    bool is_remembered;        /* the answer is kept for retransmissions */
    bool is_familiar;          /* the request came without certificate: so may the answer go */
    uint64_t deadline_ms;      /* forgotten then */
    struct slice destinations; /* owned when put off, else borrowed */
    struct slice options;      /* the same */
};

/** A Store that waits for its replicas. */
struct waiting_store {
    struct list_node at;
    uint64_t handle;
    struct id resource;
    struct slice body; /* of the answer; owned */
    uint32_t kind[PEER_WAITING_KINDS_MAX];
    size_t kind_count;
    size_t needed; /* holders of each record */
    uint64_t deadline_ms;
};

/** Records on their way to one node, for the plug-in. */
struct offer {
    struct list_node at;
    uint32_t token;
    struct id node;
    struct offer_key {
        struct id resource;
        uint32_t kind;
    } * key;
    size_t count;
    size_t next;
    size_t under_way;
    enum status st;
};

/** What a plug-in broke first; noted even where the peer is only asked. */
struct promise {
    bool is_broken;
    bool is_told;
    char text[120];
};

struct peer {
    struct peer_conf conf;
    struct peer_env env;
    struct envelope envelope;
    struct moment now;
    unsigned depth;
    bool is_ending;
    struct list_node later;

    enum peer_state state;
    enum peer_aim aim;
    uint64_t since_ms; /* of state */
    uint64_t born_ms;
    bool is_stuck;          /* incompatible: wait for the next peer_aim() */
    size_t told_neighbours; /* by the last on_state */

    void *topology;
    struct promise *promise;
    struct signers *signers; /* of what is held; NULL where they are not pinged */
    bool is_engaged;         /* the plug-in forms, joins or is in */
    bool is_in;
    bool is_rejoining;        /* leaving for another overlay of the same name */
    struct id rejoin_through; /* with is_rejoining: a node of that other overlay */
    struct id informant;      /* whom we join through; zero when the overlay was formed here */

    struct {
        struct id node;
        uint64_t until_ms;
    } gone[PEER_GONE_LATELY]; /* declared so */
    size_t gone_next;

    struct list_node links;
    size_t links_connecting;
    uint64_t links_looked_ms; /* when unused ones were last looked for */
    struct map *link_by_id;
    struct list_node entries;
    struct list_node watches;
    struct list_node attaches;
    struct list_node answers;
    struct list_node waiting_stores;
    struct list_node fetches; /* of the upper layers, that have asked the responsible peer alone */
    struct list_node offers;
    struct transactions *transactions;
    struct duplicates *duplicates;
    uint32_t share_ppb; /* as last measured */
    uint64_t share_until_ms;
    struct replays *replays; /* made with the first private request */
    uint64_t sequence;       /* of our last private request */
    struct shut_out {
        struct id node;
        uint64_t until_ms;
    } shut_out[PEER_SHUT_OUT_MAX];
    unsigned shut_out_next;
    struct reassembly *reassembly; /* made with the first fragment */
    struct storage *storage;
    struct list_node forwarded; /* oldest first */
    size_t forwarded_count, forwarded_bytes;
    uint64_t forwarded_since_ms; /* of what is being passed on once more; else 0 */

    uint64_t last_handle;
    uint64_t last_storage_time_ms;
    uint64_t remark_ms;        /* when to look at all records again */
    uint64_t retry_refused_ms; /* how long after a copy was forbidden */
    uint64_t leave_ms;         /* LEAVING: when to go on at the latest */
    bool is_goodbye;           /* LEAVING: the plug-in has left, Leaves are under way */
    size_t copies;             /* under way */
    size_t plugin_requests;
    struct peer_counters counters;
};

/* ---- peer.c ---- */
void peer_enter(struct peer *p, struct moment now);
void peer_leave(struct peer *p);
/** peer_leave_asked - the end of whatever the upper layers ask for in the middle of a step of their
 * own: no completion, of this question or another, may come before its return, so what was put off
 * waits for the next step, which is due at once. */
void peer_leave_asked(struct peer *p);
void peer_later(struct peer *p, struct later *l);
void peer_become(struct peer *p, enum peer_state state, const char *reason);
void peer_tell_state(struct peer *p, const char *reason);
const struct topology_ops *peer_ops(const struct peer *p);
/** peer_copy_text - @text into a buffer, cut to what fits. */
void peer_copy_text(char *out, size_t out_bytes, const char *text);
struct id peer_hash(const struct peer *p, const char *name);

/* ---- peer_receive.c, peer_send.c, peer_answer.c, peer_request.c ---- */
/** peer_code_of - the code of a whole message or first fragment; MESSAGE_ERROR of any other. */
uint16_t peer_code_of(struct slice message);

/** peer_give_to_link - a whole message or a fragment to a link, counted; false without a link. */
bool peer_give_to_link(struct peer *p, const struct id *to, struct slice message);

/** peer_count - note a message by its code in one of the counters. */
void peer_count(uint64_t *counter, uint16_t code);
/** peer_refuse - note and log a message that breaks the rules. */
void peer_refuse(struct peer *p, const struct id *from, const char *what);
void peer_take_message(struct peer *p, const struct id *from, struct slice message);
/** peer_forwarded_keep - a request that came from @from, with the header @h, was passed on to @hop,
 *  or there was no way to pass it on (NULL). */
void peer_forwarded_keep(struct peer *p, const struct id *from, const struct id *hop,
                         const struct forwarding *h, struct slice message);
/** peer_forwarded_hop_lost - the link with @hop is in doubt, or gone: what went there lately goes
 *  again, and what found no way; when the plug-in has settled. */
void peer_forwarded_hop_lost(struct peer *p, const struct id *hop);
void peer_forwarded_expire(struct peer *p);
void peer_forwarded_free(struct peer *p);
void peer_send_to_self(struct peer *p, struct slice message);
bool peer_send_to(struct peer *p, const struct id *to, struct slice message);
/** peer_send_straight - to the node at the other end of the link, which knows our certificate: goes
 *  without it, if that is all its bucket holds. */
bool peer_send_straight(struct peer *p, const struct id *to, struct slice message);
/** peer_first_hop - the first hop for a message of our own; ST_EXISTS: it ends here. */
enum status peer_first_hop(struct peer *p, struct slice message, struct id *ret_next);

struct outgoing {
    const struct destination *to;
    size_t count;
    uint16_t code;
    struct slice body;
    struct slice extensions;
    struct slice certificates;
    uint32_t deadline_ms;  /* 0: conf.request_deadline_ms */
    bool is_any_responder; /* whoever it ends at */
    void (*done)(void *owner, void *ctx, struct moment now, const struct transaction_end *end);
    void *ctx;
};
/** peer_request - send a request; @done (owner is the peer) follows exactly once, later. */
void peer_request(struct peer *p, const struct outgoing *o);
void peer_request_node(struct peer *p, const struct id *node, struct outgoing *o);
/** peer_finish - run a transaction's done, out of the table already, and free it. */
void peer_finish(struct peer *p, struct transaction *tr, enum status st);
void peer_transmit(void *owner, struct transaction *tr);
void peer_expired(void *owner, struct transaction *tr);

void peer_reply_body(struct peer *p, const struct answer_to *a, struct slice body,
                     struct slice certificates);
void peer_reply_extended(struct peer *p, const struct answer_to *a, struct slice body,
                         struct slice extensions);
void peer_reply_error(struct peer *p, const struct answer_to *a, uint16_t code, struct slice info);
void peer_reply_text(struct peer *p, const struct answer_to *a, enum status st, const char *text);
/** peer_send_answer - contents and security block as they were sealed. */
void peer_send_answer(struct peer *p, const struct answer_to *a, struct slice sealed);
/** peer_put_off - keep @a to answer later; 0 when there are too many. */
uint64_t peer_put_off(struct peer *p, const struct answer_to *a);
struct answer_to *peer_answer_find(struct peer *p, uint64_t handle);
void peer_answer_free(struct answer_to *a);
void peer_answers_expire(struct peer *p);

/** A request that ended here, verified. */
struct incoming {
    const struct message *message;
    const struct id *link;
    const struct signer *signer;
    struct destination target;
    struct answer_to answer;
};
void peer_on_request(struct peer *p, struct incoming *in);

/* ---- peer_share.c ---- */
/** peer_share_ppb - the part of the overlay this node is responsible for, in parts per billion (RFC
 * 6940 section 6.4.2.5); at most 10 s old. */
uint32_t peer_share_ppb(struct peer *p);

/* ---- peer_trust.c ---- */
/** peer_bad_signature - @m came from @from and was refused with @st: too many end the link. */
void peer_bad_signature(struct peer *p, const struct id *from, const struct message *m,
                        enum status st);
/** peer_is_shut_out - its link was ended for that lately. */
bool peer_is_shut_out(const struct peer *p, const struct id *node);
/** peer_write_fresh - what binds a request to this moment and to @to. */
void peer_write_fresh(struct peer *p, const struct destination *to, struct writer *extensions);
/** peer_check_fresh - is a private request no replay?  ST_OK; ST_FORBIDDEN, ST_MALFORMED with the
 *  cause. */
enum status peer_check_fresh(struct peer *p, const struct incoming *in, struct why *why);
void peer_write_address(const struct peer *p, struct writer *extensions);
/** peer_is_address_of - is @address ("IP:PORT") that of @node, as its Node-ID shows?  True where
 *  Node-IDs are no hashes. */
bool peer_is_address_of(const struct peer *p, const struct id *node, const char *address,
                        struct slice extensions);

/* ---- peer_link.c ---- */
struct link *peer_link_find(const struct peer *p, const struct id *node);
/** peer_link_connect - open a link with @node at @address, unless it is up or under way. */
void peer_link_connect(struct peer *p, const struct id *node, const char *address);
struct link *peer_link_make(struct peer *p, const struct id *node);
void peer_link_drop(struct peer *p, struct link *l);
bool peer_link_is_up(const struct peer *p, const struct id *node);
bool peer_link_is_usable(const struct peer *p, const struct id *node);
enum status peer_next_hop(void *peer, const struct id *id, bool is_node, struct id *ret_next);
size_t peer_member_links(const struct peer *p);
void peer_disconnect(struct peer *p, const struct id *node);
void peer_disconnect_all(struct peer *p);
void peer_links_tick(struct peer *p);
/** peer_link_ask - send a Ping: a node that was switched off shows only when something is sent to
 *  it.  The link becomes suspect and goes as any does. */
void peer_link_ask(struct peer *p, struct link *l);
/** peer_link_end - close it, as if it had broken; what waited for it is due at once. */
void peer_link_end(struct peer *p, struct link *l, const char *reason);
/** peer_link_learn_user - a message of a linked node is verified: what user is it of? */
void peer_link_learn_user(struct peer *p, const struct signer *signer);
/** peer_link_answered - and what it has signed is an answer. */
void peer_link_answered(struct peer *p, const struct signer *signer);
bool peer_link_has_user(const struct peer *p, const struct link *l, const char *user);

/* ---- peer_departure.c ---- */
/** peer_depart - leave gracefully; then DOWN, or JOINING if that is the aim. */
void peer_depart(struct peer *p, const char *reason);
/** peer_depart_to - leave at once and keep the records, to join the overlay of @through. */
void peer_depart_to(struct peer *p, const struct id *through, const char *reason);
void peer_depart_tick(struct peer *p);
uint64_t peer_depart_deadline_ms(const struct peer *p);

/* ---- peer_topology.c ---- */
struct topology_env peer_topology_env(struct peer *p);
void peer_on_topology_request(struct peer *p, struct incoming *in);
/** peer_check_algorithm - does the other side speak our plug-in?  (EXTENSION_ALGORITHM) */
enum status peer_check_algorithm(const struct peer *p, struct slice extensions, struct why *why);
void peer_write_algorithm(const struct peer *p, struct writer *extensions);
/** peer_note_version - says once for each link that @node runs another version of our plug-in. */
void peer_note_version(struct peer *p, const struct id *node, struct slice extensions);

/* ---- peer_bootstrap.c, peer_entry.c, peer_partition.c ---- */
void peer_bootstrap_start(struct peer *p);
void peer_bootstrap_tick(struct peer *p);
uint64_t peer_bootstrap_deadline_ms(const struct peer *p);
/** peer_bootstrap_decide - form, join, become a client: whatever is due. */
void peer_bootstrap_decide(struct peer *p);
/** peer_bootstrap_look - nobody of the overlay is left: look for it now, not when the next Ping
 *  would have been due. */
void peer_bootstrap_look(struct peer *p);
void peer_bootstrap_link_up(struct peer *p, struct link *l, const char *address);
void peer_bootstrap_link_down(struct peer *p, const struct id *node);
void peer_bootstrap_connect_failed(struct peer *p, const char *address);
void peer_bootstrap_join_failed(struct peer *p);
void peer_bootstrap_joined(struct peer *p);
/** peer_bootstrap_pinged - a Ping ended here, and has been answered. */
void peer_bootstrap_pinged(struct peer *p, const struct incoming *in, struct slice padding);
/** peer_bootstrap_overheard - someone asked us for the overlay while we are not in it ourselves. */
void peer_bootstrap_overheard(struct peer *p, const struct id *from, struct slice message);
void peer_bootstrap_free(struct peer *p);
struct entry *peer_entry_find(struct peer *p, const char *address, const struct id *node);
/** peer_entry_add - a new entry; NULL without memory, or when all learned ones are busy. */
struct entry *peer_entry_add(struct peer *p, const char *address, const struct id *node,
                             bool is_configured);
struct entry *peer_entry_learn(struct peer *p, const struct node_ref *ref);
/** peer_check_partition - our Ping through this node ended elsewhere, twice. */
void peer_check_partition(struct peer *p, const struct id *through);
/** peer_tell_partition - we have moved: so may those we still have links with. */
void peer_tell_partition(struct peer *p);
void peer_write_in_progress(const struct peer *p, struct writer *w);

/* ---- peer_attach.c, peer_watch.c ---- */
/** peer_attach - have a link with the target; ends in the plug-in's on_attach or, with
 *  !@is_for_plugin, in the watch of the node. */
void peer_attach(struct peer *p, const struct topology_target *to, bool is_for_plugin,
                 uint32_t token, bool send_update);
void peer_on_attach_request(struct peer *p, struct incoming *in);
void peer_attach_link_up(struct peer *p, struct link *l);
void peer_attach_tick(struct peer *p);
uint64_t peer_attach_deadline_ms(const struct peer *p);
void peer_attach_free(struct peer *p);

bool peer_is_watched(const struct peer *p, const struct id *node);
void peer_watch_ended(struct peer *p, const struct id *node);
void peer_watch_link_up(struct peer *p, const struct id *node);
void peer_watch_link_down(struct peer *p, const struct id *node);
void peer_watch_tick(struct peer *p);
uint64_t peer_watch_deadline_ms(const struct peer *p);
void peer_watch_free(struct peer *p);

/* ---- peer_hold.c, peer_replica.c ---- */
void peer_on_store_request(struct peer *p, struct incoming *in);
/** peer_may_copy - may this replica Store come from its signer (RFC 6940 section 7.4.1.1)? */
bool peer_may_copy(const struct peer *p, const struct incoming *in,
                   const struct store_req *request);
void peer_on_fetch_request(struct peer *p, struct incoming *in);
void peer_on_find_request(struct peer *p, struct incoming *in);
void peer_write_fetch(const struct id *resource, const struct kind *kind, struct writer *body);
void peer_store_acknowledged(struct peer *p, const struct id *resource);
void peer_store_not_copied(struct peer *p, const struct id *resource);
/* ---- peer_signers.c ---- */
NODISCARD enum status peer_signers_new(struct peer *p);
void peer_signers_free(struct peer *p);
/** peer_signers_on_change - the members are others: who is silent may only be out of the way. */
void peer_signers_on_change(struct peer *p);
void peer_signers_tick(struct peer *p);
uint64_t peer_signers_deadline_ms(const struct peer *p);

void peer_store_tick(struct peer *p);
/** peer_fetch_tick - whose responsible peer is silent has others asked. */
void peer_fetch_tick(struct peer *p);
uint64_t peer_fetch_deadline_ms(const struct peer *p);
/** peer_fail_later - what was asked for has failed: at the end of the step. */
void peer_fail_later(struct peer *p, enum status st, const struct peer_reply *reply,
                     const struct peer_fetched *fetched);
uint64_t peer_store_deadline_ms(const struct peer *p);
void peer_store_free(struct peer *p);

/** peer_replica_set - where copies of @resource belong, if this node is responsible. */
size_t peer_replica_set(const struct peer *p, const struct id *resource,
                        struct id node[PEER_REPLICAS_MAX]);
void peer_replica_pump(struct peer *p);
bool peer_replica_is_idle(const struct peer *p);
void peer_offer(struct peer *p, uint32_t token, const struct id *node);
void peer_replica_tick(struct peer *p);
uint64_t peer_replica_deadline_ms(const struct peer *p);
void peer_replica_free(struct peer *p);

/* ---- peer_trace.c, peer_gone.c ---- */
void peer_on_node_info(struct peer *p, struct incoming *in);
void peer_on_gone(struct peer *p, struct incoming *in, struct slice body);
/** peer_gone_met - a member that may not have been told yet of who has just died: a client may have
 * had no other member than the dead one, and joins through this one now. */
void peer_gone_met(struct peer *p, const struct id *member);
/** peer_gone_lives - there is a link with it: it has started again. */
void peer_gone_lives(struct peer *p, const struct id *node);

#endif
