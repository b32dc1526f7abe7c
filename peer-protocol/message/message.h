/**
 * DOC: the RELOAD message
 *
 *    +-------------------+------------------+----------------+
 *    | forwarding header | message contents | security block |
 *    +-------------------+------------------+----------------+
 *
 * Decoding is in place: a decoded message borrows the bytes it was read from.  The lists stay bytes
 * and are walked with cursors, so no message makes us allocate by its own word.
 *
 * Source: RFC 6940 sections 6.3.1 to 6.3.4.
 * Left out on purpose: nothing of the RFC; meaning is given elsewhere (routing/, storage/).
 */
#ifndef PEER_PROTOCOL_MESSAGE_MESSAGE_H
#define PEER_PROTOCOL_MESSAGE_MESSAGE_H

#include "base/bytes.h"

#define MESSAGE_TOKEN           0xd2454c4fu /* "RELO" with the top bit set, section 6.3.2 */
#define MESSAGE_VERSION         0x0a
#define MESSAGE_HEADER_BYTES    38
#define MESSAGE_MAX_BYTES       65000u /* on TLS links */
#define MESSAGE_INITIAL_TTL     100
#define MESSAGE_LIST_MAX        128 /* entries in a via or destination list: hard limit */
#define MESSAGE_SINGLE_FRAGMENT 0xc0000000u

/** Message codes, section 14.8.  An answer is its request + 1. */
enum message_code {
    MESSAGE_PROBE_REQ = 0x01,
    MESSAGE_PROBE_ANS = 0x02,
    MESSAGE_ATTACH_REQ = 0x03,
    MESSAGE_ATTACH_ANS = 0x04,
    MESSAGE_STORE_REQ = 0x07,
    MESSAGE_STORE_ANS = 0x08,
    MESSAGE_FETCH_REQ = 0x09,
    MESSAGE_FETCH_ANS = 0x0a,
    MESSAGE_FIND_REQ = 0x0d,
    MESSAGE_FIND_ANS = 0x0e,
    MESSAGE_JOIN_REQ = 0x0f,
    MESSAGE_JOIN_ANS = 0x10,
    MESSAGE_LEAVE_REQ = 0x11,
    MESSAGE_LEAVE_ANS = 0x12,
    MESSAGE_UPDATE_REQ = 0x13,
    MESSAGE_UPDATE_ANS = 0x14,
    MESSAGE_ROUTE_QUERY_REQ = 0x15,
    MESSAGE_ROUTE_QUERY_ANS = 0x16,
    MESSAGE_PING_REQ = 0x17,
    MESSAGE_PING_ANS = 0x18,
    MESSAGE_STAT_REQ = 0x19,
    MESSAGE_STAT_ANS = 0x1a,
    MESSAGE_APP_ATTACH_REQ = 0x1d,
    MESSAGE_APP_ATTACH_ANS = 0x1e,
    MESSAGE_CONFIG_UPDATE_REQ = 0x21,
    MESSAGE_CONFIG_UPDATE_ANS = 0x22,
    MESSAGE_EXP_A_REQ = 0x23,
    MESSAGE_EXP_A_ANS = 0x24,
    MESSAGE_EXP_B_REQ = 0x25,
    MESSAGE_EXP_B_ANS = 0x26,
    MESSAGE_ERROR = 0xffff,
};

/** message_code_name - "store_req"; "unknown" for what the RFC does not list. */
const char *message_code_name(uint16_t code);

/** Error codes, section 14.9. */
enum error_code {
    ERROR_FORBIDDEN = 0x02,
    ERROR_NOT_FOUND = 0x03,
    ERROR_REQUEST_TIMEOUT = 0x04,
    ERROR_GENERATION_COUNTER_TOO_LOW = 0x05,
    ERROR_INCOMPATIBLE_WITH_OVERLAY = 0x06,
    ERROR_UNSUPPORTED_FORWARDING_OPTION = 0x07,
    ERROR_DATA_TOO_LARGE = 0x08,
    ERROR_DATA_TOO_OLD = 0x09,
    ERROR_TTL_EXCEEDED = 0x0a,
    ERROR_MESSAGE_TOO_LARGE = 0x0b,
    ERROR_UNKNOWN_KIND = 0x0c,
    ERROR_UNKNOWN_EXTENSION = 0x0d,
    ERROR_RESPONSE_TOO_LARGE = 0x0e,
    ERROR_CONFIG_TOO_OLD = 0x0f,
    ERROR_CONFIG_TOO_NEW = 0x10,
    ERROR_IN_PROGRESS = 0x11,
    ERROR_EXP_A = 0x12,
    ERROR_EXP_B = 0x13,
    ERROR_INVALID_MESSAGE = 0x14,
};

/** error_code_name - "Not_Found" as the RFC spells it; "Error_0xNN" is never made up: "unknown". */
const char *error_code_name(uint16_t code);

/** error_code_of, error_code_status - between our status codes and the wire's error codes. */
uint16_t error_code_of(enum status st);
enum status error_code_status(uint16_t code);

/* ---- forwarding header ---------------------------------------------------------------------- */

enum destination_type { DESTINATION_NODE = 1, DESTINATION_RESOURCE = 2, DESTINATION_OPAQUE = 3 };

/** One entry of a via or destination list, section 6.3.2.2. */
struct destination {
    enum destination_type type;
    struct id id;        /* NODE and RESOURCE; Resource-IDs are 16 bytes in every overlay of ours */
    struct slice opaque; /* OPAQUE: the bytes of the opaque ID, or the 2 bytes of a compact one */
    bool is_compact;     /* OPAQUE in its 2-byte form, top bit set */
};

struct destination destination_node(const struct id *node);
struct destination destination_resource(const struct id *resource);

/**
 * destination_read - the next entry of a list; check r->failed afterwards
 * Returns: false at the end or after a failure (unknown type, wrong length, zero Node-ID).
 */
bool destination_read(struct reader *r, struct destination *ret);
void destination_write(struct writer *w, const struct destination *d);

/** destination_list_check - ST_OK if a list is well formed and has at most MESSAGE_LIST_MAX
 *  entries; with @is_via a resource is refused, else a resource is allowed as the last only. */
NODISCARD enum status destination_list_check(struct slice list, bool is_via, size_t *ret_count);

enum forwarding_flag {
    FORWARDING_FORWARD_CRITICAL = 1,
    FORWARDING_DESTINATION_CRITICAL = 2,
    FORWARDING_RESPONSE_COPY = 4,
};

struct forwarding_option {
    uint8_t type;
    uint8_t flags;
    struct slice data;
};
bool forwarding_option_read(struct reader *r, struct forwarding_option *ret);
void forwarding_option_write(struct writer *w, const struct forwarding_option *o);

/** The forwarding header, section 6.3.2.  The three lists are the raw bytes of the wire. */
struct forwarding {
    uint32_t overlay;
    uint16_t configuration_sequence;
    uint8_t version;
    uint8_t ttl;
    uint32_t fragment; /* bit 31 set, bit 30 last, 24-bit offset */
    uint32_t length;   /* of the whole message */
    uint64_t transaction_id;
    uint32_t max_response_length; /* 0: no limit */
    struct slice via;
    struct slice destinations;
    struct slice options;
};

/**
 * forwarding_read - read and check a forwarding header
 * @in:       a whole message or fragment as it came from a link
 * @ret:      set on success; borrows @in
 * @ret_rest: what follows the header; may be NULL
 * Returns: ST_OK; ST_MALFORMED (short, wrong token, wrong lengths, bad lists); ST_UNSUPPORTED for
 * another version.
 */
NODISCARD enum status forwarding_read(struct slice in, struct forwarding *ret,
                                      struct slice *ret_rest, struct why *why);

/** forwarding_write - header and lists; the length field is written as h->length. */
void forwarding_write(struct writer *w, const struct forwarding *h);

/**
 * forwarding_rewrite - the same message with other lists and TTL, as a forwarder sends it on
 * @in: the whole message; its contents and security block are copied as they are
 * @h:  the header to write; its length is computed here
 */
void forwarding_rewrite(struct writer *w, struct slice in, const struct forwarding *h);

/* ---- fragments, section 6.7 ------------------------------------------------------------------ */

#define FRAGMENT_LAST      0x40000000u
#define FRAGMENT_ALWAYS    0x80000000u
#define FRAGMENT_OFFSET(f) ((f)&0x00ffffffu)

/**
 * fragment_split - cut a message into fragments of at most @max_bytes each
 * @emit: called for each fragment, in order; the slice is borrowed for the call
 * Returns: ST_OK; ST_RANGE if the header leaves less than 256 bytes for the body of each.
 */
NODISCARD enum status fragment_split(struct slice message, size_t max_bytes,
                                     void (*emit)(void *ctx, struct slice fragment), void *ctx);

/**
 * Reassembly of fragmented messages: bounded in messages and bytes; 15 s to complete
 * (section 6.7).  Overlaps and holes are refused.
 */
struct reassembly;

/** Whatever one link sends, the fragments of others become whole messages. */
struct reassembly_limits {
    size_t max_messages, max_bytes;   /* of all links */
    size_t link_messages, link_bytes; /* of one */
};
struct reassembly *reassembly_new(const struct reassembly_limits *limits);
void reassembly_free(struct reassembly *a);

/**
 * reassembly_add - take one fragment
 * @from: the sender's identity for the key (link Node-ID); with the transaction ID it names a
 * message
 * @ret_whole: the finished message, data NULL while it is not; the caller frees it by slice_free()
 * Returns: ST_OK; ST_LIMIT; ST_MALFORMED (overlap, differing headers); ST_NOMEM.
 */
NODISCARD enum status reassembly_add(struct reassembly *a, uint64_t now_ms, const struct id *from,
                                     struct slice fragment, struct slice *ret_whole);
void reassembly_expire(struct reassembly *a, uint64_t now_ms);
/** reassembly_forget - the link with @from is gone. */
void reassembly_forget(struct reassembly *a, const struct id *from);
/** reassembly_evicted - beginnings of messages that made room for others, so far. */
uint64_t reassembly_evicted(const struct reassembly *a);

/* ---- contents -------------------------------------------------------------------------------- */

/** Message extension, section 6.3.3.  0xF000 and up are ours, see docs/protocol.md. */
struct extension {
    uint16_t type;
    bool is_critical;
    struct slice contents;
};
enum extension_type {
    EXTENSION_ALGORITHM = 0xf001,
    EXTENSION_LINK_ONLY = 0xf002, /* empty, not critical: an Attach for a link, not for a place in
                                     the other's topology tables */
    EXTENSION_FRESH = 0xf003,     /* not critical: when, and to whom, a private request was sent */
    EXTENSION_ADDRESS = 0xf004,   /* not critical: the address that the Node-ID is the hash of */
};

bool extension_read(struct reader *r, struct extension *ret);
void extension_write(struct writer *w, const struct extension *e);

struct contents {
    uint16_t code;
    struct slice body;
    struct slice extensions; /* the list's entries, without its length prefix */
    struct slice whole;      /* all of the message contents: what is signed */
};

/* ---- security block, section 6.3.4 ------------------------------------------------------------
 */

enum signer_identity_type {
    SIGNER_CERT_HASH = 1,
    SIGNER_CERT_HASH_NODE_ID = 2,
    SIGNER_NONE = 3,
};

enum { HASH_NONE = 0, HASH_SHA1 = 2, HASH_SHA256 = 4 }; /* TLS HashAlgorithm */
enum {
    SIGNATURE_ANONYMOUS = 0,
    SIGNATURE_RSA = 1,
    SIGNATURE_ECDSA = 3
}; /* TLS SignatureAlgorithm */

struct signature {
    uint8_t hash;
    uint8_t algorithm;
    uint8_t identity_type;       /* enum signer_identity_type */
    uint8_t identity_hash;       /* hash algorithm of the certificate hash */
    struct slice identity;       /* the hash itself; empty for SIGNER_NONE */
    struct slice identity_whole; /* the SignerIdentity as on the wire: part of what is signed */
    struct slice value;
};

/** signature_read - sets r->failed on bad input. */
struct signature signature_read(struct reader *r);
void signature_write(struct writer *w, const struct signature *s);

/** signature_none - {none, 0, 0}: for synthetic non-existent values and security "none". */
struct signature signature_none(void);

struct security {
    struct slice certificates; /* GenericCertificate list, raw entries */
    struct signature signature;
};

/** certificate_read - the next certificate (DER) of a security block's list; false at the end.
 *  Entries of another type than X.509 fail the reader. */
bool certificate_read(struct reader *r, struct slice *ret_der);
void certificate_write(struct writer *w, struct slice der);

/* ---- the whole ------------------------------------------------------------------------------- */

struct message {
    struct forwarding header;
    struct contents contents;
    struct security security;
    struct slice whole;
};

/**
 * message_decode - read a whole, unfragmented message
 * @in:  borrowed for as long as @ret is used
 * Returns: ST_OK; ST_MALFORMED; ST_UNSUPPORTED (version). Trailing bytes are malformed.
 */
NODISCARD enum status message_decode(struct slice in, struct message *ret, struct why *why);

/**
 * message_signature_input - what a message's signature covers (section 6.3.4):
 * overlay || transaction_id || contents || SignerIdentity
 */
void message_signature_input(struct writer *w, uint32_t overlay, uint64_t transaction_id,
                             struct slice contents, struct slice identity_whole);

/** contents_write - code, body and extensions (entries; may be empty). */
void contents_write(struct writer *w, uint16_t code, struct slice body, struct slice extensions);

/** security_write - certificates (raw entries) and signature. */
void security_write(struct writer *w, struct slice certificates, const struct signature *s);

/**
 * message_write - header, contents and security block in one, with the right length
 * @contents: as contents_write() made them
 * @security: as security_write() made it
 */
void message_write(struct writer *w, const struct forwarding *h, struct slice contents,
                   struct slice security);

/**
 * message_without_certificate - the same message with an empty bucket, for who knows the signer
 * Returns: whether @in is whole, and its bucket held one certificate; otherwise @w is as it was.
 */
bool message_without_certificate(struct writer *w, struct slice in);

#endif
