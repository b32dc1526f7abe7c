/**
 * DOC: the SSL_CTX of an identity
 *
 * TLS 1.2 and 1.3; each side must show a certificate, and the owner's check decides about it inside
 * the handshake, so that a refusal is an alert.  Sessions are not resumed.
 *
 * Where the environment variable SSLKEYLOGFILE is set, the secrets of all connections are appended
 * to that file: for laboratories, where captures are to be read.  A warning says so.
 */
#ifndef PEER_PROTOCOL_IDENTITY_TLS_H
#define PEER_PROTOCOL_IDENTITY_TLS_H

#include <openssl/ssl.h>

#include "base/bytes.h"

/** Is the other side's certificate good?  @ret_error: the X509_V_ERR_ for the alert. */
struct tls_check {
    void *ctx;
    enum status (*check)(void *ctx, struct slice der, int *ret_error, struct why *why);
};

/**
 * tls_new - a context for both roles
 * @check: copied
 * Returns: ST_OK; ST_NOMEM; ST_SIGNATURE if key and certificate cannot be used for TLS.
 */
NODISCARD enum status tls_new(X509 *certificate, EVP_PKEY *key, const struct tls_check *check,
                              SSL_CTX **ret, struct why *why);

/** tls_peer - the certificate of the other side, DER; the caller frees it by slice_free().
 *  Returns: ST_OK; ST_SIGNATURE if it showed none; ST_NOMEM. */
NODISCARD enum status tls_peer(const SSL *ssl, struct slice *ret_der, struct why *why);

#endif
