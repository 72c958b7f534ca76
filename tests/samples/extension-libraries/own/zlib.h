#define OWN "own zlib.h"
const char *zlibVersion(void);
