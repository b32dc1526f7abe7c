/** DOC: inside the B2BUA: who the initial request is for, its branches, and what they answer */
#ifndef GATEWAY_SIP_B2BUA_INITIAL_H
#define GATEWAY_SIP_B2BUA_INITIAL_H

#include "gateway/call/call.h"
#include "gateway/sip/ask.h"
#include "gateway/sip/phone_via.h"

struct b2bua;
struct b2bua_call;

struct b2bua_branch {
    struct b2bua_call *call;
    unsigned index;
    nta_outgoing_t *orq;
    uint64_t sent_ms;   /* when it was asked first */
    bool is_verified;   /* the far gateway is who it should be */
    bool is_heard;      /* a provisional answer came: CANCEL may follow */
    bool is_cancel_due; /* CANCEL as soon as it may */
    bool is_dropped;    /* silent and given up for good */
    bool is_elsewhere;  /* its gateway does not know the callee */
    bool is_way_lost;   /* its connection was gone when it was looked at last */
    char *reason;       /* of that CANCEL; or NULL */
    msg_t *held;        /* a 2xx that waits for the fence (fence.h); or NULL */
    bool is_counted;    /* by the limit of INVITEs under way to one phone */
    struct sip_target target;
    char *request_uri; /* the target's */
    char *path;        /* the same; or NULL */
    struct id node;    /* of a far gateway */
    bool is_by_uri;    /* a phone's Contact, which can be reached without its serving peer */
    struct phone_via phone_via; /* should that peer be lost */
    uint64_t phone;             /* hash of the instance whose flow it is (RFC 5626); 0: of none */
};

#define B2BUA_LOOKUPS_MAX 8 /* AORs that lead to AORs */

/** Whom a call from another overlay is for: the user that it names and, one after the other, those
 *  that his contacts name in turn; all that are found are tried together. */
struct b2bua_search {
    char *aor[B2BUA_LOOKUPS_MAX];
    unsigned count; /* of @aor */
    unsigned done;  /* of them, looked up */
    struct call_target target[CALL_BRANCHES_MAX];
    size_t made; /* of @target */
    bool is_cached;
    bool is_known;    /* somebody was bound once */
    bool is_looped;   /* a contact leads back to its user */
    enum status lost; /* an AOR could not be looked up: why */
};

/** The initial request, until nothing of it is under way. */
struct b2bua_initial {
    msg_t *request;
    msg_t *kept;     /* the best refusal so far */
    int kept_status; /* or, where that was a 2xx that cannot be used, what is said of it */
    int unusable;    /* the 2xx in hand is such a one: the status in its place */
    struct ask ask;
    bool wants_search;
    bool is_to_place;                      /* it is for our Contact in another call */
    bool is_outdated;                      /* a serving peer says that another is the gateway */
    bool is_peer_lost;                     /* a serving peer did not answer: who is there? */
    bool is_sips_lost;                     /* a contact's way would leave TLS */
    struct b2bua_search search;            /* inward */
    char overlay[OVERLAY_NAME_BYTES];      /* outward: whom the domain belongs to */
    char from_overlay[OVERLAY_NAME_BYTES]; /* inward: of the caller's gateway */
    uint8_t groups;                        /* outward: made so far */
    unsigned count;
    struct b2bua_branch *branch[CALL_BRANCHES_MAX];
};

bool b2bua_initial_new(struct b2bua_call *c, const sip_t *sip, const struct sip_sender *sender);
void b2bua_initial_free(struct b2bua_call *c);
/** b2bua_initial_start - ask the overlay who it is for */
void b2bua_initial_start(struct b2bua_call *c);
/** b2bua_initial_doubt - the far gateways are silent: ask the ring whether they still are gateways,
 *  and if they are not, go on with those that are */
void b2bua_initial_doubt(struct b2bua_call *c);
/** b2bua_search_again - look for the callee from the start, past what is cached */
void b2bua_search_again(struct b2bua_call *c);
bool b2bua_initial_is_idle(const struct b2bua_call *c);

/* ---- b2bua_branch.c: what the machine asks for, and what the branches answer ---- */

extern const struct call_out b2bua_call_out;
/** b2bua_cut_lifetime - @s seconds as far as a dialog is let live, and time for a refresh that is
 *  under way */
uint32_t b2bua_cut_lifetime(unsigned long s);
/** b2bua_lifetime_s - how long a 2xx lets its dialog live without a refresh (RFC 4028, RFC 6665) */
uint32_t b2bua_lifetime_s(const struct b2bua_call *c, const sip_t *sip);

/** b2bua_branch_look - a branch to a node that rings there, and whose connection is gone, has
 * failed */
void b2bua_branch_look(struct b2bua_call *c);
/** b2bua_branch_lose - nothing will come of a request that was heard; the call is held */
void b2bua_branch_lose(struct b2bua_branch *b);

void b2bua_branch_uncount(struct b2bua_branch *b);

#endif
