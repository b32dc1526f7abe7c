/**
 * DOC: what has expired, and might be brought back
 *
 * A lifetime is not signed (RFC 6940 section 7.1): whoever kept a value could store it again, with
 * another.  So a place that is empty because its value, or the word that there is none, ran out
 * remembers how old that was until no such value could be taken any more: its storage time and the
 * kind's longest lifetime.  Bounded: the oldest memory goes first.
 */
#ifndef PEER_PROTOCOL_STORAGE_PAST_H
#define PEER_PROTOCOL_STORAGE_PAST_H

#include "base/bytes.h"
#include "base/status.h"

struct past;

NODISCARD enum status past_new(size_t max_entries, struct past **ret);
void past_free(struct past *p);

/** past_note - what was at @place until now is of @storage_time_ms; forgotten at @until_ms. */
void past_note(struct past *p, struct slice place, uint64_t storage_time_ms, uint64_t now_ms,
               uint64_t until_ms);
/** past_time - the storage time of what was at @place; 0 if nothing is known. */
uint64_t past_time(const struct past *p, struct slice place, uint64_t now_ms);
/** past_forget - there is something newer. */
void past_forget(struct past *p, struct slice place);
size_t past_count(const struct past *p);

#endif
