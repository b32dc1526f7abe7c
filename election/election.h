/**
 * DOC: the election of an overlay's gateway, sans-I/O
 *
 *                 score over the threshold                   claims a term
 *     +----------+ ----------------------> +-----------+ ------------------> +--------+
 *     | OBSERVER |                         | CANDIDATE |                     | ACTIVE |
 *     +----------+ <---------------------- +-----------+ <------------------ +--------+
 *          ^        under it, or leaving                  a better claim          |
 *          +----------------------------------------------------------------------+
 *                                    has handed over and leaves
 *
 * One instance per node.  An OBSERVER only knows who the gateway is; while it has calls, or
 * has lately given the gateway requests, it sends a slow HELLO.  A CANDIDATE publishes itself in
 * the candidate list, is a client of the global ring, and sends HELLO to the active gateway.  The
 * ACTIVE gateway is a member of the ring.
 *
 * A candidate's view of one gateway:
 *
 *     TRUSTED -- link reset, work that waits, or the last of so many HELLOs is nearly overdue
 *                                                                                   --> SUSPECT
 *     SUSPECT -- another candidate still hears it --> SUSPECT, asked again a little later
 *     SUSPECT -- misses * interval silent (after a reset: a short wait), and neither of two others
 *                hears it, or there is none --> DEAD
 *     DEAD    -- its turn comes: rank * stagger, at once for the first --> it claims
 *     any     -- a HELLO is answered, or anything else comes over its link --> TRUSTED
 *
 * Work that waits: a request that was given to the gateway (of SIP: ELECTION_DOUBT) and has no word
 * from it, by that way or over its link, for 20 ms and 4 round trips.  Who is a candidate then
 * suspects it, sends it a HELLO, and asks two others; others tell the first two.  The verdict
 * takes two paths that are silent, the work's and that HELLO's, and as ever two others who do not
 * hear it either; and no less silence than a third of what its HELLOs allow, 50 ms, 8 round trips,
 * and as long again as our own timers are late.  A third, since more evidence deserves less
 * patience but any process stands still at times, for its disk or its machine: at 3 HELLOs a third
 * is the one HELLO that may be late, and at hello_ms = 1000 a second.  Without work that waits, a
 * gateway has all the time of its HELLOs, whatever our links say.
 *
 * Loss is not death: on a path that is known to lose packets, and to bring them in the end
 * (env.signs), silence is a death when TCP has had the time to send twice again and more, 6 times
 * its first wait, 1.7 s at most, since we or one that was asked heard the gateway; others are asked
 * again and again until then.  A cut makes no path lossy, as nothing comes through it: it is seen
 * as soon as ever.
 *
 * Who is asked for its view and has not just heard the gateway asks it too, and waits a little. The
 * first conf.fast_ranks candidates send a HELLO every conf.hello_ms, less up to a quarter at
 * random; each rank behind them half as often, down to conf.hello_max_ms; other gateways every
 * hello_ms.
 *
 * Terms: a claim names a term, one more than the highest that is proven, the ring's included.  A
 * term is proven by a gateway's record, a CLAIM or the answer of a gateway, whose certificate was
 * checked; a HELLO, or what others say of a gateway, proves nothing and is a reason to read the
 * records.  Terms are bounded: none is over ELECTION_TERM_MAX, and none is believed that is more
 * than ELECTION_TERM_STEP, and one for each second since the last was learnt, over the highest
 * proven: so no single word uses the numbers up.  Who knows nothing yet, or finds no record within
 * that bound and hears no gateway it knows, goes by the lowest record.  A gateway that goes back by
 * ELECTION_TERM_STEP or more has reset its term (election_reset_term): who follows it goes back
 * too.
 *
 * A term names the active set of up to conf.gateways nodes.  Among claims the highest (term, score
 * at the claim, Node-ID) wins; the loser steps down and the winner announces itself anew to all it
 * knows. A claim without `replaces` in an overlay of one gateway replaces whoever is active.
 *
 * No claim is made before the overlay has been joined or alone for 10 HELLO intervals and the
 * candidate list, the gateways' records and the ring have been read after that (the ring may fail:
 * then the claim is blind, and its term is raised over the ring's as soon as that is heard).  A
 * gateway that is cut off stays; it steps down when it hears a higher term in its own overlay.  A
 * higher term that it sees in the ring alone does not unseat it: it goes on serving its side.
 *
 * Who has shared its overlay with no other node since its start, and finds live gateways of that
 * overlay in the ring, claims nothing and steps down if it has: its way to the overlay is broken,
 * not the overlay.  As long as the ring cannot be read it waits STRANGER_WAIT_MS where others are
 * to be expected.
 *
 * HELLO, its answer and the candidate record say what the sender has of the ring.  A gateway that
 * no member of the ring has answered for three HELLO intervals (longer on a busy machine, and twice
 * as long after each change of gateway within the last 30 s) hands over to the first candidate that
 * one has answered since.  Without one it stays, and after RINGLESS_MS says so.
 *
 * A node whose tick came late takes in what has come meanwhile before it judges anybody.  After a
 * longer sleep it listens anew, and reads the records, before it suspects anybody.
 *
 * It reads no clock, opens no socket, holds no timer: the shell brings the time and the events,
 * and arms one timer for election_deadline_ms().
 *
 * What the shell's glue does for it: it encodes and decodes; it adds the global certificate to
 * claims and gateway records, and ring neighbours to HELLO answers; it checks certificates, and
 * passes on only CLAIMs, HELLO answers and gateway records whose certificate is the global one of
 * overlay@NAME with the sender's Node-ID.  The records and answers that come here are therefore
 * authentic.
 *
 * HELLO answers list ranked candidates first; entries with score 0 behind them are peers that send
 * a slow HELLO, as many as there is room for, in turn, so that a claimant knows whom to tell.
 *
 * Source: 004 sections 6.1 to 6.3; the design's "Terms", "Finding the gateway", "The ring and the
 * candidates".
 * Left out on purpose: what happens to calls (the SIP side acts on gateways_changed); a quorum: a
 * part of an overlay that is cut off elects its own gateway, and the heal rule settles it later.
 */
#ifndef ELECTION_ELECTION_H
#define ELECTION_ELECTION_H

#include "base/log.h"
#include "base/moment.h"
#include "election/score.h"
#include "local-overlays/peer.h"

#define ELECTION_TERM_MAX       TERM_MAX
#define ELECTION_TERM_STEP      1024
#define ELECTION_GATEWAYS_MAX   8
#define ELECTION_CANDIDATES_MAX 128 /* the best; the rest of the list is not looked at */
#define ELECTION_FOLLOWERS_MAX  256 /* peers with calls, the last heard */
#define ELECTION_HISTORY_MAX    64
#define ELECTION_REASON_BYTES   128

struct election;

enum election_role { ELECTION_OBSERVER, ELECTION_CANDIDATE, ELECTION_ACTIVE };
/** election_role_name - "observer", "candidate", "active". */
const char *election_role_name(enum election_role role);

struct election_conf {
    char overlay[OVERLAY_NAME_BYTES];
    struct node_ref self;                    /* in the local overlay */
    char global_address[NODE_ADDRESS_BYTES]; /* "": no global overlay, never a candidate */
    char sip_uri[SIP_URI_BYTES];             /* our peer-listen, told in claims and records */
    bool expects_others; /* bootstrap entries besides our own address are configured */
    bool is_candidate;
    bool is_pinned;         /* ranks before all that are not, whatever the scores; no threshold */
    uint32_t hello_ms;      /* 100; 10..60000: the lower bound */
    uint32_t hello_max_ms;  /* the upper bound, at least hello_ms; 0: 10 times hello_ms */
    uint32_t hello_misses;  /* 3; 1..100 */
    uint32_t slow_hello_ms; /* 1000: of an ordinary peer with calls */
    uint32_t fast_ranks;    /* 3: so many candidates send HELLO every hello_ms */
    uint32_t threshold;     /* 200 */
    uint32_t gateways;      /* 1; 1..ELECTION_GATEWAYS_MAX */
    bool preempt;
    uint32_t margin;     /* 100 */
    uint32_t hold_ms;    /* 60000 */
    uint16_t priority;   /* 0: of our records, RFC 2782 rules; the weight is the score */
    uint32_t lifetime_s; /* 60: of our records in the local overlay, renewed at half */
    uint32_t refresh_ms; /* 5000: candidates and gateways read both records again; observers 6 times
                            slower, each of many candidates as many times as there are eights */
    uint32_t leave_wait_ms; /* 2000: most that a leave waits for a successor */
    struct score_conf score;
};
/** election_conf_defaults - fill in every default; the caller sets overlay, self, addresses. */
void election_conf_defaults(struct election_conf *conf);

/** One active gateway, as this node knows it. */
struct election_gateway {
    struct node_ref ref;
    uint32_t term;
    uint16_t score; /* at the claim; may bear SCORE_PINNED */
    uint16_t priority;
    uint16_t weight;
    char sip_uri[SIP_URI_BYTES];
    uint64_t since_wall_ms;
    bool is_self;
};

/** What keeps calls from leaving the overlay, as far as this node knows. */
enum election_trouble {
    ELECTION_FINE,
    ELECTION_NOBODY,      /* there is no gateway, and no node can be one */
    ELECTION_RINGLESS,    /* this gateway does not reach the ring, and no candidate does */
    ELECTION_STRANGER,    /* this node never met its own overlay, whose gateways live in the ring */
    ELECTION_UNCERTIFIED, /* a certificate of this node has ended: nobody believes what it says */
};

/** What this node's certificates are worth.  Unless they are valid it claims nothing; a gateway
 *  hands over while they still are, and steps down when they are no longer. */
enum election_certificate {
    ELECTION_CERTIFICATE_VALID,
    ELECTION_CERTIFICATE_ENDS, /* within seconds */
    ELECTION_CERTIFICATE_ENDED
};

#define ELECTION_UNKNOWN_MS UINT32_MAX

/** What led to a claim, and what followed it; ELECTION_UNKNOWN_MS: no such step, or not yet. */
struct election_steps {
    char gateway[NODE_NAME_BYTES]; /* that was found dead; "" for none */
    bool is_reset;                 /* its link broke; it was not only silent */
    uint8_t probes_asked;          /* of other candidates */
    uint8_t probes_answered;
    uint32_t silent_ms;   /* its silence when it became suspect */
    uint32_t probe_ms;    /* from there to the verdict */
    uint32_t turn_ms;     /* from there to the claim: those before us in rank */
    uint32_t answered_ms; /* from the claim: the first who heard it */
    uint32_t stored_ms;   /* from the claim: our record is held in the overlay */
    uint32_t ring_ms;     /* from the claim: our entry is held by the ring */
};

struct election_transition {
    uint32_t serial; /* from 1, in the life of this election */
    uint64_t at_wall_ms;
    uint32_t term;
    enum election_role from;
    enum election_role to;
    char reason[ELECTION_REASON_BYTES];
    struct election_steps steps;
};

/** What is heard of a node otherwise than by HELLO, and what its link is like. */
struct election_signs {
    uint32_t heard_ms; /* since anything came from it */
    bool is_lossy;     /* packets get lost on the way, and come through in the end */
    uint32_t rto_ms;   /* after so long TCP sends again for the first time; 0: not known */
};

enum election_record { ELECTION_RECORD_CANDIDATE, ELECTION_RECORD_GATEWAY };

/**
 * What an election asks of its surroundings.  No callback may call back into the election.
 *
 * Each send_* is followed by exactly one ..._ANSWER event with its token, each fetch_* by exactly
 * one CANDIDATES, GATEWAYS or RING event, each publish_* by one STORED; all in later steps.
 */
struct election_env {
    void *ctx;
    /** send_hello - @deadline_ms: when an answer is of no use any more. */
    void (*send_hello)(void *ctx, const struct id *to, uint32_t token, const struct hello_req *req,
                       uint32_t deadline_ms);
    /** send_claim - the certificate is added by the callee. */
    void (*send_claim)(void *ctx, const struct id *to, uint32_t token, const struct claim_req *req);
    void (*send_probe)(void *ctx, const struct id *to, uint32_t token,
                       const struct probe_gateway_req *req, uint32_t deadline_ms);
    void (*send_handover)(void *ctx, const struct id *to, uint32_t token,
                          const struct handover_req *req);

    /** answer_hello - to a HELLO or a CLAIM; ring neighbours are added by the callee. */
    void (*answer_hello)(void *ctx, uint64_t handle, const struct hello_ans *ans);
    void (*answer_probe)(void *ctx, uint64_t handle, const struct probe_gateway_ans *ans);
    /** answer_handover - ST_OK: the claim follows; otherwise an error. */
    void (*answer_handover)(void *ctx, uint64_t handle, enum status st);

    /** publish_candidate, publish_gateway - store under overlay@NAME in the local overlay, key =
     * our Node-ID; the gateway's certificate is added by the callee.  withdraw: store exists=false.
     */
    void (*publish_candidate)(void *ctx, const struct candidate_record *rec, uint32_t lifetime_s);
    void (*publish_gateway)(void *ctx, const struct gateway_record *rec, uint32_t lifetime_s);
    void (*withdraw)(void *ctx, enum election_record which);

    void (*fetch_candidates)(void *ctx);
    void (*fetch_gateways)(void *ctx);
    /** fetch_ring - the highest term of our own overlay's entries in the ring. */
    void (*fetch_ring)(void *ctx);

    /** aim_ring - what the node is to be in the global ring; never called without global_address.
     */
    void (*aim_ring)(void *ctx, enum peer_aim aim);
    /** publish_ring - keep our entry in the ring under this term, until withdraw_ring. */
    void (*publish_ring)(void *ctx, uint32_t term, uint16_t priority, uint16_t weight);
    void (*withdraw_ring)(void *ctx);

    /** ring_health - what this node has of the ring now.  May be NULL: not known. */
    struct ring_health (*ring_health)(void *ctx);

    /** gone - nobody hears this gateway any more, and our claim replaces it: comes before whatever
     *  the claim publishes.  May be NULL. */
    void (*gone)(void *ctx, const struct id *node);

    /** watch - keep a direct link with @node, at @address if that is not "", and report it by LINK
     *  events, a refused connection as a link that went; unwatch lets it go. */
    void (*watch)(void *ctx, const struct id *node, const char *address);
    void (*unwatch)(void *ctx, const struct id *node);

    /** signs - what has come from a node over its link, and what that is like; false without one.
     *  May be NULL. */
    bool (*signs)(void *ctx, const struct id *node, struct election_signs *ret);

    /** gateways_changed - the active set, best first, as election_gateways() gives it from now on.
     */
    void (*gateways_changed)(void *ctx, const struct election_gateway *gateway, size_t count);
    /** role_changed - role of this node, or the term of its claim, changed; the callee logs it. */
    void (*role_changed)(void *ctx, enum election_role was, enum election_role is, uint32_t term,
                         const char *reason);
    /** history - a transition was added, or a step of the last one is over; borrowed.  May be NULL.
     */
    void (*history)(void *ctx, const struct election_transition *t);
    /** trouble - election_trouble() is another one; the callee logs it.  May be NULL. */
    void (*trouble)(void *ctx, enum election_trouble trouble, const char *text);
    /** left - a leave has ended: whatever had to be handed over is. */
    void (*left)(void *ctx);
    uint64_t (*random)(void *ctx);
    struct log_to log;
};

enum election_event_type {
    ELECTION_TICK,
    ELECTION_OVERLAY, /* .overlay: the local peer's state, or its number of neighbours, changed */
    ELECTION_CANDIDATES,  /* .candidates: end of fetch_candidates */
    ELECTION_GATEWAYS,    /* .gateways: end of fetch_gateways */
    ELECTION_RING,        /* .ring: end of fetch_ring; may come unasked */
    ELECTION_STORED,      /* .stored: end of publish_* */
    ELECTION_RING_STORED, /* the ring holds our entry */

    ELECTION_HELLO,    /* .request.hello: a HELLO came; answered by answer_hello */
    ELECTION_CLAIM,    /* .request.claim; answered by answer_hello */
    ELECTION_PROBE,    /* .request.probe; answered by answer_probe */
    ELECTION_HANDOVER, /* .request.handover; answered by answer_handover */

    ELECTION_HELLO_ANSWER,    /* .answer.hello, or .answer.st says why there is none */
    ELECTION_CLAIM_ANSWER,    /* .answer.hello */
    ELECTION_PROBE_ANSWER,    /* .answer.probe */
    ELECTION_HANDOVER_ANSWER, /* .answer.st alone */

    ELECTION_LINK,   /* .link: a watched node's link came up or went */
    ELECTION_DOUBT,  /* .doubt: work that was given to a gateway waits without a word from it */
    ELECTION_LOAD,   /* .load: measured */
    ELECTION_LOCATE, /* somebody could not reach the gateway: read its record again */
    ELECTION_LEAVE,  /* hand over and go; env.left follows */
    ELECTION_CERTIFICATE, /* .certificate: of this node; the worst of its overlays' */
    ELECTION_DRAIN,       /* hand over, be candidate no more, but stay; a leave may follow */
};

struct election_event {
    enum election_event_type type;
    union {
        struct {
            enum peer_state state;
            size_t neighbour_count;
        } overlay;
        struct {
            enum status st;
            const struct candidate_record *record; /* borrowed; existing ones only */
            size_t count;
        } candidates;
        struct {
            enum status st;
            const struct gateway_record *record; /* borrowed; existing ones only */
            size_t count;
        } gateways;
        struct {
            enum status st;
            uint32_t term;  /* 0: the ring was read and has no entry */
            uint32_t lives; /* of the nodes that have an entry, so many others answer in the ring */
        } ring;
        struct {
            enum election_record which;
            enum status st;
        } stored;
        struct {
            struct id from; /* whose signature it bears */
            uint64_t handle;
            union {
                const struct hello_req *hello;
                const struct claim_req *claim;
                const struct probe_gateway_req *probe;
                const struct handover_req *handover;
            };
        } request;
        struct {
            uint32_t token;
            enum status st;
            struct id from; /* with ST_OK */
            union {
                const struct hello_ans *hello;
                const struct probe_gateway_ans *probe;
            };
        } answer;
        struct {
            struct id node;
            bool is_up;
            bool is_given_up; /* one of its ends closed it, be it for silence, which HELLOs
                                 measure: the other end may be alive */
        } link;
        struct {
            struct id node;
            uint32_t waiting_ms;
        } doubt;
        const struct election_load *load;
        struct {
            enum election_certificate state;
            const char *of; /* the overlay whose certificate it is; borrowed for the step */
        } certificate;
    };
};

/**
 * election_new - an election, OBSERVER, with nothing known
 * @conf, @env: copied
 * Returns: ST_OK; ST_NOMEM; ST_RANGE with the cause.
 */
NODISCARD enum status election_new(const struct election_conf *conf, const struct election_env *env,
                                   struct moment now, struct election **ret_election,
                                   struct why *why);
void election_free(struct election *e);

/**
 * election_step - let the election react to one event
 * @now: never earlier than in an earlier call
 * @ev:  borrowed for the call
 *
 * Effects: calls of env, all before the return.  The deadline may have moved afterwards.
 * Returns: nothing; what does not fit the state is answered as it deserves, or ignored.
 */
void election_step(struct election *e, struct moment now, const struct election_event *ev);

/** election_deadline_ms - when the next ELECTION_TICK is due; always later than the last step. */
uint64_t election_deadline_ms(const struct election *e);

/**
 * election_handover - a planned change: ask a candidate to take over
 * @node: a candidate's name or Node-ID in hex; NULL for the first in rank
 * Returns: ST_OK, the request is under way and the gateways change when it is followed; ST_STATE
 *          if this node is not active or a handover is under way; ST_NOT_FOUND without such a
 * candidate.
 */
NODISCARD enum status election_handover(struct election *e, struct moment now, const char *node,
                                        struct why *why);

/**
 * election_reset_term - the way back from a term that is far too high: this gateway goes on as the
 *                       gateway of term 1, and all that follow it go back with it
 * Returns: ST_OK; ST_STATE if this node is not active, or its term is no higher than
 *          ELECTION_TERM_STEP.
 */
NODISCARD enum status election_reset_term(struct election *e, struct moment now, struct why *why);

/* ---- what may be looked at ------------------------------------------------------------------- */
enum election_role election_role(const struct election *e);
/** election_term - the term of the active set as this node knows it; 0 before any. */
uint32_t election_term(const struct election *e);
/** election_score - this node's own score now. */
uint16_t election_score(const struct election *e);

/** election_gateways - the active set, best first; borrowed until the next step. */
const struct election_gateway *election_gateways(const struct election *e, size_t *ret_count);
/** election_is_gateway - is @node in the active set? */
bool election_is_gateway(const struct election *e, const struct id *node);

/** What this node's HELLOs tell of the gateway at @at of election_gateways(). */
struct election_health {
    const char *state;    /* "trusted", "suspect", "dead"; "self"; "unwatched": no HELLO is sent */
    uint32_t interval_ms; /* between HELLOs; 0: none are sent */
    uint32_t rtt_ms;
    uint32_t missed;
    uint32_t last_ms; /* since the last answer */
};
void election_health(const struct election *e, struct moment now, size_t at,
                     struct election_health *ret);
/** election_late_ms - how late this node's own timers come, smoothed: a busy machine. */
uint32_t election_late_ms(const struct election *e);

/** One candidate, as it is shown.  HELLO figures: on the gateway those of the HELLOs it gets; on a
 *  candidate its own row tells of the HELLOs it sends; elsewhere ELECTION_UNKNOWN_MS. */
struct election_candidate {
    uint32_t rank; /* from 1 */
    struct node_ref ref;
    char global_address[NODE_ADDRESS_BYTES];
    uint16_t score; /* bare */
    bool is_pinned;
    uint16_t part[SCORE_PARTS];
    uint32_t rtt_ms;
    uint32_t missed;
    uint32_t last_ms; /* since the last HELLO, or its answer */
    bool is_self;
};
/** election_candidates - up to @cap candidates that are not active, by rank. */
size_t election_candidates(const struct election *e, struct moment now,
                           struct election_candidate *ret, size_t cap);

/** election_trouble_name - "fine", "nobody", "ringless", "stranger", "certificate". */
const char *election_trouble_name(enum election_trouble trouble);
/** election_trouble - what is wrong; @ret_text: why, "" for ELECTION_FINE; borrowed. */
enum election_trouble election_trouble(const struct election *e, const char **ret_text);

/** election_doubts_ring - does this candidate's gateway say that the ring is silent to it? */
bool election_doubts_ring(const struct election *e);

/** election_is_stranger - has this node shared its overlay with no other since its start? */
bool election_is_stranger(const struct election *e);

/** election_history - up to @cap of the last transitions of this node, oldest first. */
size_t election_history(const struct election *e, struct election_transition *ret, size_t cap);

#endif
