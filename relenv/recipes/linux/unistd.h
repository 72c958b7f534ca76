/* copy_file_range(2), close_range(2) */
#include_next <unistd.h>
#ifndef RELENV_UNISTD_H
#define RELENV_UNISTD_H
#include <sys/syscall.h>

static inline ssize_t
copy_file_range(int in, off_t *in_at, int out, off_t *out_at, size_t length, unsigned int flags)
{
    return syscall(SYS_copy_file_range, in, in_at, out, out_at, length, flags);
}

static inline int
close_range(unsigned int first, unsigned int last, int flags)
{
    return (int)syscall(SYS_close_range, first, last, (unsigned int)flags);
}
#endif
