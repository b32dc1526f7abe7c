/**
 * DOC: kinds of stored data
 *
 * Source: RFC 6940 sections 7.3 and 14.6, RFC 7904 section 7; ours (0xF0000001 and up) are laid out
 * in docs/protocol.md.
 */
#ifndef PEER_PROTOCOL_MESSAGE_KIND_H
#define PEER_PROTOCOL_MESSAGE_KIND_H

#include "peer-protocol/message/body.h"

enum kind_id {
    KIND_SIP_REGISTRATION = 0x00000001,
    KIND_CERTIFICATE_BY_NODE = 0x00000003,
    KIND_CERTIFICATE_BY_USER = 0x00000010,
    KIND_BINDING = 0xf0000001,        /* a serving peer's bindings of one AOR */
    KIND_ACTIVE_GATEWAY = 0xf0000002, /* under overlay@NAME in the local overlay */
    KIND_CANDIDATE = 0xf0000003,      /* the candidate list, the same place */
};

/** Who may write a value. */
enum access_policy {
    ACCESS_USER_MATCH,      /* H(user) == Resource-ID */
    ACCESS_NODE_MATCH,      /* H(Node-ID) == Resource-ID */
    ACCESS_USER_NODE_MATCH, /* USER_MATCH and dictionary key == Node-ID */
    ACCESS_NODE_MULTIPLE,   /* H(Node-ID || i) == Resource-ID for an i up to max_node_multiple */
    ACCESS_NODE_KEY, /* ours: dictionary key == the signer's Node-ID, any peer of the overlay */
};

/** In which overlays a kind is known; what is not known there is refused as an unknown kind. */
enum kind_overlays {
    KIND_IN_LOCAL = 1,
    KIND_IN_GLOBAL = 2,
    KIND_IN_ANY = KIND_IN_LOCAL | KIND_IN_GLOBAL,
};

/** Under which Resource-IDs it may be stored, beside what the access policy says. */
enum kind_place {
    KIND_ANYWHERE,
    KIND_OF_OVERLAY, /* H("overlay@NAME") of the overlay that keeps it, and nowhere else */
    KIND_OF_USERS,   /* anywhere else */
};

struct kind {
    uint32_t id;
    const char *name;
    enum data_model model;
    enum access_policy access;
    uint32_t max_count; /* values under one Resource-ID */
    uint32_t max_bytes; /* of one value */
    uint32_t max_node_multiple;
    uint32_t max_lifetime_s;     /* counted from the storage time, whatever a Store says */
    enum kind_overlays overlays; /* where it is known */
    enum kind_place place;
    bool has_kept_room; /* the overlay does not work without it: there is always room for more */
};

/** kind_find - the kind with this ID, NULL if this overlay has none such. */
const struct kind *kind_find(uint32_t id);

#endif
