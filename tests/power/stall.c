/* A disk that does not answer: calls that would touch a file below a folder wait for as long as
 * another file exists. With LENSD_STALL_MS it is slow instead: while that file exists, what goes to
 * the disk takes so many milliseconds longer, and a write a tenth of that.
 *
 *   cc -shared -fPIC -O2 -o stall.so stall.c
 *   LD_PRELOAD=stall.so LENSD_STALL_ROOT=FOLDER LENSD_STALL_WHILE=FILE PROGRAM */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int below(const char *path)
{
	const char *root = getenv("LENSD_STALL_ROOT");
	return root && !strncmp(path, root, strlen(root));
}

static void wait_if(int stalls, int part)
{
	const char *file = getenv("LENSD_STALL_WHILE"), *ms = getenv("LENSD_STALL_MS");
	if (ms) {
		if (stalls && part && file && !syscall(SYS_access, file, F_OK))
			usleep(atoi(ms) * 1000 / part);
		return;
	}
	while (stalls && file && !syscall(SYS_access, file, F_OK))
		usleep(2000);
}

static void touch(int fd, int part)
{
	char link[64], path[PATH_MAX];
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof path - 1);
	path[n < 0 ? 0 : n] = 0;
	wait_if(below(path), part);
}

static int opened(int at, const char *name, int flags, mode_t mode)
{
	wait_if(below(name), 0);
	return syscall(SYS_openat, at, name, flags, mode);
}

#define MODE(flags) mode_t mode = 0; if ((flags) & (O_CREAT | __O_TMPFILE)) { va_list l; va_start(l, flags); mode = va_arg(l, mode_t); va_end(l); }
int open(const char *name, int flags, ...) { MODE(flags) return opened(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { MODE(flags) return opened(AT_FDCWD, name, flags, mode); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { touch(fd, 10); return syscall(SYS_pwrite64, fd, data, size, at); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) { return pwrite(fd, data, size, at); }
ssize_t write(int fd, const void *data, size_t size) { touch(fd, 10); return syscall(SYS_write, fd, data, size); }
int fdatasync(int fd) { touch(fd, 1); return syscall(SYS_fdatasync, fd); }
int fsync(int fd) { touch(fd, 1); return syscall(SYS_fsync, fd); }
int ftruncate(int fd, off_t size) { touch(fd, 10); return syscall(SYS_ftruncate, fd, size); }
int ftruncate64(int fd, off64_t size) { return ftruncate(fd, size); }
