/* Writes down every change that a program makes below a folder, so that the disk can be made as it
 * would be if power went at any moment of it.
 *
 *   cc -shared -fPIC -O2 -o journal.so journal.c -ldl
 *   LD_PRELOAD=journal.so LENSD_JOURNAL=FILE LENSD_JOURNAL_ROOT=FOLDER PROGRAM
 *
 * FILE gets records (struct record, then its bytes) in the order in which the kernel did them, from
 * all processes. What is written through a shared mapping is not seen, but said (MAPPED); so is what
 * this file has no function for (STRANGE). disk.py reads them. Syncing takes no time: how fast this
 * machine's disk is today must not decide what a test says. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { OPEN = 1, WRITE, TRUNCATE, SYNC, RENAME, UNLINK, MKDIR, RMDIR, SYNC_FOLDER, LINK, MAPPED, STRANGE };

struct record {
	uint32_t magic, kind;
	uint64_t mono_ns, inode, number;
	uint32_t first, second; /* bytes of each that follow */
};

static int journal = -1;
static char root[PATH_MAX];
static size_t root_length;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
/* Of each descriptor: 0 unknown, 1 not below the folder, 2 below it. */
static unsigned char known[1 << 16];

#define NEXT(name) ({ static __typeof__(&name) next; if (!next) next = (__typeof__(&name))dlsym(RTLD_NEXT, #name); next; })

__attribute__((constructor)) static void begin(void)
{
	const char *file = getenv("LENSD_JOURNAL"), *folder = getenv("LENSD_JOURNAL_ROOT");
	if (!file || !folder || strlen(folder) >= sizeof root)
		return;
	strcpy(root, folder);
	root_length = strlen(root);
	int fd = syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	/* Where no program expects one of its own. */
	journal = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 900);
	if (fd >= 0)
		syscall(SYS_close, fd);
	if (journal < 0) {
		perror("journal");
		abort();
	}
}

/* One change at a time, in all processes: what is written down in another order than it was done
 * would make disks that cannot be. */
static void lock(void) { pthread_mutex_lock(&mutex); flock(journal, LOCK_EX); }
static void unlock(void) { int e = errno; flock(journal, LOCK_UN); pthread_mutex_unlock(&mutex); errno = e; }

static void note(uint32_t kind, uint64_t inode, uint64_t number, const void *a, size_t first, const void *b, size_t second)
{
	int e = errno;
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	struct record r = { 0x4a4c3130, kind, (uint64_t)now.tv_sec * 1000000000u + now.tv_nsec, inode, number, first, second };
	struct iovec parts[] = { { &r, sizeof r }, { (void *)a, first }, { (void *)b, second } };
	if (syscall(SYS_writev, journal, parts, 3) != (ssize_t)(sizeof r + first + second)) {
		perror("journal");
		abort();
	}
	errno = e;
}

static int below(const char *path) { return !strncmp(path, root, root_length) && (!path[root_length] || path[root_length] == '/'); }

/* The path of a name, or nothing if that is not below the folder. */
static const char *absolute(int at, const char *name, char *out)
{
	if (journal < 0 || !name)
		return NULL;
	if (name[0] == '/') {
		snprintf(out, PATH_MAX, "%s", name);
	} else {
		char link[64], folder[PATH_MAX];
		if (at == AT_FDCWD) {
			if (!getcwd(folder, sizeof folder))
				return NULL;
		} else {
			snprintf(link, sizeof link, "/proc/self/fd/%d", at);
			ssize_t n = readlink(link, folder, sizeof folder - 1);
			if (n < 0)
				return NULL;
			folder[n] = 0;
		}
		if (snprintf(out, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX)
			return NULL;
	}
	return below(out) ? out : NULL;
}

static int tracked(int fd)
{
	if (journal < 0 || fd < 0 || fd >= (int)sizeof known)
		return 0;
	if (!known[fd]) {
		char link[64], path[PATH_MAX];
		snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
		ssize_t n = readlink(link, path, sizeof path - 1);
		path[n < 0 ? 0 : n] = 0;
		known[fd] = below(path) ? 2 : 1;
	}
	return known[fd] == 2;
}

static uint64_t inode_of(int fd)
{
	struct stat s;
	int e = errno;
	uint64_t inode = fstat(fd, &s) ? 0 : s.st_ino;
	errno = e;
	return inode;
}

static int opened(int at, const char *name, int flags, mode_t mode)
{
	char buffer[PATH_MAX];
	const char *path = absolute(at, name, buffer);
	int writes = (flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC));
	int created = 0;
	if (path && writes) {
		lock();
		created = (flags & O_CREAT) && syscall(SYS_faccessat, AT_FDCWD, path, F_OK, 0);
	}
	int fd = syscall(SYS_openat, at, name, flags, mode);
	if (fd >= 0 && fd < (int)sizeof known)
		known[fd] = path ? 2 : 1;
	if (path && writes) {
		if (fd >= 0)
			note(OPEN, inode_of(fd), ((flags & O_TRUNC) != 0) | created << 1, path, strlen(path), NULL, 0);
		unlock();
	}
	return fd;
}

#define MODE(flags) mode_t mode = 0; if ((flags) & (O_CREAT | __O_TMPFILE)) { va_list l; va_start(l, flags); mode = va_arg(l, mode_t); va_end(l); }
int open(const char *name, int flags, ...) { MODE(flags) return opened(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { MODE(flags) return opened(AT_FDCWD, name, flags, mode); }
int openat(int at, const char *name, int flags, ...) { MODE(flags) return opened(at, name, flags, mode); }
int openat64(int at, const char *name, int flags, ...) { MODE(flags) return opened(at, name, flags, mode); }
int creat(const char *name, mode_t mode) { return opened(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode); }

int close(int fd)
{
	if (fd == journal && journal >= 0)
		return 0;
	if (fd >= 0 && fd < (int)sizeof known)
		known[fd] = 0;
	return NEXT(close)(fd);
}

static ssize_t written(int fd, const void *data, size_t size, off_t at)
{
	if (!tracked(fd))
		return at < 0 ? syscall(SYS_write, fd, data, size) : syscall(SYS_pwrite64, fd, data, size, at);
	lock();
	ssize_t n = at < 0 ? syscall(SYS_write, fd, data, size) : syscall(SYS_pwrite64, fd, data, size, at);
	if (n > 0)
		note(WRITE, inode_of(fd), at < 0 ? lseek(fd, 0, SEEK_CUR) - n : at, NULL, 0, data, n);
	unlock();
	return n;
}

ssize_t write(int fd, const void *data, size_t size) { return written(fd, data, size, -1); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return written(fd, data, size, at); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) { return written(fd, data, size, at); }

static ssize_t gathered(int fd, const struct iovec *parts, int count, off_t at)
{
	if (!tracked(fd))
		return at < 0 ? syscall(SYS_writev, fd, parts, count) : syscall(SYS_pwritev, fd, parts, count, at, 0);
	ssize_t all = 0;
	for (int i = 0; i < count; i++) {
		if (!parts[i].iov_len)
			continue;
		ssize_t n = written(fd, parts[i].iov_base, parts[i].iov_len, at < 0 ? -1 : at + all);
		if (n < 0)
			return all ? all : n;
		all += n;
		if ((size_t)n < parts[i].iov_len)
			break;
	}
	return all;
}

ssize_t writev(int fd, const struct iovec *parts, int count) { return gathered(fd, parts, count, -1); }
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) { return gathered(fd, parts, count, at); }
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) { return gathered(fd, parts, count, at); }

int ftruncate(int fd, off_t size)
{
	if (!tracked(fd))
		return syscall(SYS_ftruncate, fd, size);
	lock();
	int result = syscall(SYS_ftruncate, fd, size);
	if (!result)
		note(TRUNCATE, inode_of(fd), size, NULL, 0, NULL, 0);
	unlock();
	return result;
}
int ftruncate64(int fd, off64_t size) { return ftruncate(fd, size); }

static int synced(int fd, long call)
{
	if (!tracked(fd))
		return syscall(call, fd);
	/* What was done before this call is safe when it returns; what others do meanwhile may not be. */
	lock();
	uint64_t position = lseek(journal, 0, SEEK_END);
	unlock();
	struct stat s;
	if (fstat(fd, &s))
		return -1;
	char link[64], path[PATH_MAX];
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof path);
	lock();
	note(S_ISDIR(s.st_mode) ? SYNC_FOLDER : SYNC, s.st_ino, position, path, n < 0 ? 0 : n, NULL, 0);
	unlock();
	return 0;
}

int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

static int named(uint32_t kind, int at, const char *name, long call, long a, long b, long c, long d)
{
	char buffer[PATH_MAX];
	const char *path = absolute(at, name, buffer);
	if (path)
		lock();
	int result = syscall(call, a, b, c, d);
	if (path) {
		if (!result)
			note(kind, 0, 0, path, strlen(path), NULL, 0);
		unlock();
	}
	return result;
}

int unlink(const char *name) { return named(UNLINK, AT_FDCWD, name, SYS_unlink, (long)name, 0, 0, 0); }
int rmdir(const char *name) { return named(RMDIR, AT_FDCWD, name, SYS_rmdir, (long)name, 0, 0, 0); }
int unlinkat(int at, const char *name, int flags) { return named(flags & AT_REMOVEDIR ? RMDIR : UNLINK, at, name, SYS_unlinkat, at, (long)name, flags, 0); }
int mkdir(const char *name, mode_t mode) { return named(MKDIR, AT_FDCWD, name, SYS_mkdir, (long)name, mode, 0, 0); }
int mkdirat(int at, const char *name, mode_t mode) { return named(MKDIR, at, name, SYS_mkdirat, at, (long)name, mode, 0); }

static int moved(uint32_t kind, int from_at, const char *from, int to_at, const char *to, int flags)
{
	char one[PATH_MAX], two[PATH_MAX];
	const char *a = absolute(from_at, from, one), *b = absolute(to_at, to, two);
	if (a || b)
		lock();
	int result = kind == LINK ? syscall(SYS_linkat, from_at, from, to_at, to, flags) : syscall(SYS_renameat2, from_at, from, to_at, to, flags);
	if (a || b) {
		if (!result)
			note(a && b ? kind : STRANGE, 0, 0, from, strlen(from), to, strlen(to));
		unlock();
	}
	return result;
}

int rename(const char *from, const char *to) { return moved(RENAME, AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int at, const char *from, int to_at, const char *to) { return moved(RENAME, at, from, to_at, to, 0); }
int renameat2(int at, const char *from, int to_at, const char *to, unsigned flags) { return moved(RENAME, at, from, to_at, to, flags); }
int link(const char *from, const char *to) { return moved(LINK, AT_FDCWD, from, AT_FDCWD, to, 0); }
int linkat(int at, const char *from, int to_at, const char *to, int flags) { return moved(LINK, at, from, to_at, to, flags); }

static void strange(int fd, const char *what)
{
	if (tracked(fd)) {
		lock();
		note(STRANGE, inode_of(fd), 0, what, strlen(what), NULL, 0);
		unlock();
	}
}

int fallocate(int fd, int mode, off_t at, off_t size) { strange(fd, "fallocate"); return syscall(SYS_fallocate, fd, mode, at, size); }
int fallocate64(int fd, int mode, off64_t at, off64_t size) { return fallocate(fd, mode, at, size); }
int posix_fallocate(int fd, off_t at, off_t size) { strange(fd, "posix_fallocate"); return NEXT(posix_fallocate)(fd, at, size); }
int posix_fallocate64(int fd, off64_t at, off64_t size) { strange(fd, "posix_fallocate"); return NEXT(posix_fallocate64)(fd, at, size); }
ssize_t copy_file_range(int from, off64_t *a, int to, off64_t *b, size_t size, unsigned flags) { strange(to, "copy_file_range"); return syscall(SYS_copy_file_range, from, a, to, b, size, flags); }
ssize_t sendfile(int to, int from, off_t *at, size_t size) { strange(to, "sendfile"); return syscall(SYS_sendfile, to, from, at, size); }
ssize_t sendfile64(int to, int from, off64_t *at, size_t size) { strange(to, "sendfile"); return syscall(SYS_sendfile, to, from, at, size); }
int truncate(const char *name, off_t size)
{
	char buffer[PATH_MAX];
	if (absolute(AT_FDCWD, name, buffer)) {
		lock();
		note(STRANGE, 0, 0, "truncate", 8, NULL, 0);
		unlock();
	}
	return syscall(SYS_truncate, name, size);
}

static void *mapped(void *at, size_t size, int prot, int flags, int fd, off_t offset)
{
	if ((flags & MAP_SHARED) && (prot & PROT_WRITE) && tracked(fd)) {
		char link[64], path[PATH_MAX];
		snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
		ssize_t n = readlink(link, path, sizeof path);
		lock();
		note(MAPPED, inode_of(fd), 0, path, n < 0 ? 0 : n, NULL, 0);
		unlock();
	}
	return (void *)syscall(SYS_mmap, at, size, prot, flags, fd, offset);
}
void *mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset) { return mapped(at, size, prot, flags, fd, offset); }
void *mmap64(void *at, size_t size, int prot, int flags, int fd, off64_t offset) { return mapped(at, size, prot, flags, fd, offset); }
