/* A disk that machines share, as a process sees it that this is loaded into before the C library (LD_PRELOAD): it says that it
   is NFS, its locks hold on no other machine (here: not at all, as with `nolock` and a machine for each process), and what
   asks the server takes a while. What others have written is seen at once when a file is opened, which NFS promises too;
   how long it may remember a folder's names is not played. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void ask(void) {
    const char *text = getenv("SHARED_DISK_MICROSECONDS");
    long most = text ? atol(text) : 0;
    struct timespec pause = {0, most > 0 ? (random() % most) * 1000 : 0};
    if (most > 0) nanosleep(&pause, NULL);
}

int flock(int file, int operation) { (void)file; (void)operation; return 0; }

int statfs(const char *path, struct statfs *answer) {
    int code = REAL(statfs)(path, answer);
    answer->f_type = 0x6969;
    return code;
}

static int opened(int (*real)(int, const char *, int, ...), int folder, const char *path, int flags, mode_t mode) {
    if (path[0] == '/' && path[1] == 't') ask();
    return real(folder, path, flags, mode);
}

#define MODE mode_t mode = 0; va_list rest; va_start(rest, flags); if (flags & (O_CREAT | O_TMPFILE)) mode = va_arg(rest, mode_t); va_end(rest)
int open(const char *path, int flags, ...) { MODE; return opened(REAL(openat), AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE; return opened(REAL(openat64), AT_FDCWD, path, flags, mode); }
int rename(const char *from, const char *to) { ask(); return REAL(rename)(from, to); }
int link(const char *from, const char *to) { ask(); return REAL(link)(from, to); }
int linkat(int a, const char *from, int b, const char *to, int flags) { ask(); return REAL(linkat)(a, from, b, to, flags); }
int unlink(const char *path) { ask(); return REAL(unlink)(path); }
int mkdir(const char *path, mode_t mode) { ask(); return REAL(mkdir)(path, mode); }
