/**
 * DOC: the contacts of a contact
 *
 * There are as many lists as contacts, and each is as long as they are many: they make up most of
 * what a peer of a large overlay remembers.  Levels are few beside the 128 that there could be, so
 * the bytes of them that are zero in all peers of a list are left out.
 */
#ifndef LOCAL_OVERLAYS_CAN_CAN_LIST_H
#define LOCAL_OVERLAYS_CAN_CAN_LIST_H

#include "local-overlays/can/can_body.h"

struct can_list {
    uint8_t *bytes; /* of each peer the Node-ID and the first level_bytes of its levels */
    uint16_t count;
    uint8_t level_bytes;
};

/** can_list_take - keep a copy of the peers of @news; an empty list when memory is short. */
void can_list_take(struct can_list *list, const struct can_news *news);
void can_list_free(struct can_list *list);

/** can_list_peer - peer @index, which must be below the count. */
struct can_peer can_list_peer(const struct can_list *list, size_t index);
struct id can_list_node(const struct can_list *list, size_t index);
bool can_list_has(const struct can_list *list, const struct id *node);

#endif
