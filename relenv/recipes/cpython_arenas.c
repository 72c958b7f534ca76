/*
 * Where CPython's allocator of small objects gets its arenas. Those of 2 MiB are asked for as one huge page each:
 * a fault and an entry of the TLB instead of 512. Where the kernel has none to give, or is told never to, they are
 * made of ordinary pages, as upstream's are. obmalloc.c calls this in place of mmap(2).
 */
#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/types.h>

#define HUGE_PAGE ((size_t)2 << 20)

void *relenv_map_arena(void *where, size_t size, int protection, int flags, int file, off_t offset);

void *
relenv_map_arena(void *where, size_t size, int protection, int flags, int file, off_t offset)
{
    char *start = mmap(where, size, protection, flags, file, offset);
    /* chunks of the interpreter's stack come this way too */
    if (start == MAP_FAILED || size != HUGE_PAGE) {
        return start;
    }
    if ((uintptr_t)start % HUGE_PAGE != 0) {
        /* before Linux 6.7 the kernel does not align by itself: take twice as much, give back what lies around */
        munmap(start, size);
        start = mmap(where, 2 * size, protection, flags, file, offset);
        if (start == MAP_FAILED) {
            return mmap(where, size, protection, flags, file, offset);
        }
        size_t before = -(uintptr_t)start % HUGE_PAGE;
        if (before != 0) {
            munmap(start, before);
        }
        munmap(start + before + size, size - before);
        start += before;
    }
    madvise(start, size, MADV_HUGEPAGE);
    return start;
}
