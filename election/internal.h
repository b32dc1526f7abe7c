/**
 * DOC: what the files of election/ share
 *
 *     election.c   birth, step, become(), deadlines, what may be looked at
 *     ranking.c    the candidate table, followers, the order of candidates
 *     gateways.c   the active set: who is in it, and what is known of each
 *     hello.c      HELLO, its interval and what its answers tell
 *     suspicion.c  silence, suspicion, indirect probe, verdict
 *     signs.c      what is heard otherwise than by HELLO; work that waits; paths that lose packets
 *     claim.c      when to claim, claims and conflicts, preemption
 *     steps.c      how a change came about, for the history
 *     term.c       which terms are believed, and how one is given back
 *     ring.c       a gateway that has lost the ring
 *     trouble.c    what keeps the overlay from having a gateway
 *     certificate.c  what this node's certificates allow it
 *     leave.c      hand-over, planned or before a leave
 *     record.c     what is read from the overlay and kept in it
 *
 * Every deadline is one *_at_ms field, MOMENT_NEVER when unset; run() acts on those that have come
 * and election_deadline_ms() is their minimum.
 */
#ifndef ELECTION_INTERNAL_H
#define ELECTION_INTERNAL_H

#include "election/election.h"

#define ELECTION_PROBES    2 /* others asked for their view (SWIM's k) */
#define ELECTION_LOOKS_MAX 16
#define ELECTION_SENT_MAX  16  /* HELLOs whose tokens are remembered, for the RTT */
#define SETTLE_HELLOS      10  /* no claim before the overlay was up for so many intervals */
#define FIRST_ANSWER_MS    333 /* the interval assumed for a gateway never heard, its RTT unknown */
#define RETRY_MS           500
#define RECORD_GRACE_MS    2000 /* a claim is heard, and only then its record can be read */
#define READ_LOST_MS       10000
#define HEALED_MS          10000 /* so long after a partition the records are read as often as can be */
#define RANK_STEP          20 /* so much change of a score is needed to change the rank */
#define SCORE_STEP         25 /* so much change of the score is published at once */
#define HANDOVER_TRY_MS    500
#define BLIND_RETRY_MS     1000
#define STRANGER_WAIT_MS   10000
#define STRANGER_RETRY_MS  2000
#define WORK_MS            60000 /* who has given the gateway a request goes on asking for it */

struct candidate {
    struct candidate_record record;
    bool is_self;
    bool is_read;            /* in the overlay's list as last read */
    bool is_gone;            /* found dead, not heard of since */
    bool is_listed;          /* in the last list heard: the gateway's, else the overlay's */
    uint16_t rank_score;     /* as last listed: all candidates rank by the same figures */
    uint64_t fresh_ms;       /* last HELLO from it, or when it was first read of */
    bool has_hello;          /* fresh_ms is of a HELLO */
    uint32_t interval_ms;    /* between its last two HELLOs */
    struct ring_health ring; /* has_hello: as its last one said, at fresh_ms */
};

struct follower {
    struct id node;
    uint64_t heard_ms;
};

enum trust { TRUST_OK, TRUST_SUSPECT, TRUST_DEAD };

struct probe {
    struct id to;
    uint32_t token;
    bool is_answered;
    bool is_heard; /* an answer, not a failure */
    bool is_alive;
};

/** Somebody asked for our view of a gateway, and we asked the gateway. */
struct look {
    struct id gateway;
    uint64_t handle;
    uint64_t since_ms;
    uint64_t until_ms;
};

/** What this node knows of one gateway's health; runs parallel to e->gateway[]. */
struct watched {
    struct id node;
    bool is_heard;
    uint64_t heard_ms;  /* last answer, or when we began to listen; moved on where we slept */
    uint64_t answer_ms; /* is_heard: last answer */
    uint64_t life_ms;   /* last answer, or whatever else came from it over its link */
    uint64_t news_ms;   /* last answer or claim, or when it was first heard of */
    uint64_t hello_at_ms;
    uint64_t hello_sent_ms;
    bool is_sent;
    unsigned unanswered;  /* HELLOs sent since heard_ms */
    uint32_t interval_ms; /* between HELLOs at present; 0: none are sent */
    uint32_t srtt_ms;
    uint16_t score;
    struct {
        uint32_t token;
        uint64_t at_ms;
    } sent[ELECTION_SENT_MAX];
    unsigned sent_next;
    bool is_linked;     /* env.watch was asked */
    bool is_link_known; /* it has answered as gateway over the link that there is */
    bool is_reset;
    uint64_t reset_ms;
    bool is_doubted;     /* work waits for it without a word */
    uint64_t work_ms;    /* since then */
    uint64_t doubted_ms; /* we know that since then */
    uint64_t told_ms;    /* we told the candidates */
    uint64_t lossy_until_ms;
    uint32_t rto_ms;
    uint64_t others_ms; /* in this suspicion: when one that was asked last heard it */
    enum trust trust;
    struct probe probe[ELECTION_PROBES];
    unsigned probe_count;
    struct {
        uint32_t token;
        uint64_t at_ms;
    } asked[ELECTION_SENT_MAX]; /* the last probes, those of rounds that are over included */
    unsigned asked_next;
    unsigned ask_count;   /* rounds of probes in this suspicion */
    bool was_reset;       /* in this suspicion */
    bool is_recess;       /* SUSPECT: another still hears it; judge_at_ms is the next round */
    unsigned asked_count; /* probes in this suspicion, and how many had an answer */
    unsigned answered_count;
    uint64_t suspected_ms;
    uint64_t dead_ms;
    struct ring_health ring; /* is_heard: as its last answer said */
    uint64_t judge_at_ms;    /* SUSPECT: when to judge, or to ask again */
    uint64_t claim_at_ms;    /* DEAD: our turn */
};

/** No gateway known: what has to be done before the first claim. */
enum vacancy { VACANCY_NONE, VACANCY_SETTLE, VACANCY_READ, VACANCY_TURN };

struct reading {
    bool is_under_way;
    uint64_t at_ms; /* next */
    uint64_t sent_ms;
    uint64_t read_ms; /* when the last that succeeded was sent; MOMENT_NEVER: none */
    bool has_failed;  /* the last one */
};

struct election {
    struct election_conf conf;
    struct election_env env;
    struct moment now;
    uint64_t deadline_ms; /* as promised at the end of the last step */
    uint32_t late_ms;     /* how late our ticks come, smoothed */
    uint64_t hold_ms;     /* a step was late: what came in meanwhile is heard before any verdict */
    uint32_t next_token;

    enum election_role role;
    uint32_t term;         /* of the active set */
    uint32_t highest_term; /* proven: claimed by us, or in a record or CLAIM that was checked */
    uint32_t ring_term;    /* of the ring's entries; judged against highest_term at a claim */
    uint32_t credit;       /* how far over highest_term a term may be; grows with time */
    uint64_t credit_wall_ms;
    uint16_t claim_score; /* ACTIVE: frozen */
    uint64_t claimed_wall_ms;
    uint64_t ring_try_ms; /* lost: the next hand-over for it */
    bool is_ring_told;    /* lost: it is in the history */
    unsigned ring_moves;  /* of the role for its sake, from or to us, each soon after the last */
    uint64_t ring_moved_ms;
    bool has_shared; /* another node was in our overlay with us */
    uint32_t ring_lives;
    enum election_trouble trouble;
    char trouble_text[ELECTION_REASON_BYTES];
    bool is_blind;      /* claimed without having heard the ring */
    struct id replaces; /* in our claim; zero for none */

    enum peer_state overlay;
    uint64_t up_since_ms; /* joined or alone; MOMENT_NEVER while neither */
    uint64_t
        doubt_until_ms; /* active, and out of solitude so lately that another may have our place */

    struct score score;
    uint32_t calls;
    uint64_t worked_ms; /* when requests were last given to the gateway; MOMENT_NEVER: not yet */

    struct candidate candidate[ELECTION_CANDIDATES_MAX];
    size_t candidate_count;
    struct follower follower[ELECTION_FOLLOWERS_MAX];
    size_t follower_count;
    size_t follower_turn;      /* the first to be told of in a HELLO answer */
    uint64_t follower_turn_ms; /* when others have their turn */

    struct election_gateway gateway[ELECTION_GATEWAYS_MAX];
    struct watched watched[ELECTION_GATEWAYS_MAX];
    size_t gateway_count;
    struct look look[ELECTION_LOOKS_MAX];
    size_t look_count;
    struct {
        struct id node;
        uint32_t term; /* it said itself that it is active no more */
        uint64_t at_ms;
    } refuted[ELECTION_GATEWAYS_MAX];
    unsigned refuted_next;

    struct reading candidates;
    struct reading gateways;
    struct reading ring;

    bool is_published[2]; /* by enum election_record: asked for, not withdrawn */
    uint64_t publish_at_ms[2];
    uint16_t published_score;

    enum vacancy vacancy;
    uint64_t vacancy_at_ms;
    uint64_t vacancy_since_ms;
    uint64_t patient_until_ms; /* handed over on purpose: no preemption before */
    uint64_t better_since_ms;  /* preempt: lead held since; MOMENT_NEVER */
    uint64_t extra_since_ms;   /* fewer gateways than wanted since; MOMENT_NEVER */

    enum election_certificate certificate;
    char certificate_of[OVERLAY_NAME_BYTES];
    uint64_t certificate_try_ms; /* ENDS: the next candidate is asked to take over */

    bool is_leaving;
    bool is_draining; /* leaving its role, not the overlay: goes on as an observer */
    bool has_left;
    uint64_t leave_at_ms; /* hard end */
    struct {
        bool is_under_way;
        bool is_ring_lost; /* why */
        struct id to;
        uint32_t token;
        uint64_t until_ms;
        struct id tried[ELECTION_CANDIDATES_MAX];
        size_t tried_count;
    } handover;

    struct election_steps next_steps; /* what led to the change that is about to be made */
    uint64_t claimed_ms;
    struct election_transition history[ELECTION_HISTORY_MAX];
    size_t history_count; /* ever; the slot is the remainder */
};

/* ---- election.c ------------------------------------------------------------------------------ */
/** election_become - the one place where the role changes. */
void election_become(struct election *e, enum election_role role, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
/** election_note - the same role goes on, and something has to be remembered of it. */
void election_note(struct election *e, const char *fmt, ...) PRINTF_LIKE(2, 3);
uint32_t election_token(struct election *e);
/** election_own - our score as it is compared: with SCORE_PINNED where we are. */
uint16_t election_own(const struct election *e);
/** election_is_settled - has the overlay been joined or alone for the settling time? */
bool election_is_settled(const struct election *e);
uint64_t election_settle_ms(const struct election *e);
/** election_name - what a log line calls a node: its name, or the head of its Node-ID. */
const char *election_name(const struct election *e, const struct id *node,
                          char out[NODE_NAME_BYTES]);

/* ---- steps.c --------------------------------------------------------------------------------- */
enum step { STEP_ANSWERED, STEP_STORED, STEP_RING };
void steps_clear(struct election_steps *s);
/** steps_of_death - what led to the claim that is about to be made: @w was found dead. */
void steps_of_death(struct election *e, const struct watched *w);
/** steps_note - something followed our last claim; only the first time counts. */
void steps_note(struct election *e, enum step step);

/* ---- ranking.c ------------------------------------------------------------------------------- */
/** ranking_beats - the order of candidates and of claims of one term: score, then Node-ID. */
bool ranking_beats(uint16_t score, const struct id *node, uint16_t other_score,
                   const struct id *other);
struct candidate *ranking_find(struct election *e, const struct id *node);
/** ranking_learn - the entry of a node, made if there is room; NULL otherwise. */
struct candidate *ranking_learn(struct election *e, const struct node_ref *ref, uint16_t score);
/** ranking_read - the overlay's list. */
void ranking_read(struct election *e, const struct candidate_record *record, size_t count);
/** ranking_gone - it was found dead: no stand-by until it is heard of again. */
void ranking_gone(struct election *e, const struct id *node);
/** ranking_heard - the active gateway's list, followers behind it. */
void ranking_heard(struct election *e, const struct hello_ans *ans);
/** ranking_on_hello - somebody sent us a HELLO. */
void ranking_on_hello(struct election *e, const struct id *from, const struct hello_req *req);
/** ranking_tell - fill in the list of a HELLO answer. */
void ranking_tell(struct election *e, struct hello_ans *ans);
/** ranking_self - our own entry follows our score. */
void ranking_self(struct election *e);
/** ranking_order - candidates that are alive and not active, best first. */
size_t ranking_order(const struct election *e, const struct candidate **ret, size_t cap);
/** ranking_own - our place in that order, from 0. */
size_t ranking_own(const struct election *e);
void ranking_follow(struct election *e, const struct id *node);

/* ---- gateways.c ------------------------------------------------------------------------------ */
bool gateways_has(const struct election *e, const struct id *node);
struct watched *gateways_watched(struct election *e, const struct id *node);
/** gateways_arrange - put in order, and drop the worst by claim while there are more than @wanted.
 *  Returns how many are left. */
size_t gateways_arrange(struct election_gateway *g, size_t count, size_t wanted);
/** gateways_is_lively - a member of whom no record was read: was it heard, or of it, just now? */
bool gateways_is_lively(const struct election *e, size_t at);
/** gateways_set - the set under @term becomes these (at most conf.gateways are kept, the best). */
void gateways_set(struct election *e, uint32_t term, const struct election_gateway *gateway,
                  size_t count);
/** gateways_drop - one is active no more. */
void gateways_drop(struct election *e, const struct id *node);
/** gateways_is_refuted - did it say lately that it is active no more? was: ever, as far as known.
 */
bool gateways_was_refuted(const struct election *e, const struct id *node, uint32_t term);
bool gateways_is_refuted(const struct election *e, const struct id *node, uint32_t term);
/** gateways_refute - its records up to @term do not count any more: it said so itself. */
void gateways_refute(struct election *e, const struct id *node, uint32_t term);
/** gateways_weight - by RFC 2782, never 0, which would be for emergencies. */
uint16_t gateways_weight(uint16_t score);
/** gateways_self - this node's own entry under its present claim. */
struct election_gateway gateways_self(const struct election *e);

/* ---- hello.c --------------------------------------------------------------------------------- */
void hello_run(struct election *e);
uint64_t hello_deadline_ms(const struct election *e);
void hello_on_request(struct election *e, const struct election_event *ev);
void hello_on_answer(struct election *e, const struct election_event *ev);
/** hello_listen_anew - forget all silence: we could not have heard. */
void hello_listen_anew(struct election *e);
/** hello_forgive - we slept for @late_ms: no round trip took that long. */
void hello_forgive(struct election *e, uint64_t late_ms);
/** hello_listen - forget its silence, though nothing was heard. */
void hello_listen(struct election *e, struct watched *w);
/** hello_trust - a gateway was heard of otherwise than by HELLO. */
void hello_trust(struct election *e, const struct id *node);
/** hello_tell - one HELLO out of turn. */
void hello_tell(struct election *e, const struct id *gateway);
/** hello_answer - what we say of ourselves and of the gateway. */
void hello_answer(struct election *e, uint64_t handle);
/** hello_silence_ms - how long without an answer makes a suspicion. */
uint32_t hello_silence_ms(const struct election *e, const struct watched *w);

/* ---- suspicion.c ----------------------------------------------------------------------------- */
void suspicion_run(struct election *e, struct watched *w);
uint64_t suspicion_deadline_ms(const struct election *e, const struct watched *w);
void suspicion_on_probe(struct election *e, const struct election_event *ev);
void suspicion_on_probe_answer(struct election *e, const struct election_event *ev);
void suspicion_on_link(struct election *e, const struct election_event *ev);
/** suspicion_run_looks - answer those that asked for our view of a gateway. */
void suspicion_run_looks(struct election *e);
uint64_t suspicion_looks_deadline_ms(const struct election *e);
/** suspicion_end - it is heard. */
void suspicion_end(struct watched *w);

/* ---- signs.c --------------------------------------------------------------------------------- */
/** signs_look - ask the shell what it has heard of this gateway: may end a suspicion. */
void signs_look(struct election *e, struct watched *w);
/** signs_lossy_ms - how long silence says nothing on a path that loses packets; 0: on this none
 *  are lost. */
uint32_t signs_lossy_ms(const struct election *e, const struct watched *w);
/** signs_doubt_ms - how long work waits before it is a doubt. */
uint32_t signs_doubt_ms(const struct watched *w);
/** signs_floor_ms - the least silence that is a death where work waits. */
uint32_t signs_floor_ms(const struct election *e, const struct watched *w);
/** signs_doubt - work has waited for so long, here or at a member that says so. */
void signs_doubt(struct election *e, struct watched *w, uint32_t waiting_ms);
void signs_on_doubt(struct election *e, const struct election_event *ev);

/* ---- claim.c --------------------------------------------------------------------------------- */
void claim_run(struct election *e);
uint64_t claim_deadline_ms(const struct election *e);
/** claim_make - become active under a new term; @replaces may be NULL. */
void claim_make(struct election *e, const struct id *replaces, const char *reason);
/** claim_tell - announce our claim to one node. */
void claim_tell(struct election *e, const struct id *to);
/** claim_tell_all - announce it to all we know. */
void claim_tell_all(struct election *e);
void claim_on_request(struct election *e, const struct election_event *ev);
void claim_on_answer(struct election *e, const struct election_event *ev);
/** claim_restate - store our claim again, under the term of the set that others changed. */
void claim_restate(struct election *e);
/** claim_go_on_without - of several, one is silent and no candidate is left to replace it: what is
 *  still read of it is outranked.  It may join again where it is alive. */
void claim_go_on_without(struct election *e, const struct id *silent);
/** claim_step_down - active no more; another gateway is, or we leave. */
void claim_step_down(struct election *e, enum election_role to, const char *reason);
void claim_on_ring(struct election *e, enum status st, uint32_t term);
/** claim_stagger_ms - how much later the next in rank claims. */
uint32_t claim_stagger_ms(const struct election *e);

/* ---- term.c -----------------------------------------------------------------------------------
 */
void term_begin(struct election *e);
/** term_is_plausible - may the election have come to @term since highest_term was proven? */
bool term_is_plausible(const struct election *e, uint32_t term);
/** term_learn - @term is proven and plausible, or our own. */
void term_learn(struct election *e, uint32_t term);
/** term_refuse - tell the log; @from NULL: the ring. */
void term_refuse(struct election *e, const struct id *from, const char *way, uint32_t term);
/** term_next - the term of a claim of ours. */
uint32_t term_next(const struct election *e);
/** term_limit - of the records that were read, those over it do not count. */
uint32_t term_limit(const struct election *e, const struct gateway_record *record, size_t count);
/** term_is_given_back - does the gateway @node, whose term we have, go far back to @term? */
bool term_is_given_back(const struct election *e, const struct id *node, uint32_t term);
void term_give_back(struct election *e, const struct election_gateway *by, uint32_t term);
/** term_reset - the operator's way back: ST_STATE where this node is not active or has no need. */
enum status term_reset(struct election *e, struct why *why);

/* ---- ring.c ---------------------------------------------------------------------------------- */
void ring_run(struct election *e);
/** ring_health - this node's own; as if just heard where it is not known. */
struct ring_health ring_health(const struct election *e);
/** ring_is_lost - has no member of it answered for too long? */
bool ring_is_lost(const struct election *e);
/** ring_is_hopeless - lost for long, on a gateway whose candidates have it no more than it has. */
bool ring_is_hopeless(const struct election *e);

/* ---- trouble.c ------------------------------------------------------------------------------- */
void trouble_run(struct election *e);
uint64_t trouble_deadline_ms(const struct election *e);
/** trouble_is_stranger - may it not claim, for it finds others where it should have met them? */
bool trouble_is_stranger(const struct election *e);

/* ---- certificate.c --------------------------------------------------------------------------- */
void certificate_on_event(struct election *e, const struct election_event *ev);
void certificate_run(struct election *e);
uint64_t certificate_deadline_ms(const struct election *e);

/* ---- leave.c --------------------------------------------------------------------------------- */
void leave_run(struct election *e);
/** leave_alone - step down at once, without a successor. */
void leave_alone(struct election *e, const char *reason);
/** leave_has_asked - was this candidate asked to take over? */
bool leave_has_asked(const struct election *e, const struct id *node);
/** leave_hand_over_certificate - to a candidate, for our certificate ends. */
void leave_hand_over_certificate(struct election *e, const struct id *to);
uint64_t leave_deadline_ms(const struct election *e);
void leave_begin(struct election *e);
void leave_drain(struct election *e);
/** ring_moves_role - this node gives the role away because it has lost the ring, or takes it. */
void ring_moves_role(struct election *e);

/** leave_hand_over_ring - ask this candidate, which has the ring that we have lost. */
void leave_hand_over_ring(struct election *e, const struct id *to);
enum status leave_hand_over_to(struct election *e, const char *node, struct why *why);
void leave_on_handover(struct election *e, const struct election_event *ev);
void leave_on_handover_answer(struct election *e, const struct election_event *ev);
/** leave_stepped_down - a claim was heard: the hand-over is done. */
void leave_stepped_down(struct election *e);

/* ---- record.c -------------------------------------------------------------------------------- */
void record_run(struct election *e);
uint64_t record_deadline_ms(const struct election *e);
void record_on_candidates(struct election *e, const struct election_event *ev);
void record_on_gateways(struct election *e, const struct election_event *ev);
void record_on_stored(struct election *e, const struct election_event *ev);
/** record_read_gateways - as soon as may be, not more often than every HELLO interval. */
void record_read_gateways(struct election *e);
void record_read_candidates(struct election *e);
void record_read_ring(struct election *e);
void record_publish(struct election *e, enum election_record which);
void record_withdraw(struct election *e, enum election_record which);

#endif
