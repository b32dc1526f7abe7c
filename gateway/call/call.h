/**
 * DOC: one call through the gateway: two legs, and what is to be done next
 *
 *                 targets            1xx           2xx                BYE, no ACK, expired
 *      SEARCHING ---------> TRYING -------> EARLY -------> CONFIRMED ---------------------> ENDING
 *        |   ^                |  |            |                                            ^   |
 *        |   +-- unreachable -+  |            |                              all is quiet  |   v
 *        +--- nobody there ------+------------+--- final answer, CANCEL, no answer --------+  ENDED
 *
 * The caller's leg ends here and the callee's begins; between them there is one initial request
 * with its branches (one for each target), and later any number of exchanges: requests inside the
 * dialog, from either side.  The machine decides who is asked, which answer wins, what glare,
 * CANCEL and a missing ACK lead to; the shell (gateway/sip/) owns the messages.  Every function is
 * called with the message in hand, and what comes back, or is called for in struct call_out, is
 * about that message.
 *
 * INVITEs of both directions may overlap: an end that has sent a 2xx may ask anew before its ACK
 * has come.  Each INVITE is a number of its own from its request until its ACK or a repeated 2xx of
 * it can no longer come; one ACK never passes for another's (RFC 3261 sections 13.2.2.4, 14).
 *
 *      PENDING ---2xx---> ANSWERED ---ACK---> ACKNOWLEDGED ---room is needed---> NONE
 *         |                  |
 *         +---300 to 699-----+---no ACK, the call ends---------------------------> NONE
 *
 * A dialog is the shell's number for one tag of the far side: a request that was forked behind us
 * rings several phones, each its own early dialog (RFC 3261 section 13.2.2.4).  CALL_NO_DIALOG
 * where a response has none.  The winner is the dialog of the first 2xx; others are acknowledged
 * and hung up.
 *
 * A BYE ends the call when it is answered: by a 2xx, by 408 or 481, or by nobody.  Any other
 * response goes to its sender, who may ask again (with credentials, say); if he does not within
 * call_conf.ack_ms, both ends are hung up (RFC 3261 sections 12.2.1.2, 15.1.1, 22.2).
 *
 * A call may change its gateway while it is up: call_adopt() makes one that another gateway had,
 * call_release() ends one here that another gateway has; neither end is told by the machine.
 *
 * Subscriptions and single requests (MESSAGE, OPTIONS, anything unknown) take the same way: a
 * SUBSCRIBE or REFER leaves a dialog behind, a single request ends with its answer.  A SUBSCRIBE
 * that was forked leaves several: the first 2xx is forwarded, the other phones' NOTIFYs bring
 * theirs up.  The call lasts as long as one of them, and at least until no other can come up.
 *
 * Source: RFC 3261 sections 9, 12 to 16; RFC 3262; RFC 3311; RFC 4028; RFC 6665.
 * Left out on purpose: bodies (offers and answers pass untouched), tags and header fields.
 */
#ifndef GATEWAY_CALL_CALL_H
#define GATEWAY_CALL_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/moment.h"
#include "base/status.h"

#define CALL_BRANCHES_MAX  16
#define CALL_EXCHANGES_MAX 8
#define CALL_INVITES_MAX   8
#define CALL_INITIAL       0 /* the number of the initial request, if it is an INVITE */
#define CALL_NO_DIALOG     UINT8_MAX
#define CALL_PASS          0    /* send on what is in hand */
#define CALL_SWALLOW       (-1) /* do nothing with it */

struct call;

enum call_kind { CALL_SESSION, CALL_SUBSCRIPTION, CALL_SINGLE };
enum call_state {
    CALL_SEARCHING,
    CALL_TRYING,
    CALL_EARLY,
    CALL_CONFIRMED,
    CALL_ENDING,
    CALL_ENDED
};
enum call_leg { CALL_CALLER, CALL_CALLEE };

/** What a request means to the machine; ACK and CANCEL are functions of their own. */
enum call_method {
    CALL_INVITE,
    CALL_UPDATE,
    CALL_BYE,
    CALL_REFER,
    CALL_SUBSCRIBE,
    CALL_NOTIFY,
    CALL_OTHER
};

struct call_conf {
    uint32_t search_ms; /* no answer of the overlay after this: 503 */
    uint32_t hop_ms;    /* a target that is a hop and sends nothing at all is given up */
    uint32_t doubt_ms;  /* before that: is another in its place by now?  Asked after doubt_ms of
                           silence and each doubt_again_ms from then on; 0: never */
    uint32_t doubt_again_ms;
    uint32_t answer_ms; /* timer C: a branch of an INVITE without a final response so long after it
                           was sent, or after its last 101 to 199, is called off: 408 */
    uint32_t ack_ms;    /* a 2xx waits this long for its ACK: 64*T1 */
    uint32_t ending_ms; /* cancelled branches and open exchanges may take this long */
    int unreachable_status; /* when no target could be reached: 500 or 480 */
    unsigned searches;      /* how often the overlay is asked once more, past its cache, when none
                               could: at once, then each time search_pause_ms later, for a gateway
                               that has just changed may not be known yet */
    uint32_t search_pause_ms;
    bool seeks_others;  /* where nobody who was asked knows the callee, the overlay is asked once
                           more, past its cache, for others */
    uint32_t rescue_ms; /* a hop that was heard and is lost has somebody in its place soon, who goes
                           on with the request: searched for so long; 0: it is not */
    uint32_t rescue_pause_ms; /* between two of these searches */
};

struct call_target {
    uint8_t group; /* equal: tried together; the next group only if none of the last was reached */
    bool is_other; /* only for whom those before do not know, or after all else */
    bool is_hop;   /* a gateway or serving peer: it says 100 soon, or is not there */
    uint8_t again; /* one more than the number of a branch that was given up for its silence and
                      may still be answered: the same request is waited for once more, for another
                      would ring twice; 0: a new branch */
    uint8_t phone; /* equal, and not 0: flows of one phone, of which one is tried at a time and the
                      next where it failed (RFC 5626 section 7) */
};

/** What a call asks of its surroundings.  No callback may call back into the call. */
struct call_out {
    /** send_initial - send the initial request to a target, or, to one that is asked again, see to
     *  it that the request gets there; false if it cannot even be tried */
    bool (*send_initial)(void *ctx, unsigned branch);
    void (*cancel)(void *ctx, unsigned branch);
    /** resume - a branch that was called off for its silence counts again: if its CANCEL waits for
     * a response, it is not to be sent, and a search that is under way is of no use any longer */
    void (*resume)(void *ctx, unsigned branch);
    /** forget - nothing came from this branch's target: do not use it for a while.  It may be asked
     *  again all the same (struct call_target) */
    void (*forget)(void *ctx, unsigned branch);
    void (*search_again)(void *ctx);
    /** doubt - those who were asked are silent; see call_on_successors() */
    void (*doubt)(void *ctx);
    /** relay - pass the response in hand to the caller, as being in @dialog */
    void (*relay)(void *ctx, unsigned branch, uint8_t dialog);
    /** keep - the final response in hand is the best so far (RFC 3261 section 16.7) */
    void (*keep)(void *ctx, unsigned branch);
    /** finish - final answer to the caller: CALL_PASS the one kept, else a status of our own */
    void (*finish)(void *ctx, int status);
    /** acknowledge - ACK the 2xx of an INVITE: the ACK in hand, if there is one */
    void (*acknowledge)(void *ctx, unsigned invite);
    /** refuse_dialog - a 2xx that came too late, or second: ACK and BYE in its own dialog */
    void (*refuse_dialog)(void *ctx, uint8_t dialog);
    /** hang_up - BYE in the confirmed dialog of @leg */
    void (*hang_up)(void *ctx, enum call_leg leg);
    /** changed - the only place where a state is told.  CALL_ENDED is the last callback of all; the
     *  call is to be freed after the function that brought it there has returned. */
    void (*changed)(void *ctx, enum call_state was, enum call_state now, const char *reason);
};

/**
 * call_new - a call begins with its initial request
 * @conf, @out: kept; shared by all calls
 * @ctx:        handed to the callbacks
 * Returns: the call in state SEARCHING, NULL without memory.
 */
struct call *call_new(enum call_kind kind, const struct call_conf *conf, const struct call_out *out,
                      void *ctx, struct moment now);
void call_free(struct call *c);

enum call_state call_state(const struct call *c);
enum call_kind call_kind(const struct call *c);
const char *call_state_name(enum call_state state);

/** call_awaits_ack - a 2xx to an INVITE was sent on and has no ACK yet. */
bool call_awaits_ack(const struct call *c);

enum call_invite {
    CALL_INVITE_NONE,
    CALL_INVITE_PENDING,
    CALL_INVITE_ANSWERED,
    CALL_INVITE_ACKNOWLEDGED
};
enum call_invite call_invite_state(const struct call *c, unsigned invite);

/** call_is_initial_over - is nothing of the initial request under way any more? */
bool call_is_initial_over(const struct call *c);

/** call_is_parted - it is over, and both ends know: one has hung up, and the other has responded to
 * that or has hung up, too. */
bool call_is_parted(const struct call *c);

/** call_winner - the dialog that was confirmed, CALL_NO_DIALOG before that. */
uint8_t call_winner(const struct call *c);

/**
 * call_on_targets - the overlay said who is to be asked
 * @count: 1 to CALL_BRANCHES_MAX less the branches there are; more are not tried
 * Branches are numbered on from those of an earlier search.
 */
void call_on_targets(struct call *c, struct moment now, const struct call_target *targets,
                     size_t count);

/** call_is_silent - was the request sent to hops that have said nothing yet, and to nobody else? */
bool call_is_silent(const struct call *c);

/**
 * call_on_successors - those who are silent are not what they were any more
 * @targets: who is in their place; with @count 0 the call goes on as if they were given up
 * Only while call_is_silent().  Branches are numbered on.
 */
void call_on_successors(struct call *c, struct moment now, const struct call_target *targets,
                        size_t count);

/** call_on_no_target - nobody is to be asked; the best refusal so far answers the caller, or
 * @status without one. */
void call_on_no_target(struct call *c, struct moment now, int status, const char *reason);

/** A response as the machine sees it. */
struct call_response {
    int status;         /* 100..699 */
    uint8_t dialog;     /* CALL_NO_DIALOG if there is no tag */
    bool is_ours;       /* made by our own transaction layer: transport failure, timeout */
    bool is_flow_lost;  /* 430, or 408: the phone may hear another flow of it */
    bool is_stale;      /* "nobody here", by news that may be old: another search may find him */
    bool is_elsewhere;  /* a gateway does not know the callee, or cannot: another one may */
    bool is_void;       /* made of a 2xx that is of no use: no refusal says more than that */
    uint32_t expires_s; /* 2xx: Session-Expires, or Expires of a subscription; 0 without */
};

/** call_on_response - a branch of the initial request was answered. */
void call_on_response(struct call *c, struct moment now, unsigned branch,
                      const struct call_response *response);

/** call_on_cancel - the caller gave up, or there is no longer a way to him. */
void call_on_cancel(struct call *c, struct moment now);

/** call_on_ack - who sent this INVITE acknowledged its 2xx. */
void call_on_ack(struct call *c, struct moment now, unsigned invite);

/** call_on_answered_again - the 2xx of an INVITE is repeated in the confirmed dialog.
 *  Returns: CALL_PASS to pass it on (our ACK waits for the other side's), else CALL_SWALLOW. */
int call_on_answered_again(struct call *c, struct moment now, unsigned invite);

/**
 * call_on_request - a request inside a dialog
 * @ret_exchange: its number, when it is to be passed to the other leg
 * Returns: CALL_PASS; else the status to refuse (or, for crossing BYEs, accept) it with.  500 goes
 *          with a Retry-After (RFC 3261 section 14.2).
 */
int call_on_request(struct call *c, struct moment now, enum call_leg leg, enum call_method method,
                    unsigned *ret_exchange);

/** call_invite_of - the number of the INVITE that an exchange is; one that had it before has gone
 */
unsigned call_invite_of(const struct call *c, unsigned exchange);

/**
 * call_on_answer - an exchange was answered
 * @is_last: in a session a NOTIFY that says that its subscription is terminated; else the response
 *           with which the last of the subscriptions is over
 * Returns: CALL_PASS, CALL_SWALLOW, or the status to put in its place.
 */
int call_on_answer(struct call *c, struct moment now, unsigned exchange,
                   const struct call_response *response, bool is_last);

/** What another gateway had of a call, or a subscription, that is up. */
struct call_adopted {
    bool is_subscription;
    uint32_t lifetime_s; /* as call_lifetime_s(); begins anew */
    unsigned invites;    /* answered by a 2xx; numbered in this order */
    struct {
        bool awaits_ack;
        enum call_leg from;
    } invite[CALL_INVITES_MAX];
};

/** call_adopt - a call that is up already: CONFIRMED, its winner dialog 0; else as call_new(). */
struct call *call_adopt(const struct call_conf *conf, const struct call_out *out, void *ctx,
                        struct moment now, const struct call_adopted *how);

/** call_release - another gateway has it: nothing is asked for any more but call_out.changed(), and
 * it ends as soon as the exchanges that are open, and an INVITE of its own, have ended. */
void call_release(struct call *c, struct moment now);

/** call_refreshed - a refresh of the gateway's own was accepted; @lifetime_s 0: without limit */
void call_refreshed(struct call *c, struct moment now, uint32_t lifetime_s);

/** call_prolong - a subscription of a forked request lasts @lifetime_s from now, if not longer */
void call_prolong(struct call *c, struct moment now, uint32_t lifetime_s);

/** call_may_fork - may a NOTIFY bring up a subscription of another phone? (RFC 6665 section
 *  4.1.2.4)  One that another gateway had may have been up there. */
bool call_may_fork(const struct call *c, struct moment now);

uint32_t call_lifetime_s(const struct call *c);

/**
 * call_begin_invite - an INVITE of the gateway itself towards @leg: a target refresh
 * Returns: false where another INVITE is under way: to be tried later.
 */
bool call_begin_invite(struct call *c, enum call_leg leg, unsigned *ret_invite);

/** call_end_invite - it was answered; @is_accepted by a 2xx, which the shell has acknowledged. */
void call_end_invite(struct call *c, struct moment now, unsigned invite, bool is_accepted);

/** call_hang_up - end it from here: shutdown, or the operator. */
void call_hang_up(struct call *c, struct moment now, const char *reason);

void call_tick(struct call *c, struct moment now);
uint64_t call_deadline_ms(const struct call *c);

#endif
