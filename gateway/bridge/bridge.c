#include "gateway/bridge/bridge.h"

#include <stdlib.h>

struct bridge_message *
bridge_new(enum bridge_type type, uint64_t token, size_t count, size_t element_bytes)
{
    struct bridge_message *m = calloc(1, sizeof(*m));

    if (!m)
        return NULL;
    list_init(&m->link);
    m->type = type;
    m->token = token;
    if (count > 0) {
        m->data = calloc(count, element_bytes);
        if (!m->data) {
            free(m);
            return NULL;
        }
        m->count = count;
    }
    return m;
}

void
bridge_free(struct bridge_message *m)
{
    if (!m)
        return;
    list_remove(&m->link);
    if (m->type == BRIDGE_BIND || m->type == BRIDGE_BINDINGS)
        for (size_t i = 0; i < m->count; i++)
            binding_record_free(m->binding[i]);
    free(m->data);
    free(m->bytes);
    free(m);
}

struct slice
bridge_record_bytes(const struct bridge_message *m, size_t i)
{
    const struct bridge_record *r = i < m->count ? &m->record[i] : NULL;

    if (!r || r->record_len == 0 || r->record_at > m->bytes_len ||
        r->record_len > m->bytes_len - r->record_at)
        return slice_of(NULL, 0);
    return slice_of(m->bytes + r->record_at, r->record_len);
}
