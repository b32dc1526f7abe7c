/**
 * DOC: the phones this node serves
 *
 *   REGISTER -> registrar.c -> location_change() -> BRIDGE_BIND -> stored: committed, 200
 *                                                              -> not stored: as before, 503
 *   a contact expires, or its connection ends -> removed -> BRIDGE_BIND of what is left, tried
 * again until it is stored
 *
 * Changes of one AOR go one after the other.  Bindings of other nodes are not kept here but asked
 * for (ask.h).
 *
 * Source: RFC 3261 section 10.3, design (Bindings).
 */
#ifndef GATEWAY_SIP_LOCATION_H
#define GATEWAY_SIP_LOCATION_H

#include "gateway/sip/service.h"

#define LOCATION_RETRY_MS 2000 /* between attempts to store a removal */

/** A phone's contact, with what only this node knows of it. */
struct location_contact {
    struct binding_contact binding;
    uint64_t flow;   /* 0: reached by its URI */
    uint32_t reg_id; /* RFC 5626; 0: none */
};

/** A change of one AOR's contacts, on its way; owned by who asked for it. */
struct location_change {
    struct list_node link;
    char aor[AOR_BYTES];
    /**
     * apply - work out the contacts after the change, in place
     * @contact: room for BINDING_CONTACTS_MAX, the present ones first
     * Returns: false to give the change up: apply has dealt with it, and done() is not called.
     */
    bool (*apply)(void *ctx, struct location_contact *contact, size_t *count);
    /** done - ST_OK: stored and committed. @contact: those in force now. */
    void (*done)(void *ctx, enum status st, const struct location_contact *contact, size_t count);
    void *ctx;
};

struct location *location_new(struct sip *s);
void location_free(struct location *l);

/** location_change - queue a change; apply() and done() may be called before it returns. */
void location_change(struct sip *s, struct location_change *change);

/** location_find - the live contacts of an AOR; count 0 if it is not served here. Borrowed until
 * the next call into this module. */
const struct location_contact *location_find(struct sip *s, const char *aor, size_t *ret_count);

/** location_by_contact - the contact whose URI this is (RFC 3261 section 19.1.4), NULL if none is.
 */
const struct location_contact *location_by_contact(struct sip *s, const url_t *url);

/** location_record - contacts as they are stored in the overlay. */
void location_record(const struct sip *s, const char *aor, const struct location_contact *contact,
                     size_t count, struct binding_record *ret);

size_t location_count(const struct sip *s);

/** location_report - for BRIDGE_REPORT; NULL without memory. */
struct bridge_message *location_report(struct sip *s, uint64_t token);

/** location_tick - once a second: what expired, whose connection ended, what is still to be stored.
 */
void location_tick(struct sip *s);

/** location_url_equal - RFC 3261 section 19.1.4. */
bool location_url_equal(const url_t *a, const url_t *b);

#endif
