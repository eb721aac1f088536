/*
 * Stands between a program and the C library (LD_PRELOAD) and gives it the clocks of another machine: one whose wall clock is wrong, that
 * booted at another moment, whose crystal runs too fast or too slow. Nothing of the program itself is switched for it.
 *
 * TRIBUTARY_CLOCK_FILE   48 bytes, little endian, mapped shared: whoever holds the file can set the wall clock of the running program
 *                        i64 real monotonic time of the boot, ns · i64 monotonic time then, ns · i64 wall time then, ns ·
 *                        i64 by how much the wall clock was set since, ns · f64 rate (0: exact) · 8 bytes unused
 * TRIBUTARY_CLOCK_BOOT   a file that is read where the program reads /proc/sys/kernel/random/boot_id
 *
 * Given otherwise: clock_gettime of every clock that runs since the boot or 1970, gettimeofday, time, /proc/uptime, and the deadlines of
 * condition variables and semaphores, which the kernel would compare with its own clocks. Durations (poll, nanosleep) are the kernel's.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct machine {
  volatile int64_t real_boot, boot, wall, set;
  volatile double rate;
  int64_t unused;
};

static const struct machine *machine;
static const char *boot_id;

static void die(const char *what) {
  dprintf(2, "clock shim: %s: %s\n", what, strerror(errno));
  abort();
}

__attribute__((constructor)) static void start(void) {
  const char *path = getenv("TRIBUTARY_CLOCK_FILE");
  boot_id = getenv("TRIBUTARY_CLOCK_BOOT");
  if (path == NULL || boot_id == NULL) die("TRIBUTARY_CLOCK_FILE and TRIBUTARY_CLOCK_BOOT are not both set");
  int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) die(path);
  void *mapped = mmap(NULL, sizeof *machine, PROT_READ, MAP_SHARED, fd, 0);
  if (mapped == MAP_FAILED) die(path);
  close(fd);
  machine = mapped;
}

/* ---- the clocks ---- */

static int64_t real_ns(clockid_t clock) {
  struct timespec now;
  syscall(SYS_clock_gettime, clock, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t monotonic_ns(void) {
  int64_t since = real_ns(CLOCK_MONOTONIC) - machine->real_boot;
  return machine->boot + since + (int64_t)((double)since * machine->rate);
}

static int64_t wall_ns(void) { return machine->wall + machine->set + (monotonic_ns() - machine->boot); }

static struct timespec of_ns(int64_t ns) {
  return (struct timespec){(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  if (machine == NULL) return (int)syscall(SYS_clock_gettime, clock, now);
  switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
      *now = of_ns(wall_ns());
      return 0;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_BOOTTIME:
      *now = of_ns(monotonic_ns());
      return 0;
    default:
      return (int)syscall(SYS_clock_gettime, clock, now);
  }
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  (void)zone;
  struct timespec wall;
  clock_gettime(CLOCK_REALTIME, &wall);
  now->tv_sec = wall.tv_sec;
  now->tv_usec = wall.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *into) {
  struct timespec wall;
  clock_gettime(CLOCK_REALTIME, &wall);
  if (into != NULL) *into = wall.tv_sec;
  return wall.tv_sec;
}

/* ---- deadlines ---- */

/* The same wait by the kernel's clock. Which of the machine's two clocks a deadline is of, its distance tells. */
static struct timespec kernel_deadline(const struct timespec *deadline) {
  int64_t at = (int64_t)deadline->tv_sec * 1000000000 + deadline->tv_nsec;
  int64_t from_boot = at - monotonic_ns();
  int64_t from_wall = at - wall_ns();
  if (llabs(from_boot) < llabs(from_wall)) return of_ns(real_ns(CLOCK_MONOTONIC) + from_boot);
  return of_ns(real_ns(CLOCK_REALTIME) + from_wall);
}

static void *next(const char *name, const char *version) {
  void *found = version == NULL ? NULL : dlvsym(RTLD_NEXT, name, version);
  if (found == NULL) found = dlsym(RTLD_NEXT, name);
  if (found == NULL) die(name);
  return found;
}

int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *deadline) {
  static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
  if (real == NULL) real = next("pthread_cond_timedwait", "GLIBC_2.3.2");
  struct timespec at = kernel_deadline(deadline);
  return real(condition, mutex, &at);
}

int pthread_cond_clockwait(pthread_cond_t *condition, pthread_mutex_t *mutex, clockid_t clock,
                           const struct timespec *deadline) {
  static int (*real)(pthread_cond_t *, pthread_mutex_t *, clockid_t, const struct timespec *);
  if (real == NULL) real = next("pthread_cond_clockwait", NULL);
  struct timespec at = kernel_deadline(deadline);
  return real(condition, mutex, clock, &at);
}

int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict deadline) {
  static int (*real)(sem_t *, const struct timespec *);
  if (real == NULL) real = next("sem_timedwait", NULL);
  struct timespec at = kernel_deadline(deadline);
  return real(semaphore, &at);
}

/* ---- files ---- */

static int open_uptime(void) {
  int fd = memfd_create("uptime", MFD_CLOEXEC);
  if (fd < 0) die("memfd_create");
  dprintf(fd, "%.2f 0.00\n", (double)monotonic_ns() / 1e9);
  lseek(fd, 0, SEEK_SET);
  return fd;
}

static int open_at(int folder, const char *path, int flags, mode_t mode) {
  if (machine != NULL && strcmp(path, "/proc/uptime") == 0) return open_uptime();
  if (boot_id != NULL && strcmp(path, "/proc/sys/kernel/random/boot_id") == 0) path = boot_id;
  return (int)syscall(SYS_openat, folder, path, flags, mode);
}

#define MODE_OF(flags, last)                                     \
  mode_t mode = 0;                                               \
  if ((flags) & (O_CREAT | O_TMPFILE)) {                         \
    va_list rest;                                                \
    va_start(rest, last);                                        \
    mode = (mode_t)va_arg(rest, int);                            \
    va_end(rest);                                                \
  }

int open(const char *path, int flags, ...) {
  MODE_OF(flags, flags)
  return open_at(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...) {
  MODE_OF(flags, flags)
  return open_at(AT_FDCWD, path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...) {
  MODE_OF(flags, flags)
  return open_at(folder, path, flags, mode);
}

int openat64(int folder, const char *path, int flags, ...) {
  MODE_OF(flags, flags)
  return open_at(folder, path, flags, mode);
}
