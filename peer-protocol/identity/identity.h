/**
 * DOC: a node's identity in one overlay, on OpenSSL
 *
 * An identity is a key, a certificate of the overlay's authority, and that authority.  The
 * certificate's subjectAltName carries the URI reload://HEX-DESTINATION-LIST@OVERLAY/ (the
 * Node-ID), one rfc822Name (the user name) and, in the global overlay, the URI sip:NAME (RFC 5922);
 * the subject is empty.  ECDSA P-256 by default, RSA too.
 *
 * Source: RFC 6940 sections 11.3 and 6.3.4.
 */
#ifndef PEER_PROTOCOL_IDENTITY_IDENTITY_H
#define PEER_PROTOCOL_IDENTITY_IDENTITY_H

#include "peer-protocol/message/security.h"

struct identity;
struct ssl_ctx_st; /* SSL_CTX */
struct ssl_st;     /* SSL */
struct x509_st;    /* X509 */

/**
 * identity_load - read cert.pem, key.pem and ca.pem of a folder
 * @overlay: the overlay's name; the Node-ID URI must name it
 * Returns: ST_OK; ST_IO; ST_SIGNATURE with file and cause (expired, not of this authority, key does
 * not fit, no Node-ID, no user name, key file readable by others is only warned of).
 */
NODISCARD enum status identity_load(const char *folder, const char *overlay,
                                    struct identity **ret_identity, struct why *why);
void identity_free(struct identity *i);

const struct id *identity_node(const struct identity *i);
const char *identity_user(const struct identity *i);
/** identity_certificate - own certificate, DER. */
struct slice identity_certificate(const struct identity *i);

/** identity_keys - the table for the pure core; valid as long as the identity. */
struct keys identity_keys(struct identity *i);

/** identity_tls - an SSL_CTX for both roles that demands and verifies the other's certificate. */
struct ssl_ctx_st *identity_tls(struct identity *i);

/**
 * identity_check - a certificate (DER) against this overlay's authority
 * Returns: ST_OK with Node-ID and user name; ST_SIGNATURE with the cause.
 */
NODISCARD enum status identity_check(struct identity *i, struct slice der, uint64_t at_wall_ms,
                                     struct signer *ret, struct why *why);

/** identity_of_tls - who is at the other end of a TLS link whose handshake is done. */
NODISCARD enum status identity_of_tls(struct identity *i, struct ssl_st *ssl, struct signer *ret,
                                      struct why *why);

/** identity_node_of_address - Hash(address), the Node-ID policy of the design. */
void identity_node_of_address(const char *address, struct id *ret);

/** identity_random - 64 bits from the CSPRNG; identity_random_bytes as many as wanted. */
uint64_t identity_random(void);
void identity_random_bytes(void *out, size_t len);

#endif
