/**
 * DOC: text of others on its way to people
 *
 * What a phone or a member named may be anything.  Where a log, a terminal or a page shows it, it
 * must not steer them: no control characters (C0, DEL, C1), none that turn the direction of
 * writing (Unicode's bidirectional controls: a name could look like another), no line or paragraph
 * separators, nothing that is no UTF-8.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/** text_make_printable - in place: '?' for each character that may not be shown, and for each byte
 *  that belongs to none. Never longer than before. */
void text_make_printable(char *text);

/** text_is_printable - would text_make_printable() leave it as it is? */
bool text_is_printable(const char *text);

/** text_has_control - is a byte under 0x20 or 0x7f in it? false for NULL. */
bool text_has_control(const char *text);

/** text_label - into a label of a metric: backslash, quote and line feed escaped as Prometheus'
 *  text format asks, all else printable; cut where @out is full, never within an escape. */
void text_label(const char *text, char *out, size_t out_bytes);

#endif
