/**
 * DOC: what CAN peers tell each other, byte by byte in docs/can.md
 *
 * One body, struct can_news, is that of an Update and the overlay-specific data of a Leave.
 */
#ifndef LOCAL_OVERLAYS_CAN_CAN_BODY_H
#define LOCAL_OVERLAYS_CAN_CAN_BODY_H

#include "base/bytes.h"
#include "local-overlays/can/can_zone.h"

#define CAN_CONTACTS_MAX   384
#define CAN_PEER_BYTES     (ID_BYTES + CAN_LEVELS / 8)
#define CAN_NEWS_BYTES_MAX (64 + CAN_CONTACTS_MAX * CAN_PEER_BYTES)

enum can_news_type {
    CAN_MEMBER = 1,   /* what I am */
    CAN_ADMITTED = 2, /* the same, and: you have the records of mine that will be yours */
};

/** A member as somebody else knows it. */
struct can_peer {
    struct id node;
    struct can_levels levels;
};

struct can_news {
    uint8_t type;
    bool needs_you; /* the sender would keep the link for its own sake */
    uint32_t uptime_s;
    struct can_levels levels; /* the sender's */
    struct slice peers;       /* its contacts, CAN_PEER_BYTES each */
};

/**
 * can_news_read - borrowed from @in
 * Returns: ST_OK; ST_MALFORMED, also for more than CAN_CONTACTS_MAX peers or an unknown type.
 */
NODISCARD enum status can_news_read(struct slice in, struct can_news *ret);
void can_news_write(struct writer *w, const struct can_news *n);

size_t can_news_peer_count(const struct can_news *n);
/** can_news_peer - peer @index of @n, which must be below the count. */
struct can_peer can_news_peer(const struct can_news *n, size_t index);
void can_peer_write(struct writer *w, const struct id *node, const struct can_levels *levels);

/** can_next_hop_read, _write - the answer to a RouteQuery: one Node-ID. */
NODISCARD enum status can_next_hop_read(struct slice in, struct id *ret_next);
void can_next_hop_write(struct writer *w, const struct id *next);

#endif
