#include "peer-protocol/identity/openssl.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <time.h>

const char *
openssl_reason(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());

    ERR_clear_error();
    return reason ? reason : "unknown cause";
}

uint64_t
openssl_wall_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

enum status
openssl_sha1(const void *data, size_t len, uint8_t out[OPENSSL_SHA1_BYTES])
{
    return EVP_Digest(data, len, out, NULL, EVP_sha1(), NULL) == 1 ? ST_OK : ST_NOMEM;
}

enum status
openssl_sha256(const void *data, size_t len, uint8_t out[OPENSSL_SHA256_BYTES])
{
    return EVP_Digest(data, len, out, NULL, EVP_sha256(), NULL) == 1 ? ST_OK : ST_NOMEM;
}
