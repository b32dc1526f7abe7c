/**
 * DOC: the inside of the proxy: a request being forwarded and its branches
 */
#ifndef GATEWAY_SIP_FORWARD_H
#define GATEWAY_SIP_FORWARD_H

#include "gateway/sip/ask.h"
#include "gateway/sip/paths.h"
#include "gateway/sip/phone_via.h"
#include "gateway/sip/proxy.h"
#include "gateway/sip/send.h"

#define FORWARD_BRANCHES_MAX 32 /* contacts of one AOR that are tried */
#define FORWARD_ALIASES_MAX  8  /* AORs that lead to AORs */
#define FORWARD_TRIES_MAX    8  /* gateways that are not tried again as long as others are there */
#define FORWARD_PATIENCE_MS  4000
#define FORWARD_AGAIN_MS     250 /* and then the same gateway is tried once more */
#define DESTINATION_BYTES    SIP_HOP_ADDRESS_BYTES

struct twin;
struct twins;

struct proxy {
    struct sip *sip;
    struct list_node forwards;
    struct list_node gateway_watch; /* struct branch, in order of their due_ms */
    struct list_node former_watch;  /* sent to one that is a gateway no more */
    struct list_node peer_watch;
    struct list_node again_watch; /* struct forward, by again: they wait for a gateway */
    struct list_node cancel_watch;
    struct list_node trying_watch;                     /* struct forward, by trying */
    struct list_node ring_watch[SIP_RING_GATEWAY + 1]; /* struct branch, by ring: timer C */
    su_timer_t *timer;
    bool is_armed;
    su_timer_t *overdue_timer;
    bool is_overdue_armed;
    struct id heard; /* the gateway that answered last, and when */
    uint64_t heard_ms;
    uint32_t requests; /* to our gateway, since they were last told */
    struct ask locate; /* one for all whose gateway is silent */
    struct twins *twins;
    uint64_t upstreams_ms; /* when connections of requests are looked at next */
};

enum branch_to { BRANCH_TO_PHONE, BRANCH_TO_PEER, BRANCH_TO_GATEWAY };

/** One client transaction. */
struct branch {
    struct list_node link;  /* in the forward */
    struct list_node watch; /* in the proxy, or in no list */
    struct list_node ring;  /* the same */
    uint64_t ring_due_ms;
    struct forward *forward;
    uint64_t sent_ms;
    uint64_t due_ms;
    nta_outgoing_t *orq;
    enum branch_to to;
    struct id gateway; /* BRANCH_TO_GATEWAY */
    bool has_answer;   /* any, 100 included */
    struct sip_agent *agent;
    char *hop; /* BRANCH_TO_PEER: the way to it (paths.h) */
    char *uri; /* the same: where the phone is sent to straight; NULL if it cannot be */
    struct phone_via phone_via; /* the same: should that peer be lost */
    uint64_t phone;             /* a flow of that phone (binding_phone()); 0: of none */
    bool is_cancel_due; /* CANCEL goes out with the first provisional answer (section 9.1) */
    bool is_cancelled;
    bool is_given_up;                    /* nothing of it counts but a 2xx */
    bool is_severed;                     /* given up, and its transaction ended: no way there */
    bool is_deserted;                    /* given up, and nothing of it counts, a 2xx neither */
    bool is_way_lost;                    /* its connection was gone when it was looked at last */
    bool is_overdue;                     /* BRANCH_TO_GATEWAY: silent once already */
    char destination[DESTINATION_BYTES]; /* counted by limits.h; "" if not */
};

/** A claim that a request was sent to. */
struct gateway_try {
    struct id node;
    uint32_t term;
};

struct forward {
    struct list_node link;
    struct list_node trying; /* a peer is owed a 100 */
    uint64_t trying_ms;
    struct proxy *proxy;
    nta_incoming_t *irq;
    msg_t *msg; /* the request as it came, a reference */
    const sip_t *request;
    enum sip_side side;
    bool is_from_gateway;
    bool is_invite;
    bool is_answered; /* the server transaction is gone, only cancelled branches are left */
    bool is_failed;   /* answered, and not with a 2xx of a branch */
    bool is_cancelled;
    char *reason;      /* of the CANCELs of its branches; NULL for none */
    bool is_sips_lost; /* a branch could not be, for it would have left TLS */
    bool is_asking;
    bool is_from_cache;           /* the bindings that are tried may be a little old */
    bool is_callee_on_connection; /* of the contact that is being tried */
    unsigned popped;
    bool is_dialog;
    uint64_t caller_flow; /* the sender has to be reached on this flow; 0: need not */
    char caller_protocol[8];
    struct list_node branches;              /* struct branch whose answer is outstanding */
    unsigned tried;                         /* branches made */
    uint64_t contact[FORWARD_BRANCHES_MAX]; /* hashes of the contacts that were tried */
    unsigned contact_count;
    bool is_contact;   /* of the contacts the one that the Request-URI names */
    bool is_elsewhere; /* the first gateway that is tried is another one (route.h) */
    uint64_t phone[FORWARD_BRANCHES_MAX]; /* one flow of each is being tried, or has answered */
    unsigned phone_count;
    bool is_next_flow;      /* the look-up is for another flow of a phone */
    bool wants_flow;        /* such a look-up follows the one that is under way */
    bool is_doubtful;       /* nobody was found, and it may be another overlay's user */
    struct list_node again; /* it waits for a gateway, and is_asking */
    uint64_t again_ms;
    uint64_t gateway_until_ms; /* most that it waits; 0: no gateway was looked for */
    unsigned gateway_tries;
    struct gateway_try gateway_tried[FORWARD_TRIES_MAX]; /* the last so many */
    unsigned gateway_losses;                             /* of those that were heard */
    bool is_gateway_lost;                                /* one could not be reached */
    struct twin *twin;                                   /* of an INVITE of our gateway: twin.h */
    bool is_moved;     /* it came once more, by another way: @irq is of the last one */
    tport_t *upstream; /* of an INVITE between nodes: its connection, kept */
    struct id sent_by; /* the node at its other end */
    uint64_t lost_ms;  /* since when that is lost; 0: it is not */
    struct ask ask;
    char aor[FORWARD_ALIASES_MAX][AOR_BYTES]; /* looked up, or to be */
    unsigned aor_count;
    unsigned aor_done;
    int best_status; /* 0: none yet */
    msg_t *best;     /* NULL: best_status is ours */
    char loop_key[PROXY_LOOP_BYTES];
};

/** forward_end - the answer is sent: cancel what is left; freed once that has ended too. */
void forward_end(struct forward *f);

/** forward_reason - its branches are cancelled because of @cause: see cancel_reason(); what was
 * said first stays. */
void forward_reason(struct forward *f, const sip_t *cause);

/** forward_free - at once, whatever is left. */
void forward_free(struct forward *f);

/** forward_move - its INVITE came once more, by another way: it is answered there; takes @irq */
void forward_move(struct forward *f, nta_incoming_t *irq, const struct sip_sender *sender);

/** forward_look_at - an INVITE whose sender is lost for good is over */
void forward_look_at(struct forward *f, uint64_t now_ms);
#define FORWARD_UPSTREAM_MS 100  /* so often */
#define FORWARD_LOST_MS     1200 /* who has lost his connection alone sends once more at once */
#define FORWARD_CLAIM_MS    5000 /* a gateway is replaced within that, or not at all */

/** forward_note - remember a final answer if it is better than those before. @msg is taken, may be
 *  NULL: then it is an answer of our own. */
void forward_note(struct forward *f, int status, msg_t *msg);

/** forward_finish - if nothing is outstanding any more, send the best answer and end. */
void forward_finish(struct forward *f);

/** forward_next_flow - a flow of a phone has failed: try another (RFC 5626 section 7), then
 *  forward_finish() */
void forward_next_flow(struct forward *f, uint64_t phone);

/** forward_to_gateway - send it to a gateway, or be it.  Each try goes to another (node, term);
 * where no other is known it waits for one, FORWARD_PATIENCE_MS in all, then 500. */
void forward_to_gateway(struct forward *f);

/** forward_to_gateway_again - the same, to those that were tried as well. */
void forward_to_gateway_again(struct forward *f);

/** forward_has_other_gateway - is one known that was not tried, or is it known that none can be? */
bool forward_has_other_gateway(const struct forward *f);

/** forward_may_wait - is there time left for another gateway? */
bool forward_may_wait(const struct forward *f);

/** forward_is_between - the gateway that a request's dialog names was lost moments ago, and who has
 * its calls now need not be known yet: of several gateways those that stay do not have them.
 * @responder: does not have the call */
bool forward_is_between(const struct forward *f, const struct id *responder);

/** forward_gateway_of - the active gateway an in-dialog request is addressed to; where that one is
 * gone the first; NULL without any. */
const struct bridge_gateway *forward_gateway_of(const struct sip *s, const sip_t *sip);

/** forward_gateway_unasked - another active gateway, one that the request has not passed; NULL
 * without any. */
const struct bridge_gateway *forward_gateway_unasked(const struct sip *s, const sip_t *sip);

/** branch_start - send the request; notes a failure as an answer. Returns: NULL where it failed. */
struct branch *branch_start(struct forward *f, const struct sip_target *target, enum branch_to to,
                            uint64_t flow, const struct id *gateway);

/** branch_give_up - it is called off: @status is its answer, 0 for none. An INVITE stays,
 * cancelled, until its transaction ends, for whoever picks up all the same. */
void branch_give_up(struct branch *b, int status);

/** branch_look_at_gateway - an INVITE that was heard by one that is a gateway no longer, and whose
 * connection is up, as when it stands still: the gateway in its place goes on with it, and what the
 * former one says later is not believed */
void branch_look_at_gateway(struct forward *f);

/** branch_look - a branch to a node whose connection is gone has failed; the
 * forward may be freed */
void branch_look(struct forward *f);

/** branch_send_up - a response of a branch goes to whoever sent the request; @msg is taken */
void branch_send_up(struct branch *b, msg_t *msg);

/** forward_trying - 100, for as long as nothing better came in */
void forward_trying(struct forward *f);

/** branch_peer_lost - the serving peer did not respond: the phone is sent to straight, if it can
 * be.
 */
void branch_peer_lost(struct branch *b, enum path_loss loss);

/** branch_lost_status - what it means that a branch can reach nobody: 480 of a phone; 500 of its
 *  serving peer, which alone knows whether it is there. */
int branch_lost_status(const struct branch *b);

/** forward_is_waiting - is a branch under way that was not given up? */
bool forward_is_waiting(const struct forward *f);

/** branch_drop - out of the lists and freed; its transaction is left to NTA. */
void branch_drop(struct branch *b);

/** branch_cancel - CANCEL it now or as soon as it may be; it ends with its final answer, or after
 *  CANCEL_WAIT_MS (section 9.1). An INVITE only. */
void branch_cancel(struct branch *b);
#define CANCEL_WAIT_MS 32000

/** branch_on_late - a 2xx to an INVITE that rang where nobody could be reached any more: it is
 *  acknowledged and hung up. False: it is none of these. */
bool branch_on_late(struct sip *s, const sip_t *sip);

/** A peer hears 100 when nothing better came in this time: well before it asks who the gateway is.
 */
#define TRYING_MS 100

/** request_copy - the request for one branch: Request-URI, Max-Forwards, Routes, Record-Route.
 *  Returns: the message, NULL without memory. */
msg_t *request_copy(struct forward *f, const struct sip_target *target, bool is_recorded,
                    uint64_t callee_flow, unsigned callee_flags);

/** request_pop_routes - take the @popped Routes on top away, which named this node. */
void request_pop_routes(msg_t *msg, sip_t *sip, unsigned popped);

/** proxy_locate - ask who the gateway is now: the news come to proxy_on_gateways(). */
void proxy_locate(struct proxy *p);

/** proxy_arm - a list has a new entry: see that the timer runs. */
void proxy_arm(struct proxy *p);

/** proxy_watch_gateway - a branch, in no list, waits for a gateway's answer: peer_retry_ms long, or
 *  PROXY_FORMER_MS for that of one that is a gateway no more. */
void proxy_watch_gateway(struct proxy *p, struct branch *b, bool is_former);

/** overdue_arm - a request waits for a gateway; overdue_heard - a response came by this branch. */
void overdue_arm(struct proxy *p);
void overdue_heard(const struct branch *b);

#endif
