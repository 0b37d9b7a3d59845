/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* pthread_getattr_np */
#include "base/os.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static int fail_in; /* how many calls until one fails; 0: none will.  Set by tests, before any thread runs. */
static int fail_errno;

void os_failnth(int n, int err)
{
	fail_in = n;
	fail_errno = err;
}

int os_mayfail(void)
{
	if (lp_likely(fail_in == 0) || --fail_in > 0)
		return 0;
	errno = fail_errno;
	return 1;
}

int64_t nanotime(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void os_nanosleep(int64_t ns)
{
	struct timespec t = {ns / 1000000000, ns % 1000000000};
	nanosleep(&t, NULL);
}

static void *map(size_t n, int prot)
{
	if (os_mayfail())
		return NULL;
	void *p = mmap(NULL, n, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

void *os_reserve(size_t n)
{
	return map(n, PROT_NONE);
}

void *os_reserverw(size_t n)
{
	return map(n, PROT_READ | PROT_WRITE);
}

int os_commit(void *p, size_t n)
{
	if (os_mayfail())
		return -1;
	return mprotect(p, n, PROT_READ | PROT_WRITE);
}

void os_release(void *p, size_t n)
{
	if (munmap(p, n) != 0)
		throw("munmap of memory that was not ours");
}

void os_discard(void *p, size_t n)
{
	(void)madvise(p, n, MADV_DONTNEED); /* advice: where it is refused the memory only stays */
}

size_t os_pagesize(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

void os_stackbounds(const void **lo, size_t *size)
{
	pthread_attr_t attr;
	void *addr;
	if (pthread_getattr_np(pthread_self(), &attr) != 0 || pthread_attr_getstack(&attr, &addr, size) != 0)
		throw("the bounds of a thread's stack cannot be had");
	*lo = addr;
	pthread_attr_destroy(&attr);
}

size_t os_maxmaps(void)
{
	unsigned long n = 65530; /* the kernel's default, where /proc cannot be read */
	FILE *f = fopen("/proc/sys/vm/max_map_count", "re");
	if (f) {
		if (fscanf(f, "%lu", &n) != 1)
			n = 65530;
		fclose(f);
	}
	return n;
}

void *xmalloc(size_t n)
{
	void *p = malloc(n);
	if (!p)
		throw("out of memory");
	return p;
}

void *xcalloc(size_t n, size_t size)
{
	void *p = calloc(n, size);
	if (!p)
		throw("out of memory");
	return p;
}
