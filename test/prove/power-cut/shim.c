/*
 * Stands between a program and the C library (LD_PRELOAD) and logs what the program does to the files below one folder, in the
 * order in which it was done, so that disk-model.ts can tell what the disk may hold after a power cut at any moment.
 *
 * TRIBUTARY_SHIM_ROOT    the folder: absolute, without a slash at its end; everything outside of it passes untouched
 * TRIBUTARY_SHIM_LOG     the log, appended to; outside of the folder
 * TRIBUTARY_SHIM_FAULTS  optional: a folder; while it has a symbolic link `write`, `sync` or `read`, such calls fail with the error
 *                        that the link names: EIO or EROFS. `EIO#<inode>@<from>-<to>` for `read`: only what touches these bytes
 *                        of this file fails, as bad sectors do
 *
 * Modelled: open, openat, creat (O_CREAT, O_TRUNC), write, pwrite, writev, pwritev, ftruncate, fsync, fdatasync, rename, renameat,
 * renameat2, unlink, unlinkat, remove, mkdir, mkdirat, rmdir. sync_file_range promises nothing and passes through. What would
 * change a file past the log (writable shared mappings, fallocate, truncate by path, links, exchanging renames) is logged as
 * `unmodelled`, and the proof refuses to judge. Calls that do not go through the C library are not seen: io_uring has to be off
 * (UV_USE_IO_URING=0), and whoever reads the log compares what it adds up to with the real folder.
 *
 * A record is written after its call succeeded, under one lock, and holds: u32 op, u32 payload bytes, u64 inode, u64 number, payload.
 * A killed process leaves at most one call unlogged: a write that then counts as never begun. A sync counts only once it is logged,
 * and a program acknowledges only after its sync has returned. When the log cannot be written the process is aborted.
 */
#define _GNU_SOURCE
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
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum op { CREATE = 1, WRITE, TRUNCATE, SYNC, RENAME, UNLINK, MKDIR, RMDIR, UNMODELLED };

struct header {
  uint32_t op;
  uint32_t length;
  uint64_t inode;
  uint64_t number;
};

#define MAX_FD 65536
#define MAX_PARTS 64

static const char *root;
static size_t root_length;
static const char *faults;
static int log_fd = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Inode of the file below the folder that a descriptor was opened for; 0: none. */
static uint64_t inode_of[MAX_FD];

static void die(const char *what) {
  dprintf(2, "power-cut shim: %s: %s\n", what, strerror(errno));
  abort();
}

__attribute__((constructor)) static void start(void) {
  const char *path = getenv("TRIBUTARY_SHIM_LOG");
  root = getenv("TRIBUTARY_SHIM_ROOT");
  faults = getenv("TRIBUTARY_SHIM_FAULTS");
  if (root == NULL || path == NULL) die("TRIBUTARY_SHIM_ROOT and TRIBUTARY_SHIM_LOG are not both set");
  root_length = strlen(root);
  log_fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (log_fd < 0) die(path);
}

/* ---- the log ---- */

static void emit(enum op op, uint64_t inode, uint64_t number, const struct iovec *parts, int count, size_t length) {
  struct header header = {op, (uint32_t)length, inode, number};
  struct iovec all[1 + MAX_PARTS] = {{&header, sizeof header}};
  size_t left = length;
  int used = 1;
  if (count > MAX_PARTS) die("more parts in a write than the shim takes");
  for (int i = 0; i < count && left > 0; i++) {
    size_t part = parts[i].iov_len < left ? parts[i].iov_len : left;
    all[used++] = (struct iovec){parts[i].iov_base, part};
    left -= part;
  }
  if (syscall(SYS_writev, log_fd, all, used) != (long)(sizeof header + length)) die("cannot write the log");
}

static void emit_text(enum op op, uint64_t inode, uint64_t number, const char *text, size_t length) {
  struct iovec part = {(void *)text, length};
  emit(op, inode, number, &part, 1, length);
}

static void emit_path(enum op op, uint64_t inode, uint64_t number, const char *path) {
  emit_text(op, inode, number, path, strlen(path));
}

static void emit_rename(const char *from, const char *to) {
  struct iovec parts[2] = {{(void *)from, strlen(from) + 1}, {(void *)to, strlen(to)}};
  emit(RENAME, 0, 0, parts, 2, parts[0].iov_len + parts[1].iov_len);
}

/* ---- what belongs to the folder ---- */

static int is_below(const char *path) {
  return root_length > 0 && path != NULL && strncmp(path, root, root_length) == 0 && (path[root_length] == '/' || path[root_length] == 0);
}

/* 0: not a file of the folder. A descriptor may have been closed and given out anew past the shim, hence the look at the inode. */
static uint64_t tracked(int fd) {
  struct stat found;
  if (fd < 0 || fd >= MAX_FD || inode_of[fd] == 0) return 0;
  return fstat(fd, &found) == 0 && found.st_ino == inode_of[fd] ? inode_of[fd] : 0;
}

/* What the link of that name says; empty when there is none. */
static void fault(const char *what, char *said, size_t room) {
  char path[4096];
  said[0] = 0;
  if (faults == NULL) return;
  snprintf(path, sizeof path, "%s/%s", faults, what);
  long length = syscall(SYS_readlinkat, AT_FDCWD, path, said, room - 1);
  said[length > 0 ? length : 0] = 0;
}

static int fails(const char *what) {
  char said[128];
  fault(what, said, sizeof said);
  if (said[0] == 0) return 0;
  errno = strcmp(said, "EROFS") == 0 ? EROFS : EIO;
  return 1;
}

static int read_fails(uint64_t inode, off_t at, size_t length) {
  char said[128];
  unsigned long long bad, from, to;
  if (inode == 0) return 0;
  fault("read", said, sizeof said);
  if (said[0] == 0) return 0;
  if (sscanf(said, "EIO#%llu@%llu-%llu", &bad, &from, &to) == 3 &&
      (inode != bad || (unsigned long long)at >= to || (unsigned long long)at + length <= from))
    return 0;
  errno = EIO;
  return 1;
}

static void leave(void) {
  int kept = errno;
  pthread_mutex_unlock(&lock);
  errno = kept;
}

static void unmodelled(int fd, const char *call) {
  uint64_t inode = tracked(fd);
  if (inode == 0) return;
  pthread_mutex_lock(&lock);
  emit_path(UNMODELLED, inode, 0, call);
  leave();
}

static void unmodelled_path(const char *path, const char *call) {
  if (!is_below(path)) return;
  pthread_mutex_lock(&lock);
  emit_path(UNMODELLED, 0, 0, call);
  leave();
}

/* ---- open ---- */

static int open_logged(int folder, const char *path, int flags, mode_t mode) {
  if (!is_below(path)) {
    int fd = (int)syscall(SYS_openat, folder, path, flags, mode);
    if (fd >= 0 && fd < MAX_FD) inode_of[fd] = 0;
    return fd;
  }
  pthread_mutex_lock(&lock);
  int existed = syscall(SYS_faccessat, AT_FDCWD, path, F_OK) == 0;
  int fd = (int)syscall(SYS_openat, folder, path, flags, mode);
  struct stat found;
  if (fd >= MAX_FD || (fd >= 0 && fstat(fd, &found) != 0)) die(path);
  if (fd >= 0) {
    inode_of[fd] = found.st_ino;
    if ((flags & O_TMPFILE) == O_TMPFILE) emit_path(UNMODELLED, found.st_ino, 0, "O_TMPFILE");
    else if (!existed) emit_path(CREATE, found.st_ino, found.st_mode & 07777, path);
    else if ((flags & O_TRUNC) && S_ISREG(found.st_mode)) emit(TRUNCATE, found.st_ino, 0, NULL, 0, 0);
  }
  leave();
  return fd;
}

#define MODE(flags, mode) \
  mode_t mode = 0; \
  if ((flags) & (O_CREAT | O_TMPFILE)) { \
    va_list rest; \
    va_start(rest, flags); \
    mode = va_arg(rest, mode_t); \
    va_end(rest); \
  }

int open(const char *path, int flags, ...) {
  MODE(flags, mode)
  return open_logged(AT_FDCWD, path, flags, mode);
}
int open64(const char *path, int flags, ...) {
  MODE(flags, mode)
  return open_logged(AT_FDCWD, path, flags, mode);
}
int openat(int folder, const char *path, int flags, ...) {
  MODE(flags, mode)
  return open_logged(folder, path, flags, mode);
}
int openat64(int folder, const char *path, int flags, ...) {
  MODE(flags, mode)
  return open_logged(folder, path, flags, mode);
}
int creat(const char *path, mode_t mode) { return open_logged(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

/* ---- contents ---- */

/* `at` < 0: where the descriptor stands. */
static ssize_t write_logged(uint64_t inode, int fd, const struct iovec *parts, int count, off_t at) {
  pthread_mutex_lock(&lock);
  ssize_t written = -1;
  if (!fails("write"))
    written = at < 0 ? syscall(SYS_writev, fd, parts, count) : syscall(SYS_pwritev, fd, parts, count, at, 0);
  if (written > 0) {
    off_t from = at < 0 ? lseek(fd, 0, SEEK_CUR) - written : at;
    emit(WRITE, inode, (uint64_t)from, parts, count, (size_t)written);
  }
  leave();
  return written;
}

ssize_t write(int fd, const void *bytes, size_t length) {
  uint64_t inode = tracked(fd);
  if (inode == 0) return syscall(SYS_write, fd, bytes, length);
  struct iovec part = {(void *)bytes, length};
  return write_logged(inode, fd, &part, 1, -1);
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
  uint64_t inode = tracked(fd);
  return inode == 0 ? syscall(SYS_writev, fd, parts, count) : write_logged(inode, fd, parts, count, -1);
}
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) {
  uint64_t inode = tracked(fd);
  if (inode == 0) return syscall(SYS_pwrite64, fd, bytes, length, at);
  struct iovec part = {(void *)bytes, length};
  return write_logged(inode, fd, &part, 1, at);
}
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) { return pwrite(fd, bytes, length, at); }
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
  uint64_t inode = tracked(fd);
  return inode == 0 ? syscall(SYS_pwritev, fd, parts, count, at, 0) : write_logged(inode, fd, parts, count, at);
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) { return pwritev(fd, parts, count, at); }

int ftruncate(int fd, off_t length) {
  uint64_t inode = tracked(fd);
  if (inode == 0) return (int)syscall(SYS_ftruncate, fd, length);
  pthread_mutex_lock(&lock);
  int result = fails("write") ? -1 : (int)syscall(SYS_ftruncate, fd, length);
  if (result == 0) emit(TRUNCATE, inode, (uint64_t)length, NULL, 0, 0);
  leave();
  return result;
}
int ftruncate64(int fd, off64_t length) { return ftruncate(fd, length); }

static int sync_logged(int fd, long call) {
  uint64_t inode = tracked(fd);
  if (inode == 0) return (int)syscall(call, fd);
  pthread_mutex_lock(&lock);
  int result = fails("sync") ? -1 : (int)syscall(call, fd);
  if (result == 0) emit(SYNC, inode, 0, NULL, 0, 0);
  leave();
  return result;
}
int fsync(int fd) { return sync_logged(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_logged(fd, SYS_fdatasync); }

ssize_t read(int fd, void *bytes, size_t length) {
  uint64_t inode = tracked(fd);
  if (inode != 0 && read_fails(inode, lseek(fd, 0, SEEK_CUR), length)) return -1;
  return syscall(SYS_read, fd, bytes, length);
}
ssize_t pread(int fd, void *bytes, size_t length, off_t at) {
  if (read_fails(tracked(fd), at, length)) return -1;
  return syscall(SYS_pread64, fd, bytes, length, at);
}
ssize_t pread64(int fd, void *bytes, size_t length, off64_t at) { return pread(fd, bytes, length, at); }

/* ---- names ---- */

static int rename_logged(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
  int below = is_below(from) || is_below(to);
  if (!below) return (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
  pthread_mutex_lock(&lock);
  int result = (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
  if (result == 0) {
    if (flags != 0 || !is_below(from) || !is_below(to)) emit_path(UNMODELLED, 0, 0, "renameat2");
    else emit_rename(from, to);
  }
  leave();
  return result;
}
int rename(const char *from, const char *to) { return rename_logged(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int from_folder, const char *from, int to_folder, const char *to) {
  return rename_logged(from_folder, from, to_folder, to, 0);
}
int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
  return rename_logged(from_folder, from, to_folder, to, flags);
}

static int unlink_logged(int folder, const char *path, int flags) {
  if (!is_below(path)) return (int)syscall(SYS_unlinkat, folder, path, flags);
  pthread_mutex_lock(&lock);
  int result = (int)syscall(SYS_unlinkat, folder, path, flags);
  if (result == 0) emit_path(flags & AT_REMOVEDIR ? RMDIR : UNLINK, 0, 0, path);
  leave();
  return result;
}
int unlink(const char *path) { return unlink_logged(AT_FDCWD, path, 0); }
int unlinkat(int folder, const char *path, int flags) { return unlink_logged(folder, path, flags); }
int rmdir(const char *path) { return unlink_logged(AT_FDCWD, path, AT_REMOVEDIR); }
int remove(const char *path) {
  int result = unlink(path);
  return result != 0 && errno == EISDIR ? rmdir(path) : result;
}

static int mkdir_logged(int folder, const char *path, mode_t mode) {
  if (!is_below(path)) return (int)syscall(SYS_mkdirat, folder, path, mode);
  pthread_mutex_lock(&lock);
  int result = (int)syscall(SYS_mkdirat, folder, path, mode);
  struct stat made;
  if (result == 0) {
    if (stat(path, &made) != 0) die(path);
    emit_path(MKDIR, made.st_ino, made.st_mode & 07777, path);
  }
  leave();
  return result;
}
int mkdir(const char *path, mode_t mode) { return mkdir_logged(AT_FDCWD, path, mode); }
int mkdirat(int folder, const char *path, mode_t mode) { return mkdir_logged(folder, path, mode); }

/* ---- what the model does not know ---- */

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t at) {
  if ((protection & PROT_WRITE) && (flags & MAP_SHARED)) unmodelled(fd, "mmap");
  return (void *)syscall(SYS_mmap, address, length, protection, flags, fd, at);
}
void *mmap64(void *address, size_t length, int protection, int flags, int fd, off64_t at) {
  return mmap(address, length, protection, flags, fd, at);
}
int fallocate(int fd, int mode, off_t at, off_t length) {
  unmodelled(fd, "fallocate");
  return (int)syscall(SYS_fallocate, fd, mode, at, length);
}
int fallocate64(int fd, int mode, off64_t at, off64_t length) { return fallocate(fd, mode, at, length); }
int posix_fallocate(int fd, off_t at, off_t length) { return fallocate(fd, 0, at, length) == 0 ? 0 : errno; }
int posix_fallocate64(int fd, off64_t at, off64_t length) { return posix_fallocate(fd, at, length); }
int truncate(const char *path, off_t length) {
  unmodelled_path(path, "truncate");
  return (int)syscall(SYS_truncate, path, length);
}
int truncate64(const char *path, off64_t length) { return truncate(path, length); }
int link(const char *from, const char *to) {
  unmodelled_path(to, "link");
  return (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
}
int symlink(const char *target, const char *path) {
  unmodelled_path(path, "symlink");
  return (int)syscall(SYS_symlinkat, target, AT_FDCWD, path);
}
ssize_t sendfile(int to, int from, off_t *at, size_t length) {
  unmodelled(to, "sendfile");
  return syscall(SYS_sendfile, to, from, at, length);
}
ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t length, unsigned flags) {
  unmodelled(to, "copy_file_range");
  return syscall(SYS_copy_file_range, from, from_at, to, to_at, length, flags);
}
