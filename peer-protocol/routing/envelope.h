/**
 * DOC: building, signing and verifying messages
 *
 * A sealed message is its contents and security block in one; the forwarding header in front of it
 * may change without breaking the signature, so an answer is sealed once and sent as often as it is
 * asked for.
 *
 * Source: RFC 6940 section 6.3.4.
 */
#ifndef PEER_PROTOCOL_ROUTING_ENVELOPE_H
#define PEER_PROTOCOL_ROUTING_ENVELOPE_H

#include "peer-protocol/message/message.h"
#include "peer-protocol/message/security.h"

/** What all messages of this node have in common. */
struct envelope {
    struct keys keys;
    uint32_t overlay; /* the header's overlay field */
    uint16_t configuration_sequence;
    uint8_t initial_ttl;
    size_t max_bytes; /* of a message, whole */
};

/** envelope_overlay - the overlay field for a name. */
uint32_t envelope_overlay(const struct keys *keys, const char *overlay);

struct envelope_letter {
    uint64_t transaction_id;
    uint16_t code;
    struct slice body;
    struct slice extensions;   /* raw entries */
    struct slice certificates; /* raw entries, besides our own */
};

/**
 * envelope_seal - contents and security block, signed in the name of this node
 * @ret_sealed: the caller frees it by slice_free()
 * Returns: ST_OK; ST_TOO_LARGE; ST_NOMEM; what keys.sign returns.
 */
NODISCARD enum status envelope_seal(const struct envelope *e, const struct envelope_letter *letter,
                                    struct slice *ret_sealed);

/** envelope_header - a header for a message of our own; lists, max_response_length stay empty. */
struct forwarding envelope_header(const struct envelope *e, uint64_t transaction_id);

/** envelope_origin - who sent a message first, by its via list: @link if that is empty. */
struct id envelope_origin(const struct forwarding *h, const struct id *link);

/**
 * envelope_verify - is the message signed by a node of this overlay, and by which?
 * @link: whom it came from; with security "none" the signer is taken from the via list
 * Returns: ST_OK; ST_SIGNATURE or ST_NOT_FOUND with the cause.
 */
NODISCARD enum status envelope_verify(const struct envelope *e, const struct message *m,
                                      const struct id *link, uint64_t at_wall_ms,
                                      struct signer *ret, struct why *why);

#endif
