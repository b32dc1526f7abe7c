/**
 * DOC: the heap of a process whose memory comes and goes in waves
 *
 * A transaction's memory lives 32 s and half of it is used by one thread: so there is one heap,
 * which grows in large steps and gives back late, rather than a system call for every few
 * kilobytes.  It lies in huge pages where the kernel has them (transparent_hugepage is "madvise" or
 * "always"): a page fault costs more than the call that asks for the page.  What the heap has not
 * touched yet takes no memory.
 */
#ifndef GATEWAY_HEAP_H
#define GATEWAY_HEAP_H

/** heap_tune - once, before the first thread. */
void heap_tune(void);

/** heap_follow - ask for huge pages for what the heap has grown by; many times a second: it costs a
 *  comparison where the heap has not grown. */
void heap_follow(void);

#endif
