/**
 * DOC: inside the B2BUA: one call, its two legs and their messages
 *
 *      caller's side                              callee's side
 *      peer of the caller's leg   struct call     a dialog for each far tag, one of them the winner
 *            |                   (gateway/call/)        |
 *      b2bua_on_request() --> b2bua_exchange.c --> b2bua_message.c --> sip_send()
 *      b2bua_initial.c asks the overlay and keeps the branches until one is answered
 *
 * Every tag we give is ours, random and unique, so a message inside a dialog is found by its To tag
 * (a response by its From tag) alone; Call-ID and the other tag are then compared.  From and To
 * keep their URIs, only the tags differ on the two legs; Call-ID, CSeq, Contact, Via, Route and
 * Record-Route are each leg's own; all other header fields and bodies are shared with the message
 * they came in.
 *
 * A struct b2bua_call is stepped between b2bua_call_hold() and b2bua_call_release(): what the
 * machine asks for is done meanwhile, and the release arms the timer, and frees what is over.
 */
#ifndef GATEWAY_SIP_B2BUA_CALL_H
#define GATEWAY_SIP_B2BUA_CALL_H

#include "gateway/call/call.h"
#include "gateway/call/record.h"
#include "gateway/sip/ask.h"
#include "gateway/sip/b2bua.h"
#include "gateway/sip/b2bua_check.h"

#define B2BUA_TAG_CHARS   16
#define B2BUA_TOKEN_CHARS 20
#define B2BUA_HASH_CHARS  12 /* of a tag that is a hash of the caller's names */
#define B2BUA_EARLY_MAX   32 /* early dialogs; a provisional response of one more is discarded */
#define B2BUA_DIALOGS_MAX 34 /* there is room for two with a 2xx beside them */
#define B2BUA_SLOTS       512
#define B2BUA_SLOT_MS     50
#define B2BUA_DOUBT_MS                                                                             \
    250                      /* a far gateway says 100 within B2BUA_SLOT_MS; one that has not may  \
                                be dead: is there another in its place by now? */
#define B2BUA_DOUBTS_MS   50 /* the same question again */
#define B2BUA_SILENCE_MS  1000 /* it is not there, whatever the ring says */
#define B2BUA_LOOKUPS_MAX 5    /* contacts that are users of this domain again */

#define B2BUA_COPY_MS      20         /* changed calls are told to the overlay thread so often */
#define B2BUA_COPIES_MAX   256        /* in one message */
#define B2BUA_COPIES_BYTES (1u << 20) /* and no more after so many bytes */
#define B2BUA_TOO_LARGE_MS 1000       /* a call too large to be copied is logged so often */
#define B2BUA_CSEQ_STEP    256        /* a copy is old by fewer requests than that */

struct b2bua_call;

/** A list of our tags that grows. */
struct b2bua_tag_list {
    char (*tag)[B2BUA_TAG_CHARS + 1];
    size_t count;
    size_t cap;
};

struct b2bua {
    struct sip *sip;
    struct map *tags;   /* our tag -> struct b2bua_key */
    struct map *places; /* token -> struct b2bua_place: b2bua_place.c */
    struct list_node places_over;
    struct list_node calls;
    size_t count;
    size_t unacknowledged;
    uint64_t name_seed[3];
    struct call_conf outward; /* a call from this island: targets are gateways */
    struct call_conf inward;  /* a call to this island: targets are phones */
    /* calls by their deadline: a wheel of slots */
    struct list_node slot[B2BUA_SLOTS];
    uint64_t slot_at; /* number of the last slot served */
    su_timer_t *timer;
    struct list_node untold; /* struct b2bua_trying: requests whose sender waits for a 100 */
    struct list_node silent; /* struct b2bua_exchange: sent to a far gateway, by doubt_ms */
    /* what the stand-bys have to hear of: b2bua_copy.c */
    struct list_node changed;   /* calls, by changed_link */
    struct b2bua_tag_list over; /* of calls that had been copied, and are no more */
    size_t too_large;           /* calls that cannot be copied */
    uint64_t too_large_ms;      /* when that was last logged */
    su_timer_t *copy_timer;
    bool is_copy_armed;
    /* calls of another gateway that are to hear of us: b2bua_refresh.c */
    struct list_node refreshes; /* struct b2bua_refresh */
    su_timer_t *refresh_timer;
    bool is_refresh_armed;
    unsigned refreshing; /* requests under way */
    uint64_t taken_ms;   /* since when there have been any */
    size_t taken;        /* calls, since then */
    bool has_ports;
    char port[SIP_SIDES][8]; /* of our Contact */
};

/** What one of our tags stands for. */
struct b2bua_key {
    struct b2bua_call *call;
    uint8_t leg;
    uint8_t dialog; /* CALL_NO_DIALOG: the callee's leg, whichever dialog the From tag says */
};

/**
 * A request from a hop: it hears 100 within B2BUA_SLOT_MS unless the answer is faster (RFC 3261
 * section 17.2.1, and 4320 section 4.1 for others than INVITE over TLS), and so knows that we are
 * there.  Phones hear it at once.
 */
struct b2bua_trying {
    struct list_node link;
    nta_incoming_t **irq;
};

/** How requests reach the other end of a dialog. */
#define B2BUA_WAY_BYTES (SIP_URI_BYTES + 8)

struct b2bua_peer {
    enum sip_side side;
    bool is_phone; /* it sends to us without a peer of the overlay between, whatever @side says: our
                      Contact is the one for phones */
    bool is_stream;
    tport_t *tport;  /* a phone's own connection, kept; or NULL */
    char *target;    /* its Contact */
    char *known;     /* where it was reached before, should its Contact be a name of its own */
    char *next_hop;  /* where neither target nor route say it; or NULL */
    char *route;     /* route set as the value of a Route header field; or NULL */
    bool is_by_flow; /* of a phone: @route leads to the node that holds its flow, whoever has the
                        call */
};

struct b2bua_dialog {
    struct b2bua_key key;
    char our_tag[B2BUA_TAG_CHARS + 1]; /* what the caller has as To tag */
    char *far_tag;
    struct b2bua_peer peer;
    /* of a SUBSCRIBE or REFER */
    bool is_subscribed;    /* by its 2xx or a NOTIFY */
    bool is_over;          /* its subscription was, and is no more */
    uint32_t peer_cseq[2]; /* by enum call_leg */
};

struct b2bua_branch {
    struct b2bua_call *call;
    unsigned index;
    nta_outgoing_t *orq;
    bool is_verified;   /* the far gateway is who it should be */
    bool is_heard;      /* a provisional answer came: CANCEL may follow */
    bool is_cancel_due; /* CANCEL as soon as it may */
    bool is_dropped;    /* silent and given up for good */
    char *reason;       /* of that CANCEL; or NULL */
    bool is_counted;    /* by the limit of INVITEs under way to one phone */
    struct sip_target target;
    char *request_uri; /* the target's */
    char *path;        /* the same; or NULL */
    struct id node;    /* of a far gateway */
    uint64_t phone;    /* hash of the instance whose flow it is (RFC 5626); 0: of none */
};

/** The initial request, until nothing of it is under way. */
struct b2bua_initial {
    msg_t *request;
    msg_t *kept;     /* the best refusal so far */
    int kept_status; /* or, where that was a 2xx that cannot be used, what is said of it */
    int unusable;    /* the 2xx in hand is such a one: the status in its place */
    struct ask ask;
    unsigned lookups;
    bool wants_search;
    bool is_to_place;                      /* it is for our Contact in another call */
    bool is_peer_lost;                     /* a serving peer did not answer: who is there? */
    bool is_sips_lost;                     /* a contact's way would leave TLS */
    bool is_from_cache;                    /* inward: the bindings may be a little old */
    char aor[AOR_BYTES];                   /* inward: whom we look for */
    char overlay[OVERLAY_NAME_BYTES];      /* outward: whom the domain belongs to */
    char from_overlay[OVERLAY_NAME_BYTES]; /* inward: of the caller's gateway */
    uint8_t groups;                        /* outward: made so far */
    unsigned count;
    struct b2bua_branch *branch[CALL_BRANCHES_MAX];
};

struct b2bua_exchange {
    struct b2bua_call *call;
    unsigned number;
    enum call_leg from;
    uint8_t dialog;
    bool is_invite;
    uint8_t invite;      /* its number, if it is one */
    bool is_last;        /* a NOTIFY that ends its subscription */
    uint32_t lifetime_s; /* what a NOTIFY says is left of its subscription; 0: nothing said */
    bool is_heard;
    bool is_sips_lost; /* it may not go the way it would have to */
    bool is_cancel_due;
    char *reason;   /* of that CANCEL; or NULL */
    bool has_moved; /* sent again to the gateway that took over */
    struct list_node silent_link;
    uint64_t doubt_ms;   /* when its silence is looked at next */
    uint64_t give_up_ms; /* when it is taken for an answer */
    nta_incoming_t *irq;
    nta_outgoing_t *orq;
    struct b2bua_trying trying;
    struct ask ask;
};

/** An INVITE on both legs, from its request until no ACK and no repeated 2xx of it can come. */
struct b2bua_invite {
    uint8_t from;        /* enum call_leg: who sent it, or would have */
    bool is_own;         /* the gateway's: nobody's ACK acknowledges it */
    uint32_t in_cseq;    /* as it came */
    uint32_t out_cseq;   /* as it was sent on */
    nta_incoming_t *irq; /* until its ACK: repeated 2xx are passed on by it; NULL while pending */
    msg_t *ack;          /* an ACK with a body (the answer to a late offer), for repeated 2xx */
};

/** What one end has said of itself, for a gateway that takes the call over. */
struct b2bua_end {
    char *sdp; /* not terminated; NULL if it sent none */
    size_t sdp_len;
    bool knows_update;
};

/** A call of another gateway: each end is told where its requests have to go from now on. */
struct b2bua_refresh_leg {
    struct b2bua_call *call;
    enum call_leg leg;
    bool is_due;
    bool is_invite;  /* what is under way, or, as it knows no UPDATE, will be */
    unsigned invite; /* its number */
    unsigned tries;
    uint64_t at_ms; /* not before this */
    nta_outgoing_t *orq;
    struct ask ask;               /* who is the gateway of the far overlay now? */
    char next_hop[SIP_URI_BYTES]; /* the answer; "" */
};
struct b2bua_refresh {
    struct list_node link; /* in the order in which they are to be looked at */
    struct b2bua_refresh_leg leg[2];
};

struct b2bua_call {
    struct b2bua *b2bua;
    struct call *core;
    struct list_node link;
    struct list_node slot_link;
    unsigned holds;
    bool is_inward;
    bool is_unacknowledged;
    char token[B2BUA_TOKEN_CHARS + 1];
    struct b2bua_place *place;
    uint64_t since_wall_ms;
    char *from_uri;
    char *to_uri;
    char *far_overlay; /* the leg that leads to another island belongs to this name */
    /* the caller's leg */
    char *caller_call_id;
    char *caller_tag;
    struct b2bua_peer caller;
    char answer_tag[B2BUA_TAG_CHARS + 1]; /* of the first dialog, and of refusals */
    /* the callee's leg */
    char callee_call_id[B2BUA_TOKEN_CHARS + 1];
    char our_tag[B2BUA_TAG_CHARS + 1]; /* our From tag */
    struct b2bua_key callee_key;
    struct b2bua_dialog **dialog; /* by b2bua_dialog_at() */
    uint8_t dialog_count;
    /* both, by enum call_leg */
    uint32_t cseq[2];      /* of our last request */
    uint32_t peer_cseq[2]; /* of theirs */
    uint32_t initial_cseq; /* of the initial request, on the callee's leg */
    nta_incoming_t *irq;   /* the initial request, until its final response */
    struct b2bua_invite *invite[CALL_INVITES_MAX];
    msg_t *in_hand; /* the message the machine is stepped with; borrowed */
    struct b2bua_end end[2];
    uint32_t session_s; /* Session-Expires; 0 without (RFC 4028) */
    uint8_t refresher;  /* enum call_leg */
    bool is_copied;     /* the overlay thread has a record of it */
    bool is_too_large;  /* its record is: the stand-bys do not get it */
    bool is_released;   /* it is another gateway's */
    bool is_adopted;    /* it was another gateway's */
    struct list_node changed_link;
    struct b2bua_refresh *refresh; /* until both ends have heard of us */
    struct b2bua_trying trying;
    struct b2bua_initial *initial;
    struct b2bua_exchange *exchange[CALL_EXCHANGES_MAX];
    struct b2bua_refers *refers; /* b2bua_refer.c; NULL until there is one */
};

/* ---- b2bua.c ---- */

void b2bua_call_hold(struct b2bua_call *c);
void b2bua_call_release(struct b2bua_call *c);
static inline enum call_leg
b2bua_other(enum call_leg leg)
{
    return leg == CALL_CALLER ? CALL_CALLEE : CALL_CALLER;
}

/** b2bua_trying_start - see struct b2bua_trying; @irq may become NULL, not move */
void b2bua_trying_start(struct b2bua *b, struct b2bua_trying *t, nta_incoming_t **irq,
                        const struct sip_sender *sender);

/** b2bua_find - the call and dialog of one of our tags; NULL if nobody has it. */
struct b2bua_key *b2bua_find(struct b2bua *b, const char *tag);

/** b2bua_learn_ports - Contact carries the port others reach; for phones that of the first
 * listening address.  Once the agents listen. */
void b2bua_learn_ports(struct b2bua *b);

/** b2bua_call_alloc - an empty call, in no list and without a machine; NULL without memory */
struct b2bua_call *b2bua_call_alloc(struct b2bua *b);

/** b2bua_call_free - at once, whatever is under way; not for a call that is held */
void b2bua_call_free(struct b2bua_call *c);

/* ---- b2bua_copy.c: what the stand-bys have to know of a call ---- */

/** b2bua_learn - what a message of @leg's end says of its media and its abilities */
void b2bua_learn(struct b2bua_call *c, enum call_leg leg, const sip_t *sip);

/** b2bua_learn_timer - what a 2xx says of the session timer; @asked_by sent the request */
void b2bua_learn_timer(struct b2bua_call *c, enum call_leg asked_by, const sip_t *sip);

/** b2bua_changed - a call that is up differs from its copies; they hear of it B2BUA_COPY_MS later
 */
void b2bua_changed(struct b2bua_call *c);

/** b2bua_over - a call is freed: its copies are of no use any more */
void b2bua_over(struct b2bua_call *c);
/** b2bua_tag_over - the same for a call that could not be taken over, by our tag in it */
void b2bua_tag_over(struct b2bua *b, const char *tag);

/** b2bua_record - a call that is up as its record; borrows from it, and from @ways */
void b2bua_record(const struct b2bua_call *c, char ways[2][B2BUA_WAY_BYTES],
                  struct call_record *ret);

/**
 * b2bua_way_write - how another gateway reaches a phone that is reached on a flow of this node: a
 * Route of this node with the flow's token; "" where its Contact will do
 */
void b2bua_way_write(struct sip *s, const struct b2bua_peer *p, char ret_way[B2BUA_WAY_BYTES]);

/**
 * b2bua_way_take - @p's route is such a Route, out of a record: go by it
 * @dead: peer URI of a node that is no more; or NULL
 *
 * Where this very node is meant it is the flow again, where @dead is, nothing.
 */
void b2bua_way_take(struct sip *s, struct b2bua_peer *p, const char *dead);

NODISCARD enum status b2bua_copy_new(struct b2bua *b);
void b2bua_copy_free(struct b2bua *b);

/* ---- b2bua_refresh.c: calls that were another gateway's ---- */

/** b2bua_refresh_start - tell both ends of a call where their requests go from now on: paced,
 * UPDATE or, where that is not known, INVITE with the other end's last SDP */
void b2bua_refresh_start(struct b2bua_call *c);
void b2bua_refresh_free(struct b2bua_call *c);
/** b2bua_refresh_stop - there is nothing to tell any more; an INVITE under way is still
 * acknowledged */
void b2bua_refresh_stop(struct b2bua_call *c);

NODISCARD enum status b2bua_refresh_new(struct b2bua *b);
void b2bua_refresh_end(struct b2bua *b);

/** b2bua_is_takeover - a far gateway tells that it has the call now; understood by the gateway
 *  itself, not passed on */
bool b2bua_is_takeover(const sip_t *sip, const struct sip_sender *sender);

/* ---- b2bua_dialog.c: tags, and ways to the other end ---- */

/**
 * b2bua_dialog_of - the dialog of a far tag, made if need be
 * @far_tag:  NULL is a tag too (RFC 3261 section 12.1.2)
 * @is_final: for a 2xx, which always has room
 * Returns: its number, CALL_NO_DIALOG without memory or room.
 */
uint8_t b2bua_dialog_of(struct b2bua_call *c, const char *far_tag, bool is_final);
/** b2bua_dialog_at - by its number; NULL if there is none */
static inline struct b2bua_dialog *
b2bua_dialog_at(const struct b2bua_call *c, uint8_t dialog)
{
    return dialog < c->dialog_count ? c->dialog[dialog] : NULL;
}
/** b2bua_dialog_put - keep it under the first free number; false without memory or room for it */
bool b2bua_dialog_put(struct b2bua_call *c, struct b2bua_dialog *d, bool is_final);
/** b2bua_dialog_find - the same, but never made. */
uint8_t b2bua_dialog_find(const struct b2bua_call *c, const char *far_tag);
void b2bua_dialog_drop(struct b2bua_call *c, uint8_t dialog);

/** b2bua_peer_of - the other end of a leg; NULL if there is no such dialog. */
struct b2bua_peer *b2bua_peer_of(struct b2bua_call *c, enum call_leg leg, uint8_t dialog);

/** b2bua_peer_from_request - learn from a request that opens a dialog */
void b2bua_peer_from_request(const struct sip *s, struct b2bua_peer *p, const sip_t *sip,
                             const struct sip_sender *sender);
/** b2bua_peer_learn_target - from a request that refreshes it, once that is accepted */
void b2bua_peer_learn_target(struct b2bua_peer *p, const sip_t *sip);
/** b2bua_peer_learn_flow - a phone sends over another connection now */
void b2bua_peer_learn_flow(struct b2bua_peer *p, const struct sip_sender *sender);
/** b2bua_peer_from_response - the same from a response; @route_too when it opens the dialog */
void b2bua_peer_from_response(const struct sip *s, struct b2bua_peer *p, const sip_t *sip,
                              bool route_too);
/** b2bua_peer_from_target - the way a branch was sent is the way of its dialogs */
void b2bua_peer_from_target(struct b2bua_peer *p, const struct sip_target *target);
void b2bua_peer_done(struct b2bua_peer *p);

/** b2bua_text_of_url - allocated; NULL without memory, or for one that cannot be written */
char *b2bua_text_of_url(const url_t *url);

/** b2bua_peer_target - in NTA's terms; the route set is put into the message, not here */
void b2bua_peer_target(struct b2bua *b, const struct b2bua_peer *p, struct sip_target *ret);

/* ---- b2bua_message.c: from one leg to the other ---- */

/** b2bua_initial_request - the initial request as a branch sends it; NULL without memory. */
msg_t *b2bua_initial_request(struct b2bua_call *c, const struct sip_target *target);

/** b2bua_dialog_request - a request from the other leg, for @leg in @dialog with CSeq @cseq */
msg_t *b2bua_dialog_request(struct b2bua_call *c, enum call_leg leg, uint8_t dialog, msg_t *in,
                            uint32_t cseq);

/** b2bua_set_contact - our Contact, in place of theirs: <sip:CALL-TOKENx@ADDRESS>, where x says
 * which end it stands for; @p is the caller's or of the callee's leg */
bool b2bua_set_contact(const struct b2bua_call *c, msg_t *msg, sip_t *sip,
                       const struct b2bua_peer *p);

/** b2bua_own_request - a request of our own: ACK, BYE, or what a refresh begins with */
msg_t *b2bua_own_request(struct b2bua_call *c, enum call_leg leg, uint8_t dialog,
                         sip_method_t method, uint32_t cseq);

/**
 * b2bua_pass_response - answer a request of @leg with a response of the other leg
 * @to_tag: set where the request had none
 */
void b2bua_pass_response(struct b2bua_call *c, enum call_leg leg, uint8_t dialog,
                         nta_incoming_t *irq, msg_t *in, const char *to_tag);

/** b2bua_map_replaces - Replaces, Join and Target-Dialog, in header fields or inside Refer-To, name
 * the dialog as the other end of the call it belongs to knows it (RFC 3891, 3911, 4538) */
void b2bua_map_replaces(struct b2bua *b, msg_t *msg, sip_t *sip);

/**
 * b2bua_map_refer - Event of a NOTIFY or SUBSCRIBE names a REFER of this call by the CSeq that it
 * has at @leg, where the request goes (RFC 3515 section 2.4.6); a REFER is remembered
 * @in_cseq: of the request as it came; @sip has that which it goes with
 */
void b2bua_map_refer(struct b2bua_call *c, enum call_leg leg, uint32_t in_cseq, msg_t *msg,
                     sip_t *sip);

/* ---- b2bua_branch.c: what the machine asks for, and what the branches answer ---- */

extern const struct call_out b2bua_call_out;
/** b2bua_cut_lifetime - @s seconds as far as a dialog is let live, and time for a refresh that is
 *  under way */
uint32_t b2bua_cut_lifetime(unsigned long s);
/** b2bua_lifetime_s - how long a 2xx lets its dialog live without a refresh (RFC 4028, RFC 6665) */
uint32_t b2bua_lifetime_s(const struct b2bua_call *c, const sip_t *sip);

void b2bua_branch_uncount(struct b2bua_branch *b);

/* ---- b2bua_initial.c: who it is for, and from ---- */

bool b2bua_initial_new(struct b2bua_call *c, const sip_t *sip, const struct sip_sender *sender);
void b2bua_initial_free(struct b2bua_call *c);
/** b2bua_initial_start - ask the overlay who it is for */
void b2bua_initial_start(struct b2bua_call *c);
/** b2bua_initial_doubt - the far gateways are silent: ask the ring whether they still are gateways,
 *  and if they are not, go on with those that are */
void b2bua_initial_doubt(struct b2bua_call *c);
bool b2bua_initial_is_idle(const struct b2bua_call *c);

/* ---- b2bua_place.c: our Contact outside its dialog ---- */

/** b2bua_place_new - from now on it stands for the ends of the call; false without memory or room
 */
bool b2bua_place_new(struct b2bua_call *c);
/** b2bua_place_outlive - the call is freed; a Contact of one that was up stands for its ends yet */
void b2bua_place_outlive(struct b2bua_call *c);
void b2bua_place_tick(struct b2bua *b, uint64_t now_ms);
void b2bua_place_end(struct b2bua *b);

/**
 * b2bua_place_find - how the end is reached that a Contact's user stands for
 * @ret_far_overlay: whom that end belongs to, if it is not of ours; else NULL
 * Returns: borrowed; NULL if it stands for nobody.
 */
const struct b2bua_peer *b2bua_place_find(struct b2bua *b, const char *user,
                                          const char **ret_far_overlay);
/** b2bua_place_is - is a URI such a Contact? */
bool b2bua_place_is(struct b2bua *b, const url_t *url);
/** b2bua_place_aor - the URI of the user at that end; or NULL */
const char *b2bua_place_aor(struct b2bua *b, const char *user);

/* ---- b2bua_invite.c: ACKs and repeated 2xx ---- */

/** b2bua_invite_new - keep an INVITE under the machine's number; what had it before is dropped
 *  Returns: NULL without memory. */
struct b2bua_invite *b2bua_invite_new(struct b2bua_call *c, unsigned number, enum call_leg from);
void b2bua_invite_drop(struct b2bua_call *c, unsigned number);

/** b2bua_invite_answered - keep the server transaction of an INVITE that got its 2xx; takes @irq */
void b2bua_invite_answered(struct b2bua_call *c, unsigned number, nta_incoming_t *irq);

/** b2bua_invite_sent_by - the INVITE that @leg sent with this CSeq; CALL_INVITES_MAX if none */
unsigned b2bua_invite_sent_by(const struct b2bua_call *c, enum call_leg leg, uint32_t cseq);
/** b2bua_invite_sent_to - the same for the one that was sent on to @leg */
unsigned b2bua_invite_sent_to(const struct b2bua_call *c, enum call_leg leg, uint32_t cseq);

/** b2bua_invite_again - the 2xx in hand is one that @leg has sent before, in the confirmed dialog
 */
void b2bua_invite_again(struct b2bua_call *c, enum call_leg leg, uint32_t cseq);

/** b2bua_acknowledge - ACK the 2xx of an INVITE: the ACK in hand, the one kept, or bare */
void b2bua_acknowledge(struct b2bua_call *c, unsigned number);

/** b2bua_acknowledge_dialog - ACK the 2xx that a dialog of the callee's leg got the initial INVITE
 * with */
void b2bua_acknowledge_dialog(struct b2bua_call *c, uint8_t dialog);

/* ---- b2bua_exchange.c ---- */

/** b2bua_exchange_start - a request inside a dialog; takes @irq */
void b2bua_exchange_start(struct b2bua_key *key, nta_incoming_t *irq, const sip_t *sip,
                          const struct sip_sender *sender);
void b2bua_exchange_free(struct b2bua_exchange *x);
/** b2bua_exchange_move - @leg is another gateway's now: what it has not answered is sent there */
void b2bua_exchange_move(struct b2bua_call *c, enum call_leg leg);
/** b2bua_exchange_tick - a far gateway that says nothing may be dead: ask who has its place */
void b2bua_exchange_tick(struct b2bua *b, uint64_t now_ms);
void b2bua_say_bye(struct b2bua_call *c, enum call_leg leg, uint8_t dialog);

#endif
