/**
 * DOC: the phones this node serves
 *
 *   REGISTER -> registrar.c -> location_change() -> BRIDGE_BIND -> stored: committed, 200
 *                                                              -> not stored: as before, 500
 *   a contact expires, or its connection ends -> removed -> BRIDGE_BIND of what is left, tried
 * again until it is stored; nothing is left and all has expired -> the record expires by itself
 *
 * What was stored is stored again when a member of the overlay goes, and from time to time: when
 * all who kept a record die at once, nobody else can bring it back.
 *
 * Changes of one AOR go one after the other.  Bindings of other nodes are not kept here but asked
 * for (ask.h).
 *
 * Source: RFC 3261 section 10.3, design (Bindings).
 */
#ifndef GATEWAY_SIP_LOCATION_H
#define GATEWAY_SIP_LOCATION_H

#include "gateway/sip/service.h"

#define LOCATION_RETRY_MS     2000 /* between attempts to store a removal */
#define LOCATION_REMOVALS_MAX 256  /* stored at a time; others wait for the next second */

/**
 * A phone's contact, with what only this node knows of it: one block of memory, as large as its
 * texts.  It does not change once it is made, and lives as long as somebody holds it.
 */
struct location_contact {
    unsigned holders;
    struct binding_contact binding;
    uint64_t flow;    /* 0: reached by its URI */
    const char *path; /* Routes of edge proxies before it: "<sip:...;lr>, ..."; NULL for none */
    uint64_t origin;  /* where it was registered from: origin.h; set before it is in force */
};

/** location_contact_new - held once by the caller. @binding, @path: texts are copied, @path may be
 *  NULL; NULL without memory. */
struct location_contact *location_contact_new(const struct binding_contact *binding, uint64_t flow,
                                              const char *path);
struct location_contact *location_contact_hold(struct location_contact *c);

/** location_contact_release - accepts NULL. */
void location_contact_release(struct location_contact *c);

/** What of another peer's bindings is no more (struct binding_superseded). */
struct location_note {
    char token[BINDING_TOKEN_BYTES];
    char call_id[CALL_ID_BYTES];
    uint32_t cseq;
    uint64_t at_wall_ms;
    uint64_t expires_at_wall_ms;
};

/** What there is of one AOR; each contact is held. */
struct location_contacts {
    struct location_contact *item[BINDING_CONTACTS_MAX];
    size_t count;
    struct location_note note[BINDING_SUPERSEDED_MAX];
    size_t note_count;
};

/** location_contacts_drop - take contact @i out. */
void location_contacts_drop(struct location_contacts *l, size_t i);

/** A change of one AOR's contacts, on its way; owned by who asked for it. */
struct location_change {
    struct list_node link;
    char aor[AOR_BYTES];
    /**
     * apply - work out the contacts after the change, in place
     * @contacts: the present ones; what is taken out is released, what is put in is held
     * Returns: false to give the change up: apply has dealt with it, and done() is not called.
     */
    bool (*apply)(void *ctx, struct location_contacts *contacts);
    /** done - ST_OK: stored and committed. @contact: those in force now. */
    void (*done)(void *ctx, enum status st, struct location_contact *const *contact, size_t count);
    void *ctx;
};

struct location *location_new(struct sip *s);
void location_free(struct location *l);

/** location_change - queue a change; apply() and done() may be called before it returns. */
void location_change(struct sip *s, struct location_change *change);

/** location_find - the live contacts of an AOR; count 0 if it is not served here. Borrowed until
 * the next call into this module. */
struct location_contact *const *location_find(struct sip *s, const char *aor, size_t *ret_count);

/** location_record - the live contacts of an AOR as the overlay should have them; NULL if there are
 *  none here, or without memory.  binding_record_free() frees it. */
struct binding_record *location_record(struct sip *s, const char *aor);

/** What a token says that came in a Route of ours, or lies in a record of ours. */
enum location_token {
    LOCATION_TOKEN_NONE,  /* none of ours */
    LOCATION_TOKEN_LIVE,  /* of a contact in force */
    LOCATION_TOKEN_GONE,  /* of one that is no more */
    LOCATION_TOKEN_BY_URI /* of an earlier run, for a phone that is reached by its Contact URI: it
                             may still be there, though it has not registered again yet */
};

/** location_token_read - @ret: the contact of one that is live; borrowed as with location_find() */
enum location_token location_token_read(struct sip *s, const char *token,
                                        const struct location_contact **ret);

/** location_token_new - for a new contact, that of an earlier version of it serves as well if it
 *  says the same of how the phone is reached.  @is_by_uri: another run of this node can reach it */
void location_token_new(struct sip *s, bool is_by_uri, char ret_token[BINDING_TOKEN_BYTES]);

/** location_peer_uri - this node's SIP address as it stands in records. */
const char *location_peer_uri(const struct sip *s);

/** location_user_at - who is registered from where a message came (origin.h); NULL if nobody, or
 *  several, are. Borrowed until the next call into this module. */
const char *location_user_at(struct sip *s, const struct sip_sender *sender);

/** location_is_bound - is there a contact in force that was registered by this flow? */
bool location_is_bound(const struct sip *s, uint64_t flow);

size_t location_count(const struct sip *s);

/** location_report - for BRIDGE_REPORT; NULL without memory. */
struct bridge_message *location_report(struct sip *s, uint64_t token);

/** location_tick - once a second: what expired, whose connection ended, what is still to be stored.
 */
void location_tick(struct sip *s);

/** location_restore - what was kept of earlier runs: contacts that can be reached without a flow
 *  are in force again; the others are gone, and the overlay is told so. */
void location_restore(struct sip *s);

/** location_on_joined - the node is a member of the overlay, of another one perhaps: all is stored.
 */
void location_on_joined(struct sip *s);

/** location_on_lost - the overlay lost a member: what it kept of this node's bindings is stored
 *  again, at once; the rest, of which it may have held a copy, within seconds. */
void location_on_lost(struct sip *s, const struct id *node);

/** location_url_equal - RFC 3261 section 19.1.4. */
bool location_url_equal(const url_t *a, const url_t *b);

/** location_uri_equal - the same, of texts. */
bool location_uri_equal(const char *a, const char *b);

#endif
