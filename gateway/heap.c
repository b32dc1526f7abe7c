#include "gateway/heap.h"

#include <malloc.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { STEP_BYTES = 64 << 20, KEPT_BYTES = 64 << 20, HUGE_BYTES = 2 << 20 };

void
heap_tune(void)
{
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_TOP_PAD, STEP_BYTES);
    mallopt(M_TRIM_THRESHOLD, KEPT_BYTES + STEP_BYTES);
    free(malloc(1)); /* the first step */
    heap_follow();
}

void
heap_follow(void)
{
    static uintptr_t told; /* end of what has been asked for */
    uintptr_t end = (uintptr_t)sbrk(0);
    uintptr_t begin = told;

    if (begin == 0 || begin > end) /* before the first step, or it was given back */
        begin = end > STEP_BYTES ? end - STEP_BYTES : HUGE_BYTES;
    begin = (begin + HUGE_BYTES - 1) & ~(uintptr_t)(HUGE_BYTES - 1);
    if (end < begin + HUGE_BYTES)
        return;
    /* without huge pages it is refused, and all is as it was */
    (void)madvise((void *)begin, end - begin, MADV_HUGEPAGE); // NOLINT: an address of our own heap
    told = end & ~(uintptr_t)(HUGE_BYTES - 1);
}
