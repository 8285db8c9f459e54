/* A disk that can be full, slow, broken or a liar, and that tells what was written to it in which order.
 *
 * Preloaded under a process of ours. Files below SHIM_DIR are watched: every write, truncation, sync, creation, removal and
 * renaming is journaled in SHIM_JOURNAL in the order in which it happened, so that a test can build what a loss of power would
 * have left. SHIM_CONTROL is eight numbers that the test changes while the process runs. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { SPACE, SYNC_FAILS_IN, WRITE_ERRNO, SYNC_MS, SYNC_LIES, SYNCS, SYNC_ERRNO, NUMBERS };

static int64_t fallback[NUMBERS] = {-1};
static volatile int64_t *control = fallback;
static char dir[4096];
static size_t dir_length;
static int journal = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* What is known of an open file: its number in the journal, or 0 if it is not watched. */
enum { FDS = 4096, INODES = 4096 };
static int32_t files[FDS];
static char quiet[FDS];
/* A failed sync is told once to everybody who has the file open (errseq_t, Linux since 4.13). */
static char owed[FDS];
static struct { ino_t inode; dev_t device; } inodes[INODES];
static int32_t known = 0;

static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_write)(int, const void *, size_t);
static int (*real_open)(const char *, int, ...);
static int (*real_openat)(int, const char *, int, ...);
static int (*real_close)(int);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_ftruncate)(int, off_t);
static int (*real_unlink)(const char *);
static int (*real_rename)(const char *, const char *);

struct head { char op; char pad[3]; int32_t file; int64_t offset; int64_t length; };

static void tell(char op, int32_t file, int64_t offset, const void *data, int64_t length) {
    if (journal < 0) return;
    struct head head = {op, {0}, file, offset, length};
    struct iovec parts[2] = {{&head, sizeof head}, {(void *)data, data ? (size_t)length : 0}};
    size_t all = sizeof head + (data ? (size_t)length : 0);
    if (writev(journal, parts, 2) != (ssize_t)all) abort();
}

__attribute__((constructor)) static void begin(void) {
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_write = dlsym(RTLD_NEXT, "write");
    real_open = dlsym(RTLD_NEXT, "open64");
    real_openat = dlsym(RTLD_NEXT, "openat64");
    real_close = dlsym(RTLD_NEXT, "close");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    real_unlink = dlsym(RTLD_NEXT, "unlink");
    real_rename = dlsym(RTLD_NEXT, "rename");
    const char *text = getenv("SHIM_DIR");
    if (!text || strlen(text) >= sizeof dir) return;
    const char *at = getenv("SHIM_CONTROL");
    int fd = at ? real_open(at, O_RDWR | O_CLOEXEC) : -1;
    if (fd >= 0) {
        void *map = mmap(0, sizeof fallback, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (map != MAP_FAILED) control = map;
        real_close(fd);
    }
    const char *to = getenv("SHIM_JOURNAL");
    if (to) journal = real_open(to, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    strcpy(dir, text);
    dir_length = strlen(dir);
}

static int watched(const char *path) {
    return dir_length && path && strncmp(path, dir, dir_length) == 0 && (path[dir_length] == '/' || path[dir_length] == 0);
}

static int ends(const char *path, const char *end) {
    size_t length = strlen(path), tail = strlen(end);
    return length >= tail && strcmp(path + length - tail, end) == 0;
}

/* After a file was opened: gives it its number, and tells of it if it is new. */
static int opened(int fd, const char *path, int existed) {
    if (fd < 0 || fd >= FDS || !watched(path) || ends(path, "-shm") || ends(path, ".lock")) return fd;
    struct stat stat;
    if (fstat(fd, &stat)) return fd;
    pthread_mutex_lock(&lock);
    int32_t number = 0;
    for (int32_t i = 0; i < known; i++)
        if (inodes[i].inode == stat.st_ino && inodes[i].device == stat.st_dev) number = i + 1;
    quiet[fd] = ends(path, "-reserve");
    if (!number || !existed) {
        if (known == INODES) abort();
        if (number) inodes[number - 1].inode = 0;
        inodes[known].inode = stat.st_ino;
        inodes[known].device = stat.st_dev;
        number = ++known;
        if (!quiet[fd]) tell(S_ISDIR(stat.st_mode) ? 'd' : existed ? 'e' : 'c', number, 0, path, strlen(path));
    }
    files[fd] = number;
    pthread_mutex_unlock(&lock);
    return fd;
}

#define OPEN(name, real)                                                                                              \
    int name(const char *path, int flags, ...) {                                                                      \
        va_list list;                                                                                                 \
        va_start(list, flags);                                                                                        \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0;                                       \
        va_end(list);                                                                                                 \
        if (watched(path) && (flags & O_CREAT) && control[WRITE_ERRNO] && access(path, F_OK)) {                       \
            errno = (int)control[WRITE_ERRNO];                                                                        \
            return -1;                                                                                                \
        }                                                                                                             \
        int existed = !watched(path) || access(path, F_OK) == 0;                                                      \
        return opened(real(path, flags, mode), path, existed);                                                        \
    }
OPEN(open, real_open)
OPEN(open64, real_open)

#define OPENAT(name)                                                                                                  \
    int name(int at, const char *path, int flags, ...) {                                                              \
        va_list list;                                                                                                 \
        va_start(list, flags);                                                                                        \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0;                                       \
        va_end(list);                                                                                                 \
        int existed = !watched(path) || access(path, F_OK) == 0;                                                      \
        return opened(real_openat(at, path, flags, mode), path, existed);                                             \
    }
OPENAT(openat)
OPENAT(openat64)

int close(int fd) {
    if (fd >= 0 && fd < FDS) files[fd] = owed[fd] = 0;
    return real_close(fd);
}

/* How much of a write there is room for. What overwrites takes no room. */
static int64_t room(int fd, int64_t end) {
    struct stat stat;
    if (control[SPACE] < 0 || fstat(fd, &stat) || end <= stat.st_size) return INT64_MAX;
    return end - stat.st_size <= control[SPACE] ? INT64_MAX : control[SPACE] - (end - stat.st_size);
}

static void use(int fd, int64_t before) {
    struct stat stat;
    if (control[SPACE] >= 0 && !fstat(fd, &stat) && stat.st_size > before) control[SPACE] -= stat.st_size - before;
}

static int64_t size(int fd) {
    struct stat stat;
    return fstat(fd, &stat) ? 0 : stat.st_size;
}

static ssize_t put(int fd, const void *data, size_t length, off_t offset, int append) {
    if (control[WRITE_ERRNO]) return errno = (int)control[WRITE_ERRNO], -1;
    pthread_mutex_lock(&lock);
    int64_t before = size(fd), at = append ? before : offset;
    int64_t left = room(fd, at + (int64_t)length);
    size_t now = length;
    if (left != INT64_MAX) {
        /* The first part fits, as on a disk that fills up. */
        int64_t fits = (int64_t)length + left;
        if (fits <= 0) {
            pthread_mutex_unlock(&lock);
            return errno = ENOSPC, -1;
        }
        now = (size_t)fits;
    }
    ssize_t done = append ? real_write(fd, data, now) : real_pwrite(fd, data, now, offset);
    if (done > 0) {
        use(fd, before);
        if (!quiet[fd]) tell('w', files[fd], at, data, done);
    }
    pthread_mutex_unlock(&lock);
    return done;
}

static int is_file(int fd) { return fd >= 0 && fd < FDS && files[fd]; }

ssize_t pwrite64(int fd, const void *data, size_t length, off_t offset) {
    return is_file(fd) ? put(fd, data, length, offset, 0) : real_pwrite(fd, data, length, offset);
}
ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) { return pwrite64(fd, data, length, offset); }

/* Files of ours are written from their beginning to their end, so a plain write appends. */
ssize_t write(int fd, const void *data, size_t length) {
    return is_file(fd) ? put(fd, data, length, 0, 1) : real_write(fd, data, length);
}

static int synced(int fd, int (*real)(int)) {
    if (!is_file(fd)) return real(fd);
    if (control[SYNC_MS]) {
        struct timespec time = {control[SYNC_MS] / 1000, control[SYNC_MS] % 1000 * 1000000};
        nanosleep(&time, 0);
    }
    pthread_mutex_lock(&lock);
    control[SYNCS]++;
    int result = 0;
    if (owed[fd]) {
        owed[fd] = 0;
        errno = EIO;
        result = -1;
    } else if (control[SYNC_FAILS_IN] > 0 && --control[SYNC_FAILS_IN] == 0) {
        for (int other = 0; other < FDS; other++)
            if (other != fd && files[other] == files[fd]) owed[other] = 1;
        tell('f', files[fd], 0, 0, 0);
        errno = control[SYNC_ERRNO] ? (int)control[SYNC_ERRNO] : EIO;
        result = -1;
    } else if (!control[SYNC_LIES] && !quiet[fd]) {
        tell('s', files[fd], 0, 0, 0);
    }
    pthread_mutex_unlock(&lock);
    return result;
}

int fsync(int fd) { return synced(fd, real_fsync); }
int fdatasync(int fd) { return synced(fd, real_fdatasync); }

int ftruncate64(int fd, off_t length) {
    if (!is_file(fd)) return real_ftruncate(fd, length);
    if (control[WRITE_ERRNO]) return errno = (int)control[WRITE_ERRNO], -1;
    pthread_mutex_lock(&lock);
    int64_t before = size(fd);
    int result = real_ftruncate(fd, length);
    if (!result) {
        if (control[SPACE] >= 0 && length < before) control[SPACE] += before - length;
        if (!quiet[fd]) tell('t', files[fd], length, 0, 0);
    }
    pthread_mutex_unlock(&lock);
    return result;
}
int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

/* The last name of a file is gone: whatever gets its inode next is another file. */
static void forget(const struct stat *gone) {
    for (int32_t i = 0; gone->st_nlink == 1 && i < known; i++)
        if (inodes[i].inode == gone->st_ino && inodes[i].device == gone->st_dev) inodes[i].inode = 0;
}

int unlink(const char *path) {
    if (!watched(path)) return real_unlink(path);
    pthread_mutex_lock(&lock);
    struct stat gone = {0};
    stat(path, &gone);
    int result = real_unlink(path);
    if (!result) {
        forget(&gone);
        if (control[SPACE] >= 0) control[SPACE] += gone.st_size;
        tell('u', 0, 0, path, strlen(path));
    }
    pthread_mutex_unlock(&lock);
    return result;
}

int rename(const char *from, const char *to) {
    if (!watched(from)) return real_rename(from, to);
    char both[8192];
    int length = snprintf(both, sizeof both, "%s\n%s", from, to);
    pthread_mutex_lock(&lock);
    struct stat gone = {0};
    stat(to, &gone);
    int result = real_rename(from, to);
    if (!result) {
        forget(&gone);
        tell('r', 0, 0, both, length);
    }
    pthread_mutex_unlock(&lock);
    return result;
}
