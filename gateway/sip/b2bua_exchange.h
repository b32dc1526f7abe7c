/** DOC: inside the B2BUA: requests inside a dialog, from one leg to the other */
#ifndef GATEWAY_SIP_B2BUA_EXCHANGE_H
#define GATEWAY_SIP_B2BUA_EXCHANGE_H

#include "gateway/sip/ask.h"
#include "gateway/sip/b2bua_dialog.h"

struct b2bua;
struct b2bua_call;

/**
 * A request from a hop: it hears 100 within B2BUA_SLOT_MS unless the answer is faster (RFC 3261
 * section 17.2.1, and 4320 section 4.1 for others than INVITE over TLS), and so knows that we are
 * there.  Phones hear it at once.
 */
struct b2bua_trying {
    struct list_node link;
    nta_incoming_t **irq;
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
    char *reason; /* of that CANCEL; or NULL */
    /* To a far gateway: that may die, and another take its place. */
    char *place;       /* "host:port" that it was sent to last; NULL: to no gateway yet */
    bool is_again;     /* not for the first time */
    uint64_t lost_ms;  /* when that was given up; 0: it was not */
    uint64_t until_ms; /* others are looked for no longer */
    bool is_of_many;   /* the far overlay has several gateways */
    struct list_node silent_link;
    uint64_t doubt_ms;   /* when its silence is looked at next, or a gateway is looked for again */
    uint64_t give_up_ms; /* when it is taken for an answer */
    nta_incoming_t *irq;
    nta_outgoing_t *orq;
    struct b2bua_trying trying;
    struct ask ask;
    char *refer_aor; /* whom the Contact in its Refer-To stands for; or NULL */
};

/** b2bua_exchange_start - a request inside a dialog; takes @irq */
void b2bua_exchange_start(struct b2bua_key *key, nta_incoming_t *irq, const sip_t *sip,
                          const struct sip_sender *sender);
void b2bua_exchange_free(struct b2bua_exchange *x);
/** b2bua_exchange_move - @leg is another gateway's now: what it has not answered is sent there */
void b2bua_exchange_move(struct b2bua_call *c, enum call_leg leg);
/** b2bua_exchange_tick - a far gateway that says nothing may be dead: ask who has its place */
void b2bua_exchange_tick(struct b2bua *b, uint64_t now_ms);
/** b2bua_exchange_go - it is sent, to where its dialog says; or it fails */
void b2bua_exchange_go(struct b2bua_exchange *x);

#endif
