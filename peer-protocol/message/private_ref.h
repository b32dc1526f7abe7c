/**
 * DOC: node_ref on the wire, shared by private_request.c and private_record.c
 */
#ifndef PEER_PROTOCOL_MESSAGE_PRIVATE_REF_H
#define PEER_PROTOCOL_MESSAGE_PRIVATE_REF_H

#include "peer-protocol/message/private.h"

/** node_ref_read - Node-ID (not zero), name, address; fails the reader on bad input. */
void node_ref_read(struct reader *r, struct node_ref *ret);
void node_ref_write(struct writer *w, const struct node_ref *ref);

/** score_read - 0..1000, and perhaps SCORE_PINNED; fails the reader on anything else. */
uint16_t score_read(struct reader *r);

#endif
