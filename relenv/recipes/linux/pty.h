/* openpty(3): libutil has these before glibc 2.34, which is one library more to load at each start */
#include_next <pty.h>
#ifndef RELENV_PTY_H
#define RELENV_PTY_H
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

#define login_tty relenv_login_tty
#define openpty relenv_openpty
#define forkpty relenv_forkpty

static inline int
login_tty(int terminal)
{
    setsid();
    if (ioctl(terminal, TIOCSCTTY, (char *)0) < 0)
        return -1;
    for (int fd = 0; fd < 3; fd++)
        dup2(terminal, fd);
    if (terminal > 2)
        close(terminal);
    return 0;
}

static inline int
openpty(int *primary, int *secondary, char *name, const struct termios *modes, const struct winsize *size)
{
    char path[64];
    int ours, theirs = -1;

    ours = posix_openpt(O_RDWR | O_NOCTTY);
    if (ours < 0)
        return -1;
    if (grantpt(ours) || unlockpt(ours) || ptsname_r(ours, path, sizeof path)
        || (theirs = open(path, O_RDWR | O_NOCTTY)) < 0) {
        close(ours);
        return -1;
    }
    if (modes)
        tcsetattr(theirs, TCSAFLUSH, modes);
    if (size)
        ioctl(theirs, TIOCSWINSZ, size);
    for (char *from = path; name && (*name++ = *from++);)
        ;
    *primary = ours;
    *secondary = theirs;
    return 0;
}

static inline pid_t
forkpty(int *primary, char *name, const struct termios *modes, const struct winsize *size)
{
    int ours, theirs;
    pid_t child;

    if (openpty(&ours, &theirs, name, modes, size) < 0)
        return -1;
    child = fork();
    if (child == 0) {
        close(ours);
        if (login_tty(theirs))
            _exit(1);
        return 0;
    }
    close(theirs);
    if (child < 0)
        close(ours);
    else
        *primary = ours;
    return child;
}
#endif
