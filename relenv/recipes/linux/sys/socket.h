/* socket(2), vsock(7) */
#include_next <sys/socket.h>
#ifndef AF_VSOCK
#define AF_VSOCK 40
#endif
#ifndef AF_QIPCRTR
#define AF_QIPCRTR 42
#endif
#ifndef SOL_RDS
#define SOL_RDS 276
#endif
#ifndef MSG_FASTOPEN
#define MSG_FASTOPEN 0x20000000
#endif
