/**
 * DOC: an overlay's certificate authority in a folder
 *
 * DIR holds ca.pem, ca-key.pem (mode 0600) and overlay (the name).  `ringwayctl ca` is its face.
 */
#ifndef PEER_PROTOCOL_IDENTITY_AUTHORITY_H
#define PEER_PROTOCOL_IDENTITY_AUTHORITY_H

#include "base/status.h"

enum key_type { KEY_ECDSA_P256, KEY_RSA_2048 };

struct authority_request {
    const char *address; /* "IP", "IP:PORT" or "[IPv6]:PORT"; Node-ID = Hash(address) */
    const char *user;    /* "gw1.bupt@pastry"; "overlay@pastry" makes it a gateway's global one */
    unsigned days;       /* validity; 0: 365 */
    enum key_type key;
};

/** authority_init - make a new authority.  Returns: ST_OK; ST_EXISTS if DIR has one; ST_IO;
 * ST_RANGE. */
NODISCARD enum status authority_init(const char *folder, const char *overlay, unsigned days,
                                     struct why *why);

/**
 * authority_issue - issue a certificate and key into @out_folder
 *
 * OUTDIR gets cert.pem, key.pem, ca.pem, and what sofia-sip reads: agent.pem (key and certificate,
 * mode 0600) and cafile.pem.  For a user name overlay@NAME the certificate also carries the URI
 * sip:NAME.
 * Returns: ST_OK; ST_IO; ST_RANGE for an address or user name that is none.
 */
NODISCARD enum status authority_issue(const char *folder, const struct authority_request *request,
                                      const char *out_folder, struct why *why);

#endif
