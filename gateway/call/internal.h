/**
 * DOC: what the files of the call's machine share
 *
 * call.c is the call as a whole and its dialog; call_initial.c its initial request, whom it is sent
 * to and which answer wins; call_invites.c its INVITEs from their request to their ACK.
 */
#ifndef GATEWAY_CALL_INTERNAL_H
#define GATEWAY_CALL_INTERNAL_H

#include "gateway/call/call.h"

/** BRANCH_GIVEN_UP: called off before its end.  Nothing of it counts any more, but whoever picks up
 *  behind it is told that it is over (RFC 3261 section 13.2.2.4). */
enum branch_state { BRANCH_WAITING, BRANCH_SENT, BRANCH_HEARD, BRANCH_GIVEN_UP, BRANCH_DONE };

struct branch {
    enum branch_state state;
    uint8_t group;
    uint8_t phone; /* struct call_target */
    bool is_hop, is_other;
    bool is_sent;         /* to be asked again: its request is under way */
    bool is_reached;      /* someone answered, be it with a refusal */
    bool is_elsewhere;    /* with one that says nothing of the callee (struct call_response) */
    uint64_t deadline_ms; /* of its final response (timer C); once given up, of its end */
};

/** Branches matter until the initial request is settled; a call that is up has none. */
struct branches {
    size_t count;
    unsigned others;   /* that were asked because those before did not know the callee */
    bool is_sought;    /* and whether there are more, the overlay has been asked */
    int best;          /* status of the response kept, 0 for none */
    bool is_best_ours; /* no response is kept: the status is our own */
    bool is_best_void; /* somebody has picked up in vain: but for a 6xx there is no better one */
    uint8_t group;
    unsigned searches;        /* after the first */
    uint64_t search_at_ms;    /* the next; MOMENT_NEVER while none is waited for */
    uint64_t rescue_until_ms; /* a hop that is lost has a successor by then; 0: none is lost */
    bool has_given_up;        /* the caller has its answer: whatever comes is not for him */
    uint64_t hop_deadline_ms;
    uint64_t doubt_at_ms; /* the next; MOMENT_NEVER while nobody is silent */
    struct branch branch[CALL_BRANCHES_MAX];
};

struct exchange {
    bool is_open;
    uint8_t from;
    uint8_t method;
    uint8_t invite; /* its number, if it is one */
};

struct invite {
    uint64_t ack_deadline_ms; /* of a 2xx */
    uint8_t state;            /* enum call_invite */
    uint8_t from;             /* who sent it, or would have */
    bool is_own;              /* the gateway's: its 2xx must be acknowledged */
};

struct call {
    const struct call_conf *conf;
    const struct call_out *out;
    void *ctx;
    struct branches *branches;
    uint64_t deadline_ms;     /* of the state; the branches have their own */
    uint64_t bye_deadline_ms; /* who was refused his BYE says it again until then */
    uint64_t forks_until_ms;  /* other phones' subscriptions may come up until then */
    uint32_t lifetime_s;      /* of the session or subscription; 0 without limit */
    uint8_t kind;
    uint8_t state;
    uint8_t winner;
    bool is_unsubscribed;  /* no subscription of it is left */
    bool is_adopted;       /* another gateway had it */
    uint8_t byes;          /* bit for each leg that said BYE, or was sent one by us */
    bool is_parted;        /* call_is_parted() */
    uint8_t subscriptions; /* REFERs accepted inside the dialog; they outlive the session */
    struct exchange exchange[CALL_EXCHANGES_MAX];
    struct invite invite[CALL_INVITES_MAX];
};

/* ---- call.c ---- */

/** call_become - the one place where the state changes */
void call_become(struct call *c, struct moment now, enum call_state state, const char *reason);

/** call_settle - a call that is over goes once nothing is under way any more; the last thing that a
 * function does */
void call_settle(struct call *c, struct moment now);

/** call_unsubscribed - its last subscription is over: it goes, once no other can come up */
void call_unsubscribed(struct call *c, struct moment now);

/** call_end - both sides are told that it is over; a side that said BYE itself, or was sent one, is
 * not */
void call_end(struct call *c, struct moment now, const char *reason);

static inline enum call_leg
call_other(enum call_leg leg)
{
    return leg == CALL_CALLER ? CALL_CALLEE : CALL_CALLER;
}

/* ---- call_invites.c ---- */

/** invites_refusal - 0; or what an INVITE of @leg is refused with, as another is pending */
int invites_refusal(const struct call *c, enum call_leg leg);

/** invites_take - a number for a new INVITE; CALL_INVITES_MAX if all wait for their ACK */
unsigned invites_take(struct call *c, enum call_leg from);

void invites_answered(struct call *c, struct moment now, unsigned invite);
bool invites_has(const struct call *c, enum call_invite state);

/** invites_has_own - is one of the gateway's own under way? */
bool invites_has_own(const struct call *c);

/** invites_settle - acknowledge each that still waits for its ACK, and forget it */
void invites_settle(struct call *c);
/** invites_forget - forget each that still waits for its ACK; the gateway's own too, if @own_too */
void invites_forget(struct call *c, bool own_too);

void invites_tick(struct call *c, struct moment now);
uint64_t invites_deadline_ms(const struct call *c);

/* ---- call_initial.c ---- */

/** call_finish - give the caller his final answer; branches that still run are called off */
void call_finish(struct call *c, struct moment now, int status, const char *reason);

/** call_initial_is_open - is an answer of a branch still to come? */
bool call_initial_is_open(const struct call *c);

/** call_initial_is_over - may no response of any branch come that has to be dealt with? */
bool call_initial_is_over(const struct call *c);

void call_initial_tick(struct call *c, struct moment now);
uint64_t call_initial_deadline_ms(const struct call *c);

#endif
