/**
 * DOC: sending, as registrar and proxy need it beyond service.h
 */
#ifndef GATEWAY_SIP_SEND_H
#define GATEWAY_SIP_SEND_H

#include "gateway/sip/service.h"

struct location_contact;

/** sip_target_of_uri - straight to a URI; ST_UNREACHABLE for a host name: none is looked up.
 *  @uri: kept in @ret */
NODISCARD enum status sip_target_of_uri(struct sip *s, const char *uri, struct sip_target *ret);

/** sip_target_of_phone - a phone by its Contact URI: whatever that says, never as one of our nodes;
 *  ST_UNREACHABLE for a host name. @uri: kept in @ret */
NODISCARD enum status sip_target_of_phone(struct sip *s, const char *uri, struct sip_target *ret);

/** sip_target_of_local - a phone of this node, on its flow where it has to be. */
NODISCARD enum status sip_target_of_local(struct sip *s, const struct location_contact *contact,
                                          struct sip_target *ret);

/** sip_is_own_path - is it the Path this node stores? */
bool sip_is_own_path(const struct sip *s, const char *path);

/** sip_send_branch - sip_send() with a branch of the caller's. @msg is taken. */
nta_outgoing_t *sip_send_branch(const struct sip_target *target, msg_t *msg, const char *branch,
                                nta_response_f *on_response, nta_outgoing_magic_t *magic);

/**
 * sip_pack - let a message that goes to @side be one piece of memory when it is encoded
 *
 * Over TLS the library makes a record of each piece, and a record costs its sender and its receiver
 * a system call or two.  To be called last before the message is handed over.
 */
void sip_pack(msg_t *msg, enum sip_side side);

/**
 * sip_is_way_lost - is the connection of a request to another node gone, and its response cannot
 * come?
 *
 * The library tells of most that end (resend.h), not of one that ends while it is being made.
 */
bool sip_is_way_lost(nta_outgoing_t *orq);

#endif
