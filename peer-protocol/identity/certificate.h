/**
 * DOC: a certificate of an overlay's authority, checked once and kept ready for use
 *
 * Making one is the dear part: parse, find Node-ID and user name, verify the chain.  What is kept
 * afterwards is what the hot path needs: the hash it is found by, the public key with its context,
 * and the time in which the whole chain is valid, so that the clock can be held against it again
 * and again.
 *
 * Source: RFC 6940 sections 11.3, 14.15 and 6.3.4; RFC 5280 section 6.
 * Left out on purpose: intermediate authorities, certificates with more than one Node-ID.
 */
#ifndef PEER_PROTOCOL_IDENTITY_CERTIFICATE_H
#define PEER_PROTOCOL_IDENTITY_CERTIFICATE_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/list.h"
#include "peer-protocol/identity/openssl.h"
#include "peer-protocol/identity/revoked.h"
#include "peer-protocol/message/security.h"

#define CERTIFICATE_MAX_BYTES 16384 /* longer ones are refused unread */

struct certificate {
    struct list_node used; /* for remembered.c */
    uint8_t hash[OPENSSL_SHA256_BYTES];
    struct signer signer;
    struct serial serial;
    struct slice der;
    uint8_t algorithm; /* SIGNATURE_RSA or SIGNATURE_ECDSA */
    EVP_PKEY_CTX *verify;
    uint64_t not_before_ms; /* the narrowest of the chain */
    uint64_t not_after_ms;
};

/**
 * certificate_new - check a certificate
 * @der:       borrowed
 * @anchors:   the authority's certificates
 * @overlay:   the Node-ID's URI must name it
 * @ret_error: the X509_V_ERR_ that a TLS alert is made of; may be NULL
 * Returns: ST_OK; ST_SIGNATURE with the cause; ST_NOMEM.
 */
NODISCARD enum status certificate_new(struct slice der, X509_STORE *anchors, const char *overlay,
                                      uint64_t at_wall_ms, struct certificate **ret, int *ret_error,
                                      struct why *why);
void certificate_free(struct certificate *c);

/** certificate_check_time - is the chain valid at this time?  ST_OK or ST_SIGNATURE. */
NODISCARD enum status certificate_check_time(const struct certificate *c, uint64_t at_wall_ms,
                                             struct why *why);

/** certificate_verify - was @digest (SHA-256) signed by this certificate's key? */
NODISCARD enum status certificate_verify(const struct certificate *c,
                                         const uint8_t digest[OPENSSL_SHA256_BYTES],
                                         struct slice signature, struct why *why);

/** certificate_algorithm - how a key signs: SIGNATURE_RSA, SIGNATURE_ECDSA; 0 for no key of ours.
 */
uint8_t certificate_algorithm(EVP_PKEY *key);

/** certificate_prepare - set a context that is ready to sign or verify up for @algorithm. */
bool certificate_prepare(EVP_PKEY_CTX *ctx, uint8_t algorithm);

#endif
