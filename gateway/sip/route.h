/**
 * DOC: where a request goes
 *
 * One decision for each request and ACK that is not the registrar's: the request's own Routes that
 * name this node are set aside, then the first of these that fits:
 *
 *   B2BUA      all from gateways; in-dialog requests of its calls
 *   Route      another hop is named: allowed to peers of the overlay, and to phones with our token
 *   binding    the last Route of ours carries the token of a binding: that very phone
 *   flow       or the flow of the one it goes to
 *   gateway    the Route says that a gateway is on the other side: the active one
 *   server     this node itself
 *   lookup     an AOR of the overlay
 *   direct     any contact, for a peer; for a phone one that its dialog has named
 *   gateway    a foreign domain
 *
 * A Request-URI of the overlay's domain goes to the location service by its AOR and nothing else
 * (section 16.5): no phone takes another's calls by the text of its Contact.
 *
 * Source: RFC 3261 sections 16.4 to 16.6, design (Routes, Trust between nodes of one overlay).
 */
#ifndef GATEWAY_SIP_ROUTE_H
#define GATEWAY_SIP_ROUTE_H

#include "gateway/sip/service.h"

enum route_kind {
    ROUTE_REFUSE,
    ROUTE_SERVER, /* for this node itself */
    ROUTE_B2BUA,
    ROUTE_LOOKUP,  /* fork to the contacts of an AOR */
    ROUTE_DIRECT,  /* to one place */
    ROUTE_GATEWAY, /* to our overlay's gateway */
};

struct route {
    enum route_kind kind;
    int status;               /* ROUTE_REFUSE */
    const char *phrase;       /* may be NULL */
    unsigned popped;          /* so many Routes on top named this node */
    bool is_dialog;           /* it has a To tag */
    bool is_elsewhere;        /* ROUTE_GATEWAY: names a dialog that another gateway may have */
    bool is_foreign;          /* ROUTE_GATEWAY: chosen by domain, not by Route */
    uint64_t flow;            /* ROUTE_DIRECT: on this flow; 0 if not on one */
    char aor[AOR_BYTES];      /* ROUTE_LOOKUP */
    bool is_contact;          /* the same: to that of its contacts alone which is the Request-URI */
    struct sip_target target; /* ROUTE_DIRECT; request_uri NULL leaves the Request-URI */
};

void sip_route_decide(struct sip *s, const sip_t *sip, const struct sip_sender *sender,
                      struct route *ret);

/** route_note_dialog - a message that makes a dialog passed here, or a response to one in it: later
 *  requests of that dialog may pass, to its Contact by way of @through ("" straight), and along the
 *  routes that peers recorded.
 *  @named: the response, which has both tags; @sip: it, or its request */
void route_note_dialog(struct sip *s, const sip_t *named, const sip_t *sip, const char *through);

/** route_note_subscriber - a SUBSCRIBE or REFER passes: NOTIFYs of it may, to its Contact. */
void route_note_subscriber(struct sip *s, const sip_t *sip, const char *through);

#endif
