/**
 * DOC: the heap of a process whose memory comes and goes in waves
 *
 * A transaction's memory lives 32 s and half of it is used by one thread: so there is one heap,
 * which grows in large steps and gives back late, rather than a system call for every few
 * kilobytes.  It lies in huge pages where the kernel has them (transparent_hugepage is "madvise" or
 * "always"): a page fault costs more than the call that asks for the page.  What the heap has not
 * touched yet takes no memory.  Once a wave has gone, what it left is given back, and the heap lies
 * in small pages until the next: the kernel would fill huge ones up again.  What little goes on
 * then touches one of the holes after the other, and so takes page after page of what was given
 * back: it is given back again.
 */
#ifndef GATEWAY_HEAP_H
#define GATEWAY_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEAP_WAVE_BYTES    ((size_t)8 << 20)  /* less is not worth it */
#define HEAP_SLACK_BYTES   ((size_t)20 << 20) /* resident and not in use, with the program itself */
#define HEAP_BUSY_FINISHED 1000 /* finished transactions: some thirty requests a second */
#define HEAP_LOOK_MS       10000

/** What is known of the waves; all zero at first. */
struct heap_wave {
    uint64_t looked_ms;
    size_t peak_bytes; /* most that was in use at a look since memory was given back */
};

/** heap_tune - once, before the first thread. */
void heap_tune(void);

/** heap_follow - ask for huge pages for what the heap has grown by; many times a second: it costs a
 *  comparison where the heap has not grown. */
void heap_follow(void);

/** heap_is_ebb - is it time to give back?  Pure.  @in_use_bytes and what is @resident_bytes count
 * at a look, once in HEAP_LOOK_MS; never while @finished transactions show load. */
bool heap_is_ebb(struct heap_wave *wave, uint64_t now_ms, uint64_t finished, size_t in_use_bytes,
                 size_t resident_bytes);

/** heap_on_load - once a second, with the transactions that the SIP side remembers: gives memory
 * back when a wave has gone. */
void heap_on_load(uint64_t now_ms, uint64_t finished);

#endif
