/* clock_gettime(2); <time.h> is included several times, each for a part of it */
#include_next <time.h>
#if defined CLOCK_REALTIME && !defined CLOCK_TAI
#define CLOCK_TAI 11
#endif
