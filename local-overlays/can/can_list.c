#include "local-overlays/can/can_list.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static size_t
level_bytes_of(const struct can_peer *peer)
{
    size_t bytes = sizeof(peer->levels.bytes);

    while (bytes > 0 && peer->levels.bytes[bytes - 1] == 0)
        bytes--;
    return bytes;
}

static uint8_t *
place(const struct can_list *list, size_t index)
{
    assert(index < list->count);
    return list->bytes + index * (ID_BYTES + list->level_bytes);
}

void
can_list_free(struct can_list *list)
{
    free(list->bytes);
    *list = (struct can_list){0};
}

void
can_list_take(struct can_list *list, const struct can_news *news)
{
    size_t count = can_news_peer_count(news);
    size_t level_bytes = 0;

    can_list_free(list);
    for (size_t i = 0; i < count; i++) {
        struct can_peer peer = can_news_peer(news, i);
        size_t bytes = level_bytes_of(&peer);
        level_bytes = bytes > level_bytes ? bytes : level_bytes;
    }
    list->bytes = count ? malloc(count * (ID_BYTES + level_bytes)) : NULL;
    if (!list->bytes)
        return;
    list->count = (uint16_t)count;
    list->level_bytes = (uint8_t)level_bytes;
    for (size_t i = 0; i < count; i++) {
        struct can_peer peer = can_news_peer(news, i);
        memcpy(place(list, i), peer.node.bytes, ID_BYTES);
        memcpy(place(list, i) + ID_BYTES, peer.levels.bytes, level_bytes);
    }
}

struct id
can_list_node(const struct can_list *list, size_t index)
{
    struct id node;

    memcpy(node.bytes, place(list, index), ID_BYTES);
    return node;
}

struct can_peer
can_list_peer(const struct can_list *list, size_t index)
{
    struct can_peer peer = {.node = can_list_node(list, index)};

    memcpy(peer.levels.bytes, place(list, index) + ID_BYTES, list->level_bytes);
    return peer;
}

bool
can_list_has(const struct can_list *list, const struct id *node)
{
    for (size_t i = 0; i < list->count; i++)
        if (memcmp(place(list, i), node->bytes, ID_BYTES) == 0)
            return true;
    return false;
}
