/* fcntl(2), open(2) */
#include_next <fcntl.h>
#ifndef F_OFD_GETLK
#define F_OFD_GETLK 36
#endif
#ifndef F_OFD_SETLK
#define F_OFD_SETLK 37
#endif
#ifndef F_OFD_SETLKW
#define F_OFD_SETLKW 38
#endif
#ifndef F_ADD_SEALS
#define F_ADD_SEALS 1033
#endif
#ifndef F_GET_SEALS
#define F_GET_SEALS 1034
#endif
#ifndef F_SEAL_SEAL
#define F_SEAL_SEAL 0x0001
#endif
#ifndef F_SEAL_SHRINK
#define F_SEAL_SHRINK 0x0002
#endif
#ifndef F_SEAL_GROW
#define F_SEAL_GROW 0x0004
#endif
#ifndef F_SEAL_WRITE
#define F_SEAL_WRITE 0x0008
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
#ifndef F_GET_RW_HINT
#define F_GET_RW_HINT 1035
#endif
#ifndef F_SET_RW_HINT
#define F_SET_RW_HINT 1036
#endif
#ifndef F_GET_FILE_RW_HINT
#define F_GET_FILE_RW_HINT 1037
#endif
#ifndef F_SET_FILE_RW_HINT
#define F_SET_FILE_RW_HINT 1038
#endif
#ifndef RWH_WRITE_LIFE_NOT_SET
#define RWH_WRITE_LIFE_NOT_SET 0
#endif
#ifndef RWH_WRITE_LIFE_NONE
#define RWH_WRITE_LIFE_NONE 1
#endif
#ifndef RWH_WRITE_LIFE_SHORT
#define RWH_WRITE_LIFE_SHORT 2
#endif
#ifndef RWH_WRITE_LIFE_MEDIUM
#define RWH_WRITE_LIFE_MEDIUM 3
#endif
#ifndef RWH_WRITE_LIFE_LONG
#define RWH_WRITE_LIFE_LONG 4
#endif
#ifndef RWH_WRITE_LIFE_EXTREME
#define RWH_WRITE_LIFE_EXTREME 5
#endif
#ifndef O_TMPFILE
#define O_TMPFILE (020000000 | O_DIRECTORY)
#endif
