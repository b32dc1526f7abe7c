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
#include "base/list.h"
#include "peer-protocol/identity/revoked.h"

/** Is the other side's certificate good?  @ret_error: the X509_V_ERR_ for the alert. */
struct tls_check {
    void *ctx;
    enum status (*check)(void *ctx, struct slice der, int *ret_error, struct why *why);
    struct list_node *connections; /* those that passed are kept here until they are freed */
};

/**
 * tls_new - a context for both roles
 * @check: copied
 * Returns: ST_OK; ST_NOMEM; ST_SIGNATURE if key and certificate cannot be used for TLS.
 */
NODISCARD enum status tls_new(X509 *certificate, EVP_PKEY *key, const struct tls_check *check,
                              SSL_CTX **ret, struct why *why);

/** tls_show - new connections of a context show this certificate. */
NODISCARD enum status tls_show(SSL_CTX *ctx, X509 *certificate, EVP_PKEY *key, struct why *why);

/** tls_judge - have @check judge for a context that is not ours.  ST_OK; ST_NOMEM. */
NODISCARD enum status tls_judge(SSL_CTX *ctx, const struct tls_check *check);

/** tls_end_revoked - shut the sockets of connections whose certificate is revoked; how many. */
unsigned tls_end_revoked(struct list_node *connections, const struct revoked *revoked);
/** tls_forget - the list's owner goes; connections may outlive it. */
void tls_forget(struct list_node *connections);

/** tls_peer - the certificate of the other side, DER; the caller frees it by slice_free().
 *  Returns: ST_OK; ST_SIGNATURE if it showed none; ST_NOMEM. */
NODISCARD enum status tls_peer(const SSL *ssl, struct slice *ret_der, struct why *why);

#endif
