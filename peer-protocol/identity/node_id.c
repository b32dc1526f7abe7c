#include <assert.h>
#include <openssl/rand.h>
#include <string.h>

#include "peer-protocol/identity/identity.h"
#include "peer-protocol/identity/openssl.h"

void
identity_node_of_address(const char *address, struct id *ret)
{
    uint8_t hash[OPENSSL_SHA1_BYTES];
    enum status st = openssl_sha1(address, strlen(address), hash);

    assert(st == ST_OK); /* a library without SHA-1 cannot serve RELOAD at all */
    memcpy(ret->bytes, hash, ID_BYTES);
}

void
identity_random_bytes(void *out, size_t len)
{
    unsigned char *at = out;

    while (len > 0) {
        int some = len > 4096 ? 4096 : (int)len;
        int ok = RAND_bytes(at, some);
        assert(ok == 1); /* without randomness there is no security to go on with */
        at += some;
        len -= (size_t)some;
    }
}

uint64_t
identity_random(void)
{
    uint64_t number;

    identity_random_bytes(&number, sizeof(number));
    return number;
}
