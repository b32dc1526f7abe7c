/**
 * DOC: what the pure core asks of whoever holds the keys
 *
 * The core never sees a key or a library.  The daemon gives it this table, made by identity/; the
 * simulator gives it one that signs nothing (security "none").
 */
#ifndef PEER_PROTOCOL_MESSAGE_SECURITY_H
#define PEER_PROTOCOL_MESSAGE_SECURITY_H

#include "peer-protocol/message/message.h"

#define DIGEST_BYTES    32  /* SHA-256 */
#define USER_NAME_BYTES 256 /* a certificate's rfc822Name with its zero */

/** Who signed: what a verified certificate says. */
struct signer {
    struct id node;
    char user[USER_NAME_BYTES]; /* "gw1.bupt@pastry", "overlay@pastry" */
};

struct security_ops {
    /**
     * sign - sign in the name of this node
     * @input: how to build what is signed is known only once the SignerIdentity is: @input is all
     *         that stands before it; the SignerIdentity is appended here
     * @ret:   the signature; its slices are borrowed until the next call of sign
     */
    enum status (*sign)(void *ctx, struct slice input, struct signature *ret);

    /**
     * verify - check a signature and say whose it is
     * @input:        all that stands before the SignerIdentity, as for sign
     * @certificates: raw GenericCertificate entries that came along; may be empty.  Those that the
     *                overlay's authority issued are remembered (bounded) by their hash.
     * @at_wall_ms:   certificates must be valid at this time
     * Returns: ST_OK; ST_SIGNATURE with the cause in @why; ST_NOT_FOUND if the certificate is
     * neither among @certificates nor remembered; ST_TOO_OLD if it was good, and has ended.
     */
    enum status (*verify)(void *ctx, const struct signature *s, struct slice input,
                          struct slice certificates, uint64_t at_wall_ms, struct signer *ret,
                          struct why *why);

    /**
     * certificates_for - write the GenericCertificate entry of whoever made @s, if it is remembered
     * (our own always is)
     */
    void (*certificate_for)(void *ctx, const struct signature *s, struct writer *w);

    /** resource_id - the first 128 bits of SHA-1 over @name: Resource-IDs and Node-IDs. */
    void (*resource_id)(void *ctx, struct slice name, struct id *ret);

    /** digest - SHA-256 of @first and what follows it.  NULL in a simulation.  Returns: false
     * without memory. */
    bool (*digest)(void *ctx, struct slice first, struct slice second, uint8_t ret[DIGEST_BYTES]);

    /** overlay_hash - the low 32 bits of SHA-1 over an overlay's name (section 6.3.2): its last
     * four bytes, which resource_id does not give.  NULL in a simulation: resource_id's last four.
     */
    uint32_t (*overlay_hash)(void *ctx, struct slice name);
};

/** The table and its first argument, as it is handed around. */
struct keys {
    const struct security_ops *ops;
    void *ctx;
};

#endif
