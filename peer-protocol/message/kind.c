#include "peer-protocol/message/kind.h"

#include <stddef.h>

#include "peer-protocol/message/binding.h"

enum { DAY_S = 86400 };

/* The sizes of ours follow from the limits in private.h, with room for a certificate.  A binding
 * lives as long as sip.max-expires allows; nothing of the election lives longer than the word that
 * it is no more. */
static const struct kind kinds[] = {
    {.id = KIND_SIP_REGISTRATION,
     .name = "SIP-REGISTRATION",
     .model = MODEL_DICTIONARY,
     .access = ACCESS_USER_NODE_MATCH,
     .max_count = 64,
     .max_bytes = 1024,
     .max_lifetime_s = DAY_S,
     .overlays = KIND_IN_GLOBAL,
     .has_kept_room = true},
    {.id = KIND_CERTIFICATE_BY_NODE,
     .name = "CERTIFICATE_BY_NODE",
     .model = MODEL_ARRAY,
     .access = ACCESS_NODE_MATCH,
     .max_count = 8,
     .max_bytes = 8192,
     .max_lifetime_s = 30 * DAY_S,
     .overlays = KIND_IN_ANY},
    {.id = KIND_CERTIFICATE_BY_USER,
     .name = "CERTIFICATE_BY_USER",
     .model = MODEL_ARRAY,
     .access = ACCESS_USER_MATCH,
     .max_count = 32,
     .max_bytes = 8192,
     .max_lifetime_s = 30 * DAY_S,
     .overlays = KIND_IN_ANY},
    {.id = KIND_BINDING,
     .name = "BINDING",
     .model = MODEL_DICTIONARY,
     .access = ACCESS_NODE_KEY,
     .max_count = 64,
     .max_bytes = BINDING_RECORD_BYTES_MAX,
     .max_lifetime_s = 7 * DAY_S,
     .overlays = KIND_IN_LOCAL,
     .place = KIND_OF_USERS},
    {.id = KIND_ACTIVE_GATEWAY,
     .name = "ACTIVE-GATEWAY",
     .model = MODEL_DICTIONARY,
     .access = ACCESS_NODE_KEY,
     .max_count = 64,
     .max_bytes = 8192,
     .max_lifetime_s = DAY_S,
     .overlays = KIND_IN_LOCAL,
     .place = KIND_OF_OVERLAY,
     .has_kept_room = true},
    {.id = KIND_CANDIDATE,
     .name = "CANDIDATE",
     .model = MODEL_DICTIONARY,
     .access = ACCESS_NODE_KEY,
     .max_count = 256,
     .max_bytes = 512,
     .max_lifetime_s = DAY_S,
     .overlays = KIND_IN_LOCAL,
     .place = KIND_OF_OVERLAY,
     .has_kept_room = true},
};

const struct kind *
kind_find(uint32_t id)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (kinds[i].id == id)
            return &kinds[i];
    return NULL;
}
