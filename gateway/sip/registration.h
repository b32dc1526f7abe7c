/**
 * DOC: the inside of the registrar: one REGISTER on its way
 *
 *   registrar.c      what it says, and what is said back
 *   registration.c   the change of this node's bindings
 *   peer_bindings.c  what the other serving peers of the AOR have, and what they must drop
 */
#ifndef GATEWAY_SIP_REGISTRATION_H
#define GATEWAY_SIP_REGISTRATION_H

#include "gateway/sip/ask.h"
#include "gateway/sip/location.h"

/** How long the 200 waits for other serving peers, and then for the store that says what they have
 *  lost. */
#define REGISTRATION_PEERS_MS 300
#define REGISTRATION_STORE_MS 200

/** How many are under way at most; above the first, those of phones that have no binding here wait
 *  for another time (503), so that the others are stored before their deadline. */
#define REGISTRATIONS_NEW_MAX 512
#define REGISTRATIONS_MAX     1024

/** registration_has_room - may one that has so many bindings here be the last of @under_way? */
bool registration_has_room(size_t under_way, size_t bindings);

/** One Contact of a REGISTER. */
struct wanted {
    char *uri; /* the registration's own */
    char instance[INSTANCE_BYTES];
    uint16_t q_thousandths;
    uint32_t reg_id;    /* RFC 5626; 0: none */
    uint32_t expires_s; /* 0 removes */
    bool is_on_connection;
    uint64_t flow; /* 0: reached by its URI */
};

struct registration;

/** Another serving peer that has to drop bindings of the AOR. */
struct told_peer {
    struct registration *registration;
    nta_outgoing_t *orq; /* NULL: not asked, or answered */
    bool is_done;        /* it has dropped them */
};

struct registration {
    struct location_change change;
    struct sip *sip;
    struct list_node link;
    nta_incoming_t *irq; /* NULL: it has its final response */
    char call_id[CALL_ID_BYTES];
    uint32_t cseq;
    uint64_t origin; /* where it came from: origin.h */
    bool is_star;
    bool is_of_peer;   /* another serving peer's word: it removes, here alone */
    bool is_query;     /* no Contact */
    bool has_outbound; /* Supported: outbound, and a reg-id */
    bool has_path;     /* Supported: path */
    char *path;        /* of edge proxies (RFC 3327), as it came; NULL for none */
    size_t count;
    struct wanted wanted[BINDING_CONTACTS_MAX];
    /* what the overlay has of the AOR: this node's record among others */
    struct ask ask;
    size_t record_count;
    struct binding_record *record[BRIDGE_BINDINGS_MAX];
    uint32_t dropped[BRIDGE_BINDINGS_MAX]; /* contacts of each that this REGISTER removes: bits */
    struct told_peer told[BRIDGE_BINDINGS_MAX];
    size_t told_count; /* whose response is outstanding */
    su_timer_t *timer;
};

/** registration_refuse - final response, and the end of it. @retry_after_s: 0 for none. */
void registration_refuse(struct registration *r, int status, const char *phrase,
                         unsigned retry_after_s);

/** registration_end - frees it, whatever is under way. */
void registration_end(struct registration *r);

/** registration_change - change this node's bindings, then respond. */
void registration_change(struct registration *r);

/** registration_done - 200 with all bindings of the AOR, or 500. */
void registration_done(void *ctx, enum status st, struct location_contact *const *contact,
                       size_t count);

/** registration_is_late - RFC 3261 section 10.3 items 6 and 7: the same Call-ID must come with a
 *  higher CSeq. */
bool registration_is_late(const struct registration *r, const struct binding_contact *c);

/** registration_is_same - is it the binding that a Contact names? (RFC 3261 section 10.3 item 7,
 *  RFC 5626 section 6) */
bool registration_is_same(const struct binding_contact *c, const struct wanted *w);

/** peer_bindings_ask - look what other serving peers have, and this one had in an earlier run; then
 *  registration_change(), with what peers had to drop dropped; or the refusal.  Another peer's word
 *  concerns no third one. */
void peer_bindings_ask(struct registration *r);

/** peer_bindings_note - what peers could not be told, into this node's entry. */
void peer_bindings_note(const struct registration *r, struct location_contacts *l);

/** peer_bindings_is_listed - is contact @i of record @k another peer's, and in force? */
bool peer_bindings_is_listed(const struct registration *r, size_t k, size_t i, uint64_t wall_ms);

/** peer_bindings_time - now, but later than what any peer noted: clocks differ. */
uint64_t peer_bindings_time(const struct registration *r, uint64_t wall_ms);

#endif
