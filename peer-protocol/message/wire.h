/**
 * DOC: what the codecs of this folder share
 *
 * Small readers and writers for the RFC's basic types (RFC 6940 section 6.3.1.1).  Private to
 * peer-protocol/message/.
 */
#ifndef PEER_PROTOCOL_MESSAGE_WIRE_H
#define PEER_PROTOCOL_MESSAGE_WIRE_H

#include "base/bytes.h"

#define WIRE_NODES_MAX 1024 /* Node-IDs in one list: hard limit */

/** wire_end - how a body's read ends: ST_OK if all was read and nothing is left. */
enum status wire_end(const struct reader *r);

/** wire_resource_read - a ResourceId: one length byte, which is always 16 in overlays of ours. */
struct id wire_resource_read(struct reader *r);
void wire_resource_write(struct writer *w, const struct id *resource);

/** wire_node_read - a Node-ID that names somebody: the all-zero ID fails (section 6.3.1.1). */
struct id wire_node_read(struct reader *r);

/** wire_nodes_read - a NodeId list behind its u16 length, as raw bytes: whole IDs, none zero. */
struct slice wire_nodes_read(struct reader *r);

/**
 * wire_text_read - a string of our own records: opaque<0..255> into a zero-terminated array
 *
 * Control characters fail: these strings reach terminals, logs and SIP header fields.
 */
void wire_text_read(struct reader *r, char *out, size_t out_bytes);

/** wire_slice_read - the same, left where it lies: opaque with a length of @prefix bytes. */
struct slice wire_slice_read(struct reader *r, unsigned prefix);

/** wire_text_write - the way back; at most @cap - 1 bytes of @text, so an array's size will do. */
void wire_text_write(struct writer *w, const char *text, size_t cap);

/** wire_number_read - a u16 of at most @most. */
uint16_t wire_number_read(struct reader *r, uint16_t most);

#endif
