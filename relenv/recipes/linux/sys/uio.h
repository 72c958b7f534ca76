/* preadv2(2): without flags it works on kernels that only know preadv(2), as glibc's does */
#include_next <sys/uio.h>
#ifndef RELENV_UIO_H
#define RELENV_UIO_H
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>
#ifndef RWF_HIPRI
#define RWF_HIPRI 0x00000001
#endif
#ifndef RWF_DSYNC
#define RWF_DSYNC 0x00000002
#endif
#ifndef RWF_SYNC
#define RWF_SYNC 0x00000004
#endif
#ifndef RWF_NOWAIT
#define RWF_NOWAIT 0x00000008
#endif
#ifndef RWF_APPEND
#define RWF_APPEND 0x00000010
#endif

static inline ssize_t
preadv2(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
    ssize_t result = syscall(SYS_preadv2, fd, parts, (long)count, offset, 0L, (long)flags);
    if (result < 0 && errno == ENOSYS && flags == 0)
        return preadv(fd, parts, count, offset);
    return result;
}

static inline ssize_t
pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
    ssize_t result = syscall(SYS_pwritev2, fd, parts, (long)count, offset, 0L, (long)flags);
    if (result < 0 && errno == ENOSYS && flags == 0)
        return pwritev(fd, parts, count, offset);
    return result;
}
#endif
