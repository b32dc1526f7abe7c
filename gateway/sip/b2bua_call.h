/**
 * DOC: inside the B2BUA: one call, its two legs and their messages; its parts have headers of their
 * own, which are all included here
 *
 *      caller's side                              callee's side
 *      peer of the caller's leg   struct call     a dialog for each far tag, one of them the winner
 *            |                   (gateway/call/)        |
 *      b2bua_on_request() --> b2bua_exchange.c --> b2bua_message.c --> sip_send()
 *      b2bua_initial.c asks the overlay and keeps the branches until one is answered
 *
 * Every tag we give is ours and unique, random or a keyed hash (b2bua_name.h, b2bua_await.h), so a
 * message inside a dialog is found by its To tag (a response by its From tag) alone; Call-ID and
 * the other tag are then compared.  From and To keep their URIs, only the tags differ on the two
 * legs; Call-ID, CSeq, Contact, Via, Route and Record-Route are each leg's own; all other header
 * fields and bodies are shared with the message they came in.
 *
 * A struct b2bua_call is stepped between b2bua_call_hold() and b2bua_call_release(): what the
 * machine asks for is done meanwhile, and the release arms the timer, and frees what is over.
 */
#ifndef GATEWAY_SIP_B2BUA_CALL_H
#define GATEWAY_SIP_B2BUA_CALL_H

#include "gateway/call/call.h"
#include "gateway/sip/b2bua.h"
#include "gateway/sip/b2bua_await.h"
#include "gateway/sip/b2bua_bye.h"
#include "gateway/sip/b2bua_chase.h"
#include "gateway/sip/b2bua_check.h"
#include "gateway/sip/b2bua_copy.h"
#include "gateway/sip/b2bua_dialog.h"
#include "gateway/sip/b2bua_exchange.h"
#include "gateway/sip/b2bua_hold.h"
#include "gateway/sip/b2bua_initial.h"
#include "gateway/sip/b2bua_invite.h"
#include "gateway/sip/b2bua_look.h"
#include "gateway/sip/b2bua_message.h"
#include "gateway/sip/b2bua_name.h"
#include "gateway/sip/b2bua_place.h"
#include "gateway/sip/b2bua_refresh.h"
#include "gateway/sip/b2bua_twin.h"

#define B2BUA_SLOTS   512
#define B2BUA_SLOT_MS 50
#define B2BUA_DOUBT_MS                                                                             \
    250                       /* a far gateway says 100 within B2BUA_SLOT_MS; one that has not may \
                                 be dead: is there another in its place by now? */
#define B2BUA_DOUBTS_MS  50   /* the same question again */
#define B2BUA_SILENCE_MS 1000 /* it is not there, whatever the ring says */
#define B2BUA_MOVE_MS    4000 /* a request of a call waits so long for a far gateway that is there */
#define B2BUA_CLAIM_MS   2000 /* within that a far gateway that is lost is replaced */
#define B2BUA_ELSEWHERE_MS                                                                         \
    250                     /* one that does not have the call of a lost one is asked, or another, \
                               so often */
#define B2BUA_RETURN_MS 500 /* one that was not is asked again */

struct b2bua {
    struct sip *sip;
    struct map *tags;   /* our tag -> struct b2bua_key */
    struct map *places; /* token -> struct b2bua_place: b2bua_place.c */
    struct list_node places_over;
    struct map *origins;        /* what an INVITE is known by -> struct b2bua_call: b2bua_twin.c */
    struct list_node upstreams; /* calls, by upstream.link */
    uint64_t upstreams_ms;      /* when they are looked at next */
    struct b2bua_looks *looks;
    struct map *awaited; /* calls whose dialogs are to come back: b2bua_await.c */
    struct list_node waiting;
    size_t waiting_count;
    struct list_node chases; /* b2bua_chase.c, by their time */
    size_t chase_count;
    struct list_node calls;
    size_t count;
    size_t unacknowledged;
    struct b2bua_naming naming;
    struct call_conf outward; /* a call from this overlay: targets are gateways */
    struct call_conf inward;  /* a call to this overlay: targets are phones */
    /* calls by their deadline: a wheel of slots */
    struct list_node slot[B2BUA_SLOTS];
    uint64_t slot_at; /* number of the last slot served */
    su_timer_t *timer;
    struct list_node untold; /* struct b2bua_trying: requests whose sender waits for a 100 */
    struct list_node silent; /* struct b2bua_exchange: sent to a far gateway, by doubt_ms */
    struct list_node byes;   /* struct b2bua_bye */
    size_t bye_count;
    /* what the standbys have to hear of: b2bua_copy.c */
    struct list_node changed;   /* calls, by changed_link */
    struct b2bua_tag_list over; /* of calls that had been copied, and are no more */
    size_t too_large;           /* calls that cannot be copied */
    uint64_t too_large_ms;      /* when that was last logged */
    su_timer_t *copy_timer;
    bool is_copy_armed;
    uint64_t copied_ms; /* when they were last told */
    /* calls whose 2xx waits for their copy: b2bua_hold.c */
    struct list_node held; /* by held_link */
    su_timer_t *hold_timer;
    bool is_hold_armed;
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

/** Who sent the INVITE that is not acknowledged yet, if it is a node. */
struct b2bua_upstream {
    struct list_node link;
    tport_t *transport; /* kept; NULL: none is looked after */
    struct id node;
    uint64_t lost_ms; /* since when there is no connection; 0: there is */
    struct ask ask;
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
    char *far_overlay; /* the leg that leads to another overlay belongs to this name */
    /* the caller's leg */
    char *caller_call_id;
    char *caller_tag;
    struct b2bua_peer caller;
    char answer_tag[B2BUA_TAG_CHARS + 1]; /* of the first dialog, and of refusals */
    char *first_tag; /* far tag of the first dialog; NULL where there was none yet */
    /* the callee's leg */
    char callee_call_id[B2BUA_TOKEN_CHARS + 1];
    char our_tag[B2BUA_TAG_CHARS + 1]; /* our From tag */
    struct b2bua_key callee_key;
    struct b2bua_dialog **dialog; /* by b2bua_dialog_at() */
    uint8_t dialog_count;
    /* both, by enum call_leg */
    uint32_t cseq[2];        /* of our last request */
    uint32_t peer_cseq[2];   /* of theirs */
    uint32_t initial_cseq;   /* of the initial request, on the callee's leg */
    nta_incoming_t *irq;     /* the initial request, until its final response */
    char *origin;            /* what that is known by; NULL once it has its ACK */
    const char *request_uri; /* its Request-URI, within @origin */
    msg_t *last; /* what its sender heard last: 101 to 299; NULL once that has its ACK */
    uint8_t last_dialog;
    struct b2bua_upstream upstream;
    struct b2bua_invite *invite[CALL_INVITES_MAX];
    msg_t *in_hand; /* the message the machine is stepped with; borrowed */
    struct b2bua_end end[2];
    uint32_t session_s;   /* Session-Expires; 0 without (RFC 4028) */
    uint8_t refresher;    /* enum call_leg */
    bool is_copied;       /* the overlay thread has a record of it */
    bool is_early_copied; /* the same of it while it rang */
    bool is_sent;         /* its initial request is, to somebody */
    bool is_too_large;    /* its record is: the standbys do not get it */
    bool is_released;     /* it is another gateway's */
    bool is_adopted;      /* it was another gateway's */
    bool is_off;          /* CANCEL came, and waits until somebody has heard of us: @off */
    msg_t *off;           /* NULL where it could not be kept */
    struct list_node changed_link;
    struct list_node held_link; /* its 2xx is not sent yet */
    uint64_t held_until_ms;
    struct b2bua_refresh *refresh; /* until both ends have heard of us */
    struct b2bua_trying trying;
    struct b2bua_initial *initial;
    struct b2bua_exchange *exchange[CALL_EXCHANGES_MAX];
    struct b2bua_refers *refers; /* b2bua_refer.c; NULL until there is one */
};

/** b2bua_dialog_at - by its number; NULL if there is none */
static inline struct b2bua_dialog *
b2bua_dialog_at(const struct b2bua_call *c, uint8_t dialog)
{
    return dialog < c->dialog_count ? c->dialog[dialog] : NULL;
}

/* ---- b2bua.c ---- */

void b2bua_call_hold(struct b2bua_call *c);
void b2bua_call_release(struct b2bua_call *c);
static inline enum call_leg
b2bua_other(enum call_leg leg)
{
    return leg == CALL_CALLER ? CALL_CALLEE : CALL_CALLER;
}

/** b2bua_on_cancel - callback of the initial request's transaction */
int b2bua_on_cancel(nta_incoming_magic_t *magic, nta_incoming_t *irq, const sip_t *sip);

/** b2bua_call_off - a CANCEL that waits is carried out; the call is held */
void b2bua_call_off(struct b2bua_call *c);

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

#endif
