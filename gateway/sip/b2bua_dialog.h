/** DOC: inside the B2BUA: tags, and ways to the other end of a dialog */
#ifndef GATEWAY_SIP_B2BUA_DIALOG_H
#define GATEWAY_SIP_B2BUA_DIALOG_H

#include "gateway/call/call.h"
#include "gateway/sip/service.h"

#define B2BUA_TAG_CHARS   16
#define B2BUA_EARLY_MAX   32 /* early dialogs; a provisional response of one more is discarded */
#define B2BUA_DIALOGS_MAX 34 /* there is room for two with a 2xx beside them */

struct b2bua;
struct b2bua_call;

/** What one of our tags stands for. */
struct b2bua_key {
    struct b2bua_call *call;
    uint8_t leg;
    uint8_t dialog; /* CALL_NO_DIALOG: the callee's leg, whichever dialog the From tag says */
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
    bool is_copied;        /* beside the first dialog: the overlay thread has a record of it */
    uint32_t peer_cseq[2]; /* by enum call_leg */
};

/**
 * b2bua_dialog_of - the dialog of a far tag, made if need be
 * @far_tag:  NULL is a tag too (RFC 3261 section 12.1.2)
 * @is_final: for a 2xx, which always has room
 * Returns: its number, CALL_NO_DIALOG without memory or room.
 */
uint8_t b2bua_dialog_of(struct b2bua_call *c, const char *far_tag, bool is_final);
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

/* ---- b2bua_way.c: a phone's flow, for another gateway ---- */

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

#endif
