#include "gateway/heap.h"

#include <malloc.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static uintptr_t first;      /* where the huge pages begin; 0: not yet */
static bool has_small_pages; /* between two waves */

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
    if (first == 0 || begin < first)
        first = begin;
    told = end & ~(uintptr_t)(HUGE_BYTES - 1);
}

bool
heap_is_ebb(struct heap_wave *wave, uint64_t now_ms, uint64_t finished, size_t in_use_bytes,
            size_t resident_bytes)
{
    if (now_ms - wave->looked_ms < HEAP_LOOK_MS)
        return false;
    wave->looked_ms = now_ms;
    if (in_use_bytes > wave->peak_bytes)
        wave->peak_bytes = in_use_bytes;
    if (finished > HEAP_BUSY_FINISHED || (wave->peak_bytes - in_use_bytes < HEAP_WAVE_BYTES &&
                                          resident_bytes < in_use_bytes + HEAP_SLACK_BYTES))
        return false;
    wave->peak_bytes = in_use_bytes;
    return true;
}

/* What khugepaged finds with a page in it, it makes whole. */
static void
set_pages(int advice)
{
    uintptr_t end = (uintptr_t)sbrk(0) & ~(uintptr_t)(HUGE_BYTES - 1);

    if (first && end > first)
        (void)madvise((void *)first, end - first, advice); // NOLINT: an address of our own heap
    has_small_pages = advice == MADV_NOHUGEPAGE;
}

/* 0 where the kernel does not say. */
static size_t
resident_bytes(void)
{
    unsigned long all, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");

    if (!f)
        return 0;
    if (fscanf(f, "%lu %lu", &all, &resident) != 2)
        resident = 0;
    fclose(f);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

void
heap_on_load(uint64_t now_ms, uint64_t finished)
{
    static struct heap_wave wave;
    struct mallinfo2 info;

    if (has_small_pages && finished > HEAP_BUSY_FINISHED)
        set_pages(MADV_HUGEPAGE);
    if (now_ms - wave.looked_ms < HEAP_LOOK_MS)
        return;
    info = mallinfo2();
    if (!heap_is_ebb(&wave, now_ms, finished, info.uordblks + info.hblkhd, resident_bytes()))
        return;
    set_pages(MADV_NOHUGEPAGE);
    malloc_trim(0);
}
