/**
 * DOC: PEM files in a folder
 *
 * Files are replaced whole: written beside the old one, then renamed, so that a reader never sees
 * half a key.
 */
#ifndef PEER_PROTOCOL_IDENTITY_PEM_H
#define PEER_PROTOCOL_IDENTITY_PEM_H

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/bytes.h"

#define PEM_PATH_BYTES 4096

/** pem_path - FOLDER/NAME.  Returns: ST_OK; ST_RANGE if it is too long. */
NODISCARD enum status pem_path(const char *folder, const char *name, char out[PEM_PATH_BYTES],
                               struct why *why);

bool pem_exists(const char *folder, const char *name);

/** pem_make_folder - make a folder, and those above it that are missing, with mode 0755. */
NODISCARD enum status pem_make_folder(const char *folder, struct why *why);

/**
 * pem_write - put certificates and a key into one file
 * @mode:        the file's, 0600 for what holds a key
 * @key:         may be NULL; stands before the certificate, unencrypted PKCS #8
 * @certificate: may be NULL
 */
NODISCARD enum status pem_write(const char *folder, const char *name, mode_t mode, EVP_PKEY *key,
                                X509 *certificate, struct why *why);

/** pem_write_text, pem_read_text - a file of one line; @out is without its newline. */
NODISCARD enum status pem_write_text(const char *folder, const char *name, const char *text,
                                     struct why *why);
NODISCARD enum status pem_read_text(const char *folder, const char *name, char *out,
                                    size_t out_bytes, struct why *why);

/** pem_read_certificate, pem_read_key - the first of a file; the caller frees it. */
NODISCARD enum status pem_read_certificate(const char *folder, const char *name, X509 **ret,
                                           struct why *why);
NODISCARD enum status pem_read_key(const char *folder, const char *name, EVP_PKEY **ret,
                                   struct why *why);

#endif
