/**
 * DOC: making X.509 version 3 certificates
 *
 * Two kinds: an overlay's root, and a node's certificate under it.  No files, no names of ours: the
 * caller has checked what it asks for.
 *
 * Source: RFC 6940 section 11.3 (empty subject, subjectAltName), RFC 5280 sections 4.1 and 4.2.
 */
#ifndef PEER_PROTOCOL_IDENTITY_ISSUER_H
#define PEER_PROTOCOL_IDENTITY_ISSUER_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/id.h"
#include "peer-protocol/identity/authority.h"

/** issuer_key - a new key pair; NULL without memory or randomness. */
EVP_PKEY *issuer_key(enum key_type type);

/** issuer_root - a self-signed certificate for @key; NULL on failure (openssl_reason()). */
X509 *issuer_root(EVP_PKEY *key, const char *common_name, unsigned days);

struct issuer_node {
    const char *overlay; /* stands in the Node-ID's URI */
    struct id node;
    const char *user;    /* rfc822Name */
    const char *sip_uri; /* "sip:pastry", or NULL for none */
    unsigned days;       /* the certificate does not outlive the root */
};

/** issuer_certificate - a node's certificate for @key, signed by the root's key; NULL on failure.
 */
X509 *issuer_certificate(X509 *root, EVP_PKEY *root_key, EVP_PKEY *key,
                         const struct issuer_node *node);

#endif
