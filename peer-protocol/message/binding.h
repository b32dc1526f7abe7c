/**
 * DOC: bindings: what one serving peer has of one AOR (KIND_BINDING)
 *
 * A record is one block of memory with all its texts behind it, as large as what it says: phones
 * send URIs of up to 2 kB, and nearly none is that long.  Whoever builds one to be written points
 * to texts of his own.
 *
 * A binding is named by its token, never by the text of its Contact: two phones behind two NATs
 * may have the same private address.  A serving peer that could not be reached when a phone left
 * it keeps its old record; the peer that took the change stores in its own what it supersedes, and
 * readers leave that out.
 *
 * Clocks differ: on the wire a record says how long a thing still lasts, and how long ago it was,
 * when it was stored.  In memory there are wall times, of this node's clock.
 *
 * Source: RFC 3261 section 10, RFC 3327, docs/protocol.md.
 */
#ifndef PEER_PROTOCOL_MESSAGE_BINDING_H
#define PEER_PROTOCOL_MESSAGE_BINDING_H

#include "peer-protocol/message/private.h"

#define BINDING_VERSION          3
#define BINDING_CONTACTS_MAX     10
#define BINDING_SUPERSEDED_MAX   16
#define BINDING_RECORD_BYTES_MAX 24576
#define BINDING_TOKEN_BYTES      64

/** One contact of a phone (RFC 3261 section 10). */
struct binding_contact {
    const char *uri; /* less than PHONE_URI_BYTES */
    uint16_t q_thousandths;
    uint64_t expires_at_wall_ms;
    uint64_t registered_at_wall_ms; /* of the last REGISTER that named it */
    const char *call_id;            /* less than CALL_ID_BYTES */
    uint32_t cseq;
    const char *instance; /* +sip.instance, without quotes; "" if none */
    uint32_t reg_id;      /* RFC 5626; 0: none */
    const char *token;    /* less than BINDING_TOKEN_BYTES; which binding, at the serving peer */
    uint8_t is_on_connection; /* reachable only over the flow it registered by */
    uint8_t is_by_uri;        /* whoever sends to its URI reaches it: neither flow nor edge proxy */
};

/** A binding of another peer that is no more, though that peer could not be told. */
struct binding_superseded {
    const char *token; /* of the binding; "*" for all of the other peers */
    const char *call_id;
    uint32_t cseq;
    uint64_t at_wall_ms;
    uint64_t expires_at_wall_ms; /* then the binding is gone in any case */
};

struct binding_record {
    const char *aor;  /* less than AOR_BYTES */
    const char *path; /* the serving peer's SIP address (peer-listen), less than SIP_URI_BYTES */
    uint8_t contact_count;
    uint8_t superseded_count;
    struct binding_contact *contact;
    struct binding_superseded *superseded;
};

/**
 * binding_record_read - read a record
 * @ret: one block; binding_record_free() frees it
 * Returns: ST_OK; ST_MALFORMED; ST_UNSUPPORTED for another version; ST_NOMEM.
 */
NODISCARD enum status binding_record_read(struct slice in, struct binding_record **ret);
void binding_record_write(struct writer *w, const struct binding_record *b);

/** binding_record_store - wall times become what lies in the overlay, as it is stored now.
 *  Returns: how long the record lasts, in seconds. */
uint32_t binding_record_store(struct binding_record *b, uint64_t now_wall_ms);

/**
 * binding_record_fetched - what lay in the overlay becomes wall times of this node's clock
 * @storage_time_ms: by the clock of who stored it
 * @left_s:          how long the record still lasts, by the clock of who keeps it
 */
void binding_record_fetched(struct binding_record *b, uint64_t storage_time_ms, uint32_t left_s,
                            uint64_t now_wall_ms);

/** binding_record_copy - the same record in one block of its own; NULL without memory. */
struct binding_record *binding_record_copy(const struct binding_record *b);

/** binding_record_free - accepts NULL. */
void binding_record_free(struct binding_record *b);

/** binding_record_bytes - what binding_record_write() will write. */
size_t binding_record_bytes(const struct binding_record *b);

/** binding_path - the Path of one contact: the serving peer's address with the binding's token as
 *  its user part.  False when it has no room. */
bool binding_path(const char *peer_uri, const char *token, char ret_path[SIP_URI_BYTES]);

/** binding_is_superseded - does a record say that @c, which another peer has, is no more? */
bool binding_is_superseded(const struct binding_record *by, const struct binding_contact *c);

/** binding_phone - whose flow a contact is, as a hash of its instance; 0: it is no flow of a phone
 *  that has several (RFC 5626) */
uint64_t binding_phone(const struct binding_contact *c);

/** A contact among records. */
struct binding_place {
    uint64_t at_wall_ms; /* of its last REGISTER */
    uint8_t record;
    uint8_t contact;
};

/** binding_places - the contacts in force, the newest first.  @ret: room for BINDING_CONTACTS_MAX
 *  of each record; at most 255 records.  Returns: how many there are. */
size_t binding_places(struct binding_record *const *record, size_t count, uint64_t wall_ms,
                      struct binding_place *ret);

/** binding_is_live - contact @i of record @r: neither expired nor superseded by another record. */
bool binding_is_live(struct binding_record *const *record, size_t count, size_t r, size_t i,
                     uint64_t wall_ms);

#endif
