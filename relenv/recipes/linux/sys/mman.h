/* madvise(2), memfd_create(2) */
#include_next <sys/mman.h>
#ifndef RELENV_MMAN_H
#define RELENV_MMAN_H
#include <sys/syscall.h>
#include <unistd.h>
#ifndef MADV_FREE
#define MADV_FREE 8
#endif

static inline int
memfd_create(const char *name, unsigned int flags)
{
    return (int)syscall(SYS_memfd_create, name, flags);
}
#endif
