/* timerfd_create(2) */
#include_next <sys/timerfd.h>
#ifndef TFD_TIMER_CANCEL_ON_SET
#define TFD_TIMER_CANCEL_ON_SET (1 << 1)
#endif
