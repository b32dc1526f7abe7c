#include "peer-protocol/message/kind.h"

#include <stddef.h>

/* The sizes of ours follow from the limits in private.h, with room for a certificate. */
static const struct kind kinds[] = {
    {KIND_SIP_REGISTRATION, "SIP-REGISTRATION", MODEL_DICTIONARY, ACCESS_USER_NODE_MATCH, 64, 1024,
     0},
    {KIND_CERTIFICATE_BY_NODE, "CERTIFICATE_BY_NODE", MODEL_ARRAY, ACCESS_NODE_MATCH, 8, 8192, 0},
    {KIND_CERTIFICATE_BY_USER, "CERTIFICATE_BY_USER", MODEL_ARRAY, ACCESS_USER_MATCH, 32, 8192, 0},
    {KIND_BINDING, "BINDING", MODEL_DICTIONARY, ACCESS_NODE_KEY, 64, 8192, 0},
    {KIND_ACTIVE_GATEWAY, "ACTIVE-GATEWAY", MODEL_DICTIONARY, ACCESS_NODE_KEY, 64, 8192, 0},
    {KIND_CANDIDATE, "CANDIDATE", MODEL_DICTIONARY, ACCESS_NODE_KEY, 256, 512, 0},
};

const struct kind *
kind_find(uint32_t id)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (kinds[i].id == id)
            return &kinds[i];
    return NULL;
}
