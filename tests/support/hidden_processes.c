/* `/proc` as it is mounted with `hidepid`, for a process that this is loaded into before the C library (LD_PRELOAD): no process
   is seen in it. */
#define _GNU_SOURCE
#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <string.h>

static int is_hidden(const char *path) {
    return path && strncmp(path, "/proc/", 6) == 0 && isdigit((unsigned char)path[6]);
}

int statx(int folder, const char *path, int flags, unsigned mask, void *answer) {
    if (is_hidden(path)) return errno = ENOENT, -1;
    return ((__typeof__(&statx))dlsym(RTLD_NEXT, "statx"))(folder, path, flags, mask, answer);
}
