/**
 * DOC: a node's identity in one overlay, on OpenSSL
 *
 * An identity is a key, a certificate of the overlay's authority, and that authority.  The
 * certificate's subjectAltName carries the URI reload://HEX-DESTINATION-LIST@OVERLAY/ (the
 * Node-ID), one rfc822Name (the user name) and, in the global overlay, the URI sip:NAME (RFC 5922);
 * the subject is empty.  ECDSA P-256 by default, RSA too.
 *
 * Certificates of others are verified once and then remembered, bounded, by the SHA-256 of their
 * DER; after that only their time is looked at, and a signature costs one verification.
 *
 * Where the environment variable SSLKEYLOGFILE is set, the secrets of all TLS links are appended to
 * that file: for laboratories that read captures; a warning says so once.
 *
 * Source: RFC 6940 sections 11.3 and 6.3.4.
 * Left out on purpose: intermediate authorities, threads (an identity is used by one).
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

/** identity_valid_until_ms, identity_valid_from_ms - the time of the own certificate and of the
 * authority's, whichever is narrower. */
uint64_t identity_valid_until_ms(const struct identity *i);
uint64_t identity_valid_from_ms(const struct identity *i);

/**
 * identity_renew - read the folder again: another certificate, with its key, takes the place of the
 * own one, in contexts of identity_tls_judge() too
 * @ret_is_new: is it another?  Connections that are up keep the one they were made with.
 * Returns: ST_OK; ST_SIGNATURE also where Node-ID or user name is another; on failure all is as it
 * was.  What identity_certificate() gave stays until the identity goes.
 */
NODISCARD enum status identity_renew(struct identity *i, bool *ret_is_new, struct why *why);

/** identity_tls - an SSL_CTX for both roles that demands and verifies the other's certificate. */
struct ssl_ctx_st *identity_tls(struct identity *i);

/**
 * identity_tls_mark - note on a TLS object that it is ours
 *
 * Whoever makes an SSL of identity_tls() marks it: the SIP side replaces SSL_shutdown() to cure a
 * leak of its library, and leaves what is marked alone. Returns: false without memory.
 */
bool identity_tls_mark(struct ssl_st *ssl);
bool identity_tls_is_marked(const struct ssl_st *ssl);

/** identity_tls_refusal - why we refused the certificate shown on a marked SSL; "" if we did not.
 */
const char *identity_tls_refusal(const struct ssl_st *ssl);

/**
 * identity_check - a certificate (DER) against this overlay's authority
 * Returns: ST_OK with Node-ID and user name; ST_SIGNATURE with the cause.
 */
NODISCARD enum status identity_check(struct identity *i, struct slice der, uint64_t at_wall_ms,
                                     struct signer *ret, struct why *why);

/**
 * identity_tls_judge - let this identity judge the certificates shown to an SSL_CTX of another
 * library, as it does those of its own links Returns: false without memory.
 */
bool identity_tls_judge(struct identity *i, struct ssl_ctx_st *tls);

/**
 * identity_reread_revoked - read the folder's file "revoked" again (revoked.h has its form)
 *
 * Connections whose certificate it names end, those of identity_tls_judge() too; nothing that such
 * a certificate signs counts from now on. Returns: ST_OK; else the cause, and what was in force
 * stays.
 */
NODISCARD enum status identity_reread_revoked(struct identity *i, struct why *why);

/** identity_of_tls - who is at the other end of a TLS link whose handshake is done. */
NODISCARD enum status identity_of_tls(struct identity *i, struct ssl_st *ssl, struct signer *ret,
                                      struct why *why);

#define IDENTITY_KEY_BYTES 32
/** identity_key_of_tls - SHA-256 of the other end's public key: two certificates of one key are one
 *  node's, old and renewed. */
NODISCARD enum status identity_key_of_tls(const struct ssl_st *ssl,
                                          uint8_t ret[IDENTITY_KEY_BYTES]);

/** identity_set_limit - how many certificates of others are remembered at most; default 8192. */
void identity_set_limit(struct identity *i, size_t certificates);

/** identity_node_of_address - Hash(address), the Node-ID policy of the design. */
void identity_node_of_address(const char *address, struct id *ret);

/** identity_random - 64 bits from the CSPRNG; identity_random_bytes as many as wanted. */
uint64_t identity_random(void);
void identity_random_bytes(void *out, size_t len);

#endif
