/* sem_clockwait(3): glibc's own since 2.30. On an older one a wait is by the wall clock, as CPython's is without it. */
#include_next <semaphore.h>
#ifndef RELENV_SEMAPHORE_H
#define RELENV_SEMAPHORE_H
#include <dlfcn.h>
#include <time.h>

static inline int
sem_clockwait(sem_t *semaphore, clockid_t clock, const struct timespec *until)
{
    static int (*theirs)(sem_t *, clockid_t, const struct timespec *);
    static int sought;
    struct timespec now, wall;

    if (!sought) {
        *(void **)&theirs = dlsym(RTLD_DEFAULT, "sem_clockwait");
        sought = 1;
    }
    if (theirs)
        return theirs(semaphore, clock, until);
    clock_gettime(clock, &now);
    clock_gettime(CLOCK_REALTIME, &wall);
    wall.tv_sec += until->tv_sec - now.tv_sec;
    wall.tv_nsec += until->tv_nsec - now.tv_nsec;
    if (wall.tv_nsec < 0) {
        wall.tv_nsec += 1000000000;
        wall.tv_sec -= 1;
    } else if (wall.tv_nsec >= 1000000000) {
        wall.tv_nsec -= 1000000000;
        wall.tv_sec += 1;
    }
    return sem_timedwait(semaphore, &wall);
}
#endif
